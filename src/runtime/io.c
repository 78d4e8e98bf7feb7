#include "runtime/io.h"

#include <errno.h>
#include <string.h>

#include "runtime/worker.h"

static const struct rt_io_ops *ops(void) {
    return rt_self()->backend->io;
}

/* What fails leaves a stream that is seen not to be attached. */
int rt_attach(struct rt_stream *s, int fd, bool listener) {
    *s = (struct rt_stream){.fd = -1};
    rt_charge(RT_OPERATION);
    return ops()->attach(s, fd, listener);
}

/* What may wait is also where a fiber that has had its share lets others run, though its stream is ready. */
static int let_others(rt_time deadline) {
    return deadline == RT_NOWAIT ? 0 : rt_yield_due();
}

void rt_accept_ahead(struct rt_stream *s, bool on) {
    s->flags = (uint16_t)(on ? s->flags & ~RT_STREAM_NOT_AHEAD : s->flags | RT_STREAM_NOT_AHEAD);
}

int rt_accept(struct rt_stream *s, struct rt_sockaddr *peer, rt_time deadline) {
    int rc = let_others(deadline);
    rt_charge(2 * RT_OPERATION); /* and its options */
    return rc ? rc : ops()->accept(s, peer, deadline);
}

int rt_connect(struct rt_stream *s, const struct rt_sockaddr *to, rt_time deadline) {
    *s = (struct rt_stream){.fd = -1};
    return ops()->connect(s, to, deadline);
}

ssize_t rt_receive(struct rt_stream *s, void *buf, size_t len, rt_time deadline) {
    ssize_t n = let_others(deadline);
    if (n == 0)
        n = ops()->receive(s, buf, len, deadline);
    if (n > 0)
        s->bytes_in += (size_t)n;
    rt_charge(RT_OPERATION + (n > 0 ? n : 0));
    return n;
}

ssize_t rt_receive_lent(struct rt_stream *s, struct b_slice kept, size_t max, struct b_slice *all,
                        rt_time deadline) {
    size_t room = RT_SCRATCH_BYTES - kept.len;
    ssize_t n = let_others(deadline);
    if (n == 0)
        n = ops()->receive_lent(s, kept, max < room ? max : room, all, deadline);
    if (n > 0)
        s->bytes_in += (size_t)n;
    rt_charge(RT_OPERATION + (n > 0 ? n : 0));
    return n;
}

ssize_t rt_send(struct rt_stream *s, struct iovec *iov, int n, rt_time deadline) {
    ssize_t sent = let_others(deadline);
    if (sent == 0)
        sent = ops()->send(s, iov, n, deadline);
    rt_charge(RT_OPERATION + (sent > 0 ? sent : 0));
    return sent;
}

size_t rt_unsent(struct rt_stream *s) {
    return ops()->unsent(s);
}

int rt_wait_fd(int fd, int events, rt_time deadline) {
    return ops()->wait_fd(fd, events, deadline);
}

int rt_wait_any(struct rt_wait *waits, int n, rt_time deadline) {
    int rc = let_others(deadline);
    return rc ? rc : ops()->wait_any(waits, n, deadline);
}

void rt_park_stream(struct rt_stream *s, struct rt_parked *p, rt_time deadline) {
    ops()->park(s, p, deadline);
}

int rt_end(struct rt_stream *s, enum rt_end how) {
    rt_charge(2 * RT_OPERATION);
    return ops()->end(s, how);
}

int rt_listen(const struct rt_sockaddr *at, int backlog, int *fd) {
    return rt_self()->backend->listen(at, backlog, fd);
}

int rt_accept_handle(int listener, struct rt_sockaddr *peer) {
    return rt_self()->backend->accept_handle(listener, peer);
}

void rt_close_handle(int fd) {
    rt_self()->backend->close_handle(fd);
}

void rt_own(struct rt_stream *s) {
    s->owner = rt_fiber_self();
    if (s->flags & RT_STREAM_ERROR)
        rt_cancel(s->owner);
}

void rt_disown(struct rt_stream *s) {
    s->owner = NULL;
}

int rt_wait_readable(struct rt_stream *s, rt_time deadline) {
    struct rt_wait w = {.stream = s, .want = RT_READ};
    int n = rt_wait_any(&w, 1, deadline);
    return n < 0 ? n : 0;
}

char *rt_copy_iov(const struct iovec *iov, int n, size_t *len) {
    *len = rt_iov_bytes(iov, n);
    char *copy = b_alloc(B_TAG_REQUESTS, *len), *at = copy;
    for (int i = 0; copy && i < n; at += iov[i].iov_len, i++)
        if (iov[i].iov_len)
            memcpy(at, iov[i].iov_base, iov[i].iov_len);
    return copy;
}

ssize_t rt_send_lent(struct rt_stream *s, struct iovec *iov, int n, rt_time deadline) {
    size_t all = rt_iov_bytes(iov, n);
    ssize_t sent = rt_send(s, iov, n, RT_NOWAIT);
    if (sent == (ssize_t)all || deadline == RT_NOWAIT || (sent < 0 && sent != -EAGAIN))
        return sent;
    /* the back end has moved the iovecs past what went */
    size_t left;
    char *copy = rt_copy_iov(iov, n, &left);
    if (!copy)
        return -ENOMEM;
    struct iovec rest = {.iov_base = copy, .iov_len = left};
    ssize_t rc = rt_send(s, &rest, 1, deadline);
    b_free(copy);
    return rc < 0 ? rc : (ssize_t)all;
}
