#include "base/number.h"

#include "test.h"

static bool parse(const char *text, uint64_t *v) {
    *v = 99;
    return b_parse_u64(b_slice_cstr(text), v);
}

TEST(decimal) {
    uint64_t v;
    CHECK(parse("0", &v) && v == 0);
    CHECK(parse("007", &v) && v == 7);
    CHECK(parse("18446744073709551615", &v) && v == UINT64_MAX);
    CHECK(!parse("18446744073709551616", &v));
    CHECK(!parse("99999999999999999999", &v));
    CHECK(!parse("184467440737095516150", &v));
    const char *bad[] = {"", "-1", "+1", " 1", "1 ", "0x1", "1.0", "1e3", "a", "1\n", "\xd9\xa1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (parse(bad[i], &v))
            FAIL("'%s' was taken", bad[i]);
        CHECK_UINT(v, 99); /* left alone */
    }
    CHECK(!b_parse_u64(b_slice("1\0", 2), &v));
    CHECK(!b_parse_u64(b_slice(NULL, 0), &v));
}

TEST(hexadecimal) {
    uint64_t v = 0;
    CHECK(b_parse_hex(B_LIT("0"), &v) && v == 0);
    CHECK(b_parse_hex(B_LIT("dEadBeeF"), &v) && v == 0xdeadbeef);
    CHECK(b_parse_hex(B_LIT("ffffffffffffffff"), &v) && v == UINT64_MAX);
    CHECK(!b_parse_hex(B_LIT("00000000000000000"), &v)); /* 17 */
    CHECK(!b_parse_hex(B_LIT(""), &v));
    CHECK(!b_parse_hex(B_LIT("0x1"), &v));
    CHECK(!b_parse_hex(B_LIT("g"), &v));
    CHECK(!b_parse_hex(B_LIT("-1"), &v));
    CHECK_INT(b_hex_digit('F'), 15);
    CHECK_INT(b_hex_digit('@'), -1);
    CHECK_INT(b_hex_digit('`'), -1);
    CHECK_INT(b_hex_digit('/'), -1);
    CHECK_INT(b_hex_digit(':'), -1);
}

TEST(formatting) {
    char buf[B_U64_TEXT];
    CHECK_SLICE(buf, b_format_u64(buf, 0), "0");
    CHECK_SLICE(buf, b_format_u64(buf, 10), "10");
    CHECK_SLICE(buf, b_format_u64(buf, 1234567890), "1234567890");
    CHECK_SLICE(buf, b_format_u64(buf, UINT64_MAX), "18446744073709551615");
}

TEST(both_ways_agree) {
    char buf[B_U64_TEXT];
    for (int bit = 0; bit < 64; bit++) {
        for (uint64_t d = 0; d < 3; d++) {
            uint64_t v = ((uint64_t)1 << bit) - 1 + d, back = 0;
            CHECK(b_parse_u64(b_slice(buf, b_format_u64(buf, v)), &back));
            CHECK_UINT(back, v);
        }
    }
}

const struct test_case number_tests[] = {
    {"decimal", decimal},
    {"hexadecimal", hexadecimal},
    {"formatting", formatting},
    {"both_ways_agree", both_ways_agree},
    {0},
};
