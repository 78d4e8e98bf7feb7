/* The chunked coding: the result must not depend on how the input is cut, the trailers that are gathered must
 * parse, and what was decoded must survive being encoded again. */
#include <assert.h>

#include "http/h1_chunked.h"
#include "http/h1_parse.h"

#define TRAILER_MAX 1024

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct decoded {
    int result;
    size_t consumed, len, trailers_len;
    char data[1 << 16];
    char trailers[TRAILER_MAX + 2];
};

/* In pieces of `step` bytes, the first of `first`. */
static void decode(struct decoded *out, struct b_slice in, size_t first, size_t step) {
    struct h1_chunked d;
    struct b_text trailers = b_text_fixed(out->trailers, sizeof out->trailers);
    h1_chunked_init(&d, &trailers, TRAILER_MAX);
    out->result = H1_CHUNK_MORE;
    out->len = out->consumed = 0;
    for (size_t n = first; out->result == H1_CHUNK_MORE && in.len; n = step) {
        struct b_slice piece = b_slice(in.ptr, n < in.len ? n : in.len), rest = piece, data;
        while ((out->result = h1_chunked_next(&d, &rest, &data)) == H1_CHUNK_DATA) {
            assert(data.len > 0 && data.ptr >= piece.ptr && data.ptr + data.len <= piece.ptr + piece.len);
            assert(out->len + data.len <= sizeof out->data);
            memcpy(out->data + out->len, data.ptr, data.len);
            out->len += data.len;
        }
        assert(out->result != H1_CHUNK_MORE || rest.len == 0);
        out->consumed += piece.len - rest.len;
        in = b_slice_from(in, piece.len - rest.len);
    }
    out->trailers_len = trailers.len;
}

static void check_same(const struct decoded *a, const struct decoded *b) {
    assert(a->result == b->result && a->consumed == b->consumed);
    assert(a->len == b->len && memcmp(a->data, b->data, a->len) == 0);
    assert(a->trailers_len == b->trailers_len && memcmp(a->trailers, b->trailers, a->trailers_len) == 0);
}

/* The data as two chunks, and a last one. */
static void check_encoded(const struct decoded *d, struct decoded *again) {
    static char buf[(1 << 16) + 64];
    struct b_text out = b_text_fixed(buf, sizeof buf);
    size_t at = 0, half = d->len / 2;
    while (at < d->len) {
        size_t n = at == 0 && half ? half : d->len - at;
        char head[H1_CHUNK_HEAD_MAX];
        b_text_add(&out, head, h1_chunk_head(head, n));
        b_text_add(&out, d->data + at, n);
        b_text_lit(&out, H1_CHUNK_TAIL);
        at += n;
    }
    assert(h1_chunk_last(&out, NULL) == 0);
    decode(again, b_text_slice(&out), out.len, 1);
    assert(again->result == H1_CHUNK_END && again->consumed == out.len);
    assert(again->len == d->len && memcmp(again->data, d->data, d->len) == 0);
}

static void check_trailers(const struct decoded *d) {
    static struct http_field fields[TRAILER_MAX];
    struct http_fields trailers;
    struct http_limits limits = {.max_header_bytes = TRAILER_MAX + 3,
                                 .max_headers = TRAILER_MAX,
                                 .allow = HTTP_ALLOW_UNDERSCORE};
    ssize_t r =
        h1_parse_trailers(b_slice(d->trailers, d->trailers_len), &limits, fields, TRAILER_MAX, &trailers);
    /* names with underscores that pose as others are the one thing that only the parser refuses */
    assert(r == (ssize_t)d->trailers_len || (r < 0 && memchr(d->trailers, '_', d->trailers_len)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct decoded whole, other;
    struct b_slice in = b_slice(data, size);
    if (size > sizeof whole.data)
        return 0;
    decode(&whole, in, size, 1);
    decode(&other, in, 1, 1);
    check_same(&whole, &other);
    decode(&other, in, 1 + (size ? data[size / 2] : 0), 7);
    check_same(&whole, &other);
    if (whole.result == H1_CHUNK_END) {
        check_trailers(&whole);
        check_encoded(&whole, &other);
    }
    return 0;
}
