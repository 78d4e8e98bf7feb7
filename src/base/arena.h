/* Arenas: memory with the lifetime of one request (or one config load), given back whole. The first chunk is
 * the caller's; further ones come from a chunk source, so that a worker can recycle them without malloc.
 * Poisoned under AddressSanitizer. Not thread-safe: an arena belongs to one fiber at a time. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/alloc.h"
#include "base/slice.h"

#define B_ARENA_CHUNK 4096 /* bytes of a regular chunk, its header included */

/* Where chunks of exactly B_ARENA_CHUNK bytes come from; larger ones come from b_alloc. get may give NULL. */
struct b_chunk_source {
    void *(*get)(struct b_chunk_source *);
    void (*put)(struct b_chunk_source *, void *chunk);
};

struct b_arena_chunk;

struct b_arena {
    char *at, *end;
    struct b_arena_chunk *chunks;  /* newest first; the caller's first chunk is not on it */
    struct b_chunk_source *source; /* NULL: b_alloc with `tag` */
    enum b_tag tag;
    size_t used, used_max; /* bytes taken in chunks, and the limit on them */
    void *first;           /* the caller's chunk: unpoisoned by release */
    size_t first_size;
};

/* `first` is aligned to 8, or NULL with size 0, and does not count. Fails allocations once `used` would pass
 * max_bytes; what is taken is whole chunks (behind a `first` the first one has half the size), so a limit below those leaves `first`
 * alone. */
void b_arena_init(struct b_arena *a, enum b_tag tag, struct b_chunk_source *source, void *first, size_t size,
                  size_t max_bytes);
/* Gives all chunks back; the arena can be initialised again. */
void b_arena_release(struct b_arena *a);

#define B_ARENA_ROOM(size) (((size) + ((size) == 0) + 7) & ~(size_t)7) /* what an allocation takes */
/* Memory aligned to 8, uninitialised, until release; never NULL for a size of 0. NULL when memory is short or
 * the limit is reached. */
void *b_arena_alloc(struct b_arena *a, size_t size) __attribute__((warn_unused_result));
void *b_arena_zalloc(struct b_arena *a, size_t size) __attribute__((warn_unused_result));
/* A copy, NUL-terminated for good measure; ptr is NULL when memory is short. */
struct b_slice b_arena_copy(struct b_arena *a, struct b_slice s);
char *b_arena_strdup(struct b_arena *a, const char *s);
char *b_arena_printf(struct b_arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
