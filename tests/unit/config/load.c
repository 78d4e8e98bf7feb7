/* What a good config becomes. */
#include "support.h"
#include "test.h"
#include "test_modules.h"

static const char minimal[] = "version: 1\n"
                              "listen: [':8080']\n"
                              "upstreams: {u: {endpoints: ['http://127.0.0.1:9001']}}\n"
                              "routes:\n"
                              "  - {match: {path: /}, proxy: {upstream: u}}\n";

/* The values of the outer contract. */
TEST(defaults) {
    struct loaded l;
    load_text(&l, minimal);
    CHECK_STR(l.said, "");
    REQUIRE(l.root);
    const struct cfg_root *r = l.root;
    CHECK_INT(r->version, 1);
    CHECK_INT(r->workers, 0);
    CHECK_INT(r->io, CFG_IO_AUTO);
    CHECK_INT(r->log.level, CFG_LEVEL_INFO);
    CHECK_INT(r->log.format, CFG_LOG_AUTO);
    CHECK_UINT(r->trusted_proxies.count, 0);
    CHECK_UINT(r->use.count, 0);
    CHECK_STR(r->admin.addr.text.ptr, "127.0.0.1:9901");
    CHECK_INT(r->admin.addr.port, 9901);
    CHECK(!r->admin.token_file.ptr);
    CHECK_INT(r->limits.max_header_bytes, 16384);
    CHECK_INT(r->limits.max_headers, 100);
    CHECK_INT(r->limits.max_uri, 8192);
    CHECK_INT(r->limits.max_body, 1048576);
    CHECK_INT(r->limits.header_timeout, 10 * CFG_S);
    CHECK_INT(r->limits.body_timeout, 30 * CFG_S);
    CHECK_INT(r->limits.body_min_rate, 500);
    CHECK_INT(r->limits.send_timeout, 30 * CFG_S);
    CHECK_INT(r->limits.send_min_rate, 500);
    CHECK_INT(r->limits.rate_window, 10 * CFG_S);
    CHECK_INT(r->limits.idle_timeout, 60 * CFG_S);
    CHECK_INT(r->limits.max_connections, 0);
    CHECK_INT(r->limits.max_requests_per_connection, 1000);
    CHECK_INT(r->limits.max_in_flight, 20000);
    const struct cfg_listener *listener = r->listen.items;
    CHECK_INT(listener->backlog, 4096);
    CHECK_UINT(listener->protocols.count, 0);
    const struct cfg_upstream *u = r->upstreams.items;
    CHECK_INT(u->balance, CFG_ROUND_ROBIN);
    CHECK_INT(u->pool.max_connections, 200);
    CHECK_INT(u->pool.max_idle, 100);
    CHECK_INT(u->pool.min_idle, 0);
    CHECK_INT(u->pool.max_idle_time, 15 * CFG_S);
    CHECK_INT(u->pool.max_lifetime, CFG_H);
    CHECK_INT(u->max_in_flight, 1024);
    CHECK_INT(u->connect_timeout, 3 * CFG_S);
    CHECK_INT(u->timeout, 30 * CFG_S);
    CHECK_INT(u->retry.attempts, 2);
    CHECK_INT(((const struct cfg_endpoint *)u->endpoints.items)->weight, 1);
    const struct cfg_route *route = r->routes.items;
    CHECK_INT(route->deadline, 30 * CFG_S);
    CHECK_UINT(route->match.methods.count, 0);
    CHECK(!route->match.host.ptr);
    CHECK_INT(route->match.listen.kind, CFG_HOST_NONE);
    unload(&l);
}

static const char full[] =
    "version: 1\n"
    "workers: 4\n"
    "io: epoll\n"
    "log: {level: debug, format: text}\n"
    "trusted_proxies: [127.0.0.0/8, \"::1\"]\n"
    "listen:\n"
    "  - addr: \":${PORT}\"\n"
    "    protocols: [http/1.1]\n"
    "    backlog: 128\n"
    "  - unix:/run/weir.sock\n"
    "admin: {addr: \"127.0.0.1:9902\", token_file: /etc/token}\n"
    "limits: {max_header_bytes: 32KiB, max_headers: 50, max_uri: 4KiB, max_body: 10MB, header_timeout: 5s,\n"
    "         body_timeout: 1m, idle_timeout: 2m, max_connections: 500, max_in_flight: 600}\n"
    "use: [request_id, access_log]\n"
    "upstreams:\n"
    "  orders:\n"
    "    endpoints: [\"http://127.0.0.1:9001\", {url: \"http://[::1]:9002\", weight: 3}]\n"
    "    balance: round_robin\n"
    "    pool: {max_connections: 20, max_idle: 10, min_idle: 1, max_idle_time: 5s, max_lifetime: 10m}\n"
    "    max_in_flight: 64\n"
    "    connect_timeout: 1s\n"
    "    timeout: 2s\n"
    "    retry: {attempts: 3}\n"
    "  users: {endpoints: [unix:/run/users.sock], pool: {max_connections: 5}}\n"
    "middleware:\n"
    "  per_ip: {limit: {rate: 5000/m, burst: -2, share: 50, memory: 2KiB, dry_run: true, secret: '${SECRET}',\n"
    "                   secrets: [old_secret], except: [10.0.0.0/8], ban: {time: 1h}}}\n"
    "  limit: {limit: }\n"
    "routes:\n"
    "  - match: {path: \"/api/{id}/*\", methods: [GET, POST], host: API.example.com, listen: \":8080\"}\n"
    "    deadline: 25s\n"
    "    use: [per_ip, limit]\n"
    "    proxy: {upstream: orders, strip_prefix: /api}\n"
    "  - match: /users\n"
    "    use: [limit]\n"
    "    proxy: {upstream: users}\n"
    "  - match: {path: /hello}\n"
    "    respond: {status: 201, json: {hello: [world, 1, \"1\"]}, headers: {X-A: b, X-C: 1}}\n"
    "  - {match: {path: /text}, respond: just text}\n"
    "  - match: {path: /default}\n"
    "    respond:\n";

static void check_root(const struct cfg_root *r) {
    const struct cfg_cidr *cidr = r->trusted_proxies.items;
    const struct cfg_listener *listener = r->listen.items;
    CHECK_INT(r->workers, 4);
    CHECK_INT(r->io, CFG_IO_EPOLL);
    CHECK_INT(r->log.level, CFG_LEVEL_DEBUG);
    CHECK_INT(r->log.format, CFG_LOG_TEXT);
    REQUIRE(r->trusted_proxies.count == 2);
    CHECK_UINT(cidr[0].bits, 8);
    CHECK_UINT(cidr[1].bits, 128);
    REQUIRE(r->listen.count == 2);
    CHECK_UINT(listener[0].addr.port, 8080);
    CHECK_INT(listener[0].backlog, 128);
    CHECK_UINT(listener[0].protocols.count, 1);
    CHECK_STR(listener[1].addr.path.ptr, "/run/weir.sock");
    CHECK_INT(listener[1].backlog, 4096);
    CHECK_UINT(r->admin.addr.port, 9902);
    CHECK_STR(r->admin.token_file.ptr, "/etc/token");
    CHECK_INT(r->limits.max_header_bytes, 32768);
    CHECK_INT(r->limits.max_body, 10000000);
    CHECK_INT(r->limits.idle_timeout, 2 * CFG_M);
    CHECK_INT(r->limits.max_in_flight, 600);
    REQUIRE(r->chain.count == 2);
    CHECK_STR(r->chain.items[0]->use.module->name, "request_id");
    CHECK_STR(r->chain.items[1]->use.module->name, "access_log");
    CHECK_STR(r->chain.items[0]->head.name.ptr, "request_id");
    CHECK_UINT(r->implicit.count, 2);
}

static void check_upstreams(const struct cfg_root *r) {
    const struct cfg_upstream *orders = cfg_upstream_find(r, B_LIT("orders")),
                              *users = cfg_upstream_find(r, B_LIT("users"));
    CHECK(!cfg_upstream_find(r, B_LIT("other")));
    REQUIRE(orders && users && r->upstreams.count == 2 && orders->endpoints.count == 2);
    const struct cfg_endpoint *e = orders->endpoints.items;
    CHECK_STR(orders->head.name.ptr, "orders");
    CHECK_UINT(orders->head.node->key_line, 16);
    CHECK_INT(e[0].weight, 1);
    CHECK_UINT(e[0].url.port, 9001);
    CHECK_INT(e[1].weight, 3);
    CHECK_INT(e[1].url.kind, CFG_HOST_IPV6);
    CHECK_INT(orders->pool.min_idle, 1);
    CHECK_INT(orders->pool.max_lifetime, 10 * CFG_M);
    CHECK_INT(orders->timeout, 2 * CFG_S);
    CHECK_INT(orders->retry.attempts, 3);
    CHECK_INT(users->pool.max_connections, 5);
    CHECK_INT(users->pool.max_idle, 5); /* the default gives way */
}

static void check_routes(const struct cfg_root *r) {
    const struct cfg_route *route = r->routes.items;
    REQUIRE(r->routes.count == 5);
    const struct proxy_conf *proxy = route[0].handler.conf;
    CHECK_STR(route[0].handler.module->name, "proxy");
    CHECK(proxy->upstream.upstream == cfg_upstream_find(r, B_LIT("orders")));
    CHECK_STR(proxy->strip_prefix.ptr, "/api");
    CHECK_STR(route[0].match.path.ptr, "/api/{id}/*");
    CHECK_STR(route[0].match.host.ptr, "api.example.com");
    CHECK_UINT(route[0].match.methods.count, 2);
    CHECK(route[0].match.listener == r->listen.items);
    CHECK_INT(route[0].deadline, 25 * CFG_S);
    REQUIRE(route[0].chain.count == 2);
    CHECK(route[0].chain.items[1] == route[1].chain.items[0]); /* one name, one instance */
    CHECK(route[0].chain.items[0] == r->middleware.items);
    CHECK_STR(route[1].match.path.ptr, "/users");
    const struct respond_conf *respond = route[2].handler.conf;
    CHECK_INT(respond->status, 201);
    CHECK_STR(cfg_node_get(respond->json, "hello")->last->text.ptr, "1");
    REQUIRE(respond->headers.count == 2);
    CHECK_STR(((const struct cfg_text *)respond->headers.items)[1].name.ptr, "X-C");
    CHECK_STR(((const struct cfg_text *)respond->headers.items)[1].text.ptr, "1");
    CHECK_STR(((const struct respond_conf *)route[3].handler.conf)->body.ptr, "just text");
    CHECK_INT(((const struct respond_conf *)route[4].handler.conf)->status, 200);
    CHECK(!((const struct respond_conf *)route[4].handler.conf)->json);
}

TEST(everything_given) {
    struct loaded l;
    load_text(&l, full);
    CHECK_STR(l.said, "");
    REQUIRE(l.root);
    check_root(l.root);
    check_upstreams(l.root);
    check_routes(l.root);
    const struct cfg_middleware *m = l.root->middleware.items;
    REQUIRE(l.root->middleware.count == 2);
    const struct limit_conf *per_ip = m[0].use.conf, *limit = m[1].use.conf;
    CHECK_STR(m[0].head.name.ptr, "per_ip");
    CHECK_INT(per_ip->rate.count, 5000);
    CHECK_INT(per_ip->rate.per, CFG_M);
    CHECK_INT(per_ip->burst, -2);
    CHECK_INT(per_ip->share, 50);
    CHECK_INT(per_ip->memory, 2048);
    CHECK(per_ip->dry_run);
    CHECK_STR(per_ip->secret.ptr, "hunter2hunter2");
    CHECK_INT(per_ip->ban.time, CFG_H);
    CHECK(per_ip->ban.head.given);
    CHECK_INT(limit->rate.count, 100);
    CHECK_INT(limit->memory, 1000000);
    CHECK(!limit->dry_run && !limit->secret.ptr && !limit->ban.head.node); /* CFG_OPTIONAL */
    unload(&l);
}

TEST(a_directory_is_one_config) {
    static const char a[] = "version: 1\nlisten: [':1']\nroutes: [{match: /a, respond: a}]\n",
                      b[] = "version: 1\nupstreams: {u: {endpoints: ['http://h']}}\n"
                            "routes: [{match: /b, proxy: {upstream: u}}]\n",
                      c[] = "routes: [{match: /c, proxy: {upstream: v}}]\n";
    struct cfg_source sources[] = {{"d/a.yaml", b_slice_cstr(a)},
                                   {"d/b.yaml", b_slice_cstr(b)},
                                   {"d/c.yaml", b_slice_cstr(c)}};
    struct loaded l;
    load_sources(&l, sources, 2);
    CHECK_STR(l.said, "");
    REQUIRE(l.root && l.root->routes.count == 2);
    CHECK_STR(((const struct cfg_route *)l.root->routes.items)[1].match.path.ptr, "/b");
    unload(&l);
    load_sources(&l, sources, 3);
    CHECK_STR(l.said, "d/c.yaml:1:40: there is no upstream \"v\": add it to `upstreams`\n");
    unload(&l);
}

TEST(json_is_yaml) {
    struct loaded l;
    load_text(&l, "{\"version\": 1, \"listen\": [{\"addr\": \":80\"}],\n"
                  " \"routes\": [{\"match\": {\"path\": \"/\"}, \"respond\": {\"status\": 204}}]}\n");
    CHECK_STR(l.said, "");
    CHECK(l.root != NULL);
    unload(&l);
}

TEST(what_is_not_used_is_a_warning) {
    struct loaded l;
    load_text(&l, "version: 1\nlisten: [':80']\n"
                  "upstreams:\n  idle: {endpoints: ['http://h']}\n"
                  "middleware:\n  lazy: {limit: {}}\n"
                  "use: [request_id]\n"
                  "routes: [{match: /, use: [request_id], respond: hi}]\n");
    CHECK(l.root != NULL);
    CHECK_UINT(l.errors.errors, 0);
    CHECK_STR(l.said,
              "w:4:3: warning: no route uses the upstream \"idle\"\n"
              "w:6:3: warning: no `use` names the middleware \"lazy\"\n"
              "w:8:27: warning: \"request_id\" is in the `use` of all routes already, and runs twice here\n");
    unload(&l);
}

/* The addresses do not lie: a config loads without its sources' memory being copied into errors. */
TEST(an_empty_environment_is_fine) {
    struct cfg_source source = {"w", b_slice_cstr(minimal)};
    struct b_arena arena;
    struct cfg_errors errors;
    struct cfg_root *root;
    b_arena_init(&arena, B_TAG_TEST, NULL, NULL, 0, (size_t)1 << 20);
    cfg_errors_init(&errors);
    CHECK_INT(cfg_load(&source, 1, &test_registry, NULL, &arena, &root, &errors), 0);
    cfg_errors_free(&errors);
    b_arena_release(&arena);
}

const struct test_case load_tests[] = {
    {"defaults", defaults},
    {"everything_given", everything_given},
    {"a_directory_is_one_config", a_directory_is_one_config},
    {"json_is_yaml", json_is_yaml},
    {"what_is_not_used_is_a_warning", what_is_not_used_is_a_warning},
    {"an_empty_environment_is_fine", an_empty_environment_is_fine},
    {0},
};
