#include "config/describe.h"

#include "support.h"
#include "test.h"
#include "test_modules.h"

/* The text of a writer, NUL-terminated; freed by b_text_free. */
static struct b_text schema(void) {
    struct b_text out = b_text_heap(B_TAG_TEST, (size_t)1 << 20);
    cfg_write_json_schema(&out, &test_registry);
    b_text_char(&out, 0);
    CHECK(!out.failed);
    return out;
}

static void check_has(const struct b_text *text, const char *part) {
    if (!text->failed && !strstr(text->ptr, part))
        FAIL("there is no \"%s\"", part);
}

TEST(the_schema_tells_what_the_loader_takes) {
    struct b_text out = schema();
    unsigned nodes = 0;
    check_has(&out, "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\"");
    check_has(
        &out,
        "\"timeout\":{\"description\":\"one attempt, up to the head of its response\",\"default\":\"30s\","
        "\"$ref\":\"#/$defs/duration\"}");
    check_has(
        &out,
        "\"weight\":{\"description\":\"its share of the requests, relative to the others\",\"default\":1,"
        "\"anyOf\":[{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000},{\"$ref\":\"#/$defs/env\"}]}");
    check_has(&out, "\"oneOf\":[{\"required\":[\"proxy\"]},{\"required\":[\"respond\"]}]");
    check_has(&out, "\"required\":[\"version\",\"listen\",\"routes\"]");
    check_has(&out, "{\"enum\":[\"auto\"]}");
    for (const char *p = out.ptr; (p = strstr(p, "\"additionalProperties\":false")) != NULL; p++)
        nodes++;
    CHECK(nodes > 15); /* every object is closed */
    b_text_free(&out);
}

/* What the schema says is JSON, and YAML is its superset. */
TEST(the_schema_is_json) {
    struct b_text out = schema();
    struct cfg_source source = {"schema", b_slice(out.ptr, out.len - 1)};
    struct b_arena arena;
    struct cfg_errors errors;
    b_arena_init(&arena, B_TAG_TEST, NULL, NULL, 0, (size_t)16 << 20);
    cfg_errors_init(&errors);
    const struct cfg_node *root = cfg_tree(&source, 1, NULL, &arena, &errors);
    const struct cfg_node *defs = cfg_node_get(root, "$defs");
    CHECK(!cfg_errors_any(&errors));
    CHECK(defs && defs->count == 8);
    cfg_errors_free(&errors);
    b_arena_release(&arena);
    b_text_free(&out);
}

TEST(the_docs_name_everything) {
    struct b_text out = b_text_heap(B_TAG_TEST, (size_t)1 << 20);
    cfg_write_docs(&out, &test_registry);
    b_text_char(&out, 0);
    CHECK(!out.failed);
    check_has(&out, cfg_example);
    check_has(
        &out,
        "\n## `upstreams.NAME.pool`\n\nConnections to the upstream that are kept and used again.\n\n"
        "| option | type | default | range | meaning |\n|---|---|---|---|---|\n"
        "| `max_connections` | number | `200` | 1 to 1000000 | open connections to the upstream, busy and idle |\n");
    check_has(&out, "\n## `upstreams.NAME.endpoints[]`\n");
    check_has(&out, "| `workers` | number | `auto` | 1 to 256, or `auto` | ");
    check_has(&out, "| `level` | word | `info` | `debug`, `info`, `warn`, `error` | ");
    check_has(&out, "| `path` | text | required | 1 to 2048 bytes | ");
    check_has(&out, "\n### `request_id`\n\nNames each request.\nIt has no options.\n");
    check_has(&out, "\n### `limit`\n");
    check_has(&out, "\n## `limit.ban`\n");
    b_text_free(&out);
}

TEST(the_example_loads) {
    struct loaded l;
    load_text(&l, cfg_example);
    CHECK_STR(l.said, "");
    CHECK(l.root != NULL);
    unload(&l);
}

static void effective(const char *text, char *buf, size_t cap) {
    struct loaded l;
    struct b_text out = b_text_fixed(buf, cap - 1);
    load_text(&l, text);
    CHECK_STR(l.said, "");
    if (l.root)
        cfg_write_effective(&out, l.root);
    CHECK(!out.failed);
    buf[out.len] = 0;
    unload(&l);
}

static const char with_defaults[] =
    "version: 1\n"
    "workers: auto\n"
    "io: auto\n"
    "balance_workers: true\n"
    "log:\n"
    "  level: info\n"
    "  format: auto\n"
    "trusted_proxies:\n"
    "  - \"10.0.0.0/8\"\n"
    "listen:\n"
    "  - addr: \":${PORT}\"\n"
    "    backlog: 4096\n"
    "    proxy_protocol: false\n"
    "admin:\n"
    "  addr: \"127.0.0.1:9901\"\n"
    "limits:\n"
    "  max_header_bytes: 16KiB\n"
    "  max_headers: 100\n"
    "  max_uri: 8KiB\n"
    "  max_body: 1MiB\n"
    "  header_timeout: 10s\n"
    "  body_timeout: 30s\n"
    "  body_min_rate: 500B\n"
    "  send_timeout: 30s\n"
    "  send_min_rate: 500B\n"
    "  rate_window: 10s\n"
    "  idle_timeout: 1m\n"
    "  tunnel_idle_timeout: 1h\n"
    "  max_connections: auto\n"
    "  max_requests_per_connection: 1000\n"
    "  max_in_flight: 20000\n"
    "  max_memory: auto\n"
    "use:\n"
    "  - \"request_id\"\n"
    "upstreams:\n"
    "  \"or ders\":\n"
    "    endpoints:\n"
    "      - url: \"http://h:1\"\n"
    "        weight: 1\n"
    "    balance: round_robin\n"
    "    slow_start: 0s\n"
    "    pool:\n"
    "      max_connections: 200\n"
    "      max_idle: 100\n"
    "      min_idle: 0\n"
    "      max_idle_time: 15s\n"
    "      max_lifetime: 1h\n"
    "    max_in_flight: 1024\n"
    "    max_pending: 256\n"
    "    connect_timeout: 3s\n"
    "    timeout: \"${NONE:-5s}\"\n"
    "    max_header_bytes: 16KiB\n"
    "    max_headers: 100\n"
    "    retry:\n"
    "      attempts: 2\n"
    "      backoff:\n"
    "        base: 25ms\n"
    "        max: 250ms\n"
    "      budget:\n"
    "        percent: 20%\n"
    "        min: 3\n"
    "    breaker:\n"
    "      enabled: true\n"
    "      failure_percent: 50%\n"
    "      min_requests: 20\n"
    "      consecutive_failures: 5\n"
    "      window: 10s\n"
    "      open_for: 5s\n"
    "      max_open_for: 1m\n"
    "middleware:\n"
    "  m:\n"
    "    limit:\n"
    "      rate: 100/s\n"
    "      burst: 7\n"
    "      share: 20%\n"
    "      memory: 1MB\n"
    "      dry_run: true\n"
    "      secret: \"(secret)\"\n"
    "  n:\n"
    "    access_log: {}\n"
    "routes:\n"
    "  - match:\n"
    "      path: \"/\"\n"
    "      methods:\n"
    "        - \"GET\"\n"
    "    deadline: 30s\n"
    "    max_body: 1MiB\n"
    "    use:\n"
    "      - \"m\"\n"
    "      - \"n\"\n"
    "    proxy:\n"
    "      upstream: \"or ders\"\n"
    "  - match:\n"
    "      path: \"/b\"\n"
    "    deadline: 30s\n"
    "    max_body: 1MiB\n"
    "    respond:\n"
    "      status: 200\n"
    "      json: {\"a\": [1, \"1\", null, true, \"x y\", \"${PORT}\", -1.5e3, {}]}\n"
    "      headers:\n"
    "        \"X-A\": \"1\"\n"
    "  - match:\n"
    "      path: \"/c\"\n"
    "    deadline: 30s\n"
    "    max_body: 1MiB\n"
    "    respond:\n"
    "      status: 200\n"
    "      body: \"hi\"\n";

TEST(the_effective_config_has_all_defaults) {
    static char out[16384], again[16384];
    effective(
        "version: 1\nlisten: [':${PORT}']\nuse: [request_id]\ntrusted_proxies: [10.0.0.0/8]\n"
        "upstreams: {or ders: {endpoints: ['http://h:1'], timeout: '${NONE:-5s}'}}\n"
        "middleware: {m: {limit: {dry_run: true, secret: '${SECRET}'}}, n: {access_log: }}\n"
        "routes:\n- {match: {path: /, methods: [GET]}, use: [m, n], proxy: {upstream: or ders}}\n"
        "- {match: /b, respond: {headers: {X-A: 1}, json: {a: [1, '1', null, true, x y, '${PORT}', -1.5e3, {}]}}}\n"
        "- {match: /c, respond: hi}\n",
        out, sizeof out);
    CHECK_STR(out, with_defaults);
    effective(out, again, sizeof again);
    CHECK_STR(again, out); /* it is a config itself */
}

/* Characters that YAML would refuse or fold. */
TEST(odd_texts_survive) {
    static char out[16384], again[16384];
    effective(
        "version: 1\nlisten: [':80']\n"
        "routes: [{match: /, respond: {body: \"a\\x7f\\x82\\N\\L\\P\\uFEFF\\n\\\"\\\\ \\u20ac\\uffffb\"}}]\n",
        out, sizeof out);
    CHECK(strstr(out,
                 "body: \"a\\u007f\\u0082\\u0085\\u2028\\u2029\\ufeff\\n\\\"\\\\ \xe2\x82\xac\\uffffb\"\n") !=
          NULL);
    effective(out, again, sizeof again);
    CHECK_STR(again, out);
}

const struct test_case describe_tests[] = {
    {"the_schema_tells_what_the_loader_takes", the_schema_tells_what_the_loader_takes},
    {"the_schema_is_json", the_schema_is_json},
    {"the_docs_name_everything", the_docs_name_everything},
    {"the_example_loads", the_example_loads},
    {"the_effective_config_has_all_defaults", the_effective_config_has_all_defaults},
    {"odd_texts_survive", odd_texts_survive},
    {0},
};
