/* For every processor: a table, byte by byte. */
#include "json/scan.h"
#include "json/utf8.h"

enum { QUOTE = 1, BACKSLASH = 2, OP = 4, SPACE = 8, CONTROL = 16 };

static const uint8_t kinds[256] = {
    ['"'] = QUOTE,
    ['\\'] = BACKSLASH,
    ['{'] = OP,
    ['}'] = OP,
    ['['] = OP,
    [']'] = OP,
    [':'] = OP,
    [','] = OP,
    [' '] = SPACE,
    ['\t'] = SPACE | CONTROL,
    ['\n'] = SPACE | CONTROL,
    ['\r'] = SPACE | CONTROL,
    [0x00] = CONTROL,
    [0x01] = CONTROL,
    [0x02] = CONTROL,
    [0x03] = CONTROL,
    [0x04] = CONTROL,
    [0x05] = CONTROL,
    [0x06] = CONTROL,
    [0x07] = CONTROL,
    [0x08] = CONTROL,
    [0x0b] = CONTROL,
    [0x0c] = CONTROL,
    [0x0e] = CONTROL,
    [0x0f] = CONTROL,
    [0x10] = CONTROL,
    [0x11] = CONTROL,
    [0x12] = CONTROL,
    [0x13] = CONTROL,
    [0x14] = CONTROL,
    [0x15] = CONTROL,
    [0x16] = CONTROL,
    [0x17] = CONTROL,
    [0x18] = CONTROL,
    [0x19] = CONTROL,
    [0x1a] = CONTROL,
    [0x1b] = CONTROL,
    [0x1c] = CONTROL,
    [0x1d] = CONTROL,
    [0x1e] = CONTROL,
    [0x1f] = CONTROL,
};

static bool everywhere(void) {
    return true;
}

/* Bytes that may belong to one character which began in the block before are looked at together with it. */
void json_check_utf8(struct json_scan *s, const unsigned char *p) {
    char both[3 + JSON_BLOCK];
    size_t kept = s->incomplete ? s->before[3] : 0, at = 0, n = kept + JSON_BLOCK;
    memcpy(both, s->before, kept);
    memcpy(both + kept, p, JSON_BLOCK);
    s->incomplete = false;
    while (at < n) {
        size_t len = json_utf8_length(both + at, n - at);
        if (len == 0 && n - at < 4 && json_utf8_may_begin(both + at, n - at)) {
            s->incomplete = true;
            memcpy(s->before, both + at, n - at);
            s->before[3] = (unsigned char)(n - at);
            return;
        }
        s->utf8 |= len == 0;
        at += len ? len : 1;
    }
}

static uint32_t *scan(struct json_scan *s, const unsigned char *p, size_t blocks, uint32_t base,
                      uint32_t *out) {
    for (; blocks; blocks--, p += JSON_BLOCK, base += JSON_BLOCK) {
        struct json_masks m = {0};
        uint64_t high = 0;
        for (unsigned i = 0; i < JSON_BLOCK; i++) {
            uint64_t kind = kinds[p[i]];
            m.quote |= (kind & 1) << i;
            m.backslash |= (kind >> 1 & 1) << i;
            m.op |= (kind >> 2 & 1) << i;
            m.space |= (kind >> 3 & 1) << i;
            m.control |= (kind >> 4 & 1) << i;
            high |= p[i];
        }
        if (s->incomplete || high & 0x80)
            json_check_utf8(s, p);
        out = json_take_block(s, &m, json_prefix_xor, json_write_places, base, out);
    }
    return out;
}

const struct json_scanner json_scalar = {"scalar", everywhere, scan};
