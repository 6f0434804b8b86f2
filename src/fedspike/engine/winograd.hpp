// The gradient of what enters a convolution of 3 x 3 kernels, in tiles of 2 x 2 inputs: F(2 x 2, 3 x 3) of Winograd's
// minimal filtering, 16 multiplications where 36 stand in the sum (Lavin, Gray, "Fast Algorithms for Convolutional
// Neural Networks", CVPR 2016, section 4.1): inputs = A' [G w G' . B' delta B] A, with
//
//   B' = 1  0 -1  0     G =  1    0    0      A' = 1  1  1  0
//        0  1  1  0         1/2  1/2  1/2          0  1 -1 -1
//        0 -1  1  0         1/2 -1/2  1/2
//        0  1  0 -1          0    0    1
#pragma once
#include "linear.hpp"
#include "maps.hpp"

namespace fedspike {
namespace {

constexpr int64_t TILES = 8;  // side by side, whose products stay in the first-level cache

// Tiles reach over each other at the end of an odd side.
inline bool in_tiles(const Stage &s) {
    return s.kernel == 3 && s.stride == 1 && s.groups == 1 && s.height > 1 && s.width > 1;
}

// B' x and A' x, and the same of weights, G x; of numbers or of vectors.
template <typename T>
inline void deltas_of_tile(const T (&x)[4], T (&to)[4]) {
    to[0] = x[0] - x[2], to[1] = x[1] + x[2], to[2] = x[2] - x[1], to[3] = x[1] - x[3];
}
template <typename T>
inline void inputs_of_tile(const T (&x)[4], T (&to)[2]) {
    to[0] = x[0] + x[1] + x[2], to[1] = x[1] - x[2] - x[3];
}
inline void weights_of_tile(const float (&x)[3], float (&to)[4]) {
    const float ends = 0.5f * (x[0] + x[2]), middle = 0.5f * x[1];
    to[0] = x[0], to[1] = ends + middle, to[2] = ends - middle, to[3] = x[2];
}

// to[row][column] = `one` of all columns, then of all rows of from[N][N].
template <int N, int M, typename T, typename One>
inline void both_ways(const T (&from)[N][N], T (&to)[M][M], const One &one) {
    T half[M][N];
    for (int j = 0; j < N; ++j) {
        T column[N], turned[M];
        for (int i = 0; i < N; ++i) column[i] = from[i][j];
        one(column, turned);
        for (int i = 0; i < M; ++i) half[i][j] = turned[i];
    }
    for (int i = 0; i < M; ++i) one(half[i], to[i]);
}

// From a 3 x 3 kernel to the 16 places of a tile, `apart` numbers from each other.
inline void kernel_in_tile(const float (&kernel)[3][3], float *to, int64_t apart) {
    float places[4][4];
    both_ways(kernel, places, [](const auto &x, auto &y) { weights_of_tile(x, y); });
    for (int place = 0; place < 16; ++place) to[place * apart] = places[place / 4][place % 4];
}

// deltas[place][tile][channel]: one tile of them, V vectors of channels, from where it begins in the grid.
template <int V>
inline void tile_of_deltas(const float *grid, int64_t columns, float *deltas) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) {
        Vec from[4][4], to[4][4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i)
#pragma GCC unroll 4
            for (int j = 0; j < 4; ++j) from[i][j] = load(grid + ((i * columns + j) * V + v) * LANES);
        both_ways(from, to, [](const auto &x, auto &y) { deltas_of_tile(x, y); });
#pragma GCC unroll 16
        for (int place = 0; place < 16; ++place)
            store(deltas + (place * TILES * V + v) * LANES, to[place / 4][place % 4]);
    }
}

// into[position][channel] of at most TILES tiles in a row, V vectors of channels. `weights` are
// [panel of outputs][place of a tile][output][channel].
template <int V>
[[gnu::noinline]] void inputs_in_tiles(const Stage &s, const float *grid, int64_t y, int64_t first, int64_t tiles,
                                       const float *weights, float *into) {
    alignas(64) float deltas[16 * TILES * CHANNEL_VECTORS * LANES], products[16][TILES * V * LANES] = {};
    const auto column = [&](int64_t tile) { return std::min(2 * (first + tile), s.width - 2); };
    for_channels(s.channels, [&](auto OUT, int64_t c, int64_t real) {
        constexpr int64_t width = OUT * LANES;
        for (int64_t tile = 0; tile < tiles; ++tile)
            tile_of_deltas<OUT>(grid + c * s.positions() + (y * s.columns() + column(tile)) * width, s.columns(),
                                deltas + tile * width);
        for (int place = 0; place < 16; ++place, weights += real * V * LANES)
            for_panels<std::min<int>(TILES, TILE_REGISTERS / V), 1>(tiles, [&](auto R, int64_t tile, int64_t) {
                product_tile<V, R, true>(real, deltas + (place * TILES + tile) * width, width, weights,
                                         products[place] + tile * V * LANES, V * LANES);
            });
    });
    for (int64_t tile = 0; tile < tiles; ++tile)
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) {
            Vec from[4][4], to[2][2];
#pragma GCC unroll 16
            for (int place = 0; place < 16; ++place)
                from[place / 4][place % 4] = load(products[place] + (tile * V + v) * LANES);
            both_ways(from, to, [](const auto &x, auto &out) { inputs_of_tile(x, out); });
            float *at = into + ((y * s.width + column(tile)) * V + v) * LANES;
            for (int i = 0; i < 2; ++i)
                for (int j = 0; j < 2; ++j) store(at + (i * s.width + j) * V * LANES, to[i][j]);
        }
}

// The whole image, as into_inputs of maps.hpp.
template <int V>
inline void into_inputs_in_tiles(const Stage &s, const float *grid, const float *weights, float *into) {
    const int64_t tiles = (s.width + 1) / 2;
    for (int64_t y = 0; y < s.height; y += 2)
        for (int64_t first = 0; first < tiles; first += TILES)
            inputs_in_tiles<V>(s, grid, std::min(y, s.height - 2), first, std::min(TILES, tiles - first), weights, into);
}

}  // namespace
}  // namespace fedspike
