#include "runtime/io_ready.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "runtime/worker.h"

/* Its timer stays where it is: mostly the stream is parked again before that is due, and then only the deadline moves. */
static void unpark(struct rt_parked *p, int result) {
    p->waiting = false;
    p->fn(p, result);
}

void rt_ready_event(struct rt_stream *s, unsigned flags) {
    s->flags |= (uint16_t)flags;
    if (s->owner && (flags & RT_STREAM_ERROR))
        rt_cancel(s->owner);
    if (s->reader && (s->flags & RT_STREAM_READABLE))
        rt_wake(s->reader, 0);
    if (s->writer && (s->flags & RT_STREAM_WRITABLE))
        rt_wake(s->writer, 0);
    if (s->parked && s->parked->waiting && (s->flags & RT_STREAM_READABLE))
        unpark(s->parked, 0); /* last: the stream may be gone after it */
}

void rt_ready_polled(struct rt_stream *s, unsigned events) {
    unsigned flags = 0;
    if (events & (POLLIN | POLLRDHUP | POLLHUP | POLLERR))
        flags |= RT_STREAM_READABLE;
    if (events & POLLRDHUP)
        flags |= RT_STREAM_HUP;
    if (events & (POLLHUP | POLLERR))
        flags |= RT_STREAM_HUP | RT_STREAM_ERROR | RT_STREAM_WRITABLE;
    if (events & POLLOUT)
        flags |= RT_STREAM_WRITABLE;
    rt_ready_event(s, flags);
}

int rt_ready_read(struct rt_stream *s, rt_time deadline) {
    if (deadline == RT_NOWAIT)
        return -EAGAIN;
    s->reader = rt_fiber_self();
    int rc = rt_park(deadline);
    s->reader = NULL;
    return rc;
}

int rt_ready_write(struct rt_stream *s, rt_time deadline) {
    if (deadline == RT_NOWAIT)
        return -EAGAIN;
    s->writer = rt_fiber_self();
    int rc = rt_park(deadline);
    s->writer = NULL;
    return rc;
}

/* The wait comes first: the scratch buffer is everybody's meanwhile. */
ssize_t rt_ready_receive_lent(struct rt_stream *s, struct b_slice kept, size_t max, struct b_slice *all,
                              rt_time deadline) {
    const struct rt_io_ops *io = rt_self()->backend->io;
    char *buf = rt_scratch_in();
    for (;;) {
        int rc = s->flags & RT_STREAM_READABLE ? 0 : rt_ready_read(s, deadline);
        if (rc < 0)
            return rc;
        if (kept.len)
            memmove(buf, kept.ptr, kept.len);
        ssize_t n = io->receive(s, buf + kept.len, max, RT_NOWAIT);
        *all = b_slice(buf, kept.len + (n > 0 ? (size_t)n : 0));
        if (n != -EAGAIN)
            return n;
    }
}

static int ready_now(struct rt_wait *waits, int n) {
    int ready = 0;
    for (int i = 0; i < n; i++) {
        struct rt_wait *x = &waits[i];
        x->got = 0;
        if ((x->want & RT_READ) && (x->stream->flags & RT_STREAM_READABLE))
            x->got |= RT_READ;
        if ((x->want & RT_WRITE) && (x->stream->flags & RT_STREAM_WRITABLE))
            x->got |= RT_WRITE;
        ready += x->got != 0;
    }
    return ready;
}

static void stand(struct rt_wait *waits, int n, struct rt_fiber *f) {
    for (int i = 0; i < n; i++) {
        if (waits[i].want & RT_READ)
            waits[i].stream->reader = f;
        if (waits[i].want & RT_WRITE)
            waits[i].stream->writer = f;
    }
}

int rt_ready_wait_any(struct rt_wait *waits, int n, rt_time deadline) {
    for (;;) {
        int ready = ready_now(waits, n);
        if (ready)
            return ready;
        if (deadline == RT_NOWAIT)
            return -EAGAIN;
        stand(waits, n, rt_fiber_self());
        int rc = rt_park(deadline);
        stand(waits, n, NULL);
        if (rc < 0)
            return rc;
    }
}

static void park_deadline(struct rt_timer *t) {
    struct rt_parked *p = B_CONTAINER(t, struct rt_parked, timer);
    if (!p->waiting)
        return;
    if (rt_now() < p->deadline)
        rt_timer_set(t, p->deadline);
    else
        unpark(p, -ETIMEDOUT);
}

/* The stream's record, not waiting yet. */
static void adopt(struct rt_stream *s, struct rt_parked *p) {
    if (s->parked)
        rt_timer_cancel(&s->parked->timer);
    s->parked = p;
    if (!p)
        return;
    rt_timer_init(&p->timer, park_deadline);
    p->waiting = false;
}

void rt_ready_park(struct rt_stream *s, struct rt_parked *p, rt_time deadline) {
    if (s->parked != p || !p)
        adopt(s, p);
    if (!p)
        return;
    if (s->flags & RT_STREAM_READABLE) {
        unpark(p, 0);
        return;
    }
    p->waiting = true;
    p->deadline = deadline;
    if (!rt_timer_is_set(&p->timer) || p->timer.at > deadline)
        rt_timer_set(&p->timer, deadline);
}
