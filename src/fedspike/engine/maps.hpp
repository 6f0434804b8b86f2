// Convolutions of spikes: additions only, and only for events.
//
// The spikes of one channel at one time step are a map of bits. An event at position q adds the kernel's weights to
// the outputs around it, or, for the weight gradient, the outputs' gradients around it to the kernel's. Both walk the
// same way through a grid of outputs: one for every position that a kernel over the image, or over its edge, can have.
// With columns = width + kernel - 1, event q = row * columns + column meets the positions q + i * columns + j of the
// grid, 0 <= i, j < kernel, with the weights of the kernel turned by half a turn. Those that the padding does not
// have, and those between the steps of a stride, hold no outputs: what is added there is never read, and gradients
// there are 0.
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

// into_inputs[position][channel] of R positions in a row, V vectors of input channels: the sum over all outputs that
// they meet, which are dense. `weights` are [place][output][channel].
template <int V, int R>
[[gnu::noinline]] void into_inputs_tile(const Stage &s, const float *grid, int64_t first, const float *weights,
                                        float *into) {
    Vec sum[R][V] = {};
    for (int64_t c = 0; c < s.channels; c += CHANNEL_VECTORS * LANES) {
        const int64_t real = std::min<int64_t>(CHANNEL_VECTORS * LANES, s.channels - c), width = whole_vectors(real);
        for (int64_t place = 0; place < s.places(); ++place) {
            const int64_t position = first + place / s.kernel * s.columns() + place % s.kernel;
            const float *delta = grid + c * s.positions() + position * width;
            const float *w = weights + (place * s.channels + c) * (V * LANES);
            for (int64_t o = 0; o < real; ++o, w += V * LANES) {
                Vec row[V];
#pragma GCC unroll 8
                for (int v = 0; v < V; ++v) row[v] = load(w + v * LANES);
#pragma GCC unroll 16
                for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
                    for (int v = 0; v < V; ++v) sum[r][v] = multiply_add(delta[r * width + o], row[v], sum[r][v]);
            }
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) store(into + (r * V + v) * LANES, sum[r][v]);
}

// The whole image, row by row, in tiles.
template <int V>
inline void into_inputs(const Stage &s, const float *grid, const float *weights, float *into) {
    for (int64_t y = 0; y < s.height; ++y)
        for_panels<TILE_REGISTERS / V, 1>(s.width, [&](auto R, int64_t x, int64_t) {
            into_inputs_tile<V, R>(s, grid, y * s.columns() + x, weights, into + (y * s.width + x) * (V * LANES));
        });
}

}  // namespace
}  // namespace fedspike
