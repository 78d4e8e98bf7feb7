/* Host, method and path to a route. Built once per snapshot; a lookup walks the path's segments, allocates nothing.
 * The most specific wins: routes of one listener before those of all listeners, a named host before any host, then segment by segment
 * a literal before `{name}` before a trailing `*`. */
#ifndef GATEWAY_ROUTER_H
#define GATEWAY_ROUTER_H

#include "gateway/gateway.h"

struct gw_match {
    const struct gw_route *route; /* NULL: none */
    struct b_slice params[GW_PARAMS_MAX];
    bool misdirected;     /* all routes of this listener name hosts, and none this one: 421 (P03) */
    bool path_known;      /* a route has this path, with other methods: 405 */
    struct b_slice allow; /* then: the methods, as an Allow value, in the caller's arena */
};

/* Compiles the routes. Ties and routes that can never match are reported at both places. NULL on error or no memory. */
struct gw_router *gw_router_new(struct b_arena *arena, struct gw_route **routes, unsigned count,
                                struct cfg_errors *errors);
/* `authority` is a Host value (port and case are taken care of), `listener` the text of the listener's address. The
 * arena is for `allow` only. */
void gw_router_find(const struct gw_router *r, struct b_slice authority, const struct cfg_addr *listener,
                    enum http_method method, struct b_slice method_text, struct b_slice path,
                    struct b_arena *arena, struct gw_match *out);

#endif
