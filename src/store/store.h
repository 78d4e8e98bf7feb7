/* Stores: databases that rows go into. One interface, two homes: an SQLite file (sqlite.c), and a PostgreSQL server
 * (postgres.c). The living side of a store is the process's and goes by what its config says; snapshots hold references.
 *
 * Rows come in posts, which are atomic: all of a post's rows are stored, or none. Posts of all requests and workers wait in one
 * queue for each table; a batch of them is one transaction (group commit), and a post is told that it is stored when that
 * transaction is on disk. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/text.h"
#include "config/config.h"
#include "runtime/time.h"

#define ST_COLUMNS_MAX 64
#define ST_WHY_MAX 256 /* bytes of a reason, its NUL included */

/* ---- rows ---- */

enum st_kind {
    ST_NULL,
    ST_TEXT, /* UTF-8, without NUL */
    ST_JSON, /* a JSON text */
    ST_TIME, /* `integer`: microseconds since 1970 */
    ST_INTEGER,
    ST_REAL,
    ST_BOOLEAN, /* `integer`: 0 or 1 */
    ST_HEX      /* `integer`: a text of its 16 hexadecimal digits */
};
#define ST_KINDS (ST_HEX + 1)
#define ST_HEX_LEN 16

/* Packed, for rows of thousands of posts wait at once. */
struct st_value {
    union {
        const char *text; /* lent: the post's */
        int64_t integer;
        double real;
    };
    uint32_t len : 29; /* bytes of a text */
    uint32_t kind : 3; /* enum st_kind */
} __attribute__((packed, aligned(4)));
#define ST_LEN_MAX ((1u << 29) - 1)

/* At most ST_LEN_MAX bytes, as all bodies are. */
static inline struct st_value st_text(struct b_slice s) {
    return (struct st_value){.text = s.ptr, .len = (uint32_t)s.len & ST_LEN_MAX, .kind = ST_TEXT};
}
static inline struct st_value st_json(struct b_slice s) {
    return (struct st_value){.text = s.ptr, .len = (uint32_t)s.len & ST_LEN_MAX, .kind = ST_JSON};
}
static inline struct b_slice st_slice(const struct st_value *v) {
    return b_slice(v->text, v->len);
}
static inline bool st_is_text(const struct st_value *v) {
    return v->kind == ST_TEXT || v->kind == ST_JSON;
}
static inline struct st_value st_time(int64_t us) {
    return (struct st_value){.integer = us, .kind = ST_TIME};
}

/* ---- tables ---- */

/* A step of a schema. In its SQL {table} is the table's name. */
struct st_migration {
    unsigned version;  /* from 1, in order; 0 ends the list */
    const char *title; /* what it does, for `weir migrate` */
    const char *sqlite, *postgres;
};

/* What rows go into. */
struct st_table {
    struct b_slice name; /* an identifier: st_check_name */
    const struct b_slice *columns;
    unsigned column_count;
    unsigned common_count; /* of the last columns: all rows of a post have the same values there */
    const uint8_t
        *kinds; /* enum st_kind of each column's values, ST_NULL aside. NULL: they differ from row to row */
    const unsigned
        *key; /* columns by which a row is known, none of the common ones; none: each row is a new one */
    unsigned key_count;
    /* Of ON CONFLICT (key) DO: `UPDATE SET ... WHERE ...` in the SQL that both homes share; NULL: NOTHING. {table} is the name. */
    const char *update;
    /* Which of two rows with the same key is to stay, the later one if true: what `update` does, for rows of one transaction. NULL: the
     * first one. */
    bool (*replaces)(const struct st_value *earlier, const struct st_value *later);
    bool
        rejects; /* rows that the database refuses go into NAME_rejected (received_at, reason, item), and their post is stored */
    /* weir makes the table by these steps (static), or of `columns` and `kinds`, and adds columns that it lacks later; neither: it is
     * somebody else's. */
    const struct st_migration *migrations;
    bool made_of_columns;
    const char *schema; /* static: what it is known by in the database: "alerts" */
    rt_time keep;       /* rows with an older received_at are taken away; 0: none */
};

/* Those that differ from row to row. */
static inline unsigned st_own_columns(const struct st_table *t) {
    return t->column_count - t->common_count;
}
static inline bool st_is_ours(const struct st_table *t) {
    return t->migrations || t->made_of_columns;
}

/* An unquoted identifier that every database takes: a letter or _, letters, digits or _, 1 to 48 of them. NULL, or why not. */
const char *st_check_name(struct b_slice name);

/* ---- posts ---- */

struct st_sink;

enum st_outcome {
    ST_WAITS,
    ST_STORED,
    ST_REFUSED, /* the database does not take one of its rows: bad_row, why. Nothing of it is stored */
    ST_FULL,    /* too many wait. Not stored */
    ST_DOWN,    /* the store is down: why. Not stored */
    ST_LATE,    /* its deadline passed, or its request was cancelled, while it waited. Not stored */
    ST_IN_DOUBT /* the commit failed, or is not over at the deadline: it may be stored, or come to be */
};

struct st_reject {
    struct b_slice item, reason;
};

struct rt_fiber;
struct st_post;

/* What a post is made of; all of it lives until the post's last reference goes. */
struct st_rows {
    struct b_arena arena;    /* for what its maker needs */
    struct b_text body;      /* on the heap: what values point into */
    void *block;             /* what st_rows_reserve has made */
    struct st_value *values; /* rows * columns of the table that are not common */
    struct st_value *common; /* of the columns that are */
    struct st_value *items;  /* of each row, as it came, for NAME_rejected; NULL where the table has none */
    unsigned count;
    struct st_reject *rejects; /* items that never became rows */
    unsigned reject_count;
};

/* Makes room for so many rows of the table, and for texts of them in the arena (if nothing is in it yet); all values are null, and no
 * row is there yet. 0 or -ENOMEM. */
int st_rows_reserve(struct st_rows *rows, const struct st_table *table, unsigned count, size_t text_bytes);
/* Gives all back. */
void st_rows_free(struct st_rows *rows);

/* What came of it. */
struct st_result {
    unsigned duplicates; /* rows that changed nothing */
    unsigned rejected;   /* rows that went to NAME_rejected, those of `rejects` included */
    unsigned bad_row;    /* of ST_REFUSED: from 0 */
    char *why;           /* the post's; NULL: there is nothing to say, or memory is short */
};

/* NULL when memory is short. One reference. */
struct st_post *st_post_new(void);
void st_post_put(struct st_post *p);
struct st_rows *st_post_rows(struct st_post *p);
/* After st_insert. */
const struct st_result *st_post_result(const struct st_post *p);

struct st_limits {
    unsigned max_rows;    /* of a batch; a larger post is one of its own */
    unsigned max_waiting; /* posts of the table */
    rt_time max_wait;     /* how long a batch that is not full is held back */
};

/* Puts the post's rows into the table and waits until they are on disk. From a fiber; once for a post. */
enum st_outcome st_insert(struct st_sink *sink, struct st_post *p, const struct st_limits *limits,
                          rt_time deadline);

/* Whether these bytes were stored as a whole post within the last minute, on the connection that the store still has: an identical
 * repeat need not be stored again. `digest` is what st_digest made of them. */
struct st_digest {
    uint64_t low, high;
};
struct st_digest st_digest(const struct st_sink *sink, struct b_slice bytes);
bool st_remembers(struct st_sink *sink, struct st_digest digest);
void st_remember(struct st_sink *sink, struct st_digest digest, const struct st_post *stored);

/* ---- stores ---- */

struct st_store;
struct st_registry;

struct st_registry *st_registry_new(void);
/* After the stores have ended: st_registry_close. */
void st_registry_free(struct st_registry *r);
/* Finishes what waits, closes the databases, and waits for that until the deadline; nothing is taken any more. False, and logged: one
 * is not over, since a write to it hangs, and the registry cannot be freed. From a fiber. */
bool st_registry_close(struct st_registry *r, rt_time deadline);
/* Whether all stores are up, or have not been down for as long as their config lets them. */
bool st_registry_ready(struct st_registry *r);

/* The store that the config describes, counted: st_put. Nothing of the world is touched before st_start. NULL when memory is
 * short. */
struct st_store *st_get(struct st_registry *r, const struct cfg_store *conf);
void st_put(struct st_store *s);
const char *st_name(const struct st_store *s);
/* Opens it, and brings the tables that sinks were made for up to date; waits for that until the deadline. 0, or negative with *why
 * (ST_WHY_MAX bytes) when it is not up by then: it goes on trying by itself. From a fiber. */
int st_start(struct st_store *s, rt_time deadline, char *why);

/* The way into a table, counted: st_sink_put. The same table gives the same sink. `table` is copied. NULL when memory is short. */
struct st_sink *st_sink_get(struct st_store *s, const struct st_table *table);
void st_sink_put(struct st_sink *sink);

/* For `weir migrate`: what is to be done to the tables of all sinks, a line each, and (apply) does it. From a fiber. 0, or negative
 * with *why. */
int st_migrate(struct st_store *s, bool apply, struct b_text *out, char *why);

#endif
