// Depthwise convolutions: a channel behind one is of one channel before it alone. Vectors are of channels on both sides,
// [position][channel] in panels, and all is dense: an event would be a single lane.
#pragma once
#include "maps.hpp"

namespace fedspike {
namespace {

// Of what enters: numbers in each panel, zeros before and behind as in a map of values.
inline int64_t spread_size(const Stage &s) { return s.depthwise() ? whole_vectors(s.channels) * s.apart() : 0; }

// From events[plane][channel][word] of a step, of which one of plane n counts share * 2^n.
inline void spread_events(const Stage &s, const uint64_t *events, int64_t planes, float share, Floats &spread) {
    std::fill(spread.begin(), spread.end(), 0.0f);
    for_channels(s.channels, [&](auto V, int64_t first, int64_t real) {
        float *panel = &spread[first * s.apart() + s.lead() * (V * LANES)];
        for (int64_t plane = 0; plane < planes; ++plane)
            for (int64_t c = 0; c < real; ++c)
                for_events(events + (plane * s.channels + first + c) * s.words(), s.words(),
                           [&](int64_t q) { panel[q * (V * LANES) + c] += share * (float)(1 << plane); });
    });
}

// From values[channel][position].
inline void spread_values(const Stage &s, const float *values, Floats &spread) {
    for_channels(s.channels, [&](auto V, int64_t first, int64_t real) {
        transpose(real, s.apart(), values + first * s.apart(), s.apart(), &spread[first * s.apart()], V * LANES);
    });
}

// Which places of a kernel meet: every `step`-th from (row, column) on; those before a position, or behind it.
struct Places {
    int64_t row, column, step, direction;
};

// R positions in a row, a stride apart: the sum over a kernel's places, from `start` on if there is one.
template <int V, int R>
[[gnu::noinline]] void depthwise_tile(const Stage &s, Places places, const float *from, const float *weights,
                                      const float *start, float *to) {
    Vec sum[R][V] = {};
    for (int r = 0; start && r < R; ++r)
        for (int v = 0; v < V; ++v) sum[r][v] = load(start + v * LANES);
    for (int64_t i = places.row; i < s.kernel; i += places.step)
        for (int64_t j = places.column; j < s.kernel; j += places.step) {
            const float *x = from + places.direction * (i * s.columns() + j) * (V * LANES);
            const float *w = weights + (i * s.kernel + j) * (V * LANES);
#pragma GCC unroll 16
            for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
                for (int v = 0; v < V; ++v)
                    sum[r][v] = multiply_add(load(x + (r * s.stride * V + v) * LANES), load(w + v * LANES), sum[r][v]);
        }
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < V; ++v) store(to + (r * s.stride * V + v) * LANES, sum[r][v]);
}

// The currents of all outputs.
inline void depthwise_currents(const Stage &s, const Floats &spread, const float *weights, const float *bias, float *grid) {
    for_channels(s.channels, [&](auto V, int64_t first, int64_t) {
        const float *x = &spread[first * s.apart() + s.lead() * (V * LANES)];
        float *panel = grid + first * s.positions();
        for (int64_t y = 0; y < s.out_height(); ++y)
            for_panels<TILE_REGISTERS / V, 1>(s.out_width(), [&](auto R, int64_t column, int64_t) {
                const int64_t at = (s.row(y) + column * s.stride) * (V * LANES);
                depthwise_tile<V, R>(s, {0, 0, 1, -1}, x + at, weights + first * s.places(), bias + first, panel + at);
            });
    });
}

// To what entered, [place][channel], from dL/d of the currents.
inline void depthwise_into_inputs(const Stage &s, const float *delta, const float *weights, float *into) {
    for_channels(s.channels, [&](auto V, int64_t first, int64_t) {
        for_tiles<TILE_REGISTERS / V>(s.height, s.width, s.stride, [&](auto R, int64_t y, int64_t x) {
            const float *from = delta + first * s.positions() + (y * s.columns() + x) * (V * LANES);
            depthwise_tile<V, R>(s, {first_place(s, y), first_place(s, x), s.stride, 1}, from, weights + first * s.places(),
                                 nullptr, into + first * s.height * s.width + (y * s.width + x) * (V * LANES));
        });
    });
}

// sums[place][channel] of a panel grow by the weight gradient.
template <int V, int K>
[[gnu::noinline]] void depthwise_gradient_panel(const Stage &s, const float *x, const float *delta, float *sums) {
    for (int64_t i = 0; i < K; ++i, sums += K * V * LANES) {
        Vec sum[K][V] = {};
        for (int64_t y = 0; y < s.out_height(); ++y)
            for (int64_t column = 0, p = s.row(y); column < s.out_width(); ++column, p += s.stride) {
                const float *from = x + (p - i * s.columns()) * (V * LANES);
#pragma GCC unroll 8
                for (int j = 0; j < K; ++j)
#pragma GCC unroll 8
                    for (int v = 0; v < V; ++v)
                        sum[j][v] = multiply_add(load(from + (v - j * V) * LANES), load(delta + (p * V + v) * LANES), sum[j][v]);
            }
        for (int j = 0; j < K; ++j)
            for (int v = 0; v < V; ++v) {
                float *one = sums + (j * V + v) * LANES;
                store(one, load(one) + sum[j][v]);
            }
    }
}

inline void depthwise_gradient(const Stage &s, const Floats &spread, const float *delta, float *sums) {
    for_channels(s.channels, [&](auto V, int64_t first, int64_t) {
        const float *x = &spread[first * s.apart() + s.lead() * (V * LANES)];
        with_kernel(s.kernel, [&](auto K) {
            depthwise_gradient_panel<V, K>(s, x, delta + first * s.positions(), sums + first * s.places());
        });
    });
}

}  // namespace
}  // namespace fedspike
