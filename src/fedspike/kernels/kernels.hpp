// Event-driven kernels on packed spikes, for one instruction set; compiled once for each (module.cpp chooses).
//
// Spikes are bits:  trains[client][sample][neuron][word], bit t % 64 of word t / 64: the neuron fires at step t.
// Where a neuron fires in more than half of a word's steps, its silences are the events (see linear.hpp).
// All sums run in a fixed order that neither the number of threads nor the way the work is cut can change.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

namespace fedspike {

constexpr int64_t LEVELS = 65536;  // that a pixel has in a table, see lookup.hpp

struct Shape {
    int64_t clients, samples, steps, neurons;
    int64_t words() const { return (steps + 63) / 64; }
    int64_t steps_in(int64_t word) const { return std::min<int64_t>(64, steps - 64 * word); }
    uint64_t all_steps(int64_t word) const { return ~0ull >> (64 - steps_in(word)); }
};

// Leaky integrate-and-fire, as neurons.LIF; zero_reset chooses "zero", else "subtract".
struct Neuron {
    float beta, threshold;
    bool zero_reset;
};

// Layers of all clients; no gradients are written where there is nothing to learn.
struct Layer {
    int64_t outputs;
    Neuron neuron;
    const float *weight, *bias;
    float *into_weight, *into_bias;
};
using Layers = std::vector<Layer>;

// Arrays are [client][sample][step][neuron] or [client][output][input]; "in" and "out" name a layer's two sides.
struct Kernels {
    // Rate code, as encoding.RateCode.
    void (*rate)(Shape, const float *pixels, const uint64_t key[2], uint64_t round, const int64_t *clients,
                 const int64_t *first_samples, uint64_t *trains);
    // The codes without randomness, as encoding.table: table[level][word] has the train of every level of a pixel.
    void (*lookup)(Shape, const float *pixels, const uint64_t *table, uint64_t *trains);
    // currents[step][o] = bias[o] + sum over i that fire of weight[o][i]
    void (*linear)(Shape in, int64_t outputs, const uint64_t *trains, const float *weight, const float *bias,
                   float *currents);
    // weight gradient[o][i] = sum over samples and steps at which i fires of delta[step][o]
    // bias gradient[o] = sum over all samples and steps
    void (*linear_gradient)(Shape in, int64_t outputs, const uint64_t *trains, const float *delta, float *weight,
                            float *bias);
    // dL/dspikes[step][i] = sum over o of delta[step][o] weight[o][i]
    void (*linear_through)(Shape in, int64_t outputs, const float *weight, const float *delta, float *into_inputs);
    // The recurrence of neurons.py through all steps, from rest.
    void (*lif)(Shape, Neuron, const float *currents, float *membrane, uint64_t *trains);
    // Its adjoint: dL/dI from dL/dS.
    void (*lif_adjoint)(Shape, Neuron, const float *membrane, const float *into_spikes, float *gradient);
    // All layers of a network. scores[sample][class]: output spikes; events[layer][sample]: spikes that entered it.
    // With targets, dL/dscore = slope[sample] (score - target), the gradients too.
    void (*network)(Shape in, const Layers &, const uint64_t *trains, const float *targets, const float *slopes,
                    float *scores, int64_t *events);
};

}  // namespace fedspike
