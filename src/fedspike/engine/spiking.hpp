// Linear layers with LIF neurons: a block of samples, one after the other, through all layers and time steps and, to
// learn, back again, so that nothing but pixels in and gradients out leaves the cache.
#pragma once
#include "affine.hpp"
#include "encode.hpp"
#include "learning.hpp"
#include "lif.hpp"

namespace fedspike {
namespace {

inline int64_t popcount(const uint64_t *words, int64_t count) {
    int64_t ones = 0;
    for (int64_t w = 0; w < count; ++w) ones += __builtin_popcountll(words[w]);
    return ones;
}

struct Spiking {
    static constexpr int64_t BLOCK = 16;
    const Batch &batch;
    const Code &code;
    Neuron neuron;
    bool integrates;
    const Layers &layers;
    const Loss &loss;
    float *scores;
    Samples samples{batch, layers};

    bool learns() const { return loss.kind != Loss::none; }
    bool direct() const { return code.kind == Code::direct; }
    int64_t words() const { return (code.steps + 63) / 64; }
    int64_t inputs(size_t l) const { return l ? layers[l - 1].outputs : batch.inputs; }
    Shape in(size_t l) const { return {batch.clients, batch.samples, code.steps, inputs(l)}; }
    const float *step_weights(size_t l) const { return l ? nullptr : code.step_weights; }

    // What a sample leaves for the gradients: the spikes that entered each layer, and dL/dI.
    struct Trace {
        struct Sample {
            std::vector<std::vector<uint64_t>> fired;
            std::vector<Floats> delta;
        };
        std::vector<Sample> of;
        Values x;  // the images; null where a sample is absent

        explicit Trace(const Spiking &p) : of(BLOCK), x(BLOCK) {
            for (Sample &sample : of)
                for (size_t l = 0; l < p.layers.size(); ++l) {
                    sample.fired.emplace_back(l || !p.direct() ? p.inputs(l) * p.words() : 0);
                    sample.delta.emplace_back(p.learns() ? p.code.steps * whole_vectors(p.layers[l].outputs) : 0);
                }
        }
    };

    // Room for one sample after the other.
    struct Scratch {
        std::vector<Floats> membrane;
        Floats flow;  // currents on the way there, dL/dS on the way back
        std::vector<uint64_t> fired;
        Encoder encoder;

        explicit Scratch(const Spiking &p) : encoder(p.batch.inputs) {
            size_t widest = 0;
            for (const Layer &layer : p.layers) {
                membrane.emplace_back(p.code.steps * whole_vectors(layer.outputs));
                widest = std::max(widest, membrane.back().size());
            }
            flow.resize(widest);
            fired.resize(p.layers.back().outputs * p.words());
        }
    };

    void pass(int64_t first, int64_t count, const Client &client, Trace &trace) {
        Scratch scratch(*this);
        Floats driven;
        for (int64_t b = 0; b < count; ++b) trace.x[b] = batch.image(first + b);
        if (direct()) {
            driven.resize(BLOCK * client.forward[0].width);
            affine(trace.x, count, client.forward[0], driven.data(), &samples.events[first]);
        }
        for (int64_t b = 0; b < count; ++b) {
            const int64_t item = first + b, classes = layers.back().outputs;
            typename Trace::Sample &sample = trace.of[b];
            float *score = scores + item * classes;
            if (!trace.x[b]) {
                std::fill_n(score, classes, 0.0f);
                continue;
            }
            if (direct()) {
                const int64_t width = client.forward[0].width;
                for (int64_t t = 0; t < code.steps; ++t)
                    std::copy_n(&driven[b * width], width, &scratch.flow[t * width]);
            } else {
                scratch.encoder(in(0), code, trace.x[b], item / batch.samples, item % batch.samples,
                                sample.fired[0].data());
            }
            forward(item, client, scratch, sample, score);
            if (learns()) back(item, client, scratch, sample, score);
        }
    }

    void forward(int64_t item, const Client &client, Scratch &scratch, typename Trace::Sample &sample,
                 float *score) {
        const size_t last = layers.size() - 1;
        for (size_t l = 0; l <= last; ++l) {
            if (l || !direct()) {
                const uint64_t *spikes = sample.fired[l].data();
                samples.events[l * batch.clients * batch.samples + item] = popcount(spikes, inputs(l) * words());
                client.forward[l].currents(in(l), spikes, step_weights(l), scratch.flow.data());
            }
            if (l == last && integrates) return mean_membrane(client.forward[l], scratch.flow.data(), score);
            uint64_t *out = l == last ? scratch.fired.data() : sample.fired[l + 1].data();
            const Shape s{batch.clients, batch.samples, code.steps, layers[l].outputs};
            scan(s, neuron, scratch.flow.data(), scratch.membrane[l].data(), out);
        }
        for (int64_t c = 0; c < layers[last].outputs; ++c) score[c] = popcount(&scratch.fired[c * words()], words());
    }

    // u[t] = beta u[t-1] + I[t], score = mean over t of u[t]
    void mean_membrane(const Columns &layer, const float *currents, float *score) const {
        Floats u(layer.width), sum(layer.width);
        for (int64_t t = 0; t < code.steps; ++t)
            for (int64_t o = 0; o < layer.width; ++o) {
                u[o] = neuron.beta * u[o] + currents[t * layer.width + o];
                sum[o] += u[o];
            }
        for (int64_t c = 0; c < layer.outputs; ++c) score[c] = sum[c] / code.steps;
    }

    void back(int64_t item, const Client &client, Scratch &scratch, typename Trace::Sample &sample,
              const float *score) {
        const int64_t classes = layers.back().outputs, width = whole_vectors(classes);
        float *flow = scratch.flow.data();
        std::fill_n(flow, width, 0.0f);
        samples.losses[item] = slopes_of(loss, item / batch.samples, item, classes,
                                         samples.present[item / batch.samples], score, flow);
        for (size_t l = layers.size(); l-- > 0;) {
            float *delta = sample.delta[l].data();
            if (l + 1 < layers.size()) {
                client.back[l + 1].through(code.steps, sample.delta[l + 1].data(), flow);
                scan_back(code.steps, whole_vectors(layers[l].outputs), neuron, scratch.membrane[l].data(), flow, delta);
            } else if (integrates) {
                for (int64_t o = 0; o < width; ++o) flow[o] /= code.steps;
                for (int64_t t = code.steps - 1; t >= 0; --t)
                    for (int64_t o = 0; o < width; ++o)
                        delta[t * width + o] =
                            flow[o] + (t + 1 < code.steps ? neuron.beta * delta[(t + 1) * width + o] : 0.0f);
            } else {
                for (int64_t t = 1; t < code.steps; ++t) std::copy_n(flow, width, flow + t * width);
                scan_back(code.steps, width, neuron, scratch.membrane[l].data(), flow, delta);
            }
        }
    }

    void add(int64_t, int64_t count, const Trace &trace, std::vector<Gradient> &sums, int64_t part, int64_t parts) const {
        for (size_t l = 0; l < layers.size(); ++l) {
            const int64_t from = cut(inputs(l), part, parts), to = cut(inputs(l), part + 1, parts);
            if (l == 0 && direct()) {
                add_direct(count, trace, sums[0], from, to);
                continue;
            }
            for (int64_t b = 0; b < count; ++b)
                if (trace.x[b])
                    sums[l].add(in(l), trace.of[b].fired[l].data(), trace.of[b].delta[l].data(),
                                step_weights(l), from, to);
        }
    }

    void add_direct(int64_t count, const Trace &trace, Gradient &sum, int64_t from, int64_t to) const {
        const int64_t width = sum.width;
        Floats over_steps(BLOCK * width);
        for (int64_t b = 0; b < count; ++b) {
            if (!trace.x[b]) continue;
            const float *delta = trace.of[b].delta[0].data();
            for (int64_t t = 0; t < code.steps; ++t)
                for (int64_t o = 0; o < width; ++o) over_steps[b * width + o] += delta[t * width + o];
            for (int64_t o = 0; o < width; ++o) sum.bias[o] += over_steps[b * width + o];
        }
        affine_gradient(trace.x, count, over_steps.data(), from, to, sum);
    }
};

void spiking(const Batch &batch, const Code &code, Neuron neuron, bool integrates, const Layers &layers,
             const Loss &loss, float *scores, int64_t *events) {
    Spiking program{batch, code, neuron, integrates, layers, loss, scores};
    run(program, events);
}

}  // namespace
}  // namespace fedspike
