#include "gateway/pace.h"

bool gw_pace_slow(struct gw_pace *p, rt_time waited, uint64_t bytes, uint64_t rate, rt_time window) {
    p->waited += waited;
    p->bytes += bytes;
    if (!rate || p->waited < window)
        return false;
    bool slow = (double)p->bytes * (double)RT_S < (double)rate * (double)p->waited;
    while (p->waited >= 2 * window) {
        p->waited /= 2;
        p->bytes /= 2;
    }
    return slow;
}
