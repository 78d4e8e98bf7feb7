/* Parses heads from a block of exactly their size, so that AddressSanitizer sees a read past the end. */
#ifndef UNIT_HTTP_SUPPORT_H
#define UNIT_HTTP_SUPPORT_H

#include "base/text.h"
#include "http/h1_parse.h"
#include "test.h"

#define FIELDS 128
#define CHECK_S(got, want)                                     \
    do {                                                       \
        struct b_slice got_ = (got);                           \
        CHECK_SLICE(got_.ptr ? got_.ptr : "", got_.len, want); \
    } while (0)

/* One parsed request; release it. */
struct parsed {
    ssize_t result;
    struct http_request request;
    struct http_field fields[FIELDS];
    struct b_arena arena;
    char *bytes;
};

static inline struct http_limits allowing(uint32_t allow) {
    struct http_limits limits = http_limits_default;
    limits.allow = allow;
    return limits;
}

static inline char *exact_copy(struct b_slice s) {
    char *bytes = b_alloc(B_TAG_TEST, s.len ? s.len : 1);
    if (s.len)
        memcpy(bytes, s.ptr, s.len);
    return bytes;
}

static inline void parse(struct parsed *p, struct b_slice head, const struct http_limits *limits) {
    p->bytes = exact_copy(head);
    b_arena_init(&p->arena, B_TAG_TEST, NULL, NULL, 0, 1 << 20);
    p->result =
        h1_parse_request(b_slice(p->bytes, head.len), limits, p->fields, FIELDS, &p->arena, &p->request);
}

static inline void release(struct parsed *p) {
    b_arena_release(&p->arena);
    b_free(p->bytes);
}

/* The result of parsing alone. */
static inline ssize_t result_of(struct b_slice head, const struct http_limits *limits) {
    struct parsed p;
    parse(&p, head, limits);
    release(&p);
    return p.result;
}

#endif
