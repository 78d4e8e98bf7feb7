/* `weir run`: what surrounds the runtime. Each step that is set up is taken down again in reverse order. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/serve.h"
#include "middleware/access_log.h"
#include "net/limits.h"
#include "net/listener.h"
#include "runtime/cpus.h"
#include "runtime/io.h"
#include "runtime/offload.h"
#include "runtime/signals.h"
#include "telemetry/http_metrics.h"
#include "telemetry/process.h"

static int failed(const char *what, int rc) {
    fprintf(stderr, "weir: %s: %s\n", what, strerror(-rc));
    return CLI_FAILED;
}

static unsigned producer(void) {
    const struct rt_worker *self = rt_self();
    return self ? self->index : TEL_RING_PRODUCERS;
}

static uint64_t log_clock(void) {
    return (uint64_t)rt_wall_clock();
}

/* From here on a slow terminal or disk holds no worker. */
static int open_log(unsigned workers, struct tel_ring **out) {
    const struct tel_ring_options options = {
        .name = "weir",
        .fd = STDERR_FILENO,
        .producers = workers,
        .producer = producer,
        .text = b_log_format() == B_LOG_TEXT,
    };
    int rc = tel_ring_new(&options, out);
    if (rc < 0)
        return rc;
    rc = tel_ring_start(*out);
    if (rc < 0) {
        (void)tel_ring_stop(*out);
        return rc;
    }
    (void)tel_process_add_log(*out); /* the first one: there is room */
    b_log_set_clock(log_clock);
    b_log_set_sink(tel_ring_sink(*out));
    return 0;
}

static void close_log(struct tel_ring *ring) {
    b_log_set_sink(NULL);
    tel_process_remove_log(ring);
    (void)tel_ring_stop(ring);
}

static int open_metrics(struct gateway *g, unsigned workers) {
    tel_metrics_init(workers);
    int rc = tel_http_init();
    if (rc == 0)
        rc = tel_process_init();
    return rc == 0 ? adm_metrics_init(g) : rc;
}

/* What must be known before the runtime starts; the gateway loads the config again. */
struct settings {
    unsigned workers;
    enum cfg_io io;
};

static int read_settings(const struct gw_options *source, struct settings *out) {
    static const enum b_log_format formats[] = {
        [CFG_LOG_AUTO] = B_LOG_AUTO, [CFG_LOG_JSON] = B_LOG_JSON, [CFG_LOG_TEXT] = B_LOG_TEXT};
    struct cli_config config;
    int rc = cli_load(source, &config);
    if (rc == 0) {
        const struct cfg_root *root = config.root;
        out->workers = root->workers ? (unsigned)root->workers : rt_cpu_count();
        out->io = (enum cfg_io)root->io;
        b_log_set_level((enum b_level)root->log.level);
        b_log_set_format(formats[root->log.format]);
    }
    cli_unload(&config);
    return rc;
}

/* What `io: auto` means. */
#define AUTO_IO CFG_IO_EPOLL

static const struct rt_backend *choose_backend(enum cfg_io io) {
    const char *why = "";
    int error = 0;
    if ((io == CFG_IO_AUTO ? AUTO_IO : io) != CFG_IO_URING)
        return &rt_epoll;
    const struct rt_backend *uring = rt_uring_backend(&why, &error);
    if (uring)
        return uring;
    B_LOG(B_WARN, "cli", "io_uring cannot be used: %s%s%s; falling back to epoll", why, error ? ": " : "",
          error ? strerror(-error) : "");
    return &rt_epoll;
}

static void stalled(unsigned worker, const char *what, rt_time held, uint64_t untold) {
    char more[64] = "";
    if (untold)
        (void)snprintf(more, sizeof more, " (and %llu times since it was last told)",
                       (unsigned long long)untold);
    B_LOG(B_WARN, "runtime", "worker %u was held for over %lld ms by: %s%s", worker,
          (long long)(held / RT_MS), what, more);
}

static int run_with_log(const struct gw_options *source, const struct settings *settings, bool demo) {
    static struct gateway gateway; /* large */
    struct tel_ring *ring;
    struct cli_serving serving = {.gateway = &gateway, .options = source, .demo = demo};
    struct rt_config config = {.workers = settings->workers, .watchdog = true, .fallback = &rt_epoll};
    int rc = open_metrics(&gateway, settings->workers);
    if (rc == 0)
        rc = open_log(settings->workers, &ring);
    if (rc < 0)
        return failed("the log and the metrics cannot be set up", rc);
    cfg_errors_init(&serving.errors);
    config.backend = choose_backend(settings->io);
    rt_set_stall_hook(stalled);
    rc = rt_run(&config, cli_serve, &serving);
    rt_offload_stop();
    gw_stop(&gateway);
    mw_access_log_close_all();
    close_log(ring);
    if (rc < 0)
        return failed("the workers cannot be started", rc);
    if (serving.result < 0) {
        cli_print_errors(&serving.errors);
        return CLI_FAILED;
    }
    cfg_errors_free(&serving.errors);
    return CLI_DONE;
}

int cli_run(const struct cli_args *args) {
    struct gw_options source;
    struct settings settings;
    int rc = cli_source(args, &source);
    if (rc == 0)
        rc = read_settings(&source, &settings);
    if (rc != 0)
        return rc;
    (void)net_raise_descriptor_limit();
    (void)net_inherit_init();
    rc = rt_signals_open(); /* before there are threads, which inherit what is blocked */
    if (rc < 0)
        return failed("signals cannot be set up", rc);
    rc = run_with_log(&source, &settings, args->demo);
    rt_signals_close();
    return rc;
}
