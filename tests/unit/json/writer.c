#include "json/writer.h"

#include <stdio.h>

#include "test.h"

static char buffer[4096];

static void check_string(struct b_slice in, const char *want) {
    struct b_text out = b_text_fixed(buffer, sizeof buffer);
    json_write_string(&out, in);
    CHECK(!out.failed);
    CHECK_SLICE(out.ptr, out.len, want);
}

TEST(strings) {
    check_string(B_LIT(""), "\"\"");
    check_string(B_LIT("plain text of more than sixteen bytes"), "\"plain text of more than sixteen bytes\"");
    check_string(B_LIT("a\"b\\c/d"), "\"a\\\"b\\\\c/d\"");
    check_string(B_LIT("\b\t\n\f\r"), "\"\\b\\t\\n\\f\\r\"");
    check_string(B_LIT("\0\x01\v\x1f\x7f"), "\"\\u0000\\u0001\\u000b\\u001f\x7f\"");
    check_string(B_LIT("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"),
                 "\"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"");
}

TEST(R12_bytes_that_are_not_utf8) {
    check_string(B_LIT("\xff"), "\"\xef\xbf\xbd\"");
    check_string(B_LIT("a\xe9"
                       "b"),
                 "\"a\xef\xbf\xbd"
                 "b\"");
    check_string(B_LIT("\xc0\xaf"), "\"\xef\xbf\xbd\xef\xbf\xbd\"");
    check_string(B_LIT("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    check_string(B_LIT("\xe2\x82"), "\"\xef\xbf\xbd\xef\xbf\xbd\"");
    check_string(B_LIT("\xe2\x82\""), "\"\xef\xbf\xbd\xef\xbf\xbd\\\"\"");
}

/* A byte that needs an escape is seen at every place of a long string. */
TEST(specials_at_every_place) {
    static const char specials[] = {'"', '\\', '\n', 1, (char)0x80, (char)0xff};
    for (size_t s = 0; s < sizeof specials; s++)
        for (size_t at = 0; at < 50; at++) {
            char text[50];
            memset(text, 'x', sizeof text);
            text[at] = specials[s];
            struct b_text out = b_text_fixed(buffer, sizeof buffer);
            json_write_escaped(&out, b_slice(text, sizeof text));
            CHECK(out.len > 50 && out.ptr[at] != specials[s] + (specials[s] == '\\'));
        }
}

TEST(objects_and_arrays) {
    struct b_text out = b_text_fixed(buffer, sizeof buffer);
    struct json_writer w = json_writer(&out);
    json_object_begin(&w);
    json_key(&w, B_LIT("a"));
    json_array_begin(&w);
    json_u64(&w, UINT64_MAX);
    json_i64(&w, INT64_MIN);
    json_i64(&w, 5);
    json_array_begin(&w);
    json_array_end(&w);
    json_array_begin(&w);
    json_u64(&w, 1);
    json_u64(&w, 2);
    json_array_end(&w);
    json_object_begin(&w);
    json_key(&w, B_LIT("k"));
    json_null(&w);
    json_object_end(&w);
    json_string(&w, B_LIT("x"));
    json_array_end(&w);
    json_key(&w, B_LIT("b\""));
    json_bool(&w, true);
    json_key(&w, B_LIT("c"));
    json_null(&w);
    json_key(&w, B_LIT("d"));
    json_raw(&w, B_LIT("[1]"));
    json_key(&w, B_LIT("e"));
    json_bool(&w, false);
    json_object_end(&w);
    CHECK(!out.failed);
    CHECK_SLICE(
        out.ptr, out.len,
        "{\"a\":[18446744073709551615,-9223372036854775808,5,[],[1,2],{\"k\":null},\"x\"],\"b\\\"\":true,\"c\":null,"
        "\"d\":[1],"
        "\"e\":false}");
}

TEST(depth_is_bounded) {
    struct b_text out = b_text_fixed(buffer, sizeof buffer);
    struct json_writer w = json_writer(&out);
    for (int i = 0; i < JSON_WRITER_DEPTH_MAX; i++)
        json_array_begin(&w);
    json_u64(&w, 1);
    json_u64(&w, 2);
    CHECK(!out.failed);
    json_array_begin(&w);
    CHECK(out.failed);
}

TEST(unbalanced_ends_fail) {
    struct b_text out = b_text_fixed(buffer, sizeof buffer);
    struct json_writer w = json_writer(&out);
    json_array_end(&w);
    CHECK(out.failed);
    out = b_text_fixed(buffer, sizeof buffer);
    w = json_writer(&out);
    json_object_begin(&w);
    json_key(&w, B_LIT("a"));
    json_object_end(&w);
    CHECK(out.failed);
}

TEST(room_runs_out) {
    for (size_t cap = 0; cap < 13; cap++) {
        struct b_text out = b_text_fixed(buffer, cap);
        json_write_string(&out, B_LIT("ab\n\xff"
                                      "cd"));
        CHECK_INT(out.failed, cap < 11);
    }
}

const struct test_case writer_tests[] = {
    {"strings", strings},
    {"R12_bytes_that_are_not_utf8", R12_bytes_that_are_not_utf8},
    {"specials_at_every_place", specials_at_every_place},
    {"objects_and_arrays", objects_and_arrays},
    {"depth_is_bounded", depth_is_bounded},
    {"unbalanced_ends_fail", unbalanced_ends_fail},
    {"room_runs_out", room_runs_out},
    {0},
};
