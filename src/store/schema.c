/* The tables that weir makes, step by step; what has been done is in weir_schema. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/session.h"

#define SCHEMA_MAX 32 /* bytes of the name of a schema, its NUL included */

/* ---- what is there ---- */

struct noted {
    unsigned rows, version;
    char schema[SCHEMA_MAX];
};

static int count(void *arg, const char *const *values) {
    struct noted *n = arg;
    (void)values;
    n->rows++;
    return 0;
}

static int read_noted(void *arg, const char *const *values) {
    struct noted *n = arg;
    n->rows++;
    n->version = values[0] ? (unsigned)strtoul(values[0], NULL, 10) : 0;
    snprintf(n->schema, sizeof n->schema, "%s", values[1] ? values[1] : "");
    return 0;
}

/* The version that the table has; 0: it is not there. */
static int version_of(struct st_session *s, const struct st_table *t, unsigned *version) {
    struct noted own = {0}, noted = {0};
    *version = 0;
    int rc = st_stream(s, s->dialect->has_own_table, NULL, count, &own);
    if (rc || !own.rows)
        return rc;
    rc = st_stream(s, "SELECT version, schema FROM weir_schema WHERE table_name = $1",
                   (const char *const[]){t->name.ptr, NULL}, read_noted, &noted);
    if (rc || !noted.rows)
        return rc;
    *version = noted.version;
    if (strcmp(noted.schema, t->schema) == 0)
        return 0;
    snprintf(s->why, ST_WHY_MAX, "table %.*s holds %s, not %s: name another table", B_FMT(t->name),
             noted.schema, t->schema);
    return -EINVAL;
}

struct columns {
    const struct st_table *table;
    bool any_case;
    uint64_t there; /* a bit for each column of the table */
};
_Static_assert(ST_COLUMNS_MAX <= 64, "a bit for each column");

static int read_column(void *arg, const char *const *values) {
    struct columns *c = arg;
    struct b_slice name = b_slice_cstr(values[0]);
    for (unsigned i = 0; i < c->table->column_count; i++)
        if (c->any_case ? b_slice_ieq(name, c->table->columns[i]) : b_slice_eq(name, c->table->columns[i]))
            c->there |= (uint64_t)1 << i;
    return 0;
}

/* What a table of columns alone is made by. */
static const struct st_migration made[] = {{.version = 1, .title = "make the table"}, {0}};

static const struct st_migration *steps_of(const struct st_table *t) {
    return t->migrations ? t->migrations : made;
}

/* What a table is, and what is to be done to it. */
struct todo {
    unsigned version; /* that it has; 0: it is not there */
    unsigned latest;
    uint64_t lacks; /* a bit for each column that it has not */
};

static int look(struct st_session *s, const struct st_table *t, struct todo *todo) {
    struct columns c = {.table = t, .any_case = s->dialect->any_case};
    *todo = (struct todo){0};
    for (const struct st_migration *m = steps_of(t); m->version; m++)
        todo->latest = m->version;
    int rc = version_of(s, t, &todo->version);
    if (rc == 0 && todo->version > todo->latest) {
        snprintf(s->why, ST_WHY_MAX, "table %.*s is of version %u, made by a newer weir: this one knows %u",
                 B_FMT(t->name), todo->version, todo->latest);
        return -EINVAL;
    }
    if (rc || !todo->version || !t->made_of_columns)
        return rc;
    rc = st_stream(s, s->dialect->columns, (const char *const[]){t->name.ptr, NULL}, read_column, &c);
    todo->lacks = ~c.there & (UINT64_MAX >> (64 - t->column_count));
    return rc;
}

/* ---- steps ---- */

static void say(struct b_text *out, const struct st_table *t, unsigned version, const char *title) {
    if (out)
        b_text_printf(out, "  %.*s: version %u: %s\n", B_FMT(t->name), version, title);
}

static void say_column(struct b_text *out, struct st_session *s, const struct st_table *t, unsigned i) {
    if (out)
        b_text_printf(out, "  %.*s: add the column %.*s (%s)\n", B_FMT(t->name), B_FMT(t->columns[i]),
                      s->dialect->types[t->kinds[i]]);
}

static int note_version(struct st_session *s, const char *table, const char *schema, unsigned version) {
    char now[ST_TIME_TEXT], number[16];
    st_time_text(now, rt_wall_clock());
    snprintf(number, sizeof number, "%u", version);
    return st_execute(
        s,
        "INSERT INTO weir_schema (table_name, schema, version, applied_at) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT (table_name) DO UPDATE SET version = excluded.version, "
        "applied_at = excluded.applied_at",
        (const char *const[]){table, schema, number, now, NULL}, NULL);
}

/* What failed is told with what was to be done. */
static int step(struct st_session *s, const char *title, const char *sql) {
    char why[ST_WHY_MAX];
    int rc = sql ? st_execute(s, sql, NULL, NULL) : st_out_of_memory(s);
    if (rc) {
        memcpy(why, s->why, sizeof why);
        snprintf(s->why, ST_WHY_MAX, "%s: %.*s", title, ST_WHY_MAX - 3 - (int)strlen(title), why);
    }
    return rc;
}

int st_own_table(struct st_session *s) {
    return step(s, "weir_schema cannot be made", s->dialect->own_table);
}

int st_probe(struct st_session *s) {
    int rc = st_own_table(s);
    return rc ? rc : note_version(s, "weir_schema", "weir", 1);
}

static int take_step(struct st_session *s, const struct st_table *t, const struct st_migration *m) {
    struct b_arena arena;
    b_arena_init(&arena, B_TAG_STORE, NULL, NULL, 0, 65536);
    const char *sql = t->migrations ? st_sql_expand(s->dialect->migration(m), t->name, &arena)
                                    : st_sql_create(t, s->dialect->types, &arena);
    int rc = step(s, m->title, sql);
    b_arena_release(&arena);
    return rc ? rc : note_version(s, t->name.ptr, t->schema, m->version);
}

static int add_column(struct st_session *s, const struct st_table *t, unsigned i) {
    char sql[256], title[96];
    snprintf(sql, sizeof sql, "ALTER TABLE \"%.*s\" ADD COLUMN \"%.*s\" %s", B_FMT(t->name),
             B_FMT(t->columns[i]), s->dialect->types[t->kinds[i]]);
    snprintf(title, sizeof title, "add the column %.*s", B_FMT(t->columns[i]));
    return step(s, title, sql);
}

/* ---- all of them ---- */

/* Does what is to be done, or only says it. */
static int take_steps(struct st_session *s, const struct st_table *t, const struct todo *todo, bool apply,
                      struct b_text *out) {
    int rc = 0;
    for (const struct st_migration *m = steps_of(t); rc == 0 && m->version; m++) {
        if (m->version <= todo->version)
            continue;
        rc = apply ? take_step(s, t, m) : 0;
        if (rc == 0)
            say(out, t, m->version, m->title);
    }
    for (unsigned i = 0; rc == 0 && i < t->column_count; i++) {
        if (!(todo->lacks >> i & 1))
            continue;
        rc = apply ? add_column(s, t, i) : 0;
        if (rc == 0)
            say_column(out, s, t, i);
    }
    return rc;
}

static void undo(struct st_session *s) {
    char why[ST_WHY_MAX];
    int code = s->code;
    memcpy(why, s->why, sizeof why);
    (void)!st_execute(s, "ROLLBACK", NULL, NULL);
    memcpy(s->why, why, sizeof why);
    s->code = code;
}

/* One at a time, of all who share the database: what is there once the transaction has begun is what counts. */
static int apply_all(struct st_session *s, const struct st_table *t, struct b_text *out) {
    struct todo todo;
    int rc = st_execute(s, s->dialect->alone, NULL, NULL);
    if (rc)
        return rc;
    rc = st_own_table(s);
    rc = rc ? rc : look(s, t, &todo);
    rc = rc ? rc : take_steps(s, t, &todo, true, out);
    rc = rc ? rc : st_execute(s, "COMMIT", NULL, NULL);
    if (rc)
        undo(s);
    return rc;
}

int st_migrate_table(struct st_session *s, const struct st_table *t, bool apply, struct b_text *out) {
    struct todo todo;
    int rc = look(s, t, &todo);
    if (rc || (todo.version == todo.latest && !todo.lacks))
        return rc;
    return apply ? apply_all(s, t, out) : take_steps(s, t, &todo, false, out);
}
