/* What every x86-64 has: sixteen bytes at a time. Characters beyond ASCII are looked at one by one. */
#ifdef __x86_64__
#include <emmintrin.h>

#include "json/scan.h"

static bool everywhere(void) {
    return true;
}

static inline __m128i either(__m128i v, char a, char b) {
    return _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8(a)), _mm_cmpeq_epi8(v, _mm_set1_epi8(b)));
}

static inline uint64_t bits(__m128i v) {
    return (uint64_t)(unsigned)_mm_movemask_epi8(v);
}

/* Brackets and braces are 0x20 apart. */
static inline uint64_t add(const unsigned char *p, unsigned shift, struct json_masks *m) {
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i folded = _mm_or_si128(v, _mm_set1_epi8(0x20));
    m->quote |= bits(_mm_cmpeq_epi8(v, _mm_set1_epi8('"'))) << shift;
    m->backslash |= bits(_mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))) << shift;
    m->op |= bits(_mm_or_si128(either(folded, '{', '}'), either(v, ':', ','))) << shift;
    m->space |= bits(_mm_or_si128(either(v, ' ', '\t'), either(v, '\n', '\r'))) << shift;
    m->control |= bits(_mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v)) << shift;
    return bits(v);
}

static uint32_t *scan(struct json_scan *s, const unsigned char *p, size_t blocks, uint32_t base,
                      uint32_t *out) {
    for (; blocks; blocks--, p += JSON_BLOCK, base += JSON_BLOCK) {
        struct json_masks m = {0};
        uint64_t high = add(p, 0, &m) | add(p + 16, 16, &m) | add(p + 32, 32, &m) | add(p + 48, 48, &m);
        if (s->incomplete || high)
            json_check_utf8(s, p);
        out = json_take_block(s, &m, json_prefix_xor, json_write_places, base, out);
    }
    return out;
}

const struct json_scanner json_sse2 = {"sse2", everywhere, scan};
#endif
