#include "upstream/dial.h"

#include <errno.h>

#include "http/error.h"
#include "net/dns.h"
#include "upstream/deny.h"

static int connect_error(int rc) {
    switch (rc) {
    case 0: return 0;
    case -ETIMEDOUT: return -HTTP_E_UPSTREAM_CONNECT_TIMEOUT;
    case -EADDRNOTAVAIL: return -HTTP_E_OUT_OF_PORTS;
    case -EMFILE:
    case -ENFILE: return -HTTP_E_OUT_OF_FILES;
    case -ENOMEM:
    case -ENOBUFS: return -HTTP_E_OUT_OF_MEMORY;
    case -ECANCELED: return -HTTP_E_CLIENT_CLOSED;
    default: return -HTTP_E_UPSTREAM_CONNECT_FAILED;
    }
}

static int dial_name(struct up_endpoint *e, struct rt_stream *stream, struct b_arena *arena,
                     rt_time deadline) {
    struct net_addresses *found = b_arena_alloc(arena, sizeof *found); /* too large for a fiber's stack */
    if (!found)
        return -HTTP_E_OUT_OF_MEMORY;
    int rc = net_resolve(e->name, e->port, deadline, found);
    if (rc)
        return rc == -ETIMEDOUT ? -HTTP_E_UPSTREAM_CONNECT_TIMEOUT : -HTTP_E_DNS_FAILED;
    rc = -ECONNREFUSED;
    unsigned denied = 0;
    for (unsigned i = 0; i < found->count && rc && rc != -ETIMEDOUT && rc != -ECANCELED; i++)
        if (up_is_denied(e, &found->list[i], true))
            denied++;
        else
            rc = rt_connect(stream, &found->list[i], deadline);
    return denied == found->count ? -HTTP_E_ADDRESS_DENIED : connect_error(rc);
}

int up_dial(struct up_endpoint *e, struct rt_stream *stream, struct b_arena *arena, rt_time deadline) {
    if (e->name.len)
        return dial_name(e, stream, arena, deadline);
    if (up_is_denied(e, &e->address, false))
        return -HTTP_E_ADDRESS_DENIED;
    return connect_error(rt_connect(stream, &e->address, deadline));
}
