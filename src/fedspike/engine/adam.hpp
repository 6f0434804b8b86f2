// Adam, as parts/optimisers/adam.py; every number on its own, so that company changes none of its bits.
#pragma once
#include <cmath>

#include "kernels.hpp"

namespace fedspike {
namespace {

void adam(int64_t count, const float *__restrict gradient, float rate, float beta1, float beta2, float epsilon,
          const float corrections[2], float *__restrict weight, float *__restrict m, float *__restrict v) {
    const float rate1 = rate / corrections[0], scale2 = 1.0f / corrections[1];
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; ++i) {
        m[i] = beta1 * m[i] + (1.0f - beta1) * gradient[i];
        v[i] = beta2 * v[i] + (1.0f - beta2) * gradient[i] * gradient[i];
        weight[i] -= rate1 * m[i] / (std::sqrt(v[i] * scale2) + epsilon);
    }
}

}  // namespace
}  // namespace fedspike
