/* Tunnels: what is left of a connection to a client and one to an upstream once both have switched to another protocol
 * (101, RFC 9110 section 7.8): bytes both ways, which weir does not look at. */
#ifndef GATEWAY_TUNNEL_H
#define GATEWAY_TUNNEL_H

#include "gateway/exchange.h"

struct gw_tunnel;
struct up_exchange;

/* Passes on x's response, a 101 to `protocol`, and takes the upstream's connection over. What came behind the two heads
 * are the tunnel's first bytes. 0, and ex->tunnel begins when the exchange has ended; or -(enum http_error). */
int gw_tunnel_open(struct exchange *ex, struct up_exchange *x, struct b_slice protocol)
    __attribute__((warn_unused_result));
/* Carries until there is nothing to do; from a fiber, its last call. An idle tunnel is two parked streams and a record,
 * without fiber, buffer or snapshot. */
void gw_tunnel_run(struct gw_tunnel *t);
/* Ends all of this worker's, idle or not; from a fiber. gateway->cut is set, so that none goes idle unseen. */
void gw_tunnels_end(void *unused);

/* Something that is done when the tunnel ends, in a fiber; it gives its own memory back. Bytes from the client, and to it. */
struct gw_tunnel_end {
    void (*fn)(struct gw_tunnel_end *self, uint64_t in, uint64_t out);
    struct gw_tunnel_end *next;
};
void gw_tunnel_at_end(struct gw_tunnel *t, struct gw_tunnel_end *e);

/* Of a worker; for the metrics. */
struct gw_tunnel_figures {
    uint64_t open, in, out; /* bytes from clients, to clients */
};
void gw_tunnel_figures(unsigned worker, struct gw_tunnel_figures *out);

#endif
