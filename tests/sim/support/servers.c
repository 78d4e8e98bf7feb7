#include "support/servers.h"

#include <errno.h>

#include "support/rest.h"
#include "support/talk.h"

static void take(struct sim_servers *s, int fd) {
    struct talk *t = talk_new(s->patience);
    if (t && rt_attach(&t->stream, fd, false) == 0) {
        if (rt_scope_spawn(&s->scope, "origin", s->serve, t) == 0)
            return;
        rt_end(&t->stream, RT_END_CLOSE);
    } else {
        rt_close_handle(fd);
    }
    talk_free(t);
}

static void accept_fiber(void *arg) {
    struct sim_listener *l = arg;
    struct rt_stream listener;
    HOLDS(rt_attach(&listener, l->fd, true) == 0);
    for (;;) {
        int fd = rt_accept(&listener, NULL, RT_NEVER);
        if (fd == -ECANCELED)
            break;
        if (fd >= 0)
            take(l->of, fd);
        else
            sim_pause(10 * RT_MS);
    }
    (void)rt_end(&listener, RT_END_DETACH);
}

void sim_servers_start(struct sim_servers *s, unsigned count) {
    rt_scope_init(&s->scope);
    for (s->count = 0; s->count < count; s->count++) {
        struct sim_listener *l = &s->listeners[s->count];
        struct rt_sockaddr at = sim_address((uint16_t)(SIM_FIRST_PORT + s->count));
        l->of = s;
        HOLDS(rt_listen(&at, 4096, &l->fd) == 0);
        HOLDS(rt_scope_spawn(&s->scope, "origins", accept_fiber, l) == 0);
    }
}

void sim_servers_stop(struct sim_servers *s) {
    rt_scope_leave(&s->scope);
    for (unsigned i = 0; i < s->count; i++)
        rt_close_handle(s->listeners[i].fd);
}
