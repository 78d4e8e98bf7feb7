/* Accepting with io_uring: one multishot accept per worker and listener. It is stopped while nobody takes what it has
 * brought, so that who comes then waits in the kernel's queue. Where nothing may be taken ahead, a poll, and an accept for
 * each connection that is asked for. */
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

#include "runtime/io_uring_internal.h"

#define UNTAKEN_MAX 64

int rt_uring_listen_here(struct rt_uring_sock *k) {
    int on = 1;
    k->accepted = b_zalloc(B_TAG_RUNTIME, sizeof *k->accepted);
    if (!k->accepted)
        return -ENOMEM;
    /* handed down to the connections; a unix socket has no such option */
    (void)setsockopt(k->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return 0;
}

static bool ahead(const struct rt_uring_sock *k) {
    return !k->stream || !(k->stream->flags & RT_STREAM_NOT_AHEAD);
}

static void stop(struct rt_uring_sock *k) {
    if (k->stopping || !rt_uring_pending(k, RT_URING_ACCEPT))
        return;
    k->stopping = true;
    rt_uring_cancel(rt_uring_here(), k, RT_URING_ACCEPT);
}

void rt_uring_expect_accept(struct rt_uring_sock *k) {
    if (!ahead(k) && !k->moving && !k->error) {
        stop(k);
        rt_uring_poll(k, RT_URING_POLL_IN, POLLIN);
        return;
    }
    if (k->moving || k->error || rt_uring_pending(k, RT_URING_ACCEPT) || k->accepted->count)
        return;
    struct io_uring_sqe *sqe = rt_uring_begin(k, RT_URING_ACCEPT);
    io_uring_prep_multishot_accept(sqe, k->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    rt_uring_name(sqe, k, RT_URING_ACCEPT);
    k->stopping = false;
}

static bool keep(struct rt_uring_accepted *a, int fd) {
    if (a->at + a->count == a->cap && a->at) {
        for (uint32_t i = 0; i < a->count; i++)
            a->fds[i] = a->fds[a->at + i];
        a->at = 0;
    }
    if (a->at + a->count == a->cap) {
        uint32_t cap = a->cap ? 2 * a->cap : 16;
        int *fds = b_realloc(B_TAG_RUNTIME, a->fds, cap * sizeof *fds);
        if (!fds)
            return false;
        a->fds = fds;
        a->cap = cap;
    }
    a->fds[a->at + a->count++] = fd;
    return true;
}

void rt_uring_accepted(struct rt_uring_sock *k, int res, unsigned flags) {
    if (res >= 0 && !keep(k->accepted, res))
        close(res); /* no memory for its number, let alone for the rest */
    if (!(flags & IORING_CQE_F_MORE))
        k->stopping = false;
    if (res < 0 && res != -ECANCELED && !rt_socket_accept_again(-res))
        k->error = res;
    if (k->accepted->count)
        rt_uring_touch(k);
    if (k->accepted->count || k->error)
        rt_uring_raise(k, RT_STREAM_READABLE);
    else if (!(flags & IORING_CQE_F_MORE) && k->stream->reader)
        rt_uring_expect_accept(k);
}

void rt_uring_settle_accept(struct rt_uring_sock *k) {
    if (k->accepted->count >= UNTAKEN_MAX || !ahead(k))
        stop(k);
}

void rt_uring_drop_accepted(struct rt_uring_sock *k) {
    struct rt_uring_accepted *a = k->accepted;
    if (!a)
        return;
    for (; a->count; a->count--)
        close(a->fds[a->at++]);
    b_free(a->fds);
    b_free(a);
    k->accepted = NULL;
}

/* A connection that has broken already has no peer, and is not told of. */
static bool peer_of(int fd, struct rt_sockaddr *peer) {
    if (!peer)
        return true;
    peer->len = sizeof peer->u;
    return getpeername(fd, &peer->u.any, &peer->len) == 0;
}

int rt_uring_accept(struct rt_stream *s, struct rt_sockaddr *peer, rt_time deadline) {
    struct rt_uring_sock *k = rt_uring_sock(s);
    struct rt_uring_accepted *a = k->accepted;
    for (;;) {
        while (a->count) {
            int fd = a->fds[a->at++];
            if (--a->count == 0)
                a->at = 0;
            if (peer_of(fd, peer))
                return fd;
            close(fd);
        }
        int error = k->error;
        k->error = 0;
        s->flags &= (uint16_t)~RT_STREAM_READABLE;
        if (error)
            return error;
        if (!ahead(k)) {
            int fd = rt_socket_accept(k->fd, peer);
            if (fd != -EAGAIN)
                return fd;
        }
        rt_uring_expect_accept(k);
        int rc = rt_ready_read(s, deadline);
        if (rc < 0)
            return rc;
    }
}
