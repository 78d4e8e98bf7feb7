/* Input and output: operations on weir's own streams, each with a deadline, implemented by a back end (epoll, io_uring,
 * the simulator). The interface is stated in operations, not in readiness, so that a completion back end
 * fits under it: an operation returns only when the back end holds none of its memory. */
#ifndef RUNTIME_IO_H
#define RUNTIME_IO_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "base/slice.h"
#include "runtime/timer.h"

struct rt_worker;
struct rt_fiber;
struct rt_parked;

struct rt_sockaddr {
    socklen_t len;
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    } u;
};

/* One end of a connection, or a listening socket, as one worker sees it. Embedded in its owner's record; valid from
 * rt_attach or rt_connect until rt_end. At most one fiber may read and one may write at a time. */
struct rt_stream {
    struct rt_worker *worker; /* NULL: not attached */
    int fd;                   /* handle of the back end */
    uint16_t flags;           /* RT_STREAM_*: the back end's */
    struct rt_fiber *reader, *writer;
    struct rt_fiber *owner; /* see rt_own */
    struct rt_parked *parked;
    void *state; /* the back end's */
    uint64_t bytes_in, bytes_out;
};

enum {
    RT_STREAM_READABLE = 1, /* a read is worth trying */
    RT_STREAM_WRITABLE = 2,
    RT_STREAM_HUP = 4, /* the peer has finished sending (a FIN that came with data raises no second event) */
    RT_STREAM_ERROR = 8, /* the socket has an error, or is closed both ways */
    RT_STREAM_LISTENER = 16,
    RT_STREAM_NOT_AHEAD = 32, /* see rt_accept_ahead */
};

/* A stream that waits without a fiber: the owner's memory. fn runs on the loop when the stream is readable or closed
 * (0), or the deadline has come (-ETIMEDOUT); the stream waits no more then. The record stays the stream's until the stream is
 * ended, or parked with another record or with NULL: being parked again with the same one, as happens after each request, then
 * costs no timer. */
struct rt_parked {
    void (*fn)(struct rt_parked *, int result);
    struct rt_timer timer; /* the back end's, as is the rest */
    rt_time deadline;      /* the timer may be due earlier, and looks at this then */
    bool waiting;
};

enum { RT_READ = 1, RT_WRITE = 2 };

struct rt_wait {
    struct rt_stream *stream;
    uint8_t want, got; /* RT_READ, RT_WRITE */
};

enum rt_end {
    RT_END_CLOSE, /* close: what was sent is still delivered. A listener that other workers share is detached
                      * instead, and closed by the last with rt_close_handle */
    RT_END_RESET, /* close and drop what is unsent; the peer sees a reset */
    RT_END_WRITING, /* half-close: nothing more will be sent; the stream stays attached */
    RT_END_DETACH,  /* give the handle back unclosed, for another worker's rt_attach */
};

/* A back end's operations. All run on the stream's own worker; those with a deadline are called from a fiber, or with
 * RT_NOWAIT from anywhere. Errors are negative errno: -ETIMEDOUT, -ECANCELED, -EAGAIN (RT_NOWAIT only), -ECONNRESET,
 * -EPIPE, -ECONNREFUSED, ... */
struct rt_io_ops {
    /* Takes over a connected or listening handle. */
    int (*attach)(struct rt_stream *s, int fd, bool listener);
    /* A new connection's handle (not attached), and its peer's address when `peer` is not NULL. */
    int (*accept)(struct rt_stream *s, struct rt_sockaddr *peer, rt_time deadline);
    /* Opens and attaches a stream to an address. */
    int (*connect)(struct rt_stream *s, const struct rt_sockaddr *to, rt_time deadline);
    /* Up to len bytes; 0 is the end of what the peer sends. */
    ssize_t (*receive)(struct rt_stream *s, void *buf, size_t len, rt_time deadline);
    /* See rt_receive_lent; `max` fits behind `kept` in a scratch buffer. */
    ssize_t (*receive_lent)(struct rt_stream *s, struct b_slice kept, size_t max, struct b_slice *all,
                            rt_time deadline);
    /* All of it, or an error; bytes_out tells how much went. With RT_NOWAIT what fits: the count, or -EAGAIN. The
     * iovecs are changed. A back end may take some bytes into memory of its own, to send them with those of other
     * streams when the worker's turn ends: what then goes wrong comes back from a later operation. */
    ssize_t (*send)(struct rt_stream *s, struct iovec *iov, int n, rt_time deadline);
    /* How much of bytes_out has not arrived at the peer's end. */
    size_t (*unsent)(struct rt_stream *s);
    /* Waits until a descriptor of a library is ready: RT_READ|RT_WRITE that is, or an error. */
    int (*wait_fd)(int fd, int events, rt_time deadline);
    /* Waits until at least one of n streams is ready for what it wants: how many are. */
    int (*wait_any)(struct rt_wait *waits, int n, rt_time deadline);
    /* Parks a stream (see struct rt_parked); NULL takes it back. May call fn at once. */
    void (*park)(struct rt_stream *s, struct rt_parked *p, rt_time deadline);
    /* See enum rt_end. No other fiber may be waiting on the stream, save for RT_END_WRITING. Gives the handle for RT_END_DETACH, else 0. */
    int (*end)(struct rt_stream *s, enum rt_end how);
};

/* A back end: its operations and its loop. */
struct rt_backend {
    const char *name;
    const struct rt_io_ops *io;
    bool
        sockets; /* a stream's handle is a socket that only the stream's operations read and write: see pipe.h */
    /* Sets up one worker's part, before its thread runs. 0 or negative errno. */
    int (*open)(struct rt_worker *w);
    /* On the worker's own thread, when its loop is over; may be NULL. */
    void (*leave)(struct rt_worker *w);
    /* After all workers have left their loops. */
    void (*close)(struct rt_worker *w);
    /* Handles what has happened, waiting until `until` at the longest (RT_NOWAIT: not at all), and sets w->now and
     * clears w->asleep once it does not wait any more. */
    void (*turn)(struct rt_worker *w, rt_time until);
    /* Makes a turn that waits return; from any thread. */
    void (*interrupt)(struct rt_worker *w);
    rt_time (*clock)(void);
    rt_time (*wall_clock)(void);
    /* A listening handle, not attached to any worker. 0 or negative errno. */
    int (*listen)(const struct rt_sockaddr *at, int backlog, int *fd);
    /* Closes a handle that is not attached. */
    void (*close_handle)(int fd);
    /* See rt_accept_handle. */
    int (*accept_handle)(int listener, struct rt_sockaddr *peer);
};

extern const struct rt_backend rt_epoll;
/* io_uring, once it has been tried: NULL when it cannot be used, with the reason (literal) and negative errno or 0. */
const struct rt_backend *rt_uring_backend(const char **why, int *error);

/* The operations, on the current worker's back end. */
int rt_attach(struct rt_stream *s, int fd, bool listener) __attribute__((warn_unused_result));
/* Whether a back end may accept connections before rt_accept asks for them, as io_uring does (all that stand in the backlog
 * at once). It may, unless told: then who comes waits in the backlog, and holds no descriptor. Holds from the next
 * rt_accept on, which still gives those that had been taken before. */
void rt_accept_ahead(struct rt_stream *s, bool on);
int rt_accept(struct rt_stream *s, struct rt_sockaddr *peer, rt_time deadline)
    __attribute__((warn_unused_result));
int rt_connect(struct rt_stream *s, const struct rt_sockaddr *to, rt_time deadline)
    __attribute__((warn_unused_result));
ssize_t rt_receive(struct rt_stream *s, void *buf, size_t len, rt_time deadline)
    __attribute__((warn_unused_result));
ssize_t rt_send(struct rt_stream *s, struct iovec *iov, int n, rt_time deadline)
    __attribute__((warn_unused_result));
size_t rt_unsent(struct rt_stream *s);
int rt_wait_fd(int fd, int events, rt_time deadline) __attribute__((warn_unused_result));
int rt_wait_any(struct rt_wait *waits, int n, rt_time deadline) __attribute__((warn_unused_result));
void rt_park_stream(struct rt_stream *s, struct rt_parked *p, rt_time deadline);
int rt_end(struct rt_stream *s, enum rt_end how);
int rt_listen(const struct rt_sockaddr *at, int backlog, int *fd) __attribute__((warn_unused_result));
void rt_close_handle(int fd);
/* The next connection of a listening handle that is attached nowhere, as with rt_accept; -EAGAIN when none waits. */
int rt_accept_handle(int listener, struct rt_sockaddr *peer) __attribute__((warn_unused_result));

/* From now on the running fiber works for whoever is at the other end: when the connection breaks (a reset, or closed
 * both ways; a peer that has only finished sending still waits for its answer) the fiber is cancelled, whatever it waits
 * for. Until rt_disown or the stream's end. It costs no system call: back ends report RT_STREAM_ERROR anyway. */
void rt_own(struct rt_stream *s);
void rt_disown(struct rt_stream *s);
/* What comes next, behind bytes that were kept: waits until something is there, then sets *all to `kept` and up to `max`
 * new bytes (and to no more than RT_SCRATCH_BYTES in all), lent until the next wait. `kept` lies in memory that
 * outlives the wait; with RT_NOWAIT it may be what the last call has lent. The count of new bytes, 0 at the end of what
 * the peer sends, or negative errno. No buffer is held meanwhile, and with nothing kept the bytes may lie where the
 * back end has received them. */
ssize_t rt_receive_lent(struct rt_stream *s, struct b_slice kept, size_t max, struct b_slice *all,
                        rt_time deadline) __attribute__((warn_unused_result));
/* Waits until a read will not block: 0 or negative errno. Holds no buffer meanwhile. */
int rt_wait_readable(struct rt_stream *s, rt_time deadline) __attribute__((warn_unused_result));
/* Sends bytes that are only lent (from a scratch buffer): what does not go at once is copied before waiting. The
 * count of all bytes, or negative errno; with RT_NOWAIT as rt_send. */
ssize_t rt_send_lent(struct rt_stream *s, struct iovec *iov, int n, rt_time deadline)
    __attribute__((warn_unused_result));
/* How many bytes n iovecs hold. */
static inline size_t rt_iov_bytes(const struct iovec *iov, int n) {
    size_t sum = 0;
    for (int i = 0; i < n; i++)
        sum += iov[i].iov_len;
    return sum;
}
/* The bytes of n iovecs in one block, *len of them, to be given back with b_free; NULL when memory is short. */
char *rt_copy_iov(const struct iovec *iov, int n, size_t *len) __attribute__((warn_unused_result));
static inline bool rt_is_attached(const struct rt_stream *s) {
    return s->worker != NULL;
}

#endif
