/* A store in an SQLite file: the thread that writes and the one that checkpoints. */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "base/log.h"
#include "store/sqlite.h"

#define CHECKPOINT_PAGES 1000 /* of the log, from which it is carried into the file */
#define LOG_PAGES 4096        /* 16 MiB: from then on it is to begin anew */
#define LOG_PAGES_MAX 16384   /* 64 MiB: it has to, however much is left to carry */
#define LITTLE 500            /* pages that take the writer some ms */
#define PRUNE_EVERY (60 * RT_S)
#define PRUNE_PAUSE (20 * RT_MS)

/* ---- the log ---- */

/* Gives the number of the log's pages that are in the file then. */
static unsigned checkpoint(sqlite3 *db, struct st_store *s) {
    int carried = 0;
    int rc = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, &carried);
    if (rc != SQLITE_OK && rc != SQLITE_BUSY)
        B_LOG(B_WARN, "store", "store %s: its log cannot be carried into the file: %s", s->name,
              sqlite3_errmsg(db));
    return carried > 0 ? (unsigned)carried : 0;
}

/* On a connection of its own, so that a commit does not wait for it. */
static void run_checkpointer(void *arg) {
    struct sqlite_store *q = arg;
    struct st_store *s = q->store;
    char why[ST_WHY_MAX];
    sqlite3 *db = st_sqlite_open(s->target, why);
    pthread_mutex_lock(&s->lock);
    while (!q->stop_checkpointer) {
        if (!q->checkpoint_wanted || !db) {
            q->checkpoint_wanted = false;
            pthread_cond_wait(&q->pages, &s->lock);
            continue;
        }
        pthread_mutex_unlock(&s->lock);
        unsigned carried = checkpoint(db, s);
        pthread_mutex_lock(&s->lock);
        q->carried = carried;
        q->checkpoint_wanted = false;
    }
    pthread_mutex_unlock(&s->lock);
    sqlite3_close_v2(db);
}

/* The checkpointer has carried most of a long log, and rests; what is left is little, or the log very long. */
static bool finish_log(const struct sqlite_store *q, unsigned pages) {
    if (q->checkpoint_wanted)
        return false;
    if (pages > q->busy_in_log + LOG_PAGES_MAX)
        return true;
    return pages > q->busy_in_log + LOG_PAGES && q->carried && q->carried < pages &&
           pages - q->carried < LITTLE;
}

/* After a commit: so many pages are in the log. A log never begins anew while its writer goes on filling it, so from a certain
 * length on the writer carries the last pages itself. */
static int committed(void *arg, sqlite3 *db, const char *name, int count) {
    struct sqlite_store *q = arg;
    unsigned pages = (unsigned)count;
    (void)name;
    if (pages < CHECKPOINT_PAGES) {
        q->busy_in_log = 0;
        return SQLITE_OK;
    }
    pthread_mutex_lock(&q->store->lock);
    bool finish = finish_log(q, pages);
    q->carried = finish ? 0 : q->carried;
    if (!finish && !q->checkpoint_wanted && q->checkpointer_runs) {
        q->checkpoint_wanted = true;
        pthread_cond_signal(&q->pages);
    }
    pthread_mutex_unlock(&q->store->lock);
    if (finish && checkpoint(db, q->store) < pages)
        q->busy_in_log = pages; /* a reader keeps it: not again at once */
    return SQLITE_OK;
}

/* ---- opening and closing ---- */

static void end_checkpointer(struct sqlite_store *q) {
    pthread_mutex_lock(&q->store->lock);
    bool runs = q->checkpointer_runs;
    q->stop_checkpointer = true;
    q->checkpointer_runs = false;
    pthread_cond_signal(&q->pages);
    pthread_mutex_unlock(&q->store->lock);
    if (runs)
        rt_thread_join(&q->checkpointer);
    q->stop_checkpointer = false;
}

static void close_db(struct sqlite_store *q) {
    struct st_store *s = q->store;
    for (struct st_sink *sink = st_next_sink(s, NULL, NULL); sink; sink = st_next_sink(s, sink, NULL))
        st_sqlite_drop_table(sink);
    end_checkpointer(q);
    sqlite3_finalize(q->begin);
    sqlite3_finalize(q->commit);
    sqlite3_finalize(q->rollback);
    q->begin = q->commit = q->rollback = NULL;
    if (!q->db)
        return;
    sqlite3_close_v2(q->db);
    q->db = NULL;
    pthread_mutex_lock(&s->lock);
    s->epoch++; /* what was known of commits is forgotten */
    pthread_mutex_unlock(&s->lock);
}

/* Without it, commits go on, and the writer sees to the log. */
static void start_checkpointer(struct sqlite_store *q) {
    int rc = rt_thread_start(&q->checkpointer, "weir-checkpoint", run_checkpointer, q);
    if (rc)
        B_LOG(B_WARN, "store", "store %s: no thread for checkpoints: %s", q->store->name, strerror(-rc));
    pthread_mutex_lock(&q->store->lock);
    q->checkpointer_runs = rc == 0;
    pthread_mutex_unlock(&q->store->lock);
}

static bool open_db(struct sqlite_store *q, char *why) {
    q->db = st_sqlite_open(q->store->target, why);
    if (!q->db)
        return false;
    if (q->suspect && !st_sqlite_sound(q->db, why))
        return false;
    q->suspect = false;
    struct st_session session = st_sqlite_session(q->db, why);
    if (st_own_table(&session) != 0)
        return false;
    q->begin = st_sqlite_prepare(q->db, "BEGIN IMMEDIATE");
    q->commit = st_sqlite_prepare(q->db, "COMMIT");
    q->rollback = st_sqlite_prepare(q->db, "ROLLBACK");
    if (!q->begin || !q->commit || !q->rollback) {
        st_sqlite_why(q->db, "it cannot be used", why);
        return false;
    }
    sqlite3_wal_hook(q->db, committed, q);
    start_checkpointer(q);
    return true;
}

/* Whether a write gets to the disk. */
static int probe(struct sqlite_store *q, char *why) {
    struct st_session session = st_sqlite_session(q->db, why);
    return st_probe(&session) ? session.code : SQLITE_OK;
}

/* ---- the writer ---- */

static rt_time retry_at(struct sqlite_store *q) {
    rt_time at = rt_after(rt_clock(), q->retry);
    q->retry = rt_earlier(q->retry * 2, ST_LAST_RETRY);
    return at;
}

/* What the disk could not do is not tried again on the same handle: its caches may claim what the disk does not have. */
static bool ends_the_handle(int rc) {
    switch (rc & 0xff) {
    case SQLITE_IOERR:
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_NOMEM: return true;
    default: return false;
    }
}

static void failed(struct sqlite_store *q, int rc, const char *why) {
    if (ends_the_handle(rc)) {
        q->suspect = (rc & 0xff) == SQLITE_IOERR || (rc & 0xff) == SQLITE_CORRUPT;
        close_db(q);
    }
    st_set_down(q->store, retry_at(q), why);
    st_refuse_waiting(q->store, NULL, why);
}

/* What is wrong with one table is not with the others. */
static int ready_one(struct sqlite_store *q, struct st_sink *sink, char *why) {
    if (sink->ready || rt_clock() < sink->retry_at)
        return SQLITE_OK;
    struct st_session session = st_sqlite_session(q->db, why);
    int rc = st_is_ours(&sink->table) ? st_migrate_table(&session, &sink->table, true, NULL) : 0;
    if (rc)
        rc = rc == -EINVAL ? SQLITE_ERROR : session.code ? session.code : SQLITE_NOMEM;
    else
        rc = st_sqlite_prepare_table(q->db, sink, why);
    if (rc && (rc & 0xff) != SQLITE_ERROR)
        return rc;
    sink->retry_at = rt_after(rt_clock(), ST_LAST_RETRY);
    sink->prune_at = rt_clock();
    st_sink_state(sink, rc ? why : NULL);
    return SQLITE_OK;
}

/* Tables of sinks that are new, or could not be used. */
static int ready_all(struct sqlite_store *q, char *why) {
    struct st_store *s = q->store;
    int rc = SQLITE_OK;
    for (struct st_sink *sink = st_next_sink(s, NULL, st_sqlite_drop_table); sink;
         sink = st_next_sink(s, sink, st_sqlite_drop_table))
        if (rc == SQLITE_OK)
            rc = ready_one(q, sink, why);
    return rc;
}

/* True: there are more rows that are too old. */
static bool prune(struct sqlite_store *q, struct st_sink *sink) {
    char why[ST_WHY_MAX];
    struct st_session session = st_sqlite_session(q->db, why);
    int more = st_prune(&session, sink);
    if (more < 0)
        B_LOG(B_WARN, "store", "store %s: old rows of %.*s stay: %s", q->store->name, B_FMT(sink->table.name),
              why);
    return more > 0;
}

/* When the next piece of work is due that no post asks for. */
static rt_time look_after(struct sqlite_store *q) {
    struct st_store *s = q->store;
    rt_time next = RT_NEVER;
    for (struct st_sink *sink = st_next_sink(s, NULL, NULL); sink; sink = st_next_sink(s, sink, NULL)) {
        if (!sink->ready)
            next = rt_earlier(next, sink->retry_at);
        if (!atomic_load(&sink->keep) || !sink->ready)
            continue;
        if (rt_clock() >= sink->prune_at)
            sink->prune_at = rt_after(rt_clock(), prune(q, sink) ? PRUNE_PAUSE : PRUNE_EVERY);
        next = rt_earlier(next, sink->prune_at);
    }
    return next;
}

/* Until there is something to do. */
static void wait_until(struct sqlite_store *q, rt_time until) {
    struct timespec ts = {.tv_sec = until / RT_S, .tv_nsec = until % RT_S};
    pthread_mutex_lock(&q->store->lock);
    while (!q->woken) {
        if (until == RT_NEVER)
            pthread_cond_wait(&q->work, &q->store->lock);
        else if (pthread_cond_timedwait(&q->work, &q->store->lock, &ts) == ETIMEDOUT)
            break;
    }
    q->woken = false;
    pthread_mutex_unlock(&q->store->lock);
}

/* Opens it or tries whether it works again; true: it does. */
static bool recover(struct sqlite_store *q) {
    struct st_store *s = q->store;
    char why[ST_WHY_MAX];
    bool broken = s->condition == ST_BROKEN; /* only this thread changes it */
    if (broken && rt_clock() < s->next_try) {
        wait_until(q, s->next_try);
        return false;
    }
    int rc = SQLITE_OK;
    if (!q->db && !open_db(q, why)) {
        rc = q->db ? sqlite3_extended_errcode(q->db) : SQLITE_CANTOPEN;
        close_db(q);
        failed(q, rc ? rc : SQLITE_CANTOPEN, why);
        return false;
    }
    rc = broken ? probe(q, why) : SQLITE_OK;
    rc = rc ? rc : ready_all(q, why);
    if (rc) {
        failed(q, rc, why);
        return false;
    }
    q->retry = ST_FIRST_RETRY;
    if (s->condition != ST_UP)
        st_set_up(s);
    return true;
}

/* One batch, or one wait. */
static void work(struct sqlite_store *q) {
    struct st_batch b;
    char why[ST_WHY_MAX];
    rt_time until;
    if (!recover(q))
        return;
    rt_time next = look_after(q);
    if (!st_batch_take(q->store, &b, &until)) {
        wait_until(q, rt_earlier(until, next));
        return;
    }
    int rc = st_sqlite_batch(q, &b, why);
    st_batch_end(&b);
    if (rc)
        failed(q, rc, why);
}

static void run_writer(void *arg) {
    struct sqlite_store *q = arg;
    struct st_store *s = q->store;
    while (!st_finished(s))
        work(q);
    st_refuse_waiting(s, NULL, "weir ends");
    close_db(q);
    atomic_store(&s->ended, true); /* the last that this thread touches */
}

/* ---- the home ---- */

static void wake(struct st_store *s) {
    struct sqlite_store *q = s->state;
    pthread_mutex_lock(&s->lock);
    q->woken = true;
    pthread_cond_signal(&q->work);
    pthread_mutex_unlock(&s->lock);
}

static int start(struct st_store *s) {
    struct sqlite_store *q = b_zalloc(B_TAG_STORE, sizeof *q);
    pthread_condattr_t monotonic;
    if (!q)
        return -ENOMEM;
    q->store = s;
    q->retry = ST_FIRST_RETRY;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&q->work, &monotonic);
    pthread_cond_init(&q->pages, &monotonic);
    pthread_condattr_destroy(&monotonic);
    s->state = q;
    int rc = rt_thread_start(&q->writer, "weir-sqlite", run_writer, q);
    if (rc) {
        b_free(q);
        s->state = NULL;
    }
    return rc;
}

static void stop(struct st_store *s) {
    struct sqlite_store *q = s->state;
    rt_thread_join(&q->writer);
    pthread_cond_destroy(&q->work);
    pthread_cond_destroy(&q->pages);
    b_free(q);
}

static unsigned connections(const struct st_store *s) {
    return s->condition == ST_UP;
}

/* Only a look makes no file. */
static int migrate(struct st_store *s, bool apply, struct b_text *out, char *why) {
    sqlite3 *db = apply ? st_sqlite_open(s->target, why) : st_sqlite_look(s->target, why);
    struct st_session session = st_sqlite_session(db, why);
    int rc = db ? 0 : -EIO;
    for (struct st_sink *sink = st_next_sink(s, NULL, NULL); sink; sink = st_next_sink(s, sink, NULL))
        if (rc == 0 && st_is_ours(&sink->table))
            rc = st_migrate_table(&session, &sink->table, apply, out);
    sqlite3_close_v2(db);
    return rc;
}

const struct st_home st_sqlite = {.name = "sqlite",
                                  .start = start,
                                  .wake = wake,
                                  .stop = stop,
                                  .connections = connections,
                                  .migrate = migrate};
