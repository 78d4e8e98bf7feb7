#include "http/path.h"

#include <stdio.h>

#include "support.h"

static char room[4096];

/* The normal form, or "400", "414". */
static const char *normal_if(struct b_slice raw, uint32_t allow) {
    static char shown[4096];
    struct b_text out = b_text_fixed(room, sizeof room);
    b_text_lit(&out, "before"); /* what stands in the text already is left alone */
    int r = http_path_normalise(raw, allow, &out);
    if (r < 0)
        snprintf(shown, sizeof shown, "%d", http_error_info((enum http_error) - r)->status);
    else
        snprintf(shown, sizeof shown, "%.*s",
                 B_FMT(r == HTTP_PATH_CHANGED ? b_slice(out.ptr + 6, out.len - 6) : raw));
    if (r == HTTP_PATH_SAME)
        CHECK_UINT(out.len, 6);
    CHECK_MEM(room, "before", 6);
    return shown;
}

static const char *normal(struct b_slice raw) {
    return normal_if(raw, 0);
}

TEST(P01_normal_forms) {
    static const struct {
        struct b_slice raw;
        const char *want;
    } rows[] = {
        {B_LIT("/"), "/"},
        {B_LIT("/a/b.c/~d_e-f"), "/a/b.c/~d_e-f"},
        {B_LIT("/a!$&'()*+,;=:@b"), "/a!$&'()*+,;=:@b"},
        {B_LIT("//"), "/"},
        {B_LIT("//a///b//"), "/a/b/"},
        {B_LIT("/./a/./b/."), "/a/b/"},
        {B_LIT("/a/.."), "/"},
        {B_LIT("/a/../"), "/"},
        {B_LIT("/a/b/../c"), "/a/c"},
        {B_LIT("/a/b/.."), "/a/"},
        {B_LIT("/a/b/../.."), "/"},
        {B_LIT("/a//../b"), "/b"},
        {B_LIT("/a/./../b"), "/b"},
        {B_LIT("/.."), "400"},
        {B_LIT("/../a"), "400"},
        {B_LIT("/a/../../b"), "400"},
        {B_LIT("/a/../.."), "400"},
        {B_LIT("//.."), "400"},
        {B_LIT("/..."), "/..."},
        {B_LIT("/.a/..b/c../.d."), "/.a/..b/c../.d."},
        {B_LIT("/.well-known/x"), "/.well-known/x"},
        /* escapes */
        {B_LIT("/%61%7a%30%2D%2e%5f%7E"), "/az0-._~"},
        {B_LIT("/%2e%2e"), "400"},
        {B_LIT("/a/%2e%2E/b"), "/b"},
        {B_LIT("/a/.%2e/b"), "/b"},
        {B_LIT("/a/%2e/b"), "/a/b"},
        {B_LIT("/%252e%252e/x"), "/%252e%252e/x"},
        {B_LIT("/%25%32%65"), "/%252e"},
        {B_LIT("/a%3ab%3B"), "/a%3Ab%3B"},
        {B_LIT("/a%3A"), "/a%3A"},
        {B_LIT("/a%20b"), "/a%20b"},
        {B_LIT("/%3f%23"), "/%3F%23"},
        {B_LIT("/a%2fb"), "400"},
        {B_LIT("/a%2Fb"), "400"},
        {B_LIT("/..%2f"), "400"},
        {B_LIT("/a%5cb"), "400"},
        {B_LIT("/a\\b"), "400"},
        {B_LIT("/a%00"), "400"},
        {B_LIT("/a%0d%0a"), "400"},
        {B_LIT("/a%7f"), "400"},
        {B_LIT("/%"), "400"},
        {B_LIT("/%4"), "400"},
        {B_LIT("/%4g"), "400"},
        {B_LIT("/%g4"), "400"},
        {B_LIT("/a%u0041"), "400"},
        /* UTF-8 */
        {B_LIT("/%e2%82%ac"), "/%E2%82%AC"},
        {B_LIT("/%C3%A9/%F0%9F%98%80"), "/%C3%A9/%F0%9F%98%80"},
        {B_LIT("/%c0%af"), "400"},
        {B_LIT("/%c0%ae%c0%ae"), "400"},
        {B_LIT("/%e0%80%af"), "400"},
        {B_LIT("/%ed%a0%80"), "400"},
        {B_LIT("/%f5%80%80%80"), "400"},
        {B_LIT("/%e2%82"), "400"},
        {B_LIT("/%e2%82x"), "400"},
        {B_LIT("/%80"), "400"},
        {B_LIT("/%ff"), "400"},
        {B_LIT("/\xc3\xa9"), "400"},
        /* raw characters that a URI escapes */
        {B_LIT("/a|b{c}[d]"), "/a%7Cb%7Bc%7D%5Bd%5D"},
        {B_LIT("/\"<>^`"), "/%22%3C%3E%5E%60"},
        {B_LIT("/a b"), "400"},
        {B_LIT("/a\tb"), "400"},
        {B_LIT("/a\0b"), "400"},
        {B_LIT("/a?b"), "400"},
        {B_LIT("/a#b"), "400"},
        /* ';' is an ordinary character */
        {B_LIT("/a;b=c/..;/d"), "/a;b=c/..;/d"},
        {B_LIT("/a/..;x"), "/a/..;x"},
        /* no path at all */
        {B_LIT(""), "400"},
        {B_LIT("a"), "400"},
        {B_LIT("*"), "400"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *got = normal(rows[i].raw);
        if (strcmp(got, rows[i].want) != 0)
            FAIL("%.*s becomes %s, not %s", B_FMT(rows[i].raw), got, rows[i].want);
        if (got[0] == '/') {
            char again[256];
            snprintf(again, sizeof again, "%s", got);
            CHECK_STR(normal(b_slice_cstr(again)), rows[i].want); /* P02: once is enough */
            struct b_text none = b_text_fixed(NULL, 0);
            if (strcspn(again, "%") == strlen(again))
                CHECK_INT(http_path_normalise(b_slice_cstr(again), 0, &none), HTTP_PATH_SAME);
        }
    }
}

TEST(P01_encoded_slashes_where_they_are_allowed) {
    static const struct {
        struct b_slice raw;
        const char *want;
    } rows[] = {
        {B_LIT("/a%2fb"), "/a%2Fb"},       {B_LIT("/a%2Fb/../c"), "/c"},    {B_LIT("/%2f"), "/%2F"},
        {B_LIT("/@x%2fy/1"), "/@x%2Fy/1"}, {B_LIT("/a%252fb"), "/a%252fb"}, {B_LIT("/.%2fa"), "400"},
        {B_LIT("/..%2f"), "400"},          {B_LIT("/a%2f.."), "400"},       {B_LIT("/a%2f%2e%2e/b"), "400"},
        {B_LIT("/a%2f..%2fb"), "400"},     {B_LIT("/a%2f..b"), "/a%2F..b"}, {B_LIT("/a%5cb"), "400"},
        {B_LIT("/a%2f%00"), "400"},        {B_LIT("/a/%2e%2e"), "/"},       {B_LIT("/a\\b"), "400"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        CHECK_STR(normal_if(rows[i].raw, HTTP_ALLOW_ENCODED_SLASH), rows[i].want);
        if (memmem(rows[i].raw.ptr, rows[i].raw.len, "%2f", 3))
            CHECK_STR(normal(rows[i].raw), "400");
    }
}

TEST(P01_every_byte) {
    for (int c = 0; c < 256; c++) {
        char raw[] = "/abc?def";
        raw[4] = (char)c;
        bool refused = c <= ' ' || c >= 0x7f || c == '\\' || c == '%' || c == '?' || c == '#';
        CHECK_INT(strcmp(normal(b_slice(raw, 8)), "400") == 0, refused);
        char escaped[16];
        snprintf(escaped, sizeof escaped, "/abc%%%02xdef", (unsigned)c);
        refused = c < ' ' || c >= 0x7f || c == '\\' || c == '/';
        CHECK_INT(strcmp(normal(b_slice_cstr(escaped)), "400") == 0, refused);
    }
}

TEST(room_runs_out) {
    for (size_t cap = 0; cap < 9; cap++) {
        struct b_text out = b_text_fixed(room, cap);
        CHECK_INT(http_path_normalise(B_LIT("/a/../b|cde"), 0, &out),
                  cap < 8 ? -HTTP_E_URI_TOO_LONG : HTTP_PATH_CHANGED);
        CHECK_INT(out.failed, cap < 8);
    }
    /* the most it can take */
    struct b_slice raw = B_LIT("/|{}|");
    struct b_text out = b_text_fixed(room, HTTP_PATH_MAX(raw.len));
    CHECK_INT(http_path_normalise(raw, 0, &out), HTTP_PATH_CHANGED);
}

TEST(queries) {
    CHECK(http_query_ok(B_LIT("")));
    CHECK(http_query_ok(B_LIT("a=b&c[]={\"x\"}|%zz?/../")));
    CHECK(!http_query_ok(B_LIT("a b")));
    CHECK(!http_query_ok(B_LIT("a#")));
    CHECK(!http_query_ok(B_LIT("a\x7f")));
    CHECK(!http_query_ok(B_LIT("0123456789abcdef\xc3\xa9")));
    CHECK(!http_query_ok(B_LIT("0123456789abcdef0123\0")));
}

const struct test_case path_tests[] = {
    {"P01_normal_forms", P01_normal_forms},
    {"P01_encoded_slashes_where_they_are_allowed", P01_encoded_slashes_where_they_are_allowed},
    {"P01_every_byte", P01_every_byte},
    {"room_runs_out", room_runs_out},
    {"queries", queries},
    {0},
};
