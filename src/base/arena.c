#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/sanitize.h"

struct b_arena_chunk {
    struct b_arena_chunk *next;
    size_t size; /* of the whole block */
};

void b_arena_init(struct b_arena *a, enum b_tag tag, struct b_chunk_source *source, void *first, size_t size,
                  size_t max_bytes) {
    *a = (struct b_arena){.at = first,
                          .end = first ? (char *)first + size : NULL,
                          .source = source,
                          .tag = tag,
                          .used_max = max_bytes,
                          .first = first,
                          .first_size = size};
    B_POISON(first, size);
}

void b_arena_release(struct b_arena *a) {
    for (struct b_arena_chunk *c = a->chunks, *next; c; c = next) {
        B_UNPOISON(c, c->size);
        next = c->next;
        if (a->source && c->size == B_ARENA_CHUNK)
            a->source->put(a->source, c);
        else
            b_free(c);
    }
    B_UNPOISON(a->first, a->first_size);
    a->chunks = NULL;
    a->at = a->end = NULL;
    a->first = NULL;
    a->first_size = 0;
    a->used = 0;
}

static void *alloc_slow(struct b_arena *a, size_t size) {
    size_t need = size + sizeof(struct b_arena_chunk);
    /* half a chunk is mostly enough for what does not fit into the caller's */
    bool half = a->first_size && !a->chunks && need <= B_ARENA_CHUNK / 2;
    size_t block = half ? B_ARENA_CHUNK / 2 : need <= B_ARENA_CHUNK ? B_ARENA_CHUNK : need;
    if (need < size || block > a->used_max || a->used > a->used_max - block)
        return NULL;
    struct b_arena_chunk *c =
        a->source && block == B_ARENA_CHUNK ? a->source->get(a->source) : b_alloc(a->tag, block);
    if (!c)
        return NULL;
    c->next = a->chunks;
    c->size = block;
    a->chunks = c;
    a->used += block;
    char *body = (char *)(c + 1);
    B_POISON(body, block - sizeof *c);
    B_UNPOISON(body, size);
    /* a large block of its own does not end the chunk that small ones are cut from */
    if (block <= B_ARENA_CHUNK || !a->at) {
        a->at = body + size;
        a->end = (char *)c + block;
    }
    return body;
}

void *b_arena_alloc(struct b_arena *a, size_t size) {
    if (size > SIZE_MAX - 64)
        return NULL;
    size = B_ARENA_ROOM(size);
    if (size <= (size_t)(a->end - a->at)) {
        char *p = a->at;
        a->at += size;
        B_UNPOISON(p, size);
        return p;
    }
    return alloc_slow(a, size);
}

void *b_arena_zalloc(struct b_arena *a, size_t size) {
    void *p = b_arena_alloc(a, size);
    if (p)
        memset(p, 0, size);
    return p;
}

struct b_slice b_arena_copy(struct b_arena *a, struct b_slice s) {
    char *p = b_arena_alloc(a, s.len + 1);
    if (!p)
        return b_slice(NULL, 0);
    if (s.len)
        memcpy(p, s.ptr, s.len);
    p[s.len] = 0;
    return b_slice(p, s.len);
}

char *b_arena_strdup(struct b_arena *a, const char *s) {
    return (char *)b_arena_copy(a, b_slice_cstr(s)).ptr;
}

char *b_arena_printf(struct b_arena *a, const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    char *p = n < 0 ? NULL : b_arena_alloc(a, (size_t)n + 1);
    if (p)
        (void)vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    va_end(ap);
    return p;
}
