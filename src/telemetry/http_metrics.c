#include "telemetry/http_metrics.h"

#include <errno.h>
#include <pthread.h>

#include "base/map.h"
#include "base/number.h"
#include "telemetry/memory.h"

#define BUCKETS 16 /* lists of cells for a route and worker */
#define PHASES_MAX 16

/* One pair of method and status as one worker sees it: where its durations go. Immutable once it is on its
 * list. */
struct cell {
    struct cell *next;
    unsigned method, status; /* status 0: "other" */
    bool is_shared;          /* the family is full, so that the histogram is one that several routes use */
    struct b_histogram *durations;
};

/* Written by its worker, read by anyone. */
struct cells {
    _Atomic(struct cell *) buckets[BUCKETS];
    unsigned count;
};

struct tel_route {
    struct tel_route *_Atomic next;
    struct b_slice pattern;
    unsigned worker_count;
    struct cells *workers[];
};

struct phase {
    const char *_Atomic name;
    struct tel_series *series; /* set before the name */
};

static struct tel_family server_durations = {
    .name = "http_server_request_duration_seconds",
    .help = "Duration of requests by route, from the first byte to the end of the response.",
    .type = TEL_HISTOGRAM,
    .labels = {"http_route", "http_request_method", "http_response_status_code"},
    .series_max = 4000,
    .one = TEL_NANOSECONDS,
};
static struct tel_family client_durations = {
    .name = "http_client_request_duration_seconds",
    .help = "Duration of requests to an upstream with all their attempts, to the end of the response.",
    .type = TEL_HISTOGRAM,
    .labels = {"upstream"},
    .one = TEL_NANOSECONDS,
};
static struct tel_family active_family = {
    .name = "http_server_active_requests",
    .help = "Requests that are being served.",
    .type = TEL_GAUGE,
};
static struct tel_family refusals_family = {
    .name = "weir_refusals_total",
    .help = "Requests that weir answered itself with an error, by its code and the rule that was broken.",
    .type = TEL_COUNTER,
    .labels = {"code", "rule"},
};
static struct tel_family bad_responses_family = {
    .name = "weir_bad_responses_total",
    .help =
        "Responses that were not passed on because they were malformed, by upstream and what was wrong with them.",
    .type = TEL_COUNTER,
    .labels = {"upstream", "code", "rule"},
};
static struct tel_family phases_family = {
    .name = "weir_deadline_exceeded_total",
    .help = "Requests whose deadline passed, by the phase it happened in.",
    .type = TEL_COUNTER,
    .labels = {"phase"},
    .series_max = PHASES_MAX,
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* the tables below, for writing */
static struct b_map routes_by_pattern;
static struct tel_route *_Atomic first_route;
static struct tel_route *last_route, *other_route;
static struct phase phases[PHASES_MAX];
static struct tel_series *active;
static struct tel_series *refusals[HTTP_ERROR_COUNT];

/* ---- routes ---- */

static struct tel_route *new_route(struct b_slice pattern) {
    size_t workers = tel_metrics_workers();
    struct tel_route *r = b_zalloc(B_TAG_TELEMETRY, sizeof *r + workers * sizeof r->workers[0]);
    char *copy = b_strdup(B_TAG_TELEMETRY, pattern.ptr, pattern.len);
    bool ok = r && copy;
    for (size_t i = 0; ok && i < workers; i++)
        ok = (r->workers[i] = tel_alloc_lines(sizeof(struct cells))) != NULL;
    if (ok && b_map_put(&routes_by_pattern, b_slice(copy, pattern.len), r) == 0) {
        r->pattern = b_slice(copy, pattern.len);
        r->worker_count = (unsigned)workers;
        return r;
    }
    for (size_t i = 0; r && i < workers; i++)
        tel_free_lines(r->workers[i]);
    b_free(copy);
    b_free(r);
    return NULL;
}

static struct tel_route *get_locked(struct b_slice pattern) {
    struct tel_route *r = b_map_get(&routes_by_pattern, pattern);
    if (r || other_route)
        return r ? r : other_route;
    bool full = routes_by_pattern.count >= TEL_ROUTES_MAX;
    r = new_route(full ? B_LIT("other") : pattern);
    if (!r)
        return NULL;
    if (full)
        other_route = r;
    if (last_route)
        atomic_store_explicit(&last_route->next, r, memory_order_release);
    else
        atomic_store_explicit(&first_route, r, memory_order_release);
    last_route = r;
    return r;
}

struct tel_route *tel_route_get(struct b_slice pattern) {
    pthread_mutex_lock(&lock);
    struct tel_route *r = get_locked(pattern);
    pthread_mutex_unlock(&lock);
    return r;
}

struct tel_route *tel_route_next(const struct tel_route *r) {
    return r ? atomic_load_explicit(&((struct tel_route *)(uintptr_t)r)->next, memory_order_acquire)
             : atomic_load_explicit(&first_route, memory_order_acquire);
}

/* ---- observing ---- */

static inline unsigned bucket_of(unsigned method, unsigned status) {
    return (status + method * 7) % BUCKETS;
}

static inline struct cell *find(struct cells *c, unsigned method, unsigned status) {
    /* only this worker adds cells, so that its own loads need no order */
    struct cell *cell = atomic_load_explicit(&c->buckets[bucket_of(method, status)], memory_order_relaxed);
    while (cell && (cell->method != method || cell->status != status))
        cell = cell->next;
    return cell;
}

static struct tel_series *series_of(const struct tel_route *r, unsigned method, unsigned status) {
    char digits[B_U64_TEXT];
    struct b_slice name = http_method_name((enum http_method)method);
    struct b_slice values[] = {r->pattern, name.len ? name : B_LIT("_OTHER"),
                               status ? b_slice(digits, b_format_u64(digits, status)) : B_LIT("other")};
    return tel_series_get(&server_durations, values);
}

/* The first request of its kind on this worker. NULL when memory is short. */
static struct cell *add_cell(struct tel_route *r, unsigned worker, unsigned method, unsigned status) {
    struct cells *c = r->workers[worker];
    if (c->count >= TEL_ROUTE_CELLS_MAX) {
        method = HTTP_METHOD_OTHER;
        status = 0;
        struct cell *rest = find(c, method, status);
        if (rest)
            return rest;
    }
    struct tel_series *s = series_of(r, method, status);
    struct cell *cell = s ? b_alloc(B_TAG_TELEMETRY, sizeof *cell) : NULL;
    if (!cell)
        return NULL;
    _Atomic(struct cell *) *head = &c->buckets[bucket_of(method, status)];
    *cell = (struct cell){.next = atomic_load_explicit(head, memory_order_relaxed),
                          .method = method,
                          .status = status,
                          .is_shared = s == server_durations.other,
                          .durations = tel_histogram(s, worker)};
    atomic_store_explicit(head, cell, memory_order_release);
    c->count++;
    return cell;
}

void tel_route_observe(struct tel_route *r, unsigned worker, enum http_method method, unsigned status,
                       uint64_t ns) {
    if (!r || worker >= r->worker_count)
        return;
    unsigned m = (unsigned)method < HTTP_METHOD_OTHER ? (unsigned)method : HTTP_METHOD_OTHER;
    unsigned st = status >= 100 && status <= 599 ? status : 0;
    struct cell *cell = find(r->workers[worker], m, st);
    if (!cell && !(cell = add_cell(r, worker, m, st)))
        return;
    b_histogram_add(cell->durations, ns);
}

void tel_route_totals(const struct tel_route *r, struct tel_route_totals *out) {
    *out = (struct tel_route_totals){.pattern = r->pattern};
    for (unsigned i = 0; i < r->worker_count * BUCKETS; i++) {
        _Atomic(struct cell *) *head = &r->workers[i / BUCKETS]->buckets[i % BUCKETS];
        for (struct cell *c = atomic_load_explicit(head, memory_order_acquire); c; c = c->next) {
            uint64_t before = out->durations.count;
            if (c->is_shared)
                continue;
            b_histogram_read(c->durations, &out->durations);
            if (c->status >= 500)
                out->errors += out->durations.count - before;
        }
    }
}

void tel_worker_totals(unsigned worker, struct b_histogram_totals *out) {
    bool shared = false; /* the shared histogram has been read */
    *out = (struct b_histogram_totals){0};
    for (struct tel_route *r = tel_route_next(NULL); r; r = tel_route_next(r)) {
        for (unsigned i = 0; worker < r->worker_count && i < BUCKETS; i++) {
            struct cell *c = atomic_load_explicit(&r->workers[worker]->buckets[i], memory_order_acquire);
            for (; c; c = c->next) {
                if (c->is_shared && shared)
                    continue;
                shared |= c->is_shared;
                b_histogram_read(c->durations, out);
            }
        }
    }
}

/* ---- the other families ---- */

void tel_active_add(unsigned worker, int n) {
    tel_add(active, worker, (uint64_t)(int64_t)n);
}

uint64_t tel_active_requests(void) {
    return active ? tel_series_value(active) : 0;
}

struct tel_series *tel_client_series(struct b_slice upstream) {
    return tel_series_get(&client_durations, &upstream);
}

void tel_refusal(unsigned worker, enum http_error error) {
    if (error > HTTP_OK && error < HTTP_ERROR_COUNT)
        tel_add(refusals[error], worker, 1);
}

/* Rare enough to look its series up each time. */
void tel_bad_response(unsigned worker, struct b_slice upstream, enum http_error why) {
    const struct http_error_info *info = http_error_info(why);
    struct b_slice values[] = {upstream, b_slice_cstr(info->code), b_slice_cstr(info->rule)};
    tel_add(tel_series_get(&bad_responses_family, values), worker, 1);
}

uint64_t tel_refusals(enum http_error error) {
    bool known = error > HTTP_OK && error < HTTP_ERROR_COUNT && refusals[error];
    return known ? tel_series_value(refusals[error]) : 0;
}

/* A literal that has not been seen yet. */
static struct tel_series *add_phase(const char *name) {
    struct b_slice value = b_slice_cstr(name);
    struct tel_series *s = tel_series_get(&phases_family, &value);
    pthread_mutex_lock(&lock);
    for (int i = 0; s && i < PHASES_MAX; i++) {
        const char *seen = atomic_load_explicit(&phases[i].name, memory_order_relaxed);
        if (seen && seen != name)
            continue;
        phases[i].series = s;
        atomic_store_explicit(&phases[i].name, name, memory_order_release);
        break;
    }
    pthread_mutex_unlock(&lock);
    return s;
}

void tel_deadline_exceeded(unsigned worker, const char *phase) {
    for (int i = 0; i < PHASES_MAX; i++) {
        const char *seen = atomic_load_explicit(&phases[i].name, memory_order_acquire);
        if (seen == phase) {
            tel_add(phases[i].series, worker, 1);
            return;
        }
        if (!seen)
            break;
    }
    tel_add(add_phase(phase), worker, 1);
}

int tel_http_init(void) {
    int rc = tel_register(&server_durations);
    rc = rc ? rc : tel_register(&client_durations);
    rc = rc ? rc : tel_register(&active_family);
    rc = rc ? rc : tel_register(&refusals_family);
    rc = rc ? rc : tel_register(&bad_responses_family);
    rc = rc ? rc : tel_register(&phases_family);
    if (rc)
        return rc;
    b_map_init(&routes_by_pattern, B_TAG_TELEMETRY, (struct b_hash_key){0}); /* keys come from the config */
    active = tel_series_get(&active_family, NULL);
    for (int i = HTTP_OK + 1; i < HTTP_ERROR_COUNT; i++) {
        const struct http_error_info *info = http_error_info((enum http_error)i);
        struct b_slice values[] = {b_slice_cstr(info->code), b_slice_cstr(info->rule)};
        refusals[i] = tel_series_get(&refusals_family, values);
        if (!refusals[i])
            return -ENOMEM;
    }
    return active ? 0 : -ENOMEM;
}

static void free_route(struct tel_route *r) {
    for (unsigned i = 0; i < r->worker_count; i++) {
        for (int b = 0; b < BUCKETS; b++) {
            struct cell *c = atomic_load_explicit(&r->workers[i]->buckets[b], memory_order_relaxed), *next;
            for (; c; c = next) {
                next = c->next;
                b_free(c);
            }
        }
        tel_free_lines(r->workers[i]);
    }
    b_free((char *)(uintptr_t)r->pattern.ptr);
    b_free(r);
}

void tel_http_free(void) {
    for (struct tel_route *r = tel_route_next(NULL), *next; r; r = next) {
        next = tel_route_next(r);
        free_route(r);
    }
    b_map_free(&routes_by_pattern);
    atomic_store_explicit(&first_route, NULL, memory_order_relaxed);
    last_route = other_route = NULL;
    active = NULL;
    memset(refusals, 0, sizeof refusals);
    for (int i = 0; i < PHASES_MAX; i++)
        atomic_store_explicit(&phases[i].name, NULL, memory_order_relaxed);
}
