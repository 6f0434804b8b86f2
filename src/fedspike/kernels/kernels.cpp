// The kernels for the instruction set that the compiler was told; FEDSPIKE_ISA names it.
#include "spikes.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include <omp.h>

namespace fedspike {
namespace {

typedef float Vec __attribute__((vector_size(64)));  // 16 floats: 1, 2 or 4 registers, as the machine has them
constexpr int LANES = 16;
constexpr int PANEL = 8;  // vectors of outputs that are summed in registers at a time

inline Vec load(const float *p) {
    Vec v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
inline void store(float *p, Vec v) { std::memcpy(p, &v, sizeof v); }

// --- randomness: Philox 4x64-10 (Salmon et al., SC 2011), as numpy.random.Philox -----------------------------

inline uint64_t high(uint64_t a, uint64_t b) { return (uint64_t)(((unsigned __int128)a * b) >> 64); }

inline void philox(uint64_t block, uint64_t sample, uint64_t client, uint64_t round, const uint64_t key[2],
                   uint64_t out[4]) {
    uint64_t c0 = block, c1 = sample, c2 = client, c3 = round, k0 = key[0], k1 = key[1];
#pragma GCC unroll 10
    for (int i = 0; i < 10; ++i) {
        const uint64_t low0 = 0xD2E7470EE14C6C93u * c0, high0 = high(0xD2E7470EE14C6C93u, c0);
        const uint64_t low1 = 0xCA5A826395121157u * c2, high1 = high(0xCA5A826395121157u, c2);
        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 += 0x9E3779B97F4A7C15u;
        k1 += 0xBB67AE8584CAA73Bu;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

// --- bits -----------------------------------------------------------------------------------------------------

// The transpose of 64 x 64 bits, in place (Warren, "Hacker's Delight", 2nd ed., 7-3).
inline void transpose(uint64_t a[64]) {
    uint64_t mask = 0x00000000FFFFFFFFu;
    for (int j = 32; j != 0; j >>= 1, mask ^= mask << j)
        for (int k = 0; k < 64; k = ((k | j) + 1) & ~j) {
            const uint64_t t = ((a[k] >> j) ^ a[k | j]) & mask;
            a[k] ^= t << j;
            a[k | j] ^= t;
        }
}

// One sample's columns from its rows.
void turn(const Shape &s, const uint64_t *rows, uint64_t *columns) {
    const int64_t rw = s.row_words(), cw = s.column_words();
    uint64_t square[64];
    for (int64_t w = 0; w < rw; ++w)
        for (int64_t c = 0; c < cw; ++c) {
            const int64_t steps = std::min<int64_t>(64, s.steps - 64 * c);
            const int64_t neurons = std::min<int64_t>(64, s.neurons - 64 * w);
            for (int64_t t = 0; t < 64; ++t) square[t] = t < steps ? rows[(64 * c + t) * rw + w] : 0;
            transpose(square);
            for (int64_t n = 0; n < neurons; ++n) columns[(64 * w + n) * cw + c] = square[n];
        }
}

// --- rate code ------------------------------------------------------------------------------------------------

// 64 comparisons to 64 bits; a plain loop over bytes that compilers turn into a compare and a move of the mask.
inline uint64_t compare64(const uint16_t *r, const uint16_t *q) {
    uint8_t hit[64];
    for (int i = 0; i < 64; ++i) hit[i] = (r[i] > 1 ? r[i] : 1) <= q[i];
    uint64_t word = 0;
    for (int byte = 0; byte < 8; ++byte) {
        uint64_t eight;
        std::memcpy(&eight, hit + 8 * byte, 8);
        word |= ((eight * 0x0102040810204080u) >> 56) << (8 * byte);
    }
    return word;
}

void rate(Shape s, const float *pixels, const uint64_t key[2], uint64_t round, const int64_t *clients,
          const int64_t *first_samples, uint64_t *rows, uint64_t *columns) {
    const int64_t rw = s.row_words(), cw = s.column_words();
    const int64_t blocks = (s.steps * s.neurons + 15) / 16;
#pragma omp parallel
    {
        std::vector<uint64_t> random(4 * blocks + 16);  // with room to read beyond the last step
        std::vector<uint16_t> limit(64 * rw, 0);
#pragma omp for schedule(static)
        for (int64_t item = 0; item < s.clients * s.samples; ++item) {
            const int64_t k = item / s.samples, b = item % s.samples;
            const uint64_t sample = first_samples[k] + b;
            for (int64_t i = 0; i < blocks; ++i) philox(i + 1, sample, clients[k], round, key, &random[4 * i]);
            for (int64_t i = 0; i < s.neurons; ++i) {
                const float q = std::nearbyint(65536.0f * pixels[item * s.neurons + i]) - 1.0f;
                limit[i] = static_cast<uint16_t>(std::min(std::max(q, 0.0f), 65535.0f));
            }
            const uint16_t *r = reinterpret_cast<const uint16_t *>(random.data());
            uint64_t *row = rows + item * s.steps * rw;
            for (int64_t t = 0; t < s.steps; ++t)
                for (int64_t w = 0; w < rw; ++w)  // limit 0 beyond the last pixel: no bit there
                    row[t * rw + w] = compare64(r + t * s.neurons + 64 * w, &limit[64 * w]);
            turn(s, row, columns + item * s.neurons * cw);
        }
    }
}

// --- linear layer ---------------------------------------------------------------------------------------------

// rows of weights, one for each input, padded to whole vectors: padded[i][o] = weight[o][i]
void pad_transposed(int64_t inputs, int64_t outputs, int64_t width, const float *weight, float *padded) {
    for (int64_t i = 0; i < inputs; ++i)
        for (int64_t o = 0; o < width; ++o) padded[i * width + o] = o < outputs ? weight[o * inputs + i] : 0.0f;
}

// 32 inputs and ROWS sums at a time, so that both stay in the first-level cache while their spikes are added up.
constexpr int ROWS = 32;

template <int V>
void linear_panel(const Shape &s, const uint64_t *rows, int64_t first, int64_t last, const float *weight,
                  int64_t width, const float *bias, int64_t outputs, int64_t offset, float *currents) {
    const int64_t rw = s.row_words();
    const int64_t kept = std::min<int64_t>(V * LANES, outputs - offset);
    alignas(64) float sums[ROWS][V * LANES];
    for (int64_t start = first; start < last; start += ROWS) {
        const int64_t count = std::min<int64_t>(ROWS, last - start);
        for (int64_t r = 0; r < count; ++r) std::memcpy(sums[r], bias + offset, sizeof sums[r]);
        for (int64_t half = 0; half < 2 * rw; ++half) {
            const float *block = weight + 32 * half * width + offset;
            for (int64_t r = 0; r < count; ++r) {
                uint32_t bits = static_cast<uint32_t>(rows[(start + r) * rw + half / 2] >> (half % 2 * 32));
                if (!bits) continue;
                Vec sum[V];
#pragma GCC unroll 8
                for (int v = 0; v < V; ++v) sum[v] = load(&sums[r][v * LANES]);
                for (; bits; bits &= bits - 1) {
                    const float *from = block + __builtin_ctz(bits) * width;
#pragma GCC unroll 8
                    for (int v = 0; v < V; ++v) sum[v] += load(from + v * LANES);
                }
#pragma GCC unroll 8
                for (int v = 0; v < V; ++v) store(&sums[r][v * LANES], sum[v]);
            }
        }
        for (int64_t r = 0; r < count; ++r)
            std::memcpy(currents + (start + r) * outputs + offset, sums[r], kept * sizeof(float));
    }
}

using LinearPanel = void (*)(const Shape &, const uint64_t *, int64_t, int64_t, const float *, int64_t,
                             const float *, int64_t, int64_t, float *);
constexpr LinearPanel LINEAR_PANELS[PANEL] = {linear_panel<1>, linear_panel<2>, linear_panel<3>, linear_panel<4>,
                                              linear_panel<5>, linear_panel<6>, linear_panel<7>, linear_panel<8>};

void linear(Shape s, int64_t outputs, const uint64_t *rows, const float *weight, const float *bias,
            float *currents) {
    const int64_t width = (outputs + LANES - 1) / LANES * LANES, vectors = width / LANES;
    const int64_t all = s.samples * s.steps, chunk = 4 * s.steps, chunks = (all + chunk - 1) / chunk;
    std::vector<float> padded(s.clients * s.neurons * width), padded_bias(s.clients * width, 0.0f);
#pragma omp parallel
    {
#pragma omp for schedule(static)
        for (int64_t k = 0; k < s.clients; ++k) {
            pad_transposed(s.neurons, outputs, width, weight + k * outputs * s.neurons,
                           &padded[k * s.neurons * width]);
            std::memcpy(&padded_bias[k * width], bias + k * outputs, outputs * sizeof(float));
        }
#pragma omp for schedule(static)
        for (int64_t item = 0; item < s.clients * chunks; ++item) {
            const int64_t k = item / chunks, first = item % chunks * chunk;
            for (int64_t v = 0; v < vectors; v += PANEL)
                LINEAR_PANELS[std::min<int64_t>(PANEL, vectors - v) - 1](
                    s, rows + k * all * s.row_words(), first, std::min(first + chunk, all),
                    &padded[k * s.neurons * width], width, &padded_bias[k * width], outputs, v * LANES,
                    currents + k * all * outputs);
        }
    }
}

// --- weight gradient ------------------------------------------------------------------------------------------

// Four steps at a time there are only 16 different sums of their deltas; with all of them in a table, each input adds
// one entry whatever its spikes (the method of four Russians). GROUPS tables share one pass over the gradient.
constexpr int GROUPS = 4;

template <int V>
void gradient_panel(const Shape &s, const uint64_t *columns, const float *delta, int64_t outputs, int64_t offset,
                    int64_t first_input, int64_t last_input, float *padded, int64_t width) {
    const int64_t cw = s.column_words();
    const int64_t kept = std::min<int64_t>(V * LANES, outputs - offset);
    alignas(64) float table[GROUPS][16][V * LANES];
    std::memset(table, 0, sizeof table);
    for (int64_t b = 0; b < s.samples; ++b)
        for (int64_t start = 0; start < s.steps; start += 4 * GROUPS) {
            for (int g = 0; g < GROUPS; ++g)
                for (int bit = 0; bit < 4; ++bit) {
                    const int64_t t = start + 4 * g + bit;
                    alignas(64) float row[V * LANES] = {};
                    if (t < s.steps)
                        std::memcpy(row, delta + (b * s.steps + t) * outputs + offset, kept * sizeof(float));
                    for (int n = 0; n < 1 << bit; ++n)
                        for (int v = 0; v < V; ++v)
                            store(&table[g][n | 1 << bit][v * LANES],
                                  load(&table[g][n][v * LANES]) + load(row + v * LANES));
                }
            for (int64_t i = first_input; i < last_input; ++i) {
                const uint64_t word = columns[(b * s.neurons + i) * cw + start / 64];
                const unsigned sixteen = word >> (start % 64) & 0xFFFF;
                if (!sixteen) continue;
                float *into = padded + i * width + offset;
                const float *t0 = table[0][sixteen & 15], *t1 = table[1][sixteen >> 4 & 15];
                const float *t2 = table[2][sixteen >> 8 & 15], *t3 = table[3][sixteen >> 12];
#pragma GCC unroll 8
                for (int v = 0; v < V; ++v) {
                    const int64_t at = v * LANES;
                    store(into + at, load(into + at) + ((load(t0 + at) + load(t1 + at)) +
                                                        (load(t2 + at) + load(t3 + at))));
                }
            }
        }
}

using GradientPanel = void (*)(const Shape &, const uint64_t *, const float *, int64_t, int64_t, int64_t, int64_t,
                               float *, int64_t);
constexpr GradientPanel GRADIENT_PANELS[PANEL] = {
    gradient_panel<1>, gradient_panel<2>, gradient_panel<3>, gradient_panel<4>,
    gradient_panel<5>, gradient_panel<6>, gradient_panel<7>, gradient_panel<8>};

void weight_gradient(Shape s, int64_t outputs, const uint64_t *columns, const float *delta, float *gradient) {
    const int64_t width = (outputs + LANES - 1) / LANES * LANES, vectors = width / LANES;
    const int64_t all = s.samples * s.steps;
    // Inputs are independent of each other, so cutting them changes no sum; a lone client then uses all threads.
    const int64_t cuts = s.clients >= 2 * omp_get_max_threads() ? 1 : omp_get_max_threads();
    std::vector<float> padded(s.clients * s.neurons * width, 0.0f);
#pragma omp parallel for schedule(dynamic)
    for (int64_t item = 0; item < s.clients * cuts; ++item) {
        const int64_t k = item / cuts, cut = item % cuts;
        const int64_t first = s.neurons * cut / cuts, last = s.neurons * (cut + 1) / cuts;
        float *mine = &padded[k * s.neurons * width];
        for (int64_t v = 0; v < vectors; v += PANEL)
            GRADIENT_PANELS[std::min<int64_t>(PANEL, vectors - v) - 1](
                s, columns + k * s.samples * s.neurons * s.column_words(), delta + k * all * outputs, outputs,
                v * LANES, first, last, mine, width);
        for (int64_t o = 0; o < outputs; ++o)
            for (int64_t i = first; i < last; ++i)
                gradient[(k * outputs + o) * s.neurons + i] = mine[i * width + o];
    }
}

// --- leaky integrate-and-fire ---------------------------------------------------------------------------------

void lif(Shape s, const float *currents, float beta, float threshold, bool zero_reset, float *membrane,
         uint64_t *rows, uint64_t *columns) {
    const int64_t rw = s.row_words(), cw = s.column_words(), n = s.neurons;
#pragma omp parallel
    {
        std::vector<uint8_t> hit(64 * rw, 0);
        std::vector<float> rest(n, 0.0f);
#pragma omp for schedule(static)
        for (int64_t item = 0; item < s.clients * s.samples; ++item) {
            const float *current = currents + item * s.steps * n;
            float *u = membrane + item * s.steps * n;
            uint64_t *row = rows + item * s.steps * rw;
            for (int64_t t = 0; t < s.steps; ++t) {
                const float *before = t ? u + (t - 1) * n : rest.data();
                const float *in = current + t * n;
                float *now = u + t * n;
                uint8_t *h = hit.data();
                // Whether a neuron fired is read off the membrane again: before > threshold.
                if (zero_reset)
                    for (int64_t i = 0; i < n; ++i)
                        now[i] = beta * (before[i] > threshold ? 0.0f : before[i]) + in[i];
                else
                    for (int64_t i = 0; i < n; ++i)
                        now[i] = beta * before[i] + in[i] - (before[i] > threshold ? threshold : 0.0f);
                for (int64_t i = 0; i < n; ++i) h[i] = now[i] > threshold;
                for (int64_t w = 0; w < rw; ++w) {
                    uint64_t word = 0;
                    for (int byte = 0; byte < 8; ++byte) {
                        uint64_t eight;
                        std::memcpy(&eight, h + 64 * w + 8 * byte, 8);
                        word |= ((eight * 0x0102040810204080u) >> 56) << (8 * byte);
                    }
                    row[t * rw + w] = word;
                }
            }
            turn(s, row, columns + item * n * cw);
        }
    }
}

void lif_adjoint(Shape s, const float *membrane, const float *into_spikes, float beta, float threshold,
                 bool zero_reset, float *gradient) {
    const int64_t n = s.neurons;
    constexpr float pi = 3.14159265358979323846f;
#pragma omp parallel for schedule(static)
    for (int64_t item = 0; item < s.clients * s.samples; ++item) {
        const float *u = membrane + item * s.steps * n;
        const float *in = into_spikes + item * s.steps * n;
        float *g = gradient + item * s.steps * n;
        for (int64_t t = s.steps - 1; t >= 0; --t) {
            const float *now = u + t * n;
            float *here = g + t * n;
            const float *later = here + n;
            const bool last = t == s.steps - 1;
            for (int64_t i = 0; i < n; ++i) {
                const float x = pi * (now[i] - threshold);
                const float own = in[t * n + i] / (1.0f + x * x);
                const float decay = zero_reset && now[i] > threshold ? 0.0f : beta;
                here[i] = last ? own : own + decay * later[i];
            }
        }
    }
}

}  // namespace

#define NAMED(isa) kernels_##isa
#define EXPAND(isa) NAMED(isa)
extern const Kernels EXPAND(FEDSPIKE_ISA) = {rate, linear, weight_gradient, lif, lif_adjoint};

}  // namespace fedspike
