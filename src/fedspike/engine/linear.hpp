// The linear layer on spikes and its gradients: additions only, and only for events.
//
// A spike of input i adds a row w[i] of weights to its step. An input that fires in more than half of a word's steps
// is cheaper to reckon the other way round: its row goes into a base that all steps share, and is taken off again
// where it is silent. So an input costs min(spikes, silences) additions. The weight gradient has the same events:
// a spike at step t adds delta[t] to the gradient of its input, or a silence takes it off the sum over all steps.
#pragma once

#include "kernels.hpp"
#include "vectors.hpp"

namespace fedspike {
namespace {

inline bool mostly_firing(uint64_t train, int64_t steps) { return 2 * __builtin_popcountll(train) > steps; }

// Sums of 64 steps, for 64 active inputs at a time: their rows are brought together, signed, where they stay in the
// cache while every step adds up those that it has an event of.
template <int V>
struct Sums {
    alignas(64) float of_step[64][V * LANES];
    alignas(64) float rows[64][V * LANES];
    uint64_t events[64];
    int64_t filled = 0;

    void add_rows(int64_t steps) {
        std::fill(events + filled, events + 64, 0);
        transpose(events);  // from a word per input to a word per step
        for (int64_t t = 0; t < steps; ++t) {
            if (!events[t]) continue;
            Vec sum[V];
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v) sum[v] = load(&of_step[t][v * LANES]);
            for (uint64_t bits = events[t]; bits; bits &= bits - 1) {
                const float *row = rows[__builtin_ctzll(bits)];
#pragma GCC unroll 8
                for (int v = 0; v < V; ++v) sum[v] += load(row + v * LANES);
            }
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v) store(&of_step[t][v * LANES], sum[v]);
        }
        filled = 0;
    }
};

// What a spike counts for at the steps of a word, where nobody says otherwise.
constexpr struct Ones {
    float steps[64];
    constexpr Ones() : steps() {
        for (float &one : steps) one = 1;
    }
} ONES;

inline const float *weights_in(int64_t word, const float *step_weights) {
    return step_weights ? step_weights + 64 * word : ONES.steps;
}

// One sample, the steps of one word, V vectors of outputs. Rows are padded. What is added to, the bias or currents,
// has rows `stride` numbers apart.
template <int V>
[[gnu::noinline]] void linear_panel(const Shape &s, int64_t word, const uint64_t *trains, const float *step_weights,
                                    const float *weight, const float *start, int64_t stride, float *currents,
                                    int64_t width) {
    const int64_t steps = s.steps_in(word);
    Sums<V> sums;
    std::memset(sums.of_step, 0, steps * sizeof sums.of_step[0]);
    Vec base[V] = {};
    for (int64_t i = 0; i < s.neurons; ++i) {
        const uint64_t train = trains[i * s.words() + word];
        if (!train) continue;
        const float *from = weight + i * width;
        float *into = sums.rows[sums.filled];
        if (mostly_firing(train, steps)) {
            sums.events[sums.filled++] = train ^ s.all_steps(word);
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v) {
                base[v] += load(from + v * LANES);
                store(into + v * LANES, -load(from + v * LANES));
            }
        } else {
            sums.events[sums.filled++] = train;
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v) store(into + v * LANES, load(from + v * LANES));
        }
        if (sums.filled == 64) sums.add_rows(steps);
    }
    if (sums.filled) sums.add_rows(steps);
    for (int64_t t = 0; t < steps; ++t)
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v)
            store(currents + t * width + v * LANES,
                  step_weights[t] * (load(&sums.of_step[t][v * LANES]) + base[v]) + load(start + t * stride + v * LANES));
}

// One client's weight transposed and its bias, both padded to whole vectors.
struct Columns {
    int64_t inputs, outputs, width;
    Floats weight, bias;

    Columns(int64_t inputs, int64_t outputs)
        : inputs(inputs), outputs(outputs), width(whole_vectors(outputs)), weight(inputs * width), bias(width) {}

    void fill(const float *weights, const float *biases) {
        transpose(outputs, inputs, weights, inputs, weight.data(), width);
        std::memcpy(bias.data(), biases, outputs * sizeof(float));
    }

    void store(float *weights, float *biases) const {
        transpose(inputs, outputs, weight.data(), width, weights, inputs);
        std::memcpy(biases, bias.data(), outputs * sizeof(float));
    }

    // currents[step][output] of one sample, in padded rows; or `more` of them, without the bias.
    void currents(const Shape &in, const uint64_t *trains, const float *step_weights, bool more, float *currents) const {
        for (int64_t word = 0; word < in.words(); ++word)
            for_panels(outputs, [&](auto V, int64_t offset, int64_t) {
                float *to = currents + 64 * word * width + offset;
                linear_panel<V>(in, word, trains, weights_in(word, step_weights), &weight[offset],
                                more ? to : &bias[offset], more ? width : 0, to, width);
            });
    }
};

// One sample, the steps of one word, V vectors of outputs, inputs first to last - 1; rows are padded.
template <int V>
[[gnu::noinline]] void gradient_panel(const Shape &s, int64_t word, const uint64_t *trains, const float *step_weights,
                    const float *delta, int64_t first, int64_t last, float *weight, float *bias, int64_t width) {
    const int64_t steps = s.steps_in(word);
    // Side by side, so that they have the first-level cache to themselves.
    alignas(64) float deltas[64][V * LANES], all[V * LANES] = {}, into_bias[V * LANES] = {};
    for (int64_t t = 0; t < steps; ++t)
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) {
            const Vec plain = load(delta + t * width + v * LANES), here = step_weights[t] * plain;
            store(&deltas[t][v * LANES], here);
            store(all + v * LANES, load(all + v * LANES) + here);
            store(into_bias + v * LANES, load(into_bias + v * LANES) + plain);
        }
    for (int v = 0; bias && v < V; ++v) store(bias + v * LANES, load(bias + v * LANES) + load(into_bias + v * LANES));
    for (int64_t i = first; i < last; ++i) {
        const uint64_t train = trains[i * s.words() + word];
        if (!train) continue;
        Vec sum[V];
        if (mostly_firing(train, steps)) {
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v) sum[v] = load(all + v * LANES);
            for (uint64_t bits = train ^ s.all_steps(word); bits; bits &= bits - 1)
#pragma GCC unroll 8
                for (int v = 0; v < V; ++v) sum[v] -= load(&deltas[__builtin_ctzll(bits)][v * LANES]);
        } else {
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v) sum[v] = Vec{};
            for (uint64_t bits = train; bits; bits &= bits - 1)
#pragma GCC unroll 8
                for (int v = 0; v < V; ++v) sum[v] += load(&deltas[__builtin_ctzll(bits)][v * LANES]);
        }
        float *into = weight + i * width;
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) store(into + v * LANES, load(into + v * LANES) + sum[v]);
    }
}

// What the rows and columns of a product may have in registers at a time; the order of its sums does not depend on it.
#if defined(__AVX512F__)
constexpr int PRODUCT_ROWS = 5, PRODUCT_VECTORS = 4;
#else
constexpr int PRODUCT_ROWS = 2, PRODUCT_VECTORS = 2;
#endif

// sums[r][i] = the sum over o of factors[r][o] rows[o][i], or `MORE` is added, for R rows of factors, `apart` numbers from
// each other, and V vectors of i; rows and sums are `width` numbers apart.
template <int V, int R, bool MORE>
[[gnu::noinline]] void product_tile(int64_t count, const float *factors, int64_t apart, const float *rows, float *sums,
                                    int64_t width) {
    Vec sum[R][V] = {};
#pragma GCC unroll 16
    for (int r = 0; MORE && r < R; ++r)
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) sum[r][v] = load(sums + r * width + v * LANES);
    for (int64_t o = 0; o < count; ++o) {
        Vec row[V];
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) row[v] = load(rows + o * width + v * LANES);
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v) sum[r][v] = multiply_add(factors[r * apart + o], row[v], sum[r][v]);
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) store(sums + r * width + v * LANES, sum[r][v]);
}

// The rows of one client's weight, padded to whole vectors of inputs.
struct Rows {
    int64_t inputs, outputs, width;
    Floats weight;

    Rows(int64_t inputs, int64_t outputs)
        : inputs(inputs), outputs(outputs), width(whole_vectors(inputs)), weight(outputs * width) {}

    void fill(const float *weights) {
        copy_rows(outputs, inputs, weights, inputs, weight.data(), width);
    }

    void fill(const Columns &columns) {
        transpose(inputs, outputs, columns.weight.data(), columns.width, weight.data(), width);
    }

    // into_inputs[step][input] of one sample, in padded rows
    void through(int64_t steps, const float *delta, float *into_inputs) const {
        const int64_t apart = whole_vectors(outputs);
        for_panels<PRODUCT_VECTORS>(inputs, [&](auto V, int64_t offset, int64_t) {
            for_panels<PRODUCT_ROWS, 1>(steps, [&](auto R, int64_t t, int64_t) {
                product_tile<V, R, false>(outputs, delta + t * apart, apart, &weight[offset],
                                          into_inputs + t * width + offset, width);
            });
        });
    }
};

// The gradients of one client's layer, or of its inputs first to last - 1, while they grow sample by sample.
struct Gradient {
    int64_t inputs, outputs, width;
    Floats weight, bias;

    Gradient(int64_t inputs, int64_t outputs)
        : inputs(inputs), outputs(outputs), width(whole_vectors(outputs)), weight(inputs * width), bias(width) {}

    void clear() {
        std::fill(weight.begin(), weight.end(), 0.0f);
        std::fill(bias.begin(), bias.end(), 0.0f);
    }

    // One sample, delta[step][output] in padded rows; or `more` of its events, without the bias.
    void add(const Shape &in, const uint64_t *trains, const float *delta, const float *step_weights, bool more,
             int64_t first, int64_t last) {
        for (int64_t word = 0; word < in.words(); ++word)
            for_panels(outputs, [&](auto V, int64_t offset, int64_t) {
                gradient_panel<V>(in, word, trains, weights_in(word, step_weights),
                                  delta + 64 * word * width + offset, first, last, &weight[offset],
                                  more ? nullptr : &bias[offset], width);
            });
    }

    void store(float *into_weight, float *into_bias, int64_t first, int64_t last) const {
        transpose(last - first, outputs, &weight[first * width], width, into_weight + first, inputs);
        if (first == 0) std::memcpy(into_bias, bias.data(), outputs * sizeof(float));
    }
};

// Inputs are independent of each other, so cutting them changes no sum. It keeps all threads busy where clients
// cannot be shared out evenly.
inline int64_t cut(int64_t inputs, int64_t number, int64_t cuts) { return inputs * number / cuts; }

}  // namespace
}  // namespace fedspike
