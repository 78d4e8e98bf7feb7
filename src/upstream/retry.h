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

/* The word of a config's `on` that stands for the failure; 0: none does. */
unsigned up_retry_word(int rc);

#endif
