// Codes without randomness: the spike train of every level of a pixel stands in a table.
#pragma once
#include <vector>

#include "kernels.hpp"

namespace fedspike {
namespace {

// floor(65535 x + 1/2). In double, where 65535 x is exact; pixels outside 0 to 1 get the nearer end, NaN gets 0.
inline int32_t level_of(float pixel) {
    const double x = std::min(1.0, std::max(0.0, (double)pixel));
    return (int32_t)((LEVELS - 1) * x + 0.5);
}

void lookup(Shape s, const float *pixels, const uint64_t *table, uint64_t *trains) {
    const int64_t words = s.words();
#pragma omp parallel
    {
        std::vector<int32_t> levels(s.neurons);
#pragma omp for schedule(static)
        for (int64_t item = 0; item < s.clients * s.samples; ++item) {
            for (int64_t i = 0; i < s.neurons; ++i) levels[i] = level_of(pixels[item * s.neurons + i]);
            uint64_t *out = trains + item * s.neurons * words;
            for (int64_t i = 0; i < s.neurons; ++i)
                for (int64_t word = 0; word < words; ++word) *out++ = table[levels[i] * words + word];
        }
    }
}

}  // namespace
}  // namespace fedspike
