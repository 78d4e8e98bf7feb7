/* What a reload changed, for its answer: names that came and went, and each option that differs. */
#include "config/config.h"
#include "config/copy.h"
#include "config/diff.h"
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

static void upstreams_changed(struct json_writer *w, const struct cfg_root *old, const struct cfg_root *new) {
    json_key(w, B_LIT("changed"));
    json_array_begin(w);
    CFG_EACH(const struct cfg_upstream, u, &new->upstreams) {
        const struct cfg_upstream *before = cfg_upstream_find(old, u->head.name);
        if (before && !cfg_equal(&cfg_upstream_table, before, u))
            json_string(w, u->head.name);
    }
    json_array_end(w);
}

/* ---- each option ---- */

#define SHOWN_MAX 200

struct listing {
    struct json_writer *w; /* NULL: lines for people */
    struct b_text *out;
    unsigned count; /* of all; the first SHOWN_MAX are shown */
};

static unsigned left_off(const struct listing *l) {
    return l->count > SHOWN_MAX ? l->count - SHOWN_MAX : 0;
}

static void write_side(struct json_writer *w, struct b_slice key, struct b_slice value) {
    json_key(w, key);
    if (value.ptr)
        json_string(w, value);
    else
        json_null(w);
}

static bool list_json(void *arg, const struct cfg_difference *d) {
    struct listing *l = arg;
    if (l->count++ >= SHOWN_MAX)
        return true;
    json_object_begin(l->w);
    json_key(l->w, B_LIT("option"));
    json_string(l->w, d->option);
    json_key(l->w, B_LIT("change"));
    json_string(l->w, d->added ? B_LIT("added") : d->removed ? B_LIT("removed") : B_LIT("changed"));
    write_side(l->w, B_LIT("from"), d->from);
    write_side(l->w, B_LIT("to"), d->to);
    json_object_end(l->w);
    return true;
}

static bool list_line(void *arg, const struct cfg_difference *d) {
    struct listing *l = arg;
    if (l->count++ >= SHOWN_MAX)
        return true;
    b_text_printf(l->out, "  %c %.*s", d->added ? '+' : d->removed ? '-' : '~', B_FMT(d->option));
    if (d->from.ptr && d->to.ptr)
        b_text_printf(l->out, ": %.*s -> %.*s", B_FMT(d->from), B_FMT(d->to));
    else if (d->from.ptr || d->to.ptr)
        b_text_printf(l->out, ": %.*s", B_FMT(d->from.ptr ? d->from : d->to));
    b_text_char(l->out, '\n');
    return true;
}

static void write_lines(struct b_text *out, const struct gw_snapshot *old, const struct gw_snapshot *new) {
    struct listing l = {.out = out};
    b_text_printf(out, "generation %llu\n", (unsigned long long)new->generation);
    if (cfg_diff(old->root, new->root, list_line, &l) != 0)
        out->failed = true;
    if (!l.count)
        b_text_lit(out, "  nothing differs\n");
    if (left_off(&l))
        b_text_printf(out, "  and %u more\n", left_off(&l));
}

static void write_json(struct b_text *out, const struct gw_snapshot *old, const struct gw_snapshot *new) {
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
    upstreams_changed(&w, old->root, new->root);
    json_object_end(&w);
    json_key(&w, B_LIT("listeners"));
    json_object_begin(&w);
    listeners_missing(&w, B_LIT("added"), new->root, old->root);
    listeners_missing(&w, B_LIT("removed"), old->root, new->root);
    json_object_end(&w);
    struct listing l = {.w = &w};
    json_key(&w, B_LIT("changes"));
    json_array_begin(&w);
    if (cfg_diff(old->root, new->root, list_json, &l) != 0)
        out->failed = true;
    json_array_end(&w);
    json_key(&w, B_LIT("changes_left_off"));
    json_u64(&w, left_off(&l));
    json_object_end(&w);
    b_text_char(out, '\n');
}

void gw_write_changes(struct b_text *out, const struct gw_snapshot *old, const struct gw_snapshot *new,
                      enum gw_format format) {
    if (format == GW_TEXT)
        write_lines(out, old, new);
    else
        write_json(out, old, new);
}
