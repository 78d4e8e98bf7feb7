#include <errno.h>

#include "upstream/upstream.h"

#define SCHEDULE_MAX 4096

static int64_t gcd(int64_t a, int64_t b) {
    while (b) {
        int64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

/* Weights without their common divisor, scaled down when the schedule would be too long. */
static int64_t shares(const struct up_upstream *u, int64_t *out) {
    int64_t divisor = 0, sum = 0;
    for (uint32_t i = 0; i < u->endpoint_count; i++)
        divisor = gcd(u->weights[i], divisor);
    for (uint32_t i = 0; i < u->endpoint_count; i++)
        sum += out[i] = u->weights[i] / divisor;
    int64_t scale = sum > SCHEDULE_MAX ? (sum + SCHEDULE_MAX - 1) / SCHEDULE_MAX : 1;
    sum = 0;
    for (uint32_t i = 0; i < u->endpoint_count; i++) {
        out[i] = out[i] / scale > 0 ? out[i] / scale : 1;
        sum += out[i];
    }
    return sum;
}

int up_schedule(struct up_upstream *u) {
    int64_t *share = b_alloc(B_TAG_UPSTREAM, u->endpoint_count * sizeof *share * 2);
    if (!share)
        return -ENOMEM;
    int64_t *lag = share + u->endpoint_count;
    int64_t sum = shares(u, share);
    u->schedule_len = (uint32_t)sum;
    u->schedule = b_alloc(B_TAG_UPSTREAM, (size_t)sum * sizeof *u->schedule);
    for (uint32_t i = 0; i < u->endpoint_count; i++)
        lag[i] = 0;
    for (int64_t n = 0; u->schedule && n < sum; n++) {
        uint32_t best = 0;
        for (uint32_t i = 0; i < u->endpoint_count; i++) {
            lag[i] += share[i];
            if (lag[i] > lag[best])
                best = i;
        }
        lag[best] -= sum;
        u->schedule[n] = (uint16_t)best;
    }
    b_free(share);
    return u->schedule ? 0 : -ENOMEM;
}

struct up_endpoint *up_balance(struct up_upstream *u, uint64_t *tried) {
    uint32_t pick = 0;
    for (uint32_t n = 0; n < u->schedule_len; n++) {
        pick = u->schedule[atomic_fetch_add_explicit(&u->turn, 1, memory_order_relaxed) % u->schedule_len];
        if (!*tried || pick >= 64 || !(*tried >> pick & 1))
            break;
    }
    if (pick < 64)
        *tried |= 1ull << pick;
    return u->endpoints[pick];
}
