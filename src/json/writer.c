#include "json/writer.h"

#include "base/number.h"
#include "json/utf8.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Whether c stands for itself in a string and is ASCII. */
static bool is_plain(unsigned char c) {
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* How many plain bytes s begins with. */
static size_t plain_run(struct b_slice s) {
    size_t i = 0;
#ifdef __SSE2__
    for (; s.len - i >= 16; i += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(s.ptr + i));
        /* signed: bytes from 0x80 count as below space */
        __m128i special = _mm_or_si128(_mm_cmplt_epi8(v, _mm_set1_epi8(' ')),
                                       _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')),
                                                    _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))));
        unsigned mask = (unsigned)_mm_movemask_epi8(special);
        if (mask)
            return i + (size_t)__builtin_ctz(mask);
    }
#endif
    while (i < s.len && is_plain((unsigned char)s.ptr[i]))
        i++;
    return i;
}

/* A quote, backslash or control character. */
static void add_escape(struct b_text *out, unsigned char c) {
    static const char names[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    const char *digits = "0123456789abcdef";
    char name = c >= 0x20 ? (char)c : c < sizeof names ? names[c] : 0;
    char escape[6] = {'\\', name ? name : 'u', '0', '0', digits[c >> 4], digits[c & 15]};
    b_text_add(out, escape, name ? 2 : 6);
}

void json_write_escaped(struct b_text *out, struct b_slice s) {
    while (s.len) {
        size_t n = plain_run(s);
        b_text_add(out, s.ptr, n);
        s = b_slice_from(s, n);
        if (s.len == 0)
            return;
        n = 1;
        if ((unsigned char)s.ptr[0] < 0x80) {
            add_escape(out, (unsigned char)s.ptr[0]);
        } else if ((n = json_utf8_length(s.ptr, s.len)) > 0) {
            b_text_add(out, s.ptr, n);
        } else {
            b_text_lit(out, "\xef\xbf\xbd"); /* U+FFFD for each byte that belongs to no character */
            n = 1;
        }
        s = b_slice_from(s, n);
    }
}

void json_write_string(struct b_text *out, struct b_slice s) {
    b_text_char(out, '"');
    json_write_escaped(out, s);
    b_text_char(out, '"');
}

/* Before a value or a key: the comma that is due, and the next one noted. */
static void element(struct json_writer *w) {
    uint64_t bit = (uint64_t)1 << w->depth;
    if (w->after_key) {
        w->after_key = false;
        return;
    }
    if (w->comma & bit)
        b_text_char(w->out, ',');
    w->comma |= bit;
}

static void begin(struct json_writer *w, char bracket) {
    element(w);
    if (w->depth == JSON_WRITER_DEPTH_MAX) {
        w->out->failed = true;
        return;
    }
    b_text_char(w->out, bracket);
    w->depth++;
    w->comma &= ~((uint64_t)1 << w->depth);
}

static void end(struct json_writer *w, char bracket) {
    if (w->depth == 0 || w->after_key) {
        w->out->failed = true;
        return;
    }
    w->depth--;
    b_text_char(w->out, bracket);
}

void json_object_begin(struct json_writer *w) {
    begin(w, '{');
}

void json_object_end(struct json_writer *w) {
    end(w, '}');
}

void json_array_begin(struct json_writer *w) {
    begin(w, '[');
}

void json_array_end(struct json_writer *w) {
    end(w, ']');
}

void json_key(struct json_writer *w, struct b_slice key) {
    json_string(w, key);
    b_text_char(w->out, ':');
    w->after_key = true;
}

void json_string(struct json_writer *w, struct b_slice s) {
    element(w);
    json_write_string(w->out, s);
}

void json_u64(struct json_writer *w, uint64_t v) {
    element(w);
    b_text_u64(w->out, v);
}

void json_i64(struct json_writer *w, int64_t v) {
    element(w);
    if (v < 0)
        b_text_char(w->out, '-');
    b_text_u64(w->out, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void json_bool(struct json_writer *w, bool v) {
    json_raw(w, v ? B_LIT("true") : B_LIT("false"));
}

void json_null(struct json_writer *w) {
    json_raw(w, B_LIT("null"));
}

void json_raw(struct json_writer *w, struct b_slice json) {
    element(w);
    b_text_slice_add(w->out, json);
}

void json_string_member(struct json_writer *w, const char *name, struct b_slice value) {
    json_key(w, b_slice_cstr(name));
    json_string(w, value);
}

void json_u64_member(struct json_writer *w, const char *name, uint64_t value) {
    json_key(w, b_slice_cstr(name));
    json_u64(w, value);
}
