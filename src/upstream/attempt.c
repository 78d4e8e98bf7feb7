#include "upstream/attempt.h"

#include <errno.h>

#include "base/number.h"
#include "http/h1_parse.h"
#include "http/h1_write.h"
#include "runtime/worker.h"

static int fail(struct up_exchange *x, enum http_error error, const char *why) {
    x->why = why;
    return -(int)error;
}

/* What an error of the socket means, in the middle of the phase x->phase. */
static int socket_error(struct up_exchange *x, const struct rt_call *call, int rc) {
    switch (rc) {
    case -ETIMEDOUT:
        return fail(x, rt_now() >= call->deadline ? HTTP_E_DEADLINE_EXCEEDED : HTTP_E_UPSTREAM_TIMEOUT, NULL);
    case -ECANCELED:
        return fail(x, HTTP_E_CLIENT_CLOSED, NULL);
    case -ENOMEM:
        return fail(x, HTTP_E_OUT_OF_MEMORY, NULL);
    default:
        return fail(x, HTTP_E_UPSTREAM_RESET, NULL);
    }
}

static void drop_conn(struct up_exchange *x) {
    if (x->conn)
        up_pool_close(x->conn);
    x->conn = NULL;
}

/* --- sending --- */

static int add_deadline(const struct rt_call *call, struct b_text *out) {
    rt_time left = call->deadline == RT_NEVER ? 0 : (call->deadline - rt_now()) / RT_MS;
    if (left <= 0)
        return 0;
    char digits[B_U64_TEXT];
    return h1_write_field(out, B_LIT("x-request-deadline"), b_slice(digits, b_format_u64(digits, (uint64_t)left)));
}

/* The head, with what is left of the deadline as its last field. */
static int write_head(struct up_exchange *x, const struct rt_call *call, struct http_request *req, struct b_text *out) {
    struct b_slice host = req->authority;
    if (!host.len)
        req->authority = x->endpoint->authority;
    int rc = h1_write_request(out, req, 0, b_slice(NULL, 0));
    req->authority = host;
    if (rc)
        return rc;
    out->len -= 2; /* the empty line, written again behind the deadline */
    rc = add_deadline(call, out);
    b_text_lit(out, "\r\n");
    return rc ? rc : out->failed ? -HTTP_E_INTERNAL : 0;
}

struct framed {
    struct iovec iov[4];
    int count;
    char size[H1_CHUNK_HEAD_MAX + 2];
};

static void add(struct framed *f, const void *p, size_t n) {
    f->iov[f->count++] = (struct iovec){.iov_base = (void *)(uintptr_t)p, .iov_len = n};
}

static void add_piece(struct framed *f, enum http_body_kind kind, struct b_slice piece) {
    if (kind != HTTP_BODY_CHUNKED) {
        add(f, piece.ptr, piece.len);
        return;
    }
    add(f, f->size, h1_chunk_head(f->size, piece.len));
    add(f, piece.ptr, piece.len);
    add(f, H1_CHUNK_TAIL, 2);
}

static int flush(struct up_exchange *x, const struct rt_call *call, struct framed *f, rt_time deadline) {
    ssize_t sent = f->count ? rt_send_lent(&x->conn->stream, f->iov, f->count, deadline) : 0;
    f->count = 0;
    return sent < 0 ? socket_error(x, call, (int)sent) : 0;
}

/* A response that is there before the request has been sent: the rest of the body is not wanted any more. */
static bool answered(struct up_exchange *x) {
    struct rt_wait w = {.stream = &x->conn->stream, .want = RT_READ};
    return rt_wait_any(&w, 1, RT_NOWAIT) > 0;
}

/* The rest of the body, piece by piece. It is governed by the time between its pieces. */
static int send_rest(struct up_exchange *x, const struct rt_call *call, const struct http_request *req,
                     const struct up_body *body, rt_time *deadline) {
    struct framed f = {0};
    for (;;) {
        struct b_slice piece;
        int more = body->read(body->arg, &piece);
        x->body_taken = true;
        if (more < 0)
            return more;
        if (answered(x))
            return 0; /* request_whole stays false, so that the connection is not used again (S22) */
        if (more)
            add_piece(&f, req->body, piece);
        else if (req->body == HTTP_BODY_CHUNKED)
            add(&f, H1_CHUNK_LAST, sizeof H1_CHUNK_LAST - 1);
        *deadline = rt_earlier(call->deadline, rt_after(rt_now(), x->upstream->timeout));
        int rc = flush(x, call, &f, *deadline);
        if (rc)
            return rc;
        if (!more) {
            x->request_whole = true;
            return 0;
        }
    }
}

/* The head with the first piece of the body in one write, then the rest. */
static int send_with_body(struct up_exchange *x, const struct rt_call *call, const struct http_request *req,
                          const struct up_body *body, struct b_slice head, rt_time *deadline) {
    struct framed f = {0};
    add(&f, head.ptr, head.len);
    if (x->first.len)
        add_piece(&f, req->body, x->first);
    bool whole = req->body == HTTP_BODY_LENGTH && x->first.len == req->content_length;
    int rc = flush(x, call, &f, *deadline);
    if (rc)
        return rc;
    if (!whole)
        return send_rest(x, call, req, body, deadline);
    x->request_whole = true;
    return 0;
}

/* Takes the first piece of the body before a connection is taken, so that no connection waits for a slow client, and
 * keeps it, so that a connect that fails can be tried again. */
static int take_first(struct up_exchange *x, struct rt_call *call, const struct up_body *body) {
    struct b_slice piece = {0};
    x->phase = "body";
    int rc = body->read(body->arg, &piece);
    if (rc <= 0)
        return rc;
    x->first = b_arena_copy(&call->arena, piece);
    return x->first.ptr ? 0 : -HTTP_E_OUT_OF_MEMORY;
}

static int send_request(struct up_exchange *x, const struct rt_call *call, struct http_request *req,
                        const struct up_body *body, rt_time *deadline) {
    struct b_text head = b_text_fixed(rt_scratch_out(), RT_SCRATCH_BYTES);
    x->phase = "write";
    int rc = write_head(x, call, req, &head);
    if (rc)
        return rc;
    if (body)
        return send_with_body(x, call, req, body, b_text_slice(&head), deadline);
    struct iovec iov = {.iov_base = head.ptr, .iov_len = head.len};
    ssize_t sent = rt_send_lent(&x->conn->stream, &iov, 1, *deadline);
    if (sent < 0)
        return socket_error(x, call, (int)sent);
    x->request_whole = true;
    return 0;
}

/* --- the response's head --- */

/* Receives behind what was kept; the bytes lie in the worker's scratch buffer, lent until the next wait. */
static int receive(struct up_exchange *x, const struct rt_call *call, rt_time deadline, struct b_slice *all) {
    struct up_conn *c = x->conn;
    char *buf = rt_scratch_in();
    for (;;) {
        int rc = rt_wait_readable(&c->stream, deadline);
        if (rc)
            return socket_error(x, call, rc);
        size_t kept = c->in_len;
        if (kept)
            memcpy(buf, c->in, kept);
        ssize_t n = rt_receive(&c->stream, buf + kept, RT_SCRATCH_BYTES - kept, RT_NOWAIT);
        if (n == -EAGAIN)
            continue;
        if (n < 0)
            return socket_error(x, call, (int)n);
        if (n == 0)
            return fail(x, HTTP_E_UPSTREAM_CLOSED, NULL);
        c->in_len = 0;
        *all = b_slice(buf, kept + (size_t)n);
        return 0;
    }
}

/* Keeps bytes across a wait. */
static int keep(struct up_exchange *x, struct b_slice bytes) {
    struct up_conn *c = x->conn;
    if (!bytes.len)
        return 0;
    if (!c->in) {
        c->in = b_alloc(B_TAG_REQUESTS, RT_SCRATCH_BYTES);
        if (!c->in)
            return fail(x, HTTP_E_OUT_OF_MEMORY, NULL);
    }
    memmove(c->in, bytes.ptr, bytes.len);
    c->in_len = (uint32_t)bytes.len;
    return 0;
}

static void body_begins(struct up_exchange *x) {
    x->done = !http_body_expected(x->res.body, x->res.content_length);
    x->left = x->res.content_length;
    if (x->res.body == HTTP_BODY_CHUNKED)
        h1_chunked_init(&x->chunked, NULL, http_limits_default.max_header_bytes);
}

static int read_head(struct up_exchange *x, const struct rt_call *call, const struct http_request *req,
                     struct http_field *fields, unsigned cap, rt_time deadline) {
    unsigned interim = 0;
    struct b_slice in = {0};
    x->phase = "first byte";
    for (;;) {
        enum http_error why = HTTP_OK;
        ssize_t n = 0;
        if (in.len)
            n = h1_parse_response(in, &http_limits_default, fields, cap, req->method, &x->res, &why);
        if (n < 0)
            return fail(x, HTTP_E_UPSTREAM_BAD_RESPONSE, http_error_info(why)->title);
        if (n == 0) { /* not whole: keep it and read on */
            int rc = keep(x, in);
            if (rc == 0)
                rc = receive(x, call, deadline, &in);
            if (rc)
                return rc;
            continue;
        }
        in = b_slice_from(in, (size_t)n);
        if (x->res.status >= 200)
            break;
        if (x->res.status == 101)
            return fail(x, HTTP_E_UPSTREAM_BAD_RESPONSE, "101 without having been asked to switch protocols");
        if (++interim > UP_INTERIM_MAX)
            return fail(x, HTTP_E_UPSTREAM_BAD_RESPONSE, "too many interim responses");
    }
    x->input = in;
    body_begins(x);
    return 0;
}

/* --- attempts --- */

static int get_conn(struct up_exchange *x, struct rt_call *call, rt_time deadline, bool fresh) {
    struct up_upstream *u = x->upstream;
    x->phase = "connect";
    x->conn = fresh ? NULL : up_pool_take(x->endpoint);
    if (x->conn) {
        tel_add(u->metrics.reused, rt_index(), 1);
        x->conn->uses++;
        return 0;
    }
    deadline = rt_earlier(deadline, rt_after(rt_now(), u->connect_timeout));
    int rc = up_pool_connect(x->endpoint, call, deadline, &x->conn);
    if (rc == -HTTP_E_UPSTREAM_CONNECT_TIMEOUT && rt_now() >= call->deadline)
        return fail(x, HTTP_E_DEADLINE_EXCEEDED, NULL);
    return rc;
}

/* Whether this failure may be tried again: nothing of a body was used up, and either the request never went out, or
 * it went on a pooled connection that the peer was closing, brought no byte back, and is harmless twice (U01). */
static bool may_retry(const struct up_exchange *x, int rc, const struct http_request *req, uint64_t sent) {
    if (x->body_taken)
        return false;
    switch (-rc) {
    case HTTP_E_UPSTREAM_CONNECT_FAILED:
    case HTTP_E_UPSTREAM_CONNECT_TIMEOUT:
    case HTTP_E_DNS_FAILED:
        return true;
    case HTTP_E_UPSTREAM_RESET:
    case HTTP_E_UPSTREAM_CLOSED:
        return x->conn && x->conn->reused && !x->conn->in_len && (sent == 0 || http_method_idempotent(req->method));
    default:
        return false;
    }
}

static int attempt(struct up_exchange *x, struct rt_call *call, struct http_request *req, const struct up_body *body,
                   struct http_field *fields, unsigned cap, bool fresh, uint64_t *sent) {
    rt_time deadline = rt_earlier(call->deadline, rt_after(rt_now(), x->upstream->timeout));
    *sent = 0;
    x->attempts++;
    int rc = get_conn(x, call, deadline, fresh);
    if (rc)
        return rc;
    tel_add(x->endpoint->requests, rt_index(), 1);
    uint64_t before = x->conn->stream.bytes_out, in_before = x->conn->stream.bytes_in;
    rc = send_request(x, call, req, body, &deadline);
    if (rc == 0)
        rc = read_head(x, call, req, fields, cap, deadline);
    *sent = x->conn->stream.bytes_out - before;
    if (rc && x->conn->stream.bytes_in != in_before)
        x->conn->reused = false; /* a byte came back: this was not the keep-alive race */
    return rc;
}

int up_start(struct up_exchange *x, struct rt_call *call, struct up_upstream *u, struct http_request *req,
             const struct up_body *body, struct http_field *fields, unsigned cap) {
    uint64_t tried = 0, sent;
    bool fresh = false;
    *x = (struct up_exchange){.upstream = u, .phase = "queue"};
    if (atomic_fetch_add_explicit(&u->in_flight, 1, memory_order_relaxed) >= u->max_in_flight) {
        atomic_fetch_sub_explicit(&u->in_flight, 1, memory_order_relaxed);
        tel_add(u->metrics.rejected, rt_index(), 1);
        return -HTTP_E_BULKHEAD_FULL;
    }
    x->admitted = true;
    x->began = rt_clock();
    int first = body ? take_first(x, call, body) : 0;
    if (first)
        return first;
    x->endpoint = up_balance(u, &tried);
    for (;;) {
        int rc = attempt(x, call, req, body, fields, cap, fresh, &sent);
        if (rc == 0)
            return 0;
        bool again = x->attempts < u->attempts && rt_now() < call->deadline && may_retry(x, rc, req, sent);
        bool stale = again && x->conn; /* a pooled connection that was closed: the endpoint itself may be well */
        drop_conn(x);
        if (!again)
            return rc;
        tel_add(u->metrics.retries, rt_index(), 1);
        if (!stale)
            x->endpoint = up_balance(u, &tried);
        fresh = stale;
    }
}

/* --- the response's body --- */

static int cut(struct up_exchange *x, struct b_slice *pieces) {
    int count = 0;
    while (x->input.len && !x->done && count < UP_PIECES) {
        if (x->res.body == HTTP_BODY_UNTIL_CLOSE) {
            pieces[count++] = x->input;
            x->input.len = 0;
        } else if (x->res.body == HTTP_BODY_LENGTH) {
            size_t n = x->input.len < x->left ? x->input.len : (size_t)x->left;
            pieces[count++] = b_slice(x->input.ptr, n);
            x->input = b_slice_from(x->input, n);
            x->done = (x->left -= n) == 0;
        } else {
            int rc = h1_chunked_next(&x->chunked, &x->input, &pieces[count]);
            if (rc < 0)
                return fail(x, HTTP_E_RESPONSE_TRUNCATED, http_error_info((enum http_error)-rc)->title);
            count += rc == H1_CHUNK_DATA;
            x->done = rc == H1_CHUNK_END;
        }
    }
    return count;
}

/* Cuts pieces off the input; what is left over when the pieces are all used is kept for after the wait. */
static int pieces_of_input(struct up_exchange *x, struct b_slice *pieces) {
    int count = cut(x, pieces);
    if (count == UP_PIECES && x->input.len && !x->done) {
        int rc = keep(x, x->input);
        x->input.len = 0;
        if (rc)
            return rc;
    }
    return count;
}

static int truncated(struct up_exchange *x, int rc) {
    if (rc == -HTTP_E_UPSTREAM_CLOSED && x->res.body == HTTP_BODY_UNTIL_CLOSE) {
        x->done = true;
        x->res.keep_alive = false;
        return 0;
    }
    return rc == -HTTP_E_UPSTREAM_CLOSED || rc == -HTTP_E_UPSTREAM_RESET ? -HTTP_E_RESPONSE_TRUNCATED : rc;
}

int up_read_ready(struct up_exchange *x, struct b_slice *pieces) {
    if (x->done)
        return 0;
    int count = pieces_of_input(x, pieces);
    return count || x->done ? count : -EAGAIN;
}

int up_read(struct up_exchange *x, struct b_slice *pieces, rt_time deadline) {
    struct rt_call call = {.deadline = RT_NEVER};
    x->phase = "body";
    for (;;) {
        int count = up_read_ready(x, pieces);
        if (count != -EAGAIN)
            return count;
        if (x->conn->in_len) { /* kept from before: no need to read */
            size_t kept = x->conn->in_len;
            memcpy(rt_scratch_in(), x->conn->in, kept);
            x->conn->in_len = 0;
            x->input = b_slice(rt_scratch_in(), kept);
            continue;
        }
        int rc = receive(x, &call, deadline, &x->input);
        if (rc)
            return truncated(x, rc);
    }
}

void up_finish(struct up_exchange *x) {
    struct up_conn *c = x->conn;
    if (c) {
        x->conn = NULL;
        if (x->done && x->request_whole && x->res.keep_alive && !x->input.len)
            up_pool_give(c);
        else
            up_pool_close(c);
    }
    if (x->admitted) {
        atomic_fetch_sub_explicit(&x->upstream->in_flight, 1, memory_order_relaxed);
        x->took = rt_clock() - x->began;
        tel_observe(x->upstream->metrics.duration, rt_index(), (uint64_t)x->took);
    }
    x->admitted = false;
}
