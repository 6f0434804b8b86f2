// A network of LIF layers behind linear ones: sample by sample through all layers and, to learn, back again, so
// that nothing but spikes in and gradients out leaves the cache.
#pragma once
#include "lif.hpp"
#include "linear.hpp"

namespace fedspike {
namespace {

constexpr int64_t BLOCK = 16;  // samples between two visits to the gradients

// What one client's samples meet: its layers, laid out for the panels.
struct Client {
    std::vector<Columns> forward;
    std::vector<Rows> back;  // not needed for the first layer

    Client(const Shape &in, const Layers &layers) {
        int64_t inputs = in.neurons;
        for (const Layer &layer : layers) {
            forward.emplace_back(inputs, layer.outputs);
            back.emplace_back(forward.size() == 1 ? 0 : inputs, layer.outputs);
            inputs = layer.outputs;
        }
    }

    void fill(const Layers &layers, int64_t k) {
        for (size_t l = 0; l < layers.size(); ++l) {
            const float *weight = layers[l].weight + k * forward[l].inputs * layers[l].outputs;
            forward[l].fill(weight, layers[l].bias + k * layers[l].outputs);
            if (l) back[l].fill(weight);
        }
    }
};

// What a sample leaves for the gradients: the spikes that entered every layer behind the first, and dL/dI of all.
struct Trace {
    std::vector<std::vector<uint64_t>> fired;
    std::vector<std::vector<float>> delta;

    Trace(const Shape &in, const Layers &layers, bool learning) {
        for (const Layer &layer : layers) {
            fired.emplace_back(layer.outputs * in.words());
            delta.emplace_back(learning ? in.steps * whole_vectors(layer.outputs) : 0);
        }
    }
};

// A thread's room for the sample at hand.
struct Scratch {
    std::vector<std::vector<float>> membrane;
    std::vector<float> flow;  // currents on the way there, dL/dS on the way back

    Scratch(const Shape &in, const Layers &layers) {
        size_t largest = 0;
        for (const Layer &layer : layers) {
            membrane.emplace_back(in.steps * whole_vectors(layer.outputs));
            largest = std::max(largest, membrane.back().size());
        }
        flow.resize(largest);
    }
};

inline int64_t popcount(const uint64_t *words, int64_t count) {
    int64_t ones = 0;
    for (int64_t w = 0; w < count; ++w) ones += __builtin_popcountll(words[w]);
    return ones;
}

struct Program {
    Shape in;
    const Layers &layers;
    const uint64_t *trains;
    const float *targets, *slopes;  // null: only forward
    float *scores;
    int64_t *events;

    Shape out(size_t l) const { return {in.clients, in.samples, in.steps, layers[l].outputs}; }
    const uint64_t *entering(int64_t sample) const { return trains + sample * in.neurons * in.words(); }

    void pass(int64_t sample, const Client &client, Scratch &scratch, Trace &trace) const {
        const int64_t samples = in.clients * in.samples, classes = layers.back().outputs;
        const uint64_t *spikes = entering(sample);
        Shape from = in;
        for (size_t l = 0; l < layers.size(); ++l) {
            events[l * samples + sample] = popcount(spikes, from.neurons * in.words());
            client.forward[l].currents(from, spikes, scratch.flow.data());
            scan(out(l), layers[l].neuron, scratch.flow.data(), scratch.membrane[l].data(), trace.fired[l].data());
            spikes = trace.fired[l].data();
            from = out(l);
        }
        float *score = scores + sample * classes;
        for (int64_t c = 0; c < classes; ++c) score[c] = popcount(spikes + c * in.words(), in.words());
        if (targets) back(sample, score, client, scratch, trace);
    }

    void back(int64_t sample, const float *score, const Client &client, Scratch &scratch, Trace &trace) const {
        const int64_t classes = layers.back().outputs, width = whole_vectors(classes);
        const float *target = targets + sample * classes;
        float *flow = scratch.flow.data();
        std::fill(flow, flow + width, 0.0f);
        for (int64_t c = 0; c < classes; ++c) flow[c] = slopes[sample] * (score[c] - target[c]);
        for (int64_t t = 1; t < in.steps; ++t) std::copy_n(flow, width, flow + t * width);
        for (size_t l = layers.size(); l-- > 0;) {
            float *delta = trace.delta[l].data();
            scan_back(in.steps, whole_vectors(layers[l].outputs), layers[l].neuron, scratch.membrane[l].data(), flow,
                      delta);
            if (l) client.back[l].through(in.steps, delta, flow);
        }
    }

    // Inputs number `part` of `parts` of every layer.
    void add(int64_t sample, const Trace &trace, std::vector<Gradient> &gradients, int64_t part, int64_t parts) const {
        for (size_t l = 0; l < layers.size(); ++l) {
            const int64_t inputs = gradients[l].inputs;
            gradients[l].add(l ? out(l - 1) : in, l ? trace.fired[l - 1].data() : entering(sample),
                             trace.delta[l].data(), cut(inputs, part, parts), cut(inputs, part + 1, parts));
        }
    }

    void store(int64_t k, const std::vector<Gradient> &gradients, int64_t part, int64_t parts) const {
        for (size_t l = 0; l < layers.size(); ++l) {
            const int64_t inputs = gradients[l].inputs, outputs = gradients[l].outputs;
            gradients[l].store(layers[l].into_weight + k * inputs * outputs, layers[l].into_bias + k * outputs,
                               cut(inputs, part, parts), cut(inputs, part + 1, parts));
        }
    }

    std::vector<Gradient> gradients() const {
        std::vector<Gradient> gradients;
        for (size_t l = 0; l < layers.size(); ++l)
            gradients.emplace_back(l ? layers[l - 1].outputs : in.neurons, layers[l].outputs);
        return gradients;
    }

    void infer() const {
        std::vector<Client> clients(in.clients, Client(in, layers));
#pragma omp parallel
        {
            Scratch scratch(in, layers);
            Trace trace(in, layers, false);
#pragma omp for schedule(static)
            for (int64_t k = 0; k < in.clients; ++k) clients[k].fill(layers, k);
#pragma omp for schedule(dynamic, 8)
            for (int64_t sample = 0; sample < in.clients * in.samples; ++sample)
                pass(sample, clients[sample / in.samples], scratch, trace);
        }
    }

    // A thread takes a client as a whole.
    void learn_apart(int64_t clients) const {
#pragma omp parallel
        {
            Client client(in, layers);
            Scratch scratch(in, layers);
            std::vector<Trace> traces(BLOCK, Trace(in, layers, true));
            std::vector<Gradient> sums = gradients();
#pragma omp for schedule(dynamic)
            for (int64_t k = 0; k < clients; ++k) {
                client.fill(layers, k);
                for (Gradient &sum : sums) sum.clear();
                for (int64_t first = k * in.samples; first < (k + 1) * in.samples; first += BLOCK) {
                    const int64_t count = std::min(BLOCK, (k + 1) * in.samples - first);
                    for (int64_t i = 0; i < count; ++i) pass(first + i, client, scratch, traces[i]);
                    for (int64_t i = 0; i < count; ++i) add(first + i, traces[i], sums, 0, 1);
                }
                store(k, sums, 0, 1);
            }
        }
    }

    // All threads share a client: first its samples, then its inputs. The sums are the same.
    void learn_together(int64_t k) const {
        Client client(in, layers);
        client.fill(layers, k);
        std::vector<Trace> traces(in.samples, Trace(in, layers, true));
        const int64_t parts = omp_get_max_threads();
#pragma omp parallel
        {
            Scratch scratch(in, layers);
            std::vector<Gradient> sums = gradients();
#pragma omp for schedule(dynamic, 4)
            for (int64_t i = 0; i < in.samples; ++i) pass(k * in.samples + i, client, scratch, traces[i]);
#pragma omp for schedule(static)
            for (int64_t part = 0; part < parts; ++part) {
                for (int64_t i = 0; i < in.samples; ++i) add(k * in.samples + i, traces[i], sums, part, parts);
                store(k, sums, part, parts);
            }
        }
    }
};

void network(Shape in, const Layers &layers, const uint64_t *trains, const float *targets, const float *slopes,
             float *scores, int64_t *events) {
    const Program program{in, layers, trains, targets, slopes, scores, events};
    if (!targets) return program.infer();
    const int64_t apart = in.clients - in.clients % omp_get_max_threads();
    if (apart) program.learn_apart(apart);
    for (int64_t k = apart; k < in.clients; ++k) program.learn_together(k);
}

}  // namespace
}  // namespace fedspike
