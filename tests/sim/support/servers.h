/* Origins of a simulation: listeners on ports in a row, and a fiber for each connection. */
#ifndef SIM_SUPPORT_SERVERS_H
#define SIM_SUPPORT_SERVERS_H

#include "runtime/scope.h"
#include "runtime/time.h"

#define SIM_SERVERS_MAX 4
#define SIM_FIRST_PORT 9001

struct sim_servers {
    struct rt_scope scope; /* of all their fibers */
    struct sim_listener {
        struct sim_servers *of;
        int fd;
    } listeners[SIM_SERVERS_MAX];
    unsigned count;
    void (*serve)(void *talk); /* a fiber, which ends the stream and frees the struct talk */
    rt_time patience;          /* of each talk */
};

/* Opens `count` of them and begins to accept. From a fiber; the rest is the caller's to fill before. */
void sim_servers_start(struct sim_servers *s, unsigned count);
/* Ends all of them. */
void sim_servers_stop(struct sim_servers *s);

#endif
