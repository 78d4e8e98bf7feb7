/* The whole config as structs: what a load gives, what the gateway compiles into its plan. Durations are in ns, sizes in
 * bytes. All of it lives in the arena of the load and never changes. */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "config/schema.h"

enum cfg_io { CFG_IO_AUTO, CFG_IO_EPOLL, CFG_IO_URING };
enum cfg_level { CFG_LEVEL_DEBUG, CFG_LEVEL_INFO, CFG_LEVEL_WARN, CFG_LEVEL_ERROR };
enum cfg_log_format { CFG_LOG_AUTO, CFG_LOG_JSON, CFG_LOG_TEXT };
enum cfg_balance {
    CFG_ROUND_ROBIN,
    CFG_WEIGHTED_ROUND_ROBIN,
    CFG_RANDOM,
    CFG_LEAST_REQUEST,
    CFG_P2C,
    CFG_CONSISTENT_HASH
};

struct cfg_log {
    struct cfg_head head;
    int level;  /* enum cfg_level */
    int format; /* enum cfg_log_format; auto: text on a terminal, else JSON */
};

struct cfg_listener {
    struct cfg_head head;
    struct cfg_addr addr;
    struct cfg_list protocols; /* struct cfg_text; empty: http/1.1 */
    int64_t backlog;
    struct cfg_list allow; /* struct cfg_text */
    uint32_t switches;     /* the same as enum http_allow */
    bool proxy_protocol;
};

struct cfg_admin {
    struct cfg_head head;
    struct cfg_addr addr;
    struct b_slice token_file; /* ptr NULL: none */
};

struct cfg_limits {
    struct cfg_head head;
    int64_t max_header_bytes, max_headers, max_uri, max_body;
    int64_t header_timeout, body_timeout, send_timeout, idle_timeout, tunnel_idle_timeout;
    int64_t body_min_rate, send_min_rate; /* bytes a second; 0: none */
    int64_t rate_window;
    int64_t max_connections, max_requests_per_connection, max_in_flight;
    int64_t max_memory; /* 0: auto */
};

struct cfg_endpoint {
    struct cfg_head head;
    struct cfg_url url;
    int64_t weight;
};

struct cfg_pool {
    struct cfg_head head;
    int64_t max_connections, max_idle, min_idle;
    int64_t max_idle_time, max_lifetime;
};

struct cfg_backoff {
    struct cfg_head head;
    int64_t base, max;
};

struct cfg_budget {
    struct cfg_head head;
    int64_t percent, min;
};

struct cfg_hedge {
    struct cfg_head head;
    int64_t after; /* 0: none */
    int64_t percent;
};

struct cfg_retry {
    struct cfg_head head;
    int64_t attempts;   /* the first one included */
    struct cfg_list on; /* struct cfg_text, checked: cfg_parse_retry_on; empty: the default */
    struct cfg_backoff backoff;
    struct cfg_budget budget;
    struct cfg_hedge hedge;
};

enum {
    CFG_RETRY_CONNECT_FAILURE = 1,
    CFG_RETRY_RESET = 2,
    CFG_RETRY_TIMEOUT = 4,
    CFG_RETRY_BAD_RESPONSE = 8,
};
struct cfg_retry_on {
    unsigned words;
    bool too_many;        /* 429 */
    uint64_t statuses[2]; /* a bit for each from 500 on */
};
/* Adds one entry of `retry.on`. NULL, or what is wrong. */
const char *cfg_parse_retry_on(struct b_slice s, struct cfg_retry_on *out);

struct cfg_breaker {
    struct cfg_head head;
    bool enabled;
    int64_t failure_percent, min_requests, consecutive_failures;
    int64_t window, open_for, max_open_for;
};

struct cfg_health_check {
    struct cfg_head head; /* head.node NULL: none */
    struct b_slice path, host;
    struct cfg_list status; /* struct cfg_text, checked: cfg_parse_statuses; empty: 2xx and 3xx */
    int64_t interval, timeout, fails, passes;
};

/* `200`, `2xx`, `200-399`: the first and the last status. NULL, or what is wrong. */
const char *cfg_parse_statuses(struct b_slice s, unsigned *first, unsigned *last);

struct cfg_discover_file {
    struct cfg_head head;
    struct b_slice path;
};

struct cfg_discover_dns {
    struct cfg_head head;
    struct b_slice name;
    int64_t port;
    int records;             /* 0: A and AAAA, 1: SRV */
    struct cfg_list servers; /* struct cfg_text; empty: those of the system */
    int64_t min_ttl, max_ttl;
};

struct cfg_zookeeper {
    struct cfg_head head;
    struct cfg_list hosts; /* struct cfg_text */
    struct b_slice path;
    int64_t session_timeout;
};

/* Where weir makes itself known to others; head.node NULL: nowhere. */
struct cfg_register {
    struct cfg_head head;
    struct cfg_zookeeper zookeeper;
    struct b_slice address; /* ptr NULL: that of the first listener with one */
    int64_t port, weight;   /* port 0: the listener's */
};

struct cfg_discover {
    struct cfg_head head;          /* head.node NULL: none */
    struct cfg_discover_file file; /* of these one has a head.node */
    struct cfg_discover_dns dns;
    struct cfg_zookeeper zookeeper;
    bool allow_empty;
};

struct cfg_upstream {
    struct cfg_head head;      /* head.name: its name */
    struct cfg_list endpoints; /* struct cfg_endpoint, one at least, unless there is: */
    struct cfg_discover discover;
    int balance;            /* enum cfg_balance */
    struct b_slice hash_on; /* checked: cfg_parse_hash_on; ptr NULL: not given */
    int64_t slow_start;     /* 0: none */
    struct cfg_list deny;   /* struct cfg_cidr; no node: the default, which upstream/deny.c has */
    struct cfg_pool pool;
    int64_t max_in_flight, max_pending;
    int64_t connect_timeout, timeout;
    int64_t max_header_bytes, max_headers; /* of a response */
    struct cfg_retry retry;
    struct cfg_breaker breaker;
    struct cfg_health_check health_check;
};

struct cfg_reference_source {
    struct cfg_head head;
    struct cfg_upstream_ref upstream;
    struct b_slice path;
};

/* A reference table. */
struct cfg_reference {
    struct cfg_head head; /* head.name: its name */
    struct cfg_reference_source from;
    struct b_slice rows, key;
    int64_t refresh, timeout, max_response;
    bool allow_empty, required;
};

struct cfg_store_pool {
    struct cfg_head head;
    int64_t max_open;
    int64_t connect_timeout;
};

/* A database. */
struct cfg_store {
    struct cfg_head head;    /* head.name: its name */
    struct b_slice sqlite;   /* the file; ptr NULL: it is: */
    struct b_slice postgres; /* a connection string */
    struct cfg_store_pool pool;
    int64_t unready_after;
};

/* A named instance of a middleware. */
struct cfg_middleware {
    struct cfg_head head; /* head.name: its name; that of its kind for one made by `use` alone */
    struct cfg_module_use use;
};

/* A `use` list resolved, outermost first. The same name is the same instance everywhere. */
struct cfg_chain {
    const struct cfg_middleware **items;
    size_t count;
};

struct cfg_match {
    struct cfg_head head;
    struct b_slice path;                 /* checked: `/a/{name}/b`, at most one `*`, as the last segment */
    struct cfg_list methods;             /* struct cfg_text, upper case; empty: all */
    struct b_slice host;                 /* lower case, no port; ptr NULL: all */
    struct cfg_addr listen;              /* kind CFG_HOST_NONE: all listeners */
    const struct cfg_listener *listener; /* that of `listen`, or NULL */
};

struct cfg_route {
    struct cfg_head head;
    struct cfg_match match;
    int64_t deadline;
    int64_t max_body;       /* its own, or that of the limits */
    struct cfg_list use;    /* struct cfg_text */
    struct cfg_chain chain; /* that list resolved; the global one (cfg_root.chain) comes before it */
    struct cfg_module_use handler;
};

struct cfg_root {
    struct cfg_head head;
    int64_t version;
    int64_t workers; /* 0: auto */
    int io;          /* enum cfg_io */
    bool balance_workers;
    struct cfg_log log;
    struct cfg_list trusted_proxies; /* struct cfg_cidr */
    struct cfg_list listen;          /* struct cfg_listener */
    struct cfg_admin admin;
    struct cfg_limits limits;
    struct cfg_list use; /* struct cfg_text */
    struct cfg_chain chain;
    struct cfg_list upstreams; /* struct cfg_upstream */
    struct cfg_register registration;
    struct cfg_list stores;     /* struct cfg_store */
    struct cfg_list tables;     /* struct cfg_reference */
    struct cfg_list middleware; /* struct cfg_middleware, those with an entry */
    struct cfg_chain implicit;  /* those made by `use` alone */
    struct cfg_list routes;     /* struct cfg_route, in the order of the text */
};

extern const struct cfg_table cfg_root_table;
extern const struct cfg_table cfg_upstream_table; /* upstream.c */
extern const struct cfg_table cfg_register_table; /* discover.c */

/* The listener by which weir registers itself, where the config gives no address: the first with one; NULL: none has. */
const struct cfg_addr *cfg_register_listener(const struct cfg_root *root);

/* A text with a list of endpoints, as a discovery reads it: into struct cfg_endpoint in the arena. 0, or negative: errors
 * says why. `bytes` and `name` live as long as the arena. Nothing comes from the environment. */
int cfg_load_endpoints(const char *name, struct b_slice bytes, struct b_arena *arena,
                       struct cfg_errors *errors, struct cfg_list *out) __attribute__((warn_unused_result));
/* A text that is a map, YAML or JSON; NULL when it is none. The same. */
const struct cfg_node *cfg_load_map(struct b_slice bytes, struct b_arena *arena, struct cfg_errors *errors);

/* Sources to structs. Pure: no file, clock or network is touched; the same input gives the same result. The sources must
 * live as long as the arena. 0 and *out, or -EINVAL (errors says what; *out is NULL), or -ENOMEM (errors->no_memory).
 * `errors` is initialised by the caller, gets warnings too, and is sorted on return. */
int cfg_load(const struct cfg_source *sources, size_t n, const struct cfg_registry *registry, cfg_env_fn env,
             struct b_arena *arena, struct cfg_root **out, struct cfg_errors *errors)
    __attribute__((warn_unused_result));

enum cfg_hash_kind { CFG_HASH_IP, CFG_HASH_PATH, CFG_HASH_HEADER, CFG_HASH_COOKIE, CFG_HASH_QUERY };
struct cfg_hash_on {
    enum cfg_hash_kind kind;
    struct b_slice name; /* of the header, cookie or parameter; else empty */
};
/* `ip`, `path`, `header:NAME`, `cookie:NAME`, `query:NAME`. NULL, or what is wrong. */
const char *cfg_parse_hash_on(struct b_slice s, struct cfg_hash_on *out);

/* The upstream of that name, or NULL. */
const struct cfg_upstream *cfg_upstream_find(const struct cfg_root *root, struct b_slice name);

#endif
