/* Receiving with io_uring. Mostly by one multishot receive per socket, whose buffers are lent to whoever reads. A socket
 * that brings much, or whose consumer stalls, is read on demand instead: a poll says that there is something, and it is
 * received straight to where it is wanted, so that back-pressure reaches the sender. */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "runtime/io_uring_internal.h"

/* So much is held for a consumer that does not come, before the receive is stopped. */
#define HOLD_MAX 16384
/* A socket that was read on demand is armed again after so many receives that a buffer would have held. */
#define SMALL_ONES 8

static void clear(struct rt_stream *s, unsigned flag) {
    s->flags &= (uint16_t)~flag;
}

/* --- what has been received and not taken --- */

static size_t held_bytes(const struct rt_uring_sock *k) {
    return k->held ? k->held->len - k->held->at : 0;
}

size_t rt_uring_unread(const struct rt_uring_sock *k) {
    const struct rt_uring_buffers *b = &rt_uring_here()->buffers;
    size_t n = held_bytes(k), at = k->at;
    for (uint16_t id = k->first; id != RT_URING_NO_BUFFER; id = b->next[id], at = 0)
        n += b->len[id] - at;
    return n;
}

static void push(struct rt_uring_sock *k, uint16_t id, size_t len) {
    struct rt_uring_buffers *b = &rt_uring_here()->buffers;
    b->len[id] = (uint16_t)len;
    b->next[id] = RT_URING_NO_BUFFER;
    if (k->first == RT_URING_NO_BUFFER)
        k->first = id;
    else
        b->next[k->last] = id;
    k->last = id;
    rt_uring_touch(k);
}

/* Moves past n bytes of the first buffer. */
static void pass(struct rt_uring_sock *k, size_t n) {
    struct rt_uring_buffers *b = &rt_uring_here()->buffers;
    uint16_t id = k->first;
    k->at += (uint32_t)n;
    if (k->at < b->len[id])
        return;
    k->first = b->next[id];
    k->at = 0;
    rt_uring_buffer_done(b, id);
}

/* The front piece; it stays where it is until the turn ends, taken or not. */
static struct b_slice front(const struct rt_uring_sock *k) {
    const struct rt_uring_buffers *b = &rt_uring_here()->buffers;
    if (held_bytes(k))
        return b_slice(k->held->bytes + k->held->at, held_bytes(k));
    if (k->first == RT_URING_NO_BUFFER)
        return b_slice(NULL, 0);
    return b_slice(rt_uring_buffer(b, k->first) + k->at, b->len[k->first] - k->at);
}

static void pass_front(struct rt_uring_sock *k, size_t n) {
    if (held_bytes(k))
        k->held->at += (uint32_t)n;
    else
        pass(k, n);
}

size_t rt_uring_take(struct rt_uring_sock *k, char *to, size_t len) {
    size_t all = 0;
    for (struct b_slice f; all < len && (f = front(k)).len;) {
        size_t n = f.len < len - all ? f.len : len - all;
        memcpy(to + all, f.ptr, n);
        pass_front(k, n);
        all += n;
    }
    return all;
}

static void bury(struct rt_uring_held *h) {
    if (!h)
        return;
    h->next = rt_uring_here()->graves;
    rt_uring_here()->graves = h;
}

/* Room behind what is held, whose bytes then begin the block. */
static struct rt_uring_held *make_room(struct rt_uring_sock *k, size_t len) {
    struct rt_uring_held *h = k->held;
    size_t left = held_bytes(k);
    if (!h || left + len > h->cap) {
        size_t cap = left ? 2 * (left + len) : len; /* who sends on and on costs few copies */
        h = b_alloc(B_TAG_CONNECTIONS, sizeof *h + cap);
        if (!h)
            return NULL;
        h->cap = (uint32_t)cap;
        if (left)
            memcpy(h->bytes, k->held->bytes + k->held->at, left);
        bury(k->held);
        k->held = h;
    } else if (left) {
        memmove(h->bytes, h->bytes + h->at, left);
    }
    h->at = 0;
    h->len = (uint32_t)left;
    return h;
}

int rt_uring_hold(struct rt_uring_sock *k, const char *bytes, size_t len) {
    struct rt_uring_held *h = make_room(k, len);
    if (!h)
        return -ENOMEM;
    memcpy(h->bytes + h->len, bytes, len);
    h->len += (uint32_t)len;
    return 0;
}

void rt_uring_drop_received(struct rt_uring_sock *k) {
    bury(k->held);
    k->held = NULL;
    while (k->first != RT_URING_NO_BUFFER)
        pass(k, rt_uring_here()->buffers.len[k->first] - k->at);
}

/* --- arming --- */

static void arm(struct rt_uring_sock *k) {
    struct io_uring_sqe *sqe = rt_uring_begin(k, RT_URING_RECEIVE);
    io_uring_prep_recv_multishot(sqe, k->fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->ioprio |= k->fresh ? IORING_RECVSEND_POLL_FIRST : 0;
    rt_uring_name(sqe, k, RT_URING_RECEIVE);
    k->fresh = false;
    k->stopping = false;
}

static void stop(struct rt_uring_sock *k) {
    k->on_demand = true;
    k->small = SMALL_ONES;
    if (rt_uring_pending(k, RT_URING_RECEIVE) && !k->stopping) {
        k->stopping = true;
        rt_uring_cancel(rt_uring_here(), k, RT_URING_RECEIVE);
    }
}

void rt_uring_expect(struct rt_uring_sock *k) {
    if (!k->stream || k->moving || k->eof || k->error || rt_uring_pending(k, RT_URING_RECEIVE))
        return;
    if (k->stream->flags & RT_STREAM_READABLE)
        return;
    if (k->on_demand && (k->small || rt_uring_pending(k, RT_URING_POLL_IN)))
        rt_uring_poll(k, RT_URING_POLL_IN, POLLIN | POLLRDHUP);
    else {
        k->on_demand = false;
        arm(k);
    }
}

/* While nothing is armed that would say so, a connection that breaks is noticed by a poll of its own. */
static void watch(struct rt_uring_sock *k) {
    if (!k->error)
        rt_uring_poll(k, RT_URING_POLL_GONE, 0);
}

/* --- completions --- */

static void fail(struct rt_uring_sock *k, int error) {
    k->error = error;
    rt_uring_raise(k, RT_STREAM_READABLE | RT_STREAM_WRITABLE | RT_STREAM_HUP | RT_STREAM_ERROR);
}

void rt_uring_received(struct rt_uring_sock *k, int res, unsigned flags) {
    bool more = flags & IORING_CQE_F_MORE;
    if (flags & IORING_CQE_F_BUFFER) {
        uint16_t id = (uint16_t)(flags >> IORING_CQE_BUFFER_SHIFT);
        if (k->stream && res > 0)
            push(k, id, (size_t)res);
        else
            rt_uring_buffer_done(&rt_uring_here()->buffers, id);
    }
    if (!k->stream)
        return;
    if (!more) {
        k->stopping = false;
        rt_uring_touch(k); /* it may have to be armed again */
    }
    if (res == RT_URING_BUFFER_BYTES)
        stop(k); /* there is more where this came from */
    if (res > 0) {
        rt_uring_raise(k, RT_STREAM_READABLE);
    } else if (res == 0) {
        k->eof = true;
        rt_uring_raise(k, RT_STREAM_READABLE | RT_STREAM_HUP);
    } else if (res != -ENOBUFS && res != -ECANCELED) {
        fail(k, res);
    } else if (k->stream->reader || k->stream->parked) {
        if (k->on_demand)
            rt_uring_expect(k);
    }
}

/* Buffers are for the turn only. */
static int hold_buffers(struct rt_uring_sock *k) {
    struct rt_uring_buffers *b = &rt_uring_here()->buffers;
    if (k->first == RT_URING_NO_BUFFER)
        return 0;
    struct rt_uring_held *h = make_room(k, rt_uring_unread(k) - held_bytes(k));
    if (!h)
        return -ENOMEM;
    while (k->first != RT_URING_NO_BUFFER) {
        size_t n = b->len[k->first] - k->at;
        memcpy(h->bytes + h->len, rt_uring_buffer(b, k->first) + k->at, n);
        h->len += (uint32_t)n;
        pass(k, n);
    }
    return 0;
}

void rt_uring_settle_receive(struct rt_uring_sock *k) {
    if (k->held && !held_bytes(k)) {
        bury(k->held);
        k->held = NULL;
    }
    if (hold_buffers(k) != 0) {
        rt_uring_drop_received(k);
        fail(k, -ENOMEM);
        return;
    }
    if (held_bytes(k) > HOLD_MAX)
        stop(k);
    if (!rt_uring_pending(k, RT_URING_RECEIVE) && !k->on_demand && !k->eof && !k->error)
        arm(k);
    if (k->on_demand || (k->eof && k->stream->owner))
        watch(k);
}

/* --- the operations --- */

/* After bytes were taken: is there something left? */
static void update(struct rt_uring_sock *k) {
    if (k->held)
        rt_uring_touch(k); /* all of it may have been taken, and is lent */
    if (k->eof || k->error || front(k).len)
        return;
    clear(k->stream, RT_STREAM_READABLE);
    rt_uring_expect(k);
}

/* What the socket itself has, when no multishot receive is in the way. */
static ssize_t receive_directly(struct rt_uring_sock *k, char *buf, size_t len) {
    struct rt_stream *s = k->stream;
    ssize_t n;
    do
        n = recv(k->fd, buf, len, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        if (errno != EAGAIN)
            return k->error = -errno;
        clear(s, RT_STREAM_READABLE);
        return -EAGAIN;
    }
    if (n == 0) {
        k->eof = true;
        s->flags |= RT_STREAM_HUP | RT_STREAM_READABLE;
        rt_uring_touch(k);
    }
    k->small = n > RT_URING_BUFFER_BYTES ? SMALL_ONES : k->small ? k->small - 1 : 0;
    /* as with epoll: a short read has emptied the socket */
    if ((size_t)n < len && !(s->flags & (RT_STREAM_HUP | RT_STREAM_ERROR)))
        clear(s, RT_STREAM_READABLE);
    return n;
}

static bool direct(const struct rt_uring_sock *k) {
    return k->on_demand && !rt_uring_pending(k, RT_URING_RECEIVE);
}

/* Without waiting; everything but -EAGAIN is an answer. */
static ssize_t receive_now(struct rt_uring_sock *k, char *buf, size_t len) {
    ssize_t n = (ssize_t)rt_uring_take(k, buf, len);
    if (n) {
        update(k);
        return n;
    }
    if (k->error || k->eof)
        return k->error;
    if (direct(k) && (k->stream->flags & RT_STREAM_READABLE)) {
        n = receive_directly(k, buf, len);
        if (n != -EAGAIN) {
            rt_uring_expect(k);
            return n;
        }
    }
    clear(k->stream, RT_STREAM_READABLE);
    rt_uring_expect(k);
    return -EAGAIN;
}

ssize_t rt_uring_receive(struct rt_stream *s, void *buf, size_t len, rt_time deadline) {
    for (;;) {
        ssize_t n = receive_now(rt_uring_sock(s), buf, len);
        if (n != -EAGAIN || deadline == RT_NOWAIT)
            return n;
        int rc = rt_ready_read(s, deadline);
        if (rc < 0)
            return rc;
    }
}

/* One piece, where it lies; else (0) it has to be put together. */
static size_t lend(struct rt_uring_sock *k, size_t max, struct b_slice *all) {
    struct b_slice f = front(k);
    if (!f.len || (f.len < max && f.len < rt_uring_unread(k)))
        return 0;
    *all = f.len < max ? f : b_slice(f.ptr, max);
    pass_front(k, all->len);
    update(k);
    return all->len;
}

ssize_t rt_uring_receive_lent(struct rt_stream *s, struct b_slice kept, size_t max, struct b_slice *all,
                              rt_time deadline) {
    struct rt_uring_sock *k = rt_uring_sock(s);
    char *buf = rt_scratch_in();
    for (;;) {
        size_t lent = kept.len ? 0 : lend(k, max, all);
        if (lent)
            return (ssize_t)lent;
        if (kept.len)
            memmove(buf, kept.ptr, kept.len);
        ssize_t n = receive_now(k, buf + kept.len, max);
        *all = b_slice(buf, kept.len + (n > 0 ? (size_t)n : 0));
        if (n != -EAGAIN || deadline == RT_NOWAIT)
            return n;
        int rc = rt_ready_read(s, deadline);
        if (rc < 0)
            return rc;
    }
}
