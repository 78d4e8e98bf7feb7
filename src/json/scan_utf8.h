/* UTF-8 by AVX2, sixty-four bytes at a time, after Keiser and Lemire, "Validating UTF-8 in less than one instruction per byte" (2020):
 * three looks into tables of 16 find every pair of bytes that cannot be. Included by scanners, where their instruction set is on. */
#ifndef JSON_SCAN_UTF8_H
#define JSON_SCAN_UTF8_H

#include "json/scan.h"

/* What may be wrong with two bytes in a row; a bit of their own each, but two that share one. */
enum {
    TOO_SHORT = 1,      /* a lead byte, and then no continuation */
    TOO_LONG = 2,       /* ASCII, and then a continuation */
    OVERLONG_3 = 4,     /* e0 80 to 9f */
    TOO_LARGE = 8,      /* f4 90 and above */
    SURROGATE = 16,     /* ed a0 and above */
    OVERLONG_2 = 32,    /* c0, c1 */
    TOO_LARGE_F5 = 64,  /* f5 and above */
    OVERLONG_4 = 64,    /* f0 80 to 8f */
    TWO_CONTINUED = 128 /* right only as third or fourth byte */
};
#define CARRY (TOO_SHORT | TOO_LONG | TWO_CONTINUED)
#define LARGE (CARRY | TOO_LARGE | TOO_LARGE_F5)

#define TABLE(...) _mm256_broadcastsi128_si256(_mm_setr_epi8(__VA_ARGS__))

static inline __m256i json_utf8_pairs(__m256i v, __m256i before) {
    const __m256i nibble = _mm256_set1_epi8(0x0f);
    const __m256i first_high =
        TABLE(TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG,
              (char)TWO_CONTINUED, (char)TWO_CONTINUED, (char)TWO_CONTINUED, (char)TWO_CONTINUED,
              TOO_SHORT | OVERLONG_2, TOO_SHORT, TOO_SHORT | OVERLONG_3 | SURROGATE,
              TOO_SHORT | TOO_LARGE | TOO_LARGE_F5 | OVERLONG_4);
    const __m256i first_low =
        TABLE((char)(CARRY | OVERLONG_3 | OVERLONG_2 | OVERLONG_4), (char)(CARRY | OVERLONG_2), (char)CARRY,
              (char)CARRY, (char)(CARRY | TOO_LARGE), (char)LARGE, (char)LARGE, (char)LARGE, (char)LARGE,
              (char)LARGE, (char)LARGE, (char)LARGE, (char)LARGE, (char)(LARGE | SURROGATE), (char)LARGE,
              (char)LARGE);
    const __m256i second_high =
        TABLE(TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT,
              (char)(TOO_LONG | OVERLONG_2 | TWO_CONTINUED | OVERLONG_3 | TOO_LARGE_F5 | OVERLONG_4),
              (char)(TOO_LONG | OVERLONG_2 | TWO_CONTINUED | OVERLONG_3 | TOO_LARGE),
              (char)(TOO_LONG | OVERLONG_2 | TWO_CONTINUED | SURROGATE | TOO_LARGE),
              (char)(TOO_LONG | OVERLONG_2 | TWO_CONTINUED | SURROGATE | TOO_LARGE), TOO_SHORT, TOO_SHORT,
              TOO_SHORT, TOO_SHORT);
    __m256i high = _mm256_and_si256(_mm256_srli_epi16(before, 4), nibble);
    __m256i second = _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble);
    return _mm256_and_si256(_mm256_and_si256(_mm256_shuffle_epi8(first_high, high),
                                             _mm256_shuffle_epi8(first_low,
                                                                 _mm256_and_si256(before, nibble))),
                            _mm256_shuffle_epi8(second_high, second));
}

/* v, moved on by n bytes, with the end of the 32 bytes before it in front. */
#define MOVED(v, before, n) _mm256_alignr_epi8((v), _mm256_permute2x128_si256((before), (v), 0x21), 16 - (n))

static inline __m256i json_utf8_wrong(__m256i v, __m256i before) {
    __m256i bad = json_utf8_pairs(v, MOVED(v, before, 1));
    /* the third byte of three or four, and the fourth of four, have to be continuations behind continuations */
    __m256i third = _mm256_subs_epu8(MOVED(v, before, 2), _mm256_set1_epi8((char)(0xe0 - 0x80)));
    __m256i fourth = _mm256_subs_epu8(MOVED(v, before, 3), _mm256_set1_epi8((char)(0xf0 - 0x80)));
    __m256i must = _mm256_and_si256(_mm256_or_si256(third, fourth), _mm256_set1_epi8((char)0x80));
    return _mm256_xor_si256(must, bad);
}

/* Whether a character that begins in the last three bytes goes on behind them. */
static inline bool json_utf8_goes_on(__m256i v) {
    const __m256i most =
        _mm256_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
                         -1, -1, -1, -1, -1, -1, -1, -1, (char)0xef, (char)0xdf, (char)0xbf);
    return !_mm256_testz_si256(_mm256_subs_epu8(v, most), _mm256_set1_epi8(-1));
}

static inline void json_utf8_check(struct json_scan *s, __m256i low, __m256i high) {
    __m256i before = _mm256_load_si256((const __m256i *)(const void *)s->before);
    if (_mm256_movemask_epi8(_mm256_or_si256(low, high)) == 0) {
        s->utf8 |= s->incomplete;
        s->incomplete = false;
    } else {
        __m256i bad = _mm256_or_si256(json_utf8_wrong(low, before), json_utf8_wrong(high, low));
        s->utf8 |= !_mm256_testz_si256(bad, bad);
        s->incomplete = json_utf8_goes_on(high);
    }
    _mm256_store_si256((__m256i *)(void *)s->before, high);
}

#endif
