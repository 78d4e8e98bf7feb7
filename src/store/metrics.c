/* What stores and the ways into their tables count. */
#include "store/internal.h"

#define PLAIN 1000000 /* of a histogram of plain numbers: see struct tel_family */

#define OF_TABLE .labels = {"store", "table"}

static struct tel_family rows = {.name = "weir_ingest_rows_total",
                                 .help = "Rows that were stored or changed.",
                                 .type = TEL_COUNTER,
                                 OF_TABLE};
static struct tel_family batch_rows = {.name = "weir_ingest_batch_rows",
                                       .help = "Rows of a transaction.",
                                       .type = TEL_HISTOGRAM,
                                       .one = PLAIN,
                                       OF_TABLE};
static struct tel_family commit = {
    .name = "weir_ingest_commit_duration_seconds",
    .help = "How long transactions took, from the first row until they were on disk.",
    .type = TEL_HISTOGRAM,
    .one = TEL_NANOSECONDS,
    OF_TABLE};
static struct tel_family duplicates = {.name = "weir_ingest_duplicates_total",
                                       .help = "Rows that were there already and changed nothing.",
                                       .type = TEL_COUNTER,
                                       OF_TABLE};
static struct tel_family rejected = {.name = "weir_ingest_rejected_total",
                                     .help = "Items that went to the table of those that are refused.",
                                     .type = TEL_COUNTER,
                                     OF_TABLE};
static struct tel_family failed = {.name = "weir_ingest_failed_posts_total",
                                   .help =
                                       "Posts of transactions that failed; nothing of them was acknowledged.",
                                   .type = TEL_COUNTER,
                                   OF_TABLE};
static struct tel_family depth = {.name = "weir_ingest_queue_depth",
                                  .help = "Posts that wait to be stored.",
                                  .type = TEL_GAUGE,
                                  OF_TABLE};
static struct tel_family age = {.name = "weir_ingest_queue_age_seconds",
                                .help = "How long the first of the posts in the queue has waited.",
                                .type = TEL_GAUGE,
                                OF_TABLE};
static struct tel_family up = {.name = "weir_store_up",
                               .help = "Whether a store can be used.",
                               .type = TEL_GAUGE,
                               .labels = {"store", "kind"}};

static struct tel_family connection_count = {.name = "db_client_connection_count",
                                             .help = "Connections to a database.",
                                             .type = TEL_GAUGE,
                                             .labels = {"store"}};
static struct tel_family connection_max = {.name = "db_client_connection_max",
                                           .help = "Connections to a database that there may be.",
                                           .type = TEL_GAUGE,
                                           .labels = {"store"}};
static struct tel_family pending = {
    .name = "db_client_connection_pending_requests",
    .help = "Posts that wait for a connection to a database, or for what it does.",
    .type = TEL_GAUGE,
    .labels = {"store"}};
static struct tel_family timeouts = {
    .name = "db_client_connection_timeouts_total",
    .help = "Posts whose deadline passed while they waited for a connection to a database.",
    .type = TEL_COUNTER,
    .labels = {"store"}};

void st_sink_series(struct st_sink *sink) {
    const struct b_slice labels[] = {b_slice_cstr(sink->store->name), sink->table.name};
    sink->series = (struct st_series){.timeouts = tel_series_get(&timeouts, labels),
                                      .rows = tel_series_get(&rows, labels),
                                      .batch_rows = tel_series_get(&batch_rows, labels),
                                      .commit = tel_series_get(&commit, labels),
                                      .duplicates = tel_series_get(&duplicates, labels),
                                      .rejected = tel_series_get(&rejected, labels),
                                      .failed = tel_series_get(&failed, labels)};
}

void st_observe_commit(const struct st_sink *sink, unsigned row_count, rt_time took) {
    tel_observe(sink->series.batch_rows, TEL_NO_WORKER, (uint64_t)row_count * PLAIN);
    tel_observe(sink->series.commit, TEL_NO_WORKER, (uint64_t)took);
}

/* Stores that nobody has are being closed, and another may have their name. */
static void each_store(struct st_registry *r, struct tel_samples *out,
                       void (*fn)(struct tel_samples *, struct st_store *)) {
    pthread_mutex_lock(&r->lock);
    B_LIST_EACH(n, &r->stores) {
        struct st_store *s = B_CONTAINER(n, struct st_store, link);
        pthread_mutex_lock(&s->lock);
        if (s->started && !s->closing)
            fn(out, s);
        pthread_mutex_unlock(&s->lock);
    }
    pthread_mutex_unlock(&r->lock);
}

static void write_up(struct tel_samples *out, struct st_store *s) {
    const struct b_slice labels[] = {b_slice_cstr(s->name), b_slice_cstr(s->home->name)};
    tel_sample(out, labels, s->condition == ST_UP);
}

static void write_connections(struct tel_samples *out, struct st_store *s) {
    const struct b_slice label = b_slice_cstr(s->name);
    tel_sample(out, &label, s->home->connections(s));
}

static void write_connections_max(struct tel_samples *out, struct st_store *s) {
    const struct b_slice label = b_slice_cstr(s->name);
    tel_sample(out, &label, s->home == &st_sqlite ? 1 : (double)s->pool.max_open);
}

static void write_pending(struct tel_samples *out, struct st_store *s) {
    const struct b_slice label = b_slice_cstr(s->name);
    double waiting = 0;
    B_LIST_EACH(n, &s->sinks)
        waiting += B_CONTAINER(n, struct st_sink, link)->waiting;
    tel_sample(out, &label, waiting);
}

static void each_sink(struct tel_samples *out, struct st_store *s, double (*of)(const struct st_sink *)) {
    B_LIST_EACH(n, &s->sinks) {
        const struct st_sink *sink = B_CONTAINER(n, struct st_sink, link);
        const struct b_slice labels[] = {b_slice_cstr(s->name), sink->table.name};
        if (sink->refs)
            tel_sample(out, labels, of(sink));
    }
}

static double depth_of(const struct st_sink *sink) {
    return sink->waiting;
}

static double age_of(const struct st_sink *sink) {
    return b_list_empty(&sink->queue)
               ? 0
               : (double)(rt_clock() - B_CONTAINER(sink->queue.next, struct st_post, link)->since) / 1e9;
}

static void write_depth(struct tel_samples *out, struct st_store *s) {
    each_sink(out, s, depth_of);
}

static void write_age(struct tel_samples *out, struct st_store *s) {
    each_sink(out, s, age_of);
}

static void collect_up(struct tel_samples *out, void *r) {
    each_store(r, out, write_up);
}

static void collect_depth(struct tel_samples *out, void *r) {
    each_store(r, out, write_depth);
}

static void collect_age(struct tel_samples *out, void *r) {
    each_store(r, out, write_age);
}

static void collect_connections(struct tel_samples *out, void *r) {
    each_store(r, out, write_connections);
}

static void collect_connections_max(struct tel_samples *out, void *r) {
    each_store(r, out, write_connections_max);
}

static void collect_pending(struct tel_samples *out, void *r) {
    each_store(r, out, write_pending);
}

static const struct {
    struct tel_family *family;
    tel_collect_fn *fn;
} collectors[] = {{&up, collect_up},
                  {&depth, collect_depth},
                  {&age, collect_age},
                  {&connection_count, collect_connections},
                  {&connection_max, collect_connections_max},
                  {&pending, collect_pending}};

/* Without them the page lacks their lines: nothing else depends on it. */
void st_metrics_open(struct st_registry *r) {
    for (size_t i = 0; i < sizeof collectors / sizeof *collectors; i++)
        (void)!tel_collector(collectors[i].family, collectors[i].fn, r);
}

void st_metrics_close(struct st_registry *r) {
    for (size_t i = 0; i < sizeof collectors / sizeof *collectors; i++)
        tel_collector_remove(collectors[i].family, collectors[i].fn, r);
}
