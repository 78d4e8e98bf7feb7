/* A look inside, as JSON: what is in force, and what the runtime is at. */
#include "admin/answer.h"
#include "gateway/conn.h"
#include "gateway/recorder.h"

/* ---- routes ---- */

static void write_chain(struct json_writer *w, const struct cfg_chain *chain) {
    for (size_t i = 0; i < chain->count; i++)
        json_string(w, chain->items[i]->head.name);
}

static void write_route(struct json_writer *w, const struct gw_snapshot *s, const struct gw_route *r) {
    const struct cfg_node *node = r->conf->head.node;
    json_object_begin(w);
    json_string_member(w, "path", r->pattern);
    if (r->conf->match.host.ptr)
        json_string_member(w, "host", r->conf->match.host);
    if (r->conf->match.listener)
        json_string_member(w, "listen", r->conf->match.listener->addr.text);
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
    json_string_member(w, "handler", b_slice_cstr(r->handler->module.name));
    adm_seconds(w, "deadline_seconds", r->deadline);
    json_string_member(w, "file", b_slice_cstr(node->file ? node->file->name : ""));
    json_u64_member(w, "line", node->line);
    json_object_end(w);
}

int adm_routes(struct exchange *ex) {
    const struct gw_snapshot *s = ex->snapshot;
    struct b_text t = adm_text();
    struct json_writer w = json_writer(&t);
    json_object_begin(&w);
    json_u64_member(&w, "generation", s->generation);
    json_key(&w, B_LIT("routes"));
    json_array_begin(&w);
    for (unsigned i = 0; i < s->route_count; i++)
        write_route(&w, s, s->routes[i]);
    json_array_end(&w);
    json_object_end(&w);
    return adm_finish(ex, &w);
}

/* ---- slow and failed requests ---- */

int adm_slow(struct exchange *ex) {
    struct b_text t = adm_text();
    struct json_writer w = json_writer(&t);
    gw_write_recorded(&w);
    return adm_finish(ex, &w);
}

/* ---- fibers ---- */

static void write_worker(struct json_writer *w, unsigned index) {
    const struct rt_worker_stats *s = &rt_worker(index)->stats;
    json_object_begin(w);
    json_u64_member(w, "index", index);
    json_u64_member(w, "connections", gw_worker_connections(index));
    json_u64_member(w, "fibers", b_counter_get(&s->fibers));
    json_u64_member(w, "spawned", b_counter_get(&s->spawned));
    json_u64_member(w, "switches", b_counter_get(&s->switches));
    json_u64_member(w, "turns", b_counter_get(&s->turns));
    json_u64_member(w, "messages", b_counter_get(&s->messages));
    json_u64_member(w, "io_events", b_counter_get(&s->io_events));
    json_object_end(w);
}

int adm_fibers(struct exchange *ex) {
    struct b_text t = adm_text();
    struct json_writer w = json_writer(&t);
    json_object_begin(&w);
    json_u64_member(&w, "fibers", rt_fiber_count());
    json_u64_member(&w, "limit", rt_fiber_limit());
    json_u64_member(&w, "stack_high_water_bytes", rt_stack_high_water());
    json_u64_member(&w, "stalls", rt_stall_count());
    json_key(&w, B_LIT("workers"));
    json_array_begin(&w);
    for (unsigned i = 0; i < rt_worker_count(); i++)
        write_worker(&w, i);
    json_array_end(&w);
    json_object_end(&w);
    return adm_finish(ex, &w);
}
