/* A response on its way in: its head, after the interim ones, and its body. */
#include <errno.h>

#include "http/h1_parse.h"
#include "runtime/worker.h"
#include "upstream/exchange.h"

int up_bad_response(struct up_exchange *x, enum http_error why) {
    x->bad = why;
    x->outcome = UP_BAD_RESPONSE;
    return up_fail(x, HTTP_E_UPSTREAM_BAD_RESPONSE, http_error_info(why)->title);
}

/* Whether a 101 switches to the protocol that was asked for, and to no other (S24). */
static bool switches(const struct up_exchange *x) {
    struct b_slice upgrade = x->client->upgrade;
    const struct http_fields *fs = &x->res.fields;
    const struct http_field *f = http_fields_find(fs, HTTP_FIELD_UPGRADE);
    return upgrade.len && f && x->res.minor == 1 && b_slice_ieq(http_field_value(f), upgrade) &&
           !http_fields_next(fs, HTTP_FIELD_UPGRADE, f) &&
           http_fields_has_token(fs, HTTP_FIELD_CONNECTION, B_LIT("upgrade"));
}

/* Parses the head at the front of `in`, interim or final: its length, 0 when it is not whole, or -(enum http_error). */
static ssize_t parse_head(struct up_exchange *x, const struct http_request *req, struct b_slice in) {
    enum http_error why = HTTP_OK;
    ssize_t n = h1_parse_response(in, &x->upstream->limits, x->fields, x->cap, req->method, &x->res, &why);
    if (n < 0)
        return up_bad_response(x, why);
    if (n > 0 && x->res.status == 101 && !switches(x))
        return up_bad_response(x, HTTP_E_UNASKED_SWITCH);
    return n;
}

static bool is_interim(const struct up_exchange *x) {
    return x->res.status < 200 && x->res.status != 101;
}

bool up_final_begun(struct up_exchange *x, const struct http_request *req, struct b_slice in) {
    for (unsigned seen = x->interim; in.len;) {
        ssize_t n = parse_head(x, req, in);
        if (n <= 0)
            return n < 0;
        if (!is_interim(x) || ++seen > UP_INTERIM_MAX)
            return true;
        in = b_slice_from(in, (size_t)n);
    }
    return false;
}

/* Read along with a head, no more: the rest of a large body is better not copied. */
#define HEAD_READ_BYTES 16384

/* What comes behind what was kept, lent until the next wait. */
static int receive(struct up_exchange *x, const struct rt_call *call, size_t max, rt_time deadline,
                   struct b_slice *all) {
    struct up_conn *c = x->conn;
    struct b_slice kept = b_slice(c->in, c->in_len);
    ssize_t n = rt_receive_lent(&c->stream, kept, max, all, deadline);
    if (n < 0)
        return up_socket_error(x, call, (int)n);
    if (n == 0)
        return up_fail(x, HTTP_E_UPSTREAM_CLOSED, NULL);
    c->in_len = 0;
    c->reused = false; /* an end after this is not the keep-alive race (U01) */
    return 0;
}

/* Keeps bytes across a wait. */
static int keep(struct up_exchange *x, struct b_slice bytes) {
    struct up_conn *c = x->conn;
    if (!bytes.len)
        return 0;
    if (!c->in) {
        c->in = b_alloc(B_TAG_REQUESTS, RT_SCRATCH_BYTES);
        if (!c->in)
            return up_fail(x, HTTP_E_OUT_OF_MEMORY, NULL);
    }
    memmove(c->in, bytes.ptr, bytes.len);
    c->in_len = (uint32_t)bytes.len;
    return 0;
}

static void body_begins(struct up_exchange *x) {
    x->done = !http_body_expected(x->res.body, x->res.content_length);
    x->left = x->res.content_length;
    if (x->res.body == HTTP_BODY_CHUNKED)
        h1_chunked_init(&x->chunked, NULL, x->upstream->limits.max_header_bytes);
}

/* Bytes that were kept, back in the scratch buffer. */
static struct b_slice take_kept(struct up_conn *c) {
    size_t kept = c->in_len;
    if (kept)
        memcpy(rt_scratch_in(), c->in, kept);
    c->in_len = 0;
    return b_slice(rt_scratch_in(), kept);
}

/* Passes the interim response on that was parsed from the first n bytes of *in. The wait may take the scratch buffer
 * away: what follows is kept meanwhile. 100 answers an Expect, which weir has done itself (S23). */
static int pass_on(struct up_exchange *x, const struct up_client *client, struct b_slice *in, size_t n) {
    if (++x->interim > UP_INTERIM_MAX)
        return up_bad_response(x, HTTP_E_TOO_MANY_INTERIM);
    *in = b_slice_from(*in, n);
    if (x->res.status == 100 || !client->interim)
        return 0;
    int rc = keep(x, *in);
    x->interim_passed = true;
    if (rc == 0)
        rc = client->interim(client->arg, &x->res);
    *in = take_kept(x->conn);
    return rc;
}

int up_pass_interim(struct up_exchange *x, const struct http_request *req, const struct up_client *client) {
    struct b_slice in = take_kept(x->conn);
    int rc = 0;
    while (rc == 0 && in.len) {
        ssize_t n = parse_head(x, req, in);
        if (n <= 0 || !is_interim(x))
            break; /* for up_read_head */
        rc = pass_on(x, client, &in, (size_t)n);
    }
    return rc ? rc : keep(x, in);
}

int up_read_head(struct up_exchange *x, const struct rt_call *call, const struct http_request *req,
                 const struct up_client *client, rt_time deadline) {
    struct b_slice in = take_kept(x->conn);
    int rc = 0;
    x->phase = "first byte";
    while (rc == 0) {
        ssize_t n = in.len ? parse_head(x, req, in) : 0;
        if (n < 0)
            return (int)n;
        if (n > 0 && !is_interim(x)) {
            x->input = b_slice_from(in, (size_t)n);
            body_begins(x);
            return 0;
        }
        if (n > 0) {
            rc = pass_on(x, client, &in, (size_t)n);
            continue;
        }
        rc = keep(x, in); /* not whole: read on */
        if (rc == 0)
            rc = receive(x, call, rt_has_pipes() ? HEAD_READ_BYTES : RT_SCRATCH_BYTES, deadline, &in);
    }
    return rc;
}

/* --- the body --- */

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
                return up_bad_response(x, (enum http_error) - rc);
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
    if (rc != -HTTP_E_UPSTREAM_CLOSED && rc != -HTTP_E_UPSTREAM_RESET)
        return rc;
    x->outcome = UP_RESET;
    return -HTTP_E_RESPONSE_TRUNCATED;
}

int up_read_ready(struct up_exchange *x, struct b_slice *pieces) {
    if (x->done)
        return 0;
    int count = pieces_of_input(x, pieces);
    return count || x->done ? count : -EAGAIN;
}

bool up_body_is_next(const struct up_exchange *x) {
    return x->res.body == HTTP_BODY_LENGTH && !x->done && !x->input.len && !x->conn->in_len &&
           !up_sends_on(x);
}

bool up_body_is_large(const struct up_exchange *x) {
    return up_body_is_next(x) && x->left >= UP_LARGE_BYTES;
}

/* n bytes of a body of known length have come; 0: the end; or negative errno. */
static ssize_t took(struct up_exchange *x, ssize_t n) {
    struct rt_call call = {.deadline = RT_NEVER};
    x->phase = "body";
    if (n <= 0)
        return truncated(x, n ? up_socket_error(x, &call, (int)n) : up_fail(x, HTTP_E_UPSTREAM_CLOSED, NULL));
    x->done = (x->left -= (uint64_t)n) == 0;
    return n;
}

ssize_t up_fill(struct up_exchange *x, struct rt_pipe *pipe, rt_time deadline) {
    return took(x, rt_pipe_fill(pipe, &x->conn->stream, x->left, deadline));
}

ssize_t up_read_into(struct up_exchange *x, char *to, size_t room, rt_time deadline) {
    size_t most = room < x->left ? room : (size_t)x->left;
    ssize_t n = rt_yield_due();
    return took(x, n ? n : rt_receive(&x->conn->stream, to, most, deadline));
}

int up_read(struct up_exchange *x, struct b_slice *pieces, rt_time deadline) {
    struct rt_call call = {.deadline = RT_NEVER};
    x->phase = "body";
    for (;;) {
        int count = up_read_ready(x, pieces);
        if (count != -EAGAIN)
            return count;
        int rc = rt_yield_due();
        if (rc == 0 && x->conn->in_len) { /* no need to read */
            x->input = take_kept(x->conn);
            continue;
        }
        if (rc == 0 && up_sends_on(x) && (rc = up_send_on(x, deadline)) != 0)
            return rc;
        rc = rc ? up_socket_error(x, &call, rc) : receive(x, &call, RT_SCRATCH_BYTES, deadline, &x->input);
        if (rc)
            return truncated(x, rc);
    }
}
