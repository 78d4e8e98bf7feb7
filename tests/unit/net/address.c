#include "net/address.h"

#include <errno.h>

#include "test.h"

static struct rt_sockaddr ip(const char *text, uint16_t port) {
    struct rt_sockaddr a = {0};
    CHECK_INT(net_parse_ip(&a, b_slice_cstr(text), port), 0);
    return a;
}

TEST(formats) {
    static const struct {
        const char *ip;
        uint16_t port;
        const char *text, *alone, *peer;
    } cases[] = {
        {"127.0.0.1", 80, "127.0.0.1:80", "127.0.0.1", "127.0.0.1:80"},
        {"0.0.0.0", 0, "0.0.0.0:0", "0.0.0.0", "0.0.0.0:0"},
        {"255.255.255.255", 65535, "255.255.255.255:65535", "255.255.255.255", "255.255.255.255:65535"},
        {"::1", 80, "[::1]:80", "::1", "[::1]:80"},
        {"::", 8080, "[::]:8080", "::", "[::]:8080"},
        {"2001:DB8:0:0:1:0:0:1", 1, "[2001:db8::1:0:0:1]:1", "2001:db8::1:0:0:1", "[2001:db8::1:0:0:1]:1"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
        {"::ffff:10.1.2.3", 443, "[::ffff:10.1.2.3]:443", "10.1.2.3", "10.1.2.3:443"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rt_sockaddr a = ip(cases[i].ip, cases[i].port);
        struct net_peer p;
        char buf[NET_ADDRESS_TEXT], small[NET_PEER_TEXT];
        CHECK_UINT(net_format(&a, buf), strlen(cases[i].text));
        CHECK_STR(buf, cases[i].text);
        CHECK_UINT(net_format_ip(&a, buf), strlen(cases[i].alone));
        CHECK_STR(buf, cases[i].alone);
        net_peer_from(&p, &a);
        CHECK_UINT(net_peer_format(&p, small), strlen(cases[i].peer));
        CHECK_STR(small, cases[i].peer);
        CHECK_UINT(net_peer_format_ip(&p, small), strlen(cases[i].alone));
        CHECK_STR(small, cases[i].alone);
        CHECK_UINT(net_port(&a), cases[i].port);
    }
}

TEST(refuses_what_is_no_ip) {
    static const char *const cases[] = {"",      "localhost", "127.0.0", "127.0.0.1.", "256.0.0.1",
                                        "[::1]", "::1%lo",    " ::1",    ":::"};
    struct rt_sockaddr a;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_INT(net_parse_ip(&a, b_slice_cstr(cases[i]), 1), -EINVAL);
    CHECK_INT(net_parse_ip(&a, b_slice("::1\0", 4), 1), -EINVAL);
}

TEST(unix_paths) {
    struct rt_sockaddr a, b;
    char path[200], buf[NET_ADDRESS_TEXT], want[NET_ADDRESS_TEXT] = "unix:";
    memset(path, 'p', sizeof path);
    CHECK_INT(net_unix(&a, b_slice(path, 108)), -ENAMETOOLONG);
    CHECK_INT(net_unix(&a, b_slice(path, 0)), -EINVAL);
    CHECK_INT(net_unix(&a, b_slice("/a\0b", 4)), -EINVAL);
    REQUIRE(net_unix(&a, b_slice(path, 107)) == 0);
    memset(want + 5, 'p', 107);
    CHECK_UINT(net_format(&a, buf), 112);
    CHECK_STR(buf, want);
    CHECK_UINT(net_format_ip(&a, buf), 4);
    CHECK_STR(buf, "unix");
    REQUIRE(net_unix(&a, B_LIT("/run/a")) == 0 && net_unix(&b, B_LIT("/run/b")) == 0);
    CHECK_SLICE(net_unix_path(&a).ptr, net_unix_path(&a).len, "/run/a");
    CHECK(!net_eq(&a, &b));
    CHECK_UINT(net_port(&a), 0);
}

/* As accept(2) gives it for a client without a name, and a path that fills sun_path to the last byte. */
TEST(unix_oddities) {
    struct rt_sockaddr a = {.len = sizeof(sa_family_t), .u.un = {.sun_family = AF_UNIX, .sun_path = "junk"}};
    char buf[NET_ADDRESS_TEXT];
    CHECK_UINT(net_unix_path(&a).len, 0);
    CHECK_UINT(net_format(&a, buf), 5);
    CHECK_STR(buf, "unix:");
    memset(a.u.un.sun_path, 'x', sizeof a.u.un.sun_path);
    a.len = sizeof a.u.un;
    CHECK_UINT(net_unix_path(&a).len, 108);
    CHECK_UINT(net_format(&a, buf), 113);
}

TEST(equality) {
    static const struct {
        const char *a;
        uint16_t a_port;
        const char *b;
        uint16_t b_port;
        bool equal;
    } cases[] = {
        {"127.0.0.1", 80, "127.0.0.1", 80, true},  {"127.0.0.1", 80, "127.0.0.1", 81, false},
        {"127.0.0.1", 80, "127.0.0.2", 80, false}, {"::1", 80, "0:0:0:0:0:0:0:1", 80, true},
        {"::", 80, "0.0.0.0", 80, false},          {"::ffff:127.0.0.1", 80, "127.0.0.1", 80, false},
        {"::1", 80, "::1", 8080, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rt_sockaddr a = ip(cases[i].a, cases[i].a_port), b = ip(cases[i].b, cases[i].b_port);
        CHECK_INT(net_eq(&a, &b), cases[i].equal);
    }
}

TEST(any_is_every_address) {
    struct rt_sockaddr a;
    char buf[NET_ADDRESS_TEXT];
    net_any(&a, 8080);
    net_format(&a, buf);
    CHECK_STR(buf, net_has_ipv6() ? "[::]:8080" : "0.0.0.0:8080");
}

TEST(peers_in_networks) {
    static const struct {
        const char *peer, *net;
        unsigned bits;
        bool in;
    } cases[] = {
        {"10.1.2.3", "10.0.0.0", 8, true},
        {"11.1.2.3", "10.0.0.0", 8, false},
        {"10.1.2.3", "0.0.0.0", 0, true},
        {"10.1.2.3", "10.1.2.3", 32, true},
        {"10.1.2.2", "10.1.2.3", 32, false},
        {"10.1.2.2", "10.1.2.3", 31, true},
        {"192.168.127.1", "192.168.0.0", 17, true},
        {"192.168.128.1", "192.168.0.0", 17, false},
        {"::ffff:10.1.2.3", "10.0.0.0", 8, true},
        {"::1", "0.0.0.0", 0, false},
        {"10.1.2.3", "::", 0, false},
        {"2001:db8::1", "2001:db8::", 32, true},
        {"2001:db9::1", "2001:db8::", 32, false},
        {"2001:db9::1", "2001:db8::", 31, true},
        {"::1", "::1", 128, true},
        {"::2", "::1", 128, false},
        {"::1", "::", 0, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rt_sockaddr a = ip(cases[i].peer, 1), n = ip(cases[i].net, 1);
        struct net_peer p, network;
        net_peer_from(&p, &a);
        net_peer_from(&network, &n);
        if (net_peer_in(&p, network.family, network.ip, cases[i].bits) != cases[i].in)
            FAIL("%s in %s/%u: wrong", cases[i].peer, cases[i].net, cases[i].bits);
    }
}

TEST(peers) {
    struct rt_sockaddr a = ip("::ffff:10.1.2.3", 80), b = ip("10.1.2.3", 81), back;
    struct net_peer p, q, none = {0};
    char buf[NET_PEER_TEXT];
    net_peer_from(&p, &a);
    net_peer_from(&q, &b);
    CHECK(net_peer_same_ip(&p, &q));
    CHECK(sizeof p <= 20);
    net_peer_to(&p, 81, &back);
    CHECK(net_eq(&back, &b));
    CHECK_UINT(net_peer_format(&none, buf), 1);
    CHECK_STR(buf, "-");
    REQUIRE(net_unix(&a, B_LIT("/run/a")) == 0);
    net_peer_from(&p, &a);
    CHECK_UINT(net_peer_format(&p, buf), 4);
    CHECK_STR(buf, "unix");
    CHECK(!net_peer_in(&p, AF_UNIX, p.ip, 0));
    CHECK(!net_peer_in(&none, 0, p.ip, 0));
}

const struct test_case address_tests[] = {
    {"formats", formats},
    {"refuses_what_is_no_ip", refuses_what_is_no_ip},
    {"unix_paths", unix_paths},
    {"unix_oddities", unix_oddities},
    {"equality", equality},
    {"any_is_every_address", any_is_every_address},
    {"peers_in_networks", peers_in_networks},
    {"peers", peers},
    {0},
};
