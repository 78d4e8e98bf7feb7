/* Routes that match exactly the same requests. Found here, so that they are told together with all other errors. */
#include "config/tables.h"

static bool is_param(struct b_slice segment) {
    return segment.len > 2 && segment.ptr[0] == '{' && segment.ptr[segment.len - 1] == '}';
}

/* The same path, whatever its parameters are called. */
static bool same_path(struct b_slice a, struct b_slice b) {
    struct b_slice x, y;
    bool slash_a = a.len && a.ptr[a.len - 1] == '/', slash_b = b.len && b.ptr[b.len - 1] == '/';
    while (a.len && b.len) {
        b_slice_next(&a, '/', &x);
        b_slice_next(&b, '/', &y);
        if (is_param(x) != is_param(y) || (!is_param(x) && !b_slice_eq(x, y)))
            return false;
    }
    return !a.len && !b.len && slash_a == slash_b;
}

static bool share_method(const struct cfg_match *a, const struct cfg_match *b) {
    if (!a->methods.count || !b->methods.count)
        return a->methods.count == b->methods.count;
    CFG_EACH(const struct cfg_text, x, &a->methods) {
        CFG_EACH(const struct cfg_text, y, &b->methods) {
            if (b_slice_eq(x->text, y->text))
                return true;
        }
    }
    return false;
}

static bool tie(const struct cfg_match *a, const struct cfg_match *b) {
    return a->listener == b->listener && b_slice_eq(a->host, b->host) && same_path(a->path, b->path) &&
           share_method(a, b);
}

#define ROUTES_COMPARED 2000 /* each with each; beyond it the router finds the rest */

void cfg_check_ties(struct cfg_decoder *d, const struct cfg_root *root) {
    const struct cfg_route *routes = root->routes.items;
    for (size_t i = 1; i < root->routes.count && i < ROUTES_COMPARED; i++)
        for (size_t j = 0; j < i; j++) {
            const struct cfg_match *m = &routes[i].match, *first = &routes[j].match;
            if (!m->path.ptr || !first->path.ptr || !routes[i].handler.module || !tie(m, first))
                continue;
            cfg_error_at(
                d->errors, m->head.node,
                "this route matches exactly what the route at line %u matches (%.*s); change its path, "
                "host or methods, or remove one of them",
                first->head.node->line, B_FMT(first->path));
            break;
        }
}
