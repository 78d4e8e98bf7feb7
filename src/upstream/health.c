#include "upstream/health.h"

#include <errno.h>

#include "base/log.h"
#include "http/h1_parse.h"
#include "upstream/dial.h"
#include "upstream/upstream.h"

#define HEAD_MAX 8192
#define FIELDS_MAX 64

static struct tel_family checks = {.name = "weir_health_checks_total",
                                   .help = "Health checks of an endpoint, by their result.",
                                   .type = TEL_COUNTER,
                                   .labels = {"upstream", "endpoint", "result"}};

/* --- one check --- */

struct check {
    struct rt_stream stream;
    struct b_arena arena;
    struct http_field fields[FIELDS_MAX];
    char head[HEAD_MAX];
};

static bool expected(const struct cfg_health_check *conf, unsigned status) {
    if (!conf->status.count)
        return status >= 200 && status < 400;
    CFG_EACH(const struct cfg_text, t, &conf->status) {
        unsigned first = 0, last = 0;
        if (!cfg_parse_statuses(t->text, &first, &last) && status >= first && status <= last)
            return true;
    }
    return false;
}

static const char *ask(struct check *ch, const struct up_endpoint *e, const struct cfg_health_check *conf,
                       rt_time deadline) {
    struct b_text out = b_text_fixed(ch->head, sizeof ch->head);
    struct b_slice host = conf->host.len ? conf->host : e->authority;
    b_text_lit(&out, "GET ");
    b_text_slice_add(&out, conf->path);
    b_text_lit(&out, " HTTP/1.1\r\nhost: ");
    b_text_slice_add(&out, host);
    b_text_lit(&out, "\r\nuser-agent: weir-health-check\r\naccept: */*\r\nconnection: close\r\n\r\n");
    struct iovec iov = {.iov_base = ch->head, .iov_len = out.len};
    ssize_t n = rt_send(&ch->stream, &iov, 1, deadline);
    return n == -ETIMEDOUT ? "timeout" : n < 0 ? "reset" : NULL;
}

/* Reads the head of the final answer. */
static const char *hear(struct check *ch, const struct cfg_health_check *conf, rt_time deadline) {
    struct http_response res;
    size_t have = 0;
    for (;;) {
        ssize_t n = rt_receive(&ch->stream, ch->head + have, sizeof ch->head - have, deadline);
        if (n <= 0)
            return n == 0 ? "closed without an answer" : n == -ETIMEDOUT ? "timeout" : "reset";
        have += (size_t)n;
        n = h1_parse_response(b_slice(ch->head, have), &http_limits_default, ch->fields, FIELDS_MAX,
                              HTTP_METHOD_GET, &res, NULL);
        while (n > 0 && res.status < 200) {
            memmove(ch->head, ch->head + n, have -= (size_t)n);
            n = h1_parse_response(b_slice(ch->head, have), &http_limits_default, ch->fields, FIELDS_MAX,
                                  HTTP_METHOD_GET, &res, NULL);
        }
        if (n < 0 || have == sizeof ch->head)
            return "no HTTP response";
        if (n > 0)
            return expected(conf, res.status) ? NULL : "its status";
    }
}

static const char *try_it(struct up_endpoint *e, const struct cfg_health_check *conf) {
    rt_time deadline = rt_after(rt_now(), conf->timeout);
    struct check *ch = b_alloc(B_TAG_UPSTREAM, sizeof *ch);
    if (!ch)
        return "memory is short";
    memset(&ch->stream, 0, sizeof ch->stream);
    b_arena_init(&ch->arena, B_TAG_UPSTREAM, rt_chunks(), NULL, 0, B_ARENA_CHUNK * 16);
    int rc = up_dial(e, &ch->stream, &ch->arena, deadline);
    const char *why = rc ? "no connection" : ask(ch, e, conf, deadline);
    why = why ? why : hear(ch, conf, deadline);
    if (rt_is_attached(&ch->stream))
        rt_end(&ch->stream, RT_END_CLOSE);
    b_arena_release(&ch->arena);
    b_free(ch);
    return why;
}

bool up_health_check(struct up_endpoint *e, struct up_check_result *result) {
    struct up_upstream *u = up_current(e->cluster);
    bool asked = u && u->conf.health_check.head.node;
    if (asked)
        result->why = try_it(e, &u->conf.health_check);
    result->passed = asked && !result->why;
    if (u)
        up_put(u);
    return asked;
}

/* --- again and again --- */

static void count(const struct up_endpoint *e, bool passed) {
    struct b_slice labels[3] = {b_slice_cstr(e->cluster->name), b_slice_cstr(e->text),
                                passed ? B_LIT("pass") : B_LIT("fail")};
    tel_add(tel_series_get(&checks, labels), rt_index(), 1);
}

static void take_result(struct up_endpoint *e, const struct cfg_health_check *conf, const char *why) {
    struct up_health *h = &e->health;
    bool first = !atomic_exchange(&h->known, true), failing = up_state(e) & UP_FAILING;
    bool same = !first && !atomic_load(&h->why) == !why;
    uint32_t row = same ? atomic_load(&h->row) + 1 : 1;
    atomic_store(&h->row, row);
    atomic_store(&h->why, why);
    atomic_store(&h->at, rt_now());
    count(e, !why);
    if (why && !failing && (first || row >= (uint64_t)conf->fails)) {
        up_cluster_mark(e, UP_FAILING, 0);
        B_LOG(B_WARN, "upstream", "endpoint %s of upstream %s fails its health check: %s", e->text,
              e->cluster->name, why);
    } else if (!why && failing && row >= (uint64_t)conf->passes) {
        up_cluster_mark(e, 0, UP_FAILING);
        B_LOG(B_INFO, "upstream", "endpoint %s of upstream %s passes its health check again", e->text,
              e->cluster->name);
    }
}

/* One round: 0 and the time until the next, or negative: there is none. */
static int check_once(struct up_endpoint *e, rt_time *pause) {
    struct up_upstream *u = up_current(e->cluster);
    int rc = u && u->conf.health_check.head.node && !(up_state(e) & UP_DRAINING) ? 0 : -1;
    if (rc == 0) {
        const struct cfg_health_check *conf = &u->conf.health_check;
        const char *why = try_it(e, conf);
        if (!rt_cancelled())
            take_result(e, conf, why);
        *pause =
            conf->interval * 9 / 10 + (rt_time)b_rng_below(&rt_self()->rng, (uint64_t)conf->interval / 5 + 1);
    }
    if (u)
        up_put(u);
    return rc;
}

/* Under the cluster's lock, so that whoever wants it to start sees it end. */
static void stop(struct up_endpoint *e) {
    pthread_mutex_lock(&e->cluster->lock);
    e->health.checking = false;
    atomic_store(&e->health.known, false);
    pthread_mutex_unlock(&e->cluster->lock);
    up_cluster_mark(e, 0, UP_FAILING);
}

static void check_often(void *arg) {
    struct up_endpoint *e = arg;
    struct up_cluster *c = e->cluster;
    rt_time pause = 0;
    while (check_once(e, &pause) == 0 && rt_sleep_until(rt_after(rt_now(), pause)) == 0)
        continue;
    stop(e);
    up_endpoint_put(e, UP_USER);
    up_cluster_put(c);
}

/* Takes an endpoint that nobody checks, with a use of it; NULL: there is none. */
static struct up_endpoint *take_unchecked(struct up_cluster *c) {
    struct up_endpoint *found = NULL;
    pthread_mutex_lock(&c->lock);
    const struct up_set *s = up_cluster_set(c);
    for (uint32_t i = 0; s && !found && i < s->count; i++)
        if (!s->members[i].endpoint->health.checking)
            found = s->members[i].endpoint;
    if (found) {
        found->health.checking = true;
        up_endpoint_hold(found, UP_USER);
    }
    pthread_mutex_unlock(&c->lock);
    return found;
}

void up_health_start(struct up_cluster *c) {
    struct up_upstream *u = up_current(c);
    bool wanted = u && u->conf.health_check.head.node;
    if (u)
        up_put(u);
    for (struct up_endpoint *e; wanted && (e = take_unchecked(c));) {
        up_cluster_hold(c);
        if (rt_spawn("health check", check_often, e) == 0)
            continue;
        B_LOG(B_WARN, "upstream", "endpoint %s of upstream %s is not checked: no fiber to be had", e->text,
              c->name);
        stop(e);
        up_endpoint_put(e, UP_USER);
        up_cluster_put(c);
        break;
    }
}
