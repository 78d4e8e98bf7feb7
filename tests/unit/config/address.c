#include "config/address.h"

#include "test.h"

#define ADDR_REASON \
    "give an address with its port, such as \":8080\", 127.0.0.1:8080, \"[::1]:8080\" or unix:/run/weir.sock"

TEST(listen_addresses) {
    static const struct {
        const char *text;
        enum cfg_host kind;
        uint16_t port;
        uint8_t ip[16];
        const char *why;
    } cases[] = {
        {":8080", CFG_HOST_ANY, 8080, {0}, NULL},
        {":0", CFG_HOST_ANY, 0, {0}, NULL},
        {"127.0.0.1:80", CFG_HOST_IPV4, 80, {127, 0, 0, 1}, NULL},
        {"0.0.0.0:65535", CFG_HOST_IPV4, 65535, {0}, NULL},
        {"[::1]:8080", CFG_HOST_IPV6, 8080, {[15] = 1}, NULL},
        {"unix:/run/weir.sock", CFG_HOST_UNIX, 0, {0}, NULL},
        {"localhost:80",
         0,
         0,
         {0},
         "a name may stand for several addresses: give a number, such as 127.0.0.1:8080"},
        {"127.0.0.1:65536", 0, 0, {0}, "the port is a number from 0 to 65535"},
        {":http", 0, 0, {0}, "the port is a number from 0 to 65535"},
        {":", 0, 0, {0}, "the port is a number from 0 to 65535"},
        {":-1", 0, 0, {0}, "the port is a number from 0 to 65535"},
        {":000080", 0, 0, {0}, "the port is a number from 0 to 65535"},
        {"8080", 0, 0, {0}, ADDR_REASON},
        {"127.0.0.1", 0, 0, {0}, ADDR_REASON},
        {"127.0.0.256:80", 0, 0, {0}, ADDR_REASON},
        {"[::1]", 0, 0, {0}, ADDR_REASON},
        {"[::1:8080", 0, 0, {0}, ADDR_REASON},
        {"[]:80", 0, 0, {0}, ADDR_REASON},
        {"::1:8080", 0, 0, {0}, "the port is a number from 0 to 65535"},
        {"", 0, 0, {0}, ADDR_REASON},
        {"unix:run/weir.sock",
         0,
         0,
         {0},
         "the path of a unix socket is absolute, such as unix:/run/weir.sock"},
        {"unix:", 0, 0, {0}, "the path of a unix socket is absolute, such as unix:/run/weir.sock"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cfg_addr a = {0};
        const char *why = cfg_parse_addr(b_slice_cstr(cases[i].text), &a);
        if ((why && !cases[i].why) || a.kind != cases[i].kind)
            FAIL("%s: kind %d, %s", cases[i].text, a.kind, why ? why : "taken");
        CHECK_STR(why, cases[i].why);
        CHECK_UINT(a.port, cases[i].port);
        CHECK_MEM(a.ip, cases[i].ip, 16);
        if (!why)
            CHECK_SLICE(a.text.ptr, a.text.len, cases[i].text);
    }
}

TEST(a_unix_path_has_a_limit) {
    char text[200] = "unix:/";
    struct cfg_addr a = {0};
    memset(text + 6, 'x', sizeof text - 6);
    CHECK_STR(cfg_parse_addr(b_slice(text, 5 + 107), &a), NULL);
    CHECK_UINT(a.path.len, 107);
    CHECK_STR(cfg_parse_addr(b_slice(text, 5 + 108), &a), "the path of a unix socket has at most 107 bytes");
}

TEST(endpoints) {
    static const struct {
        const char *text;
        enum cfg_host kind;
        uint16_t port;
        const char *name, *authority, *why;
    } cases[] = {
        {"http://127.0.0.1:9001", CFG_HOST_IPV4, 9001, "127.0.0.1", "127.0.0.1:9001", NULL},
        {"http://orders", CFG_HOST_NAME, 80, "orders", "orders", NULL},
        {"http://a-b.c_d.example:81", CFG_HOST_NAME, 81, "a-b.c_d.example", "a-b.c_d.example:81", NULL},
        {"http://[::1]:9001", CFG_HOST_IPV6, 9001, "::1", "[::1]:9001", NULL},
        {"http://[2001:db8::1]", CFG_HOST_IPV6, 80, "2001:db8::1", "[2001:db8::1]", NULL},
        {"unix:/run/app.sock", CFG_HOST_UNIX, 0, "", "", NULL},
        {"http+unix:/run/app.sock", CFG_HOST_UNIX, 0, "", "", NULL},
        {"https://orders", 0, 0, "", "", "TLS to upstreams is not built yet: use http://"},
        {"orders:80", 0, 0, "", "", "give a URL such as http://127.0.0.1:9001 or unix:/run/app.sock"},
        {"ftp://orders", 0, 0, "", "", "give a URL such as http://127.0.0.1:9001 or unix:/run/app.sock"},
        {"http://orders/", 0, 0, "", "",
         "an endpoint ends with its port, without path or query; the request brings its own"},
        {"http://orders:80/x?y", 0, 0, "", "",
         "an endpoint ends with its port, without path or query; the request brings its own"},
        {"http://u:p@orders", 0, 0, "", "", "an endpoint holds no user and password"},
        {"http://orders:0", 0, 0, "", "", "the port is a number from 1 to 65535"},
        {"http://orders:", 0, 0, "", "", "the port is a number from 1 to 65535"},
        {"http://orders:1:2", 0, 0, "", "", "the port is a number from 1 to 65535"},
        {"http://", 0, 0, "", "",
         "the host is a name or an address, such as http://orders:8080 or http://[::1]:8080"},
        {"http://300.1.1.1", 0, 0, "", "",
         "the host is a name or an address, such as http://orders:8080 or http://[::1]:8080"},
        {"http://-a", 0, 0, "", "",
         "the host is a name or an address, such as http://orders:8080 or http://[::1]:8080"},
        {"http://a..b", 0, 0, "", "",
         "the host is a name or an address, such as http://orders:8080 or http://[::1]:8080"},
        {"http://[::1", 0, 0, "", "",
         "the host is a name or an address, such as http://orders:8080 or http://[::1]:8080"},
        {"unix:app.sock", 0, 0, "", "", "the path of a unix socket is absolute, such as unix:/run/weir.sock"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cfg_url u = {0};
        const char *why = cfg_parse_url(b_slice_cstr(cases[i].text), &u);
        if (why && !cases[i].why)
            FAIL("%s: %s", cases[i].text, why);
        CHECK_STR(why, cases[i].why);
        CHECK_INT(u.kind, cases[i].kind);
        CHECK_UINT(u.port, cases[i].port);
        CHECK_SLICE(u.name.ptr, u.name.len, cases[i].name);
        CHECK_SLICE(u.authority.ptr, u.authority.len, cases[i].authority);
    }
}

TEST(networks) {
    static const struct {
        const char *text;
        enum cfg_host kind;
        unsigned bits;
        const char *why;
    } cases[] = {
        {"127.0.0.0/8", CFG_HOST_IPV4, 8, NULL},
        {"10.1.2.3", CFG_HOST_IPV4, 32, NULL},
        {"0.0.0.0/0", CFG_HOST_IPV4, 0, NULL},
        {"2001:db8::/32", CFG_HOST_IPV6, 32, NULL},
        {"::1", CFG_HOST_IPV6, 128, NULL},
        {"10.0.0.0/33", 0, 0, "the length of an IPv4 prefix is 0 to 32"},
        {"10.0.0.0/", 0, 0, "the length of an IPv4 prefix is 0 to 32"},
        {"::/129", 0, 0, "the length of an IPv6 prefix is 0 to 128"},
        {"10.0.0.1/8", 0, 0,
         "the address has bits set behind the prefix: write the first address of the network, such as 10.0.0.0/8"},
        {"127.0.0.0/9/9", 0, 0, "the length of an IPv4 prefix is 0 to 32"},
        {"localhost", 0, 0, "give an address or a network, such as 127.0.0.1, 10.0.0.0/8 or 2001:db8::/32"},
        {"", 0, 0, "give an address or a network, such as 127.0.0.1, 10.0.0.0/8 or 2001:db8::/32"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cfg_cidr c = {0};
        const char *why = cfg_parse_cidr(b_slice_cstr(cases[i].text), &c);
        CHECK_STR(why, cases[i].why);
        CHECK_INT(c.kind, cases[i].kind);
        CHECK_UINT(c.bits, cases[i].bits);
    }
}

TEST(hosts) {
    char label[70];
    memset(label, 'a', sizeof label);
    CHECK_STR(cfg_check_host(B_LIT("api.example.com")), NULL);
    CHECK_STR(cfg_check_host(B_LIT("127.0.0.1")), NULL);
    CHECK_STR(cfg_check_host(B_LIT("[::1]")), NULL);
    CHECK_STR(cfg_check_host(b_slice(label, 63)), NULL);
    CHECK_STR(cfg_check_host(b_slice(label, 64)), "give a host name such as api.example.com");
    CHECK_STR(cfg_check_host(B_LIT("api.example.com:80")),
              "give the host without port; `listen` in the match limits a route to a listener");
    CHECK_STR(cfg_check_host(B_LIT("*.example.com")),
              "hosts with * are not built yet: name the host, or leave `host` out to match all of them");
    CHECK_STR(cfg_check_host(B_LIT("a b")), "give a host name such as api.example.com");
    CHECK_STR(cfg_check_host(B_LIT("")), "give a host name such as api.example.com");
}

static bool same(const char *a, const char *b) {
    struct cfg_addr x, y;
    CHECK_STR(cfg_parse_addr(b_slice_cstr(a), &x), NULL);
    CHECK_STR(cfg_parse_addr(b_slice_cstr(b), &y), NULL);
    return cfg_addr_eq(&x, &y);
}

TEST(equality_is_of_places) {
    CHECK(same("127.0.0.1:80", "127.0.0.1:080"));
    CHECK(same("[::1]:80", "[0:0::1]:80"));
    CHECK(!same("127.0.0.1:80", "127.0.0.1:81"));
    CHECK(!same("127.0.0.1:80", "127.0.0.2:80"));
    CHECK(!same(":80", "0.0.0.0:80"));
    CHECK(same("unix:/a", "unix:/a"));
    CHECK(!same("unix:/a", "unix:/b"));
}

const struct test_case address_tests[] = {
    {"listen_addresses", listen_addresses},
    {"a_unix_path_has_a_limit", a_unix_path_has_a_limit},
    {"endpoints", endpoints},
    {"networks", networks},
    {"hosts", hosts},
    {"equality_is_of_places", equality_is_of_places},
    {0},
};
