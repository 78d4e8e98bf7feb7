#include "telemetry/metrics.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>

#include "base/map.h"
#include "telemetry/exposition.h"
#include "telemetry/memory.h"

struct tel_collector_entry {
    struct tel_collector_entry *next;
    tel_collect_fn *fn; /* or */
    tel_gauge_fn *gauge;
    void *arg;
};

/* Immutable once it is on its family's list, but for the slots. */
struct tel_series {
    struct tel_series *next;
    struct tel_family *family;
    char *key;             /* name{labels} */
    struct b_slice labels; /* the part between the braces */
    char *slots;           /* workers + 1 of them, slot_size bytes apart */
};

/* Families and series: held for a moment by everyone. The lists only grow, and their links up to a last
 * element read under the lock never change, so that the scrape walks them without it. */
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
/* Collectors: held for a whole scrape, taken before registry_lock. */
static pthread_mutex_t scrape_lock = PTHREAD_MUTEX_INITIALIZER;
/* The histogram slots of threads that are no workers. */
static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER;

static unsigned worker_count = 1;
static struct tel_family *families, *families_last;
static struct b_map series_by_key;

void tel_metrics_init(unsigned workers) {
    worker_count = workers < 1 ? 1 : workers > TEL_WORKERS_MAX ? TEL_WORKERS_MAX : workers;
    b_map_init(&series_by_key, B_TAG_TELEMETRY,
               (struct b_hash_key){0}); /* a peer cannot make many keys: series_max */
}

unsigned tel_metrics_workers(void) {
    return worker_count;
}

/* ---- registry ---- */

static bool is_valid(const struct tel_family *f) {
    uint64_t one = f->one ? f->one : 1;
    while (one % 10 == 0)
        one /= 10;
    return f->name && f->help && one == 1;
}

static int register_locked(struct tel_family *f) {
    if (f->registered)
        return 0;
    assert(is_valid(f));
    for (struct tel_family *other = families; other; other = other->next)
        if (strcmp(other->name, f->name) == 0)
            return -EEXIST;
    f->registered = true;
    *(families ? &families_last->next : &families) = f;
    families_last = f;
    return 0;
}

static size_t slot_size(enum tel_type type) {
    size_t size = type == TEL_HISTOGRAM ? sizeof(struct b_histogram) : sizeof(struct b_counter);
    return (size + TEL_CACHE_LINE - 1) / TEL_CACHE_LINE * TEL_CACHE_LINE;
}

static void free_series(struct tel_series *s) {
    b_free(s->key);
    tel_free_lines(s->slots);
    b_free(s);
}

static struct tel_series *new_series(struct tel_family *f, struct b_slice key) {
    struct tel_series *s = b_zalloc(B_TAG_TELEMETRY, sizeof *s);
    if (!s)
        return NULL;
    s->family = f;
    s->key = b_strdup(B_TAG_TELEMETRY, key.ptr, key.len);
    s->slots = tel_alloc_lines((worker_count + 1) * slot_size(f->type));
    if (!s->key || !s->slots || b_map_put(&series_by_key, b_slice(s->key, key.len), s) < 0) {
        free_series(s);
        return NULL;
    }
    size_t brace = b_slice_find(key, '{');
    if (brace < key.len)
        s->labels = b_slice(s->key + brace + 1, key.len - brace - 2);
    *(f->series ? &f->series_last->next : &f->series) = s;
    f->series_last = s;
    return s;
}

static void add_key(struct b_text *t, const struct tel_family *f, const struct b_slice *label_values) {
    b_text_cstr(t, f->name);
    if (!f->labels[0])
        return;
    b_text_char(t, '{');
    tel_add_labels(t, f, label_values);
    b_text_char(t, '}');
}

static struct tel_series *get_other(struct tel_family *f) {
    struct b_slice values[TEL_LABELS_MAX];
    if (f->other)
        return f->other;
    for (int i = 0; i < TEL_LABELS_MAX; i++)
        values[i] = B_LIT("other");
    struct b_text key = b_text_heap(B_TAG_TELEMETRY, 64 * 1024);
    add_key(&key, f, values);
    if (!key.failed && !(f->other = b_map_get(&series_by_key, b_text_slice(&key))))
        f->other = new_series(f, b_text_slice(&key));
    b_text_free(&key);
    return f->other;
}

static struct tel_series *get_locked(struct tel_family *f, struct b_slice key) {
    struct tel_series *s = b_map_get(&series_by_key, key);
    if (s || register_locked(f) < 0)
        return s && s->family == f ? s : NULL;
    if (f->series_count >= (f->series_max ? f->series_max : TEL_SERIES_MAX))
        return get_other(f);
    s = new_series(f, key);
    f->series_count += s != NULL;
    return s;
}

struct tel_series *tel_series_get(struct tel_family *f, const struct b_slice *label_values) {
    struct b_text key = b_text_heap(B_TAG_TELEMETRY, 64 * 1024);
    struct tel_series *s = NULL;
    add_key(&key, f, label_values);
    if (!key.failed) {
        pthread_mutex_lock(&registry_lock);
        s = get_locked(f, b_text_slice(&key));
        pthread_mutex_unlock(&registry_lock);
    }
    b_text_free(&key);
    return s;
}

int tel_register(struct tel_family *f) {
    pthread_mutex_lock(&registry_lock);
    int rc = register_locked(f);
    pthread_mutex_unlock(&registry_lock);
    if (rc == 0 && !f->labels[0] && !tel_series_get(f, NULL))
        rc = -ENOMEM;
    return rc;
}

/* ---- counting ---- */

struct b_counter *tel_counter(struct tel_series *s, unsigned worker) {
    assert(worker < worker_count && s->family->type != TEL_HISTOGRAM);
    return (struct b_counter *)(void *)(s->slots + worker * TEL_CACHE_LINE);
}

struct b_histogram *tel_histogram(struct tel_series *s, unsigned worker) {
    assert(worker < worker_count && s->family->type == TEL_HISTOGRAM);
    return (struct b_histogram *)(void *)(s->slots + worker * slot_size(TEL_HISTOGRAM));
}

static void *shared_slot(struct tel_series *s) {
    return s->slots + worker_count * slot_size(s->family->type);
}

void tel_add(struct tel_series *s, unsigned worker, uint64_t n) {
    if (!s)
        return;
    if (worker < worker_count) {
        b_counter_add(tel_counter(s, worker), n);
        return;
    }
    struct b_counter *shared = shared_slot(s); /* many writers, all by this addition */
    atomic_fetch_add_explicit(&shared->v, n, memory_order_relaxed);
}

void tel_sub(struct tel_series *s, unsigned worker, uint64_t n) {
    tel_add(s, worker, (uint64_t)0 - n);
}

void tel_observe(struct tel_series *s, unsigned worker, uint64_t value) {
    if (!s)
        return;
    if (worker < worker_count) {
        b_histogram_add(tel_histogram(s, worker), value);
        return;
    }
    pthread_mutex_lock(&shared_lock);
    b_histogram_add(shared_slot(s), value);
    pthread_mutex_unlock(&shared_lock);
}

uint64_t tel_series_value(const struct tel_series *s) {
    uint64_t sum = 0;
    for (unsigned i = 0; i <= worker_count; i++)
        sum += b_counter_get((const struct b_counter *)(const void *)(s->slots + i * TEL_CACHE_LINE));
    return sum;
}

void tel_series_totals(const struct tel_series *s, struct b_histogram_totals *out) {
    *out = (struct b_histogram_totals){0};
    for (unsigned i = 0; i <= worker_count; i++)
        b_histogram_read((const struct b_histogram *)(const void *)(s->slots + i * slot_size(TEL_HISTOGRAM)),
                         out);
}

/* ---- collectors ---- */

static int add_collector(struct tel_family *f, tel_collect_fn *fn, tel_gauge_fn *gauge, void *arg) {
    struct tel_collector_entry *e = b_alloc(B_TAG_TELEMETRY, sizeof *e);
    if (!e)
        return -ENOMEM;
    *e = (struct tel_collector_entry){.fn = fn, .gauge = gauge, .arg = arg};
    pthread_mutex_lock(&scrape_lock);
    pthread_mutex_lock(&registry_lock);
    int rc = register_locked(f);
    pthread_mutex_unlock(&registry_lock);
    struct tel_collector_entry **at = &f->collectors;
    while (rc == 0 && *at)
        at = &(*at)->next;
    if (rc == 0)
        *at = e;
    else
        b_free(e);
    pthread_mutex_unlock(&scrape_lock);
    return rc;
}

static void remove_collector(struct tel_family *f, tel_collect_fn *fn, tel_gauge_fn *gauge, void *arg) {
    pthread_mutex_lock(&scrape_lock);
    for (struct tel_collector_entry **at = &f->collectors; *at;) {
        struct tel_collector_entry *e = *at;
        if (e->fn == fn && e->gauge == gauge && e->arg == arg) {
            *at = e->next;
            b_free(e);
        } else {
            at = &e->next;
        }
    }
    pthread_mutex_unlock(&scrape_lock);
}

int tel_collector(struct tel_family *f, tel_collect_fn *fn, void *arg) {
    return add_collector(f, fn, NULL, arg);
}

void tel_collector_remove(struct tel_family *f, tel_collect_fn *fn, void *arg) {
    remove_collector(f, fn, NULL, arg);
}

int tel_gauge_callback(struct tel_family *f, tel_gauge_fn *fn, void *arg) {
    return add_collector(f, NULL, fn, arg);
}

void tel_gauge_callback_remove(struct tel_family *f, tel_gauge_fn *fn, void *arg) {
    remove_collector(f, NULL, fn, arg);
}

/* ---- the scrape ---- */

static void write_series(struct b_text *out, const struct tel_series *s) {
    if (s->family->type == TEL_HISTOGRAM) {
        struct b_histogram_totals totals;
        tel_series_totals(s, &totals);
        tel_add_histogram(out, s->family, s->labels, &totals);
    } else {
        tel_add_value(out, s->family, s->labels, tel_series_value(s));
    }
}

static void write_family(struct b_text *out, struct tel_family *f) {
    pthread_mutex_lock(&registry_lock);
    struct tel_series *s = f->series, *last = f->series_last;
    pthread_mutex_unlock(&registry_lock);
    size_t start = out->len;
    tel_add_header(out, f);
    size_t empty = out->len;
    if (f->collectors && !f->labels[0])
        s = NULL; /* the callback's value is the one */
    for (; s; s = s == last ? NULL : s->next)
        write_series(out, s);
    struct tel_samples samples = {.out = out, .family = f};
    for (struct tel_collector_entry *e = f->collectors; e; e = e->next) {
        if (e->gauge)
            tel_sample(&samples, NULL, e->gauge(e->arg));
        else
            e->fn(&samples, e->arg);
    }
    if (out->len == empty)
        out->len = start;
}

void tel_write_metrics(struct b_text *out) {
    pthread_mutex_lock(&scrape_lock);
    pthread_mutex_lock(&registry_lock);
    struct tel_family *f = families, *last = families_last;
    pthread_mutex_unlock(&registry_lock);
    for (; f && !out->failed; f = f == last ? NULL : f->next)
        write_family(out, f);
    pthread_mutex_unlock(&scrape_lock);
}

void tel_metrics_free(void) {
    for (struct tel_family *f = families, *next; f; f = next) {
        next = f->next;
        while (f->series) {
            struct tel_series *s = f->series;
            f->series = s->next;
            free_series(s);
        }
        while (f->collectors) {
            struct tel_collector_entry *e = f->collectors;
            f->collectors = e->next;
            b_free(e);
        }
        f->next = NULL;
        f->series_last = f->other = NULL;
        f->series_count = 0;
        f->registered = false;
    }
    families = families_last = NULL;
    b_map_free(&series_by_key);
}
