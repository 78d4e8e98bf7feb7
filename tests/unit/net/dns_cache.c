#include "net/dns_cache.h"

#include <errno.h>
#include <stdio.h>

#include "test.h"

static const struct net_peer some[2] = {{.ip = {10, 0, 0, 1}, .family = AF_INET},
                                        {.ip = {10, 0, 0, 2}, .family = AF_INET}};

static struct net_dns_entry *take(struct net_dns_cache *c, const char *name) {
    struct net_dns_entry *e = NULL;
    CHECK_INT(net_cache_take(c, b_slice_cstr(name), &e), 0);
    return e;
}

TEST(remembers) {
    struct net_dns_cache c;
    net_cache_init(&c, (struct b_hash_key){1, 2});
    struct net_dns_entry *a = take(&c, "a"), *b = take(&c, "b");
    CHECK(a && b && a != b);
    CHECK(take(&c, "a") == a);
    CHECK(!net_entry_fresh(a, 0) && !net_entry_usable(a, 0));
    net_cache_free(&c);
}

TEST(ttl_has_bounds) {
    static const struct {
        rt_time ttl, lives;
    } cases[] = {{0, RT_S},
                 {RT_S / 2, RT_S},
                 {RT_S, RT_S},
                 {60 * RT_S, 60 * RT_S},
                 {3600 * RT_S, 3600 * RT_S},
                 {86400 * RT_S, 3600 * RT_S}};
    struct net_dns_cache c;
    net_cache_init(&c, (struct b_hash_key){1, 2});
    struct net_dns_entry *e = take(&c, "a");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        net_entry_answer(e, 1000, some, 2, cases[i].ttl);
        CHECK_INT(e->expires, 1000 + cases[i].lives);
        CHECK(net_entry_fresh(e, 1000 + cases[i].lives - 1));
        CHECK(!net_entry_fresh(e, 1000 + cases[i].lives));
    }
    net_cache_free(&c);
}

TEST(stale_for_an_hour) {
    const rt_time hour = 3600 * RT_S, now = 5 * RT_S;
    struct net_dns_cache c;
    net_cache_init(&c, (struct b_hash_key){1, 2});
    struct net_dns_entry *e = take(&c, "a");
    net_entry_answer(e, now, some, 2, RT_S);
    net_entry_fail(e, now + RT_S, -ENOENT);
    CHECK(e->failing);
    CHECK_UINT(e->count, 2);
    CHECK(!net_entry_fresh(e, now + RT_S));
    CHECK(net_entry_usable(e, now + RT_S + hour - 1));
    CHECK(!net_entry_usable(e, now + RT_S + hour));
    net_entry_answer(e, now + 2 * hour, some, 1, RT_S);
    CHECK(!e->failing && e->error == 0);
    CHECK_UINT(e->count, 1);
    net_cache_free(&c);
}

TEST(failures_are_remembered) {
    struct net_dns_cache c;
    net_cache_init(&c, (struct b_hash_key){1, 2});
    struct net_dns_entry *e = take(&c, "a");
    CHECK(e->retry_at < 0);
    net_entry_fail(e, 1000, -EIO);
    CHECK_INT(e->error, -EIO);
    CHECK_INT(e->retry_at, 1000 + RT_S);
    net_entry_answer(e, 2000, some, 1, RT_S);
    net_entry_fail(e, 3000, -ECANCELED);
    CHECK(!e->failing && e->retry_at < 3000);
    net_cache_free(&c);
}

TEST(the_oldest_gives_way) {
    struct net_dns_cache c;
    struct net_dns_entry *e;
    char name[16];
    net_cache_init(&c, (struct b_hash_key){1, 2});
    for (unsigned i = 0; i < NET_DNS_NAMES; i++) {
        snprintf(name, sizeof name, "n%u", i);
        e = take(&c, name);
        e->holds = i == 1;
    }
    e = take(&c, "n0"); /* used again: n1 is the oldest now, but held; n2 goes */
    net_entry_fail(e, 0, -EIO);
    CHECK_INT(take(&c, "more")->error, 0);
    CHECK_UINT(c.map.count, NET_DNS_NAMES);
    CHECK_INT(take(&c, "n0")->error, -EIO);
    CHECK_UINT(take(&c, "n1")->holds, 1);
    CHECK(!b_map_get(&c.map, B_LIT("n2")));
    B_LIST_EACH(n, &c.used)
        B_CONTAINER(n, struct net_dns_entry, used)->holds = 1;
    CHECK_INT(net_cache_take(&c, B_LIT("another"), &e), -EAGAIN);
    B_LIST_EACH(n, &c.used)
        B_CONTAINER(n, struct net_dns_entry, used)->holds = 0;
    net_cache_free(&c);
}

TEST(memory_is_short) {
    struct net_dns_cache c;
    struct net_dns_entry *e;
    net_cache_init(&c, (struct b_hash_key){1, 2});
    for (uint64_t nth = 1; nth <= 2; nth++) {
        b_alloc_fail_at(nth);
        CHECK_INT(net_cache_take(&c, B_LIT("a"), &e), -ENOMEM);
        b_alloc_fail_at(0);
        CHECK_UINT(c.map.count, 0);
    }
    take(&c, "a");
    net_cache_free(&c);
}

TEST(hosts_file) {
    static const char file[] = "# comment\n"
                               "127.0.0.1\tlocalhost  loopback\r\n"
                               "::1 localhost ip6-localhost\n"
                               "\n"
                               "   10.0.0.5 db DB.Example.org # not-this\n"
                               "10.0.0.6 #db\n"
                               "nonsense db\n"
                               "10.0.0.7\n"
                               "10.0.0.8 db";
    static const struct {
        const char *name;
        unsigned count;
        const char *first, *last;
    } cases[] = {
        {"localhost", 2, "127.0.0.1", "::1"},
        {"localhost.", 2, "127.0.0.1", "::1"},
        {"loopback", 1, "127.0.0.1", "127.0.0.1"},
        {"ip6-localhost", 1, "::1", "::1"},
        {"db", 2, "10.0.0.5", "10.0.0.8"},
        {"db.example.org", 1, "10.0.0.5", "10.0.0.5"},
        {"not-this", 0, "", ""},
        {"10.0.0.7", 0, "", ""},
        {"local", 0, "", ""},
        {"comment", 0, "", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct net_peer list[4];
        char buf[NET_PEER_TEXT];
        unsigned n = net_hosts_find(b_slice(file, sizeof file - 1), b_slice_cstr(cases[i].name), list, 4);
        CHECK_UINT(n, cases[i].count);
        if (n == 0 || n != cases[i].count)
            continue;
        net_peer_format_ip(&list[0], buf);
        CHECK_STR(buf, cases[i].first);
        net_peer_format_ip(&list[n - 1], buf);
        CHECK_STR(buf, cases[i].last);
    }
    struct net_peer one;
    CHECK_UINT(net_hosts_find(b_slice(file, sizeof file - 1), B_LIT("db"), &one, 1), 1);
    CHECK_UINT(net_hosts_find(b_slice(NULL, 0), B_LIT("db"), &one, 1), 0);
}

const struct test_case dns_cache_tests[] = {
    {"remembers", remembers},
    {"ttl_has_bounds", ttl_has_bounds},
    {"stale_for_an_hour", stale_for_an_hour},
    {"failures_are_remembered", failures_are_remembered},
    {"the_oldest_gives_way", the_oldest_gives_way},
    {"memory_is_short", memory_is_short},
    {"hosts_file", hosts_file},
    {0},
};
