#include "runtime/timer.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"
#include "runtime/sim.h"
#include "test.h"

#define TIMERS 64

/* The model beside the wheel: the tick at which each timer must fire, or 0. */
static struct {
    struct rt_wheel wheel;
    struct rt_timer timers[TIMERS];
    int64_t due[TIMERS];
    struct b_rng rng;
    rt_time now;
    int64_t last_fired;
    bool advancing, churn;
    unsigned fired;
} m;

static int64_t ceil_tick(rt_time at) {
    return (at + RT_TICK - 1) / RT_TICK;
}

static void set(unsigned i, rt_time at) {
    rt_wheel_set(&m.wheel, &m.timers[i], at);
    m.due[i] = 0;
    if (at != RT_NEVER)
        m.due[i] = ceil_tick(at) > m.wheel.tick ? ceil_tick(at) : m.wheel.tick + 1;
}

static void cancel(unsigned i) {
    rt_wheel_cancel(&m.wheel, &m.timers[i]);
    m.due[i] = 0;
}

/* Spans of all sizes: a few ticks as likely as years. */
static rt_time random_span(void) {
    return (rt_time)b_rng_below(&m.rng, (uint64_t)1 << (1 + b_rng_below(&m.rng, 56)));
}

static void random_change(void) {
    unsigned i = (unsigned)b_rng_below(&m.rng, TIMERS);
    switch (b_rng_below(&m.rng, 8)) {
    case 0: cancel(i); break;
    case 1: set(i, RT_NEVER); break;
    case 2: set(i, m.now - (rt_time)b_rng_below(&m.rng, 10 * RT_MS)); break;
    default: set(i, m.now + random_span()); break;
    }
}

static void fires(struct rt_timer *t) {
    unsigned i = (unsigned)(t - m.timers);
    CHECK(m.advancing);
    CHECK(!rt_timer_is_set(t));
    CHECK(m.due[i] != 0);
    CHECK(m.due[i] <= m.now / RT_TICK);
    CHECK(m.due[i] >= m.last_fired);
    CHECK_INT(m.wheel.tick, m.due[i]);
    m.last_fired = m.due[i];
    m.due[i] = 0;
    m.fired++;
    while (m.churn && b_rng_below(&m.rng, 3) == 0)
        random_change();
}

static int64_t earliest(void) {
    int64_t least = INT64_MAX;
    for (unsigned i = 0; i < TIMERS; i++)
        if (m.due[i] && m.due[i] < least)
            least = m.due[i];
    return least;
}

static void advance(rt_time by) {
    m.now += by;
    m.last_fired = 0;
    m.advancing = true;
    rt_wheel_advance(&m.wheel, m.now);
    m.advancing = false;
    CHECK(earliest() > m.now / RT_TICK); /* all that was due has fired */
    rt_time next = rt_wheel_next(&m.wheel);
    if (earliest() == INT64_MAX) {
        CHECK(next == RT_NEVER);
    } else {
        CHECK(next <= earliest() * RT_TICK);
        CHECK(next > m.now);
    }
    for (unsigned i = 0; i < TIMERS; i++)
        CHECK_INT(rt_timer_is_set(&m.timers[i]), m.due[i] != 0);
}

static void start(uint64_t seed) {
    m.rng.state = seed;
    m.churn = false;
    m.now = (rt_time)b_rng_below(&m.rng, 1000000 * RT_S);
    m.fired = 0;
    rt_wheel_init(&m.wheel, m.now);
    for (unsigned i = 0; i < TIMERS; i++) {
        rt_timer_init(&m.timers[i], fires);
        m.due[i] = 0;
    }
}

TEST(agrees_with_a_sorted_list) {
    unsigned fired = 0, rounds = test_is_slow() ? 20 : 100;
    uint64_t first = rt_sim_seed(1);
    for (uint64_t seed = first; seed < first + rounds; seed++) {
        start(seed);
        m.churn = true;
        for (int i = 0; i < 1000; i++) {
            for (uint64_t n = b_rng_below(&m.rng, 4); n; n--)
                random_change();
            /* sometimes just to where the wheel wants to be called */
            rt_time next = rt_wheel_next(&m.wheel);
            if (next != RT_NEVER && b_rng_below(&m.rng, 4) == 0)
                advance(next - m.now);
            else
                advance(random_span() / 16);
            if (m.now > RT_NEVER / 4)
                break;
        }
        fired += m.fired;
    }
    CHECK(fired > rounds * 100);
}

TEST(never_early_and_a_tick_late_at_most) {
    for (rt_time offset = 0; offset < 3 * RT_TICK; offset += RT_TICK / 7) {
        start(7);
        m.now = 1000 * RT_S + offset;
        rt_wheel_init(&m.wheel, m.now);
        rt_time at = m.now + 10 * RT_TICK;
        set(0, at);
        m.advancing = true;
        while (m.due[0] && m.now < at + 10 * RT_TICK) {
            m.now += RT_TICK / 10;
            rt_wheel_advance(&m.wheel, m.now);
        }
        CHECK(m.now >= at);
        CHECK(m.now < at + RT_TICK + RT_TICK / 5);
    }
}

TEST(a_timer_can_be_moved_and_cancelled) {
    start(3);
    m.now = 0;
    rt_wheel_init(&m.wheel, 0);
    set(0, 100 * RT_TICK);
    set(0, 10 * RT_TICK); /* earlier */
    set(1, 20 * RT_TICK);
    set(1, 5000 * RT_TICK); /* later */
    set(2, 30 * RT_TICK);
    cancel(2);
    cancel(2);
    advance(11 * RT_TICK);
    CHECK_UINT(m.fired, 1);
    CHECK(rt_timer_is_set(&m.timers[1]));
    advance(4988 * RT_TICK);
    CHECK_UINT(m.fired, 1);
    advance(RT_TICK);
    CHECK_UINT(m.fired, 2);
    CHECK(rt_wheel_next(&m.wheel) == RT_NEVER);
}

const struct test_case timer_tests[] = {
    {"agrees_with_a_sorted_list", agrees_with_a_sorted_list},
    {"never_early_and_a_tick_late_at_most", never_early_and_a_tick_late_at_most},
    {"a_timer_can_be_moved_and_cancelled", a_timer_can_be_moved_and_cancelled},
    {0},
};
