#include "runtime/timer.h"

#include <assert.h>

#define SLOT_BITS 6
#define SLOT_MASK (RT_WHEEL_SLOTS - 1)
/* The furthest tick that fits under the wheel; what is due later hangs there and is put on again. */
#define SPAN ((int64_t)1 << (SLOT_BITS * RT_WHEEL_LEVELS))

static int64_t tick_after(rt_time at) {
    return at / RT_TICK + (at % RT_TICK != 0);
}

void rt_wheel_init(struct rt_wheel *w, rt_time now) {
    for (int l = 0; l < RT_WHEEL_LEVELS; l++) {
        w->occupied[l] = 0;
        for (int s = 0; s < RT_WHEEL_SLOTS; s++)
            b_list_init(&w->slots[l][s]);
    }
    w->tick = now / RT_TICK;
}

void rt_wheel_cancel(struct rt_wheel *w, struct rt_timer *t) {
    if (t->level < 0)
        return;
    b_list_remove(&t->link);
    if (b_list_empty(&w->slots[t->level][t->slot]))
        w->occupied[t->level] &= ~(1ull << t->slot);
    t->level = -1;
}

/* The level of a timer is that of the highest 6-bit digit in which its tick differs from the wheel's. */
static void hang(struct rt_wheel *w, struct rt_timer *t) {
    int64_t due = tick_after(t->at);
    if (due <= w->tick)
        due = w->tick + 1;
    if (due - w->tick >= SPAN)
        due = w->tick + SPAN - 1;
    uint64_t differs = (uint64_t)(due ^ w->tick);
    int level = (63 - __builtin_clzll(differs)) / SLOT_BITS;
    if (level >= RT_WHEEL_LEVELS)
        level = RT_WHEEL_LEVELS - 1;
    unsigned slot = (unsigned)(due >> (SLOT_BITS * level)) & SLOT_MASK;
    b_list_push_back(&w->slots[level][slot], &t->link);
    w->occupied[level] |= 1ull << slot;
    t->level = (int8_t)level;
    t->slot = (uint8_t)slot;
}

void rt_wheel_set(struct rt_wheel *w, struct rt_timer *t, rt_time at) {
    rt_wheel_cancel(w, t);
    if (at == RT_NEVER)
        return;
    t->at = at;
    hang(w, t);
}

/* Ticks from the wheel's tick to the next occupied slot of the level, or -1. A slot of level l is due when the digits
 * below it are all zero. */
static int64_t next_on_level(const struct rt_wheel *w, int level) {
    if (!w->occupied[level])
        return -1;
    unsigned here = (unsigned)(w->tick >> (SLOT_BITS * level)) & SLOT_MASK;
    unsigned turn = (here + 1) & SLOT_MASK;
    uint64_t ahead = w->occupied[level] >> turn;
    if (turn)
        ahead |= w->occupied[level] << (RT_WHEEL_SLOTS - turn);
    int64_t steps = __builtin_ctzll(ahead) + 1;
    int64_t unit = w->tick >> (SLOT_BITS * level);
    return ((unit + steps) << (SLOT_BITS * level)) - w->tick;
}

static int64_t next_tick(const struct rt_wheel *w) {
    int64_t best = -1;
    for (int l = 0; l < RT_WHEEL_LEVELS; l++) {
        int64_t d = next_on_level(w, l);
        if (d >= 0 && (best < 0 || d < best))
            best = d;
    }
    return best < 0 ? -1 : w->tick + best;
}

rt_time rt_wheel_next(const struct rt_wheel *w) {
    int64_t t = next_tick(w);
    return t < 0 ? RT_NEVER : t * RT_TICK;
}

/* Empties one slot: what is due fires, what is not moves to a lower level. */
static void empty(struct rt_wheel *w, int level, unsigned slot) {
    struct b_list due;
    b_list_init(&due);
    b_list_splice(&due, &w->slots[level][slot]);
    w->occupied[level] &= ~(1ull << slot);
    for (struct b_list *n; (n = due.next) != &due;) {
        struct rt_timer *t = B_CONTAINER(n, struct rt_timer, link);
        b_list_remove(n);
        t->level = -1;
        if (tick_after(t->at) <= w->tick)
            t->fn(t);
        else
            hang(w, t);
    }
}

void rt_wheel_advance(struct rt_wheel *w, rt_time now) {
    int64_t target = now / RT_TICK;
    for (int64_t next; (next = next_tick(w)) >= 0 && next <= target;) {
        w->tick = next;
        for (int l = RT_WHEEL_LEVELS - 1; l >= 0; l--)
            if ((next & (((int64_t)1 << (SLOT_BITS * l)) - 1)) == 0)
                empty(w, l, (unsigned)(next >> (SLOT_BITS * l)) & SLOT_MASK);
    }
    if (w->tick < target)
        w->tick = target;
}
