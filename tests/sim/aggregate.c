/* An aggregate under the simulator: an order and its user and stock (strong), a coupon and hints (weak, 50 ms), an audit (async).
 * Always true must be:
 *
 *  - a request gets one answer at the most, and what weir makes of calls is made of this request's calls, byte for byte;
 *  - what is missing is a weak call that its origin did not answer well in time, and is named;
 *  - an answer comes by the deadline; and with weak calls that are late, by their timeout;
 *  - an origin that does not answer sees its connection end when the call's time is over, or its client has gone;
 *  - an audit is made once for each whole answer, and is never made twice; and all that was lent comes back.
 *
 * Even seeds have fair weather: there, weak calls are late (5 % of their answers take 2 s) and nothing else is wrong. Each two hundredth
 * seed is an hour of it.
 *
 *     sim_aggregate [--seeds N] [--seed S] */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "support/rest.h"
#include "support/servers.h"
#include "support/talk.h"
#include "telemetry/http_metrics.h"

#define ASKS 100000
#define CLIENTS 12
#define WEAK_TIMEOUT (50 * RT_MS)
#define LATE (2 * RT_S)
#define PATIENCE (300 * RT_S)
#define LINES_MAX 4 /* of an order's lines, so many are looked up */

enum call { ORDER, USER, STOCK, COUPON, HINTS, AUDIT, CALLS };
static const char *const call_names[CALLS] = {"order", "user", "stock", "coupon", "hints", "audit"};

struct weather {
    bool fair, hour;
    bool resets, bad_origins, hanging_origins, leaving_clients, short_memory, crowded, early_drain;
    unsigned workers;
    rt_time deadline, delay_max, pause;
};

/* What is known of a request. */
struct ask {
    rt_time began, left; /* when its client sent it, and when it went away; 0: it did not */
    uint8_t seen[CALLS]; /* how often an origin had the call */
    bool spoiled[CALLS]; /* its origin did not answer well, or not in time */
    rt_time gone[CALLS]; /* when its answer went out */
    bool whole;          /* it was answered with 200 */
};

static struct {
    struct weather weather;
    struct gateway gateway;
    struct gw_options options;
    struct sim_servers origins;
    unsigned count;
    bool draining;
    char config[2048];
    struct ask asks[ASKS];
} world;

#define SPANS_MAX 400000
static struct {
    uint64_t whole, weak_missing, refused, left, cut, audits, hours;
    rt_time healthy[SPANS_MAX], late[SPANS_MAX]; /* how long answers of fair weather took */
    size_t healthy_count, late_count;
} totals;

static bool mishap(bool kind, uint64_t n) {
    return kind && sim_draw(n) == 0;
}

static rt_time slack(void) {
    return RT_S + 16 * world.weather.delay_max;
}

static void draw_weather(struct weather *w, uint64_t seed) {
    struct b_rng rng = {.state = seed ^ 0x616767726567};
    *w = (struct weather){.fair = seed % 2 == 0, .hour = seed % 200 == 0};
    w->workers = 1 + (unsigned)b_rng_below(&rng, RT_SIM_WORKERS_MAX);
    w->delay_max = 50 * RT_US + (rt_time)b_rng_below(&rng, 500) * RT_US;
    w->deadline = 5 * RT_S;
    w->pause = w->hour ? 5 * RT_S : 200 * RT_MS;
    w->early_drain = !w->hour && b_rng_below(&rng, 4) == 0;
    if (w->fair)
        return;
    bool *kinds[] = {&w->resets,          &w->bad_origins,  &w->hanging_origins,
                     &w->leaving_clients, &w->short_memory, &w->crowded};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        *kinds[i] = b_rng_below(&rng, 3) == 0;
    *kinds[b_rng_below(&rng, sizeof kinds / sizeof kinds[0])] = true;
    w->deadline = 100 * RT_MS + (rt_time)b_rng_below(&rng, 3000) * RT_MS;
}

static void write_config(void) {
    const struct weather *w = &world.weather;
    (void)snprintf(
        world.config, sizeof world.config,
        "version: 1\nlisten: [\"127.0.0.1:80\"]\nlimits: {max_in_flight: %u}\nupstreams:\n"
        "  shop: {endpoints: [\"http://127.0.0.1:9001\"]}\n  users: {endpoints: [\"http://127.0.0.1:9002\"]}\n"
        "  marketing: {endpoints: [\"http://127.0.0.1:9003\"], max_in_flight: %u}\n"
        "  audit: {endpoints: [\"http://127.0.0.1:9004\"]}\n"
        "routes:\n  - match: /orders/{id}\n    deadline: %lldus\n    aggregate:\n      calls:\n"
        "        order: {upstream: shop, path: \"/order/{id}\", need: strong}\n"
        "        user: {upstream: users, path: \"/user/{id}?u={order.user}\", need: strong}\n"
        "        stock: {upstream: shop, path: \"/stock/{id}?sku={line.sku}\", need: strong,\n"
        "                each: {in: $order.lines, as: line, max: %d, parallel: 2}}\n"
        "        coupon: {upstream: marketing, path: \"/coupon/{id}\", need: weak, timeout: 50ms, default: null}\n"
        "        hints: {upstream: marketing, path: \"/hints/{id}?u={order.user}\", need: weak, timeout: 50ms, default: []}\n"
        "        audit: {upstream: audit, method: POST, path: \"/audit/{id}\", need: async,\n"
        "                body: {order: $order.id, user: $user.name}}\n"
        "      response: {id: $order.id, user: $user.name, stock: $stock, coupon: $coupon, hints: $hints, missing: $missing}\n",
        w->crowded ? 6 : 1000, w->crowded ? 3 : 1000, (long long)(w->deadline / RT_US), LINES_MAX);
}

/* ---- what services say ---- */

static int write_lines(char *text, size_t room, unsigned id, unsigned count, bool of) {
    int n = snprintf(text, room, "[");
    for (unsigned i = 0; i < count; i++)
        n += of ? snprintf(text + n, room - (size_t)n, "%s{\"sku\":%u,\"of\":%u}", i ? "," : "", i, id)
                : snprintf(text + n, room - (size_t)n, "%s{\"sku\":%u}", i ? "," : "", i);
    return n + snprintf(text + n, room - (size_t)n, "]");
}

/* The answer of a call; `sku` of the query counts for the stock. */
static int write_answer(enum call call, unsigned id, unsigned sku, char *text, size_t room) {
    int n;
    switch (call) {
    case ORDER:
        n = snprintf(text, room, "{\"id\":%u,\"user\":\"u%u\",\"lines\":", id, id);
        n += write_lines(text + n, room - (size_t)n, id, id % 7, false);
        return n + snprintf(text + n, room - (size_t)n, "}");
    case USER: return snprintf(text, room, "{\"name\": \"user %u\", \"mail\": null}", id);
    case STOCK: return snprintf(text, room, "{\"sku\":%u,\"of\":%u}", sku, id);
    case COUPON: return snprintf(text, room, "{\"code\":\"C-%u\"}", id);
    case HINTS: return snprintf(text, room, "[%u,\"h\"]", id);
    default: return snprintf(text, room, "{}");
    }
}

static int write_whole(char *text, size_t room, unsigned id, bool coupon, bool hints) {
    unsigned lines = id % 7 > LINES_MAX ? LINES_MAX : id % 7;
    int n = snprintf(text, room, "{\"id\":%u,\"user\":\"user %u\",\"stock\":", id, id);
    n += write_lines(text + n, room - (size_t)n, id, lines, true);
    n += snprintf(text + n, room - (size_t)n, ",\"coupon\":");
    n += coupon ? write_answer(COUPON, id, 0, text + n, room - (size_t)n)
                : snprintf(text + n, room - (size_t)n, "null");
    n += snprintf(text + n, room - (size_t)n, ",\"hints\":");
    n += hints ? write_answer(HINTS, id, 0, text + n, room - (size_t)n)
               : snprintf(text + n, room - (size_t)n, "[]");
    return n + snprintf(text + n, room - (size_t)n, ",\"missing\":[%s%s%s]}\n", coupon ? "" : "\"coupon\"",
                        coupon || hints ? "" : ",", hints ? "" : "\"hints\"");
}

/* ---- origins ---- */

struct request {
    enum call call;
    unsigned id, sku;
};

/* /order/7 and the like. */
static bool read_target(struct b_slice path, struct b_slice query, struct request *r) {
    uint64_t id = 0, sku = 0;
    struct b_slice name = b_slice_from(path, 1);
    const char *slash = memchr(name.ptr, '/', name.len);
    if (!slash)
        return false;
    struct b_slice number = b_slice_from(name, (size_t)(slash - name.ptr) + 1);
    name.len = (size_t)(slash - name.ptr);
    for (r->call = 0; r->call < CALLS && !b_slice_eq(name, b_slice_cstr(call_names[r->call])); r->call++)
        continue;
    if (r->call == STOCK && (query.len < 5 || !b_parse_u64(b_slice_from(query, 4), &sku)))
        return false;
    r->sku = (unsigned)sku;
    bool known = r->call < CALLS && b_parse_u64(number, &id) && id && id <= world.count;
    r->id = (unsigned)id;
    return known;
}

/* How long a call of a request may still be under way. */
static rt_time call_over(const struct request *r) {
    const struct ask *a = &world.asks[r->id];
    rt_time until = rt_after(a->began, world.weather.deadline);
    if (r->call == COUPON || r->call == HINTS)
        until = rt_earlier(until, rt_after(rt_now(), WEAK_TIMEOUT));
    if (r->call == AUDIT)
        until = rt_after(rt_now(), 30 * RT_S);
    return rt_after(until, slack());
}

/* Says nothing until weir hangs up, which it must: when the call's time is over, or its client has gone. */
static bool hang(struct talk *t, const struct request *r) {
    const struct ask *a = &world.asks[r->id];
    rt_time until = call_over(r);
    ssize_t n = talk_fill(t, until);
    if (n == -ETIMEDOUT)
        sim_broken("the connection of %s of request %u is open long after its time", call_names[r->call],
                   r->id);
    if (a->left && r->call != AUDIT && rt_now() > rt_after(a->left, slack()))
        sim_broken("%s of request %u goes on, though its client has left", call_names[r->call], r->id);
    totals.cut++;
    return false;
}

static bool send_answer(struct talk *t, const struct request *r, uint16_t status, size_t cut) {
    char body[512], head[128];
    int n = write_answer(r->call, r->id, r->sku, body, sizeof body);
    int h =
        snprintf(head, sizeof head,
                 "HTTP/1.1 %u OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", status, n);
    return talk_send(t, head, (size_t)h) && talk_send(t, body, (size_t)n - cut) && !cut;
}

static bool misbehave(struct talk *t, const struct request *r) {
    static const char *const bad[] = {
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{\"id\": 1,",
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n",
        "nonsense\r\n\r\n",
    };
    world.asks[r->id].spoiled[r->call] = true;
    switch (sim_draw(3)) {
    case 0: return send_answer(t, r, 500, 0);
    case 1: return send_answer(t, r, 200, 1 + (size_t)sim_draw(2));
    default: return talk_send_text(t, bad[sim_draw(sizeof bad / sizeof bad[0])]) && false;
    }
}

static bool answer(struct talk *t, const struct request *r) {
    const struct weather *w = &world.weather;
    struct ask *a = &world.asks[r->id];
    bool weak = r->call == COUPON || r->call == HINTS;
    if (mishap(w->hanging_origins, 20)) {
        a->spoiled[r->call] = true;
        return hang(t, r);
    }
    if (mishap(w->bad_origins, 10))
        return misbehave(t, r);
    if (weak && sim_draw(20) == 0) {
        a->spoiled[r->call] = true;
        if (sim_draw(2))
            return hang(t, r);
        (void)!rt_sleep_until(rt_after(rt_now(), LATE));
    } else {
        sim_pause(5 * RT_MS);
    }
    a->gone[r->call] = rt_now();
    return send_answer(t, r, 200, 0);
}

static bool serve(struct talk *t, struct b_arena *arena) {
    struct http_request head;
    struct request r;
    ssize_t n = 0;
    while ((n = t->len ? h1_parse_request(b_slice(t->in, t->len), &http_limits_default, t->fields,
                                          TALK_FIELDS, arena, &head)
                       : 0) == 0)
        if (talk_fill(t, rt_after(rt_now(), PATIENCE)) <= 0)
            return false;
    if (n < 0 || !read_target(head.path, head.query, &r)) {
        sim_broken("an origin is sent what nobody has asked for");
        return false;
    }
    struct ask *a = &world.asks[r.id];
    size_t body = head.body == HTTP_BODY_LENGTH ? (size_t)head.content_length : 0;
    unsigned most = r.call == AUDIT || world.weather.fair ? 1 : 2;
    if (++a->seen[r.call] > most * (r.call == STOCK ? LINES_MAX : 1))
        sim_broken("%s of request %u is called %u times", call_names[r.call], r.id, a->seen[r.call]);
    totals.audits += r.call == AUDIT;
    while (t->len < (size_t)n + body)
        if (talk_fill(t, rt_after(rt_now(), PATIENCE)) <= 0)
            return false;
    if (r.call == AUDIT) {
        char want[64];
        int len = snprintf(want, sizeof want, "{\"order\":%u,\"user\":\"user %u\"}", r.id, r.id);
        if (!b_slice_eq(b_slice(t->in + n, body), b_slice(want, (size_t)len)))
            sim_broken("the audit of request %u says %.*s", r.id, (int)body, t->in + n);
    }
    talk_use(t, (size_t)n + body);
    return answer(t, &r);
}

static void origin_fiber(void *arg) {
    struct talk *t = arg;
    struct b_arena arena;
    for (bool on = true; on;) {
        b_arena_init(&arena, B_TAG_TEST, NULL, NULL, 0, 1 << 20);
        on = serve(t, &arena);
        b_arena_release(&arena);
    }
    (void)rt_end(&t->stream, RT_END_CLOSE);
    talk_free(t);
}

#define ORIGINS 4

/* ---- clients ---- */

static void note_span(const struct ask *a) {
    rt_time span = rt_now() - a->began;
    bool late = a->spoiled[COUPON] || a->spoiled[HINTS];
    if (!world.weather.fair)
        return;
    if (late && totals.late_count < SPANS_MAX)
        totals.late[totals.late_count++] = span;
    if (!late && totals.healthy_count < SPANS_MAX)
        totals.healthy[totals.healthy_count++] = span;
}

/* Which weak calls are missing, and why. */
static struct b_slice missing_field(const struct http_response *r) {
    const struct http_field *f = http_fields_find_name(&r->fields, B_LIT("weir-missing"));
    return f ? http_field_value(f) : B_LIT("");
}

static bool named_missing(const struct http_response *r, const char *name) {
    struct b_slice v = missing_field(r);
    return memmem(v.ptr, v.len, name, strlen(name)) != NULL;
}

/* Workers are held now and then, those of the origins and weir's: what went out that late may have come too late. */
static bool was_in_time(const struct ask *a, enum call call) {
    return !a->spoiled[call] && a->gone[call] - a->began < WEAK_TIMEOUT / 2;
}

static void check_whole(unsigned id, const struct http_response *r, struct b_slice body) {
    const struct weather *w = &world.weather;
    struct ask *a = &world.asks[id];
    bool coupon = !named_missing(r, "coupon"), hints = !named_missing(r, "hints");
    char want[1024];
    int n = write_whole(want, sizeof want, id, coupon, hints);
    if (!b_slice_eq(body, b_slice(want, (size_t)n)))
        sim_broken("request %u is answered with %.*s, but that is not %s", id, B_FMT(body), want);
    if (w->fair && ((!coupon && was_in_time(a, COUPON)) || (!hints && was_in_time(a, HINTS))))
        sim_broken("request %u misses a call that was answered in time: %.*s", id, B_FMT(missing_field(r)));
    if ((coupon && a->spoiled[COUPON] && !w->resets) || (hints && a->spoiled[HINTS] && !w->resets))
        sim_broken("request %u has the answer of a call that was never answered well", id);
    a->whole = true;
    totals.whole++;
    totals.weak_missing += !coupon + !hints;
    note_span(a);
}

/* The head and the body. Whether the connection may go on. */
static bool receive(struct talk *t, unsigned id) {
    const struct weather *w = &world.weather;
    struct ask *a = &world.asks[id];
    rt_time until = rt_after(rt_after(a->began, w->deadline), slack());
    struct http_response r;
    enum http_error why = HTTP_OK;
    ssize_t n = 0;
    while ((n = t->len ? h1_parse_response(b_slice(t->in, t->len), &http_limits_default, t->fields,
                                           TALK_FIELDS, HTTP_METHOD_GET, &r, &why)
                       : 0) == 0 ||
           (n > 0 && r.body == HTTP_BODY_LENGTH && t->len < (size_t)n + r.content_length)) {
        ssize_t got = talk_fill(t, until);
        if (got == -ETIMEDOUT)
            sim_broken("request %u is not answered by its deadline", id);
        if (got <= 0 && w->fair && !world.draining)
            sim_broken("request %u gets no answer", id);
        if (got <= 0)
            return false;
    }
    if (n < 0 || r.body != HTTP_BODY_LENGTH) {
        sim_broken("the answer to request %u has a bad head", id);
        return false;
    }
    struct b_slice body = b_slice(t->in + n, (size_t)r.content_length);
    if (r.status == 200)
        check_whole(id, &r, body);
    else if (w->fair || r.status < 500)
        sim_broken("request %u is refused: %u, %.*s", id, r.status, B_FMT(body));
    totals.refused += r.status != 200;
    talk_use(t, (size_t)n + body.len);
    if (t->len)
        sim_broken("%zu bytes come behind the answer to request %u", t->len, id);
    return r.keep_alive;
}

/* Goes away in the middle of its request. */
static void leave(struct talk *t, struct ask *a) {
    sim_pause(80 * RT_MS);
    a->left = rt_now();
    totals.left++;
    if (sim_draw(2)) { /* a FIN behind the request is leaving, too, here */
        (void)rt_end(&t->stream, RT_END_WRITING);
        while (talk_fill(t, rt_after(rt_now(), world.weather.deadline + slack())) > 0)
            t->len = 0;
    }
}

static bool ask(struct talk *t) {
    char text[128];
    if (world.count + 1 >= ASKS)
        return false;
    unsigned id = ++world.count;
    struct ask *a = &world.asks[id];
    int n = snprintf(text, sizeof text, "GET /orders/%u HTTP/1.1\r\nHost: h\r\n\r\n", id);
    a->began = rt_now();
    if (!talk_send(t, text, (size_t)n))
        return false;
    if (!mishap(world.weather.leaving_clients, 6))
        return receive(t, id);
    leave(t, a);
    return false;
}

static void client_fiber(void *arg) {
    const struct weather *w = &world.weather;
    struct talk *t = talk_new(PATIENCE);
    rt_time until = rt_after(rt_now(), w->hour ? 3600 * RT_S : 4 * RT_S);
    (void)arg;
    while (t && rt_now() < until && !world.draining) {
        struct rt_sockaddr at = sim_address(80);
        t->len = 0;
        if (rt_connect(&t->stream, &at, rt_after(rt_now(), 60 * RT_S)) != 0) {
            HOLDS(!w->fair || world.draining);
            sim_pause(100 * RT_MS);
            continue;
        }
        bool on = true;
        for (unsigned i = 1 + (unsigned)sim_draw(20); i && on && rt_now() < until; i--) {
            on = ask(t);
            sim_pause(w->pause);
        }
        rt_end(&t->stream, mishap(w->leaving_clients, 2) ? RT_END_RESET : RT_END_CLOSE);
    }
    talk_free(t);
}

static void clients_run(void *arg) {
    struct rt_scope s;
    (void)arg;
    rt_scope_init(&s);
    for (unsigned i = 0; i < CLIENTS / world.weather.workers; i++)
        HOLDS(rt_scope_spawn(&s, "client", client_fiber, NULL) == 0 || world.weather.short_memory);
    HOLDS(rt_scope_wait(&s, RT_NEVER) == 0);
    rt_scope_leave(&s);
}

/* ---- the run ---- */

static void drain(void) {
    world.draining = true;
    gw_drain(&world.gateway, rt_after(rt_now(), 90 * RT_S));
}

static void early_drain(void *arg) {
    (void)arg;
    sim_pause(3 * RT_S);
    drain();
}

/* Once for each whole answer of fair weather, and for no other. */
static void check_audits(void) {
    for (unsigned i = 1; i <= world.count; i++) {
        const struct ask *a = &world.asks[i];
        if (world.weather.fair && a->seen[AUDIT] != a->whole)
            sim_broken("request %u, answered %d, has %u audits", i, a->whole, a->seen[AUDIT]);
    }
}

static void check_rest(void) {
    (void)!rt_sleep_until(rt_after(rt_now(), 10 * RT_S));
    for (int i = 0; i < ORIGINS; i++) {
        static const char *const names[ORIGINS] = {"shop", "users", "marketing", "audit"};
        struct up_upstream *u = sim_upstream_rests(&world.gateway, b_slice_cstr(names[i]));
        if (u)
            up_put(u);
    }
    sim_gateway_rests(&world.gateway);
    HOLDS(tel_active_requests() == 0);
    check_audits();
}

static void director(void *arg) {
    const struct weather *w = &world.weather;
    struct cfg_errors errors;
    struct rt_scope s;
    (void)arg;
    cfg_errors_init(&errors);
    rt_scope_init(&s);
    world.origins.serve = origin_fiber;
    world.origins.patience = PATIENCE;
    sim_servers_start(&world.origins, ORIGINS);
    world.options = (struct gw_options){.config_name = "sim", .config_text = b_slice_cstr(world.config)};
    HOLDS(gw_start(&world.gateway, &world.options, &errors) == 0);
    if (w->early_drain)
        HOLDS(rt_scope_spawn(&s, "drain", early_drain, NULL) == 0);
    if (w->short_memory)
        HOLDS(rt_scope_spawn(&s, "saboteur", sim_saboteur, NULL) == 0);
    while (rt_on_all_workers("clients", clients_run, NULL) != 0)
        HOLDS(w->short_memory);
    if (w->early_drain)
        (void)!rt_scope_wait(&s, rt_after(rt_now(), w->short_memory ? 100 * RT_S : RT_NEVER));
    rt_scope_leave(&s);
    if (!w->early_drain)
        drain();
    check_rest();
    (void)gw_quiet(&world.gateway);
    sim_servers_stop(&world.origins);
    cfg_errors_free(&errors);
    totals.hours += w->hour;
}

static void run(uint64_t seed) {
    struct rt_sim_result r;
    memset(&world, 0, sizeof world);
    draw_weather(&world.weather, seed);
    write_config();
    const struct weather *w = &world.weather;
    struct rt_sim_config c = {.seed = seed, .workers = w->workers, .result = &r, .delay_max = w->delay_max};
    c.buffer_bytes = 4000 + seed * 7919 % 60000;
    c.resets = w->resets ? 2 : 0;
    sim_tell("seed %llu:%s%s%s%s%s%s%s%s; %u workers, deadline %lld ms", (unsigned long long)seed,
             w->hour ? " hour" : "", w->resets ? " resets" : "", w->bad_origins ? " bad_origins" : "",
             w->hanging_origins ? " hanging_origins" : "", w->leaving_clients ? " leaving_clients" : "",
             w->short_memory ? " short_memory" : "", w->crowded ? " crowded" : "",
             w->early_drain ? " early_drain" : "", w->workers, (long long)(w->deadline / RT_MS));
    tel_metrics_init(w->workers);
    HOLDS(tel_http_init() == 0);
    HOLDS(rt_sim_run(&c, director, NULL) == 0);
    gw_stop(&world.gateway);
    tel_http_free();
    tel_metrics_free();
    sim_all_freed(&r);
}

static int compare_spans(const void *a, const void *b) {
    rt_time x = *(const rt_time *)a, y = *(const rt_time *)b;
    return (x > y) - (x < y);
}

static double p99(rt_time *spans, size_t count) {
    qsort(spans, count, sizeof *spans, compare_spans);
    return count ? (double)spans[count * 99 / 100] / RT_MS : 0;
}

static bool summary(FILE *out) {
    double healthy = p99(totals.healthy, totals.healthy_count), late = p99(totals.late, totals.late_count);
    fprintf(
        out,
        "%llu whole answers, %llu weak calls missing, %llu refused, %llu clients left, %llu calls cut, %llu audits, %llu hours; "
        "p99 %.1f ms, with late weak calls %.1f ms",
        (unsigned long long)totals.whole, (unsigned long long)totals.weak_missing,
        (unsigned long long)totals.refused, (unsigned long long)totals.left, (unsigned long long)totals.cut,
        (unsigned long long)totals.audits, (unsigned long long)totals.hours, healthy, late);
    return totals.whole && totals.weak_missing && totals.refused && totals.left && totals.cut &&
           totals.audits && late <= healthy + 60;
}

int main(int argc, char **argv) {
    static const struct sim_program program = {.name = "sim_aggregate", .run = run, .summary = summary};
    return sim_main(&program, argc, argv);
}
