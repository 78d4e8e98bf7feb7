/* The buffers of the io_uring back end: a ring of those that receives fill, and a stock of those that are sent from. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#else
#define VALGRIND_MAKE_MEM_DEFINED(p, n) ((void)(p), (void)(n))
#endif

#include "base/sanitize.h"
#include "runtime/io_uring_internal.h"

#define PAGE 4096u
/* Whole pages apart, all buffers would begin in the same lines of the processor's caches. */
#define STRIDE (RT_URING_BUFFER_BYTES + 192u)
#define RING_BYTES ((RT_URING_BUFFERS * sizeof(struct io_uring_buf) + PAGE - 1) / PAGE * PAGE)

char *rt_uring_buffer(const struct rt_uring_buffers *b, unsigned id) {
    return (char *)b->ring + RING_BYTES + (size_t)id * STRIDE;
}

static void publish(struct rt_uring_buffers *b, unsigned id, int at) {
    io_uring_buf_ring_add(b->ring, rt_uring_buffer(b, id), RT_URING_BUFFER_BYTES, (unsigned short)id,
                          io_uring_buf_ring_mask(RT_URING_BUFFERS), at);
}

int rt_uring_buffers_open(struct rt_uring_state *st) {
    struct rt_uring_buffers *b = &st->buffers;
    b->lent = RT_URING_NO_BUFFER;
    b->memory = b_alloc(B_TAG_RUNTIME, PAGE + RING_BYTES + RT_URING_BUFFERS * STRIDE);
    if (!b->memory)
        return -ENOMEM;
    b->ring = (void *)(((uintptr_t)b->memory + PAGE - 1) & ~(uintptr_t)(PAGE - 1));
    struct io_uring_buf_reg reg = {.ring_addr = (uintptr_t)b->ring, .ring_entries = RT_URING_BUFFERS};
    int rc = io_uring_register_buf_ring(&st->ring, &reg, 0);
    if (rc < 0) {
        b_free(b->memory);
        b->memory = NULL;
        return rc;
    }
    /* the kernel writes there without a call that valgrind sees */
    (void)VALGRIND_MAKE_MEM_DEFINED(rt_uring_buffer(b, 0), RT_URING_BUFFERS * STRIDE);
    io_uring_buf_ring_init(b->ring);
    for (unsigned i = 0; i < RT_URING_BUFFERS; i++)
        publish(b, i, (int)i);
    io_uring_buf_ring_advance(b->ring, RT_URING_BUFFERS);
    return 0;
}

void rt_uring_buffers_close(struct rt_uring_state *st) {
    struct rt_uring_out *out;
    while ((out = st->outs)) {
        st->outs = out->next;
        b_free(out);
    }
    struct rt_uring_held *grave;
    while ((grave = st->graves)) {
        st->graves = grave->next;
        b_free(grave);
    }
    b_free(st->buffers.memory);
    st->buffers.memory = NULL;
}

void rt_uring_buffer_done(struct rt_uring_buffers *b, uint16_t id) {
    b->next[id] = b->lent;
    b->lent = id;
}

void rt_uring_buffers_return(struct rt_uring_buffers *b) {
    int n = 0;
    while (b->lent != RT_URING_NO_BUFFER) {
        publish(b, b->lent, n++);
        b->lent = b->next[b->lent];
    }
    if (n)
        io_uring_buf_ring_advance(b->ring, n);
}

struct rt_uring_out *rt_uring_out_get(struct rt_uring_state *st) {
    struct rt_uring_out *out = st->outs;
    if (out) {
        st->outs = out->next;
    } else {
        if (st->out_count == RT_URING_OUTS_MAX)
            return NULL;
        out = b_alloc(B_TAG_RUNTIME, sizeof *out);
        if (!out)
            return NULL;
        st->out_count++;
    }
    out->at = out->len = 0;
    return out;
}

void rt_uring_out_put(struct rt_uring_state *st, struct rt_uring_out *out) {
    if (B_ASAN) {
        st->out_count--;
        b_free(out);
        return;
    }
    out->next = st->outs;
    st->outs = out;
}
