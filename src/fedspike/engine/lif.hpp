// Leaky integrate-and-fire neurons, all time steps in one pass, forward and backward, by the equations of
// parts/neurons/lif.py.
// Inside, rows of neurons are padded to whole vectors.
#pragma once
#include <vector>

#include "kernels.hpp"
#include "vectors.hpp"

namespace fedspike {
namespace {

// One sample, V vectors of neurons, of which `kept` are real; rows are `width` numbers apart.
template <int V, Reset RESET>
[[gnu::noinline]] void scan_panel(const Shape &s, Neuron neuron, const float *currents, int64_t width, int64_t kept, float *membrane,
                uint64_t *trains) {
    Vec u[V] = {};
    Lanes spikes[V] = {};  // all ones where the neuron fired in the step before
    for (int64_t word = 0; word < s.words(); ++word) {
        alignas(64) uint32_t fired[2][V * LANES];
        for (int64_t half = 0; half < 2; ++half) {
            Lanes bits[V] = {};
            const int64_t first = 64 * word + 32 * half, last = std::min(first + 32, s.steps);
            for (int64_t t = first; t < last; ++t)
#pragma GCC unroll 8
                for (int v = 0; v < V; ++v) {
                    const Vec in = load(currents + t * width + v * LANES);
                    u[v] = neuron.beta * (RESET == Reset::zero ? (spikes[v] ? Vec{} : u[v]) : u[v]) + in;
                    if (RESET == Reset::subtract) u[v] -= spikes[v] ? Vec{} + neuron.threshold : Vec{};
                    store(membrane + t * width + v * LANES, u[v]);
                    spikes[v] = u[v] > neuron.threshold;
                    bits[v] |= spikes[v] & (int32_t)(1u << (t - first));
                }
            std::memcpy(fired[half], bits, sizeof bits);
        }
        for (int64_t i = 0; i < kept; ++i) trains[i * s.words() + word] = fired[0][i] | (uint64_t)fired[1][i] << 32;
    }
}

// Calls run with the reset as a constant for the compiler.
template <typename Run>
inline void with_reset(Reset reset, const Run &run) {
    if (reset == Reset::zero) return run(std::integral_constant<Reset, Reset::zero>{});
    if (reset == Reset::subtract) return run(std::integral_constant<Reset, Reset::subtract>{});
    run(std::integral_constant<Reset, Reset::none>{});
}

// One sample: membrane[step][neuron], padded like the currents, and trains[neuron][word].
inline void scan(const Shape &s, Neuron neuron, const float *currents, float *membrane, uint64_t *trains) {
    const int64_t width = whole_vectors(s.neurons);
    with_reset(neuron.reset, [&](auto RESET) {
        for_panels(s.neurons, [&](auto V, int64_t offset, int64_t kept) {
            scan_panel<V, RESET>(s, neuron, currents + offset, width, kept, membrane + offset,
                                 trains + offset * s.words());
        });
    });
}

// One sample: dL/dI[step][neuron] from dL/dS, in rows of `width`.
template <bool ZERO_RESET>
void scan_back(int64_t steps, int64_t width, Neuron neuron, const float *membrane, const float *into_spikes,
               float *gradient) {
    const float height = neuron.alpha / 2, steepness = 3.14159265358979323846f * height;
    for (int64_t t = steps - 1; t >= 0; --t) {
        const float *__restrict now = membrane + t * width;
        const float *__restrict in = into_spikes + t * width;
        const float *__restrict later = gradient + (t + 1) * width;
        float *__restrict here = gradient + t * width;
        for (int64_t i = 0; i < width; ++i) {
            const float x = steepness * (now[i] - neuron.threshold);
            const float decay = ZERO_RESET && now[i] > neuron.threshold ? 0.0f : neuron.beta;
            const float own = height * in[i] / (1.0f + x * x);
            here[i] = t == steps - 1 ? own : own + decay * later[i];
        }
    }
}

inline void scan_back(int64_t steps, int64_t width, Neuron neuron, const float *membrane, const float *into_spikes,
                      float *gradient) {
    (neuron.reset == Reset::zero ? scan_back<true> : scan_back<false>)(steps, width, neuron, membrane, into_spikes, gradient);
}

void fire_adjoint(Shape s, Neuron neuron, const float *membrane, const float *into_spikes, float *gradient) {
#pragma omp parallel for schedule(dynamic, 8)
    for (int64_t item = 0; item < s.clients * s.samples; ++item) {
        const int64_t at = item * s.steps * s.neurons;
        scan_back(s.steps, s.neurons, neuron, membrane + at, into_spikes + at, gradient + at);
    }
}

}  // namespace
}  // namespace fedspike
