/* The inner loops of the HTTP/1 codec: sixteen bytes at a time where the processor has SSE2 (all of x86-64),
 * a byte at a time elsewhere. No load leaves [p, end). Each function gives the first byte that does not
 * belong, or end. */
#ifndef HTTP_SCAN_H
#define HTTP_SCAN_H

#include "http/chars.h"

#ifdef __SSE2__
#include <emmintrin.h>

static inline __m128i http_load16(const char *p) {
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* Bytes that may not stand in a field value (RFC 9110 section 5.5): controls but tab, and DEL. 0xff each. */
static inline __m128i http_not_value16(__m128i v) {
    __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
    __m128i tab = _mm_cmpeq_epi8(v, _mm_set1_epi8('\t'));
    return _mm_or_si128(_mm_andnot_si128(tab, control), _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f)));
}

/* Bytes that may not stand in a request target: controls, space, '#', DEL and above. The comparison is
 * signed, so bytes from 0x80 count as small. */
static inline __m128i http_not_target16(__m128i v) {
    __m128i visible = _mm_cmpgt_epi8(v, _mm_set1_epi8(' '));
    __m128i hash_or_del =
        _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('#')), _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f)));
    return _mm_or_si128(_mm_cmpeq_epi8(visible, _mm_setzero_si128()), hash_or_del);
}

/* Letters, digits and '-', of which nearly all names are made. */
static inline __m128i http_plain_name16(__m128i v) {
    __m128i lower = _mm_or_si128(v, _mm_set1_epi8(0x20));
    __m128i letter = _mm_and_si128(_mm_cmpgt_epi8(lower, _mm_set1_epi8('a' - 1)),
                                   _mm_cmpgt_epi8(_mm_set1_epi8('z' + 1), lower));
    __m128i digit =
        _mm_and_si128(_mm_cmpgt_epi8(v, _mm_set1_epi8('0' - 1)), _mm_cmpgt_epi8(_mm_set1_epi8('9' + 1), v));
    return _mm_or_si128(_mm_or_si128(letter, digit), _mm_cmpeq_epi8(v, _mm_set1_epi8('-')));
}

/* The n < 16 bytes at p, zeros behind them. Reads overlap where n is no power of two, and stay within the n. */
static inline __m128i http_load_tail(const char *p, size_t n) {
    uint64_t low = 0, high = 0;
    uint32_t a, b;
    if (n >= 8) {
        memcpy(&low, p, 8);
        memcpy(&high, p + n - 8, 8);
        high = n == 8 ? 0 : high >> 8 * (16 - n);
    } else if (n >= 4) {
        memcpy(&a, p, 4);
        memcpy(&b, p + n - 4, 4);
        low = a | (uint64_t)b << 8 * (n - 4);
    } else {
        for (size_t i = n; i-- > 0;)
            low = low << 8 | (unsigned char)p[i];
    }
    return _mm_set_epi64x((int64_t)high, (int64_t)low);
}

/* `bad` tells of the bytes v which of them do not belong (0xff each). */
#define HTTP_SCAN(p, end, v, bad)                          \
    __m128i v;                                             \
    for (; (size_t)((end) - (p)) >= 16; (p) += 16) {       \
        v = http_load16(p);                                \
        unsigned mask_ = (unsigned)_mm_movemask_epi8(bad); \
        if (mask_)                                         \
            return (p) + __builtin_ctz(mask_);             \
    }                                                      \
    v = http_load_tail(p, (size_t)((end) - (p)));          \
    return (p) + __builtin_ctz((unsigned)_mm_movemask_epi8(bad) | 1u << ((end) - (p)));
#endif

static inline bool http_value_byte(char c) {
    return ((unsigned char)c >= 0x20 && c != 0x7f) || c == '\t';
}

static inline bool http_target_byte(char c) {
    return c > ' ' && c < 0x7f && c != '#';
}

/* Over the bytes of a field value. */
static inline const char *http_scan_value(const char *p, const char *end) {
#ifdef __SSE2__
    HTTP_SCAN(p, end, v, http_not_value16(v))
#else
    while (p < end && http_value_byte(*p))
        p++;
    return p;
#endif
}

/* Copies n bytes and tells whether all of them may stand in a field value. A length that is no multiple of 16 is covered
 * by a last step that overlaps the one before. */
#ifdef __SSE2__
static inline bool http_copy_value(char *to, const char *from, size_t n) {
    __m128i bad = _mm_setzero_si128();
    if (n < 16) {
        memcpy(to, from, n);
        bad = http_not_value16(http_load_tail(from, n));
        return (_mm_movemask_epi8(bad) & ((1 << n) - 1)) == 0;
    }
    for (size_t i = 0; i < n; i = i + 32 <= n ? i + 16 : i + 16 < n ? n - 16 : n) {
        __m128i v = http_load16(from + i);
        _mm_storeu_si128((__m128i *)(void *)(to + i), v);
        bad = _mm_or_si128(bad, http_not_value16(v));
    }
    return _mm_movemask_epi8(bad) == 0;
}
#else
static inline bool http_copy_value(char *to, const char *from, size_t n) {
    if (n)
        memcpy(to, from, n);
    return n == 0 || http_scan_value(from, from + n) == from + n;
}
#endif

/* Over the bytes of a request target. */
static inline const char *http_scan_target(const char *p, const char *end) {
#ifdef __SSE2__
    HTTP_SCAN(p, end, v, http_not_target16(v))
#else
    while (p < end && http_target_byte(*p))
        p++;
    return p;
#endif
}

/* Over letters, digits and '-'; what stops it may still be a rarer tchar. */
static inline const char *http_scan_name(const char *p, const char *end) {
#ifdef __SSE2__
    HTTP_SCAN(p, end, v, _mm_cmpeq_epi8(http_plain_name16(v), _mm_setzero_si128()))
#else
    while (p < end && (b_is_digit(*p) || *p == '-' || (b_lower(*p) >= 'a' && b_lower(*p) <= 'z')))
        p++;
    return p;
#endif
}

#endif
