// Linear layers with ReLU between them: a block of samples through all layers and, to learn, back again.
#pragma once
#include "affine.hpp"
#include "learning.hpp"

namespace fedspike {
namespace {

struct Conventional {
    static constexpr int64_t BLOCK = 64;
    const Batch &batch;
    const Layers &layers;
    const Loss &loss;
    float *scores;
    Samples samples{batch, layers};

    // Of every layer the values that entered it, those that left it, and dL/d of the latter before the ReLU.
    struct Trace {
        Floats images;  // side by side, because they are visited many times
        std::vector<Values> in;
        std::vector<Floats> out, delta;

        explicit Trace(const Conventional &p) : images(BLOCK * p.batch.inputs), in(p.layers.size(), Values(BLOCK)) {
            for (const Layer &layer : p.layers) {
                out.emplace_back(BLOCK * whole_vectors(layer.outputs));
                delta.emplace_back(p.loss.kind == Loss::none ? 0 : out.back().size());
            }
        }
    };

    void pass(int64_t first, int64_t count, const Client &client, Trace &trace) {
        for (int64_t b = 0; b < count; ++b) {
            const float *image = batch.image(first + b);
            float *to = &trace.images[b * batch.inputs];
            if (image) std::copy_n(image, batch.inputs, to);
            trace.in[0][b] = image ? to : nullptr;
        }
        for (size_t l = 0; l < layers.size(); ++l) {
            float *out = trace.out[l].data();
            const int64_t width = client.forward[l].width;
            affine(trace.in[l], count, client.forward[l], out, &samples.events[l * batch.clients * batch.samples + first]);
            if (l + 1 == layers.size()) break;
            for (int64_t i = 0; i < count * width; ++i) out[i] = std::max(out[i], 0.0f);
            for (int64_t b = 0; b < count; ++b) trace.in[l + 1][b] = trace.in[0][b] ? out + b * width : nullptr;
        }
        const int64_t classes = layers.back().outputs, width = whole_vectors(classes);
        copy_rows(count, classes, trace.out.back().data(), width, scores + first * classes, classes);
        if (loss.kind != Loss::none) back(first, count, client, trace);
    }

    void back(int64_t first, int64_t count, const Client &client, Trace &trace) {
        const int64_t classes = layers.back().outputs, width = whole_vectors(classes);
        for (int64_t b = 0; b < count; ++b) {
            const int64_t item = first + b;
            float *slope = &trace.delta.back()[b * width];
            std::fill_n(slope, width, 0.0f);
            if (trace.in[0][b])
                samples.losses[item] = slopes_of(loss, item / batch.samples, item, classes,
                                                 samples.present[item / batch.samples], scores + item * classes, slope);
        }
        for (size_t l = layers.size() - 1; l > 0; --l) {
            Floats &into = trace.delta[l - 1];
            client.back[l].through(count, trace.delta[l].data(), into.data());
            const Floats &out = trace.out[l - 1];
            for (int64_t i = 0; i < count * client.back[l].width; ++i) into[i] = out[i] > 0 ? into[i] : 0.0f;
        }
    }

    void add(int64_t, int64_t count, const Trace &trace, std::vector<Gradient> &sums, int64_t part,
             int64_t parts) const {
        for (size_t l = 0; l < layers.size(); ++l) {
            const int64_t first = cut(sums[l].inputs, part, parts), last = cut(sums[l].inputs, part + 1, parts);
            affine_gradient(trace.in[l], count, trace.delta[l].data(), first, last, sums[l]);
            for (int64_t b = 0; b < count; ++b)
                for (int64_t o = 0; o < sums[l].width; ++o)
                    sums[l].bias[o] += trace.delta[l][b * sums[l].width + o];
        }
    }
};

void conventional(const Batch &batch, const Layers &layers, const Loss &loss, float *scores, int64_t *events) {
    Conventional program{batch, layers, loss, scores};
    run(program, events);
}

}  // namespace
}  // namespace fedspike
