#include "gateway/stores.h"

#include "base/log.h"
#include "config/nearest.h"
#include "gateway/gateway.h"

#define START_TIME (10 * RT_S)

int gw_stores_open(const struct gw_open *o) {
    struct gw_snapshot *s = o->snapshot;
    const struct cfg_list *list = &s->root->stores;
    s->stores = b_arena_zalloc(o->arena, (list->count + 1) * sizeof *s->stores);
    if (!s->stores)
        return cfg_error_memory(o->errors);
    CFG_EACH(const struct cfg_store, c, list) {
        struct st_store *store = st_get(o->gateway->stores, c);
        if (!store)
            return cfg_error_memory(o->errors);
        s->stores[s->store_count++] = store;
    }
    return 0;
}

void gw_stores_close(struct gw_snapshot *s) {
    for (unsigned i = 0; i < s->store_count; i++)
        st_put(s->stores[i]);
}

static int report(const struct gw_open *o, struct b_slice name, const struct cfg_node *node) {
    struct cfg_nearest nearest;
    if (!o->snapshot->root->stores.count)
        return cfg_error_at(o->errors, node, "there are no stores: add `stores: {main: {sqlite: weir.db}}`");
    if (!name.len)
        return cfg_error_at(o->errors, node, "there are several stores: name one, as in `store: main`");
    cfg_nearest_init(&nearest, name);
    CFG_EACH(const struct cfg_store, c, &o->snapshot->root->stores)
        cfg_nearest_offer(&nearest, c->head.name);
    if (nearest.best.len)
        return cfg_error_at(o->errors, node, "there is no store \"%.*s\"; did you mean \"%.*s\"?",
                            B_FMT(name), B_FMT(nearest.best));
    return cfg_error_at(o->errors, node, "there is no store \"%.*s\": add it to `stores`", B_FMT(name));
}

struct st_store *gw_store_find(const struct gw_open *o, struct b_slice name, const struct cfg_node *node) {
    const struct gw_snapshot *s = o->snapshot;
    unsigned at = 0;
    if (!name.len && s->store_count == 1)
        return s->stores[0];
    CFG_EACH(const struct cfg_store, c, &s->root->stores) {
        if (name.len && at < s->store_count && b_slice_eq(c->head.name, name))
            return s->stores[at];
        at++;
    }
    report(o, name, node);
    return NULL;
}

void gw_stores_start(struct gw_snapshot *s) {
    rt_time deadline = rt_after(rt_now(), START_TIME);
    char why[ST_WHY_MAX];
    for (unsigned i = 0; i < s->store_count; i++)
        if (st_start(s->stores[i], deadline, why) != 0)
            B_LOG(B_WARN, "store", "store %s is not up yet: %s; what is to go there is refused until it is",
                  st_name(s->stores[i]), why);
}

bool gw_stores_ready(struct gateway *g) {
    return st_registry_ready(g->stores);
}
