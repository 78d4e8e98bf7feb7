#include "support.h"

#include <string.h>

#include "gateway/router.h"
#include "store/store.h"
#include "test.h"
#include "upstream/upstream.h"

void build(struct built *b, const char *config) {
    struct b_text said = b_text_fixed(b->said, sizeof b->said - 1);
    memset(b, 0, sizeof *b);
    b->options = (struct gw_options){.config_text = b_slice_cstr(config), .config_name = "t"};
    b->gateway.options = &b->options;
    b->gateway.upstreams = up_registry_new();
    b->gateway.stores = st_registry_new();
    cfg_errors_init(&b->errors);
    b->snapshot = gw_build(&b->gateway, &b->options, &b->errors);
    cfg_errors_sort(&b->errors);
    cfg_errors_write(&b->errors, &said);
    CHECK((b->snapshot == NULL) == cfg_errors_any(&b->errors));
}

void unbuild(struct built *b) {
    if (b->snapshot)
        gw_snapshot_free(b->snapshot);
    up_registry_free(b->gateway.upstreams);
    st_registry_free(b->gateway.stores);
    cfg_errors_free(&b->errors);
}

static void write_match(struct b_text *out, const struct gw_match *m) {
    if (!m->route) {
        b_text_cstr(out, m->path_known ? "405" : m->misdirected ? "421" : "404");
        if (m->allow.len)
            b_text_printf(out, " %.*s", B_FMT(m->allow));
        return;
    }
    b_text_slice_add(out, m->route->pattern);
    for (unsigned i = 0; i < m->route->param_count; i++)
        b_text_printf(out, " %.*s=%.*s", B_FMT(m->route->params[i]), B_FMT(m->params[i]));
}

static const struct cfg_addr *address(const struct built *b, const char *text) {
    const struct cfg_listener *all = b->snapshot->root->listen.items;
    CFG_EACH(const struct cfg_listener, l, &b->snapshot->root->listen)
        if (b_slice_eq(l->addr.text, b_slice_cstr(text)))
            return &l->addr;
    return &all[0].addr;
}

const char *found_on(struct built *b, const char *listener, const char *method, const char *host,
                     const char *path) {
    static char text[4096];
    struct b_text out = b_text_fixed(text, sizeof text - 1);
    struct b_slice name = b_slice_cstr(method);
    struct b_arena arena;
    struct gw_match m;
    if (!b->snapshot)
        return b->said;
    b_arena_init(&arena, B_TAG_TEST, NULL, NULL, 0, 1 << 20);
    gw_router_find(b->snapshot->router, b_slice_cstr(host), address(b, listener), http_method_of(name), name,
                   b_slice_cstr(path), &arena, &m);
    write_match(&out, &m);
    text[out.len] = 0;
    b_arena_release(&arena);
    return text;
}

const char *found(struct built *b, const char *method, const char *host, const char *path) {
    return found_on(b, "", method, host, path);
}
