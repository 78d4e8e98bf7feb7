/* Active health checks: a fiber for each endpoint asks it, again and again, on a connection of its own. Endpoints whose
 * checks fail are UP_FAILING, and get nothing else. */
#ifndef UPSTREAM_HEALTH_H
#define UPSTREAM_HEALTH_H

#include "upstream/endpoint.h"

/* Starts the checks of those endpoints of the cluster that have none running, if the config in force asks for checks; they
 * end by themselves when it does not any more, or the endpoint goes. From a fiber. */
void up_health_start(struct up_cluster *c);

struct up_check_result {
    bool passed;
    const char *why; /* it did not: static text */
};
/* One check, by the config in force; waits for its timeout at most. False: it asks for none. Counts nothing. */
bool up_health_check(struct up_endpoint *e, struct up_check_result *result);

#endif
