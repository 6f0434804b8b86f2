// One sample after the other to trains of spikes, by whichever code has some.
#pragma once
#include "lookup.hpp"
#include "rate.hpp"

namespace fedspike {
namespace {

// Room to encode one sample after the other.
struct Encoder {
    Draw draw;
    Lookup look_up;
    explicit Encoder(int64_t pixels) : draw(pixels), look_up(pixels) {}

    // Sample number `sample` of client number k of the batch.
    void operator()(const Shape &s, const Code &code, const float *image, int64_t k, int64_t sample, uint64_t *trains) {
        if (code.kind == Code::rate)
            draw(s, image, code.key, code.round, code.clients[k], code.first_samples[k] + sample, trains);
        else
            look_up(s, image, code.trains, trains);
    }
};

void encode(Shape s, const float *pixels, const Code &code, uint64_t *trains) {
#pragma omp parallel
    {
        Encoder encoder(s.neurons);
#pragma omp for schedule(dynamic, 8)
        for (int64_t item = 0; item < s.clients * s.samples; ++item)
            encoder(s, code, pixels + item * s.neurons, item / s.samples, item % s.samples,
                    trains + item * s.neurons * s.words());
    }
}

}  // namespace
}  // namespace fedspike
