#include "base/slice.h"

#include "test.h"

TEST(equality) {
    CHECK(b_slice_eq(B_LIT("abc"), b_slice("abcd", 3)));
    CHECK(!b_slice_eq(B_LIT("abc"), B_LIT("abd")));
    CHECK(!b_slice_eq(B_LIT("abc"), B_LIT("ab")));
    CHECK(b_slice_eq(b_slice(NULL, 0), B_LIT("")));
    CHECK(b_slice_eq(b_slice("a\0b", 3), b_slice("a\0b", 3)));
    CHECK(!b_slice_eq(b_slice("a\0b", 3), b_slice("a\0c", 3)));
}

TEST(case_is_ignored_for_ascii_only) {
    CHECK(b_slice_ieq(B_LIT("Content-Length"), B_LIT("content-lENGTH")));
    CHECK(!b_slice_ieq(B_LIT("abc"), B_LIT("ab")));
    CHECK(!b_slice_ieq(B_LIT("@"), B_LIT("`"))); /* one bit apart, like letters */
    CHECK(!b_slice_ieq(B_LIT("["), B_LIT("{")));
    CHECK(!b_slice_ieq(B_LIT("\xc4"), B_LIT("\xe4")));
}

TEST(prefixes) {
    CHECK(b_slice_starts(B_LIT("/api/x"), B_LIT("/api")));
    CHECK(b_slice_starts(B_LIT("x"), B_LIT("")));
    CHECK(b_slice_starts(b_slice(NULL, 0), b_slice(NULL, 0)));
    CHECK(!b_slice_starts(B_LIT("/ap"), B_LIT("/api")));
}

TEST(the_rest) {
    struct b_slice s = b_slice_from(B_LIT("abc"), 1);
    CHECK_SLICE(s.ptr, s.len, "bc");
    CHECK_UINT(b_slice_from(B_LIT("abc"), 3).len, 0);
    CHECK(b_slice_from(b_slice(NULL, 0), 0).ptr == NULL);
    CHECK_UINT(b_slice_cstr(NULL).len, 0);
}

TEST(trim_takes_spaces_and_tabs) {
    struct b_slice s = b_slice_trim(B_LIT(" \t a b\t "));
    CHECK_SLICE(s.ptr, s.len, "a b");
    CHECK_UINT(b_slice_trim(B_LIT(" \t ")).len, 0);
    s = b_slice_trim(B_LIT("\na\r"));
    CHECK_SLICE(s.ptr, s.len, "\na\r");
}

TEST(find) {
    CHECK_UINT(b_slice_find(B_LIT("a=b=c"), '='), 1);
    CHECK_UINT(b_slice_find(B_LIT("abc"), '='), 3);
    CHECK_UINT(b_slice_find(b_slice(NULL, 0), '='), 0);
}

TEST(next_takes_one_item_after_the_other) {
    struct b_slice rest = B_LIT("a,,bc,"), item;
    CHECK(b_slice_next(&rest, ',', &item));
    CHECK_SLICE(item.ptr, item.len, "a");
    CHECK(b_slice_next(&rest, ',', &item));
    CHECK_SLICE(item.ptr, item.len, "");
    CHECK(b_slice_next(&rest, ',', &item));
    CHECK_SLICE(item.ptr, item.len, "bc");
    CHECK(!b_slice_next(&rest, ',', &item));
    rest = B_LIT("one");
    CHECK(b_slice_next(&rest, ',', &item));
    CHECK_SLICE(item.ptr, item.len, "one");
    CHECK(!b_slice_next(&rest, ',', &item));
}

const struct test_case slice_tests[] = {
    {"equality", equality},
    {"case_is_ignored_for_ascii_only", case_is_ignored_for_ascii_only},
    {"prefixes", prefixes},
    {"the_rest", the_rest},
    {"trim_takes_spaces_and_tabs", trim_takes_spaces_and_tabs},
    {"find", find},
    {"next_takes_one_item_after_the_other", next_takes_one_item_after_the_other},
    {0},
};
