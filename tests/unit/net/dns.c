#include "net/dns.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "dns_server.h"
#include "net/address.h"
#include "support.h"

static struct dns_server server;

/* Whether the addresses are those of the text, "ip ip ip". */
static bool same(const struct net_addresses *a, const char *want) {
    char got[1024] = "", one[NET_ADDRESS_TEXT];
    size_t len = 0;
    for (unsigned i = 0; i < a->count; i++) {
        net_format_ip(&a->list[i], one);
        len += (size_t)snprintf(got + len, sizeof got - len, i ? " %s" : "%s", one);
    }
    CHECK_STR(got, want);
    return strcmp(got, want) == 0;
}

static rt_time in(rt_time span) {
    return rt_after(rt_now(), span);
}

/* A lookup with a generous deadline. */
static int look(const char *name, struct net_addresses *out) {
    return net_resolve(b_slice_cstr(name), 80, in(20 * RT_S), out);
}

static unsigned queries(void) {
    return atomic_load(&server.queries_a);
}

static void sleep_for(rt_time span) {
    CHECK_INT(rt_sleep_until(in(span)), 0);
}

struct job {
    void (*fn)(void);
};

static void with_resolver(void *arg) {
    struct job *job = arg;
    job->fn();
    net_dns_close_worker();
}

/* Runs fn as a fiber with a server to ask; nothing of the resolver may be left. */
static void with_server(void (*fn)(void)) {
    struct job job = {fn};
    REQUIRE(dns_server_start(&server));
    CHECK_INT(net_dns_servers(server.csv), 0);
    run_fiber(1, with_resolver, &job);
    dns_server_stop(&server);
    CHECK_UINT(b_alloc_stat(B_TAG_NET).bytes, 0);
}

static void answers(void) {
    static const struct {
        const char *name;
        int rc;
        const char *list;
    } cases[] = {
        {"both.test", 0, "10.0.0.1 10.0.0.2 fd00::1 fd00::2"},
        {"BOTH.Test.", 0, "10.0.0.1 10.0.0.2 fd00::1 fd00::2"},
        {"single-label", 0, "10.0.0.1 10.0.0.2 fd00::1 fd00::2"},
        {"v4.test", 0, "10.0.0.1 10.0.0.2"},
        {"v6.test", 0, "fd00::1 fd00::2"},
        {"broken6.test", 0, "10.0.0.1 10.0.0.2"},
        {"silent6.test", 0, "10.0.0.1 10.0.0.2"},
        {"many.test", 0,
         "10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 10.0.0.5 10.0.0.6 10.0.0.7 10.0.0.8 10.0.0.9 "
         "10.0.0.10 10.0.0.11 10.0.0.12 10.0.0.13 10.0.0.14 10.0.0.15 10.0.0.16"},
        {"nx.test", -ENOENT, ""},
        {"empty.test", -ENOENT, ""},
        {"broken.test", -EIO, ""},
        {"cut.test", -EIO, ""},
        {"127.0.0.1", 0, "127.0.0.1"},
        {"::1", 0, "::1"},
        {"", -EINVAL, ""},
        {".", -EINVAL, ""},
        {"a b", -EINVAL, ""},
        {"a\nb", -EINVAL, ""},
        {"caf\xc3\xa9.test", -EINVAL, ""},
        {"a..b", -EINVAL, ""},
        {".a", -EINVAL, ""},
        {"a..", -EINVAL, ""},
    };
    struct net_addresses a;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int rc = look(cases[i].name, &a);
        if (rc != cases[i].rc || !same(&a, cases[i].list))
            FAIL("%s: %d, wanted %d", cases[i].name, rc, cases[i].rc);
        for (unsigned k = 0; k < a.count; k++)
            CHECK_UINT(net_port(&a.list[k]), 80);
        CHECK(!a.stale);
    }
}

TEST(answers_of_all_kinds) {
    with_server(answers);
}

static void long_names(void) {
    struct net_addresses a;
    char name[256];
    for (size_t i = 0; i < sizeof name; i++)
        name[i] = i % 50 == 49 ? '.' : 'a';
    CHECK_INT(net_resolve(b_slice(name, 253), 80, in(20 * RT_S), &a), 0);
    CHECK_INT(net_resolve(b_slice(name, 254), 80, in(20 * RT_S), &a), -EINVAL);
    memset(name, 'a', sizeof name);
    CHECK_INT(net_resolve(b_slice(name, 64), 80, in(20 * RT_S), &a),
              -EINVAL); /* a label has 63 bytes at most */
    CHECK_INT(net_resolve(b_slice("v4\0x", 4), 80, in(20 * RT_S), &a), -EINVAL);
}

TEST(names_at_the_limit) {
    with_server(long_names);
}

static void local_names(void) {
    static const char *const names[] = {"localhost", "LocalHost", "localhost.", "x.localhost"};
    struct net_addresses a;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        CHECK_INT(look(names[i], &a), 0);
        struct net_peer p;
        net_peer_from(&p, &a.list[0]);
        CHECK(net_peer_in(&p, AF_INET, (const uint8_t[4]){127}, 8));
    }
    CHECK_UINT(queries(), 0);
    CHECK_INT(look("notlocalhost", &a), 0);
    CHECK_UINT(queries(), 1);
}

TEST(localhost_is_not_asked_for) {
    with_server(local_names);
}

static void expiry(void) {
    struct net_addresses a;
    rt_time start = rt_now();
    CHECK_INT(look("a.test", &a), 0);
    CHECK(a.expires >= start + 60 * RT_S && a.expires <= rt_now() + 60 * RT_S);
    CHECK_INT(look("alias.test", &a), 0); /* its CNAME's TTL is 1 */
    CHECK(a.expires <= rt_now() + RT_S);
    CHECK_UINT(queries(), 2);
    for (int i = 0; i < 5; i++)
        CHECK_INT(look("a.test", &a), 0);
    CHECK_UINT(queries(), 2);
    atomic_store(&server.third, 7);
    sleep_for(RT_S + 50 * RT_MS);
    CHECK_INT(look("a.test", &a), 0);
    same(&a, "10.0.0.1 10.0.0.2 fd00::1 fd00::2");
    CHECK_INT(look("alias.test", &a), 0);
    same(&a, "10.0.7.1 10.0.7.2 fd00::701 fd00::702");
    CHECK(!a.stale);
    CHECK_UINT(queries(), 3);
    struct net_dns_stats st;
    net_dns_stats(&st);
    CHECK_UINT(st.lookups, 3);
    CHECK_UINT(st.hits, 6);
    CHECK_UINT(st.names, 2);
}

TEST(ttl_is_honoured) {
    with_server(expiry);
}

static void negative(void) {
    struct net_addresses a;
    for (int i = 0; i < 3; i++)
        CHECK_INT(look("nx.test", &a), -ENOENT);
    CHECK_UINT(queries(), 1);
    sleep_for(RT_S + 50 * RT_MS);
    atomic_store(&server.mode, BOTH);
    CHECK_INT(look("nx.test", &a), 0);
    CHECK_UINT(queries(), 2);
}

TEST(failures_are_kept_for_a_second) {
    with_server(negative);
}

/* --- many at once --- */

static int results[64];

static void one_of_many(void *arg) {
    struct net_addresses *a = b_alloc(B_TAG_TEST, sizeof *a);
    int *rc = arg;
    *rc = a ? look("slow.test", a) : -ENOMEM;
    b_free(a);
}

static void many_at_once(void) {
    struct rt_scope scope;
    rt_scope_init(&scope);
    for (int i = 0; i < 64; i++)
        CHECK_INT(rt_scope_spawn(&scope, "lookup", one_of_many, &results[i]), 0);
    CHECK_INT(rt_scope_wait(&scope, in(20 * RT_S)), 0);
    for (int i = 0; i < 64; i++)
        CHECK_INT(results[i], 0);
    CHECK_UINT(atomic_load(&server.queries_a), 1);
    CHECK_UINT(atomic_load(&server.queries_aaaa), 1);
    rt_scope_leave(&scope);
}

TEST(single_flight) {
    with_server(many_at_once);
}

static void different_name(void *arg) {
    struct net_addresses *a = b_alloc(B_TAG_TEST, sizeof *a);
    char name[32];
    int *rc = arg;
    snprintf(name, sizeof name, "n%d.test", (int)(rc - results));
    *rc = a ? look(name, a) : -ENOMEM;
    b_free(a);
}

static void different_names(void) {
    struct rt_scope scope;
    rt_scope_init(&scope);
    for (int i = 0; i < 64; i++)
        CHECK_INT(rt_scope_spawn(&scope, "lookup", different_name, &results[i]), 0);
    CHECK_INT(rt_scope_wait(&scope, in(20 * RT_S)), 0);
    for (int i = 0; i < 64; i++)
        CHECK_INT(results[i], 0);
    rt_scope_leave(&scope);
}

TEST(many_names_at_once) {
    with_server(different_names);
}

static void too_many(void) {
    struct net_addresses a;
    int last = 0;
    for (int i = 0; i < 300 && last != -EAGAIN; i++) {
        char name[32];
        snprintf(name, sizeof name, "silent.n%d.test", i);
        last = net_resolve(b_slice_cstr(name), 80, RT_NOWAIT, &a);
        CHECK(last == -ETIMEDOUT || (last == -EAGAIN && i == 256));
    }
    CHECK_INT(last, -EAGAIN);
}

TEST(lookups_are_limited) {
    with_server(too_many);
}

/* --- deadlines --- */

static void silence(void) {
    struct net_addresses a;
    rt_time start = rt_now();
    CHECK_INT(net_resolve(B_LIT("silent.test"), 80, in(200 * RT_MS), &a), -ETIMEDOUT);
    CHECK(rt_clock() - start >= 200 * RT_MS);
    CHECK_INT(net_resolve(B_LIT("silent.test"), 80, RT_NOWAIT, &a), -ETIMEDOUT);
    CHECK_UINT(a.count, 0);
    /* the question is asked again a second after the first time, and somebody else's deadline is longer */
    atomic_store(&server.mode, BOTH);
    CHECK_INT(look("silent.test", &a), 0);
}

TEST(deadline) {
    with_server(silence);
}

/* c-ares drops what it cannot read, as it may be a forgery, and waits on for the true answer. */
static void nonsense(void) {
    struct net_addresses a;
    CHECK_INT(net_resolve(B_LIT("garbage.test"), 80, in(200 * RT_MS), &a), -ETIMEDOUT);
}

TEST(garbage_is_no_answer) {
    with_server(nonsense);
}

static void later(void) {
    struct net_addresses a;
    CHECK_INT(net_resolve(B_LIT("slow.test"), 80, RT_NOWAIT, &a), -ETIMEDOUT);
    while (net_resolve(B_LIT("slow.test"), 80, RT_NOWAIT, &a) == -ETIMEDOUT)
        sleep_for(10 * RT_MS);
    CHECK(a.count >= 2); /* the server is slow for each kind: IPv6 may come later */
    CHECK_UINT(queries(), 1);
}

TEST(an_abandoned_lookup_fills_the_cache) {
    with_server(later);
}

static void late_half(void) {
    struct net_addresses a;
    CHECK_INT(look("late6.test", &a), 0);
    if (a.count == 2) /* unless the machine was so slow that both had come */
        same(&a, "10.0.0.1 10.0.0.2");
    for (int i = 0; i < 500 && a.count != 4; i++) {
        sleep_for(10 * RT_MS);
        CHECK_INT(look("late6.test", &a), 0);
    }
    same(&a, "10.0.0.1 10.0.0.2 fd00::1 fd00::2");
    CHECK_UINT(queries(), 1);
}

TEST(late_ipv6_is_added) {
    with_server(late_half);
}

/* AAAA vanish and the TTL is short: each lookup stands for itself, and nobody waits for the old one's
 * other half. */
static void vanishing_half(void) {
    struct net_addresses a;
    atomic_store(&server.ttl, 0);
    CHECK_INT(look("silent6.test", &a), 0);
    sleep_for(RT_S + 50 * RT_MS);
    atomic_store(&server.third, 9);
    CHECK_INT(look("silent6.test", &a), 0);
    same(&a, "10.0.9.1 10.0.9.2");
    CHECK(!a.stale);
}

TEST(vanishing_ipv6_does_not_hold_up) {
    with_server(vanishing_half);
}

static void cancelled_one(void *arg) {
    int *rc = arg;
    struct net_addresses *a = b_alloc(B_TAG_TEST, sizeof *a);
    *rc = a ? look("silent.test", a) : -ENOMEM;
    b_free(a);
}

static void cancellation(void) {
    struct rt_scope scope;
    int rc = 1;
    rt_scope_init(&scope);
    CHECK_INT(rt_scope_spawn(&scope, "lookup", cancelled_one, &rc), 0);
    sleep_for(50 * RT_MS);
    CHECK_INT(rc, 1);
    rt_scope_leave(&scope);
    CHECK_INT(rc, -ECANCELED);
}

TEST(cancelled) {
    with_server(cancellation);
}

static void closing(void) {
    struct rt_scope scope;
    int rc[2] = {1, 1};
    rt_scope_init(&scope);
    for (int i = 0; i < 2; i++)
        CHECK_INT(rt_scope_spawn(&scope, "lookup", cancelled_one, &rc[i]), 0);
    sleep_for(50 * RT_MS);
    net_dns_close_worker();
    CHECK_INT(rt_scope_wait(&scope, in(20 * RT_S)), 0);
    CHECK_INT(rc[0], -ECANCELED);
    CHECK_INT(rc[1], -ECANCELED);
    rt_scope_leave(&scope);
}

TEST(closed_during_a_lookup) {
    with_server(closing);
}

/* --- when servers fail --- */

static void stale_after(int mode) {
    struct net_addresses a;
    struct net_dns_stats st;
    atomic_store(&server.ttl, 1);
    CHECK_INT(look("a.test", &a), 0);
    CHECK(!a.stale);
    atomic_store(&server.mode, mode);
    sleep_for(RT_S + 50 * RT_MS);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(look("a.test", &a), 0);
        CHECK(a.stale);
        same(&a, "10.0.0.1 10.0.0.2 fd00::1 fd00::2");
    }
    net_dns_stats(&st);
    CHECK_UINT(st.stale, 3);
    atomic_store(&server.mode, BOTH);
    atomic_store(&server.third, 3);
    for (int i = 0; i < 1000 && a.stale; i++) {
        sleep_for(10 * RT_MS);
        CHECK_INT(look("a.test", &a), 0);
    }
    same(&a, "10.0.3.1 10.0.3.2 fd00::301 fd00::302");
}

static void stale_nx(void) {
    stale_after(NX);
}
static void stale_empty(void) {
    stale_after(EMPTY);
}
static void stale_broken(void) {
    stale_after(BROKEN);
}
static void stale_silent(void) {
    stale_after(SILENT);
}

TEST(stale_when_the_name_is_gone) {
    with_server(stale_nx);
}
TEST(stale_when_the_answer_is_empty) {
    with_server(stale_empty);
}
TEST(stale_when_the_server_fails) {
    with_server(stale_broken);
}
TEST(stale_when_the_server_is_silent) {
    with_server(stale_silent);
}

static void nobody_there(void) {
    struct net_addresses a;
    int rc = look("a.test", &a);
    CHECK(rc == -EIO || rc == -ETIMEDOUT);
}

TEST(no_server) {
    struct job job = {nobody_there};
    REQUIRE(dns_server_start(&server));
    CHECK_INT(net_dns_servers(server.csv), 0);
    dns_server_stop(&server); /* its port is closed now */
    run_fiber(1, with_resolver, &job);
    CHECK_UINT(b_alloc_stat(B_TAG_NET).bytes, 0);
}

/* --- the configuration changes --- */

static void write_config(const char *path, const char *text) {
    char next[96];
    snprintf(next, sizeof next, "%s.new", path);
    FILE *f = fopen(next, "w");
    REQUIRE(f);
    fputs(text, f);
    fclose(f);
    REQUIRE(rename(next, path) == 0);
}

static char config_path[64];

/* What was asked for last: its form in the message, without the final zero. */
static void check_asked(const char *want) {
    CHECK_STR(server.last, want);
}

static void reread(void) {
    struct net_addresses a;
    CHECK_INT(look("a", &a), 0);
    check_asked("\1a\3one\4test");
    CHECK_INT(look("b.c", &a), 0); /* "ndots" is 1: as it is first */
    check_asked("\1b\1c");
    CHECK_INT(net_resolve(B_LIT("silent"), 80, in(50 * RT_MS), &a), -ETIMEDOUT);
    write_config(config_path, "nameserver 127.0.0.1\nsearch two.test\n");
    CHECK_INT(look("c", &a), 0); /* while the old channel still waits for the silent one */
    check_asked("\1c\3two\4test");
    CHECK_INT(look("nx.test.", &a), -ENOENT);
    check_asked("\2nx\4test");
    CHECK_INT(look("d.", &a), 0);
    check_asked("\1d");
    unlink(config_path);
    CHECK_INT(look("e.f", &a), 0);
    same(&a, "10.0.0.1 10.0.0.2 fd00::1 fd00::2");
}

TEST(configuration_changes) {
    snprintf(config_path, sizeof config_path, "/tmp/weir-resolv-%d", getpid());
    write_config(config_path, "nameserver 127.0.0.1\nsearch one.test\n");
    net_dns_config_path(config_path);
    with_server(reread);
    net_dns_config_path(NULL);
}

/* --- several workers; short memory --- */

static void on_each(void *arg) {
    struct net_addresses *a = b_alloc(B_TAG_TEST, sizeof *a);
    (void)arg;
    if (!a)
        return;
    for (int i = 0; i < 20; i++) {
        char name[32];
        snprintf(name, sizeof name, "n%d.test", i % 10);
        CHECK_INT(look(name, a), 0);
        CHECK_UINT(a->count, 4);
    }
    b_free(a);
    net_dns_close_worker();
}

static void on_all(void) {
    CHECK_INT(rt_on_all_workers("lookups", on_each, NULL), 0);
}

TEST(each_worker_has_its_own) {
    struct job job = {on_all};
    REQUIRE(dns_server_start(&server));
    CHECK_INT(net_dns_servers(server.csv), 0);
    run_fiber(3, with_resolver, &job);
    CHECK_UINT(queries(), 30);
    dns_server_stop(&server);
    CHECK_UINT(b_alloc_stat(B_TAG_NET).bytes, 0);
}

/* Every allocation of a lookup fails once: the caller sees an error or an answer, and nothing is lost. */
static void short_memory(void) {
    struct net_addresses a;
    uint64_t nth = 1, failed = 1;
    for (; failed && nth < 500; nth++) {
        b_alloc_fail_at(nth);
        int rc = look("a.test", &a);
        failed = b_alloc_failures();
        b_alloc_fail_at(0);
        if (rc != 0 && rc != -ENOMEM)
            FAIL("allocation %d: %d", (int)nth, rc);
        net_dns_close_worker();
    }
    CHECK(nth > 10 && nth < 500);
    CHECK_INT(look("a.test", &a), 0);
}

TEST(memory_runs_short) {
    with_server(short_memory);
}

const struct test_case dns_tests[] = {
    {"answers_of_all_kinds", answers_of_all_kinds},
    {"names_at_the_limit", names_at_the_limit},
    {"localhost_is_not_asked_for", localhost_is_not_asked_for},
    {"ttl_is_honoured", ttl_is_honoured},
    {"failures_are_kept_for_a_second", failures_are_kept_for_a_second},
    {"single_flight", single_flight},
    {"many_names_at_once", many_names_at_once},
    {"lookups_are_limited", lookups_are_limited},
    {"deadline", deadline},
    {"garbage_is_no_answer", garbage_is_no_answer},
    {"an_abandoned_lookup_fills_the_cache", an_abandoned_lookup_fills_the_cache},
    {"late_ipv6_is_added", late_ipv6_is_added},
    {"vanishing_ipv6_does_not_hold_up", vanishing_ipv6_does_not_hold_up},
    {"cancelled", cancelled},
    {"closed_during_a_lookup", closed_during_a_lookup},
    {"stale_when_the_name_is_gone", stale_when_the_name_is_gone},
    {"stale_when_the_answer_is_empty", stale_when_the_answer_is_empty},
    {"stale_when_the_server_fails", stale_when_the_server_fails},
    {"stale_when_the_server_is_silent", stale_when_the_server_is_silent},
    {"no_server", no_server},
    {"configuration_changes", configuration_changes},
    {"each_worker_has_its_own", each_worker_has_its_own},
    {"memory_runs_short", memory_runs_short},
    {0},
};
