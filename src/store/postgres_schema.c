/* The tables that weir makes in a PostgreSQL database, step by step, in `public`; what has been done is in weir_schema. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/postgres.h"

int st_pg_own_table(struct pg_conn *c, rt_time deadline) {
    return st_pg_exec(
        c,
        "CREATE TABLE IF NOT EXISTS weir_schema (table_name text PRIMARY KEY, schema text NOT NULL, "
        "version integer NOT NULL, applied_at timestamptz NOT NULL)",
        deadline, NULL);
}

/* The version that the table has, 0 when it is not there. */
static int version_of(struct pg_conn *c, const struct st_table *t, rt_time deadline, unsigned *version) {
    char sql[512];
    PGresult *r = NULL;
    *version = 0;
    int rc = st_pg_exec(c, "SELECT to_regclass('public.weir_schema') IS NOT NULL", deadline, &r);
    if (rc)
        return rc;
    bool known = c->pq->getvalue(r, 0, 0)[0] == 't';
    c->pq->clear(r);
    if (!known)
        return 0;
    snprintf(sql, sizeof sql, "SELECT version, schema FROM weir_schema WHERE table_name = '%.*s'",
             B_FMT(t->name));
    if ((rc = st_pg_exec(c, sql, deadline, &r)) != 0)
        return rc;
    if (c->pq->ntuples(r) == 1) {
        *version = (unsigned)strtoul(c->pq->getvalue(r, 0, 0), NULL, 10);
        if (strcmp(c->pq->getvalue(r, 0, 1), t->schema) != 0) {
            snprintf(c->state, sizeof c->state, "42000");
            snprintf(c->why, sizeof c->why, "table %.*s holds %s, not %s: name another table", B_FMT(t->name),
                     c->pq->getvalue(r, 0, 1), t->schema);
            rc = -EINVAL;
        }
    }
    c->pq->clear(r);
    return rc;
}

static int apply_one(struct pg_conn *c, const struct st_table *t, const struct st_migration *m,
                     rt_time deadline) {
    struct b_arena arena;
    char noted[512];
    b_arena_init(&arena, B_TAG_STORE, NULL, NULL, 0, 65536);
    const char *sql = st_sql_expand(m->postgres, t->name, &arena);
    int rc = sql ? st_pg_exec(c, sql, deadline, NULL) : -ENOMEM;
    b_arena_release(&arena);
    if (rc)
        return rc;
    snprintf(
        noted, sizeof noted,
        "INSERT INTO weir_schema VALUES ('%.*s', '%s', %u, now()) ON CONFLICT (table_name) DO UPDATE SET "
        "version = excluded.version, applied_at = excluded.applied_at",
        B_FMT(t->name), t->schema, m->version);
    return st_pg_exec(c, noted, deadline, NULL);
}

/* One at a time, of all who share the database; what is there once the lock is held is what counts. */
static int apply_all(struct pg_conn *c, const struct st_table *t, struct b_text *out, rt_time deadline) {
    unsigned version = 0;
    int rc = st_pg_exec(c, "BEGIN; SELECT pg_advisory_xact_lock(8675309, 1)", deadline, NULL);
    rc = rc ? rc : st_pg_own_table(c, deadline);
    rc = rc ? rc : version_of(c, t, deadline, &version);
    for (const struct st_migration *m = t->migrations; rc == 0 && m->version; m++) {
        if (m->version <= version)
            continue;
        rc = apply_one(c, t, m, deadline);
        if (out && rc == 0)
            b_text_printf(out, "  %.*s: version %u: %s\n", B_FMT(t->name), m->version, m->title);
    }
    if (rc == 0)
        return st_pg_exec(c, "COMMIT", deadline, NULL);
    char state[sizeof c->state], why[sizeof c->why];
    memcpy(state, c->state, sizeof state);
    memcpy(why, c->why, sizeof why);
    if (!c->lost)
        (void)!st_pg_exec(c, "ROLLBACK", deadline, NULL);
    memcpy(c->state, state, sizeof state);
    memcpy(c->why, why, sizeof why);
    return rc;
}

int st_pg_migrate_table(struct pg_conn *c, const struct st_table *t, bool apply, struct b_text *out,
                        rt_time deadline) {
    unsigned version, latest = 0;
    int rc = version_of(c, t, deadline, &version);
    if (rc)
        return rc;
    for (const struct st_migration *m = t->migrations; m->version; m++) {
        latest = m->version;
        if (!apply && latest > version)
            b_text_printf(out, "  %.*s: version %u: %s\n", B_FMT(t->name), latest, m->title);
    }
    if (version > latest) {
        snprintf(c->state, sizeof c->state, "42000");
        snprintf(c->why, sizeof c->why,
                 "table %.*s is of version %u, made by a newer weir: this one knows %u", B_FMT(t->name),
                 version, latest);
        return -EINVAL;
    }
    return apply && version < latest ? apply_all(c, t, out, deadline) : 0;
}

/* A write that changes nothing, and yet is one: whether the database takes any. */
int st_pg_probe(struct pg_conn *c, rt_time deadline) {
    int rc = st_pg_own_table(c, deadline);
    return rc ? rc
              : st_pg_exec(
                    c,
                    "INSERT INTO weir_schema VALUES ('weir_schema', 'weir', 1, now()) ON CONFLICT (table_name) DO "
                    "UPDATE SET applied_at = now()",
                    deadline, NULL);
}
