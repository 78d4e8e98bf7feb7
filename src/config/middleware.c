/* `middleware`: named instances, and the `use` lists that name them. */
#include <errno.h>

#include "base/map.h"
#include "config/nearest.h"
#include "config/tables.h"

static const struct cfg_option options[] = {{0}};

static const struct cfg_later later[] = {
    {"rate_limit", NULL, "take it out"},
    {"api_key", NULL, "take it out"},
    {"admission", NULL, "take it out"},
    {"size_limit", NULL, "take it out"},
    {"compress", NULL, "take it out"},
    {"compression", NULL, "take it out"},
    {"cache", NULL, "take it out"},
    {"transform", NULL, "take it out"},
    {0},
};

const struct cfg_table cfg_middleware_table = {
    .name = "a middleware",
    .summary =
        "A middleware with options of its own, under a name that `use` lists take; it holds one kind and its options",
    .options = options,
    .size = sizeof(struct cfg_middleware),
    .later = later,
    .modules = CFG_MIDDLEWARE,
    .module_offset = offsetof(struct cfg_middleware, use),
};

/* ---- use lists ---- */

/* What `use` may name while lists are resolved. */
struct names {
    struct cfg_decoder *d;
    struct cfg_root *root;
    struct b_map by_name;        /* struct cfg_middleware */
    struct cfg_middleware *made; /* instances that `use` alone made, one for each kind at most */
    size_t made_count;
};

static size_t count_kinds(const struct cfg_registry *registry) {
    size_t n = 0;
    while (registry->middleware && registry->middleware[n])
        n++;
    return n;
}

static bool put(struct names *n, struct cfg_middleware *m) {
    if (b_map_put(&n->by_name, m->head.name, m) == 0)
        return true;
    (void)cfg_error_memory(n->d->errors);
    return false;
}

/* An instance of that kind with its defaults. NULL after reporting. */
static struct cfg_middleware *make(struct names *n, const struct cfg_module *kind,
                                   const struct cfg_node *at) {
    struct cfg_middleware *m = &n->made[n->made_count];
    m->head = (struct cfg_head){.name = b_slice_cstr(kind->name), .node = at};
    if (!put(n, m))
        return NULL;
    n->root->implicit.items[n->made_count] = m;
    n->root->implicit.count = ++n->made_count;
    return cfg_decode_module(n->d, kind, NULL, at, &m->use) ? m : NULL;
}

static void report_unknown(struct names *n, const struct cfg_text *name) {
    char buf[CFG_SHOWN_SIZE];
    const char *shown = cfg_node_shown(name->node, buf);
    struct cfg_nearest nearest;
    for (const struct cfg_later *l = later; l->name; l++) {
        if (b_slice_eq(b_slice_cstr(l->name), name->text)) {
            cfg_error_at(n->d->errors, name->node, "the middleware %s is not built yet: %s", shown,
                         l->instead);
            return;
        }
    }
    cfg_nearest_init(&nearest, name->text);
    if (!cfg_errors_full(n->d->errors)) {
        CFG_EACH(struct cfg_middleware, m, &n->root->middleware) {
            cfg_nearest_offer(&nearest, m->head.name);
        }
    }
    for (size_t i = 0; i < count_kinds(n->d->registry); i++)
        cfg_nearest_offer(&nearest, b_slice_cstr(n->d->registry->middleware[i]->name));
    if (nearest.best.len)
        cfg_error_at(n->d->errors, name->node, "there is no middleware %s; did you mean \"%s\"?", shown,
                     nearest.best.ptr);
    else
        cfg_error_at(n->d->errors, name->node,
                     "there is no middleware %s: add it to `middleware`, or name a kind of them", shown);
}

static bool is_in(const struct cfg_chain *chain, const struct cfg_middleware *m) {
    for (size_t i = 0; i < chain->count; i++)
        if (chain->items[i] == m)
            return true;
    return false;
}

/* NULL after reporting, or when an earlier error was about it. */
static const struct cfg_middleware *find(struct names *n, const struct cfg_text *name) {
    struct cfg_middleware *m = b_map_get(&n->by_name, name->text);
    if (m)
        return m;
    const struct cfg_module *kind = cfg_module_find(n->d->registry->middleware, name->text);
    if (kind)
        return make(n, kind, name->node);
    report_unknown(n, name);
    return NULL;
}

/* Fills the chain; `outer` is the global one, which comes before it, or NULL. */
static void resolve(struct names *n, const struct cfg_list *use, const struct cfg_chain *outer,
                    struct cfg_chain *chain) {
    if (!use->count || use->count > CFG_USE_MAX ||
        !(chain->items = cfg_decode_alloc(n->d, use->count * sizeof *chain->items)))
        return;
    CFG_EACH(struct cfg_text, name, use) {
        const struct cfg_middleware *m = name->text.len && !n->d->errors->no_memory ? find(n, name) : NULL;
        if (!m)
            continue;
        if (is_in(chain, m))
            cfg_error_at(n->d->errors, name->node, "\"%s\" is in this list twice", m->head.name.ptr);
        else if (outer && is_in(outer, m))
            cfg_warn_at(n->d->errors, name->node,
                        "\"%s\" is in the `use` of all routes already, and runs twice here",
                        m->head.name.ptr);
        chain->items[chain->count++] = m;
    }
}

static void take_out(struct names *n, const struct cfg_list *use) {
    CFG_EACH(struct cfg_text, name, use) {
        (void)b_map_remove(&n->by_name, name->text);
    }
}

static void warn_unused(struct names *n) {
    take_out(n, &n->root->use);
    CFG_EACH(struct cfg_route, r, &n->root->routes) {
        take_out(n, &r->use);
    }
    CFG_EACH(struct cfg_middleware, m, &n->root->middleware) {
        if (b_map_get(&n->by_name, m->head.name))
            cfg_warn_at(n->d->errors, m->head.node, "no `use` names the middleware \"%s\"", m->head.name.ptr);
    }
}

void cfg_link_middleware(struct cfg_decoder *d, struct cfg_root *root) {
    struct names n = {.d = d, .root = root};
    size_t kinds = count_kinds(d->registry);
    b_map_init(&n.by_name, B_TAG_CONFIG, (struct b_hash_key){0, 0});
    n.made = cfg_decode_alloc(d, (kinds + 1) * sizeof *n.made);
    root->implicit.items = cfg_decode_alloc(d, (kinds + 1) * sizeof *root->implicit.items);
    bool ok = n.made && root->implicit.items;
    CFG_EACH(struct cfg_middleware, m, &root->middleware) {
        ok = ok && put(&n, m);
    }
    if (ok) {
        resolve(&n, &root->use, NULL, &root->chain);
        CFG_EACH(struct cfg_route, r, &root->routes) {
            resolve(&n, &r->use, &root->chain, &r->chain);
        }
    }
    if (ok && !cfg_errors_any(d->errors))
        warn_unused(&n);
    b_map_free(&n.by_name);
}
