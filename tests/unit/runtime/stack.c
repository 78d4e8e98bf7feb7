#include "runtime/stack.h"

#include "base/sanitize.h"
#include "support.h"

static volatile unsigned sink;

__attribute__((noinline)) static void descend(unsigned depth) {
    volatile char frame[512];
    frame[0] = (char)depth;
    sink = depth;
    if (depth < 1000000)
        descend(depth + 1);
    frame[1] = frame[0];
}

static void overflow(void *arg) {
    (void)arg;
    descend(0);
}

static void run_overflow(void) {
    struct rt_config config = {.workers = 1};
    (void)rt_run(&config, overflow, NULL);
}

TEST(an_overflow_meets_the_guard) {
    CHECK(dies(run_overflow));
}

static char *victim;

static void write_to_victim(void) {
    *(volatile char *)victim = 1;
}

TEST(the_guard_is_right_below_the_stack) {
    struct rt_stack_pool pool;
    rt_stack_pool_init(&pool, 64 << 10);
    struct rt_stack *first = rt_stack_take(&pool), *second = rt_stack_take(&pool);
    REQUIRE(first && second);
    victim = first->low;
    CHECK(!dies(write_to_victim));
    victim = first->low - 1;
    CHECK(dies(write_to_victim));
    victim = second->low - 4096;
    CHECK(dies(write_to_victim));
    rt_stack_give(&pool, first);
    rt_stack_give(&pool, second);
    rt_stack_pool_free(&pool);
}

__attribute__((noinline)) static void touch(size_t bytes) {
    char frame[1024];
    memset(frame, 0x5a, sizeof frame);
    __asm__ volatile("" : : "r"(frame) : "memory");
    if (bytes > sizeof frame)
        touch(bytes - sizeof frame);
    __asm__ volatile("" : : "r"(frame) : "memory");
}

static void touch_much(void *arg) {
    touch(*(size_t *)arg);
}

/* One stack in 1,024 is measured. */
static void sample(void *arg) {
    for (int i = 0; i < 1100; i++) {
        struct rt_scope s;
        rt_scope_init(&s);
        spawn_in(&s, touch_much, arg);
        join(&s);
    }
    CHECK(rt_stack_high_water() >= *(size_t *)arg);
    CHECK(rt_stack_high_water() < 512u << 10);
}

TEST(the_high_water_mark_is_seen) {
    size_t bytes = 20000;
    run_on(1, sample, &bytes);
}

TEST(used_bytes_are_counted_from_the_top) {
    struct rt_stack_pool pool;
    rt_stack_pool_init(&pool, 64 << 10);
    struct rt_stack *s = rt_stack_take(&pool);
    REQUIRE(s != NULL);
    CHECK(s->size > (60 << 10) - 4096);
    CHECK_UINT(rt_stack_used(s), 0);
    s->low[s->size - 8] = 1;
    CHECK_UINT(rt_stack_used(s), 8);
    s->low[s->size - 20000] = 1;
    CHECK(rt_stack_used(s) >= 20000 && rt_stack_used(s) < 20016);
    s->low[0] = 1;
    CHECK_UINT(rt_stack_used(s), s->size);
    rt_stack_give(&pool, s);
    rt_stack_pool_free(&pool);
}

TEST(a_quiet_pool_shrinks) {
    struct rt_stack_pool pool;
    struct rt_stack *taken[100];
    uint64_t before = b_alloc_stat(B_TAG_STACKS).bytes;
    rt_stack_pool_init(&pool, 64 << 10);
    for (int i = 0; i < 100; i++)
        REQUIRE((taken[i] = rt_stack_take(&pool)) != NULL);
    CHECK_UINT(b_alloc_stat(B_TAG_STACKS).bytes - before, 100 * 4096);
    for (int i = 0; i < 100; i++)
        rt_stack_give(&pool, taken[i]);
    if (B_ASAN) { /* nothing is pooled */
        CHECK_UINT(pool.count, 0);
    } else {
        CHECK_UINT(pool.count, 100);
        rt_stack_pool_trim(&pool); /* they have all been in use since the last time */
        CHECK_UINT(pool.count, 100);
        rt_stack_pool_trim(&pool);
        CHECK_UINT(pool.count, 58); /* half of what is above 16 */
        struct rt_stack *s = rt_stack_take(&pool);
        rt_stack_give(&pool, s);
        for (int i = 0; i < 20; i++)
            rt_stack_pool_trim(&pool);
        CHECK_UINT(pool.count, 16);
    }
    rt_stack_pool_free(&pool);
    CHECK_UINT(b_alloc_stat(B_TAG_STACKS).bytes, before);
}

TEST(the_kernel_allows_many) {
    CHECK(rt_stack_limit() >= 1000);
}

const struct test_case stack_tests[] = {
    {"an_overflow_meets_the_guard", an_overflow_meets_the_guard},
    {"the_guard_is_right_below_the_stack", the_guard_is_right_below_the_stack},
    {"the_high_water_mark_is_seen", the_high_water_mark_is_seen},
    {"used_bytes_are_counted_from_the_top", used_bytes_are_counted_from_the_top},
    {"a_quiet_pool_shrinks", a_quiet_pool_shrinks},
    {"the_kernel_allows_many", the_kernel_allows_many},
    {0},
};
