/* Handlers and middleware with an option of every type, for the tests of config/ and its fuzz target. */
#ifndef UNIT_CONFIG_TEST_MODULES_H
#define UNIT_CONFIG_TEST_MODULES_H

#include "config/config.h"

struct proxy_conf {
    struct cfg_head head;
    struct cfg_upstream_ref upstream;
    struct b_slice strip_prefix;
};

static const struct cfg_option proxy_options[] = {
    {.name = "upstream",
     .type = CFG_UPSTREAM_REF,
     CFG_AT(struct proxy_conf, upstream),
     .flags = CFG_REQUIRED,
     .help = "where to"},
    {.name = "strip_prefix",
     .type = CFG_STRING,
     CFG_AT(struct proxy_conf, strip_prefix),
     .min = 1,
     .max = 20,
     .example = "/api",
     .help = "taken off the path"},
    {0},
};
static const struct cfg_table proxy_table = {.name = "a proxy",
                                             .summary = "Carries",
                                             .options = proxy_options,
                                             .size = sizeof(struct proxy_conf)};

struct respond_conf {
    struct cfg_head head;
    int64_t status;
    const struct cfg_node *json;
    struct b_slice body;
    struct cfg_list headers;
};

static const struct cfg_option respond_options[] = {
    {.name = "status",
     .type = CFG_INT,
     CFG_AT(struct respond_conf, status),
     .default_text = "200",
     .min = 100,
     .max = 599,
     .help = "of the answer"},
    {.name = "json", .type = CFG_NODE, CFG_AT(struct respond_conf, json), .help = "body as JSON"},
    {.name = "body", .type = CFG_STRING, CFG_AT(struct respond_conf, body), .help = "body as text"},
    {.name = "headers",
     .type = CFG_STRING_MAP,
     CFG_AT(struct respond_conf, headers),
     .flags = CFG_HEADER_NAMES,
     .max = 4,
     .help = "further header fields"},
    {0},
};

static int check_respond(struct cfg_errors *errors, const struct cfg_node *node, void *conf) {
    const struct respond_conf *respond = (struct respond_conf *)conf;
    if (respond->json && respond->body.ptr)
        return cfg_error_at(errors, node, "\"json\" and \"body\" exclude each other");
    return 0;
}

static const struct cfg_table respond_table = {.name = "a response",
                                               .summary = "Answers by itself",
                                               .options = respond_options,
                                               .size = sizeof(struct respond_conf),
                                               .check = check_respond,
                                               .shorthand = "body"};

struct ban {
    struct cfg_head head;
    int64_t time;
    struct b_slice reason;
};

static const struct cfg_option ban_options[] = {
    {.name = "time",
     .type = CFG_DURATION,
     CFG_AT(struct ban, time),
     .flags = CFG_REQUIRED,
     .help = "how long"},
    {.name = "reason", .type = CFG_STRING, CFG_AT(struct ban, reason), .help = "said to the client"},
    {0},
};
static const struct cfg_table ban_table = {.name = "a ban",
                                           .summary = "Shuts out",
                                           .options = ban_options,
                                           .size = sizeof(struct ban)};

struct limit_conf {
    struct cfg_head head;
    struct cfg_rate rate;
    int64_t burst, share, memory;
    bool dry_run;
    struct b_slice secret;
    struct cfg_list secrets, except;
    struct ban ban;
};

static const struct cfg_option limit_options[] = {
    {.name = "rate",
     .type = CFG_RATE,
     CFG_AT(struct limit_conf, rate),
     .default_text = "100/s",
     .help = "on average"},
    {.name = "burst",
     .type = CFG_INT,
     CFG_AT(struct limit_conf, burst),
     .default_text = "7",
     .min = -5,
     .help = "at once"},
    {.name = "share",
     .type = CFG_PERCENT,
     CFG_AT(struct limit_conf, share),
     .default_text = "20%",
     .min = 5,
     .max = 90,
     .help = "of all"},
    {.name = "memory",
     .type = CFG_SIZE,
     CFG_AT(struct limit_conf, memory),
     .default_text = "1MB",
     .min = 10,
     .help = "for its table"},
    {.name = "dry_run",
     .type = CFG_BOOL,
     CFG_AT(struct limit_conf, dry_run),
     .default_text = "false",
     .help = "only count"},
    {.name = "secret",
     .type = CFG_STRING,
     CFG_AT(struct limit_conf, secret),
     .flags = CFG_SECRET,
     .min = 8,
     .help = "key of the hash"},
    {.name = "secrets",
     .type = CFG_STRINGS,
     CFG_AT(struct limit_conf, secrets),
     .flags = CFG_SECRET,
     .help = "older ones"},
    {.name = "except", .type = CFG_CIDRS, CFG_AT(struct limit_conf, except), .help = "who is free"},
    {.name = "ban",
     .type = CFG_OBJECT,
     CFG_AT(struct limit_conf, ban),
     .flags = CFG_OPTIONAL,
     .table = &ban_table,
     .help = "what happens to those who go on"},
    {0},
};
static const struct cfg_table limit_table = {.name = "a limit",
                                             .summary = "Limits a rate",
                                             .options = limit_options,
                                             .size = sizeof(struct limit_conf)};

/* Its check sees resolved references only. */
static int check_proxy(struct cfg_errors *errors, const struct cfg_node *node, void *conf) {
    const struct proxy_conf *proxy = (struct proxy_conf *)conf;
    if (!proxy->upstream.upstream || !proxy->upstream.upstream->head.name.len)
        return cfg_error_at(errors, node, "the module's check ran before its references were resolved");
    return 0;
}

static const struct cfg_module proxy_module = {"proxy", "Carries requests to an upstream", &proxy_table,
                                               check_proxy};
static const struct cfg_module respond_module = {"respond", "Answers by itself", &respond_table, NULL};
static const struct cfg_module request_id_module = {"request_id", "Names each request", NULL, NULL};
static const struct cfg_module access_log_module = {"access_log", "Logs each request", NULL, NULL};
static const struct cfg_module limit_module = {"limit", "Limits a rate", &limit_table, NULL};

static const struct cfg_module *const test_handlers[] = {&proxy_module, &respond_module, NULL};
static const struct cfg_module *const test_middleware[] = {&request_id_module, &access_log_module,
                                                           &limit_module, NULL};
static const struct cfg_registry test_registry = {test_handlers, test_middleware};

#endif
