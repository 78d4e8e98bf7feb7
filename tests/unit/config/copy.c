/* Copies of decoded options, and what makes two of them differ. */
#include "config/copy.h"

#include <errno.h>
#include <string.h>

#include "support.h"
#include "test.h"

#define TEXT(options)                                              \
    "version: 1\nlisten: [':80']\nupstreams: {u: {" options "}}\n" \
    "routes: [{match: /, proxy: {upstream: u}}]\n"
#define FULL \
    "endpoints: ['http://127.0.0.1:1', {url: 'http://o.example:2', weight: 3}], timeout: 7s, pool: {max_idle: 5}"

static const struct cfg_upstream *upstream(struct loaded *l, const char *text) {
    load_text(l, text);
    CHECK_STR(l->said, "");
    return l->root ? cfg_upstream_find(l->root, B_LIT("u")) : NULL;
}

TEST(a_copy_outlives_the_load) {
    struct loaded first, again;
    struct b_arena arena;
    struct cfg_upstream copy;
    b_arena_init(&arena, B_TAG_TEST, NULL, NULL, 0, 1 << 20);
    const struct cfg_upstream *u = upstream(&first, TEXT(FULL));
    REQUIRE(u);
    CHECK_INT(cfg_copy(&cfg_upstream_table, u, &copy, &arena), 0);
    unload(&first);
    u = upstream(&again, TEXT(FULL));
    REQUIRE(u);
    CHECK(cfg_equal(&cfg_upstream_table, u, &copy));
    CHECK_SLICE(copy.head.name.ptr, copy.head.name.len, "u");
    const struct cfg_endpoint *e = copy.endpoints.items;
    CHECK_SLICE(e[1].url.name.ptr, e[1].url.name.len, "o.example");
    CHECK_INT(e[1].weight, 3);
    unload(&again);
    b_arena_release(&arena);
}

TEST(any_option_makes_a_difference) {
    static const char *const others[] = {
        TEXT(
            "endpoints: ['http://127.0.0.1:1', {url: 'http://o.example:2', weight: 4}], timeout: 7s, pool: {max_idle: 5}"),
        TEXT(
            "endpoints: ['http://127.0.0.1:1', {url: 'http://o.example:3', weight: 3}], timeout: 7s, pool: {max_idle: 5}"),
        TEXT("endpoints: ['http://127.0.0.1:1'], timeout: 7s, pool: {max_idle: 5}"),
        TEXT(FULL ", max_pending: 1"),
        TEXT(
            "endpoints: ['http://127.0.0.1:1', {url: 'http://o.example:2', weight: 3}], timeout: 7s, pool: {max_idle: 6}"),
    };
    struct loaded l, other;
    const struct cfg_upstream *u = upstream(&l, TEXT(FULL));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        const struct cfg_upstream *o = upstream(&other, others[i]);
        CHECK(u && o && !cfg_equal(&cfg_upstream_table, u, o));
        unload(&other);
    }
    const struct cfg_upstream *o =
        upstream(&other,
                 TEXT("pool: {max_idle: 5, min_idle: 0},\n timeout: 7000ms, max_pending: 256, "
                      "endpoints: [{url: 'http://127.0.0.1:1', weight: 1}, {url: 'http://o.example:2', "
                      "weight: 3}]")); /* the same, in other words */
    CHECK(u && o && cfg_equal(&cfg_upstream_table, u, o));
    unload(&other);
    unload(&l);
}

/* The arena is as short as it can be until the copy fits. */
TEST(memory_runs_out_in_a_copy) {
    struct loaded l;
    const struct cfg_upstream *u = upstream(&l, TEXT(FULL));
    REQUIRE(u);
    int rc = -ENOMEM;
    for (size_t size = 0; rc && size < 4096; size += 8) {
        char first[4096] __attribute__((aligned(8)));
        struct b_arena arena;
        struct cfg_upstream copy;
        b_arena_init(&arena, B_TAG_TEST, NULL, first, size, 0);
        rc = cfg_copy(&cfg_upstream_table, u, &copy, &arena);
        CHECK(rc == 0 || (rc == -ENOMEM && size < 2048));
        b_arena_release(&arena);
    }
    CHECK_INT(rc, 0);
    unload(&l);
}

const struct test_case copy_tests[] = {
    {"a_copy_outlives_the_load", a_copy_outlives_the_load},
    {"any_option_makes_a_difference", any_option_makes_a_difference},
    {"memory_runs_out_in_a_copy", memory_runs_out_in_a_copy},
    {0},
};
