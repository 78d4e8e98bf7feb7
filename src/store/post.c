/* Posts: their way through the queue of a table into a batch, and back. */
#include <errno.h>
#include <stdio.h>

#include "runtime/fiber.h"
#include "store/internal.h"

#define BODY_MAX ((size_t)256 << 20)
#define ARENA_MAX ((size_t)256 << 20)
#define REMEMBERED (60 * RT_S)

struct st_post *st_post_new(void) {
    struct st_post *p = b_zalloc(B_TAG_STORE, sizeof *p);
    if (!p)
        return NULL;
    p->refs = 1;
    p->rows.body = b_text_heap(B_TAG_STORE, BODY_MAX);
    b_arena_init(&p->rows.arena, B_TAG_STORE, rt_chunks(), NULL, 0, ARENA_MAX);
    b_list_init(&p->link);
    return p;
}

void st_post_put(struct st_post *p) {
    if (!p || --p->refs)
        return;
    st_rows_free(&p->rows);
    b_free(p->result.why);
    b_free(p);
}

/* One block of exactly the size, for thousands of them may wait. */
int st_rows_reserve(struct st_rows *rows, const struct st_table *t, unsigned count, size_t text_bytes) {
    size_t values = (size_t)count * st_own_columns(t), items = t->rejects ? count : 0;
    size_t size = B_ARENA_ROOM((values + t->common_count + items) * sizeof(struct st_value));
    struct b_arena *a = &rows->arena;
    char *block = b_alloc(B_TAG_STORE, size + text_bytes);
    if (!block)
        return -ENOMEM;
    memset(block, 0, size);
    if (!a->at && text_bytes)
        b_arena_init(a, a->tag, a->source, block + size, text_bytes, a->used_max);
    rows->block = block;
    rows->values = (struct st_value *)block;
    rows->common = rows->values + values;
    rows->items = items ? rows->common + t->common_count : NULL;
    return 0;
}

void st_rows_free(struct st_rows *rows) {
    b_text_free(&rows->body);
    b_arena_release(&rows->arena);
    b_free(rows->block);
}

struct st_rows *st_post_rows(struct st_post *p) {
    return &p->rows;
}

const struct st_result *st_post_result(const struct st_post *p) {
    static const struct st_result none;
    return p->refs > 1 ? &none : &p->result; /* a batch still has it */
}

/* On the heap, for the arena takes its chunks from the worker that made it. */
void st_post_why(struct st_post *p, const char *why) {
    b_free(p->result.why);
    p->result.why = b_strdup(B_TAG_STORE, why, strlen(why));
}

void st_post_begin(struct st_post *p) {
    b_free(p->result.why);
    p->result = (struct st_result){0};
}

/* ---- going in ---- */

static void arrived(struct rt_msg *m) {
    struct st_post *p = B_CONTAINER(m, struct st_post, msg);
    p->over = true;
    if (p->fiber)
        rt_wake(p->fiber, 0);
    st_post_put(p);
}

/* With the lock. */
static enum st_outcome enqueue(struct st_sink *sink, struct st_post *p) {
    struct st_store *s = sink->store;
    if (s->closing || s->condition == ST_BROKEN) {
        st_post_why(p, s->closing ? "weir ends" : s->why);
        return ST_DOWN;
    }
    if (sink->broken_since) {
        st_post_why(p, sink->why);
        return ST_DOWN;
    }
    if (sink->waiting >= p->limits.max_waiting)
        return ST_FULL;
    b_list_push_back(&sink->queue, &p->link);
    p->queued = true;
    sink->waiting++;
    sink->queued_rows += p->rows.count;
    return ST_WAITS;
}

/* With the lock. */
static void unqueue(struct st_sink *sink, struct st_post *p) {
    b_list_remove(&p->link);
    p->queued = false;
    sink->queued_rows -= p->rows.count;
}

/* Nobody waits for it any more. */
static enum st_outcome give_up(struct st_sink *sink, struct st_post *p) {
    p->fiber = NULL;
    if (p->over)
        return p->outcome;
    pthread_mutex_lock(&sink->store->lock);
    bool queued = p->queued;
    if (queued) {
        unqueue(sink, p);
        sink->waiting--;
    }
    pthread_mutex_unlock(&sink->store->lock);
    tel_add(sink->series.timeouts, rt_index(), 1);
    if (!queued)
        return ST_IN_DOUBT;
    st_post_put(p); /* the queue's */
    return ST_LATE;
}

enum st_outcome st_insert(struct st_sink *sink, struct st_post *p, const struct st_limits *limits,
                          rt_time deadline) {
    p->sink = sink;
    p->limits = *limits;
    p->fiber = rt_fiber_self();
    p->home = rt_self();
    p->msg.fn = arrived;
    p->since = rt_clock();
    p->deadline = deadline;
    pthread_mutex_lock(&sink->store->lock);
    enum st_outcome outcome = enqueue(sink, p);
    p->refs += outcome == ST_WAITS;
    pthread_mutex_unlock(&sink->store->lock);
    if (outcome != ST_WAITS)
        return outcome;
    sink->store->home->wake(sink->store);
    while (!p->over)
        if (rt_park(deadline) != 0)
            return give_up(sink, p);
    p->fiber = NULL;
    return p->outcome;
}

/* ---- batches ---- */

/* When the sink's posts are to go; RT_NEVER: it has none. With the lock. */
static rt_time due(const struct st_sink *sink) {
    if (b_list_empty(&sink->queue) || !sink->ready)
        return RT_NEVER;
    const struct st_post *first = B_CONTAINER(sink->queue.next, struct st_post, link);
    if (sink->queued_rows >= first->limits.max_rows || sink->store->closing)
        return RT_NOWAIT;
    return rt_after(first->since, first->limits.max_wait);
}

static void fill(struct st_batch *b, struct st_sink *sink) {
    unsigned most = B_CONTAINER(sink->queue.next, struct st_post, link)->limits.max_rows;
    *b = (struct st_batch){.sink = sink};
    b_list_init(&b->posts);
    while (!b_list_empty(&sink->queue)) {
        struct st_post *p = B_CONTAINER(sink->queue.next, struct st_post, link);
        if (b->count && b->rows + p->rows.count > most)
            break;
        unqueue(sink, p);
        p->epoch = sink->store->epoch;
        b_list_push_back(&b->posts, &p->link);
        b->rows += p->rows.count;
        b->count++;
    }
}

/* The first one that is due behind that of the last batch, or else the first of all, so that a busy table does not hold up others.
 * With the lock. */
static struct st_sink *choose(struct st_store *s, rt_time *until) {
    struct st_sink *first = NULL, *next = NULL;
    unsigned i = 0, first_at = 0, next_at = 0;
    rt_time now = rt_clock();
    *until = RT_NEVER;
    B_LIST_EACH(n, &s->sinks) {
        struct st_sink *sink = B_CONTAINER(n, struct st_sink, link);
        rt_time at = due(sink);
        *until = rt_earlier(*until, at);
        if (at <= now && !first) {
            first = sink;
            first_at = i;
        }
        if (at <= now && !next && i >= s->next_sink) {
            next = sink;
            next_at = i;
        }
        i++;
    }
    s->next_sink = (next ? next_at : first_at) + 1;
    return next ? next : first;
}

bool st_batch_take(struct st_store *s, struct st_batch *b, rt_time *until) {
    pthread_mutex_lock(&s->lock);
    struct st_sink *sink = choose(s, until);
    if (sink)
        fill(b, sink);
    pthread_mutex_unlock(&s->lock);
    return sink != NULL;
}

void st_batch_outcome(struct st_batch *b, enum st_outcome outcome, const char *why) {
    B_LIST_EACH(n, &b->posts) {
        struct st_post *p = B_CONTAINER(n, struct st_post, link);
        if (p->outcome != ST_WAITS)
            continue;
        p->outcome = outcome;
        if (why)
            st_post_why(p, why);
    }
}

struct sums {
    uint64_t rows, duplicates, rejected, failed;
};

static void add_up(struct sums *sums, const struct st_post *p) {
    if (p->outcome != ST_STORED) {
        sums->failed++;
        return;
    }
    sums->rows += p->rows.count + p->rows.reject_count - p->result.duplicates - p->result.rejected;
    sums->duplicates += p->result.duplicates;
    sums->rejected += p->result.rejected;
}

void st_batch_end(struct st_batch *b) {
    struct sums sums = {0};
    const struct st_series *series = &b->sink->series;
    B_LIST_EACH(n, &b->posts)
        add_up(&sums, B_CONTAINER(n, struct st_post, link));
    tel_add(series->rows, TEL_NO_WORKER, sums.rows);
    tel_add(series->duplicates, TEL_NO_WORKER, sums.duplicates);
    tel_add(series->rejected, TEL_NO_WORKER, sums.rejected);
    tel_add(series->failed, TEL_NO_WORKER, sums.failed);
    pthread_mutex_lock(&b->sink->store->lock);
    b->sink->waiting -= b->count;
    pthread_mutex_unlock(&b->sink->store->lock);
    for (struct b_list *n; (n = b_list_pop_front(&b->posts));) {
        struct st_post *p = B_CONTAINER(n, struct st_post, link);
        rt_post(p->home, &p->msg); /* it is gone from here on */
    }
    b->count = b->rows = 0;
}

void st_refuse_waiting(struct st_store *s, const struct st_sink *only, const char *why) {
    struct st_batch b;
    for (bool more = true; more;) {
        pthread_mutex_lock(&s->lock);
        struct st_sink *sink = NULL;
        B_LIST_EACH(n, &s->sinks) {
            struct st_sink *at = B_CONTAINER(n, struct st_sink, link);
            if (!b_list_empty(&at->queue) && (!only || only == at))
                sink = at;
        }
        if (sink)
            fill(&b, sink);
        pthread_mutex_unlock(&s->lock);
        more = sink != NULL;
        if (more) {
            st_batch_outcome(&b, ST_DOWN, why);
            st_batch_end(&b);
        }
    }
}

/* ---- repeats ---- */

/* 128 bits that nobody outside can aim at. */
struct st_digest st_digest(const struct st_sink *sink, struct b_slice bytes) {
    const struct b_hash_key *keys = sink->store->registry->keys;
    return (struct st_digest){b_siphash(keys[0], bytes.ptr, bytes.len),
                              b_siphash(keys[1], bytes.ptr, bytes.len)};
}

static struct st_repeat *place(const struct st_sink *sink, struct st_digest d) {
    return &sink->repeats[d.low % ST_REPEATS];
}

bool st_remembers(struct st_sink *sink, struct st_digest d) {
    bool known = false;
    pthread_mutex_lock(&sink->store->lock);
    if (sink->repeats && sink->store->condition == ST_UP) {
        const struct st_repeat *r = place(sink, d);
        known = r->at && r->digest.low == d.low && r->digest.high == d.high &&
                r->epoch == sink->store->epoch && rt_clock() - r->at < REMEMBERED;
    }
    pthread_mutex_unlock(&sink->store->lock);
    return known;
}

void st_remember(struct st_sink *sink, struct st_digest d, const struct st_post *stored) {
    pthread_mutex_lock(&sink->store->lock);
    if (!sink->repeats)
        sink->repeats = b_zalloc(B_TAG_STORE, ST_REPEATS * sizeof *sink->repeats);
    if (sink->repeats) /* else it is stored once more */
        *place(sink, d) = (struct st_repeat){.digest = d, .at = rt_clock(), .epoch = stored->epoch};
    pthread_mutex_unlock(&sink->store->lock);
}
