/* Opening a connection to an endpoint. */
#ifndef UPSTREAM_DIAL_H
#define UPSTREAM_DIAL_H

#include "base/arena.h"
#include "upstream/endpoint.h"

/* Connects to the endpoint's address, or to those that its name has, one after the other, save those that are denied
 * (deny.h). 0, or -(enum http_error). */
int up_dial(struct up_endpoint *e, struct rt_stream *stream, struct b_arena *arena, rt_time deadline)
    __attribute__((warn_unused_result));

#endif
