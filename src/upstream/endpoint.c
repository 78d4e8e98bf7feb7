#include "upstream/endpoint.h"

#include <errno.h>

#include "net/address.h"
#include "upstream/breaker.h"
#include "upstream/cluster.h"
#include "upstream/latency.h"

static struct tel_family requests = {.name = "weir_endpoint_requests_total",
                                     .help =
                                         "Requests sent to an endpoint, over a connection that was there.",
                                     .type = TEL_COUNTER,
                                     .labels = {"upstream", "endpoint"}};
static struct tel_family failures = {.name = "weir_endpoint_failures_total",
                                     .help = "Attempts at an endpoint that failed, by how.",
                                     .type = TEL_COUNTER,
                                     .labels = {"upstream", "endpoint", "reason"}};

static unsigned worker_slots(void) {
    unsigned n = rt_worker_count();
    return n ? n : 1; /* `weir check` builds without workers */
}

static int copy(struct b_slice from, struct b_slice *to) {
    char *p = b_strdup(B_TAG_UPSTREAM, from.ptr, from.len);
    *to = b_slice(p, from.len);
    return p ? 0 : -ENOMEM;
}

static int set_address(struct up_endpoint *e, const struct cfg_url *url) {
    switch (url->kind) {
    case CFG_HOST_IPV4: net_ipv4(&e->address, url->ip, url->port); return 0;
    case CFG_HOST_IPV6: net_ipv6(&e->address, url->ip, url->port); return 0;
    case CFG_HOST_UNIX: return net_unix(&e->address, url->path);
    default: return copy(url->name, &e->name);
    }
}

static void free_endpoint(struct up_endpoint *e) {
    b_free((char *)(uintptr_t)e->authority.ptr);
    b_free((char *)(uintptr_t)e->name.ptr);
    b_free(e->text);
    b_free(e);
}

struct up_endpoint *up_endpoint_new(struct up_cluster *c, const struct cfg_url *url) {
    unsigned n = worker_slots();
    struct up_endpoint *e = b_zalloc(B_TAG_UPSTREAM, sizeof *e + n * sizeof e->idle[0]);
    if (!e)
        return NULL;
    atomic_init(&e->users, UP_USER);
    b_list_init(&e->link);
    e->cluster = c;
    e->port = url->port;
    e->text = b_strdup(B_TAG_UPSTREAM, url->text.ptr, url->text.len);
    for (unsigned i = 0; i < n; i++)
        b_list_init(&e->idle[i].conns);
    struct b_slice authority = url->authority.len ? url->authority : B_LIT("localhost");
    if (!e->text || copy(authority, &e->authority) || set_address(e, url)) {
        free_endpoint(e);
        return NULL;
    }
    struct b_slice labels[2] = {b_slice_cstr(c->name), url->text};
    e->requests = tel_series_get(&requests, labels);
    return e;
}

bool up_endpoint_try_hold(struct up_endpoint *e) {
    uint64_t users = atomic_load(&e->users);
    while (users)
        if (atomic_compare_exchange_weak(&e->users, &users, users + UP_USER))
            return true;
    return false;
}

void up_endpoint_put(struct up_endpoint *e, uint64_t user) {
    if (atomic_fetch_sub(&e->users, user) != user)
        return;
    struct up_cluster *c = e->cluster;
    pthread_mutex_lock(&c->lock); /* whoever finds it on the list sees that it has no users */
    b_list_remove(&e->link);
    pthread_mutex_unlock(&c->lock);
    free_endpoint(e);
}

static void note_latency(struct up_endpoint *e, enum up_outcome outcome, rt_time took) {
    rt_time now = rt_now();
    atomic_store_explicit(&e->latency.since, now, memory_order_relaxed);
    if (outcome == UP_OK)
        up_latency_observe(e, took, now);
    else if (outcome != UP_GONE)
        up_latency_punish(e, took, now);
}

/* Failures are rare, but those of a dead endpoint are not: found by their labels once. */
void up_endpoint_note(struct up_endpoint *e, enum up_outcome outcome, rt_time took, bool trial) {
    note_latency(e, outcome, took);
    up_breaker_note(e, outcome, trial);
    if (outcome == UP_OK || outcome == UP_GONE)
        return;
    struct tel_series *s = atomic_load_explicit(&e->failures[outcome], memory_order_acquire);
    if (!s) {
        struct b_slice labels[3] = {b_slice_cstr(e->cluster->name), b_slice_cstr(e->text),
                                    b_slice_cstr(up_outcome_text(outcome))};
        s = tel_series_get(&failures, labels);
        atomic_store_explicit(&e->failures[outcome], s, memory_order_release);
    }
    tel_add(s, rt_index(), 1);
}
