// The Python face of the kernels.
#include "arguments.hpp"

#include <cmath>

#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>
#include <omp.h>

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

void encode(const InstructionSet &set, const Array<const float, 3> &pixels, const Encoding &encoding,
            const Array<int64_t, 4> &trains, int threads) {
    const Code code = encoding.of(pixels.shape(0));
    const Shape s{(int64_t)pixels.shape(0), (int64_t)pixels.shape(1), code.steps, (int64_t)pixels.shape(2)};
    demand(code.kind == Code::rate || code.kind == Code::table, "encode: of pixels, and to trains");
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

// What a dropout draws; see Dropout.
std::optional<Code> of_ones(const std::optional<Encoding> &dropout, const Pass &pass, int64_t steps) {
    if (!dropout) return {};
    const Code code = dropout->of(pass.batch.clients);
    demand(code.kind == Code::rate && code.steps == steps && code.gain > 0 && code.gain <= 1,
           "a dropout is drawn by the rate code, in as many steps");
    return code;
}

void spiking(const InstructionSet &set, const Pass &pass, const Encoding &encoding, const Neuron &neuron,
             const std::string &read_out, int threads, const std::optional<Encoding> &dropout) {
    const ReadOut scores =
        named<ReadOut>(read_out, {{"count", ReadOut::count},
                                                         {"first", ReadOut::first},
                                                         {"membrane", ReadOut::membrane},
                                                         {"membrane sum", ReadOut::membrane_sum}});
    const Code code = encoding.of(pass.batch.clients);
    demand(pass.words == (code.kind == Code::recorded ? (code.steps + 63) / 64 : 0), "trains of so many steps");
    const bool normalised = pass.normalised(code.steps);
    const auto stays = of_ones(dropout, pass, code.steps);
    demand(!(normalised && stays), "no dropout beside a normalisation");
    Running running(threads);
    if (normalised)
        set.kernels.normalised(pass.batch, code, neuron, scores, pass.stages, pass.layers, pass.loss, pass.scores.data(),
                               pass.events.data());
    else
        set.kernels.spiking(pass.batch, code, neuron, scores, pass.stages, pass.layers, pass.loss,
                            stays ? &*stays : nullptr, pass.scores.data(), pass.events.data());
}

void conventional(const InstructionSet &set, const Pass &pass, int threads, const std::optional<Encoding> &dropout) {
    demand(!pass.normalised(0) && !pass.words, "conventional: no normalisation, and no trains");
    const auto stays = of_ones(dropout, pass, 1);
    Running running(threads);
    set.kernels.conventional(pass.batch, pass.stages, pass.layers, pass.loss, stays ? &*stays : nullptr,
                             pass.scores.data(), pass.events.data());
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

void adam(const InstructionSet &set, const Flat<const float> &gradient, const Adam &constants, int64_t step,
          const Flat<float> &weight, const Flat<float> &m, const Flat<float> &v, int threads) {
    demand(step >= 1 && weight.size() == gradient.size() && m.size() == gradient.size() && v.size() == gradient.size(),
           "adam: weight, gradient and moments of one size, and steps from 1");
    Running running(threads);
    set.kernels.adam(constants, step, gradient.size(), gradient.data(), weight.data(), m.data(), v.data());
}

}  // namespace

NB_MODULE(_kernels, module) {
    using nb::literals::operator""_a;
    nb::class_<Neuron>(module, "Neuron")
        .def("__init__",
             [](Neuron *self, const std::string &kind, float beta, float threshold, const std::string &reset,
                const std::string &slope, float steepness, double alpha, double adaptation, double rho, std::optional<double> drop) {
                 const auto known = named<Neuron::Kind>(
                     kind, {{"lif", Neuron::lif}, {"current-based", Neuron::current_based}, {"adaptive", Neuron::adaptive}});
                 const auto known_reset =
                     named<Reset>(reset, {{"subtract", Reset::subtract}, {"zero", Reset::zero}, {"none", Reset::none}});
                 const auto known_slope = named<Slope>(slope, {{"atan", Slope::atan},
                                                               {"fast-sigmoid", Slope::fast_sigmoid},
                                                               {"sigmoid", Slope::sigmoid},
                                                               {"triangular", Slope::triangular}});
                 new (self) Neuron{known, beta, threshold, known_reset, known_slope, steepness, (float)alpha,
                                   (float)adaptation, (float)rho, (float)(1 - rho), drop ? (float)*drop : threshold};
             },
             "kind"_a, "beta"_a, "threshold"_a, "reset"_a, "slope"_a, "steepness"_a, "alpha"_a = 0.0,
             "adaptation"_a = 0.0, "rho"_a = 0.0,
             "drop"_a = nb::none());
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
    nb::class_<Normalisation>(module, "Normalisation")
        .def(nb::init<Array<const float, 3>, Array<float, 3>, Array<float, 3>, Array<const bool, 1>, float,
                      std::optional<Array<float, 3>>>(),
             "gamma"_a, "mean"_a, "variance"_a, "by_batch"_a, "epsilon"_a, "into_gamma"_a = nb::none());
    nb::class_<Weights>(module, "Weights")
        .def(nb::init<Array<const float, 3>, Array<const float, 2>, std::optional<Array<float, 3>>,
                      std::optional<Array<float, 2>>, std::optional<Array<const float, 3>>,
                      std::optional<Array<float, 3>>, std::optional<Normalisation>>(),
             "weight"_a, "bias"_a, "into_weight"_a = nb::none(), "into_bias"_a = nb::none(),
             "constants"_a = nb::none(), "into_constants"_a = nb::none(), "norm"_a = nb::none());
    nb::class_<Convolution>(module, "Convolution")
        .def("__init__",
             [](Convolution *self, const Weights &weights, int64_t height, int64_t width, int64_t kernel,
                int64_t stride, int64_t padding, int64_t groups, int64_t window, bool maximum) {
                 new (self) Convolution{weights, height, width, kernel, stride, padding, groups, window, maximum};
             });
    nb::class_<Adam>(module, "Adam")
        .def("__init__",
             [](Adam *self, double rate, float beta1, float beta2, float epsilon, double weight_decay) {
                 new (self) Adam{(float)rate, beta1, beta2, epsilon, (float)(1 - rate * weight_decay)};
             },
             "learning_rate"_a, "beta1"_a, "beta2"_a, "epsilon"_a, "weight_decay"_a);
    nb::class_<Wanted>(module, "Wanted")
        .def("__init__",
             [](Wanted *self, const std::string &kind, Array<const int64_t, 2> labels, Array<double, 1> losses,
                float correct, float incorrect, float per_square, std::optional<Array<const float, 2>> scale,
                std::optional<Array<const float, 2>> shift, std::optional<Array<const float, 3>> slopes,
                std::optional<Adam> adam) {
                 const auto known = named<decltype(Loss::kind)>(
                     kind, {{"squares", Loss::squares}, {"cross entropy", Loss::cross_entropy}, {"given", Loss::given}});
                 new (self) Wanted{known, labels, losses, correct, incorrect, per_square, std::move(scale), std::move(shift),
                                   std::move(slopes), std::move(adam)};
             },
             "kind"_a, "labels"_a, "losses"_a, "correct"_a = 0.0f, "incorrect"_a = 0.0f, "per_square"_a = 0.0f,
             "scale"_a = nb::none(), "shift"_a = nb::none(), "slopes"_a = nb::none(), "adam"_a = nb::none());
    nb::class_<Pass>(module, "Pass")
        .def(nb::init<Array<const float, 2>, Array<const int64_t, 2>, std::vector<Weights>, std::optional<Wanted>,
                      Array<float, 3>, Array<int64_t, 2>, std::vector<Convolution>, int64_t>(),
             "pixels"_a, "positions"_a, "layers"_a, "wanted"_a.none(), "scores"_a, "events"_a,
             "convolutions"_a = std::vector<Convolution>{}, "words"_a = 0);
    nb::class_<InstructionSet>(module, "InstructionSet")
        .def_ro("name", &InstructionSet::name)
        .def("encode", &encode)
        .def("fire", &fire)
        .def("fire_adjoint", &fire_adjoint)
        .def("average", &average)
        .def("average_adjoint", &average_adjoint)
        .def("spiking", &spiking, "pass"_a, "code"_a, "neuron"_a, "read_out"_a, "threads"_a, "dropout"_a = nb::none())
        .def("conventional", &conventional, "pass"_a, "threads"_a, "dropout"_a = nb::none())
        .def("compete", &compete)
        .def("adam", &adam);
    module.attr("instruction_sets") = nb::cast(available());  // best first; all give the same bits
}
