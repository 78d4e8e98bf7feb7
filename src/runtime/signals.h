/* Signals as events: TERM, INT, HUP, USR1 are blocked in all threads and read by one fiber. */
#ifndef RUNTIME_SIGNALS_H
#define RUNTIME_SIGNALS_H

#include "runtime/time.h"

/* Blocks them; before any thread is started. Also ignores PIPE. 0 or negative errno. */
int rt_signals_open(void);
/* Waits for the next one: its number, -ETIMEDOUT or -ECANCELED. From a fiber. */
int rt_signal_wait(rt_time deadline) __attribute__((warn_unused_result));
void rt_signals_close(void);

#endif
