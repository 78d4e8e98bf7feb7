#include "runtime/scope.h"

#include "support.h"

static int finished, cancelled;

static void wait_for_cancel(void *arg) {
    (void)arg;
    int rc = rt_park(RT_NEVER);
    cancelled += rc == -ECANCELED;
    rt_cancel_off();
    CHECK_INT(rt_sleep_until(in(SHORT)), 0); /* clean-up takes its time */
    rt_cancel_on();
    finished++;
}

static void leave_waits(void *arg) {
    struct rt_scope s;
    (void)arg;
    rt_scope_init(&s);
    rt_scope_leave(&s); /* without children: at once */
    rt_scope_init(&s);
    for (int i = 0; i < 5; i++)
        spawn_in(&s, wait_for_cancel, NULL);
    CHECK_INT(finished, 0);
    rt_scope_leave(&s);
    CHECK_INT(finished, 5);
    CHECK_INT(cancelled, 5);
    CHECK_INT(rt_scope_spawn(&s, "late", wait_for_cancel, NULL), -ECANCELED);
}

TEST(leaving_cancels_and_waits) {
    run_on(1, leave_waits, NULL);
}

static void brief(void *arg) {
    CHECK_INT(rt_sleep_until(in(SHORT)), 0);
    ++*(int *)arg;
}

static void waits(void *arg) {
    struct rt_scope s;
    int done = 0;
    (void)arg;
    rt_scope_init(&s);
    CHECK_INT(rt_scope_wait(&s, RT_NOWAIT), 0);
    for (int i = 0; i < 3; i++)
        spawn_in(&s, brief, &done);
    CHECK_INT(rt_scope_wait(&s, RT_NOWAIT), -ETIMEDOUT);
    CHECK_INT(done, 0);
    CHECK_INT(rt_scope_wait(&s, in(LONG)), 0);
    CHECK_INT(done, 3);
    spawn_in(&s, brief, &done); /* a scope that was waited for goes on */
    CHECK_INT(rt_scope_wait(&s, RT_NEVER), 0);
    CHECK_INT(done, 4);
    rt_scope_leave(&s);
}

TEST(waiting_for_the_children) {
    run_on(1, waits, NULL);
}

static void nested(void *arg) {
    struct rt_scope s;
    rt_scope_init(&s);
    spawn_in(&s, wait_for_cancel, NULL);
    CHECK_INT(rt_scope_wait(&s, RT_NEVER), -ECANCELED);
    rt_scope_leave(&s);
    ++*(int *)arg;
}

static void cancel_descends(void *arg) {
    struct rt_scope s;
    int left = 0;
    (void)arg;
    rt_scope_init(&s);
    spawn_in(&s, nested, &left);
    spawn_in(&s, nested, &left);
    CHECK_INT(rt_sleep_until(in(SHORT)), 0);
    rt_scope_leave(&s);
    CHECK_INT(left, 2);
    CHECK_INT(finished, 2);
}

TEST(cancellation_reaches_the_grandchildren) {
    run_on(1, cancel_descends, NULL);
}

/* A fiber that was cancelled leaves its own scope cleanly: leaving is not cut short. */
static void cancelled_parent(void *arg) {
    struct rt_scope outer;
    int left = 0;
    (void)arg;
    rt_scope_init(&outer);
    spawn_in(&outer, nested, &left);
    rt_scope_leave(&outer); /* before the child has even started */
    CHECK_INT(left, 1);
    CHECK_INT(finished, 1);
}

TEST(a_child_cancelled_before_its_start_still_runs) {
    run_on(1, cancelled_parent, NULL);
}

static struct rt_timer timer;
static bool ran_inside, fired;

static void mark(void *arg) {
    *(bool *)arg = true;
    CHECK_INT(rt_yield(), 0);
}

static void spawn_from_loop(struct rt_timer *t) {
    (void)t;
    CHECK(rt_fiber_self() == NULL);
    CHECK_INT(rt_spawn_now("now", mark, &ran_inside), 0);
    CHECK(ran_inside); /* it ran up to its first wait */
    fired = true;
}

static void spawn_now(void *arg) {
    bool ran = false;
    (void)arg;
    rt_timer_init(&timer, spawn_from_loop);
    rt_timer_set(&timer, in(SHORT));
    UNTIL(fired);
    CHECK_INT(rt_spawn_now("in its turn", mark, &ran), 0);
    CHECK(!ran); /* fibers do not run inside one another */
    UNTIL(ran);
}

TEST(spawn_now_runs_at_once_from_the_loop) {
    run_on(1, spawn_now, NULL);
}

static void root_is_left(void *arg) {
    (void)arg;
    for (int i = 0; i < 4; i++)
        CHECK_INT(rt_spawn("root", wait_for_cancel, NULL), 0);
    CHECK_INT(rt_yield(), 0);
}

TEST(the_end_of_main_cancels_the_rest) {
    run_on(1, root_is_left, NULL);
    CHECK_INT(cancelled, 4);
    CHECK_INT(finished, 4);
}

const struct test_case scope_tests[] = {
    {"leaving_cancels_and_waits", leaving_cancels_and_waits},
    {"waiting_for_the_children", waiting_for_the_children},
    {"cancellation_reaches_the_grandchildren", cancellation_reaches_the_grandchildren},
    {"a_child_cancelled_before_its_start_still_runs", a_child_cancelled_before_its_start_still_runs},
    {"spawn_now_runs_at_once_from_the_loop", spawn_now_runs_at_once_from_the_loop},
    {"the_end_of_main_cancels_the_rest", the_end_of_main_cancels_the_rest},
    {0},
};
