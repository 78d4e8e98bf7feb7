/* What must have come back when a run is over. */
#ifndef SIM_SUPPORT_REST_H
#define SIM_SUPPORT_REST_H

#include "gateway/gateway.h"
#include "support/run.h"
#include "upstream/upstream.h"

/* The address 127.0.0.1:port. */
struct rt_sockaddr sim_address(uint16_t port);
/* An upstream's permits and connections are all there, and nobody waits for them. It is pinned until up_put; NULL: it has none. */
struct up_upstream *sim_upstream_rests(struct gateway *g, struct b_slice name);
/* No requests, no connections, no pins on any config. */
void sim_gateway_rests(struct gateway *g);
/* Nothing is allocated, no fiber lives, no handle is open. After rt_sim_run. */
void sim_all_freed(const struct rt_sim_result *r);

#endif
