/* A conversation with a database: any SQL, over a connection that the caller has. Both homes give one; what both understand is said
 * once (schema.c, prune.c), and where they differ the dialect has it. For the folder only. */
#ifndef STORE_SESSION_H
#define STORE_SESSION_H

#include "base/calendar.h"
#include "store/internal.h"

/* Takes a row of a result, as it comes: texts, NULL for null, good until it returns. Negative: it wants no more of them. */
typedef int st_row_fn(void *arg, const char *const *values);

struct st_session {
    const struct st_dialect *dialect;
    void *link; /* the home's connection */
    rt_time deadline;
    char *why; /* ST_WHY_MAX bytes: of the last failure */
    int code;  /* the home's own of the last failure; 0: it has none */
};

/* What one database says in other words than the other. {table} is the name of a table. */
struct st_dialect {
    const char *alone;         /* begins a transaction in which nobody else changes a schema */
    const char *has_own_table; /* a row if weir_schema is there */
    const char *own_table;     /* makes it unless it is there */
    const char *columns;       /* the names of the columns of table $1 */
    bool any_case;             /* names that differ in case alone are the same */
    const char *types[ST_KINDS];
    const char *(*migration)(const struct st_migration *); /* its SQL */
    /* Takes some of the rows that came in before $1 away: no more than ST_PRUNED_AT_ONCE. */
    const char *prune, *prune_rejected;
    int (*run)(struct st_session *s, const char *sql, const char *const *params, st_row_fn *row, void *arg,
               uint64_t *changed);
};
extern const struct st_dialect st_sqlite_dialect, st_pg_dialect;

#define ST_RESULT_COLUMNS 16 /* more of a row are left out */
#define ST_PRUNED_AT_ONCE 500
#define ST_PRUNED_AT_ONCE_TEXT "500"

/* Runs SQL whose results nobody wants; *changed (may be NULL): how many rows it changed. Without params (NULL; else texts, which
 * NULL ends, for $1, $2 in this order) it may be several statements. 0; -EINVAL: the SQL or the table is to blame; -EIO: the store
 * is. */
int st_execute(struct st_session *s, const char *sql, const char *const *params, uint64_t *changed);
/* Hands the rows of the result to `row` one by one; they are never in memory all at once. The same, or what `row` gave. */
int st_stream(struct st_session *s, const char *sql, const char *const *params, st_row_fn *row, void *arg);

/* A time of the wall clock as a parameter. */
#define ST_TIME_TEXT (B_RFC3339_LEN + 1)
void st_time_text(char text[ST_TIME_TEXT], rt_time at);
/* Notes it; gives -EIO. */
int st_out_of_memory(struct st_session *s);

/* schema.c. The same results; `out` may be NULL when it applies. */
int st_migrate_table(struct st_session *s, const struct st_table *t, bool apply, struct b_text *out);
int st_own_table(struct st_session *s);
/* A write that changes nothing, and yet is one: whether the database takes any. */
int st_probe(struct st_session *s);

/* prune.c. Takes rows of the sink that are too old away, some. 1: there are more; 0; or negative. */
int st_prune(struct st_session *s, const struct st_sink *sink);

#endif
