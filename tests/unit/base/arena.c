#include "base/arena.h"

#include "base/sanitize.h"
#include "test.h"

#define MANY ((size_t)1 << 20)

static uint64_t live(void) {
    return b_alloc_stat(B_TAG_TEST).bytes;
}

TEST(the_first_chunk_is_the_callers) {
    _Alignas(8) char first[64];
    struct b_arena a;
    uint64_t before = live();
    b_arena_init(&a, B_TAG_TEST, NULL, first, sizeof first, MANY);
    char *p = b_arena_alloc(&a, 3), *q = b_arena_alloc(&a, 8);
    CHECK(p == first);
    CHECK(q == first + 8);
    memset(p, 1, 3);
    memset(q, 2, 8);
    CHECK_UINT(live(), before);
    char *beyond = b_arena_alloc(&a, 64);
    CHECK(beyond < first || beyond >= first + sizeof first);
    CHECK_UINT(a.used, B_ARENA_CHUNK / 2);
    CHECK(live() > before);
    b_arena_release(&a);
    CHECK_UINT(live(), before);
    CHECK_UINT(a.used, 0);
    memset(first, 0, sizeof first); /* the caller's again, as the address sanitizer sees it too */
}

TEST(blocks_do_not_overlap) {
    struct b_arena a;
    uint64_t before = live();
    unsigned char *blocks[300];
    b_arena_init(&a, B_TAG_TEST, NULL, NULL, 0, MANY);
    for (size_t i = 0; i < 300; i++) {
        size_t size = i % 100 * (i % 7 == 0 ? 90 : 1);
        blocks[i] = b_arena_alloc(&a, size);
        REQUIRE(blocks[i] != NULL); /* size 0 included */
        CHECK_INT((uintptr_t)blocks[i] % 8, 0);
        memset(blocks[i], (int)(i & 0xff), size);
    }
    for (size_t i = 0; i < 300; i++) {
        size_t size = i % 100 * (i % 7 == 0 ? 90 : 1);
        for (size_t j = 0; j < size; j++)
            REQUIRE(blocks[i][j] == (i & 0xff));
    }
    b_arena_release(&a);
    CHECK_UINT(live(), before);
}

TEST(a_large_block_leaves_the_chunk_in_use) {
    struct b_arena a;
    b_arena_init(&a, B_TAG_TEST, NULL, NULL, 0, MANY);
    char *small = b_arena_alloc(&a, 8);
    char *large = b_arena_zalloc(&a, 10000);
    char *next = b_arena_alloc(&a, 8);
    CHECK(large != NULL);
    CHECK(next == small + 8);
    CHECK_INT(large[9999], 0);
    b_arena_release(&a);
}

TEST(the_limit_holds) {
    struct b_arena a;
    b_arena_init(&a, B_TAG_TEST, NULL, NULL, 0, 3 * B_ARENA_CHUNK);
    int n = 0;
    while (n < 100 && b_arena_alloc(&a, 1000))
        n++;
    CHECK_INT(n, 3 * 4);
    CHECK_UINT(a.used, 3 * B_ARENA_CHUNK);
    CHECK(b_arena_alloc(&a, 20000) == NULL);
    CHECK(b_arena_alloc(&a, 40) != NULL); /* there is room in the last chunk */
    b_arena_release(&a);
    b_arena_init(&a, B_TAG_TEST, NULL, NULL, 0, 2 * B_ARENA_CHUNK - 1);
    CHECK(b_arena_alloc(&a, 3000) != NULL);
    CHECK(b_arena_alloc(&a, 3000) == NULL); /* its chunk would pass the limit, if only just */
    b_arena_release(&a);
    volatile size_t huge = SIZE_MAX;
    b_arena_init(&a, B_TAG_TEST, NULL, NULL, 0, MANY);
    CHECK(b_arena_alloc(&a, huge) == NULL);
    CHECK(b_arena_alloc(&a, huge - 70) == NULL);
    CHECK(b_arena_alloc(&a, MANY) == NULL); /* with its header one too many */
    b_arena_release(&a);
}

struct counting_source {
    struct b_chunk_source source;
    int got, put;
    bool empty;
};

static void *get_chunk(struct b_chunk_source *s) {
    struct counting_source *c = (struct counting_source *)(void *)s;
    if (c->empty)
        return NULL;
    c->got++;
    return b_alloc(B_TAG_TEST, B_ARENA_CHUNK);
}

static void put_chunk(struct b_chunk_source *s, void *chunk) {
    struct counting_source *c = (struct counting_source *)(void *)s;
    c->put++;
    memset(chunk, 0, B_ARENA_CHUNK);
    b_free(chunk);
}

TEST(regular_chunks_come_from_the_source) {
    struct counting_source c = {.source = {get_chunk, put_chunk}};
    struct b_arena a;
    b_arena_init(&a, B_TAG_TEST, &c.source, NULL, 0, MANY);
    for (int i = 0; i < 6; i++)
        CHECK(b_arena_alloc(&a, 1500) != NULL);
    CHECK(b_arena_alloc(&a, 9000) != NULL); /* its own, from the allocator */
    CHECK_INT(c.got, 3);
    b_arena_release(&a);
    CHECK_INT(c.put, 3);
    c.empty = true;
    b_arena_init(&a, B_TAG_TEST, &c.source, NULL, 0, MANY);
    CHECK(b_arena_alloc(&a, 1) == NULL);
    b_arena_release(&a);
}

TEST(copies) {
    struct b_arena a;
    b_arena_init(&a, B_TAG_TEST, NULL, NULL, 0, MANY);
    struct b_slice s = b_arena_copy(&a, b_slice("abcd", 3));
    CHECK_SLICE(s.ptr, s.len, "abc");
    CHECK_INT(s.ptr[3], 0);
    CHECK(b_arena_copy(&a, b_slice(NULL, 0)).ptr != NULL);
    CHECK_STR(b_arena_strdup(&a, "text"), "text");
    CHECK_STR(b_arena_printf(&a, "%d-%s", 17, "x"), "17-x");
    b_arena_release(&a);
}

TEST(a_failed_allocation_is_null) {
    struct b_arena a;
    b_arena_init(&a, B_TAG_TEST, NULL, NULL, 0, MANY);
    b_alloc_fail_at(1);
    CHECK(b_arena_copy(&a, B_LIT("abc")).ptr == NULL);
    CHECK_UINT(b_alloc_failures(), 1);
    CHECK_STR(b_arena_strdup(&a, "again"), "again");
    b_alloc_fail_at(0);
    b_arena_release(&a);
}

TEST(what_is_not_taken_is_poisoned) {
#if B_ASAN
    _Alignas(8) char first[64];
    struct b_arena a;
    b_arena_init(&a, B_TAG_TEST, NULL, first, sizeof first, MANY);
    char *p = b_arena_alloc(&a, 8);
    CHECK(!__asan_address_is_poisoned(p + 7));
    CHECK(__asan_address_is_poisoned(p + 8));
    b_arena_release(&a);
    CHECK(!__asan_address_is_poisoned(first + 63));
#else
    SKIP("no address sanitizer");
#endif
}

const struct test_case arena_tests[] = {
    {"the_first_chunk_is_the_callers", the_first_chunk_is_the_callers},
    {"blocks_do_not_overlap", blocks_do_not_overlap},
    {"a_large_block_leaves_the_chunk_in_use", a_large_block_leaves_the_chunk_in_use},
    {"the_limit_holds", the_limit_holds},
    {"regular_chunks_come_from_the_source", regular_chunks_come_from_the_source},
    {"copies", copies},
    {"a_failed_allocation_is_null", a_failed_allocation_is_null},
    {"what_is_not_taken_is_poisoned", what_is_not_taken_is_poisoned},
    {0},
};
