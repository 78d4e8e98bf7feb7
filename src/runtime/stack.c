#include "runtime/stack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/number.h"
#include "base/sanitize.h"

#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#else
#define VALGRIND_STACK_REGISTER(a, b) 0
#define VALGRIND_STACK_DEREGISTER(id) ((void)(id))
#define VALGRIND_DISABLE_ERROR_REPORTING
#define VALGRIND_ENABLE_ERROR_REPORTING
#define VALGRIND_MAKE_MEM_DEFINED(p, n) ((void)0)
#endif

#define PAGE 4096u
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13: a guard that costs no mapping of its own */
#endif
#define COLOURS 4   /* see map_new */
#define SAMPLE 1024 /* one stack in so many is measured when it comes back */
#define KEEP 16     /* stacks a quiet worker keeps */

static _Atomic int guard_by_madvise = -1; /* -1: not yet known */

static bool install_guard(char *at) {
    if (atomic_load_explicit(&guard_by_madvise, memory_order_relaxed) != 0) {
        bool ok = madvise(at, PAGE, MADV_GUARD_INSTALL) == 0;
        atomic_store_explicit(&guard_by_madvise, ok, memory_order_relaxed);
        if (ok)
            return true;
    }
    return mprotect(at, PAGE, PROT_NONE) == 0;
}

void rt_stack_pool_init(struct rt_stack_pool *p, size_t stack_bytes) {
    *p = (struct rt_stack_pool){.stack_bytes = stack_bytes, .usual = 1};
}

static void unmap(struct rt_stack_pool *p, struct rt_stack *s) {
    char *map = s->low - PAGE;
    uint32_t pages = s->pages; /* the record goes with the mapping */
    VALGRIND_STACK_DEREGISTER(s->valgrind_id);
    B_UNPOISON(map, p->stack_bytes);
    munmap(map, p->stack_bytes);
    b_alloc_account(B_TAG_STACKS, -(int64_t)pages * PAGE);
}

void rt_stack_pool_free(struct rt_stack_pool *p) {
    for (struct rt_stack *s; (s = p->free);) {
        p->free = s->next;
        unmap(p, s);
    }
    p->count = p->low_mark = 0;
}

static struct rt_stack *map_new(struct rt_stack_pool *p) {
    char *map = mmap(NULL, p->stack_bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        return NULL;
    if (!install_guard(map)) {
        munmap(map, p->stack_bytes);
        return NULL;
    }
    /* stacks lie at a power of two from each other: started at different lines, they do not all compete for the same
     * few sets of the processor's caches. Not far apart: what a request needs is to lie in one page */
    size_t colour = p->mapped++ % COLOURS * 64;
    struct rt_stack *s = (struct rt_stack *)(void *)(map + p->stack_bytes - sizeof *s - colour);
    *s = (struct rt_stack){.low = map + PAGE, .size = (size_t)((char *)s - map) - PAGE, .pages = p->usual};
    s->valgrind_id = VALGRIND_STACK_REGISTER(s->low, s->low + s->size);
    b_alloc_account(B_TAG_STACKS, (int64_t)s->pages * PAGE);
    return s;
}

struct rt_stack *rt_stack_take(struct rt_stack_pool *p) {
    struct rt_stack *s = p->free;
    p->taken++;
    if (!s)
        return map_new(p);
    p->free = s->next;
    if (--p->count < p->low_mark)
        p->low_mark = p->count;
    return s;
}

size_t rt_stack_used(const struct rt_stack *s) {
    unsigned char resident[64];
    size_t pages = (s->size + PAGE - 1) / PAGE;
    for (size_t at = 0; at < pages; at += sizeof resident) {
        size_t n = pages - at < sizeof resident ? pages - at : sizeof resident;
        if (mincore(s->low + at * PAGE, n * PAGE, resident) != 0)
            return 0;
        for (size_t i = 0; i < n; i++) {
            if (!(resident[i] & 1))
                continue;
            const uintptr_t *word = (const uintptr_t *)(const void *)(s->low + (at + i) * PAGE);
            const uintptr_t *end = (const uintptr_t *)(const void *)(s->low + s->size);
            while (word < end && !*word)
                word++;
            if (word < end)
                return (size_t)((const char *)end - (const char *)word);
        }
    }
    return 0;
}

/* What is accounted is the touched pages of the stack that was measured last, times the stacks: the kernel's own figure
 * would cost a system call for each. */
static void account(struct rt_stack_pool *p, struct rt_stack *s, size_t used) {
    const char *top = s->low - PAGE + p->stack_bytes, *deepest = s->low + s->size - used;
    p->usual = (uint32_t)((size_t)(top - deepest + PAGE - 1) / PAGE);
    b_alloc_account(B_TAG_STACKS, ((int64_t)p->usual - (int64_t)s->pages) * PAGE);
    s->pages = p->usual;
}

void rt_stack_give(struct rt_stack_pool *p, struct rt_stack *s) {
    B_UNPOISON(s->low, s->size);
    if (p->taken % SAMPLE == 1) {
        VALGRIND_DISABLE_ERROR_REPORTING; /* reading what is no stack any more is meant */
        size_t used = rt_stack_used(s);
        (void)VALGRIND_MAKE_MEM_DEFINED(&used, sizeof used);
        VALGRIND_ENABLE_ERROR_REPORTING;
        account(p, s, used);
        if (used > p->high_water)
            __atomic_store_n(&p->high_water, used, __ATOMIC_RELAXED); /* rt_stack_high_water reads it */
    }
    if (B_ASAN) { /* a fresh mapping each time, so that a use after the end is seen */
        unmap(p, s);
        return;
    }
    s->next = p->free;
    p->free = s;
    p->count++;
}

void rt_stack_pool_trim(struct rt_stack_pool *p) {
    uint32_t spare = p->low_mark > KEEP ? (p->low_mark - KEEP + 1) / 2 : 0;
    for (; spare && p->free; spare--) {
        struct rt_stack *s = p->free;
        p->free = s->next;
        p->count--;
        unmap(p, s);
    }
    p->low_mark = p->count;
}

uint32_t rt_stack_limit(void) {
    char text[32];
    uint64_t maps = 65530;
    int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
    if (fd >= 0)
        close(fd);
    if (n > 1)
        b_parse_u64(b_slice(text, (size_t)n - 1), &maps);
    /* with mprotect each guard splits a mapping in two; keep a tenth for everything else */
    struct rt_stack_pool probe = {.stack_bytes = 4 * PAGE, .usual = 1};
    struct rt_stack *s = map_new(&probe);
    if (s)
        unmap(&probe, s);
    uint64_t per_stack = atomic_load(&guard_by_madvise) == 1 ? 1 : 2;
    uint64_t limit = maps / 10 * 9 / per_stack;
    return limit > UINT32_MAX ? UINT32_MAX : (uint32_t)limit;
}
