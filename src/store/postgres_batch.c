/* Rows into PostgreSQL: a batch is one statement and one transaction, unless a row of it is refused. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/postgres_transaction.h"

/* A transaction that a deadlock or another one undid is tried again, for so long, after pauses that double. */
#define TRY_FOR (20 * RT_S)
#define FIRST_PAUSE (5 * RT_MS)
#define LAST_PAUSE (320 * RT_MS)

/* ---- order ---- */

static int compare_values(const struct st_value *a, const struct st_value *b) {
    if (a->kind != b->kind)
        return (a->kind > b->kind) - (a->kind < b->kind);
    if (!st_is_text(a))
        return (a->integer > b->integer) - (a->integer < b->integer);
    return b_slice_compare(b_slice(a->text, a->len), b_slice(b->text, b->len));
}

static int compare_keys(const struct st_table *t, const struct st_value *a, const struct st_value *b) {
    for (unsigned i = 0; i < t->key_count; i++) {
        int by = compare_values(&a[t->key[i]], &b[t->key[i]]);
        if (by)
            return by;
    }
    return 0;
}

/* Rows of one key in the order in which they came: by post (the array's order), then by number. */
static int compare_rows(const void *x, const void *y, void *table) {
    const struct pg_row *a = x, *b = y;
    int by = compare_keys(table, a->values, b->values);
    if (by)
        return by;
    return a->post == b->post ? (a->number > b->number) - (a->number < b->number)
                              : (a->post->since > b->post->since) - (a->post->since < b->post->since);
}

/* Sorted by key, for two transactions that lock rows in different orders wait for one another; and with one row of each key, for a
 * statement changes a row once. */
static void arrange(struct pg_work *w) {
    struct st_table *t = &w->sink->table;
    if (!t->key_count)
        return;
    qsort_r(w->rows, w->count, sizeof *w->rows, compare_rows, t);
    for (unsigned i = 1, kept = 0; i < w->count; i++) {
        struct pg_row *stays = &w->rows[kept], *row = &w->rows[i];
        if (compare_keys(t, stays->values, row->values) != 0) {
            kept = i;
        } else if (t->replaces && t->replaces(stays->values, row->values)) {
            stays->dropped = true;
            kept = i;
        } else {
            row->dropped = true;
        }
    }
}

/* ---- trying ---- */

/* Data exceptions, constraints, what a trigger raises, and limits of a row: the row is to blame, not the store. */
static bool of_the_row(const struct pg_conn *c) {
    return st_pg_class_is(c, "22") || st_pg_class_is(c, "23") || st_pg_class_is(c, "P0") ||
           st_pg_class_is(c, "54") || st_pg_class_is(c, "21");
}

/* Half of `most` to all of it: two that undid one another do not meet again. */
static void pause_for(rt_time most) {
    uint32_t by;
    rt_random(&by, sizeof by);
    (void)!rt_sleep_until(rt_after(rt_now(), most / 2 + by % (most / 2)));
}

static int patiently(struct pg_work *w, int (*attempt)(struct pg_work *)) {
    rt_time until = rt_earlier(rt_after(rt_now(), TRY_FOR), w->wanted_until), pause = FIRST_PAUSE;
    int rc = attempt(w);
    while (rc && !w->c->lost && st_pg_class_is(w->c, "40") && rt_now() < until) {
        pause_for(pause);
        pause = rt_earlier(pause * 2, LAST_PAUSE);
        rc = attempt(w);
    }
    return rc;
}

/* ---- posts ---- */

static void add_rows(struct pg_work *w, struct st_post *p) {
    unsigned columns = st_own_columns(&w->sink->table);
    for (unsigned i = 0; i < p->rows.count; i++)
        w->rows[w->count++] =
            (struct pg_row){.post = p, .number = i, .values = p->rows.values + (size_t)i * columns};
    for (unsigned i = 0; i < p->rows.reject_count; i++)
        w->rejects[w->reject_count++] = (struct pg_reject){p, p->rows.rejects[i]};
}

static void free_work(struct pg_work *w) {
    b_free(w->rows);
    b_free(w->rejects);
    b_arena_release(&w->arena);
}

/* When nobody waits for any of the posts any more, and a little later. */
static rt_time last_deadline(struct st_post **posts, unsigned count) {
    rt_time last = rt_now();
    for (unsigned i = 0; i < count; i++)
        last = posts[i]->deadline > last ? posts[i]->deadline : last;
    return rt_after(last, RT_S);
}

static int make_work(struct pg_work *w, struct pg_conn *c, struct st_sink *sink, struct st_post **posts,
                     unsigned count, rt_time deadline) {
    unsigned rows = 0, rejects = 0;
    *w = (struct pg_work){.c = c,
                          .sink = sink,
                          .deadline = deadline,
                          .wanted_until = last_deadline(posts, count)};
    b_arena_init(&w->arena, B_TAG_STORE, NULL, NULL, 0, (size_t)16 << 20);
    for (unsigned i = 0; i < count; i++) {
        rows += posts[i]->rows.count;
        rejects += posts[i]->rows.reject_count;
    }
    w->rows = b_alloc(B_TAG_STORE, (rows + 1) * sizeof *w->rows);
    w->rejects =
        b_alloc(B_TAG_STORE, (rejects + rows + 1) * sizeof *w->rejects); /* each row may become one */
    if (!w->rows || !w->rejects) {
        free_work(w);
        snprintf(c->why, sizeof c->why, "out of memory");
        return -ENOMEM;
    }
    for (unsigned i = 0; i < count; i++)
        add_rows(w, posts[i]);
    arrange(w);
    return 0;
}

static void count_kept(struct pg_work *w) {
    w->kept = 0;
    for (unsigned i = 0; i < w->count; i++)
        w->kept += !w->rows[i].dropped;
}

static void stored(struct pg_work *w, struct st_post **posts, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        posts[i]->result.rejected += posts[i]->rows.reject_count;
        posts[i]->outcome = ST_STORED;
    }
    for (unsigned i = 0; i < w->count; i++)
        w->rows[i].post->result.duplicates += !w->rows[i].changed;
}

/* One row, in the transaction that is open, and undone if it fails. */
static int try_row(struct pg_work *w, unsigned i, bool *bad) {
    struct pg_work one = {.c = w->c,
                          .sink = w->sink,
                          .rows = &w->rows[i],
                          .count = 1,
                          .kept = 1,
                          .inside = true,
                          .deadline = w->deadline};
    int rc = st_pg_exec(w->c, "SAVEPOINT row", w->deadline);
    rc = rc ? rc : st_pg_transact(&one);
    *bad = rc && !w->c->lost && of_the_row(w->c);
    if (!*bad)
        return rc;
    char why[ST_WHY_MAX];
    memcpy(why, w->c->why, sizeof why);
    rc = st_pg_exec(w->c, "ROLLBACK TO row", w->deadline);
    memcpy(w->c->why, why, sizeof why);
    return rc;
}

static int note_bad(struct pg_work *w, struct st_post *p, struct pg_row *row) {
    struct b_slice reason = b_arena_copy(&w->arena, b_slice_cstr(w->c->why));
    if (!reason.ptr)
        return -ENOMEM;
    row->dropped = true;
    row->changed = true; /* no duplicate */
    w->rejects[w->reject_count++] = (struct pg_reject){p, {st_slice(&p->rows.items[row->number]), reason}};
    p->result.rejected++;
    return 0;
}

/* Looks for the rows of the only post that the database does not take. */
static int find_bad(struct pg_work *w) {
    struct st_post *p = w->alone;
    bool rejects = w->sink->table.rejects, bad = false;
    int rc = st_pg_exec(w->c, "BEGIN", w->deadline);
    for (unsigned i = 0; rc == 0 && i < w->count && p->outcome == ST_WAITS; i++) {
        if (w->rows[i].dropped)
            continue;
        rc = try_row(w, i, &bad);
        if (rc || !bad)
            continue;
        if (rejects) {
            rc = note_bad(w, p, &w->rows[i]);
        } else {
            p->outcome = ST_REFUSED;
            p->result.bad_row = w->rows[i].number;
            st_post_why(p, w->c->why);
        }
    }
    int undone = w->c->lost ? 0 : st_pg_exec(w->c, "ROLLBACK", w->deadline);
    return undone ? undone : rc;
}

static int run_alone(struct pg_work *w, struct st_post *p) {
    w->alone = p;
    int rc = patiently(w, find_bad);
    if (rc || p->outcome != ST_WAITS)
        return rc;
    count_kept(w);
    if ((rc = patiently(w, st_pg_transact)) == 0)
        stored(w, &p, 1);
    return rc;
}

/* What fails because of a row is split until the post that holds it is alone. */
static int run_posts(struct pg_conn *c, struct st_sink *sink, struct st_post **posts, unsigned count,
                     rt_time deadline) {
    struct pg_work w;
    int rc = make_work(&w, c, sink, posts, count, deadline);
    if (rc)
        return rc;
    count_kept(&w);
    rc = patiently(&w, st_pg_transact);
    bool bad = rc && !c->lost && of_the_row(c);
    if (rc == 0)
        stored(&w, posts, count);
    else if (bad && count == 1)
        rc = run_alone(&w, posts[0]);
    free_work(&w);
    if (!bad || count == 1)
        return rc;
    rc = run_posts(c, sink, posts, count / 2, deadline);
    return rc ? rc : run_posts(c, sink, posts + count / 2, count - count / 2, deadline);
}

/* What was on its way when the connection went may have been committed. */
static enum st_outcome outcome_of(const struct pg_conn *c) {
    return c->lost && !c->state[0] ? ST_IN_DOUBT : ST_DOWN;
}

int st_pg_batch(struct pg_conn *c, struct st_batch *b, rt_time deadline) {
    struct st_post **posts = b_alloc(B_TAG_STORE, b->count * sizeof *posts);
    rt_time from = rt_clock();
    unsigned i = 0;
    if (!posts) {
        st_batch_outcome(b, ST_DOWN, "out of memory");
        return 0;
    }
    B_LIST_EACH(n, &b->posts) {
        posts[i] = B_CONTAINER(n, struct st_post, link);
        st_post_begin(posts[i++]);
    }
    int rc = run_posts(c, b->sink, posts, b->count, deadline);
    b_free(posts);
    if (rc == 0)
        st_observe_commit(b->sink, b->rows, rt_clock() - from);
    st_batch_outcome(b, rc ? outcome_of(c) : ST_STORED, rc ? c->why : NULL);
    return rc;
}
