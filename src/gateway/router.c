#include "gateway/router.h"

#include <errno.h>

/* Segments of a pattern; what is deeper in a path can only be matched by a star. */
#define DEPTH_MAX 24
#define ALLOW_MAX 512 /* bytes of an Allow value; what does not fit is left out */

/* A node stands for a prefix of segments. Children: literal ones in a list (few; compared by bytes), one for a
 * parameter, and the route of a trailing `*` that begins here. */
struct node {
    struct b_slice segment;
    struct node *sibling, *literal, *param;
    struct leaf *here, *star;
};

/* A route at a node. Several share it when their methods differ. */
struct leaf {
    const struct gw_route *route;
    struct leaf *next;
};

/* One tree for each pair of listener and host that routes name; NULL and empty mean "any". */
struct site {
    const struct cfg_addr *listener;
    struct b_slice host;
    struct node root;
    struct site *next;
};

struct gw_router {
    struct site *sites; /* the most specific first */
    struct b_arena *arena;
};

/* --- building --- */

static int rank(const struct site *s) {
    return (s->listener ? 2 : 0) + (s->host.len ? 1 : 0);
}

static bool same_listener(const struct cfg_addr *a, const struct cfg_addr *b) {
    return a == b || (a && b && cfg_addr_eq(a, b));
}

static struct site *site_for(struct gw_router *r, const struct cfg_match *m) {
    const struct cfg_addr *listener = m->listener ? &m->listener->addr : NULL;
    for (struct site *s = r->sites; s; s = s->next)
        if (same_listener(s->listener, listener) && b_slice_eq(s->host, m->host))
            return s;
    struct site *s = b_arena_zalloc(r->arena, sizeof *s);
    if (!s)
        return NULL;
    s->listener = listener;
    s->host = m->host;
    struct site **at = &r->sites;
    while (*at && rank(*at) >= rank(s))
        at = &(*at)->next;
    s->next = *at;
    *at = s;
    return s;
}

static bool is_param(struct b_slice segment) {
    return segment.len > 2 && segment.ptr[0] == '{' && segment.ptr[segment.len - 1] == '}';
}

static struct node *child(struct gw_router *r, struct node *n, struct b_slice segment) {
    struct node **slot = is_param(segment) ? &n->param : &n->literal;
    for (struct node *c = *slot; c; c = c->sibling)
        if (slot == &n->param || b_slice_eq(c->segment, segment))
            return c;
    struct node *c = b_arena_zalloc(r->arena, sizeof *c);
    if (!c)
        return NULL;
    c->segment = segment;
    c->sibling = *slot;
    *slot = c;
    return c;
}

static bool methods_overlap(const struct gw_route *a, const struct gw_route *b) {
    if (!a->method_names || !b->method_names)
        return a->method_names == b->method_names;
    CFG_EACH(const struct cfg_text, x, a->method_names)
        CFG_EACH(const struct cfg_text, y, b->method_names)
            if (b_slice_eq(x->text, y->text))
                return true;
    return false;
}

static bool names(const struct gw_route *route, struct b_slice method) {
    CFG_EACH(const struct cfg_text, m, route->method_names)
        if (b_slice_eq(m->text, method))
            return true;
    return false;
}

/* Adds a route at its place: first the one that names HEAD, which others take along with GET, then those with a list of
 * methods, then the one that takes all. */
static int add_leaf(struct gw_router *r, struct leaf **at, const struct gw_route *route,
                    struct cfg_errors *errors) {
    for (struct leaf *l = *at; l; l = l->next)
        if (methods_overlap(l->route, route)) {
            const struct cfg_node *first = l->route->conf->match.head.node;
            return cfg_error_at(
                errors, route->conf->match.head.node,
                "this route matches exactly what the route at line %u matches (%.*s); change its path, "
                "host or methods, or remove one of them",
                first->line, B_FMT(l->route->pattern));
        }
    bool first = route->method_names && names(route, B_LIT("HEAD"));
    while (!first && *at && (*at)->route->method_names)
        at = &(*at)->next;
    struct leaf *l = b_arena_alloc(r->arena, sizeof *l);
    if (!l)
        return cfg_error_memory(errors);
    *l = (struct leaf){.route = route, .next = *at};
    *at = l;
    return 0;
}

static int add_route(struct gw_router *r, const struct gw_route *route, struct cfg_errors *errors) {
    struct site *s = site_for(r, &route->conf->match);
    struct node *n = s ? &s->root : NULL;
    struct b_slice rest = b_slice_from(route->pattern, 1), segment;
    unsigned depth = 0;
    for (size_t i = 0; i < rest.len; i++)
        depth += rest.ptr[i] == '/';
    if (depth + 2 >= DEPTH_MAX)
        return cfg_error_at(errors, route->conf->match.head.node,
                            "a path has at most %d segments; end it with * instead", DEPTH_MAX - 2);
    while (n && b_slice_next(&rest, '/', &segment)) {
        if (b_slice_eq(segment, B_LIT("*")))
            return add_leaf(r, &n->star, route, errors);
        n = child(r, n, segment);
    }
    /* a trailing slash is a segment of its own */
    if (n && route->pattern.len > 1 && route->pattern.ptr[route->pattern.len - 1] == '/')
        n = child(r, n, b_slice("", 0));
    return n ? add_leaf(r, &n->here, route, errors) : cfg_error_memory(errors);
}

struct gw_router *gw_router_new(struct b_arena *arena, struct gw_route **routes, unsigned count,
                                struct cfg_errors *errors) {
    struct gw_router *r = b_arena_zalloc(arena, sizeof *r);
    if (!r) {
        cfg_error_memory(errors);
        return NULL;
    }
    r->arena = arena;
    int rc = 0;
    for (unsigned i = 0; i < count; i++)
        if (add_route(r, routes[i], errors) != 0)
            rc = -EINVAL; /* go on: all ties are told in one go */
    return rc ? NULL : r;
}

/* --- finding --- */

struct search {
    enum http_method method;
    struct b_slice method_text;
    struct gw_match *out;
    struct leaf *known[8]; /* places with this path and other methods, for Allow */
    unsigned known_count;
};

static bool takes(const struct gw_route *route, const struct search *s) {
    /* an answer to TRACE shows all that weir adds to a request, secrets included: only where a route names it */
    if (!route->method_names)
        return s->method != HTTP_METHOD_TRACE;
    if (s->method != HTTP_METHOD_OTHER)
        return route->methods >> s->method & 1;
    return names(route, s->method_text);
}

static bool pick(struct search *s, struct leaf *leaves) {
    for (struct leaf *l = leaves; l; l = l->next)
        if (takes(l->route, s)) {
            s->out->route = l->route;
            return true;
        }
    if (leaves && s->known_count < 8)
        s->known[s->known_count++] = leaves;
    return false;
}

static bool matches(const struct node *n, bool param, struct b_slice segment) {
    return param ? segment.len > 0 : b_slice_eq(n->segment, segment);
}

/* What is still to be tried at one depth: literal children, then the parameter, then the star. */
struct level {
    const struct node *node, *next;
    struct b_slice rest; /* of the path, behind the slash */
    uint8_t stage;
};

static struct b_slice first_segment(struct b_slice rest, struct b_slice *behind, bool *last) {
    size_t at = b_slice_find(rest, '/');
    *last = at == rest.len;
    *behind = *last ? b_slice(rest.ptr + rest.len, 0) : b_slice_from(rest, at + 1);
    return b_slice(rest.ptr, at);
}

/* Too large for the stack of a fiber that is to touch one page. Nothing here waits, so no other fiber comes between. */
static _Thread_local struct level stack[DEPTH_MAX];
static _Thread_local char host_text[256];

/* Depth first with a stack of its own; the first hit is the most specific one. */
static bool walk(const struct node *root, struct b_slice path, struct search *s) {
    unsigned depth = 0, params = 0;
    stack[0] = (struct level){.node = root, .next = root->literal, .rest = b_slice_from(path, 1)};
    for (;;) {
        struct level *l = &stack[depth];
        struct b_slice behind;
        bool last, down = false;
        struct b_slice segment = first_segment(l->rest, &behind, &last);
        if (l->stage == 0 && depth == 0 && path.len == 1 && pick(s, root->here))
            return true; /* "/" itself */
        while (l->stage < 2 && !down) {
            const struct node *n = l->next;
            if (!n) {
                if (++l->stage == 1)
                    l->next = l->node->param;
                continue;
            }
            l->next = n->sibling;
            if (!matches(n, l->stage == 1, segment))
                continue;
            if (l->stage == 1 && params < GW_PARAMS_MAX)
                s->out->params[params] = segment;
            if (last && pick(s, n->here))
                return true;
            if (!last && depth + 1 < DEPTH_MAX) {
                params += l->stage == 1;
                stack[++depth] = (struct level){.node = n, .next = n->literal, .rest = behind};
                down = true;
            }
        }
        if (down)
            continue;
        if (pick(s, l->node->star))
            return true;
        if (depth == 0)
            return false;
        depth--;
        params -= stack[depth].stage == 1;
    }
}

static void allow(struct b_text *t, struct b_slice method) {
    struct b_slice rest = b_text_slice(t), listed;
    while (http_list_next(&rest, &listed))
        if (b_slice_eq(listed, method))
            return;
    if (method.len + 2 <= t->cap - t->len)
        b_text_printf(t, "%s%.*s", t->len ? ", " : "", B_FMT(method));
}

static void allow_route(struct b_text *t, const struct gw_route *route) {
    for (unsigned m = 0; !route->method_names && m < HTTP_METHOD_OTHER; m++)
        if (m != HTTP_METHOD_CONNECT && m != HTTP_METHOD_TRACE)
            allow(t, http_method_name((enum http_method)m));
    if (route->method_names)
        CFG_EACH(const struct cfg_text, m, route->method_names) {
            allow(t, m->text);
            if (b_slice_eq(m->text, B_LIT("GET")))
                allow(t, B_LIT("HEAD"));
        }
}

struct b_slice gw_route_allow(const struct gw_route *route, struct b_arena *arena) {
    struct b_text t = b_text_fixed(b_arena_alloc(arena, ALLOW_MAX), ALLOW_MAX);
    if (t.ptr)
        allow_route(&t, route);
    return b_text_slice(&t);
}

static void write_allow(struct search *s, struct b_arena *arena) {
    struct b_text t = b_text_fixed(b_arena_alloc(arena, ALLOW_MAX), ALLOW_MAX);
    if (!t.ptr)
        return;
    for (unsigned i = 0; i < s->known_count; i++)
        for (struct leaf *l = s->known[i]; l; l = l->next)
            allow_route(&t, l->route);
    s->out->allow = b_text_slice(&t);
}

/* A host without port and final dot, in lower case. */
static struct b_slice bare_host(struct b_slice authority) {
    char *buf = host_text;
    size_t len = authority.len;
    if (len && authority.ptr[0] == '[')
        len = b_slice_find(authority, ']') + 1;
    else
        len = b_slice_find(authority, ':');
    if (len > authority.len || len > 255)
        return b_slice(buf, 0);
    if (len > 1 && authority.ptr[len - 1] == '.')
        len--;
    for (size_t i = 0; i < len; i++)
        buf[i] = b_lower(authority.ptr[i]);
    return b_slice(buf, len);
}

void gw_router_find(const struct gw_router *r, struct b_slice authority, const struct cfg_addr *listener,
                    enum http_method method, struct b_slice method_text, struct b_slice path,
                    struct b_arena *arena, struct gw_match *out) {
    struct b_slice host = {0};
    bool host_known = false, is_served = false;
    struct search s = {.method = method, .method_text = method_text, .out = out};
    *out = (struct gw_match){0};
    if (!path.len || path.ptr[0] != '/')
        path = B_LIT("/"); /* OPTIONS * */
    for (const struct site *site = r->sites; site; site = site->next) {
        if (site->listener && !same_listener(site->listener, listener))
            continue;
        if (site->host.len) {
            if (!host_known)
                host = bare_host(authority);
            host_known = true;
            if (!b_slice_eq(site->host, host)) {
                out->misdirected = true;
                continue;
            }
        }
        is_served = true;
        if (walk(&site->root, path, &s)) {
            out->misdirected = false;
            return;
        }
    }
    out->misdirected &= !is_served;
    out->path_known = s.known_count > 0;
    if (out->path_known)
        write_allow(&s, arena);
}
