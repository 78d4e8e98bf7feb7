/* A request that weir makes itself, with its whole answer in memory: calls of aggregates, reference tables. */
#ifndef GATEWAY_FETCH_H
#define GATEWAY_FETCH_H

#include "base/text.h"
#include "upstream/attempt.h"

struct gw_fetch {
    struct http_request req;   /* but for what `body` says; its texts live until gw_fetch returns */
    struct b_slice body;       /* lent; empty: none */
    size_t limit;              /* bytes of the answer */
    bool whole_time, no_queue; /* see struct up_client */
    /* the answer */
    struct b_text answer;        /* on the heap, the caller's to free */
    struct b_slice content_type; /* in the call's arena */
    uint16_t status;
    /* of a failure: a word for it, and more in words (static, may be NULL) */
    const char *reason, *why;
};

/* Sends it and takes the answer, of whatever status. Waits, up to the call's deadline. 0 or -(enum http_error), with f->reason: one
 * of timeout, connect, reset, bad_response, no_endpoint, overload, too_large, cancelled. */
int gw_fetch(struct gw_fetch *f, struct rt_call *call, struct up_upstream *u)
    __attribute__((warn_unused_result));

/* Gives the upstream this body, which is lent and is there whole; it is taken in one piece, which is then empty. */
void gw_send_whole(struct up_client *client, struct b_slice *body);
/* The body of an answer, whole, into *out, which is on the heap and the caller's to free; up to the call's deadline. 0 or -(enum
 * http_error): HTTP_E_UPSTREAM_RESPONSE_TOO_LARGE beyond `limit` bytes. */
int gw_take_answer(struct up_exchange *x, const struct rt_call *call, size_t limit, struct b_text *out)
    __attribute__((warn_unused_result));

#endif
