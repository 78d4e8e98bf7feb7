/* The structural index of a JSON text (RFC 8259): one pass that checks all of it, grammar, UTF-8, numbers, escapes and depth, and
 * leaves a token for each value and each bracket, by which a cursor goes through the text without another look at the rest.
 * After simdjson (Langdale and Lemire 2019): 64 bytes at a time become masks of what stands where, and only the places that
 * matter are walked. No recursion; nothing is decoded. */
#ifndef JSON_INDEX_H
#define JSON_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/alloc.h"
#include "base/slice.h"

#define JSON_DEPTH_MAX 64   /* brackets that are open at once */
#define JSON_KEYS_MAX 10000 /* members of one object */
#define JSON_TEXT_MAX (1u << 30)

/* A value, or a closing bracket. A key is a string before its value. */
struct json_token {
    uint32_t at; /* of its first byte */
    /* Of an opening bracket: the number of the token that closes it. Of a brace that closes: the number of the one that opens the object
     * which was closed before it, or JSON_NO_OBJECT. Of a string: where its closing quote stands, with JSON_ESCAPED if there is a
     * backslash inside. Else: the byte behind it. */
    uint32_t link;
};
#define JSON_ESCAPED 0x80000000u
#define JSON_NO_OBJECT UINT32_MAX

/* Zeroed before the first use; its memory is used again by the next text. */
struct json_index {
    struct b_slice text; /* lent */
    struct json_token *tokens;
    uint32_t count, cap;
    uint32_t last_object; /* that was closed last: the begin of a chain of all of them */
    uint32_t *places;     /* of one window of the text, while it is walked */
    enum b_tag tag;       /* of the memory of both */
};

/* The token behind a value, with all that is in it. */
static inline uint32_t json_behind(const struct json_index *x, uint32_t value) {
    char c = x->text.ptr[x->tokens[value].at];
    return (c == '{' || c == '[' ? x->tokens[value].link : value) + 1;
}

/* What is wrong with a text. */
struct json_fault {
    const char *why;     /* static */
    size_t at;           /* bytes from the begin */
    size_t line, column; /* from 1; columns are bytes */
};

/* Checks the text and makes its index: 0; -EINVAL and *fault; -E2BIG when it is longer than JSON_TEXT_MAX; -ENOMEM. The text
 * must stay where it is as long as the index is used. No byte behind it is read. */
int json_index(struct json_index *x, struct b_slice text, struct json_fault *fault)
    __attribute__((warn_unused_result));
void json_index_free(struct json_index *x);
/* Where byte `at` of the text stands, for people. */
void json_locate(const struct json_index *x, size_t at, const char *why, struct json_fault *fault);

/* The ways to look at 64 bytes that this machine has, the best first; ended by NULL. */
const char *const *json_scanners(void);
/* Uses this one from now on, in the whole process, for tests; NULL: the best. False: there is none of that name. */
bool json_use_scanner(const char *name);

#endif
