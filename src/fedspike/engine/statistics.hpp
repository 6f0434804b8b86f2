// Batch normalisation through time of one client's layer, as parts/normalisations/bntt.py, whose equations these are.
#pragma once
#include <cmath>

#include "kernels.hpp"
#include "vectors.hpp"

namespace fedspike {
namespace {

// The sum over samples of V vectors of each, at(sample, v), which are folded in halves as in parts/sums.py: its order is
// fixed by the samples alone. A sum of two waits for the other two that it is added to; the next sample is the one whose
// number has its binary digits turned round.
template <int V, typename At>
inline void fold(int64_t samples, const At &at, float *sum) {
    int64_t whole = 1, depth = 0;
    while (whole < samples) whole *= 2;
    Vec sums[64][V];
    for (int64_t i = 0, b = 0; i < whole; ++i) {
        for (int v = 0; v < V; ++v) sums[depth][v] = b < samples ? at(b, v) : Vec{};
        for (int64_t j = i + 1; !(j & 1); j /= 2, --depth)
            for (int v = 0; v < V; ++v) sums[depth - 1][v] += sums[depth][v];
        ++depth;
        int64_t digit = whole / 2;
        for (; b & digit; digit /= 2) b ^= digit;
        b |= digit;
    }
    for (int v = 0; v < V; ++v) store(sum + v * LANES, sums[0][v]);
}

// What a layer of one client is normalised by, and what comes back: [step][channel], in padded rows. A channel has so
// many `places`.
struct Statistics {
    const Norm &norm;
    int64_t channels, width, places;
    Floats gamma, mean, variance, deviation, scale;
    Floats into, into_gamma;  // the sum over samples of the mean dL/d of what is normalised; dL/d gamma

    Statistics(const Norm &norm, int64_t channels, int64_t places)
        : norm(norm), channels(channels), width(whole_vectors(channels)), places(places) {
        for (Floats *rows : {&gamma, &mean, &variance, &deviation, &scale, &into, &into_gamma})
            rows->resize(norm.steps * width);
    }

    int64_t at(int64_t k) const { return k * norm.steps * channels; }
    void take(const float *from, Floats &to) const { copy_rows(norm.steps, channels, from, channels, to.data(), width); }
    void give(const Floats &from, float *to) const { copy_rows(norm.steps, channels, from.data(), width, to, channels); }

    // What client k keeps.
    void fill(int64_t k) {
        take(norm.gamma + at(k), gamma);
        take(norm.mean + at(k), mean);
        take(norm.variance + at(k), variance);
    }

    // Mean and variance are known.
    void finish(int64_t k) {
        for (size_t i = 0; i < variance.size(); ++i) {
            deviation[i] = std::sqrt(variance[i] + norm.epsilon);
            scale[i] = gamma[i] / deviation[i];
        }
        if (!norm.by_batch[k]) return;
        give(mean, norm.mean + at(k));
        give(variance, norm.variance + at(k));
    }

    // So are the sums of what comes back.
    void finish_back(int64_t k) {
        for (float &slope : into_gamma) slope *= places;
        for (float &slope : into) slope *= places;
        give(into_gamma, norm.into_gamma + at(k));
    }

    Vec standard(Vec current, int64_t i) const { return (current - load(&mean[i])) / load(&deviation[i]); }

    // dL/dI from dL/d of what is normalised, of a sample with this share of the statistics.
    Vec back(Vec g, Vec standard, int64_t i, float share) const {
        const Vec through = (load(&into[i]) + standard * load(&into_gamma[i])) * (share / places);
        return load(&scale[i]) * (g - through);
    }
};

}  // namespace
}  // namespace fedspike
