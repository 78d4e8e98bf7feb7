#include "telemetry/http_metrics.h"

#include <pthread.h>
#include <stdio.h>

#include "test.h"

static char page[1 << 20];

static bool has(const char *line) {
    struct b_text t = b_text_heap(B_TAG_TEST, sizeof page - 1);
    tel_write_metrics(&t);
    CHECK(!t.failed);
    memcpy(page, t.ptr, t.len);
    page[t.len] = 0;
    b_text_free(&t);
    return strstr(page, line) != NULL;
}

static void begin(unsigned workers) {
    tel_metrics_init(workers);
    CHECK_INT(tel_http_init(), 0);
}

static void end(void) {
    tel_http_free();
    tel_metrics_free();
    CHECK_UINT(b_alloc_stat(B_TAG_TELEMETRY).bytes, 0);
}

#define COUNT(route, method, status, n)                                                                   \
    "\nhttp_server_request_duration_seconds_count{http_route=\"" route "\",http_request_method=\"" method \
    "\",http_response_status_code=\"" status "\"} " n "\n"

TEST(requests_by_route_method_and_status) {
    begin(2);
    struct tel_route *r = tel_route_get(B_LIT("/orders/{id}"));
    tel_route_observe(r, 0, HTTP_METHOD_GET, 200, 1000000);
    tel_route_observe(r, 1, HTTP_METHOD_GET, 200, 1000000);
    tel_route_observe(r, 1, HTTP_METHOD_POST, 503, 2000000);
    tel_route_observe(r, 0, HTTP_METHOD_OTHER, 204, 1);
    tel_route_observe(r, 0, (enum http_method)77, 204, 1);
    tel_route_observe(r, 0, HTTP_METHOD_GET, 99, 1);
    tel_route_observe(r, 0, HTTP_METHOD_GET, 600, 1);
    tel_route_observe(r, 2, HTTP_METHOD_GET, 200, 1); /* no such worker */
    tel_route_observe(NULL, 0, HTTP_METHOD_GET, 200, 1);
    CHECK(has(COUNT("/orders/{id}", "GET", "200", "2")));
    CHECK(has(COUNT("/orders/{id}", "POST", "503", "1")));
    CHECK(has(COUNT("/orders/{id}", "_OTHER", "204", "2")));
    CHECK(has(COUNT("/orders/{id}", "GET", "other", "2")));
    CHECK(has("http_response_status_code=\"503\",le=\"0.0025\"} 1\n"));
    CHECK(has("http_response_status_code=\"503\"} 0.002\n"));
    end();
}

TEST(a_route_lives_on_across_loads) {
    begin(1);
    struct tel_route *r = tel_route_get(B_LIT("/x"));
    CHECK(tel_route_get(B_LIT("/x")) == r);
    CHECK(tel_route_get(B_LIT("/y")) != r);
    CHECK(tel_route_next(NULL) == r);
    CHECK(tel_route_next(r) == tel_route_get(B_LIT("/y")));
    CHECK(tel_route_next(tel_route_get(B_LIT("/y"))) == NULL);
    end();
}

TEST(totals_for_the_dashboard) {
    begin(2);
    struct tel_route *r = tel_route_get(B_LIT("/x"));
    struct tel_route_totals t;
    for (unsigned status = 199; status < 560; status += 51) /* 199 ... 505, 556: two of 5xx */
        tel_route_observe(r, status % 2, HTTP_METHOD_GET, status, 1000);
    tel_route_totals(r, &t);
    CHECK_UINT(t.durations.count, 8);
    CHECK_UINT(t.errors, 2);
    CHECK_UINT(t.durations.sum_ns, 8000);
    CHECK_SLICE(t.pattern.ptr, t.pattern.len, "/x");
    end();
}

TEST(totals_of_each_worker) {
    begin(2);
    struct b_histogram_totals t;
    tel_route_observe(tel_route_get(B_LIT("/x")), 0, HTTP_METHOD_GET, 200, 1000);
    tel_route_observe(tel_route_get(B_LIT("/x")), 1, HTTP_METHOD_GET, 200, 2000);
    tel_route_observe(tel_route_get(B_LIT("/x")), 1, HTTP_METHOD_PUT, 404, 4000);
    tel_route_observe(tel_route_get(B_LIT("/y")), 1, HTTP_METHOD_GET, 200, 8000);
    tel_worker_totals(0, &t);
    CHECK_UINT(t.count, 1);
    CHECK_UINT(t.sum_ns, 1000);
    tel_worker_totals(1, &t);
    CHECK_UINT(t.count, 3);
    CHECK_UINT(t.sum_ns, 14000);
    tel_worker_totals(2, &t);
    CHECK_UINT(t.count, 0);
    end();
}

TEST(pairs_of_a_route_are_bounded) {
    begin(1);
    struct tel_route *r = tel_route_get(B_LIT("/x"));
    struct tel_route_totals t;
    for (int round = 0; round < 2; round++)
        for (unsigned status = 200; status < 400; status++)
            tel_route_observe(r, 0, HTTP_METHOD_PUT, status, 1000);
    CHECK(has(COUNT("/x", "PUT", "200", "2")));
    CHECK(has(COUNT("/x", "PUT", "263", "2")));
    CHECK(!has("\"264\""));
    CHECK(has(COUNT("/x", "_OTHER", "other", "272")));
    tel_route_totals(r, &t);
    CHECK_UINT(t.durations.count, 400);
    end();
}

TEST(routes_are_bounded) {
    char pattern[32];
    begin(1);
    for (int i = 0; i < TEL_ROUTES_MAX; i++) {
        snprintf(pattern, sizeof pattern, "/r%d", i);
        REQUIRE(tel_route_get(b_slice_cstr(pattern)) != NULL);
    }
    struct tel_route *rest = tel_route_get(B_LIT("/one/more"));
    CHECK(tel_route_get(B_LIT("/two/more")) == rest);
    CHECK(tel_route_get(B_LIT("/r5")) != rest);
    tel_route_observe(rest, 0, HTTP_METHOD_GET, 200, 1);
    CHECK(has(COUNT("other", "GET", "200", "1")));
    end();
}

TEST(series_of_all_routes_are_bounded) {
    char pattern[32];
    struct tel_route *r = NULL;
    struct tel_route_totals t;
    begin(1);
    for (int i = 0; i < 80; i++) {
        snprintf(pattern, sizeof pattern, "/r%d", i);
        r = tel_route_get(b_slice_cstr(pattern));
        for (unsigned status = 200; status < 260; status++)
            tel_route_observe(r, 0, HTTP_METHOD_GET, status, 1);
    }
    tel_route_totals(r, &t);
    CHECK_UINT(t.durations.count,
               0); /* counted with those of other routes, so that it has no figure of its own */
    tel_route_totals(tel_route_next(NULL), &t);
    CHECK_UINT(t.durations.count, 60);
    struct b_histogram_totals worker;
    tel_worker_totals(0, &worker);
    CHECK_UINT(worker.count, 80 * 60); /* those without a figure of their own once */
    struct b_text page_text = b_text_heap(B_TAG_TEST, TEL_EXPOSITION_MAX);
    tel_write_metrics(&page_text);
    CHECK(!page_text.failed);
    b_text_char(&page_text, 0);
    CHECK(strstr(page_text.ptr, COUNT("other", "other", "other", "800")) != NULL); /* 80 x 60 - 4000 */
    b_text_free(&page_text);
    end();
}

TEST(active_requests) {
    begin(2);
    tel_active_add(0, 1);
    tel_active_add(1, 1);
    tel_active_add(0, 1);
    tel_active_add(0, -1);
    CHECK_UINT(tel_active_requests(), 2);
    CHECK(has("\nhttp_server_active_requests 2\n"));
    end();
}

TEST(refusals_are_there_before_the_first) {
    begin(1);
    CHECK(has("\nweir_refusals_total{code=\"cl_and_te\",rule=\"S01\"} 0\n"));
    tel_refusal(0, HTTP_E_CL_AND_TE);
    tel_refusal(TEL_NO_WORKER, HTTP_E_CL_AND_TE);
    tel_refusal(0, HTTP_OK);
    tel_refusal(0, HTTP_ERROR_COUNT);
    CHECK(has("\nweir_refusals_total{code=\"cl_and_te\",rule=\"S01\"} 2\n"));
    CHECK_UINT(tel_refusals(HTTP_E_CL_AND_TE), 2);
    CHECK_UINT(tel_refusals(HTTP_E_INTERNAL), 0);
    CHECK_UINT(tel_refusals(HTTP_ERROR_COUNT), 0);
    end();
}

TEST(deadlines_by_phase) {
    static const char same[] = "queue"; /* another address, the same word */
    static char names[30][16];
    begin(1);
    tel_deadline_exceeded(0, "queue");
    tel_deadline_exceeded(0, same);
    tel_deadline_exceeded(0, "connect");
    CHECK(has("\nweir_deadline_exceeded_total{phase=\"queue\"} 2\n"));
    CHECK(has("\nweir_deadline_exceeded_total{phase=\"connect\"} 1\n"));
    for (int i = 0; i < 30; i++) { /* more than are remembered, and more than there may be */
        snprintf(names[i], sizeof names[i], "p%d", i);
        tel_deadline_exceeded(0, names[i]);
        tel_deadline_exceeded(0, names[i]);
    }
    CHECK(has("\nweir_deadline_exceeded_total{phase=\"p0\"} 2\n"));
    CHECK(has("\nweir_deadline_exceeded_total{phase=\"other\"} 32\n"));
    tel_deadline_exceeded(0, "queue");
    CHECK(has("\nweir_deadline_exceeded_total{phase=\"queue\"} 3\n"));
    end();
}

TEST(client_requests) {
    begin(1);
    struct tel_series *s = tel_client_series(B_LIT("orders"));
    CHECK(s && tel_client_series(B_LIT("orders")) == s);
    tel_observe(s, 0, 1000000000);
    CHECK(has("\nhttp_client_request_duration_seconds_sum{upstream=\"orders\"} 1\n"));
    end();
}

TEST(without_memory_a_request_goes_uncounted) {
    begin(1);
    struct tel_route *r = NULL;
    for (uint64_t nth = 1; !r && nth < 20; nth++) {
        b_alloc_fail_at(nth);
        r = tel_route_get(B_LIT("/x"));
        CHECK(!r == (b_alloc_failures() == 1));
    }
    uint64_t nth = 0;
    do {
        b_alloc_fail_at(++nth);
        tel_route_observe(r, 0, HTTP_METHOD_GET, 200, 1);
    } while (b_alloc_failures() && nth < 20);
    CHECK(nth > 3 && nth < 20);
    b_alloc_fail_at(0);
    CHECK(has(COUNT("/x", "GET", "200", "1")));
    end();
}

/* ---- threads ---- */

static void *serve(void *arg) {
    unsigned worker = *(unsigned *)arg;
    for (unsigned i = 0; i < 20000; i++) {
        struct tel_route *r = tel_route_get(i % 2 ? B_LIT("/a") : B_LIT("/b"));
        tel_route_observe(r, worker, (enum http_method)(i % 3), 200 + i % 7, 1000);
        tel_deadline_exceeded(worker, i % 5 ? "queue" : "body");
        tel_refusal(worker, HTTP_E_NO_ROUTE);
        tel_active_add(worker, i % 2 ? 1 : -1);
    }
    return NULL;
}

TEST(workers_serve_while_others_scrape) {
    unsigned indexes[] = {0, 1, 2};
    pthread_t threads[3];
    struct tel_route_totals t;
    begin(3);
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, serve, &indexes[i]);
    for (int i = 0; i < 50; i++) {
        has("");
        for (struct tel_route *r = tel_route_next(NULL); r; r = tel_route_next(r))
            tel_route_totals(r, &t);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    tel_route_totals(tel_route_get(B_LIT("/a")), &t);
    CHECK_UINT(t.durations.count, 30000);
    CHECK_UINT(tel_refusals(HTTP_E_NO_ROUTE), 60000);
    CHECK_UINT(tel_active_requests(), 0);
    CHECK(has("\nweir_deadline_exceeded_total{phase=\"body\"} 12000\n"));
    end();
}

const struct test_case http_metrics_tests[] = {
    {"requests_by_route_method_and_status", requests_by_route_method_and_status},
    {"a_route_lives_on_across_loads", a_route_lives_on_across_loads},
    {"totals_for_the_dashboard", totals_for_the_dashboard},
    {"totals_of_each_worker", totals_of_each_worker},
    {"pairs_of_a_route_are_bounded", pairs_of_a_route_are_bounded},
    {"routes_are_bounded", routes_are_bounded},
    {"series_of_all_routes_are_bounded", series_of_all_routes_are_bounded},
    {"active_requests", active_requests},
    {"refusals_are_there_before_the_first", refusals_are_there_before_the_first},
    {"deadlines_by_phase", deadlines_by_phase},
    {"client_requests", client_requests},
    {"without_memory_a_request_goes_uncounted", without_memory_a_request_goes_uncounted},
    {"workers_serve_while_others_scrape", workers_serve_while_others_scrape},
    {0},
};
