/* The index of a JSON text: every scanner says the same, and what a plain recursive parser says, and what jansson says, where it is
 * installed; a cursor then goes through all of it without leaving the text, and what it cuts out is JSON again. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "outside/jansson.h"
#include "json/cursor.h"
#include "json/unique.h"
#include "json/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- a parser that is as plain as can be --- */

struct plain {
    const unsigned char *p, *end;
    unsigned depth;
};

static bool value(struct plain *s);

static void space(struct plain *s) {
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
        s->p++;
}

static bool one(struct plain *s, unsigned char c) {
    if (s->p == s->end || *s->p != c)
        return false;
    s->p++;
    return true;
}

static bool digits(struct plain *s) {
    const unsigned char *from = s->p;
    while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
        s->p++;
    return s->p > from;
}

static bool number(struct plain *s) {
    (void)one(s, '-');
    if (!one(s, '0') && !digits(s))
        return false;
    if (one(s, '.') && !digits(s))
        return false;
    if (one(s, 'e') || one(s, 'E')) {
        if (!one(s, '+'))
            (void)one(s, '-');
        return digits(s);
    }
    return true;
}

static int unit(struct plain *s) {
    int code = 0;
    for (int i = 0; i < 4; i++) {
        if (s->p == s->end)
            return -1;
        unsigned char c = *s->p++;
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        code = code * 16 + digit;
    }
    return code;
}

static bool escape(struct plain *s) {
    if (s->p == s->end)
        return false;
    unsigned char c = *s->p++;
    if (c != 'u')
        return c && strchr("\"\\/bfnrt", c);
    int code = unit(s);
    if (code >= 0xd800 && code < 0xdc00) {
        if (!one(s, '\\') || !one(s, 'u'))
            return false;
        code = unit(s);
        return code >= 0xdc00 && code < 0xe000;
    }
    return code >= 0 && (code < 0xdc00 || code >= 0xe000);
}

static bool string(struct plain *s) {
    if (!one(s, '"'))
        return false;
    while (s->p < s->end && *s->p != '"') {
        if (*s->p < 0x20)
            return false;
        if (*s->p == '\\') {
            s->p++;
            if (!escape(s))
                return false;
            continue;
        }
        size_t n = json_utf8_length((const char *)s->p, (size_t)(s->end - s->p));
        if (!n)
            return false;
        s->p += n;
    }
    return one(s, '"');
}

static bool word(struct plain *s, const char *text) {
    size_t n = strlen(text);
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, text, n) != 0)
        return false;
    s->p += n;
    return true;
}

static bool members(struct plain *s, unsigned char close) {
    unsigned keys = 0;
    if (++s->depth > JSON_DEPTH_MAX)
        return false;
    space(s);
    if (one(s, close)) {
        s->depth--;
        return true;
    }
    do {
        space(s);
        if (close == '}') {
            if (++keys > JSON_KEYS_MAX || !string(s))
                return false;
            space(s);
            if (!one(s, ':'))
                return false;
        }
        if (!value(s))
            return false;
        space(s);
    } while (one(s, ','));
    s->depth--;
    return one(s, close);
}

static bool value(struct plain *s) {
    space(s);
    if (s->p == s->end)
        return false;
    switch (*s->p) {
    case '{': s->p++; return members(s, '}');
    case '[': s->p++; return members(s, ']');
    case '"': return string(s);
    case 't': return word(s, "true");
    case 'f': return word(s, "false");
    case 'n': return word(s, "null");
    default: return number(s);
    }
}

static bool plainly(const char *text, size_t size) {
    struct plain s = {.p = (const unsigned char *)text, .end = (const unsigned char *)text + size};
    if (!value(&s))
        return false;
    space(&s);
    return s.p == s.end;
}

/* --- a parser of others --- */

/* Where it is installed. */
static void ask_another(const char *text, size_t size, int rc, const char *why) {
    bool of_limits = rc && (strncmp(why, "brackets", 8) == 0 || strncmp(why, "an object", 9) == 0);
    int takes = jansson_takes ? jansson_takes(text, size) : -1;
    assert(takes < 0 || of_limits || (rc == 0) == takes);
}

/* --- what the index says --- */

/* Pairwise, decoded. */
static bool has_twins(struct json_value v) {
    for (struct json_value a = json_first(v); a.index; a = json_next(a)) {
        if (has_twins(a))
            return true;
        struct json_value key = json_key_of(a);
        char *text = key.index ? malloc(json_slice(key).len) : NULL;
        bool twin = text && json_member(v, b_slice(text, json_decode_string(key, text))).token != a.token;
        free(text);
        if (twin)
            return true;
    }
    return false;
}

static size_t go_through(struct json_value v, const char *text, size_t size, unsigned depth) {
    struct b_slice slice = json_slice(v);
    size_t seen = 1;
    assert(depth <= JSON_DEPTH_MAX + 1 && slice.len && slice.ptr >= text &&
           slice.ptr + slice.len <= text + size);
    assert(plainly(slice.ptr, slice.len));
    if (json_kind(v) == JSON_STRING) {
        char *out = malloc(slice.len);
        size_t n = json_decode_string(v, out);
        assert(n < slice.len && json_string_is(v, b_slice(out, n)) &&
               !json_string_is(v, b_slice(slice.ptr, slice.len)));
        for (size_t at = 0; at < n;) {
            size_t len = json_utf8_length(out + at, n - at);
            assert(len);
            at += len;
        }
        free(out);
    }
    for (struct json_value i = json_first(v); i.index; i = json_next(i)) {
        struct json_value key = json_key_of(i);
        assert((json_kind(v) == JSON_OBJECT) == (key.index != NULL));
        if (key.index) {
            char *out = malloc(json_slice(key).len);
            size_t n = json_decode_string(key, out);
            assert(json_member(v, b_slice(out, n)).index);
            free(out);
            seen++;
        }
        seen += go_through(i, text, size, depth + 1);
    }
    return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct json_index first = {.tag = B_TAG_TEST}, other = {.tag = B_TAG_TEST};
    struct json_fault fault;
    char *text = malloc(size ? size : 1); /* exactly so long: a byte too far is seen */
    memcpy(text, data, size);
    assert(json_use_scanner("scalar"));
    int rc = json_index(&first, b_slice(text, size), &fault);
    assert((rc == 0) == plainly(text, size));
    assert(rc == 0 || (fault.why && fault.at <= size && fault.line >= 1 && fault.column >= 1));
    ask_another(text, size, rc, fault.why);
    for (const char *const *name = json_scanners(); *name; name++) {
        assert(json_use_scanner(*name));
        assert(json_index(&other, b_slice(text, size), &fault) == rc && other.count == first.count);
        for (uint32_t i = 0; i < first.count; i++)
            assert(first.tokens[i].at == other.tokens[i].at && first.tokens[i].link == other.tokens[i].link);
    }
    if (rc == 0 && size < 4096) { /* it looks at everything again and again */
        size_t closing = 0;
        for (uint32_t i = 0; i < first.count; i++)
            closing += text[first.tokens[i].at] == ']' || text[first.tokens[i].at] == '}';
        rc = json_unique_keys(&first, (struct b_hash_key){1, 2}, &fault);
        assert(rc != -ENOMEM && (rc != 0) == has_twins(json_root(&first)));
        assert(go_through(json_root(&first), text, size, 0) == first.count - closing);
    }
    free(text);
    return 0;
}
