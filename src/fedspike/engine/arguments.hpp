// What Python hands to the kernels. Shapes are checked here, so that a wrong one is an error and never a crash.
#pragma once
#include "kernels.hpp"

#include <array>
#include <initializer_list>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

namespace fedspike {
namespace {

namespace nb = nanobind;

template <typename T, int D>
using Array = nb::ndarray<T, nb::ndim<D>, nb::c_contig, nb::device::cpu>;

void demand(bool right, const char *what) {
    if (!right) throw std::invalid_argument(what);
}

template <typename A>
bool has_shape(const A &array, std::initializer_list<int64_t> shape) {
    size_t axis = 0;
    for (int64_t size : shape)
        if ((int64_t)array.shape(axis++) != size) return false;
    return axis == array.ndim();
}

template <typename Kind>
Kind named(const std::string &name, std::initializer_list<std::pair<const char *, Kind>> kinds) {
    for (const auto &[one, kind] : kinds)
        if (one == name) return kind;
    throw std::invalid_argument("no such kind: " + name);
}

// How pixels become what enters the first layer; see Code.
struct Encoding {
    decltype(Code::kind) kind;
    int64_t steps;
    uint64_t round;
    std::vector<int64_t> clients, first_samples;
    std::array<uint64_t, 2> key;
    float gain;
    std::optional<Array<const int64_t, 2>> table;
    std::optional<std::vector<float>> step_weights;
    int64_t above;

    Encoding(const std::string &kind, int64_t time_steps, uint64_t round, std::vector<int64_t> clients,
             std::vector<int64_t> first_samples, std::array<uint64_t, 2> key, float gain,
             std::optional<Array<const int64_t, 2>> table, std::optional<std::vector<float>> step_weights,
             int64_t above)
        : kind(named<decltype(Code::kind)>(kind, {{"rate", Code::rate}, {"table", Code::table}, {"direct", Code::direct}, {"recorded", Code::recorded}})),
          steps(time_steps), round(round), clients(std::move(clients)), first_samples(std::move(first_samples)),
          key(key), gain(gain), table(std::move(table)), step_weights(std::move(step_weights)), above(above) {
        demand(steps >= 1, "at least one step");
        demand(this->clients.size() == this->first_samples.size(), "a first sample for each client");
        demand(this->table.has_value() == (this->kind == Code::table), "a table with a code that has one");
        demand(!this->table || has_shape(*this->table, {LEVELS, (steps + 63) / 64}),
               "a table has a row for each of 65,536 levels, as long as a train");
        demand(above >= 0, "a pixel that stands before");
        demand(!this->step_weights || (int64_t)this->step_weights->size() == steps, "a weight for each step");
    }

    Code of(int64_t clients_there) const {
        demand((int64_t)clients.size() == clients_there, "a client for each one of the batch");
        return {kind, steps, {key[0], key[1]}, round, gain, clients.data(), first_samples.data(),
                table ? reinterpret_cast<const uint64_t *>(table->data()) : nullptr,
                step_weights ? step_weights->data() : nullptr, above};
    }
};

// What stands between a layer's synapses and its neurons; see Norm. Means and variances are read and written.
struct Normalisation {
    Array<const float, 3> gamma;
    Array<float, 3> mean, variance;
    Array<const bool, 1> by_batch;
    float epsilon;
    std::optional<Array<float, 3>> into_gamma;

    Norm of(int64_t clients, int64_t channels, bool learns) const {
        const int64_t steps = gamma.shape(1);
        const auto fits = [&](const auto &array) { return has_shape(array, {clients, steps, channels}); };
        demand(fits(gamma) && fits(mean) && fits(variance) && has_shape(by_batch, {clients}) &&
                   (!learns || (into_gamma && fits(*into_gamma))),
               "a normalisation does not fit");
        return {gamma.data(), mean.data(), variance.data(), learns ? into_gamma->data() : nullptr, by_batch.data(),
                epsilon, steps};
    }
};

// A layer of all clients and, to learn, where its gradients go.
struct Weights {
    Array<const float, 3> weight;
    Array<const float, 2> bias;
    std::optional<Array<float, 3>> into_weight;
    std::optional<Array<float, 2>> into_bias;
    std::optional<Array<const float, 3>> constants;
    std::optional<Array<float, 3>> into_constants;
    std::optional<Normalisation> norm;

    // Of each output there are neurons at so many places.
    Layer of(int64_t clients, int64_t inputs, bool learns, int64_t places = 1) const {
        const int64_t outputs = weight.shape(1), neurons = outputs * places;
        demand(has_shape(weight, {clients, outputs, inputs}) && has_shape(bias, {clients, outputs}),
               "a weight or bias does not fit");
        demand(!constants || has_shape(*constants, {clients, CONSTANTS, neurons}), "constants do not fit");
        const float *learned = constants ? constants->data() : nullptr;
        const Norm behind = norm ? norm->of(clients, outputs, learns) : Norm{};
        if (!learns) return {outputs, weight.data(), bias.data(), nullptr, nullptr, learned, nullptr, behind};
        demand(into_weight && into_bias && has_shape(*into_weight, {clients, outputs, inputs}) &&
                   has_shape(*into_bias, {clients, outputs}),
               "a gradient does not fit");
        demand(!constants || (into_constants && has_shape(*into_constants, {clients, CONSTANTS, neurons})),
               "a gradient of constants does not fit");
        return {outputs, weight.data(), bias.data(), into_weight->data(), into_bias->data(), learned,
                into_constants ? into_constants->data() : nullptr, behind};
    }
};

// A convolution of all clients over images of some size, and the pool behind it.
struct Convolution {
    Weights weights;  // [client][channel][channel in of its group, row and column of the kernel]
    int64_t height, width, kernel, stride, padding, groups, window;
    bool maximum;

    Stage of(int64_t clients, int64_t inputs, bool learns) const {
        demand(std::min({height, width, kernel, stride, groups, window}) >= 1 && kernel <= LARGEST && window <= LARGEST &&
                   padding >= 0 && padding < kernel && kernel <= std::min(height, width) + 2 * padding &&
                   inputs % (height * width) == 0,
               "a convolution does not fit its images");
        const int64_t channels_in = inputs / (height * width);
        demand(channels_in % groups == 0 && weights.weight.shape(1) % groups == 0,
               "a convolution does not fit its groups");
        const auto outputs = [&](int64_t size) { return (size + 2 * padding - kernel) / stride + 1; };
        const Layer layer = weights.of(clients, channels_in / groups * kernel * kernel, learns,
                                       outputs(height) * outputs(width));
        const Stage stage{channels_in, height, width, layer.outputs, kernel, stride, padding, groups, window, maximum,
                          layer.weight, layer.bias, layer.into_weight, layer.into_bias, layer.constants,
                          layer.into_constants, layer.norm};
        demand(stage.rows_after() >= 1 && stage.columns_after() >= 1, "a pool does not fit its images");
        return stage;
    }
};

// What is learned, and where each client's mean loss goes; see Loss.
struct Wanted {
    decltype(Loss::kind) kind;
    Array<const int64_t, 2> labels;
    Array<double, 1> losses;
    float correct, incorrect, per_square;
    std::optional<Array<const float, 2>> scale, shift;
    std::optional<Array<const float, 3>> slopes;
    std::optional<Adam> adam;
};

// What a spiking and a conventional network have in common: a minibatch, layers, what is wanted, the results. With Adam
// there may be more minibatches than models.
struct Pass {
    Array<const float, 2> pixels;
    Array<const int64_t, 2> positions;
    std::vector<Weights> weights;
    std::optional<Wanted> wanted;
    Array<float, 3> scores;
    Array<int64_t, 2> events;
    std::vector<Convolution> convolutions;
    int64_t words;  // of the train that is there in place of each pixel, or 0

    Batch batch{(int64_t)positions.shape(0), (int64_t)positions.shape(1),
                (int64_t)pixels.shape(1) / std::max<int64_t>(1, 2 * words), pixels.data(), positions.data(), 1,
                (int64_t)pixels.shape(1)};
    Stages stages{};
    Layers layers{};
    Loss loss{Loss::none, nullptr, 0, 0, 0, nullptr, nullptr, nullptr, nullptr, nullptr};

    Pass(Array<const float, 2> pixels, Array<const int64_t, 2> positions, std::vector<Weights> weights,
         std::optional<Wanted> wanted, Array<float, 3> scores, Array<int64_t, 2> events,
         std::vector<Convolution> before, int64_t words)
        : pixels(pixels), positions(positions), weights(std::move(weights)), wanted(std::move(wanted)),
          scores(scores), events(events), convolutions(std::move(before)), words(words) {
        demand(words >= 0 && (!words || batch.inputs * 2 * words == batch.stored), "trains of whole words");
        for (int64_t item = 0; item < batch.clients * batch.samples; ++item)
            demand(batch.positions[item] >= -1 && batch.positions[item] < (int64_t)pixels.shape(0),
                   "a position beyond the pixels");
        demand(!this->weights.empty(), "layers do not fit: there are none");
        batch.models = this->weights[0].weight.shape(0);
        const bool in_steps = this->wanted && this->wanted->adam;
        demand(batch.models >= 1 && (in_steps ? batch.clients % batch.models == 0 : batch.clients == batch.models),
               "a minibatch for each model, or so many of each with Adam");
        int64_t size = batch.inputs;
        for (const Convolution &one : convolutions) {
            stages.push_back(one.of(batch.models, size, this->wanted.has_value()));
            size = stages.back().outputs();
        }
        for (const Weights &layer : this->weights) {
            layers.push_back(layer.of(batch.models, size, this->wanted.has_value()));
            demand(!in_steps || (stages.empty() && !layers.back().constants && !layers.back().norm.gamma),
                   "Adam steps linear layers only");
            size = layers.back().outputs;
        }
        demand(!layers.back().norm.gamma && has_shape(scores, {batch.clients, batch.samples, size}) &&
                   has_shape(events, {(int64_t)(3 * stages.size() + layers.size() + 1), batch.clients}),
               "layers, scores or events do not fit");
        if (this->wanted) learn(*this->wanted);
    }

    // Whether there are normalisations, behind all layers but the last; raises where only behind some, or of other steps.
    bool normalised(int64_t steps) const {
        std::vector<Norm> norms;
        for (const Stage &stage : stages) norms.push_back(stage.norm);
        for (const Layer &layer : layers) norms.push_back(layer.norm);
        norms.pop_back();
        int64_t there = 0;
        for (const Norm &norm : norms) {
            there += norm.gamma != nullptr;
            demand(!norm.gamma || norm.steps == steps, "a normalisation does not fit the steps");
        }
        demand(there == 0 || there == (int64_t)norms.size(), "a normalisation does not fit: others are missing");
        return there > 0;
    }

    void learn(const Wanted &one) {
        demand(has_shape(one.labels, {batch.clients, batch.samples}) && has_shape(one.losses, {batch.clients}),
               "labels or losses do not fit");
        for (const auto &calibration : {one.scale, one.shift})
            demand(calibration.has_value() == one.scale.has_value() &&
                       (!calibration || has_shape(*calibration, {batch.clients, layers.back().outputs})),
                   "scale or shift does not fit");
        const bool fit = one.slopes && has_shape(*one.slopes, {batch.clients, batch.samples, layers.back().outputs});
        demand(one.kind == Loss::given ? fit : !one.slopes, "slopes do not fit");
        loss = {one.kind, one.labels.data(), one.correct, one.incorrect, one.per_square, one.losses.data(),
                one.scale ? one.scale->data() : nullptr, one.shift ? one.shift->data() : nullptr,
                one.slopes ? one.slopes->data() : nullptr, one.adam ? &*one.adam : nullptr};
        for (int64_t item = 0; item < batch.clients * batch.samples; ++item)
            demand(batch.positions[item] < 0 || (loss.labels[item] >= 0 && loss.labels[item] < layers.back().outputs),
                   "a label beyond the classes");
    }
};

}  // namespace
}  // namespace fedspike
