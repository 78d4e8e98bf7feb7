/* Upstreams as they are at this moment: their limits, what fills them, and of each endpoint what keeps it in or out. */
#include "admin/answer.h"
#include "gateway/conn.h"
#include "upstream/breaker.h"
#include "upstream/latency.h"
#include "upstream/upstream.h"

static void write_breaker(struct json_writer *w, struct up_endpoint *e) {
    struct up_breaker_view view;
    up_breaker_look(e, &view);
    json_key(w, B_LIT("breaker"));
    json_object_begin(w);
    json_string_member(w, "state", b_slice_cstr(view.state));
    json_u64_member(w, "failures_in_a_row", view.row);
    if (view.left)
        adm_seconds(w, "tried_again_in_seconds", view.left);
    if (view.last)
        json_string_member(w, "last_failure", b_slice_cstr(view.last));
    json_object_end(w);
}

static void write_health(struct json_writer *w, struct up_endpoint *e) {
    struct up_health *h = &e->health;
    if (!atomic_load(&h->known))
        return;
    const char *why = atomic_load(&h->why);
    json_key(w, B_LIT("health"));
    json_object_begin(w);
    adm_flag(w, "healthy", !(up_state(e) & UP_FAILING));
    if (why)
        json_string_member(w, "last_failure", b_slice_cstr(why));
    json_u64_member(w, why ? "failures_in_a_row" : "passes_in_a_row", atomic_load(&h->row));
    adm_seconds(w, "checked_seconds_ago", rt_now() - atomic_load(&h->at));
    json_object_end(w);
}

/* `avoided`: the states that keep one out at the moment. */
static void write_endpoint(struct json_writer *w, const struct up_member *m, uint32_t avoided) {
    struct up_endpoint *e = m->endpoint;
    uint32_t state = up_state(e);
    json_object_begin(w);
    json_string_member(w, "url", b_slice_cstr(e->text));
    json_u64_member(w, "weight", (uint64_t)m->weight);
    adm_flag(w, "in_use", !(state & avoided));
    adm_flag(w, "slow_start", state & UP_WARMING);
    json_u64_member(w, "in_flight", up_load(e));
    adm_seconds(w, "latency_seconds", (rt_time)up_latency(e, rt_clock()));
    write_breaker(w, e);
    write_health(w, e);
    json_object_end(w);
}

static void write_discovery(struct json_writer *w, struct up_cluster *c) {
    struct up_finding *f = &c->discovery;
    if (!f->running)
        return;
    rt_time at = atomic_load(&f->good_at);
    json_key(w, B_LIT("discovery"));
    json_object_begin(w);
    adm_flag(w, "up", atomic_load(&f->asked) && !atomic_load(&f->failing));
    if (at)
        adm_seconds(w, "good_seconds_ago", rt_clock() - at);
    json_object_end(w);
}

static void write_upstream(struct up_cluster *c, void *arg) {
    struct json_writer *w = arg;
    const struct cfg_upstream *conf = &c->current->conf;
    json_object_begin(w);
    json_string_member(w, "name", b_slice_cstr(c->name));
    json_u64_member(w, "max_in_flight", (uint64_t)conf->max_in_flight);
    json_u64_member(w, "in_flight", (uint64_t)up_cluster_in_flight(c));
    json_u64_member(w, "max_pending", (uint64_t)conf->max_pending);
    json_u64_member(w, "pending", rt_sem_waiting(&c->permits));
    adm_seconds(w, "connect_timeout_seconds", conf->connect_timeout);
    adm_seconds(w, "timeout_seconds", conf->timeout);
    pthread_mutex_lock(&c->lock);
    write_discovery(w, c);
    const struct up_set *s = up_cluster_set(c);
    uint32_t avoided = up_set_avoids(s);
    adm_flag(w, "panic", up_set_panics(s));
    json_key(w, B_LIT("endpoints"));
    json_array_begin(w);
    for (uint32_t i = 0; i < s->count; i++)
        write_endpoint(w, &s->members[i], avoided);
    json_array_end(w);
    pthread_mutex_unlock(&c->lock);
    json_object_end(w);
}

int adm_upstreams(struct exchange *ex) {
    struct b_text t = adm_text();
    struct json_writer w = json_writer(&t);
    json_object_begin(&w);
    json_key(&w, B_LIT("upstreams"));
    json_array_begin(&w);
    up_registry_each(adm_gateway(ex)->upstreams, write_upstream, &w);
    json_array_end(&w);
    json_object_end(&w);
    return adm_finish(ex, &w);
}
