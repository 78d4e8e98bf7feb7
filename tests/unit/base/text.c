#include "base/text.h"

#include "test.h"

TEST(a_fixed_text_never_passes_its_end) {
    char buf[8];
    memset(buf, '#', sizeof buf);
    struct b_text t = b_text_fixed(buf, 5);
    b_text_lit(&t, "abc");
    b_text_char(&t, 'd');
    CHECK(!t.failed);
    b_text_lit(&t, "ef"); /* one too many: nothing of it */
    CHECK(t.failed);
    CHECK_SLICE(t.ptr, t.len, "abcd");
    b_text_char(&t, 'x'); /* would fit, and is ignored */
    b_text_u64(&t, 1);
    b_text_printf(&t, "y");
    CHECK_SLICE(t.ptr, t.len, "abcd");
    CHECK_MEM(buf + 5, "###", 3);
    b_text_free(&t); /* the buffer is the caller's: only forgotten */
    CHECK(t.ptr == NULL);
}

TEST(a_fixed_text_can_be_filled_to_the_end) {
    char buf[4];
    struct b_text t = b_text_fixed(buf, sizeof buf);
    b_text_lit(&t, "abcd");
    CHECK(!t.failed);
    CHECK_SLICE(t.ptr, t.len, "abcd");
    b_text_add(&t, NULL, 0);
    CHECK(!t.failed);
    b_text_char(&t, 'e');
    CHECK(t.failed);
}

TEST(a_growing_text_stops_at_its_limit) {
    struct b_text t = b_text_heap(B_TAG_TEST, 1000);
    for (int i = 0; i < 1000; i++)
        b_text_char(&t, (char)('a' + i % 26));
    CHECK(!t.failed);
    CHECK_UINT(t.len, 1000);
    CHECK_INT(t.ptr[999], 'a' + 999 % 26);
    b_text_char(&t, '!');
    CHECK(t.failed);
    CHECK_UINT(t.len, 1000);
    CHECK(b_alloc_stat(B_TAG_TEST).bytes <= 1000);
    b_text_free(&t);
    CHECK_UINT(b_alloc_stat(B_TAG_TEST).bytes, 0);
}

TEST(a_huge_append_fails_and_does_not_overflow) {
    struct b_text t = b_text_heap(B_TAG_TEST, SIZE_MAX);
    b_text_char(&t, 'a');
    CHECK(!b_text_reserve(&t, SIZE_MAX));
    CHECK(t.failed);
    b_text_free(&t);
}

TEST(a_text_without_memory_fails) {
    struct b_text t = b_text_heap(B_TAG_TEST, 1000);
    b_text_lit(&t, "abc");
    b_alloc_fail_at(1);
    for (int i = 0; i < 500; i++)
        b_text_char(&t, 'x');
    b_alloc_fail_at(0);
    CHECK(t.failed);
    CHECK_SLICE(t.ptr, 3, "abc");
    b_text_free(&t);
}

TEST(printf_is_all_or_nothing) {
    char buf[8];
    struct b_text t = b_text_fixed(buf, sizeof buf);
    b_text_printf(&t, "%d:%s", 12, "abc");
    CHECK_SLICE(t.ptr, t.len, "12:abc");
    b_text_printf(&t, "%s", "xyz");
    CHECK(t.failed);
    CHECK_SLICE(t.ptr, t.len, "12:abc");
    struct b_text grown = b_text_heap(B_TAG_TEST, 4096);
    b_text_printf(&grown, "%1000d", 7);
    CHECK_UINT(grown.len, 1000);
    CHECK_INT(grown.ptr[999], '7');
    b_text_free(&grown);
}

TEST(numbers_and_strings) {
    char buf[64];
    struct b_text t = b_text_fixed(buf, sizeof buf);
    b_text_u64(&t, UINT64_MAX);
    b_text_cstr(&t, "/");
    b_text_slice_add(&t, b_slice("abc", 2));
    CHECK_SLICE(b_text_slice(&t).ptr, t.len, "18446744073709551615/ab");
}

const struct test_case text_tests[] = {
    {"a_fixed_text_never_passes_its_end", a_fixed_text_never_passes_its_end},
    {"a_fixed_text_can_be_filled_to_the_end", a_fixed_text_can_be_filled_to_the_end},
    {"a_growing_text_stops_at_its_limit", a_growing_text_stops_at_its_limit},
    {"a_huge_append_fails_and_does_not_overflow", a_huge_append_fails_and_does_not_overflow},
    {"a_text_without_memory_fails", a_text_without_memory_fails},
    {"printf_is_all_or_nothing", printf_is_all_or_nothing},
    {"numbers_and_strings", numbers_and_strings},
    {0},
};
