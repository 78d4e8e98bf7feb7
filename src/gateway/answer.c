/* Writing responses: head, body, problems. One send for a whole answer. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"
#include "base/number.h"
#include "gateway/conn.h"
#include "http/h1_write.h"
#include "http/problem.h"
#include "telemetry/http_metrics.h"

int gw_response(struct exchange *ex, uint16_t status, unsigned fields) {
    struct http_field *at = b_arena_alloc(&ex->call.arena, (fields + 4) * sizeof *at);
    ex->res = (struct http_response){.status = status, .minor = 1, .keep_alive = true};
    if (!at)
        return -HTTP_E_OUT_OF_MEMORY;
    ex->res.fields = (struct http_fields){.at = at, .cap = (uint16_t)(fields + 4)};
    return 0;
}

struct detail {
    struct exchange *ex;
    const char *fmt;
    va_list ap;
};

static void format_detail(void *arg) {
    struct detail *d = arg;
    char text[256];
    int n = vsnprintf(text, sizeof text, d->fmt, d->ap);
    if (n > 0)
        d->ex->detail = b_arena_copy(&d->ex->call.arena,
                                     b_slice(text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1));
}

int gw_error(struct exchange *ex, enum http_error error, const char *fmt, ...) {
    struct detail d = {.ex = ex, .fmt = fmt};
    va_start(d.ap, fmt);
    rt_on_big_stack(format_detail, &d); /* printf would touch a second page of every fiber that ever fails */
    va_end(d.ap);
    return -(int)error;
}

/* --- the head --- */

static void add_date(struct b_text *out) {
    struct gw_worker *w = gw_worker();
    if (rt_now() >= w->date_until) {
        rt_time wall = rt_wall_clock();
        http_date_format(w->date, wall / RT_S);
        w->date_until = rt_after(rt_now(), RT_S - wall % RT_S);
    }
    b_text_lit(out, "Date: ");
    b_text_add(out, w->date, HTTP_DATE_LEN);
    b_text_lit(out, "\r\n");
}

/* An unknown length cannot be told to an HTTP/1.0 client: it reads until the connection closes. */
static void choose_framing(struct exchange *ex) {
    if (ex->res.body == HTTP_BODY_UNTIL_CLOSE)
        ex->res.body = HTTP_BODY_CHUNKED;
    if (ex->res.body == HTTP_BODY_CHUNKED && ex->req.minor == 0) {
        ex->res.body = HTTP_BODY_UNTIL_CLOSE;
        ex->close = true;
    }
}

/* A body that has not been read yet: small rests are read after the answer, larger ones end the connection (S22). */
static void decide_close(struct exchange *ex) {
    bool unread_much = !ex->body_done && (ex->req.body != HTTP_BODY_LENGTH || ex->body_left > GW_DRAIN_MAX ||
                                          (ex->req.expect_continue && !ex->continue_sent));
    struct gateway *g = ex->conn->listener->gateway;
    if (!ex->req.keep_alive || unread_much ||
        ex->conn->requests >= ex->snapshot->root->limits.max_requests_per_connection ||
        atomic_load_explicit(&g->draining, memory_order_relaxed) ||
        !atomic_load_explicit(&ex->conn->listener->wanted, memory_order_relaxed))
        ex->close = true;
}

static int write_head(struct exchange *ex, struct b_text *out, struct b_slice upgrade) {
    for (struct gw_head_hook *h = ex->hooks; h; h = h->next)
        h->fn(ex, h);
    if (ex->partial)
        http_fields_remove(&ex->res.fields, HTTP_FIELD_CACHE_CONTROL);
    choose_framing(ex);
    decide_close(ex);
    unsigned flags = ex->close ? H1_WRITE_CLOSE : ex->req.minor == 0 ? H1_WRITE_KEEP_ALIVE : 0;
    if (ex->req.method == HTTP_METHOD_HEAD)
        flags |= H1_WRITE_TO_HEAD;
    bool dated = http_fields_find(&ex->res.fields, HTTP_FIELD_DATE) != NULL;
    int rc = h1_write_response(out, &ex->res, flags, upgrade);
    if (rc)
        return rc;
    if (!dated && ex->res.status >= 200) {
        out->len -= 2; /* the empty line, written again behind the date */
        add_date(out);
        b_text_lit(out, "\r\n");
    }
    return out->failed ? -HTTP_E_INTERNAL : 0;
}

int gw_interim(struct exchange *ex, const struct http_response *res) {
    struct b_text out = b_text_fixed(rt_scratch_out(), RT_SCRATCH_BYTES);
    if (ex->req.minor == 0 || ex->sent != GW_SENT_NOTHING)
        return 0;
    struct http_response kept = ex->res;
    ex->res = *res;
    http_fields_strip_hop(&ex->res.fields);
    for (struct gw_head_hook *h = ex->hooks; h; h = h->next)
        h->fn(ex, h);
    int rc = h1_write_response(&out, &ex->res, 0, b_slice(NULL, 0));
    ex->res = kept;
    if (rc)
        return rc;
    struct iovec iov = {.iov_base = out.ptr, .iov_len = out.len};
    return rt_send_lent(&ex->conn->stream, &iov, 1, ex->call.deadline) < 0 ? -HTTP_E_CLIENT_CLOSED : 0;
}

/* --- the body --- */

static bool has_body(const struct exchange *ex) {
    return ex->req.method != HTTP_METHOD_HEAD && ex->res.status >= 200 && ex->res.status != 204 &&
           ex->res.status != 304;
}

struct out {
    struct iovec *iov; /* the worker's */
    int count;
};

static void add(struct out *o, const void *p, size_t n) {
    if (n)
        o->iov[o->count++] = (struct iovec){.iov_base = (void *)(uintptr_t)p, .iov_len = n};
}

/* Up to so many bytes are copied behind the head: one buffer costs the kernel less than a vector does. */
#define COPY_MAX 8192

static size_t total(const struct b_slice *pieces, unsigned count) {
    size_t sum = 0;
    for (unsigned i = 0; i < count; i++)
        sum += pieces[i].len;
    return sum;
}

static void copy_pieces(const struct exchange *ex, struct b_text *buf, const struct b_slice *pieces,
                        unsigned count) {
    bool chunked = ex->res.body == HTTP_BODY_CHUNKED;
    for (unsigned i = 0; i < count; i++) {
        if (!pieces[i].len)
            continue;
        if (chunked)
            buf->len += h1_chunk_head(buf->ptr + buf->len, pieces[i].len);
        b_text_slice_add(buf, pieces[i]);
        if (chunked)
            b_text_lit(buf, H1_CHUNK_TAIL);
    }
}

/* Chunk sizes are written behind the head, in `buf`. */
static void point_to_pieces(const struct exchange *ex, struct out *o, struct b_text *buf,
                            const struct b_slice *pieces, unsigned count) {
    bool chunked = ex->res.body == HTTP_BODY_CHUNKED;
    for (unsigned i = 0; i < count; i++) {
        if (!pieces[i].len)
            continue;
        if (chunked) {
            char *at = buf->ptr + buf->len;
            size_t n = h1_chunk_head(at, pieces[i].len);
            buf->len += n;
            add(o, at, n);
        }
        add(o, pieces[i].ptr, pieces[i].len);
        if (chunked)
            add(o, H1_CHUNK_TAIL, 2);
    }
}

/* The last chunk; with trailers it is written into `buf`. */
static int add_last(const struct exchange *ex, struct out *o, struct b_text *buf) {
    size_t from = buf->len;
    if (!ex->trailers || !ex->trailers->count) {
        add(o, H1_CHUNK_LAST, sizeof H1_CHUNK_LAST - 1);
        return 0;
    }
    int rc = h1_chunk_last(buf, ex->trailers);
    add(o, buf->ptr + from, buf->len - from);
    return rc;
}

/* Of unix sockets the kernel counts its own memory, which may be more than the bytes. */
static int64_t has_arrived(struct rt_stream *s) {
    return (int64_t)s->bytes_out - (int64_t)rt_unsent(s);
}

/* Sends what the client does not take at once, bytes or the content of a pipe, while it takes some. It is slow by what
 * arrives, not by what fits into the kernel's buffer, which may hold megabytes and is writable again only when a third of
 * it is free (R03). */
static int send_as_taken(struct exchange *ex, struct iovec *iov, struct rt_pipe *pipe) {
    const struct cfg_limits *limits = &ex->snapshot->root->limits;
    struct rt_stream *s = &ex->conn->stream;
    int64_t arrived = has_arrived(s);
    rt_time quiet = rt_now(); /* since when nothing has arrived */
    for (;;) {
        rt_time from = rt_now(), until = rt_after(quiet, limits->send_timeout);
        rt_time look = rt_earlier(until, rt_after(from, limits->rate_window));
        ssize_t n = pipe ? rt_pipe_drain(pipe, s, look) : rt_send(s, iov, 1, look);
        if (n < 0 && n != -ETIMEDOUT)
            return -HTTP_E_CLIENT_CLOSED;
        int64_t before = arrived;
        arrived = has_arrived(s);
        uint64_t some = arrived > before ? (uint64_t)(arrived - before) : 0;
        bool slow = gw_pace_slow(&ex->sending, rt_now() - from, some, (uint64_t)limits->send_min_rate,
                                 limits->rate_window);
        if (slow && some)
            return -HTTP_E_SEND_TIMEOUT;
        if (n >= 0)
            return 0;
        if (some)
            quiet = rt_now();
        else if (rt_now() >= until)
            return -HTTP_E_SEND_TIMEOUT;
    }
}

/* Bytes that are only lent are copied before the wait; those of one iovec that stay where they are need not be. */
static int send_all(struct exchange *ex, struct iovec *iov, int count, bool lent) {
    ssize_t n = rt_send(&ex->conn->stream, iov, count, RT_NOWAIT);
    if (n < 0 && n != -EAGAIN)
        return -HTTP_E_CLIENT_CLOSED;
    size_t left = rt_iov_bytes(iov, count); /* they have been moved past what went */
    if (!left)
        return 0;
    if (!lent)
        return send_as_taken(ex, iov, NULL);
    char *copy = rt_copy_iov(iov, count, &left);
    struct iovec rest = {.iov_base = copy, .iov_len = left};
    int rc = copy ? send_as_taken(ex, &rest, NULL) : -HTTP_E_OUT_OF_MEMORY;
    b_free(copy);
    return rc;
}

/* What has come of a send. */
static int sent(struct exchange *ex, int rc, bool last) {
    if (rc) {
        ex->sent = GW_SENT_HEAD; /* some of it may be out */
        gw_abort(ex, (enum http_error) - rc);
        return rc;
    }
    ex->sent = last ? GW_SENT_ALL : GW_SENT_HEAD;
    return 0;
}

static int flush(struct exchange *ex, struct out *o, bool last) {
    return sent(ex, o->count ? send_all(ex, o->iov, o->count, true) : 0, last);
}

int gw_send(struct exchange *ex, const struct b_slice *pieces, unsigned count, bool last) {
    struct out o = {.iov = gw_worker()->iov};
    struct b_text buf = b_text_fixed(rt_scratch_out(), RT_SCRATCH_BYTES);
    if (ex->sent == GW_SENT_NOTHING) {
        int rc = write_head(ex, &buf, b_slice(NULL, 0));
        if (rc)
            return rc;
    }
    if (!has_body(ex))
        count = 0;
    size_t size = total(pieces, count);
    ex->body_out += size;
    bool copy = size <= COPY_MAX;
    if (!b_text_reserve(&buf, GW_PIECES * (H1_CHUNK_HEAD_MAX + 2) + (copy ? size : 0)))
        return -HTTP_E_INTERNAL;
    if (copy)
        copy_pieces(ex, &buf, pieces, count);
    add(&o, buf.ptr, buf.len);
    if (!copy)
        point_to_pieces(ex, &o, &buf, pieces, count);
    if (last && ex->res.body == HTTP_BODY_CHUNKED && has_body(ex)) {
        int rc = add_last(ex, &o, &buf);
        if (rc)
            return rc;
    }
    return flush(ex, &o, last);
}

int gw_switch(struct exchange *ex, const struct http_response *res, struct b_slice protocol) {
    struct out o = {.iov = gw_worker()->iov};
    struct b_text buf = b_text_fixed(rt_scratch_out(), RT_SCRATCH_BYTES);
    ex->res = *res;
    http_fields_strip_hop(&ex->res.fields);
    int rc = write_head(ex, &buf, protocol);
    if (rc)
        return rc;
    add(&o, buf.ptr, buf.len);
    return flush(ex, &o, true);
}

int gw_send_pipe(struct exchange *ex, struct rt_pipe *pipe, size_t n, bool last) {
    ex->body_out += n;
    int rc = rt_pipe_drain(pipe, &ex->conn->stream, RT_NOWAIT);
    if (rc == -EAGAIN)
        rc = send_as_taken(ex, NULL, pipe);
    else if (rc)
        rc = -HTTP_E_CLIENT_CLOSED;
    return sent(ex, rc, last);
}

int gw_begin(struct exchange *ex, struct b_slice first) {
    return gw_send(ex, &first, first.len != 0, false);
}

int gw_write(struct exchange *ex, const struct b_slice *pieces, unsigned count) {
    return gw_send(ex, pieces, count, false);
}

int gw_end(struct exchange *ex) {
    return gw_send(ex, NULL, 0, true);
}

/* A large body goes out in parts: a socket that takes all of it at once would hold the loop meanwhile. */
#define PART_MAX ((size_t)128 << 10)

static struct b_slice front(struct b_slice body) {
    return b_slice(body.ptr, body.len < PART_MAX ? body.len : PART_MAX);
}

/* The rest of a body that stays where it is, so that nothing is copied when the socket is full. */
static int send_rest(struct exchange *ex, struct b_slice rest) {
    int rc = 0;
    while (rc == 0 && rest.len) {
        struct b_slice part = front(rest);
        struct iovec iov = {.iov_base = (void *)(uintptr_t)part.ptr, .iov_len = part.len};
        rest = b_slice_from(rest, part.len);
        ex->body_out += part.len;
        rc = sent(ex, send_all(ex, &iov, 1, false), !rest.len);
    }
    return rc;
}

int gw_answer(struct exchange *ex, struct b_slice body) {
    ex->res.body = HTTP_BODY_LENGTH;
    ex->res.content_length = body.len;
    struct b_slice first = front(body), rest = b_slice_from(body, has_body(ex) ? first.len : body.len);
    int rc = gw_send(ex, &first, 1, !rest.len);
    return rc ? rc : send_rest(ex, rest);
}

void gw_abort(struct exchange *ex, enum http_error why) {
    ex->error = why;
    ex->conn->reset = ex->sent != GW_SENT_NOTHING; /* to HTTP/1.0 even a head alone would look whole */
    ex->sent = GW_SENT_BROKEN;
    ex->close = true;
    tel_refusal(rt_index(), why);
}

/* --- problems --- */

static int add_retry_after(struct exchange *ex) {
    char *text = b_arena_alloc(&ex->call.arena, B_U64_TEXT);
    if (!text)
        return -ENOMEM;
    size_t n = b_format_u64(text, ex->retry_after ? ex->retry_after : 1);
    return http_fields_add_id(&ex->call.arena, &ex->res.fields, HTTP_FIELD_RETRY_AFTER, b_slice(text, n));
}

static int problem_fields(struct exchange *ex, const struct http_error_info *info) {
    struct b_arena *a = &ex->call.arena;
    struct http_fields *f = &ex->res.fields;
    int rc = http_fields_add_id(a, f, HTTP_FIELD_CONTENT_TYPE, B_LIT(HTTP_PROBLEM_TYPE));
    if (rc == 0 && (info->status == 503 || info->status == 429))
        rc = add_retry_after(ex);
    if (rc == 0 && ex->allow.len)
        rc = http_fields_add_id(a, f, HTTP_FIELD_ALLOW, ex->allow);
    return rc;
}

void gw_fail(struct exchange *ex, enum http_error error) {
    if (ex->sent != GW_SENT_NOTHING) {
        gw_abort(ex, error);
        return;
    }
    const struct http_error_info *info = http_error_info(error);
    struct http_problem p = {.error = error, .detail = ex->detail, .request_id = gw_request_id(ex)};
    struct b_text body = b_text_fixed(b_arena_alloc(&ex->call.arena, HTTP_PROBLEM_MAX), HTTP_PROBLEM_MAX);
    ex->error = error;
    tel_refusal(rt_index(), error);
    if (error == HTTP_E_DEADLINE_EXCEEDED)
        tel_deadline_exceeded(rt_index(), ex->phase ? ex->phase : "handler");
    if (body.ptr)
        http_problem_write(&body, &p);
    if (error == HTTP_E_CLIENT_CLOSED) { /* nobody is there to read it */
        ex->res.status = info->status;
        ex->sent = GW_SENT_BROKEN;
        ex->close = true;
        return;
    }
    if (!body.ptr || gw_response(ex, info->status, 4) != 0 || problem_fields(ex, info) != 0 ||
        gw_answer(ex, b_text_slice(&body)) != 0) {
        if (ex->sent == GW_SENT_NOTHING)
            B_LOG(B_ERROR, "gateway", "could not even answer with %s", info->code);
        ex->sent = GW_SENT_BROKEN;
        ex->close = true;
    }
}
