// How clients, their samples and the threads are brought together; what a network computes is in spiking.hpp and
// conventional.hpp. A program P says, for blocks of samples:
//
//   block(), trace_bytes()                  samples of a block, and what its trace takes
//   Trace(p)                                what a block leaves behind for the gradients
//   Scratch(p)                              what a thread needs for one block after the other
//   pass(first, count, client, scratch, trace)
//                                           samples to scores and, to learn, back to what the trace holds
//   add(count, trace, sums, i, n)           the block's share of the gradients, inputs number i of n of every layer
#pragma once
#include <cmath>

#include <omp.h>

#include "adam.hpp"
#include "linear.hpp"
#include "stages.hpp"

namespace fedspike {
namespace {

// Bytes of the traces of one block, and of all blocks that are in memory at a time where threads share a client.
constexpr int64_t TRACE = 1 << 25, TOGETHER = 1 << 27;

// What enters the first layer: pixels, or what the stages before it leave.
inline int64_t inputs_of(const Batch &batch, const Stages &stages) {
    return stages.empty() ? batch.inputs : stages.back().outputs();
}

// The weights of one client after the other, laid out to be computed with.
struct Client {
    const Layers &layers;
    std::vector<Filters> filters;
    std::vector<Columns> forward;
    std::vector<Rows> back;         // not needed where nothing with weights stands before
    std::vector<Floats> constants;  // of neurons that have learned theirs, in padded rows; empty: they have not

    template <typename P>
    explicit Client(const P &p) : layers(p.layers) {
        const bool learns = p.loss.kind != Loss::none;
        for (const Stage &stage : p.stages) filters.emplace_back(stage, learns && !filters.empty());
        int64_t inputs = inputs_of(p.batch, p.stages);
        for (const Layer &layer : layers) {
            const bool first = forward.empty() && filters.empty();
            forward.emplace_back(inputs, layer.outputs);
            back.emplace_back(first || !learns ? 0 : inputs, layer.outputs);
            constants.emplace_back(layer.constants ? CONSTANTS * whole_vectors(layer.outputs) : 0);
            inputs = layer.outputs;
        }
    }

    void fill(int64_t k) {
        for (Filters &one : filters) one.fill(k);
        for (size_t l = 0; l < layers.size(); ++l) {
            const float *weight = layers[l].weight + k * forward[l].inputs * layers[l].outputs;
            forward[l].fill(weight, layers[l].bias + k * layers[l].outputs);
            if (back[l].inputs) back[l].fill(weight);
            const int64_t outputs = layers[l].outputs;
            if (layers[l].constants)
                copy_rows(CONSTANTS, outputs, layers[l].constants + k * CONSTANTS * outputs, outputs, constants[l].data(),
                          whole_vectors(outputs));
        }
    }

    // What the way back needs, of weights that were stepped.
    void turn() {
        for (size_t l = 0; l < layers.size(); ++l)
            if (back[l].inputs) back[l].fill(forward[l]);
    }

    void store(int64_t k) const {
        for (size_t l = 0; l < layers.size(); ++l)
            forward[l].store(layers[l].into_weight + k * forward[l].inputs * layers[l].outputs,
                             layers[l].into_bias + k * layers[l].outputs);
    }
};

// Writes dL/dscore of a client's sample, where its loss is the mean over `present` samples; returns the sample's own.
inline float slopes_of(const Loss &loss, int64_t client, int64_t item, int64_t classes, int64_t present,
                       const float *score, float *slope) {
    if (loss.kind == Loss::given) {
        std::copy_n(loss.slopes + item * classes, classes, slope);
        return 0;
    }
    const int64_t label = loss.labels[item];
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
    const float *scale = loss.scale ? loss.scale + client * classes : nullptr;
    const float *shift = loss.scale ? loss.shift + client * classes : nullptr;
    for (int64_t c = 0; c < classes; ++c) slope[c] = scale ? scale[c] * score[c] + shift[c] : score[c];
    const float largest = *std::max_element(slope, slope + classes), right = slope[label] - largest;
    float sum = 0;
    for (int64_t c = 0; c < classes; ++c) sum += slope[c] = std::exp(slope[c] - largest);
    for (int64_t c = 0; c < classes; ++c) slope[c] = share * (slope[c] / sum - (c == label));
    if (scale)
        for (int64_t c = 0; c < classes; ++c) slope[c] *= scale[c];
    return std::log(sum) - right;
}

// The gradients of one client while they grow.
struct Gradients {
    std::vector<FilterGradient> filters;
    std::vector<Gradient> layers;
    std::vector<Floats> constants;

    template <typename P>
    explicit Gradients(const P &p) {
        for (const Stage &stage : p.stages) filters.emplace_back(stage);
        int64_t inputs = inputs_of(p.batch, p.stages);
        for (const Layer &layer : p.layers) {
            layers.emplace_back(inputs, layer.outputs);
            constants.emplace_back(layer.constants ? CONSTANTS * whole_vectors(layer.outputs) : 0);
            inputs = layer.outputs;
        }
    }

    void clear() {
        for (FilterGradient &sum : filters) sum.clear();
        for (Gradient &sum : layers) sum.clear();
        for (Floats &sum : constants) std::fill(sum.begin(), sum.end(), 0.0f);
    }

    // Of stages and constants all at once, with the first part.
    template <typename P>
    void store(const P &p, int64_t k, int64_t part, int64_t parts) const {
        for (size_t l = 0; !part && l < filters.size(); ++l) filters[l].store(p.stages[l], k);
        for (size_t l = 0; !part && l < layers.size(); ++l)
            if (const int64_t outputs = layers[l].outputs; !constants[l].empty())
                copy_rows(CONSTANTS, outputs, constants[l].data(), layers[l].width,
                          p.layers[l].into_constants + k * CONSTANTS * outputs, outputs);
        for (size_t l = 0; l < layers.size(); ++l) {
            const int64_t inputs = layers[l].inputs, outputs = layers[l].outputs;
            layers[l].store(p.layers[l].into_weight + k * inputs * outputs, p.layers[l].into_bias + k * outputs,
                            cut(inputs, part, parts), cut(inputs, part + 1, parts));
        }
    }
};

template <typename P>
void infer(P &p) {
    const int64_t blocks = (p.batch.samples + p.block() - 1) / p.block();
#pragma omp parallel
    {
        Client client(p);
        typename P::Trace trace(p);
        typename P::Scratch scratch(p);
        int64_t filled = -1;
#pragma omp for schedule(dynamic)
        for (int64_t item = 0; item < p.batch.clients * blocks; ++item) {
            const int64_t k = item / blocks, first = item % blocks * p.block();
            if (k != filled) client.fill(k);
            filled = k;
            p.pass(k * p.batch.samples + first, std::min(p.block(), p.batch.samples - first), client, scratch, trace);
        }
    }
}

// The moments of a client's weights, where it learns step by step; of linear layers alone. Weights are stepped where they
// are computed with, so that nothing is laid out anew from one minibatch to the next but what the way back needs.
struct Moments {
    const Adam *adam;
    std::vector<Gradients> both;

    template <typename P>
    explicit Moments(const P &p) : adam(p.loss.adam), both(adam ? 2 : 0, Gradients(p)) {}

    void clear() {
        for (Gradients &one : both) one.clear();
    }

    // One part of the inputs of every layer.
    void step(int64_t number, const Gradients &sums, Client &client, int64_t part, int64_t parts) {
        const AdamStep step(*adam, number);
        for (size_t l = 0; l < sums.layers.size(); ++l) {
            const Gradient &sum = sums.layers[l];
            Gradient &m = both[0].layers[l], &v = both[1].layers[l];
            Columns &now = client.forward[l];
            const int64_t from = cut(now.inputs, part, parts) * now.width;
            const int64_t count = cut(now.inputs, part + 1, parts) * now.width - from;
            step(count, &sum.weight[from], &now.weight[from], &m.weight[from], &v.weight[from]);
            if (!part) step(now.width, sum.bias.data(), now.bias.data(), m.bias.data(), v.bias.data());
        }
    }
};

// Calls minibatch(step, client's number in the batch) for the minibatches of model k that are not empty, which are the
// first ones; without steps for the only one.
template <typename P, typename Minibatch>
void for_minibatches(const P &p, int64_t k, const Minibatch &minibatch) {
    for (int64_t step = 0; step < p.batch.steps(); ++step) {
        const int64_t number = step * p.batch.models + k;
        if (!p.loss.adam || p.samples.present[number]) minibatch(step, number);
    }
}

// A thread takes a client as a whole.
template <typename P>
void learn_apart(P &p, int64_t clients) {
#pragma omp parallel
    {
        Client client(p);
        typename P::Trace trace(p);
        typename P::Scratch scratch(p);
        Gradients sums(p);
        Moments moments(p);
#pragma omp for schedule(dynamic)
        for (int64_t k = 0; k < clients; ++k) {
            client.fill(k);
            moments.clear();
            for_minibatches(p, k, [&](int64_t step, int64_t number) {
                sums.clear();
                const int64_t end = (number + 1) * p.batch.samples;
                for (int64_t first = number * p.batch.samples; first < end; first += p.block()) {
                    const int64_t count = std::min(p.block(), end - first);
                    p.pass(first, count, client, scratch, trace);
                    p.add(count, trace, sums, 0, 1);
                }
                if (!moments.adam) return sums.store(p, k, 0, 1);
                moments.step(step + 1, sums, client, 0, 1);
                client.turn();
            });
            if (moments.adam) client.store(k);
        }
    }
}

// All threads share a client: first its samples, then its inputs. The sums are the same. No more traces are kept at a
// time than fit in TOGETHER bytes, or one for each thread.
template <typename P>
void learn_together(P &p, int64_t k) {
    Client client(p);
    client.fill(k);
    const int64_t blocks = (p.batch.samples + p.block() - 1) / p.block();
    const int64_t parts = omp_get_max_threads(), room = std::max(parts, TOGETHER / p.trace_bytes());
    std::vector<typename P::Trace> traces(std::min(blocks, room), typename P::Trace(p));
    std::vector<Gradients> sums(parts, Gradients(p));
    Moments moments(p);
    const auto count = [&](int64_t block) { return std::min(p.block(), p.batch.samples - block * p.block()); };
#pragma omp parallel
    {
        typename P::Scratch scratch(p);
        for_minibatches(p, k, [&](int64_t step, int64_t number) {
            const int64_t start = number * p.batch.samples;
            for (int64_t first = 0; first < blocks; first += room) {
                const int64_t last = std::min(first + room, blocks);
#pragma omp for schedule(dynamic)
                for (int64_t block = first; block < last; ++block)
                    p.pass(start + block * p.block(), count(block), client, scratch, traces[block - first]);
#pragma omp for schedule(static)
                for (int64_t part = 0; part < parts; ++part)
                    for (int64_t block = first; block < last; ++block)
                        p.add(count(block), traces[block - first], sums[part], part, parts);
            }
#pragma omp for schedule(static)
            for (int64_t part = 0; part < parts; ++part) {
                if (!moments.adam) {
                    sums[part].store(p, k, part, parts);
                } else {
                    moments.step(step + 1, sums[part], client, part, parts);
                    sums[part].clear();
                }
            }
#pragma omp single
            if (moments.adam) client.turn();
        });
    }
    if (moments.adam) client.store(k);
}

// What is known of every sample while the threads work, and of every client in the end: sums in the samples' order.
// `events` are of the layers and, before them, three of each stage: those that entered, the synapses that they met, and
// those that left its neurons. Behind the layers stand the spikes that left the last one.
struct Samples {
    const Batch &batch;
    std::vector<int64_t> present;  // samples of each client that are no padding
    std::vector<int64_t> events;   // [count][client][sample]
    std::vector<float> losses;     // [client][sample]

    Samples(const Batch &batch, const Stages &stages, const Layers &layers)
        : batch(batch), present(batch.clients),
          events((3 * stages.size() + layers.size() + 1) * batch.clients * batch.samples),
          losses(batch.clients * batch.samples) {
        for (int64_t item = 0; item < batch.clients * batch.samples; ++item)
            present[item / batch.samples] += batch.positions[item] >= 0;
    }

    int64_t &count(int64_t number, int64_t item) { return events[number * batch.clients * batch.samples + item]; }

    void sum(int64_t *events_in, double *mean_losses) const {
        const int64_t per_layer = batch.clients * batch.samples, layers = events.size() / per_layer;
        std::fill_n(events_in, layers * batch.clients, 0);
        for (int64_t i = 0; i < layers * per_layer; ++i) events_in[i / batch.samples] += events[i];
        if (!mean_losses) return;
        std::fill_n(mean_losses, batch.clients, 0.0);
        for (int64_t i = 0; i < per_layer; ++i) mean_losses[i / batch.samples] += losses[i];
        for (int64_t k = 0; k < batch.clients; ++k) mean_losses[k] /= present[k];
    }
};

template <typename P>
void run(P &p, int64_t *events_in) {
    if (p.loss.kind == Loss::none) {
        infer(p);
    } else {
        const int64_t apart = p.batch.models - p.batch.models % omp_get_max_threads();
        if (apart) learn_apart(p, apart);
        for (int64_t k = apart; k < p.batch.models; ++k) learn_together(p, k);
    }
    p.samples.sum(events_in, p.loss.losses);
}

}  // namespace
}  // namespace fedspike
