/* How busy a worker is, and for how long its loop is held. Accounted once a turn, from the clock values that the loop
 * reads anyway. */
#ifndef RUNTIME_LOAD_H
#define RUNTIME_LOAD_H

#include <stdbool.h>

#include "base/histogram.h"
#include "runtime/time.h"

struct rt_worker;

#define RT_LOAD_FULL 1024
#define RT_LOAD_WINDOW (20 * RT_MS)

/* The worker's own part. */
struct rt_load {
    rt_time since;       /* when the work that is under way began: the end of the last wait */
    rt_time began, busy; /* of the current window: its begin, and how long the worker has worked in it */
};

/* The share of its time that a worker works, 0 to RT_LOAD_FULL: that of its last window; nothing once it sleeps for
 * longer, everything while it is held for longer. Any worker may ask about any other, for two loads. */
unsigned rt_load(struct rt_worker *w);
/* The idle bit: it waits for events, with nothing to do, and no message is on its way to it. */
bool rt_idle(const struct rt_worker *w);

/* --- for the loop and the simulator --- */

/* What has passed since the last wait, up to now, was work. */
void rt_load_worked(struct rt_worker *w, rt_time now);
/* The end of a wait. */
void rt_load_woke(struct rt_worker *w, rt_time now);

#endif
