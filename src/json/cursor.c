#include "json/cursor.h"

#include <string.h>

#include "base/number.h"

static const struct json_value missing;

const uint8_t json_kinds[256] = {['{'] = JSON_OBJECT, ['['] = JSON_ARRAY, ['"'] = JSON_STRING,
                                 ['t'] = JSON_TRUE,   ['f'] = JSON_FALSE, ['n'] = JSON_NULL};

struct json_value json_item(struct json_value v, size_t n) {
    struct json_value item = json_kind(v) == JSON_ARRAY ? json_first(v) : missing;
    while (item.index && n--)
        item = json_next(item);
    return item;
}

struct json_value json_member(struct json_value v, struct b_slice key) {
    if (json_kind(v) != JSON_OBJECT)
        return missing;
    const struct json_index *x = v.index;
    for (uint32_t n = v.token + 1, behind = x->tokens[v.token].link; n < behind; n = json_behind(x, n + 1)) {
        bool is = x->tokens[n].link & JSON_ESCAPED
                      ? json_string_is((struct json_value){.index = x, .token = n}, key)
                      : b_slice_eq(json_between_quotes(x, n), key);
        if (is)
            return (struct json_value){x, n + 1, true};
    }
    return missing;
}

/* --- strings --- */

struct b_slice json_raw_string(struct json_value v, bool *plain) {
    *plain = true;
    if (json_kind(v) != JSON_STRING)
        return b_slice(NULL, 0);
    *plain = !(v.index->tokens[v.token].link & JSON_ESCAPED);
    return json_between_quotes(v.index, v.token);
}

static uint32_t hex4(const char *p) {
    uint64_t code = 0;
    (void)b_parse_hex(b_slice(p, 4), &code); /* the index has checked it */
    return (uint32_t)code;
}

static size_t put_utf8(char *out, uint32_t c) {
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t len = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)((0xf0 << (4 - len) & 0xff) | c);
    return len;
}

/* The escape at p, written to `out` (room for 4); *len is that of its text. */
static size_t unescape(const char *p, char *out, size_t *len) {
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    *len = 2;
    if (p[1] == 'u') {
        uint32_t c = hex4(p + 2);
        *len = 6;
        if (c >= 0xd800 && c <= 0xdbff) {
            c = 0x10000 + ((c - 0xd800) << 10) + (hex4(p + 8) - 0xdc00);
            *len = 12;
        }
        return put_utf8(out, c);
    }
    const char *known = strchr(from, p[1]);
    out[0] = known ? to[known - from] : p[1];
    return 1;
}

size_t json_decode_string(struct json_value v, char *out) {
    bool plain;
    struct b_slice raw = json_raw_string(v, &plain);
    size_t n = 0;
    for (size_t i = 0; i < raw.len;) {
        const char *backslash = plain ? NULL : memchr(raw.ptr + i, '\\', raw.len - i);
        size_t run = backslash ? (size_t)(backslash - raw.ptr) - i : raw.len - i, len = 0;
        memcpy(out + n, raw.ptr + i, run);
        n += run;
        i += run;
        if (backslash)
            n += unescape(backslash, out + n, &len);
        i += len;
    }
    return n;
}

struct b_slice json_text(struct json_value v, struct b_arena *arena) {
    bool plain;
    struct b_slice raw = json_raw_string(v, &plain);
    if (plain)
        return raw.len ? raw : B_LIT("");
    char *text = b_arena_alloc(arena, raw.len);
    return b_slice(text, text ? json_decode_string(v, text) : 0);
}

bool json_string_is(struct json_value v, struct b_slice text) {
    bool plain;
    struct b_slice raw = json_raw_string(v, &plain);
    if (plain)
        return json_kind(v) == JSON_STRING && b_slice_eq(raw, text);
    size_t at = 0;
    for (size_t i = 0; i < raw.len;) {
        char decoded[4];
        size_t len = 1, n = 1;
        if (raw.ptr[i] == '\\')
            n = unescape(raw.ptr + i, decoded, &len);
        else
            decoded[0] = raw.ptr[i];
        if (text.len - at < n || memcmp(text.ptr + at, decoded, n) != 0)
            return false;
        at += n;
        i += len;
    }
    return at == text.len;
}
