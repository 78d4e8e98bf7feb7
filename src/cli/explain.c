/* `weir explain`: what happens to a request, without sending one. */
#include <stdio.h>

#include "cli/cli.h"
#include "gateway/router.h"
#include "http/authority.h"
#include "http/path.h"
#include "telemetry/metrics.h"

struct question {
    struct b_slice method, authority, path;
    const struct cfg_listener *listener;
    char path_text[HTTP_PATH_MAX(8192)], again[HTTP_PATH_MAX(8192)];
};

/* ---- the question ---- */

static int bad_url(const char *url, const char *why) {
    fprintf(stderr, "weir: the URL cannot be \"%.200s\": %s\n", url, why);
    return CLI_USAGE;
}

static bool drop(struct b_slice *s, struct b_slice prefix) {
    if (!b_slice_starts(*s, prefix))
        return false;
    *s = b_slice_from(*s, prefix.len);
    return true;
}

static int parse_url(const char *url, struct question *q) {
    struct b_slice rest = b_slice_cstr(url);
    if (rest.len > 8192)
        return bad_url(url, "it is longer than 8 KiB");
    if (drop(&rest, B_LIT("http://")) || drop(&rest, B_LIT("https://"))) {
        size_t end = 0;
        while (end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?' && rest.ptr[end] != '#')
            end++;
        q->authority = b_slice(rest.ptr, end);
        rest = b_slice_from(rest, end);
        if (http_authority_parse(q->authority, HTTP_ALLOW_ALL, NULL) < 0)
            return bad_url(url, "its host is malformed");
    } else if (rest.len == 0 || rest.ptr[0] != '/') {
        return bad_url(url, "write a path that begins with /, or http://HOST/PATH");
    }
    rest.len = b_slice_find(rest, '#');
    rest.len = b_slice_find(rest, '?');
    q->path = rest.len ? rest : B_LIT("/");
    struct b_text text = b_text_fixed(q->path_text, sizeof q->path_text);
    int rc = http_path_normalise(q->path, HTTP_ALLOW_ENCODED_SLASH, &text);
    if (rc < 0)
        return bad_url(url, http_error_info((enum http_error) - rc)->explanation);
    if (rc == HTTP_PATH_CHANGED)
        q->path = b_text_slice(&text);
    return 0;
}

/* The listener of the URL's port, else the first one. */
static void choose_listener(struct question *q, const struct cfg_root *root) {
    struct http_authority a = {0};
    if (q->authority.len)
        (void)http_authority_parse(q->authority, HTTP_ALLOW_ALL, &a);
    q->listener = root->listen.items;
    CFG_EACH(struct cfg_listener, l, &root->listen)
        if (l->addr.kind != CFG_HOST_UNIX && l->addr.port == (a.port ? a.port : 80)) {
            q->listener = l;
            break;
        }
    if (a.port && q->listener->addr.port != a.port)
        fprintf(stderr, "weir: no listener has port %u; this is about %.*s\n", a.port,
                B_FMT(q->listener->addr.text));
}

static void find(const struct gw_snapshot *s, const struct question *q, struct b_slice authority,
                 const struct cfg_addr *listener, struct gw_match *out) {
    struct b_arena *arena = (struct b_arena *)(uintptr_t)&s->arena;
    gw_router_find(s->router, authority, listener, http_method_of(q->method), q->method, q->path, arena, out);
}

/* ---- the answer ---- */

static void label(struct b_text *out, const char *name) {
    b_text_printf(out, "%-11s ", name);
}

static void place(struct b_text *out, const struct cfg_node *node) {
    if (node && node->file)
        b_text_printf(out, " (%s:%u)", node->file->name, node->key_line ? node->key_line : node->line);
}

static void duration(struct b_text *out, const char *before, int64_t ns) {
    b_text_cstr(out, before);
    cfg_write_duration(out, ns);
}

static void write_question(struct b_text *out, const struct question *q, struct b_slice authority) {
    b_text_printf(out, "%.*s %.*s", B_FMT(q->method), B_FMT(q->path));
    if (authority.len)
        b_text_printf(out, " for %.*s", B_FMT(authority));
    b_text_printf(out, " at %.*s\n", B_FMT(q->listener->addr.text));
}

static void write_chain(struct b_text *out, const struct cfg_chain *chain, const char *where) {
    for (size_t i = 0; i < chain->count; i++) {
        const struct cfg_middleware *m = chain->items[i];
        label(out, "use");
        b_text_printf(out, "%.*s", B_FMT(m->head.name));
        if (!b_slice_eq(m->head.name, b_slice_cstr(m->use.module->name)))
            b_text_printf(out, ": %s", m->use.module->name);
        place(out, m->head.node);
        b_text_printf(out, ", %s\n", where);
    }
}

static const char *balance_name(int balance) {
    const struct cfg_option *o = cfg_table_find(&cfg_upstream_table, B_LIT("balance"));
    return o->choices[balance];
}

/* As it would apply to this method. */
static void write_retry(struct b_text *out, const struct cfg_upstream *u, struct b_slice method) {
    label(out, "");
    if (u->retry.attempts == 1) {
        b_text_lit(out, "retry: none\n");
        return;
    }
    b_text_printf(out, "retry: %lld attempts in all", (long long)u->retry.attempts);
    duration(out, ", backoff up to ", u->retry.backoff.max);
    b_text_printf(out, ", budget %lld%% or %lld/s; ", (long long)u->retry.budget.percent,
                  (long long)u->retry.budget.min);
    if (!http_method_idempotent(http_method_of(method))) {
        b_text_printf(out, "%.*s only when nothing of it was sent\n", B_FMT(method));
        return;
    }
    b_text_printf(out, "%.*s on", B_FMT(method));
    if (!u->retry.on.node)
        b_text_lit(out, " connect_failure, reset, timeout, 502, 503, 504");
    CFG_EACH(const struct cfg_text, t, &u->retry.on)
        b_text_printf(out, "%s %.*s", t == u->retry.on.items ? "" : ",", B_FMT(t->text));
    if (u->retry.hedge.after) {
        duration(out, "; a second endpoint after ", u->retry.hedge.after);
        b_text_printf(out, ", for %lld%% of requests", (long long)u->retry.hedge.percent);
    }
    b_text_char(out, '\n');
}

static void write_breaker(struct b_text *out, const struct cfg_upstream *u) {
    const struct cfg_breaker *b = &u->breaker;
    bool alone = u->endpoints.count == 1 && !b->head.given;
    label(out, "");
    if (!b->enabled || alone) {
        b_text_printf(out, "breaker: off%s\n",
                      alone ? " (its only endpoint is ejected only where `breaker` is named)" : "");
    } else {
        b_text_printf(out, "breaker: opens at %lld failures in a row, or %lld%% of %lld or more",
                      (long long)b->consecutive_failures, (long long)b->failure_percent,
                      (long long)b->min_requests);
        duration(out, " in ", b->window);
        duration(out, ", for ", b->open_for);
        duration(out, " to ", b->max_open_for);
        b_text_char(out, '\n');
    }
    if (!u->health_check.head.node)
        return;
    label(out, "");
    b_text_printf(out, "health check: GET %.*s", B_FMT(u->health_check.path));
    duration(out, " every ", u->health_check.interval);
    b_text_printf(out, ", out after %lld failures, back after %lld passes\n",
                  (long long)u->health_check.fails, (long long)u->health_check.passes);
}

static void write_discovery(struct b_text *out, const struct cfg_discover *d) {
    if (!d->head.node)
        return;
    label(out, "endpoints");
    if (d->file.head.node)
        b_text_printf(out, "found in the file %.*s\n", B_FMT(d->file.path));
    else if (d->dns.head.node)
        b_text_printf(out, "found in the DNS: %s of %.*s\n", d->dns.records ? "SRV" : "the addresses",
                      B_FMT(d->dns.name));
    else
        b_text_printf(out, "found in ZooKeeper, below %.*s\n", B_FMT(d->zookeeper.path));
}

static void write_upstream(struct b_text *out, const struct cfg_upstream *u, struct b_slice method) {
    label(out, "upstream");
    b_text_printf(out, "%.*s", B_FMT(u->head.name));
    place(out, u->head.node);
    b_text_printf(out, ": %s", balance_name(u->balance));
    if (u->hash_on.ptr)
        b_text_printf(out, " on %.*s", B_FMT(u->hash_on));
    duration(out, ", connect_timeout ", u->connect_timeout);
    duration(out, ", timeout ", u->timeout);
    b_text_char(out, '\n');
    label(out, "");
    b_text_printf(out,
                  "bulkhead: %lld in flight, then %lld wait, then 503; pool: %lld connections, %lld idle\n",
                  (long long)u->max_in_flight, (long long)u->max_pending, (long long)u->pool.max_connections,
                  (long long)u->pool.max_idle);
    write_retry(out, u, method);
    write_breaker(out, u);
    write_discovery(out, &u->discover);
    CFG_EACH(struct cfg_endpoint, e, &u->endpoints) {
        label(out, "endpoint");
        b_text_printf(out, "%.*s", B_FMT(e->url.text));
        if (e->weight != 1)
            b_text_printf(out, ", weight %lld", (long long)e->weight);
        b_text_char(out, '\n');
    }
}

/* The options as the config has them, what they amount to, and the upstreams that are asked. */
static void write_handler(struct b_text *out, const struct gw_snapshot *s, const struct gw_route *r,
                          struct b_slice method) {
    const struct cfg_module_use *use = &r->conf->handler;
    const struct cfg_table *table = use->module->options;
    label(out, "handler");
    b_text_cstr(out, use->module->name);
    place(out, use->node);
    b_text_char(out, '\n');
    CFG_EACH_CHILD(child, use->node) {
        const struct cfg_option *o = table ? cfg_table_find(table, child->key) : NULL;
        char shown[CFG_SHOWN_SIZE];
        label(out, "");
        b_text_printf(out, "  %.*s: %s\n", B_FMT(child->key),
                      o && (o->flags & CFG_SECRET) ? "(secret)" : cfg_node_shown(child, shown));
    }
    if (r->handler->explain)
        r->handler->explain(r->state, "              ", out);
    CFG_EACH(const struct cfg_upstream, u, &s->root->upstreams)
        if (r->handler->calls && r->handler->calls(use->conf, u))
            write_upstream(out, u, method);
}

static void write_match(struct b_text *out, const struct gw_snapshot *s, const struct gw_match *m,
                        struct b_slice method) {
    const struct gw_route *r = m->route;
    label(out, "route");
    b_text_printf(out, "%.*s", B_FMT(r->pattern));
    place(out, r->conf->match.head.node);
    b_text_char(out, '\n');
    for (unsigned i = 0; i < r->param_count; i++) {
        label(out, "parameter");
        b_text_printf(out, "%.*s = %.*s\n", B_FMT(r->params[i]), B_FMT(m->params[i]));
    }
    label(out, "limits");
    duration(out, "deadline ", r->deadline);
    b_text_lit(out, ", max_body ");
    if (r->max_body == INT64_MAX)
        b_text_lit(out, "unlimited");
    else
        cfg_write_size(out, (int64_t)r->max_body);
    b_text_char(out, '\n');
    write_chain(out, &s->root->chain, "for every route");
    write_chain(out, &r->conf->chain, "for this route");
    write_handler(out, s, r, method);
}

/* ---- the other routes ---- */

enum why_not { OTHER_PATH, OTHER_METHOD, OTHER_HOST, OTHER_LISTENER, LESS_SPECIFIC };

/* What keeps this route from being the one: it is asked alone. */
static enum why_not why_not(const struct gw_snapshot *s, struct gw_route *r, const struct question *q,
                            struct gw_match *m) {
    struct b_arena *arena = (struct b_arena *)(uintptr_t)&s->arena;
    const struct cfg_match *match = &r->conf->match;
    const struct cfg_addr *listener = match->listener ? &match->listener->addr : &q->listener->addr;
    enum http_method method = http_method_of(q->method);
    struct cfg_errors errors;
    cfg_errors_init(&errors);
    struct gw_router *alone = gw_router_new(arena, &r, 1, &errors);
    cfg_errors_free(&errors);
    *m = (struct gw_match){0};
    if (!alone)
        return OTHER_PATH;
    gw_router_find(alone, match->host.ptr ? match->host : q->authority, listener, method, q->method, q->path,
                   arena, m);
    if (!m->route)
        return m->path_known ? OTHER_METHOD : OTHER_PATH;
    if (match->listener && !cfg_addr_eq(&match->listener->addr, &q->listener->addr))
        return OTHER_LISTENER;
    gw_router_find(alone, q->authority, listener, method, q->method, q->path, arena, m);
    return m->route ? LESS_SPECIFIC : OTHER_HOST;
}

#define OTHERS_MAX 20

/* `won`: the route that it is, NULL when there is none. */
static void write_others(struct b_text *out, const struct gw_snapshot *s, const struct question *q,
                         const struct gw_route *won) {
    unsigned paths = 0, shown = 0;
    for (unsigned i = 0; i < s->route_count; i++) {
        struct gw_route *r = s->routes[i];
        const struct cfg_match *match = &r->conf->match;
        struct gw_match m;
        enum why_not why = r == won ? OTHER_PATH : why_not(s, r, q, &m);
        if (why == OTHER_PATH) {
            paths += r != won;
            continue;
        }
        if (shown >= OTHERS_MAX)
            continue;
        label(out, shown++ ? "" : "not");
        b_text_slice_add(out, r->pattern);
        place(out, match->head.node);
        if (why == OTHER_METHOD)
            b_text_printf(out, ": only for %.*s\n", B_FMT(m.allow));
        else if (why == OTHER_HOST)
            b_text_printf(out, ": only for the host %.*s\n", B_FMT(match->host));
        else if (why == OTHER_LISTENER)
            b_text_printf(out, ": only for the listener %.*s\n", B_FMT(match->listener->addr.text));
        else
            b_text_lit(out, ": fits as well, but is less specific\n");
    }
    if (paths)
        b_text_printf(out, "%-11s %u %s with other paths\n", shown ? "" : "not", paths,
                      paths == 1 ? "route" : "routes");
}

/* ---- no answer ---- */

static void write_none(struct b_text *out, const struct gw_snapshot *s, const struct question *q,
                       const struct gw_match *m) {
    label(out, "answer");
    if (m->path_known) {
        b_text_printf(out, "405 method_not_allowed: the path has a route, but only for %.*s\n",
                      B_FMT(m->allow));
        write_others(out, s, q, NULL);
        return;
    }
    if (m->misdirected)
        b_text_lit(out, "421 misdirected: all routes here name hosts, and none this one\n");
    else
        b_text_printf(out, "404 no_route: none of %u routes has this path here\n", s->route_count);
    write_others(out, s, q, NULL);
    for (unsigned i = 0; i < s->route_count && i < 20; i++) {
        label(out, i ? "" : "routes");
        b_text_printf(out, "%.*s", B_FMT(s->routes[i]->pattern));
        place(out, s->routes[i]->conf->match.head.node);
        b_text_char(out, '\n');
    }
    if (s->route_count > 20)
        b_text_printf(out, "            and %u more\n", s->route_count - 20);
}

int cli_explain(const struct cli_args *args) {
    static struct question q; /* its path is long */
    struct gw_options source;
    struct gw_match m;
    struct b_text out = cli_text();
    q.method = args->word_count == 2 ? b_slice_cstr(args->words[0]) : B_LIT("GET");
    int rc = parse_url(args->words[args->word_count - 1], &q);
    if (rc == 0)
        rc = cli_source(args, &source);
    if (rc != 0)
        return rc;
    tel_metrics_init(1);
    struct gw_snapshot *s = cli_build(&source);
    if (!s)
        return CLI_FAILED;
    choose_listener(&q, s->root);
    struct b_text again = b_text_fixed(q.again, sizeof q.again);
    if (http_path_normalise(q.path, q.listener->switches, &again) < 0) {
        gw_snapshot_free(s);
        return bad_url(args->words[args->word_count - 1], http_error_info(HTTP_E_BAD_PATH)->explanation);
    }
    find(s, &q, q.authority, &q.listener->addr, &m);
    write_question(&out, &q, q.authority);
    if (m.route) {
        write_match(&out, s, &m, q.method);
        write_others(&out, s, &q, m.route);
    } else {
        write_none(&out, s, &q, &m);
    }
    rc = cli_print(&out);
    gw_snapshot_free(s);
    return rc == CLI_DONE && !m.route ? CLI_FAILED : rc;
}
