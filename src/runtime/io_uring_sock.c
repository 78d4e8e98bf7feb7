/* A socket of the io_uring back end, from attach to its last completion. */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/sanitize.h"
#include "runtime/io_uring_internal.h"

/* What is still being sent when a stream ends has so long to go. */
#define SEND_ON (30 * RT_S)
#define SWEEP RT_S

static const enum rt_uring_op ops_of_sockets[] = {RT_URING_RECEIVE, RT_URING_SEND,     RT_URING_ACCEPT,
                                                  RT_URING_POLL_IN, RT_URING_POLL_OUT, RT_URING_POLL_GONE};
enum { OPS = sizeof ops_of_sockets / sizeof ops_of_sockets[0] };

static struct rt_uring_sock *sock_new(struct rt_stream *s, int fd, bool listener) {
    struct rt_uring_sock *k = b_zalloc(B_TAG_CONNECTIONS, sizeof *k);
    if (!k)
        return NULL;
    b_list_init(&k->touched);
    b_list_push_back(&rt_uring_here()->socks, &k->link);
    k->stream = s;
    k->fd = fd;
    k->listener = listener;
    k->first = k->last = RT_URING_NO_BUFFER;
    *s = (struct rt_stream){.worker = rt_self(), .fd = fd, .state = k};
    s->flags = listener ? RT_STREAM_LISTENER : RT_STREAM_WRITABLE;
    return k;
}

void rt_uring_sock_free(struct rt_uring_sock *k) {
    b_list_remove(&k->link);
    b_list_remove(&k->touched);
    b_free(k->held);
    if (k->listener)
        rt_uring_drop_accepted(k);
    else if (k->out)
        rt_uring_out_put(rt_uring_here(), k->out);
    b_free(k);
}

/* --- operations and their completions --- */

struct io_uring_sqe *rt_uring_begin(struct rt_uring_sock *k, enum rt_uring_op op) {
    struct io_uring_sqe *sqe = rt_uring_entry(rt_uring_here());
    assert(!rt_uring_pending(k, op));
    k->pending |= (uint16_t)(1u << op);
    return sqe;
}

void rt_uring_poll(struct rt_uring_sock *k, enum rt_uring_op op, unsigned mask) {
    if (rt_uring_pending(k, op))
        return;
    struct io_uring_sqe *sqe = rt_uring_begin(k, op);
    if (op == RT_URING_POLL_IN)
        io_uring_prep_poll_add(sqe, k->fd, mask);
    else /* told on each change: every poll wakes for a half-closed peer as well, and would do so at once again */
        io_uring_prep_poll_multishot(sqe, k->fd, mask);
    rt_uring_name(sqe, k, op);
}

void rt_uring_raise(struct rt_uring_sock *k, unsigned flags) {
    if (k->stream && !k->moving)
        rt_ready_event(k->stream, flags);
}

void rt_uring_touch(struct rt_uring_sock *k) {
    if (b_list_empty(&k->touched))
        b_list_push_back(&rt_uring_here()->touched, &k->touched);
}

/* A multishot receive knows better than a poll what there is to read. */
static void polled(struct rt_uring_sock *k, enum rt_uring_op op, int res) {
    if (!k->stream || k->moving || res == -ECANCELED)
        return;
    unsigned events = res < 0 ? POLLERR : (unsigned)res;
    bool told = events & (POLLERR | POLLHUP | POLLOUT);
    if (op == RT_URING_POLL_IN)
        told = !rt_uring_pending(k, RT_URING_RECEIVE);
    if (told)
        rt_ready_polled(k->stream, events);
    else if (op == RT_URING_POLL_OUT && k->stream->writer)
        rt_uring_expect_room(k); /* if the kernel has given it up */
}

static void free_if_over(struct rt_uring_sock *k) {
    if (!k->stream && !k->pending && !k->busy)
        rt_uring_sock_free(k);
}

void rt_uring_complete(struct rt_uring_sock *k, enum rt_uring_op op, int res, unsigned flags) {
    if (!(flags & IORING_CQE_F_MORE))
        k->pending &= (uint16_t) ~(1u << op);
    k->busy++; /* it stays while this goes on, whatever the stream's owner does */
    if (op == RT_URING_RECEIVE)
        rt_uring_received(k, res, flags);
    else if (op == RT_URING_SEND)
        rt_uring_sent(k, res);
    else if (op == RT_URING_ACCEPT)
        rt_uring_accepted(k, res, flags);
    else
        polled(k, op, res);
    k->busy--;
    free_if_over(k);
}

void rt_uring_settle(struct rt_uring_state *st) {
    for (struct b_list *n; (n = b_list_pop_front(&st->touched));) {
        struct rt_uring_sock *k = B_CONTAINER(n, struct rt_uring_sock, touched);
        if (!k->stream)
            continue;
        if (k->listener)
            rt_uring_settle_accept(k);
        else
            rt_uring_settle_receive(k);
    }
    rt_uring_buffers_return(&st->buffers);
    for (struct rt_uring_held *grave; (grave = st->graves);) {
        st->graves = grave->next;
        b_free(grave);
    }
}

/* --- attach, connect, wait --- */

int rt_uring_attach(struct rt_stream *s, int fd, bool listener) {
    struct rt_uring_sock *k = sock_new(s, fd, listener);
    if (!k)
        return -ENOMEM;
    if (listener) {
        int rc = rt_uring_listen_here(k);
        if (rc == 0)
            return 0;
        k->stream = NULL;
        s->worker = NULL;
        rt_uring_sock_free(k);
        return rc;
    }
    rt_uring_carry_on(k);
    rt_uring_expect(k);
    return 0;
}

static int finish_connect(struct rt_stream *s, rt_time deadline) {
    struct rt_uring_sock *k = rt_uring_sock(s);
    int rc = 0;
    s->flags &= (uint16_t) ~(RT_STREAM_WRITABLE | RT_STREAM_READABLE);
    while (rc == 0 && !(s->flags & RT_STREAM_WRITABLE)) {
        rt_uring_expect_room(k);
        rc = rt_ready_write(s, deadline);
    }
    return rc ? rc : rt_socket_error(s->fd);
}

int rt_uring_connect(struct rt_stream *s, const struct rt_sockaddr *to, rt_time deadline) {
    int fd, rc = rt_socket_connect(to, &fd);
    if (rc && rc != -EINPROGRESS)
        return rc;
    struct rt_uring_sock *k = sock_new(s, fd, false);
    if (!k) {
        rt_socket_close(fd);
        return -ENOMEM;
    }
    if (rc == -EINPROGRESS)
        rc = finish_connect(s, deadline);
    if (rc) {
        rt_uring_end(s, RT_END_CLOSE);
        return rc;
    }
    k->fresh = true;
    rt_uring_expect(k);
    return 0;
}

int rt_uring_wait_any(struct rt_wait *waits, int n, rt_time deadline) {
    for (int i = 0; i < n; i++) {
        struct rt_stream *s = waits[i].stream;
        struct rt_uring_sock *k = rt_uring_sock(s);
        if (k->listener) {
            if (waits[i].want & RT_READ)
                rt_uring_expect_accept(k);
            continue;
        }
        if (waits[i].want & RT_READ)
            rt_uring_expect(k);
        if (waits[i].want & RT_WRITE)
            rt_uring_expect_room(k);
    }
    return rt_ready_wait_any(waits, n, deadline);
}

void rt_uring_park(struct rt_stream *s, struct rt_parked *p, rt_time deadline) {
    if (p && !(s->flags & RT_STREAM_LISTENER))
        rt_uring_expect(rt_uring_sock(s));
    rt_ready_park(s, p, deadline);
}

/* --- the end --- */

static void cancel_all(struct rt_uring_sock *k, bool but_the_send) {
    for (int i = 0; i < OPS; i++) {
        enum rt_uring_op op = ops_of_sockets[i];
        if (rt_uring_pending(k, op) && !(op == RT_URING_SEND && but_the_send))
            rt_uring_cancel(rt_uring_here(), k, op);
    }
}

/* Takes this socket's completions off the ring, out of order. */
static void complete_own(struct rt_uring_state *st, struct rt_uring_sock *k) {
    unsigned head;
    struct io_uring_cqe *cqe;
    io_uring_for_each_cqe(&st->ring, head, cqe) {
        enum rt_uring_op op = (enum rt_uring_op)(cqe->user_data % RT_URING_OPS);
        if (cqe->user_data - op != (uintptr_t)k)
            continue;
        cqe->user_data = RT_URING_NOTHING;
        rt_uring_complete(k, op, cqe->res, cqe->flags);
    }
}

/* Ends all operations and waits until the kernel has let go of the socket, which takes no time: what is cancelled waits
 * for the network, and is not at work. */
static void come_to_rest(struct rt_uring_sock *k) {
    struct rt_uring_state *st = rt_uring_here();
    k->moving = true;
    if (rt_uring_pending(k, RT_URING_SEND)) /* it may only stand in the queue */
        rt_uring_flush(st);
    complete_own(st, k);
    cancel_all(k, false);
    for (int i = 0; k->pending && !st->left && i < 1000; i++) {
        rt_uring_flush(st);
        complete_own(st, k);
    }
    assert((!k->pending || st->left) && "the kernel does not let go of a socket");
}

static void detach(struct rt_uring_sock *k) {
    come_to_rest(k);
    if (k->listener) {
        rt_uring_drop_accepted(k);
    } else {
        rt_uring_carry(k);
        rt_uring_drop_received(k);
        if (k->out)
            rt_uring_out_put(rt_uring_here(), k->out);
        k->out = NULL;
    }
    k->stream = NULL;
    free_if_over(k);
}

/* The entries are worked off in order: what is to be sent, then the close. What cannot go at once holds the socket open
 * by itself. */
static void close_socket(struct rt_uring_sock *k, bool reset) {
    struct rt_uring_state *st = rt_uring_here();
    /* bytes that were not read reset the connection (RFC 9293 section 3.6.1), those that lie here as well */
    if (reset || rt_uring_unread(k))
        rt_socket_drop_unsent(k->fd);
    rt_uring_drop_received(k);
    cancel_all(k, !reset);
    if (B_TSAN) /* which does not see what the kernel closes for others, and takes the next user of the number for one of
                 * this */
        rt_uring_flush(st);
    if (B_TSAN || st->left) {
        rt_socket_close(k->fd);
    } else {
        struct io_uring_sqe *sqe = rt_uring_entry(st);
        io_uring_prep_close(sqe, k->fd);
        sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
        sqe->user_data = RT_URING_NOTHING;
    }
    k->stream = NULL;
    if (rt_uring_pending(k, RT_URING_SEND)) {
        k->give_up = rt_after(rt_now(), SEND_ON);
        if (!rt_timer_is_set(&st->sweep))
            rt_timer_set(&st->sweep, rt_after(rt_now(), SWEEP));
    }
    free_if_over(k);
}

bool rt_uring_sends_on(struct rt_uring_state *st) {
    B_LIST_EACH(n, &st->socks) {
        struct rt_uring_sock *k = B_CONTAINER(n, struct rt_uring_sock, link);
        if (!k->stream && rt_uring_pending(k, RT_URING_SEND))
            return true;
    }
    return false;
}

void rt_uring_sweep(struct rt_timer *t) {
    struct rt_uring_state *st = B_CONTAINER(t, struct rt_uring_state, sweep);
    bool more = false;
    B_LIST_EACH(n, &st->socks) {
        struct rt_uring_sock *k = B_CONTAINER(n, struct rt_uring_sock, link);
        if (k->stream || !rt_uring_pending(k, RT_URING_SEND))
            continue;
        more = true;
        if (rt_now() >= k->give_up)
            rt_uring_cancel(st, k, RT_URING_SEND);
    }
    if (more)
        rt_timer_set(t, rt_after(rt_now(), SWEEP));
}

int rt_uring_end(struct rt_stream *s, enum rt_end how) {
    struct rt_uring_sock *k = rt_uring_sock(s);
    int fd = s->fd;
    if (how == RT_END_WRITING)
        return rt_uring_finish_writing(k);
    assert(!s->reader && !s->writer && "a fiber waits on the stream that another one ends");
    rt_ready_park(s, NULL, RT_NEVER);
    if (how == RT_END_DETACH || k->listener) {
        detach(k);
        if (how != RT_END_DETACH)
            rt_socket_close(fd);
    } else {
        close_socket(k, how == RT_END_RESET);
    }
    s->worker = NULL;
    s->state = NULL;
    s->fd = -1;
    return how == RT_END_DETACH ? fd : 0;
}
