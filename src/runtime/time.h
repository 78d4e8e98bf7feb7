/* Time as the runtime sees it: nanoseconds on the monotonic clock (virtual under the simulator). */
#ifndef RUNTIME_TIME_H
#define RUNTIME_TIME_H

#include <stdint.h>

typedef int64_t rt_time; /* a point on the monotonic clock, or a span; nanoseconds */

#define RT_NEVER INT64_MAX  /* a deadline that does not come */
#define RT_NOWAIT INT64_MIN /* a deadline that has always passed: try once, do not wait */

#define RT_US ((rt_time)1000)
#define RT_MS ((rt_time)1000000)
#define RT_S ((rt_time)1000000000)

/* The time at the start of the current worker's turn: free to read, at most a turn old. For deadlines. */
rt_time rt_now(void);
/* The clock itself, some 25 ns. For measuring. */
rt_time rt_clock(void);
/* Wall clock, nanoseconds since 1970. For logs and Date only, never for timeouts (U15). */
rt_time rt_wall_clock(void);

/* now + span, saturating at RT_NEVER. */
static inline rt_time rt_after(rt_time now, rt_time span) {
    rt_time t;
    return __builtin_add_overflow(now, span, &t) ? RT_NEVER : t;
}

static inline rt_time rt_earlier(rt_time a, rt_time b) {
    return a < b ? a : b;
}

#endif
