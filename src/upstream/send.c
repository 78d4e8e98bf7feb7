/* A request on its way to an endpoint: its head, and its body while it comes in. */
#include <errno.h>

#include "base/number.h"
#include "http/h1_write.h"
#include "runtime/worker.h"
#include "upstream/exchange.h"

/* What is left of the deadline, in ms, and the empty line. */
static void end_head(const struct rt_call *call, struct b_text *out) {
    static const char name[] = "x-request-deadline: ";
    rt_time left = call->deadline == RT_NEVER ? 0 : (call->deadline - rt_now()) / RT_MS;
    if (!b_text_reserve(out, sizeof name + B_U64_TEXT + 4))
        return;
    char *at = out->ptr + out->len;
    if (left > 0) {
        memcpy(at, name, sizeof name - 1);
        at += sizeof name - 1;
        at += b_format_u64(at, (uint64_t)left);
        memcpy(at, "\r\n", 2);
        at += 2;
    }
    memcpy(at, "\r\n", 2);
    out->len = (size_t)(at + 2 - out->ptr);
}

/* Whether the first piece is all of the body. */
static bool first_is_all(const struct up_exchange *x, const struct http_request *req) {
    return req->body == HTTP_BODY_LENGTH && x->first.len == req->content_length;
}

/* The head, with what is left of the deadline as its last field. */
static int write_head(struct up_exchange *x, const struct rt_call *call, struct http_request *req,
                      const struct up_client *client, struct b_text *out) {
    struct b_slice host = req->authority;
    if (!host.len)
        req->authority = x->endpoint->authority;
    int rc = h1_write_request(out, req, client->takes_trailers ? H1_WRITE_TE : 0, client->upgrade);
    req->authority = host;
    if (rc || (client->has_body && client->deadline_moves && !first_is_all(x, req)))
        return rc;
    out->len -= 2; /* the empty line, written again behind the deadline */
    end_head(call, out);
    return out->failed ? -HTTP_E_INTERNAL : 0;
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

/* The last chunk; with trailers it is written into a scratch buffer. */
static int add_last(struct framed *f, const struct up_client *client) {
    if (!client->trailers || !client->trailers->count) {
        add(f, H1_CHUNK_LAST, sizeof H1_CHUNK_LAST - 1);
        return 0;
    }
    struct b_text last = b_text_fixed(rt_scratch_out(), RT_SCRATCH_BYTES);
    int rc = h1_chunk_last(&last, client->trailers);
    add(f, last.ptr, last.len);
    return rc;
}

/* A response that begins before the request is whole (or the end of the connection): the rest of the body is not
 * wanted any more. What has come, interim responses among it, is kept for later. Does not touch the scratch buffers: a piece of the body lies there. */
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
    c->in_len = (uint32_t)in.len;
    c->reused = false; /* as in response.c */
    return up_final_begun(x, req, in);
}

void up_forget_unsent(struct up_exchange *x) {
    b_free(x->unsent);
    x->unsent = NULL;
}

/* Keeps what has been framed, or what is left of it. */
static int hold(struct up_exchange *x, struct framed *f) {
    if (!f->count)
        return 0;
    x->unsent = rt_copy_iov(f->iov, f->count, &x->unsent_len);
    x->unsent_at = 0;
    f->count = 0;
    return x->unsent ? 0 : -ENOMEM;
}

/* Sends of that what the endpoint takes at once: 0 or a negative errno. */
static int send_unsent(struct up_exchange *x) {
    struct iovec iov = {.iov_base = x->unsent + x->unsent_at, .iov_len = x->unsent_len - x->unsent_at};
    ssize_t n = rt_send(&x->conn->stream, &iov, 1, RT_NOWAIT);
    if (n < 0)
        return n == -EAGAIN ? 0 : (int)n;
    x->unsent_at += (size_t)n;
    if (x->unsent_at == x->unsent_len)
        up_forget_unsent(x);
    return 0;
}

/* Sends what has been framed; what the endpoint does not take at once is held. 0 or a negative errno. */
static int send_now(struct up_exchange *x, struct framed *f) {
    size_t left = rt_iov_bytes(f->iov, f->count);
    ssize_t n = f->count ? rt_send(&x->conn->stream, f->iov, f->count, RT_NOWAIT) : 0;
    if (n == -EAGAIN || (n >= 0 && (size_t)n < left))
        return hold(x, f); /* they have been moved past what went */
    f->count = 0;
    return n < 0 ? (int)n : 0;
}

/* 0 when all has gone, 1 when the response has begun before that (an endpoint that has given one may never read the
 * rest, which is held), or -(enum http_error). */
static int flush(struct up_exchange *x, const struct rt_call *call, const struct http_request *req,
                 struct framed *f, rt_time deadline) {
    struct rt_wait w = {.stream = &x->conn->stream, .want = RT_READ | RT_WRITE};
    int rc = send_now(x, f);
    while (rc == 0 && x->unsent) {
        rc = rt_wait_any(&w, 1, deadline);
        if (rc > 0 && (w.got & RT_READ) && answered(x, req))
            return 1;
        rc = rc < 0 ? rc : send_unsent(x);
    }
    if (rc < 0 && rc != -ETIMEDOUT && rc != -ECANCELED && answered(x, req) && x->conn->in_len) {
        x->deaf = true; /* it answered, and then closed without reading on */
        return 1;
    }
    return rc < 0 ? up_socket_error(x, call, rc) : 0;
}

/* The next piece of the body, framed; or its end. 0 or -(enum http_error). */
static int frame_next(struct up_exchange *x, const struct http_request *req, const struct up_client *client,
                      struct framed *f) {
    struct b_slice piece;
    x->body_taken = true;
    int rc = client->read(client->arg, &piece);
    if (rc > 0) {
        add_piece(f, req->body, piece);
        return 0;
    }
    x->request_read = rc == 0;
    return rc == 0 && req->body == HTTP_BODY_CHUNKED ? add_last(f, client) : rc;
}

/* A piece may take the upstream's timeout; the deadline stands still while the origin takes it, as it does while the client
 * brings it, unless it was told. */
static int flush_piece(struct up_exchange *x, struct rt_call *call, const struct http_request *req,
                       const struct up_client *client, struct framed *f, rt_time *deadline) {
    rt_time from = rt_now(), until = rt_after(from, x->upstream->conf.timeout);
    int rc = flush(x, call, req, f, client->deadline_moves ? until : rt_earlier(call->deadline, until));
    if (client->deadline_moves)
        call->deadline = rt_after(call->deadline, rt_now() - from);
    *deadline = up_attempt_deadline(x, call, client);
    return rc;
}

/* The rest of the body, piece by piece. */
static int send_rest(struct up_exchange *x, struct rt_call *call, const struct http_request *req,
                     const struct up_client *client, rt_time *deadline) {
    struct framed f = {0};
    int rc = 0;
    while (rc == 0 && !x->request_read) {
        do {
            rc = x->conn->in_len ? up_pass_interim(x, req, client) : 0;
            if (rc == 0)
                rc = client->wait(client->arg, &x->conn->stream);
            if (rc == 1 && answered(x, req))
                return 0; /* the client may never send the rest: it waits for this answer */
        } while (rc == 1);
        if (rc == 0)
            rc = frame_next(x, req, client, &f);
        if (rc)
            return rc;
        if (answered(x, req))
            return hold(x, &f) == 0 ? 0 : up_fail(x, HTTP_E_OUT_OF_MEMORY, NULL);
        rc = flush_piece(x, call, req, client, &f, deadline);
    }
    x->request_whole = rc == 0; /* else the connection is not used again (S22) */
    return rc < 0 ? rc : 0;
}

bool up_sends_on(const struct up_exchange *x) {
    return !x->request_whole && !x->deaf && x->res.status < 300;
}

int up_send_on(struct up_exchange *x, rt_time deadline) {
    struct rt_call call = {.deadline = RT_NEVER};
    struct rt_wait w = {.stream = &x->conn->stream, .want = RT_READ | RT_WRITE};
    struct framed f = {0};
    while (up_sends_on(x)) {
        int rc;
        if (x->unsent) {
            rc = rt_wait_any(&w, 1, deadline);
            if (rc < 0)
                return up_socket_error(x, &call, rc);
            x->deaf = (w.got & RT_WRITE) && send_unsent(x) != 0;
            if (w.got & RT_READ)
                return 0;
            continue;
        }
        x->request_whole = x->request_read;
        if (x->request_whole)
            return 0;
        rc = x->client->wait(x->client->arg, &x->conn->stream);
        if (rc == 0)
            rc = frame_next(x, x->req, x->client, &f);
        if (rc)
            return rc < 0 ? rc : 0;
        rc = send_now(x, &f);
        if (rc == -ENOMEM)
            return up_fail(x, HTTP_E_OUT_OF_MEMORY, NULL);
        x->deaf = rc < 0;
    }
    return 0;
}

/* The head with the first piece of the body in one write, then the rest. */
__attribute__((noinline)) static int send_with_body(struct up_exchange *x, struct rt_call *call,
                                                    const struct http_request *req,
                                                    const struct up_client *client, struct b_slice head,
                                                    rt_time *deadline) {
    struct framed f = {0};
    add(&f, head.ptr, head.len);
    if (x->first.len)
        add_piece(&f, req->body, x->first);
    int rc = flush(x, call, req, &f, *deadline);
    x->request_read = first_is_all(x, req);
    if (rc)
        return rc < 0 ? rc : 0;
    if (!x->request_read)
        return send_rest(x, call, req, client, deadline);
    x->request_whole = true;
    return 0;
}

int up_send_request(struct up_exchange *x, struct rt_call *call, struct http_request *req,
                    const struct up_client *client, rt_time *deadline) {
    struct b_text head = b_text_fixed(rt_scratch_out(), RT_SCRATCH_BYTES);
    x->phase = "write";
    int rc = write_head(x, call, req, client, &head);
    if (rc)
        return rc;
    if (client->has_body)
        return send_with_body(x, call, req, client, b_text_slice(&head), deadline);
    struct iovec iov = {.iov_base = head.ptr, .iov_len = head.len};
    ssize_t sent = rt_send_lent(&x->conn->stream, &iov, 1, *deadline);
    if (sent < 0)
        return up_socket_error(x, call, (int)sent);
    x->request_whole = true;
    return 0;
}
