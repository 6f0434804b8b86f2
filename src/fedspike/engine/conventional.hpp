// Stages of convolutions, if there are any, and linear layers with ReLU between them: a block of samples through all of
// them and, to learn, back again.
#pragma once
#include "affine.hpp"
#include "encode.hpp"
#include "learning.hpp"
#include "values.hpp"

namespace fedspike {
namespace {

struct Conventional {
    const Batch &batch;
    const Stages &stages;
    const Layers &layers;
    const Loss &loss;
    Dropout dropout;
    float *scores;
    Samples samples{batch, stages, layers};

    // Weights of linear layers are visited once a block; what convolutions leave behind is to stay in the cache.
    int64_t block() const { return stages.empty() ? 64 : 16; }

    int64_t trace_bytes() const {
        int64_t floats = inputs_of(batch, stages);
        for (const Layer &layer : layers) floats += 2 * whole_vectors(layer.outputs);
        for (const Stage &s : stages) floats += 3 * grid_of(s) + FilterGradient::floats(s);
        return block() * floats * 4;
    }

    struct Scratch {
        Stays stays;
        explicit Scratch(const Conventional &p) : stays(p.dropout, p.batch, p.layers) {}
    };

    // Of every layer the values that entered it, those that left it, and dL/d of the latter before the ReLU.
    struct Trace {
        Floats images;  // or what the stages make of them, side by side, because they are visited many times
        std::vector<Values> in;
        std::vector<Floats> out, delta;
        std::vector<ValueStack> stacks;
        std::vector<std::vector<FilterGradient>> filters;  // of each sample

        explicit Trace(const Conventional &p)
            : images(p.block() * inputs_of(p.batch, p.stages)), in(p.layers.size(), Values(p.block())),
              stacks(p.stages.empty() ? 0 : p.block(), ValueStack(p.stages)) {
            for (size_t b = 0; b < stacks.size() && p.loss.kind != Loss::none; ++b)
                filters.emplace_back(p.stages.begin(), p.stages.end());
            for (const Layer &layer : p.layers) {
                out.emplace_back(p.block() * whole_vectors(layer.outputs));
                delta.emplace_back(p.loss.kind == Loss::none ? 0 : out.back().size());
            }
        }
    };

    void pass(int64_t first, int64_t count, const Client &client, Scratch &scratch, Trace &trace) {
        const int64_t inputs = inputs_of(batch, stages);
        for (int64_t b = 0; b < count; ++b) {
            const float *image = batch.image(first + b);
            float *to = &trace.images[b * inputs];
            trace.in[0][b] = image ? to : nullptr;
            if (!image) continue;
            if (stages.empty())
                std::copy_n(image, inputs, to);
            else
                enter(first + b, image, client, trace.stacks[b], to);
        }
        for (size_t l = 0; l < layers.size(); ++l) {
            float *out = trace.out[l].data();
            const int64_t width = client.forward[l].width;
            affine(trace.in[l], count, client.forward[l], out, &samples.count(3 * stages.size() + l, first));
            if (l + 1 == layers.size()) break;
            for (int64_t i = 0; i < count * width; ++i) out[i] = std::max(out[i], 0.0f);
            if (dropout) leave_out(l, first, count, scratch.stays, trace);
            for (int64_t b = 0; b < count; ++b) trace.in[l + 1][b] = trace.in[0][b] ? out + b * width : nullptr;
        }
        const int64_t classes = layers.back().outputs, width = whole_vectors(classes);
        copy_rows(count, classes, trace.out.back().data(), width, scores + first * classes, classes);
        if (loss.kind != Loss::none) back(first, count, client, trace);
    }

    // 0 for values that are left out, more for those that stay.
    void leave_out(size_t l, int64_t first, int64_t count, Stays &stays, Trace &trace) const {
        const int64_t width = whole_vectors(layers[l].outputs);
        for (int64_t b = 0; b < count; ++b) {
            if (!trace.in[0][b]) continue;
            stays(first + b);
            const uint64_t *own = stays.of(layers, l);
            float *out = &trace.out[l][b * width];
            for (int64_t o = 0; o < layers[l].outputs; ++o) out[o] *= (float)(int64_t)(own[o] & 1) * stays.scale;
        }
    }

    void enter(int64_t item, const float *image, const Client &client, ValueStack &stack, float *features) {
        stack.forward(image, client.filters, features);
        for (size_t l = 0; l < stages.size(); ++l) {
            samples.count(3 * l, item) = stack.entered[l];
            samples.count(3 * l + 1, item) = stack.met[l];
            samples.count(3 * l + 2, item) = stack.left[l];
        }
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
            for (int64_t i = 0; dropout && i < count * client.back[l].width; ++i) into[i] /= dropout->gain;
        }
        if (stages.empty()) return;
        Floats into(count * client.back[0].width);
        client.back[0].through(count, trace.delta[0].data(), into.data());
        for (int64_t b = 0; b < count; ++b)
            if (trace.in[0][b]) trace.stacks[b].back(client.filters, &into[b * client.back[0].width], trace.filters[b]);
    }

    void add(int64_t count, const Trace &trace, Gradients &gradients, int64_t part, int64_t parts) const {
        std::vector<Gradient> &sums = gradients.layers;
        for (int64_t b = 0; !part && b < count; ++b)
            for (size_t l = 0; trace.in[0][b] && l < stages.size(); ++l) gradients.filters[l].add(trace.filters[b][l]);
        for (size_t l = 0; l < layers.size(); ++l) {
            const int64_t first = cut(sums[l].inputs, part, parts), last = cut(sums[l].inputs, part + 1, parts);
            affine_gradient(trace.in[l], count, trace.delta[l].data(), first, last, sums[l]);
            for (int64_t b = 0; b < count; ++b)
                for (int64_t o = 0; o < sums[l].width; ++o)
                    sums[l].bias[o] += trace.delta[l][b * sums[l].width + o];
        }
    }
};

void conventional(const Batch &batch, const Stages &stages, const Layers &layers, const Loss &loss, Dropout dropout,
                  float *scores, int64_t *events) {
    Conventional program{batch, stages, layers, loss, dropout, scores};
    run(program, events);
}

}  // namespace
}  // namespace fedspike
