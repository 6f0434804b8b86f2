// Leaky integrate-and-fire neurons, all time steps in one pass, forward and backward; the equations of neurons/lif.py.
// Inside, rows of neurons are padded to whole vectors.
#pragma once
#include <vector>

#include "kernels.hpp"
#include "vectors.hpp"

namespace fedspike {
namespace {

// One sample, V vectors of neurons, of which `kept` are real; rows are `width` numbers apart.
template <int V, Reset RESET>
void scan_panel(const Shape &s, Neuron neuron, const float *currents, int64_t width, int64_t kept, float *membrane,
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

using ScanPanel = void (*)(const Shape &, Neuron, const float *, int64_t, int64_t, float *, uint64_t *);
template <Reset RESET>
constexpr ScanPanel SCAN_PANELS[PANEL] = {scan_panel<1, RESET>, scan_panel<2, RESET>, scan_panel<3, RESET>,
                                          scan_panel<4, RESET>, scan_panel<5, RESET>, scan_panel<6, RESET>,
                                          scan_panel<7, RESET>, scan_panel<8, RESET>};

// One sample: membrane[step][neuron], padded like the currents, and trains[neuron][word].
inline void scan(const Shape &s, Neuron neuron, const float *currents, float *membrane, uint64_t *trains) {
    const int64_t width = whole_vectors(s.neurons);
    const ScanPanel *panels = neuron.reset == Reset::zero       ? SCAN_PANELS<Reset::zero>
                              : neuron.reset == Reset::subtract ? SCAN_PANELS<Reset::subtract>
                                                                : SCAN_PANELS<Reset::none>;
    for_panels(s.neurons, [&](int64_t v, int64_t offset, int64_t kept) {
        panels[v](s, neuron, currents + offset, width, kept, membrane + offset, trains + offset * s.words());
    });
}

// One sample: dL/dI[step][neuron] from dL/dS, in rows of `width`.
template <bool ZERO_RESET>
void scan_back(int64_t steps, int64_t width, Neuron neuron, const float *membrane, const float *into_spikes,
               float *gradient) {
    constexpr float pi = 3.14159265358979323846f;
    for (int64_t t = steps - 1; t >= 0; --t) {
        const float *__restrict now = membrane + t * width;
        const float *__restrict in = into_spikes + t * width;
        const float *__restrict later = gradient + (t + 1) * width;
        float *__restrict here = gradient + t * width;
        for (int64_t i = 0; i < width; ++i) {
            const float x = pi * (now[i] - neuron.threshold);
            const float decay = ZERO_RESET && now[i] > neuron.threshold ? 0.0f : neuron.beta;
            const float own = in[i] / (1.0f + x * x);
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
