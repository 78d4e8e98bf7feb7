/* Which configs are the same upstream. */
#include <stdio.h>

#include "test.h"
#include "upstream/upstream.h"

struct loaded {
    struct b_arena arena;
    const struct cfg_upstream *conf;
};

/* The upstream `u` with these options. */
static void load(struct loaded *l, const char *options) {
    char text[1024];
    struct cfg_errors errors;
    struct cfg_root *root;
    static const struct cfg_option no_options[] = {{0}};
    static const struct cfg_table table = {.name = "t",
                                           .options = no_options,
                                           .size = sizeof(struct cfg_head)};
    static const struct cfg_module handler = {.name = "answer", .summary = "Answers", .options = &table};
    static const struct cfg_module *const handlers[] = {&handler, NULL}, *const none[] = {NULL};
    static const struct cfg_registry registry = {.handlers = handlers, .middleware = none};
    int n = snprintf(text, sizeof text,
                     "version: 1\nlisten: [\":1\"]\nupstreams:\n  u: {%s}\n"
                     "routes: [{match: /, answer: {}}]\n",
                     options);
    const struct cfg_source source = {.name = "t", .bytes = b_slice(text, (size_t)n)};
    cfg_errors_init(&errors);
    b_arena_init(&l->arena, B_TAG_TEST, NULL, NULL, 0, 1 << 20);
    CHECK_INT(cfg_load(&source, 1, &registry, NULL, &l->arena, &root, &errors), 0);
    l->conf = root ? cfg_upstream_find(root, B_LIT("u")) : NULL;
    CHECK(l->conf);
    cfg_errors_free(&errors);
}

static struct up_upstream *get(struct up_registry *r, const char *options) {
    struct loaded l;
    load(&l, options);
    struct up_upstream *u = l.conf ? up_get(r, l.conf) : NULL;
    b_arena_release(&l.arena); /* an upstream keeps nothing of the config */
    return u;
}

#define TWO "endpoints: [\"http://127.0.0.1:1\", {url: \"http://o.example:2\", weight: 3}]"

TEST(the_same_config_is_the_same_upstream) {
    struct up_registry *r = up_registry_new();
    struct up_upstream *a = get(r, TWO), *b = get(r, TWO ", timeout: 30s, retry: {attempts: 2}");
    REQUIRE(a && b);
    CHECK(a == b);
    CHECK_UINT(atomic_load(&a->refs), 2);
    up_put(a);
    CHECK(get(r, TWO) == b);
    up_put(b);
    up_put(b);
    up_registry_free(r);
}

TEST(any_change_makes_a_new_one) {
    static const char *const others[] = {
        "endpoints: [\"http://127.0.0.1:1\"]",
        "endpoints: [\"http://127.0.0.1:1\", {url: \"http://o.example:2\", weight: 4}]",
        "endpoints: [{url: \"http://o.example:2\", weight: 3}, \"http://127.0.0.1:1\"]",
        TWO ", timeout: 1s",
        TWO ", max_header_bytes: 32KiB",
        TWO ", max_headers: 200",
        TWO ", connect_timeout: 1s",
        TWO ", max_in_flight: 5",
        TWO ", retry: {attempts: 1}",
        TWO ", pool: {max_connections: 7}",
        TWO ", pool: {max_idle: 7}",
        TWO ", pool: {min_idle: 7}",
        TWO ", pool: {max_idle_time: 7s}",
        TWO ", pool: {max_lifetime: 7s}",
    };
    struct up_registry *r = up_registry_new();
    struct up_upstream *first = get(r, TWO);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct up_upstream *other = get(r, others[i]);
        CHECK(other && other != first && other->cluster == first->cluster);
        if (other)
            up_put(other);
    }
    up_put(first);
    up_registry_free(r);
}

TEST(the_last_reference_takes_it_off_the_list) {
    struct up_registry *r = up_registry_new();
    struct up_upstream *a = get(r, TWO);
    atomic_store(&a->cluster->idle, 77); /* state that a new one has not */
    up_put(a);
    struct up_upstream *b = get(r, TWO);
    CHECK_INT(b->cluster->idle, 0);
    CHECK_UINT(atomic_load(&b->refs), 1);
    up_put(b);
    up_registry_free(r);
}

TEST(an_upstream_is_what_the_config_says) {
    struct up_registry *r = up_registry_new();
    struct up_upstream *u =
        get(r, "endpoints: [\"http://[::1]:8081\", \"http://o.example\"], pool: {max_connections: 9}");
    REQUIRE(u && up_cluster_set(u->cluster)->count == 2);
    const struct up_member *members = up_cluster_set(u->cluster)->members;
    const struct up_endpoint *literal = members[0].endpoint, *named = members[1].endpoint;
    CHECK_SLICE(literal->authority.ptr, literal->authority.len, "[::1]:8081");
    CHECK_UINT(literal->name.len, 0);
    CHECK_INT(literal->address.u.any.sa_family, AF_INET6);
    CHECK_SLICE(named->name.ptr, named->name.len, "o.example");
    CHECK_UINT(named->port, 80);
    CHECK_INT(atomic_load(&u->cluster->connections.available), 9);
    up_put(u);
    up_registry_free(r);
}

TEST(memory_runs_out_anywhere) {
    struct loaded l;
    load(&l, TWO);
    for (uint64_t n = 1;; n++) {
        struct up_registry *r = up_registry_new();
        b_alloc_fail_at(n);
        struct up_upstream *u = up_get(r, l.conf);
        bool failed = b_alloc_failures() > 0;
        b_alloc_fail_at(0);
        CHECK(u || failed);
        if (u)
            up_put(u);
        up_registry_free(r);
        if (!failed) {
            CHECK(n > 8); /* it did fail before */
            break;
        }
    }
    b_arena_release(&l.arena);
}

const struct test_case registry_tests[] = {
    {"the_same_config_is_the_same_upstream", the_same_config_is_the_same_upstream},
    {"any_change_makes_a_new_one", any_change_makes_a_new_one},
    {"the_last_reference_takes_it_off_the_list", the_last_reference_takes_it_off_the_list},
    {"an_upstream_is_what_the_config_says", an_upstream_is_what_the_config_says},
    {"memory_runs_out_anywhere", memory_runs_out_anywhere},
    {0},
};
