// Leaky integrate-and-fire neurons, all time steps in one pass, forward and backward; the equations of neurons.py.
#pragma once
#include <vector>

#include "kernels.hpp"

namespace fedspike {
namespace {

// One sample. Whether a neuron fired is read off the membrane again: before > threshold.
template <bool ZERO_RESET>
void scan(const Shape &s, const float *__restrict currents, float beta, float threshold,
                const float *rest, float *membrane, uint64_t *__restrict fired, uint64_t *__restrict trains) {
    const int64_t n = s.neurons;
    for (int64_t word = 0; word < s.words(); ++word) {
        std::fill(fired, fired + n, 0);
        for (int64_t bit = 0; bit < s.steps_in(word); ++bit) {
            const int64_t t = 64 * word + bit;
            const float *__restrict in = currents + t * n;
            const float *__restrict before = t ? membrane + (t - 1) * n : rest;
            float *__restrict now = membrane + t * n;
            const uint64_t here = 1ull << bit;
            for (int64_t i = 0; i < n; ++i) {
                const bool reset = before[i] > threshold;
                const float u = ZERO_RESET ? beta * (reset ? 0.0f : before[i]) + in[i]
                                           : beta * before[i] + in[i] - (reset ? threshold : 0.0f);
                now[i] = u;
                fired[i] |= u > threshold ? here : 0;
            }
        }
        for (int64_t i = 0; i < n; ++i) trains[i * s.words() + word] = fired[i];
    }
}

// What a thread needs beside a sample's own arrays.
struct LifScratch {
    std::vector<uint64_t> fired;
    std::vector<float> zeros;
    explicit LifScratch(int64_t neurons) : fired(neurons), zeros(neurons, 0.0f) {}
};

inline void lif_sample(const Shape &s, Neuron neuron, const float *currents, LifScratch &scratch, float *membrane,
                       uint64_t *trains) {
    (neuron.zero_reset ? scan<true> : scan<false>)(s, currents, neuron.beta, neuron.threshold, scratch.zeros.data(),
                                                   membrane, scratch.fired.data(), trains);
}

void lif(Shape s, Neuron neuron, const float *currents, float *membrane, uint64_t *trains) {
#pragma omp parallel
    {
        LifScratch scratch(s.neurons);
#pragma omp for schedule(dynamic, 8)
        for (int64_t item = 0; item < s.clients * s.samples; ++item) {
            const int64_t at = item * s.steps * s.neurons;
            lif_sample(s, neuron, currents + at, scratch, membrane + at, trains + item * s.neurons * s.words());
        }
    }
}

template <bool ZERO_RESET>
void scan_back(const Shape &s, const float *membrane, const float *into_spikes, float beta,
                        float threshold, const float *end, float *gradient) {
    const int64_t n = s.neurons;
    constexpr float pi = 3.14159265358979323846f;
    for (int64_t t = s.steps - 1; t >= 0; --t) {
        const float *__restrict now = membrane + t * n;
        const float *__restrict in = into_spikes + t * n;
        const float *__restrict later = t == s.steps - 1 ? end : gradient + (t + 1) * n;
        float *__restrict here = gradient + t * n;
        for (int64_t i = 0; i < n; ++i) {
            const float x = pi * (now[i] - threshold);
            const float decay = ZERO_RESET && now[i] > threshold ? 0.0f : beta;
            here[i] = in[i] / (1.0f + x * x) + decay * later[i];
        }
    }
}

inline void lif_adjoint_sample(const Shape &s, Neuron neuron, const float *membrane, const float *into_spikes,
                               const LifScratch &scratch, float *gradient) {
    (neuron.zero_reset ? scan_back<true> : scan_back<false>)(s, membrane, into_spikes, neuron.beta,
                                                             neuron.threshold, scratch.zeros.data(), gradient);
}

void lif_adjoint(Shape s, Neuron neuron, const float *membrane, const float *into_spikes, float *gradient) {
    const LifScratch scratch(s.neurons);
#pragma omp parallel for schedule(dynamic, 8)
    for (int64_t item = 0; item < s.clients * s.samples; ++item) {
        const int64_t at = item * s.steps * s.neurons;
        lif_adjoint_sample(s, neuron, membrane + at, into_spikes + at, scratch, gradient + at);
    }
}

}  // namespace
}  // namespace fedspike
