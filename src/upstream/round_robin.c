/* In turn, each as often as its weight says: by a schedule made beforehand, in a smooth weighted order (each step takes the
 * member that lags most behind its share; nginx's and LVS's algorithm). */
#include <errno.h>

#include "upstream/set.h"

#define SCHEDULE_MAX 4096

struct schedule {
    uint32_t len;
    uint16_t members[]; /* their numbers in the order of their turn */
};

static int64_t gcd(int64_t a, int64_t b) {
    while (b) {
        int64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

/* Weights without their common divisor, scaled down when the schedule would be too long. */
static int64_t shares(const struct up_set *s, int64_t *out) {
    int64_t divisor = 0, sum = 0;
    for (uint32_t i = 0; i < s->count; i++)
        divisor = gcd(s->members[i].weight, divisor);
    for (uint32_t i = 0; i < s->count; i++)
        sum += out[i] = s->members[i].weight / divisor;
    int64_t scale = sum > SCHEDULE_MAX ? (sum + SCHEDULE_MAX - 1) / SCHEDULE_MAX : 1;
    sum = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        out[i] = out[i] / scale > 0 ? out[i] / scale : 1;
        sum += out[i];
    }
    return sum;
}

static int build(struct up_set *s) {
    int64_t *share = b_alloc(B_TAG_UPSTREAM, s->count * sizeof *share * 2);
    if (!share)
        return -ENOMEM;
    int64_t *lag = share + s->count;
    int64_t sum = shares(s, share);
    struct schedule *t = b_alloc(B_TAG_UPSTREAM, sizeof *t + (size_t)sum * sizeof t->members[0]);
    for (uint32_t i = 0; i < s->count; i++)
        lag[i] = 0;
    for (int64_t n = 0; t && n < sum; n++) {
        uint32_t best = 0;
        for (uint32_t i = 0; i < s->count; i++) {
            lag[i] += share[i];
            if (lag[i] > lag[best])
                best = i;
        }
        lag[best] -= sum;
        t->members[n] = (uint16_t)best;
    }
    b_free(share);
    s->table = t;
    if (!t)
        return -ENOMEM;
    t->len = (uint32_t)sum;
    return 0;
}

static uint32_t pick(struct up_set *s, const struct up_pick *p) {
    const struct schedule *t = s->table;
    uint32_t turn = atomic_fetch_add_explicit(&s->turn, 1, memory_order_relaxed);
    uint32_t i = t->members[turn % t->len];
    return up_usable(s, i, p) ? i : up_set_next(s, i, p);
}

const struct up_balancer up_round_robin = {.name = "round_robin", .build = build, .pick = pick};
