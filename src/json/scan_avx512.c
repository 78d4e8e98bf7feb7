/* AVX-512 with VBMI2 (Ice Lake, Zen 4 and later): sixty-four bytes at once, comparisons give the masks, and places are written sixteen at a
 * time, compressed out of a row of numbers. */
#ifdef __x86_64__
#ifdef __clang__
#include <immintrin.h>
#pragma clang attribute push(                                                                                \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,avx2,bmi,bmi2,popcnt,pclmul"))), \
    apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,avx2,bmi,bmi2,popcnt,pclmul")
#include <immintrin.h>
#endif

#include "json/scan.h"
#include "json/scan_utf8.h"

static bool here(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi") &&
           __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx2") &&
           __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
           __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("pclmul");
}

static inline __attribute__((always_inline)) uint64_t prefix_xor(uint64_t x) {
    __m128i product = _mm_clmulepi64_si128(_mm_set_epi64x(0, (int64_t)x), _mm_set1_epi8((char)0xff), 0);
    return (uint64_t)_mm_cvtsi128_si64(product);
}

static inline uint64_t is(__m512i v, char c) {
    return _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8(c));
}

/* Brackets and braces are 0x20 apart. */
static inline uint64_t op(__m512i v) {
    __m512i folded = _mm512_or_si512(v, _mm512_set1_epi8(0x20));
    return is(folded, '{') | is(folded, '}') | is(v, ':') | is(v, ',');
}

/* Each of the four is what the table has for its low four bits. */
static inline uint64_t space(__m512i v) {
    const __m512i table =
        _mm512_broadcast_i32x4(_mm_setr_epi8(' ', -1, -1, -1, -1, -1, -1, -1, -1, '\t', '\n', -1, -1, '\r',
                                             -1, -1)); /* -1: no byte finds itself */
    return _mm512_cmpeq_epi8_mask(_mm512_shuffle_epi8(table, v), v);
}

static inline __attribute__((always_inline)) void write_sixteen(__m128i places, uint32_t base,
                                                                uint32_t *out) {
    _mm512_storeu_si512(out, _mm512_add_epi32(_mm512_cvtepu8_epi32(places), _mm512_set1_epi32((int)base)));
}

/* Most blocks have up to sixteen. */
static inline __attribute__((always_inline)) uint32_t *write_places(uint64_t bits, uint32_t base,
                                                                    uint32_t *out) {
    static const unsigned char row[64] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                          16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
                                          32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47,
                                          48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};
    unsigned count = (unsigned)__builtin_popcountll(bits);
    __m512i places = _mm512_maskz_compress_epi8(bits, _mm512_loadu_si512(row));
    write_sixteen(_mm512_castsi512_si128(places), base, out);
    if (__builtin_expect(count > 16, 0)) {
        write_sixteen(_mm512_extracti32x4_epi32(places, 1), base, out + 16);
        if (count > 32) {
            write_sixteen(_mm512_extracti32x4_epi32(places, 2), base, out + 32);
            write_sixteen(_mm512_extracti32x4_epi32(places, 3), base, out + 48);
        }
    }
    return out + count;
}

static uint32_t *scan(struct json_scan *s, const unsigned char *p, size_t blocks, uint32_t base,
                      uint32_t *out) {
    for (; blocks; blocks--, p += JSON_BLOCK, base += JSON_BLOCK) {
        __m512i v = _mm512_loadu_si512(p);
        struct json_masks m = {.quote = is(v, '"'),
                               .backslash = is(v, '\\'),
                               .op = op(v),
                               .space = space(v),
                               .control = _mm512_cmplt_epu8_mask(v, _mm512_set1_epi8(0x20))};
        json_utf8_check(s, _mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
        out = json_take_block(s, &m, prefix_xor, write_places, base, out);
    }
    return out;
}

const struct json_scanner json_avx512 = {"avx512", here, scan};
#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
