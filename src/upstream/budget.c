#include "upstream/budget.h"

#include "runtime/worker.h"
#include "upstream/cluster.h"

void up_budget_init(struct up_budget *b) {
    pthread_mutex_init(&b->lock, NULL);
}

void up_budget_destroy(struct up_budget *b) {
    pthread_mutex_destroy(&b->lock);
}

/* What has been since the older reading, and over which time; at least a second. Under the lock. */
static rt_time recent(struct up_cluster *c, struct b_histogram_totals *out) {
    struct up_budget *b = &c->budget;
    struct b_histogram_totals all = {0};
    rt_time now = rt_now();
    if (c->metrics.duration)
        tel_series_totals(c->metrics.duration, &all);
    if (!b->newer_at)
        b->newer_at = b->old_at = now;
    if (now - b->newer_at >= UP_BUDGET_SECONDS * RT_S / 2) {
        b->old = b->newer;
        b->old_at = b->newer_at;
        b->newer = all;
        b->newer_at = now;
    }
    *out = all;
    out->count -= b->old.count;
    out->sum_ns -= b->old.sum_ns;
    for (unsigned i = 0; i < B_HISTOGRAM_BUCKETS; i++)
        out->buckets[i] -= b->old.buckets[i];
    rt_time span = now - b->old_at;
    return span > RT_S ? span : RT_S;
}

/* Of the last ten seconds. */
static uint64_t spent_lately(struct up_spent *s) {
    int64_t second = rt_now() / RT_S, passed = second - s->second;
    uint64_t sum = 0;
    for (int64_t n = 0; n < passed && n < UP_BUDGET_SECONDS; n++)
        s->in[(second - n) % UP_BUDGET_SECONDS] = 0;
    s->second = second;
    for (unsigned i = 0; i < UP_BUDGET_SECONDS; i++)
        sum += s->in[i];
    return sum;
}

static void spend(struct up_spent *s) {
    s->in[s->second % UP_BUDGET_SECONDS]++;
}

/* `hedge_percent`: -1 when it is for no hedge. */
static bool take(struct up_cluster *c, const struct cfg_budget *conf, int64_t hedge_percent) {
    struct up_budget *b = &c->budget;
    struct b_histogram_totals seen;
    pthread_mutex_lock(&b->lock);
    rt_time span = recent(c, &seen);
    rt_time window = UP_BUDGET_SECONDS * RT_S;
    double requests = (double)seen.count * (span > window ? (double)window / (double)span : 1);
    double most = requests * (double)conf->percent / 100, least = (double)(conf->min * UP_BUDGET_SECONDS);
    bool taken = (double)spent_lately(&b->attempts) < (most > least ? most : least);
    bool hedged = hedge_percent >= 0;
    if (hedged && taken)
        taken = (double)spent_lately(&b->hedges) <
                (requests + 1) * (double)hedge_percent / 100; /* and this one */
    if (taken)
        spend(&b->attempts);
    if (hedged && taken)
        spend(&b->hedges);
    pthread_mutex_unlock(&b->lock);
    return taken;
}

bool up_budget_take(struct up_cluster *c, const struct cfg_budget *conf) {
    bool taken = take(c, conf, -1);
    if (!taken)
        tel_add(c->metrics.exhausted, rt_index(), 1);
    return taken;
}

bool up_budget_hedge(struct up_cluster *c, const struct cfg_budget *conf, int64_t percent) {
    return take(c, conf, percent);
}

bool up_can_finish(struct up_cluster *c, rt_time left) {
    struct up_budget *b = &c->budget;
    struct b_histogram_totals seen;
    pthread_mutex_lock(&b->lock);
    (void)recent(c, &seen);
    bool can = b_histogram_quantile(&seen, 0.5) <= (uint64_t)left;
    if (!can && rt_now() - b->tried_at >= RT_S) {
        b->tried_at = rt_now();
        can = true;
    }
    pthread_mutex_unlock(&b->lock);
    return can;
}

unsigned up_retry_after(struct up_cluster *c) {
    struct b_histogram_totals seen;
    pthread_mutex_lock(&c->budget.lock);
    rt_time span = recent(c, &seen);
    pthread_mutex_unlock(&c->budget.lock);
    double waiting =
        (double)up_cluster_in_flight(c) + rt_sem_waiting(&c->permits) + rt_sem_waiting(&c->connections);
    double rate = (double)seen.count * (double)RT_S / (double)span; /* a second */
    double seconds = rate > 0 ? waiting / rate : 1;
    return seconds <= 1 ? 1 : seconds >= 60 ? 60 : (unsigned)seconds + 1;
}
