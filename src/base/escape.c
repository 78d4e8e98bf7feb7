#include "base/escape.h"

#define DOTS 3 /* bytes of the "..." behind a cut */

static bool is_tail(struct b_slice s, size_t i, unsigned char low, unsigned char high) {
    return i < s.len && (unsigned char)s.ptr[i] >= low && (unsigned char)s.ptr[i] <= high;
}

/* The table of well-formed sequences: Unicode 15, table 3-7. */
size_t b_utf8_char(struct b_slice s, size_t *bad) {
    unsigned char c = s.len ? (unsigned char)s.ptr[0] : 0, low = 0x80, high = 0xbf;
    size_t want = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0, have = 1;
    if (c == 0xe0)
        low = 0xa0; /* long forms */
    else if (c == 0xed)
        high = 0x9f; /* surrogates */
    else if (c == 0xf0)
        low = 0x90;
    else if (c == 0xf4)
        high = 0x8f; /* above U+10FFFF */
    if (s.len == 0)
        want = have = 0;
    while (have < want && is_tail(s, have, have == 1 ? low : 0x80, have == 1 ? high : 0xbf))
        have++;
    if (bad)
        *bad = have;
    return have == want ? want : 0;
}

static bool is_plain(unsigned char c, bool json) {
    return c >= 0x20 && c < 0x7f && !(json && (c == '"' || c == '\\'));
}

/* Any byte of the eight that is not plain; errs on the side of true only behind a byte that is not. */
static bool any_special(uint64_t x, bool json) {
    const uint64_t ones = 0x0101010101010101, tops = 0x8080808080808080;
    uint64_t low = x - ones * 0x20, quote = x ^ ones * '"', slash = x ^ ones * '\\', del = x ^ ones * 0x7f;
    uint64_t special = x | (low & ~x) | ((del - ones) & ~del);
    if (json)
        special |= ((quote - ones) & ~quote) | ((slash - ones) & ~slash);
    return (special & tops) != 0;
}

static size_t plain_run(struct b_slice s, bool json) {
    size_t n = 0;
    for (uint64_t x; s.len - n >= sizeof x; n += sizeof x) {
        memcpy(&x, s.ptr + n, sizeof x);
        if (any_special(x, json))
            break;
    }
    while (n < s.len && is_plain((unsigned char)s.ptr[n], json))
        n++;
    return n;
}

static size_t escape_control(unsigned c, char out[8]) {
    static const char hex[] = "0123456789abcdef", shorts[] = "\bb\ff\nn\rr\tt\"\"\\\\";
    for (size_t i = 0; i + 1 < sizeof shorts; i += 2) {
        if (c == (unsigned char)shorts[i]) {
            out[0] = '\\';
            out[1] = shorts[i + 1];
            return 2;
        }
    }
    memcpy(out, "\\u00", 4);
    out[4] = hex[c >> 4];
    out[5] = hex[c & 15];
    return 6;
}

/* Takes one character off *s, which starts with none that is plain, and writes what stands for it. */
static size_t escape_one(struct b_slice *s, char out[8]) {
    unsigned char c = (unsigned char)s->ptr[0];
    size_t bad, n = b_utf8_char(*s, &bad), len = n;
    if (n == 0) {
        memcpy(out, "\xef\xbf\xbd", 3);
        len = 3;
        n = bad;
    } else if (n == 1) {
        len = escape_control(c, out);
    } else if (c == 0xc2 && (unsigned char)s->ptr[1] < 0xa0) {
        len = escape_control((unsigned char)s->ptr[1], out); /* C1: U+0080 to U+009F */
    } else {
        memcpy(out, s->ptr, n);
    }
    *s = b_slice_from(*s, n);
    return len;
}

/* At most max bytes. `cut` follows the last place where the text may end and still has room for the dots. */
static void add_escaped(struct b_text *t, struct b_slice s, bool json, size_t max) {
    size_t start = t->len, cut = 0;
    bool over = false;
    while (s.len && !over && !t->failed) {
        size_t used = t->len - start, run = plain_run(s, json);
        char one[8];
        if (run) {
            over = run > max - used;
            b_text_add(t, s.ptr, over ? max - used : run);
            s = b_slice_from(s, run);
            if (used <= max - DOTS)
                cut = over || used + run > max - DOTS ? max - DOTS : used + run;
        } else {
            size_t len = escape_one(&s, one);
            over = len > max - used;
            if (!over)
                b_text_add(t, one, len);
            if (used + len <= max - DOTS)
                cut = used + len;
        }
    }
    if (over && !t->failed) {
        t->len = start + cut;
        b_text_lit(t, "...");
    }
}

void b_text_json_string_max(struct b_text *t, struct b_slice s, size_t max) {
    b_text_char(t, '"');
    add_escaped(t, s, true, max);
    b_text_char(t, '"');
}

void b_text_json_string(struct b_text *t, struct b_slice s) {
    b_text_json_string_max(t, s, SIZE_MAX);
}

void b_text_printable_max(struct b_text *t, struct b_slice s, size_t max) {
    add_escaped(t, s, false, max);
}

void b_text_query(struct b_text *t, struct b_slice s) {
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        char low = b_lower(s.ptr[i]);
        if ((low >= 'a' && low <= 'z') || b_is_digit(s.ptr[i]) || (c && strchr("-._~", c))) {
            b_text_char(t, s.ptr[i]);
            continue;
        }
        b_text_char(t, '%');
        b_text_char(t, hex[c >> 4]);
        b_text_char(t, hex[c & 15]);
    }
}
