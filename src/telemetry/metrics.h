/* Metrics: families of series, each with one slot for each worker, added up when they are read, and written
 * as Prometheus text (exposition format 0.0.4).
 *
 * A family is a static struct. Counting is a plain add on the worker's own cache line; finding a series by
 * its labels takes a lock and is for the building of a plan or the first use. Series are never freed: a plan
 * that is loaded again finds its series by their labels, and the counters go on.
 *
 *     static struct tel_family retries = {
 *         .name = "weir_upstream_retries_total", .help = "Attempts after the first.", .type = TEL_COUNTER,
 *         .labels = {"upstream"}};
 *     series = tel_series_get(&retries, &name);     // when the plan is built
 *     tel_add(series, rt_index(), 1);               // in a request */
#ifndef TELEMETRY_METRICS_H
#define TELEMETRY_METRICS_H

#include <limits.h>

#include "base/counter.h"
#include "base/histogram.h"
#include "base/text.h"

#define TEL_WORKERS_MAX 256u
#define TEL_NO_WORKER UINT_MAX /* a thread that is no worker: its counts go to a shared slot */
#define TEL_LABELS_MAX 4
#define TEL_LABEL_VALUE_MAX 256 /* bytes; longer values are cut */
#define TEL_SERIES_MAX 1000     /* series of a family, unless it says otherwise */
#define TEL_EXPOSITION_MAX (16u * 1024 * 1024)
#define TEL_NANOSECONDS 1000000000u

enum tel_type { TEL_COUNTER, TEL_GAUGE, TEL_HISTOGRAM };

struct tel_series;
struct tel_collector_entry;

/* Static, for the life of the process. The first part is filled in by its owner, the second belongs to
 * metrics.c. */
struct tel_family {
    const char *name; /* a counter's ends in _total */
    const char *help; /* a sentence */
    enum tel_type type;
    const char *labels[TEL_LABELS_MAX]; /* names; the first NULL ends them */
    /* Beyond it all further series are one whose label values are "other"; 0: TEL_SERIES_MAX. */
    unsigned series_max;
    /* The counted number that is exported as 1; 0 as 1. TEL_NANOSECONDS: nanoseconds are counted and seconds
     * exported. The bounds of a histogram are divided likewise: with 1000000 a histogram of plain numbers has
     * the bounds 0.1, 0.25 ... 60000 and is fed with a million times the number. */
    uint64_t one;

    struct tel_family *next; /* NULL and not registered, or the next one */
    bool registered;
    unsigned series_count;
    struct tel_series *series, *series_last, *other;
    struct tel_collector_entry *collectors;
};

/* Once, before everything else; 1 <= workers <= TEL_WORKERS_MAX (a larger number is taken as that). */
void tel_metrics_init(unsigned workers);
unsigned tel_metrics_workers(void);
/* Frees all series and forgets all families, for tests; nobody may use them any more. */
void tel_metrics_free(void);

/* Makes the family visible before its first series. One without labels gets its series, at 0, unless a
 * collector writes it. Repeating it changes nothing. 0; -ENOMEM; -EEXIST when another family has that name. Any thread, takes a lock. */
int tel_register(struct tel_family *f);

/* The series with these values, one for each label name; registers the family. NULL when memory is short or
 * the family cannot be registered. Values that are not UTF-8 are repaired. Any thread, takes a lock and the
 * heap. */
struct tel_series *tel_series_get(struct tel_family *f, const struct b_slice *label_values);

/* The worker's slot, with one writer: that worker. worker < tel_metrics_workers(). The series is of the right
 * type. */
struct b_counter *tel_counter(struct tel_series *s, unsigned worker);
struct b_histogram *tel_histogram(struct tel_series *s, unsigned worker);

/* Counts n; a NULL series is ignored, so that a shortage of memory costs a figure and nothing else. On a
 * worker this is a plain add; TEL_NO_WORKER (any number from tel_metrics_workers() on) takes an atomic add.
 * Gauges: tel_sub too. */
void tel_add(struct tel_series *s, unsigned worker, uint64_t n);
void tel_sub(struct tel_series *s, unsigned worker, uint64_t n);
/* The same for a histogram; TEL_NO_WORKER takes a lock. */
void tel_observe(struct tel_series *s, unsigned worker, uint64_t value);

/* The sums over all slots now, in counted units (nanoseconds). For the dashboard and tests. Any thread. */
uint64_t tel_series_value(const struct tel_series *s);
void tel_series_totals(const struct tel_series *s, struct b_histogram_totals *out);

/* ---- figures that are read from elsewhere at the scrape ---- */

struct tel_samples; /* where a collector writes, good for the call */
/* Called at each scrape by the thread that scrapes; must not park, and must not add or remove collectors. */
typedef void tel_collect_fn(struct tel_samples *out, void *arg);

/* Writes one sample of the collector's family, values as in tel_series_get; the number is exported as it is.
 * Two samples with the same labels make the page invalid: that is the collector's care. */
void tel_sample(struct tel_samples *out, const struct b_slice *label_values, double value);
/* One histogram; in counted units. */
void tel_sample_histogram(struct tel_samples *out, const struct b_slice *label_values,
                          const struct b_histogram_totals *totals);

/* From now on fn writes samples of the family, behind its series; several may serve one family. 0, -ENOMEM,
 * -EEXIST. Takes a lock. */
int tel_collector(struct tel_family *f, tel_collect_fn *fn, void *arg);
/* Takes the collectors with that fn and arg off; when it returns none of them runs or will run. */
void tel_collector_remove(struct tel_family *f, tel_collect_fn *fn, void *arg);

/* A family without labels whose value is fn's at the scrape. Remove with tel_gauge_callback_remove. */
typedef double tel_gauge_fn(void *arg);
int tel_gauge_callback(struct tel_family *f, tel_gauge_fn *fn, void *arg);
void tel_gauge_callback_remove(struct tel_family *f, tel_gauge_fn *fn, void *arg);

/* Appends the whole exposition; families in the order of their registration. `out` is best
 * b_text_heap(B_TAG_TELEMETRY, TEL_EXPOSITION_MAX); on out->failed nothing of it is of use. One scrape at a
 * time, under a lock that adding and removing collectors take too, while counting and tel_series_get go on.
 * With thousands of series it computes for milliseconds, so it belongs on an offload thread. */
void tel_write_metrics(struct b_text *out);
#define TEL_METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

#endif
