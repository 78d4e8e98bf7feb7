/* `limits`: what one client or all of them together may ask for. */
#include "config/tables.h"

static const struct cfg_option options[] = {
    {.name = "max_header_bytes",
     .type = CFG_SIZE,
     CFG_AT(struct cfg_limits, max_header_bytes),
     .default_text = "16KiB",
     .min = CFG_KIB,
     .max = 48 * CFG_KIB, /* a head is read and written through buffers of 64 KiB */
     .help = "request line and header fields together; beyond it 431"},
    {.name = "max_headers",
     .type = CFG_INT,
     CFG_AT(struct cfg_limits, max_headers),
     .default_text = "100",
     .min = 1,
     .max = 1000,
     .help = "header fields of a request; beyond it 431"},
    {.name = "max_uri",
     .type = CFG_SIZE,
     CFG_AT(struct cfg_limits, max_uri),
     .default_text = "8KiB",
     .min = 64,
     .max = 48 * CFG_KIB,
     .help = "the request's target; beyond it 414"},
    {.name = "max_body",
     .type = CFG_SIZE,
     CFG_AT(struct cfg_limits, max_body),
     .default_text = "1MiB",
     .min = 0,
     .word = "unlimited",
     .word_value = INT64_MAX,
     .help = "body of a request; beyond it 413. A route may have a `max_body` of its own"},
    {.name = "header_timeout",
     .type = CFG_DURATION,
     CFG_AT(struct cfg_limits, header_timeout),
     .default_text = "10s",
     .min = CFG_MS,
     .max = CFG_H,
     .help =
         "until the header of a request is whole: from the accept for a connection's first one, from their first "
         "byte for others; beyond it 408"},
    {.name = "body_timeout",
     .type = CFG_DURATION,
     CFG_AT(struct cfg_limits, body_timeout),
     .default_text = "30s",
     .min = CFG_MS,
     .max = 24 * CFG_H,
     .help = "how long nothing of a body may come; beyond it 408. A body as a whole may take any time"},
    {.name = "body_min_rate",
     .type = CFG_SIZE,
     CFG_AT(struct cfg_limits, body_min_rate),
     .default_text = "500B",
     .min = 0,
     .max = CFG_GIB,
     .help =
         "bytes a second that a client's body has to bring on average, while weir waits for it; below it 408. 0B: "
         "any rate will do"},
    {.name = "send_timeout",
     .type = CFG_DURATION,
     CFG_AT(struct cfg_limits, send_timeout),
     .default_text = "30s",
     .min = CFG_MS,
     .max = 24 * CFG_H,
     .help = "how long a client may take nothing of its response; beyond it the connection is reset"},
    {.name = "send_min_rate",
     .type = CFG_SIZE,
     CFG_AT(struct cfg_limits, send_min_rate),
     .default_text = "500B",
     .min = 0,
     .max = CFG_GIB,
     .help =
         "bytes a second that a client has to take of its response on average, while weir waits for it; below it "
         "the connection is reset. 0B: any rate will do"},
    {.name = "rate_window",
     .type = CFG_DURATION,
     CFG_AT(struct cfg_limits, rate_window),
     .default_text = "10s",
     .min = CFG_MS,
     .max = CFG_H,
     .help =
         "how long weir has to have waited for a client before body_min_rate and send_min_rate count; waits that "
         "are older count less"},
    {.name = "idle_timeout",
     .type = CFG_DURATION,
     CFG_AT(struct cfg_limits, idle_timeout),
     .default_text = "60s",
     .min = CFG_MS,
     .max = 24 * CFG_H,
     .help = "how long a connection may wait for its next request"},
    {.name = "tunnel_idle_timeout",
     .type = CFG_DURATION,
     CFG_AT(struct cfg_limits, tunnel_idle_timeout),
     .default_text = "1h",
     .min = CFG_MS,
     .max = 720 * CFG_H,
     .help = "how long a tunnel (after an `upgrade`) may carry nothing"},
    {.name = "max_connections",
     .type = CFG_INT,
     CFG_AT(struct cfg_limits, max_connections),
     .default_text = "auto",
     .word = "auto",
     .word_value = 0,
     .min = 1,
     .max = 10000000,
     .help =
         "open client connections of the whole process, at most 64 less than it may open files; auto: 10000, or half "
         "of those where that is less"},
    {.name = "max_requests_per_connection",
     .type = CFG_INT,
     CFG_AT(struct cfg_limits, max_requests_per_connection),
     .default_text = "1000",
     .min = 1,
     .max = 1000000000,
     .help = "the answer to the last of them closes the connection"},
    {.name = "max_in_flight",
     .type = CFG_INT,
     CFG_AT(struct cfg_limits, max_in_flight),
     .default_text = "20000",
     .min = 1,
     .max = 10000000,
     .help = "requests being served in the whole process; beyond it 503"},
    {.name = "max_memory",
     .type = CFG_SIZE,
     CFG_AT(struct cfg_limits, max_memory),
     .default_text = "auto",
     .word = "auto",
     .min = 16 * CFG_MIB,
     .help = "memory of the process, to which the cgroup's and the machine's are limits anyway: near it new "
             "requests get 503 and accepting stops; auto leaves it to those"},
    {0},
};

/* A default gives way to what the config names. */
static int check(struct cfg_errors *errors, const struct cfg_node *node, void *conf) {
    struct cfg_limits *limits = conf;
    const struct cfg_node *uri = cfg_node_get(node, "max_uri");
    if (limits->max_uri > limits->max_header_bytes) {
        if (uri)
            return cfg_error_at(errors, uri,
                                "\"max_uri\" is larger than \"max_header_bytes\", which includes it");
        limits->max_uri = limits->max_header_bytes;
    }
    return 0;
}

const struct cfg_table cfg_limits_table = {
    .name = "the limits",
    .summary = "What one client, or all of them together, may ask for",
    .options = options,
    .size = sizeof(struct cfg_limits),
    .check = check,
};
