// Neurons, all time steps in one pass, forward and backward, by the equations of parts/neurons.
//
// What a neuron leaves for the way back is its margin, U - theta: it fires where that is positive.
// Inside, rows of neurons are padded to whole vectors.
#pragma once
#include <cfloat>
#include <vector>

#include "kernels.hpp"
#include "vectors.hpp"

namespace fedspike {
namespace {

// exp(x) of lanes from -87 to 0, by a power of 2 and a polynomial in the rest (Cephes, expf; its 6 coefficients are
// those of S. Moshier). Products and sums only, so that every machine gets the same bits.
inline Vec exponential(Vec x) {
    const Vec rounded = x * 1.44269504088896341f - 0.5f;
    const Lanes power = __builtin_convertvector(rounded, Lanes);  // toward zero: the nearest whole number of a negative
    const Vec n = __builtin_convertvector(power, Vec);
    const Vec r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
    Vec p = Vec{} + 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    return (p * (r * r) + r + 1.0f) * (Vec)((power + 127) << 23);
}

// The surrogate's derivative at a margin, times a gradient; of the arctangent of floats and of vectors.
template <typename T>
inline T sloped_atan(float alpha, T margin, T gradient) {
    const float height = alpha / 2;
    const T x = 3.14159265358979323846f * height * margin;
    return height * gradient / (1.0f + x * x);
}
// ATAN: known to the compiler, as the usual one.
template <bool ATAN, typename N>
inline Vec sloped(const N &n, Vec margin, Vec gradient) {
    const float k = n.steepness;
    if (ATAN || n.slope == Slope::atan) return sloped_atan(k, margin, gradient);
    const Vec size = margin < 0.0f ? -margin : margin;
    if (n.slope == Slope::fast_sigmoid) {
        const Vec x = 1.0f + k * size;
        return gradient / (x * x);
    }
    if (n.slope == Slope::triangular) {
        const Vec x = 1.0f - k * size;
        return (x > 0.0f ? k * x : Vec{}) * gradient;
    }
    const Vec x = k * size, z = exponential(x < 87.0f ? -x : Vec{} - 87.0f), sum = z + 1.0f;
    return z > 4 * FLT_MIN ? k * z / (sum * sum) * gradient : Vec{};  // where parts/surrogates/sigmoid.py ends
}

// A vector of neurons, each with constants of its own.
struct Neurons {
    Slope slope;
    float steepness, adaptation;
    Vec beta, threshold, alpha, rho, raised, drop;

    // From rows of beta, threshold, alpha and rho.
    Neurons(const Neuron &n, const float *constants, int64_t width)
        : slope(n.slope), steepness(n.steepness), adaptation(n.adaptation), beta(load(constants)),
          threshold(load(constants + width)), alpha(load(constants + 2 * width)), rho(load(constants + 3 * width)),
          raised(1.0f - rho), drop(threshold) {}
};

// Neurons of a vector between two steps. N: Neuron, or Neurons.
template <Neuron::Kind KIND, Reset RESET>
struct Firing {
    Vec u = {}, more = {};  // the membrane; a synapse's current or a threshold's rise
    Lanes spiked = {};      // all ones where the neuron fired in the step before

    // A step; returns the margin.
    template <typename N>
    inline Vec step(const N &n, Vec current) {
        if (KIND == Neuron::current_based) current = more = n.alpha * more + current;
        u = n.beta * (RESET == Reset::zero ? (spiked ? Vec{} : u) : u) + current;
        const Vec crossed = KIND == Neuron::adaptive ? n.threshold + n.adaptation * more : Vec{} + n.drop;
        if (RESET == Reset::subtract) u -= spiked ? crossed : Vec{};
        Vec theta = Vec{} + n.threshold;
        if (KIND == Neuron::adaptive) {
            more = n.rho * more + (spiked ? Vec{} + n.raised : Vec{});
            theta = n.threshold + n.adaptation * more;
        }
        const Vec margin = u - theta;
        spiked = margin > 0.0f;
        return margin;
    }
};

// What comes back to them from the step after.
template <Neuron::Kind KIND, Reset RESET, bool ATAN>
struct Unfiring {
    Vec u = {}, more = {};  // dL/dU; dL/d of a synapse's current, or of a threshold's rise
    Vec own;                // of dL/dU, what came through this step's spike

    // A step; returns dL/dI from dL/dS.
    template <typename N>
    inline Vec step(const N &n, Vec margin, Vec into_spikes) {
        const Lanes spiked = margin > 0.0f;
        if (KIND == Neuron::adaptive) into_spikes += n.raised * more;
        own = sloped<ATAN>(n, margin, into_spikes);
        if (KIND == Neuron::adaptive) {
            more = n.rho * more - n.adaptation * own;
            if (RESET == Reset::subtract) more -= spiked ? n.adaptation * u : Vec{};
        }
        u = own + n.beta * (RESET == Reset::zero ? (spiked ? Vec{} : u) : u);
        if (KIND != Neuron::current_based) return u;
        return more = u + n.alpha * more;
    }
};

template <Neuron::Kind KIND>
using OfKind = std::integral_constant<Neuron::Kind, KIND>;
template <Reset RESET>
using OfReset = std::integral_constant<Reset, RESET>;

// Calls run with what a neuron is, as constants for the compiler.
template <typename Run>
inline void with_kind(const Neuron &neuron, const Run &run) {
    const auto with_reset = [&](auto KIND) {
        if (neuron.reset == Reset::zero) return run(KIND, OfReset<Reset::zero>{});
        if (neuron.reset == Reset::subtract) return run(KIND, OfReset<Reset::subtract>{});
        run(KIND, OfReset<Reset::none>{});
    };
    if (neuron.kind == Neuron::current_based) return with_reset(OfKind<Neuron::current_based>{});
    if (neuron.kind == Neuron::adaptive) return with_reset(OfKind<Neuron::adaptive>{});
    with_reset(OfKind<Neuron::lif>{});
}
template <typename Run>
inline void with_slope(const Neuron &neuron, const Run &run) {
    with_kind(neuron, [&](auto KIND, auto RESET) {
        if (neuron.slope == Slope::atan) return run(KIND, RESET, std::true_type{});
        run(KIND, RESET, std::false_type{});
    });
}

constexpr int SCANNED = 2;  // vectors of neurons that pass through the steps together

// One sample, V vectors of neurons, of which `kept` are real; rows are `width` numbers apart.
template <int V, Neuron::Kind KIND, Reset RESET, typename N>
[[gnu::noinline]] void scan_panel(const Shape &s, const N &neuron, const float *currents, int64_t width,
                                  int64_t kept, float *margins, uint64_t *trains) {
    Firing<KIND, RESET> firing[V];
    for (int64_t word = 0; word < s.words(); ++word) {
        alignas(64) uint32_t fired[2][V * LANES];
        for (int64_t half = 0; half < 2; ++half) {
            Lanes bits[V] = {};
            const int64_t first = 64 * word + 32 * half, last = std::min(first + 32, s.steps);
            for (int64_t t = first; t < last; ++t)
#pragma GCC unroll 8
                for (int v = 0; v < V; ++v) {
                    const Vec margin = firing[v].step(neuron, load(currents + t * width + v * LANES));
                    store(margins + t * width + v * LANES, margin);
                    bits[v] |= firing[v].spiked & (int32_t)(1u << (t - first));
                }
            std::memcpy(fired[half], bits, sizeof bits);
        }
        for (int64_t i = 0; i < kept; ++i) trains[i * s.words() + word] = fired[0][i] | (uint64_t)fired[1][i] << 32;
    }
}

// One sample: margins[step][neuron], padded like the currents, and trains[neuron][word].
inline void scan(const Shape &s, const Neuron &neuron, const float *currents, float *margins, uint64_t *trains) {
    const int64_t width = whole_vectors(s.neurons);
    with_kind(neuron, [&](auto KIND, auto RESET) {
        for_panels<SCANNED>(s.neurons, [&](auto V, int64_t offset, int64_t kept) {
            scan_panel<V, KIND, RESET>(s, neuron, currents + offset, width, kept, margins + offset,
                                       trains + offset * s.words());
        });
    });
}

// One sample: dL/dI[step][neuron] from dL/dS, in rows of `width`, which are whole vectors.
template <Neuron::Kind KIND, Reset RESET, bool ATAN>
[[gnu::noinline]] void scan_back(int64_t steps, int64_t width, const Neuron &neuron, const float *margins,
                                 const float *into_spikes, float *gradient) {
    for (int64_t i = 0; i < width; i += LANES) {
        Unfiring<KIND, RESET, ATAN> unfiring;
        for (int64_t t = steps - 1; t >= 0; --t) {
            const int64_t at = t * width + i;
            store(gradient + at, unfiring.step(neuron, load(margins + at), load(into_spikes + at)));
        }
    }
}

inline void scan_back(int64_t steps, int64_t width, const Neuron &neuron, const float *margins,
                      const float *into_spikes, float *gradient) {
    with_slope(neuron, [&](auto KIND, auto RESET, auto ATAN) {
        scan_back<KIND, RESET, ATAN>(steps, width, neuron, margins, into_spikes, gradient);
    });
}

// Neurons that only leak and add, a column of them: membranes[step] from currents in their place, rows of `width`.
template <bool SYNAPSE, typename N>
inline void leak(int64_t steps, int64_t width, const N &neuron, float *flow) {
    Vec u = {}, j = {};
    for (int64_t t = 0; t < steps; ++t, flow += width) {
        j = SYNAPSE ? neuron.alpha * j + load(flow) : load(flow);
        u = neuron.beta * u + j;
        store(flow, u);
    }
}

// Its adjoint.
template <bool SYNAPSE, typename N>
inline void leak_back(int64_t steps, int64_t width, const N &neuron, const float *into_membranes, float *gradient) {
    Vec u = {}, j = {};
    for (int64_t at = (steps - 1) * width; at >= 0; at -= width) {
        u = load(into_membranes + at) + neuron.beta * u;
        j = SYNAPSE ? u + neuron.alpha * j : u;
        store(gradient + at, j);
    }
}

// Calls run(column, neuron, SYNAPSE) for each column of neurons of a layer, which may have learned their constants.
template <typename Run>
inline void for_columns(const Neuron &neuron, const float *constants, int64_t width, const Run &run) {
    const auto with_synapse = [&](int64_t i, const auto &n) {
        if (neuron.kind == Neuron::current_based)
            run(i, n, std::true_type{});
        else
            run(i, n, std::false_type{});
    };
    for (int64_t i = 0; i < width; i += LANES)
        if (constants)
            with_synapse(i, Neurons(neuron, constants + i, width));
        else
            with_synapse(i, neuron);
}

// The same as scan, of neurons that have learned their constants.
inline void scan_learned(const Shape &s, const Neuron &neuron, const float *constants, const float *currents,
                         float *margins, uint64_t *trains) {
    const int64_t width = whole_vectors(s.neurons);
    with_kind(neuron, [&](auto KIND, auto RESET) {
        for (int64_t i = 0; i < width; i += LANES)
            scan_panel<1, KIND, RESET>(s, Neurons(neuron, constants + i, width), currents + i, width,
                                       std::min<int64_t>(LANES, s.neurons - i), margins + i, trains + i * s.words());
    });
}

// dL/d of the constants of neurons, step by step from what comes back to them.
template <Neuron::Kind KIND, Reset RESET>
struct ConstantSlopes {
    Vec beta = {}, threshold = {}, alpha = {}, rho = {};

    // `margin`, `u` and `more` are of the step before.
    template <bool ATAN>
    inline void add(const Unfiring<KIND, RESET, ATAN> &now, Vec margin, Vec u, Vec more) {
        const Lanes spiked = margin > 0.0f;
        beta += now.u * (RESET == Reset::zero ? (spiked ? Vec{} : u) : u);
        if (RESET == Reset::subtract) threshold -= spiked ? now.u : Vec{};
        if (KIND == Neuron::current_based) alpha += now.more * more;
        if (KIND == Neuron::adaptive) rho += now.more * (more - (spiked ? Vec{} + 1.0f : Vec{}));
    }
};

// And as scan_back; the constants' gradients, in rows like theirs, are written to `into`. What the neurons kept is
// reckoned anew from the currents.
template <Neuron::Kind KIND, Reset RESET, bool ATAN>
[[gnu::noinline]] void learned_column(int64_t steps, int64_t width, const Neurons &neuron, const float *currents,
                                      const float *into_spikes, float *gradient, float *into) {
    struct Step {
        Vec u, more, margin;
    };
    std::vector<Step, AtLine<Step>> kept(steps);
    Firing<KIND, RESET> firing;
    for (int64_t t = 0; t < steps; ++t) {
        kept[t].margin = firing.step(neuron, load(currents + t * width));
        kept[t].u = firing.u;
        kept[t].more = firing.more;
    }
    Unfiring<KIND, RESET, ATAN> unfiring;
    ConstantSlopes<KIND, RESET> slopes;
    for (int64_t t = steps - 1; t >= 0; --t) {
        store(gradient + t * width, unfiring.step(neuron, kept[t].margin, load(into_spikes + t * width)));
        slopes.threshold -= unfiring.own;
        if (t) slopes.add(unfiring, kept[t - 1].margin, kept[t - 1].u, kept[t - 1].more);
    }
    store(into, slopes.beta);
    store(into + width, slopes.threshold);
    store(into + 2 * width, slopes.alpha);
    store(into + 3 * width, slopes.rho);
}

inline void scan_learned_back(int64_t steps, int64_t width, const Neuron &neuron, const float *constants,
                              const float *currents, const float *into_spikes, float *gradient, float *into) {
    with_slope(neuron, [&](auto KIND, auto RESET, auto ATAN) {
        for (int64_t i = 0; i < width; i += LANES)
            learned_column<KIND, RESET, ATAN>(steps, width, Neurons(neuron, constants + i, width), currents + i,
                                              into_spikes + i, gradient + i, into + i);
    });
}

// The constants' gradients of neurons that only leak and add, from dL/dU and the currents.
inline void leak_constants_back(int64_t steps, int64_t width, const Neuron &neuron, const float *constants,
                                const float *currents, const float *into_membranes, float *into) {
    for_columns(neuron, constants, width, [&](int64_t i, const auto &n, auto SYNAPSE) {
        Floats membranes(steps * LANES), arrived(steps * LANES);
        Vec u = {}, j = {}, into_u = {}, into_j = {}, beta = {}, alpha = {};
        for (int64_t t = 0; t < steps; ++t) {
            j = SYNAPSE ? n.alpha * j + load(currents + t * width + i) : load(currents + t * width + i);
            u = n.beta * u + j;
            store(&membranes[t * LANES], u);
            store(&arrived[t * LANES], j);
        }
        for (int64_t t = steps - 1; t > 0; --t) {
            into_u = load(into_membranes + t * width + i) + n.beta * into_u;
            into_j = SYNAPSE ? into_u + n.alpha * into_j : into_u;
            beta += into_u * load(&membranes[(t - 1) * LANES]);
            alpha += into_j * load(&arrived[(t - 1) * LANES]);
        }
        const Vec zero = {};
        const Vec rows[CONSTANTS] = {beta, zero, SYNAPSE ? alpha : zero, zero};
        for (int64_t row = 0; row < CONSTANTS; ++row) store(into + row * width + i, rows[row]);
    });
}

}  // namespace
}  // namespace fedspike
