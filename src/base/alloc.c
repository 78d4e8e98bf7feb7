#include "base/alloc.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "base/sanitize.h"

/* In front of every block, so that a free knows what to take off which account. 16 bytes keep the alignment. */
struct header {
    uint64_t size;
    uint32_t tag;
    uint32_t magic;
};

#define MAGIC 0x57454952u /* "WEIR" */

/* Bodies of megabytes come and go: with the usual thresholds each would be mapped anew, and the kernel would clear every page of it
 * again. What stays free for long is given back by b_alloc_trim. */
#define HEAP_BLOCK_MAX (4 << 20) /* larger ones are mapped on their own */
#define HEAP_FREE_MAX (8 << 20)  /* at the end of each heap */

/* Counters are spread over shards, so that threads that allocate at once do not share a cache line. */
#define SHARDS 8
struct shard {
    _Alignas(64) _Atomic int64_t bytes[B_TAG_COUNT];
    _Atomic uint64_t allocations[B_TAG_COUNT];
    _Atomic int64_t grown; /* see b_alloc_on_growth */
};

static struct shard shards[SHARDS];
static _Atomic uint32_t next_shard;
static _Thread_local int my_shard = -1;

static _Atomic(void (*)(void *)) on_growth;
static _Atomic(void *) on_growth_arg;
static _Atomic int64_t growth_max = INT64_MAX; /* of a shard */

static _Atomic uint64_t fail_at; /* 0: off */
static _Atomic uint64_t calls, failures;

static const char *const tag_names[] = {
#define B_TAG_NAME(id, name) name,
    B_TAGS(B_TAG_NAME)
#undef B_TAG_NAME
};

static struct shard *shard(void) {
    if (my_shard < 0)
        my_shard = (int)(atomic_fetch_add_explicit(&next_shard, 1, memory_order_relaxed) % SHARDS);
    return &shards[my_shard];
}

void b_alloc_account(enum b_tag tag, int64_t bytes) {
    struct shard *s = shard();
    atomic_fetch_add_explicit(&s->bytes[tag], bytes, memory_order_relaxed);
    int64_t grown = atomic_fetch_add_explicit(&s->grown, bytes, memory_order_relaxed) + bytes;
    if (grown < atomic_load_explicit(&growth_max, memory_order_relaxed))
        return;
    void (*fn)(void *) = atomic_load_explicit(&on_growth, memory_order_acquire);
    if (fn)
        fn(atomic_load_explicit(&on_growth_arg, memory_order_relaxed));
}

void b_alloc_on_growth(void (*fn)(void *arg), void *arg, uint64_t bytes) {
    atomic_store_explicit(&on_growth_arg, arg, memory_order_relaxed);
    atomic_store_explicit(&on_growth, fn, memory_order_release);
    atomic_store_explicit(&growth_max, fn ? (int64_t)(bytes / SHARDS) : INT64_MAX, memory_order_relaxed);
    for (int i = 0; i < SHARDS; i++)
        atomic_store_explicit(&shards[i].grown, 0, memory_order_relaxed);
}

/* Counting costs an atomic on a shared line, so it is on only once a fault has been asked for. */
static bool must_fail(void) {
    uint64_t at = atomic_load_explicit(&fail_at, memory_order_relaxed);
    if (at == 0)
        return false;
    if (atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed) + 1 != at)
        return false;
    atomic_fetch_add_explicit(&failures, 1, memory_order_relaxed);
    return true;
}

/* --- blocks that are kept for the next --- */

#define CLASS_MIN 8 /* 256 bytes */
#define CLASS_MAX 17
#define CLASSES (CLASS_MAX - CLASS_MIN + 1)
#define KEEP ((size_t)512 << 10) /* of a class */

static _Thread_local struct {
    bool open;
    uint32_t count[CLASSES];
    struct header *free[CLASSES]; /* linked through their first bytes */
} cache;

/* The class of a block that holds `size` bytes, or -1. */
static int class_of(enum b_tag tag, size_t size) {
    if (B_ASAN || tag != B_TAG_REQUESTS || size > (size_t)1 << CLASS_MAX)
        return -1;
    return size <= (size_t)1 << CLASS_MIN ? 0 : 64 - __builtin_clzll(size - 1) - CLASS_MIN;
}

static size_t class_size(int class) {
    return (size_t)1 << (class + CLASS_MIN);
}

static void *take_kept(int class) {
    struct header *h = cache.free[class];
    if (!h)
        return NULL;
    memcpy(&cache.free[class], h + 1, sizeof(struct header *));
    cache.count[class]--;
    h->magic = MAGIC;
    return h + 1;
}

static bool keep(struct header *h) {
    int class = class_of((enum b_tag)h->tag, h->size);
    if (class < 0 || !cache.open || h->size != class_size(class) ||
        (cache.count[class] + 1) * class_size(class) > KEEP)
        return false;
    memcpy(h + 1, &cache.free[class], sizeof(struct header *));
    cache.free[class] = h;
    cache.count[class]++;
    return true;
}

static void clear_class(int class) {
    for (struct header *h; (h = cache.free[class]);) {
        memcpy(&cache.free[class], h + 1, sizeof(struct header *));
        b_alloc_account((enum b_tag)h->tag, -(int64_t)h->size);
        free(h);
    }
    cache.count[class] = 0;
}

void b_alloc_cache_open(void) {
    cache.open = true;
}

void b_alloc_cache_clear(void) {
    for (int class = 0; class < CLASSES; class ++)
        clear_class(class);
}

void b_alloc_cache_trim(void) {
    for (int class = 0; class < CLASSES; class ++)
        if (cache.count[class] * class_size(class) > KEEP / 2)
            clear_class(class);
}

void b_alloc_cache_close(void) {
    b_alloc_cache_clear();
    cache.open = false;
}

/* --- the allocator --- */

static void *new_block(enum b_tag tag, size_t size) {
    int class = class_of(tag, size);
    void *kept = class < 0 ? NULL : take_kept(class);
    if (kept)
        return kept;
    if (class >= 0)
        size = class_size(class);
    struct header *h = malloc(sizeof *h + size);
    if (!h)
        return NULL;
    *h = (struct header){.size = size, .tag = (uint32_t)tag, .magic = MAGIC};
    b_alloc_account(tag, (int64_t)size);
    atomic_fetch_add_explicit(&shard()->allocations[tag], 1, memory_order_relaxed);
    return h + 1;
}

void *b_alloc(enum b_tag tag, size_t size) {
    return must_fail() || size > SIZE_MAX - sizeof(struct header) ? NULL : new_block(tag, size);
}

void *b_zalloc(enum b_tag tag, size_t size) {
    void *p = b_alloc(tag, size);
    if (p)
        memset(p, 0, size);
    return p;
}

void *b_realloc(enum b_tag tag, void *ptr, size_t size) {
    if (!ptr)
        return b_alloc(tag, size);
    if (must_fail() || size > SIZE_MAX - sizeof(struct header))
        return NULL;
    struct header *h = (struct header *)ptr - 1;
    if (h->magic != MAGIC)
        abort(); /* not ours, or freed: going on would corrupt the heap */
    if (class_of(tag, size) >= 0 &&
        h->size <= (size_t)1 << CLASS_MAX) { /* from one that is kept to one that is kept */
        if (size <= h->size && class_of(tag, h->size) == class_of(tag, size))
            return ptr;
        void *moved = new_block(tag, size);
        if (moved) {
            memcpy(moved, ptr, size < h->size ? size : h->size);
            b_free(ptr);
        }
        return moved;
    }
    int64_t was = (int64_t)h->size;
    struct header *n = realloc(h, sizeof *n + size);
    if (!n)
        return NULL;
    n->size = size;
    b_alloc_account(tag, (int64_t)size - was);
    return n + 1;
}

size_t b_alloc_size(const void *ptr) {
    return ((const struct header *)ptr - 1)->size;
}

char *b_strdup(enum b_tag tag, const char *s, size_t len) {
    char *copy = b_alloc(tag, len + 1);
    if (!copy)
        return NULL;
    if (len)
        memcpy(copy, s, len);
    copy[len] = 0;
    return copy;
}

void b_free(void *ptr) {
    if (!ptr)
        return;
    struct header *h = (struct header *)ptr - 1;
    if (h->magic != MAGIC)
        abort();
    h->magic = 0;
    if (keep(h))
        return;
    b_alloc_account((enum b_tag)h->tag, -(int64_t)h->size);
    free(h);
}

void b_alloc_trim(void) {
    (void)malloc_trim(0);
}

struct b_alloc_stat b_alloc_stat(enum b_tag tag) {
    struct b_alloc_stat s = {.name = tag_names[tag]};
    int64_t bytes = 0;
    for (int i = 0; i < SHARDS; i++) {
        bytes += atomic_load_explicit(&shards[i].bytes[tag], memory_order_relaxed);
        s.allocations += atomic_load_explicit(&shards[i].allocations[tag], memory_order_relaxed);
    }
    s.bytes =
        bytes > 0 ? (uint64_t)bytes : 0; /* shards are read one after the other: a free may be seen first */
    return s;
}

uint64_t b_alloc_total_bytes(void) {
    uint64_t sum = 0;
    for (int t = 0; t < B_TAG_COUNT; t++)
        sum += b_alloc_stat((enum b_tag)t).bytes;
    return sum;
}

void b_alloc_fail_at(uint64_t nth) {
    atomic_store(&calls, 0);
    atomic_store(&failures, 0);
    atomic_store(&fail_at, nth);
}

uint64_t b_alloc_calls(void) {
    return atomic_load(&calls);
}

uint64_t b_alloc_failures(void) {
    return atomic_load(&failures);
}

void b_alloc_init(void) {
    (void)mallopt(M_MMAP_THRESHOLD, HEAP_BLOCK_MAX);
    (void)mallopt(M_TRIM_THRESHOLD, HEAP_FREE_MAX);
    const char *env = getenv("WEIR_FAIL_ALLOC");
    uint64_t n = 0;
    if (env && b_parse_u64(b_slice_cstr(env), &n))
        b_alloc_fail_at(n);
}
