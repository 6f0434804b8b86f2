// Event-driven kernels on packed spikes, for one instruction set; compiled once for each (see dispatch.cpp).
//
// Spikes are bits, stored twice:
//   rows    [client][sample][step][word]    bit n % 64 of word n / 64: neuron n fired at this step
//   columns [client][sample][neuron][word]  bit t % 64 of word t / 64: the neuron fired at step t
// The forward pass reads rows, the weight gradient reads columns. All sums run in a fixed order that neither the
// number of threads nor the way the work is cut can change.
#pragma once
#include <cstdint>

namespace fedspike {

struct Shape {
    int64_t clients, samples, steps, neurons;
    int64_t row_words() const { return (neurons + 63) / 64; }
    int64_t column_words() const { return (steps + 63) / 64; }
};

struct Kernels {
    // Rate code, as encoding.RateCode: number t * neurons + i of a sample's address decides on spike (t, i).
    void (*rate)(Shape, const float *pixels, const uint64_t key[2], uint64_t round, const int64_t *clients,
                 const int64_t *first_samples, uint64_t *rows, uint64_t *columns);
    // currents[client][sample][step][o] = bias[o] + sum over spiking i of weight[o][i]
    void (*linear)(Shape, int64_t outputs, const uint64_t *rows, const float *weight, const float *bias,
                   float *currents);
    // gradient[o][i] = sum over samples and steps at which i fired of delta[sample][step][o]
    void (*weight_gradient)(Shape, int64_t outputs, const uint64_t *columns, const float *delta, float *gradient);
    // The LIF recurrence of neurons.py; zero_reset chooses "zero", else "subtract".
    void (*lif)(Shape, const float *currents, float beta, float threshold, bool zero_reset, float *membrane,
                uint64_t *rows, uint64_t *columns);
    // Its adjoint: dL/dI from dL/dS.
    void (*lif_adjoint)(Shape, const float *membrane, const float *into_spikes, float beta, float threshold,
                        bool zero_reset, float *gradient);
};

}  // namespace fedspike
