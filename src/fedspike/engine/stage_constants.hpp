// What neurons behind a convolution have learned: from [constant][channel][place], as layers have it, to grids of outputs,
// one for each constant, and back.
#pragma once
#include "maps.hpp"

namespace fedspike {
namespace {

// Calls at(number among a client's constants, number in the grids).
template <typename At>
inline void for_constants(const Stage &s, const At &at) {
    const int64_t rows = s.out_height(), columns = s.out_width();
    for (int64_t c = 0; c < CONSTANTS; ++c)
        for_channels(s.channels, [&](auto V, int64_t first, int64_t real) {
            for (int64_t o = 0; o < real; ++o)
                for (int64_t y = 0; y < rows; ++y)
                    for (int64_t x = 0; x < columns; ++x)
                        at(((c * s.channels + first + o) * rows + y) * columns + x,
                           c * grid_of(s) + first * s.positions() + (s.row(y) + x * s.stride) * (V * LANES) + o);
        });
}

inline int64_t constants_of(const Stage &s) { return CONSTANTS * s.channels * s.out_height() * s.out_width(); }

// Those of client k.
inline void fill_constants(const Stage &s, int64_t k, Floats &grids) {
    if (!s.constants) return;
    const float *from = s.constants + k * constants_of(s);
    for_constants(s, [&](int64_t own, int64_t laid) { grids[laid] = from[own]; });
}

inline void store_constants(const Stage &s, int64_t k, const Floats &grids) {
    if (!s.constants) return;
    float *to = s.into_constants + k * constants_of(s);
    for_constants(s, [&](int64_t own, int64_t laid) { to[own] = grids[laid]; });
}

}  // namespace
}  // namespace fedspike
