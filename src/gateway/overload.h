/* The overload manager: what weir does when memory becomes short, so that the kernel never has to end it (R17). */
#ifndef GATEWAY_OVERLOAD_H
#define GATEWAY_OVERLOAD_H

#include "gateway/gateway.h"

/* How far it has come, with the share of the budget (see runtime/memory.h) from which each holds. Each is left at 5 %
 * less than where it is entered. */
enum gw_pressure {
    GW_CALM,
    GW_RELEASE, /* 85 %: what is kept for later use (idle upstream connections, free stacks and blocks) is given back */
    GW_SHED, /* 90 %: new requests get 503, heads that come in pieces are not waited for */
    GW_STOP, /* 95 %: no connection is accepted */
};

/* The step after `now` when that share, in thousandths, is in use. Pure. */
enum gw_pressure gw_pressure_next(enum gw_pressure now, unsigned permille);

/* A fiber of the process's life: looks every 100 ms and acts. `arg` is the gateway. */
void gw_watch_memory(void *arg);

/* What is asked before something new is let in that takes memory: one load, mostly. Admin requests do not ask: health
 * and metrics are answered to the end. */
#define GW_LOOK 128 /* so much has been allocated since the last look that who asks next looks again */
enum gw_pressure gw_pressure_look(struct gateway *g);
static inline enum gw_pressure gw_pressure(struct gateway *g) {
    unsigned char p = atomic_load_explicit(&g->overload.pressure, memory_order_relaxed);
    return p < GW_SHED ? (enum gw_pressure)p : gw_pressure_look(g);
}

#endif
