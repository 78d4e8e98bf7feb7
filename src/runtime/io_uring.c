/* The io_uring back end: its loop. Single issuer, task work deferred to the loop's own system call, which submits what
 * the turn has asked for and waits, in one. */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "runtime/io_uring_internal.h"

#define ENTRIES 512
#define OP_MASK ((uint64_t)RT_URING_OPS - 1)

/* --- entries --- */

void rt_uring_name(struct io_uring_sqe *sqe, void *record, enum rt_uring_op op) {
    sqe->user_data = (uintptr_t)record | op;
}

/* The ring was made by the thread that starts the workers, and is enabled by the one that will use it. */
static void enable(struct rt_uring_state *st) {
    if (st->enabled)
        return;
    st->enabled = true;
    int rc = io_uring_register((unsigned)st->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    assert(rc == 0 && "the ring cannot be enabled");
    (void)io_uring_register_ring_fd(&st->ring); /* saves a look-up per call; older kernels do without */
}

void rt_uring_flush(struct rt_uring_state *st) {
    if (st->left)
        return;
    enable(st);
    st->epoch++;
    (void)io_uring_submit_and_get_events(&st->ring); /* what is not taken now is submitted next time */
}

struct io_uring_sqe *rt_uring_entry(struct rt_uring_state *st) {
    struct io_uring_sqe *sqe = st->left ? &st->nowhere : io_uring_get_sqe(&st->ring);
    for (int i = 0; !sqe && i < 1000; i++) {
        rt_uring_flush(st);
        sqe = io_uring_get_sqe(&st->ring);
    }
    assert(sqe && "the kernel takes no entries");
    return sqe;
}

void rt_uring_cancel(struct rt_uring_state *st, void *record, enum rt_uring_op op) {
    struct io_uring_sqe *sqe = rt_uring_entry(st);
    io_uring_prep_cancel64(sqe, (uintptr_t)record | op, 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = RT_URING_NOTHING;
}

/* --- waking and descriptors of libraries --- */

static void expect_wake(struct rt_uring_state *st) {
    struct io_uring_sqe *sqe = rt_uring_entry(st);
    io_uring_prep_poll_multishot(sqe, st->wake, POLLIN);
    sqe->user_data = RT_URING_WAKE;
}

static void interrupt_worker(struct rt_worker *w) {
    struct rt_uring_state *st = w->backend_state;
    uint64_t one = 1;
    ssize_t n = write(st->wake, &one, sizeof one); /* never read: each write raises an event */
    (void)n;
}

struct fd_wait {
    struct b_list link;
    struct rt_fiber *fiber; /* NULL: it does not wait any more */
    bool done;
};

static void free_wait(struct fd_wait *f) {
    b_list_remove(&f->link);
    b_free(f);
}

static void fd_event(struct fd_wait *f, int res) {
    int got = res < 0 ? res : 0;
    if (res >= 0) {
        got |= res & (POLLIN | POLLRDHUP | POLLHUP | POLLERR) ? RT_READ : 0;
        got |= res & (POLLOUT | POLLHUP | POLLERR) ? RT_WRITE : 0;
    }
    if (res >= 0 && (res & POLLNVAL))
        got = -EBADF;
    f->done = true;
    if (f->fiber)
        rt_wake(f->fiber, got);
    else
        free_wait(f);
}

static int wait_fd(int fd, int want, rt_time deadline) {
    struct rt_uring_state *st = rt_uring_here();
    if (deadline == RT_NOWAIT)
        return rt_socket_poll(fd, want);
    struct fd_wait *f = b_zalloc(B_TAG_RUNTIME, sizeof *f);
    if (!f)
        return -ENOMEM;
    f->fiber = rt_fiber_self();
    b_list_push_back(&st->waits, &f->link);
    struct io_uring_sqe *sqe = rt_uring_entry(st);
    unsigned mask = (want & RT_READ ? POLLIN | POLLRDHUP : 0u) | (want & RT_WRITE ? POLLOUT : 0u);
    io_uring_prep_poll_add(sqe, fd, mask);
    rt_uring_name(sqe, f, RT_URING_FD);
    int rc = rt_park(deadline);
    f->fiber = NULL;
    if (f->done)
        free_wait(f);
    else
        rt_uring_cancel(st, f, RT_URING_FD); /* its completion frees it */
    return rc;
}

/* --- the loop --- */

static void dispatch(struct rt_uring_state *st, uint64_t name, int res, unsigned flags) {
    void *record = (void *)(uintptr_t)(name & ~OP_MASK);
    enum rt_uring_op op = (enum rt_uring_op)(name & OP_MASK);
    if (record && op == RT_URING_FD)
        fd_event(record, res);
    else if (record)
        rt_uring_complete(record, op, res, flags);
    else if (op == RT_URING_WAKE && !(flags & IORING_CQE_F_MORE))
        expect_wake(st);
}

/* What a completion calls may submit, and take completions off the ring out of order (rt_uring_end). */
static void handle_all(struct rt_uring_state *st, struct rt_worker *w) {
    unsigned n = io_uring_cq_ready(&st->ring);
    b_counter_add(&w->stats.io_events, n);
    while (n--) {
        struct io_uring_cqe cqe = st->ring.cq.cqes[*st->ring.cq.khead & st->ring.cq.ring_mask];
        io_uring_cq_advance(&st->ring, 1);
        dispatch(st, cqe.user_data, cqe.res, cqe.flags);
    }
}

static void enter(struct rt_uring_state *st, const struct rt_worker *w, rt_time until) {
    rt_time left = until <= w->now ? 0 : until - w->now;
    if (left == 0) {
        rt_uring_flush(st);
        return;
    }
    enable(st);
    st->epoch++;
    left = rt_earlier(left, 3600 * RT_S);
    struct __kernel_timespec t = {.tv_sec = left / RT_S, .tv_nsec = left % RT_S};
    struct io_uring_cqe *first;
    (void)io_uring_submit_and_wait_timeout(&st->ring, &first, 1, &t, NULL);
}

static void turn(struct rt_worker *w, rt_time until) {
    struct rt_uring_state *st = w->backend_state;
    rt_uring_settle(st);
    enter(st, w, until);
    atomic_store_explicit(&w->asleep, false, memory_order_relaxed);
    w->now = rt_socket_clock();
    handle_all(st, w);
}

/* No fibers are left: only what closed streams still send matters. */
static void finish_sends(struct rt_uring_state *st) {
    struct __kernel_timespec t = {.tv_nsec = 50 * RT_MS};
    struct io_uring_cqe *first;
    unsigned n = io_uring_cq_ready(&st->ring);
    if (!n && io_uring_submit_and_wait_timeout(&st->ring, &first, 1, &t, NULL) < 0)
        return;
    for (n = io_uring_cq_ready(&st->ring); n; n--) {
        struct io_uring_cqe cqe = st->ring.cq.cqes[*st->ring.cq.khead & st->ring.cq.ring_mask];
        io_uring_cq_advance(&st->ring, 1);
        if ((cqe.user_data & OP_MASK) == RT_URING_SEND)
            dispatch(st, cqe.user_data, cqe.res, cqe.flags);
    }
}

/* Whatever the last fibers have sent or closed goes out. What a peer does not take for a second is dropped. */
static void leave(struct rt_worker *w) {
    struct rt_uring_state *st = w->backend_state;
    rt_time until = rt_after(rt_socket_clock(), RT_S);
    rt_uring_settle(st);
    rt_uring_flush(st);
    while (rt_uring_sends_on(st) && rt_socket_clock() < until)
        finish_sends(st);
    st->left = true;
}

/* --- setting up --- */

static int open_worker(struct rt_worker *w) {
    struct rt_uring_state *st = b_zalloc(B_TAG_RUNTIME, sizeof *st);
    if (!st)
        return -ENOMEM;
    b_list_init(&st->socks);
    b_list_init(&st->touched);
    b_list_init(&st->waits);
    rt_timer_init(&st->sweep, rt_uring_sweep);
    int rc = rt_uring_ring_open(&st->ring, ENTRIES, true);
    if (rc < 0)
        goto free_state;
    rc = rt_uring_buffers_open(st);
    if (rc < 0)
        goto close_ring;
    st->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (st->wake < 0) {
        rc = -errno;
        goto close_buffers;
    }
    expect_wake(st);
    w->backend_state = st;
    return 0;
close_buffers:
    rt_uring_buffers_close(st);
close_ring:
    io_uring_queue_exit(&st->ring);
free_state:
    b_free(st);
    return rc;
}

static void close_worker(struct rt_worker *w) {
    struct rt_uring_state *st = w->backend_state;
    st->left = true;
    io_uring_queue_exit(&st->ring); /* first: from here on the kernel touches none of the memory */
    B_LIST_EACH(n, &st->socks)
        rt_uring_sock_free(B_CONTAINER(n, struct rt_uring_sock, link));
    B_LIST_EACH(n, &st->waits)
        free_wait(B_CONTAINER(n, struct fd_wait, link));
    rt_uring_buffers_close(st);
    close(st->wake);
    b_free(st);
    w->backend_state = NULL;
}

static const struct rt_io_ops uring_ops = {
    .attach = rt_uring_attach,
    .accept = rt_uring_accept,
    .connect = rt_uring_connect,
    .receive = rt_uring_receive,
    .receive_lent = rt_uring_receive_lent,
    .send = rt_uring_send,
    .unsent = rt_uring_unsent,
    .wait_fd = wait_fd,
    .wait_any = rt_uring_wait_any,
    .park = rt_uring_park,
    .end = rt_uring_end,
};

const struct rt_backend rt_uring = {
    .name = "uring",
    .io = &uring_ops,
    .open = open_worker,
    .leave = leave,
    .close = close_worker,
    .turn = turn,
    .interrupt = interrupt_worker,
    .clock = rt_socket_clock,
    .wall_clock = rt_socket_wall_clock,
    .listen = rt_socket_listen,
    .close_handle = rt_uring_close_handle,
    .accept_handle = rt_socket_accept,
};
