/* The one bounded append API. A writer never goes past its end; the first append that does not fit sets `failed`,
 * writes nothing, and everything after it is ignored, so that a caller checks once, at the end. Nothing is ever
 * sized in one pass and filled in another. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/alloc.h"
#include "base/slice.h"

struct b_text {
    char *ptr;
    size_t len, cap; /* bytes written, room */
    bool failed;     /* something did not fit, or memory was short: */
    bool no_memory;
    bool grows; /* ptr is on the heap, owned, and grows up to `max` */
    enum b_tag tag;
    size_t max;
};

/* Over a fixed buffer of the caller's. */
static inline struct b_text b_text_fixed(void *buf, size_t cap) {
    return (struct b_text){.ptr = (char *)buf, .cap = cap};
}
/* On the heap, growing up to max bytes. Free with b_text_free. */
static inline struct b_text b_text_heap(enum b_tag tag, size_t max) {
    return (struct b_text){.grows = true, .tag = tag, .max = max};
}
void b_text_free(struct b_text *t);

static inline struct b_slice b_text_slice(const struct b_text *t) {
    return b_slice(t->ptr, t->len);
}

/* Makes room for n more bytes; false (and failed) when that cannot be. */
bool b_text_reserve_slow(struct b_text *t, size_t n);
static inline bool b_text_reserve(struct b_text *t, size_t n) {
    return (!t->failed && n <= t->cap - t->len) || b_text_reserve_slow(t, n);
}

/* The same for all that is to come, and no more than that: for what is kept for long. */
bool b_text_reserve_exactly(struct b_text *t, size_t n);
/* Gives back what is behind the first n bytes of one on the heap; it may move. */
void b_text_cut(struct b_text *t, size_t n);

static inline void b_text_add(struct b_text *t, const void *p, size_t n) {
    if (n && b_text_reserve(t, n)) {
        memcpy(t->ptr + t->len, p, n);
        t->len += n;
    }
}
static inline void b_text_slice_add(struct b_text *t, struct b_slice s) {
    b_text_add(t, s.ptr, s.len);
}
static inline void b_text_char(struct b_text *t, char c) {
    if (b_text_reserve(t, 1))
        t->ptr[t->len++] = c;
}
/* A string literal. */
#define b_text_lit(t, s) b_text_add((t), (s), sizeof(s) - 1)
void b_text_cstr(struct b_text *t, const char *s);
void b_text_u64(struct b_text *t, uint64_t v);
/* printf into the text; all or nothing. Not for the hot path. */
void b_text_printf(struct b_text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
