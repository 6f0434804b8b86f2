// One sample after the other to trains of spikes: by the rate code, whose addressed random numbers are compared with
// the pixels 64 time steps at a time, or by a code without randomness, where the train of every level of a pixel
// stands in a table; or it is trains already.
#pragma once
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels.hpp"
#include "vectors.hpp"

namespace fedspike {
namespace {

// Philox 4x64-10 (Salmon et al., SC 2011), as numpy.random.Philox, for 8 counters side by side.
struct Counters {
    Words c0, c1, c2, c3;
};

// high:low of the 128-bit products with a constant, from products of halves
inline void multiply(Words a, uint64_t constant, Words &high, Words &low) {
    const Words zero = {}, mask = zero + 0xFFFFFFFFu;
    const Words c_low = zero + constant, c_high = zero + (constant >> 32), a_high = a >> 32;
    const Words bottom = low_products(a, c_low);
    const Words left = low_products(a_high, c_low) + (bottom >> 32);
    const Words right = low_products(a, c_high) + (left & mask);
    high = low_products(a_high, c_high) + (left >> 32) + (right >> 32);
    low = (right << 32) | (bottom & mask);
}

template <int N>
inline void philox(Counters (&x)[N], const uint64_t key[2]) {
    uint64_t k0 = key[0], k1 = key[1];
#pragma GCC unroll 10
    for (int i = 0; i < 10; ++i) {
        Words high0[N], low0[N], high1[N], low1[N];
#pragma GCC unroll 4
        for (int n = 0; n < N; ++n) multiply(x[n].c0, 0xD2E7470EE14C6C93u, high0[n], low0[n]);
#pragma GCC unroll 4
        for (int n = 0; n < N; ++n) multiply(x[n].c2, 0xCA5A826395121157u, high1[n], low1[n]);
#pragma GCC unroll 4
        for (int n = 0; n < N; ++n) x[n] = {high1[n] ^ x[n].c1 ^ k0, low1[n], high0[n] ^ x[n].c3 ^ k1, low0[n]};
        k0 += 0x9E3779B97F4A7C15u;
        k1 += 0xBB67AE8584CAA73Bu;
    }
}

// Pixels whose comparison with 64 random numbers, from the highest bit down, is not decided at every step.
struct Open {
    std::vector<uint64_t> pixel, limit, undecided, less;
    explicit Open(int64_t pixels)
        : pixel(pixels + WORD_LANES), limit(pixels + WORD_LANES), undecided(pixels + WORD_LANES),
          less(pixels + WORD_LANES) {}
};

inline Words words_at(const std::vector<uint64_t> &list, int64_t k) {
    Words words;
    std::memcpy(&words, &list[k], sizeof words);
    return words;
}

// Spikes of one sample in the 64 steps of one word: less or equal to the limit, which of the dark is -1. A random number
// is spread over 16 words, of which 8 decide 255 of 256 numbers; few pixels need all. Half of them are in the dark
// and need none: they are not among the `count` that are open, and their trains stay as they are.
template <int PASS>
inline int64_t rate_pass(const Shape &s, int64_t word, int64_t count, const Counters &at, const uint64_t key[2],
                         Open &open, uint64_t *trains) {
    int64_t left = 0;
    for (int64_t k = 0; k < count; k += WORD_LANES) {
        const Words pixel = words_at(open.pixel, k), limit = words_at(open.limit, k);
        Words undecided = PASS ? words_at(open.undecided, k) : Words{} + s.all_steps(word);
        Words less = PASS ? words_at(open.less, k) : Words{};
        Counters blocks[2] = {at, at};
        for (int half = 0; half < 2; ++half)
            blocks[half].c0 = (pixel + (uint64_t)(word * s.neurons)) * 4 + (uint64_t)(2 * PASS + half + 1);
        philox(blocks, key);
#pragma GCC unroll 2
        for (int half = 0; half < 2; ++half) {
            const Words *words[4] = {&blocks[half].c0, &blocks[half].c1, &blocks[half].c2, &blocks[half].c3};
#pragma GCC unroll 4
            for (int j = 0; j < 4; ++j) {
                const Words bit = -(limit >> (15 - 4 * (2 * PASS + half) - j) & 1);
                const Words decided = undecided & (*words[j] ^ bit);
                less |= decided & bit;
                undecided ^= decided;
            }
        }
        if (PASS) less |= undecided;
        const int64_t lanes = std::min<int64_t>(WORD_LANES, count - k);
        for (int64_t lane = 0; lane < lanes; ++lane) {
            trains[pixel[lane] * s.words() + word] = less[lane];
            if (PASS) continue;
            open.pixel[left] = pixel[lane];
            open.limit[left] = limit[lane];
            open.undecided[left] = undecided[lane];
            open.less[left] = less[lane];
            left += undecided[lane] != 0;
        }
    }
    return left;
}

// Room to encode one sample after the other.
struct Draw {
    Open open;
    std::vector<int32_t> limits;
    explicit Draw(int64_t pixels) : open(pixels), limits(pixels) {}

    void operator()(const Shape &s, const Code &code, const float *image, uint64_t client, uint64_t sample,
                    uint64_t *trains) {
        const Words zero = {};
        const Counters at = {zero, zero + sample, zero + client, zero + code.round};
        for (int64_t i = 0; i < s.neurons; ++i) {
            const float q = std::nearbyint(65536.0f * (code.gain * image[i])) - 1.0f;
            limits[i] = (int32_t)std::min(std::max(-1.0f, q), 65535.0f);  // of NaN -1
        }
        std::fill_n(trains, s.neurons * s.words(), 0);
        for (int64_t word = 0; word < s.words(); ++word) {
            int64_t count = 0;
            for (int64_t i = 0; i < s.neurons; ++i) {
                open.pixel[count] = i;
                open.limit[count] = limits[i];
                count += limits[i] >= 0;
            }
            count = rate_pass<0>(s, word, count, at, code.key, open, trains);
            rate_pass<1>(s, word, count, at, code.key, open, trains);
        }
    }
};

// floor(65535 x + 1/2). In double, where 65535 x is exact; pixels outside 0 to 1 get the nearer end, NaN gets 0.
inline int32_t level_of(float pixel) {
    const double x = std::min(1.0, std::max(0.0, (double)pixel));
    return (int32_t)((LEVELS - 1) * x + 0.5);
}

// Room to look one sample after the other up.
struct Lookup {
    std::vector<int32_t> levels;
    explicit Lookup(int64_t pixels) : levels(pixels) {}

    void operator()(const Shape &s, const Code &code, const float *image, uint64_t *trains) {
        for (int64_t i = 0; i < s.neurons; ++i) levels[i] = level_of(image[i]);
        if (code.above)
            for (int64_t i = s.neurons - 1; i >= code.above; --i)
                levels[i] = std::max(0, levels[i] - levels[i - code.above]);
        for (int64_t i = 0; i < s.neurons; ++i)
            for (int64_t word = 0; word < s.words(); ++word) *trains++ = code.trains[levels[i] * s.words() + word];
    }
};

// Room to encode one sample after the other.
struct Encoder {
    Draw draw;
    Lookup look_up;
    explicit Encoder(int64_t pixels) : draw(pixels), look_up(pixels) {}

    // Sample number `sample` of client number k of the batch.
    void operator()(const Shape &s, const Code &code, const float *image, int64_t k, int64_t sample, uint64_t *trains) {
        if (code.kind == Code::recorded)
            std::memcpy(trains, image, s.neurons * s.words() * sizeof *trains);
        else if (code.kind == Code::rate)
            draw(s, code, image, code.clients[k], code.first_samples[k] + sample, trains);
        else
            look_up(s, code, image, trains);
    }
};

// Room to draw which hidden values of one sample stay.
struct Stays {
    Dropout dropout;
    Shape s;  // neurons: of all hidden layers
    Draw draw;
    Floats ones;
    std::vector<uint64_t> trains;  // [neuron][word]
    float scale;                   // of what stays

    Stays(Dropout dropout, const Batch &batch, const Layers &layers)
        : dropout(dropout), s{batch.clients, batch.samples, dropout ? dropout->steps : 1, hidden(dropout, layers)},
          draw(s.neurons), ones(s.neurons, 1.0f), trains(s.neurons * s.words()),
          scale(dropout ? 1.0f / dropout->gain : 1.0f) {}

    static int64_t hidden(Dropout dropout, const Layers &layers) {
        int64_t sum = 0;
        for (size_t l = 0; dropout && l + 1 < layers.size(); ++l) sum += layers[l].outputs;
        return sum;
    }

    // Of sample number `item` of the batch.
    void operator()(int64_t item) {
        const int64_t k = item / s.samples, sample = dropout->first_samples[k] + item % s.samples;
        draw(s, *dropout, ones.data(), dropout->clients[k], sample, trains.data());
    }

    // Those of a layer, behind the first ones.
    const uint64_t *of(const Layers &layers, size_t layer) const {
        int64_t before = 0;
        for (size_t l = 0; l < layer; ++l) before += layers[l].outputs;
        return trains.data() + before * s.words();
    }
};

void encode(Shape s, const float *pixels, const Code &code, uint64_t *trains) {
#pragma omp parallel
    {
        Encoder encoder(s.neurons);
#pragma omp for schedule(dynamic, 8)
        for (int64_t item = 0; item < s.clients * s.samples; ++item)
            encoder(s, code, pixels + item * s.neurons, item / s.samples, item % s.samples,
                    trains + item * s.neurons * s.words());
    }
}

}  // namespace
}  // namespace fedspike
