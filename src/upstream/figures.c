/* Figures of upstreams and endpoints that are read at the scrape. */
#include "upstream/figures.h"

#include "upstream/cluster.h"
#include "upstream/latency.h"
#include "upstream/upstream.h"

static void collect_in_flight(struct tel_samples *out, const struct up_cluster *c) {
    struct b_slice name = b_slice_cstr(c->name);
    tel_sample(out, &name, (double)up_cluster_in_flight((struct up_cluster *)(uintptr_t)c));
}

static void collect_pending(struct tel_samples *out, const struct up_cluster *c) {
    struct b_slice name = b_slice_cstr(c->name);
    tel_sample(out, &name, (double)rt_sem_waiting(&c->permits));
}

static void collect_load(struct tel_samples *out, const struct up_cluster *c) {
    const struct up_set *s = up_cluster_set((struct up_cluster *)(uintptr_t)c);
    for (uint32_t i = 0; i < s->count; i++) {
        struct b_slice labels[2] = {b_slice_cstr(c->name), b_slice_cstr(s->members[i].endpoint->text)};
        tel_sample(out, labels, (double)up_load(s->members[i].endpoint));
    }
}

static void collect_breakers(struct tel_samples *out, const struct up_cluster *c) {
    const struct up_set *s = up_cluster_set((struct up_cluster *)(uintptr_t)c);
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t state = up_state(s->members[i].endpoint);
        struct b_slice labels[2] = {b_slice_cstr(c->name), b_slice_cstr(s->members[i].endpoint->text)};
        tel_sample(out, labels, state & (UP_TRIAL | UP_PROBING) ? 2 : state & UP_EJECTED ? 1 : 0);
    }
}

static void collect_health(struct tel_samples *out, const struct up_cluster *c) {
    const struct up_set *s = up_cluster_set((struct up_cluster *)(uintptr_t)c);
    for (uint32_t i = 0; i < s->count; i++) {
        struct b_slice labels[2] = {b_slice_cstr(c->name), b_slice_cstr(s->members[i].endpoint->text)};
        tel_sample(out, labels, up_state(s->members[i].endpoint) & UP_FAILING ? 0 : 1);
    }
}

static void collect_latency(struct tel_samples *out, const struct up_cluster *c) {
    const struct up_set *s = up_cluster_set((struct up_cluster *)(uintptr_t)c);
    for (uint32_t i = 0; i < s->count; i++) {
        const struct up_endpoint *e = s->members[i].endpoint;
        struct b_slice labels[2] = {b_slice_cstr(c->name), b_slice_cstr(e->text)};
        tel_sample(out, labels, (double)up_latency(e, rt_clock()) / (double)RT_S);
    }
}

static void collect_panic(struct tel_samples *out, const struct up_cluster *c) {
    const struct up_set *s = up_cluster_set((struct up_cluster *)(uintptr_t)c);
    struct b_slice name = b_slice_cstr(c->name);
    tel_sample(out, &name, up_set_panics(s));
}

static void collect_found(struct tel_samples *out, const struct up_cluster *c) {
    struct b_slice name = b_slice_cstr(c->name);
    tel_sample(out, &name, up_cluster_set((struct up_cluster *)(uintptr_t)c)->count);
}

static void collect_age(struct tel_samples *out, const struct up_cluster *c) {
    struct b_slice name = b_slice_cstr(c->name);
    rt_time at = atomic_load(&((struct up_cluster *)(uintptr_t)c)->discovery.good_at);
    if (at)
        tel_sample(out, &name, (double)(rt_clock() - at) / (double)RT_S);
}

static void collect_failing(struct tel_samples *out, const struct up_cluster *c) {
    struct b_slice name = b_slice_cstr(c->name);
    if (c->discovery.running)
        tel_sample(out, &name, atomic_load(&((struct up_cluster *)(uintptr_t)c)->discovery.failing) ? 0 : 1);
}

/* One family; `each` is called for every cluster of the config in force, under its lock. */
static struct figure {
    struct tel_family family;
    void (*each)(struct tel_samples *out, const struct up_cluster *c);
} figures[] = {
    {{.name = "weir_bulkhead_in_flight",
      .help = "Requests that are at an upstream, of max_in_flight.",
      .type = TEL_GAUGE,
      .labels = {"upstream"}},
     collect_in_flight},
    {{.name = "weir_bulkhead_pending",
      .help = "Requests that wait because max_in_flight are at the upstream, of max_pending.",
      .type = TEL_GAUGE,
      .labels = {"upstream"}},
     collect_pending},
    {{.name = "weir_endpoint_in_flight",
      .help = "Attempts that are on their way to an endpoint.",
      .type = TEL_GAUGE,
      .labels = {"upstream", "endpoint"}},
     collect_load},
    {{.name = "weir_endpoint_latency_seconds",
      .help = "What p2c takes an endpoint's latency for: a moving average that follows peaks; 0: not known.",
      .type = TEL_GAUGE,
      .labels = {"upstream", "endpoint"}},
     collect_latency},
    {{.name = "weir_breaker_state",
      .help = "An endpoint's breaker: 0 closed, 1 open, 2 half-open.",
      .type = TEL_GAUGE,
      .labels = {"upstream", "endpoint"}},
     collect_breakers},
    {{.name = "weir_endpoint_healthy",
      .help = "0 while an endpoint's health checks fail.",
      .type = TEL_GAUGE,
      .labels = {"upstream", "endpoint"}},
     collect_health},
    {{.name = "weir_upstream_endpoints",
      .help = "Endpoints that an upstream has, by its config or its discovery.",
      .type = TEL_GAUGE,
      .labels = {"upstream"}},
     collect_found},
    {{.name = "weir_discovery_age_seconds",
      .help = "Since a discovery last gave a good answer.",
      .type = TEL_GAUGE,
      .labels = {"upstream"}},
     collect_age},
    {{.name = "weir_discovery_up",
      .help = "0 while a discovery fails, or finds nothing, and the last endpoints are kept.",
      .type = TEL_GAUGE,
      .labels = {"upstream"}},
     collect_failing},
    {{.name = "weir_upstream_panic",
      .help = "1 while so many endpoints are ejected that ejection is ignored.",
      .type = TEL_GAUGE,
      .labels = {"upstream"}},
     collect_panic},
};
#define FIGURES (sizeof figures / sizeof figures[0])

struct up_figures {
    struct up_registry *registry;
    struct one {
        struct up_figures *all;
        struct figure *figure;
        struct tel_samples *out;
    } each[FIGURES];
};

static void visit(struct up_cluster *c, void *arg) {
    const struct one *o = arg;
    pthread_mutex_lock(&c->lock);
    if (up_cluster_set(c))
        o->figure->each(o->out, c);
    pthread_mutex_unlock(&c->lock);
}

static void collect(struct tel_samples *out, void *arg) {
    struct one *o = arg;
    o->out = out; /* one scrape at a time */
    up_registry_each(o->all->registry, visit, o);
}

struct up_figures *up_figures_new(struct up_registry *r) {
    struct up_figures *all = b_zalloc(B_TAG_UPSTREAM, sizeof *all);
    if (!all)
        return NULL;
    all->registry = r;
    for (size_t i = 0; i < FIGURES; i++) {
        all->each[i] = (struct one){.all = all, .figure = &figures[i]};
        if (tel_collector(&figures[i].family, collect, &all->each[i]) != 0) {
            up_figures_free(all);
            return NULL;
        }
    }
    return all;
}

void up_figures_free(struct up_figures *all) {
    if (!all)
        return;
    for (size_t i = 0; i < FIGURES; i++)
        tel_collector_remove(&figures[i].family, collect, &all->each[i]);
    b_free(all);
}
