/* One request to an upstream and its response: endpoint, connection, attempts, all within the call's deadline. */
#ifndef UPSTREAM_ATTEMPT_H
#define UPSTREAM_ATTEMPT_H

#include "http/message.h"
#include "runtime/pipe.h"
#include "upstream/pool.h"
#include "upstream/upstream.h"

#define UP_PIECES 16
#define UP_INTERIM_MAX 10 /* interim responses before the final one (S27) */

/* The side that the request comes from. The callbacks take `arg`. */
struct up_client {
    bool has_body;  /* which is read while it is sent: */
    bool on_demand; /* no byte of it comes before it is read: not before the head is at an endpoint (S23) */
    const struct http_fields *trailers; /* once read gave 0: what goes behind a chunked body; NULL: nothing */
    bool takes_trailers;                /* of the response */
    struct b_slice upgrade;             /* the protocol that is asked for, without a body; empty: none */
    uint64_t hash;                      /* for consistent_hash: see up_pick */
    bool
        whole_time; /* an attempt may take all that is left of the deadline, whatever the upstream's timeout */
    bool no_queue;  /* it does not wait for a permit of the bulkhead: others need it more */
    bool deadline_moves; /* while the body streams, so that it cannot be told to the endpoint */
    /* The next piece, lent until the next wait: 1, 0 at the end, or -(enum http_error). */
    int (*read)(void *arg, struct b_slice *piece);
    /* Waits until read will not wait (0) or `other` is readable (1), whichever is first, or -(enum http_error). */
    int (*wait)(void *arg, struct rt_stream *other);
    /* Passes an interim response other than 100 on, which is lent like its fields; may wait. 0 or -(enum http_error).
     * NULL: they are dropped. */
    int (*interim)(void *arg, const struct http_response *res);
    void *arg;
};

struct up_exchange {
    struct up_upstream *upstream;
    struct up_endpoint *endpoint; /* of the last attempt, which it is a user of until up_finish */
    struct up_conn *conn;
    struct http_response res;  /* fields and reason are lent until the next wait */
    struct http_field *fields; /* the caller's array for them */
    const struct http_request *req;
    const struct up_client *client;
    char *
        unsent; /* of the request: what the endpoint had not taken when its response began; on the heap, or NULL */
    size_t unsent_at, unsent_len;
    unsigned cap;
    unsigned interim; /* responses before the final one, of this attempt */
    struct h1_chunked chunked;
    struct b_slice first; /* of the request's body, in the call's arena */
    struct b_slice input; /* received, not yet given out; lent like the fields */
    uint64_t left;        /* of a body with a length */
    unsigned attempts;
    uint8_t retry_after; /* seconds, for a refusal, 60 at the most; 0: not known */
    uint8_t outcome;     /* enum up_outcome of the last attempt, so far */
    bool interim_passed; /* an interim response has gone to the client */
    bool trial;          /* this attempt is the probe of a half-open breaker */
    bool admitted;       /* has one of the cluster's permits */
    bool body_taken;    /* more than the first piece of the request's body has been read: no second attempt */
    bool request_read;  /* its body has been read to its end */
    bool request_whole; /* the request has been sent to its end */
    bool deaf;          /* the endpoint takes no more of it */
    bool done;          /* the response has been read to its end */
    /* `took` is of the last attempt so far, up to its head or failure, and becomes that of the whole */
    rt_time began, took; /* clock; the whole exchange, known after up_finish */
    const char *phase;   /* what is being waited for, literal */
    const char *why;     /* of a failure: static text for its detail, or NULL */
    enum http_error bad; /* what was wrong with a malformed response; HTTP_OK: nothing */
};

/* Sends the request and waits for the head of the final response, which may come before the request is whole, trying again on another endpoint where that is safe:
 * after a failed connect, and after a pooled connection turned out to be closed (U01). `req` is written as it is, with
 * Host from req->authority or else the endpoint's; `fields` is an array for the response's fields. 0, or -(enum
 * http_error); x->phase and x->why then say more. up_finish is due either way; until then `req` and `client` are in use. */
int up_start(struct up_exchange *x, struct rt_call *call, struct up_upstream *u, struct http_request *req,
             const struct up_client *client, struct http_field *fields, unsigned cap)
    __attribute__((warn_unused_result));

/* The next pieces of the response body, lent until the next wait: how many (up to UP_PIECES), 0 at the end, or -(enum
 * http_error). Trailers are dropped. The deadline is the caller's, for this wait alone. A response that has
 * begun before the request was whole is read while the rest of that is sent, if its status is one of success: others
 * mean that the rest is not wanted. */
int up_read(struct up_exchange *x, struct b_slice *pieces, rt_time deadline)
    __attribute__((warn_unused_result));

/* Body pieces that can be had without waiting; as up_read, and -EAGAIN when there are none. */
int up_read_ready(struct up_exchange *x, struct b_slice *pieces) __attribute__((warn_unused_result));

/* After a 101: the connection is the caller's, to be ended with up_pool_close, and so is a reference of its cluster
 * (up_cluster_put). */
struct up_conn *up_detach(struct up_exchange *x);

/* Says that the response breaks the rule `why` of errors.def: gives -HTTP_E_UPSTREAM_BAD_RESPONSE. */
int up_bad_response(struct up_exchange *x, enum http_error why);

/* Whether so much of a body of known length is still to come that it is better passed on inside the kernel (up_fill). */
#define UP_LARGE_BYTES 8192
bool up_body_is_large(const struct up_exchange *x);
/* The next bytes of such a body, into an empty pipe: how many, or -(enum http_error). Deadline as for up_read. */
ssize_t up_fill(struct up_exchange *x, struct rt_pipe *pipe, rt_time deadline)
    __attribute__((warn_unused_result));

/* Whether the next bytes that the connection brings are those of a body of known length, and none of it lies here already: then
 * they may be read to where they are to stay (up_read_into). */
bool up_body_is_next(const struct up_exchange *x);
/* Up to `room` bytes of it, 1 or more: how many, or -(enum http_error). Deadline as for up_read. */
ssize_t up_read_into(struct up_exchange *x, char *to, size_t room, rt_time deadline)
    __attribute__((warn_unused_result));

/* Gives the connection back, or closes it when it is in doubt, and counts. */
void up_finish(struct up_exchange *x);

#endif
