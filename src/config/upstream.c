/* `upstreams`: the services behind weir, and the references to them. */
#include <errno.h>

#include "base/map.h"
#include "config/nearest.h"
#include "config/tables.h"

static const struct cfg_option endpoint_options[] = {
    {.name = "url",
     .type = CFG_URL,
     CFG_AT(struct cfg_endpoint, url),
     .flags = CFG_REQUIRED,
     .example = "\"http://127.0.0.1:9001\"",
     .help = "where it listens: http://HOST:PORT, or unix:/PATH"},
    {.name = "weight",
     .type = CFG_INT,
     CFG_AT(struct cfg_endpoint, weight),
     .default_text = "1",
     .min = 1,
     .max = 1000,
     .help = "its share of the requests, relative to the others"},
    {0},
};

static const struct cfg_later endpoint_later[] = {{"tls", "TLS to upstreams", "take it out and use http://"},
                                                  {0}};

const struct cfg_table cfg_endpoint_table = {
    .name = "an endpoint",
    .summary = "One instance of an upstream; a bare URL is an endpoint of weight 1",
    .options = endpoint_options,
    .size = sizeof(struct cfg_endpoint),
    .shorthand = "url",
    .later = endpoint_later,
};

static const struct cfg_option pool_options[] = {
    {.name = "max_connections",
     .type = CFG_INT,
     CFG_AT(struct cfg_pool, max_connections),
     .default_text = "200",
     .min = 1,
     .max = 1000000,
     .help = "open connections to the upstream, busy and idle"},
    {.name = "max_idle",
     .type = CFG_INT,
     CFG_AT(struct cfg_pool, max_idle),
     .default_text = "100",
     .min = 0,
     .max = 1000000,
     .help = "idle connections kept for the next request"},
    {.name = "min_idle",
     .type = CFG_INT,
     CFG_AT(struct cfg_pool, min_idle),
     .default_text = "0",
     .min = 0,
     .max = 1000000,
     .help = "idle connections kept open ahead of need"},
    {.name = "max_idle_time",
     .type = CFG_DURATION,
     CFG_AT(struct cfg_pool, max_idle_time),
     .default_text = "15s",
     .min = CFG_MS,
     .max = 24 * CFG_H,
     .help = "an idle connection is closed after that; keep it below the upstream's own"},
    {.name = "max_lifetime",
     .type = CFG_DURATION,
     CFG_AT(struct cfg_pool, max_lifetime),
     .default_text = "1h",
     .min = CFG_MS,
     .max = 10000 * CFG_H,
     .help = "a connection is closed after that, once its request is done"},
    {0},
};

/* Limits that the config names contradict each other only when it names the tighter one; a default gives way. */
static int check_pool(struct cfg_errors *errors, const struct cfg_node *node, void *conf) {
    struct cfg_pool *pool = conf;
    const struct cfg_node *idle = cfg_node_get(node, "max_idle");
    if (pool->max_idle > pool->max_connections) {
        if (idle)
            return cfg_error_at(errors, idle, "\"max_idle\" is larger than \"max_connections\" (%lld)",
                                (long long)pool->max_connections);
        pool->max_idle = pool->max_connections;
    }
    if (pool->min_idle > pool->max_idle)
        return cfg_error_at(errors, cfg_node_get(node, "min_idle"),
                            "\"min_idle\" is larger than \"max_idle\" (%lld)", (long long)pool->max_idle);
    return 0;
}

static const struct cfg_table pool_table = {
    .name = "a pool",
    .summary = "Connections to the upstream that are kept and used again",
    .options = pool_options,
    .size = sizeof(struct cfg_pool),
    .check = check_pool,
};

static const char *const balance_choices[] = {
    [CFG_ROUND_ROBIN] = "round_robin",
    [CFG_WEIGHTED_ROUND_ROBIN] = "weighted_round_robin",
    [CFG_RANDOM] = "random",
    [CFG_LEAST_REQUEST] = "least_request",
    [CFG_P2C] = "p2c",
    [CFG_CONSISTENT_HASH] = "consistent_hash",
    NULL,
};

/* RFC 9110 section 5.6.2; names of cookies are tokens, too (RFC 6265 section 4.1.1). */
static bool is_token(struct b_slice s) {
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool letter = b_lower(c) >= 'a' && b_lower(c) <= 'z';
        if (!letter && !b_is_digit(c) && (c == 0 || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return s.len > 0;
}

const char *cfg_parse_hash_on(struct b_slice s, struct cfg_hash_on *out) {
    static const struct {
        const char *word;
        enum cfg_hash_kind kind;
        bool named;
    } kinds[] = {{"ip", CFG_HASH_IP, false},
                 {"path", CFG_HASH_PATH, false},
                 {"header:", CFG_HASH_HEADER, true},
                 {"cookie:", CFG_HASH_COOKIE, true},
                 {"query:", CFG_HASH_QUERY, true}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct b_slice word = b_slice_cstr(kinds[i].word);
        if (kinds[i].named ? !b_slice_starts(s, word) : !b_slice_eq(s, word))
            continue;
        *out = (struct cfg_hash_on){kinds[i].kind, b_slice_from(s, word.len)};
        if (kinds[i].named && !is_token(out->name))
            return "give the name behind the colon, such as header:X-User";
        return NULL;
    }
    return "give one of ip, path, header:NAME, cookie:NAME, query:NAME";
}

static const struct cfg_option upstream_options[] = {
    {.name = "endpoints",
     .type = CFG_OBJECTS,
     CFG_AT(struct cfg_upstream, endpoints),
     .table = &cfg_endpoint_table,
     .max = 10000,
     .example = "[\"http://127.0.0.1:9001\"]",
     .help = "its instances; a bare URL will do. Needed unless there is `discover`"},
    {.name = "discover",
     .type = CFG_OBJECT,
     CFG_AT(struct cfg_upstream, discover),
     .flags = CFG_OPTIONAL,
     .table = &cfg_discover_table,
     .help = "where its instances are found, in place of `endpoints`"},
    {.name = "balance",
     .type = CFG_ENUM,
     CFG_AT(struct cfg_upstream, balance),
     .default_text = "round_robin",
     .choices = balance_choices,
     .help =
         "how an endpoint is chosen: in turn by weight (both round robins), at random by weight, the one with the "
         "fewest requests on their way, the better of two by latency and load, or always the same for a key"},
    {.name = "hash_on",
     .type = CFG_STRING,
     CFG_AT(struct cfg_upstream, hash_on),
     .min = 1,
     .max = 256,
     .example = "\"header:X-User\"",
     .help =
         "the key of `balance: consistent_hash`: ip, path, header:NAME, cookie:NAME or query:NAME; a request without "
         "it goes anywhere"},
    {.name = "slow_start",
     .type = CFG_DURATION,
     CFG_AT(struct cfg_upstream, slow_start),
     .default_text = "0s",
     .min = 0,
     .max = CFG_H,
     .help = "in which an endpoint that joins, or is well again, comes to its full share; 0s: at once"},
    {.name = "pool",
     .type = CFG_OBJECT,
     CFG_AT(struct cfg_upstream, pool),
     .table = &pool_table,
     .help = "its connections"},
    {.name = "max_in_flight",
     .type = CFG_INT,
     CFG_AT(struct cfg_upstream, max_in_flight),
     .default_text = "1024",
     .min = 1,
     .max = 10000000,
     .help = "requests at it at the same time (the bulkhead); beyond it they wait"},
    {.name = "max_pending",
     .type = CFG_INT,
     CFG_AT(struct cfg_upstream, max_pending),
     .default_text = "256",
     .min = 0,
     .max = 10000000,
     .help =
         "requests that wait for the bulkhead, in order of arrival, within their deadline; beyond it 503"},
    {.name = "deny",
     .type = CFG_CIDRS,
     CFG_AT(struct cfg_upstream, deny),
     .max = 64,
     .example = "[169.254.0.0/16, 10.9.0.0/16]",
     .help =
         "networks that are not connected to when a name or a discovery leads there. When left out: 169.254.0.0/16, fe80::/10, "
         "fd00:ec2::254, and unspecified, multicast and broadcast addresses; `[]` denies none. Addresses that stand in "
         "`endpoints` themselves are not looked at"},
    {.name = "connect_timeout",
     .type = CFG_DURATION,
     CFG_AT(struct cfg_upstream, connect_timeout),
     .default_text = "3s",
     .min = CFG_MS,
     .max = CFG_H,
     .help = "to open a connection"},
    {.name = "timeout",
     .type = CFG_DURATION,
     CFG_AT(struct cfg_upstream, timeout),
     .default_text = "30s",
     .min = CFG_MS,
     .max = 24 * CFG_H,
     .help = "one attempt, up to the head of its response"},
    {.name = "max_header_bytes",
     .type = CFG_SIZE,
     CFG_AT(struct cfg_upstream, max_header_bytes),
     .default_text = "16KiB",
     .min = CFG_KIB,
     .max = 48 * CFG_KIB, /* a head is read and written through buffers of 64 KiB */
     .help = "status line and header fields of a response together; beyond it 502"},
    {.name = "max_headers",
     .type = CFG_INT,
     CFG_AT(struct cfg_upstream, max_headers),
     .default_text = "100",
     .min = 1,
     .max = 1000,
     .help = "header fields of a response; beyond it 502"},
    {.name = "retry",
     .type = CFG_OBJECT,
     CFG_AT(struct cfg_upstream, retry),
     .table = &cfg_retry_table,
     .help = "further attempts, within the deadline of the request"},
    {.name = "breaker",
     .type = CFG_OBJECT,
     CFG_AT(struct cfg_upstream, breaker),
     .table = &cfg_breaker_table,
     .help = "when an endpoint is left alone because attempts at it fail"},
    {.name = "health_check",
     .type = CFG_OBJECT,
     CFG_AT(struct cfg_upstream, health_check),
     .flags = CFG_OPTIONAL,
     .table = &cfg_health_table,
     .help = "asks each endpoint whether it is well; not done when left out"},
    {0},
};

static const struct cfg_later upstream_later[] = {
    {"tls", "TLS to upstreams", "take it out and use http://"},
    {0},
};

/* Endpoints are known by their URL. */
static int check_upstream(struct cfg_errors *errors, const struct cfg_node *node, void *conf) {
    const struct cfg_upstream *u = conf;
    struct cfg_hash_on on;
    struct b_map seen;
    int rc = 0;
    const struct cfg_node *endpoints = cfg_node_get(node, "endpoints");
    static const char needed[] =
        "an upstream needs \"endpoints\", such as endpoints: [\"http://127.0.0.1:9001\"], or \"discover\"";
    if (u->endpoints.count && u->discover.head.node)
        return cfg_error_at(errors, endpoints, "\"endpoints\" and \"discover\" do not go together");
    if (!u->endpoints.count && !u->discover.head.node)
        return endpoints ? cfg_error_at(errors, endpoints, "%s", needed)
                         : cfg_error_key(errors, node, "%s", needed);
    const char *why = u->hash_on.ptr ? cfg_parse_hash_on(u->hash_on, &on) : NULL;
    if (why) {
        char shown[CFG_SHOWN_SIZE];
        return cfg_error_at(errors, cfg_node_get(node, "hash_on"), "\"hash_on\" cannot be %s: %s",
                            cfg_text_shown(u->hash_on, shown), why);
    }
    if ((u->balance == CFG_CONSISTENT_HASH) != (u->hash_on.ptr != NULL))
        return cfg_error_at(errors, node,
                            u->hash_on.ptr ? "\"hash_on\" is for `balance: consistent_hash` only"
                                           : "`balance: consistent_hash` needs \"hash_on\", such as ip");
    b_map_init(&seen, B_TAG_CONFIG, (struct b_hash_key){0, 0});
    CFG_EACH(const struct cfg_endpoint, e, &u->endpoints) {
        if (b_map_get(&seen, e->url.text))
            cfg_warn_at(
                errors, e->head.node,
                "the endpoint %s is there twice, and counts once: give it a `weight` for a larger share",
                e->url.text.ptr);
        else
            rc = b_map_put(&seen, e->url.text, (void *)(uintptr_t)e);
        if (rc)
            break;
    }
    b_map_free(&seen);
    return rc;
}

const struct cfg_table cfg_upstream_table = {
    .name = "an upstream",
    .summary = "A service behind weir",
    .options = upstream_options,
    .size = sizeof(struct cfg_upstream),
    .check = check_upstream,
    .later = upstream_later,
};

/* ---- references ---- */

const struct cfg_upstream *cfg_upstream_find(const struct cfg_root *root, struct b_slice name) {
    CFG_EACH(struct cfg_upstream, u, &root->upstreams) {
        if (b_slice_eq(u->head.name, name))
            return u;
    }
    return NULL;
}

static void report_dangling(struct cfg_decoder *d, const struct cfg_root *root, const struct cfg_ref *ref) {
    char buf[CFG_SHOWN_SIZE];
    const char *shown = cfg_node_shown(ref->ref->node, buf);
    struct cfg_nearest nearest;
    cfg_nearest_init(&nearest, ref->ref->name);
    if (!cfg_errors_full(d->errors)) {
        CFG_EACH(struct cfg_upstream, u, &root->upstreams) {
            cfg_nearest_offer(&nearest, u->head.name);
        }
    }
    if (nearest.best.len)
        cfg_error_at(d->errors, ref->ref->node, "there is no upstream %s; did you mean \"%s\"?", shown,
                     nearest.best.ptr);
    else
        cfg_error_at(d->errors, ref->ref->node, "there is no upstream %s: add it to `upstreams`", shown);
}

/* Every upstream by its name. False on no memory. */
static bool index_upstreams(struct cfg_decoder *d, const struct cfg_root *root, struct b_map *by_name) {
    CFG_EACH(struct cfg_upstream, u, &root->upstreams) {
        if (b_map_put(by_name, u->head.name, u) < 0) {
            (void)cfg_error_memory(d->errors);
            return false;
        }
    }
    return true;
}

/* False when a reference was reported. */
static bool resolve(struct cfg_decoder *d, const struct cfg_root *root, const struct b_map *by_name) {
    bool ok = true;
    for (const struct cfg_ref *it = d->refs; it; it = it->next) {
        it->ref->upstream = b_map_get(by_name, it->ref->name);
        if (!it->ref->upstream) {
            report_dangling(d, root, it);
            ok = false;
        }
    }
    return ok;
}

static void warn_unused(struct cfg_decoder *d, const struct cfg_root *root, struct b_map *by_name) {
    for (const struct cfg_ref *it = d->refs; it; it = it->next)
        (void)b_map_remove(by_name, it->ref->name);
    CFG_EACH(struct cfg_upstream, u, &root->upstreams) {
        if (b_map_get(by_name, u->head.name))
            cfg_warn_at(d->errors, u->head.node, "no route uses the upstream \"%s\"", u->head.name.ptr);
    }
}

bool cfg_link_upstreams(struct cfg_decoder *d, struct cfg_root *root) {
    struct b_map by_name;
    b_map_init(&by_name, B_TAG_CONFIG, (struct b_hash_key){0, 0});
    bool ok = index_upstreams(d, root, &by_name) && resolve(d, root, &by_name);
    if (ok && !cfg_errors_any(d->errors))
        warn_unused(d, root, &by_name);
    b_map_free(&by_name);
    return ok;
}
