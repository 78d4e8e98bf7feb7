/* A store in a PostgreSQL database: a fiber on each worker, with a connection of its own, that writes what has gathered. */
#include <errno.h>
#include <stdio.h>

#include "base/log.h"
#include "runtime/fiber.h"
#include "store/postgres.h"

#define WRITERS 6 /* at the least: while one waits for the disk, others send (docs/benchmarks.md) */
#define BATCH_TIME (60 * RT_S)
#define PRUNE_EVERY (60 * RT_S)
#define PRUNE_PAUSE (20 * RT_MS)

struct writer {
    struct pg_store *store;
    struct pg_conn conn;
    unsigned index;
    rt_time retry, next_try;
    /* guarded by the store's lock */
    bool idle, told; /* it waits for something to do; a message to it is on its way */
    /* touched on its worker only */
    struct rt_fiber *fiber;
    struct rt_worker *home;
    struct rt_msg msg;
    bool parked, woken;
};

struct pg_store {
    struct st_store *store;
    unsigned count; /* writers that were started */
    /* guarded by the store's lock */
    unsigned running, connected;
    bool sees_to_tables; /* a writer does */
    struct writer writers[];
};

/* ---- waking ---- */

static void told(struct rt_msg *m) {
    struct writer *w = B_CONTAINER(m, struct writer, msg);
    struct st_store *s = w->store->store;
    pthread_mutex_lock(&s->lock);
    w->told = false;
    pthread_mutex_unlock(&s->lock);
    w->woken = true;
    if (w->parked)
        rt_wake(w->fiber, 0);
}

/* With the lock. */
static void tell(struct writer *w) {
    if (w->told)
        return;
    w->idle = false;
    w->told = true;
    rt_post(w->home, &w->msg);
}

/* One that is idle; all of them when the store closes. */
static void wake(struct st_store *s) {
    struct pg_store *p = s->state;
    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < p->count; i++) {
        struct writer *w = &p->writers[i];
        if (!w->home || (!w->idle && !s->closing))
            continue;
        tell(w);
        if (!s->closing)
            break;
    }
    pthread_mutex_unlock(&s->lock);
}

/* Until there may be something to do. */
static void sleep_until(struct writer *w, rt_time until) {
    w->parked = true;
    if (!w->woken)
        (void)!rt_park(until);
    w->parked = w->woken = false;
}

/* ---- trouble ---- */

static void broken(struct writer *w, const char *why) {
    struct st_store *s = w->store->store;
    w->next_try = rt_after(rt_clock(), w->retry);
    w->retry = rt_earlier(w->retry * 2, ST_LAST_RETRY);
    pthread_mutex_lock(&s->lock);
    bool alone = w->store->connected == 0;
    pthread_mutex_unlock(&s->lock);
    if (!alone)
        return; /* another one goes on */
    st_set_down(s, w->next_try, why);
    st_refuse_waiting(s, NULL, why);
}

static void count_connected(struct writer *w, int by) {
    struct st_store *s = w->store->store;
    pthread_mutex_lock(&s->lock);
    w->store->connected += (unsigned)by;
    if (by < 0)
        s->epoch++; /* what was known of commits is forgotten */
    pthread_mutex_unlock(&s->lock);
}

static void disconnect(struct writer *w) {
    if (!w->conn.pg)
        return;
    st_pg_close(&w->conn);
    count_connected(w, -1);
}

/* The store, not a row, is to blame. A connection that the server has spoken well on can stay. */
static void failed(struct writer *w) {
    char why[ST_WHY_MAX];
    memcpy(why, w->conn.why, sizeof why);
    disconnect(w);
    broken(w, why);
}

/* ---- tables ---- */

/* Undefined tables and columns, and rights: of one table. */
static bool of_the_table(const struct pg_conn *c) {
    return !c->lost && st_pg_class_is(c, "42");
}

/* What another transaction's locks, or a limit of time, undid: of these posts. */
static bool of_the_batch(const struct pg_conn *c) {
    return !c->lost && (st_pg_class_is(c, "40") || st_pg_class_is(c, "55") || strcmp(c->state, "57014") == 0);
}

static int ready_one(struct writer *w, struct st_sink *sink) {
    struct pg_conn *c = &w->conn;
    rt_time deadline = rt_after(rt_now(), BATCH_TIME);
    struct st_session session = st_pg_session(c, deadline);
    if (sink->ready || rt_clock() < sink->retry_at)
        return 0;
    c->state[0] = 0;
    int rc = st_is_ours(&sink->table) ? st_migrate_table(&session, &sink->table, true, NULL) : 0;
    bool told = rc == -EINVAL; /* the table is to blame, though the server may have said nothing */
    rc = rc ? rc : st_pg_prepare_table(c, sink, deadline);
    rc = rc ? rc : st_pg_check_table(c, sink, deadline);
    if (rc && !told && !of_the_table(c))
        return rc;
    sink->retry_at = rt_after(rt_clock(), ST_LAST_RETRY);
    sink->prune_at = rt_clock();
    st_sink_state(sink, rc ? c->why : NULL);
    return 0;
}

static int prune_one(struct writer *w, struct st_sink *sink) {
    if (!atomic_load(&sink->keep) || !sink->ready || rt_clock() < sink->prune_at)
        return 0;
    struct st_session session = st_pg_session(&w->conn, rt_after(rt_now(), BATCH_TIME));
    int more = st_prune(&session, sink);
    sink->prune_at = rt_after(rt_clock(), more > 0 ? PRUNE_PAUSE : PRUNE_EVERY);
    if (more < 0 && !w->conn.lost)
        B_LOG(B_WARN, "store", "store %s: old rows of %.*s stay: %s", sink->store->name,
              B_FMT(sink->table.name), w->conn.why);
    return w->conn.lost ? more : 0;
}

static void drop(struct st_sink *sink) {
    (void)sink; /* what was prepared is in its arena */
}

/* One writer at a time. *next: when there is more to do that no post asks for. */
static int look_after(struct writer *w, rt_time *next) {
    struct st_store *s = w->store->store;
    pthread_mutex_lock(&s->lock);
    bool mine = !w->store->sees_to_tables;
    w->store->sees_to_tables = true;
    pthread_mutex_unlock(&s->lock);
    *next = RT_NEVER;
    if (!mine)
        return 0;
    int rc = 0;
    for (struct st_sink *sink = st_next_sink(s, NULL, drop); sink; sink = st_next_sink(s, sink, drop)) {
        rc = rc ? rc : ready_one(w, sink);
        rc = rc ? rc : prune_one(w, sink);
        if (!sink->ready)
            *next = rt_earlier(*next, sink->retry_at);
        else if (atomic_load(&sink->keep))
            *next = rt_earlier(*next, sink->prune_at);
    }
    pthread_mutex_lock(&s->lock);
    w->store->sees_to_tables = false;
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* ---- a writer ---- */

/* Connects, or tries whether the store works again; true: it does. */
static bool recover(struct writer *w) {
    struct st_store *s = w->store->store;
    if (rt_clock() < w->next_try) {
        sleep_until(w, w->next_try);
        return false;
    }
    if (w->conn.pg)
        return true;
    rt_time deadline = rt_after(rt_now(), s->pool.connect_timeout);
    int rc = st_pg_connect(&w->conn, s->target, deadline);
    if (rc) {
        broken(w, w->conn.why);
        return false;
    }
    count_connected(w, 1);
    struct st_session session = st_pg_session(&w->conn, deadline);
    if ((rc = st_probe(&session)) != 0) {
        failed(w);
        return false;
    }
    pthread_mutex_lock(&s->lock);
    bool up = s->condition == ST_UP;
    pthread_mutex_unlock(&s->lock);
    if (!up)
        st_set_up(s);
    return true;
}

static bool take(struct writer *w, struct st_batch *b, rt_time *until) {
    struct st_store *s = w->store->store;
    if (st_batch_take(s, b, until))
        return true;
    pthread_mutex_lock(&s->lock);
    w->idle = true; /* from now on it is told; what came in between is seen below */
    pthread_mutex_unlock(&s->lock);
    bool taken = st_batch_take(s, b, until);
    pthread_mutex_lock(&s->lock);
    w->idle &= !taken;
    pthread_mutex_unlock(&s->lock);
    return taken;
}

/* One batch, or one wait. */
static void work(struct writer *w) {
    struct st_batch b;
    rt_time until, next;
    if (!recover(w))
        return;
    if (look_after(w, &next) != 0) {
        failed(w);
        return;
    }
    if (!take(w, &b, &until)) {
        sleep_until(w, rt_earlier(until, next));
        return;
    }
    int rc = st_pg_batch(&w->conn, &b, rt_after(rt_now(), BATCH_TIME));
    struct st_sink *sink = b.sink;
    bool table = rc && of_the_table(&w->conn);
    if (table)
        st_sink_state(sink, w->conn.why);
    st_batch_end(&b);
    if (rc && !table && !of_the_batch(&w->conn))
        failed(w);
    else
        w->retry = ST_FIRST_RETRY;
}

static void run_writer(void *arg) {
    struct writer *w = arg;
    struct st_store *s = w->store->store;
    bool last;
    w->fiber = rt_fiber_self();
    rt_cancel_off(); /* it ends when the store closes */
    while (!st_finished(s))
        work(w);
    disconnect(w);
    pthread_mutex_lock(&s->lock);
    w->idle = false;
    bool on_its_way = w->told;
    pthread_mutex_unlock(&s->lock);
    if (on_its_way)
        sleep_until(w, RT_NEVER);
    pthread_mutex_lock(&s->lock);
    w->home = NULL;
    last = --w->store->running == 0;
    pthread_mutex_unlock(&s->lock);
    rt_cancel_on();
    if (!last)
        return;
    st_refuse_waiting(s, NULL, "weir ends");
    atomic_store(&s->ended, true);
}

/* ---- the home ---- */

static void spawn_one(struct pg_store *p, struct writer *w) {
    struct st_store *s = p->store;
    pthread_mutex_lock(&s->lock);
    w->home = rt_self();
    p->running++;
    pthread_mutex_unlock(&s->lock);
    if (rt_spawn("store writer", run_writer, w) == 0)
        return;
    pthread_mutex_lock(&s->lock);
    w->home = NULL;
    p->running--;
    pthread_mutex_unlock(&s->lock);
}

static void spawn(void *arg) {
    struct pg_store *p = arg;
    for (unsigned i = rt_index(); i < p->count; i += rt_worker_count())
        spawn_one(p, &p->writers[i]);
}

static int start(struct st_store *s) {
    unsigned count = rt_worker_count() < WRITERS ? WRITERS : rt_worker_count();
    if (count > s->pool.max_open)
        count = (unsigned)s->pool.max_open;
    struct pg_store *p = b_zalloc(B_TAG_STORE, sizeof *p + count * sizeof p->writers[0]);
    if (!p)
        return -ENOMEM;
    p->store = s;
    p->count = count;
    for (unsigned i = 0; i < count; i++)
        p->writers[i] = (struct writer){.store = p, .index = i, .retry = ST_FIRST_RETRY, .msg = {.fn = told}};
    s->state = p;
    p->running = 1; /* so that none is the last one before all have begun */
    int rc = rt_on_all_workers("store", spawn, p);
    pthread_mutex_lock(&s->lock);
    bool none = --p->running == 0;
    pthread_mutex_unlock(&s->lock);
    if (!none)
        return 0;
    b_free(p);
    s->state = NULL;
    return rc ? rc : -ENOMEM;
}

static void stop(struct st_store *s) {
    b_free(s->state);
}

static unsigned connections(const struct st_store *s) {
    const struct pg_store *p = s->state;
    return p ? p->connected : 0;
}

static int migrate(struct st_store *s, bool apply, struct b_text *out, char *why) {
    struct pg_conn *c = b_zalloc(B_TAG_STORE, sizeof *c);
    rt_time deadline = rt_after(rt_now(), BATCH_TIME);
    if (!c) {
        snprintf(why, ST_WHY_MAX, "out of memory");
        return -ENOMEM;
    }
    struct st_session session = st_pg_session(c, deadline);
    int rc = st_pg_connect(c, s->target, rt_after(rt_now(), s->pool.connect_timeout));
    for (struct st_sink *sink = st_next_sink(s, NULL, NULL); sink; sink = st_next_sink(s, sink, NULL))
        if (rc == 0 && st_is_ours(&sink->table))
            rc = st_migrate_table(&session, &sink->table, apply, out);
    memcpy(why, c->why, ST_WHY_MAX);
    st_pg_close(c);
    b_free(c);
    return rc;
}

const struct st_home st_postgres = {.name = "postgres",
                                    .start = start,
                                    .wake = wake,
                                    .stop = stop,
                                    .connections = connections,
                                    .migrate = migrate};
