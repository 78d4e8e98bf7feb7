#include "gateway/reference.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include "base/log.h"
#include "gateway/fetch.h"
#include "gateway/module.h"
#include "runtime/offload.h"
#include "runtime/worker.h"
#include "telemetry/metrics.h"

/* ---- what the config says ---- */

static struct json_node *compile_one(const struct gw_open *o, struct json_compiler *c,
                                     const struct cfg_node *node, const char *root, struct b_slice rest) {
    char *text = b_arena_printf(o->arena, "%s%.*s", root, B_FMT(rest));
    struct json_node *n = text ? json_expression(c, b_slice_cstr(text)) : NULL;
    if (!n && (!text || c->no_memory))
        cfg_error_memory(o->errors);
    else if (!n)
        cfg_error_at(o->errors, node, "%s", c->why);
    return n;
}

static int compile(const struct gw_open *o, struct gw_reference *r) {
    const struct cfg_node *node = r->conf->head.node;
    struct json_compiler c = {.arena = o->arena};
    int answer = json_slot_add(&c, B_LIT("answer")), row = json_slot_add(&c, B_LIT("row"));
    if (answer != 0 || row != 1)
        return -EINVAL;
    r->rows = compile_one(o, &c, cfg_node_get(node, "rows"), "answer", b_slice_from(r->conf->rows, 1));
    r->key = compile_one(o, &c, cfg_node_get(node, "key"), "row.", r->conf->key);
    return r->rows && r->key ? 0 : -EINVAL;
}

int gw_references_open(const struct gw_open *o) {
    struct gw_snapshot *s = o->snapshot;
    const struct cfg_list *list = &s->root->tables;
    int rc = 0;
    s->references = b_arena_zalloc(o->arena, (list->count + 1) * sizeof *s->references);
    if (!s->references)
        return cfg_error_memory(o->errors);
    CFG_EACH(const struct cfg_reference, c, list) {
        struct gw_reference *r = &s->references[s->reference_count];
        *r = (struct gw_reference){.conf = c,
                                   .upstream = up_get(o->gateway->upstreams, c->from.upstream.upstream)};
        if (!r->upstream)
            return cfg_error_memory(o->errors);
        s->reference_count++;
        rc = compile(o, r) ? -EINVAL : rc;
    }
    return rc;
}

void gw_references_close(struct gw_snapshot *s) {
    for (unsigned i = 0; i < s->reference_count; i++)
        up_put(s->references[i].upstream);
}

int gw_reference_find(void *snapshot, struct b_slice name) {
    const struct gw_snapshot *s = snapshot;
    for (unsigned i = 0; i < s->reference_count; i++)
        if (b_slice_eq(s->references[i].conf->head.name, name))
            return (int)i;
    return -ENOENT;
}

/* ---- the living ---- */

static pthread_mutex_t lock =
    PTHREAD_MUTEX_INITIALIZER; /* of the list: the scrape reads it from a thread of its own */

static struct tel_family refreshes = {.name = "weir_table_refreshes_total",
                                      .help =
                                          "Times that a reference table was asked for, by what came of it.",
                                      .type = TEL_COUNTER,
                                      .labels = {"table", "result"}};
static struct tel_family age = {.name = "weir_table_age_seconds",
                                .help = "How old the rows of a reference table are.",
                                .type = TEL_GAUGE,
                                .labels = {"table"}};
static struct tel_family row_count = {.name = "weir_table_rows",
                                      .help = "Rows of a reference table.",
                                      .type = TEL_GAUGE,
                                      .labels = {"table"}};

/* Rows are freed once every worker has run a turn: a scrape is none, so it holds the lock under which they are swapped. */
static void collect(struct tel_samples *out, struct gateway *g, bool ages) {
    pthread_mutex_lock(&lock);
    B_LIST_EACH(n, &g->tables) {
        struct gw_table *t = B_CONTAINER(n, struct gw_table, link);
        const struct gw_rows *rows = atomic_load(&t->rows);
        struct b_slice label = b_slice_cstr(t->name);
        if (rows && atomic_load(&t->wanted))
            tel_sample(out, &label, ages ? (double)(rt_clock() - rows->loaded) / 1e9 : rows->count);
    }
    pthread_mutex_unlock(&lock);
}

static void collect_ages(struct tel_samples *out, void *arg) {
    collect(out, arg, true);
}

static void collect_rows(struct tel_samples *out, void *arg) {
    collect(out, arg, false);
}

int gw_references_init(struct gateway *g) {
    return tel_collector(&age, collect_ages, g) || tel_collector(&row_count, collect_rows, g) ? -ENOMEM : 0;
}

static void free_retired(struct gw_table *t) {
    for (struct gw_rows *rows; (rows = t->retired);) {
        t->retired = rows->older;
        gw_rows_free(rows);
    }
}

void gw_references_free(struct gateway *g) {
    if (!g->tables.next)
        return; /* it did not come to gw_start */
    tel_collector_remove(&age, collect_ages, g);
    tel_collector_remove(&row_count, collect_rows, g);
    for (struct b_list *n; (n = b_list_pop_front(&g->tables));) {
        struct gw_table *t = B_CONTAINER(n, struct gw_table, link);
        free_retired(t);
        gw_rows_free(atomic_load(&t->rows));
        b_free(t->name);
        b_free(t);
    }
}

bool gw_references_ready(struct gateway *g) {
    bool ready = true;
    pthread_mutex_lock(&lock);
    B_LIST_EACH(n, &g->tables) {
        struct gw_table *t = B_CONTAINER(n, struct gw_table, link);
        ready &= !atomic_load(&t->wanted) || !atomic_load(&t->required) || atomic_load(&t->rows) != NULL;
    }
    pthread_mutex_unlock(&lock);
    return ready;
}

static struct gw_table *find_table(struct gateway *g, struct b_slice name) {
    B_LIST_EACH(n, &g->tables) {
        struct gw_table *t = B_CONTAINER(n, struct gw_table, link);
        if (b_slice_eq(b_slice_cstr(t->name), name))
            return t;
    }
    return NULL;
}

static struct gw_table *new_table(struct gateway *g, struct b_slice name) {
    struct gw_table *t = b_zalloc(B_TAG_GATEWAY, sizeof *t);
    if (!t || !(t->name = b_strdup(B_TAG_GATEWAY, name.ptr, name.len))) {
        b_free(t);
        return NULL;
    }
    struct b_slice good[] = {name, B_LIT("good")}, bad[] = {name, B_LIT("failed")};
    t->good = tel_series_get(&refreshes, good);
    t->bad = tel_series_get(&refreshes, bad);
    pthread_mutex_lock(&lock);
    b_list_push_back(&g->tables, &t->link);
    pthread_mutex_unlock(&lock);
    return t;
}

int gw_references_publish(struct gateway *g, struct gw_snapshot *s) {
    for (unsigned i = 0; i < s->reference_count; i++) {
        struct gw_reference *r = &s->references[i];
        struct gw_table *t = find_table(g, r->conf->head.name);
        r->table = t ? t : new_table(g, r->conf->head.name);
        if (!r->table)
            return -ENOMEM;
    }
    B_LIST_EACH(n, &g->tables) {
        struct gw_table *t = B_CONTAINER(n, struct gw_table, link);
        int at = gw_reference_find(s, b_slice_cstr(t->name));
        atomic_store(&t->wanted, at >= 0);
        atomic_store(&t->required, at >= 0 && s->references[at].conf->required);
    }
    return 0;
}

/* ---- refreshing ---- */

struct building {
    const struct gw_reference *r;
    struct b_text *answer;
    struct b_hash_key key;
    struct gw_rows *rows;
    struct json_fault fault;
    const char *why;
};

static void build(void *arg) {
    struct building *b = arg;
    b->rows = gw_rows_new(b->r, b->answer, b->key, &b->fault, &b->why);
}

static void pass(void *arg) {
    (void)arg;
}

/* Templates hold rows no longer than a turn: when every worker has run this, nobody has the old ones. Where that fails (memory is
 * short, or the process ends), they wait for the next time. */
static void swap(struct gw_table *t, struct gw_rows *rows) {
    rows->loaded = rt_clock();
    pthread_mutex_lock(&lock);
    struct gw_rows *old = atomic_exchange(&t->rows, rows);
    pthread_mutex_unlock(&lock);
    if (!old)
        return;
    old->older = t->retired;
    t->retired = old;
    if (rt_on_all_workers("table swapped", pass, NULL) == 0)
        free_retired(t);
}

static void tell_failure(struct gw_table *t, const char *what, size_t at, bool json) {
    const struct gw_rows *rows = atomic_load(&t->rows);
    char place[32] = "";
    if (json)
        (void)snprintf(place, sizeof place, ", at byte %zu", at);
    if (rows)
        B_LOG(B_WARN, "tables", "table %s was not refreshed: %s%s; the %u rows of %lld s ago stay", t->name,
              what, place, rows->count, (long long)((rt_clock() - rows->loaded) / RT_S));
    else
        B_LOG(B_WARN, "tables", "table %s was not loaded: %s%s", t->name, what, place);
}

/* 0, or negative after telling. */
static int take(const struct gw_reference *r, struct gw_fetch *f) {
    struct building b = {.r = r, .answer = &f->answer};
    char status[40];
    if (f->status < 200 || f->status > 299) {
        (void)snprintf(status, sizeof status, "the answer has status %u", f->status);
        tell_failure(r->table, status, 0, false);
        return -EINVAL;
    }
    b.key = (struct b_hash_key){b_rng_next(&rt_self()->rng), b_rng_next(&rt_self()->rng)};
    if (rt_offload(build, &b) != 0)
        build(&b);
    if (!b.rows) {
        tell_failure(r->table, b.fault.why ? b.fault.why : b.why, b.fault.at, b.fault.why != NULL);
        return -EINVAL;
    }
    if (!atomic_load(&r->table->rows))
        B_LOG(B_INFO, "tables", "table %s is loaded: %u rows", r->table->name, b.rows->count);
    swap(r->table, b.rows);
    return 0;
}

static int refresh(const struct gw_reference *r) {
    size_t query = b_slice_find(r->conf->from.path, '?');
    struct http_field fields[2];
    struct rt_call call = {.deadline = rt_after(rt_now(), r->conf->timeout)};
    struct gw_fetch f = {.limit = (size_t)r->conf->max_response, .whole_time = true};
    f.req.method = HTTP_METHOD_GET;
    f.req.method_text = B_LIT("GET");
    f.req.path = b_slice(r->conf->from.path.ptr, query);
    f.req.has_query = query < r->conf->from.path.len;
    f.req.query = f.req.has_query ? b_slice_from(r->conf->from.path, query + 1) : b_slice("", 0);
    f.req.fields = (struct http_fields){.at = fields, .cap = 2};
    b_arena_init(&call.arena, B_TAG_GATEWAY, NULL, NULL, 0, 1 << 20);
    int rc = http_fields_add_id(NULL, &f.req.fields, HTTP_FIELD_ACCEPT, B_LIT("application/json"));
    rc = rc ? rc : gw_fetch(&f, &call, r->upstream);
    if (rc)
        tell_failure(r->table, f.why ? f.why : f.reason, 0, false);
    rc = rc ? rc : take(r, &f);
    tel_add(rc ? r->table->bad : r->table->good, rt_index(), 1);
    b_text_free(&f.answer);
    b_arena_release(&call.arena);
    return rc;
}

/* ---- the fiber of a table ---- */

#define FIRST_RETRY RT_S
#define LOOK_EVERY RT_S /* whether the config has changed */

static const struct gw_reference *described(const struct gw_snapshot *s, const struct gw_table *t) {
    int at = gw_reference_find((void *)(uintptr_t)s, b_slice_cstr(t->name));
    return at < 0 ? NULL : &s->references[at];
}

/* What the last refresh was made by: another config asks for a new one. */
static uint64_t digest(const struct gw_reference *r) {
    static const struct b_hash_key key = {0x77656972, 2};
    const struct b_slice parts[] = {r->conf->from.upstream.name, r->conf->from.path, r->conf->rows,
                                    r->conf->key};
    uint64_t sum = (uint64_t)r->conf->allow_empty;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        sum = sum * 31 + b_siphash(key, parts[i].ptr, parts[i].len);
    return sum;
}

/* Give or take a tenth, so that instances do not ask all at once. */
static rt_time jittered(rt_time span) {
    return span - span / 10 + (rt_time)b_rng_below(&rt_self()->rng, (uint64_t)span / 5 + 1);
}

struct pace {
    rt_time due, retry;
    uint64_t by;
};

/* One look; false: the table is in no config any more. */
static bool look_after(struct gateway *g, struct gw_table *t, struct pace *p) {
    struct gw_snapshot *s = gw_pin(g);
    const struct gw_reference *r = described(s, t);
    if (r && (rt_now() >= p->due || digest(r) != p->by)) {
        p->by = digest(r);
        bool good = refresh(r) == 0;
        p->due =
            rt_after(rt_now(), jittered(good || p->retry > r->conf->refresh ? r->conf->refresh : p->retry));
        p->retry = good ? FIRST_RETRY : p->retry * 2;
    }
    gw_unpin(s);
    return r != NULL;
}

struct start {
    struct gateway *g;
    struct gw_table *t;
};

static void run(void *arg) {
    struct start *s = arg;
    struct gateway *g = s->g;
    struct gw_table *t = s->t;
    struct pace p = {.retry = FIRST_RETRY};
    b_free(s);
    while (look_after(g, t, &p)) {
        rt_time next = rt_after(rt_now(), LOOK_EVERY);
        if (rt_sleep_until(p.due < next ? p.due : next) != 0)
            break;
    }
    atomic_store(&t->running, false);
}

void gw_references_start(struct gateway *g, const struct gw_snapshot *s) {
    for (unsigned i = 0; i < s->reference_count; i++) {
        struct gw_table *t = s->references[i].table;
        if (atomic_exchange(&t->running, true))
            continue;
        struct start *start = b_alloc(B_TAG_GATEWAY, sizeof *start);
        if (start)
            *start = (struct start){g, t};
        if (!start || rt_spawn("table", run, start) != 0) {
            B_LOG(B_ERROR, "tables", "table %s is not looked after: memory is short; reload to try again",
                  t->name);
            atomic_store(&t->running, false);
            b_free(start);
        }
    }
}
