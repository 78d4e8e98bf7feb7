/* The logs of requests, as the process sees them: one ring and one writer for each distinct path. */
#ifndef MIDDLEWARE_ACCESS_LOG_H
#define MIDDLEWARE_ACCESS_LOG_H

/* Opens all files again (USR1, after a rotation). Any thread. */
void mw_access_log_reopen(void);
/* Writes what is left and closes; after rt_run has returned. */
void mw_access_log_close_all(void);

#endif
