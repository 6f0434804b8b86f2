// What networks that go layer by layer need beside products, on values as they are: neurons whose spikes are counted
// while they are made (LIF neurons with the arctangent), and pools.
#pragma once
#include <algorithm>
#include <vector>

#include "neurons.hpp"

namespace fedspike {
namespace {

// One sample through all steps, as scan_panel of neurons.hpp, a step after the other; `counts` grow by its spikes.
template <Reset RESET>
void fire_one(const Shape &s, Neuron neuron, const float *currents, float *membrane, float *spikes, int32_t *counts) {
    for (int64_t t = 0; t < s.steps; ++t) {
        const int64_t here = t * s.neurons, before = here - s.neurons;
        const float *__restrict in = currents + here, *__restrict u = membrane + before;
        const float *__restrict fired = spikes + before;
        float *__restrict now = membrane + here, *__restrict out = spikes + here;
        for (int64_t i = 0; i < s.neurons; ++i) {
            float kept = t && !(RESET == Reset::zero && fired[i] > 0) ? u[i] : 0.0f;
            kept = neuron.beta * kept + in[i];
            if (RESET == Reset::subtract) kept -= t && fired[i] > 0 ? neuron.drop : 0.0f;
            now[i] = kept;
            out[i] = kept > neuron.threshold ? 1.0f : 0.0f;
            counts[i] += kept > neuron.threshold;
        }
    }
}

void fire(Shape s, Neuron neuron, const float *currents, const bool *present, float *membrane, float *spikes,
          int64_t *counts) {
    std::fill(counts, counts + s.clients * s.neurons, 0);
#pragma omp parallel
    {
        std::vector<int32_t> counted(s.neurons);
#pragma omp for schedule(static)
        for (int64_t item = 0; item < s.clients * s.samples; ++item) {
            const int64_t at = item * s.steps * s.neurons;
            std::fill(counted.begin(), counted.end(), 0);
            with_kind(neuron, [&](auto, auto RESET) {
                fire_one<RESET>(s, neuron, currents + at, membrane + at, spikes + at, counted.data());
            });
            int64_t *total = counts + item / s.samples * s.neurons;
            if (present[item])
#pragma omp critical
                for (int64_t i = 0; i < s.neurons; ++i) total[i] += counted[i];
        }
    }
}

// One sample: dL/dI[step][neuron] from dL/dS.
template <bool ZERO_RESET>
void fire_back(int64_t steps, int64_t width, const Neuron &neuron, const float *membrane, const float *into_spikes,
               float *gradient) {
    for (int64_t t = steps - 1; t >= 0; --t) {
        const float *__restrict now = membrane + t * width;
        const float *__restrict in = into_spikes + t * width;
        const float *__restrict later = gradient + (t + 1) * width;
        float *__restrict here = gradient + t * width;
        for (int64_t i = 0; i < width; ++i) {
            const float decay = ZERO_RESET && now[i] > neuron.threshold ? 0.0f : neuron.beta;
            const float own = sloped_atan(neuron.steepness, now[i] - neuron.threshold, in[i]);
            here[i] = t == steps - 1 ? own : own + decay * later[i];
        }
    }
}

void fire_adjoint(Shape s, Neuron neuron, const float *membrane, const float *into_spikes, float *gradient) {
#pragma omp parallel for schedule(dynamic, 8)
    for (int64_t item = 0; item < s.clients * s.samples; ++item) {
        const int64_t at = item * s.steps * s.neurons;
        (neuron.reset == Reset::zero ? fire_back<true> : fire_back<false>)(s.steps, s.neurons, neuron, membrane + at,
                                                                           into_spikes + at, gradient + at);
    }
}

// Windows of SIZE x SIZE, summed place by place in the order of rows, then columns; SIZE 0: `size`.
template <int64_t SIZE>
void average_rows(int64_t rows, int64_t width, int64_t size, const float *images, float *means) {
    const int64_t k = SIZE ? SIZE : size, columns = width / k;
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; ++row) {
        const float *__restrict in = images + row * k * width;
        float *__restrict out = means + row * columns;
        for (int64_t c = 0; c < columns; ++c) {
            float sum = 0;
            for (int64_t i = 0; i < k; ++i)
                for (int64_t j = 0; j < k; ++j) sum += in[i * width + c * k + j];
            out[c] = sum / (float)(k * k);
        }
    }
}

template <int64_t SIZE>
void spread_rows(int64_t rows, int64_t width, int64_t size, const float *into_means, float *into_images) {
    const int64_t k = SIZE ? SIZE : size, columns = width / k;
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; ++row) {
        const float *__restrict in = into_means + row * columns;
        float *__restrict out = into_images + row * k * width;
        for (int64_t i = 0; i < k; ++i)
            for (int64_t c = 0; c < columns; ++c)
                for (int64_t j = 0; j < k; ++j) out[i * width + c * k + j] = in[c] / (float)(k * k);
    }
}

void average(int64_t rows, int64_t width, int64_t size, const float *images, float *means) {
    (size == 2 ? average_rows<2> : average_rows<0>)(rows, width, size, images, means);
}

void average_adjoint(int64_t rows, int64_t width, int64_t size, const float *into_means, float *into_images) {
    (size == 2 ? spread_rows<2> : spread_rows<0>)(rows, width, size, into_means, into_images);
}

}  // namespace
}  // namespace fedspike
