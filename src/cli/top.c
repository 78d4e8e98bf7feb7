/* `weir top`: what a running weir does, from its metrics, again and again. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/samples.h"

#define EVERY_S 1

static volatile sig_atomic_t over;

static void stop(int number) {
    (void)number;
    over = 1;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t); /* lint: allow seam-call: a command without a runtime */
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* --- one frame: figures now, and what was a while ago --- */

struct frame {
    struct b_text out;
    const struct cli_samples *then, *now; /* then: may be empty */
    double seconds;                       /* between them */
};

/* How much a counter has grown in a second, over all series that have these labels. */
static double rate(const struct frame *f, const char *name, const struct cli_label *labels, unsigned count) {
    double grown = cli_sum(f->now, name, labels, count) - cli_sum(f->then, name, labels, count);
    return f->then->count && f->seconds > 0 && grown > 0 ? grown / f->seconds : 0;
}

/* The quantile of what a histogram has seen between the two, in ms; since the start, when there is only one. */
static double quantile_ms(const struct frame *f, const char *name, const struct cli_label *labels,
                          unsigned count, double q) {
    return 1000 * cli_quantile(f->then, f->now, name, labels, count, q);
}

static void write_total(struct frame *f) {
    struct b_text *out = &f->out;
    double requests = rate(f, "http_server_request_duration_seconds_count", NULL, 0);
    b_text_printf(
        out,
        "weir  %.0f requests/s  p50 %.1f ms  p99 %.1f ms  in flight %.0f  connections %.0f  memory %.1f MB  "
        "generation %.0f\n",
        requests, quantile_ms(f, "http_server_request_duration_seconds", NULL, 0, 0.5),
        quantile_ms(f, "http_server_request_duration_seconds", NULL, 0, 0.99),
        cli_sum(f->now, "weir_in_flight_requests", NULL, 0),
        cli_sum(f->now, "weir_worker_connections", NULL, 0),
        cli_sum(f->now, "process_resident_memory_bytes", NULL, 0) / 1e6,
        cli_sum(f->now, "weir_config_generation", NULL, 0));
}

static double errors_of(const struct frame *f, struct b_slice route, char class) {
    double sum = 0;
    for (size_t i = 0; i < f->now->count; i++) {
        const struct cli_sample *s = &f->now->list[i];
        struct b_slice status = cli_label(s, "http_response_status_code");
        if (!b_slice_eq(s->name, B_LIT("http_server_request_duration_seconds_count")) || !status.len ||
            status.ptr[0] != class || !b_slice_eq(cli_label(s, "http_route"), route))
            continue;
        double grown = s->value - cli_same(f->then, s);
        sum += f->then->count && f->seconds > 0 && grown > 0 ? grown / f->seconds : 0;
    }
    return sum;
}

static void write_routes(struct frame *f) {
    struct cli_names names =
        cli_values(f->now, "http_server_request_duration_seconds_count", "http_route", NULL, 0);
    b_text_printf(&f->out, "\n%-32s %10s %9s %9s %8s %8s\n", "ROUTE", "req/s", "p50 ms", "p99 ms", "4xx/s",
                  "5xx/s");
    for (unsigned i = 0; i < names.count; i++) {
        struct cli_label label = {"http_route", names.list[i]};
        const char *metric = "http_server_request_duration_seconds";
        b_text_printf(&f->out, "%-32.*s %10.1f %9.1f %9.1f %8.1f %8.1f\n", B_FMT(names.list[i]),
                      rate(f, "http_server_request_duration_seconds_count", &label, 1),
                      quantile_ms(f, metric, &label, 1, 0.5), quantile_ms(f, metric, &label, 1, 0.99),
                      errors_of(f, names.list[i], '4'), errors_of(f, names.list[i], '5'));
    }
}

static const char *state_of(const struct frame *f, const struct cli_label labels[2]) {
    double breaker = cli_sum(f->now, "weir_breaker_state", labels, 2);
    if (cli_sum(f->now, "weir_endpoint_healthy", labels, 2) == 0)
        return "FAILING";
    return breaker == 1 ? "EJECTED" : breaker == 2 ? "HALF-OPEN" : "up";
}

static __attribute__((noinline)) void write_endpoints(struct frame *f, struct b_slice upstream) {
    struct cli_label labels[2] = {{"upstream", upstream}, {0}};
    struct cli_names names = cli_values(f->now, "weir_breaker_state", "endpoint", labels, 1);
    for (unsigned i = 0; i < names.count; i++) {
        labels[1] = (struct cli_label){"endpoint", names.list[i]};
        b_text_printf(&f->out, "  %-30.*s %10.1f %9.1f %9s %8.0f %8.1f  %s\n", B_FMT(names.list[i]),
                      rate(f, "weir_endpoint_requests_total", labels, 2),
                      1000 * cli_sum(f->now, "weir_endpoint_latency_seconds", labels, 2), "",
                      cli_sum(f->now, "weir_endpoint_in_flight", labels, 2),
                      rate(f, "weir_endpoint_failures_total", labels, 2), state_of(f, labels));
    }
}

static void write_upstreams(struct frame *f) {
    struct cli_names names = cli_values(f->now, "weir_bulkhead_in_flight", "upstream", NULL, 0);
    b_text_printf(&f->out, "\n%-32s %10s %9s %9s %8s %8s  %s\n", "UPSTREAM / endpoint", "req/s", "latency",
                  "p99 ms", "in fl.", "fails/s", "state");
    for (unsigned i = 0; i < names.count; i++) {
        struct cli_label label = {"upstream", names.list[i]};
        const char *metric = "http_client_request_duration_seconds";
        double waiting = cli_sum(f->now, "weir_bulkhead_pending", &label, 1);
        double retries = rate(f, "weir_upstream_retries_total", &label, 1);
        b_text_printf(&f->out, "%-32.*s %10.1f %9.1f %9.1f %8.0f %8.1f  ", B_FMT(names.list[i]),
                      rate(f, "http_client_request_duration_seconds_count", &label, 1),
                      quantile_ms(f, metric, &label, 1, 0.5), quantile_ms(f, metric, &label, 1, 0.99),
                      cli_sum(f->now, "weir_bulkhead_in_flight", &label, 1),
                      rate(f, "weir_endpoint_failures_total", &label, 1));
        if (cli_sum(f->now, "weir_upstream_panic", &label, 1) > 0)
            b_text_lit(&f->out, "PANIC ");
        if (waiting > 0)
            b_text_printf(&f->out, "%.0f wait ", waiting);
        if (retries > 0)
            b_text_printf(&f->out, "%.1f retries/s", retries);
        b_text_char(&f->out, '\n');
        write_endpoints(f, names.list[i]);
    }
}

static void write_workers(struct frame *f) {
    struct cli_names names = cli_values(f->now, "weir_worker_connections", "worker", NULL, 0);
    b_text_printf(&f->out, "\n%-32s %10s %9s %9s\n", "WORKER", "req/s", "conns", "p99 ms");
    for (unsigned i = 0; i < names.count; i++) {
        struct cli_label label = {"worker", names.list[i]};
        b_text_printf(&f->out, "%-32.*s %10.1f %9.0f %9.1f\n", B_FMT(names.list[i]),
                      rate(f, "weir_worker_request_duration_seconds_count", &label, 1),
                      cli_sum(f->now, "weir_worker_connections", &label, 1),
                      quantile_ms(f, "weir_worker_request_duration_seconds", &label, 1, 0.99));
    }
}

/* --- the loop --- */

static int scrape(const struct cli_args *args, struct cli_samples *out) {
    struct cli_response r;
    int rc = cli_get(args, "/metrics", &r);
    if (rc != CLI_DONE)
        return rc;
    if (r.status != 200 || !cli_samples_parse(r.bytes, r.body, out)) {
        fprintf(stderr, "weir: /metrics answered %u%s\n", r.status,
                r.status == 200 ? ", which cannot be read" : "");
        if (r.status != 200)
            b_free(r.bytes);
        return CLI_FAILED;
    }
    return CLI_DONE;
}

static int show(struct cli_samples *then, struct cli_samples *now_, double seconds, bool screen) {
    struct frame f = {.out = cli_text(), .then = then, .now = now_, .seconds = seconds};
    if (screen)
        b_text_lit(&f.out, "\033[H\033[J");
    write_total(&f);
    write_upstreams(&f);
    write_routes(&f);
    write_workers(&f);
    if (screen)
        b_text_lit(&f.out, "\n^C ends it\n");
    return cli_print(&f.out);
}

/* One frame, of a second. */
static int once(const struct cli_args *args) {
    struct cli_samples then = {0}, last = {0};
    double began = now();
    int rc = scrape(args, &then);
    if (rc == CLI_DONE) {
        sleep(EVERY_S); /* lint: allow seam-call: a command without a runtime */
        rc = scrape(args, &last);
    }
    if (rc == CLI_DONE)
        rc = show(&then, &last, now() - began, false);
    cli_samples_free(&then);
    cli_samples_free(&last);
    return rc;
}

static int watch(const struct cli_args *args) {
    struct sigaction action = {.sa_handler = stop};
    struct cli_samples then = {0};
    double at = now();
    int rc = CLI_DONE;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    printf("\033[?1049h\033[?25l");
    while (!over) {
        struct cli_samples last = {0};
        rc = scrape(args, &last); /* it says what is wrong; the instance may come back */
        double took = now() - at;
        at = now();
        if (rc == CLI_DONE)
            (void)show(&then, &last, took, true);
        cli_samples_free(&then);
        then = last;
        sleep(EVERY_S); /* lint: allow seam-call: a command without a runtime */
    }
    printf("\033[?25h\033[?1049l");
    fflush(stdout);
    cli_samples_free(&then);
    return CLI_DONE;
}

int cli_top(const struct cli_args *args) {
    return args->once || !isatty(STDOUT_FILENO) ? once(args) : watch(args);
}
