/* Any SQL, said to PostgreSQL, and what it says in its own words. */
#include <errno.h>
#include <stdlib.h>

#include "store/postgres.h"

static int send(const struct pg_conn *c, const char *sql, const char *const *params) {
    int count = 0;
    if (!params)
        return c->pq->sendQuery(c->pg, sql);
    while (params[count])
        count++;
    return c->pq->sendQueryParams(c->pg, sql, count, NULL, params, NULL, NULL, 0);
}

static int take_row(const struct pg_conn *c, const PGresult *r, st_row_fn *row, void *arg) {
    const char *values[ST_RESULT_COLUMNS];
    int count = c->pq->nfields(r);
    for (int i = 0; i < count && i < ST_RESULT_COLUMNS; i++)
        values[i] = c->pq->getisnull(r, 0, i) ? NULL : c->pq->getvalue(r, 0, i);
    return row(arg, values);
}

/* Undefined tables and columns, and rights, are of a table. */
static int failed(struct st_session *s) {
    const struct pg_conn *c = s->link;
    return !c->lost && st_pg_class_is(c, "42") ? -EINVAL : -EIO;
}

/* Rows come one a result, in libpq's single-row mode. All results are taken, whatever becomes of one. */
static int run(struct st_session *s, const char *sql, const char *const *params, st_row_fn *row, void *arg,
               uint64_t *changed) {
    struct pg_conn *c = s->link;
    bool good = true;
    int rc = 0, waited;
    PGresult *r;
    if (!send(c, sql, params) || (row && !c->pq->setSingleRowMode(c->pg))) {
        st_pg_lost(c, -EIO);
        return -EIO;
    }
    c->single_rows = row != NULL;
    while ((waited = st_pg_result(c, s->deadline, &r)) == 0 && r) {
        if (c->pq->resultStatus(r) == PGRES_SINGLE_TUPLE)
            rc = rc ? rc : take_row(c, r, row, arg);
        else
            good = good && st_pg_good(c, r);
        if (changed)
            *changed = strtoull(c->pq->cmdTuples(r), NULL, 10);
        c->pq->clear(r);
    }
    return waited || !good ? failed(s) : rc;
}

static const char *migration(const struct st_migration *m) {
    return m->postgres;
}

int st_pg_exec(struct pg_conn *c, const char *sql, rt_time deadline) {
    struct st_session s = st_pg_session(c, deadline);
    return st_execute(&s, sql, NULL, NULL);
}

struct st_session st_pg_session(struct pg_conn *c, rt_time deadline) {
    return (struct st_session){.dialect = &st_pg_dialect, .link = c, .deadline = deadline, .why = c->why};
}

const struct st_dialect st_pg_dialect = {
    .alone = "BEGIN; SELECT pg_advisory_xact_lock(8675309, 1)",
    .has_own_table = "SELECT 1 WHERE to_regclass('public.weir_schema') IS NOT NULL",
    .own_table = "CREATE TABLE IF NOT EXISTS weir_schema (table_name text PRIMARY KEY, schema text NOT NULL, "
                 "version integer NOT NULL, applied_at timestamptz NOT NULL)",
    .columns = "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass('public.' || quote_ident($1)) "
               "AND attnum > 0 AND NOT attisdropped",
    .migration = migration,
    .types = {[ST_NULL] = "text",
              [ST_TEXT] = "text",
              [ST_JSON] = "jsonb",
              [ST_TIME] = "timestamptz",
              [ST_INTEGER] = "bigint",
              [ST_REAL] = "double precision",
              [ST_BOOLEAN] = "boolean",
              [ST_HEX] = "text"},
    .prune = "DELETE FROM \"{table}\" WHERE ctid IN (SELECT ctid FROM \"{table}\" WHERE received_at < $1 "
             "LIMIT " ST_PRUNED_AT_ONCE_TEXT " FOR UPDATE SKIP LOCKED)",
    .prune_rejected =
        "DELETE FROM \"{table}_rejected\" WHERE id IN (SELECT id FROM (SELECT id, received_at FROM \"{table}_rejected\" "
        "ORDER BY id LIMIT " ST_PRUNED_AT_ONCE_TEXT ") AS first WHERE received_at < $1)",
    .run = run,
};
