#include "config/value.h"

#include <stdio.h>

#include "test.h"

#define NUMBER_REASON "give a whole number"
#define DURATION_REASON "give a duration with its unit, such as 30s, 250ms or 1m30s (us, ms, s, m, h, d)"
#define SIZE_REASON \
    "give a size with its unit, such as 16KiB (16384 bytes) or 10MB (B, KB, KiB, MB, MiB, GB, GiB)"
#define RATE_REASON "give a rate such as 100/s, 5000/m or 7/h"
#define PERCENT_REASON "give a percentage from 0% to 100%, without fraction"

struct number_case {
    const char *text;
    int64_t value;    /* or */
    const char *why;  /* it is refused */
    const char *back; /* as written again; NULL: text */
};

typedef const char *(*number_parser)(struct b_slice, int64_t *);
typedef void (*number_writer)(struct b_text *, int64_t);

static void check_numbers(const struct number_case *c, number_parser parse, number_writer write) {
    for (; c->text; c++) {
        int64_t v = -77;
        char buf[64];
        struct b_text out = b_text_fixed(buf, sizeof buf - 1);
        const char *why = parse(b_slice_cstr(c->text), &v);
        if ((why != NULL) != (c->why != NULL) || v != (c->why ? -77 : c->value))
            FAIL("\"%s\" gives %lld, %s", c->text, (long long)v, why ? why : "taken");
        CHECK_STR(why, c->why);
        if (c->why || !write)
            continue;
        write(&out, v);
        buf[out.len] = 0;
        CHECK_STR(buf, c->back ? c->back : c->text);
    }
}

TEST(integers) {
    static const struct number_case cases[] = {
        {"0", 0, NULL, NULL},
        {"-1", -1, NULL, NULL},
        {"4096", 4096, NULL, NULL},
        {"9223372036854775807", INT64_MAX, "the number is too large", NULL},
        {"999999999999999999", 999999999999999999, NULL, NULL},
        {"99999999999999999999", 0, "the number is too large", NULL},
        {"-99999999999999999999", 0, "the number is too large", NULL},
        {"", 0, NUMBER_REASON, NULL},
        {"-", 0, NUMBER_REASON, NULL},
        {"+1", 0, NUMBER_REASON, NULL},
        {"1.5", 0, NUMBER_REASON, NULL},
        {"1e3", 0, NUMBER_REASON, NULL},
        {"0x10", 0, NUMBER_REASON, NULL},
        {"1_000", 0, NUMBER_REASON, NULL},
        {"12abc", 0, NUMBER_REASON, NULL},
        {"010", 0, "write the number without leading zeros", NULL},
        {0},
    };
    check_numbers(cases, cfg_parse_int, cfg_write_int);
}

TEST(durations) {
    static const struct number_case cases[] = {
        {"250ms", 250 * CFG_MS, NULL, NULL},
        {"1m30s", 90 * CFG_S, NULL, NULL},
        {"90s", 90 * CFG_S, NULL, "1m30s"},
        {"0s", 0, NULL, NULL},
        {"0ms", 0, NULL, "0s"},
        {"15us", 15 * CFG_US, NULL, NULL},
        {"1h2m3s4ms5us", CFG_H + 2 * CFG_M + 3 * CFG_S + 4 * CFG_MS + 5 * CFG_US, NULL, NULL},
        {"100000h", 100000 * CFG_H, NULL, NULL},
        {"30d", 720 * CFG_H, NULL, "720h"},
        {"1d12h", 36 * CFG_H, NULL, "36h"},
        {"100000h1us", 0, "a duration is at most 100000h", NULL},
        {"360000001s", 0, "a duration is at most 100000h", NULL},
        {"9223372036854775807s", 0, "a duration is at most 100000h", NULL},
        {"9999999999999999999999s", 0, DURATION_REASON, NULL},
        {"", 0, DURATION_REASON, NULL},
        {"30", 0, DURATION_REASON, NULL},
        {"0", 0, DURATION_REASON, NULL},
        {"1m30", 0, DURATION_REASON, NULL},
        {"s", 0, DURATION_REASON, NULL},
        {"-1s", 0, DURATION_REASON, NULL},
        {"1.5s", 0, DURATION_REASON, NULL},
        {"1 s", 0, DURATION_REASON, NULL},
        {"1w", 0, DURATION_REASON, NULL},
        {"1S", 0, DURATION_REASON, NULL},
        {"30s1m", 0, "write each unit once, the largest first, such as 1m30s", NULL},
        {"1s1s", 0, "write each unit once, the largest first, such as 1m30s", NULL},
        {0},
    };
    check_numbers(cases, cfg_parse_duration, cfg_write_duration);
}

TEST(sizes) {
    static const struct number_case cases[] = {
        {"0B", 0, NULL, NULL},
        {"17B", 17, NULL, NULL},
        {"10KB", 10000, NULL, NULL},
        {"16KiB", 16384, NULL, NULL},
        {"10MB", 10000000, NULL, NULL},
        {"10MiB", 10485760, NULL, NULL},
        {"2GB", 2000000000, NULL, NULL},
        {"4GiB", (int64_t)4 << 30, NULL, NULL},
        {"1024KiB", CFG_MIB, NULL, "1MiB"},
        {"8589934591GiB", (int64_t)8589934591 << 30, NULL, NULL},
        {"8589934592GiB", 0, "the size is too large", NULL},
        {"10", 0, SIZE_REASON, NULL},
        {"10M", 0, SIZE_REASON, NULL},
        {"10mb", 0, SIZE_REASON, NULL},
        {"1.5MB", 0, SIZE_REASON, NULL},
        {"MB", 0, SIZE_REASON, NULL},
        {"-1MB", 0, SIZE_REASON, NULL},
        {"1TB", 0, SIZE_REASON, NULL},
        {"", 0, SIZE_REASON, NULL},
        {0},
    };
    check_numbers(cases, cfg_parse_size, cfg_write_size);
}

TEST(percentages) {
    static const struct number_case cases[] = {
        {"20%", 20, NULL, NULL},
        {"20", 20, NULL, NULL},
        {"0%", 0, NULL, NULL},
        {"100%", 100, NULL, NULL},
        {"101%", 0, PERCENT_REASON, NULL},
        {"-1%", 0, PERCENT_REASON, NULL},
        {"0.5%", 0, PERCENT_REASON, NULL},
        {"20%%", 0, PERCENT_REASON, NULL},
        {"%", 0, PERCENT_REASON, NULL},
        {"99999999999999999999", 0, PERCENT_REASON, NULL},
        {0},
    };
    check_numbers(cases, cfg_parse_percent, NULL);
}

TEST(rates) {
    static const struct {
        const char *text;
        int64_t count, per;
        const char *why;
    } cases[] = {
        {"100/s", 100, CFG_S, NULL},
        {"5000/m", 5000, CFG_M, NULL},
        {"7/h", 7, CFG_H, NULL},
        {"0/s", 0, 0, "a rate counts from 1 to 1000000000"},
        {"1000000001/s", 0, 0, "a rate counts from 1 to 1000000000"},
        {"100", 0, 0, RATE_REASON},
        {"100/", 0, 0, RATE_REASON},
        {"/s", 0, 0, RATE_REASON},
        {"100/d", 0, 0, RATE_REASON},
        {"100/ms", 0, 0, RATE_REASON},
        {"100 /s", 0, 0, RATE_REASON},
        {"", 0, 0, RATE_REASON},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cfg_rate rate = {0, 0};
        char buf[64];
        struct b_text out = b_text_fixed(buf, sizeof buf - 1);
        CHECK_STR(cfg_parse_rate(b_slice_cstr(cases[i].text), &rate), cases[i].why);
        CHECK_INT(rate.count, cases[i].count);
        CHECK_INT(rate.per, cases[i].per);
        if (cases[i].why)
            continue;
        cfg_write_rate(&out, rate);
        CHECK_SLICE(buf, out.len, cases[i].text);
    }
}

TEST(booleans) {
    static const char *const wrong[] = {"yes", "no", "on", "off", "True", "FALSE", "1", "", "truee"};
    bool v = false;
    CHECK_STR(cfg_parse_bool(B_LIT("true"), &v), NULL);
    CHECK(v);
    CHECK_STR(cfg_parse_bool(B_LIT("false"), &v), NULL);
    CHECK(!v);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK_STR(cfg_parse_bool(b_slice_cstr(wrong[i]), &v), "write true or false");
}

/* Whatever is written is read back as the same. */
TEST(writers_and_parsers_agree) {
    for (int64_t v = 1; v > 0 && v < 10000 * CFG_H / CFG_US; v = v * 3 + 1) {
        char buf[64];
        int64_t back = 0;
        struct b_text out = b_text_fixed(buf, sizeof buf);
        cfg_write_duration(&out, v * CFG_US);
        CHECK_STR(cfg_parse_duration(b_text_slice(&out), &back), NULL);
        CHECK_INT(back, v * CFG_US);
        out = b_text_fixed(buf, sizeof buf);
        cfg_write_size(&out, v);
        CHECK_STR(cfg_parse_size(b_text_slice(&out), &back), NULL);
        CHECK_INT(back, v);
    }
}

const struct test_case value_tests[] = {
    {"integers", integers},
    {"durations", durations},
    {"sizes", sizes},
    {"percentages", percentages},
    {"rates", rates},
    {"booleans", booleans},
    {"writers_and_parsers_agree", writers_and_parsers_agree},
    {0},
};
