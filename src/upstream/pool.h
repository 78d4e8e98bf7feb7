/* Connections to upstreams, and the pool in which idle ones wait: per worker and endpoint, last in first out, watched
 * for the peer's closing them. */
#ifndef UPSTREAM_POOL_H
#define UPSTREAM_POOL_H

#include "upstream/upstream.h"

struct up_conn {
    struct rt_stream stream;
    struct rt_parked parked;
    struct b_list link;
    struct up_endpoint *endpoint;
    rt_time born;
    uint32_t uses;
    bool reused; /* it carried an earlier request */
    char *in;    /* received bytes that had to be kept across a wait; NULL mostly */
    uint32_t in_len;
};

/* An idle connection of the endpoint on this worker, or NULL. */
struct up_conn *up_pool_take(struct up_endpoint *e);
/* Opens a new one, waiting for a permit of pool.max_connections and, for connect_timeout at most, for the connect. The
 * deadline is the attempt's; it moves on by the time that the permit took, which is not the endpoint's fault. 0 or -(enum
 * http_error). */
int up_pool_connect(struct up_endpoint *e, struct rt_call *call, rt_time *deadline, struct up_conn **out);
/* Puts a connection that has finished a request back, or closes it where it cannot be used again. */
void up_pool_give(struct up_conn *c);
void up_pool_close(struct up_conn *c);
/* Closes the idle connections of this worker. */
void up_pool_clear(struct up_upstream *u);
/* Handler of up_shrink.msg. */
void up_pool_shrink(struct rt_msg *m);

#endif
