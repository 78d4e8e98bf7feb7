/* The statements by which rows get into a table of PostgreSQL, and out of it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/postgres_transaction.h"

#define PRUNED_AT_ONCE 500

static Oid of_kind(uint8_t kind) {
    switch ((enum st_kind)kind) {
    case ST_JSON: return OID_JSONB;
    case ST_TIME: return OID_TIMESTAMPTZ;
    case ST_INTEGER: return OID_INT8;
    case ST_REAL: return OID_FLOAT8;
    case ST_BOOLEAN: return OID_BOOL;
    default: return OID_TEXT;
    }
}

static Oid element_of(const struct st_table *t, unsigned column) {
    return t->kinds ? of_kind(t->kinds[column]) : OID_TEXT;
}

static const char *name_of(Oid element) {
    switch (element) {
    case OID_JSONB: return "jsonb";
    case OID_TIMESTAMPTZ: return "timestamptz";
    case OID_INT8: return "int8";
    case OID_FLOAT8: return "float8";
    case OID_BOOL: return "bool";
    default: return "text";
    }
}

/* The types of a table that is somebody else's, for casts: by the names of its columns. */
static int ask_types(struct pg_conn *c, const struct st_table *t, rt_time deadline, PGresult **out) {
    char sql[512];
    snprintf(
        sql, sizeof sql,
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = '\"%.*s\"'::regclass "
        "AND attnum > 0 AND NOT attisdropped",
        B_FMT(t->name));
    return st_pg_exec(c, sql, deadline, out);
}

static const char *type_of(struct pg_conn *c, const PGresult *types, struct b_slice column) {
    for (int i = 0; types && i < c->pq->ntuples(types); i++)
        if (b_slice_eq(b_slice_cstr(c->pq->getvalue(types, i, 0)), column))
            return c->pq->getvalue(types, i, 1);
    return NULL;
}

static void write_columns(struct b_text *sql, const struct st_table *t) {
    for (unsigned i = 0; i < t->column_count; i++)
        b_text_printf(sql, "%s\"%.*s\"", i ? ", " : "", B_FMT(t->columns[i]));
}

static void write_insert(struct b_text *sql, struct pg_conn *c, const struct st_table *t,
                         const PGresult *types) {
    b_text_printf(sql, "INSERT INTO \"%.*s\" (", B_FMT(t->name));
    write_columns(sql, t);
    b_text_lit(sql, ") SELECT ");
    for (unsigned i = 0; i < t->column_count; i++) {
        const char *type = type_of(c, types, t->columns[i]);
        b_text_printf(sql, type ? "%sc%u::%s" : "%sc%u", i ? ", " : "", i, type);
    }
    b_text_lit(sql, " FROM unnest(");
    for (unsigned i = 0; i < t->column_count; i++)
        b_text_printf(sql, "%s$%u::%s[]", i ? ", " : "", i + 1, name_of(element_of(t, i)));
    b_text_lit(sql, ") AS u(");
    for (unsigned i = 0; i < t->column_count; i++)
        b_text_printf(sql, "%sc%u", i ? ", " : "", i);
    b_text_lit(sql, ")");
}

static void write_returning(struct b_text *sql, const struct st_table *t) {
    for (unsigned i = 0; i < t->key_count; i++)
        b_text_printf(sql, "%s\"%.*s\"%s", i ? ", " : " RETURNING ", B_FMT(t->columns[t->key[i]]),
                      t->kinds ? "" : "::text");
}

static bool fill(struct pg_table *pt, struct st_sink *sink, struct b_slice sql) {
    const struct st_table *t = &sink->table;
    struct b_arena *a = &sink->arena;
    pt->elements = b_arena_alloc(a, t->column_count * sizeof *pt->elements);
    pt->as_text = b_arena_alloc(a, t->column_count * sizeof *pt->as_text);
    if (!pt->elements || !pt->as_text)
        return false;
    for (unsigned i = 0; i < t->column_count; i++) {
        pt->elements[i] = element_of(t, i);
        pt->as_text[i] = !t->kinds;
    }
    pt->insert = b_arena_copy(a, sql).ptr;
    pt->reject = st_sql_expand("INSERT INTO \"{table}_rejected\" (received_at, reason, item) "
                               "SELECT * FROM unnest($1::timestamptz[], $2::text[], $3::text[])",
                               t->name, a);
    pt->prune = st_sql_expand(
        "DELETE FROM \"{table}\" WHERE ctid IN (SELECT ctid FROM \"{table}\" WHERE received_at < "
        "now() - interval '%1$lld seconds' LIMIT %2$d FOR UPDATE SKIP LOCKED)",
        t->name, a);
    pt->prune_rejected = st_sql_expand(
        "DELETE FROM \"{table}_rejected\" WHERE id IN (SELECT id FROM (SELECT id, received_at FROM \"{table}_rejected\" "
        "ORDER BY id LIMIT %2$d) AS first WHERE received_at < now() - interval '%1$lld seconds')",
        t->name, a);
    return pt->insert && pt->reject && pt->prune && pt->prune_rejected;
}

/* Made once, and again only when the table has got other types: batches that are under way use what was there. */
int st_pg_prepare_table(struct pg_conn *c, struct st_sink *sink, rt_time deadline) {
    const struct st_table *t = &sink->table;
    const struct pg_table *old = sink->prepared;
    struct b_text sql = b_text_heap(B_TAG_STORE, 65536);
    PGresult *types = NULL;
    int rc = t->kinds ? 0 : ask_types(c, t, deadline, &types);
    if (rc)
        return rc;
    write_insert(&sql, c, t, types);
    st_sql_conflict(&sql, t);
    write_returning(&sql, t);
    if (types)
        c->pq->clear(types);
    bool same = old && !sql.failed && b_slice_eq(b_slice_cstr(old->insert), b_text_slice(&sql));
    struct pg_table *pt = same || sql.failed ? NULL : b_arena_zalloc(&sink->arena, sizeof *pt);
    bool good = same || (pt && fill(pt, sink, b_text_slice(&sql)));
    b_text_free(&sql);
    if (!good) {
        snprintf(c->why, sizeof c->why, "out of memory");
        return -ENOMEM;
    }
    if (!same)
        sink->prepared = pt;
    return 0;
}

int st_pg_check_table(struct pg_conn *c, struct st_sink *sink, rt_time deadline) {
    const struct pg_table *t = sink->prepared;
    struct pg_work w = {.c = c, .sink = sink, .deadline = deadline};
    int rc = st_pg_prepare(&w, 'i', t->insert, t->elements, sink->table.column_count);
    return rc || !sink->table.rejects ? rc : st_pg_prepare(&w, 'r', t->reject, st_pg_reject_types, 3);
}

/* 1: there are more, 0, or negative. */
static int prune_by(struct pg_conn *c, struct st_sink *sink, const char *format, rt_time deadline) {
    char sql[512];
    PGresult *r = NULL;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(sql, sizeof sql, format, (long long)(atomic_load(&sink->keep) / RT_S), PRUNED_AT_ONCE);
#pragma GCC diagnostic pop
    int rc = st_pg_exec(c, sql, deadline, &r);
    if (rc)
        return rc;
    bool more = strtoul(c->pq->cmdTuples(r), NULL, 10) == PRUNED_AT_ONCE;
    c->pq->clear(r);
    return more;
}

int st_pg_prune(struct pg_conn *c, struct st_sink *sink, rt_time deadline) {
    const struct pg_table *pt = sink->prepared;
    int more = prune_by(c, sink, pt->prune, deadline);
    if (more < 0 || !sink->table.rejects)
        return more;
    int more_rejected = prune_by(c, sink, pt->prune_rejected, deadline);
    return more_rejected < 0 ? more_rejected : more | more_rejected;
}
