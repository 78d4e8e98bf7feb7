/* The watchdog: a thread that looks at the workers every RT_STALL, and counts and names what held a loop through two
 * looks. It aborts nothing. */
#ifndef RUNTIME_WATCHDOG_H
#define RUNTIME_WATCHDOG_H

void rt_watchdog_start(void);
void rt_watchdog_stop(void);

#endif
