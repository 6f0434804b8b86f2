// The Python face of the kernels: shapes are checked here, so that a wrong one is an error and never a crash.
#include "kernels.hpp"

#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
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
using ConstBits = Array<const int64_t, 4>;

uint64_t *words(const Bits &bits) { return reinterpret_cast<uint64_t *>(bits.data()); }
const uint64_t *words(const ConstBits &bits) { return reinterpret_cast<const uint64_t *>(bits.data()); }

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

template <typename W, typename B>
bool fits(const Shape &in, const Shape &out, const W &weight, const B &bias) {
    return (int64_t)weight.shape(0) == in.clients && (int64_t)weight.shape(1) == out.neurons &&
           (int64_t)weight.shape(2) == in.neurons && (int64_t)bias.shape(0) == in.clients &&
           (int64_t)bias.shape(1) == out.neurons;
}

void linear(ConstBits trains, Array<const float, 3> weight, Array<const float, 2> bias, Array<float, 4> currents,
            int threads) {
    const Shape out = shape_of(currents);
    const Shape in{out.clients, out.samples, out.steps, (int64_t)trains.shape(2)};
    demand(holds(in, trains), "linear: trains do not fit the currents");
    demand(fits(in, out, weight, bias), "linear: weight or bias does not fit");
    use(threads);
    nb::gil_scoped_release release;
    kernels.linear(in, out.neurons, words(trains), weight.data(), bias.data(), currents.data());
}

void linear_gradient(ConstBits trains, Array<const float, 4> delta, Array<float, 3> weight, Array<float, 2> bias,
                     int threads) {
    const Shape out = shape_of(delta);
    const Shape in{out.clients, out.samples, out.steps, (int64_t)trains.shape(2)};
    demand(holds(in, trains), "linear_gradient: trains do not fit the deltas");
    demand(fits(in, out, weight, bias), "linear_gradient: weight or bias does not fit");
    use(threads);
    nb::gil_scoped_release release;
    kernels.linear_gradient(in, out.neurons, words(trains), delta.data(), weight.data(), bias.data());
}

void linear_through(Array<const float, 3> weight, Array<const float, 4> delta, Array<float, 4> into_inputs,
                    int threads) {
    const Shape in = shape_of(into_inputs), out = shape_of(delta);
    demand(in.clients == out.clients && in.samples == out.samples && in.steps == out.steps,
           "linear_through: gradients do not fit each other");
    demand((int64_t)weight.shape(0) == in.clients && (int64_t)weight.shape(1) == out.neurons &&
               (int64_t)weight.shape(2) == in.neurons,
           "linear_through: weight does not fit the gradients");
    use(threads);
    nb::gil_scoped_release release;
    kernels.linear_through(in, out.neurons, weight.data(), delta.data(), into_inputs.data());
}

void lif(Array<const float, 4> currents, float beta, float threshold, bool zero_reset, Array<float, 4> membrane,
         Bits trains, int threads) {
    const Shape s = shape_of(currents);
    demand(dense(s, membrane) && holds(s, trains), "lif: outputs do not fit the currents");
    use(threads);
    nb::gil_scoped_release release;
    kernels.lif(s, {beta, threshold, zero_reset}, currents.data(), membrane.data(), words(trains));
}

void lif_adjoint(Array<const float, 4> membrane, Array<const float, 4> into_spikes, float beta, float threshold,
                 bool zero_reset, Array<float, 4> gradient, int threads) {
    const Shape s = shape_of(membrane);
    demand(dense(s, into_spikes) && dense(s, gradient), "lif_adjoint: gradients do not fit the membrane");
    use(threads);
    nb::gil_scoped_release release;
    kernels.lif_adjoint(s, {beta, threshold, zero_reset}, membrane.data(), into_spikes.data(), gradient.data());
}

void network(ConstBits trains, int64_t steps, const std::vector<Array<const float, 3>> &weights,
             const std::vector<Array<const float, 2>> &biases, float beta, float threshold, bool zero_reset,
             std::optional<Array<const float, 3>> targets, std::optional<Array<const float, 2>> slopes,
             const std::vector<Array<float, 3>> &into_weights, const std::vector<Array<float, 2>> &into_biases,
             Array<float, 3> scores, Array<int64_t, 3> events, int threads) {
    const Shape in{(int64_t)trains.shape(0), (int64_t)trains.shape(1), steps, (int64_t)trains.shape(2)};
    const bool learns = targets.has_value();
    demand(steps >= 1 && holds(in, trains), "network: trains do not fit the steps");
    demand(!weights.empty() && weights.size() == biases.size(), "network: a weight and a bias for each layer");
    demand(learns == slopes.has_value() && into_weights.size() == (learns ? weights.size() : 0) &&
               into_biases.size() == into_weights.size(),
           "network: targets, slopes and a gradient for each weight and bias, or none of them");
    Layers layers;
    Shape from = in;
    for (size_t l = 0; l < weights.size(); ++l) {
        const Shape out{in.clients, in.samples, steps, (int64_t)weights[l].shape(1)};
        demand(fits(from, out, weights[l], biases[l]), "network: a weight or bias does not fit");
        demand(!learns || fits(from, out, into_weights[l], into_biases[l]), "network: a gradient does not fit");
        layers.push_back({out.neurons, {beta, threshold, zero_reset}, weights[l].data(), biases[l].data(),
                          learns ? into_weights[l].data() : nullptr, learns ? into_biases[l].data() : nullptr});
        from = out;
    }
    const auto is = [&](const auto &array, int64_t a, int64_t b, int64_t c) {
        return (int64_t)array.shape(0) == a && (int64_t)array.shape(1) == b && (int64_t)array.shape(2) == c;
    };
    demand(is(scores, in.clients, in.samples, from.neurons) && is(events, layers.size(), in.clients, in.samples),
           "network: scores or events do not fit");
    demand(!learns || (is(*targets, in.clients, in.samples, from.neurons) &&
                       (int64_t)slopes->shape(0) == in.clients && (int64_t)slopes->shape(1) == in.samples),
           "network: targets or slopes do not fit the scores");
    use(threads);
    nb::gil_scoped_release release;
    kernels.network(in, layers, words(trains), learns ? targets->data() : nullptr, learns ? slopes->data() : nullptr,
                    scores.data(), events.data());
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
    m.def("linear", &linear);
    m.def("linear_gradient", &linear_gradient);
    m.def("linear_through", &linear_through);
    m.def("lif", &lif);
    m.def("lif_adjoint", &lif_adjoint);
    const auto any = nb::arg();
    const auto maybe = nb::arg().none();
    m.def("network", &network, any, any, any, any, any, any, any, maybe, maybe, any, any, any, any, any);
}
