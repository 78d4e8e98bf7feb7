/* Inside the simulator. A connection is two ends; what travels between them is a delivery, which comes due at a time.
 * What a delivery changes at an end becomes an event of that end's source, and the worker that the stream belongs to
 * takes its events at its next turn, as it would from epoll. */
#ifndef RUNTIME_SIM_INTERNAL_H
#define RUNTIME_SIM_INTERNAL_H

#include "base/map.h"
#include "base/rng.h"
#include "runtime/io_ready.h"
#include "runtime/sim.h"
#include "runtime/worker.h"

struct rt_sim_conn;

/* Where events come from: an end, or one worker's view of a listener. */
struct rt_sim_source {
    struct b_list link; /* on the worker's list while events are pending */
    struct rt_stream *stream;
    unsigned events; /* RT_STREAM_* */
};

struct rt_sim_end {
    struct rt_sim_source source;
    struct rt_sim_conn *conn;
    int handle; /* 0: still in the accept queue, or closed */
    bool open;
    bool established, finished, reset; /* connected; a FIN has come; a RST has come */
    bool shut;                         /* has sent its FIN */
    bool starved;                      /* a send came short: room will be an event */
    int error;                         /* why it could not connect */
    rt_time in_order;                  /* nothing for this end comes before this time */
    /* bytes for this end, a ring: `held` from `start` on, of which `arrived` can be read. The sender believes that
     * `used` of `cap` are taken. */
    char *ring;
    size_t cap, start, held, arrived, used;
};

struct rt_sim_conn {
    struct rt_sim_end end[2]; /* who connected; who accepted */
    struct b_list queued;     /* on a listener's queue */
    struct rt_sockaddr to;
    uint16_t port; /* of who connected */
    unsigned refs; /* open ends and deliveries */
};

/* A listener as one worker sees it. */
struct rt_sim_attachment {
    struct rt_sim_source source;
    struct b_list link; /* on the listener's list */
};

struct rt_sim_listener {
    struct rt_sockaddr at;
    struct b_list queue, attachments;
    int handle, backlog, length;
};

enum rt_sim_kind { RT_SIM_DATA, RT_SIM_ROOM, RT_SIM_FIN, RT_SIM_RESET, RT_SIM_OPEN, RT_SIM_OPENED };

struct rt_sim_delivery {
    rt_time at;
    uint64_t number; /* of two at the same time the older one comes first */
    struct rt_sim_conn *conn;
    uint8_t to; /* the index of the end; for RT_SIM_OPEN that of who connects */
    uint8_t kind;
    size_t bytes; /* or, for RT_SIM_OPENED, the error */
};

/* A handle's socket: one of the two, or neither when it is free. */
struct rt_sim_handle {
    struct rt_sim_end *end;
    struct rt_sim_listener *listener;
};

struct rt_sim {
    const struct rt_sim_config *config;
    struct b_rng rng;
    rt_time now, start, delay_max;
    rt_time wall_start; /* what the wall clock shows at CLOCK_START */
    unsigned workers;
    struct rt_worker *list[RT_SIM_WORKERS_MAX];
    struct b_list events[RT_SIM_WORKERS_MAX]; /* sources with pending events, by worker */
    struct rt_sim_handle *handles;
    int handle_count;
    struct rt_sim_delivery *heap;
    size_t heap_count, heap_cap;
    uint64_t delivery_number;
    uint16_t next_port;
    struct rt_sim_result result;
};

/* The run that is going on; there is one at a time in a process. */
extern struct rt_sim rt_sim_now;

/* 0 .. n-1. */
static inline uint64_t rt_sim_draw(uint64_t n) {
    return b_rng_below(&rt_sim_now.rng, n);
}
/* Whether a worker has anything to do now. */
bool rt_sim_can_run(const struct rt_worker *w);
/* True in so many of a thousand draws. */
bool rt_sim_strikes(unsigned per_mille);

/* sim_net.c: connections, and what travels. */
struct rt_sim_end *rt_sim_end_of(int handle);
struct rt_sim_listener *rt_sim_listener_of(int handle);
static inline struct rt_sim_end *rt_sim_peer(struct rt_sim_end *e) {
    return e == &e->conn->end[0] ? &e->conn->end[1] : &e->conn->end[0];
}
struct rt_sim_conn *rt_sim_conn_new(const struct rt_sockaddr *to);
/* A handle for an end or a listener, or -EMFILE / -ENOMEM. */
int rt_sim_handle_new(struct rt_sim_end *e, struct rt_sim_listener *l);
void rt_sim_send_to(struct rt_sim_end *e, enum rt_sim_kind kind, size_t bytes);
/* Breaks a connection: e knows at once, its peer later. */
void rt_sim_break(struct rt_sim_end *e);
void rt_sim_end_close(struct rt_sim_end *e, bool reset);
int rt_sim_listen(const struct rt_sockaddr *at, int backlog, int *handle);
void rt_sim_listener_close(struct rt_sim_listener *l);
struct rt_sim_attachment *rt_sim_attachment(struct rt_sim_listener *l, const struct rt_stream *s);
void rt_sim_raise(struct rt_sim_source *source, unsigned events);
/* What an attached stream is told first. */
unsigned rt_sim_state(const struct rt_sim_end *e);
/* The time of the next delivery, or RT_NEVER. */
rt_time rt_sim_next_delivery(void);
/* Applies what is due. */
void rt_sim_deliver(void);
/* Takes the memory that the network may not be without in the middle. 0 or -ENOMEM. */
int rt_sim_net_open(void);
/* Drops everything that is left; counts the handles that were open. */
void rt_sim_net_free(void);

/* sim_io.c */
extern const struct rt_io_ops rt_sim_ops;
int rt_sim_accept_handle(int listener, struct rt_sockaddr *peer);
/* Takes a worker's events. */
void rt_sim_take_events(struct rt_worker *w);

#endif
