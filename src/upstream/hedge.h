/* Hedged requests (Dean and Barroso, The Tail at Scale, 2013): while an attempt keeps its client waiting for longer than most
 * do, the same request goes to another endpoint as well, and the answer that begins first is the one. Only for requests
 * without a body whose method may be repeated, and within the retry budget. */
#ifndef UPSTREAM_HEDGE_H
#define UPSTREAM_HEDGE_H

#include "upstream/attempt.h"

/* As up_read_head, after the request has been sent: waits for `retry.hedge.after`, and then asks another endpoint, which
 * counts as one more attempt. x->conn and x->endpoint are afterwards those of the answer. `pick` knows who has been
 * tried. */
int up_hedged_head(struct up_exchange *x, struct rt_call *call, struct http_request *req,
                   const struct up_client *client, struct up_pick *pick, rt_time deadline)
    __attribute__((warn_unused_result));

#endif
