#include "json/cursor.h"
#include "json/unique.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "test.h"
#include "json/utf8.h"

static struct json_index index_ = {.tag = B_TAG_TEST};
static struct json_fault fault;

/* What every scanner says of the text; 0 is good, else -EINVAL. The text lies at the end of its memory. */
static int verdict(const char *text, size_t len) {
    char *exact = malloc(len ? len : 1);
    int rc = 1;
    if (!exact)
        return 1;
    memcpy(exact, text, len);
    for (const char *const *name = json_scanners(); *name; name++) {
        CHECK(json_use_scanner(*name));
        int one = json_index(&index_, b_slice(exact, len), &fault);
        CHECK(rc == 1 || rc == one);
        rc = one;
    }
    json_use_scanner(NULL);
    free(exact);
    return rc;
}

#define GOOD(text) CHECK_INT(verdict(text, sizeof(text) - 1), 0)
#define BAD(text, where)                                     \
    do {                                                     \
        CHECK_INT(verdict(text, sizeof(text) - 1), -EINVAL); \
        CHECK_UINT(fault.at, where);                         \
    } while (0)

TEST(good_texts) {
    GOOD("0");
    GOOD(" -0 ");
    GOOD("[1,-2,3.5,4e6,5E+7,6.0e-8,0,0.1,1234567890123456789012345678901234567890]");
    GOOD("true");
    GOOD("[false,null,true]");
    GOOD("\"\"");
    GOOD("{}");
    GOOD("[]");
    GOOD("[[],{},[{}]]");
    GOOD("\t{\"a\" :\r\n [1 , {\"b\":\"c\"}]\n}");
    GOOD("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\uD83D\\ude00\"");
    GOOD("{\"\":0,\"a\":{\"a\":[]}}");
    GOOD("\"\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"");
    GOOD("[\"\\u0000\",1e999999999]");
}

TEST(bad_texts) {
    BAD("", 0);
    BAD(" ", 1);
    BAD("[", 1);
    BAD("{\"a\":1", 6);
    BAD("[1,]", 3);
    BAD("[,1]", 1);
    BAD("[1 2]", 3);
    BAD("{\"a\":1,}", 7);
    BAD("{\"a\"}", 4);
    BAD("{\"a\":}", 5);
    BAD("{a:1}", 1);
    BAD("{1:1}", 1);
    BAD("[1}", 2);
    BAD("{]", 1);
    BAD("1 1", 2);
    BAD("[] []", 3);
    BAD("nul", 0);
    BAD("nullx", 0);
    BAD("True", 0);
    BAD("01", 0);
    BAD("-", 0);
    BAD("+1", 0);
    BAD(".5", 0);
    BAD("1.", 0);
    BAD("1e", 0);
    BAD("1e+", 0);
    BAD("0x10", 0);
    BAD("NaN", 0);
    BAD("1\"a\"", 0);
    BAD("\"a\"b", 3);
    BAD("\"", 1);
    BAD("\"\\", 1);
    BAD("\"\\\"", 3);
    BAD("\"\\x\"", 1);
    BAD("\"\\u12\"", 1);
    BAD("\"\\u123g\"", 1);
    BAD("\"\\ud800\"", 1);
    BAD("\"\\ud800\\u0041\"", 1);
    BAD("\"\\udc00\"", 1);
    BAD("\"a\nb\"", 2);
    BAD("\"a\0b\"", 2);
    BAD("\"\t\"", 1);
    BAD("\\", 0);
    BAD("'a'", 0);
    BAD("[1]//", 3);
    BAD("\xef\xbb\xbf[]", 0);
    BAD("\"\x80\"", 1);
    BAD("\"\xc0\x80\"", 1);
    BAD("\"\xed\xa0\x80\"", 1);
    BAD("\"\xf4\x90\x80\x80\"", 1);
    BAD("\"\xe2\x82\"", 1);
    BAD("\"\xe2\x82", 1);
    BAD("[\n1,\n  x]", 7);
    CHECK_UINT(fault.line, 3);
    CHECK_UINT(fault.column, 3);
}

/* Before a number, and inside a string: which bytes may stand there. */
TEST(every_byte) {
    for (unsigned c = 0; c < 256; c++) {
        const char number[] = {(char)c, '7', (char)c == '\r' ? '\n' : ' '}, string[] = {'"', (char)c, '"'};
        bool good = c && strchr(" \t\r\n-123456789", (int)c);
        CHECK_INT(verdict(number, sizeof number), good ? 0 : -EINVAL);
        good = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
        CHECK_INT(verdict(string, sizeof string), good ? 0 : -EINVAL);
    }
}

/* A text stays what it is wherever it stands, and nothing cut off is whole. */
TEST(at_every_place) {
    static const char text[] =
        "{\"k\\\\\\\"\":[\"\xe2\x82\xac\\u20ac\xf0\x9f\x98\x80\",-1.5e3,{\"x\":null}],\"\\\\\":\"\\\\\"}";
    char room[400];
    for (size_t before = 0; before < 140; before++) {
        size_t n = before + sizeof text - 1;
        memset(room, ' ', sizeof room);
        memcpy(room + before, text, sizeof text - 1);
        CHECK_INT(verdict(room, n), 0);
        CHECK_INT(verdict(room, n + 70), 0);
        CHECK_INT(verdict(room, n - 1), -EINVAL);
    }
    for (size_t cut = 0; cut < sizeof text - 1; cut++)
        CHECK_INT(verdict(text, cut), -EINVAL);
}

/* Every pair of bytes behind each lead byte, and what follows, across the edges of blocks. */
TEST(utf8_everywhere) {
    static const unsigned char thirds[] = {'a', 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff};
    char text[132];
    for (unsigned a = 0x7f; a < 256; a++)
        for (unsigned b = 0x7f; b < 256; b += b % 16 == 15 ? 1 : 8)
            for (size_t i = 0; i < sizeof thirds * sizeof thirds; i++) {
                size_t at = 59 + i % 6;
                memset(text, 'x', sizeof text);
                text[0] = text[sizeof text - 1] = '"';
                const unsigned char four[] = {(unsigned char)a, (unsigned char)b, thirds[i / sizeof thirds],
                                              thirds[i % sizeof thirds]};
                memcpy(text + at, four, 4);
                bool good = true;
                for (size_t n, p = 0; good && p < sizeof text; p += n)
                    good = (n = json_utf8_length(text + p, sizeof text - p)) != 0;
                if (verdict(text, sizeof text) != (good ? 0 : -EINVAL)) {
                    CHECK_STR("agree", "do not agree");
                    return;
                }
            }
}

TEST(R10_depth) {
    char text[2 * JSON_DEPTH_MAX + 2];
    memset(text, '[', JSON_DEPTH_MAX + 1);
    memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
    CHECK_INT(verdict(text + 1, 2 * JSON_DEPTH_MAX), 0);
    CHECK_INT(verdict(text, sizeof text), -EINVAL);
    CHECK_UINT(fault.at, JSON_DEPTH_MAX);
}

TEST(D3_members) {
    for (unsigned many = JSON_KEYS_MAX; many <= JSON_KEYS_MAX + 1; many++) {
        char *text = malloc(20 * many + 2);
        size_t n = 0;
        REQUIRE(text);
        for (unsigned i = 0; i < many; i++)
            n += (size_t)sprintf(text + n, "%c\"%u\":0", i ? ',' : '{', i);
        text[n++] = '}';
        CHECK_INT(verdict(text, n), many > JSON_KEYS_MAX ? -EINVAL : 0);
        free(text);
    }
}

/* --- cursor --- */

static struct json_value parse(const char *text) {
    CHECK_INT(json_index(&index_, b_slice_cstr(text), &fault), 0);
    return json_root(&index_);
}

static bool is(struct json_value v, const char *text) {
    return b_slice_eq(json_slice(v), b_slice_cstr(text));
}

TEST(cursor) {
    struct json_value v =
        parse(" {\"a\": [1, \"two\", {\"b\":true} , [] ], \"k\\u0065y\" : -2.50, \"e\":{}} ");
    CHECK_INT(json_kind(v), JSON_OBJECT);
    CHECK(is(v, "{\"a\": [1, \"two\", {\"b\":true} , [] ], \"k\\u0065y\" : -2.50, \"e\":{}}"));
    struct json_value a = json_member(v, B_LIT("a"));
    CHECK_INT(json_kind(a), JSON_ARRAY);
    CHECK(is(json_item(a, 0), "1") && is(json_item(a, 1), "\"two\"") && is(json_item(a, 2), "{\"b\":true}") &&
          is(json_item(a, 3), "[]"));
    CHECK_INT(json_kind(json_item(a, 4)), JSON_MISSING);
    CHECK_INT(json_kind(json_member(json_item(a, 2), B_LIT("b"))), JSON_TRUE);
    CHECK(is(json_member(v, B_LIT("key")), "-2.50"));
    CHECK_INT(json_kind(json_member(v, B_LIT("k\\u0065y"))), JSON_MISSING);
    CHECK_INT(json_kind(json_member(v, B_LIT("ke"))), JSON_MISSING);
    CHECK_INT(json_kind(json_member(a, B_LIT("a"))), JSON_MISSING);
    CHECK_INT(json_kind(json_first(json_member(v, B_LIT("e")))), JSON_MISSING);
    unsigned members = 0;
    for (struct json_value m = json_first(v); m.index; m = json_next(m), members++)
        CHECK_INT(json_kind(json_key_of(m)), JSON_STRING);
    CHECK_UINT(members, 3);
    CHECK_INT(json_kind(json_key_of(json_item(a, 1))), JSON_MISSING);
    CHECK_INT(json_kind(json_next(v)), JSON_MISSING);
    struct json_value none = json_member(v, B_LIT("x"));
    CHECK(json_kind(json_member(none, B_LIT("y"))) == JSON_MISSING && json_slice(none).ptr == NULL);
}

static int unique(const char *text) {
    struct json_fault where = {0};
    (void)parse(text);
    int rc = json_unique_keys(&index_, (struct b_hash_key){1, 2}, &where);
    fault = where;
    return rc;
}

TEST(R12_keys_that_stand_there_twice) {
    CHECK_INT(unique("[]"), 0);
    CHECK_INT(unique("{\"a\":1,\"b\":{\"a\":[{\"a\":1},{\"a\":2}]},\"\":0,\"A\":0}"), 0);
    CHECK_INT(unique("{\"a\":1,\n \"a\":2}"), -EINVAL);
    CHECK(fault.at == 9 && fault.line == 2 && fault.column == 2);
    CHECK_INT(unique("[0,{\"x\":{\"k\":[],\"\\u006b\":{}}}]"), -EINVAL);
    CHECK_INT(unique("{\"\\u00e9\":1,\"\\u00E9\":2}"), -EINVAL);
    CHECK_INT(unique("{\"\":1,\"\":2}"), -EINVAL);
    CHECK_INT(unique("[{\"a\":1,\"a\":2},{},{\"b\":1,\"b\":2}]"), -EINVAL); /* the first one is told */
    CHECK_UINT(fault.at, 8);
    for (unsigned many = 2; many < 40; many++)
        for (unsigned twice = 0; twice < many; twice += 3) {
            char text[800];
            int n = 0;
            for (unsigned i = 0; i < many; i++)
                n += sprintf(text + n, "%c\"key%u\":{\"key0\":0}", i ? ',' : '{', i == many - 1 ? twice : i);
            memcpy(text + n, "}", 2);
            CHECK_INT(unique(text), twice < many - 1 ? -EINVAL : 0);
        }
}

TEST(strings) {
    static const struct {
        const char *text, *want;
    } cases[] = {{"\"\"", ""},
                 {"\"plain\"", "plain"},
                 {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
                 {"\"\\u00e9\\u20AC\\ud83d\\uDE00x\"", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80x"},
                 {"\"a\\u0041\"", "aA"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[64];
        struct json_value v = parse(cases[i].text);
        size_t n = json_decode_string(v, out);
        CHECK(b_slice_eq(b_slice(out, n), b_slice_cstr(cases[i].want)));
        CHECK(json_string_is(v, b_slice_cstr(cases[i].want)));
        CHECK(!json_string_is(v, B_LIT("other")));
    }
    CHECK(!json_string_is(parse("1"), B_LIT("")));
    json_index_free(&index_);
}

const struct test_case index_tests[] = {{"good_texts", good_texts},
                                        {"bad_texts", bad_texts},
                                        {"every_byte", every_byte},
                                        {"at_every_place", at_every_place},
                                        {"utf8_everywhere", utf8_everywhere},
                                        {"R10_depth", R10_depth},
                                        {"D3_members", D3_members},
                                        {"cursor", cursor},
                                        {"R12_keys_that_stand_there_twice", R12_keys_that_stand_there_twice},
                                        {"strings", strings},
                                        {0}};
