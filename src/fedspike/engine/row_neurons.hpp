// The neurons behind a convolution: one time step of a row of positions, forward and backward.
#pragma once
#include "neurons.hpp"

namespace fedspike {
namespace {

// A row of positions of a grid that are `apart` numbers from each other, at one step, and what is there of the step
// before, null at the first: margins, and what a neuron keeps, see Firing. `constants` are those that neurons have
// learned, in grids of `grid` numbers, or null.
struct NeuronRow {
    int64_t count, apart, grid;
    const float *constants;
    float *now, *u, *more;  // currents, then margins in their place
    const float *before, *u_before, *more_before;
};

template <bool LEARNED>
inline decltype(auto) neurons_at(const Neuron &neuron, const NeuronRow &row, int64_t at) {
    if constexpr (LEARNED)
        return Neurons(neuron, row.constants + at, row.grid);
    else
        return (neuron);
}

// V vectors of channels. Bits of `fired` are channels.
template <int V, Neuron::Kind KIND, Reset RESET, bool LEARNED>
inline int64_t fire_row(const Neuron &neuron, const NeuronRow &row, uint32_t there, int64_t shift, uint64_t *fired,
                        int64_t words) {
    int64_t spikes = 0;
    for (int64_t x = 0; x < row.count; ++x, fired += words) {
        uint32_t bits = 0;
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) {
            const int64_t at = x * row.apart + v * LANES;
            Firing<KIND, RESET> firing;
            if (row.before) {
                firing.u = load(row.u_before + at);
                firing.spiked = load(row.before + at) > 0.0f;
                if (KIND != Neuron::lif) firing.more = load(row.more_before + at);
            }
            const Vec margin = firing.step(neurons_at<LEARNED>(neuron, row, at), load(row.now + at));
            store(row.now + at, margin);
            store(row.u + at, firing.u);
            if (KIND != Neuron::lif) store(row.more + at, firing.more);
            bits |= above(margin, 0.0f) << (v * LANES);
        }
        bits &= there;
        *fired |= (uint64_t)bits << shift;
        spikes += __builtin_popcount(bits);
    }
    return spikes;
}

// dL/d of the constants of one vector of neurons grows.
template <Neuron::Kind KIND, Reset RESET, bool ATAN>
inline void add_slopes(const Unfiring<KIND, RESET, ATAN> &now, const NeuronRow &row, int64_t at, float *into) {
    ConstantSlopes<KIND, RESET> slopes;
    const auto grow = [&](int64_t constant, Vec by) {
        float *one = into + constant * row.grid + at;
        store(one, load(one) + by);
    };
    slopes.threshold -= now.own;
    if (row.before)
        slopes.add(now, load(row.before + at), load(row.u_before + at),
                   KIND == Neuron::lif ? Vec{} : load(row.more_before + at));
    grow(0, slopes.beta);
    grow(1, slopes.threshold);
    if (KIND == Neuron::current_based) grow(2, slopes.alpha);
    if (KIND == Neuron::adaptive) grow(3, slopes.rho);
}

// dL/dI of a row of positions in place of that at the step after, from dL/dS[position][channel], side by side.
// `other` is what else comes back to a neuron, see Unfiring; `bias` grows by all of them, `constants` are dL/d of
// those that neurons have learned, in grids like theirs.
template <int V, Neuron::Kind KIND, Reset RESET, bool ATAN, bool LEARNED>
[[gnu::noinline]] void unfire_row(const Neuron &neuron, const NeuronRow &row, const float *into, float *delta, float *other,
                                  float *bias, float *constants) {
    Vec sum[V];
    for (int v = 0; v < V; ++v) sum[v] = load(bias + v * LANES);
    for (int64_t x = 0; x < row.count; ++x, into += V * LANES)
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) {
            const int64_t at = x * row.apart + v * LANES;
            Unfiring<KIND, RESET, ATAN> unfiring;
            (KIND == Neuron::current_based ? unfiring.more : unfiring.u) = load(delta + at);
            if (KIND != Neuron::lif) (KIND == Neuron::adaptive ? unfiring.more : unfiring.u) = load(other + at);
            const Vec here = unfiring.step(neurons_at<LEARNED>(neuron, row, at), load(row.now + at),
                                           load(into + v * LANES));
            store(delta + at, here);
            if (KIND != Neuron::lif) store(other + at, KIND == Neuron::adaptive ? unfiring.more : unfiring.u);
            if (LEARNED) add_slopes(unfiring, row, at, constants);
            sum[v] += here;
        }
    for (int v = 0; v < V; ++v) store(bias + v * LANES, sum[v]);
}

}  // namespace
}  // namespace fedspike
