#include "cli/serve.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/log.h"
#include "cli/cli.h"
#include "gateway/conn.h"
#include "gateway/overload.h"
#include "middleware/access_log.h"
#include "net/listener.h"
#include "runtime/io.h"
#include "runtime/signals.h"
#include "runtime/sync.h"

#define DRAIN_TIME (30 * RT_S)
#define LOG_TIME RT_S

/* ---- telling ---- */

/* The port that the kernel chose, where the config asks for any. */
static void write_listener(struct b_text *out, const struct gw_listener *l) {
    char text[NET_ADDRESS_TEXT];
    struct rt_sockaddr at;
    if (l->conf.kind != CFG_HOST_UNIX && l->conf.port == 0 && net_local_address(l->fd, &at) == 0)
        b_text_add(out, text, net_format(&at, text));
    else
        b_text_cstr(out, l->text);
}

static void write_listeners(struct b_text *out, struct gateway *g, bool admin) {
    const char *between = "";
    B_LIST_EACH(n, &g->listeners) {
        const struct gw_listener *l = B_CONTAINER(n, struct gw_listener, link);
        if (l->admin != admin)
            continue;
        b_text_cstr(out, between);
        write_listener(out, l);
        between = ", ";
    }
}

static void announce(struct gateway *g) {
    char buf[1024];
    struct b_text text = b_text_fixed(buf, sizeof buf);
    write_listeners(&text, g, false);
    b_text_lit(&text, ", admin on ");
    write_listeners(&text, g, true);
    B_LOG(B_INFO, "cli", "weir " WEIR_VERSION " serves on %.*s (%s, %u worker%s)", B_FMT(b_text_slice(&text)),
          rt_self()->backend->name, rt_worker_count(), rt_worker_count() == 1 ? "" : "s");
}

static void warn_unused(void) {
    unsigned at = 0;
    struct rt_sockaddr addr;
    while (net_inherit_unused(&at, &addr)) {
        char text[NET_ADDRESS_TEXT];
        (void)net_format(&addr, text);
        B_LOG(B_WARN, "cli",
              "the service manager passed a socket at %s, which no listener of the config uses", text);
    }
}

static void greet(void) {
    printf("\nweir is up, with the demo's config (weir example demo). Try, in another terminal:\n\n"
           "    curl -i http://localhost:8080/hello             an answer of weir's own\n"
           "    curl -s http://localhost:8080/api/orders        proxied, from two origins in turn\n"
           "    curl -s http://127.0.0.1:9901/metrics           what it has counted\n\n"
           "Also: /slow, /broken (502), /hurry (504). Ctrl-C ends it.\n\n");
    (void)fflush(stdout);
}

/* ---- signals ---- */

#define CHANGES_MAX 65536 /* of the log, for one reload */

/* Whoever sends a signal reads the log. */
static void log_changes(struct b_slice lines) {
    struct b_slice line;
    for (bool first = true; b_slice_next(&lines, '\n', &line); first = false)
        if (!first && line.len > 2)
            B_LOG(B_INFO, "config", "reloaded: %.*s", (int)(line.len - 2), line.ptr + 2);
}

static void reload(struct gateway *g) {
    char state[96];
    struct b_text changes = b_text_heap(B_TAG_CONFIG, CHANGES_MAX);
    struct b_text text = b_text_fixed(state, sizeof state);
    struct cfg_errors errors;
    cfg_errors_init(&errors);
    b_text_printf(&text, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)(rt_clock() / RT_US));
    b_text_char(&text, 0);
    cli_notify(state);
    if (adm_reload(g, &errors, &changes, GW_TEXT) == 0 && !changes.failed)
        log_changes(b_text_slice(&changes));
    b_text_free(&changes);
    cli_notify("READY=1");
    cfg_errors_free(&errors);
}

struct drain {
    struct gateway *gateway;
    struct rt_cond over;
    bool done;
};

static void drain_fiber(void *arg) {
    struct drain *d = arg;
    gw_drain(d->gateway, rt_after(rt_now(), DRAIN_TIME));
    d->done = true;
    rt_cond_signal(&d->over);
}

static void second_signal_fiber(void *arg) {
    struct drain *d = arg;
    for (;;) {
        int number = rt_signal_wait(RT_NEVER);
        if (number == SIGUSR1)
            mw_access_log_reopen();
        if (number < 0 || number == SIGTERM || number == SIGINT)
            break;
    }
    d->done = true;
    rt_cond_signal(&d->over);
}

/* Until nothing is in flight, 30 s have passed, or a second TERM or INT has come. */
static void drain(struct gateway *g) {
    struct drain d = {.gateway = g};
    struct rt_scope scope;
    B_LOG(B_INFO, "cli", "draining, with %llu in flight; a second signal ends at once",
          (unsigned long long)atomic_load(&g->requests));
    cli_notify("STOPPING=1");
    rt_cond_init(&d.over);
    rt_scope_init(&scope);
    if (rt_scope_spawn(&scope, "drain", drain_fiber, &d) != 0 ||
        rt_scope_spawn(&scope, "signals", second_signal_fiber, &d) != 0)
        d.done = true; /* no memory for two fibers: end at once */
    while (!d.done)
        if (rt_cond_wait(&d.over, RT_NEVER) < 0)
            break;
    rt_scope_leave(&scope);
    uint64_t cut = atomic_load(&g->requests);
    if (cut)
        B_LOG(B_WARN, "cli", "requests cut off: %llu", (unsigned long long)cut);
    else
        B_LOG(B_INFO, "cli", "all requests are finished");
}

static void follow_signals(struct gateway *g) {
    for (;;) {
        int number = rt_signal_wait(RT_NEVER);
        if (number < 0)
            return;
        if (number == SIGHUP)
            reload(g);
        else if (number == SIGUSR1)
            mw_access_log_reopen();
        else
            break;
    }
    drain(g);
}

/* A thread hangs in a write that the disk does not finish, and whoever waited for it would hang, too. */
static void leave(void) {
    b_log_set_sink(NULL); /* straight to the file from here on */
    B_LOG(B_ERROR, "cli", "weir ends without its stores");
    (void)!rt_sleep_until(rt_after(rt_now(), LOG_TIME)); /* for the lines before */
    _exit(CLI_FAILED);
}

void cli_serve(void *arg) {
    struct cli_serving *s = arg;
    s->result = gw_start(s->gateway, s->options, &s->errors);
    if (s->result < 0)
        return;
    if (rt_spawn("watch memory", gw_watch_memory, s->gateway) != 0)
        B_LOG(B_ERROR, "cli", "memory is not watched: there is no fiber for it");
    announce(s->gateway);
    warn_unused();
    if (s->demo)
        greet();
    cli_notify("READY=1");
    follow_signals(s->gateway);
    if (!gw_quiet(s->gateway))
        leave();
}
