/* The statements by which rows get into a table of PostgreSQL, and out of it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/postgres_transaction.h"

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

static const char *name_of(const struct st_table *t, unsigned column) {
    return st_pg_dialect.types[t->kinds ? t->kinds[column] : ST_TEXT];
}

/* The types of a table that is somebody else's, for casts. */
struct types {
    const struct st_table *table;
    struct b_arena arena;
    const char *names[ST_COLUMNS_MAX]; /* of each column; NULL: the table has none of that name */
};

static int read_type(void *arg, const char *const *values) {
    struct types *types = arg;
    for (unsigned i = 0; i < types->table->column_count; i++)
        if (b_slice_eq(types->table->columns[i], b_slice_cstr(values[0])) &&
            !(types->names[i] = b_arena_strdup(&types->arena, values[1])))
            return -ENOMEM;
    return 0;
}

static int ask_types(struct pg_conn *c, struct types *types, rt_time deadline) {
    struct st_session s = st_pg_session(c, deadline);
    return st_stream(&s,
                     "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
                     "WHERE attrelid = quote_ident($1)::regclass AND attnum > 0 AND NOT attisdropped",
                     (const char *const[]){types->table->name.ptr, NULL}, read_type, types);
}

static void write_columns(struct b_text *sql, const struct st_table *t) {
    for (unsigned i = 0; i < t->column_count; i++)
        b_text_printf(sql, "%s\"%.*s\"", i ? ", " : "", B_FMT(t->columns[i]));
}

static void write_insert(struct b_text *sql, const struct types *types) {
    const struct st_table *t = types->table;
    b_text_printf(sql, "INSERT INTO \"%.*s\" (", B_FMT(t->name));
    write_columns(sql, t);
    b_text_lit(sql, ") SELECT ");
    for (unsigned i = 0; i < t->column_count; i++) {
        const char *type = types->names[i];
        b_text_printf(sql, type ? "%sc%u::%s" : "%sc%u", i ? ", " : "", i, type);
    }
    b_text_lit(sql, " FROM unnest(");
    for (unsigned i = 0; i < t->column_count; i++)
        b_text_printf(sql, "%s$%u::%s[]", i ? ", " : "", i + 1, name_of(t, i));
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
    return pt->insert && pt->reject;
}

/* Made once, and again only when the table has got other types: batches that are under way use what was there. */
static int prepare(struct pg_conn *c, struct st_sink *sink, const struct types *types) {
    const struct st_table *t = &sink->table;
    const struct pg_table *old = sink->prepared;
    struct b_text sql = b_text_heap(B_TAG_STORE, 65536);
    write_insert(&sql, types);
    st_sql_conflict(&sql, t);
    write_returning(&sql, t);
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

int st_pg_prepare_table(struct pg_conn *c, struct st_sink *sink, rt_time deadline) {
    struct types types = {.table = &sink->table};
    b_arena_init(&types.arena, B_TAG_STORE, NULL, NULL, 0, 65536);
    int rc = sink->table.kinds ? 0 : ask_types(c, &types, deadline);
    rc = rc ? rc : prepare(c, sink, &types);
    b_arena_release(&types.arena);
    return rc;
}

int st_pg_check_table(struct pg_conn *c, struct st_sink *sink, rt_time deadline) {
    const struct pg_table *t = sink->prepared;
    struct pg_work w = {.c = c, .sink = sink, .deadline = deadline};
    int rc = st_pg_prepare(&w, 'i', t->insert, t->elements, sink->table.column_count);
    return rc || !sink->table.rejects ? rc : st_pg_prepare(&w, 'r', t->reject, st_pg_reject_types, 3);
}
