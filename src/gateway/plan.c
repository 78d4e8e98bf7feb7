/* Compiling a config into a snapshot: routes, their pipelines, the states of modules. */
#include <errno.h>
#include <stdlib.h>

#include "config/files.h"
#include "gateway/gateway.h"
#include "gateway/jq.h"
#include "gateway/reference.h"
#include "gateway/router.h"
#include "gateway/stores.h"
#include "runtime/offload.h"
#include "telemetry/http_metrics.h"
#include "upstream/upstream.h"

#define PLAN_ARENA_MAX (256u << 20)

/* Reading and parsing block and take milliseconds: they run on a helper thread when there is a worker to be kept
 * free. */
struct load {
    const struct gw_options *options;
    struct gw_snapshot *snapshot;
    struct cfg_errors *errors;
    int rc;
};

static char *environment(const char *name) {
    return getenv(name);
}

static void load(void *arg) {
    struct load *l = arg;
    struct gw_snapshot *s = l->snapshot;
    struct cfg_source embedded = {.name = l->options->config_name, .bytes = l->options->config_text};
    struct cfg_root *root = NULL;
    if (l->options->config_path) {
        l->rc = cfg_files_read(l->options->config_path, s->files, l->errors);
        if (l->rc)
            return;
    }
    const struct cfg_source *sources = l->options->config_path ? s->files->sources : &embedded;
    l->rc = cfg_load(sources, l->options->config_path ? s->files->count : 1, gw_registry(), environment,
                     &s->arena, &root, l->errors);
    s->root = root;
}

static int load_config(const struct gw_options *options, struct gw_snapshot *s, struct cfg_errors *errors) {
    struct load l = {.options = options, .snapshot = s, .errors = errors};
    bool in_fiber = rt_worker_count() && rt_fiber_self();
    if (in_fiber) {
        int rc = rt_offload(load, &l);
        if (rc)
            return cfg_error_pos(errors, NULL, 0, 0, "the helper threads are busy; try again");
    } else {
        load(&l);
    }
    return l.rc;
}

/* --- pipelines --- */

/* A named instance has one state, whichever routes use it. */
static int middleware_state(struct gw_snapshot *s, const struct gw_open *open, const struct cfg_middleware *m,
                            struct gw_step *step) {
    const struct gw_middleware *kind = (const struct gw_middleware *)m->use.module;
    step->middleware = kind;
    for (unsigned i = 0; i < s->middleware_count; i++)
        if (s->middleware_instances[i] == m) {
            step->state = s->middleware_states[i];
            return 0;
        }
    void *state = m->use.conf;
    int rc = kind->open ? kind->open(open, m, m->use.conf, &state) : 0;
    if (rc)
        return rc;
    s->middleware_instances[s->middleware_count] = m;
    s->middleware_states[s->middleware_count++] = state;
    step->state = state;
    return 0;
}

static int add_steps(struct gw_snapshot *s, const struct gw_open *open, const struct cfg_chain *chain,
                     struct gw_step *steps, unsigned *count) {
    for (size_t i = 0; i < chain->count; i++) {
        int rc = middleware_state(s, open, chain->items[i], &steps[*count]);
        if (rc)
            return rc;
        ++*count;
    }
    return 0;
}

static int compile_pipeline(struct gw_snapshot *s, const struct gw_open *open, const struct cfg_route *c,
                            struct gw_route *r) {
    size_t most = s->root->chain.count + c->chain.count;
    struct gw_step *steps = b_arena_zalloc(&s->arena, (most + 1) * sizeof *steps);
    if (!steps)
        return cfg_error_memory(open->errors);
    int rc = add_steps(s, open, &s->root->chain, steps, &r->step_count);
    if (rc == 0)
        rc = add_steps(s, open, &c->chain, steps, &r->step_count);
    r->steps = steps;
    return rc;
}

bool gw_next_param(struct b_slice *rest, struct b_slice *name) {
    struct b_slice segment;
    while (b_slice_next(rest, '/', &segment)) {
        if (segment.len < 3 || segment.ptr[0] != '{')
            continue;
        *name = b_slice(segment.ptr + 1, segment.len - 2);
        return true;
    }
    return false;
}

static int find_params(const struct gw_open *open, const struct cfg_route *c, struct gw_route *r) {
    struct b_slice rest = r->pattern, name;
    while (gw_next_param(&rest, &name)) {
        if (r->param_count == GW_PARAMS_MAX)
            return cfg_error_at(open->errors, c->match.head.node, "a path has at most %d parameters",
                                GW_PARAMS_MAX);
        r->params[r->param_count++] = name;
    }
    return 0;
}

static void find_methods(const struct cfg_route *c, struct gw_route *r) {
    if (!c->match.methods.count)
        return;
    r->method_names = &c->match.methods;
    CFG_EACH(const struct cfg_text, m, &c->match.methods) {
        enum http_method method = http_method_of(m->text);
        if (method != HTTP_METHOD_OTHER)
            r->methods |= 1ull << method;
        if (method == HTTP_METHOD_GET) /* HEAD is GET without the body (RFC 9110 section 9.3.2) */
            r->methods |= 1ull << HTTP_METHOD_HEAD;
    }
}

static int compile_route(struct gw_snapshot *s, const struct gw_open *open, const struct cfg_route *c) {
    struct gw_route *r = b_arena_zalloc(&s->arena, sizeof *r);
    if (!r)
        return cfg_error_memory(open->errors);
    r->conf = c;
    r->pattern = c->match.path;
    r->deadline = c->deadline;
    r->handler = (const struct gw_handler *)c->handler.module;
    r->max_body = (uint64_t)c->max_body;
    if (r->handler->max_body && !cfg_node_get(c->head.node, "max_body"))
        r->max_body = r->handler->max_body(c->handler.conf);
    find_methods(c, r);
    int rc = find_params(open, c, r);
    if (rc == 0)
        rc = compile_pipeline(s, open, c, r);
    if (rc)
        return rc;
    r->state = c->handler.conf;
    if (r->handler->open)
        rc = r->handler->open(open, c, c->handler.conf, &r->state);
    if (rc)
        return rc;
    r->metrics = tel_route_get(r->pattern);
    s->routes[s->route_count++] = r;
    return 0;
}

/* Requests that have no route, or no readable head, still pass the global list, so that they are logged and named. */
static int compile_refusals(struct gw_snapshot *s, const struct gw_open *open) {
    struct gw_step *steps = b_arena_zalloc(&s->arena, (s->root->chain.count + 1) * sizeof *steps);
    if (!steps)
        return cfg_error_memory(open->errors);
    s->refusals = (struct gw_route){.pattern = B_LIT("none"),
                                    .deadline = 30 * RT_S,
                                    .steps = steps,
                                    .handler = &gw_refuse,
                                    .max_body = s->limits.max_body,
                                    .metrics = tel_route_get(B_LIT("none"))};
    return add_steps(s, open, &s->root->chain, steps, &s->refusals.step_count);
}

static size_t count_instances(const struct cfg_root *root) {
    return root->middleware.count + root->implicit.count;
}

static int compile(struct gw_snapshot *s, struct gateway *g, struct cfg_errors *errors) {
    const struct cfg_root *root = s->root;
    const struct cfg_limits *l = &root->limits;
    struct gw_open open = {.gateway = g, .snapshot = s, .arena = &s->arena, .errors = errors};
    size_t instances = count_instances(root);
    s->limits = http_limits_default;
    s->limits.max_header_bytes = (uint32_t)l->max_header_bytes;
    s->limits.max_headers = (uint32_t)l->max_headers;
    s->limits.max_uri = (uint32_t)l->max_uri;
    s->limits.max_body = (uint64_t)l->max_body;
    s->routes = b_arena_zalloc(&s->arena, (root->routes.count + 1) * sizeof *s->routes);
    s->middleware_states = b_arena_zalloc(&s->arena, (instances + 1) * sizeof *s->middleware_states);
    s->middleware_instances = b_arena_zalloc(&s->arena, (instances + 1) * sizeof *s->middleware_instances);
    if (!s->routes || !s->middleware_states || !s->middleware_instances)
        return cfg_error_memory(errors);
    int rc = gw_references_open(&open);
    rc = gw_stores_open(&open) ? -EINVAL : rc;
    rc = compile_refusals(s, &open) ? -EINVAL : rc;
    if (g->options && g->options->admin && g->options->admin->open)
        rc = g->options->admin->open(&open, NULL, NULL, NULL) ? -EINVAL : rc;
    CFG_EACH(const struct cfg_route, c, &root->routes)
        if (compile_route(s, &open, c) != 0)
            rc = -EINVAL;
    if (rc)
        return rc;
    s->router = gw_router_new(&s->arena, s->routes, s->route_count, errors);
    return s->router ? 0 : -EINVAL;
}

struct gw_snapshot *gw_build(struct gateway *g, const struct gw_options *options, struct cfg_errors *errors) {
    struct gw_snapshot *s = b_zalloc(B_TAG_CONFIG, sizeof *s);
    if (!s) {
        cfg_error_memory(errors);
        return NULL;
    }
    b_arena_init(&s->arena, B_TAG_CONFIG, NULL, NULL, 0, PLAN_ARENA_MAX);
    s->gateway = g;
    s->generation = atomic_load(&g->generation) + 1; /* once it is published */
    s->files = b_zalloc(B_TAG_CONFIG, sizeof *s->files);
    s->pins = b_zalloc(B_TAG_CONFIG, RT_WORKERS_MAX * 8 * sizeof *s->pins);
    int rc = s->files && s->pins ? load_config(options, s, errors) : cfg_error_memory(errors);
    if (rc == 0)
        rc = compile(s, g, errors);
    if (rc == 0 && !cfg_errors_any(errors))
        return s;
    gw_snapshot_free(s);
    return NULL;
}

void gw_snapshot_free(struct gw_snapshot *s) {
    for (unsigned i = s->route_count; i--;)
        if (s->routes[i]->handler->close)
            s->routes[i]->handler->close(s->routes[i]->state);
    for (unsigned i = s->middleware_count; i--;) {
        const struct gw_middleware *kind =
            (const struct gw_middleware *)s->middleware_instances[i]->use.module;
        if (kind->close)
            kind->close(s->middleware_states[i]);
    }
    gw_references_close(s);
    gw_stores_close(s);
    gw_jq_close(s);
    b_arena_release(&s->arena);
    if (s->files)
        cfg_files_free(s->files);
    b_free(s->files);
    b_free(s->pins);
    b_free(s);
}
