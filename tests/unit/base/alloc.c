#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

#include "base/sanitize.h"
#include "test.h"

TEST(bytes_are_accounted_to_their_tag) {
    struct b_alloc_stat before = b_alloc_stat(B_TAG_TEST), base = b_alloc_stat(B_TAG_BASE);
    char *p = b_alloc(B_TAG_TEST, 100);
    CHECK_UINT(b_alloc_stat(B_TAG_TEST).bytes, before.bytes + 100);
    CHECK_UINT(b_alloc_stat(B_TAG_TEST).allocations, before.allocations + 1);
    p = b_realloc(B_TAG_TEST, p, 1000);
    CHECK_UINT(b_alloc_stat(B_TAG_TEST).bytes, before.bytes + 1000);
    CHECK_UINT(b_alloc_total_bytes(), before.bytes + base.bytes + 1000);
    p = b_realloc(B_TAG_TEST, p, 10);
    CHECK_UINT(b_alloc_stat(B_TAG_TEST).bytes, before.bytes + 10);
    b_free(p);
    CHECK_UINT(b_alloc_stat(B_TAG_TEST).bytes, before.bytes);
    CHECK_UINT(b_alloc_stat(B_TAG_BASE).bytes, base.bytes);
    CHECK_STR(b_alloc_stat(B_TAG_TEST).name, "test");
    b_free(NULL);
}

TEST(memory_of_others_can_be_accounted) {
    uint64_t before = b_alloc_stat(B_TAG_STACKS).bytes;
    b_alloc_account(B_TAG_STACKS, 65536);
    CHECK_UINT(b_alloc_stat(B_TAG_STACKS).bytes, before + 65536);
    b_alloc_account(B_TAG_STACKS, -65536);
    CHECK_UINT(b_alloc_stat(B_TAG_STACKS).bytes, before);
}

static void count(void *arg) {
    ++*(int *)arg;
}

TEST(growth_is_told) {
    int told = 0;
    b_alloc_on_growth(count, &told, 80000); /* 10,000 for a thread alone */
    char *p = b_alloc(B_TAG_TEST, 6000);
    b_free(p);
    p = b_alloc(B_TAG_TEST, 6000);
    CHECK_INT(told, 0); /* what went again does not count */
    p = b_realloc(B_TAG_TEST, p, 12000);
    CHECK_INT(told, 1);
    b_alloc_account(B_TAG_STACKS, 1);
    CHECK_INT(told, 2);
    b_alloc_on_growth(count, &told, 80000);
    b_alloc_account(B_TAG_STACKS, -1);
    CHECK_INT(told, 2);
    b_alloc_on_growth(NULL, NULL, 0);
    b_alloc_account(B_TAG_STACKS, 1 << 30);
    CHECK_INT(told, 2);
    b_alloc_account(B_TAG_STACKS, -(1 << 30));
    b_free(p);
}

TEST(blocks_of_requests_are_kept_for_the_next) {
    struct b_alloc_stat before = b_alloc_stat(B_TAG_REQUESTS), now;
    void *many[40];
    b_alloc_cache_open();
    for (int i = 0; i < 3; i++)
        b_free(b_alloc(B_TAG_REQUESTS, 700)); /* in a block of 1,024 */
    now = b_alloc_stat(B_TAG_REQUESTS);
    CHECK_UINT(now.allocations - before.allocations, B_ASAN ? 3 : 1);
    CHECK_UINT(now.bytes - before.bytes, B_ASAN ? 0 : 1024);
    void *other = b_alloc(B_TAG_REQUESTS, 1025), *huge = b_alloc(B_TAG_REQUESTS, 200000);
    b_free(huge); /* too large to be kept */
    b_free(other);
    CHECK_UINT(b_alloc_stat(B_TAG_REQUESTS).bytes - before.bytes, B_ASAN ? 0 : 1024 + 2048);
    for (int i = 0; i < 40; i++)
        many[i] = b_alloc(B_TAG_REQUESTS, 65536);
    for (int i = 0; i < 40; i++)
        b_free(many[i]);
    CHECK_UINT(b_alloc_stat(B_TAG_REQUESTS).bytes - before.bytes, B_ASAN ? 0 : 1024 + 2048 + (512 << 10));
    b_alloc_cache_trim(); /* of the large ones there are many */
    CHECK_UINT(b_alloc_stat(B_TAG_REQUESTS).bytes - before.bytes, B_ASAN ? 0 : 1024 + 2048);
    b_alloc_cache_close();
    CHECK_UINT(b_alloc_stat(B_TAG_REQUESTS).bytes, before.bytes);
    b_free(b_alloc(B_TAG_REQUESTS, 700));
    CHECK_UINT(b_alloc_stat(B_TAG_REQUESTS).bytes, before.bytes);
}

TEST(contents) {
    unsigned char *zero = b_zalloc(B_TAG_TEST, 64);
    unsigned char sum = 0;
    for (int i = 0; i < 64; i++)
        sum |= zero[i];
    CHECK_INT(sum, 0);
    CHECK_INT((uintptr_t)zero % 16, 0);
    memset(zero, 7, 64);
    zero = b_realloc(B_TAG_TEST, zero, 4096);
    CHECK_INT(zero[63], 7);
    b_free(zero);
    char *copy = b_strdup(B_TAG_TEST, "abcdef", 3);
    CHECK_STR(copy, "abc");
    b_free(copy);
    copy = b_strdup(B_TAG_TEST, NULL, 0);
    CHECK_STR(copy, "");
    b_free(copy);
    char *from_nothing = b_realloc(B_TAG_TEST, NULL, 5);
    CHECK(from_nothing != NULL);
    b_free(from_nothing);
}

TEST(sizes_that_cannot_be_are_refused) {
    volatile size_t size = SIZE_MAX;
    void *p = b_alloc(B_TAG_TEST, size);
    CHECK(p == NULL);
    b_free(p);
    p = b_alloc(B_TAG_TEST, 8);
    void *grown = b_realloc(B_TAG_TEST, p, size - 8);
    CHECK(grown == NULL);
    b_free(grown ? grown : p);
}

TEST(the_nth_call_fails_once) {
    char *kept = b_alloc(B_TAG_TEST, 8);
    kept[0] = 'k';
    for (uint64_t nth = 1; nth <= 4; nth++) {
        void *p[4];
        b_alloc_fail_at(nth);
        p[0] = b_alloc(B_TAG_TEST, 1);
        p[1] = b_zalloc(B_TAG_TEST, 1);
        p[2] = b_strdup(B_TAG_TEST, "x", 1);
        p[3] = b_realloc(B_TAG_TEST, kept, 16);
        for (uint64_t i = 0; i < 4; i++)
            CHECK((p[i] == NULL) == (i + 1 == nth));
        CHECK_UINT(b_alloc_calls(), 4);
        CHECK_UINT(b_alloc_failures(), 1);
        if (p[3])
            kept = p[3];
        CHECK_INT(kept[0], 'k'); /* valid whether it has moved or not */
        for (int i = 0; i < 3; i++)
            b_free(p[i]);
    }
    b_alloc_fail_at(0);
    b_free(kept);
    CHECK_UINT(b_alloc_failures(), 0);
}

TEST(the_environment_asks_for_a_failure) {
    setenv("WEIR_FAIL_ALLOC", "2", 1);
    b_alloc_init();
    void *first = b_alloc(B_TAG_TEST, 1), *second = b_alloc(B_TAG_TEST, 1);
    CHECK(first != NULL);
    CHECK(second == NULL);
    b_alloc_fail_at(0);
    b_free(first);
    setenv("WEIR_FAIL_ALLOC", "two", 1);
    b_alloc_init();
    first = b_alloc(B_TAG_TEST, 1);
    CHECK(first != NULL);
    b_free(first);
}

const struct test_case alloc_tests[] = {
    {"bytes_are_accounted_to_their_tag", bytes_are_accounted_to_their_tag},
    {"memory_of_others_can_be_accounted", memory_of_others_can_be_accounted},
    {"growth_is_told", growth_is_told},
    {"blocks_of_requests_are_kept_for_the_next", blocks_of_requests_are_kept_for_the_next},
    {"contents", contents},
    {"sizes_that_cannot_be_are_refused", sizes_that_cannot_be_are_refused},
    {"the_nth_call_fails_once", the_nth_call_fails_once},
    {"the_environment_asks_for_a_failure", the_environment_asks_for_a_failure},
    {0},
};
