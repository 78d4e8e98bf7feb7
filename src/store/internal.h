/* What the homes of stores share. For the folder only. */
#ifndef STORE_INTERNAL_H
#define STORE_INTERNAL_H

#include <pthread.h>

#include "base/list.h"
#include "base/siphash.h"
#include "runtime/worker.h"
#include "store/store.h"
#include "telemetry/metrics.h"

#define ST_FIRST_RETRY (100 * RT_MS)
#define ST_LAST_RETRY (5 * RT_S)
#define ST_REPEATS 4096 /* posts that are remembered, of a table */

struct st_post {
    struct st_rows rows;
    struct st_result result;
    /* touched on the home worker only */
    unsigned refs;
    struct rt_fiber *fiber; /* NULL: nobody waits any more */
    bool over;
    /* guarded by the store's lock until a batch takes it; then the batch's */
    struct b_list link;
    bool queued;
    struct st_sink *sink;
    struct rt_worker *home;
    struct rt_msg msg;
    rt_time since, deadline;
    struct st_limits limits;
    enum st_outcome outcome;
    uint64_t epoch; /* of the connection that stored it */
};

struct st_repeat {
    struct st_digest digest;
    rt_time at; /* 0: free */
    uint64_t epoch;
};

struct st_sink {
    struct b_list link; /* store->sinks */
    struct st_store *store;
    uint64_t id;          /* of the process */
    struct b_arena arena; /* of the table, and what the home needs for it */
    struct st_table table;
    _Atomic int64_t keep;
    /* guarded by the store's lock */
    unsigned refs;
    struct b_list queue;
    unsigned waiting; /* posts, those that a batch has included */
    unsigned queued_rows;
    bool known;           /* whether its table can be used */
    rt_time broken_since; /* its table cannot be used: why; 0: it can */
    char why[ST_WHY_MAX];
    struct st_repeat *repeats; /* ST_REPEATS, or NULL until one is remembered */
    bool ready; /* the table is up to date, and what is needed is prepared: batches are taken of it */
    /* the home's */
    void *prepared;
    rt_time prune_at, retry_at;
    struct st_series {
        struct tel_series *rows, *batch_rows, *commit, *duplicates, *rejected, *failed, *timeouts;
    } series;
};

enum st_condition { ST_STARTING, ST_UP, ST_BROKEN };

struct st_home {
    const char *name; /* "sqlite" */
    /* Starts what serves the store. 0 or negative. From a fiber. */
    int (*start)(struct st_store *s);
    /* There is something to do: a post, a sink, or that it closes. Any thread; the lock is not held. */
    void (*wake)(struct st_store *s);
    /* Once it has ended: frees what it had. Does not wait for long. */
    void (*stop)(struct st_store *s);
    /* How many it has to the database. With the lock. */
    unsigned (*connections)(const struct st_store *s);
    int (*migrate)(struct st_store *s, bool apply, struct b_text *out, char *why);
};
extern const struct st_home st_sqlite, st_postgres;

struct st_store {
    struct b_list link; /* registry->stores */
    struct st_registry *registry;
    struct b_arena arena;
    char *name, *target; /* the file, or the connection string */
    struct cfg_store_pool pool;
    _Atomic int64_t unready_after;
    unsigned refs; /* guarded by the registry's lock */
    const struct st_home *home;
    void *state; /* the home's */
    pthread_mutex_t lock;
    struct b_list sinks; /* guarded by the lock, as all that follows */
    unsigned next_sink;
    bool started, closing;
    _Atomic bool ended; /* nothing of the home runs any more */
    enum st_condition condition;
    rt_time since, next_try;
    char why[ST_WHY_MAX];
    uint64_t epoch; /* grows with every connection that is lost */
};

/* The posts of one transaction. */
struct st_batch {
    struct st_sink *sink;
    struct b_list posts;
    unsigned rows, count;
};

/* Takes the posts that are due, of the table whose turn it is. False: there are none; *until is then when the first will be
 * (RT_NEVER: none waits). Takes the lock. */
bool st_batch_take(struct st_store *s, struct st_batch *b, rt_time *until);
/* Tells the posts what their `outcome` is, and counts them. The batch is empty then. */
void st_batch_end(struct st_batch *b);
/* `row`: the values of one, common ones aside. */
static inline const struct st_value *st_value_of(const struct st_table *t, const struct st_rows *rows,
                                                 const struct st_value *row, unsigned column) {
    unsigned own = st_own_columns(t);
    return column < own ? &row[column] : &rows->common[column - own];
}
/* Why it is as it is: copied. By whoever has the post. */
void st_post_why(struct st_post *p, const char *why);
/* Nothing is known of what comes of it. */
void st_post_begin(struct st_post *p);
/* Sets the outcome of all that have none yet. */
void st_batch_outcome(struct st_batch *b, enum st_outcome outcome, const char *why);
/* Refuses all that wait, for one table (NULL: for all): it is down. Takes the lock. */
void st_refuse_waiting(struct st_store *s, const struct st_sink *only, const char *why);

/* Says how the store is; logs a change. Takes the lock. */
void st_set_up(struct st_store *s);
void st_set_down(struct st_store *s, rt_time next_try, const char *why);
/* The next sink behind `after` (NULL: the first) that is used, with a reference; it takes that of `after`. Those that nobody uses any
 * more are given to `drop` and freed. */
struct st_sink *st_next_sink(struct st_store *s, struct st_sink *after, void (*drop)(struct st_sink *));
/* Whether the store closes and all is done that was accepted before; its writers then end. Takes the lock. */
bool st_finished(struct st_store *s);
/* Says whether the table can be used, as `ready` tells from then on (why NULL), or not; what waits for it is refused. Logs a change. Takes the lock. */
void st_sink_state(struct st_sink *sink, const char *why);

/* sql.c: SQL of a table, in the arena. NULL when memory is short. */
char *st_sql_insert(const struct st_table *t, struct b_arena *arena);
/* Makes it of its columns, whose SQL types `types` has by kind. */
char *st_sql_create(const struct st_table *t, const char *const *types, struct b_arena *arena);
/* ON CONFLICT and what follows, for a table with a key. */
void st_sql_conflict(struct b_text *sql, const struct st_table *t);
/* A text with {table} in it. */
char *st_sql_expand(const char *sql, struct b_slice table, struct b_arena *arena);

/* metrics.c */
void st_metrics_open(struct st_registry *r);
void st_metrics_close(struct st_registry *r);
void st_sink_series(struct st_sink *sink);
/* A transaction of that many rows is on disk. */
void st_observe_commit(const struct st_sink *sink, unsigned row_count, rt_time took);

struct st_registry {
    pthread_mutex_t lock;
    struct b_list stores;
    struct b_hash_key keys[2]; /* of digests */
};

#endif
