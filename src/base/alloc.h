/* The one allocator: every heap byte of weir is asked for here, tagged with the subsystem that owns it and counted,
 * and any call can be made to fail (fault injection). Thread-safe. */
#ifndef BASE_ALLOC_H
#define BASE_ALLOC_H

#include <stddef.h>
#include <stdint.h>

/* One tag for each subsystem; the name is the `subsystem` label of weir_memory_bytes. */
#define B_TAGS(X)                 \
    X(BASE, "base")               \
    X(RUNTIME, "runtime")         \
    X(STACKS, "stacks")           \
    X(NET, "net")                 \
    X(HTTP, "http")               \
    X(CONFIG, "config")           \
    X(TELEMETRY, "telemetry")     \
    X(UPSTREAM, "upstream")       \
    X(STORE, "store")             \
    X(CONNECTIONS, "connections") \
    X(REQUESTS, "requests")       \
    X(GATEWAY, "gateway")         \
    X(TEST, "test")

enum b_tag {
#define B_TAG_ENUM(id, name) B_TAG_##id,
    B_TAGS(B_TAG_ENUM)
#undef B_TAG_ENUM
        B_TAG_COUNT
};

struct b_alloc_stat {
    const char *name;
    uint64_t bytes;       /* live now */
    uint64_t allocations; /* since start, from the heap */
};

/* `size` bytes, uninitialised, aligned to 16. NULL when memory is short or a failure was asked for. */
void *b_alloc(enum b_tag tag, size_t size) __attribute__((malloc, warn_unused_result));
/* The same, zeroed. */
void *b_zalloc(enum b_tag tag, size_t size) __attribute__((malloc, warn_unused_result));
/* Grows or shrinks; `ptr` may be NULL. On NULL the old block stays valid. */
void *b_realloc(enum b_tag tag, void *ptr, size_t size) __attribute__((warn_unused_result));
/* A NUL-terminated copy of len bytes. */
char *b_strdup(enum b_tag tag, const char *s, size_t len) __attribute__((warn_unused_result));
/* The bytes of a block that the functions above gave. */
size_t b_alloc_size(const void *ptr);
/* Gives back what the functions above gave; NULL is allowed. */
void b_free(void *ptr);

/* From now on this thread keeps blocks of requests (B_TAG_REQUESTS, up to 128 KiB) that are freed on it for those who
 * ask next, at most 512 KiB of each size; sizes are rounded up to powers of two. So steady work does not call malloc,
 * and `allocations` counts only those that did. What is kept stays accounted. Not under AddressSanitizer. */
void b_alloc_cache_open(void);
/* Gives back all that this thread keeps, or (trim) the sizes of which much is kept; after `close` it keeps nothing. */
void b_alloc_cache_clear(void);
void b_alloc_cache_trim(void);
void b_alloc_cache_close(void);

/* Gives what the heap holds free back to the system. Takes its time (milliseconds): not on a worker. */
void b_alloc_trim(void);

/* Accounts memory that comes from elsewhere (fiber stacks by mmap). Negative to take off. */
void b_alloc_account(enum b_tag tag, int64_t bytes);

/* Calls fn(arg) from whatever thread allocates, once what is accounted has grown by about `bytes` since this call; again
 * and again, until it is called anew. It may be sooner, for each of the counters' shards has its part of it. fn must not
 * allocate. NULL: never. */
void b_alloc_on_growth(void (*fn)(void *arg), void *arg, uint64_t bytes);

/* A snapshot of the tag's figures. */
struct b_alloc_stat b_alloc_stat(enum b_tag tag);
uint64_t b_alloc_total_bytes(void);

/* From now on the nth call (1 = the next one) returns NULL, once; 0 switches off. WEIR_FAIL_ALLOC=n in the
 * environment does the same from the start (read by b_alloc_init). */
void b_alloc_fail_at(uint64_t nth);
/* How many calls could have failed so far, and how many did: a test must see that its fault happened. */
uint64_t b_alloc_calls(void);
uint64_t b_alloc_failures(void);
/* Sets the heap up, and reads WEIR_FAIL_ALLOC. Call once at start. */
void b_alloc_init(void);

#endif
