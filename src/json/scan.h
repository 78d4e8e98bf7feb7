/* How the index looks at text: blocks of 64 bytes become masks, and those the places that the grammar walks. One scanner for
 * each instruction set, all of them this file's code around their own masks. For the folder only. */
#ifndef JSON_SCAN_H
#define JSON_SCAN_H

#include <stdint.h>
#include <string.h>

#include "base/slice.h"

#define JSON_BLOCK 64
#define JSON_PLACES_MORE 16

/* A bit for each byte of a block, the first one lowest. */
struct json_masks {
    uint64_t quote, backslash;
    uint64_t op;      /* one of {}[]:, */
    uint64_t space;   /* blank, tab, LF, CR */
    uint64_t control; /* below 0x20 */
};

/* From block to block. */
struct json_scan {
    uint64_t escaped;                      /* 1: the first byte stands behind a backslash that counts */
    uint64_t in_string;                    /* all bits: the block begins inside a string */
    uint64_t scalar;                       /* 1: the byte before belonged to a number or a literal */
    bool control;                          /* there was a control character inside a string */
    bool backslash;                        /* there was one; the caller clears it */
    bool utf8;                             /* there was a byte sequence that is no UTF-8 */
    _Alignas(32) unsigned char before[32]; /* the last bytes of the block before, for the scanner's use */
    bool incomplete;                       /* a character of UTF-8 goes on in the next block, likewise */
};

struct json_scanner {
    const char *name;
    bool (*here)(void); /* whether this processor can */
    /* Writes the places in `blocks` blocks at p, which begin at `base` of the text, and gives the end of them: brackets, colons
     * and commas, both quotes of strings, the backslashes inside, and where numbers and literals begin. Up to
     * JSON_PLACES_MORE numbers are written behind them. */
    uint32_t *(*scan)(struct json_scan *s, const unsigned char *p, size_t blocks, uint32_t base,
                      uint32_t *out);
};
extern const struct json_scanner json_scalar;
/* scan_scalar.c: 64 bytes, for scanners that have nothing better. */
void json_check_utf8(struct json_scan *s, const unsigned char *p);
#ifdef __x86_64__
extern const struct json_scanner json_sse2, json_avx2, json_avx512;
#endif
#ifdef __aarch64__
extern const struct json_scanner json_neon;
#endif

/* The backslashes that escape the byte behind them; *escaped has those bytes. They are few: one after the other. */
static inline uint64_t json_escapes(struct json_scan *s, uint64_t backslash, uint64_t *escaped) {
    uint64_t behind = s->escaped, escapes = 0;
    backslash &= ~behind;
    s->escaped = 0;
    while (backslash) {
        uint64_t one = backslash & -backslash;
        escapes |= one;
        behind |= one << 1;
        s->escaped = one >> 63;
        backslash &= ~(one | one << 1);
    }
    *escaped = behind;
    return escapes;
}

/* Bit n: whether the number of bits up to n, itself included, is odd. */
static inline uint64_t json_prefix_xor(uint64_t x) {
    for (unsigned n = 1; n < 64; n *= 2)
        x ^= x << n;
    return x;
}

/* The lowest bit's number; anything when there is none. A scanner may define it before: with BMI it is one instruction. */
#ifndef JSON_LOWEST
#define JSON_LOWEST(bits) __builtin_ctzll((bits) | (uint64_t)1 << 63)
#endif

/* Eight places, wanted or not; gives the bits behind them. */
static inline __attribute__((always_inline)) uint64_t json_write_eight(uint64_t bits, uint32_t base,
                                                                       uint32_t *out) {
#pragma GCC unroll 8
    for (unsigned i = 0; i < 8; i++) {
        out[i] = base + (uint32_t)JSON_LOWEST(bits);
        bits &= bits - 1;
    }
    return bits;
}

/* By eights, since nobody could predict how many there are: most blocks have up to sixteen. */
static inline __attribute__((always_inline)) uint32_t *json_write_places(uint64_t bits, uint32_t base,
                                                                         uint32_t *out) {
    unsigned count = (unsigned)__builtin_popcountll(bits);
    bits = json_write_eight(bits, base, out);
    if (count > 8)
        bits = json_write_eight(bits, base, out + 8);
    for (unsigned done = 16; __builtin_expect(done < count, 0); done += 8)
        bits = json_write_eight(bits, base, out + done);
    return out + count;
}

static inline __attribute__((always_inline)) uint32_t *
json_take_block(struct json_scan *s, const struct json_masks *m, uint64_t (*prefix_xor)(uint64_t),
                uint32_t *(*write)(uint64_t bits, uint32_t base, uint32_t *out), uint32_t base,
                uint32_t *out) {
    uint64_t escapes = 0, escaped = s->escaped;
    if (m->backslash) {
        escapes = json_escapes(s, m->backslash, &escaped);
        s->backslash = true;
    } else {
        s->escaped = 0;
    }
    uint64_t quotes = m->quote & ~escaped;
    uint64_t inside =
        prefix_xor(quotes) ^ s->in_string; /* from the opening quote on, without the closing one */
    s->in_string = 0 - (inside >> 63);
    s->control |= (m->control & inside) != 0;
    uint64_t scalar = ~(m->op | m->space | quotes | inside);
    uint64_t begins = scalar & ~(scalar << 1 | s->scalar);
    s->scalar = scalar >> 63;
    return write((m->op & ~inside) | quotes | begins | (escapes & inside), base, out);
}

#endif
