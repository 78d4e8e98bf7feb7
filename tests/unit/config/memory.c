/* Memory that runs out at any point of a load: a clean error, nothing lost. */
#include <errno.h>

#include "support.h"
#include "test.h"
#include "test_modules.h"

static const char good[] =
    "version: 1\n"
    "listen: [':80', {addr: ':81', protocols: [http/1.1]}]\n"
    "trusted_proxies: [127.0.0.1]\n"
    "use: [request_id]\n"
    "upstreams:\n  u: {endpoints: ['http://h', 'http://i']}\n  v: {endpoints: ['http://h']}\n"
    "middleware: {m: {limit: {secrets: [a, b], ban: {time: 1s}}}}\n"
    "routes:\n"
    "- {match: {path: '/${PORT}', host: H, methods: [GET]}, use: [m], proxy: {upstream: u}}\n"
    "- {match: /b, respond: {headers: {a: b}, json: {a: [1]}}}\n";
static const char more[] = "routes:\n- {match: /c, respond: hi}\nmiddleware: {n: {limit: {}}}\n";
static const char bad[] =
    "version: 1\nlisten: [80]\nwrokers: 1\nroutes: [{match: x, proxy: {upstream: '${NONE}', a: *b}}]\n";

/* Fails the nth allocation for all n until the load gets through. With a small arena its own limit plays a part too. */
static void check_all(const struct cfg_source *sources, size_t n, int rc_in_the_end) {
    uint64_t nth = 1;
    for (bool done = false; !done && nth < 10000; nth++) {
        struct b_arena arena;
        struct cfg_errors errors;
        struct cfg_root *root;
        b_arena_init(&arena, B_TAG_TEST, NULL, NULL, 0, (size_t)16 << 20);
        cfg_errors_init(&errors);
        b_alloc_fail_at(nth);
        int rc = cfg_load(sources, n, &test_registry, test_env, &arena, &root, &errors);
        done = b_alloc_failures() == 0;
        b_alloc_fail_at(0);
        CHECK_INT(rc, done ? rc_in_the_end : -ENOMEM);
        CHECK(errors.no_memory == !done);
        CHECK((root != NULL) == (rc == 0));
        cfg_errors_free(&errors);
        b_arena_release(&arena);
    }
    CHECK(nth > 5 && nth < 10000);
}

TEST(any_allocation_may_fail) {
    const struct cfg_source fine[] = {{"a", b_slice_cstr(good)}, {"b", b_slice_cstr(more)}};
    const struct cfg_source wrong = {"w", b_slice_cstr(bad)};
    check_all(fine, 2, 0);
    check_all(&wrong, 1, -EINVAL);
}

TEST(an_arena_may_be_too_small) {
    const struct cfg_source fine[] = {{"a", b_slice_cstr(good)}, {"b", b_slice_cstr(more)}};
    bool done = false;
    for (size_t size = 0; !done && size < ((size_t)1 << 20); size += B_ARENA_CHUNK) {
        struct b_arena arena;
        struct cfg_errors errors;
        struct cfg_root *root;
        b_arena_init(&arena, B_TAG_TEST, NULL, NULL, 0, size);
        cfg_errors_init(&errors);
        int rc = cfg_load(fine, 2, &test_registry, test_env, &arena, &root, &errors);
        done = rc == 0;
        CHECK_INT(rc, done ? 0 : -ENOMEM);
        CHECK(errors.no_memory == !done);
        cfg_errors_free(&errors);
        b_arena_release(&arena);
    }
    CHECK(done);
}

const struct test_case memory_tests[] = {
    {"any_allocation_may_fail", any_allocation_may_fail},
    {"an_arena_may_be_too_small", an_arena_may_be_too_small},
    {0},
};
