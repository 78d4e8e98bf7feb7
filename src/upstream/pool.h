/* Connections to upstreams, and the pool in which idle ones wait: per worker and endpoint, last in first out, watched
 * for the peer's closing them. When no more may be opened, they move to the worker that needs one. */
#ifndef UPSTREAM_POOL_H
#define UPSTREAM_POOL_H

#include "runtime/call.h"
#include "upstream/cluster.h"

struct up_conn {
    struct rt_stream stream;
    struct rt_parked parked;
    struct b_list link;
    struct up_endpoint *endpoint;
    rt_time born;
    uint32_t uses;
    bool reused; /* it carried an earlier request, and no byte has come back for this one */
    int moving;  /* the handle, on its way to another worker */
    char *in;    /* received bytes that had to be kept across a wait; NULL mostly */
    uint32_t in_len;
};

/* A connection to the endpoint: an idle one of this worker (unless it is to be fresh); or a new one, if pool.max_connections
 * permits it; or else the next that comes free on any worker, or a new one in its place. Waits for the connect for
 * connect_timeout at most. The deadline is the attempt's; it moves on by the time that it stood in line, which is not the
 * endpoint's fault. 0 or -(enum http_error). */
int up_pool_get(struct up_endpoint *e, struct rt_call *call, rt_time connect_timeout, rt_time *deadline,
                bool fresh, struct up_conn **out) __attribute__((warn_unused_result));
/* Puts a connection that has finished a request back, passes it to one who waits for it, or closes it where it cannot be
 * used again. From a fiber. The caller is a user of its endpoint. */
void up_pool_give(struct up_conn *c);
void up_pool_close(struct up_conn *c);
/* Closes the idle connections of this worker. */
void up_pool_clear(struct up_cluster *cluster);
void up_pool_clear_endpoint(struct up_endpoint *e);
/* Handler of up_asked.msg. */
void up_pool_asked(struct rt_msg *m);

#endif
