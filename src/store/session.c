/* What can be said to a database. */
#include "store/session.h"

#include <errno.h>
#include <stdio.h>

int st_execute(struct st_session *s, const char *sql, const char *const *params, uint64_t *changed) {
    return s->dialect->run(s, sql, params, NULL, NULL, changed);
}

int st_stream(struct st_session *s, const char *sql, const char *const *params, st_row_fn *row, void *arg) {
    return s->dialect->run(s, sql, params, row, arg, NULL);
}

void st_time_text(char text[ST_TIME_TEXT], rt_time at) {
    b_format_rfc3339(text, at / 1000);
    text[B_RFC3339_LEN] = 0;
}

int st_out_of_memory(struct st_session *s) {
    snprintf(s->why, ST_WHY_MAX, "out of memory");
    return -EIO;
}
