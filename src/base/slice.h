/* Slices: a pointer and a length into bytes that somebody else owns. Never NUL-terminated by contract. */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct b_slice {
    const char *ptr; /* not owned; may be NULL when len is 0 */
    size_t len;      /* bytes */
};

/* A slice of a string literal. */
#define B_LIT(s) ((struct b_slice){(s), sizeof(s) - 1})
/* For printf's "%.*s". */
#define B_FMT(s) (int)(s).len, (s).ptr ? (s).ptr : ""

static inline struct b_slice b_slice(const void *ptr, size_t len) {
    return (struct b_slice){(const char *)ptr, len};
}

static inline struct b_slice b_slice_cstr(const char *s) {
    return (struct b_slice){s, s ? strlen(s) : 0};
}

static inline bool b_slice_eq(struct b_slice a, struct b_slice b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Negative, 0 or positive: by bytes, and where one begins the other the shorter one comes first. */
static inline int b_slice_compare(struct b_slice a, struct b_slice b) {
    size_t len = a.len < b.len ? a.len : b.len;
    int by = len ? memcmp(a.ptr, b.ptr, len) : 0;
    return by ? by : (a.len > b.len) - (a.len < b.len);
}

static inline char b_lower(char c) {
    return (c >= 'A' && c <= 'Z') ? (char)(c | 0x20) : c;
}

static inline bool b_is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* ASCII case-insensitive equality. */
static inline bool b_slice_ieq(struct b_slice a, struct b_slice b) {
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (b_lower(a.ptr[i]) != b_lower(b.ptr[i]))
            return false;
    return true;
}

static inline bool b_slice_starts(struct b_slice s, struct b_slice prefix) {
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

/* Whether the bytes are some of the other's, not equal ones elsewhere. */
static inline bool b_slice_within(struct b_slice part, struct b_slice whole) {
    uintptr_t p = (uintptr_t)part.ptr, w = (uintptr_t)whole.ptr;
    return p >= w && p - w <= whole.len && part.len <= whole.len - (p - w);
}

/* The rest of s from byte `from`; `from` must not exceed s.len. */
static inline struct b_slice b_slice_from(struct b_slice s, size_t from) {
    return (struct b_slice){s.ptr ? s.ptr + from : NULL, s.len - from};
}

/* Without leading and trailing spaces and tabs (RFC 9110 section 5.6.3, OWS). */
static inline struct b_slice b_slice_trim(struct b_slice s) {
    while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
        s.ptr++, s.len--;
    while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* Index of the first c, or s.len when there is none. */
static inline size_t b_slice_find(struct b_slice s, char c) {
    const char *at = s.len ? memchr(s.ptr, c, s.len) : NULL;
    return at ? (size_t)(at - s.ptr) : s.len;
}

/* Takes what stands before the next `sep` off the front of *rest, and the separator with it. False when *rest is
 * empty and nothing is left to take; an empty last element after a trailing separator is not reported. */
static inline bool b_slice_next(struct b_slice *rest, char sep, struct b_slice *item) {
    if (rest->len == 0)
        return false;
    size_t at = b_slice_find(*rest, sep);
    *item = b_slice(rest->ptr, at);
    *rest = at < rest->len ? b_slice_from(*rest, at + 1) : b_slice(rest->ptr + rest->len, 0);
    return true;
}

#endif
