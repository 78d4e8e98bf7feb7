/* Stores and the ways into their tables: who has them, and how they are. */
#include <errno.h>
#include <stdio.h>

#include "base/log.h"
#include "runtime/fiber.h"
#include "store/internal.h"

#define ARENA_MAX ((size_t)1 << 20)

const char *st_check_name(struct b_slice name) {
    if (!name.len || name.len > 48)
        return "a name has 1 to 48 characters";
    for (size_t i = 0; i < name.len; i++) {
        char c = b_lower(name.ptr[i]);
        if (!(c >= 'a' && c <= 'z') && c != '_' && !(i && b_is_digit(c)))
            return "a name is letters, digits and _, and does not begin with a digit";
    }
    return NULL;
}

/* ---- the registry ---- */

struct st_registry *st_registry_new(void) {
    struct st_registry *r = b_zalloc(B_TAG_STORE, sizeof *r);
    if (!r)
        return NULL;
    pthread_mutex_init(&r->lock, NULL);
    b_list_init(&r->stores);
    rt_random(r->keys, sizeof r->keys);
    st_metrics_open(r);
    return r;
}

static void free_sink(struct st_sink *sink) {
    b_free(sink->repeats);
    b_arena_release(&sink->arena);
    b_free(sink);
}

/* Nothing of its home runs. */
static void free_store(struct st_store *s) {
    if (s->started)
        s->home->stop(s);
    for (struct b_list *n; (n = b_list_pop_front(&s->sinks));)
        free_sink(B_CONTAINER(n, struct st_sink, link));
    pthread_mutex_destroy(&s->lock);
    b_arena_release(&s->arena);
    b_free(s);
}

void st_registry_free(struct st_registry *r) {
    if (!r)
        return;
    st_metrics_close(r);
    for (struct b_list *n; (n = b_list_pop_front(&r->stores));)
        free_store(B_CONTAINER(n, struct st_store, link));
    pthread_mutex_destroy(&r->lock);
    b_free(r);
}

static void close_store(struct st_store *s) {
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    bool started = s->started;
    pthread_mutex_unlock(&s->lock);
    if (started)
        s->home->wake(s);
}

/* The name of a store that has not; NULL: there is none. */
static const char *not_ended(struct st_registry *r) {
    const char *name = NULL;
    pthread_mutex_lock(&r->lock);
    B_LIST_EACH(n, &r->stores) {
        struct st_store *s = B_CONTAINER(n, struct st_store, link);
        if (s->started && !atomic_load(&s->ended))
            name = s->name;
    }
    pthread_mutex_unlock(&r->lock);
    return name;
}

bool st_registry_close(struct st_registry *r, rt_time deadline) {
    const char *waits;
    rt_cancel_off();
    pthread_mutex_lock(&r->lock);
    B_LIST_EACH(n, &r->stores)
        close_store(B_CONTAINER(n, struct st_store, link));
    pthread_mutex_unlock(&r->lock);
    while ((waits = not_ended(r)) && rt_now() < deadline)
        (void)!rt_sleep_until(rt_after(rt_now(), RT_MS));
    if (waits)
        B_LOG(B_ERROR, "store", "store %s: a write to it hangs; what it holds was not acknowledged", waits);
    rt_cancel_on();
    return !waits;
}

bool st_registry_ready(struct st_registry *r) {
    bool ready = true;
    pthread_mutex_lock(&r->lock);
    B_LIST_EACH(n, &r->stores) {
        struct st_store *s = B_CONTAINER(n, struct st_store, link);
        pthread_mutex_lock(&s->lock);
        if (s->refs && !s->closing && s->condition != ST_UP)
            ready &= rt_clock() - s->since < atomic_load(&s->unready_after);
        B_LIST_EACH(at, &s->sinks) {
            const struct st_sink *sink = B_CONTAINER(at, struct st_sink, link);
            if (sink->broken_since && sink->refs)
                ready &= rt_clock() - sink->broken_since < atomic_load(&s->unready_after);
        }
        pthread_mutex_unlock(&s->lock);
    }
    pthread_mutex_unlock(&r->lock);
    return ready;
}

/* ---- stores ---- */

static bool same(const struct st_store *s, const struct cfg_store *c, struct b_slice target) {
    return !s->closing && b_slice_eq(b_slice_cstr(s->name), c->head.name) &&
           b_slice_eq(b_slice_cstr(s->target), target) &&
           s->home == (c->sqlite.ptr ? &st_sqlite : &st_postgres) && s->pool.max_open == c->pool.max_open &&
           s->pool.connect_timeout == c->pool.connect_timeout;
}

static struct st_store *new_store(struct st_registry *r, const struct cfg_store *c, struct b_slice target) {
    struct st_store *s = b_zalloc(B_TAG_STORE, sizeof *s);
    if (!s)
        return NULL;
    b_arena_init(&s->arena, B_TAG_STORE, NULL, NULL, 0, ARENA_MAX);
    s->registry = r;
    s->name = (char *)(uintptr_t)b_arena_copy(&s->arena, c->head.name).ptr;
    s->target = (char *)(uintptr_t)b_arena_copy(&s->arena, target).ptr;
    if (!s->name || !s->target) {
        b_arena_release(&s->arena);
        b_free(s);
        return NULL;
    }
    s->pool = c->pool;
    s->home = c->sqlite.ptr ? &st_sqlite : &st_postgres;
    pthread_mutex_init(&s->lock, NULL);
    b_list_init(&s->sinks);
    return s;
}

/* Those that have ended and that nobody has. With the registry's lock. */
static void reap(struct st_registry *r) {
    for (struct b_list *n = r->stores.next, *next; n != &r->stores; n = next) {
        struct st_store *s = B_CONTAINER(n, struct st_store, link);
        next = n->next;
        if (s->refs == 0 && (!s->started || atomic_load(&s->ended))) {
            b_list_remove(n);
            free_store(s);
        }
    }
}

struct st_store *st_get(struct st_registry *r, const struct cfg_store *conf) {
    struct b_slice target = conf->sqlite.ptr ? conf->sqlite : conf->postgres;
    struct st_store *found = NULL;
    pthread_mutex_lock(&r->lock);
    reap(r);
    B_LIST_EACH(n, &r->stores) {
        struct st_store *s = B_CONTAINER(n, struct st_store, link);
        if (same(s, conf, target))
            found = s;
    }
    if (!found && (found = new_store(r, conf, target)))
        b_list_push_back(&r->stores, &found->link);
    if (found) {
        found->refs++;
        atomic_store(&found->unready_after, conf->unready_after);
    }
    pthread_mutex_unlock(&r->lock);
    return found;
}

void st_put(struct st_store *s) {
    if (!s)
        return;
    struct st_registry *r = s->registry;
    pthread_mutex_lock(&r->lock);
    if (--s->refs == 0)
        close_store(s);
    pthread_mutex_unlock(&r->lock);
}

const char *st_name(const struct st_store *s) {
    return s->name;
}

bool st_finished(struct st_store *s) {
    bool idle = true;
    pthread_mutex_lock(&s->lock);
    B_LIST_EACH(n, &s->sinks)
        idle &= b_list_empty(&B_CONTAINER(n, struct st_sink, link)->queue);
    bool over = s->closing && (idle || s->condition == ST_BROKEN);
    pthread_mutex_unlock(&s->lock);
    return over;
}

/* With the lock. Whether it is known how the store and its tables are: 0, or negative with *why. */
static bool settled(const struct st_store *s, int *rc, char *why) {
    if (s->condition == ST_BROKEN) {
        memcpy(why, s->why, ST_WHY_MAX);
        *rc = -EIO;
        return true;
    }
    B_LIST_EACH(n, &s->sinks) {
        const struct st_sink *sink = B_CONTAINER(n, struct st_sink, link);
        if (!sink->known)
            return false;
        if (sink->broken_since) {
            memcpy(why, sink->why, ST_WHY_MAX);
            *rc = -EIO;
        }
    }
    return s->condition == ST_UP;
}

static bool wait_settled(struct st_store *s, rt_time deadline, int *rc, char *why) {
    for (;;) {
        pthread_mutex_lock(&s->lock);
        bool known = settled(s, rc, why);
        pthread_mutex_unlock(&s->lock);
        if (known || rt_now() >= deadline || rt_sleep_until(rt_after(rt_now(), RT_MS)) != 0)
            return known;
    }
}

int st_start(struct st_store *s, rt_time deadline, char *why) {
    int rc = 0;
    pthread_mutex_lock(&s->lock);
    bool fresh = !s->started && !s->closing;
    s->since = fresh ? rt_clock() : s->since;
    s->started |= fresh;
    pthread_mutex_unlock(&s->lock);
    if (fresh && (rc = s->home->start(s)) != 0) {
        snprintf(why, ST_WHY_MAX, "it cannot be started: %s; a reload tries again", strerror(-rc));
        pthread_mutex_lock(&s->lock);
        s->started = false;
        s->condition = ST_BROKEN; /* what comes is refused */
        snprintf(s->why, sizeof s->why, "%s", why);
        pthread_mutex_unlock(&s->lock);
        return rc;
    }
    s->home->wake(s); /* for new sinks */
    if (wait_settled(s, deadline, &rc, why))
        return rc;
    snprintf(why, ST_WHY_MAX, "it takes long to open");
    return -ETIMEDOUT;
}

int st_migrate(struct st_store *s, bool apply, struct b_text *out, char *why) {
    return s->home->migrate(s, apply, out, why);
}

/* ---- how they are ---- */

void st_set_up(struct st_store *s) {
    pthread_mutex_lock(&s->lock);
    bool changed = s->condition != ST_UP, after_trouble = s->condition == ST_BROKEN;
    s->condition = ST_UP;
    if (changed)
        s->since = rt_clock();
    pthread_mutex_unlock(&s->lock);
    if (changed)
        B_LOG(B_INFO, "store", "store %s is up%s", s->name, after_trouble ? " again" : "");
}

void st_set_down(struct st_store *s, rt_time next_try, const char *why) {
    pthread_mutex_lock(&s->lock);
    bool news = s->condition != ST_BROKEN || strcmp(s->why, why) != 0;
    if (s->condition == ST_UP)
        s->since = rt_clock();
    s->condition = ST_BROKEN;
    s->next_try = next_try;
    snprintf(s->why, sizeof s->why, "%s", why);
    pthread_mutex_unlock(&s->lock);
    if (news)
        B_LOG(B_ERROR, "store", "store %s is down: %s", s->name, why);
}

void st_sink_state(struct st_sink *sink, const char *why) {
    struct st_store *s = sink->store;
    pthread_mutex_lock(&s->lock);
    bool news = why ? !sink->broken_since || strcmp(sink->why, why) != 0 : sink->broken_since != 0;
    sink->known = true;
    sink->ready = !why;
    if (!why)
        sink->broken_since = 0;
    else if (!sink->broken_since)
        sink->broken_since = rt_clock();
    snprintf(sink->why, sizeof sink->why, "%s", why ? why : "");
    pthread_mutex_unlock(&s->lock);
    if (why)
        st_refuse_waiting(s, sink, why);
    if (news && why)
        B_LOG(B_ERROR, "store", "store %s: table %.*s cannot be used: %s", s->name, B_FMT(sink->table.name),
              why);
    else if (news)
        B_LOG(B_INFO, "store", "store %s: table %.*s can be used again", s->name, B_FMT(sink->table.name));
}

/* ---- ways into tables ---- */

static bool same_table(const struct st_table *a, const struct st_table *b) {
    bool same = b_slice_eq(a->name, b->name) && a->column_count == b->column_count &&
                a->common_count == b->common_count && a->key_count == b->key_count &&
                a->rejects == b->rejects && a->replaces == b->replaces && a->migrations == b->migrations &&
                a->made_of_columns == b->made_of_columns && !a->kinds == !b->kinds &&
                b_slice_eq(b_slice_cstr(a->schema), b_slice_cstr(b->schema)) &&
                b_slice_eq(b_slice_cstr(a->update), b_slice_cstr(b->update));
    for (unsigned i = 0; same && i < a->column_count; i++)
        same = b_slice_eq(a->columns[i], b->columns[i]) && (!a->kinds || a->kinds[i] == b->kinds[i]);
    for (unsigned i = 0; same && i < a->key_count; i++)
        same = a->key[i] == b->key[i];
    return same;
}

/* A copy of its own, but of what is static. */
static int copy_table(struct st_sink *sink, const struct st_table *t) {
    struct b_arena *a = &sink->arena;
    struct b_slice *columns = b_arena_alloc(a, t->column_count * sizeof *columns);
    unsigned *key = b_arena_alloc(a, t->key_count * sizeof *key);
    uint8_t *kinds = b_arena_alloc(a, t->column_count);
    sink->table = *t;
    sink->table.name = b_arena_copy(a, t->name);
    sink->table.columns = columns;
    sink->table.key = key;
    sink->table.kinds = t->kinds ? kinds : NULL;
    if (!columns || !key || !kinds || !sink->table.name.ptr)
        return -ENOMEM;
    for (unsigned i = 0; i < t->column_count; i++) {
        if (!(columns[i] = b_arena_copy(a, t->columns[i])).ptr)
            return -ENOMEM;
        kinds[i] = t->kinds ? t->kinds[i] : ST_NULL;
    }
    for (unsigned i = 0; i < t->key_count; i++)
        key[i] = t->key[i];
    return 0;
}

static _Atomic uint64_t last_id;

static struct st_sink *new_sink(struct st_store *s, const struct st_table *table) {
    struct st_sink *sink = b_zalloc(B_TAG_STORE, sizeof *sink);
    if (!sink)
        return NULL;
    b_arena_init(&sink->arena, B_TAG_STORE, NULL, NULL, 0, ARENA_MAX);
    b_list_init(&sink->queue);
    sink->store = s;
    sink->id = atomic_fetch_add(&last_id, 1) + 1;
    if (copy_table(sink, table) != 0) {
        free_sink(sink);
        return NULL;
    }
    st_sink_series(sink);
    return sink;
}

struct st_sink *st_sink_get(struct st_store *s, const struct st_table *table) {
    struct st_sink *found = NULL;
    pthread_mutex_lock(&s->lock);
    B_LIST_EACH(n, &s->sinks) {
        struct st_sink *sink = B_CONTAINER(n, struct st_sink, link);
        if (same_table(&sink->table, table))
            found = sink;
    }
    if (!found && (found = new_sink(s, table)))
        b_list_push_back(&s->sinks, &found->link);
    if (found) {
        found->refs++;
        atomic_store(&found->keep, table->keep);
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

/* The home frees it, or the store's end does. */
void st_sink_put(struct st_sink *sink) {
    if (!sink)
        return;
    pthread_mutex_lock(&sink->store->lock);
    sink->refs--;
    pthread_mutex_unlock(&sink->store->lock);
}

static void drop_unused(struct st_store *s, void (*drop)(struct st_sink *)) {
    for (struct b_list *n = s->sinks.next, *next; n != &s->sinks; n = next) {
        struct st_sink *sink = B_CONTAINER(n, struct st_sink, link);
        next = n->next;
        if (sink->refs == 0 && sink->waiting == 0) {
            b_list_remove(n);
            drop(sink);
            free_sink(sink);
        }
    }
}

struct st_sink *st_next_sink(struct st_store *s, struct st_sink *after, void (*drop)(struct st_sink *)) {
    pthread_mutex_lock(&s->lock);
    struct b_list *n = after ? after->link.next : s->sinks.next;
    if (after)
        after->refs--;
    struct st_sink *next = n == &s->sinks ? NULL : B_CONTAINER(n, struct st_sink, link);
    if (next)
        next->refs++;
    else if (drop)
        drop_unused(s, drop);
    pthread_mutex_unlock(&s->lock);
    return next;
}
