/* How fast a client is, over the time that weir has waited for it: slow origins and slow handlers do not count. */
#ifndef GATEWAY_PACE_H
#define GATEWAY_PACE_H

#include <stdbool.h>

#include "runtime/time.h"

struct gw_pace {
    rt_time waited; /* span */
    uint64_t bytes; /* that came or went in that time */
};

/* Adds a wait and what it brought. True when the client has had `window` of waiting and brings less than `rate` bytes a
 * second on average; rate 0 is never missed. What is older than two windows counts half, what is older still a quarter,
 * and so on: a burst at the beginning does not pay for an hour of dripping. Pure. */
bool gw_pace_slow(struct gw_pace *p, rt_time waited, uint64_t bytes, uint64_t rate, rt_time window);

#endif
