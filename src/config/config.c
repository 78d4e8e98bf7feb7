#include "config/config.h"

#include <errno.h>

#include "config/tables.h"

static const char *const level_choices[] = {"debug", "info", "warn", "error", NULL};
static const char *const format_choices[] = {"auto", "json", "text", NULL};
static const char *const io_choices[] = {"auto", "epoll", "uring", NULL};

static const struct cfg_option log_options[] = {
    {.name = "level",
     .type = CFG_ENUM,
     CFG_AT(struct cfg_log, level),
     .default_text = "info",
     .choices = level_choices,
     .help = "the least that is logged"},
    {.name = "format",
     .type = CFG_ENUM,
     CFG_AT(struct cfg_log, format),
     .default_text = "auto",
     .choices = format_choices,
     .help = "auto is text on a terminal and JSON else"},
    {0},
};

const struct cfg_table cfg_log_table = {
    .name = "the log",
    .summary = "weir's own log, on stderr; requests are logged by the middleware access_log",
    .options = log_options,
    .size = sizeof(struct cfg_log),
};

static const struct cfg_option root_options[] = {
    {.name = "version",
     .type = CFG_INT,
     CFG_AT(struct cfg_root, version),
     .flags = CFG_REQUIRED,
     .min = 1,
     .max = 1,
     .example = "1",
     .help = "of the config's format"},
    {.name = "workers",
     .type = CFG_INT,
     CFG_AT(struct cfg_root, workers),
     .word = "auto",
     .default_text = "auto",
     .example = "4",
     .min = 1,
     .max = 256,
     .help = "threads that serve requests; auto is one for each CPU that weir may use"},
    {.name = "io",
     .type = CFG_ENUM,
     CFG_AT(struct cfg_root, io),
     .default_text = "auto",
     .choices = io_choices,
     .help =
         "how the kernel is asked: epoll, io_uring (epoll where that cannot be used), or auto, which is epoll "
         "for now"},
    {.name = "balance_workers",
     .type = CFG_BOOL,
     CFG_AT(struct cfg_root, balance_workers),
     .default_text = "true",
     .help =
         "whether a busy worker gives connections to idle ones, between two requests and when they are accepted"},
    {.name = "log",
     .type = CFG_OBJECT,
     CFG_AT(struct cfg_root, log),
     .table = &cfg_log_table,
     .help = "weir's own log"},
    {.name = "trusted_proxies",
     .type = CFG_CIDRS,
     CFG_AT(struct cfg_root, trusted_proxies),
     .max = 1000,
     .example = "[127.0.0.0/8]",
     .help = "networks whose X-Forwarded-For, request ids and deadlines are believed"},
    {.name = "listen",
     .type = CFG_OBJECTS,
     CFG_AT(struct cfg_root, listen),
     .flags = CFG_REQUIRED,
     .min = 1,
     .max = CFG_LISTENERS_MAX,
     .table = &cfg_listener_table,
     .example = "[{addr: \":8080\"}]",
     .help = "where clients connect"},
    {.name = "admin",
     .type = CFG_OBJECT,
     CFG_AT(struct cfg_root, admin),
     .table = &cfg_admin_table,
     .help = "metrics, health checks and the API"},
    {.name = "limits",
     .type = CFG_OBJECT,
     CFG_AT(struct cfg_root, limits),
     .table = &cfg_limits_table,
     .help = "what clients may ask for"},
    {.name = "use",
     .type = CFG_STRINGS,
     CFG_AT(struct cfg_root, use),
     .max = CFG_USE_MAX,
     .example = "[request_id, access_log]",
     .help = "middleware of every route, outermost first"},
    {.name = "register",
     .type = CFG_OBJECT,
     CFG_AT(struct cfg_root, registration),
     .flags = CFG_OPTIONAL,
     .table = &cfg_register_table,
     .help = "where weir makes itself known to those that send requests to it"},
    {.name = "upstreams",
     .type = CFG_OBJECT_MAP,
     CFG_AT(struct cfg_root, upstreams),
     .table = &cfg_upstream_table,
     .help = "the services behind weir, by name"},
    {.name = "stores",
     .type = CFG_OBJECT_MAP,
     CFG_AT(struct cfg_root, stores),
     .max = 64,
     .table = &cfg_store_table,
     .help = "databases, by name"},
    {.name = "tables",
     .type = CFG_OBJECT_MAP,
     CFG_AT(struct cfg_root, tables),
     .table = &cfg_reference_table,
     .help = "reference data that templates look up by key, by name"},
    {.name = "middleware",
     .type = CFG_OBJECT_MAP,
     CFG_AT(struct cfg_root, middleware),
     .table = &cfg_middleware_table,
     .help =
         "middleware with options of their own, by name; a kind that `use` names without entry here has its defaults"},
    {.name = "routes",
     .type = CFG_OBJECTS,
     CFG_AT(struct cfg_root, routes),
     .flags = CFG_REQUIRED,
     .min = 1,
     .table = &cfg_route_table,
     .example = "[{match: {path: /hello}, respond: {status: 200}}]",
     .help = "which request goes where"},
    {0},
};

static const struct cfg_later root_later[] = {{"redis", NULL, "take it out"}, {0}};

const struct cfg_table cfg_root_table = {
    .name = "the config",
    .summary = "The top level",
    .options = root_options,
    .size = sizeof(struct cfg_root),
    .later = root_later,
};

/* The modules' own checks, in the order of the text. */
static void check_modules(struct cfg_decoder *d) {
    struct cfg_module_check *ordered = NULL;
    for (struct cfg_module_check *it = d->checks, *next; it; it = next) {
        next = it->next;
        it->next = ordered;
        ordered = it;
    }
    for (; ordered; ordered = ordered->next) {
        const struct cfg_module_use *use = ordered->use;
        if (use->module->check(d->errors, use->node, use->conf) == -ENOMEM)
            (void)cfg_error_memory(d->errors);
    }
}

static void load(struct cfg_decoder *d, const struct cfg_node *tree, struct cfg_root *root) {
    (void)cfg_decode_object(d, &cfg_root_table, tree, tree, root);
    cfg_link_listeners(d, root);
    cfg_link_routes(d, root);
    cfg_link_middleware(d, root);
    cfg_check_ties(d, root);
    cfg_check_register(d->errors, root);
    if (cfg_link_upstreams(d, root))
        check_modules(d);
}

int cfg_load(const struct cfg_source *sources, size_t n, const struct cfg_registry *registry, cfg_env_fn env,
             struct b_arena *arena, struct cfg_root **out, struct cfg_errors *errors) {
    struct cfg_decoder d = {.arena = arena, .errors = errors, .registry = registry};
    *out = NULL;
    const struct cfg_node *tree = cfg_tree(sources, n, env, arena, errors);
    struct cfg_root *root = tree ? cfg_decode_alloc(&d, sizeof *root) : NULL;
    if (root)
        load(&d, tree, root);
    cfg_errors_sort(errors);
    if (errors->no_memory)
        return -ENOMEM;
    if (cfg_errors_any(errors) || !root)
        return -EINVAL;
    *out = root;
    return 0;
}
