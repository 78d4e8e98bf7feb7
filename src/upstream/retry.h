/* When an attempt that failed is followed by another, and when not. */
#ifndef UPSTREAM_RETRY_H
#define UPSTREAM_RETRY_H

#include "upstream/attempt.h"

enum up_again {
    UP_GIVE_UP,
    UP_AGAIN_FRESH, /* on a new connection to the same endpoint: a kept one had been closed (U01) */
    UP_AGAIN,       /* on another endpoint, where there is one */
};

/* What follows an attempt: `rc` is 0 for a response (whose head stands in x->res), else -(enum http_error); `sent` bytes of
 * the request have gone out. Takes from the budget when there is to be another. */
enum up_again up_retry(struct up_exchange *x, int rc, const struct http_request *req, uint64_t sent,
                       const struct rt_call *call);
/* Waits before the next attempt. 0, or -ECANCELED. */
int up_back_off(const struct up_exchange *x);

/* A pooled connection that the peer was closing as the request went out: no byte came back on it, and the request did not
 * go out either, or is harmless twice. The endpoint may be well. */
bool up_is_stale(const struct up_exchange *x, int rc);
/* Whether `retry.on` names what came of an attempt: `rc` as for up_retry. */
bool up_retry_asked(const struct up_exchange *x, int rc);
/* The word of a config's `on` that stands for the failure; 0: none does. */
unsigned up_retry_word(int rc);

#endif
