#include "telemetry/metrics.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>

#include "test.h"

#define BAD "\xef\xbf\xbd"

static char page[1 << 18];

/* The exposition as a string. */
static const char *scrape(void) {
    struct b_text t = b_text_heap(B_TAG_TEST, sizeof page - 1);
    tel_write_metrics(&t);
    CHECK(!t.failed);
    memcpy(page, t.ptr, t.len);
    page[t.len] = 0;
    b_text_free(&t);
    return page;
}

static struct tel_family plain = {.name = "a_total", .help = "Things.", .type = TEL_COUNTER};
static struct tel_family labelled = {.name = "b_total",
                                     .help = "More things.",
                                     .type = TEL_COUNTER,
                                     .labels = {"x", "y"}};
static struct tel_family gauge = {.name = "c", .help = "Now.", .type = TEL_GAUGE, .labels = {"x"}};
static struct tel_family seconds = {.name = "d_seconds_total",
                                    .help = "Time.",
                                    .type = TEL_COUNTER,
                                    .one = TEL_NANOSECONDS};
static struct tel_family durations = {
    .name = "e_seconds", .help = "How long.", .type = TEL_HISTOGRAM, .labels = {"r"}, .one = TEL_NANOSECONDS};

static struct tel_series *get1(struct tel_family *f, const char *value) {
    struct b_slice v = b_slice_cstr(value);
    return tel_series_get(f, &v);
}

static struct tel_series *get2(struct tel_family *f, const char *one, const char *two) {
    return tel_series_get(f, (struct b_slice[]){b_slice_cstr(one), b_slice_cstr(two)});
}

TEST(counters_of_all_workers_are_added_up) {
    tel_metrics_init(3);
    CHECK_INT(tel_register(&plain), 0);
    CHECK_STR(scrape(), "# HELP a_total Things.\n# TYPE a_total counter\na_total 0\n");
    struct tel_series *s = tel_series_get(&plain, NULL);
    b_counter_add(tel_counter(s, 0), 1);
    b_counter_add(tel_counter(s, 2), 10);
    tel_add(s, 1, 100);
    tel_add(s, TEL_NO_WORKER, 1000);
    tel_add(s, 3, 1000);
    tel_add(NULL, 0, 1);
    CHECK_UINT(tel_series_value(s), 2111);
    CHECK_STR(scrape(), "# HELP a_total Things.\n# TYPE a_total counter\na_total 2111\n");
    tel_metrics_free();
}

TEST(slots_are_on_lines_of_their_own) {
    tel_metrics_init(2);
    struct tel_series *s = tel_series_get(&plain, NULL), *h = get1(&durations, "r");
    for (unsigned w = 0; w < 2; w++) {
        CHECK_UINT((uintptr_t)tel_counter(s, w) % 64, 0);
        CHECK_UINT((uintptr_t)tel_histogram(h, w) % 64, 0);
    }
    CHECK(tel_counter(s, 0) != tel_counter(s, 1));
    tel_metrics_free();
}

TEST(series_are_found_again_by_their_labels) {
    tel_metrics_init(1);
    struct tel_series *s = get2(&labelled, "1", "2");
    CHECK(s != NULL);
    CHECK(get2(&labelled, "1", "2") == s);
    CHECK(get2(&labelled, "2", "1") != s);
    CHECK(get2(&labelled, "1\",y=\"2", "") != s); /* what looks alike is not the same */
    CHECK(get2(&labelled, "", "1") != get2(&labelled, "1", ""));
    tel_metrics_free();
}

TEST(labels_are_escaped) {
    tel_metrics_init(1);
    tel_add(get2(&labelled, "a\"b\\c\nd", "\xff\xc3\xbc"), 0, 1);
    CHECK_STR(scrape(), "# HELP b_total More things.\n# TYPE b_total counter\n"
                        "b_total{x=\"a\\\"b\\\\c\\nd\",y=\"" BAD "\xc3\xbc\"} 1\n");
    tel_metrics_free();
}

TEST(long_label_values_are_cut) {
    char value[600], want[700];
    tel_metrics_init(1);
    memset(value, 'v', sizeof value);
    memcpy(value + TEL_LABEL_VALUE_MAX - 1, "\xc3\xbc", 2); /* half of it would fit */
    value[sizeof value - 1] = 0;
    tel_add(get1(&gauge, value), 0, 1);
    snprintf(want, sizeof want, "# HELP c Now.\n# TYPE c gauge\nc{x=\"%.*s\"} 1\n", TEL_LABEL_VALUE_MAX - 1,
             value);
    CHECK_STR(scrape(), want);
    tel_metrics_free();
}

TEST(help_is_escaped) {
    static struct tel_family f = {.name = "h", .help = "a \\ \"b\"\nc", .type = TEL_GAUGE};
    tel_metrics_init(1);
    CHECK_INT(tel_register(&f), 0);
    CHECK_STR(scrape(), "# HELP h a \\\\ \"b\"\\nc\n# TYPE h gauge\nh 0\n");
    tel_metrics_free();
}

TEST(gauges_go_below_zero) {
    tel_metrics_init(2);
    struct tel_series *s = get1(&gauge, "1");
    tel_add(s, 0, 5);
    tel_sub(s, 1, 7); /* started on one worker, ended on another */
    CHECK_STR(scrape(), "# HELP c Now.\n# TYPE c gauge\nc{x=\"1\"} -2\n");
    tel_add(s, 1, 2);
    CHECK_STR(scrape(), "# HELP c Now.\n# TYPE c gauge\nc{x=\"1\"} 0\n");
    tel_metrics_free();
}

static void check_seconds(uint64_t ns, const char *text) {
    char want[128];
    tel_metrics_init(1);
    tel_add(tel_series_get(&seconds, NULL), 0, ns);
    snprintf(want, sizeof want,
             "# HELP d_seconds_total Time.\n# TYPE d_seconds_total counter\nd_seconds_total %s\n", text);
    CHECK_STR(scrape(), want);
    tel_metrics_free();
}

TEST(nanoseconds_are_exported_as_seconds) {
    check_seconds(0, "0");
    check_seconds(1, "0.000000001");
    check_seconds(1500000000, "1.5");
    check_seconds(60000000000, "60");
    check_seconds(10000000010, "10.00000001");
    check_seconds(UINT64_MAX, "18446744073.709551615");
}

TEST(histograms) {
    tel_metrics_init(2);
    struct tel_series *s = get1(&durations, "/x");
    b_histogram_add(tel_histogram(s, 0), 50000); /* 50 us */
    tel_observe(s, 1, 3000000);                  /* 3 ms */
    tel_observe(s, TEL_NO_WORKER, 3000001);
    tel_observe(s, 0, 90000000000); /* 90 s */
    tel_observe(NULL, 0, 1);
    CHECK_STR(scrape(), "# HELP e_seconds How long.\n# TYPE e_seconds histogram\n"
                        "e_seconds_bucket{r=\"/x\",le=\"0.0001\"} 1\n"
                        "e_seconds_bucket{r=\"/x\",le=\"0.00025\"} 1\n"
                        "e_seconds_bucket{r=\"/x\",le=\"0.0005\"} 1\n"
                        "e_seconds_bucket{r=\"/x\",le=\"0.001\"} 1\n"
                        "e_seconds_bucket{r=\"/x\",le=\"0.0025\"} 1\n"
                        "e_seconds_bucket{r=\"/x\",le=\"0.005\"} 3\n"
                        "e_seconds_bucket{r=\"/x\",le=\"0.01\"} 3\n"
                        "e_seconds_bucket{r=\"/x\",le=\"0.025\"} 3\n"
                        "e_seconds_bucket{r=\"/x\",le=\"0.05\"} 3\n"
                        "e_seconds_bucket{r=\"/x\",le=\"0.1\"} 3\n"
                        "e_seconds_bucket{r=\"/x\",le=\"0.25\"} 3\n"
                        "e_seconds_bucket{r=\"/x\",le=\"0.5\"} 3\n"
                        "e_seconds_bucket{r=\"/x\",le=\"1\"} 3\n"
                        "e_seconds_bucket{r=\"/x\",le=\"2.5\"} 3\n"
                        "e_seconds_bucket{r=\"/x\",le=\"5\"} 3\n"
                        "e_seconds_bucket{r=\"/x\",le=\"10\"} 3\n"
                        "e_seconds_bucket{r=\"/x\",le=\"30\"} 3\n"
                        "e_seconds_bucket{r=\"/x\",le=\"60\"} 3\n"
                        "e_seconds_bucket{r=\"/x\",le=\"+Inf\"} 4\n"
                        "e_seconds_sum{r=\"/x\"} 90.006050001\n"
                        "e_seconds_count{r=\"/x\"} 4\n");
    struct b_histogram_totals t;
    tel_series_totals(s, &t);
    CHECK_UINT(t.count, 4);
    tel_metrics_free();
}

TEST(a_histogram_of_plain_numbers) {
    static struct tel_family rows = {.name = "rows", .help = "Rows.", .type = TEL_HISTOGRAM, .one = 1000000};
    tel_metrics_init(1);
    tel_observe(tel_series_get(&rows, NULL), 0, 7 * 1000000);
    const char *text = scrape();
    CHECK(strstr(text, "\nrows_bucket{le=\"0.1\"} 0\n") != NULL);
    CHECK(strstr(text, "\nrows_bucket{le=\"5\"} 0\nrows_bucket{le=\"10\"} 1\n") != NULL);
    CHECK(strstr(text,
                 "\nrows_bucket{le=\"60000\"} 1\nrows_bucket{le=\"+Inf\"} 1\nrows_sum 7\nrows_count 1\n") !=
          NULL);
    tel_metrics_free();
}

TEST(cardinality_is_bounded) {
    static struct tel_family few = {
        .name = "few_total", .help = "Few.", .type = TEL_COUNTER, .labels = {"x", "y"}, .series_max = 2};
    tel_metrics_init(1);
    tel_add(get2(&few, "1", "a"), 0, 1);
    tel_add(get2(&few, "2", "a"), 0, 1);
    struct tel_series *rest = get2(&few, "3", "a");
    tel_add(rest, 0, 1);
    CHECK(get2(&few, "4", "b") == rest);
    tel_add(rest, 0, 1);
    tel_add(get2(&few, "1", "a"), 0, 1); /* those that are there are found */
    CHECK_STR(scrape(), "# HELP few_total Few.\n# TYPE few_total counter\n"
                        "few_total{x=\"1\",y=\"a\"} 2\nfew_total{x=\"2\",y=\"a\"} 1\n"
                        "few_total{x=\"other\",y=\"other\"} 2\n");
    tel_metrics_free();
}

TEST(a_thousand_series_by_default) {
    char value[16];
    tel_metrics_init(1);
    for (int i = 0; i < 3000; i++) {
        snprintf(value, sizeof value, "%d", i);
        REQUIRE(get1(&gauge, value) != NULL);
    }
    const char *text = scrape();
    int lines = 0;
    for (; *text; text++)
        lines += *text == '\n';
    CHECK_INT(lines, 2 + TEL_SERIES_MAX + 1);
    tel_metrics_free();
}

TEST(two_families_of_one_name_are_refused) {
    static struct tel_family twin = {.name = "a_total", .help = "Others.", .type = TEL_COUNTER};
    static struct tel_family twin_gauge = {.name = "a_total", .help = "Others.", .type = TEL_GAUGE};
    tel_metrics_init(1);
    CHECK_INT(tel_register(&plain), 0);
    CHECK_INT(tel_register(&plain), 0);
    CHECK_INT(tel_register(&twin), -EEXIST);
    CHECK(tel_series_get(&twin, NULL) == NULL);
    CHECK_INT(tel_gauge_callback(&twin_gauge, NULL, NULL), -EEXIST);
    tel_metrics_free();
}

static void collect(struct tel_samples *out, void *arg) {
    struct b_slice v = b_slice_cstr(arg);
    tel_sample(out, &v, 1.5);
    CHECK(get1(&gauge, arg) != NULL); /* series may be looked up in a scrape */
}

static void collect_histogram(struct tel_samples *out, void *arg) {
    struct b_histogram_totals t = {.buckets = {[0] = 1}, .sum_ns = 1000};
    (void)arg;
    tel_sample_histogram(out, &B_LIT("a\"b"), &t);
}

static double answer(void *arg) {
    return *(double *)arg;
}

TEST(collectors_write_at_the_scrape) {
    static struct tel_family states = {.name = "state", .help = "State.", .type = TEL_GAUGE, .labels = {"x"}};
    tel_metrics_init(1);
    CHECK_INT(tel_collector(&states, collect, "one"), 0);
    CHECK_INT(tel_collector(&states, collect, "two"), 0);
    CHECK_STR(scrape(),
              "# HELP state State.\n# TYPE state gauge\nstate{x=\"one\"} 1.5\nstate{x=\"two\"} 1.5\n");
    tel_collector_remove(&states, collect, "one");
    CHECK(strstr(scrape(), "gauge\nstate{x=\"two\"} 1.5\n# HELP c ") != NULL);
    tel_collector_remove(&states, collect, "two");
    CHECK(strstr(scrape(), "state") == NULL); /* a family without samples is left out */
    CHECK_INT(tel_collector(&durations, collect_histogram, NULL), 0);
    CHECK(strstr(scrape(), "e_seconds_bucket{r=\"a\\\"b\",le=\"0.0001\"} 1\n") != NULL);
    CHECK(strstr(scrape(), "e_seconds_sum{r=\"a\\\"b\"} 0.000001\n") != NULL);
    tel_metrics_free();
}

TEST(gauge_callbacks) {
    static struct tel_family f = {.name = "g", .help = "G.", .type = TEL_GAUGE};
    double values[] = {0, -3, 0.1, 1e300, 1.0 / 3, INFINITY, -INFINITY, NAN, 123456789012.0};
    const char *texts[] = {"0",    "-3",   "0.1", "1e+300",      "0.33333333333333331",
                           "+Inf", "-Inf", "NaN", "123456789012"};
    double v = 0;
    tel_metrics_init(1);
    CHECK_INT(tel_register(&f), 0); /* its series gives way to the callback */
    CHECK_INT(tel_gauge_callback(&f, answer, &v), 0);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char want[128];
        v = values[i];
        snprintf(want, sizeof want, "# HELP g G.\n# TYPE g gauge\ng %s\n", texts[i]);
        CHECK_STR(scrape(), want);
    }
    tel_gauge_callback_remove(&f, answer, &v);
    CHECK_STR(scrape(), "# HELP g G.\n# TYPE g gauge\ng 0\n");
    tel_metrics_free();
}

TEST(a_page_that_does_not_fit_fails) {
    char small[40];
    tel_metrics_init(1);
    CHECK_INT(tel_register(&plain), 0);
    struct b_text t = b_text_fixed(small, sizeof small);
    tel_write_metrics(&t);
    CHECK(t.failed);
    tel_metrics_free();
}

TEST(without_memory_there_is_no_series) {
    struct b_slice v = B_LIT("value");
    tel_metrics_init(1);
    uint64_t nth = 0;
    struct tel_series *s = NULL;
    while (!s && nth < 20) {
        b_alloc_fail_at(++nth);
        s = tel_series_get(&gauge, &v);
        CHECK(!s == (b_alloc_failures() == 1));
    }
    b_alloc_fail_at(0);
    CHECK(nth > 3 && nth < 20); /* each of its allocations has failed once */
    tel_add(s, 0, 1);
    CHECK_STR(scrape(), "# HELP c Now.\n# TYPE c gauge\nc{x=\"value\"} 1\n");
    tel_metrics_free();
}

/* ---- threads ---- */

enum { ROUNDS = 2000 };
static _Atomic bool stop_scraping;

static void *count_up(void *arg) {
    unsigned worker = *(unsigned *)arg;
    char value[16];
    for (int i = 0; i < ROUNDS; i++) {
        snprintf(value, sizeof value, "%d", i % 50);
        tel_add(get1(&gauge, value), worker, 1);
        tel_observe(get1(&durations, value), worker, 1000);
    }
    return NULL;
}

static void *scrape_on(void *arg) {
    (void)arg;
    while (!atomic_load(&stop_scraping)) {
        struct b_text t = b_text_heap(B_TAG_TEST, TEL_EXPOSITION_MAX);
        tel_write_metrics(&t);
        CHECK(!t.failed);
        b_text_free(&t);
    }
    return NULL;
}

TEST(workers_count_while_others_scrape) {
    unsigned workers[] = {0, 1, TEL_NO_WORKER, TEL_NO_WORKER};
    pthread_t threads[4], scraper;
    tel_metrics_init(2);
    pthread_create(&scraper, NULL, scrape_on, NULL);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, count_up, &workers[i]);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&stop_scraping, true);
    pthread_join(scraper, NULL);
    uint64_t sum = 0;
    for (int i = 0; i < 50; i++) {
        char value[16];
        struct b_histogram_totals t;
        snprintf(value, sizeof value, "%d", i);
        sum += tel_series_value(get1(&gauge, value));
        tel_series_totals(get1(&durations, value), &t);
        CHECK_UINT(t.count, 4 * ROUNDS / 50);
    }
    CHECK_UINT(sum, 4 * ROUNDS);
    tel_metrics_free();
}

const struct test_case metrics_tests[] = {
    {"counters_of_all_workers_are_added_up", counters_of_all_workers_are_added_up},
    {"slots_are_on_lines_of_their_own", slots_are_on_lines_of_their_own},
    {"series_are_found_again_by_their_labels", series_are_found_again_by_their_labels},
    {"labels_are_escaped", labels_are_escaped},
    {"long_label_values_are_cut", long_label_values_are_cut},
    {"help_is_escaped", help_is_escaped},
    {"gauges_go_below_zero", gauges_go_below_zero},
    {"nanoseconds_are_exported_as_seconds", nanoseconds_are_exported_as_seconds},
    {"histograms", histograms},
    {"a_histogram_of_plain_numbers", a_histogram_of_plain_numbers},
    {"cardinality_is_bounded", cardinality_is_bounded},
    {"a_thousand_series_by_default", a_thousand_series_by_default},
    {"two_families_of_one_name_are_refused", two_families_of_one_name_are_refused},
    {"collectors_write_at_the_scrape", collectors_write_at_the_scrape},
    {"gauge_callbacks", gauge_callbacks},
    {"a_page_that_does_not_fit_fails", a_page_that_does_not_fit_fails},
    {"without_memory_there_is_no_series", without_memory_there_is_no_series},
    {"workers_count_while_others_scrape", workers_count_while_others_scrape},
    {0},
};
