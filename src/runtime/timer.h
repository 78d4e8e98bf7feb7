/* Hierarchical timer wheel (Varghese and Lauck 1987, scheme 7): setting and cancelling are O(1), a turn costs what
 * expires. One wheel per worker; a timer is the owner's memory and belongs to the worker that set it. Timers fire up
 * to one tick late, never early. */
#ifndef RUNTIME_TIMER_H
#define RUNTIME_TIMER_H

#include "base/list.h"
#include "runtime/time.h"

#define RT_TICK RT_MS
#define RT_WHEEL_LEVELS 5
#define RT_WHEEL_SLOTS 64

struct rt_timer {
    struct b_list link;
    rt_time at;                    /* when it is due */
    void (*fn)(struct rt_timer *); /* runs on the loop; must not wait */
    int8_t level;                  /* the level it hangs on, or -1 */
    uint8_t slot;
};

struct rt_wheel {
    struct b_list slots[RT_WHEEL_LEVELS][RT_WHEEL_SLOTS];
    uint64_t occupied[RT_WHEEL_LEVELS];
    int64_t tick; /* the tick up to which everything has fired */
};

static inline void rt_timer_init(struct rt_timer *t, void (*fn)(struct rt_timer *)) {
    *t = (struct rt_timer){.fn = fn, .level = -1};
    b_list_init(&t->link);
}
static inline int rt_timer_is_set(const struct rt_timer *t) {
    return t->level >= 0;
}

void rt_wheel_init(struct rt_wheel *w, rt_time now);
/* Sets or moves a timer; RT_NEVER cancels. */
void rt_wheel_set(struct rt_wheel *w, struct rt_timer *t, rt_time at);
void rt_wheel_cancel(struct rt_wheel *w, struct rt_timer *t);
/* Fires what is due at `now`. A timer is off the wheel before its function is called, which may set it again. */
void rt_wheel_advance(struct rt_wheel *w, rt_time now);
/* A time by which the wheel wants to be advanced (never later than the earliest timer), or RT_NEVER. */
rt_time rt_wheel_next(const struct rt_wheel *w);

/* On the current worker's wheel. */
void rt_timer_set(struct rt_timer *t, rt_time at);
void rt_timer_cancel(struct rt_timer *t);

#endif
