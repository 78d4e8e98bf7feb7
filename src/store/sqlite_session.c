/* Any SQL, said to an SQLite file, and what SQLite says in its own words. */
#include <errno.h>
#include <stdio.h>

#include "store/session.h"
#include "store/sqlite.h"

static int failed(struct st_session *s) {
    sqlite3 *db = s->link;
    s->code = sqlite3_extended_errcode(db);
    st_sqlite_why(db, NULL, s->why);
    return (s->code & 0xff) == SQLITE_ERROR ? -EINVAL : -EIO;
}

static void bind_params(sqlite3_stmt *stmt, const char *const *params) {
    char name[8];
    for (unsigned i = 0; params && params[i]; i++) {
        snprintf(name, sizeof name, "$%u", i + 1);
        sqlite3_bind_text(stmt, sqlite3_bind_parameter_index(stmt, name), params[i], -1, SQLITE_STATIC);
    }
}

static int take_row(sqlite3_stmt *stmt, st_row_fn *row, void *arg) {
    const char *values[ST_RESULT_COLUMNS];
    int count = sqlite3_column_count(stmt);
    for (int i = 0; i < count && i < ST_RESULT_COLUMNS; i++)
        values[i] = (const char *)sqlite3_column_text(stmt, i);
    return row(arg, values);
}

static int run_one(struct st_session *s, sqlite3_stmt *stmt, st_row_fn *row, void *arg) {
    int rc = 0, stepped;
    while ((stepped = sqlite3_step(stmt)) == SQLITE_ROW)
        if (row && (rc = take_row(stmt, row, arg)) != 0)
            break;
    if (stepped != SQLITE_ROW && stepped != SQLITE_DONE)
        rc = failed(s);
    sqlite3_finalize(stmt);
    return rc;
}

static int run(struct st_session *s, const char *sql, const char *const *params, st_row_fn *row, void *arg,
               uint64_t *changed) {
    sqlite3 *db = s->link;
    int rc = 0;
    while (rc == 0 && *sql) {
        sqlite3_stmt *stmt;
        if (sqlite3_prepare_v2(db, sql, -1, &stmt, &sql) != SQLITE_OK)
            return failed(s);
        if (!stmt) /* a space or a comment */
            break;
        bind_params(stmt, params);
        rc = run_one(s, stmt, row, arg);
    }
    if (changed)
        *changed = (uint64_t)sqlite3_changes(db);
    return rc;
}

static const char *migration(const struct st_migration *m) {
    return m->sqlite;
}

struct st_session st_sqlite_session(sqlite3 *db, char *why) {
    return (struct st_session){.dialect = &st_sqlite_dialect, .link = db, .deadline = RT_NEVER, .why = why};
}

/* Rows come in the order of time, so the oldest are the first of a table: no index is needed to find them, nor a search. */
const struct st_dialect st_sqlite_dialect = {
    .alone = "BEGIN IMMEDIATE",
    .has_own_table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'weir_schema'",
    .own_table = "CREATE TABLE IF NOT EXISTS weir_schema ("
                 "  table_name TEXT PRIMARY KEY,"
                 "  schema TEXT NOT NULL,"
                 "  version INTEGER NOT NULL,"
                 "  applied_at TEXT NOT NULL) WITHOUT ROWID",
    .columns = "SELECT name FROM pragma_table_info($1)",
    .any_case = true,
    .migration = migration,
    .types = {[ST_NULL] = "TEXT",
              [ST_TEXT] = "TEXT",
              [ST_JSON] = "TEXT",
              [ST_TIME] = "TEXT",
              [ST_INTEGER] = "INTEGER",
              [ST_REAL] = "REAL",
              [ST_BOOLEAN] = "INTEGER",
              [ST_HEX] = "TEXT"},
    .prune =
        "DELETE FROM \"{table}\" WHERE rowid IN (SELECT rowid FROM (SELECT rowid, received_at FROM \"{table}\" "
        "ORDER BY rowid LIMIT " ST_PRUNED_AT_ONCE_TEXT ") WHERE received_at < $1)",
    .prune_rejected =
        "DELETE FROM \"{table}_rejected\" WHERE id IN (SELECT id FROM (SELECT id, received_at FROM \"{table}_rejected\" "
        "ORDER BY id LIMIT " ST_PRUNED_AT_ONCE_TEXT ") WHERE received_at < $1)",
    .run = run,
};
