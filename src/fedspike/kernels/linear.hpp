// The linear layer on spikes and its gradients: additions only, and only for events.
//
// A spike of input i adds a row w[i] of weights to its step. An input that fires in more than half of a word's steps
// is cheaper to reckon the other way round: its row goes into a base that all steps share, and is taken off again
// where it is silent. So an input costs min(spikes, silences) additions. The weight gradient has the same events:
// a spike at step t adds delta[t] to the gradient of its input, or a silence takes it off the sum over all steps.
#pragma once
#include <vector>

#include "kernels.hpp"
#include "vectors.hpp"

namespace fedspike {
namespace {

constexpr int PANEL = 8;  // vectors of outputs that are summed in registers at a time

inline bool mostly_firing(uint64_t train, int64_t steps) { return 2 * __builtin_popcountll(train) > steps; }

// Sums of 64 steps, for 64 active inputs at a time: their rows are brought together, signed, where they stay in the
// cache while every step adds up those that it has an event of.
template <int V>
struct Sums {
    alignas(64) float of_step[64][V * LANES];
    alignas(64) float rows[64][V * LANES];
    uint64_t events[64];
    Vec base[V];
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

// One sample, the steps of one word, V vectors of outputs. Rows of weight and bias are padded to whole vectors.
template <int V>
void linear_panel(const Shape &s, int64_t word, const uint64_t *trains, const float *weight, int64_t stride,
                  const float *bias, int64_t kept, float *currents, int64_t outputs) {
    const int64_t steps = s.steps_in(word);
    Sums<V> sums;
    std::memset(sums.of_step, 0, steps * sizeof sums.of_step[0]);
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) sums.base[v] = load(bias + v * LANES);
    for (int64_t i = 0; i < s.neurons; ++i) {
        const uint64_t train = trains[i * s.words() + word];
        if (!train) continue;
        const float *from = weight + i * stride;
        float *into = sums.rows[sums.filled];
        if (mostly_firing(train, steps)) {
            sums.events[sums.filled++] = train ^ s.all_steps(word);
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v) {
                sums.base[v] += load(from + v * LANES);
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
    for (int64_t t = 0; t < steps; ++t) {
        float *sum = sums.of_step[t];
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) store(sum + v * LANES, load(sum + v * LANES) + sums.base[v]);
        std::memcpy(currents + t * outputs, sum, kept * sizeof(float));
    }
}

using LinearPanel = void (*)(const Shape &, int64_t, const uint64_t *, const float *, int64_t, const float *,
                             int64_t, float *, int64_t);
constexpr LinearPanel LINEAR_PANELS[PANEL] = {linear_panel<1>, linear_panel<2>, linear_panel<3>, linear_panel<4>,
                                              linear_panel<5>, linear_panel<6>, linear_panel<7>, linear_panel<8>};

inline int64_t whole_vectors(int64_t outputs) { return (outputs + LANES - 1) / LANES * LANES; }

// Every client's weight transposed and its bias, both padded to whole vectors.
struct Padded {
    int64_t width;
    std::vector<float> weight, bias;

    Padded(const Shape &s, int64_t outputs, const float *weights, const float *biases)
        : width(whole_vectors(outputs)), weight(s.clients * s.neurons * width, 0.0f), bias(s.clients * width, 0.0f) {
#pragma omp parallel for schedule(static)
        for (int64_t k = 0; k < s.clients; ++k) {
            transpose(outputs, s.neurons, weights + k * outputs * s.neurons, s.neurons,
                      &weight[k * s.neurons * width], width);
            std::memcpy(&bias[k * width], biases + k * outputs, outputs * sizeof(float));
        }
    }
};

// One sample of client k.
inline void linear_sample(const Shape &s, int64_t k, int64_t outputs, const uint64_t *trains, const Padded &layer,
                          float *currents) {
    const float *weight = &layer.weight[k * s.neurons * layer.width], *bias = &layer.bias[k * layer.width];
    for (int64_t word = 0; word < s.words(); ++word)
        for (int64_t offset = 0; offset < layer.width; offset += PANEL * LANES) {
            const int64_t vectors = std::min<int64_t>(PANEL, (layer.width - offset) / LANES);
            LINEAR_PANELS[vectors - 1](s, word, trains, weight + offset, layer.width, bias + offset,
                                       std::min(vectors * LANES, outputs - offset),
                                       currents + 64 * word * outputs + offset, outputs);
        }
}

void linear(Shape s, int64_t outputs, const uint64_t *trains, const float *weight, const float *bias,
            float *currents) {
    const Padded layer(s, outputs, weight, bias);
#pragma omp parallel for schedule(dynamic, 8)
    for (int64_t item = 0; item < s.clients * s.samples; ++item)
        linear_sample(s, item / s.samples, outputs, trains + item * s.neurons * s.words(), layer,
                      currents + item * s.steps * outputs);
}

// One sample, the steps of one word, V vectors of outputs, inputs first to last - 1.
template <int V>
void gradient_panel(const Shape &s, int64_t word, const uint64_t *trains, const float *delta, int64_t outputs,
                    int64_t kept, int64_t first, int64_t last, float *weight, int64_t stride, float *bias) {
    const int64_t steps = s.steps_in(word);
    alignas(64) float deltas[64][V * LANES], all[V * LANES] = {};
    for (int64_t t = 0; t < steps; ++t) {
        std::memset(deltas[t], 0, sizeof deltas[t]);
        std::memcpy(deltas[t], delta + t * outputs, kept * sizeof(float));
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) store(all + v * LANES, load(all + v * LANES) + load(&deltas[t][v * LANES]));
    }
    for (int v = 0; v < V; ++v) store(bias + v * LANES, load(bias + v * LANES) + load(all + v * LANES));
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
        float *into = weight + i * stride;
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) store(into + v * LANES, load(into + v * LANES) + sum[v]);
    }
}

using GradientPanel = void (*)(const Shape &, int64_t, const uint64_t *, const float *, int64_t, int64_t, int64_t,
                               int64_t, float *, int64_t, float *);
constexpr GradientPanel GRADIENT_PANELS[PANEL] = {
    gradient_panel<1>, gradient_panel<2>, gradient_panel<3>, gradient_panel<4>,
    gradient_panel<5>, gradient_panel<6>, gradient_panel<7>, gradient_panel<8>};

// into_inputs[step][i] = sum over o of delta[step][o] weight[o][i], for V vectors of inputs.
template <int V>
void through_panel(int64_t steps, int64_t outputs, const float *delta, const float *weight, int64_t stride,
                   int64_t kept, float *into_inputs, int64_t inputs) {
    for (int64_t t = 0; t < steps; ++t) {
        Vec sum[V] = {};
        for (int64_t o = 0; o < outputs; ++o)
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v) sum[v] += delta[t * outputs + o] * load(weight + o * stride + v * LANES);
        std::memcpy(into_inputs + t * inputs, sum, kept * sizeof(float));
    }
}

using ThroughPanel = void (*)(int64_t, int64_t, const float *, const float *, int64_t, int64_t, float *, int64_t);
constexpr ThroughPanel THROUGH_PANELS[PANEL] = {through_panel<1>, through_panel<2>, through_panel<3>,
                                                through_panel<4>, through_panel<5>, through_panel<6>,
                                                through_panel<7>, through_panel<8>};

// The rows of every client's weight, padded to whole vectors of inputs.
struct Rows {
    int64_t outputs, width;
    std::vector<float> padded;

    Rows(const Shape &s, int64_t outputs, const float *weight) : outputs(outputs), width(whole_vectors(s.neurons)) {
        if (!weight) return;
        padded.resize(s.clients * outputs * width, 0.0f);
        for (int64_t row = 0; row < s.clients * outputs; ++row)
            std::memcpy(&padded[row * width], weight + row * s.neurons, s.neurons * sizeof(float));
    }
    const float *of(int64_t k) const { return &padded[k * outputs * width]; }
};

// The same for all inputs; rows of weight are padded to whole vectors.
inline void through(int64_t steps, int64_t outputs, int64_t inputs, const float *delta, const float *weight,
                    float *into_inputs) {
    const int64_t width = whole_vectors(inputs);
    for (int64_t offset = 0; offset < width; offset += PANEL * LANES) {
        const int64_t vectors = std::min<int64_t>(PANEL, (width - offset) / LANES);
        THROUGH_PANELS[vectors - 1](steps, outputs, delta, weight + offset, width,
                                    std::min(vectors * LANES, inputs - offset), into_inputs + offset, inputs);
    }
}

// Inputs are independent of each other, so cutting them changes no sum. It keeps all threads busy where clients
// cannot be shared out evenly.
inline int64_t cuts_of(const Shape &s) { return s.clients % omp_get_max_threads() ? omp_get_max_threads() : 1; }

// The gradients of all clients; delta_of(sample, cut, cuts) points to a sample's deltas [step][output].
template <typename DeltaOf>
void sum_gradients(const Shape &s, int64_t outputs, const uint64_t *trains, float *weight, float *bias,
                   const DeltaOf &delta_of) {
    const int64_t width = whole_vectors(outputs), cuts = cuts_of(s);
#pragma omp parallel
    {
        std::vector<float> padded(s.neurons * width), padded_bias(width);
#pragma omp for schedule(dynamic)
        for (int64_t item = 0; item < s.clients * cuts; ++item) {
            const int64_t k = item / cuts, cut = item % cuts;
            const int64_t first = s.neurons * cut / cuts, last = s.neurons * (cut + 1) / cuts;
            std::fill(padded.begin(), padded.end(), 0.0f);
            std::fill(padded_bias.begin(), padded_bias.end(), 0.0f);
            for (int64_t sample = k * s.samples; sample < (k + 1) * s.samples; ++sample) {
                const float *delta = delta_of(sample, cut, cuts);
                for (int64_t word = 0; word < s.words(); ++word)
                    for (int64_t offset = 0; offset < width; offset += PANEL * LANES) {
                        const int64_t vectors = std::min<int64_t>(PANEL, (width - offset) / LANES);
                        GRADIENT_PANELS[vectors - 1](s, word, trains + sample * s.neurons * s.words(),
                                                     delta + 64 * word * outputs + offset, outputs,
                                                     std::min(vectors * LANES, outputs - offset), first, last,
                                                     &padded[offset], width, &padded_bias[offset]);
                    }
            }
            transpose(last - first, outputs, &padded[first * width], width, weight + k * outputs * s.neurons + first,
                      s.neurons);
            if (cut == 0) std::memcpy(bias + k * outputs, padded_bias.data(), outputs * sizeof(float));
        }
    }
}

void linear_gradient(Shape s, int64_t outputs, const uint64_t *trains, const float *delta, float *weight,
                     float *bias) {
    sum_gradients(s, outputs, trains, weight, bias,
                  [&](int64_t sample, int64_t, int64_t) { return delta + sample * s.steps * outputs; });
}

}  // namespace
}  // namespace fedspike
