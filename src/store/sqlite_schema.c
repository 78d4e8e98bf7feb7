/* The tables that weir makes in an SQLite file, step by step; what has been done is in weir_schema. */
#include <stdio.h>

#include "base/calendar.h"
#include "store/sqlite.h"

int st_sqlite_own_table(sqlite3 *db, char *why) {
    int rc = sqlite3_exec(db,
                          "CREATE TABLE IF NOT EXISTS weir_schema ("
                          "  table_name TEXT PRIMARY KEY,"
                          "  schema TEXT NOT NULL,"
                          "  version INTEGER NOT NULL,"
                          "  applied_at TEXT NOT NULL) WITHOUT ROWID",
                          NULL, NULL, NULL);
    if (rc)
        st_sqlite_why(db, "weir_schema cannot be made", why);
    return rc;
}

/* The version that the table has; 0: it is not there. Negative with *why. */
static int version_of(sqlite3 *db, const struct st_table *t, char *why) {
    int version = 0;
    sqlite3_stmt *there =
        st_sqlite_prepare(db, "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'weir_schema'");
    bool known = there && sqlite3_step(there) == SQLITE_ROW;
    sqlite3_finalize(there);
    if (!known && sqlite3_errcode(db) != SQLITE_DONE && sqlite3_errcode(db) != SQLITE_OK) {
        st_sqlite_why(db, "its schema cannot be read", why);
        return -1;
    }
    if (!known)
        return 0;
    sqlite3_stmt *stmt =
        st_sqlite_prepare(db, "SELECT version, schema FROM weir_schema WHERE table_name = ?");
    if (stmt)
        sqlite3_bind_text(stmt, 1, t->name.ptr, (int)t->name.len, SQLITE_STATIC);
    int rc = stmt ? sqlite3_step(stmt) : SQLITE_ERROR;
    if (rc == SQLITE_ROW && strcmp((const char *)sqlite3_column_text(stmt, 1), t->schema) != 0) {
        snprintf(why, ST_WHY_MAX, "table %.*s holds %s, not %s: name another table", B_FMT(t->name),
                 (const char *)sqlite3_column_text(stmt, 1), t->schema);
        version = -1;
    } else if (rc == SQLITE_ROW) {
        version = sqlite3_column_int(stmt, 0);
    } else if (rc != SQLITE_DONE) {
        st_sqlite_why(db, "weir_schema cannot be read", why);
        version = -1;
    }
    sqlite3_finalize(stmt);
    return version;
}

static int note_version(sqlite3 *db, const struct st_table *t, unsigned version) {
    char now[B_RFC3339_LEN];
    sqlite3_stmt *stmt = st_sqlite_prepare(
        db,
        "INSERT OR REPLACE INTO weir_schema (table_name, schema, version, applied_at) VALUES (?, ?, ?, ?)");
    if (!stmt)
        return sqlite3_errcode(db);
    b_format_rfc3339(now, rt_wall_clock() / 1000);
    sqlite3_bind_text(stmt, 1, t->name.ptr, (int)t->name.len, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, t->schema, -1, SQLITE_STATIC);
    sqlite3_bind_int(stmt, 3, (int)version);
    sqlite3_bind_text(stmt, 4, now, B_RFC3339_LEN, SQLITE_STATIC);
    int rc = st_sqlite_run(stmt);
    sqlite3_finalize(stmt);
    return rc;
}

static int apply_one(sqlite3 *db, const struct st_table *t, const struct st_migration *m, char *why) {
    struct b_arena arena;
    b_arena_init(&arena, B_TAG_STORE, NULL, NULL, 0, 65536);
    const char *sql = st_sql_expand(m->sqlite, t->name, &arena);
    int rc = sql ? sqlite3_exec(db, sql, NULL, NULL, NULL) : SQLITE_NOMEM;
    rc = rc ? rc : note_version(db, t, m->version);
    if (rc)
        st_sqlite_why(sql ? db : NULL, m->title, why);
    b_arena_release(&arena);
    return rc;
}

/* What is there when the transaction has begun is what counts: another weir may do the same. */
static int apply_all(sqlite3 *db, const struct st_table *t, struct b_text *out, char *why) {
    int rc = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (rc) {
        st_sqlite_why(db, "its schema cannot be changed", why);
        return rc;
    }
    rc = st_sqlite_own_table(db, why);
    int version = rc ? -1 : version_of(db, t, why);
    rc = version < 0 ? SQLITE_ERROR : 0;
    for (const struct st_migration *m = t->migrations; rc == 0 && m->version; m++) {
        if (m->version <= (unsigned)version)
            continue;
        rc = apply_one(db, t, m, why);
        if (out && rc == 0)
            b_text_printf(out, "  %.*s: version %u: %s\n", B_FMT(t->name), m->version, m->title);
    }
    if (rc == 0 && (rc = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL)) != 0)
        st_sqlite_why(db, "its schema cannot be changed", why);
    if (rc)
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

int st_sqlite_migrate_table(sqlite3 *db, const struct st_table *t, bool apply, struct b_text *out,
                            char *why) {
    unsigned latest = 0;
    int version = version_of(db, t, why);
    if (version < 0)
        return SQLITE_ERROR;
    for (const struct st_migration *m = t->migrations; m->version; m++) {
        latest = m->version;
        if (!apply && latest > (unsigned)version)
            b_text_printf(out, "  %.*s: version %u: %s\n", B_FMT(t->name), latest, m->title);
    }
    if ((unsigned)version > latest) {
        snprintf(why, ST_WHY_MAX, "table %.*s is of version %d, made by a newer weir: this one knows %u",
                 B_FMT(t->name), version, latest);
        return SQLITE_ERROR;
    }
    return apply && (unsigned)version < latest ? apply_all(db, t, out, why) : SQLITE_OK;
}
