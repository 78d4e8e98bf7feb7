/* What an endpoint's latency is like: an exponentially weighted moving average that follows rises at once and forgets them
 * slowly (peak EWMA, as in Twitter's Finagle), and the age of what it has not answered yet. */
#ifndef UPSTREAM_LATENCY_H
#define UPSTREAM_LATENCY_H

#include "upstream/endpoint.h"

#define UP_LATENCY_DECAY (10 * RT_S) /* in which all but 1/e of a peak is forgotten */

/* Takes the latency of an attempt, or what a failure is to count as. Workers may lose one another's. */
void up_latency_observe(struct up_endpoint *e, rt_time took, rt_time now);
/* The same for a failure, which must not look fast. */
void up_latency_punish(struct up_endpoint *e, rt_time took, rt_time now);
/* The same for an attempt that was called off: it would have taken that long at least, which tells something only when it is
 * longer than what is known. */
void up_latency_at_least(struct up_endpoint *e, rt_time took, rt_time now);
/* The average as it is now, ns; 0: nothing is known. */
uint64_t up_latency(const struct up_endpoint *e, rt_time now);
/* What one more request would cost there: the latency, or the time since it last answered while it had something to, times
 * what it has to do. */
uint64_t up_cost(const struct up_endpoint *e, rt_time now);

#endif
