/* Zeroed memory on cache lines of its own, so that what one worker counts is on no line of another. */
#ifndef TELEMETRY_MEMORY_H
#define TELEMETRY_MEMORY_H

#include "base/alloc.h"

#define TEL_CACHE_LINE 64u

/* size bytes, rounded up to whole lines; NULL when memory is short. Free with tel_free_lines. */
static inline void *tel_alloc_lines(size_t size) {
    size_t whole = (size + TEL_CACHE_LINE - 1) & ~(size_t)(TEL_CACHE_LINE - 1);
    char *raw = b_zalloc(B_TAG_TELEMETRY, whole + TEL_CACHE_LINE);
    if (!raw)
        return NULL;
    /* b_alloc aligns to 16, so there is room for the way back in front */
    char *at = raw + TEL_CACHE_LINE - ((uintptr_t)raw & (TEL_CACHE_LINE - 1));
    ((void **)(void *)at)[-1] = raw;
    return at;
}

static inline void tel_free_lines(void *p) {
    if (p)
        b_free(((void **)p)[-1]);
}

#endif
