#include "gateway/overload.h"

#include "base/log.h"
#include "runtime/memory.h"
#include "runtime/offload.h"
#include "upstream/upstream.h"

#define LOOK_EVERY (100 * RT_MS)
#define RELEASE_EVERY RT_S
#define TRIM_EVERY (10 * RT_S)
#define SLACK_MAX ((uint64_t)8 << 20)
#define GAP 50 /* thousandths between entering a step and leaving it */
#define GROWTH_MIN ((uint64_t)2 << 20)

/* Thousandths from which a step holds. */
static const unsigned steps[] = {
    [GW_CALM] = 0, [GW_RELEASE] = 850, [GW_SHED] = 900, [GW_STOP] = 950, [GW_STOP + 1] = 1000};

enum gw_pressure gw_pressure_next(enum gw_pressure now, unsigned permille) {
    while (now < GW_STOP && permille >= steps[now + 1])
        now++;
    while (now > GW_CALM && permille < steps[now] - GAP)
        now--;
    return now;
}

/* --- looking --- */

static void tell(enum gw_pressure was, enum gw_pressure now, unsigned percent, uint64_t limit) {
    static const char *const words[] = {
        [GW_RELEASE] = "what is kept for later is given back",
        [GW_SHED] = "new requests get 503",
        [GW_STOP] = "nothing is accepted any more, and new requests get 503",
    };
    unsigned long long mib = limit >> 20;
    if (now > was)
        B_LOG(B_WARN, "gateway", "memory is short, %u %% of %llu MiB are in use: %s", percent, mib,
              words[now]);
    else if (now == GW_CALM)
        B_LOG(B_INFO, "gateway", "memory suffices again, %u %% of %llu MiB are in use", percent, mib);
    else
        B_LOG(B_INFO, "gateway", "memory is less short, %u %% of %llu MiB are in use: %s", percent, mib,
              words[now]);
}

static void grown(void *arg) {
    struct gateway *g = arg;
    atomic_fetch_or_explicit(&g->overload.pressure, GW_LOOK, memory_order_relaxed);
}

/* Draws the conclusion from what was seen. The next look is due at the latest when the distance to the next step has been
 * allocated: a flood fills it in less time than the watching fiber takes for its turn. */
static void conclude(struct gateway *g, const struct rt_memory *seen) {
    if (!seen->limit)
        return;
    double share = (double)seen->used / (double)seen->limit;
    unsigned permille = share < 10 ? (unsigned)(share * 1000) : 10000;
    enum gw_pressure was = atomic_load_explicit(&g->overload.pressure, memory_order_relaxed) & ~GW_LOOK;
    enum gw_pressure now = gw_pressure_next(was, permille);
    atomic_store_explicit(&g->overload.used, seen->used, memory_order_relaxed);
    atomic_store_explicit(&g->overload.limit, seen->limit, memory_order_relaxed);
    atomic_store_explicit(&g->overload.pressure, (unsigned char)now, memory_order_relaxed);
    uint64_t next = seen->limit / 1000 * steps[now + 1];
    uint64_t room = next > seen->used ? next - seen->used : 0;
    b_alloc_on_growth(grown, g, room > GROWTH_MIN ? room : GROWTH_MIN);
    if (now != was)
        tell(was, now, permille / 10, seen->limit);
}

static uint64_t own_limit(struct gateway *g) {
    struct gw_snapshot *s = gw_pin(g);
    uint64_t own = (uint64_t)s->root->limits.max_memory;
    gw_unpin(s);
    return own;
}

/* One looks, the others go on with what is known. */
enum gw_pressure gw_pressure_look(struct gateway *g) {
    static struct rt_memory seen; /* held with `looking` */
    unsigned char p = atomic_load_explicit(&g->overload.pressure, memory_order_relaxed);
    if ((p & GW_LOOK) && !atomic_exchange(&g->overload.looking, true)) {
        rt_memory_read("", own_limit(g), &seen);
        conclude(g, &seen);
        atomic_store(&g->overload.looking, false);
        p = atomic_load_explicit(&g->overload.pressure, memory_order_relaxed);
    }
    return (enum gw_pressure)(p & ~GW_LOOK);
}

struct look {
    uint64_t own;
    struct rt_memory seen;
};

static void look(void *arg) {
    struct look *l = arg;
    rt_memory_read("", l->own, &l->seen);
}

/* --- acting --- */

static void release_here(void *arg) {
    struct gateway *g = arg;
    up_registry_clear_here(g->upstreams);
    rt_worker_release(rt_self());
}

static void trim_heap(void *arg) {
    (void)arg;
    b_alloc_trim();
}

/* Without fibers or helper threads to be had it is tried again a second later. */
static void release(struct gateway *g) {
    if (rt_on_all_workers("release memory", release_here, g) == 0)
        (void)!rt_offload(trim_heap, NULL);
}

/* Whether much more is resident than weir knows of: after a burst the heap holds it free, and would for good. */
static bool is_slack(const struct rt_memory *seen) {
    uint64_t known = b_alloc_total_bytes();
    return seen->resident > known + known / 2 + SLACK_MAX;
}

void gw_watch_memory(void *arg) {
    static struct look l; /* there is one such fiber */
    struct gateway *g = arg;
    rt_time released = RT_NOWAIT, trimmed = RT_NOWAIT;
    do {
        l.own = own_limit(g);
        if (rt_offload(look, &l) == 0) /* else the helper threads are busy: next time */
            conclude(g, &l.seen);
        if (gw_pressure(g) != GW_CALM && rt_now() >= rt_after(released, RELEASE_EVERY)) {
            release(g);
            released = rt_now();
        } else if (rt_now() >= rt_after(trimmed, TRIM_EVERY) && is_slack(&l.seen)) {
            (void)!rt_offload(trim_heap, NULL);
            trimmed = rt_now();
        }
    } while (rt_sleep_until(rt_after(rt_now(), LOOK_EVERY)) == 0);
    b_alloc_on_growth(NULL, NULL, 0);
}
