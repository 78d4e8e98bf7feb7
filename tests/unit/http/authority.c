#include "http/authority.h"

#include "support.h"

TEST(P03_good_authorities) {
    static const struct {
        struct b_slice text;
        const char *host;
        unsigned port;
        bool ipv6;
    } rows[] = {
        {B_LIT("a"), "a", 0, false},
        {B_LIT("Example.COM"), "Example.COM", 0, false},
        {B_LIT("example.com:1"), "example.com", 1, false},
        {B_LIT("example.com:65535"), "example.com", 65535, false},
        {B_LIT("10.0.0.1:8080"), "10.0.0.1", 8080, false},
        {B_LIT("my_service.local"), "my_service.local", 0, false},
        {B_LIT("[::1]"), "::1", 0, true},
        {B_LIT("[2001:db8::ffff:1.2.3.4]:443"), "2001:db8::ffff:1.2.3.4", 443, true},
        {B_LIT("[1:2:3:4:5:6:7:8]"), "1:2:3:4:5:6:7:8", 0, true},
        {B_LIT("[1:2:3:4:5:6:1.2.3.4]"), "1:2:3:4:5:6:1.2.3.4", 0, true},
        {B_LIT("[1::7]"), "1::7", 0, true},
        {B_LIT("[1:2:3:4:5:6:7::]"), "1:2:3:4:5:6:7::", 0, true},
        {B_LIT("[::]"), "::", 0, true},
        {B_LIT("[::1.2.3.4]"), "::1.2.3.4", 0, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http_authority a;
        CHECK_INT(http_authority_parse(rows[i].text, 0, &a), 0);
        CHECK_S(a.host, rows[i].host);
        CHECK_INT(a.port, rows[i].port);
        CHECK_INT(a.ipv6, rows[i].ipv6);
    }
}

TEST(P03_bad_authorities) {
    static const struct b_slice rows[] = {
        B_LIT(""),
        B_LIT(":80"),
        B_LIT("a:"),
        B_LIT("a:0"),
        B_LIT("a:65536"),
        B_LIT("a:123456"),
        B_LIT("a:-1"),
        B_LIT("a:8 0"),
        B_LIT("a:80:90"),
        B_LIT("u@a"),
        B_LIT("a b"),
        B_LIT("a,b"),
        B_LIT("a/b"),
        B_LIT("a?b"),
        B_LIT("a#b"),
        B_LIT("a\\b"),
        B_LIT("a%41"),
        B_LIT("a\0"),
        B_LIT("\xc3\xa9"),
        B_LIT("[::1"),
        B_LIT("::1"),
        B_LIT("[]"),
        B_LIT("[::g]"),
        B_LIT("[1.2.3.4]"),
        B_LIT("[::1]x"),
        B_LIT("[::1]80"),
        B_LIT("[::1]x80"),
        B_LIT("[::1]:"),
        B_LIT("[fe80::1%25eth0]"),
        B_LIT("a]"),
        B_LIT("a\t"),
        B_LIT("[1:2:3:4:5:6:7:8:9]x"),
        B_LIT("[::::::::::]"),
        B_LIT("[:::]"),
        B_LIT("[1::2::3]"),
        B_LIT("[1:2:3:4:5:6:7]"),
        B_LIT("[1:2:3:4:5:6:7:8:9]"),
        B_LIT("[1:2:3:4:5:6:7:8::]"),
        B_LIT("[1:2:3:4:5:6:7:]"),
        B_LIT("[:1:2:3:4:5:6:7]"),
        B_LIT("[12345::]"),
        B_LIT("[::1.2.3]"),
        B_LIT("[::1.2.3.4.5]"),
        B_LIT("[::1.2.3.256]"),
        B_LIT("[::1.2.3.04]"),
        B_LIT("[::1.2.3.]"),
        B_LIT("[::1.2.3.4:5]"),
        B_LIT("[1:2:3:4:5:6:7:1.2.3.4]"),
        B_LIT("[1.2.3.4::]"),
        B_LIT("[v1.x]"),
        B_LIT("a;b"),
        B_LIT("a:080x"),
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (http_authority_parse(rows[i], 0, NULL) != -HTTP_E_BAD_HOST)
            FAIL("%.*s is accepted", B_FMT(rows[i]));
    char longest[256];
    memset(longest, 'a', sizeof longest);
    CHECK_INT(http_authority_parse(b_slice(longest, 255), 0, NULL), 0);
    CHECK_INT(http_authority_parse(b_slice(longest, 256), 0, NULL), -HTTP_E_BAD_HOST);
}

TEST(P03_all_of_the_grammar_where_it_is_allowed) {
    static const struct b_slice good[] = {
        B_LIT("a!$&'()*+;=b"), B_LIT("a%41:80"),   B_LIT("a:"),
        B_LIT("[v1.x:y]"),     B_LIT("[vF0.~]:1"), B_LIT("[::1]:"),
    };
    static const struct b_slice bad[] = {
        B_LIT("a,b"),     B_LIT("a%4"),    B_LIT("a%zz"),     B_LIT("u@a"),   B_LIT("a/b"),
        B_LIT("a b"),     B_LIT("a:0"),    B_LIT("a::"),      B_LIT(":"),     B_LIT("[v.x]"),
        B_LIT("[v1.]"),   B_LIT("[vg.x]"), B_LIT("[v1.a,b]"), B_LIT("[1.x]"), B_LIT("a\\b"),
        B_LIT("a:65536"), B_LIT("[v1.@]"), B_LIT("a\"b"),     B_LIT("a[b"),
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        CHECK_INT(http_authority_parse(good[i], HTTP_ALLOW_ANY_HOST, NULL), 0);
        CHECK_INT(http_authority_parse(good[i], HTTP_ALLOW_ALL & ~HTTP_ALLOW_ANY_HOST, NULL),
                  -HTTP_E_BAD_HOST);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (http_authority_parse(bad[i], HTTP_ALLOW_ALL, NULL) != -HTTP_E_BAD_HOST)
            FAIL("%.*s is accepted", B_FMT(bad[i]));
}

const struct test_case authority_tests[] = {
    {"P03_all_of_the_grammar_where_it_is_allowed", P03_all_of_the_grammar_where_it_is_allowed},
    {"P03_good_authorities", P03_good_authorities},
    {"P03_bad_authorities", P03_bad_authorities},
    {0},
};
