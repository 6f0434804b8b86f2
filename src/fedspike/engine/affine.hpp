// Sums of rows times real factors, of which many are 0: pixels in the dark, neurons below their threshold. What is
// multiplied with those is skipped, which no machine's matrix product does.
#pragma once
#include "linear.hpp"

namespace fedspike {
namespace {

constexpr int64_t TILE = 64;  // rows that stay in the first-level cache while many sums pass by

// sum[output] += sum over the events of factor(event) rows[event][output], V vectors of outputs
template <int V, typename Factor>
inline void add_rows(uint64_t events, const Factor &factor, const float *rows, int64_t width, float *sum) {
    Vec s[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) s[v] = load(sum + v * LANES);
    for (; events; events &= events - 1) {
        const int64_t event = __builtin_ctzll(events);
        const float *row = rows + event * width, x = factor(event);
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) s[v] = multiply_add(x, load(row + v * LANES), s[v]);
    }
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) store(sum + v * LANES, s[v]);
}

// The same for any number of outputs, in rows of whole vectors.
template <typename Factor>
inline void add_rows(uint64_t events, const Factor &factor, const float *rows, int64_t outputs, float *sum) {
    if (!events) return;
    const int64_t width = whole_vectors(outputs);
    for_panels(outputs, [&](auto V, int64_t offset, int64_t) {
        add_rows<V>(events, factor, rows + offset, width, sum + offset);
    });
}

// Rows of values by their addresses; null stands for a sample that is not there.
using Values = std::vector<const float *>;

// out[sample][output] = bias + sum over i of weight[o][i] x[sample][i], in padded rows; returns nothing of absent
// samples. `events[sample]` is how many of the values were not 0.
inline void affine(const Values &x, int64_t count, const Columns &layer, float *out, int64_t *events) {
    for (int64_t b = 0; b < count; ++b) {
        std::copy_n(layer.bias.data(), layer.width, out + b * layer.width);
        events[b] = 0;
    }
    for (int64_t i = 0; i < layer.inputs; i += TILE)
        for (int64_t b = 0; b < count; ++b) {
            if (!x[b]) continue;
            const float *from = x[b] + i;
            const uint64_t bits = nonzero(from, std::min(TILE, layer.inputs - i));
            events[b] += __builtin_popcountll(bits);
            add_rows(bits, [&](int64_t event) { return from[event]; }, &layer.weight[i * layer.width], layer.outputs,
                     out + b * layer.width);
        }
}

// weight gradient[i][o] += sum over at most 64 samples of x[sample][i] delta[sample][o], inputs first to last - 1;
// deltas are in padded rows.
inline void affine_gradient(const Values &x, int64_t count, const float *delta, int64_t first, int64_t last,
                            Gradient &gradient) {
    for (int64_t i = first; i < last; i += TILE) {
        const int64_t inputs = std::min(TILE, last - i);
        uint64_t events[64] = {};
        for (int64_t b = 0; b < count; ++b)
            if (x[b]) events[b] = nonzero(x[b] + i, inputs);
        transpose(events);  // from a word per sample to a word per input
        for (int64_t j = 0; j < inputs; ++j)
            add_rows(events[j], [&](int64_t event) { return x[event][i + j]; }, delta, gradient.outputs,
                     &gradient.weight[(i + j) * gradient.width]);
    }
}

}  // namespace
}  // namespace fedspike
