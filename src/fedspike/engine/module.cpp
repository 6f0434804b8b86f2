// The Python face of the kernels: shapes are checked here, so that a wrong one is an error and never a crash.
#include "kernels.hpp"

#include <cmath>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>
#include <omp.h>

namespace nb = nanobind;
using namespace fedspike;

#define DECLARE(isa)              \
    namespace fedspike {          \
    extern const Kernels kernels_##isa; \
    }
DECLARE(baseline)
#if defined(__x86_64__)
DECLARE(avx2)
DECLARE(avx512)
#endif

namespace {

// What this processor can run, best first.
std::vector<std::pair<std::string, const Kernels *>> available() {
    std::vector<std::pair<std::string, const Kernels *>> sets;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        sets.emplace_back("AVX-512", &kernels_avx512);
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"))
        sets.emplace_back("AVX2", &kernels_avx2);
#endif
#if defined(__aarch64__)
    sets.emplace_back("NEON", &kernels_baseline);  // part of every 64-bit ARM
#else
    sets.emplace_back("baseline", &kernels_baseline);
#endif
    return sets;
}

const auto sets = available();
Kernels kernels = *sets.front().second;

void use_instruction_set(const std::string &name) {
    for (const auto &[known, set] : sets)
        if (known == name) {
            kernels = *set;
            return;
        }
    throw std::invalid_argument("this processor has no instruction set " + name);
}

template <typename T, int D>
using Array = nb::ndarray<T, nb::ndim<D>, nb::c_contig, nb::device::cpu>;

void demand(bool right, const char *what) {
    if (!right) throw std::invalid_argument(what);
}

void use(int threads) {
    demand(threads >= 1, "threads must be at least 1");
    omp_set_num_threads(threads);
}

using Bits = Array<int64_t, 4>;

uint64_t *words(const Bits &bits) { return reinterpret_cast<uint64_t *>(bits.data()); }

template <typename A>
bool holds(const Shape &s, const A &trains) {
    return (int64_t)trains.shape(0) == s.clients && (int64_t)trains.shape(1) == s.samples &&
           (int64_t)trains.shape(2) == s.neurons && (int64_t)trains.shape(3) == s.words();
}

template <typename A>
bool dense(const Shape &s, const A &values) {
    return (int64_t)values.shape(0) == s.clients && (int64_t)values.shape(1) == s.samples &&
           (int64_t)values.shape(2) == s.steps && (int64_t)values.shape(3) == s.neurons;
}

template <typename A>
Shape shape_of(const A &values) {
    return {(int64_t)values.shape(0), (int64_t)values.shape(1), (int64_t)values.shape(2), (int64_t)values.shape(3)};
}

void rate(Array<const float, 3> pixels, uint64_t key0, uint64_t key1, uint64_t round, Array<const int64_t, 1> clients,
          Array<const int64_t, 1> first_samples, int64_t steps, Bits trains, int threads) {
    const Shape s{(int64_t)pixels.shape(0), (int64_t)pixels.shape(1), steps, (int64_t)pixels.shape(2)};
    demand(steps >= 1 && holds(s, trains), "rate: trains do not fit the pixels");
    demand((int64_t)clients.shape(0) == s.clients && (int64_t)first_samples.shape(0) == s.clients,
           "rate: one client and one first sample for each client of the pixels");
    const uint64_t key[2] = {key0, key1};
    use(threads);
    nb::gil_scoped_release release;
    kernels.rate(s, pixels.data(), key, round, clients.data(), first_samples.data(), words(trains));
}

void lookup(Array<const float, 3> pixels, Array<const int64_t, 2> table, int64_t steps, Bits trains, int threads) {
    const Shape s{(int64_t)pixels.shape(0), (int64_t)pixels.shape(1), steps, (int64_t)pixels.shape(2)};
    demand(steps >= 1 && holds(s, trains), "lookup: trains do not fit the pixels");
    demand((int64_t)table.shape(0) == LEVELS && (int64_t)table.shape(1) == s.words(),
           "lookup: a table has a row for each of 65,536 levels, as long as a train");
    use(threads);
    nb::gil_scoped_release release;
    kernels.lookup(s, pixels.data(), reinterpret_cast<const uint64_t *>(table.data()), words(trains));
}

using NeuronOf = std::tuple<float, float, std::string>;

template <typename Kind>
Kind named(const std::string &name, const std::vector<std::pair<std::string, Kind>> &known) {
    for (const auto &[one, kind] : known)
        if (one == name) return kind;
    throw std::invalid_argument("no such kind: " + name);
}

Neuron neuron_of(const NeuronOf &given) {
    const auto &[beta, threshold, reset] = given;
    return {beta, threshold,
            named<Reset>(reset, {{"subtract", Reset::subtract}, {"zero", Reset::zero}, {"none", Reset::none}})};
}

void fire(Array<const float, 4> currents, Array<const bool, 2> present, const NeuronOf &neuron,
          Array<float, 4> membrane, Array<float, 4> spikes, Array<int64_t, 2> counts, int threads) {
    const Neuron of = neuron_of(neuron);
    const Shape s = shape_of(currents);
    demand(dense(s, membrane) && dense(s, spikes), "fire: outputs do not fit the currents");
    demand((int64_t)present.shape(0) == s.clients && (int64_t)present.shape(1) == s.samples &&
               (int64_t)counts.shape(0) == s.clients && (int64_t)counts.shape(1) == s.neurons,
           "fire: present or counts do not fit the currents");
    use(threads);
    nb::gil_scoped_release release;
    kernels.fire(s, of, currents.data(), present.data(), membrane.data(), spikes.data(), counts.data());
}

void fire_adjoint(Array<const float, 4> membrane, Array<const float, 4> into_spikes, const NeuronOf &neuron,
                  Array<float, 4> gradient, int threads) {
    const Neuron of = neuron_of(neuron);
    const Shape s = shape_of(membrane);
    demand(dense(s, into_spikes) && dense(s, gradient), "fire_adjoint: gradients do not fit the membrane");
    use(threads);
    nb::gil_scoped_release release;
    kernels.fire_adjoint(s, of, membrane.data(), into_spikes.data(), gradient.data());
}

template <typename L, typename S>
void fit_windows(const L &large, const S &small, int64_t size) {
    demand(size >= 1 && large.shape(0) == small.shape(0) && (int64_t)large.shape(1) == (int64_t)small.shape(1) * size &&
               (int64_t)large.shape(2) == (int64_t)small.shape(2) * size,
           "average: windows do not fit the images");
}

void average(Array<const float, 3> images, int64_t size, Array<float, 3> means, int threads) {
    fit_windows(images, means, size);
    use(threads);
    nb::gil_scoped_release release;
    kernels.average((int64_t)(means.shape(0) * means.shape(1)), (int64_t)images.shape(2), size, images.data(),
                    means.data());
}

void average_adjoint(Array<const float, 3> into_means, int64_t size, Array<float, 3> into_images, int threads) {
    fit_windows(into_images, into_means, size);
    use(threads);
    nb::gil_scoped_release release;
    kernels.average_adjoint((int64_t)(into_means.shape(0) * into_means.shape(1)), (int64_t)into_images.shape(2), size,
                            into_means.data(), into_images.data());
}

using PixelsAndPositions = std::tuple<Array<const float, 2>, Array<const int64_t, 2>>;
using WeightAndBias = std::tuple<Array<const float, 3>, Array<const float, 2>>;
using Gradients = std::tuple<Array<float, 3>, Array<float, 2>>;
// kind, labels, wanted score of the true class and of the others, factor of a squared distance, losses
using Wanted = std::tuple<std::string, Array<const int64_t, 2>, float, float, float, Array<double, 1>>;
// kind, steps, key, key, round, clients, first samples, table, step weights
using Encoding = std::tuple<std::string, int64_t, uint64_t, uint64_t, uint64_t, Array<const int64_t, 1>,
                            Array<const int64_t, 1>, std::optional<Array<const int64_t, 2>>,
                            std::optional<Array<const float, 1>>>;
template <typename W, typename B>
bool fits(const Shape &in, const Shape &out, const W &weight, const B &bias) {
    return (int64_t)weight.shape(0) == in.clients && (int64_t)weight.shape(1) == out.neurons &&
           (int64_t)weight.shape(2) == in.neurons && (int64_t)bias.shape(0) == in.clients &&
           (int64_t)bias.shape(1) == out.neurons;
}

template <typename A>
bool is(const A &array, int64_t a, int64_t b) {
    return (int64_t)array.shape(0) == a && (int64_t)array.shape(1) == b;
}

template <typename A>
bool is(const A &array, int64_t a, int64_t b, int64_t c) {
    return is(array, a, b) && (int64_t)array.shape(2) == c;
}

Batch batch_of(const PixelsAndPositions &given) {
    const auto &[pixels, positions] = given;
    const Batch batch{(int64_t)positions.shape(0), (int64_t)positions.shape(1), (int64_t)pixels.shape(1),
                      pixels.data(), positions.data()};
    for (int64_t item = 0; item < batch.clients * batch.samples; ++item)
        demand(batch.positions[item] >= -1 && batch.positions[item] < (int64_t)pixels.shape(0),
               "a position beyond the pixels");
    return batch;
}

// Everything that a spiking and a conventional network have in common.
struct Pass {
    Batch batch;
    Layers layers;
    Loss loss{Loss::none, nullptr, 0, 0, 0, nullptr};

    Pass(const PixelsAndPositions &given, const std::vector<WeightAndBias> &weights,
         const std::optional<Wanted> &wanted, const std::vector<Gradients> &gradients, const Array<float, 3> &scores,
         const Array<int64_t, 2> &events)
        : batch(batch_of(given)) {
        demand(!weights.empty() && gradients.size() == (wanted ? weights.size() : 0),
               "a weight and a bias for each layer and, to learn, their gradients");
        Shape from{batch.clients, batch.samples, 1, batch.inputs};
        for (size_t l = 0; l < weights.size(); ++l) {
            const auto &[weight, bias] = weights[l];
            const Shape out{batch.clients, batch.samples, 1, (int64_t)weight.shape(1)};
            demand(fits(from, out, weight, bias), "a weight or bias does not fit");
            layers.push_back({out.neurons, weight.data(), bias.data(), nullptr, nullptr});
            if (wanted) {
                const auto &[into_weight, into_bias] = gradients[l];
                demand(fits(from, out, into_weight, into_bias), "a gradient does not fit");
                layers[l].into_weight = into_weight.data();
                layers[l].into_bias = into_bias.data();
            }
            from = out;
        }
        demand(is(scores, batch.clients, batch.samples, from.neurons) &&
                   is(events, layers.size(), batch.clients),
               "scores or events do not fit");
        if (wanted) learn(*wanted);
    }

    void learn(const Wanted &wanted) {
        const auto &[kind, labels, correct, incorrect, per_square, losses] = wanted;
        demand(is(labels, batch.clients, batch.samples) && (int64_t)losses.shape(0) == batch.clients,
               "labels or losses do not fit");
        const bool squares = named<bool>(kind, {{"squares", true}, {"cross entropy", false}});
        loss = {squares ? Loss::squares : Loss::cross_entropy, labels.data(), correct, incorrect, per_square,
                losses.data()};
        for (int64_t item = 0; item < batch.clients * batch.samples; ++item)
            demand(batch.positions[item] < 0 || (labels.data()[item] >= 0 && labels.data()[item] < layers.back().outputs),
                   "a label beyond the classes");
    }
};

Code code_of(const Encoding &given, const Batch &batch) {
    const auto &[kind, steps, key0, key1, round, clients, first_samples, table, step_weights] = given;
    Code code{Code::rate, steps, {key0, key1}, round, clients.data(), first_samples.data(), nullptr, nullptr};
    if (kind == "table") code.kind = Code::table;
    else if (kind == "direct") code.kind = Code::direct;
    else demand(kind == "rate", "a code is rate, table or direct");
    demand(steps >= 1, "at least one step");
    demand((int64_t)clients.shape(0) == batch.clients && (int64_t)first_samples.shape(0) == batch.clients,
           "one client and one first sample for each client of the batch");
    demand(table.has_value() == (code.kind == Code::table), "a table with a code that has one");
    if (table) {
        demand(is(*table, 65536, (steps + 63) / 64), "a train for each of 65,536 levels");
        code.trains = reinterpret_cast<const uint64_t *>(table->data());
    }
    if (step_weights) {
        demand((int64_t)step_weights->shape(0) == steps, "a weight for each step");
        code.step_weights = step_weights->data();
    }
    return code;
}

void spiking(const PixelsAndPositions &given, const Encoding &encoding, const NeuronOf &neuron, bool integrates,
             const std::vector<WeightAndBias> &weights, const std::optional<Wanted> &wanted,
             const std::vector<Gradients> &gradients, Array<float, 3> scores, Array<int64_t, 2> events, int threads) {
    const Pass pass(given, weights, wanted, gradients, scores, events);
    const Code code = code_of(encoding, pass.batch);
    const Neuron of = neuron_of(neuron);
    use(threads);
    nb::gil_scoped_release release;
    kernels.spiking(pass.batch, code, of, integrates, pass.layers, pass.loss, scores.data(), events.data());
}

void conventional(const PixelsAndPositions &given, const std::vector<WeightAndBias> &weights,
                  const std::optional<Wanted> &wanted, const std::vector<Gradients> &gradients,
                  Array<float, 3> scores, Array<int64_t, 2> events, int threads) {
    const Pass pass(given, weights, wanted, gradients, scores, events);
    use(threads);
    nb::gil_scoped_release release;
    kernels.conventional(pass.batch, pass.layers, pass.loss, scores.data(), events.data());
}

template <typename T>
using Flat = nb::ndarray<T, nb::c_contig, nb::device::cpu>;

void adam(Flat<const float> gradient, float rate, float beta1, float beta2, float epsilon, int64_t step,
          Flat<float> weight, Flat<float> m, Flat<float> v, int threads) {
    demand(step >= 1 && weight.size() == gradient.size() && m.size() == gradient.size() && v.size() == gradient.size(),
           "adam: weight, gradient and moments of one size, and steps from 1");
    const float corrections[2] = {(float)(1 - std::pow((double)beta1, step)), (float)(1 - std::pow((double)beta2, step))};
    use(threads);
    nb::gil_scoped_release release;
    kernels.adam(gradient.size(), gradient.data(), rate, beta1, beta2, epsilon, corrections, weight.data(), m.data(),
                 v.data());
}

}  // namespace

NB_MODULE(_kernels, m) {
    nb::list names;
    for (const auto &set : sets) names.append(set.first);
    m.attr("instruction_sets") = names;
    m.attr("instruction_set") = sets.front().first;
    m.def("use_instruction_set", &use_instruction_set);  // for tests; all give the same bits
    m.def("rate", &rate);
    m.def("lookup", &lookup);
    m.def("fire", &fire);
    m.def("fire_adjoint", &fire_adjoint);
    m.def("average", &average);
    m.def("average_adjoint", &average_adjoint);
    const auto any = nb::arg();
    const auto maybe = nb::arg().none();
    m.def("spiking", &spiking, any, any, any, any, any, maybe, any, any, any, any);
    m.def("conventional", &conventional, any, any, maybe, any, any, any, any);
    m.def("adam", &adam);
}
