#include "base/escape.h"

#include "base/rng.h"
#include "test.h"

#define BAD "\xef\xbf\xbd"

static void check_json(const char *bytes, size_t len, const char *want) {
    char buf[512];
    struct b_text t = b_text_fixed(buf, sizeof buf);
    b_text_json_string(&t, b_slice(bytes, len));
    CHECK(!t.failed);
    CHECK_SLICE(t.ptr, t.len, want);
}
#define CHECK_JSON(in, want) check_json(in, sizeof(in) - 1, "\"" want "\"")

TEST(json_strings) {
    CHECK_JSON("", "");
    CHECK_JSON("plain text / with 'most' of ASCII ~", "plain text / with 'most' of ASCII ~");
    CHECK_JSON("a\"b\\c", "a\\\"b\\\\c");
    CHECK_JSON("\b\f\n\r\t", "\\b\\f\\n\\r\\t");
    CHECK_JSON("\0\x1b[31m\x1f\x7f", "\\u0000\\u001b[31m\\u001f\\u007f");
    CHECK_JSON("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80",
               "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80");
    CHECK_JSON("\xc2\x80\xc2\x9b\xc2\x9f\xc2\xa0",
               "\\u0080\\u009b\\u009f\xc2\xa0"); /* C1 controls, and a space */
}

TEST(what_is_not_utf8_is_replaced) {
    CHECK_JSON("a\xff"
               "b",
               "a" BAD "b");
    CHECK_JSON("\x80", BAD);
    CHECK_JSON("\xc0\xaf", BAD BAD);                 /* a long form of '/' */
    CHECK_JSON("\xe0\x80\xaf", BAD BAD BAD);         /* another */
    CHECK_JSON("\xed\xa0\x80", BAD BAD BAD);         /* a surrogate */
    CHECK_JSON("\xf4\x90\x80\x80", BAD BAD BAD BAD); /* above U+10FFFF */
    CHECK_JSON("\xf5\x80", BAD BAD);
    CHECK_JSON("\xe2\x82", BAD);          /* cut short: one for the part */
    CHECK_JSON("\xe2\x82\"", BAD "\\\""); /* and the quote is not swallowed */
    CHECK_JSON("\xf0\x9f\x98\n", BAD "\\n");
    CHECK_JSON("\xf4\x8f\xbf\xbf\xed\x9f\xbf", "\xf4\x8f\xbf\xbf\xed\x9f\xbf");
}

TEST(utf8_lengths) {
    size_t bad = 9;
    CHECK_UINT(b_utf8_char(B_LIT(""), &bad), 0);
    CHECK_UINT(bad, 0);
    CHECK_UINT(b_utf8_char(B_LIT("a"), NULL), 1);
    CHECK_UINT(b_utf8_char(B_LIT("\xc3\xbc"), NULL), 2);
    CHECK_UINT(b_utf8_char(B_LIT("\xe2\x82\xac"), NULL), 3);
    CHECK_UINT(b_utf8_char(B_LIT("\xf0\x9f\x98\x80"), NULL), 4);
    CHECK_UINT(b_utf8_char(B_LIT("\xf0\x9f\x98"), &bad), 0);
    CHECK_UINT(bad, 3);
}

static void check_cut(const char *in, size_t max, const char *want) {
    char buf[512];
    struct b_text t = b_text_fixed(buf, sizeof buf);
    b_text_json_string_max(&t, b_slice_cstr(in), max);
    CHECK_SLICE(t.ptr, t.len, want);
}

TEST(long_strings_are_cut) {
    check_cut("0123456789", 10, "\"0123456789\"");
    check_cut("0123456789x", 10, "\"0123456...\"");
    check_cut("0123456\n", 9, "\"0123456\\n\"");
    check_cut("0123456\nx", 9, "\"012345...\"");
    check_cut("012345\nx", 8, "\"01234...\""); /* an escape is never cut in two */
    check_cut("01234\xc3\xbc"
              "89",
              9,
              "\"01234\xc3\xbc"
              "89\"");
    check_cut("01234\xc3\xbc"
              "89x",
              9, "\"01234...\""); /* nor is a character */
    check_cut("\x01\x01\x01", 12, "\"\\u0001...\"");
    check_cut("\x01\x01", 12, "\"\\u0001\\u0001\"");
    check_cut("abcd", 3, "\"...\"");
}

TEST(printable_text) {
    char buf[64];
    struct b_text t = b_text_fixed(buf, sizeof buf);
    b_text_printable_max(&t, B_LIT("a \"b\" \\ \n\x1b[0m \xff"), 60);
    CHECK_SLICE(t.ptr, t.len, "a \"b\" \\ \\n\\u001b[0m " BAD);
}

/* Whatever comes in: the limit holds, and what comes out is one JSON string without control characters. */
TEST(random_bytes_are_made_safe) {
    struct b_rng rng = {3};
    for (int round = 0; round < 5000; round++) {
        char in[40], buf[400];
        size_t len = b_rng_below(&rng, sizeof in), max = 3 + b_rng_below(&rng, 60);
        for (size_t i = 0; i < len; i++)
            in[i] = b_rng_below(&rng, 2) ? (char)b_rng_next(&rng)
                                         : "\"\\\n\xc3\xe2\x82\xacx"[b_rng_below(&rng, 8)];
        struct b_text t = b_text_fixed(buf, sizeof buf);
        b_text_json_string_max(&t, b_slice(in, len), max);
        REQUIRE(!t.failed && t.len >= 2 && t.len <= max + 2 && buf[0] == '"' && buf[t.len - 1] == '"');
        for (struct b_slice rest = b_slice(buf + 1, t.len - 2); rest.len;) {
            size_t n = b_utf8_char(rest, NULL);
            REQUIRE(n > 0 && (unsigned char)rest.ptr[0] >= 0x20 && rest.ptr[0] != '"');
            if (rest.ptr[0] == '\\') {
                n = rest.len > 1 && rest.ptr[1] == 'u' ? 6 : 2;
                REQUIRE(rest.len >= n && strchr("bfnrtu\"\\", rest.ptr[1]));
            }
            rest = b_slice_from(rest, n);
        }
    }
}

const struct test_case escape_tests[] = {
    {"json_strings", json_strings},
    {"what_is_not_utf8_is_replaced", what_is_not_utf8_is_replaced},
    {"utf8_lengths", utf8_lengths},
    {"long_strings_are_cut", long_strings_are_cut},
    {"printable_text", printable_text},
    {"random_bytes_are_made_safe", random_bytes_are_made_safe},
    {0},
};
