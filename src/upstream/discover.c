#include "upstream/discover.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"
#include "upstream/health.h"

#define LOOK_ROUND RT_S /* at the latest it is looked whether the config is still the same */
#define RETRY_LATER (5 * RT_S)

static struct tel_family updates = {
    .name = "weir_discovery_updates_total",
    .help = "Answers of a discovery: applied, unchanged, empty (and kept out) or failed.",
    .type = TEL_COUNTER,
    .labels = {"upstream", "result"}};

/* --- what was found --- */

bool up_found_url(struct up_found *f, const struct cfg_url *url, int64_t weight) {
    if (f->count == UP_FOUND_MAX)
        return false;
    if (f->count == f->cap) {
        size_t cap = f->cap ? 2 * f->cap : 16;
        struct up_target *more = b_arena_alloc(&f->arena, cap * sizeof *more);
        if (!more)
            return false;
        if (f->count)
            memcpy(more, f->targets, f->count * sizeof *more);
        f->targets = more;
        f->cap = cap;
    }
    f->targets[f->count++] = (struct up_target){url, weight < 1 ? 1 : weight > 1000 ? 1000 : weight};
    return true;
}

bool up_found_add(struct up_found *f, struct b_slice host, unsigned port, int64_t weight) {
    bool v6 = b_slice_find(host, ':') < host.len;
    if (!host.len || host.len > 253 || port == 0 || port > 65535)
        return false;
    const char *text =
        b_arena_printf(&f->arena, "http://%s%.*s%s:%u", v6 ? "[" : "", B_FMT(host), v6 ? "]" : "", port);
    struct cfg_url *url = b_arena_zalloc(&f->arena, sizeof *url);
    return text && url && !cfg_parse_url(b_slice_cstr(text), url) && up_found_url(f, url, weight);
}

void up_discovery_failed(struct up_discovery *d, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(d->why, sizeof d->why, fmt, args);
    va_end(args);
}

/* --- what comes of it --- */

static void count(const struct up_cluster *c, const char *result) {
    struct b_slice labels[2] = {b_slice_cstr(c->name), b_slice_cstr(result)};
    tel_add(tel_series_get(&updates, labels), rt_index(), 1);
}

static void note_good(struct up_cluster *c) {
    atomic_store(&c->discovery.good_at, rt_now());
    if (atomic_exchange(&c->discovery.failing, false))
        B_LOG(B_INFO, "upstream", "the discovery of upstream %s works again", c->name);
}

/* Once when it begins, not each time. */
static void note_bad(struct up_cluster *c, const char *result, const char *why) {
    count(c, result);
    if (!atomic_exchange(&c->discovery.failing, true))
        B_LOG(B_WARN, "upstream", "the discovery of upstream %s keeps its %u endpoints: %s", c->name,
              up_cluster_set(c)->count, why);
}

static void log_change(const struct up_cluster *c, const struct up_found *f) {
    char list[512];
    struct b_text out = b_text_fixed(list, sizeof list - 1);
    size_t shown = f->count < 8 ? f->count : 8;
    for (size_t i = 0; i < shown; i++)
        b_text_printf(&out, "%s%.*s", i ? ", " : "", B_FMT(f->targets[i].url->text));
    if (shown < f->count)
        b_text_printf(&out, " and %zu more", f->count - shown);
    list[out.len] = 0;
    B_LOG(B_INFO, "upstream", "upstream %s has %zu endpoints now: %s", c->name, f->count, list);
}

static __attribute__((noinline)) void take(struct up_discovery *d, const struct up_upstream *u,
                                           struct up_found *f) {
    struct up_cluster *c = d->cluster;
    if (!f->count && f->bad) {
        note_bad(c, "failed", "what was found are no endpoints");
        return;
    }
    if (!f->count && !d->conf->allow_empty) {
        note_bad(c, "empty", "nothing was found, and allow_empty is false");
        atomic_store(&c->discovery.asked, true);
        return;
    }
    int rc = up_cluster_apply(c, u, u->conf.balance, f->targets, f->count);
    if (rc < 0) {
        note_bad(c, "failed", "memory is short");
        d->next = rt_earlier(d->next, rt_after(rt_now(), RT_S));
        return;
    }
    count(c, rc ? "unchanged" : "applied");
    note_good(c);
    atomic_store(&c->discovery.asked, true);
    if (rc == 0)
        log_change(c, f);
}

/* --- the fiber --- */

static const struct up_source *source_of(const struct cfg_discover *conf) {
#ifdef WEIR_ZOOKEEPER
    if (conf->zookeeper.head.node)
        return &up_source_zookeeper;
#endif
    return conf->dns.head.node ? &up_source_dns : &up_source_file;
}

static bool is_current(struct up_cluster *c, const struct up_upstream *u) {
    struct up_upstream *now = up_current(c);
    if (now)
        up_put(now);
    return now == u;
}

/* Waits until it is time to look, or the descriptor is ready: for what it is, 0, or negative: it is over. */
static int wait_to_look(struct up_discovery *d, const struct up_upstream *u) {
    for (;;) {
        rt_time until = rt_earlier(d->next, rt_after(rt_now(), LOOK_ROUND));
        int rc = d->fd >= 0 ? rt_wait_fd(d->fd, d->events, until) : rt_sleep_until(until);
        if (rc == -ECANCELED || rt_cancelled() || !is_current(d->cluster, u))
            return -ECANCELED;
        if (rc > 0)
            return rc;
        if (rt_now() >= d->next || (rc < 0 && rc != -ETIMEDOUT))
            return 0;
    }
}

static void follow(struct up_discovery *d, const struct up_upstream *u, const struct up_source *source) {
    int ready = 0;
    while (ready >= 0) {
        struct up_found found = {0};
        b_arena_init(&found.arena, B_TAG_UPSTREAM, NULL, NULL, 0, 64u << 20);
        d->next = rt_after(rt_now(), RETRY_LATER);
        d->fd = -1;
        enum up_look look = source->look(d, ready, &found);
        if (look == UP_LOOK_FOUND && !rt_cancelled())
            take(d, u, &found);
        else if (look == UP_LOOK_FAILED && !rt_cancelled()) {
            note_bad(d->cluster, "failed", d->why);
            atomic_store(&d->cluster->discovery.asked, true);
        }
        b_arena_release(&found.arena);
        ready = wait_to_look(d, u);
    }
}

/* As long as the config stays the same. */
static int run(struct up_cluster *c) {
    struct up_upstream *u = up_current(c);
    int rc = u && u->conf.discover.head.node ? 0 : -1;
    if (rc == 0) {
        struct up_discovery *d = b_zalloc(B_TAG_UPSTREAM, sizeof *d);
        const struct up_source *source = source_of(&u->conf.discover);
        if (d) {
            d->cluster = c;
            d->conf = &u->conf.discover;
        }
        if (d && source->open(d) == 0) {
            follow(d, u, source);
            source->close(d);
        } else {
            (void)!rt_sleep_until(rt_after(rt_now(), RT_S));
        }
        b_free(d);
    }
    if (u)
        up_put(u);
    return rt_cancelled() ? -1 : rc;
}

static void discover(void *arg) {
    struct up_cluster *c = arg;
    bool over = false;
    while (!over) {
        while (run(c) == 0)
            continue;
        pthread_mutex_lock(&c->lock);
        c->discovery.running = false;
        pthread_mutex_unlock(&c->lock);
        struct up_upstream *u = up_current(c); /* who came meanwhile has seen that it ran */
        over = !u || !u->conf.discover.head.node || rt_cancelled();
        if (u)
            up_put(u);
        pthread_mutex_lock(&c->lock);
        over |= c->discovery.running;
        c->discovery.running |= !over;
        pthread_mutex_unlock(&c->lock);
    }
    up_cluster_put(c);
}

void up_discover_start(struct up_cluster *c) {
    struct up_upstream *u = up_current(c);
    bool start = u && u->conf.discover.head.node;
    if (u)
        up_put(u);
    pthread_mutex_lock(&c->lock);
    start &= !c->discovery.running;
    c->discovery.running |= start;
    pthread_mutex_unlock(&c->lock);
    if (!start)
        return;
    up_cluster_hold(c);
    if (rt_spawn("discovery", discover, c) == 0)
        return;
    B_LOG(B_ERROR, "upstream", "the endpoints of upstream %s are not looked for: no fiber to be had",
          c->name);
    pthread_mutex_lock(&c->lock);
    c->discovery.running = false;
    pthread_mutex_unlock(&c->lock);
    up_cluster_put(c);
}

bool up_discover_awaited(struct up_cluster *c) {
    pthread_mutex_lock(&c->lock);
    bool awaited = c->discovery.running && !atomic_load(&c->discovery.asked);
    pthread_mutex_unlock(&c->lock);
    return awaited;
}
