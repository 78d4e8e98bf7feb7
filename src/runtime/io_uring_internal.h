/* Inside runtime/: the parts of the io_uring back end. One ring per worker, used by that worker's thread alone. A
 * multishot receive fills buffers of the worker's, and a stream that is read gets them lent. Small sends are copied and
 * submitted together when the turn ends. Whatever would let the kernel work on memory of others is done by a plain call
 * on a socket that does not block, and waited for by a poll: so no operation has to wait before it can be given up. */
#ifndef RUNTIME_IO_URING_INTERNAL_H
#define RUNTIME_IO_URING_INTERNAL_H

#include <liburing.h>

#include "runtime/io_ready.h"
#include "runtime/io_socket.h"
#include "runtime/worker.h"

/* Buffers that receives fill. None outlives a turn: what nobody has taken by then is copied (rt_uring_settle), so slow
 * consumers cannot use them up. */
#define RT_URING_BUFFERS 128
#define RT_URING_BUFFER_BYTES 8192
#define RT_URING_NO_BUFFER UINT16_MAX
/* Buffers for what is sent. One that cannot go at once is held until it can. */
#define RT_URING_OUT_BYTES 16384
#define RT_URING_OUTS_MAX 256

/* What a completion belongs to: the low bits of its user_data; the rest points to the record. 0 is nobody's. */
enum rt_uring_op {
    RT_URING_NOTHING,
    RT_URING_WAKE,
    RT_URING_FD,
    RT_URING_RECEIVE,
    RT_URING_SEND,
    RT_URING_ACCEPT,
    RT_URING_POLL_IN,
    RT_URING_POLL_OUT,
    RT_URING_POLL_GONE, /* broken, or closed both ways */
    RT_URING_OPS = 16
};

/* Received bytes that nobody has taken yet, in a block of their own. */
struct rt_uring_held {
    struct rt_uring_held *next; /* to be freed */
    uint32_t at, len, cap;
    char bytes[];
};

struct rt_uring_out {
    struct rt_uring_out *next;
    uint32_t at, len;
    char bytes[RT_URING_OUT_BYTES];
};

/* Connections that were accepted and not asked for yet. */
struct rt_uring_accepted {
    uint32_t at, count, cap;
    int *fds;
};

/* The back end's part of a stream. It outlives the stream until the last completion has come. */
struct rt_uring_sock {
    struct b_list link;       /* all of the worker */
    struct b_list touched;    /* to be looked at when the turn ends */
    struct rt_stream *stream; /* NULL: it has ended */
    int fd;
    int error;            /* negative errno that reads and writes give from now on; 0: none */
    int broken;           /* the same for writes alone */
    uint16_t pending;     /* what the kernel works at: a bit for each rt_uring_op */
    uint16_t first, last; /* received buffers, in order */
    uint16_t small;       /* receives to go until multishot is worth another try */
    uint32_t at;          /* taken of the first one */
    bool stopping : 1;    /* the receive or accept has been told to end */
    bool on_demand : 1;   /* no multishot: wait for readiness, then receive to where the bytes are wanted */
    bool eof : 1;
    bool finish : 1; /* half-close when what is being sent has gone */
    bool shut : 1;   /* half-closed, or about to be */
    bool moving : 1; /* to another worker: nothing is raised, nothing armed */
    bool listener : 1;
    uint8_t busy;   /* completions being handled */
    bool fresh : 1; /* just connected: nothing can have come yet */
    uint32_t out_epoch;
    struct rt_uring_held *held;
    union {
        struct rt_uring_out *out;           /* being sent */
        struct rt_uring_accepted *accepted; /* of a listener */
    };
    struct io_uring_sqe *out_sqe; /* that of `out`, not submitted while the worker's epoch is out_epoch */
    rt_time give_up;              /* after the stream's end: when sending is given up */
};

struct rt_uring_buffers {
    struct io_uring_buf_ring *ring;
    void *memory;  /* of the ring and the buffers */
    uint16_t lent; /* a chain of those to be given back when the turn ends */
    uint16_t next[RT_URING_BUFFERS];
    uint16_t len[RT_URING_BUFFERS];
};

struct rt_uring_state {
    struct io_uring ring;
    int wake;
    bool enabled;   /* by its thread */
    bool left;      /* the loop is over: nothing is submitted any more */
    uint32_t epoch; /* grows with each submission */
    struct b_list socks, touched, waits;
    struct rt_timer sweep; /* gives up what cannot be sent after a stream's end */
    struct rt_uring_buffers buffers;
    struct rt_uring_held *graves; /* lent until the turn ends */
    struct rt_uring_out *outs;    /* free ones */
    unsigned out_count;
    struct io_uring_sqe nowhere;
};

static inline struct rt_uring_state *rt_uring_here(void) {
    return rt_self()->backend_state;
}
static inline struct rt_uring_sock *rt_uring_sock(const struct rt_stream *s) {
    return s->state;
}
static inline bool rt_uring_pending(const struct rt_uring_sock *k, enum rt_uring_op op) {
    return k->pending >> op & 1;
}

/* --- io_uring.c: the ring --- */

extern const struct rt_backend rt_uring;

/* An entry to fill in; there always is one. */
struct io_uring_sqe *rt_uring_entry(struct rt_uring_state *st);
void rt_uring_name(struct io_uring_sqe *sqe, void *record, enum rt_uring_op op);
void rt_uring_cancel(struct rt_uring_state *st, void *record, enum rt_uring_op op);
/* Submits, and lets the kernel post what is done, without waiting. */
void rt_uring_flush(struct rt_uring_state *st);

/* --- io_uring_probe.c --- */

/* Makes a ring as workers use it. 0 or negative errno. */
int rt_uring_ring_open(struct io_uring *ring, unsigned entries, bool disabled)
    __attribute__((warn_unused_result));

/* Whether it all works here: 0, or negative errno with the step that failed. */
int rt_uring_probe(const char **step) __attribute__((warn_unused_result));

/* --- io_uring_buf.c: buffers --- */

int rt_uring_buffers_open(struct rt_uring_state *st) __attribute__((warn_unused_result));
void rt_uring_buffers_close(struct rt_uring_state *st);
char *rt_uring_buffer(const struct rt_uring_buffers *b, unsigned id);
/* Gives a buffer back when the turn ends: it may be lent until then. */
void rt_uring_buffer_done(struct rt_uring_buffers *b, uint16_t id);
void rt_uring_buffers_return(struct rt_uring_buffers *b);
struct rt_uring_out *rt_uring_out_get(struct rt_uring_state *st);
void rt_uring_out_put(struct rt_uring_state *st, struct rt_uring_out *out);

/* --- io_uring_sock.c: a socket from attach to its last completion --- */

/* Begins an operation, of which at most one of each kind is under way. */
struct io_uring_sqe *rt_uring_begin(struct rt_uring_sock *k, enum rt_uring_op op);
void rt_uring_poll(struct rt_uring_sock *k, enum rt_uring_op op, unsigned mask);
/* Tells the stream's waiters, unless it has ended or moves. */
void rt_uring_raise(struct rt_uring_sock *k, unsigned flags);
/* Has it looked at when the turn ends. */
void rt_uring_touch(struct rt_uring_sock *k);
void rt_uring_complete(struct rt_uring_sock *k, enum rt_uring_op op, int res, unsigned flags);
void rt_uring_settle(struct rt_uring_state *st);
/* Whether a stream that has ended still sends. */
bool rt_uring_sends_on(struct rt_uring_state *st);
void rt_uring_sweep(struct rt_timer *t);
int rt_uring_attach(struct rt_stream *s, int fd, bool listener);
int rt_uring_connect(struct rt_stream *s, const struct rt_sockaddr *to, rt_time deadline);
int rt_uring_wait_any(struct rt_wait *waits, int n, rt_time deadline);
void rt_uring_park(struct rt_stream *s, struct rt_parked *p, rt_time deadline);
int rt_uring_end(struct rt_stream *s, enum rt_end how);
void rt_uring_sock_free(struct rt_uring_sock *k);

/* --- io_uring_recv.c --- */

/* Sees to it that what comes next is noticed. */
void rt_uring_expect(struct rt_uring_sock *k);
void rt_uring_received(struct rt_uring_sock *k, int res, unsigned flags);
void rt_uring_settle_receive(struct rt_uring_sock *k);
/* How much has been received and not taken; copies some of it and takes it off. */
size_t rt_uring_unread(const struct rt_uring_sock *k);
size_t rt_uring_take(struct rt_uring_sock *k, char *to, size_t len);
/* Keeps bytes behind those that are held. 0 or -ENOMEM. */
int rt_uring_hold(struct rt_uring_sock *k, const char *bytes, size_t len) __attribute__((warn_unused_result));
void rt_uring_drop_received(struct rt_uring_sock *k);
ssize_t rt_uring_receive(struct rt_stream *s, void *buf, size_t len, rt_time deadline);
ssize_t rt_uring_receive_lent(struct rt_stream *s, struct b_slice kept, size_t max, struct b_slice *all,
                              rt_time deadline);

/* --- io_uring_send.c --- */

void rt_uring_sent(struct rt_uring_sock *k, int res);
void rt_uring_expect_room(struct rt_uring_sock *k);
size_t rt_uring_unsent(struct rt_stream *s);
ssize_t rt_uring_send(struct rt_stream *s, struct iovec *iov, int n, rt_time deadline);
/* Sends from a copy; false when there is no buffer for it. Nothing may be under way. */
bool rt_uring_send_copy(struct rt_uring_sock *k, const struct iovec *iov, int n);
int rt_uring_finish_writing(struct rt_uring_sock *k);

/* --- io_uring_accept.c --- */

int rt_uring_listen_here(struct rt_uring_sock *k) __attribute__((warn_unused_result));
void rt_uring_accepted(struct rt_uring_sock *k, int res, unsigned flags);
void rt_uring_settle_accept(struct rt_uring_sock *k);
void rt_uring_drop_accepted(struct rt_uring_sock *k);
void rt_uring_expect_accept(struct rt_uring_sock *k);
int rt_uring_accept(struct rt_stream *s, struct rt_sockaddr *peer, rt_time deadline);

/* --- io_uring_carry.c: what a handle carries from one worker to the next --- */

/* Takes what was received and not read, and what could not be sent yet, off a socket that is at rest. */
void rt_uring_carry(struct rt_uring_sock *k);
/* Gives it to the socket that has been made of the same handle. */
void rt_uring_carry_on(struct rt_uring_sock *k);
/* A handle is closed, and what it carries is gone. */
void rt_uring_close_handle(int fd);

#endif
