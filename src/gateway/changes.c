/* What a reload changed, for its answer: names that came and went, and upstreams whose settings differ. */
#include "config/config.h"
#include "gateway/gateway.h"
#include "json/writer.h"

static bool has_route(const struct gw_snapshot *s, struct b_slice pattern) {
    for (unsigned i = 0; i < s->route_count; i++)
        if (b_slice_eq(s->routes[i]->pattern, pattern))
            return true;
    return false;
}

static void routes_missing(struct json_writer *w, struct b_slice key, const struct gw_snapshot *in,
                           const struct gw_snapshot *from) {
    json_key(w, key);
    json_array_begin(w);
    for (unsigned i = 0; i < in->route_count; i++)
        if (!has_route(from, in->routes[i]->pattern))
            json_string(w, in->routes[i]->pattern);
    json_array_end(w);
}

static bool has_listener(const struct cfg_root *root, const struct cfg_addr *addr) {
    CFG_EACH(const struct cfg_listener, l, &root->listen)
        if (cfg_addr_eq(&l->addr, addr))
            return true;
    return false;
}

static void listeners_missing(struct json_writer *w, struct b_slice key, const struct cfg_root *in,
                              const struct cfg_root *from) {
    json_key(w, key);
    json_array_begin(w);
    CFG_EACH(const struct cfg_listener, l, &in->listen)
        if (!has_listener(from, &l->addr))
            json_string(w, l->addr.text);
    json_array_end(w);
}

static void upstreams_missing(struct json_writer *w, struct b_slice key, const struct cfg_root *in,
                              const struct cfg_root *from) {
    json_key(w, key);
    json_array_begin(w);
    CFG_EACH(const struct cfg_upstream, u, &in->upstreams)
        if (!cfg_upstream_find(from, u->head.name))
            json_string(w, u->head.name);
    json_array_end(w);
}

void gw_write_changes(struct b_text *out, const struct gw_snapshot *old, const struct gw_snapshot *new) {
    struct json_writer w = json_writer(out);
    json_object_begin(&w);
    json_key(&w, B_LIT("generation"));
    json_u64(&w, new->generation);
    json_key(&w, B_LIT("routes"));
    json_object_begin(&w);
    routes_missing(&w, B_LIT("added"), new, old);
    routes_missing(&w, B_LIT("removed"), old, new);
    json_object_end(&w);
    json_key(&w, B_LIT("upstreams"));
    json_object_begin(&w);
    upstreams_missing(&w, B_LIT("added"), new->root, old->root);
    upstreams_missing(&w, B_LIT("removed"), old->root, new->root);
    json_object_end(&w);
    json_key(&w, B_LIT("listeners"));
    json_object_begin(&w);
    listeners_missing(&w, B_LIT("added"), new->root, old->root);
    listeners_missing(&w, B_LIT("removed"), old->root, new->root);
    json_object_end(&w);
    json_object_end(&w);
    b_text_char(out, '\n');
}
