/* The epoll back end: edge-triggered, every socket registered once for reading, writing and hang-up; no epoll_ctl and
 * no timer call per request, and no read just to see EAGAIN where a short read says the same. */
#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/io_ready.h"
#include "runtime/io_socket.h"
#include "runtime/worker.h"

#define EVENTS 128

struct epoll_state {
    int epoll, wake;
    int count, at; /* the batch of events that is being handled */
    struct epoll_event events[EVENTS];
};

/* What an event points to: its low bit tells streams from descriptors of libraries. */
struct fd_wait {
    struct rt_fiber *fiber;
    int got;
};
#define FD_TAG ((uintptr_t)1)

static struct epoll_state *state(void) {
    return rt_self()->backend_state;
}

static int open_worker(struct rt_worker *w) {
    struct epoll_state *st = b_zalloc(B_TAG_RUNTIME, sizeof *st);
    if (!st)
        return -ENOMEM;
    st->epoll = epoll_create1(EPOLL_CLOEXEC);
    st->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
    if (st->epoll < 0 || st->wake < 0 || epoll_ctl(st->epoll, EPOLL_CTL_ADD, st->wake, &e) != 0) {
        int rc = -errno;
        if (st->epoll >= 0)
            close(st->epoll);
        if (st->wake >= 0)
            close(st->wake);
        b_free(st);
        return rc;
    }
    w->backend_state = st;
    return 0;
}

static void close_worker(struct rt_worker *w) {
    struct epoll_state *st = w->backend_state;
    close(st->epoll);
    close(st->wake);
    b_free(st);
    w->backend_state = NULL;
}

static void interrupt_worker(struct rt_worker *w) {
    struct epoll_state *st = w->backend_state;
    uint64_t one = 1;
    ssize_t n = write(st->wake, &one, sizeof one);
    (void)n; /* EAGAIN: it is awake already; the edge was raised by the first one */
}

static void fd_event(struct fd_wait *f, uint32_t events) {
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        f->got |= RT_READ;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        f->got |= RT_WRITE;
    rt_wake(f->fiber, f->got);
}

/* Milliseconds for epoll_wait, rounded up so that a timer is due when it returns. */
static int timeout_ms(const struct rt_worker *w, rt_time until) {
    if (until <= w->now)
        return 0;
    if (until == RT_NEVER)
        return -1;
    rt_time ms = (until - w->now + RT_MS - 1) / RT_MS; /* w->now was read just before */
    return ms > 3600000 ? 3600000 : (int)ms;
}

static void turn(struct rt_worker *w, rt_time until) {
    struct epoll_state *st = w->backend_state;
    int n = epoll_wait(st->epoll, st->events, EVENTS, timeout_ms(w, until));
    atomic_store_explicit(&w->asleep, false, memory_order_relaxed);
    w->now = rt_socket_clock();
    if (n <= 0)
        return;
    b_counter_add(&w->stats.io_events, (uint64_t)n);
    st->count = n;
    for (st->at = 0; st->at < st->count; st->at++) {
        struct epoll_event *e = &st->events[st->at];
        uintptr_t p = (uintptr_t)e->data.ptr;
        if (p & FD_TAG)
            fd_event((struct fd_wait *)(p & ~FD_TAG), e->events);
        else if (p)
            rt_ready_polled((struct rt_stream *)p, e->events);
    }
    st->count = 0;
}

/* An event of this batch must not reach a stream that is gone. */
static void forget(struct rt_stream *s) {
    struct epoll_state *st = state();
    for (int i = st->at + 1; i < st->count; i++)
        if (st->events[i].data.ptr == s)
            st->events[i].data.ptr = NULL;
}

static int epoll_attach(struct rt_stream *s, int fd, bool listener) {
    struct epoll_state *st = state();
    uint32_t events =
        listener ? EPOLLIN | EPOLLET | EPOLLEXCLUSIVE : EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    struct epoll_event e = {.events = events, .data.ptr = s};
    *s = (struct rt_stream){.worker = rt_self(), .fd = fd};
    /* bytes that are there already raise the first edge */
    s->flags = listener ? RT_STREAM_LISTENER | RT_STREAM_READABLE : RT_STREAM_WRITABLE;
    if (epoll_ctl(st->epoll, EPOLL_CTL_ADD, fd, &e) == 0)
        return 0;
    s->worker = NULL;
    return -errno;
}

static int epoll_accept(struct rt_stream *s, struct rt_sockaddr *peer, rt_time deadline) {
    for (;;) {
        if (!(s->flags & RT_STREAM_READABLE)) {
            int rc = rt_ready_read(s, deadline);
            if (rc < 0)
                return rc;
            continue;
        }
        int fd = rt_socket_accept(s->fd, peer);
        if (fd != -EAGAIN)
            return fd;
        s->flags &= (uint16_t)~RT_STREAM_READABLE;
    }
}

static int finish_connect(struct rt_stream *s, rt_time deadline) {
    int rc = 0;
    s->flags &= (uint16_t) ~(RT_STREAM_WRITABLE | RT_STREAM_READABLE);
    while (rc == 0 && !(s->flags & RT_STREAM_WRITABLE))
        rc = rt_ready_write(s, deadline);
    return rc ? rc : rt_socket_error(s->fd);
}

static int epoll_end(struct rt_stream *s, enum rt_end how);

static int epoll_connect(struct rt_stream *s, const struct rt_sockaddr *to, rt_time deadline) {
    int fd, rc = rt_socket_connect(to, &fd);
    if (rc && rc != -EINPROGRESS)
        return rc;
    int attached = epoll_attach(s, fd, false);
    if (attached) {
        close(fd);
        return attached;
    }
    if (rc == -EINPROGRESS)
        rc = finish_connect(s, deadline);
    else
        s->flags &= (uint16_t)~RT_STREAM_READABLE;
    if (rc)
        epoll_end(s, RT_END_CLOSE);
    return rc;
}

/* The C library's recv and send are points of cancellation, at some 40 instructions each; no thread of weir is ever
 * cancelled. */
static ssize_t sys_receive(int fd, void *buf, size_t len) {
    return syscall(SYS_recvfrom, fd, buf, len, 0, NULL, NULL);
}

static ssize_t sys_send(int fd, struct iovec *iov, int count) {
    if (count == 1)
        return syscall(SYS_sendto, fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL, NULL, 0);
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = (size_t)count};
    return syscall(SYS_sendmsg, fd, &m, MSG_NOSIGNAL);
}

static ssize_t epoll_receive(struct rt_stream *s, void *buf, size_t len, rt_time deadline) {
    for (;;) {
        if (!(s->flags & RT_STREAM_READABLE)) {
            int rc = rt_ready_read(s, deadline);
            if (rc < 0)
                return rc;
            continue;
        }
        ssize_t n = sys_receive(s->fd, buf, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            s->flags &= (uint16_t)~RT_STREAM_READABLE;
            continue;
        }
        if (n < 0)
            return -errno;
        if (n == 0 && len)
            s->flags |= RT_STREAM_HUP; /* its event may still be under way */
        /* a short read emptied the socket: the next byte raises an edge, unless a FIN has been seen already */
        if ((size_t)n < len && !(s->flags & (RT_STREAM_HUP | RT_STREAM_ERROR)))
            s->flags &= (uint16_t)~RT_STREAM_READABLE;
        return n;
    }
}

static ssize_t epoll_send(struct rt_stream *s, struct iovec *iov, int count, rt_time deadline) {
    ssize_t all = 0;
    for (;;) {
        if (!(s->flags & RT_STREAM_WRITABLE)) {
            int rc = rt_ready_write(s, deadline);
            if (rc < 0)
                return rc == -EAGAIN && all ? all : rc;
            continue;
        }
        ssize_t n = sys_send(s->fd, iov, count);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            s->flags &= (uint16_t)~RT_STREAM_WRITABLE;
            continue;
        }
        if (n < 0)
            return -errno;
        s->bytes_out += (uint64_t)n;
        all += n;
        if (!rt_socket_advance(&iov, &count, (size_t)n))
            return all;
        s->flags &= (uint16_t)~RT_STREAM_WRITABLE; /* a short write filled the socket */
    }
}

static size_t epoll_unsent(struct rt_stream *s) {
    return rt_socket_unsent(s->fd);
}

static int epoll_wait_fd(int fd, int want, rt_time deadline) {
    struct epoll_state *st = state();
    if (deadline == RT_NOWAIT)
        return rt_socket_poll(fd, want);
    struct fd_wait f = {.fiber = rt_fiber_self()};
    struct epoll_event e = {.data.ptr = (void *)((uintptr_t)&f | FD_TAG)};
    e.events = (want & RT_READ ? EPOLLIN | EPOLLRDHUP : 0u) | (want & RT_WRITE ? EPOLLOUT : 0u);
    if (epoll_ctl(st->epoll, EPOLL_CTL_ADD, fd, &e) != 0)
        return -errno;
    int rc = rt_park(deadline);
    /* back on the loop no batch is under way, so nothing points to f once it is off the set */
    (void)epoll_ctl(st->epoll, EPOLL_CTL_DEL, fd, NULL);
    return rc;
}

static int epoll_end(struct rt_stream *s, enum rt_end how) {
    int fd = s->fd;
    if (how == RT_END_WRITING)
        return shutdown(fd, SHUT_WR) == 0 ? 0 : -errno;
    assert(!s->reader && !s->writer && "a fiber waits on the stream that another one ends");
    rt_ready_park(s, NULL, RT_NEVER);
    forget(s);
    if (how == RT_END_DETACH || (s->flags & RT_STREAM_LISTENER))
        (void)epoll_ctl(state()->epoll, EPOLL_CTL_DEL, fd, NULL);
    if (how == RT_END_RESET)
        rt_socket_drop_unsent(fd);
    s->worker = NULL;
    s->fd = -1;
    if (how == RT_END_DETACH)
        return fd;
    close(fd);
    return 0;
}

static const struct rt_io_ops epoll_ops = {
    .attach = epoll_attach,
    .accept = epoll_accept,
    .connect = epoll_connect,
    .receive = epoll_receive,
    .receive_lent = rt_ready_receive_lent,
    .send = epoll_send,
    .unsent = epoll_unsent,
    .wait_fd = epoll_wait_fd,
    .wait_any = rt_ready_wait_any,
    .park = rt_ready_park,
    .end = epoll_end,
};

const struct rt_backend rt_epoll = {
    .name = "epoll",
    .io = &epoll_ops,
    .sockets = true,
    .open = open_worker,
    .close = close_worker,
    .turn = turn,
    .interrupt = interrupt_worker,
    .clock = rt_socket_clock,
    .wall_clock = rt_socket_wall_clock,
    .listen = rt_socket_listen,
    .close_handle = rt_socket_close,
    .accept_handle = rt_socket_accept,
};
