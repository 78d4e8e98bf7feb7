/* JSON, appended to a b_text (RFC 8259). Strings are always valid: control characters are escaped, bytes that
 * are not UTF-8 become U+FFFD. Errors are those of the text: out->failed. */
#ifndef JSON_WRITER_H
#define JSON_WRITER_H

#include "base/text.h"

/* A string with its quotes. */
void json_write_string(struct b_text *out, struct b_slice s);
/* What stands between the quotes. */
void json_write_escaped(struct b_text *out, struct b_slice s);

#define JSON_WRITER_DEPTH_MAX 63

/* Places commas by itself. A value, or a key and then its value, in turn:
 *     struct json_writer w = json_writer(&text);
 *     json_object_begin(&w); json_key(&w, B_LIT("n")); json_u64(&w, 1); json_object_end(&w); */
struct json_writer {
    struct b_text *out;
    uint64_t comma; /* bit d: a comma is due before the next element at depth d */
    unsigned depth; /* deeper than JSON_WRITER_DEPTH_MAX: out->failed */
    bool after_key;
};

static inline struct json_writer json_writer(struct b_text *out) {
    return (struct json_writer){.out = out};
}

void json_object_begin(struct json_writer *w);
void json_object_end(struct json_writer *w);
void json_array_begin(struct json_writer *w);
void json_array_end(struct json_writer *w);
void json_key(struct json_writer *w, struct b_slice key);
void json_string(struct json_writer *w, struct b_slice s);
void json_u64(struct json_writer *w, uint64_t v);
void json_i64(struct json_writer *w, int64_t v);
void json_bool(struct json_writer *w, bool v);
void json_null(struct json_writer *w);
/* A value that is JSON already; the caller vouches for it. */
void json_raw(struct json_writer *w, struct b_slice json);
/* A key and its value. */
void json_string_member(struct json_writer *w, const char *name, struct b_slice value);
void json_u64_member(struct json_writer *w, const char *name, uint64_t value);

#endif
