// A stage's weights and gradients as they are computed with, and what spikes and values have in common in it.
#pragma once
#include "depthwise.hpp"
#include "stage_constants.hpp"
#include "winograd.hpp"

namespace fedspike {
namespace {

// Channels in of which there are weights for each panel of channels.
inline int64_t rows_of(const Stage &s) { return s.depthwise() ? 1 : s.channels_in; }

// Calls at(place among numbers that are laid out, place among a layer's weights) for all weights of a stage. They are
// laid out [channel in][place, turned][channel], of a depthwise one [place, turned][channel], in panels of channels.
template <typename At>
inline void for_weights(const Stage &s, const At &at) {
    for_channels(s.channels, [&](auto V, int64_t first, int64_t real) {
        for (int64_t o = first; o < first + real; ++o)
            for (int64_t n = 0; n < s.group_in(); ++n)
                for (int64_t place = 0; place < s.places(); ++place) {
                    const int64_t i = s.depthwise() ? 0 : o / s.group_out() * s.group_in() + n;
                    at((first * rows_of(s) + i * (V * LANES)) * s.places() + place * (V * LANES) + o - first,
                       (o * s.group_in() + n + 1) * s.places() - 1 - place);
                }
    });
}

// One client's weights of a stage, laid out to be computed with, in panels of channels; see for_channels.
struct Filters {
    const Stage &stage;
    Floats forward;  // as for_weights says; 0 between channels of different groups
    Floats bias;     // [channel]
    Floats back;     // [place, turned][channel][channel in], or see winograd.hpp; not needed for the first stage
    Floats constants;  // what neurons have learned; see stage_constants.hpp

    Filters(const Stage &s, bool goes_back)
        : stage(s), forward(rows_of(s) * s.places() * whole_vectors(s.channels)), bias(whole_vectors(s.channels)),
          back(goes_back && !s.depthwise() ? (in_tiles(s) ? 16 : s.places()) * s.channels * whole_vectors(s.channels_in)
                                           : 0),
          constants(s.constants ? CONSTANTS * grid_of(s) : 0) {}

    const float *weights(int V, int64_t first, int64_t i) const {
        return &forward[(first * rows_of(stage) + i * (V * LANES)) * stage.places()];
    }

    void fill(int64_t k) {
        const Stage &s = stage;
        const float *weight = s.weight + k * s.weights();
        std::copy_n(s.bias + k * s.channels, s.channels, bias.data());
        for_weights(s, [&](int64_t laid, int64_t own) { forward[laid] = weight[own]; });
        fill_constants(s, k, constants);
        if (back.empty()) return;
        if (in_tiles(s)) return fill_tiles(weight);
        for_channels(s.channels_in, [&](auto V, int64_t first, int64_t real) {
            for (int64_t place = 0; place < s.places(); ++place)
                for (int64_t o = 0; o < s.channels; ++o)
                    for (int64_t i = first; i < first + real; ++i)
                        if (i / s.group_in() == o / s.group_out())
                            back[first * s.places() * s.channels + (place * s.channels + o) * (V * LANES) + i - first] =
                                weight[(o * s.group_in() + i % s.group_in() + 1) * s.places() - 1 - place];
        });
    }

    void fill_tiles(const float *weight) {
        const Stage &s = stage;
        for_channels(s.channels_in, [&](auto V, int64_t first, int64_t real) {
            float *to = &back[16 * first * s.channels];
            for_channels(s.channels, [&](auto, int64_t c, int64_t outputs) {
                for (int64_t o = 0; o < outputs; ++o)
                    for (int64_t i = 0; i < real; ++i) {
                        const float *from = weight + ((c + o) * s.channels_in + first + i) * 9;
                        float kernel[3][3];
                        for (int place = 0; place < 9; ++place) kernel[place / 3][place % 3] = from[8 - place];
                        kernel_in_tile(kernel, to + o * V * LANES + i, outputs * V * LANES);
                    }
                to += 16 * outputs * V * LANES;
            });
        });
    }
};

// The gradients of a stage: weights laid out as in Filters::forward, then the bias and what neurons have learned.
struct FilterGradient {
    Floats weight, bias, constants;

    static int64_t floats(const Stage &s) { return (rows_of(s) * s.places() + 1) * whole_vectors(s.channels); }

    explicit FilterGradient(const Stage &s)
        : weight(rows_of(s) * s.places() * whole_vectors(s.channels)), bias(whole_vectors(s.channels)),
          constants(s.constants ? CONSTANTS * grid_of(s) : 0) {}

    void clear() {
        for (Floats *sums : {&weight, &bias, &constants}) std::fill(sums->begin(), sums->end(), 0.0f);
    }

    void add(const FilterGradient &other) {
        for (size_t i = 0; i < weight.size(); ++i) weight[i] += other.weight[i];
        for (size_t i = 0; i < bias.size(); ++i) bias[i] += other.bias[i];
        for (size_t i = 0; i < constants.size(); ++i) constants[i] += other.constants[i];
    }

    void store(const Stage &s, int64_t k) const {
        float *to = s.into_weight + k * s.weights();
        std::copy_n(bias.data(), s.channels, s.into_bias + k * s.channels);
        for_weights(s, [&](int64_t laid, int64_t own) { to[own] = weight[laid]; });
        store_constants(s, k, constants);
    }
};

// Where the positions of a map lie in the image, -1: nowhere, the synapses that an event there meets, and the phases.
struct Positions {
    std::vector<int32_t> places, fan_out;
    std::vector<Phase> phases;

    explicit Positions(const Stage &s) : places(64 * s.words(), -1), fan_out(64 * s.words()), phases(phases_of(s)) {
        const auto outputs = [&](int64_t input, int64_t outputs) {
            int64_t count = 0;
            for (int64_t o = 0; o < outputs; ++o) {
                const int64_t place = input + s.padding - s.stride * o;
                count += place >= 0 && place < s.kernel;
            }
            return count;
        };
        for (int64_t y = 0; y < s.height; ++y)
            for (int64_t x = 0; x < s.width; ++x) {
                const int64_t q = y * s.columns() + x;
                places[q] = y * s.width + x;
                fan_out[q] = s.group_out() * outputs(y, s.out_height()) * outputs(x, s.out_width());
            }
    }
};

// Calls at(input, channel, q) for all inputs of a stage.
template <typename At>
inline void for_inputs(const Stage &s, const At &at) {
    for (int64_t channel = 0, input = 0; channel < s.channels_in; ++channel)
        for (int64_t y = 0; y < s.height; ++y)
            for (int64_t x = 0; x < s.width; ++x, ++input) at(input, channel, y * s.columns() + x);
}

// The bias at all positions of a panel that events can reach.
template <int V>
inline void fill_bias(const Stage &s, const float *bias, float *panel) {
    Vec start[V];
    for (int v = 0; v < V; ++v) start[v] = load(bias + v * LANES);
    for (int64_t y = first_place(s, 0); y < s.height + s.kernel - 1; y += s.stride)
        for (int64_t x = first_place(s, 0); x < s.columns(); x += s.stride)
            for (int v = 0; v < V; ++v) store(panel + ((y * s.columns() + x) * V + v) * LANES, start[v]);
}

// A stage's currents from position `first` on, of R outputs in a row and V vectors of channels, of all values of these
// `channels` that they meet. `values` are of the first channel.
template <int V, int R>
[[gnu::noinline]] void currents_tile(const Stage &s, int64_t channels, const float *values, int64_t first,
                                     const float *weights, const float *bias, float *panel) {
    Vec sum[R][V];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) sum[r][v] = load(bias + v * LANES);
    for (int64_t i = 0; i < channels; ++i, values += s.apart())
        for (int64_t place = 0; place < s.places(); ++place, weights += V * LANES) {
            const float *x = values + first - place / s.kernel * s.columns() - place % s.kernel;
            Vec row[V];
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v) row[v] = load(weights + v * LANES);
#pragma GCC unroll 16
            for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
                for (int v = 0; v < V; ++v) sum[r][v] = multiply_add(x[r * s.stride], row[v], sum[r][v]);
        }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) store(panel + ((first + r * s.stride) * V + v) * LANES, sum[r][v]);
}

// A stage's currents of values that enter it, of which those that are not 0 are `entered` events. A multiplication for
// every value takes half the time of one for an event, which is read and written back.
inline void value_currents(const Filters &filters, const Positions &at, const uint64_t *events, int64_t entered,
                           const float *values, Floats &spread, float *grid) {
    const Stage &s = filters.stage;
    if (s.depthwise()) {
        spread_values(s, values, spread);
        return depthwise_currents(s, spread, filters.forward.data(), filters.bias.data(), grid);
    }
    for_channels(s.channels, [&](auto V, int64_t first, int64_t real) {
        float *panel = grid + first * s.positions();
        const float *bias = &filters.bias[first];
        const auto met = met_by(first, real, s.group_out(), s.group_in());
        if (2 * entered > s.inputs()) {
            for (int64_t y = 0; y < s.out_height(); ++y)
                for_panels<TILE_REGISTERS / V, 1>(s.out_width(), [&](auto R, int64_t x, int64_t) {
                    currents_tile<V, R>(s, met.second - met.first, values + met.first * s.apart() + s.lead(),
                                        s.row(y) + x * s.stride, filters.weights(V, first, met.first), bias, panel);
                });
            return;
        }
        fill_bias<V>(s, bias, panel);
        for (int64_t i = met.first; i < met.second; ++i)
            scatter_channel<V, true>(s, at.phases, events + i * s.words(), values + i * s.apart() + s.lead(),
                                     filters.weights(V, first, i), 1.0f, panel);
    });
}

// Their weight gradient, from dL/d of the currents; `spread` is as the currents left it.
inline void value_gradient(const Stage &s, const Positions &at, const uint64_t *events, const float *values,
                           const Floats &spread, const float *delta, Floats &sums) {
    if (s.depthwise()) return depthwise_gradient(s, spread, delta, sums.data());
    for_channels(s.channels, [&](auto V, int64_t first, int64_t real) {
        const auto met = met_by(first, real, s.group_out(), s.group_in());
        for (int64_t i = met.first; i < met.second; ++i)
            gather_channel<V, true>(s, at.phases, events + i * s.words(), values + i * s.apart() + s.lead(),
                                    delta + first * s.positions(), 1.0f,
                                    &sums[(first * s.channels_in + i * (V * LANES)) * s.places()]);
    });
}

// A stage's currents of a step's events[plane][channel][word], of which one of plane n counts share * 2^n.
inline void event_currents(const Filters &filters, const Positions &at, const uint64_t *events, int64_t planes, float share,
                           Floats &spread, float *grid) {
    const Stage &s = filters.stage;
    if (s.depthwise()) {
        spread_events(s, events, planes, share, spread);
        return depthwise_currents(s, spread, filters.forward.data(), filters.bias.data(), grid);
    }
    for_channels(s.channels, [&](auto V, int64_t first, int64_t real) {
        float *panel = grid + first * s.positions();
        fill_bias<V>(s, &filters.bias[first], panel);
        const auto met = met_by(first, real, s.group_out(), s.group_in());
        for (int64_t i = met.first; i < met.second; ++i)
            for (int64_t plane = 0; plane < planes; ++plane)
                scatter_channel<V, false>(s, at.phases, events + (plane * s.channels_in + i) * s.words(), nullptr,
                                          filters.weights(V, first, i), share * (float)(1 << plane), panel);
    });
}

// Their weight gradient, from dL/d of the currents.
inline void event_gradient(const Stage &s, const Positions &at, const uint64_t *events, int64_t planes, float share,
                           Floats &spread, const float *delta, Floats &sums) {
    if (s.depthwise()) {
        spread_events(s, events, planes, share, spread);
        return depthwise_gradient(s, spread, delta, sums.data());
    }
    for_channels(s.channels, [&](auto V, int64_t first, int64_t real) {
        const auto met = met_by(first, real, s.group_out(), s.group_in());
        for (int64_t i = met.first; i < met.second; ++i)
            for (int64_t plane = 0; plane < planes; ++plane)
                gather_channel<V, false>(s, at.phases, events + (plane * s.channels_in + i) * s.words(), nullptr,
                                         delta + first * s.positions(), share * (float)(1 << plane),
                                         &sums[(first * s.channels_in + i * (V * LANES)) * s.places()]);
    });
}

// To what entered a stage, [place][channel] in panels, from dL/d of its currents.
inline void through_filters(const Filters &filters, const float *delta, float *into) {
    const Stage &s = filters.stage;
    if (s.depthwise()) return depthwise_into_inputs(s, delta, filters.forward.data(), into);
    for_channels(s.channels_in, [&](auto V, int64_t first, int64_t) {
        float *to = into + first * s.height * s.width;
        if (in_tiles(s))
            into_inputs_in_tiles<V>(s, delta, &filters.back[16 * first * s.channels], to);
        else
            into_inputs<V>(s, delta, first, &filters.back[first * s.places() * s.channels], to);
    });
}

// Which channels' gradient of a maximum over a window goes to its place (y, x): those whose first spike is there, and
// at its first place those that did not spike. at(row, column) are margins.
template <typename At>
inline Lanes chosen(const At &at, int64_t window, int64_t y, int64_t x) {
    const int64_t top = y / window * window, left = x / window * window;
    Lanes before = {}, any = {};
    for (int64_t row = top; row < top + window; ++row)
        for (int64_t column = left; column < left + window; ++column) {
            const Lanes spiked = load(at(row, column)) > 0.0f;
            any |= spiked;
            if (row < y || (row == y && column < x)) before |= spiked;
        }
    const Lanes own = (load(at(y, x)) > 0.0f) & ~before;
    return y == top && x == left ? own | ~any : own;
}

// From [channel][place] behind a stage's pool to [place][channel], in panels.
inline void turn(const Stage &s, const float *from, float *to) {
    for_channels(s.channels, [&](auto V, int64_t first, int64_t real) {
        transpose(real, s.places_after(), from + first * s.places_after(), s.places_after(),
                  to + first * s.places_after(), V * LANES);
    });
}

}  // namespace
}  // namespace fedspike
