/* Opening an SQLite file so that what is committed is on disk, and that others can read it meanwhile. */
#include <errno.h>
#include <stdio.h>

#include "store/sqlite.h"

#define BUSY_MS 2000 /* how long another process may hold the file's lock */

void st_sqlite_why(sqlite3 *db, const char *what, char *why) {
    int code = db ? sqlite3_extended_errcode(db) : SQLITE_NOMEM;
    const char *text = db ? sqlite3_errmsg(db) : "out of memory";
    int system = db ? sqlite3_system_errno(db) : 0;
    bool input = (code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN;
    const char *before = what ? what : "", *colon = what ? ": " : "";
    if (input && system)
        snprintf(why, ST_WHY_MAX, "%s%s%s (%s)", before, colon, text, strerror(system));
    else if ((code & 0xff) == SQLITE_BUSY)
        snprintf(why, ST_WHY_MAX, "%s%sanother process holds the file's lock", before, colon);
    else
        snprintf(why, ST_WHY_MAX, "%s%s%s", before, colon, text);
}

sqlite3_stmt *st_sqlite_prepare(sqlite3 *db, const char *sql) {
    sqlite3_stmt *stmt = NULL;
    (void)sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL);
    return stmt;
}

int st_sqlite_run(sqlite3_stmt *stmt) {
    int rc = sqlite3_step(stmt);
    int reset = sqlite3_reset(stmt);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : reset ? reset : rc;
}

/* Write-ahead log: readers do not wait for the writer, nor it for them, and a commit is one append and one fsync. */
static bool use_wal(sqlite3 *db, char *why) {
    sqlite3_stmt *stmt = st_sqlite_prepare(db, "PRAGMA journal_mode = WAL");
    bool wal = false;
    if (stmt && sqlite3_step(stmt) == SQLITE_ROW)
        wal = sqlite3_stricmp((const char *)sqlite3_column_text(stmt, 0), "wal") == 0;
    if (!wal && (!stmt || sqlite3_errcode(db) != SQLITE_ROW))
        st_sqlite_why(db, "it cannot be opened", why);
    else if (!wal)
        snprintf(why, ST_WHY_MAX, "its file system takes no write-ahead log (mmap and locks are needed)");
    sqlite3_finalize(stmt);
    return wal;
}

static bool configure(sqlite3 *db, char *why) {
    /* the schema is trusted: its owner may well have an index over json_extract(labels, ...) */
    static const char settings[] = "PRAGMA synchronous = FULL;"
                                   "PRAGMA wal_autocheckpoint = 0;"
                                   "PRAGMA cache_size = -16384;" /* KiB */
                                   "PRAGMA temp_store = MEMORY;"
                                   "PRAGMA cell_size_check = ON;"
                                   "PRAGMA journal_size_limit = 67108864;";
    sqlite3_extended_result_codes(db, 1);
    sqlite3_busy_timeout(db, BUSY_MS);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    if (!use_wal(db, why))
        return false;
    if (sqlite3_exec(db, settings, NULL, NULL, NULL) == SQLITE_OK)
        return true;
    st_sqlite_why(db, "it cannot be set up", why);
    return false;
}

sqlite3 *st_sqlite_open(const char *path, char *why) {
    sqlite3 *db = NULL;
    st_sqlite_use_memory();
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    bool good = sqlite3_open_v2(path, &db, flags, NULL) == SQLITE_OK;
    if (!good)
        st_sqlite_why(db, "it cannot be opened", why);
    else
        good = configure(db, why);
    if (good && sqlite3_db_readonly(db, "main") == 1) {
        snprintf(why, ST_WHY_MAX, "its file is read-only");
        good = false;
    }
    if (good)
        return db;
    sqlite3_close_v2(db);
    return NULL;
}

sqlite3 *st_sqlite_look(const char *path, char *why) {
    sqlite3 *db = NULL;
    st_sqlite_use_memory();
    int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_CANTOPEN && sqlite3_system_errno(db) == ENOENT) { /* a new one has nothing in it */
        sqlite3_close_v2(db);
        rc = sqlite3_open_v2(":memory:", &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    }
    if (rc == SQLITE_OK)
        return db;
    st_sqlite_why(db, "it cannot be opened", why);
    sqlite3_close_v2(db);
    return NULL;
}

bool st_sqlite_sound(sqlite3 *db, char *why) {
    sqlite3_stmt *stmt = st_sqlite_prepare(db, "PRAGMA quick_check(1)");
    bool sound = stmt && sqlite3_step(stmt) == SQLITE_ROW &&
                 sqlite3_stricmp((const char *)sqlite3_column_text(stmt, 0), "ok") == 0;
    if (!sound && stmt && sqlite3_errcode(db) == SQLITE_ROW)
        snprintf(why, ST_WHY_MAX, "the file is damaged: %s; restore it, or give weir a new one",
                 (const char *)sqlite3_column_text(stmt, 0));
    else if (!sound)
        st_sqlite_why(db, "it cannot be checked", why);
    sqlite3_finalize(stmt);
    return sound;
}
