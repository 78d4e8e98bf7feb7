/* AVX2, with carry-less multiplication: thirty-two bytes at a time. */
#ifdef __x86_64__
#ifdef __clang__
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2,popcnt,pclmul"))), apply_to = function)
#else
#pragma GCC target("avx2,bmi,bmi2,popcnt,pclmul")
#include <immintrin.h>
#endif

#define JSON_LOWEST(bits) _tzcnt_u64(bits)
#include "json/scan.h"
#include "json/scan_utf8.h"

static bool here(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt") &&
           __builtin_cpu_supports("pclmul");
}

static uint64_t prefix_xor(uint64_t x) {
    __m128i product = _mm_clmulepi64_si128(_mm_set_epi64x(0, (int64_t)x), _mm_set1_epi8((char)0xff), 0);
    return (uint64_t)_mm_cvtsi128_si64(product);
}

static inline uint64_t bits(__m256i low, __m256i high) {
    return (uint64_t)(unsigned)_mm256_movemask_epi8(low) | (uint64_t)(unsigned)_mm256_movemask_epi8(high)
                                                               << 32;
}

static inline __m256i is(__m256i v, char c) {
    return _mm256_cmpeq_epi8(v, _mm256_set1_epi8(c));
}

/* Brackets and braces are 0x20 apart. */
static inline __m256i op(__m256i v) {
    __m256i folded = _mm256_or_si256(v, _mm256_set1_epi8(0x20));
    return _mm256_or_si256(_mm256_or_si256(is(folded, '{'), is(folded, '}')),
                           _mm256_or_si256(is(v, ':'), is(v, ',')));
}

/* Each of the four is what the table has for its low four bits. */
static inline __m256i space(__m256i v) {
    const __m256i table =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(' ', -1, -1, -1, -1, -1, -1, -1, -1, '\t', '\n', -1, -1,
                                                  '\r', -1, -1)); /* -1: no byte finds itself */
    return _mm256_cmpeq_epi8(_mm256_shuffle_epi8(table, v), v);
}

static inline __m256i control(__m256i v) {
    return _mm256_cmpeq_epi8(_mm256_min_epu8(v, _mm256_set1_epi8(0x1f)), v);
}

static uint32_t *scan(struct json_scan *s, const unsigned char *p, size_t blocks, uint32_t base,
                      uint32_t *out) {
    for (; blocks; blocks--, p += JSON_BLOCK, base += JSON_BLOCK) {
        __m256i low = _mm256_loadu_si256((const __m256i *)(const void *)p);
        __m256i high = _mm256_loadu_si256((const __m256i *)(const void *)(p + 32));
        struct json_masks m = {.quote = bits(is(low, '"'), is(high, '"')),
                               .backslash = bits(is(low, '\\'), is(high, '\\')),
                               .op = bits(op(low), op(high)),
                               .space = bits(space(low), space(high)),
                               .control = bits(control(low), control(high))};
        json_utf8_check(s, low, high);
        out = json_take_block(s, &m, prefix_xor, json_write_places, base, out);
    }
    return out;
}

const struct json_scanner json_avx2 = {"avx2", here, scan};
#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
