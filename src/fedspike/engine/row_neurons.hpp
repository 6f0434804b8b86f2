// The neurons behind a convolution: one time step of a row of positions, forward and backward.
#pragma once
#include "neurons.hpp"

namespace fedspike {
namespace {

// A row of positions that are `apart` numbers from each other, V vectors of channels: margins in place of currents.
// `u` and `more` are what a neuron keeps, see Firing, and `before` are the margins of the step before, if there was one.
// Bits of `fired` are channels.
template <int V, Neuron::Kind KIND, Reset RESET>
inline int64_t fire_row(const Neuron &neuron, int64_t count, int64_t apart, const float *before, float *now, float *u,
                        float *more, uint32_t there, int64_t shift, uint64_t *fired, int64_t words) {
    int64_t spikes = 0;
    for (int64_t x = 0; x < count; ++x, fired += words) {
        uint32_t bits = 0;
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) {
            const int64_t at = x * apart + v * LANES;
            Firing<KIND, RESET> firing;
            if (before) {
                firing.u = load(u + at);
                firing.spiked = load(before + at) > 0.0f;
                if (KIND != Neuron::lif) firing.more = load(more + at);
            }
            const Vec margin = firing.step(neuron, load(now + at));
            store(now + at, margin);
            store(u + at, firing.u);
            if (KIND != Neuron::lif) store(more + at, firing.more);
            bits |= above(margin, 0.0f) << (v * LANES);
        }
        bits &= there;
        *fired |= (uint64_t)bits << shift;
        spikes += __builtin_popcount(bits);
    }
    return spikes;
}

// dL/dI of a row of positions in place of that at the step after, from dL/dS[position][channel], side by side.
// `other` is what else comes back to a neuron, see Unfiring; `bias` grows by all of them.
template <int V, Neuron::Kind KIND, Reset RESET, bool ATAN>
[[gnu::noinline]] void unfire_row(const Neuron &neuron, int64_t count, int64_t apart, const float *margins,
                                  const float *into, float *delta, float *other, float *bias) {
    Vec sum[V];
    for (int v = 0; v < V; ++v) sum[v] = load(bias + v * LANES);
    for (int64_t x = 0; x < count; ++x, into += V * LANES)
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) {
            const int64_t at = x * apart + v * LANES;
            Unfiring<KIND, RESET, ATAN> unfiring;
            (KIND == Neuron::current_based ? unfiring.more : unfiring.u) = load(delta + at);
            if (KIND != Neuron::lif) (KIND == Neuron::adaptive ? unfiring.more : unfiring.u) = load(other + at);
            const Vec here = unfiring.step(neuron, load(margins + at), load(into + v * LANES));
            store(delta + at, here);
            if (KIND != Neuron::lif) store(other + at, KIND == Neuron::adaptive ? unfiring.more : unfiring.u);
            sum[v] += here;
        }
    for (int v = 0; v < V; ++v) store(bias + v * LANES, sum[v]);
}

}  // namespace
}  // namespace fedspike
