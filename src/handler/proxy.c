/* The proxy handler: sends the request on to an upstream and its response back, both bodies as they come. */
#include <errno.h>

#include "base/number.h"
#include "gateway/conn.h"
#include "gateway/module.h"
#include "gateway/tunnel.h"
#include "handler/hash_on_common.h"
#include "handler/proxy_path.h"
#include "handler/proxy_trailers.h"
#include "handler/proxy_transform.h"
#include "handler/proxy_upgrade.h"
#include "runtime/worker.h"
#include "upstream/attempt.h"

struct proxy_conf {
    struct cfg_head head;
    struct cfg_upstream_ref upstream;
    struct hd_path_conf path;
    struct cfg_list upgrade, trailers; /* struct cfg_text */
    struct hd_transform_conf transform;
};

struct proxy_state {
    struct up_upstream *upstream;
    struct hd_path *path;           /* NULL: it goes on as it came */
    struct hd_transform *transform; /* NULL: none */
    struct b_slice name;
    const struct proxy_conf *conf;
    struct cfg_hash_on hash_on;
    bool hashed;
};

static const struct cfg_option options[] = {
    {.name = "upstream",
     .type = CFG_UPSTREAM_REF,
     CFG_AT(struct proxy_conf, upstream),
     .flags = CFG_REQUIRED,
     .example = "orders",
     .help = "where requests are sent: a name under `upstreams`"},
    {.name = "strip_prefix",
     .type = CFG_STRING,
     CFG_AT(struct proxy_conf, path.strip_prefix),
     .min = 1,
     .max = 1024,
     .example = "/api",
     .help = "what is taken off the front of the path before it is sent; only whole segments are"},
    {.name = "rewrite",
     .type = CFG_OBJECTS,
     CFG_AT(struct proxy_conf, path.rewrite),
     .flags = CFG_ONE,
     .table = &hd_rewrite_table,
     .max = 32,
     .example = "{regex: \"^/dir(.*)\", to: \"/$1\"}",
     .help = "changes of the path, after strip_prefix: the first one that matches; one needs no list"},
    {.name = "add_prefix",
     .type = CFG_STRING,
     CFG_AT(struct proxy_conf, path.add_prefix),
     .min = 1,
     .max = 1024,
     .example = "/v2",
     .help = "what is put in front of the path, last of all"},
    {.name = "query",
     .type = CFG_OBJECT,
     CFG_AT(struct proxy_conf, path.query),
     .table = &hd_query_table,
     .help = "changes of the query's parameters"},
    {.name = "host",
     .type = CFG_STRING,
     CFG_AT(struct proxy_conf, path.host),
     .min = 1,
     .max = 255,
     .example = "orders.internal",
     .help =
         "the Host that the upstream gets: a name, or `endpoint` for that of the endpoint; the client's when left out"},
    {.name = "upgrade",
     .type = CFG_STRINGS,
     CFG_AT(struct proxy_conf, upgrade),
     .max = 8,
     .example = "[websocket]",
     .help =
         "other protocols that client and upstream may switch to; an Upgrade that names none of them is taken out"},
    {.name = "trailers",
     .type = CFG_STRINGS,
     CFG_AT(struct proxy_conf, trailers),
     .max = HD_TRAILERS_MAX,
     .example = "[x-checksum]",
     .help =
         "fields that may stand behind a chunked body, both ways; others are dropped. A client gets them when it "
         "sends `TE: trailers`"},
    {.name = "transform",
     .type = CFG_OBJECT,
     CFG_AT(struct proxy_conf, transform),
     .flags = CFG_OPTIONAL,
     .table = &hd_transform_table,
     .help =
         "templates for the JSON of requests and answers, which then have to be there whole before they go on"},
    {0},
};

static int check(struct cfg_errors *errors, const struct cfg_node *node, void *conf) {
    struct proxy_conf *c = conf;
    int rc = hd_path_check(errors, node, &c->path);
    rc = hd_proxy_upgrade_check(errors, &c->upgrade) ? -EINVAL : rc;
    return hd_trailers_check(errors, &c->trailers) ? -EINVAL : rc;
}

static const struct cfg_table table = {.name = "a proxy",
                                       .summary = "Where a proxy route sends its requests",
                                       .options = options,
                                       .size = sizeof(struct proxy_conf),
                                       .check = check,
                                       .shorthand = "upstream"};

static int open(const struct gw_open *o, const struct cfg_route *route, const void *conf, void **state) {
    const struct proxy_conf *c = conf;
    struct proxy_state *s = b_arena_zalloc(o->arena, sizeof *s);
    if (!s)
        return cfg_error_memory(o->errors);
    s->upstream = up_get(o->gateway->upstreams, c->upstream.upstream);
    if (!s->upstream)
        return cfg_error_memory(o->errors);
    s->name = c->upstream.name;
    s->hashed = s->upstream->conf.hash_on.ptr && !cfg_parse_hash_on(s->upstream->conf.hash_on, &s->hash_on);
    s->conf = c;
    if (hd_path_open(o, &c->path, &s->path)) {
        up_put(s->upstream);
        return -EINVAL;
    }
    if (hd_transform_open(o, route, &c->transform, &s->transform)) {
        hd_path_free(s->path);
        up_put(s->upstream);
        return -EINVAL;
    }
    *state = s;
    return 0;
}

static void close_state(void *state) {
    struct proxy_state *s = state;
    hd_path_free(s->path);
    up_put(s->upstream);
}

static unsigned calls(const void *conf, const struct cfg_upstream *u) {
    const struct proxy_conf *c = conf;
    return !u || c->upstream.upstream == u;
}

/* --- the request on its way out --- */

/* What a client says about where it comes from. */
static const uint64_t claims =
    HTTP_ID_BIT(HTTP_FIELD_X_FORWARDED_FOR) | HTTP_ID_BIT(HTTP_FIELD_X_FORWARDED_HOST) |
    HTTP_ID_BIT(HTTP_FIELD_X_FORWARDED_PROTO) | HTTP_ID_BIT(HTTP_FIELD_X_FORWARDED_PORT) |
    HTTP_ID_BIT(HTTP_FIELD_X_FORWARDED_ANY) | HTTP_ID_BIT(HTTP_FIELD_FORWARDED) |
    HTTP_ID_BIT(HTTP_FIELD_X_REAL_IP);

/* The peer's address, behind those that a trusted proxy has told: it may have added a line of its own below the client's, so
 * all of them count, in their order. */
static struct b_slice forwarded_for(struct exchange *ex, struct http_fields *f, char ip[NET_PEER_TEXT]) {
    struct b_slice peer = b_slice(ip, net_peer_format_ip(gw_peer(ex), ip));
    if (!http_fields_find(f, HTTP_FIELD_X_FORWARDED_FOR))
        return peer;
    size_t room = peer.len;
    for (struct http_field *x = NULL; (x = http_fields_next(f, HTTP_FIELD_X_FORWARDED_FOR, x));)
        room += x->value_len + 2u;
    struct b_text all = b_text_fixed(b_arena_alloc(&ex->call.arena, room), room);
    for (struct http_field *x = NULL; all.ptr && (x = http_fields_next(f, HTTP_FIELD_X_FORWARDED_FOR, x));) {
        b_text_slice_add(&all, http_field_value(x));
        if (x->value_len)
            b_text_lit(&all, ", ");
    }
    b_text_slice_add(&all, peer);
    http_fields_remove(f, HTTP_FIELD_X_FORWARDED_FOR);
    return b_text_slice(&all);
}

/* The client's own words about where it comes from count only when it is a trusted proxy (P06). */
static int forwarded(struct exchange *ex, struct http_request *r) {
    struct http_fields *f = &r->fields;
    struct http_lines lines;
    char ip[NET_PEER_TEXT];
    if (!gw_peer_trusted(ex))
        http_fields_remove_set(f, claims);
    struct b_slice from = forwarded_for(ex, f, ip);
    if (!from.ptr || http_lines_begin(&lines, &ex->call.arena, f, 4,
                                      from.len + r->authority.len + sizeof "https" + sizeof "1.1 weir"))
        return -HTTP_E_OUT_OF_MEMORY;
    int rc = http_lines_add(&lines, HTTP_FIELD_X_FORWARDED_FOR, from);
    if (rc == 0 && !http_fields_find(f, HTTP_FIELD_X_FORWARDED_PROTO))
        rc = r->https ? http_lines_fixed(&lines, HTTP_FIELD_X_FORWARDED_PROTO, "x-forwarded-proto", "https")
                      : http_lines_fixed(&lines, HTTP_FIELD_X_FORWARDED_PROTO, "x-forwarded-proto", "http");
    if (rc == 0 && r->authority.len && !http_fields_find(f, HTTP_FIELD_X_FORWARDED_HOST))
        rc = http_lines_add(&lines, HTTP_FIELD_X_FORWARDED_HOST, r->authority);
    if (rc == 0) /* RFC 9110 section 7.6.3; on responses it would only tell clients what stands here */
        rc = r->minor ? http_lines_fixed(&lines, HTTP_FIELD_VIA, "via", "1.1 weir")
                      : http_lines_fixed(&lines, HTTP_FIELD_VIA, "via", "1.0 weir");
    return rc ? -HTTP_E_OUT_OF_MEMORY : 0;
}

#define FORWARDS_MAX 1000000000

/* A value of Max-Forwards, FORWARDS_MAX if it is larger; -1 when it is no number. */
static int64_t forwards_of(struct b_slice text) {
    int64_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (!b_is_digit(text.ptr[i]))
            return -1;
        n = n * 10 + (text.ptr[i] - '0');
        n = n < FORWARDS_MAX ? n : FORWARDS_MAX;
    }
    return text.len ? n : -1;
}

/* RFC 9110 section 7.6.2: Max-Forwards of TRACE and OPTIONS goes down by one. At 0 the request ends here: OPTIONS is
 * answered for the route, and TRACE refused, since reflecting a request shows its secrets. 1 when it is answered. */
static __attribute__((noinline)) int count_forwards(struct exchange *ex) {
    struct b_arena *a = &ex->call.arena;
    struct b_slice value = http_fields_value(&ex->req.fields, HTTP_FIELD_MAX_FORWARDS);
    if (!value.ptr)
        return 0;
    int64_t n = forwards_of(value);
    if (n < 0)
        return -HTTP_E_BAD_MAX_FORWARDS;
    if (n == 0) {
        ex->allow = gw_route_allow(ex->route, a);
        if (ex->req.method == HTTP_METHOD_TRACE)
            return -HTTP_E_METHOD_NOT_ALLOWED;
        int rc = gw_response(ex, 204, 1);
        if (rc == 0 && http_fields_add_id(a, &ex->res.fields, HTTP_FIELD_ALLOW, ex->allow) != 0)
            rc = -HTTP_E_OUT_OF_MEMORY;
        rc = rc ? rc : gw_answer(ex, b_slice(NULL, 0));
        return rc ? rc : 1;
    }
    char *text = b_arena_alloc(a, B_U64_TEXT);
    if (!text || http_fields_set_id(a, &ex->req.fields, HTTP_FIELD_MAX_FORWARDS,
                                    b_slice(text, b_format_u64(text, (uint64_t)n - 1))) != 0)
        return -HTTP_E_OUT_OF_MEMORY;
    return 0;
}

/* What the callbacks of the upstream side need. */
struct carried {
    struct exchange *ex;
    struct hd_trailers *trailers;         /* NULL: the route lets none through */
    struct hd_transforming *transforming; /* NULL: the route transforms nothing */
};

static __attribute__((noinline)) int prepare(const struct carried *c, const struct proxy_state *s,
                                             struct http_request *out) {
    struct exchange *ex = c->ex;
    *out = ex->req; /* the list of fields is shared: nobody else needs it from here on */
    http_fields_strip_hop(&out->fields);
    /* weir invites the body itself (S23), and says what is left of its own deadline */
    http_fields_remove_set(&out->fields,
                           HTTP_ID_BIT(HTTP_FIELD_EXPECT) | HTTP_ID_BIT(HTTP_FIELD_X_REQUEST_DEADLINE));
    int rc = forwarded(ex, out); /* with the Host that the client asked for */
    if (rc == 0 && s->path)
        rc = hd_path_apply(ex, s->path, out);
    if (rc == 0 && c->trailers)
        rc = hd_trailers_announce(ex, &out->fields, c->trailers->announced);
    ex->req.fields = out->fields;
    return rc;
}

static int read_body(void *arg, struct b_slice *piece) {
    const struct carried *c = arg;
    int rc = gw_read_body(c->ex, piece);
    return rc == 0 && c->trailers && c->ex->req.body == HTTP_BODY_CHUNKED
               ? hd_trailers_of_request(c->ex, c->trailers)
               : rc;
}

static int wait_body(void *arg, struct rt_stream *other) {
    return gw_wait_body(((const struct carried *)arg)->ex, other);
}

static int pass_interim(void *arg, const struct http_response *res) {
    return gw_interim(((const struct carried *)arg)->ex, res);
}

/* --- the response on its way back --- */

/* With trailers that go on, a Trailer field does, too. */
static int take_off_hop(struct exchange *ex, struct up_exchange *x, struct hd_trailers *trailers) {
    struct b_slice announced = {0};
    if (trailers) {
        announced = hd_trailers_announced(ex, trailers, &ex->res.fields);
        x->chunked.trailers = &trailers->response;
    }
    http_fields_strip_hop(&ex->res.fields);
    return hd_trailers_announce(ex, &ex->res.fields, announced);
}

static int take_trailers(struct exchange *ex, struct up_exchange *x, struct hd_trailers *trailers) {
    int rc = hd_trailers_of_response(trailers);
    if (rc)
        return up_bad_response(x, (enum http_error) - rc);
    ex->trailers = &trailers->back;
    return 0;
}

/* What is left of a large body, passed on inside the kernel; 0 also when that is not possible (any more). */
static __attribute__((noinline)) int relay_inside(struct exchange *ex, struct up_exchange *x, rt_time stall) {
    struct rt_pipe *pipe = NULL;
    int rc = 0;
    while (rc == 0 && up_body_is_large(x) && (pipe || (pipe = rt_pipe_take()))) {
        ssize_t n = up_fill(x, pipe, rt_after(rt_now(), stall));
        rc = n < 0 ? (int)n : gw_send_pipe(ex, pipe, (size_t)n, x->done);
    }
    if (pipe)
        rt_pipe_give(pipe);
    return rc;
}

/* Not inlined: its locals would lie on the fiber's stack while the response is waited for. */
static __attribute__((noinline)) int relay(struct exchange *ex, struct up_exchange *x,
                                           struct hd_trailers *trailers) {
    struct b_slice *pieces = gw_worker()->pieces;
    rt_time stall = ex->snapshot->root->limits.body_timeout; /* the upstream's timeout ends with the head */
    ex->res = x->res;
    bool trailing = trailers && trailers->wanted && x->res.body == HTTP_BODY_CHUNKED;
    int n = take_off_hop(ex, x, trailing ? trailers : NULL);
    n = n ? n : up_read_ready(x, pieces);
    for (int rc;;) {
        if (n == -EAGAIN)
            n = 0;
        if (n <
            0) { /* the head may be out: then only cutting the connection tells that the body is not whole */
            x->why = x->why ? x->why : "the body ended early";
            return n;
        }
        if (x->done && trailing && (rc = take_trailers(ex, x, trailers)) != 0)
            return rc;
        rc = gw_send(ex, pieces, (unsigned)n, x->done);
        if (rc || x->done)
            return rc;
        n = up_body_is_large(x) ? relay_inside(ex, x, stall) : 0;
        if (n == 0 && x->done)
            return 0;
        if (n == 0)
            n = up_read(x, pieces, rt_after(rt_now(), stall));
    }
}

static int explain(struct exchange *ex, const struct proxy_state *s, const struct up_exchange *x, int rc) {
    enum http_error error = (enum http_error) - rc;
    const struct http_error_info *info = http_error_info(error);
    const char *endpoint = x->endpoint ? x->endpoint->text : "none";
    ex->phase = x->phase;
    ex->retry_after = x->retry_after;
    if (info->side == HTTP_SIDE_CLIENT || error == HTTP_E_TEMPLATE_FAILED ||
        error == HTTP_E_UPSTREAM_BAD_JSON)
        return rc; /* the detail is there */
    if (error == HTTP_E_DEADLINE_EXCEEDED || error == HTTP_E_UPSTREAM_TIMEOUT)
        return gw_error(ex, error, "upstream %.*s, endpoint %s: time ran out in the phase: %s",
                        B_FMT(s->name), endpoint, x->phase);
    return gw_error(ex, error, "upstream %.*s, endpoint %s: %s", B_FMT(s->name), endpoint,
                    x->why ? x->why : info->title);
}

static int carry(struct carried *c, const struct proxy_state *s) {
    struct exchange *ex = c->ex;
    struct up_client client = {.upgrade = hd_proxy_upgrade(ex, &s->conf->upgrade),
                               .has_body = gw_body_pending(ex),
                               .on_demand = gw_body_on_demand(ex),
                               .hash = s->hashed ? hd_hash_on(ex, &s->hash_on) : 0,
                               .deadline_moves = !ex->deadline_told,
                               .read = read_body,
                               .wait = wait_body,
                               .interim = pass_interim,
                               .arg = c};
    struct up_exchange x;
    struct http_request out;
    if (c->trailers) {
        client.trailers = &c->trailers->behind;
        client.takes_trailers = c->trailers->wanted;
    }
    int rc = prepare(c, s, &out);
    if (rc == 0 && c->transforming) {
        rc = hd_transform_request(ex, c->transforming, &out, &client);
        ex->req.fields = out.fields;
    }
    if (rc)
        return rc;
    ex->close |= client.upgrade.len != 0; /* what follows the request is no HTTP, come what may (S24) */
    rc = up_start(&x, &ex->call, s->upstream, &out, &client, gw_worker()->res_fields, GW_FIELDS_MAX);
    ex->upstream = s->name;
    if (x.endpoint) /* it may be gone by the time that the log is written */
        ex->endpoint = b_arena_copy(&ex->call.arena, b_slice_cstr(x.endpoint->text));
    ex->attempts = x.attempts;
    if (rc == 0 && x.res.status == 101)
        rc = gw_tunnel_open(ex, &x, client.upgrade);
    else if (rc == 0 && c->transforming && hd_transform_wants(c->transforming, ex, x.res.status))
        rc = hd_transform_answer(ex, c->transforming, &x);
    else if (rc == 0) {
        x.res.keep_alive &= !client.upgrade.len;
        rc = relay(ex, &x, c->trailers);
    }
    if (rc < 0)
        rc = explain(ex, s, &x, rc);
    up_finish(&x);
    ex->upstream_time = x.took;
    return rc;
}

static int run(struct exchange *ex, void *state) {
    const struct proxy_state *s = state;
    struct carried c = {.ex = ex};
    if (ex->req.method == HTTP_METHOD_OPTIONS || ex->req.method == HTTP_METHOD_TRACE) {
        int answered = count_forwards(ex);
        if (answered)
            return answered < 0 ? answered : 0;
    }
    int rc = s->conf->trailers.count ? hd_trailers_open(ex, &s->conf->trailers, &c.trailers) : 0;
    if (rc == 0 && s->transform)
        rc = hd_transform_begin(ex, s->transform, &c.transforming);
    rc = rc ? rc : carry(&c, s);
    hd_transform_end(c.transforming);
    if (c.trailers)
        hd_trailers_close(ex, c.trailers);
    return rc;
}

const struct gw_handler hd_proxy = {
    .module = {.name = "proxy",
               .summary = "Sends requests to an upstream and streams its responses back",
               .options = &table},
    .open = open,
    .close = close_state,
    .run = run,
    .calls = calls,
};
