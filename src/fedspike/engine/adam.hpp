// Adam, as parts/optimisers/adam.py; every number on its own, so that company changes none of its bits.
#pragma once
#include <cmath>

#include "kernels.hpp"

namespace fedspike {
namespace {

// A step of Adam, by its number from 1 on.
struct AdamStep {
    const Adam &adam;
    float rate, scale;

    AdamStep(const Adam &adam, int64_t step)
        : adam(adam), rate(adam.rate / (float)(1 - std::pow((double)adam.beta1, step))),
          scale(1.0f / (float)(1 - std::pow((double)adam.beta2, step))) {}

    void operator()(int64_t count, const float *__restrict gradient, float *__restrict weight, float *__restrict m,
                    float *__restrict v) const {
        const float beta1 = adam.beta1, beta2 = adam.beta2, epsilon = adam.epsilon, kept = adam.kept;
        for (int64_t i = 0; i < count; ++i) {
            m[i] = beta1 * m[i] + (1.0f - beta1) * gradient[i];
            v[i] = beta2 * v[i] + (1.0f - beta2) * gradient[i] * gradient[i];
            weight[i] = kept * weight[i] - rate * m[i] / (std::sqrt(v[i] * scale) + epsilon);
        }
    }
};

void adam(const Adam &adam, int64_t number, int64_t count, const float *gradient, float *weight, float *m, float *v) {
    const AdamStep step(adam, number);
    constexpr int64_t PART = 4096;
#pragma omp parallel for schedule(static)
    for (int64_t first = 0; first < count; first += PART)
        step(std::min(PART, count - first), gradient + first, weight + first, m + first, v + first);
}

}  // namespace
}  // namespace fedspike
