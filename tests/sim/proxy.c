/* The gateway under the simulator: clients on all workers ask through it, origins behind it answer in every framing,
 * the config is reloaded meanwhile, and at the end it drains. A complete answer must hold the right bytes, a POST must not
 * reach origins twice, nothing may stay behind. With an even seed the network and the origins are good, and then every
 * request must be answered with 200; with an odd one the network fails, origins close early, stop half-way or send
 * nonsense, and every fourth seed also fails an allocation.
 *
 *     sim_proxy [--seeds N] [--seed S]      N seeds from S (1; or WEIR_SEED) on */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/number.h"
#include "gateway/gateway.h"
#include "http/h1_parse.h"
#include "net/address.h"
#include "runtime/sim.h"
#include "upstream/upstream.h"

#define CLIENTS 4 /* on each worker */
#define ROUNDS 6
#define IDS 4096
#define BUFFER 65536
#define FIELDS 32

static const char *const configs[] = {
    "version: 1\nlisten: [\"127.0.0.1:80\"]\nuse: [request_id]\nlimits: {max_body: 10MiB}\n"
    "upstreams: {u: {pool: {max_connections: 4, max_idle: 3}, endpoints: [\"http://127.0.0.1:9001\", "
    "\"http://127.0.0.1:9002\", \"http://127.0.0.1:9009\"]}}\n"
    "routes: [{match: /*, proxy: u}]\n",
    "version: 1\nlisten: [\"127.0.0.1:80\", \"127.0.0.1:81\"]\nlimits: {max_body: 10MiB}\n"
    "upstreams: {u: {pool: {min_idle: 1}, endpoints: [\"http://127.0.0.1:9002\"]}}\n"
    "routes: [{match: /*, proxy: u}]\n",
};

static struct {
    uint64_t seed;
    bool chaos, failed;
    struct gateway gateway;
    struct gw_options options;
    uint8_t posts[IDS]; /* how often origins have seen it */
    unsigned ids;
    struct rt_scope origins;
    int listeners[2];
} sim;

static uint64_t total_whole, total_refused, total_broken;

__attribute__((format(printf, 1, 2))) static void broken(const char *fmt, ...) {
    va_list args;
    if (!sim.failed)
        fprintf(stderr, "sim_proxy: seed %llu (WEIR_SEED=%llu replays it):\n", (unsigned long long)sim.seed,
                (unsigned long long)sim.seed);
    sim.failed = true;
    va_start(args, fmt);
    fputs("    ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
}

#define HOLDS(cond)                                                   \
    do {                                                              \
        if (!(cond))                                                  \
            broken("%s:%d: not true: %s", __FILE__, __LINE__, #cond); \
    } while (0)

static uint64_t draw(uint64_t n) {
    return b_rng_below(&rt_self()->rng, n);
}

/* In a bad world, once in n times. */
static bool mishap(uint64_t n) {
    return sim.chaos && draw(n) == 0;
}

static void pause_up_to(rt_time span) {
    (void)!rt_sleep_until(rt_after(rt_now(), (rt_time)draw((uint64_t)span)));
}

static struct rt_sockaddr address(uint16_t port) {
    static const uint8_t loopback[16] = {127, 0, 0, 1};
    struct rt_sockaddr a;
    net_ipv4(&a, loopback, port);
    return a;
}

/* --- bytes that follow from the request's number --- */

static size_t body_size(unsigned id, bool answer) {
    unsigned x = id * 2654435761u >> (answer ? 7 : 13);
    return x % 5 == 0 ? 0 : x % 5 == 1 ? x % 90000 : x % 700;
}

static char body_byte(unsigned id, bool answer, size_t at) {
    return (char)((id + at * 7 + (at >> 8) + answer) & 255);
}

/* --- one end of a connection --- */

struct talk {
    struct rt_stream stream;
    size_t len; /* received, not used yet */
    struct http_field fields[FIELDS];
    char in[BUFFER], out[4096];
};

/* More bytes: positive, 0 at the end, or an error. */
static ssize_t fill(struct talk *t) {
    ssize_t n = rt_receive(&t->stream, t->in + t->len, sizeof t->in - t->len, rt_after(rt_now(), 300 * RT_S));
    if (n > 0)
        t->len += (size_t)n;
    return n;
}

static void use(struct talk *t, size_t n) {
    t->len -= n;
    memmove(t->in, t->in + n, t->len);
}

static bool send_bytes(struct talk *t, const void *p, size_t n) {
    struct iovec iov = {(void *)(uintptr_t)p, n};
    return !n || rt_send(&t->stream, &iov, 1, rt_after(rt_now(), 300 * RT_S)) == (ssize_t)n;
}

static bool send_text(struct talk *t, const char *text) {
    return send_bytes(t, text, strlen(text));
}

/* The first n bytes of a body, in pieces, as chunks or plain; without the last chunk. */
static bool send_body(struct talk *t, unsigned id, bool answer, bool chunked, size_t n) {
    for (size_t at = 0, part; at < n; at += part) {
        char line[H1_CHUNK_HEAD_MAX];
        part = 1 + (size_t)draw(n - at < sizeof t->out ? n - at : sizeof t->out);
        for (size_t i = 0; i < part; i++)
            t->out[i] = body_byte(id, answer, at + i);
        if (chunked && !send_bytes(t, line, h1_chunk_head(line, part)))
            return false;
        if (!send_bytes(t, t->out, part) || (chunked && !send_text(t, "\r\n")))
            return false;
        if (draw(20) == 0)
            pause_up_to(10 * RT_MS);
    }
    return true;
}

static void check_bytes(unsigned id, bool answer, size_t at, const char *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (p[i] != body_byte(id, answer, at + i)) {
            broken("request %u: byte %zu of the %s is wrong", id, at + i, answer ? "answer" : "body");
            return;
        }
}

/* Reads and checks a body; `id` 0: only reads. True when it came to its end. */
static bool read_body(struct talk *t, enum http_body_kind kind, uint64_t left, unsigned id, bool answer,
                      size_t *size) {
    struct h1_chunked chunked;
    h1_chunked_init(&chunked, NULL, 1024);
    *size = 0;
    if (!http_body_expected(kind, left))
        return true;
    for (;;) {
        struct b_slice in = b_slice(t->in, t->len), data = in;
        int rc = H1_CHUNK_DATA;
        if (kind == HTTP_BODY_LENGTH && data.len > left)
            data.len = (size_t)left;
        if (kind == HTTP_BODY_CHUNKED)
            rc = h1_chunked_next(&chunked, &in, &data);
        else
            in = b_slice_from(in, data.len);
        if (rc < 0)
            return false;
        if (rc == H1_CHUNK_DATA) {
            if (id)
                check_bytes(id, answer, *size, data.ptr, data.len);
            *size += data.len;
            left -= kind == HTTP_BODY_LENGTH ? data.len : 0;
        }
        use(t, t->len - in.len);
        if (rc == H1_CHUNK_END || (kind == HTTP_BODY_LENGTH && left == 0))
            return true;
        if (t->len)
            continue;
        ssize_t n = fill(t);
        if (n <= 0)
            return n == 0 && kind == HTTP_BODY_UNTIL_CLOSE;
    }
}

/* --- origins --- */

static unsigned id_of(const struct http_fields *f) {
    uint64_t id = 0;
    struct http_field *x = http_fields_find_name(f, B_LIT("x-id"));
    return x && b_parse_u64(http_field_value(x), &id) && id < IDS ? (unsigned)id : 0;
}

/* True when the connection may go on. */
static bool origin_answer(struct talk *t, unsigned id, bool head) {
    static const char *const names[] = {"", "Content-Length", "Transfer-Encoding"};
    size_t n = body_size(id, true), some;
    unsigned kind = (unsigned)draw(3); /* 0: until the connection is closed, so that a part looks whole */
    bool last = kind == 0 || draw(6) == 0;
    some = kind && mishap(8) ? (size_t)draw(n + 1) : n;
    char text[256];
    if (mishap(20))
        (void)send_text(t, draw(2) ? "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"
                                   : "nonsense\r\n");
    if (mishap(12))
        return false;
    if (draw(8) == 0 && !send_text(t, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"))
        return false;
    int len =
        snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nX-Id: %u\r\n%s%s", id, names[kind], kind ? ": " : "");
    if (kind == 1)
        len += snprintf(text + len, sizeof text - (size_t)len, "%zu\r\n", n);
    else if (kind == 2)
        len += snprintf(text + len, sizeof text - (size_t)len, "chunked\r\n");
    (void)snprintf(text + len, sizeof text - (size_t)len, "%s\r\n", last ? "Connection: close\r\n" : "");
    if (!send_text(t, text))
        return false;
    if (head)
        return !last;
    if (!send_body(t, id, true, kind == 2, some) || some < n)
        return false;
    return (kind != 2 || send_text(t, "0\r\n\r\n")) && !last;
}

/* One request. True when another may follow. */
static bool origin_serve(struct talk *t, struct b_arena *arena) {
    struct http_request r;
    ssize_t n;
    size_t size;
    for (;;) {
        n = t->len
                ? h1_parse_request(b_slice(t->in, t->len), &http_limits_default, t->fields, FIELDS, arena, &r)
                : 0;
        if (n)
            break;
        if (fill(t) <= 0)
            return false;
    }
    if (n < 0) {
        broken("an origin is sent a bad head: %s", http_error_info((enum http_error) - n)->code);
        return false;
    }
    unsigned id = id_of(&r.fields);
    bool post = r.method == HTTP_METHOD_POST, head = r.method == HTTP_METHOD_HEAD;
    HOLDS(id != 0);
    HOLDS(!post || ++sim.posts[id] == 1);
    use(t, (size_t)n);
    if (draw(8) == 0 && !send_text(t, "HTTP/1.1 100 Continue\r\n\r\n"))
        return false;
    if (mishap(15) && http_body_expected(r.body, r.content_length)) { /* does not want the body */
        (void)origin_answer(t, id, head);
        return false;
    }
    if (!read_body(t, r.body, r.content_length, id, false, &size))
        return false;
    HOLDS(r.body == HTTP_BODY_NONE || size == body_size(id, false));
    if (draw(3) == 0)
        pause_up_to(50 * RT_MS);
    return origin_answer(t, id, head) && !mishap(10);
}

static void origin_fiber(void *arg) {
    struct talk *t = arg;
    struct b_arena arena;
    b_arena_init(&arena, B_TAG_TEST, NULL, NULL, 0, 1 << 20);
    while (origin_serve(t, &arena))
        continue;
    if (!sim.chaos) { /* polite: the peer reads to the end first */
        (void)rt_end(&t->stream, RT_END_WRITING);
        while (fill(t) > 0)
            t->len = 0;
    }
    rt_end(&t->stream, mishap(4) ? RT_END_RESET : RT_END_CLOSE);
    b_arena_release(&arena);
    free(t); /* lint: allow alloc: not among the calls that are made to fail */
}

static void origin_accept(void *arg) {
    struct rt_stream listener;
    HOLDS(rt_attach(&listener, *(int *)arg, true) == 0);
    for (;;) {
        int fd = rt_accept(&listener, NULL, RT_NEVER);
        if (fd == -ECANCELED)
            break;
        struct talk *t = fd >= 0 ? calloc(1, sizeof *t) : NULL; /* lint: allow alloc: as above */
        if (!t) {
            pause_up_to(10 * RT_MS);
            continue;
        }
        if (rt_attach(&t->stream, fd, false) != 0 ||
            rt_scope_spawn(&sim.origins, "origin", origin_fiber, t) != 0) {
            if (rt_is_attached(&t->stream))
                rt_end(&t->stream, RT_END_CLOSE);
            free(t); /* lint: allow alloc: as above */
        }
    }
    (void)rt_end(&listener, RT_END_DETACH);
}

/* --- clients --- */

static bool client_send(struct talk *t, unsigned id, const char *method, bool with_body, bool *last) {
    char text[256];
    size_t n = body_size(id, false);
    bool chunked = draw(2);
    *last = draw(5) == 0;
    int len = snprintf(text, sizeof text, "%s /%u HTTP/1.1\r\nHost: h\r\nX-Id: %u\r\n%s", method, id, id,
                       *last ? "Connection: close\r\n" : "");
    if (with_body && chunked)
        len += snprintf(text + len, sizeof text - (size_t)len, "Transfer-Encoding: chunked\r\n");
    else if (with_body)
        len += snprintf(text + len, sizeof text - (size_t)len, "Content-Length: %zu\r\n", n);
    (void)snprintf(text + len, sizeof text - (size_t)len, "\r\n");
    if (!send_text(t, text))
        return false;
    if (with_body && mishap(20))
        return send_body(t, id, false, chunked, (size_t)draw(n + 1)) && false; /* goes away half-way */
    return !with_body || (send_body(t, id, false, chunked, n) && (!chunked || send_text(t, "0\r\n\r\n")));
}

/* What came back. True when the connection may go on. */
static bool client_receive(struct talk *t, unsigned id, enum http_method method) {
    struct http_response r;
    enum http_error why;
    ssize_t n;
    size_t size;
    while ((n = t->len ? h1_parse_response(b_slice(t->in, t->len), &http_limits_default, t->fields, FIELDS,
                                           method, &r, &why)
                       : 0) == 0)
        if (fill(t) <= 0)
            return false;
    if (n < 0) {
        broken("a client is sent a bad head: %s", http_error_info(why)->code);
        return false;
    }
    HOLDS(r.status == 200 || (sim.chaos && r.status >= 408));
    HOLDS(r.status != 200 || id_of(&r.fields) == id);
    use(t, (size_t)n);
    if (!read_body(t, r.body, r.content_length, r.status == 200 ? id : 0, true, &size)) {
        total_broken++;
        HOLDS(sim.chaos);
        return false;
    }
    if (r.status == 200)
        HOLDS(method == HTTP_METHOD_HEAD || size == body_size(id, true));
    total_whole += r.status == 200;
    total_refused += r.status != 200;
    return r.keep_alive;
}

static bool client_ask(struct talk *t) {
    static const char *const methods[] = {"GET", "POST", "PUT", "HEAD"};
    static const enum http_method ids[] = {HTTP_METHOD_GET, HTTP_METHOD_POST, HTTP_METHOD_PUT,
                                           HTTP_METHOD_HEAD};
    unsigned which = (unsigned)draw(4), id = ++sim.ids;
    bool last = false;
    HOLDS(id < IDS);
    if (!client_send(t, id, methods[which], which == 1 || which == 2, &last)) {
        HOLDS(sim.chaos);
        return false;
    }
    if (mishap(20))
        return false; /* does not wait for the answer */
    bool on = client_receive(t, id, ids[which]);
    HOLDS(!(last && on));
    return on;
}

static void client_fiber(void *arg) {
    struct talk *t = calloc(1, sizeof *t); /* lint: allow alloc: as above */
    (void)arg;
    for (int i = 0; t && i < ROUNDS; i++) {
        struct rt_sockaddr at = address(80);
        t->len = 0;
        if (rt_connect(&t->stream, &at, rt_after(rt_now(), 60 * RT_S)) != 0) {
            HOLDS(sim.chaos);
            continue;
        }
        for (int n = 0; n < 5 && client_ask(t); n++)
            if (draw(3) == 0)
                pause_up_to(300 * RT_MS);
        rt_end(&t->stream, mishap(3) ? RT_END_RESET : RT_END_CLOSE);
    }
    free(t); /* lint: allow alloc: as above */
}

static void clients(void *arg) {
    struct rt_scope s;
    (void)arg;
    rt_scope_init(&s);
    for (int i = 0; i < CLIENTS; i++)
        HOLDS(rt_scope_spawn(&s, "client", client_fiber, NULL) == 0 || sim.chaos);
    HOLDS(rt_scope_wait(&s, RT_NEVER) == 0);
    rt_scope_leave(&s);
}

/* --- the run --- */

static void reloader(void *arg) {
    (void)arg;
    for (unsigned i = 1; i < 12; i++) {
        struct cfg_errors errors;
        pause_up_to(400 * RT_MS);
        if (sim.seed % 4 == 3 &&
            i > 2) /* the simulator's own tables, which must not fail, have grown by then */
            b_alloc_fail_at(1 + draw(300));
        cfg_errors_init(&errors);
        sim.options.config_text = b_slice_cstr(configs[i % 2]);
        int rc = gw_reload(&sim.gateway, &errors, NULL);
        HOLDS(rc == 0 || sim.chaos);
        cfg_errors_free(&errors);
    }
}

/* Every permit and every count has come back. */
static void check_upstream(void) {
    const struct gw_snapshot *s = atomic_load(&sim.gateway.snapshot);
    (void)!rt_sleep_until(rt_after(rt_now(), 10 * RT_S)); /* pools that are being warmed */
    struct up_upstream *u = up_get(sim.gateway.upstreams, cfg_upstream_find(s->root, B_LIT("u")));
    HOLDS(u != NULL);
    if (!u)
        return;
    HOLDS(atomic_load(&u->in_flight) == 0);
    HOLDS(atomic_load(&u->wanting) == 0);
    HOLDS(atomic_load(&u->connections.available) + atomic_load(&u->idle) == u->pool.max_connections);
    up_put(u);
}

static void director(void *arg) {
    struct cfg_errors errors;
    struct rt_scope s;
    (void)arg;
    cfg_errors_init(&errors);
    rt_scope_init(&s);
    rt_scope_init(&sim.origins);
    for (unsigned i = 0; i < 2; i++) {
        struct rt_sockaddr at = address((uint16_t)(9001 + i));
        HOLDS(rt_listen(&at, 4096, &sim.listeners[i]) == 0);
        HOLDS(rt_scope_spawn(&sim.origins, "origins", origin_accept, &sim.listeners[i]) == 0);
    }
    sim.options = (struct gw_options){.config_name = "sim", .config_text = b_slice_cstr(configs[0])};
    HOLDS(gw_start(&sim.gateway, &sim.options, &errors) == 0);
    HOLDS(rt_scope_spawn(&s, "reload", reloader, NULL) == 0 || sim.chaos);
    while (rt_on_all_workers("clients", clients, NULL) != 0)
        HOLDS(sim.chaos);
    rt_scope_leave(&s);
    b_alloc_fail_at(0);
    gw_drain(&sim.gateway, rt_after(rt_now(), 90 * RT_S));
    HOLDS(atomic_load(&sim.gateway.requests) == 0);
    HOLDS(atomic_load(&sim.gateway.connections) == 0);
    check_upstream();
    gw_quiet(&sim.gateway);
    rt_scope_leave(&sim.origins);
    for (unsigned i = 0; i < 2; i++)
        rt_close_handle(sim.listeners[i]);
    cfg_errors_free(&errors);
}

static bool run_seed(uint64_t seed) {
    struct rt_sim_result r;
    struct rt_sim_config c = {.seed = seed, .workers = 3, .result = &r, .delay_max = 2 * RT_MS};
    memset(&sim, 0, sizeof sim);
    sim.seed = seed;
    sim.chaos = seed % 2;
    c.buffer_bytes = 1000 + seed * 7919 % 60000;
    if (sim.chaos) {
        c.resets = 2;
        c.connect_fail = 20;
        c.accept_fail = 20;
    }
    HOLDS(rt_sim_run(&c, director, NULL) == 0);
    gw_stop(&sim.gateway);
    HOLDS(rt_fiber_count() == 0);
    HOLDS(r.handles == 0);
    HOLDS(b_alloc_stat(B_TAG_REQUESTS).bytes == 0);
    HOLDS(b_alloc_stat(B_TAG_CONNECTIONS).bytes == 0);
    HOLDS(b_alloc_stat(B_TAG_GATEWAY).bytes == 0);
    HOLDS(b_alloc_stat(B_TAG_UPSTREAM).bytes == 0);
    HOLDS(b_alloc_stat(B_TAG_CONFIG).bytes == 0);
    return !sim.failed;
}

static uint64_t number(const char *text) {
    char *end;
    unsigned long long n = strtoull(text ? text : "", &end, 10);
    if (!text || !*text || *end) {
        fprintf(stderr, "usage: sim_proxy [--seeds N] [--seed S]\n");
        exit(2);
    }
    return n;
}

int main(int argc, char **argv) {
    uint64_t seeds = getenv("WEIR_SEED") ? 1 : 20, first = rt_sim_seed(1), failed = 0;
    b_log_set_level(B_ERROR);
    for (int i = 1; i < argc; i += 2) {
        if (strcmp(argv[i], "--seeds") == 0)
            seeds = number(argv[i + 1]);
        else if (strcmp(argv[i], "--seed") == 0)
            first = number(argv[i + 1]);
        else
            number(NULL);
    }
    for (uint64_t i = 0; i < seeds && failed < 10; i++)
        failed += !run_seed(first + i);
    if (seeds >= 10 && (!total_whole || !total_refused || !total_broken)) {
        fprintf(stderr, "sim_proxy: nothing was tested: %llu whole, %llu refused, %llu broken\n",
                (unsigned long long)total_whole, (unsigned long long)total_refused,
                (unsigned long long)total_broken);
        failed++;
    }
    printf("sim_proxy: %llu seeds, %llu failed; %llu answers whole, %llu refused, %llu broken off\n",
           (unsigned long long)seeds, (unsigned long long)failed, (unsigned long long)total_whole,
           (unsigned long long)total_refused, (unsigned long long)total_broken);
    return failed != 0;
}
