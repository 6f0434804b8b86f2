// Stages of convolutions, if there are any, and linear layers, with LIF neurons: a block of samples, one after the
// other, through all of them and, to learn, back again, so that nothing but pixels in and gradients out leaves the cache.
#pragma once
#include "affine.hpp"
#include "encode.hpp"
#include "learning.hpp"
#include "neurons.hpp"

namespace fedspike {
namespace {

inline int64_t popcount(const uint64_t *words, int64_t count) {
    int64_t ones = 0;
    for (int64_t w = 0; w < count; ++w) ones += __builtin_popcountll(words[w]);
    return ones;
}

struct Spiking {
    const Batch &batch;
    const Code &code;
    Neuron neuron;
    ReadOut read_out;
    const Stages &stages;
    const Layers &layers;
    const Loss &loss;
    Dropout dropout;
    float *scores;
    Samples samples{batch, stages, layers};
    const std::vector<float> stay_weights = std::vector<float>(64 * ((code.steps + 63) / 64), dropout ? 1.0f / dropout->gain : 1.0f);
    std::vector<std::vector<float>> plane_weights{weights_of_planes()};  // what a spike that enters the layers counts for

    const int64_t sample_bytes{bytes_of_sample()};

    int64_t block() const { return std::min<int64_t>(16, std::max<int64_t>(1, TRACE / sample_bytes)); }
    int64_t trace_bytes() const { return block() * sample_bytes; }
    int64_t bytes_of_sample() const {
        int64_t bytes = 0;
        for (size_t l = 0; l < layers.size(); ++l)
            bytes += planes(l) * inputs(l) * words() * 8 + code.steps * whole_vectors(layers[l].outputs) * 4;
        for (const Stage &stage : stages)
            bytes += (FilterGradient::floats(stage) + (stage.constants ? CONSTANTS * grid_of(stage) : 0)) * 4;
        return bytes;
    }
    bool learns() const { return loss.kind != Loss::none; }
    bool direct() const { return code.kind == Code::direct; }
    bool drives() const { return direct() && stages.empty(); }  // pixels enter the first linear layer
    int64_t words() const { return (code.steps + 63) / 64; }
    int64_t inputs(size_t l) const { return l ? layers[l - 1].outputs : inputs_of(batch, stages); }
    Shape in(size_t l) const { return {batch.clients, batch.samples, code.steps, inputs(l)}; }
    // Of what enters a layer: more than one behind a pool of means.
    int64_t planes(size_t l) const { return l ? 1 : plane_weights.size(); }
    const float *step_weights(size_t l, int64_t plane) const {
        return !l ? plane_weights[plane].data() : dropout ? stay_weights.data() : nullptr;
    }

    std::vector<std::vector<float>> weights_of_planes() const {
        if (stages.empty()) {
            std::vector<float> one(64 * words(), 1.0f);
            if (code.step_weights) std::copy_n(code.step_weights, code.steps, one.begin());
            return {one};
        }
        std::vector<std::vector<float>> all;
        for (int64_t plane = 0; plane < stages.back().planes(); ++plane)
            all.emplace_back(64 * words(), stages.back().share() * (float)(1 << plane));
        return all;
    }

    // What a sample leaves for the gradients: the spikes that entered each layer, and dL/dI; those of stages.
    struct Trace {
        struct Sample {
            std::vector<std::vector<uint64_t>> fired;
            std::vector<Floats> delta;
            std::vector<FilterGradient> filters;
            std::vector<Floats> constants;
        };
        std::vector<Sample> of;
        Values x;  // the images; null where a sample is absent

        explicit Trace(const Spiking &p) : Trace(p, p.block()) {}
        Trace(const Spiking &p, int64_t count) : of(count), x(count) {
            for (Sample &sample : of)
                for (size_t l = 0; l < p.layers.size(); ++l) {
                    sample.fired.emplace_back(l || !p.drives() ? p.planes(l) * p.inputs(l) * p.words() : 0);
                    sample.delta.emplace_back(p.learns() ? p.code.steps * whole_vectors(p.layers[l].outputs) : 0);
                    const bool learned = p.learns() && p.layers[l].constants;
                    sample.constants.emplace_back(learned ? CONSTANTS * whole_vectors(p.layers[l].outputs) : 0);
                }
            for (Sample &sample : of)
                for (const Stage &stage : p.stages)
                    if (p.learns()) sample.filters.emplace_back(stage);
        }
    };

    // Room for one sample after the other.
    struct Scratch {
        std::vector<Floats> margins;
        std::vector<Floats> currents;  // where constants are learned
        Floats flow;    // currents on the way there, dL/dS on the way back
        Floats driven;  // the currents of a block's pixels as they are
        std::vector<uint64_t> fired, trains;
        Encoder encoder;
        Stays stays;
        Stack stack;

        explicit Scratch(const Spiking &p)
            : driven(p.drives() ? p.block() * whole_vectors(p.layers[0].outputs) : 0),
              trains(p.stages.empty() || p.direct() ? 0 : p.batch.inputs * p.words()), encoder(p.batch.inputs),
              stays(p.dropout, p.batch, p.layers),
              stack(p.stages, p.neuron, p.code.steps, p.learns(), p.direct(), p.code.step_weights) {
            size_t widest = 0;
            for (const Layer &layer : p.layers) {
                margins.emplace_back(p.code.steps * whole_vectors(layer.outputs));
                currents.emplace_back(layer.constants && p.learns() ? margins.back().size() : 0);
                widest = std::max(widest, margins.back().size());
            }
            if (!p.stages.empty())
                widest = std::max<size_t>(widest, p.code.steps * whole_vectors(p.stages.back().outputs()));
            flow.resize(widest);
            fired.resize(p.layers.back().outputs * p.words());
        }
    };

    void pass(int64_t first, int64_t count, const Client &client, Scratch &scratch, Trace &trace) {
        for (int64_t b = 0; b < count; ++b) trace.x[b] = batch.image(first + b);
        if (drives())
            affine(trace.x, count, client.forward[0], scratch.driven.data(), &samples.count(0, first));
        for (int64_t b = 0; b < count; ++b) {
            const int64_t item = first + b, classes = layers.back().outputs;
            typename Trace::Sample &sample = trace.of[b];
            float *score = scores + item * classes;
            if (!trace.x[b]) {
                std::fill_n(score, classes, 0.0f);
                continue;
            }
            enter(trace.x[b], scratch.driven.data() + (drives() ? b * client.forward[0].width : 0), item, client, scratch,
                  sample);
            if (!stages.empty()) {
                scratch.stack.forward(client.filters, sample.fired[0].data());
                count_stages(item, scratch.stack);
            }
            for (size_t l = 0; l < layers.size(); ++l) {
                currents(l, item, client, scratch, sample);
                fire(l, item, client, scratch, sample, score);
            }
            if (learns()) back(item, client, scratch, sample, score);
        }
    }

    // From a sample's pixels, or the currents that they drive, to what enters the first stage or linear layer.
    void enter(const float *image, const float *driven, int64_t item, const Client &client, Scratch &scratch,
               typename Trace::Sample &sample) {
        if (dropout) scratch.stays(item);
        if (drives()) {
            const int64_t width = client.forward[0].width;
            for (int64_t t = 0; t < code.steps; ++t) std::copy_n(driven, width, &scratch.flow[t * width]);
            return;
        }
        std::vector<uint64_t> &fired = sample.fired[0];
        const Shape pixels{batch.clients, batch.samples, code.steps, batch.inputs};
        const auto encode = [&](uint64_t *trains) {
            scratch.encoder(pixels, code, image, item / batch.samples, item % batch.samples, trains);
        };
        if (stages.empty()) {
            encode(fired.data());
            samples.count(0, item) = popcount(fired.data(), fired.size());
            return;
        }
        if (direct()) {
            scratch.stack.enter(image, client.filters[0]);
        } else {
            encode(scratch.trains.data());
            scratch.stack.enter(scratch.trains.data(), words());
        }
        std::fill(fired.begin(), fired.end(), 0);
    }

    void count_stages(int64_t item, const Stack &stack) {
        for (size_t l = 0; l < stages.size(); ++l) {
            samples.count(3 * l, item) = stack.entered[l];
            samples.count(3 * l + 1, item) = stack.met[l];
            samples.count(3 * l + 2, item) = stack.left[l];
        }
        samples.count(3 * stages.size(), item) = stack.behind;
    }

    // The currents of a linear layer, in scratch.flow.
    void currents(size_t l, int64_t item, const Client &client, Scratch &scratch, const typename Trace::Sample &sample) {
        const uint64_t *spikes = sample.fired[l].data();
        if (l) samples.count(3 * stages.size() + l, item) = popcount(spikes, inputs(l) * words());
        for (int64_t plane = 0; (l || !drives()) && plane < planes(l); ++plane)
            client.forward[l].currents(in(l), spikes + plane * inputs(l) * words(), step_weights(l, plane), plane > 0,
                                       scratch.flow.data());
    }

    // From there to the spikes of its neurons; of the last to scores.
    void fire(size_t l, int64_t item, const Client &client, Scratch &scratch, typename Trace::Sample &sample,
              float *score) {
        const size_t last = layers.size() - 1;
        const Shape s{batch.clients, batch.samples, code.steps, layers[l].outputs};
        const float *constants = client.constants[l].empty() ? nullptr : client.constants[l].data();
        std::copy_n(scratch.flow.data(), scratch.currents[l].size(), scratch.currents[l].data());
        if (l == last && reads_membranes()) return read_membranes(s, constants, scratch.flow.data(), score);
        uint64_t *out = l == last ? scratch.fired.data() : sample.fired[l + 1].data();
        if (constants)
            scan_learned(s, neuron, constants, scratch.flow.data(), scratch.margins[l].data(), out);
        else
            scan(s, neuron, scratch.flow.data(), scratch.margins[l].data(), out);
        if (dropout && l < last) {
            const uint64_t *stays = scratch.stays.of(layers, l);
            for (int64_t w = 0; w < s.neurons * words(); ++w) out[w] &= stays[w];
        }
        if (l < last) return;
        samples.count(3 * stages.size() + layers.size(), item) = popcount(scratch.fired.data(), scratch.fired.size());
        for (int64_t c = 0; c < layers[last].outputs; ++c) {
            const uint64_t *train = &scratch.fired[c * words()];
            score[c] = read_out == ReadOut::count ? popcount(train, words()) : -silence(train, 0);
        }
    }

    // Steps from one on before the next spike.
    int64_t silence(const uint64_t *train, int64_t from) const {
        int64_t t = from;
        while (t < code.steps && !(train[t / 64] >> t % 64 & 1)) ++t;
        return t - from;
    }

    bool reads_membranes() const { return read_out == ReadOut::membrane || read_out == ReadOut::membrane_sum; }

    // score = mean or sum over t of the membrane, in place of the currents
    void read_membranes(const Shape &s, const float *constants, float *flow, float *score) const {
        const int64_t width = whole_vectors(s.neurons);
        for_columns(neuron, constants, width, [&](int64_t i, const auto &n, auto SYNAPSE) {
            leak<SYNAPSE>(s.steps, width, n, flow + i);
        });
        std::fill_n(score, s.neurons, 0.0f);
        for (int64_t t = 0; t < s.steps; ++t)
            for (int64_t o = 0; o < s.neurons; ++o) score[o] += flow[t * width + o];
        for (int64_t o = 0; read_out == ReadOut::membrane && o < s.neurons; ++o) score[o] /= s.steps;
    }

    // From dL/dscore[class] to dL/dS[step][class], or to that of membranes; of the time of a first spike, see
    // parts/read_outs/first_spike.py.
    void spread_slopes(const uint64_t *fired, int64_t classes, int64_t width, float *flow) const {
        if (read_out == ReadOut::membrane)
            for (int64_t o = 0; o < width; ++o) flow[o] /= code.steps;
        for (int64_t t = 1; t < code.steps; ++t) std::copy_n(flow, width, flow + t * width);
        for (int64_t c = 0; read_out == ReadOut::first && c < classes; ++c) {
            const uint64_t *train = fired + c * words();
            const int64_t before = silence(train, 0);
            const int64_t once = before < code.steps ? 1 + silence(train, before + 1) : 0;
            for (int64_t t = 0; t < code.steps; ++t)
                flow[t * width + c] *= (float)(t < before ? before - t : t == before ? once : 0);
        }
    }

    void back(int64_t item, const Client &client, Scratch &scratch, typename Trace::Sample &sample,
              const float *score) {
        for (size_t l = layers.size(); l-- > 0;) unfire(l, item, client, scratch, sample, score);
        if (stages.empty()) return;
        client.back[0].through(code.steps, sample.delta[0].data(), scratch.flow.data());
        scratch.stack.back(client.filters, scratch.flow.data(), client.back[0].width, sample.filters);
    }

    // dL/dI of a linear layer's neurons, from that of the next or, of the last, from the scores.
    void unfire(size_t l, int64_t item, const Client &client, Scratch &scratch, typename Trace::Sample &sample,
                const float *score) {
        const int64_t width = whole_vectors(layers[l].outputs);
        const bool last = l + 1 == layers.size();
        float *flow = scratch.flow.data(), *delta = sample.delta[l].data(), *into = sample.constants[l].data();
        const float *constants = client.constants[l].empty() ? nullptr : client.constants[l].data();
        const float *currents = scratch.currents[l].data();
        if (last)
            from_scores(item, scratch, score, flow);
        else
            client.back[l + 1].through(code.steps, sample.delta[l + 1].data(), flow);
        if (dropout && !last) leave_out(scratch.stays.of(layers, l), scratch.stays.scale, layers[l].outputs, width, flow);
        if (last && reads_membranes()) {
            for_columns(neuron, constants, width, [&](int64_t i, const auto &n, auto SYNAPSE) {
                leak_back<SYNAPSE>(code.steps, width, n, flow + i, delta + i);
            });
            if (constants) leak_constants_back(code.steps, width, neuron, constants, currents, flow, into);
        } else if (constants) {
            scan_learned_back(code.steps, width, neuron, constants, currents, flow, delta, into);
        } else {
            scan_back(code.steps, width, neuron, scratch.margins[l].data(), flow, delta);
        }
    }

    // Of dL/d of what a layer handed on, from the sums behind it: 0 where it was left out.
    void leave_out(const uint64_t *stays, float scale, int64_t neurons, int64_t width, float *flow) const {
        std::vector<uint64_t> trains(neurons);
        for (int64_t word = 0; word < words(); ++word) {
            for (int64_t o = 0; o < neurons; ++o) trains[o] = stays[o * words() + word];
            const int64_t steps = std::min<int64_t>(64, code.steps - 64 * word);
            for (int64_t t = 0; t < steps; ++t) {
                float *row = flow + (64 * word + t) * width;
                for (int64_t o = 0; o < neurons; ++o) row[o] *= (float)(int64_t)(trains[o] >> t & 1) * scale;
            }
        }
    }

    // A sample's loss, and dL/dS[step][class], or that of membranes.
    void from_scores(int64_t item, const Scratch &scratch, const float *score, float *flow) {
        const int64_t client = item / batch.samples, classes = layers.back().outputs, width = whole_vectors(classes);
        std::fill_n(flow, width, 0.0f);
        samples.losses[item] = slopes_of(loss, client, item, classes, samples.present[client], score, flow);
        spread_slopes(scratch.fired.data(), classes, width, flow);
    }

    void add(int64_t count, const Trace &trace, Gradients &sums, int64_t part, int64_t parts) const {
        for (int64_t b = 0; !part && b < count; ++b)
            for (size_t l = 0; trace.x[b] && l < stages.size(); ++l) sums.filters[l].add(trace.of[b].filters[l]);
        for (size_t l = 0; l < layers.size(); ++l) {
            const int64_t from = cut(inputs(l), part, parts), to = cut(inputs(l), part + 1, parts);
            for (int64_t b = 0; !part && b < count; ++b)
                for (size_t i = 0; trace.x[b] && i < trace.of[b].constants[l].size(); ++i)
                    sums.constants[l][i] += trace.of[b].constants[l][i];
            if (l == 0 && drives()) {
                add_direct(count, trace, sums.layers[0], from, to);
                continue;
            }
            for (int64_t b = 0; b < count; ++b)
                for (int64_t plane = 0; trace.x[b] && plane < planes(l); ++plane)
                    sums.layers[l].add(in(l), trace.of[b].fired[l].data() + plane * inputs(l) * words(),
                                       trace.of[b].delta[l].data(), step_weights(l, plane), plane > 0, from, to);
        }
    }

    void add_direct(int64_t count, const Trace &trace, Gradient &sum, int64_t from, int64_t to) const {
        const int64_t width = sum.width;
        Floats over_steps(count * width);
        for (int64_t b = 0; b < count; ++b) {
            if (!trace.x[b]) continue;
            const float *delta = trace.of[b].delta[0].data();
            for (int64_t t = 0; t < code.steps; ++t)
                for (int64_t o = 0; o < width; ++o) over_steps[b * width + o] += delta[t * width + o];
            for (int64_t o = 0; o < width; ++o) sum.bias[o] += over_steps[b * width + o];
        }
        for (int64_t b = 0; b < count; b += 64) {
            const int64_t some = std::min<int64_t>(64, count - b);
            const Values x(trace.x.begin() + b, trace.x.begin() + b + some);
            affine_gradient(x, some, &over_steps[b * width], from, to, sum);
        }
    }
};

void spiking(const Batch &batch, const Code &code, Neuron neuron, ReadOut read_out, const Stages &stages,
             const Layers &layers, const Loss &loss, Dropout dropout, float *scores, int64_t *events) {
    Spiking program{batch, code, neuron, read_out, stages, layers, loss, dropout, scores};
    run(program, events);
}

}  // namespace
}  // namespace fedspike
