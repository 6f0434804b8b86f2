// Vectors of 512 bits, in 1, 2 or 4 registers as the machine has them, and transposes.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <new>
#include <utility>
#include <vector>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace fedspike {
namespace {

typedef float Vec __attribute__((vector_size(64)));
typedef int32_t Lanes __attribute__((vector_size(64)));
typedef uint64_t Words __attribute__((vector_size(64)));
constexpr int LANES = 16;      // floats in a Vec
constexpr int WORD_LANES = 8;  // words in Words
constexpr int PANEL = 8;       // vectors that are worked on in registers at a time

inline Vec load(const float *p) {
    Vec v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
inline void store(float *p, Vec v) { std::memcpy(p, &v, sizeof v); }

// Numbers that begin at a line of the cache, so that no Vec lies across two.
template <typename T>
struct AtLine {
    using value_type = T;
    AtLine() = default;
    template <typename U>
    AtLine(const AtLine<U> &) {}
    T *allocate(size_t count) { return static_cast<T *>(::operator new(count * sizeof(T), std::align_val_t{64})); }
    void deallocate(T *p, size_t) { ::operator delete(p, std::align_val_t{64}); }
    bool operator==(const AtLine &) const { return true; }
    bool operator!=(const AtLine &) const { return false; }
};
using Floats = std::vector<float, AtLine<float>>;

inline int64_t whole_vectors(int64_t count) { return (count + LANES - 1) / LANES * LANES; }

// Calls panel(V, offset, kept) for one panel of at most MOST vectors after the other, V being constant for the compiler;
// `kept` of its numbers are real. A vector is of LANES numbers, or of so many as are said.
template <int MOST = PANEL, int OF = LANES, typename Panel, int... LESS>
inline void for_panels(int64_t count, const Panel &panel, std::integer_sequence<int, LESS...>) {
    for (int64_t offset = 0; offset < count; offset += MOST * OF) {
        const int64_t kept = std::min<int64_t>(MOST * OF, count - offset), less = (kept - 1) / OF;
        (void)((less == LESS && (panel(std::integral_constant<int, LESS + 1>{}, offset, kept), true)) || ...);
    }
}
template <int MOST = PANEL, int OF = LANES, typename Panel>
inline void for_panels(int64_t count, const Panel &panel) {
    for_panels<MOST, OF>(count, panel, std::make_integer_sequence<int, MOST>{});
}

// The first `columns` of each row, from rows of one stride to rows of another.
inline void copy_rows(int64_t rows, int64_t columns, const float *from, int64_t from_stride, float *to,
                      int64_t to_stride) {
    for (int64_t row = 0; row < rows; ++row)
        std::memcpy(to + row * to_stride, from + row * from_stride, columns * sizeof(float));
}

// Lane by lane, the 64-bit products of the low halves of two words.
inline Words low_products(Words a, Words b) {
    Words product;
#if defined(__AVX512F__)
    product = (Words)_mm512_maskz_mul_epu32(0xFF, (__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
    for (int half = 0; half < 2; ++half) {
        __m256i x, y;
        std::memcpy(&x, (char *)&a + 32 * half, 32);
        std::memcpy(&y, (char *)&b + 32 * half, 32);
        x = _mm256_mul_epu32(x, y);
        std::memcpy((char *)&product + 32 * half, &x, 32);
    }
#else
    for (int i = 0; i < WORD_LANES; ++i) product[i] = (uint64_t)(uint32_t)a[i] * (uint32_t)b[i];
#endif
    return product;
}

// factor * a + b in one rounding, for x86 before AVX2, which has no instruction for it. The product is exact in double,
// and a sum that is rounded to odd may be rounded once more (Boldo, Melquiond, "Emulation of FMA and Correctly Rounded
// Sums: Proved Algorithms Using Rounding to Odd", IEEE Transactions on Computers 57, 2008).
inline float fused(float factor, float a, float b) {
    const double product = (double)factor * a, sum = product + b, rest = sum - product;
    const double error = (product - (sum - rest)) + (b - rest);
    int64_t bits;
    std::memcpy(&bits, &sum, sizeof bits);
    if ((error < 0 || error > 0) && bits % 2 == 0) bits += (error > 0) == (sum > 0) ? 1 : -1;
    double odd;
    std::memcpy(&odd, &bits, sizeof odd);
    return (float)odd;
}

// factor * a + b in one rounding
inline Vec multiply_add(float factor, Vec a, Vec b) {
#if defined(__AVX512F__)
    return (Vec)_mm512_fmadd_ps(_mm512_set1_ps(factor), (__m512)a, (__m512)b);
#elif defined(__FMA__)
    const __m256 f = _mm256_set1_ps(factor);
    for (int half = 0; half < 2; ++half) {
        __m256 x, y;
        std::memcpy(&x, (char *)&a + 32 * half, 32);
        std::memcpy(&y, (char *)&b + 32 * half, 32);
        x = _mm256_fmadd_ps(f, x, y);
        std::memcpy((char *)&b + 32 * half, &x, 32);
    }
    return b;
#elif defined(__ARM_FEATURE_FMA)
    for (int i = 0; i < LANES; ++i) b[i] = __builtin_fmaf(factor, a[i], b[i]);
    return b;
#else
    for (int i = 0; i < LANES; ++i) b[i] = fused(factor, a[i], b[i]);
    return b;
#endif
}

// The same lane by lane.
inline Vec multiply_add(Vec factor, Vec a, Vec b) {
#if defined(__AVX512F__)
    return (Vec)_mm512_fmadd_ps((__m512)factor, (__m512)a, (__m512)b);
#elif defined(__FMA__)
    for (int half = 0; half < 2; ++half) {
        __m256 f, x, y;
        std::memcpy(&f, (char *)&factor + 32 * half, 32);
        std::memcpy(&x, (char *)&a + 32 * half, 32);
        std::memcpy(&y, (char *)&b + 32 * half, 32);
        x = _mm256_fmadd_ps(f, x, y);
        std::memcpy((char *)&b + 32 * half, &x, 32);
    }
    return b;
#elif defined(__ARM_FEATURE_FMA)
    for (int i = 0; i < LANES; ++i) b[i] = __builtin_fmaf(factor[i], a[i], b[i]);
    return b;
#else
    for (int i = 0; i < LANES; ++i) b[i] = fused(factor[i], a[i], b[i]);
    return b;
#endif
}

// Bit i is set where number i of at most 64 is not 0.
inline uint64_t nonzero(const float *p, int64_t count) {
    uint64_t bits = 0;
    int64_t i = 0;
#if defined(__AVX512F__)
    for (; i + 16 <= count; i += 16)
        bits |= (uint64_t)_mm512_cmp_ps_mask(_mm512_loadu_ps(p + i), _mm512_setzero_ps(), _CMP_NEQ_UQ) << i;
#elif defined(__AVX2__)
    for (; i + 8 <= count; i += 8)
        bits |= (uint64_t)_mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(p + i), _mm256_setzero_ps(), _CMP_NEQ_UQ))
                << i;
#elif defined(__x86_64__)
    for (; i + 4 <= count; i += 4)
        bits |= (uint64_t)_mm_movemask_ps(_mm_cmpneq_ps(_mm_loadu_ps(p + i), _mm_setzero_ps())) << i;
#endif
    for (; i < count; ++i) bits |= (uint64_t)(p[i] != 0) << i;
    return bits;
}

// Bit i is set where lane i is more than a limit.
inline uint32_t above(Vec v, float limit) {
#if defined(__AVX512F__)
    return _mm512_cmp_ps_mask((__m512)v, _mm512_set1_ps(limit), _CMP_GT_OQ);
#else
    float lanes[LANES];
    std::memcpy(lanes, &v, sizeof v);
    uint32_t bits = 0;
#if defined(__AVX2__)
    for (int i = 0; i < LANES; i += 8)
        bits |= (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(lanes + i), _mm256_set1_ps(limit), _CMP_GT_OQ))
                << i;
#else
    for (int i = 0; i < LANES; ++i) bits |= (uint32_t)(lanes[i] > limit) << i;
#endif
    return bits;
#endif
}

// The transpose of 64 x 64 bits, in place: with AVX-512 of its 8 x 8 bytes, then of the 8 x 8 bits in each, which are
// taken from the highest on; else by swapping ever smaller squares (Warren, "Hacker's Delight", 7-3).
#if defined(__AVX512BW__)
// Two lanes of a, then two of b. (Masked, because GCC 12 warns of the others.)
template <int WHICH>
inline __m512i lanes_of(__m512i a, __m512i b) {
    return _mm512_maskz_shuffle_i64x2(0xFF, a, b, WHICH);
}
inline void transpose(uint64_t a[64]) {
    alignas(64) static constexpr struct Orders {
        uint8_t bytes[64];   // of two words, in turn
        uint16_t pairs[32];  // of four pairs of words, in turn
        constexpr Orders() : bytes(), pairs() {
            for (int i = 0; i < 64; ++i) bytes[i] = i % 2 * 8 + i % 16 / 2;
            for (int i = 0; i < 32; ++i) pairs[i] = i % 4 * 8 + i / 4;
        }
    } orders;
    const __m512i bytes = _mm512_load_si512(orders.bytes), pairs = _mm512_load_si512(orders.pairs);
    __m512i row[8], half[2][4];
    for (int i = 0; i < 8; ++i)  // word j: byte j of 8 words
        row[i] = _mm512_maskz_permutexvar_epi16(
            ~0u, pairs, _mm512_maskz_shuffle_epi8(~0ull, _mm512_loadu_si512(a + 8 * i), bytes));
    for (int i = 0; i < 4; ++i) {
        half[0][i] = _mm512_maskz_unpacklo_epi64(0xFF, row[2 * i], row[2 * i + 1]);
        half[1][i] = _mm512_maskz_unpackhi_epi64(0xFF, row[2 * i], row[2 * i + 1]);
    }
    for (int odd = 0; odd < 2; ++odd) {
        const __m512i *from = half[odd];
        const __m512i low = lanes_of<0x44>(from[0], from[1]), low2 = lanes_of<0x44>(from[2], from[3]);
        const __m512i high = lanes_of<0xEE>(from[0], from[1]), high2 = lanes_of<0xEE>(from[2], from[3]);
        row[0 + odd] = lanes_of<0x88>(low, low2);
        row[2 + odd] = lanes_of<0xDD>(low, low2);
        row[4 + odd] = lanes_of<0x88>(high, high2);
        row[6 + odd] = lanes_of<0xDD>(high, high2);
    }
    for (int i = 0; i < 8; ++i)
        for (int bit = 7; bit >= 0; --bit, row[i] = _mm512_add_epi8(row[i], row[i]))
            a[8 * i + bit] = _mm512_movepi8_mask(row[i]);
}
#else
template <int J>
inline void swap_squares(uint64_t a[64], uint64_t mask) {
    for (int square = 0; square < 64; square += 2 * J)
        for (int k = square; k < square + J; ++k) {
            const uint64_t t = ((a[k] >> J) ^ a[k + J]) & mask;
            a[k] ^= t << J;
            a[k + J] ^= t;
        }
}
inline void transpose(uint64_t a[64]) {
    swap_squares<32>(a, 0x00000000FFFFFFFFu);
    swap_squares<16>(a, 0x0000FFFF0000FFFFu);
    swap_squares<8>(a, 0x00FF00FF00FF00FFu);
    swap_squares<4>(a, 0x0F0F0F0F0F0F0F0Fu);
    swap_squares<2>(a, 0x3333333333333333u);
    swap_squares<1>(a, 0x5555555555555555u);
}
#endif

typedef float Quad __attribute__((vector_size(16)));
#if defined(__clang__)
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
typedef int32_t Indices __attribute__((vector_size(16)));
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, Indices{__VA_ARGS__})
#endif

// The transpose of 4 x 4 floats.
inline void transpose_square(const float *from, int64_t from_stride, float *to, int64_t to_stride) {
    Quad a, b, c, d;
    std::memcpy(&a, from, 16);
    std::memcpy(&b, from + from_stride, 16);
    std::memcpy(&c, from + 2 * from_stride, 16);
    std::memcpy(&d, from + 3 * from_stride, 16);
    const Quad ab = SHUFFLE(a, b, 0, 4, 1, 5), ab2 = SHUFFLE(a, b, 2, 6, 3, 7);
    const Quad cd = SHUFFLE(c, d, 0, 4, 1, 5), cd2 = SHUFFLE(c, d, 2, 6, 3, 7);
    const Quad turned[4] = {SHUFFLE(ab, cd, 0, 1, 4, 5), SHUFFLE(ab, cd, 2, 3, 6, 7),
                            SHUFFLE(ab2, cd2, 0, 1, 4, 5), SHUFFLE(ab2, cd2, 2, 3, 6, 7)};
    for (int i = 0; i < 4; ++i) std::memcpy(to + i * to_stride, &turned[i], 16);
}

// to[column][row] = from[row][column], by lines of 16 columns that stay in the first-level cache.
inline void transpose(int64_t rows, int64_t columns, const float *from, int64_t from_stride, float *to,
                      int64_t to_stride) {
    const int64_t whole_rows = rows / 4 * 4, whole_columns = columns / 4 * 4;
    for (int64_t c0 = 0; c0 < whole_columns; c0 += 16)
        for (int64_t r = 0; r < whole_rows; r += 4)
            for (int64_t c = c0; c < std::min(c0 + 16, whole_columns); c += 4)
                transpose_square(from + r * from_stride + c, from_stride, to + c * to_stride + r, to_stride);
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = r < whole_rows ? whole_columns : 0; c < columns; ++c)
            to[c * to_stride + r] = from[r * from_stride + c];
}

}  // namespace
}  // namespace fedspike
