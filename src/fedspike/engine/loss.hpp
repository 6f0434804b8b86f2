// Losses of one sample's scores, with their gradients by hand.
#pragma once
#include <cmath>

#include "kernels.hpp"

namespace fedspike {
namespace {

// Writes dL/dscore, where the client's loss is the mean over `present` samples; returns the sample's own loss.
inline float slopes_of(const Loss &loss, int64_t label, int64_t classes, int64_t present, const float *score,
                       float *slope) {
    const float share = 1.0f / present;
    if (loss.kind == Loss::squares) {
        float sum = 0;
        for (int64_t c = 0; c < classes; ++c) {
            const float distance = score[c] - (c == label ? loss.correct : loss.incorrect);
            sum += distance * distance;
            slope[c] = 2 * loss.per_square * share * distance;
        }
        return loss.per_square * sum;
    }
    const float largest = *std::max_element(score, score + classes);
    float sum = 0;
    for (int64_t c = 0; c < classes; ++c) sum += slope[c] = std::exp(score[c] - largest);
    for (int64_t c = 0; c < classes; ++c) slope[c] = share * (slope[c] / sum - (c == label));
    return std::log(sum) - (score[label] - largest);
}

}  // namespace
}  // namespace fedspike
