#include "upstream/dial.h"

#include <errno.h>

#include "http/error.h"
#include "net/dns.h"

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
    for (unsigned i = 0; i < found->count && rc && rc != -ETIMEDOUT && rc != -ECANCELED; i++)
        rc = rt_connect(stream, &found->list[i], deadline);
    return connect_error(rc);
}

int up_dial(struct up_endpoint *e, struct rt_stream *stream, struct b_arena *arena, rt_time deadline) {
    if (e->name.len)
        return dial_name(e, stream, arena, deadline);
    return connect_error(rt_connect(stream, &e->address, deadline));
}
