// A layer of LIF neurons behind a linear layer, sample by sample, so that neither currents nor their gradients
// leave the cache. Bit for bit what the two give one after the other.
#pragma once
#include "lif.hpp"
#include "linear.hpp"

namespace fedspike {
namespace {

// `membrane` is what the gradient needs; without it (null) none can be taken.
void layer(Shape in, int64_t outputs, Neuron neuron, const uint64_t *trains, const float *weight, const float *bias,
           float *membrane, uint64_t *fired) {
    const Padded padded(in, outputs, weight, bias);
    const Shape out{in.clients, in.samples, in.steps, outputs};
#pragma omp parallel
    {
        std::vector<float> currents(in.steps * outputs), passing(membrane ? 0 : in.steps * outputs);
        LifScratch scratch(outputs);
#pragma omp for schedule(dynamic, 8)
        for (int64_t item = 0; item < in.clients * in.samples; ++item) {
            linear_sample(in, item / in.samples, outputs, trains + item * in.neurons * in.words(), padded,
                          currents.data());
            lif_sample(out, neuron, currents.data(), scratch,
                       membrane ? membrane + item * in.steps * outputs : passing.data(),
                       fired + item * outputs * out.words());
        }
    }
}

// `into_inputs` is reckoned only if it is asked for (not null).
void layer_gradient(Shape in, int64_t outputs, Neuron neuron, const uint64_t *trains, const float *weight,
                    const float *membrane, const float *into_spikes, float *into_weight, float *into_bias,
                    float *into_inputs) {
    const Shape out{in.clients, in.samples, in.steps, outputs};
    const int64_t size = in.steps * outputs;
    const LifScratch scratch(outputs);
    std::vector<float> deltas(omp_get_max_threads() * size);
    const Rows rows(in, outputs, into_inputs ? weight : nullptr);
    sum_gradients(in, outputs, trains, into_weight, into_bias, [&](int64_t sample, int64_t cut, int64_t cuts) {
        float *delta = &deltas[omp_get_thread_num() * size];
        lif_adjoint_sample(out, neuron, membrane + sample * size, into_spikes + sample * size, scratch, delta);
        if (into_inputs) {
            const int64_t first = in.steps * cut / cuts, last = in.steps * (cut + 1) / cuts;
            through(last - first, outputs, in.neurons, delta + first * outputs, rows.of(sample / in.samples),
                    into_inputs + (sample * in.steps + first) * in.neurons);
        }
        return delta;
    });
}

// Spikes of every sample, over all neurons and steps.
void totals(Shape s, const uint64_t *trains, int64_t *totals) {
    const int64_t words = s.neurons * s.words();
#pragma omp parallel for schedule(dynamic, 8)
    for (int64_t item = 0; item < s.clients * s.samples; ++item) {
        totals[item] = 0;
        for (int64_t w = 0; w < words; ++w) totals[item] += __builtin_popcountll(trains[item * words + w]);
    }
}

}  // namespace
}  // namespace fedspike
