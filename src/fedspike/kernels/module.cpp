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

void layer(ConstBits trains, int64_t steps, Array<const float, 3> weight, Array<const float, 2> bias, float beta,
           float threshold, bool zero_reset, std::optional<Array<float, 4>> membrane, Bits fired, int threads) {
    const Shape in{(int64_t)trains.shape(0), (int64_t)trains.shape(1), steps, (int64_t)trains.shape(2)};
    const Shape out{in.clients, in.samples, steps, (int64_t)weight.shape(1)};
    demand(steps >= 1 && holds(in, trains) && holds(out, fired), "layer: trains do not fit the steps");
    demand(!membrane || dense(out, *membrane), "layer: membrane does not fit the trains");
    demand(fits(in, out, weight, bias), "layer: weight or bias does not fit");
    use(threads);
    nb::gil_scoped_release release;
    kernels.layer(in, out.neurons, {beta, threshold, zero_reset}, words(trains), weight.data(), bias.data(),
                  membrane ? membrane->data() : nullptr, words(fired));
}

void layer_gradient(ConstBits trains, Array<const float, 3> weight, Array<const float, 4> membrane,
                    Array<const float, 4> into_spikes, float beta, float threshold, bool zero_reset,
                    Array<float, 3> into_weight, Array<float, 2> into_bias,
                    std::optional<Array<float, 4>> into_inputs, int threads) {
    const Shape out = shape_of(membrane);
    const Shape in{out.clients, out.samples, out.steps, (int64_t)trains.shape(2)};
    demand(holds(in, trains) && dense(out, into_spikes), "layer_gradient: trains or gradients do not fit the membrane");
    demand(fits(in, out, weight, into_bias) && fits(in, out, into_weight, into_bias),
           "layer_gradient: weight or bias does not fit");
    demand(!into_inputs || dense(in, *into_inputs), "layer_gradient: into_inputs does not fit the trains");
    use(threads);
    nb::gil_scoped_release release;
    kernels.layer_gradient(in, out.neurons, {beta, threshold, zero_reset}, words(trains), weight.data(),
                           membrane.data(), into_spikes.data(), into_weight.data(), into_bias.data(),
                           into_inputs ? into_inputs->data() : nullptr);
}

void totals(ConstBits trains, Array<int64_t, 2> totals, int threads) {
    const Shape s{(int64_t)trains.shape(0), (int64_t)trains.shape(1), 64 * (int64_t)trains.shape(3),
                  (int64_t)trains.shape(2)};
    demand((int64_t)totals.shape(0) == s.clients && (int64_t)totals.shape(1) == s.samples,
           "totals: one total for each sample of the trains");
    use(threads);
    nb::gil_scoped_release release;
    kernels.totals(s, words(trains), totals.data());
}

}  // namespace

NB_MODULE(_kernels, m) {
    nb::list names;
    for (const auto &set : sets) names.append(set.first);
    m.attr("instruction_sets") = names;
    m.attr("instruction_set") = sets.front().first;
    m.def("use_instruction_set", &use_instruction_set);  // for tests; all give the same bits
    m.def("rate", &rate);
    m.def("linear", &linear);
    m.def("linear_gradient", &linear_gradient);
    m.def("lif", &lif);
    m.def("lif_adjoint", &lif_adjoint);
    const auto any = nb::arg();
    const auto maybe = nb::arg().none();
    m.def("layer", &layer, any, any, any, any, any, any, any, maybe, any, any);
    m.def("layer_gradient", &layer_gradient, any, any, any, any, any, any, any, any, any, maybe, any);
    m.def("totals", &totals);
}
