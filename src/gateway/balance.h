/* Sharing work between workers: which of them gets a connection that was accepted, or one whose request has ended. */
#ifndef GATEWAY_BALANCE_H
#define GATEWAY_BALANCE_H

#include "gateway/conn.h"

/* Where an accepted connection goes: here, unless another worker is clearly less loaded. */
unsigned gw_place(const struct gw_listener *l);
/* After a request: gives the connection to an idle worker when this one is much busier, and has been for a while. True
 * when it is gone; c must not be touched then. From the connection's fiber, with nothing lent. */
bool gw_give(struct gw_conn *c);

/* How many of `active` connections a worker gives away, of these loads (its own, the receiver's, the mean of all), so
 * that they come nearer and do not change places. */
unsigned gw_gifts(unsigned mine, unsigned theirs, unsigned mean, unsigned active);

#endif
