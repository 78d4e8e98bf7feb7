/* One request's life: what came in, what goes out, and what is known in between. Everything on the way takes
 * struct exchange * first. It lives on the stack of the request's fiber.
 *
 * Answering: a handler (or a middleware that does not call gw_next) fills ex->res and calls one of
 *     gw_answer(ex, body)                       a whole answer at once
 *     gw_begin(ex), gw_write(ex, ...)*, gw_end  a streamed one; the framing follows from res.body
 * or returns -(enum http_error), which becomes problem+json where the pipeline stands. */
#ifndef GATEWAY_EXCHANGE_H
#define GATEWAY_EXCHANGE_H

#include <sys/types.h>

#include "base/text.h"
#include "gateway/pace.h"
#include "http/h1_chunked.h"
#include "http/message.h"
#include "net/address.h"
#include "runtime/call.h"
#include "runtime/pipe.h"

#define GW_PARAMS_MAX 8
#define GW_ARENA_FIRST 1024             /* bytes of the arena inside the exchange */
#define GW_ARENA_MAX (4u * 1024 * 1024) /* bytes a request may take from its arena */
#define GW_REQUEST_ID_MAX 64

struct exchange;
struct gw_conn;
struct gw_route;
struct gw_snapshot;
struct gw_span;
struct gw_tunnel;

/* Runs just before the response head is written, innermost first, so that a middleware can change it. It lives on the
 * stack of the middleware that put it there. Must not wait. */
struct gw_head_hook {
    void (*fn)(struct exchange *ex, struct gw_head_hook *self);
    const void *conf;
    struct gw_head_hook *next;
};

enum gw_sent { GW_SENT_NOTHING, GW_SENT_HEAD, GW_SENT_ALL, GW_SENT_BROKEN };

struct exchange {
    struct rt_call call; /* first: &ex->call is what services take */
    struct gw_conn *conn;
    const struct gw_snapshot *snapshot;
    const struct gw_route *route; /* NULL until one matched */
    struct http_request req;
    struct http_response res;             /* being built; fields are valid until the head has gone out */
    struct b_slice params[GW_PARAMS_MAX]; /* values of route->params, still percent-encoded */
    struct b_slice detail;                /* about a failure, for problem+json; empty: the table's words */
    unsigned retry_after;                 /* seconds, with 503 and 429; 0: not known, 1 is said */
    struct b_slice allow;                 /* with method_not_allowed: the methods that are */
    struct b_slice request_id;            /* empty until a middleware or a failure made one */
    const struct http_fields *trailers;   /* of the response, once its last piece is sent; NULL: none */
    struct gw_head_hook *hooks;
    /* body of the request, as it comes in */
    struct h1_chunked chunked;
    uint64_t body_left; /* of HTTP_BODY_LENGTH: bytes still to come */
    uint64_t body_in;   /* bytes given out by gw_read_body */
    struct gw_pace receiving, sending;
    bool body_done;
    bool continue_sent; /* 100 Continue went out, or need not */
    bool deadline_told; /* by a trusted peer: a body that streams in does not move it */
    /* what has happened */
    uint8_t sent; /* enum gw_sent */
    uint8_t step; /* of the pipeline */
    bool close;   /* the connection ends with this exchange */
    bool counted; /* in gateway->requests */
    bool partial; /* the answer is not whole: nobody is to keep it, so it goes out without Cache-Control */
    struct gw_tunnel
        *tunnel; /* both sides have switched to another protocol: what comes after this exchange */
    enum http_error refusal; /* why the request never got a route */
    enum http_error error;   /* what weir itself answered or failed with; HTTP_OK otherwise */
    uint64_t body_out;
    /* what the upstream side found out, for logs and metrics */
    struct b_slice upstream, endpoint;
    unsigned attempts, span_count;
    const struct gw_span *spans;    /* of an aggregate's calls, see recorder.h */
    rt_time started, upstream_time; /* clock at the first byte; time spent on upstreams */
    const char *phase;              /* what is being waited for; literal, for deadline_exceeded */
    char first_chunk[GW_ARENA_FIRST];
};

/* --- the request's body --- */

/* The next piece, lent until the next wait: 1, 0 at the end, or -(enum http_error): body_timeout, body_too_large,
 * client_closed, bad_chunk_size, ... Sends 100 Continue when the client waits for it. */
int gw_read_body(struct exchange *ex, struct b_slice *piece) __attribute__((warn_unused_result));
/* Appends all of it to `out`, which is on the heap, to be read by weir itself: one that is compressed is refused. 0 or
 * -(enum http_error). */
int gw_read_whole_body(struct exchange *ex, struct b_text *out) __attribute__((warn_unused_result));
/* Waits until gw_read_body will not wait (0), or until `other` is readable (1), or -(enum http_error). */
int gw_wait_body(struct exchange *ex, struct rt_stream *other) __attribute__((warn_unused_result));
/* Whether the client waits for 100 Continue before it sends the body. */
bool gw_body_on_demand(const struct exchange *ex);
/* Whether a body, or more of it, is still to be read. */
static inline bool gw_body_pending(const struct exchange *ex) {
    return !ex->body_done;
}

/* --- the response --- */

/* Passes an interim response (1xx) on; its fields are lent and may be changed. HTTP/1.0 clients know none, so they get
 * none. Waits until it is sent. 0 or -HTTP_E_CLIENT_CLOSED, -HTTP_E_BAD_OUTPUT, -HTTP_E_INTERNAL. */
int gw_interim(struct exchange *ex, const struct http_response *res) __attribute__((warn_unused_result));
/* A whole answer: res.status and res.fields are set, the framing is this body's length. The body must not be lent: a
 * large one is waited for. 0 or -(enum http_error) of the connection (then the exchange is over). */
int gw_answer(struct exchange *ex, struct b_slice body);
/* Sends the head, with a first piece of the body in the same write (may be empty). res.body tells the framing: LENGTH
 * with content_length, NONE, or CHUNKED for an unknown length (which an HTTP/1.0 client gets as until-close). */
int gw_begin(struct exchange *ex, struct b_slice first) __attribute__((warn_unused_result));
/* Sends pieces of the body, at most GW_PIECES at a time; lent bytes may be passed on. */
#define GW_PIECES 16
int gw_write(struct exchange *ex, const struct b_slice *pieces, unsigned count)
    __attribute__((warn_unused_result));
/* The end of a streamed body. */
int gw_end(struct exchange *ex);
/* The same as gw_begin, gw_write, gw_end in one write: the head, these pieces, and the end if `last`. */
int gw_send(struct exchange *ex, const struct b_slice *pieces, unsigned count, bool last)
    __attribute__((warn_unused_result));
/* 101: the response, whose fields are lent, goes out with Upgrade naming the protocol. 0 or -(enum http_error). */
int gw_switch(struct exchange *ex, const struct http_response *res, struct b_slice protocol)
    __attribute__((warn_unused_result));
/* The next bytes of a body with a length, from a pipe that holds n of them. The head has gone out. */
int gw_send_pipe(struct exchange *ex, struct rt_pipe *pipe, size_t n, bool last)
    __attribute__((warn_unused_result));
/* The body cannot be finished: the connection is cut, so that the client sees that it is not whole (U05). */
void gw_abort(struct exchange *ex, enum http_error why);
/* Answers with problem+json for the error, unless a head has gone out (then the connection is cut). Counts it. */
void gw_fail(struct exchange *ex, enum http_error error);

/* Sets the status and an empty list of fields with room for `fields` of them. 0 or -HTTP_E_OUT_OF_MEMORY. */
int gw_response(struct exchange *ex, uint16_t status, unsigned fields) __attribute__((warn_unused_result));
/* Formats the detail of a failure into the arena and returns -error: `return gw_error(ex, HTTP_E_..., "...", ...)`. */
int gw_error(struct exchange *ex, enum http_error error, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The request's id; makes one when there is none yet. */
struct b_slice gw_request_id(struct exchange *ex);
/* Applies a trusted X-Request-Deadline (milliseconds) or grpc-timeout, which can only shorten the deadline. 0, or
 * -HTTP_E_DEADLINE_EXCEEDED when nothing is left. */
int gw_shorten_deadline(struct exchange *ex);
/* Whether the peer is in trusted_proxies. */
bool gw_peer_trusted(const struct exchange *ex);
/* The client: the peer, unless that is in trusted_proxies and X-Forwarded-For tells whom it speaks for: then the rightmost
 * address there that is not trusted itself (P06). Before the handler changes the fields. */
void gw_client(const struct exchange *ex, struct net_peer *out);
/* The same as text in the arena. */
struct b_slice gw_client_address(struct exchange *ex);
const struct net_peer *gw_peer(const struct exchange *ex);

#endif
