/* What an origin sends for one request, read to its end: interim responses, head, body, and what is left over. The first byte
 * of the input says which method is answered. How the bytes are cut must change nothing, and what was understood, written as
 * weir writes it, must be understood as the same. */
#include <assert.h>

#include "base/text.h"
#include "http/h1_chunked.h"
#include "http/h1_parse.h"
#include "http/h1_write.h"
#include "splits.h"

#define FIELDS 128
#define INPUT_MAX 40000
#define INTERIM_MAX 10

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct answer {
    enum http_method method;
    char held[2 * INPUT_MAX]; /* received and not used */
    size_t len;
    enum { HEAD, BODY, DONE, BROKEN } state;
    unsigned interim;
    uint64_t left;
    struct h1_chunked chunked;
    struct http_response response;
    struct http_field fields[FIELDS];
    char head[INPUT_MAX]; /* which the response points into */
    char body[INPUT_MAX];
    size_t body_len;
};

static void use(struct answer *a, size_t n) {
    a->len -= n;
    memmove(a->held, a->held + n, a->len);
}

/* True when there may be more to do with what is held. */
static bool read_head(struct answer *a) {
    struct http_limits limits = http_limits_default;
    enum http_error why;
    memcpy(a->head, a->held, a->len < INPUT_MAX ? a->len : INPUT_MAX);
    ssize_t n = h1_parse_response(b_slice(a->head, a->len), &limits, a->fields, FIELDS, a->method,
                                  &a->response, &why);
    if (n == 0)
        return false;
    bool interim = n > 0 && a->response.status < 200;
    if (n < 0 || (interim && (a->response.status == 101 || ++a->interim > INTERIM_MAX))) {
        a->state = BROKEN;
        return false;
    }
    use(a, (size_t)n);
    if (interim)
        return true;
    a->left = a->response.content_length;
    a->state = http_body_expected(a->response.body, a->left) ? BODY : DONE;
    h1_chunked_init(&a->chunked, NULL, limits.max_header_bytes);
    return a->state == BODY;
}

static bool read_body(struct answer *a) {
    struct b_slice in = b_slice(a->held, a->len), data = in;
    int rc = H1_CHUNK_DATA;
    if (a->response.body == HTTP_BODY_LENGTH && data.len > a->left)
        data.len = (size_t)a->left;
    if (a->response.body == HTTP_BODY_CHUNKED)
        rc = h1_chunked_next(&a->chunked, &in, &data);
    else
        in = b_slice_from(in, data.len);
    if (rc == H1_CHUNK_DATA) {
        memcpy(a->body + a->body_len, data.ptr, data.len);
        a->body_len += data.len;
        a->left -= a->response.body == HTTP_BODY_LENGTH ? data.len : 0;
    }
    use(a, a->len - in.len);
    if (rc < 0)
        a->state = BROKEN;
    else if (rc == H1_CHUNK_END || (a->response.body == HTTP_BODY_LENGTH && a->left == 0))
        a->state = DONE;
    return rc == H1_CHUNK_DATA;
}

static void read_all(struct answer *a, struct b_slice in, enum http_method method, struct splits s) {
    a->method = method;
    a->len = a->body_len = a->interim = 0;
    a->state = HEAD;
    while (in.len && a->state != BROKEN) {
        size_t n = split_next(&s, in.len);
        memcpy(a->held + a->len, in.ptr, n);
        a->len += n;
        in = b_slice_from(in, n);
        while (a->len && (a->state == HEAD ? read_head(a) : a->state == BODY && read_body(a)))
            continue;
    }
}

static void check_same(const struct answer *a, const struct answer *b, bool cut_only) {
    assert(a->state == b->state && a->body_len == b->body_len);
    assert(memcmp(a->body, b->body, a->body_len) == 0);
    assert(!cut_only || (a->interim == b->interim && (a->state == BROKEN || a->len == b->len)));
    if (a->state == HEAD || a->state == BROKEN)
        return;
    assert(a->response.status == b->response.status);
    assert(!cut_only || a->response.fields.count == b->response.fields.count);
}

/* As weir sends it on: a head of its own, and chunks where the length is not known. */
static void check_again(struct answer *a) {
    static char buf[4 * INPUT_MAX];
    static struct answer again;
    struct b_text out = b_text_fixed(buf, sizeof buf);
    char size[H1_CHUNK_HEAD_MAX];
    if (a->response.body == HTTP_BODY_UNTIL_CLOSE)
        a->response.body = HTTP_BODY_CHUNKED;
    bool chunked = a->response.body == HTTP_BODY_CHUNKED;
    http_fields_strip_hop(&a->response.fields);
    int rc = h1_write_response(&out, &a->response, a->method == HTTP_METHOD_HEAD ? H1_WRITE_TO_HEAD : 0,
                               b_slice(NULL, 0));
    assert(rc == 0);
    size_t head = out.len;
    if (chunked && a->body_len)
        b_text_add(&out, size, h1_chunk_head(size, a->body_len));
    b_text_add(&out, a->body, a->body_len);
    if (chunked && a->body_len)
        b_text_lit(&out, H1_CHUNK_TAIL);
    if (chunked)
        b_text_lit(&out, H1_CHUNK_LAST);
    assert(!out.failed);
    /* what weir writes has framing of its own, and a space behind each colon: it may be more than is taken here */
    if (out.len > INPUT_MAX || a->response.fields.count + 2u > http_limits_default.max_headers ||
        head > http_limits_default.max_header_bytes)
        return;
    read_all(&again, b_text_slice(&out), a->method, (struct splits){.how = SPLIT_NOT});
    assert(again.state == DONE && again.len == 0);
    check_same(a, &again, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const enum http_method methods[] = {HTTP_METHOD_GET, HTTP_METHOD_HEAD, HTTP_METHOD_POST};
    static struct answer whole, cut;
    if (size < 1 || size > INPUT_MAX)
        return 0;
    enum http_method method = methods[data[0] % 3];
    struct b_slice in = b_slice(data + 1, size - 1);
    uint64_t seed = 0;
    digest_bytes(&seed, in);
    read_all(&whole, in, method, (struct splits){.how = SPLIT_NOT});
    read_all(&cut, in, method, (struct splits){.how = SPLIT_RANDOM, .rng = {seed}});
    check_same(&whole, &cut, true);
    if (size < 500) {
        read_all(&cut, in, method, (struct splits){.how = SPLIT_BYTES});
        check_same(&whole, &cut, true);
    }
    bool ended = whole.state == DONE || (whole.state == BODY && whole.response.body == HTTP_BODY_UNTIL_CLOSE);
    if (ended) {
        whole.state = DONE;
        check_again(&whole);
    }
    return 0;
}
