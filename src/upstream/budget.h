/* What a cluster has seen lately, looked at only when something has gone wrong: how many requests, how long they took, and
 * how many further attempts there were. */
#ifndef UPSTREAM_BUDGET_H
#define UPSTREAM_BUDGET_H

#include <pthread.h>

#include "base/histogram.h"
#include "config/config.h"
#include "runtime/time.h"

struct up_cluster;

#define UP_BUDGET_SECONDS 10

struct up_budget {
    pthread_mutex_t lock; /* for a few instructions */
    /* Two readings of the requests' durations: what lies between the older one and now is 5 to 10 seconds, or all since the
     * last look. */
    struct b_histogram_totals old, newer;
    rt_time old_at, newer_at;
    struct up_spent {
        uint32_t in[UP_BUDGET_SECONDS]; /* each of the last seconds; `second` is the newest */
        int64_t second;
    } attempts, hedges; /* further attempts, hedges among them */
    rt_time tried_at;   /* the last attempt that was let through although it is not likely to finish */
};

void up_budget_init(struct up_budget *b);
void up_budget_destroy(struct up_budget *b);
/* Takes one further attempt: false when there have been as many as the budget has. */
bool up_budget_take(struct up_cluster *c, const struct cfg_budget *conf);
/* The same for a hedge, of which there are no more than `percent` of the requests. */
bool up_budget_hedge(struct up_cluster *c, const struct cfg_budget *conf, int64_t percent);
/* Whether an attempt is likely to finish in that time: half of the requests did. One a second is let through in any case, so
 * that what is known can change. */
bool up_can_finish(struct up_cluster *c, rt_time left);
/* After how many seconds one who is turned away should come back: when those who wait now will be through, 1 to 60. */
unsigned up_retry_after(struct up_cluster *c);

#endif
