/* Addresses that no endpoint may have, wherever a name or a discovery leads to (A09, A10): who controls a name must not be
 * able to point weir at the machine's metadata service. */
#ifndef UPSTREAM_DENY_H
#define UPSTREAM_DENY_H

#include <stdbool.h>

#include "config/config.h"
#include "runtime/io.h"

struct up_endpoint;

#define UP_DENY_MAX 64

struct up_deny {
    unsigned count;
    struct up_net {
        uint8_t ip[16], bits;
        uint8_t family; /* AF_INET, AF_INET6 */
    } nets[UP_DENY_MAX];
    bool found; /* endpoints come from a discovery: their addresses are looked at, too */
};

/* Those of the config, or the default: link-local and the metadata services, unspecified, multicast. */
void up_deny_set(struct up_deny *d, const struct cfg_upstream *conf);
bool up_deny_has(const struct up_deny *d, const struct rt_sockaddr *a);

/* Whether the endpoint may not be connected to there; the log says so the first time. `resolved`: the address is what a name
 * stands for. Takes the cluster's lock. */
bool up_is_denied(struct up_endpoint *e, const struct rt_sockaddr *a, bool resolved);

#endif
