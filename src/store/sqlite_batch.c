/* Rows into an SQLite file: a batch is one transaction. */
#include <stdio.h>

#include "base/calendar.h"
#include "base/log.h"
#include "base/number.h"
#include "store/sqlite.h"

static sqlite3_stmt *prepare_for(sqlite3 *db, struct st_sink *sink, const char *sql, char *why) {
    struct b_arena arena;
    b_arena_init(&arena, B_TAG_STORE, NULL, NULL, 0, 65536);
    const char *text =
        sql ? st_sql_expand(sql, sink->table.name, &arena) : st_sql_insert(&sink->table, &arena);
    sqlite3_stmt *stmt = text ? st_sqlite_prepare(db, text) : NULL;
    if (!stmt)
        st_sqlite_why(text ? db : NULL, "its table cannot be used", why);
    b_arena_release(&arena);
    return stmt;
}

int st_sqlite_prepare_table(sqlite3 *db, struct st_sink *sink, char *why) {
    struct sqlite_table *t = b_zalloc(B_TAG_STORE, sizeof *t);
    if (!t) {
        st_sqlite_why(NULL, "its table cannot be used", why);
        return SQLITE_NOMEM;
    }
    sink->prepared = t;
    bool good = (t->insert = prepare_for(db, sink, NULL, why)) != NULL;
    if (good && sink->table.rejects)
        good =
            (t->reject =
                 prepare_for(db, sink,
                             "INSERT INTO \"{table}_rejected\" (received_at, reason, item) VALUES (?, ?, ?)",
                             why)) != NULL;
    if (good)
        return SQLITE_OK;
    int rc = sqlite3_extended_errcode(db);
    st_sqlite_drop_table(sink);
    return rc ? rc : SQLITE_ERROR;
}

void st_sqlite_drop_table(struct st_sink *sink) {
    struct sqlite_table *t = sink->prepared;
    sink->ready = false; /* only this thread looks at it, or a turn of it is over */
    sink->prepared = NULL;
    if (!t)
        return;
    sqlite3_finalize(t->insert);
    sqlite3_finalize(t->reject);
    b_free(t);
}

/* ---- a row ---- */

#define ROOM B_RFC3339_LEN
_Static_assert(ROOM >= ST_HEX_LEN, "a text of digits has room there");

/* Times are texts that sort: what SQLite's own functions of time read. `room` has place for them until the statement has run. */
static int bind_value(sqlite3_stmt *stmt, int at, const struct st_value *v, char *room) {
    switch ((enum st_kind)v->kind) {
    case ST_TEXT:
    case ST_JSON: return sqlite3_bind_text(stmt, at, v->text, (int)v->len, SQLITE_STATIC);
    case ST_TIME:
        b_format_rfc3339(room, v->integer);
        return sqlite3_bind_text(stmt, at, room, B_RFC3339_LEN, SQLITE_STATIC);
    case ST_INTEGER:
    case ST_BOOLEAN: return sqlite3_bind_int64(stmt, at, v->integer);
    case ST_REAL: return sqlite3_bind_double(stmt, at, v->real);
    case ST_HEX:
        b_format_hex(room, (uint64_t)v->integer);
        return sqlite3_bind_text(stmt, at, room, ST_HEX_LEN, SQLITE_STATIC);
    case ST_NULL: break;
    }
    return sqlite3_bind_null(stmt, at);
}

static int insert_row(struct st_sink *sink, const struct st_rows *rows, unsigned row) {
    const struct st_table *table = &sink->table;
    struct sqlite_table *t = sink->prepared;
    const struct st_value *values = rows->values + (size_t)row * st_own_columns(table);
    char rooms[ST_COLUMNS_MAX * ROOM];
    int rc = SQLITE_OK;
    for (unsigned i = 0; rc == SQLITE_OK && i < table->column_count; i++)
        rc = bind_value(t->insert, (int)i + 1, st_value_of(table, rows, values, i), rooms + i * ROOM);
    return rc ? rc : st_sqlite_run(t->insert);
}

static int insert_reject(struct st_sink *sink, struct b_slice item, struct b_slice reason) {
    struct sqlite_table *t = sink->prepared;
    char now[B_RFC3339_LEN];
    b_format_rfc3339(now, rt_wall_clock() / 1000);
    int rc = sqlite3_bind_text(t->reject, 1, now, B_RFC3339_LEN, SQLITE_STATIC);
    rc = rc ? rc : sqlite3_bind_text(t->reject, 2, reason.ptr, (int)reason.len, SQLITE_STATIC);
    rc = rc ? rc : sqlite3_bind_text(t->reject, 3, item.ptr, (int)item.len, SQLITE_STATIC);
    return rc ? rc : st_sqlite_run(t->reject);
}

/* Whether the row is to blame, not the store. */
static bool of_the_row(int rc) {
    switch (rc & 0xff) {
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
    case SQLITE_ERROR:
    case SQLITE_RANGE: return true;
    default: return false;
    }
}

/* ---- a post ---- */

/* A row that is refused undoes itself alone. Where there is no table for it, its post's savepoint undoes the rest. */
static int insert_one(struct sqlite_store *q, struct st_post *p, unsigned row) {
    struct st_sink *sink = p->sink;
    int rc = insert_row(sink, &p->rows, row);
    if (rc == SQLITE_OK) {
        p->result.duplicates += sqlite3_changes(q->db) == 0;
        return rc;
    }
    if (!of_the_row(rc))
        return rc;
    st_post_why(p, sqlite3_errmsg(q->db));
    p->result.bad_row = row;
    if (!sink->table.rejects)
        return rc;
    p->result.rejected++;
    return insert_reject(sink, st_slice(&p->rows.items[row]),
                         b_slice_cstr(p->result.why ? p->result.why : ""));
}

static int insert_post(struct sqlite_store *q, struct st_post *p) {
    int rc = SQLITE_OK;
    st_post_begin(p);
    for (unsigned i = 0; rc == SQLITE_OK && i < p->rows.count; i++)
        rc = insert_one(q, p, i);
    for (unsigned i = 0; rc == SQLITE_OK && i < p->rows.reject_count; i++) {
        rc = insert_reject(p->sink, p->rows.rejects[i].item, p->rows.rejects[i].reason);
        p->result.rejected++;
    }
    return rc;
}

static int insert_alone(struct sqlite_store *q, struct st_post *p) {
    int rc = sqlite3_exec(q->db, "SAVEPOINT post", NULL, NULL, NULL);
    if (rc)
        return rc;
    rc = insert_post(q, p);
    if (of_the_row(rc)) {
        p->outcome = ST_REFUSED;
        rc = sqlite3_exec(q->db, "ROLLBACK TO post", NULL, NULL, NULL);
    }
    return rc ? rc : sqlite3_exec(q->db, "RELEASE post", NULL, NULL, NULL);
}

/* ---- a batch ---- */

static int insert_all(struct sqlite_store *q, struct st_batch *b, bool carefully) {
    int rc = st_sqlite_run(q->begin);
    if (rc)
        return rc;
    B_LIST_EACH(n, &b->posts) {
        struct st_post *p = B_CONTAINER(n, struct st_post, link);
        rc = carefully ? insert_alone(q, p) : insert_post(q, p);
        if (rc)
            return rc;
    }
    return SQLITE_OK;
}

static void undo(struct sqlite_store *q) {
    if (!sqlite3_get_autocommit(q->db))
        (void)st_sqlite_run(q->rollback);
}

int st_sqlite_batch(struct sqlite_store *q, struct st_batch *b, char *why) {
    rt_time from = rt_clock();
    int rc = insert_all(q, b, false);
    if (of_the_row(rc)) { /* of one post: once more, with each on its own */
        undo(q);
        rc = insert_all(q, b, true);
    }
    if (rc) {
        st_sqlite_why(q->db, "rows cannot be written", why);
        undo(q);
        st_batch_outcome(b, ST_DOWN, why);
        return rc;
    }
    rc = st_sqlite_run(q->commit);
    if (rc) { /* a log that could not be synced may yet reach the disk */
        st_sqlite_why(q->db, "a commit failed", why);
        undo(q);
        st_batch_outcome(b, (rc & 0xff) == SQLITE_BUSY ? ST_DOWN : ST_IN_DOUBT, why);
        return rc;
    }
    st_observe_commit(b->sink, b->rows, rt_clock() - from);
    st_batch_outcome(b, ST_STORED, NULL);
    return SQLITE_OK;
}
