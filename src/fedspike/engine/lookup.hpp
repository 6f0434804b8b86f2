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

// Room to look one sample after the other up.
struct Lookup {
    std::vector<int32_t> levels;
    explicit Lookup(int64_t pixels) : levels(pixels) {}

    void operator()(const Shape &s, const float *image, const uint64_t *table, uint64_t *trains) {
        for (int64_t i = 0; i < s.neurons; ++i) levels[i] = level_of(image[i]);
        for (int64_t i = 0; i < s.neurons; ++i)
            for (int64_t word = 0; word < s.words(); ++word) *trains++ = table[levels[i] * s.words() + word];
    }
};

}  // namespace
}  // namespace fedspike
