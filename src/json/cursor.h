/* Going through an indexed text: values are places in it, nothing is built or copied. All of it is O(1) but looking a member up,
 * which is linear in the members before it. A value that is missing answers every question with nothing. */
#ifndef JSON_CURSOR_H
#define JSON_CURSOR_H

#include "base/arena.h"
#include "json/index.h"

enum json_kind {
    JSON_MISSING,
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
};

struct json_value {
    const struct json_index *index; /* NULL: missing */
    uint32_t token;
    bool member; /* of an object, its key right before it */
};

extern const uint8_t json_kinds[256]; /* 0: JSON_NUMBER */
/* What a value is that begins with this byte. */
static inline enum json_kind json_kind_of(char lead) {
    uint8_t kind = json_kinds[(unsigned char)lead];
    return kind ? (enum json_kind)kind : JSON_NUMBER;
}
/* The whole text; missing when it was no JSON. */
static inline struct json_value json_root(const struct json_index *x) {
    return (struct json_value){.index = x->count ? x : NULL};
}
static inline enum json_kind json_kind(struct json_value v) {
    return v.index ? json_kind_of(v.index->text.ptr[v.index->tokens[v.token].at]) : JSON_MISSING;
}
/* Its bytes in the text, brackets and quotes included: what can be passed on as it is. */
static inline struct b_slice json_slice(struct json_value v) {
    if (!v.index)
        return b_slice(NULL, 0);
    const struct json_token *t = &v.index->tokens[v.token];
    const char *p = v.index->text.ptr + t->at;
    uint32_t end = *p == '"'                ? (t->link & ~JSON_ESCAPED) + 1
                   : *p == '{' || *p == '[' ? v.index->tokens[t->link].at + 1
                                            : t->link;
    return b_slice(p, end - t->at);
}

/* The value at this token, behind its key in an object; missing if a closing bracket stands there. */
static inline struct json_value json_at_token(const struct json_index *x, uint32_t n, bool member) {
    char c = x->text.ptr[x->tokens[n].at];
    return c == '}' || c == ']' ? (struct json_value){0} : (struct json_value){x, n + member, member};
}
/* The first value of an array or object, and the one behind v in the same brackets; missing at the end. */
static inline struct json_value json_first(struct json_value v) {
    enum json_kind kind = json_kind(v);
    return kind == JSON_ARRAY || kind == JSON_OBJECT
               ? json_at_token(v.index, v.token + 1, kind == JSON_OBJECT)
               : (struct json_value){0};
}
static inline struct json_value json_next(struct json_value v) {
    return v.index && v.token ? json_at_token(v.index, json_behind(v.index, v.token), v.member)
                              : (struct json_value){0};
}
/* The key of a value that json_first or json_next of an object gave: the string before it. */
static inline struct json_value json_key_of(struct json_value v) {
    return v.member ? (struct json_value){.index = v.index, .token = v.token - 1} : (struct json_value){0};
}
/* Item n of an array, from 0. */
struct json_value json_item(struct json_value v, size_t n);
/* The member whose key is this text, compared decoded; the first one where there are several. */
struct json_value json_member(struct json_value v, struct b_slice key);

/* Whether it is a string with a backslash in it. */
static inline bool json_is_escaped(struct json_value v) {
    return json_kind(v) == JSON_STRING && v.index->tokens[v.token].link & JSON_ESCAPED;
}

/* What stands between the quotes of the string at token n, as it is written. */
static inline struct b_slice json_between_quotes(const struct json_index *x, uint32_t n) {
    const struct json_token *t = &x->tokens[n];
    return b_slice(x->text.ptr + t->at + 1, (t->link & ~JSON_ESCAPED) - t->at - 1);
}
/* What stands between the quotes, as it is written; *plain tells whether that is the text itself (no escapes). */
struct b_slice json_raw_string(struct json_value v, bool *plain);
/* The decoded text of a string: where it stands, or in the arena if it has escapes. ptr NULL: memory is short. Empty when v is
 * no string. */
struct b_slice json_text(struct json_value v, struct b_arena *arena);
/* The decoded text of a string into `out`, which has room for json_raw_string's length; its length. 0 when v is no string. */
size_t json_decode_string(struct json_value v, char *out);
/* Whether v is a string with this text. */
bool json_string_is(struct json_value v, struct b_slice text);

#endif
