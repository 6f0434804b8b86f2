// Convolutions of spikes: additions only, and only for events.
//
// The spikes of one channel at one time step are a map of bits. An event at position q adds the kernel's weights to
// the outputs around it, or, for the weight gradient, the outputs' gradients around it to the kernel's. Both walk the
// same way through a grid of outputs: one for every position that a kernel over the image, or over its edge, can have.
// With columns = width + kernel - 1, event q = row * columns + column meets the positions q + i * columns + j of the
// grid, 0 <= i, j < kernel, with the weights of the kernel turned by half a turn. Those that the padding does not
// have, and those between the steps of a stride, hold no outputs: what is added there is never read, and gradients
// there are 0. With a stride, positions come in phases: all events of one meet outputs with the same places of a kernel.
//
// A window of spikes has a count of 0 to size^2 events. Its binary digits are planes of bits: plane n counts 2^n.
#pragma once
#include "kernels.hpp"
#include "vectors.hpp"

namespace fedspike {
namespace {

// Vectors of output channels that are in registers at a time, with all places of a kernel or with one row of them.
constexpr int CHANNEL_VECTORS = 2;
#if defined(__AVX512F__)
constexpr int REGISTERS = 18, TILE_REGISTERS = 16;
#else
constexpr int REGISTERS = 6, TILE_REGISTERS = 4;
#endif

// Numbers of a stage's grid of outputs.
inline int64_t grid_of(const Stage &s) { return whole_vectors(s.channels) * s.positions(); }

// Of channels from `first` on that lie in groups of `own` on this side of a convolution, the first one and the one
// behind the last that they meet on the other side, where groups have `other`.
inline std::pair<int64_t, int64_t> met_by(int64_t first, int64_t channels, int64_t own, int64_t other) {
    return {first / own * other, ((first + channels - 1) / own + 1) * other};
}

// Calls panel(V, channel, real) for one panel of V vectors of channels after the other, of which so many are real.
template <typename Panel>
inline void for_channels(int64_t channels, const Panel &panel) {
    for_panels<CHANNEL_VECTORS>(channels, panel);
}

// Calls run with the kernel's size as a constant for the compiler.
template <typename Run>
inline void with_kernel(int64_t kernel, const Run &run) {
    for_panels<LARGEST, 1>(kernel, [&](auto K, int64_t, int64_t) { run(K); });
}

// Rows of a kernel whose places are in registers at a time; the order of the sums does not depend on it.
template <int V, int K>
constexpr int ROWS = V *K *K <= REGISTERS ? K : 1;

// Calls at(q) for the positions of a channel's events, first to last.
template <typename At>
inline void for_events(const uint64_t *events, int64_t words, const At &at) {
    for (int64_t word = 0; word < words; ++word)
        for (uint64_t bits = events[word]; bits; bits &= bits - 1) at(64 * word + __builtin_ctzll(bits));
}

// Positions of a map whose events meet outputs with the same places of a kernel: those of every `stride`-th row and
// column, from `row` and `column` of the kernel on.
struct Phase {
    int64_t row, column;
    std::vector<uint64_t> positions;  // a map of them
};

template <typename At>
inline void for_events(const uint64_t *events, const Phase &phase, const At &at) {
    for (size_t word = 0; word < phase.positions.size(); ++word)
        for (uint64_t bits = events[word] & phase.positions[word]; bits; bits &= bits - 1)
            at(64 * (int64_t)word + __builtin_ctzll(bits));
}

// grid += what the events of one channel add, by scale * weights[place][channel]; of events with `values`, times those.
template <int V, int K, bool VALUED>
[[gnu::noinline]] void scatter(const uint64_t *events, int64_t words, const float *values, const float *weights,
                               float scale, float *grid, int64_t columns) {
    constexpr int R = ROWS<V, K>;
    for (int first = K - R; first >= 0; first -= R) {
        Vec w[R][K][V];
#pragma GCC unroll 8
        for (int i = 0; i < R; ++i)
#pragma GCC unroll 8
            for (int j = 0; j < K; ++j)
#pragma GCC unroll 8
                for (int v = 0; v < V; ++v) w[i][j][v] = scale * load(weights + (((first + i) * K + j) * V + v) * LANES);
        for_events(events, words, [&](int64_t q) {
            float *at = grid + (q + first * columns) * (V * LANES);
#pragma GCC unroll 8
            for (int i = 0; i < R; ++i, at += columns * (V * LANES))
#pragma GCC unroll 8
                for (int j = 0; j < K; ++j)
#pragma GCC unroll 8
                    for (int v = 0; v < V; ++v) {
                        float *one = at + (j * V + v) * LANES;
                        store(one, VALUED ? multiply_add(values[q], w[i][j][v], load(one)) : load(one) + w[i][j][v]);
                    }
        });
    }
}

// sums[place][channel] += scale * the grid around the events of one channel; times their values if they have any.
template <int V, int K, bool VALUED>
[[gnu::noinline]] void gather(const uint64_t *events, int64_t words, const float *values, const float *grid,
                              int64_t columns, float scale, float *sums) {
    constexpr int R = ROWS<V, K>;
    for (int first = K - R; first >= 0; first -= R) {
        Vec s[R][K][V] = {};
        for_events(events, words, [&](int64_t q) {
            const float *at = grid + (q + first * columns) * (V * LANES);
#pragma GCC unroll 8
            for (int i = 0; i < R; ++i, at += columns * (V * LANES))
#pragma GCC unroll 8
                for (int j = 0; j < K; ++j)
#pragma GCC unroll 8
                    for (int v = 0; v < V; ++v) {
                        const Vec one = load(at + (j * V + v) * LANES);
                        s[i][j][v] = VALUED ? multiply_add(values[q], one, s[i][j][v]) : s[i][j][v] + one;
                    }
        });
#pragma GCC unroll 8
        for (int i = 0; i < R; ++i)
#pragma GCC unroll 8
            for (int j = 0; j < K; ++j)
#pragma GCC unroll 8
                for (int v = 0; v < V; ++v) {
                    float *one = sums + (((first + i) * K + j) * V + v) * LANES;
                    store(one, load(one) + scale * s[i][j][v]);
                }
    }
}

// The same of one row of a kernel with a stride: N places that are `step` apart, and the events of one phase.
template <int V, int N, bool VALUED>
[[gnu::noinline]] void scatter_row(const uint64_t *events, const Phase &phase, const float *values, const float *weights,
                                   float scale, float *grid, int64_t step) {
    Vec w[N][V];
    for (int n = 0; n < N; ++n)
        for (int v = 0; v < V; ++v) w[n][v] = scale * load(weights + (n * step * V + v) * LANES);
    for_events(events, phase, [&](int64_t q) {
#pragma GCC unroll 8
        for (int n = 0; n < N; ++n)
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v) {
                float *one = grid + ((q + n * step) * V + v) * LANES;
                store(one, VALUED ? multiply_add(values[q], w[n][v], load(one)) : load(one) + w[n][v]);
            }
    });
}
template <int V, int N, bool VALUED>
[[gnu::noinline]] void gather_row(const uint64_t *events, const Phase &phase, const float *values, const float *grid,
                                  int64_t step, float scale, float *sums) {
    Vec s[N][V] = {};
    for_events(events, phase, [&](int64_t q) {
#pragma GCC unroll 8
        for (int n = 0; n < N; ++n)
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v) {
                const Vec one = load(grid + ((q + n * step) * V + v) * LANES);
                s[n][v] = VALUED ? multiply_add(values[q], one, s[n][v]) : s[n][v] + one;
            }
    });
    for (int n = 0; n < N; ++n)
        for (int v = 0; v < V; ++v) {
            float *one = sums + (n * step * V + v) * LANES;
            store(one, load(one) + scale * s[n][v]);
        }
}

// Calls run(N, place) for the rows of a kernel that meet outputs in a phase: N places, the first one of a row.
template <typename Run>
inline void for_kernel_rows(const Stage &s, const Phase &phase, const Run &run) {
    for (int64_t i = phase.row; i < s.kernel; i += s.stride)
        for_panels<(LARGEST + 1) / 2, 1>((s.kernel - phase.column + s.stride - 1) / s.stride, [&](auto N, int64_t, int64_t) {
            run(N, i * s.kernel + phase.column);
        });
}

// A panel of currents grows by what the events of one channel add, whatever the stride.
template <int V, bool VALUED>
inline void scatter_channel(const Stage &s, const std::vector<Phase> &phases, const uint64_t *events, const float *values,
                            const float *weights, float scale, float *panel) {
    if (phases.empty())
        return with_kernel(s.kernel, [&](auto K) {
            scatter<V, K, VALUED>(events, s.words(), values, weights, scale, panel, s.columns());
        });
    for (const Phase &phase : phases)
        for_kernel_rows(s, phase, [&](auto N, int64_t place) {
            const int64_t at = place / s.kernel * s.columns() + place % s.kernel;
            scatter_row<V, N, VALUED>(events, phase, values, weights + place * (V * LANES), scale, panel + at * (V * LANES),
                                      s.stride);
        });
}
template <int V, bool VALUED>
inline void gather_channel(const Stage &s, const std::vector<Phase> &phases, const uint64_t *events, const float *values,
                           const float *panel, float scale, float *sums) {
    if (phases.empty())
        return with_kernel(s.kernel, [&](auto K) {
            gather<V, K, VALUED>(events, s.words(), values, panel, s.columns(), scale, sums);
        });
    for (const Phase &phase : phases)
        for_kernel_rows(s, phase, [&](auto N, int64_t place) {
            const int64_t at = place / s.kernel * s.columns() + place % s.kernel;
            gather_row<V, N, VALUED>(events, phase, values, panel + at * (V * LANES), s.stride, scale,
                                     sums + place * (V * LANES));
        });
}

// The first place of a kernel along an axis by which a position of it meets outputs.
inline int64_t first_place(const Stage &s, int64_t position) {
    const int64_t ahead = (s.kernel - 1 - s.padding - position) % s.stride;
    return ahead < 0 ? ahead + s.stride : ahead;
}

// Those of a stride; none where each position is like all others.
inline std::vector<Phase> phases_of(const Stage &s) {
    std::vector<Phase> phases;
    for (int64_t top = 0; s.stride > 1 && top < std::min(s.stride, s.height); ++top)
        for (int64_t left = 0; left < std::min(s.stride, s.width); ++left) {
            Phase phase{first_place(s, top), first_place(s, left), std::vector<uint64_t>(s.words())};
            for (int64_t y = top; y < s.height; y += s.stride)
                for (int64_t x = left; x < s.width; x += s.stride) {
                    const int64_t q = y * s.columns() + x;
                    phase.positions[q / 64] |= 1ull << q % 64;
                }
            phases.push_back(std::move(phase));
        }
    return phases;
}

// into_inputs[position][channel] of R positions in a row, a stride apart, and V vectors of input channels: the sum over
// all outputs from channel `from` to `to` that they meet, which are dense. `weights` are [place][output][channel].
template <int V, int R>
[[gnu::noinline]] void into_inputs_tile(const Stage &s, const float *grid, std::pair<int64_t, int64_t> at,
                                        std::pair<int64_t, int64_t> outputs, const float *weights, float *into) {
    constexpr int64_t PANEL_CHANNELS = CHANNEL_VECTORS * LANES;
    const int64_t top = first_place(s, at.first), left = first_place(s, at.second);
    Vec sum[R][V] = {};
    for (int64_t c = outputs.first / PANEL_CHANNELS * PANEL_CHANNELS; c < outputs.second; c += PANEL_CHANNELS) {
        const int64_t real = std::min<int64_t>(PANEL_CHANNELS, s.channels - c), width = whole_vectors(real);
        const int64_t apart = s.stride * width;
        for (int64_t i = top; i < s.kernel; i += s.stride)
            for (int64_t j = left; j < s.kernel; j += s.stride) {
                const int64_t position = (at.first + i) * s.columns() + at.second + j;
                const float *delta = grid + c * s.positions() + position * width;
                const float *w = weights + ((i * s.kernel + j) * s.channels + c) * (V * LANES);
                for (int64_t o = 0; o < real; ++o, w += V * LANES) {
                    Vec row[V];
#pragma GCC unroll 8
                    for (int v = 0; v < V; ++v) row[v] = load(w + v * LANES);
#pragma GCC unroll 16
                    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
                        for (int v = 0; v < V; ++v) sum[r][v] = multiply_add(delta[r * apart + o], row[v], sum[r][v]);
                }
            }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) store(into + (r * s.stride * V + v) * LANES, sum[r][v]);
}

// Calls tile(R, y, x) for R positions of an image in a row, `stride` apart from column x on, until there were all.
template <int MOST, typename Tile>
inline void for_tiles(int64_t height, int64_t width, int64_t stride, const Tile &tile) {
    for (int64_t y = 0; y < height; ++y)
        for (int64_t first = 0; first < stride; ++first)
            for_panels<MOST, 1>((width - first + stride - 1) / stride,
                                [&](auto R, int64_t x, int64_t) { tile(R, y, first + x * stride); });
}

// The whole image in tiles; of V vectors of input channels from `channel` on.
template <int V>
inline void into_inputs(const Stage &s, const float *grid, int64_t channel, const float *weights, float *into) {
    const int64_t real = std::min<int64_t>(V * LANES, s.channels_in - channel);
    const auto outputs = met_by(channel, real, s.group_in(), s.group_out());
    for_tiles<TILE_REGISTERS / V>(s.height, s.width, s.stride, [&](auto R, int64_t y, int64_t x) {
        into_inputs_tile<V, R>(s, grid, {y, x}, outputs, weights, into + (y * s.width + x) * (V * LANES));
    });
}

}  // namespace
}  // namespace fedspike
