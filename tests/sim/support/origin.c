#include "support/origin.h"

#include <errno.h>
#include <string.h>

#include "support/talk.h"
#include "support/world.h"

#define PATIENCE (300 * RT_S) /* longer than weir may leave a connection alone */

struct origin {
    struct talk *talk;
    struct b_arena arena;
    rt_time spoiled; /* when bytes went out that belong to no answer; 0: none have */
};

/* What an origin does about a request, drawn for each. */
struct deed {
    unsigned id;
    struct ask *ask;
    enum { UNTIL_CLOSE, LENGTH, CHUNKED } framing;
    uint16_t status;
    bool head;   /* no body follows, whatever the head says */
    bool last;   /* Connection: close */
    size_t some; /* bytes of the body that go out */
    bool bad_chunk, too_much, stall;
    struct talk *talk; /* of a tunnel */
};

static const char *const nonsense[] = {
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "HTTP/1.1 200 OK\r\nX-Folded: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "HTTP/3.7 200 OK\r\n\r\n",
    "HTTP/1.1 99999 OK\r\n\r\n",
    "nonsense\r\n",
    "\r\n\r\n",
};

static bool send_interim(struct talk *t) {
    unsigned n = world_mishap(world.weather.bad_origins, 8) ? 8 + (unsigned)sim_draw(40) : sim_draw(6) == 0;
    for (; n; n--)
        if (!talk_send_text(t, sim_draw(2) ? "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
                                           : "HTTP/1.1 100 Continue\r\n\r\n"))
            return false;
    return true;
}

static void say_status(struct ask *ask, uint16_t status) {
    ask->status[1] = ask->status[0];
    ask->status[0] = status;
}

static void choose_deed(struct deed *d, const struct http_request *r) {
    const struct weather *w = &world.weather;
    static const uint16_t statuses[] = {200, 200, 200, 200, 200, 404, 500, 201, 204, 304};
    size_t size = talk_body_size(d->id, true);
    d->framing = sim_draw(3);
    d->status = statuses[sim_draw(sizeof statuses / sizeof statuses[0])];
    if (d->status == 304 && !http_method_safe(r->method))
        d->status = 200;
    d->head = r->method == HTTP_METHOD_HEAD || d->status == 204 || d->status == 304;
    if (d->status == 204 || (d->head && d->framing == UNTIL_CLOSE))
        d->framing = LENGTH;
    d->last = d->framing == UNTIL_CLOSE || sim_draw(6) == 0;
    d->some = size;
    if (d->framing != UNTIL_CLOSE &&
        !d->head) { /* a part of what ends with the connection would look whole */
        if (world_mishap(w->bad_origins, 8))
            d->some = (size_t)sim_draw(size + 1);
        d->bad_chunk = d->framing == CHUNKED && world_mishap(w->bad_origins, 12);
        d->too_much = world_mishap(w->bad_origins, 10);
    }
    d->stall = world_mishap(w->slow_origins, 8);
    say_status(d->ask, d->status);
    sim_tell("origin: answers request %u with %u, %zu of %zu bytes, framing %d%s%s%s%s", d->id, d->status,
             d->some, size, d->framing, d->last ? ", last" : "", d->too_much ? ", too much" : "",
             d->bad_chunk ? ", bad chunk" : "", d->stall ? ", stalls" : "");
}

static int write_head(const struct deed *d, char *text, size_t room) {
    size_t size = talk_body_size(d->id, true);
    int len =
        snprintf(text, room, "HTTP/1.1 %u OK\r\nX-Id: %u\r\nKeep-Alive: timeout=5\r\n", d->status, d->id);
    if (d->framing == CHUNKED)
        len += snprintf(text + len, room - (size_t)len, "Transfer-Encoding: chunked\r\n");
    else if (d->framing == LENGTH && d->status != 204)
        len += snprintf(text + len, room - (size_t)len, "Content-Length: %zu\r\n", size);
    return len + snprintf(text + len, room - (size_t)len, "%s\r\n", d->last ? "Connection: close\r\n" : "");
}

/* True when the connection may go on. */
static bool answer_body(struct origin *o, const struct deed *d) {
    static const char *const ends[] = {"0\r\n\r\n", "0\r\nX-Trailer: of an answer\r\n\r\n", "0;end\r\n\r\n"};
    const char *end = d->framing == CHUNKED ? ends[sim_draw(3)] : "";
    size_t size = talk_body_size(d->id, true);
    struct talk_sending s = {.id = d->id, .answer = true, .chunked = d->framing == CHUNKED, .bytes = d->some};
    s.pause = sim_draw(2) ? 10 * RT_MS : 0;
    if (!talk_send_body(o->talk, &s))
        return false;
    if (d->stall)
        sim_pause(3 * world.weather.stall);
    if (d->bad_chunk)
        return talk_send_text(o->talk, "7fffffffffffffffff\r\nabc") && false;
    if (d->some < size)
        return false;
    if (!d->too_much)
        return talk_send_text(o->talk, end) && !d->last;
    char text[64];
    int n = snprintf(text, sizeof text, "%sPOISON HTTP/1.1 200 OK\r\n\r\n", end);
    o->spoiled = rt_now();
    return talk_send(o->talk, text, (size_t)n) && !d->last;
}

static bool answer(struct origin *o, const struct http_request *r, struct deed *d) {
    const struct weather *w = &world.weather;
    char text[256];
    if (world_mishap(w->bad_origins, 14))
        return talk_send_text(o->talk, nonsense[sim_draw(sizeof nonsense / sizeof nonsense[0])]) && false;
    if (world_mishap(w->bad_origins, 12) || !send_interim(o->talk))
        return false;
    choose_deed(d, r);
    if (world_mishap(w->slow_origins, 8))
        sim_pause(2 * w->deadline);
    int n = write_head(d, text, sizeof text);
    if (world_mishap(w->slow_origins, 20)) { /* stalls inside the head */
        if (!talk_send(o->talk, text, (size_t)n / 2))
            return false;
        sim_pause(2 * w->deadline);
        return talk_send(o->talk, text + n / 2, (size_t)(n - n / 2)) && answer_body(o, d);
    }
    if (!talk_send(o->talk, text, (size_t)n))
        return false;
    return d->head ? !d->last : answer_body(o, d);
}

/* 0 when the peer has closed. */
static ssize_t read_head(struct origin *o, struct http_request *r) {
    struct talk *t = o->talk;
    for (;;) {
        ssize_t n = t->len ? h1_parse_request(b_slice(t->in, t->len), &http_limits_default, t->fields,
                                              TALK_FIELDS, &o->arena, r)
                           : 0;
        if (n)
            return n;
        n = talk_fill(t, rt_after(rt_now(), t->patience));
        if (n == -ETIMEDOUT)
            sim_broken("weir leaves a connection to an origin open, with %zu bytes of a head", t->len);
        if (n <= 0)
            return 0;
    }
}

/* What must be true of a head that arrives. */
static void check_head(const struct origin *o, struct ask *ask, unsigned id) {
    ask->seen++;
    if (ask->unfit)
        sim_broken("request %u reaches an origin, but must not", id);
    if (ask->seen > (http_method_idempotent(ask->method) && !world.weather.fair ? 2 : 1))
        sim_broken("request %u, with method %u, reaches origins %u times", id, ask->method, ask->seen);
    totals.retried += ask->seen > 1;
    /* by then weir had what was too much before it took the connection again */
    if (o->spoiled && rt_now() > o->spoiled + 4 * world.weather.delay_max + 200 * RT_MS)
        sim_broken("request %u comes on a connection that carried bytes of no answer", id);
}

static bool take_body(struct origin *o, const struct http_request *r, const struct deed *d) {
    struct talk_reading in = {.kind = r->body, .left = r->content_length, .id = d->id, .patience = PATIENCE};
    in.progress = &d->ask->progress;
    enum talk_result got = talk_read_body(o->talk, &in);
    if (got == TALK_MALFORMED)
        sim_broken("an origin is sent a bad chunk, in the body of request %u", d->id);
    if (got == TALK_SILENT)
        sim_broken("an origin waits in vain for the body of request %u", d->id);
    if (got != TALK_WHOLE)
        return false;
    if (d->ask->vanishes)
        sim_broken("request %u arrives whole, but its client sent a part of it", d->id);
    if (r->body != HTTP_BODY_NONE && in.size != talk_body_size(d->id, false))
        sim_broken("the body of request %u arrives with %zu bytes", d->id, in.size);
    return true;
}

static void tunnel_fiber(void *arg) {
    struct deed *d = arg;
    struct talk_sending s = {.id = d->id, .answer = true, .bytes = talk_body_size(d->id, true)};
    s.pause = sim_draw(2) ? 10 * RT_MS : 0;
    if (world_mishap(world.weather.bad_origins, 6))
        s.bytes = (size_t)sim_draw(s.bytes + 1);
    if (talk_send_body(d->talk, &s))
        (void)rt_end(&d->talk->stream, RT_END_WRITING);
}

/* Switches protocols: bytes both ways, whose ends are independent of each other. */
static bool serve_tunnel(struct origin *o, struct deed *d) {
    static const char head[] = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n";
    const struct weather *w = &world.weather;
    struct talk_reading in = {.kind = HTTP_BODY_UNTIL_CLOSE, .id = d->id, .patience = PATIENCE};
    struct rt_scope scope;
    char text[256];
    d->talk = o->talk;
    say_status(d->ask, 101);
    int n = snprintf(text, sizeof text, "%sX-Id: %u\r\n\r\n", head, d->id);
    if (!talk_send(o->talk, text, (size_t)n))
        return false;
    rt_scope_init(&scope);
    if (rt_scope_spawn(&scope, "tunnel", tunnel_fiber, d) != 0)
        return false;
    if (world_mishap(w->slow_origins, 4))
        sim_pause(2 * w->stall);
    enum talk_result got = talk_read_body(o->talk, &in);
    if (got == TALK_SILENT)
        sim_broken("the tunnel of request %u is left open", d->id);
    /* the weather in which a tunnel is ended for its silence, or for haste; one that never began for its client ends, too */
    bool cut = !d->ask->switched || w->slow_origins || w->slow_clients || w->bad_clients || w->hurried_drain;
    if (got == TALK_WHOLE && !cut && in.size != talk_body_size(d->id, false))
        sim_broken("the tunnel of request %u brings %zu bytes", d->id, in.size);
    if (got == TALK_WHOLE)
        (void)!rt_scope_wait(&scope, rt_after(rt_now(), PATIENCE));
    rt_scope_leave(&scope);
    return false;
}

/* One request. True when another may follow. */
static bool serve(struct origin *o) {
    const struct weather *w = &world.weather;
    struct http_request r;
    struct deed d = {0};
    ssize_t n = read_head(o, &r);
    if (n <= 0) {
        if (n < 0)
            sim_broken("an origin is sent a bad head: %s", http_error_info((enum http_error) - n)->code);
        return false;
    }
    d.ask = world_find(&r.fields, &d.id);
    if (!d.ask) {
        sim_broken("an origin is sent a request that nobody has made: %.*s", B_FMT(r.target));
        return false;
    }
    sim_tell("origin: request %u", d.id);
    check_head(o, d.ask, d.id);
    talk_use(o->talk, (size_t)n);
    if (d.ask->upgrade && o->talk->len)
        sim_broken("%zu bytes for a tunnel come before there is one, with request %u", o->talk->len, d.id);
    if (d.ask->upgrade && sim_draw(4))
        return serve_tunnel(o, &d);
    if (sim_draw(8) == 0 && !talk_send_text(o->talk, "HTTP/1.1 100 Continue\r\n\r\n"))
        return false;
    if (http_body_expected(r.body, r.content_length) && world_mishap(w->bad_origins, 12)) {
        d.ask->early = true;
        totals.early++;
        return answer(o, &r, &d) && sim_draw(2) && take_body(o, &r, &d);
    }
    if (!take_body(o, &r, &d))
        return false;
    if (sim_draw(3) == 0)
        sim_pause(50 * RT_MS);
    return answer(o, &r, &d) && !world_mishap(w->bad_origins, 10);
}

static void origin_fiber(void *arg) {
    struct origin o = {.talk = arg};
    b_arena_init(&o.arena, B_TAG_TEST, NULL, NULL, 0, 1 << 20);
    while (serve(&o))
        continue;
    if (!world.weather.bad_origins) { /* polite: the peer reads to the end first */
        (void)rt_end(&o.talk->stream, RT_END_WRITING);
        while (talk_fill(o.talk, rt_after(rt_now(), PATIENCE)) > 0)
            o.talk->len = 0;
    }
    rt_end(&o.talk->stream, world_mishap(world.weather.bad_origins, 4) ? RT_END_RESET : RT_END_CLOSE);
    b_arena_release(&o.arena);
    talk_free(o.talk);
}

void origins_start(void) {
    world.origins.serve = origin_fiber;
    world.origins.patience = PATIENCE;
    sim_servers_start(&world.origins, WORLD_ORIGINS);
}

void origins_stop(void) {
    sim_servers_stop(&world.origins);
}
