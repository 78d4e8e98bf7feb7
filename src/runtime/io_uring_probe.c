/* Whether io_uring can be used: by trying what the back end does, once. Versions and feature bits say little where a
 * container forbids the calls, or a kernel has had features taken out. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/io_uring_internal.h"

#define COMPLETIONS 4096 /* room for the bursts of a turn; what is over waits in the kernel */

int rt_uring_ring_open(struct io_uring *ring, unsigned entries, bool disabled) {
    struct io_uring_params p = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |
                 IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | (disabled ? IORING_SETUP_R_DISABLED : 0u),
        .cq_entries = COMPLETIONS,
    };
    int rc = io_uring_queue_init_params(entries, ring, &p);
    if (rc < 0)
        return rc;
    unsigned needed = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_CQE_SKIP;
    if ((p.features & needed) == needed)
        return 0;
    io_uring_queue_exit(ring);
    return -EOPNOTSUPP;
}

/* One byte through a multishot receive into a ring of buffers. */
static int receive_one(struct rt_uring_state *st, int fd) {
    struct io_uring_cqe *cqe;
    struct __kernel_timespec limit = {.tv_sec = 1};
    struct io_uring_sqe *sqe = io_uring_get_sqe(&st->ring);
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->user_data = 1;
    int rc = io_uring_submit_and_wait_timeout(&st->ring, &cqe, 1, &limit, NULL);
    if (rc < 0)
        return rc;
    unsigned want = IORING_CQE_F_MORE | IORING_CQE_F_BUFFER;
    if (cqe->res < 0)
        return cqe->res;
    return cqe->res == 1 && (cqe->flags & want) == want ? 0 : -EOPNOTSUPP;
}

static int try_receive(struct rt_uring_state *st) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return -errno;
    int rc = send(pair[0], "x", 1, MSG_NOSIGNAL) == 1 ? receive_one(st, pair[1]) : -errno;
    close(pair[0]);
    close(pair[1]);
    return rc;
}

static int check_operations(struct io_uring *ring) {
    static const int needed[] = {IORING_OP_RECV,     IORING_OP_SEND,         IORING_OP_ACCEPT,
                                 IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL, IORING_OP_CLOSE};
    struct io_uring_probe *p = io_uring_get_probe_ring(ring);
    int rc = p ? 0 : -EOPNOTSUPP;
    for (unsigned i = 0; p && i < sizeof needed / sizeof needed[0]; i++)
        if (!io_uring_opcode_supported(p, needed[i]))
            rc = -EOPNOTSUPP;
    io_uring_free_probe(p);
    return rc;
}

int rt_uring_probe(const char **step) {
    struct rt_uring_state *st = b_zalloc(B_TAG_RUNTIME, sizeof *st);
    if (!st)
        return -ENOMEM;
    *step = "a ring cannot be set up";
    int rc = rt_uring_ring_open(&st->ring, 8, false);
    if (rc == 0) {
        *step = "operations are missing";
        rc = check_operations(&st->ring);
        if (rc == 0) {
            *step = "buffers cannot be registered";
            rc = rt_uring_buffers_open(st);
        }
        if (rc == 0) {
            *step = "multishot receive does not work";
            rc = try_receive(st);
            io_uring_queue_exit(&st->ring);
            rt_uring_buffers_close(st);
        } else {
            io_uring_queue_exit(&st->ring);
        }
    }
    b_free(st);
    return rc;
}
