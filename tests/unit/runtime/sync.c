#include "runtime/sync.h"

#include "support.h"

static struct rt_sem sem;
static _Atomic int inside, most, granted, refused;

static uint64_t draw_one(uint64_t n) {
    return b_rng_below(&rt_self()->rng, n);
}

static void hold(void) {
    int now = atomic_fetch_add(&inside, 1) + 1, seen = atomic_load(&most);
    while (now > seen && !atomic_compare_exchange_weak(&most, &seen, now))
        ;
    if (draw_one(4) == 0)
        (void)!rt_sleep_until(in((rt_time)draw_one((uint64_t)RT_MS)));
    else
        (void)rt_yield();
    atomic_fetch_sub(&inside, 1);
    rt_sem_release(&sem);
    atomic_fetch_add(&granted, 1);
}

static void use_often(void *arg) {
    (void)arg;
    for (int i = 0; i < 200; i++) {
        if (draw_one(8) == 0) {
            if (rt_sem_try(&sem))
                hold();
            continue;
        }
        rt_time deadline = draw_one(3) ? in((rt_time)draw_one(3 * (uint64_t)RT_MS)) : RT_NEVER;
        int rc = rt_sem_acquire(&sem, deadline);
        CHECK(rc == 0 || rc == -ETIMEDOUT);
        if (rc == 0)
            hold();
        else
            atomic_fetch_add(&refused, 1);
    }
}

static void crowd(void *arg) {
    struct rt_scope s;
    rt_scope_init(&s);
    for (int i = 0; i < 20; i++)
        spawn_in(&s, use_often, arg);
    join(&s);
}

static void permits(void *arg) {
    (void)arg;
    rt_sem_init(&sem, 5);
    CHECK_INT(rt_on_all_workers("crowd", crowd, NULL), 0);
    CHECK_INT(atomic_load(&sem.available), 5);
    CHECK_UINT(rt_sem_waiting(&sem), 0);
    CHECK(b_list_empty(&sem.waiters));
    CHECK_INT(inside, 0);
    CHECK(most <= 5);
    CHECK(most > 1);
    CHECK(granted > 0);
    rt_sem_destroy(&sem);
}

TEST(permits_are_conserved_over_four_workers) {
    run_on(4, permits, NULL);
}

static int order[64], arrivals;

static void queue_up(void *arg) {
    int number = (int)(intptr_t)arg;
    CHECK_INT(rt_sem_acquire(&sem, in(LONG)), 0);
    order[arrivals++] = number; /* one permit: one at a time */
    CHECK_INT(rt_yield(), 0);
    rt_sem_release(&sem);
}

struct remote_spawn {
    struct rt_msg msg;
    int number;
};

static void spawn_there(struct rt_msg *m) {
    struct remote_spawn *r = B_CONTAINER(m, struct remote_spawn, msg);
    CHECK_INT(rt_spawn("waiter", queue_up, (void *)(intptr_t)r->number), 0);
}

/* They come to stand in the queue one after the other, on all workers in turn. */
static void first_come(void *arg) {
    static struct remote_spawn spawns[64];
    (void)arg;
    rt_sem_init(&sem, 1);
    CHECK_INT(rt_sem_acquire(&sem, RT_NOWAIT), 0);
    CHECK_INT(rt_sem_acquire(&sem, RT_NOWAIT), -ETIMEDOUT);
    for (int i = 0; i < 64; i++) {
        spawns[i].msg.fn = spawn_there;
        spawns[i].number = i;
        rt_post(rt_worker((unsigned)i % rt_worker_count()), &spawns[i].msg);
        UNTIL(rt_sem_waiting(&sem) == (uint32_t)i + 1);
        CHECK(!rt_sem_try(&sem));
    }
    rt_sem_release(&sem);
    CHECK_INT(rt_sem_acquire(&sem, in(LONG)), 0); /* behind all of them */
    CHECK_INT(arrivals, 64);
    for (int i = 0; i < 64; i++)
        CHECK_INT(order[i], i);
    rt_sem_release(&sem);
    CHECK_INT(atomic_load(&sem.available), 1);
    rt_sem_destroy(&sem);
}

TEST(who_waits_longest_is_first) {
    run_on(4, first_come, NULL);
}

static void acquire_and_tell(void *arg) {
    *(int *)arg = rt_sem_acquire(&sem, RT_NEVER);
}

static void adjusting(void *arg) {
    struct rt_scope s;
    int rc[3] = {1, 1, 1};
    (void)arg;
    rt_sem_init(&sem, 2);
    rt_scope_init(&s);
    CHECK(rt_sem_try(&sem));
    rt_sem_adjust(&sem, -2);
    CHECK_INT(atomic_load(&sem.available), -1);
    for (int i = 0; i < 3; i++)
        spawn_in(&s, acquire_and_tell, &rc[i]);
    UNTIL(rt_sem_waiting(&sem) == 3);
    rt_sem_release(&sem); /* 0: the limit is lower now */
    CHECK_UINT(rt_sem_waiting(&sem), 3);
    rt_sem_adjust(&sem, 2);
    UNTIL(rc[0] == 0 && rc[1] == 0);
    CHECK_UINT(rt_sem_waiting(&sem), 1);
    CHECK_INT(rc[2], 1);
    rt_scope_leave(&s);
    CHECK_INT(rc[2], -ECANCELED);
    CHECK_UINT(rt_sem_waiting(&sem), 0);
    CHECK_INT(atomic_load(&sem.available), 0);
    rt_sem_destroy(&sem);
}

TEST(the_limit_can_change) {
    run_on(1, adjusting, NULL);
}

/* A deadline and a grant in the same turn: the permit is not lost. */
static void timed_out_and_granted(void *arg) {
    struct rt_scope s;
    int rc = 1;
    (void)arg;
    rt_sem_init(&sem, 0);
    rt_scope_init(&s);
    spawn_in(&s, acquire_and_tell, &rc);
    UNTIL(rt_sem_waiting(&sem) == 1);
    rt_scope_cancel(&s);  /* its wait ends with -ECANCELED, but it has not run yet */
    rt_sem_release(&sem); /* and now it holds a permit */
    join(&s);
    CHECK_INT(rc, 0);
    CHECK_INT(atomic_load(&sem.available), 0);
    rt_sem_destroy(&sem);
}

TEST(a_grant_beats_the_cancellation_of_the_same_turn) {
    run_on(1, timed_out_and_granted, NULL);
}

static struct rt_cond cond;
static int value, seen[4];

static void wait_for_value(void *arg) {
    int *out = arg;
    while (!value)
        if (rt_cond_wait(&cond, in(LONG)) != 0)
            return;
    *out = value;
}

static void conditions(void *arg) {
    struct rt_scope s;
    (void)arg;
    rt_cond_init(&cond);
    rt_scope_init(&s);
    CHECK_INT(rt_cond_wait(&cond, in(SHORT)), -ETIMEDOUT);
    CHECK(b_list_empty(&cond.waiters));
    rt_cond_signal(&cond); /* nobody waits: nothing is kept */
    for (int i = 0; i < 4; i++)
        spawn_in(&s, wait_for_value, &seen[i]);
    CHECK_INT(rt_yield(), 0);
    value = 5;
    rt_cond_signal(&cond);
    UNTIL(seen[0]);
    CHECK_INT(rt_sleep_until(in(SHORT)), 0);
    CHECK_INT(seen[0], 5);
    CHECK_INT(seen[1], 0);
    rt_cond_broadcast(&cond);
    join(&s);
    for (int i = 0; i < 4; i++)
        CHECK_INT(seen[i], 5);
}

TEST(a_signal_wakes_one_a_broadcast_all) {
    run_on(1, conditions, NULL);
}

static void cond_wait_and_tell(void *arg) {
    *(int *)arg = rt_cond_wait(&cond, RT_NEVER);
}

static void cancelled_cond(void *arg) {
    struct rt_scope s;
    int rc[2] = {1, 1};
    (void)arg;
    rt_cond_init(&cond);
    rt_scope_init(&s);
    spawn_in(&s, cond_wait_and_tell, &rc[0]);
    spawn_in(&s, cond_wait_and_tell, &rc[1]);
    CHECK_INT(rt_yield(), 0);
    rt_scope_cancel(&s);
    rt_cond_signal(&cond); /* not lost on one that has been cancelled already but has not left */
    join(&s);
    CHECK_INT(rc[0], 0);
    CHECK_INT(rc[1], -ECANCELED);
    CHECK(b_list_empty(&cond.waiters));
}

TEST(a_cancelled_waiter_leaves_the_condition) {
    run_on(1, cancelled_cond, NULL);
}

/* --- permits with a gift --- */

enum { USES = 40, USERS = 8 };
static int thing; /* that which goes along with the only permit, until somebody wants another */
static _Atomic int holders;
static _Atomic unsigned gifts, bare, timeouts, across;

static void *wrap(void *arg, const void *wants, const struct rt_worker *to) {
    EXPECT(arg == &thing);
    if (wants != arg)
        return NULL;
    if (to != rt_self())
        atomic_fetch_add(&across, 1);
    return arg;
}

static void use_and_pass(void *arg) {
    const void *wants = arg;
    for (int i = 0; i < USES; i++) {
        struct rt_sem_waiter w;
        bool at_once = rt_sem_enter(&sem, &w, wants);
        int rc = at_once ? 0 : rt_sem_wait(&sem, &w, draw(4) ? in(LONG) : in((rt_time)draw((uint64_t)RT_MS)));
        EXPECT(rc == 0 || rc == -ETIMEDOUT);
        if (rc) {
            atomic_fetch_add(&timeouts, 1);
            continue;
        }
        EXPECT_INT(atomic_fetch_add(&holders, 1), 0);
        EXPECT(!w.gift || (!at_once && w.gift == wants));
        atomic_fetch_add(w.gift ? &gifts : &bare, 1);
        if (draw(3) == 0)
            (void)rt_yield();
        atomic_fetch_sub(&holders, 1);
        if (!rt_sem_pass(&sem, wrap, &thing))
            rt_sem_release(&sem);
    }
}

static void users(void *arg) {
    static int other_thing;
    struct rt_scope s;
    (void)arg;
    rt_scope_init(&s);
    for (int i = 0; i < USERS; i++)
        spawn_in(&s, use_and_pass, i % 4 ? &thing : &other_thing);
    join(&s);
}

static _Atomic int got;

static void want_thing(void *arg) {
    struct rt_sem_waiter w;
    EXPECT(!rt_sem_enter(&sem, &w, &thing));
    EXPECT_INT(rt_sem_wait(&sem, &w, in(LONG)), 0);
    EXPECT(w.gift == &thing);
    atomic_fetch_add(&got, 1);
    if (!rt_sem_pass(&sem, wrap, &thing))
        rt_sem_release(&sem);
    (void)arg;
}

static void spawn_want_thing(struct rt_msg *m) {
    (void)m;
    EXPECT_INT(rt_spawn("wants", want_thing, NULL), 0);
}

/* From worker to worker, and within one. */
IO_TEST(a_gift_goes_to_who_wants_it, 2) {
    struct rt_msg there[2] = {{.fn = spawn_want_thing}, {.fn = spawn_want_thing}};
    rt_sem_init(&sem, 1);
    atomic_store(&got, 0);
    atomic_store(&across, 0);
    EXPECT(rt_sem_try(&sem));
    EXPECT(!rt_sem_pass(&sem, wrap, &thing)); /* nobody waits */
    rt_post(rt_worker(1), &there[0]);
    rt_post(rt_worker(1), &there[1]);
    UNTIL(rt_sem_waiting(&sem) == 2);
    EXPECT(rt_sem_pass(&sem, wrap, &thing));
    UNTIL(got == 2 && atomic_load(&sem.available) == 1);
    EXPECT_UINT(across, 1);
    rt_sem_destroy(&sem);
}

IO_TEST(permits_are_conserved_with_gifts, 3) {
    rt_sem_init(&sem, 1);
    atomic_store(&gifts, 0);
    atomic_store(&bare, 0);
    atomic_store(&timeouts, 0);
    atomic_store(&across, 0);
    EXPECT_INT(rt_on_all_workers("users", users, NULL), 0);
    EXPECT_INT(atomic_load(&sem.available), 1);
    EXPECT_UINT(rt_sem_waiting(&sem), 0);
    EXPECT_UINT(gifts + bare + timeouts, USES * USERS * rt_worker_count());
    EXPECT(bare > 0);
    rt_sem_destroy(&sem);
}

const struct test_case sync_tests[] = {
    IO_CASES(a_gift_goes_to_who_wants_it),
    IO_CASES(permits_are_conserved_with_gifts),
    {"permits_are_conserved_over_four_workers", permits_are_conserved_over_four_workers},
    {"who_waits_longest_is_first", who_waits_longest_is_first},
    {"the_limit_can_change", the_limit_can_change},
    {"a_grant_beats_the_cancellation_of_the_same_turn", a_grant_beats_the_cancellation_of_the_same_turn},
    {"a_signal_wakes_one_a_broadcast_all", a_signal_wakes_one_a_broadcast_all},
    {"a_cancelled_waiter_leaves_the_condition", a_cancelled_waiter_leaves_the_condition},
    {0},
};
