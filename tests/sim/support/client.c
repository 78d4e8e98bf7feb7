#include "support/client.h"

#include <errno.h>
#include <string.h>

#include "support/rest.h"
#include "support/talk.h"
#include "support/world.h"

#define CONNECTIONS 6 /* of each client, one after the other */
#define BATCHES 5     /* on one connection */
#define ORDERS 6      /* requests in a row, without waiting for the answers */
#define INTERIM_MAX 10
#define HASTY_MAX 30000 /* weir reads on for so long after it has refused a tunnel, and more */
#define PATIENCE (300 * RT_S)

/* A request as it is to be sent. */
struct order {
    unsigned id;
    struct ask *ask;
    bool body, chunked, last, expect;
    bool bad_chunk;    /* in the middle of its body */
    bool part_of_head; /* it ends there */
    bool hasty;        /* sends what is for the tunnel before there is one (S24) */
    size_t bytes;      /* of its body that go out */
    rt_time head_pause, pause;
    const char *const *nonsense; /* sent in its place */
};

/* Requests that are sent in a row by one fiber while another one receives. */
struct batch {
    struct talk *talk;
    struct order orders[ORDERS];
    unsigned count;
    bool half_close; /* behind the last one */
    rt_time free;    /* when weir could turn to the one that is received next */
    rt_time over;    /* when the sender ended; 0: not yet */
};

/* Before the request's number, and behind it. */
static const char *const nonsense[][2] = {
    {"GET / HTTP/1.1\r\nHost: h\r\nX-Id: ",
     "\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
    {"GET / HTTP/1.1\r\nHost: h\r\nX-Id: ", "\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na"},
    {"GET / HTTP/1.1\r\nHost: h\r\nX-Id: ", "\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
    {"GET / HTTP/1.1\r\nHost: h\r\nX-Id : ", "\r\n\r\n"},
    {"GET / HTTP/1.1\nHost: h\nX-Id: ", "\n\n"},
    {"GET / HTTP/1.1\r\nHost: h\r\nX-Id: ", "\r\n folded\r\n\r\n"},
    {"GET  / HTTP/1.1\r\nHost: h\r\nX-Id: ", "\r\n\r\n"},
    {"GET / HTTP/1.1\r\nX-Id: ", "\r\n\r\n"},
    {"GET /%2e%2e/x HTTP/1.1\r\nHost: h\r\nX-Id: ", "\r\n\r\n"},
    {"POST / HTTP/1.1\r\nHost: h\r\nX-Id: ", "\r\nContent-Length: 999999999\r\n\r\nabc"},
    {"CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\nX-Id: ", "\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"},
    {"GET / HTTP/2.0\r\nHost: h\r\nX-Id: ", "\r\n\r\n"},
    {"\x16\x03\x01\x02\x01 ", "\r\n\r\n"},
};

static const char *const methods[] = {[HTTP_METHOD_GET] = "GET",
                                      [HTTP_METHOD_HEAD] = "HEAD",
                                      [HTTP_METHOD_POST] = "POST",
                                      [HTTP_METHOD_PUT] = "PUT"};

/* --- what is sent --- */

static void choose_mischief(struct order *o) {
    const struct weather *w = &world.weather;
    if (world_mishap(w->bad_clients, 14)) {
        o->nonsense = nonsense[sim_draw(sizeof nonsense / sizeof nonsense[0])];
        o->ask->unfit = o->ask->bad = true;
    } else if (world_mishap(w->bad_clients, 14)) { /* goes away half-way */
        o->part_of_head = !o->bytes || sim_draw(3) == 0;
        o->bytes = o->bytes ? (size_t)sim_draw(o->bytes) : 0;
        o->ask->vanishes = o->ask->bad = true;
    } else if (o->chunked && world_mishap(w->bad_clients, 8)) {
        o->bad_chunk = true;
        o->ask->vanishes = o->ask->bad = true;
    }
    if (world_mishap(w->slow_clients, 6))
        o->head_pause = 3 * w->header_timeout;
    if (world_mishap(w->slow_clients, 6))
        o->pause = 2 * w->stall;
    o->ask->bad |= o->head_pause || o->pause;
    if (!o->pause && sim_draw(2))
        o->pause = 10 * RT_MS;
}

static bool choose_order(struct order *o) {
    enum http_method method = (enum http_method[]){HTTP_METHOD_GET, HTTP_METHOD_GET, HTTP_METHOD_HEAD,
                                                   HTTP_METHOD_POST, HTTP_METHOD_PUT}[sim_draw(5)];
    *o = (struct order){0};
    o->ask = world_ask(method, &o->id);
    if (!o->ask)
        return false;
    o->ask->one_zero = sim_draw(8) == 0;
    o->last = sim_draw(6) == 0;
    o->body = method == HTTP_METHOD_POST || method == HTTP_METHOD_PUT;
    o->chunked = o->body && !o->ask->one_zero && sim_draw(2);
    if (method == HTTP_METHOD_GET && !o->ask->one_zero && sim_draw(8) == 0) {
        o->ask->upgrade = true;
        o->last = false;
        o->hasty = sim_draw(3) == 0 && talk_body_size(o->id, false) < HASTY_MAX;
    }
    o->expect = o->body && !o->ask->one_zero && sim_draw(5) == 0;
    o->bytes = o->body ? talk_body_size(o->id, false) : 0;
    choose_mischief(o);
    return true;
}

/* True when nothing may be sent behind it. */
static bool ends_batch(const struct order *o) {
    return o->last || o->ask->vanishes || o->ask->upgrade;
}

static bool send_head(struct talk *t, const struct order *o) {
    char text[512];
    int n = snprintf(text, sizeof text, "%s /%u HTTP/1.%d\r\nHost: h\r\nX-Id: %u\r\nX-Hop: 1\r\n",
                     methods[o->ask->method], o->id, !o->ask->one_zero, o->id);
    if (o->chunked)
        n += snprintf(text + n, sizeof text - (size_t)n, "Transfer-Encoding: chunked\r\n");
    else if (o->body)
        n += snprintf(text + n, sizeof text - (size_t)n, "Content-Length: %zu\r\n",
                      talk_body_size(o->id, false));
    n += snprintf(text + n, sizeof text - (size_t)n, "%s%sTE: trailers\r\nConnection: te, %s\r\n\r\n",
                  o->expect ? "Expect: 100-continue\r\n" : "", o->ask->upgrade ? "Upgrade: echo\r\n" : "",
                  o->ask->upgrade    ? "upgrade"
                  : o->last          ? "close, x-hop"
                  : o->ask->one_zero ? "keep-alive, x-hop"
                                     : "x-hop");
    size_t first = o->head_pause || o->part_of_head ? 1 + (size_t)sim_draw((uint64_t)n - 1) : (size_t)n;
    o->ask->began = rt_now();
    if (!talk_send(t, text, first))
        return false;
    if (o->part_of_head)
        return false;
    if (o->head_pause)
        sim_pause(o->head_pause);
    return talk_send(t, text + first, (size_t)n - first);
}

/* For a while, as clients do; then it sends without. */
static void await_invitation(const struct order *o) {
    for (int i = 0; i < 20 && !o->ask->invited; i++)
        sim_pause(10 * RT_MS);
}

/* Bytes of no protocol, which both ends know, and the end of them. */
static bool use_tunnel(struct talk *t, const struct order *o) {
    struct talk_sending s = {.id = o->id, .bytes = talk_body_size(o->id, false), .pause = o->pause};
    if (o->hasty && !talk_send_body(t, &s))
        return false;
    while (!o->ask->switched) {
        if (o->ask->answered || rt_cancelled())
            return false;
        sim_pause(20 * RT_MS);
    }
    return (o->hasty || talk_send_body(t, &s)) && rt_end(&t->stream, RT_END_WRITING) == 0;
}

static bool send_order(struct talk *t, const struct order *o) {
    sim_tell("client: request %u, %s, %zu bytes%s%s", o->id,
             o->nonsense ? "nonsense" : methods[o->ask->method], o->bytes, o->chunked ? ", chunked" : "",
             o->ask->bad ? ", bad" : "");
    static const char *const ends[] = {"0\r\n\r\n", "0\r\nX-Trailer: of a request\r\n\r\n",
                                       "0;x=\"y\"\r\n\r\n"};
    char text[512];
    if (o->nonsense) {
        int n = snprintf(text, sizeof text, "%s%u%s", o->nonsense[0], o->id, o->nonsense[1]);
        o->ask->began = rt_now();
        return talk_send(t, text, (size_t)n);
    }
    if (!send_head(t, o))
        return false;
    if (o->ask->upgrade && !o->ask->vanishes)
        return use_tunnel(t, o);
    if (o->expect)
        await_invitation(o);
    struct talk_sending s = {
        .id = o->id, .chunked = o->chunked, .bytes = o->bytes, .pause = o->pause, .paused = &o->ask->paused};
    if (o->body && !talk_send_body(t, &s))
        return false;
    if (o->bad_chunk)
        return talk_send_text(t, sim_draw(2) ? "-1\r\n" : "10000000000000000\r\n");
    if (o->ask->vanishes)
        return false;
    o->ask->sent = true;
    return !o->chunked || talk_send_text(t, ends[sim_draw(3)]);
}

static void sender(void *arg) {
    struct batch *b = arg;
    bool good = true;
    for (unsigned i = 0; i < b->count && good; i++)
        good = send_order(b->talk, &b->orders[i]);
    if (good && b->half_close)
        (void)rt_end(&b->talk->stream, RT_END_WRITING);
    b->over = rt_now();
}

/* --- what comes back --- */

/* When the answer to a request must have begun at the latest. The deadline stands still while a body comes, which may
 * stall, and while an origin takes it, which may stall too. */
static rt_time due(const struct batch *b, const struct ask *ask) {
    const struct weather *w = &world.weather;
    rt_time from = ask->began ? ask->began : b->over ? b->over : rt_now();
    rt_time body =
        ask->method == HTTP_METHOD_POST || ask->method == HTTP_METHOD_PUT ? w->stall + w->timeout : 0;
    if (from < b->free)
        from = b->free;
    if (from < ask->progress)
        from = ask->progress;
    return rt_after(from, w->crowded ? PATIENCE : w->deadline + body + world_slack());
}

/* 0 with a head that lies at the front of t->in and is *n bytes long, or -1: the connection is over. */
static int receive_head(struct batch *b, unsigned id, struct http_response *r, ssize_t *n) {
    struct talk *t = b->talk;
    struct ask *ask = &world.asks[id];
    unsigned interim = 0;
    for (;;) {
        enum http_error why = HTTP_OK;
        *n = t->len ? h1_parse_response(b_slice(t->in, t->len), &http_limits_default, t->fields, TALK_FIELDS,
                                        ask->method, r, &why)
                    : 0;
        if (*n < 0) {
            sim_broken("a client is sent a bad head for request %u: %s", id, http_error_info(why)->code);
            return -1;
        }
        if (*n > 0 && (r->status >= 200 || (r->status == 101 && ask->upgrade)))
            return 0;
        if (*n > 0) {
            ask->invited |= r->status == 100;
            if (++interim > INTERIM_MAX + 1 || ask->one_zero)
                sim_broken("request %u gets interim response number %u", id, interim);
            talk_use(t, (size_t)*n);
            continue;
        }
        rt_time until = due(b, ask);
        if (world.weather.slow_clients) /* it may pause meanwhile */
            until = rt_earlier(until, rt_after(rt_now(), world.weather.stall / 4));
        ssize_t got = talk_fill(t, until);
        if (got == -ETIMEDOUT && due(b, ask) > rt_now())
            continue;
        if (got == -ETIMEDOUT)
            sim_broken("request %u is neither answered nor hung up on by its deadline", id);
        if (got <= 0)
            return -1;
    }
}

static void check_head(const struct batch *b, const struct order *o, const struct http_response *r) {
    const struct weather *w = &world.weather;
    unsigned id = 0;
    if (rt_now() > due(b, o->ask))
        sim_broken("the answer to request %u comes after its deadline", o->id);
    struct ask *named = world_find(&r->fields, &id);
    if (named && (id != o->id || o->ask->unfit))
        sim_broken("request %u gets the answer to request %u", o->id, id);
    if (named && id == o->id && r->status != o->ask->status[0] && r->status != o->ask->status[1])
        sim_broken("request %u gets status %u, but its origin said %u", id, r->status, o->ask->status[0]);
    if (!named && (r->status < 400 || w->fair))
        sim_broken("request %u is answered by weir itself with %u", o->id, r->status);
    if (!named && r->status < 500 && !o->ask->bad)
        sim_broken("request %u, which is good, is refused with %u", o->id, r->status);
    if (named && o->ask->vanishes && !o->ask->early)
        sim_broken("request %u is answered, but was never sent whole", id);
    if (r->keep_alive && r->status != 101 && (o->last || o->ask->unfit || o->ask->upgrade))
        sim_broken("the connection is to go on behind request %u, answered with %u", o->id, r->status);
    if (!r->keep_alive && !o->last && !o->ask->upgrade && w->fair && !world.draining &&
        r->body != HTTP_BODY_UNTIL_CLOSE)
        sim_broken("the connection is to end behind request %u", o->id);
    o->ask->answered = true;
    totals.refused += !named;
}

/* A tunnel has ended well. Idle ones are ended, and a drain that does not wait ends all. */
static void check_tunnel(const struct order *o, size_t size) {
    const struct weather *w = &world.weather;
    bool cut = w->slow_origins || w->slow_clients || w->bad_origins || w->hurried_drain;
    if (!cut && size != talk_body_size(o->id, true))
        sim_broken("the tunnel of request %u ends after %zu bytes", o->id, size);
}

/* One answer. True when the connection may go on. */
static bool receive_answer(struct batch *b, const struct order *o) {
    const struct weather *w = &world.weather;
    struct talk *t = b->talk;
    struct http_response r;
    ssize_t n;
    if (receive_head(b, o->id, &r, &n) != 0) {
        bool expected = !w->fair || (world.draining && t->len == 0);
        if (!expected)
            sim_broken("request %u gets no answer; %zu bytes of a head have come", o->id, t->len);
        totals.broken_off++;
        return false;
    }
    sim_tell("client: request %u is answered with %u", o->id, r.status);
    check_head(b, o, &r);
    bool theirs = http_fields_find_name(&r.fields, B_LIT("x-id")) != NULL;
    struct talk_reading in = {.kind = r.body,
                              .left = r.content_length,
                              .id = theirs ? o->id : 0,
                              .answer = true};
    in.patience = w->stall + world_slack();
    if (r.status == 101) { /* all that comes now is the tunnel's */
        o->ask->switched = true;
        in.kind = HTTP_BODY_UNTIL_CLOSE;
        in.patience += w->idle_timeout;
        totals.tunnels++;
    }
    talk_use(t, (size_t)n);
    if (world_mishap(w->slow_clients, 8))
        sim_pause(2 * w->stall);
    enum talk_result got = talk_read_body(t, &in);
    b->free = rt_now();
    if (r.status == 101 && got == TALK_WHOLE)
        check_tunnel(o, in.size);
    sim_tell("client: request %u has got %zu bytes, end %d", o->id, in.size, got);
    if (got == TALK_MALFORMED)
        sim_broken("a client is sent a bad chunk, in the answer to request %u", o->id);
    if (got == TALK_SILENT)
        sim_broken("the answer to request %u stops half-way, and the connection does not end", o->id);
    if (got != TALK_WHOLE) {
        if (w->fair)
            sim_broken("the answer to request %u is broken off", o->id);
        totals.broken_off++;
        return false;
    }
    bool bodiless = o->ask->method == HTTP_METHOD_HEAD || r.status == 204 || r.status == 304;
    if (theirs && r.status != 101 && in.size != (bodiless ? 0 : talk_body_size(o->id, true)))
        sim_broken("the answer to request %u ends after %zu bytes", o->id, in.size);
    totals.whole += theirs;
    return r.keep_alive && r.status != 101;
}

/* Weir must end a connection on which nothing more is asked. */
static void await_end(struct talk *t, rt_time limit, bool answer_allowed) {
    const struct weather *w = &world.weather;
    rt_time until = rt_after(rt_now(), w->crowded ? PATIENCE : limit + world_slack());
    totals.loitered++;
    for (;;) {
        ssize_t n = talk_fill(t, until);
        if (n > 0 && !answer_allowed)
            sim_broken("a client is sent %zd bytes that it has not asked for", n);
        if (n == -ETIMEDOUT)
            sim_broken("a connection on which nothing happens is not closed");
        if (n <= 0)
            return;
        t->len = 0;
    }
}

/* True when the connection may go on. */
static bool run_batch(struct talk *t, bool leave) {
    struct batch b = {.talk = t, .half_close = leave && sim_draw(2)};
    struct rt_scope scope;
    unsigned want = sim_draw(4) ? 1 : 2 + (unsigned)sim_draw(ORDERS - 1);
    bool spoiled = false, on = true;
    for (; b.count < want && choose_order(&b.orders[b.count]); b.count++) {
        b.orders[b.count].ask->unfit |= spoiled; /* S26: nothing behind a bad request is looked at */
        spoiled |= b.orders[b.count].ask->unfit || b.orders[b.count].bad_chunk;
        if (ends_batch(&b.orders[b.count]) && !b.orders[b.count].bad_chunk)
            want = b.count + 1;
    }
    if (!b.count)
        return false;
    totals.pipelined += b.count > 1;
    rt_scope_init(&scope);
    if (rt_scope_spawn(&scope, "sender", sender, &b) != 0) {
        HOLDS(world.weather.short_memory);
        return false;
    }
    bool deserts = world_mishap(world.weather.bad_clients, 20); /* does not wait for its answers */
    deserts |= b.orders[b.count - 1].ask->vanishes && sim_draw(2);
    for (unsigned i = 0; i < b.count && on && !deserts; i++)
        on = receive_answer(&b, &b.orders[i]) && !b.orders[i].ask->bad;
    if (deserts)
        sim_pause(20 * RT_MS);
    if (on && !deserts && t->len)
        sim_broken("%zu bytes come behind the answer to request %u", t->len, b.orders[b.count - 1].id);
    if (b.orders[b.count - 1].ask->switched) /* its two ways end by themselves */
        (void)!rt_scope_wait(&scope, rt_after(rt_now(), PATIENCE));
    on = on && b.over && !deserts;
    rt_scope_leave(&scope);
    if (on && b.half_close)
        await_end(t, 2 * RT_S, false);
    return on && !b.half_close;
}

/* --- connections --- */

/* Says nothing, or a part of a head. */
static void loiter(struct talk *t) {
    bool some = sim_draw(2) && talk_send_text(t, "GET / HTTP/1.1\r\nHost: h\r\nX-Id: 0");
    world.parts += some;
    await_end(t, world.weather.header_timeout + RT_S, some);
}

static void run_connection(struct talk *t) {
    bool on = true;
    unsigned batches = 1 + (unsigned)sim_draw(BATCHES);
    t->len = 0;
    if (world_mishap(world.weather.slow_clients, 6)) {
        loiter(t);
        return;
    }
    for (unsigned i = 1; i <= batches && on; i++) {
        on = run_batch(t, i == batches);
        if (sim_draw(3) == 0)
            sim_pause(300 * RT_MS);
    }
    if (on && sim_draw(4) == 0)
        await_end(t, world.weather.idle_timeout, false);
}

static void client_fiber(void *arg) {
    struct talk *t = talk_new(PATIENCE);
    (void)arg;
    for (int i = 0; t && i < CONNECTIONS; i++) {
        struct rt_sockaddr at = sim_address(80);
        if (rt_connect(&t->stream, &at, rt_after(rt_now(), 60 * RT_S)) != 0) {
            HOLDS(!world.weather.fair || world.draining);
            sim_pause(100 * RT_MS);
            continue;
        }
        run_connection(t);
        rt_end(&t->stream, world_mishap(world.weather.bad_clients, 3) ? RT_END_RESET : RT_END_CLOSE);
    }
    talk_free(t);
}

void clients_run(void *arg) {
    struct rt_scope s;
    (void)arg;
    rt_scope_init(&s);
    for (unsigned i = 0; i < world.weather.clients; i++)
        HOLDS(rt_scope_spawn(&s, "client", client_fiber, NULL) == 0 || world.weather.short_memory);
    HOLDS(rt_scope_wait(&s, RT_NEVER) == 0);
    rt_scope_leave(&s);
}
