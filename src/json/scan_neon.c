/* What every 64-bit Arm has: sixteen bytes at a time. Characters beyond ASCII are looked at one by one. */
#ifdef __aarch64__
#include <arm_neon.h>

#include "json/scan.h"

static bool everywhere(void) {
    return true;
}

struct block {
    uint8x16_t part[4];
};

/* A bit for each byte that is all ones: each byte keeps the bit of its place in eight, and neighbours are added up. */
static inline uint64_t bits(struct block b) {
    static const uint8_t places[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x16_t own = vld1q_u8(places);
    uint8x16_t low = vpaddq_u8(vandq_u8(b.part[0], own), vandq_u8(b.part[1], own));
    uint8x16_t high = vpaddq_u8(vandq_u8(b.part[2], own), vandq_u8(b.part[3], own));
    uint8x16_t all = vpaddq_u8(low, high);
    return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(all, all)), 0);
}

static inline uint64_t is(struct block b, uint8_t c) {
    for (unsigned i = 0; i < 4; i++)
        b.part[i] = vceqq_u8(b.part[i], vdupq_n_u8(c));
    return bits(b);
}

static inline uint64_t control(struct block b) {
    for (unsigned i = 0; i < 4; i++)
        b.part[i] = vcltq_u8(b.part[i], vdupq_n_u8(0x20));
    return bits(b);
}

/* Brackets and braces are 0x20 apart. */
static inline uint64_t op(struct block b) {
    for (unsigned i = 0; i < 4; i++) {
        uint8x16_t v = b.part[i], folded = vorrq_u8(v, vdupq_n_u8(0x20));
        b.part[i] = vorrq_u8(vorrq_u8(vceqq_u8(folded, vdupq_n_u8('{')), vceqq_u8(folded, vdupq_n_u8('}'))),
                             vorrq_u8(vceqq_u8(v, vdupq_n_u8(':')), vceqq_u8(v, vdupq_n_u8(','))));
    }
    return bits(b);
}

/* Each of the four is what the table has for its low four bits. */
static inline uint64_t space(struct block b) {
    static const uint8_t known[16] = {' ', 255,  255,  255, 255, 255,  255, 255,
                                      255, '\t', '\n', 255, 255, '\r', 255, 0};
    const uint8x16_t table = vld1q_u8(known),
                     nibble = vdupq_n_u8(0x0f); /* no byte finds 255, or 0: they are not in their places */
    for (unsigned i = 0; i < 4; i++)
        b.part[i] = vceqq_u8(vqtbl1q_u8(table, vandq_u8(b.part[i], nibble)), b.part[i]);
    return bits(b);
}

static inline bool beyond_ascii(struct block b) {
    uint8x16_t all = vorrq_u8(vorrq_u8(b.part[0], b.part[1]), vorrq_u8(b.part[2], b.part[3]));
    return vmaxvq_u8(all) >= 0x80;
}

static uint32_t *scan(struct json_scan *s, const unsigned char *p, size_t blocks, uint32_t base,
                      uint32_t *out) {
    for (; blocks; blocks--, p += JSON_BLOCK, base += JSON_BLOCK) {
        struct block b = {{vld1q_u8(p), vld1q_u8(p + 16), vld1q_u8(p + 32), vld1q_u8(p + 48)}};
        struct json_masks m = {.quote = is(b, '"'),
                               .backslash = is(b, '\\'),
                               .op = op(b),
                               .space = space(b),
                               .control = control(b)};
        if (s->incomplete || beyond_ascii(b))
            json_check_utf8(s, p);
        out = json_take_block(s, &m, json_prefix_xor, json_write_places, base, out);
    }
    return out;
}

const struct json_scanner json_neon = {"neon", everywhere, scan};
#endif
