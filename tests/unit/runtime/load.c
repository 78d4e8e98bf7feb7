/* How busy workers are, and that a fiber which never has to wait lets others run. */
#include "support.h"

/* --- shares --- */

enum { BYTES = 1000 };
static bool over;
static unsigned others_turns;

static void other(void *arg) {
    (void)arg;
    for (; !over; others_turns++)
        (void)rt_yield();
}

static uint64_t yields(void) {
    return b_counter_get(&rt_self()->stats.yields);
}

static void send_all(void *stream) {
    char bytes[BYTES] = {0};
    struct iovec v = {bytes, sizeof bytes};
    ssize_t n = rt_send(stream, &v, 1, in(LONG));
    EXPECT(n == BYTES || (on_sim() && n == -ECANCELED)); /* whose buffers may be smaller */
}

static void receive_bytes(struct rt_stream *s, int n) {
    char byte;
    ssize_t rc = 1;
    for (int i = 0; i < n && rc == 1; i++)
        rc = rt_receive(s, &byte, 1, in(LONG));
    EXPECT_INT(rc, 1);
}

/* On a socket of the kernel all bytes lie there before the first is read, so that no receive must wait. */
IO_TEST(a_fiber_whose_stream_is_ready_lets_others_run, 1) {
    struct rt_stream a, b;
    struct rt_scope senders, others;
    uint64_t shares = BYTES * (RT_OPERATION + 1) / (RT_SHARE + RT_OPERATION);
    make_pair(&a, &b);
    rt_scope_init(&senders);
    rt_scope_init(&others);
    spawn_in(&senders, send_all, &a);
    if (!on_sim())
        EXPECT_INT(rt_scope_wait(&senders, in(LONG)), 0);
    EXPECT_INT(rt_wait_readable(&b, in(LONG)), 0);
    over = false;
    others_turns = 0;
    spawn_in(&others, other, NULL);
    EXPECT_INT(rt_yield(), 0); /* a whole share from here on */
    uint64_t before = yields();
    receive_bytes(&b, BYTES);
    over = true;
    if (!on_sim()) {
        EXPECT(yields() - before >= shares - 1 && yields() - before <= shares + 1);
        EXPECT(others_turns >= shares - 1);
    }
    join(&senders);
    join(&others);
    EXPECT_INT(rt_end(&a, RT_END_CLOSE), 0);
    EXPECT_INT(rt_end(&b, RT_END_CLOSE), 0);
}

/* Without a wait the bytes that are lent stay. */
IO_TEST(what_does_not_wait_does_not_yield, 1) {
    struct rt_stream a, b;
    char byte = 0;
    struct iovec v = {&byte, 1};
    make_pair(&a, &b);
    uint64_t before = yields();
    rt_charge(RT_SHARE);
    EXPECT_INT(rt_send(&a, &v, 1, RT_NOWAIT), 1);
    (void)!rt_receive(&b, &byte, 1, RT_NOWAIT);
    EXPECT_UINT(yields(), before);
    EXPECT_INT(rt_yield_due(), 0);
    EXPECT_UINT(yields(), before + 1);
    EXPECT_INT(rt_yield_due(), 0); /* the share is whole again */
    EXPECT_UINT(yields(), before + 1);
    EXPECT_INT(rt_end(&a, RT_END_CLOSE), 0);
    EXPECT_INT(rt_end(&b, RT_END_CLOSE), 0);
}

static void read_for_ever(void *stream) {
    char byte;
    ssize_t n;
    while ((n = rt_receive(stream, &byte, 1, in(LONG))) == 1)
        continue;
    EXPECT_INT(n, -ECANCELED);
}

IO_TEST(cancelling_reaches_a_fiber_that_never_waits, 1) {
    struct rt_stream a, b;
    struct rt_scope s;
    make_pair(&a, &b);
    rt_scope_init(&s);
    spawn_in(&s, send_all, &a);
    EXPECT(rt_scope_wait(&s, on_sim() ? in(SHORT) : in(LONG)) == 0 || on_sim());
    spawn_in(&s, read_for_ever, &b);
    EXPECT_INT(rt_yield(), 0);
    rt_scope_leave(&s);
    EXPECT_INT(rt_end(&a, RT_END_CLOSE), 0);
    EXPECT_INT(rt_end(&b, RT_END_CLOSE), 0);
}

enum { SHARES = 20, EATERS = 4 };

static void use_shares(void *arg) {
    (void)arg;
    for (int i = 0; i < SHARES; i++) {
        rt_charge(RT_SHARE);
        EXPECT_INT(rt_yield_due(), 0);
    }
}

/* However many fibers are busy, events are not kept waiting for all of them. */
IO_TEST(after_each_share_the_loop_looks_at_its_sockets, 1) {
    struct rt_scope s;
    uint64_t before = b_counter_get(&rt_self()->stats.turns);
    rt_scope_init(&s);
    for (int i = 0; i < EATERS; i++)
        spawn_in(&s, use_shares, NULL);
    join(&s);
    EXPECT(b_counter_get(&rt_self()->stats.turns) - before >= SHARES * EATERS);
}

/* --- load --- */

static _Atomic bool released, spinning;

static void spin(void *arg) {
    (void)arg;
    atomic_store(&spinning, true);
    while (!atomic_load(&released))
        continue;
}

static struct start_there { struct rt_msg msg; } there;

static void start_spinning(struct rt_msg *m) {
    (void)m;
    CHECK_INT(rt_spawn("spin", spin, NULL), 0);
}

static void watch_loads(void *arg) {
    (void)arg;
    UNTIL(rt_idle(rt_worker(1)) && rt_load(rt_worker(1)) == 0);
    UNTIL(rt_load(rt_self()) > RT_LOAD_FULL / 2); /* this very loop */
    CHECK(!rt_idle(rt_self()));
    there.msg.fn = start_spinning;
    rt_post(rt_worker(1), &there.msg);
    UNTIL(spinning);
    rt_time from = rt_now();
    UNTIL(rt_now() - from > 2 * RT_LOAD_WINDOW);
    CHECK_UINT(rt_load(rt_worker(1)), RT_LOAD_FULL); /* it has no turn in which it could say so */
    CHECK(!rt_idle(rt_worker(1)));
    atomic_store(&released, true);
    UNTIL(rt_idle(rt_worker(1)) && rt_load(rt_worker(1)) == 0);
    struct b_histogram_totals held = {0};
    b_histogram_read(&rt_worker(1)->stats.held, &held);
    CHECK(held.count > 0);
    CHECK(held.sum_ns >= RT_LOAD_WINDOW); /* that the worker was held is seen in its histogram */
}

TEST(a_worker_that_is_held_is_busy_and_one_that_sleeps_is_not) {
    run_on(2, watch_loads, NULL);
}

const struct test_case load_tests[] = {
    IO_CASES(a_fiber_whose_stream_is_ready_lets_others_run),
    IO_CASES(what_does_not_wait_does_not_yield),
    IO_CASES(cancelling_reaches_a_fiber_that_never_waits),
    IO_CASES(after_each_share_the_loop_looks_at_its_sockets),
    {"a_worker_that_is_held_is_busy_and_one_that_sleeps_is_not",
     a_worker_that_is_held_is_busy_and_one_that_sleeps_is_not},
    {0},
};
