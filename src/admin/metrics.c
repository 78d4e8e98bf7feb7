/* /metrics, and the figures that belong to no request: workers, fibers, loop, config. */
#include "telemetry/metrics.h"

#include "admin/admin.h"
#include "admin/answer.h"
#include "base/number.h"
#include "gateway/conn.h"
#include "gateway/tunnel.h"
#include "runtime/io.h"
#include "runtime/offload.h"
#include "telemetry/http_metrics.h"

static void write_page(void *arg) {
    tel_write_metrics(arg);
}

int adm_metrics(struct exchange *ex) {
    struct b_text page = b_text_heap(B_TAG_TELEMETRY, TEL_EXPOSITION_MAX);
    if (rt_offload(write_page, &page) < 0) {
        b_text_free(&page);
        return -HTTP_E_OVERLOADED;
    }
    return adm_answer_text(ex, 200, B_LIT(TEL_METRICS_CONTENT_TYPE), &page);
}

/* ---- per worker ---- */

static void each_worker(struct tel_samples *out, uint64_t (*figure)(unsigned worker)) {
    for (unsigned i = 0; i < rt_worker_count(); i++) {
        char digits[B_U64_TEXT];
        struct b_slice label = b_slice(digits, b_format_u64(digits, i));
        tel_sample(out, &label, (double)figure(i));
    }
}

static void each_workers_histogram(struct tel_samples *out,
                                   void (*figure)(unsigned worker, struct b_histogram_totals *totals)) {
    for (unsigned i = 0; i < rt_worker_count(); i++) {
        char digits[B_U64_TEXT];
        struct b_slice label = b_slice(digits, b_format_u64(digits, i));
        struct b_histogram_totals totals;
        figure(i, &totals);
        tel_sample_histogram(out, &label, &totals);
    }
}

static uint64_t turns(unsigned worker) {
    return b_counter_get(&rt_worker(worker)->stats.turns);
}

static uint64_t yields(unsigned worker) {
    return b_counter_get(&rt_worker(worker)->stats.yields);
}

static void held(unsigned worker, struct b_histogram_totals *totals) {
    *totals = (struct b_histogram_totals){0};
    b_histogram_read(&rt_worker(worker)->stats.held, totals);
}

static void collect_connections(struct tel_samples *out, void *arg) {
    (void)arg;
    each_worker(out, gw_worker_connections);
}

static void collect_turns(struct tel_samples *out, void *arg) {
    (void)arg;
    each_worker(out, turns);
}

static void collect_yields(struct tel_samples *out, void *arg) {
    (void)arg;
    each_worker(out, yields);
}

static void collect_held(struct tel_samples *out, void *arg) {
    (void)arg;
    each_workers_histogram(out, held);
}

static void collect_durations(struct tel_samples *out, void *arg) {
    (void)arg;
    each_workers_histogram(out, tel_worker_totals);
}

static void collect_tunnels(struct tel_samples *out, void *arg) {
    (void)arg;
    for (unsigned i = 0; i < rt_worker_count(); i++) {
        char digits[B_U64_TEXT];
        struct b_slice label = b_slice(digits, b_format_u64(digits, i));
        struct gw_tunnel_figures figures;
        gw_tunnel_figures(i, &figures);
        tel_sample(out, &label, (double)figures.open);
    }
}

static void collect_tunnel_bytes(struct tel_samples *out, void *arg) {
    struct b_slice in = B_LIT("in"), out_ = B_LIT("out");
    uint64_t bytes_in = 0, bytes_out = 0;
    (void)arg;
    for (unsigned i = 0; i < rt_worker_count(); i++) {
        struct gw_tunnel_figures figures;
        gw_tunnel_figures(i, &figures);
        bytes_in += figures.in;
        bytes_out += figures.out;
    }
    tel_sample(out, &in, (double)bytes_in);
    tel_sample(out, &out_, (double)bytes_out);
}

static void collect_backend(struct tel_samples *out, void *arg) {
    struct b_slice name = b_slice_cstr(rt_worker(0)->backend->name);
    (void)arg;
    tel_sample(out, &name, 1);
}

static void collect_pressure(struct tel_samples *out, void *arg) {
    struct gateway *g = arg;
    struct b_slice name = B_LIT("memory");
    uint64_t limit = atomic_load_explicit(&g->overload.limit, memory_order_relaxed);
    uint64_t used = atomic_load_explicit(&g->overload.used, memory_order_relaxed);
    tel_sample(out, &name, limit ? (double)used / (double)limit : 0);
}

static void collect_registered(struct tel_samples *out, void *arg) {
    struct gateway *g = arg;
    if (atomic_load(&g->registration.running))
        tel_sample(out, NULL, atomic_load(&g->registration.registered));
}

static struct {
    struct tel_family family;
    tel_collect_fn *fn;
} collected[] = {
    {{.name = "weir_registered",
      .help =
          "1 while weir's node stands in ZooKeeper, as far as is known; not there when it is asked for none.",
      .type = TEL_GAUGE},
     collect_registered},
    {{.name = "weir_worker_connections",
      .help = "Client connections that a worker holds, idle ones included.",
      .type = TEL_GAUGE,
      .labels = {"worker"}},
     collect_connections},
    {{.name = "weir_tunnels",
      .help = "Tunnels that a worker holds, after an upgrade.",
      .type = TEL_GAUGE,
      .labels = {"worker"}},
     collect_tunnels},
    {{.name = "weir_tunnel_bytes_total",
      .help = "Bytes carried through tunnels, in from clients and out to them.",
      .type = TEL_COUNTER,
      .labels = {"direction"}},
     collect_tunnel_bytes},
    {{.name = "weir_loop_turns_total",
      .help = "Turns of a worker's event loop.",
      .type = TEL_COUNTER,
      .labels = {"worker"}},
     collect_turns},
    {{.name = "weir_loop_hold_seconds",
      .help = "How long a worker's loop was away from its sockets, turn by turn.",
      .type = TEL_HISTOGRAM,
      .labels = {"worker"},
      .one = TEL_NANOSECONDS},
     collect_held},
    {{.name = "weir_loop_yields_total",
      .help = "Times that a request let others run in the middle of its work.",
      .type = TEL_COUNTER,
      .labels = {"worker"}},
     collect_yields},
    {{.name = "weir_worker_request_duration_seconds",
      .help = "Duration of requests by the worker that served them.",
      .type = TEL_HISTOGRAM,
      .labels = {"worker"},
      .one = TEL_NANOSECONDS},
     collect_durations},
    {{.name = "weir_io_backend_info",
      .help = "How the kernel is asked; always 1.",
      .type = TEL_GAUGE,
      .labels = {"backend"}},
     collect_backend},
    {{.name = "weir_overload_pressure",
      .help = "Share of the budget that is in use: from 0.9 on new requests get 503, from 0.95 on nothing is "
              "accepted.",
      .type = TEL_GAUGE,
      .labels = {"resource"}},
     collect_pressure},
};

/* ---- of the process ---- */

static double fibers(void *arg) {
    (void)arg;
    return rt_fiber_count();
}

static double fiber_limit(void *arg) {
    (void)arg;
    return rt_fiber_limit();
}

static double stack_high_water(void *arg) {
    (void)arg;
    return (double)rt_stack_high_water();
}

static double stalls(void *arg) {
    (void)arg;
    return (double)rt_stall_count();
}

/* The snapshot may be freed under this helper thread, so the count comes from elsewhere. */
static double generation(void *arg) {
    const struct gateway *g = arg;
    return (double)atomic_load(&g->generation);
}

static double reload_ok(void *arg) {
    struct gateway *g = arg;
    return atomic_load_explicit(&g->reload_ok, memory_order_relaxed) ? 1 : 0;
}

static double reload_time(void *arg) {
    struct gateway *g = arg;
    return (double)atomic_load_explicit(&g->reload_time, memory_order_relaxed) / 1e9;
}

static double in_flight(void *arg) {
    struct gateway *g = arg;
    return (double)atomic_load_explicit(&g->requests, memory_order_relaxed);
}

static double given(void *arg) {
    (void)arg;
    return (double)gw_given();
}

static double memory_limit(void *arg) {
    struct gateway *g = arg;
    return (double)atomic_load_explicit(&g->overload.limit, memory_order_relaxed);
}

static struct {
    struct tel_family family;
    tel_gauge_fn *fn;
} figures[] = {
    {{.name = "weir_steals_total",
      .help = "Client connections that a worker has given to a less loaded one.",
      .type = TEL_COUNTER},
     given},
    {{.name = "weir_fibers", .help = "Fibers alive.", .type = TEL_GAUGE}, fibers},
    {{.name = "weir_fiber_limit", .help = "Fibers that may be alive at once.", .type = TEL_GAUGE},
     fiber_limit},
    {{.name = "weir_fiber_stack_high_water_bytes",
      .help = "The most that a fiber was seen to use of its stack.",
      .type = TEL_GAUGE},
     stack_high_water},
    {{.name = "weir_loop_stalls_total",
      .help = "Times that something held a worker's loop for more than 10 ms.",
      .type = TEL_COUNTER},
     stalls},
    {{.name = "weir_config_generation",
      .help = "Number of the newest config that was built.",
      .type = TEL_GAUGE},
     generation},
    {{.name = "weir_config_last_reload_successful",
      .help = "1 when the last load of the config succeeded, else 0.",
      .type = TEL_GAUGE},
     reload_ok},
    {{.name = "weir_config_last_reload_success_timestamp_seconds",
      .help = "When a config was last loaded with success, in seconds since 1970.",
      .type = TEL_GAUGE},
     reload_time},
    {{.name = "weir_in_flight_requests", .help = "Requests that are being served.", .type = TEL_GAUGE},
     in_flight},
    {{.name = "weir_memory_limit_bytes",
      .help =
          "The budget that weir_overload_pressure is about: limits.max_memory, the cgroup's or the machine's.",
      .type = TEL_GAUGE},
     memory_limit},
};

int adm_metrics_init(struct gateway *g) {
    int rc = 0;
    for (size_t i = 0; i < sizeof collected / sizeof collected[0] && rc == 0; i++)
        rc = tel_collector(&collected[i].family, collected[i].fn, g);
    for (size_t i = 0; i < sizeof figures / sizeof figures[0] && rc == 0; i++)
        rc = tel_gauge_callback(&figures[i].family, figures[i].fn, g);
    return rc;
}
