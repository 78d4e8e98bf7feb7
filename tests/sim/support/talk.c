#include "support/talk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "http/h1_chunked.h"
#include "support/run.h"

struct talk *talk_new(rt_time patience) {
    struct talk *t = calloc(1, sizeof *t); /* lint: allow heap-call: not among those that are made to fail */
    if (t)
        t->patience = patience;
    return t;
}

void talk_free(struct talk *t) {
    free(t); /* lint: allow heap-call: as above */
}

ssize_t talk_fill(struct talk *t, rt_time until) {
    ssize_t n = rt_receive(&t->stream, t->in + t->len, sizeof t->in - t->len, until);
    if (n > 0)
        t->len += (size_t)n;
    return n;
}

void talk_use(struct talk *t, size_t n) {
    t->len -= n;
    memmove(t->in, t->in + n, t->len);
}

bool talk_send(struct talk *t, const void *p, size_t n) {
    struct iovec iov = {(void *)(uintptr_t)p, n};
    return !n || rt_send(&t->stream, &iov, 1, rt_after(rt_now(), t->patience)) == (ssize_t)n;
}

bool talk_send_text(struct talk *t, const char *text) {
    return talk_send(t, text, strlen(text));
}

/* --- bodies --- */

size_t talk_body_size(unsigned id, bool answer) {
    unsigned x = id * 2654435761u >> (answer ? 7 : 13);
    return x % 5 == 0 ? 0 : x % 5 == 1 ? x % 90000 : x % 700;
}

/* The bytes from `at` on: words that are a hash of whose they are and where they stand, so that no two stretches of two
 * bodies are alike. */
static void pattern(unsigned id, bool answer, size_t at, char *to, size_t n) {
    while (n) {
        struct b_rng word = {.state = ((uint64_t)id << 33 | (uint64_t)answer << 32) +
                                      at / 8 * 0x2545f4914f6cdd1du};
        uint64_t bits = b_rng_next(&word);
        size_t from = at % 8, part = n < 8 - from ? n : 8 - from;
        memcpy(to, (char *)&bits + from, part);
        to += part;
        at += part;
        n -= part;
    }
}

static void check_bytes(const struct talk_reading *r, const char *p, size_t n) {
    char expected[4096];
    for (size_t done = 0, part; done < n; done += part) {
        part = n - done < sizeof expected ? n - done : sizeof expected;
        pattern(r->id, r->answer, r->size + done, expected, part);
        if (memcmp(expected, p + done, part) != 0) {
            sim_broken("request %u: its %s holds other bytes than its own, near byte %zu", r->id,
                       r->answer ? "answer" : "body", r->size + done);
            return;
        }
    }
}

bool talk_send_body(struct talk *t, const struct talk_sending *s) {
    for (size_t at = 0, part; at < s->bytes; at += part) {
        char line[H1_CHUNK_HEAD_MAX];
        size_t left = s->bytes - at;
        part = 1 + (size_t)sim_draw(left < sizeof t->out ? left : sizeof t->out);
        pattern(s->id, s->answer, at, t->out, part);
        if (s->chunked && !talk_send(t, line, h1_chunk_head(line, part)))
            return false;
        if (!talk_send(t, t->out, part) || (s->chunked && !talk_send_text(t, H1_CHUNK_TAIL)))
            return false;
        if (s->pause && sim_draw(20) == 0) {
            if (s->paused)
                *s->paused = rt_now();
            sim_pause(s->pause);
            if (s->paused)
                *s->paused = 0;
        }
    }
    return true;
}

/* What has come, cut and checked. 1: more is needed. */
static int take_body(struct talk *t, struct talk_reading *r, struct h1_chunked *chunked) {
    struct b_slice in = b_slice(t->in, t->len), data = in;
    int rc = H1_CHUNK_DATA;
    if (r->kind == HTTP_BODY_LENGTH && data.len > r->left)
        data.len = (size_t)r->left;
    if (r->kind == HTTP_BODY_CHUNKED)
        rc = h1_chunked_next(chunked, &in, &data);
    else
        in = b_slice_from(in, data.len);
    if (rc < 0)
        return TALK_MALFORMED;
    if (rc == H1_CHUNK_DATA) {
        if (r->progress)
            *r->progress = rt_now();
        if (r->id)
            check_bytes(r, data.ptr, data.len);
        r->size += data.len;
        r->left -= r->kind == HTTP_BODY_LENGTH ? data.len : 0;
    }
    talk_use(t, t->len - in.len);
    return rc == H1_CHUNK_END || (r->kind == HTTP_BODY_LENGTH && r->left == 0) ? TALK_WHOLE : -1;
}

enum talk_result talk_read_body(struct talk *t, struct talk_reading *r) {
    struct h1_chunked chunked;
    h1_chunked_init(&chunked, NULL, 1024);
    r->size = 0;
    if (!http_body_expected(r->kind, r->left))
        return TALK_WHOLE;
    for (;;) {
        int rc = take_body(t, r, &chunked);
        if (rc >= 0)
            return (enum talk_result)rc;
        if (t->len)
            continue;
        ssize_t n = talk_fill(t, rt_after(rt_now(), r->patience));
        if (n == -ETIMEDOUT)
            return TALK_SILENT;
        if (n <= 0)
            return n == 0 && r->kind == HTTP_BODY_UNTIL_CLOSE ? TALK_WHOLE : TALK_BROKEN_OFF;
    }
}
