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
    case -ECANCELED: return fail(x, HTTP_E_CLIENT_CLOSED, NULL);
    case -ENOMEM: return fail(x, HTTP_E_OUT_OF_MEMORY, NULL);
    default: return fail(x, HTTP_E_UPSTREAM_RESET, NULL);
    }
}

static void drop_conn(struct up_exchange *x) {
    if (x->conn)
        up_pool_close(x->conn);
    x->conn = NULL;
}

/* Takes interim responses off the front of *in. The length of the final head, which has been parsed and stays in *in;
 * 0 when it is not whole; or -(enum http_error). */
static ssize_t final_head(struct up_exchange *x, const struct http_request *req, struct b_slice *in) {
    while (in->len) {
        enum http_error why = HTTP_OK;
        ssize_t n =
            h1_parse_response(*in, &http_limits_default, x->fields, x->cap, req->method, &x->res, &why);
        if (n < 0)
            return fail(x, HTTP_E_UPSTREAM_BAD_RESPONSE, http_error_info(why)->title);
        if (n == 0 || x->res.status >= 200)
            return n;
        if (x->res.status == 101)
            return fail(x, HTTP_E_UPSTREAM_BAD_RESPONSE, "101 without having been asked to switch protocols");
        if (++x->interim > UP_INTERIM_MAX)
            return fail(x, HTTP_E_UPSTREAM_BAD_RESPONSE, "too many interim responses");
        *in = b_slice_from(*in, (size_t)n);
    }
    return 0;
}

/* --- sending --- */

static int add_deadline(const struct rt_call *call, struct b_text *out) {
    rt_time left = call->deadline == RT_NEVER ? 0 : (call->deadline - rt_now()) / RT_MS;
    if (left <= 0)
        return 0;
    char digits[B_U64_TEXT];
    return h1_write_field(out, B_LIT("x-request-deadline"),
                          b_slice(digits, b_format_u64(digits, (uint64_t)left)));
}

/* The head, with what is left of the deadline as its last field. */
static int write_head(struct up_exchange *x, const struct rt_call *call, struct http_request *req,
                      struct b_text *out) {
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

/* A response that begins before the request is whole (or the end of the connection): the rest of the body is not
 * wanted any more. Interim responses, which an origin may send while it reads, are passed over; what else has come is
 * kept for read_head. Does not touch the scratch buffers: a piece of the body lies there. */
static bool answered(struct up_exchange *x, const struct http_request *req) {
    struct up_conn *c = x->conn;
    struct rt_wait w = {.stream = &c->stream, .want = RT_READ};
    if (rt_wait_any(&w, 1, RT_NOWAIT) <= 0)
        return false;
    if (!c->in)
        c->in = b_alloc(B_TAG_REQUESTS, RT_SCRATCH_BYTES);
    if (!c->in)
        return true; /* read_head will say what is wrong */
    ssize_t n = rt_receive(&c->stream, c->in + c->in_len, RT_SCRATCH_BYTES - c->in_len, RT_NOWAIT);
    if (n <= 0)
        return n != -EAGAIN;
    struct b_slice in = b_slice(c->in, c->in_len + (size_t)n);
    ssize_t head = final_head(x, req, &in);
    memmove(c->in, in.ptr, in.len);
    c->in_len = (uint32_t)in.len;
    return head != 0;
}

/* Sends while it looks out for an early answer: an origin that has given one may never read the rest. 1 then, 0 when
 * all has gone, or a negative errno. */
static int send_rest_of(struct up_exchange *x, const struct http_request *req, struct iovec *iov,
                        rt_time deadline) {
    struct rt_wait w = {.stream = &x->conn->stream, .want = RT_READ | RT_WRITE};
    for (;;) {
        int rc = rt_wait_any(&w, 1, deadline);
        if (rc < 0)
            return rc;
        if ((w.got & RT_READ) && answered(x, req))
            return 1;
        size_t left = iov->iov_len;
        ssize_t n = rt_send(&x->conn->stream, iov, 1, RT_NOWAIT);
        if (n == (ssize_t)left)
            return 0;
        if (n < 0 && n != -EAGAIN)
            return (int)n;
    }
}

/* 0 when all has gone, 1 when the response has begun before that, or -(enum http_error). */
static int flush(struct up_exchange *x, const struct rt_call *call, const struct http_request *req,
                 struct framed *f, rt_time deadline) {
    size_t left = 0;
    for (int i = 0; i < f->count; i++)
        left += f->iov[i].iov_len;
    ssize_t rc = f->count ? rt_send(&x->conn->stream, f->iov, f->count, RT_NOWAIT) : 0;
    if (rc == -EAGAIN || (rc >= 0 && (size_t)rc < left)) {
        char *copy = rt_copy_iov(f->iov, f->count, &left); /* they have been moved past what went */
        struct iovec rest = {.iov_base = copy, .iov_len = left};
        rc = copy ? send_rest_of(x, req, &rest, deadline) : -ENOMEM;
        b_free(copy);
        f->count = 0;
        if (rc == 1)
            return 1;
    }
    f->count = 0;
    if (rc < 0 && rc != -ETIMEDOUT && rc != -ECANCELED && answered(x, req) && x->conn->in_len)
        return 1; /* it answered, and then closed without reading on */
    return rc < 0 ? socket_error(x, call, (int)rc) : 0;
}

/* The rest of the body, piece by piece. It is governed by the time between its pieces. */
static int send_rest(struct up_exchange *x, const struct rt_call *call, const struct http_request *req,
                     const struct up_body *body, rt_time *deadline) {
    struct framed f = {0};
    for (;;) {
        struct b_slice piece;
        int early;
        x->body_taken = true;
        while ((early = body->wait(body->arg, &x->conn->stream)) == 1)
            if (answered(x, req))
                return 0; /* the client may never send the rest: it waits for this answer */
        int more = early < 0 ? early : body->read(body->arg, &piece);
        if (more < 0)
            return more;
        if (answered(x, req))
            return 0; /* request_whole stays false, so that the connection is not used again (S22) */
        if (more)
            add_piece(&f, req->body, piece);
        else if (req->body == HTTP_BODY_CHUNKED)
            add(&f, H1_CHUNK_LAST, sizeof H1_CHUNK_LAST - 1);
        *deadline = rt_earlier(call->deadline, rt_after(rt_now(), x->upstream->timeout));
        int rc = flush(x, call, req, &f, *deadline);
        if (rc)
            return rc < 0 ? rc : 0;
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
    int rc = flush(x, call, req, &f, *deadline);
    if (rc)
        return rc < 0 ? rc : 0;
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

/* Bytes that were kept, back in the scratch buffer. */
static struct b_slice take_kept(struct up_conn *c) {
    size_t kept = c->in_len;
    if (kept)
        memcpy(rt_scratch_in(), c->in, kept);
    c->in_len = 0;
    return b_slice(rt_scratch_in(), kept);
}

static int read_head(struct up_exchange *x, const struct rt_call *call, const struct http_request *req,
                     rt_time deadline) {
    struct b_slice in = take_kept(x->conn);
    x->phase = "first byte";
    for (;;) {
        ssize_t n = final_head(x, req, &in);
        if (n < 0)
            return (int)n;
        if (n > 0) {
            x->input = b_slice_from(in, (size_t)n);
            body_begins(x);
            return 0;
        }
        int rc = keep(x, in); /* not whole: read on */
        if (rc == 0)
            rc = receive(x, call, deadline, &in);
        if (rc)
            return rc;
    }
}

/* --- attempts --- */

static int get_conn(struct up_exchange *x, struct rt_call *call, rt_time *deadline, bool fresh) {
    struct up_upstream *u = x->upstream;
    x->phase = "connect";
    x->conn = fresh ? NULL : up_pool_take(x->endpoint);
    if (x->conn) {
        tel_add(u->metrics.reused, rt_index(), 1);
        x->conn->uses++;
        return 0;
    }
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
    case HTTP_E_DNS_FAILED: return true;
    case HTTP_E_UPSTREAM_RESET:
    case HTTP_E_UPSTREAM_CLOSED:
        return x->conn && x->conn->reused && !x->conn->in_len &&
               (sent == 0 || http_method_idempotent(req->method));
    default: return false;
    }
}

static int attempt(struct up_exchange *x, struct rt_call *call, struct http_request *req,
                   const struct up_body *body, bool fresh, uint64_t *sent) {
    rt_time deadline = rt_earlier(call->deadline, rt_after(rt_now(), x->upstream->timeout));
    *sent = 0;
    x->attempts++;
    x->interim = 0;
    int rc = get_conn(x, call, &deadline, fresh);
    if (rc)
        return rc;
    tel_add(x->endpoint->requests, rt_index(), 1);
    uint64_t before = x->conn->stream.bytes_out, in_before = x->conn->stream.bytes_in;
    rc = send_request(x, call, req, body, &deadline);
    if (rc == 0)
        rc = read_head(x, call, req, deadline);
    *sent = x->conn->stream.bytes_out - before;
    if (rc && x->conn->stream.bytes_in != in_before)
        x->conn->reused = false; /* a byte came back: this was not the keep-alive race */
    return rc;
}

int up_start(struct up_exchange *x, struct rt_call *call, struct up_upstream *u, struct http_request *req,
             const struct up_body *body, struct http_field *fields, unsigned cap) {
    uint64_t tried = 0, sent;
    bool fresh = false;
    *x = (struct up_exchange){.upstream = u, .fields = fields, .cap = cap, .phase = "queue"};
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
        int rc = attempt(x, call, req, body, fresh, &sent);
        if (rc == 0)
            return 0;
        bool again = x->attempts < u->attempts && rt_now() < call->deadline && may_retry(x, rc, req, sent);
        bool stale =
            again && x->conn; /* a pooled connection that was closed: the endpoint itself may be well */
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
                return fail(x, HTTP_E_UPSTREAM_BAD_RESPONSE, http_error_info((enum http_error) - rc)->title);
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
        if (x->conn->in_len) { /* no need to read */
            x->input = take_kept(x->conn);
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
