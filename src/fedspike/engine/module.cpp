// The Python face of the kernels: shapes are checked here, so that a wrong one is an error and never a crash.
#include "kernels.hpp"

#include <array>
#include <cmath>
#include <initializer_list>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
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

// The kernels for one of the instruction sets that this processor can run.
struct InstructionSet {
    std::string name;
    const Kernels &kernels;
};

// Best first.
std::vector<InstructionSet> available() {
    std::vector<InstructionSet> sets;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        sets.push_back({"AVX-512", kernels_avx512});
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"))
        sets.push_back({"AVX2", kernels_avx2});
#endif
#if defined(__aarch64__)
    sets.push_back({"NEON", kernels_baseline});  // part of every 64-bit ARM
#else
    sets.push_back({"baseline", kernels_baseline});
#endif
    return sets;
}

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

// While a kernel runs: so many threads, and Python's other threads may run too. The caller's setting comes back.
class Running {
    int before = omp_get_max_threads();
    std::optional<nb::gil_scoped_release> released;

   public:
    explicit Running(int threads) {
        demand(threads >= 1, "threads must be at least 1");
        omp_set_num_threads(threads);
        released.emplace();
    }
    ~Running() { omp_set_num_threads(before); }
};

uint64_t *words(const Array<int64_t, 4> &bits) { return reinterpret_cast<uint64_t *>(bits.data()); }

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
        : kind(named<decltype(Code::kind)>(kind, {{"rate", Code::rate}, {"table", Code::table}, {"direct", Code::direct}})),
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

void encode(const InstructionSet &set, const Array<const float, 3> &pixels, const Encoding &encoding,
            const Array<int64_t, 4> &trains, int threads) {
    const Code code = encoding.of(pixels.shape(0));
    const Shape s{(int64_t)pixels.shape(0), (int64_t)pixels.shape(1), code.steps, (int64_t)pixels.shape(2)};
    demand(code.kind != Code::direct, "encode: pixels as they are, are no trains");
    demand(has_shape(trains, {s.clients, s.samples, s.neurons, s.words()}), "encode: trains do not fit the pixels");
    Running running(threads);
    set.kernels.encode(s, pixels.data(), code, words(trains));
}

using Values = Array<const float, 4>;
using Results = Array<float, 4>;

Shape shape_of(const Values &values) {
    return {(int64_t)values.shape(0), (int64_t)values.shape(1), (int64_t)values.shape(2), (int64_t)values.shape(3)};
}

template <typename A>
bool fits(const Shape &s, const A &values) {
    return has_shape(values, {s.clients, s.samples, s.steps, s.neurons});
}

void fire(const InstructionSet &set, const Values &currents, const Array<const bool, 2> &present, const Neuron &neuron,
          const Results &membrane, const Results &spikes, const Array<int64_t, 2> &counts, int threads) {
    const Shape s = shape_of(currents);
    demand(fits(s, membrane) && fits(s, spikes), "fire: outputs do not fit the currents");
    demand(has_shape(present, {s.clients, s.samples}) && has_shape(counts, {s.clients, s.neurons}),
           "fire: present or counts do not fit the currents");
    Running running(threads);
    set.kernels.fire(s, neuron, currents.data(), present.data(), membrane.data(), spikes.data(), counts.data());
}

void fire_adjoint(const InstructionSet &set, const Values &membrane, const Values &into_spikes, const Neuron &neuron,
                  const Results &gradient, int threads) {
    const Shape s = shape_of(membrane);
    demand(fits(s, into_spikes) && fits(s, gradient), "fire_adjoint: gradients do not fit the membrane");
    Running running(threads);
    set.kernels.fire_adjoint(s, neuron, membrane.data(), into_spikes.data(), gradient.data());
}

template <typename L, typename S>
void demand_windows(const L &large, const S &small, int64_t size) {
    const int64_t rows = small.shape(1), columns = small.shape(2);
    demand(size >= 1 && has_shape(large, {(int64_t)small.shape(0), rows * size, columns * size}),
           "average: windows do not fit the images");
}

void average(const InstructionSet &set, const Array<const float, 3> &images, int64_t size,
             const Array<float, 3> &means, int threads) {
    demand_windows(images, means, size);
    Running running(threads);
    set.kernels.average(means.shape(0) * means.shape(1), images.shape(2), size, images.data(), means.data());
}

void average_adjoint(const InstructionSet &set, const Array<const float, 3> &into_means, int64_t size,
                     const Array<float, 3> &into_images, int threads) {
    demand_windows(into_images, into_means, size);
    Running running(threads);
    set.kernels.average_adjoint(into_means.shape(0) * into_means.shape(1), into_images.shape(2), size,
                                into_means.data(), into_images.data());
}

// A layer of all clients and, to learn, where its gradients go.
struct Weights {
    Array<const float, 3> weight;
    Array<const float, 2> bias;
    std::optional<Array<float, 3>> into_weight;
    std::optional<Array<float, 2>> into_bias;
    std::optional<Array<const float, 3>> constants;
    std::optional<Array<float, 3>> into_constants;

    Layer of(int64_t clients, int64_t inputs, bool learns) const {
        const int64_t outputs = weight.shape(1);
        demand(has_shape(weight, {clients, outputs, inputs}) && has_shape(bias, {clients, outputs}),
               "a weight or bias does not fit");
        demand(!constants || has_shape(*constants, {clients, CONSTANTS, outputs}), "constants do not fit");
        const float *learned = constants ? constants->data() : nullptr;
        if (!learns) return {outputs, weight.data(), bias.data(), nullptr, nullptr, learned, nullptr};
        demand(into_weight && into_bias && has_shape(*into_weight, {clients, outputs, inputs}) &&
                   has_shape(*into_bias, {clients, outputs}),
               "a gradient does not fit");
        demand(!constants || (into_constants && has_shape(*into_constants, {clients, CONSTANTS, outputs})),
               "a gradient of constants does not fit");
        return {outputs, weight.data(), bias.data(), into_weight->data(), into_bias->data(), learned,
                into_constants ? into_constants->data() : nullptr};
    }
};

// A convolution of all clients over images of some size, and the pool behind it.
struct Convolution {
    Weights weights;  // [client][channel][channel in, row and column of the kernel]
    int64_t height, width, kernel, stride, padding, window;
    bool maximum;

    Stage of(int64_t clients, int64_t inputs, bool learns) const {
        demand(std::min({height, width, kernel, stride, window}) >= 1 && kernel <= LARGEST && window <= LARGEST &&
                   padding >= 0 && padding < kernel && kernel <= std::min(height, width) + 2 * padding &&
                   inputs % (height * width) == 0,
               "a convolution does not fit its images");
        const int64_t channels_in = inputs / (height * width);
        const Layer layer = weights.of(clients, channels_in * kernel * kernel, learns);
        const Stage stage{channels_in, height, width, layer.outputs, kernel, stride, padding, window, maximum,
                          layer.weight, layer.bias, layer.into_weight, layer.into_bias};
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
};

// What a spiking and a conventional network have in common: a minibatch, layers, what is wanted, the results.
struct Pass {
    Array<const float, 2> pixels;
    Array<const int64_t, 2> positions;
    std::vector<Weights> weights;
    std::optional<Wanted> wanted;
    Array<float, 3> scores;
    Array<int64_t, 2> events;
    std::vector<Convolution> convolutions;

    Batch batch{(int64_t)positions.shape(0), (int64_t)positions.shape(1), (int64_t)pixels.shape(1), pixels.data(),
                positions.data()};
    Stages stages{};
    Layers layers{};
    Loss loss{Loss::none, nullptr, 0, 0, 0, nullptr, nullptr, nullptr, nullptr};

    Pass(Array<const float, 2> pixels, Array<const int64_t, 2> positions, std::vector<Weights> weights,
         std::optional<Wanted> wanted, Array<float, 3> scores, Array<int64_t, 2> events,
         std::vector<Convolution> before)
        : pixels(pixels), positions(positions), weights(std::move(weights)), wanted(std::move(wanted)),
          scores(scores), events(events), convolutions(std::move(before)) {
        for (int64_t item = 0; item < batch.clients * batch.samples; ++item)
            demand(batch.positions[item] >= -1 && batch.positions[item] < (int64_t)pixels.shape(0),
                   "a position beyond the pixels");
        int64_t size = batch.inputs;
        for (const Convolution &one : convolutions) {
            stages.push_back(one.of(batch.clients, size, this->wanted.has_value()));
            size = stages.back().outputs();
        }
        for (const Weights &layer : this->weights) {
            layers.push_back(layer.of(batch.clients, size, this->wanted.has_value()));
            size = layers.back().outputs;
        }
        demand(!layers.empty() && has_shape(scores, {batch.clients, batch.samples, size}) &&
                   has_shape(events, {(int64_t)(3 * stages.size() + layers.size() + 1), batch.clients}),
               "layers, scores or events do not fit");
        if (this->wanted) learn(*this->wanted);
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
                one.slopes ? one.slopes->data() : nullptr};
        for (int64_t item = 0; item < batch.clients * batch.samples; ++item)
            demand(batch.positions[item] < 0 || (loss.labels[item] >= 0 && loss.labels[item] < layers.back().outputs),
                   "a label beyond the classes");
    }
};

void spiking(const InstructionSet &set, const Pass &pass, const Encoding &encoding, const Neuron &neuron,
             const std::string &read_out, int threads) {
    const ReadOut scores =
        named<ReadOut>(read_out, {{"count", ReadOut::count}, {"first", ReadOut::first}, {"membrane", ReadOut::membrane}});
    const Code code = encoding.of(pass.batch.clients);
    Running running(threads);
    set.kernels.spiking(pass.batch, code, neuron, scores, pass.stages, pass.layers, pass.loss,
                        pass.scores.data(), pass.events.data());
}

void conventional(const InstructionSet &set, const Pass &pass, int threads) {
    Running running(threads);
    set.kernels.conventional(pass.batch, pass.stages, pass.layers, pass.loss, pass.scores.data(), pass.events.data());
}

void compete(const InstructionSet &set, const Competition &rule, const Values &spikes,
             const Array<const int64_t, 3> &competitors, const Array<float, 3> &weight, const Array<float, 2> &threshold,
             const Array<int64_t, 3> &winners, const Array<int64_t, 1> &updates, int threads) {
    const Shape s = shape_of(spikes);
    const int64_t neurons = weight.shape(1);
    demand(has_shape(weight, {s.clients, neurons, s.neurons}) && has_shape(threshold, {s.clients, neurons}) &&
               has_shape(competitors, {s.clients, s.samples, 2}) && has_shape(winners, {s.clients, s.samples, s.steps}) &&
               has_shape(updates, {s.clients}),
           "compete: weights, thresholds or results do not fit the spikes");
    for (int64_t item = 0; item < s.clients * s.samples; ++item) {
        const int64_t first = competitors.data()[2 * item], last = competitors.data()[2 * item + 1];
        demand(first >= last || (first >= 0 && last <= neurons), "compete: competitors beyond the neurons");
    }
    Running running(threads);
    set.kernels.compete(rule, s, neurons, spikes.data(), competitors.data(), weight.data(), threshold.data(),
                        winners.data(), updates.data());
}

template <typename T>
using Flat = nb::ndarray<T, nb::c_contig, nb::device::cpu>;

void adam(const InstructionSet &set, const Flat<const float> &gradient, const std::array<float, 4> &constants,
          int64_t step, const Flat<float> &weight, const Flat<float> &m, const Flat<float> &v, int threads) {
    const auto &[rate, beta1, beta2, epsilon] = constants;
    demand(step >= 1 && weight.size() == gradient.size() && m.size() == gradient.size() && v.size() == gradient.size(),
           "adam: weight, gradient and moments of one size, and steps from 1");
    const float corrections[2] = {(float)(1 - std::pow((double)beta1, step)), (float)(1 - std::pow((double)beta2, step))};
    Running running(threads);
    set.kernels.adam(gradient.size(), gradient.data(), rate, beta1, beta2, epsilon, corrections, weight.data(),
                     m.data(), v.data());
}

}  // namespace

NB_MODULE(_kernels, module) {
    using nb::literals::operator""_a;
    nb::class_<Neuron>(module, "Neuron")
        .def("__init__",
             [](Neuron *self, const std::string &kind, float beta, float threshold, const std::string &reset,
                const std::string &slope, float steepness, double alpha, double adaptation, double rho) {
                 const auto known = named<Neuron::Kind>(
                     kind, {{"lif", Neuron::lif}, {"current-based", Neuron::current_based}, {"adaptive", Neuron::adaptive}});
                 const auto known_reset =
                     named<Reset>(reset, {{"subtract", Reset::subtract}, {"zero", Reset::zero}, {"none", Reset::none}});
                 const auto known_slope = named<Slope>(slope, {{"atan", Slope::atan},
                                                               {"fast-sigmoid", Slope::fast_sigmoid},
                                                               {"sigmoid", Slope::sigmoid},
                                                               {"triangular", Slope::triangular}});
                 new (self) Neuron{known, beta, threshold, known_reset, known_slope, steepness, (float)alpha,
                                   (float)adaptation, (float)rho, (float)(1 - rho)};
             },
             "kind"_a, "beta"_a, "threshold"_a, "reset"_a, "slope"_a, "steepness"_a, "alpha"_a = 0.0,
             "adaptation"_a = 0.0, "rho"_a = 0.0);
    nb::class_<Competition>(module, "Competition")
        .def("__init__",
             [](Competition *self, float beta, float threshold, float rise, float sinking, float tau_in, float tau_out,
                float incoming, float a_plus, float a_minus, bool learns) {
                 new (self) Competition{beta, threshold, rise, sinking, tau_in, tau_out, incoming, a_plus, a_minus, learns};
             });
    nb::class_<Encoding>(module, "Encoding")
        .def(nb::init<const std::string &, int64_t, uint64_t, std::vector<int64_t>, std::vector<int64_t>,
                      std::array<uint64_t, 2>, float, std::optional<Array<const int64_t, 2>>,
                      std::optional<std::vector<float>>, int64_t>(),
             "kind"_a, "time_steps"_a, "round"_a, "clients"_a, "first_samples"_a,
             "key"_a = std::array<uint64_t, 2>{}, "gain"_a = 1.0f, "table"_a = nb::none(),
             "step_weights"_a = nb::none(), "above"_a = 0);
    nb::class_<Weights>(module, "Weights")
        .def(nb::init<Array<const float, 3>, Array<const float, 2>, std::optional<Array<float, 3>>,
                      std::optional<Array<float, 2>>, std::optional<Array<const float, 3>>,
                      std::optional<Array<float, 3>>>(),
             "weight"_a, "bias"_a, "into_weight"_a = nb::none(), "into_bias"_a = nb::none(),
             "constants"_a = nb::none(), "into_constants"_a = nb::none());
    nb::class_<Convolution>(module, "Convolution")
        .def("__init__",
             [](Convolution *self, const Weights &weights, int64_t height, int64_t width, int64_t kernel,
                int64_t stride, int64_t padding, int64_t window, bool maximum) {
                 new (self) Convolution{weights, height, width, kernel, stride, padding, window, maximum};
             });
    nb::class_<Wanted>(module, "Wanted")
        .def("__init__",
             [](Wanted *self, const std::string &kind, Array<const int64_t, 2> labels, Array<double, 1> losses,
                float correct, float incorrect, float per_square, std::optional<Array<const float, 2>> scale,
                std::optional<Array<const float, 2>> shift, std::optional<Array<const float, 3>> slopes) {
                 const auto known = named<decltype(Loss::kind)>(
                     kind, {{"squares", Loss::squares}, {"cross entropy", Loss::cross_entropy}, {"given", Loss::given}});
                 new (self) Wanted{known, labels, losses, correct, incorrect, per_square, std::move(scale), std::move(shift),
                                        std::move(slopes)};
             },
             "kind"_a, "labels"_a, "losses"_a, "correct"_a = 0.0f, "incorrect"_a = 0.0f, "per_square"_a = 0.0f,
             "scale"_a = nb::none(), "shift"_a = nb::none(), "slopes"_a = nb::none());
    nb::class_<Pass>(module, "Pass")
        .def(nb::init<Array<const float, 2>, Array<const int64_t, 2>, std::vector<Weights>, std::optional<Wanted>,
                      Array<float, 3>, Array<int64_t, 2>, std::vector<Convolution>>(),
             "pixels"_a, "positions"_a, "layers"_a, "wanted"_a.none(), "scores"_a, "events"_a,
             "convolutions"_a = std::vector<Convolution>{});
    nb::class_<InstructionSet>(module, "InstructionSet")
        .def_ro("name", &InstructionSet::name)
        .def("encode", &encode)
        .def("fire", &fire)
        .def("fire_adjoint", &fire_adjoint)
        .def("average", &average)
        .def("average_adjoint", &average_adjoint)
        .def("spiking", &spiking)
        .def("conventional", &conventional)
        .def("compete", &compete)
        .def("adam", &adam);
    module.attr("instruction_sets") = nb::cast(available());  // best first; all give the same bits
}
