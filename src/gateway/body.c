/* Reading a request's body: what came with the head first, then from the connection, never past its end. */
#include <errno.h>

#include "gateway/conn.h"

#define IN_BYTES 16384 /* of the block in which a chunked body is received */

static struct b_slice unread(const struct gw_conn *c) {
    return b_slice(c->in ? c->in + c->in_at : NULL, c->in_len - c->in_at);
}

/* Sends 100 Continue once, if the client waits for it and has sent nothing of its body yet (S23). */
static int invite(struct exchange *ex) {
    if (ex->continue_sent || !ex->req.expect_continue)
        return 0;
    ex->continue_sent = true;
    if (ex->sent != GW_SENT_NOTHING)
        return 0; /* it has its answer */
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct iovec iov = {.iov_base = (void *)(uintptr_t)text, .iov_len = sizeof text - 1};
    ssize_t n = rt_send(&ex->conn->stream, &iov, 1, ex->call.deadline);
    return n < 0 ? -HTTP_E_CLIENT_CLOSED : 0;
}

bool gw_body_on_demand(const struct exchange *ex) {
    return ex->req.expect_continue && !ex->continue_sent && !unread(ex->conn).len;
}

/* A body may take any time, as long as it comes: it is governed by its stalls and its rate (R02), and by the deadline only
 * where a trusted peer has told one, until the response has begun. Once the answer is complete, what is left of the body is
 * read within the deadline that finish_body has set. */
static bool deadline_holds(const struct exchange *ex) {
    return ex->sent >= GW_SENT_ALL || (ex->deadline_told && ex->sent == GW_SENT_NOTHING);
}

static rt_time body_deadline(const struct exchange *ex) {
    rt_time stall = rt_after(rt_now(), ex->snapshot->root->limits.body_timeout);
    return deadline_holds(ex) ? rt_earlier(ex->call.deadline, stall) : stall;
}

static int receive_error(ssize_t rc, const struct exchange *ex) {
    if (rc == -ETIMEDOUT && deadline_holds(ex) && rt_now() >= ex->call.deadline)
        return -HTTP_E_DEADLINE_EXCEEDED;
    return rc == -ETIMEDOUT ? -HTTP_E_BODY_TIMEOUT : -HTTP_E_CLIENT_CLOSED;
}

/* A wait for the client is over, with so many bytes. The request's deadline has stood still meanwhile. */
static bool too_slow(struct exchange *ex, rt_time from, size_t bytes) {
    const struct cfg_limits *limits = &ex->snapshot->root->limits;
    rt_time waited = rt_now() - from;
    if (!deadline_holds(ex))
        ex->call.deadline = rt_after(ex->call.deadline, waited);
    return gw_pace_slow(&ex->receiving, waited, bytes, (uint64_t)limits->body_min_rate, limits->rate_window);
}

/* What a receive has given, judged. */
static int received(struct exchange *ex, rt_time from, ssize_t n) {
    bool slow = too_slow(ex, from, n > 0 ? (size_t)n : 0);
    if (n <= 0)
        return receive_error(n, ex);
    return slow ? -HTTP_E_BODY_TIMEOUT : 0;
}

static int give(struct exchange *ex, struct b_slice piece, struct b_slice *out) {
    ex->body_in += piece.len;
    ex->continue_sent = true; /* it has not waited */
    if (ex->body_in > ex->route->max_body)
        return -HTTP_E_BODY_TOO_LARGE;
    *out = piece;
    return 1;
}

static int read_length(struct exchange *ex, struct b_slice *out) {
    struct gw_conn *c = ex->conn;
    struct b_slice piece = unread(c);
    if (piece.len) {
        if (piece.len > ex->body_left)
            piece.len = (size_t)ex->body_left;
        c->in_at += (uint32_t)piece.len;
    } else {
        size_t most = ex->body_left < RT_SCRATCH_BYTES ? (size_t)ex->body_left : RT_SCRATCH_BYTES;
        int rc = invite(ex);
        if (rc)
            return rc;
        rt_time from = rt_now();
        ssize_t n = rt_receive_lent(&c->stream, b_slice(NULL, 0), most, &piece, body_deadline(ex));
        rc = received(ex, from, n);
        if (rc)
            return rc;
    }
    ex->body_left -= piece.len;
    ex->body_done = ex->body_left == 0;
    return give(ex, piece, out);
}

/* More of a chunked body, received into the connection's own block: its pieces then outlive a wait. */
static int refill(struct exchange *ex) {
    struct gw_conn *c = ex->conn;
    if (c->in_cap < IN_BYTES) {
        b_free(c->in);
        c->in = b_alloc(B_TAG_REQUESTS, IN_BYTES);
        c->in_cap = c->in ? IN_BYTES : 0;
        c->in_at = c->in_len = 0;
        if (!c->in)
            return -HTTP_E_OUT_OF_MEMORY;
    }
    int rc = invite(ex);
    if (rc)
        return rc;
    rt_time from = rt_now();
    ssize_t n = rt_receive(&c->stream, c->in, c->in_cap, body_deadline(ex));
    rc = received(ex, from, n);
    if (rc)
        return rc;
    c->in_at = 0;
    c->in_len = (uint32_t)n;
    return 0;
}

static int read_chunked(struct exchange *ex, struct b_slice *out) {
    struct gw_conn *c = ex->conn;
    for (;;) {
        struct b_slice in = unread(c), data;
        int rc = h1_chunked_next(&ex->chunked, &in, &data);
        c->in_at = c->in_len - (uint32_t)in.len;
        if (rc == H1_CHUNK_DATA)
            return give(ex, data, out);
        if (rc == H1_CHUNK_END) {
            ex->body_done = true;
            return 0;
        }
        if (rc < 0)
            return rc;
        rc = refill(ex);
        if (rc)
            return rc;
    }
}

int gw_read_body(struct exchange *ex, struct b_slice *piece) {
    int rc = 0;
    *piece = b_slice(NULL, 0);
    if (ex->body_done)
        return 0;
    if (ex->req.body == HTTP_BODY_LENGTH)
        rc = read_length(ex, piece);
    else
        rc = read_chunked(ex, piece);
    if (rc < 0)
        ex->close = true; /* where the next request begins is not known any more */
    return rc;
}

/* Whether gw_read_body would not wait: a chunk's head alone is nothing to be read. 1, 0, or -(enum http_error). */
static int is_there(struct exchange *ex) {
    struct gw_conn *c = ex->conn;
    struct b_slice in = unread(c);
    if (ex->body_done)
        return 1;
    if (ex->req.body != HTTP_BODY_CHUNKED)
        return in.len != 0;
    int rc = h1_chunked_skip(&ex->chunked, &in);
    c->in_at = c->in_len - (uint32_t)in.len;
    return rc < 0 ? rc : rc != H1_CHUNK_MORE;
}

static int wait_either(struct exchange *ex, struct rt_stream *other) {
    struct rt_wait waits[2] = {{.stream = &ex->conn->stream, .want = RT_READ},
                               {.stream = other, .want = RT_READ}};
    int rc = invite(ex);
    if (rc)
        return rc;
    rt_time from = rt_now();
    rc = rt_wait_any(waits, 2, body_deadline(ex));
    if (ex->sent == GW_SENT_NOTHING) /* later on it may be the origin that is waited for */
        (void)too_slow(ex, from, 0); /* asked again when bytes have come */
    return rc < 0 ? receive_error(rc, ex) : waits[1].got != 0;
}

int gw_wait_body(struct exchange *ex, struct rt_stream *other) {
    int rc;
    (void)
        rt_yield_due(); /* of many small chunks that have come; the reading finds out when it is cancelled */
    while ((rc = is_there(ex)) == 0) {
        rc = wait_either(ex, other);
        if (rc == 1)
            return 1;
        if (rc == 0 && ex->req.body != HTTP_BODY_CHUNKED)
            return 0;
        rc = rc ? rc : refill(ex);
        if (rc)
            break;
    }
    if (rc < 0)
        ex->close = true; /* as in gw_read_body */
    return rc < 0 ? rc : 0;
}

int gw_read_whole_body(struct exchange *ex, struct b_text *out) {
    const struct http_field *coding = http_fields_find(&ex->req.fields, HTTP_FIELD_CONTENT_ENCODING);
    struct b_slice piece;
    int rc;
    if (coding && !b_slice_ieq(http_field_value(coding), B_LIT("identity")))
        return gw_error(ex, HTTP_E_CONTENT_CODING, "the body is coded (%.*s), and has to be read",
                        B_FMT(http_field_value(coding)));
    if (ex->req.body == HTTP_BODY_LENGTH && ex->req.content_length <= ex->route->max_body)
        b_text_reserve_exactly(out, (size_t)ex->req.content_length);
    while ((rc = gw_read_body(ex, &piece)) > 0)
        b_text_slice_add(out, piece);
    if (rc == 0 && !unread(ex->conn).len) /* thousands of them may wait for what is made of their bodies */
        gw_conn_drop_in(ex->conn);
    return rc < 0 ? rc : out->failed ? -HTTP_E_OUT_OF_MEMORY : 0;
}
