/* A look inside, as JSON: what is in force, and what the runtime is at. */
#include "admin/answer.h"
#include "gateway/conn.h"

static void member(struct json_writer *w, const char *name, struct b_slice value) {
    json_key(w, b_slice_cstr(name));
    json_string(w, value);
}

static void number(struct json_writer *w, const char *name, uint64_t value) {
    json_key(w, b_slice_cstr(name));
    json_u64(w, value);
}

static void seconds(struct json_writer *w, const char *name, rt_time span) {
    json_key(w, b_slice_cstr(name));
    b_text_printf(w->out, "%lld.%03lld", (long long)(span / RT_S), (long long)(span % RT_S / RT_MS));
    w->after_key = false;
}

static int finish(struct exchange *ex, struct json_writer *w) {
    b_text_char(w->out, '\n');
    return adm_answer_text(ex, 200, ADM_JSON, w->out);
}

/* ---- routes ---- */

static void write_chain(struct json_writer *w, const struct cfg_chain *chain) {
    for (size_t i = 0; i < chain->count; i++)
        json_string(w, chain->items[i]->head.name);
}

static void write_route(struct json_writer *w, const struct gw_snapshot *s, const struct gw_route *r) {
    const struct cfg_node *node = r->conf->head.node;
    json_object_begin(w);
    member(w, "path", r->pattern);
    if (r->conf->match.host.ptr)
        member(w, "host", r->conf->match.host);
    if (r->conf->match.listener)
        member(w, "listen", r->conf->match.listener->addr.text);
    if (r->conf->match.methods.count) {
        json_key(w, B_LIT("methods"));
        json_array_begin(w);
        CFG_EACH(struct cfg_text, m, &r->conf->match.methods)
            json_string(w, m->text);
        json_array_end(w);
    }
    json_key(w, B_LIT("use"));
    json_array_begin(w);
    write_chain(w, &s->root->chain);
    write_chain(w, &r->conf->chain);
    json_array_end(w);
    member(w, "handler", b_slice_cstr(r->handler->module.name));
    seconds(w, "deadline_seconds", r->deadline);
    member(w, "file", b_slice_cstr(node->file ? node->file->name : ""));
    number(w, "line", node->line);
    json_object_end(w);
}

int adm_routes(struct exchange *ex) {
    const struct gw_snapshot *s = ex->snapshot;
    struct b_text t = adm_text();
    struct json_writer w = json_writer(&t);
    json_object_begin(&w);
    number(&w, "generation", s->generation);
    json_key(&w, B_LIT("routes"));
    json_array_begin(&w);
    for (unsigned i = 0; i < s->route_count; i++)
        write_route(&w, s, s->routes[i]);
    json_array_end(&w);
    json_object_end(&w);
    return finish(ex, &w);
}

/* ---- upstreams ---- */

static void write_upstream(struct json_writer *w, const struct cfg_upstream *u) {
    json_object_begin(w);
    member(w, "name", u->head.name);
    number(w, "max_in_flight", (uint64_t)u->max_in_flight);
    seconds(w, "connect_timeout_seconds", u->connect_timeout);
    seconds(w, "timeout_seconds", u->timeout);
    json_key(w, B_LIT("endpoints"));
    json_array_begin(w);
    CFG_EACH(struct cfg_endpoint, e, &u->endpoints) {
        json_object_begin(w);
        member(w, "url", e->url.text);
        number(w, "weight", (uint64_t)e->weight);
        json_object_end(w);
    }
    json_array_end(w);
    json_object_end(w);
}

int adm_upstreams(struct exchange *ex) {
    struct b_text t = adm_text();
    struct json_writer w = json_writer(&t);
    json_object_begin(&w);
    json_key(&w, B_LIT("upstreams"));
    json_array_begin(&w);
    CFG_EACH(struct cfg_upstream, u, &ex->snapshot->root->upstreams)
        write_upstream(&w, u);
    json_array_end(&w);
    json_object_end(&w);
    return finish(ex, &w);
}

/* ---- fibers ---- */

static void write_worker(struct json_writer *w, unsigned index) {
    const struct rt_worker_stats *s = &rt_worker(index)->stats;
    json_object_begin(w);
    number(w, "index", index);
    number(w, "connections", gw_worker_connections(index));
    number(w, "fibers", b_counter_get(&s->fibers));
    number(w, "spawned", b_counter_get(&s->spawned));
    number(w, "switches", b_counter_get(&s->switches));
    number(w, "turns", b_counter_get(&s->turns));
    number(w, "messages", b_counter_get(&s->messages));
    number(w, "io_events", b_counter_get(&s->io_events));
    json_object_end(w);
}

int adm_fibers(struct exchange *ex) {
    struct b_text t = adm_text();
    struct json_writer w = json_writer(&t);
    json_object_begin(&w);
    number(&w, "fibers", rt_fiber_count());
    number(&w, "limit", rt_fiber_limit());
    number(&w, "stack_high_water_bytes", rt_stack_high_water());
    number(&w, "stalls", rt_stall_count());
    json_key(&w, B_LIT("workers"));
    json_array_begin(&w);
    for (unsigned i = 0; i < rt_worker_count(); i++)
        write_worker(&w, i);
    json_array_end(&w);
    json_object_end(&w);
    return finish(ex, &w);
}
