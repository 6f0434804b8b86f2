// The Python face of the kernels: shapes are checked here, so that a wrong one is an error and never a crash.
#include "spikes.hpp"

#include <stdexcept>
#include <string>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
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

std::string active = "baseline";

const Kernels &best() {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
        active = "AVX-512";
        return kernels_avx512;
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        active = "AVX2";
        return kernels_avx2;
    }
#endif
    return kernels_baseline;
}

const Kernels &kernels = best();

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
bool holds(const Shape &s, const A &rows, bool by_rows) {
    return (int64_t)rows.shape(0) == s.clients && (int64_t)rows.shape(1) == s.samples &&
           (int64_t)rows.shape(2) == (by_rows ? s.steps : s.neurons) &&
           (int64_t)rows.shape(3) == (by_rows ? s.row_words() : s.column_words());
}

template <typename A>
bool dense(const Shape &s, const A &values) {
    return (int64_t)values.shape(0) == s.clients && (int64_t)values.shape(1) == s.samples &&
           (int64_t)values.shape(2) == s.steps && (int64_t)values.shape(3) == s.neurons;
}

void rate(Array<const float, 3> pixels, uint64_t key0, uint64_t key1, uint64_t round, Array<const int64_t, 1> clients,
          Array<const int64_t, 1> first_samples, int64_t steps, Bits rows, Bits columns, int threads) {
    const Shape s{(int64_t)pixels.shape(0), (int64_t)pixels.shape(1), steps,
                  (int64_t)pixels.shape(2)};
    demand(steps >= 1 && holds(s, rows, true) && holds(s, columns, false), "rate: rows or columns do not fit the pixels");
    demand((int64_t)clients.shape(0) == s.clients && (int64_t)first_samples.shape(0) == s.clients,
           "rate: one client and one first sample for each client of the pixels");
    const uint64_t key[2] = {key0, key1};
    use(threads);
    nb::gil_scoped_release release;
    kernels.rate(s, pixels.data(), key, round, clients.data(), first_samples.data(), words(rows), words(columns));
}

void linear(ConstBits rows, int64_t inputs, Array<const float, 3> weight, Array<const float, 2> bias,
            Array<float, 4> currents, int threads) {
    const Shape s{(int64_t)rows.shape(0), (int64_t)rows.shape(1), (int64_t)rows.shape(2), inputs};
    const int64_t outputs = weight.shape(1);
    demand(inputs >= 1 && holds(s, rows, true), "linear: rows do not fit the number of inputs");
    demand((int64_t)weight.shape(0) == s.clients && (int64_t)weight.shape(2) == inputs,
           "linear: weight does not fit the inputs");
    demand((int64_t)bias.shape(0) == s.clients && (int64_t)bias.shape(1) == outputs,
           "linear: bias does not fit the weight");
    demand(dense(Shape{s.clients, s.samples, s.steps, outputs}, currents), "linear: currents do not fit");
    use(threads);
    nb::gil_scoped_release release;
    kernels.linear(s, outputs, words(rows), weight.data(), bias.data(), currents.data());
}

void weight_gradient(ConstBits columns, Array<const float, 4> delta, Array<float, 3> gradient, int threads) {
    const Shape s{(int64_t)columns.shape(0), (int64_t)columns.shape(1), (int64_t)delta.shape(2),
                  (int64_t)columns.shape(2)};
    const int64_t outputs = delta.shape(3);
    demand(holds(s, columns, false) && dense(Shape{s.clients, s.samples, s.steps, outputs}, delta),
           "weight_gradient: delta does not fit the columns");
    demand((int64_t)gradient.shape(0) == s.clients && (int64_t)gradient.shape(1) == outputs &&
               (int64_t)gradient.shape(2) == s.neurons,
           "weight_gradient: gradient does not fit");
    use(threads);
    nb::gil_scoped_release release;
    kernels.weight_gradient(s, outputs, words(columns), delta.data(), gradient.data());
}

void lif(Array<const float, 4> currents, float beta, float threshold, bool zero_reset, Array<float, 4> membrane,
         Bits rows, Bits columns, int threads) {
    const Shape s{(int64_t)currents.shape(0), (int64_t)currents.shape(1), (int64_t)currents.shape(2),
                  (int64_t)currents.shape(3)};
    demand(dense(s, membrane) && holds(s, rows, true) && holds(s, columns, false), "lif: outputs do not fit");
    use(threads);
    nb::gil_scoped_release release;
    kernels.lif(s, currents.data(), beta, threshold, zero_reset, membrane.data(), words(rows), words(columns));
}

void lif_adjoint(Array<const float, 4> membrane, Array<const float, 4> into_spikes, float beta, float threshold,
                 bool zero_reset, Array<float, 4> gradient, int threads) {
    const Shape s{(int64_t)membrane.shape(0), (int64_t)membrane.shape(1), (int64_t)membrane.shape(2),
                  (int64_t)membrane.shape(3)};
    demand(dense(s, into_spikes) && dense(s, gradient), "lif_adjoint: gradients do not fit the membrane");
    use(threads);
    nb::gil_scoped_release release;
    kernels.lif_adjoint(s, membrane.data(), into_spikes.data(), beta, threshold, zero_reset, gradient.data());
}

}  // namespace

NB_MODULE(_kernels, m) {
    m.attr("instruction_set") = active;
    m.def("rate", &rate);
    m.def("linear", &linear);
    m.def("weight_gradient", &weight_gradient);
    m.def("lif", &lif);
    m.def("lif_adjoint", &lif_adjoint);
}
