#include "gateway/balance.h"

/* A worker looks at the others when a request ends, but not more often than this. */
#define LOOK_AGAIN RT_LOAD_WINDOW
/* Loads that differ by less are even: under steady load nothing moves, for a move costs two epoll_ctl and cold caches. */
#define MARGIN (RT_LOAD_FULL / 4)
/* So often in a row a difference must be seen. A burst, or a thread that lost its CPU for a moment, is none. */
#define PERSISTENT 5
/* An accepted connection goes to a worker that has so many fewer. */
#define FEWER 8

static bool is_on(struct gateway *g) {
    struct gw_snapshot *s = gw_pin(g);
    bool on = s->root->balance_workers;
    gw_unpin(s);
    return on;
}

/* --- accepted connections --- */

static bool clearly_fewer(uint64_t theirs, uint64_t mine) {
    return mine > theirs && mine - theirs > FEWER + theirs / FEWER;
}

unsigned gw_place(const struct gw_listener *l) {
    unsigned me = rt_index(), best = me, load = rt_load(rt_self());
    uint64_t mine = gw_worker_connections(me), fewest = UINT64_MAX;
    if (l->admin || !is_on(l->gateway))
        return me;
    for (unsigned i = 0; i < rt_worker_count(); i++) {
        uint64_t n = gw_worker_connections(i);
        if (i == me || n >= fewest)
            continue;
        unsigned theirs = rt_load(rt_worker(i));
        bool lighter = theirs + MARGIN <= load && n <= mine;
        if (lighter || (clearly_fewer(n, mine) && theirs < load + MARGIN)) {
            best = i;
            fewest = n;
        }
    }
    return best;
}

/* --- connections between two requests --- */

unsigned gw_gifts(unsigned mine, unsigned theirs, unsigned mean, unsigned active) {
    if (mine < theirs + MARGIN || active < 2)
        return 0;
    unsigned each = mine / active + 1;
    /* half of what is too much here: the figures are those of a window that is over */
    unsigned gifts = mine > mean ? (mine - mean) / (2 * each) : 0;
    return gifts == 0 && mine - theirs >= 2 * (mine / active) ? 1 : gifts;
}

/* The least loaded worker, and the mean of all. */
static unsigned survey(unsigned *least, unsigned *mean) {
    unsigned me = rt_index(), count = rt_worker_count(), best = me;
    uint64_t sum = 0;
    *least = RT_LOAD_FULL + 1;
    for (unsigned n = 1; n <= count;
         n++) { /* from the neighbour on, so that not all choose the same of equal ones */
        unsigned i = (me + n) % count, load = rt_load(rt_worker(i));
        sum += load;
        if (i != me && load < *least) {
            *least = load;
            best = i;
        }
    }
    *mean = (unsigned)(sum / count);
    return best;
}

static void look(struct gw_worker *w, struct gateway *g) {
    struct gw_giving *v = &w->giving;
    unsigned least, mean, to = survey(&least, &mean);
    unsigned ready = 1 + rt_self()->ready_count;
    unsigned gifts = gw_gifts(rt_load(rt_self()), least, mean, v->active > ready ? v->active : ready);
    v->look_at = rt_after(rt_now(), LOOK_AGAIN);
    v->window++;
    v->active = 0;
    v->left = 0;
    v->uneven = gifts ? v->uneven + 1 : 0;
    if (v->uneven < PERSISTENT)
        return;
    v->uneven = 0;
    v->left = is_on(g) ? gifts : 0;
    v->to = to;
}

bool gw_give(struct gw_conn *c) {
    struct gw_worker *w = gw_worker();
    struct gw_giving *v = &w->giving;
    if (c->window != v->window) {
        c->window = v->window;
        v->active++;
    }
    if (rt_now() >= v->look_at)
        look(w, c->listener->gateway);
    if (!v->left || c->listener->admin || !rt_idle(rt_worker(v->to)) || !gw_conn_send_to(c, v->to))
        return false;
    v->left--;
    return true;
}
