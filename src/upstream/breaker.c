#include "upstream/breaker.h"

#include "base/log.h"
#include "runtime/call.h"
#include "upstream/cluster.h"
#include "upstream/dial.h"
#include "upstream/health.h"

static struct tel_family ejections = {.name = "weir_breaker_ejections_total",
                                      .help = "Times that an endpoint's breaker opened.",
                                      .type = TEL_COUNTER,
                                      .labels = {"upstream", "endpoint"}};

static int64_t option(const _Atomic int64_t *o) {
    return atomic_load_explicit((_Atomic int64_t *)(uintptr_t)o, memory_order_relaxed);
}

const char *up_outcome_text(enum up_outcome outcome) {
    static const char *const texts[UP_OUTCOMES] = {
        [UP_OK] = "ok",           [UP_CONNECT_FAILED] = "connect_failure", [UP_RESET] = "reset",
        [UP_TIMEOUT] = "timeout", [UP_BAD_RESPONSE] = "bad_response",      [UP_STATUS_5XX] = "5xx",
        [UP_GONE] = "gone",
    };
    return texts[outcome];
}

const char *up_breaker_state(const struct up_endpoint *e) {
    uint32_t state = up_state(e);
    return state & (UP_TRIAL | UP_PROBING) ? "half-open" : state & UP_EJECTED ? "open" : "closed";
}

void up_breaker_look(struct up_endpoint *e, struct up_breaker_view *out) {
    uint32_t state = up_state(e), last = atomic_load(&e->breaker.last);
    rt_time left = atomic_load(&e->breaker.open_until) - rt_now();
    *out = (struct up_breaker_view){.state = up_breaker_state(e),
                                    .row = atomic_load(&e->breaker.row),
                                    .left = (state & UP_EJECTED) && left > 0 ? left : 0,
                                    .last = last ? up_outcome_text(last) : NULL};
}

/* --- counting --- */

/* Two halves of the window, the current one and the one before. Workers may lose one another's counts: what they say is
 * whether many fail, not how many. */
static void add(_Atomic uint32_t *count, uint32_t n) {
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + n, memory_order_relaxed);
}

static void turn_window(struct up_breaker *b, rt_time half, rt_time now) {
    rt_time began = atomic_load_explicit(&b->half_began, memory_order_relaxed);
    if (now - began < half || !atomic_compare_exchange_strong(&b->half_began, &began, now))
        return;
    bool stale = now - began >= 2 * half;
    for (int i = 0; i < 2; i++) {
        uint32_t last = atomic_exchange(&b->counts[0][i], 0);
        atomic_store(&b->counts[1][i], stale ? 0 : last);
    }
}

static void count(struct up_breaker *b, rt_time half, bool failed) {
    turn_window(b, half, rt_now());
    add(&b->counts[0][0], 1);
    if (failed)
        add(&b->counts[0][1], 1);
    if (failed)
        add(&b->row, 1);
    else if (atomic_load_explicit(&b->row, memory_order_relaxed))
        atomic_store_explicit(&b->row, 0, memory_order_relaxed);
}

static bool too_many(const struct up_endpoint *e) {
    const struct up_breaker_options *o = &e->cluster->breaker;
    struct up_breaker *b = &((struct up_endpoint *)(uintptr_t)e)->breaker;
    int64_t row = option(&o->consecutive_failures);
    uint64_t all = (uint64_t)atomic_load(&b->counts[0][0]) + atomic_load(&b->counts[1][0]);
    uint64_t failed = (uint64_t)atomic_load(&b->counts[0][1]) + atomic_load(&b->counts[1][1]);
    if (row && atomic_load(&b->row) >= row)
        return true;
    return all >= (uint64_t)option(&o->min_requests) &&
           failed * 100 >= all * (uint64_t)option(&o->failure_percent);
}

/* --- open --- */

static void forget_counts(struct up_breaker *b) {
    atomic_store(&b->row, 0);
    for (int i = 0; i < 4; i++)
        atomic_store(&b->counts[i / 2][i % 2], 0);
}

/* How long it stays open: `grow`: twice as long as the last time. */
static rt_time open_time(struct up_endpoint *e, bool grow) {
    rt_time first = option(&e->cluster->breaker.open_for), most = option(&e->cluster->breaker.max_open_for);
    rt_time span = grow ? 2 * atomic_load(&e->breaker.open_for) : first;
    span = span > most ? most : span;
    span = span < first ? first : span;
    atomic_store(&e->breaker.open_for, span);
    return span - (rt_time)b_rng_below(&rt_self()->rng, (uint64_t)span / 10 + 1); /* not all at once */
}

/* Whether it answers at all: its health check where it has one, else a connection. */
static bool answers(struct up_endpoint *e) {
    struct up_check_result result;
    if (up_health_check(e, &result))
        return result.passed;
    struct b_arena arena;
    struct rt_stream *stream = b_zalloc(B_TAG_UPSTREAM, sizeof *stream);
    if (!stream)
        return false;
    b_arena_init(&arena, B_TAG_UPSTREAM, rt_chunks(), NULL, 0, B_ARENA_CHUNK * 16);
    int rc = up_dial(e, stream, &arena, rt_after(rt_now(), option(&e->cluster->breaker.connect_timeout)));
    if (rt_is_attached(stream))
        rt_end(stream, RT_END_CLOSE);
    b_arena_release(&arena);
    b_free(stream);
    return rc == 0;
}

bool up_breaker_may_open(const struct up_set *s) {
    const struct up_breaker_options *o = s->count ? &s->members[0].endpoint->cluster->breaker : NULL;
    return o && option(&o->on) && (s->count > 1 || option(&o->named));
}

static bool may_open(struct up_cluster *c) {
    const struct up_set *s = up_cluster_set(c);
    return s && up_breaker_may_open(s);
}

#define LOOK (1 * RT_S)

/* Waits until then. False: it is not to be ejected any longer, because it has gone or the config in force says so. */
static bool rest(const struct up_endpoint *e, rt_time until) {
    while (rt_now() < until)
        if (rt_sleep_until(rt_earlier(until, rt_after(rt_now(), LOOK))) != 0 || (up_state(e) & UP_DRAINING) ||
            !may_open(e->cluster))
            return false;
    return true;
}

/* Waits until the time is over and the endpoint answers, and lets one request try. */
static void half_open(void *arg) {
    struct up_endpoint *e = arg;
    struct up_cluster *c = e->cluster;
    bool well = false, wanted;
    while ((wanted = rest(e, atomic_load(&e->breaker.open_until))) && !(well = answers(e)))
        atomic_store(&e->breaker.open_until, rt_after(rt_now(), open_time(e, true)));
    atomic_store(&e->breaker.trial_since, rt_now());
    if (well)
        up_cluster_mark(e, UP_TRIAL, 0);
    else if (!wanted) /* should it come back, it has a fresh start */
        up_cluster_mark(e, 0, UP_EJECTED | UP_TRIAL | UP_PROBING);
    up_endpoint_put(e, UP_USER);
    up_cluster_put(c);
}

/* One of those that find too many failures at the same time opens it. */
static bool take_out(struct up_endpoint *e, bool trial) {
    pthread_mutex_lock(&e->cluster->lock);
    uint32_t state = up_state(e);
    bool first = trial ? state & UP_PROBING : !(state & (UP_EJECTED | UP_DRAINING));
    if (first) {
        atomic_fetch_or(&e->state, UP_EJECTED);
        atomic_fetch_and(&e->state, ~(uint32_t)UP_PROBING);
    }
    pthread_mutex_unlock(&e->cluster->lock);
    return first;
}

static void tell(const struct up_endpoint *e, rt_time span, enum up_outcome why, bool trial) {
    const struct up_breaker *b = &e->breaker;
    uint32_t row = atomic_load(&((struct up_breaker *)(uintptr_t)b)->row);
    int64_t limit = option(&e->cluster->breaker.consecutive_failures);
    char reason[64];
    struct b_text t = b_text_fixed(reason, sizeof reason);
    if (trial)
        b_text_lit(&t, "the request that tried it failed");
    else if (limit && row >= limit)
        b_text_printf(&t, "%u failures in a row", row);
    else
        b_text_printf(&t, "%lld percent or more of its attempts failed",
                      (long long)option(&e->cluster->breaker.failure_percent));
    B_LOG(B_WARN, "upstream", "endpoint %s of upstream %s is ejected for %lld ms: %.*s, the last: %s",
          e->text, e->cluster->name, (long long)(span / RT_MS), (int)t.len, reason, up_outcome_text(why));
}

static void open_breaker(struct up_endpoint *e, enum up_outcome why, bool trial) {
    struct up_cluster *c = e->cluster;
    if (!trial && !may_open(c))
        return;
    if (!take_out(e, trial))
        return;
    /* it grows until it has been well for twice as long as it was left alone */
    rt_time last = atomic_load(&e->breaker.open_for), now = rt_now();
    rt_time span = open_time(e, trial || (last && now - atomic_load(&e->breaker.closed_at) < 2 * last));
    atomic_store(&e->breaker.open_until, rt_after(now, span));
    up_cluster_hold(c);
    up_endpoint_hold(e, UP_USER);
    if (rt_spawn("probe endpoint", half_open, e) != 0) { /* nobody would close it again */
        up_cluster_mark(e, 0, UP_EJECTED);
        up_endpoint_put(e, UP_USER);
        atomic_fetch_sub(&c->refs, 1); /* not the last one: an attempt has one */
        return;
    }
    up_cluster_mark(e, UP_EJECTED, UP_PROBING | UP_TRIAL);
    struct b_slice labels[2] = {b_slice_cstr(c->name), b_slice_cstr(e->text)};
    tel_add(tel_series_get(&ejections, labels), rt_index(), 1);
    tell(e, span, why, trial);
    forget_counts(&e->breaker);
}

static void close_breaker(struct up_endpoint *e) {
    forget_counts(&e->breaker);
    atomic_store(&e->breaker.closed_at, rt_now());
    up_cluster_mark(e, 0, UP_EJECTED | UP_PROBING | UP_TRIAL);
    B_LOG(B_INFO, "upstream", "endpoint %s of upstream %s is back: a request to it succeeded", e->text,
          e->cluster->name);
}

/* --- the one request --- */

#define PATIENCE (1 * RT_S) /* with requests that cannot be repeated, before one of them tries */

static bool may_claim(const struct up_endpoint *e, const struct up_pick *p, bool alone) {
    rt_time since = atomic_load_explicit(&((struct up_endpoint *)(uintptr_t)e)->breaker.trial_since,
                                         memory_order_relaxed);
    return (p->may_try || alone || p->now - since >= PATIENCE) && !up_was_tried(p, e);
}

struct up_endpoint *up_breaker_claim(struct up_set *s, const struct up_pick *p, bool alone) {
    for (uint32_t i = 0; i < s->count; i++) {
        struct up_endpoint *e = s->members[i].endpoint;
        uint32_t state = up_state(e);
        if ((state & UP_TRIAL) && !(state & (UP_FAILING | UP_DRAINING)) && may_claim(e, p, alone) &&
            atomic_compare_exchange_strong(&e->state, &state, (state & ~(uint32_t)UP_TRIAL) | UP_PROBING)) {
            up_cluster_mark(e, 0, 0);
            return e;
        }
    }
    return NULL;
}

static void end_trial(struct up_endpoint *e, enum up_outcome outcome) {
    if (outcome == UP_GONE)
        up_cluster_mark(e, UP_TRIAL, UP_PROBING); /* it says nothing: another may try */
    else if (outcome == UP_OK)
        close_breaker(e);
    else
        open_breaker(e, outcome, true);
}

void up_breaker_note(struct up_endpoint *e, enum up_outcome outcome, bool trial) {
    bool failed = outcome != UP_OK;
    if (failed && outcome != UP_GONE)
        atomic_store_explicit(&e->breaker.last, (uint32_t)outcome, memory_order_relaxed);
    if (trial) {
        end_trial(e, outcome);
        return;
    }
    if (outcome == UP_GONE)
        return;
    count(&e->breaker, option(&e->cluster->breaker.window) / 2, failed);
    if (failed && !(up_state(e) & UP_EJECTED) && too_many(e))
        open_breaker(e, outcome, false);
}
