/* Client connections: a record while idle, a fiber while a request is served. */
#ifndef GATEWAY_CONN_H
#define GATEWAY_CONN_H

#include "gateway/gateway.h"
#include "net/address.h"

/* An address that is listened on: one socket of the process, and an accepting fiber on every worker. Counted: its
 * connections and its accepting fibers hold it. */
struct gw_listener {
    struct b_list link; /* gateway->listeners */
    struct gateway *gateway;
    _Atomic uint32_t refs;
    struct cfg_addr conf; /* its texts are in memory of the listener's own */
    char *text;           /* as the config wrote it */
    struct rt_sockaddr address;
    int fd, backlog;
    bool admin, keep;            /* keep: the snapshot being swapped in still names it */
    _Atomic bool wanted;         /* false: it is going, and so are its connections */
    _Atomic uint32_t switches;   /* enum http_allow, as the config in force says */
    _Atomic bool proxy_protocol; /* the same */
    struct gw_accepting {
        struct rt_stream stream;
        struct rt_scope scope;
        bool running;
    } accepting[]; /* of each worker */
};

struct gw_conn {
    struct rt_stream stream;
    union {
        struct rt_parked parked;
        struct {
            struct rt_msg msg;
            int fd;
        } way; /* to another worker: neither parked nor attached then */
    };
    struct b_list link; /* on the worker's list */
    struct gw_listener *listener;
    struct net_peer peer;
    bool busy;              /* a fiber serves it */
    bool awaits_proxy;      /* a header of the PROXY protocol is to come first */
    bool last_call;         /* it is to go, unless its first request comes soon */
    bool reset;             /* it ends with a reset: what went out is not whole */
    uint16_t window;        /* in which it was served last: gw_giving.window */
    uint32_t in_len, in_at; /* unread bytes are in[in_at .. in_len) */
    uint32_t in_cap;
    uint32_t requests;     /* begun on it */
    char *in;              /* bytes received and not used yet; NULL mostly */
    struct b_slice head;   /* for the fiber that is being started: lent, or in `in` */
    rt_time head_deadline; /* of a head that has begun, or is the first one; 0: neither */
    rt_time head_begun;    /* when its first byte came, if not all at once; 0: no part of one has come */
    rt_time park_until;
};

/* Per worker: its connections, and arrays that are good until the next wait, for they are too large for the stack of a
 * fiber that is to touch one page. */
#define GW_FIELDS_MAX 1024
struct gw_worker {
    struct b_list conns, tunnels;
    struct gw_giving {
        rt_time look_at; /* when the others' loads are looked at again */
        unsigned left;   /* connections to give away until then, and to whom */
        unsigned to;
        unsigned active; /* connections that were served since the last look */
        unsigned uneven; /* looks in a row that found others idle enough */
        uint16_t window; /* number of looks */
    } giving;
    struct http_field req_fields[GW_FIELDS_MAX], res_fields[GW_FIELDS_MAX];
    struct b_slice pieces[GW_PIECES];    /* of a body that is passed on */
    struct iovec iov[3 * GW_PIECES + 3]; /* of a piece: chunk size, bytes, line end; and head, last chunk */
    struct b_counter connections, tunnels_open;
    struct b_counter given;                 /* connections that others got from here */
    struct b_counter tunnel_in, tunnel_out; /* bytes */
    rt_time failed_after;                   /* when the flight recorder takes a failed request again */
    char date[HTTP_DATE_LEN];
    rt_time date_until; /* the text above is right until then */
};
struct gw_worker *gw_worker(void);
/* That of a worker, or NULL before it is there. For counters: the rest is the worker's own. */
const struct gw_worker *gw_worker_of(unsigned index);
int gw_workers_init(void);
void gw_workers_free(void);
/* Connections per worker, for the metrics and for giving work away. */
uint64_t gw_worker_connections(unsigned worker);
/* Connections that workers have given to others. */
uint64_t gw_given(void);

/* client.c: whether the address is in trusted_proxies. */
bool gw_is_trusted(const struct gw_snapshot *s, const struct net_peer *p);

/* Takes over an accepted handle for some worker, on which it is parked. */
void gw_conn_open(struct gw_listener *l, int fd, const struct net_peer *peer, unsigned worker);
/* Sends a connection between two requests to another worker, with what it has received; from its fiber, which then ends.
 * False where that is not possible, and nothing has changed. */
bool gw_conn_send_to(struct gw_conn *c, unsigned worker);
void gw_conn_close(struct gw_conn *c, enum rt_end how);
/* Parks an idle connection, or one whose head is not whole; on the loop or from its fiber, which then ends. */
void gw_conn_park(struct gw_conn *c);
/* Gives back the block that held what had come and has all been used. */
void gw_conn_drop_in(struct gw_conn *c);
/* Closes the idle connections of this worker: those of one listener, or (NULL) all but the admin's. A new one has a second
 * for its first request. From a fiber; others run in between. */
void gw_conns_close_idle(const struct gw_listener *of);

/* What heads on this connection are held to. */
static inline struct http_limits gw_head_limits(const struct gw_conn *c, const struct gw_snapshot *s) {
    struct http_limits limits = s->limits;
    limits.allow = atomic_load_explicit(&c->listener->switches, memory_order_relaxed);
    return limits;
}

/* --- listener.c --- */

/* Opens a listener that is not accepting yet. NULL with *rc. */
struct gw_listener *gw_listener_new(struct gateway *g, const struct cfg_addr *conf, int backlog, bool admin,
                                    int *rc);
/* limits.max_connections, as far as the limit on descriptors allows. */
uint64_t gw_most_connections(const struct cfg_limits *limits);
void gw_listener_put(struct gw_listener *l);
/* Starts accepting on all workers; stops, closes the socket and the idle connections, and gives its reference back.
 * From a fiber. */
int gw_listener_start(struct gw_listener *l) __attribute__((warn_unused_result));
void gw_listener_stop(struct gw_listener *l);
/* The address of a config as one for sockets. 0 or negative errno. */
int gw_sockaddr(const struct cfg_addr *conf, struct rt_sockaddr *out);

/* --- serve.c --- */

/* The life of the requests on a connection whose first head lies in `head`, lent or in c->in (empty: it did not come in
 * time). The fiber's last call: the connection is parked or closed when it returns. */
void gw_serve(struct gw_conn *c, struct b_slice head);
/* Bytes of a request's body that are read after the answer, so that the connection can go on. */
#define GW_DRAIN_MAX 65536
/* linger.c: ends a connection after its last answer; from its fiber. */
void gw_linger(struct gw_conn *c);

#endif
