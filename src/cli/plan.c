/* `weir plan`: what a load needs, by Little's law (what is in the house is what comes in, times how long it stays), against what
 * the config and the machine give. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/number.h"
#include "cli/cli.h"
#include "gateway/conn.h"
#include "gateway/module.h"
#include "net/limits.h"
#include "runtime/cpus.h"
#include "runtime/memory.h"
#include "telemetry/metrics.h"

#define BURST_PERCENT 50 /* on top of the mean: loads are not even */
#define LATENCY_ASSUMED (50 * CFG_MS)
/* docs/benchmarks.md: epoll, 1 KB responses, half loaded; what it costs to hold a request and an idle connection. */
#define CPU_NS_PER_REQUEST 15000
#define BYTES_PER_REQUEST 4608
#define BYTES_PER_CONNECTION 512
#define BYTES_BASE (8 << 20)
#define PORTS 28232 /* net.ipv4.ip_local_port_range */

struct plan {
    struct b_text out;
    const struct cfg_root *root;
    double rps;
    int64_t latency;
    double mean, peak; /* requests in flight */
    unsigned short_of; /* figures that do not suffice */
};

static int usage(const char *option, const char *value, const char *why) {
    fprintf(stderr, "weir: %s cannot be \"%.60s\": %s\n", option, value, why);
    return CLI_USAGE;
}

static void place(struct b_text *out, const struct cfg_node *node) {
    if (node && node->file)
        b_text_printf(out, "%s:%u: ", node->file->name, node->line);
}

static int64_t up(double x) {
    int64_t n = (int64_t)x;
    return n < x ? n + 1 : n;
}

/* One line: what is needed, what there is; and the way out, when that is less. `option` NULL: it is no option. */
static void line(struct plan *p, const char *what, double needed, double have, const char *option,
                 const struct cfg_node *section, const char *way_out) {
    bool enough = have >= needed;
    b_text_printf(&p->out, "  %-34s %12lld %14lld   %s\n", what, (long long)up(needed), (long long)have,
                  enough ? "ok" : "TOO SMALL");
    if (enough)
        return;
    p->short_of++;
    const struct cfg_node *at = option ? cfg_node_get(section, option) : NULL;
    b_text_lit(&p->out, "      -> ");
    place(&p->out, at ? at : section);
    if (option)
        b_text_printf(&p->out, "write %s: %lld%s%s\n", option, (long long)up(needed), way_out ? "; " : "",
                      way_out ? way_out : "");
    else
        b_text_printf(&p->out, "%s\n", way_out);
}

static void head(struct plan *p, const char *what, struct b_slice name) {
    b_text_printf(&p->out, "\n%s%s%.*s\n", what, name.len ? " " : "", B_FMT(name));
}

static double unlimited(double n) {
    return n > 0 ? n : 1e15;
}

static void plan_clients(struct plan *p) {
    const struct cfg_limits *l = &p->root->limits;
    const struct cfg_node *node = l->head.node;
    head(p, "clients", B_LIT(""));
    line(p, "client connections", p->peak, (double)gw_most_connections(l), "max_connections", node,
         "and LimitNOFILE, if the limit on open files is what caps it");
    line(p, "requests in flight", p->peak, (double)l->max_in_flight, "max_in_flight", node, NULL);
}

/* What one request of the route asks of the upstream (NULL: of all) at the most. */
static unsigned calls_of(const struct cfg_route *r, const struct cfg_upstream *u) {
    const struct gw_handler *h = (const struct gw_handler *)r->handler.module;
    return h->calls ? h->calls(r->handler.conf, u) : 0;
}

/* By the route that asks most; 1 at the least, since what no route asks may be asked yet. */
static unsigned most_calls(const struct plan *p, const struct cfg_upstream *u) {
    unsigned most = 1;
    CFG_EACH(const struct cfg_route, r, &p->root->routes) {
        unsigned calls = calls_of(r, u);
        most = calls > most ? calls : most;
    }
    return most;
}

/* Routes of which one request becomes several. */
static void plan_calls(struct plan *p) {
    if (most_calls(p, NULL) < 2)
        return;
    head(p, "calls", B_LIT(""));
    CFG_EACH(const struct cfg_route, r, &p->root->routes) {
        unsigned calls = calls_of(r, NULL);
        if (calls > 1)
            b_text_printf(&p->out,
                          "  %-34.34s %12lld %14s   in flight on average: %u of each request, at the most\n",
                          r->match.path.ptr, (long long)up(p->mean * calls), "", calls);
    }
}

static void plan_time(struct plan *p, const struct cfg_upstream *u) {
    double ms = (double)CFG_MS;
    line(p, "timeout of an attempt, ms", 2 * (double)p->latency / ms, (double)u->timeout / ms, NULL,
         u->head.node, "raise timeout: half of the answers may take longer than the median");
    CFG_EACH(const struct cfg_route, r, &p->root->routes) {
        char what[64];
        if (!calls_of(r, u))
            continue;
        (void)snprintf(what, sizeof what, "deadline of %.16s, ms", r->match.path.ptr);
        line(p, what, (double)(p->latency * u->retry.attempts) / ms, (double)r->deadline / ms, NULL,
             r->match.head.node, "raise deadline, or lower retry.attempts: not all attempts fit into it");
    }
}

static void plan_upstream(struct plan *p, const struct cfg_upstream *u) {
    const struct cfg_node *node = u->head.node, *pool = cfg_node_get(node, "pool");
    double times = most_calls(p, u), peak = p->peak * times;
    double endpoints = u->endpoints.count ? (double)u->endpoints.count : 1;
    head(p, "upstream", u->head.name);
    line(p, "max_in_flight (the bulkhead)", peak, (double)u->max_in_flight, "max_in_flight", node, NULL);
    line(p, "pool.max_connections", peak, (double)u->pool.max_connections, "max_connections",
         pool ? pool : node, pool ? NULL : "in its pool");
    line(p, "pool.max_idle", p->mean * times, (double)u->pool.max_idle, "max_idle", pool ? pool : node,
         "or connections are closed and opened again all the time");
    line(p, "connections to each endpoint", peak / endpoints, PORTS, NULL, node,
         "more endpoints, or more local ports (net.ipv4.ip_local_port_range)");
    plan_time(p, u);
    double extra = u->retry.attempts > 1 ? p->rps * times * (double)u->retry.budget.percent / 100 : 0;
    b_text_printf(&p->out, "  %-34s %12lld %14s   the most that retries add when it fails\n",
                  "further attempts a second",
                  (long long)up(extra > (double)u->retry.budget.min ? extra : (double)u->retry.budget.min),
                  "");
}

static void plan_machine(struct plan *p) {
    static struct rt_memory memory; /* large */
    int64_t workers = p->root->workers ? p->root->workers : (int64_t)rt_cpu_count(), pools = 0;
    double calls = most_calls(p, NULL), halves = (1 + calls) / 2;  /* an exchange with each side */
    double cpu = p->rps * halves * CPU_NS_PER_REQUEST / 1e9 / 0.7; /* at 70 %, or latencies grow */
    CFG_EACH(const struct cfg_upstream, u, &p->root->upstreams)
        pools += u->pool.max_connections;
    rt_memory_read("", (uint64_t)p->root->limits.max_memory, &memory);
    head(p, "process", B_LIT(""));
    line(p, "workers, hundredths of a CPU", 100 * cpu, 100 * (double)workers, NULL, p->root->head.node,
         "more CPUs, or more instances: an estimate from docs/benchmarks.md, for responses of 1 KB");
    line(p, "memory, MiB",
         (BYTES_BASE + p->peak * (BYTES_PER_REQUEST * calls + BYTES_PER_CONNECTION)) / (1 << 20) / 0.9,
         unlimited((double)memory.limit) / (1 << 20), NULL, p->root->limits.head.node,
         "more memory (limits.max_memory, or the cgroup's limit): new requests get 503 from 90 % on");
    line(p, "open files", p->peak * (1 + calls) + 64,
         net_descriptor_limit() < 1ull << 40 ? (double)net_descriptor_limit() : 1e12, NULL, NULL,
         "raise the limit on open files (LimitNOFILE, ulimit -n)");
    b_text_printf(&p->out, "  %-34s %12s %14lld   of all upstreams, beside the clients'\n",
                  "connections that pools may open", "", (long long)pools);
}

static int parse_load(const struct cli_args *args, struct plan *p) {
    uint64_t rps;
    if (!args->rps) {
        fprintf(stderr, "weir: `weir plan` needs the load: --rps N, requests a second\n");
        return CLI_USAGE;
    }
    if (!b_parse_u64(b_slice_cstr(args->rps), &rps) || rps < 1 || rps > 100000000)
        return usage("--rps", args->rps, "give requests a second, 1 to 100000000");
    p->rps = (double)rps;
    p->latency = LATENCY_ASSUMED;
    const char *why = args->latency ? cfg_parse_duration(b_slice_cstr(args->latency), &p->latency) : NULL;
    if (why || p->latency < 1)
        return usage("--latency", args->latency, why ? why : "it is more than nothing");
    p->mean = p->rps * (double)p->latency / 1e9;
    p->peak = p->mean * (100 + BURST_PERCENT) / 100 + 1;
    return 0;
}

int cli_plan(const struct cli_args *args) {
    struct plan p = {0};
    struct gw_options source;
    struct cli_config config;
    int rc = parse_load(args, &p);
    rc = rc ? rc : cli_source(args, &source);
    if (rc)
        return rc;
    (void)net_raise_descriptor_limit(); /* as `weir run` does */
    rc = cli_load(&source, &config);
    if (rc == CLI_DONE) {
        p.out = cli_text();
        p.root = config.root;
        b_text_printf(&p.out, "%.0f requests a second that take ", p.rps);
        cfg_write_duration(&p.out, p.latency);
        b_text_printf(
            &p.out,
            "%s each: %.0f in flight on average, %lld with bursts of half as much again (Little's law).\n",
            args->latency ? "" : " (assumed; --latency says otherwise)", p.mean, (long long)up(p.peak));
        b_text_lit(
            &p.out,
            "Each upstream is looked at as if all of it went there, with as many calls as a request can make.\n\n");
        b_text_printf(&p.out, "  %-34s %12s %14s\n", "", "needed", "there is");
        plan_clients(&p);
        plan_calls(&p);
        CFG_EACH(const struct cfg_upstream, u, &config.root->upstreams)
            plan_upstream(&p, u);
        plan_machine(&p);
        b_text_printf(&p.out, p.short_of ? "\n%u figure%s too small for that load.\n" : "\nThat load fits.\n",
                      p.short_of, p.short_of == 1 ? " is" : "s are");
        rc = cli_print(&p.out);
    }
    cli_unload(&config);
    return rc == CLI_DONE && p.short_of ? CLI_FAILED : rc;
}
