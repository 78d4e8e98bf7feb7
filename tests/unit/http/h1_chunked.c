#include "http/h1_chunked.h"

#include <stdio.h>

#include "http/h1_parse.h"
#include "support.h"

/* What came out of a decoder that was given its input in pieces. */
struct decoded {
    int result;
    size_t consumed;
    char data[1024];
    size_t len;
    char trailers[1024];
    size_t trailers_len;
};

/* Gives `in` in pieces that end at the cuts (ascending, ended by in.len). */
static void decode(struct decoded *out, struct b_slice in, const size_t *cuts) {
    struct b_text trailers = b_text_fixed(out->trailers, sizeof out->trailers);
    struct h1_chunked d;
    *out = (struct decoded){.result = H1_CHUNK_MORE};
    h1_chunked_init(&d, &trailers, 200);
    for (size_t from = 0; out->result > 0; from = *cuts++) {
        char *bytes = exact_copy(b_slice(in.ptr + from, *cuts - from));
        struct b_slice piece = b_slice(bytes, *cuts - from), data;
        while ((out->result = h1_chunked_next(&d, &piece, &data)) == H1_CHUNK_DATA) {
            CHECK(data.len > 0 && out->len + data.len <= sizeof out->data);
            memcpy(out->data + out->len, data.ptr, data.len);
            out->len += data.len;
        }
        if (out->result == H1_CHUNK_MORE)
            CHECK_UINT(piece.len, 0);
        out->consumed = *cuts - piece.len;
        b_free(bytes);
        if (*cuts == in.len)
            break;
    }
    out->trailers_len = trailers.len;
}

static void decode_whole(struct decoded *out, struct b_slice in) {
    const size_t cuts[] = {in.len};
    decode(out, in, cuts);
}

/* The same in one piece, in two at every place, and byte by byte. */
static void check_every_split(struct b_slice in, const struct decoded *want) {
    struct decoded got;
    size_t each[600];
    for (size_t cut = 0; cut <= in.len; cut++) {
        const size_t cuts[] = {cut, in.len, in.len};
        decode(&got, in, cuts);
        CHECK_INT(got.result, want->result);
        CHECK_BYTES(got.data, got.len, want->data, want->len);
        CHECK_BYTES(got.trailers, got.trailers_len, want->trailers, want->trailers_len);
        CHECK_UINT(got.consumed, want->consumed);
    }
    for (size_t i = 0; i < in.len; i++)
        each[i] = i + 1;
    decode(&got, in, each);
    CHECK_INT(got.result, want->result);
    CHECK_BYTES(got.data, got.len, want->data, want->len);
    CHECK_UINT(got.consumed, want->consumed);
}

TEST(decodes) {
    static const struct {
        struct b_slice in;
        const char *data, *trailers;
        size_t rest;
    } rows[] = {
        {B_LIT("0\r\n\r\n"), "", "\r\n", 0},
        {B_LIT("5\r\nhello\r\n0\r\n\r\n"), "hello", "\r\n", 0},
        {B_LIT("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET /"), "hello world", "\r\n", 5},
        {B_LIT("000a\r\n0123456789\r\nB\r\n0123456789A\r\n00\r\n\r\n"), "01234567890123456789A", "\r\n", 0},
        {B_LIT("2;a=b;c;d=\"x;\\\"\t y\"\r\n\r\n\r\n0;z\r\n\r\n"), "\r\n", "\r\n", 0},
        {B_LIT("1\r\nx\r\n0\r\nX-Sum: 1 2\r\nY:\r\n\r\nrest"), "x", "X-Sum: 1 2\r\nY:\r\n\r\n", 4},
        {B_LIT("000000000000000F\r\n0123456789abcde\r\n0\r\n\r\n"), "0123456789abcde", "\r\n", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct decoded got;
        decode_whole(&got, rows[i].in);
        CHECK_INT(got.result, H1_CHUNK_END);
        CHECK_SLICE(got.data, got.len, rows[i].data);
        CHECK_SLICE(got.trailers, got.trailers_len, rows[i].trailers);
        CHECK_UINT(got.consumed, rows[i].in.len - rows[i].rest);
        check_every_split(rows[i].in, &got);
        for (size_t len = 0; len < got.consumed; len++) {
            struct decoded part;
            decode_whole(&part, b_slice(rows[i].in.ptr, len));
            CHECK_INT(part.result, H1_CHUNK_MORE);
            CHECK_UINT(part.consumed, len);
        }
    }
}

static void check_refused(const struct b_slice *rows, size_t n, enum http_error want) {
    for (size_t i = 0; i < n; i++) {
        struct decoded got;
        decode_whole(&got, rows[i]);
        if (got.result != -(int)want)
            FAIL("%.*s: got %d, not %s", B_FMT(rows[i]), got.result, http_error_info(want)->code);
        check_every_split(rows[i], &got);
    }
}
#define CHECK_REFUSED(rows, want) check_refused(rows, sizeof(rows) / sizeof(rows)[0], want)

TEST(S11_bare_line_ends) {
    static const struct b_slice rows[] = {
        B_LIT("5\nhello\r\n0\r\n\r\n"),
        B_LIT("5\r\nhello\n0\r\n\r\n"),
        B_LIT("\nhello\r\n"),
        B_LIT("5\r\nhello\n\n0\r\n\r\n"),
        B_LIT("0\n\r\n"),
        B_LIT("5;\nhello\r\n"),
        B_LIT("5;a\nhello\r\n0\r\n\r\n"),
        B_LIT("5;a=\"\n\"\r\n"),
        B_LIT("5;a=\"\\\n\"\r\n"),
        B_LIT("0\r\n\n"),
        B_LIT("0\r\nA: b\n\r\n"),
        B_LIT("0\r\nA\n\r\n"),
    };
    static const struct b_slice bare_cr[] = {
        B_LIT("5\rhello\r\n"),     B_LIT("5\r\nhello\r0\r\n\r\n"),
        B_LIT("0\r\n\rX"),         B_LIT("0\r\nA: b\rC: d\r\n\r\n"),
        B_LIT("5\r\nhello\r\r\n"), B_LIT("0\r\rX"),
    };
    CHECK_REFUSED(rows, HTTP_E_BARE_LF);
    CHECK_REFUSED(bare_cr, HTTP_E_BARE_CR);
}

TEST(S12_sizes) {
    static const struct b_slice rows[] = {
        B_LIT("\r\nhello\r\n"),
        B_LIT(";a\r\nhello\r\n"),
        B_LIT("0x5\r\nhello\r\n0\r\n\r\n"),
        B_LIT("+5\r\nhello\r\n0\r\n\r\n"),
        B_LIT("-5\r\nhello\r\n0\r\n\r\n"),
        B_LIT("-0\r\n\r\n"),
        B_LIT("1_0\r\nhello\r\n0\r\n\r\n"),
        B_LIT(" 5\r\nhello\r\n0\r\n\r\n"),
        B_LIT("5 \r\nhello\r\n0\r\n\r\n"),
        B_LIT("\t5\r\nhello\r\n0\r\n\r\n"),
        B_LIT("5\t\r\nhello\r\n0\r\n\r\n"),
        B_LIT("5 ;a\r\nhello\r\n0\r\n\r\n"),
        B_LIT("5,\r\nhello\r\n0\r\n\r\n"),
        B_LIT("g\r\n"),
        B_LIT("5\0\r\nhello\r\n"),
        B_LIT("00000000000000005\r\nhello\r\n0\r\n\r\n"),
        B_LIT("8000000000000000\r\n"),
        B_LIT("ffffffffffffffff\r\n"),
        B_LIT("10000000000000005\r\nhello\r\n"),
    };
    CHECK_REFUSED(rows, HTTP_E_BAD_CHUNK_SIZE);
}

TEST(S13_extensions) {
    static const struct b_slice rows[] = {
        B_LIT("5;\r\nhello\r\n"),   B_LIT("5;;a\r\nhello\r\n"),    B_LIT("5;a=\r\nhello\r\n"),
        B_LIT("5;=b\r\nhello\r\n"), B_LIT("5;a b\r\nhello\r\n"),   B_LIT("5; a\r\nhello\r\n"),
        B_LIT("5;a\0\r\nhello"),    B_LIT("5;a=\"b\r\nhello\r\n"), B_LIT("5;a=\"b\"c\r\nhello"),
        B_LIT("5;a=\"\0\"\r\n"),    B_LIT("5;a=\"\\\r\n"),         B_LIT("5;a=b=c\r\nhello\r\n"),
        B_LIT("5;a\x80\r\nhello"),  B_LIT("0;\r\n\r\n"),
    };
    CHECK_REFUSED(rows, HTTP_E_BAD_CHUNK_EXTENSION);
}

/* A chunk of one byte whose extension, ';' included, takes n. */
static int with_extension(struct h1_chunked *d, size_t n) {
    char head[400];
    struct b_text text = b_text_fixed(head, sizeof head);
    b_text_lit(&text, "1;");
    for (size_t i = 1; i < n; i++)
        b_text_char(&text, 'e');
    b_text_lit(&text, "\r\nx\r\n");
    struct b_slice in = b_text_slice(&text), data;
    int r = h1_chunked_next(d, &in, &data);
    return r == H1_CHUNK_DATA ? h1_chunked_next(d, &in, &data) : r;
}

TEST(S13_extensions_too_large) {
    struct h1_chunked d;
    h1_chunked_init(&d, NULL, 0);
    CHECK_INT(with_extension(&d, 256), H1_CHUNK_MORE);
    CHECK_INT(with_extension(&d, 257), -HTTP_E_CHUNK_EXTENSION_TOO_LARGE);
    h1_chunked_init(&d, NULL, 0);
    for (int i = 0; i < 16 * 1024 / 128; i++)
        CHECK_INT(with_extension(&d, 128), H1_CHUNK_MORE);
    CHECK_INT(with_extension(&d, 2), -HTTP_E_CHUNK_EXTENSION_TOO_LARGE);
}

TEST(S14_data_longer_than_its_size) {
    static const struct b_slice rows[] = {
        B_LIT("4\r\nhello\r\n0\r\n\r\n"),
        B_LIT("5\r\nhello0\r\n\r\n"),
        B_LIT("5\r\nhello  \r\n0\r\n\r\n"),
    };
    static const struct b_slice shorter[] = {B_LIT("5\r\nhell\r\n0\r\n\r\n")};
    CHECK_REFUSED(rows, HTTP_E_BAD_CHUNK_END);
    CHECK_REFUSED(shorter, HTTP_E_BARE_LF); /* the CR is its fifth byte */
}

TEST(S15_malformed_trailers) {
    static const struct b_slice rows[] = {
        B_LIT("0\r\n A: b\r\n\r\n"),         B_LIT("0\r\nA b: c\r\n\r\n"),
        B_LIT("0\r\n: b\r\n\r\n"),           B_LIT("0\r\nA\r\n\r\n"),
        B_LIT("0\r\nA: \x01\r\n\r\n"),       B_LIT("0\r\nA: b\0\r\n\r\n"),
        B_LIT("0\r\nA: b\r\n c: d\r\n\r\n"), B_LIT("0\r\n\xc3\xa9: b\r\n\r\n"),
    };
    CHECK_REFUSED(rows, HTTP_E_BAD_TRAILER);
}

TEST(S15_trailers_too_large) {
    char body[300];
    struct b_slice data;
    for (int over = 0; over <= 1; over++) {
        /* lines of 200 bytes are the limit that is set here; the empty line does not count */
        int n = snprintf(body, sizeof body, "0\r\nA: %-*s\r\n\r\n", 195 + over, "x");
        struct b_slice in = b_slice(body, (size_t)n);
        struct h1_chunked d;
        h1_chunked_init(&d, NULL, 200);
        CHECK_INT(h1_chunked_next(&d, &in, &data), over ? -HTTP_E_TRAILERS_TOO_LARGE : H1_CHUNK_END);
    }
    /* the caller's text is a limit too */
    char room[10];
    struct b_text trailers = b_text_fixed(room, sizeof room);
    struct b_slice in = B_LIT("0\r\nA: b\r\nC: d\r\n\r\n");
    struct h1_chunked d;
    h1_chunked_init(&d, &trailers, 200);
    CHECK_INT(h1_chunked_next(&d, &in, &data), -HTTP_E_TRAILERS_TOO_LARGE);
}

TEST(skips_to_the_data) {
    struct h1_chunked d;
    struct b_slice in = B_LIT("5;a=b\r\nhello\r\n2"), data;
    h1_chunked_init(&d, NULL, 100);
    CHECK_INT(h1_chunked_skip(&d, &in), H1_CHUNK_DATA);
    CHECK_INT(h1_chunked_skip(&d, &in), H1_CHUNK_DATA);
    CHECK_INT(h1_chunked_next(&d, &in, &data), H1_CHUNK_DATA);
    CHECK_S(data, "hello");
    CHECK_INT(h1_chunked_skip(&d, &in), H1_CHUNK_MORE);
    CHECK_UINT(in.len, 0);
    in = B_LIT("\r\n");
    CHECK_INT(h1_chunked_skip(&d, &in), H1_CHUNK_MORE);
    in = B_LIT("ab\r\n0\r\n\r\nGET");
    CHECK_INT(h1_chunked_skip(&d, &in), H1_CHUNK_DATA);
    CHECK_INT(h1_chunked_next(&d, &in, &data), H1_CHUNK_DATA);
    CHECK_S(data, "ab");
    CHECK_INT(h1_chunked_skip(&d, &in), H1_CHUNK_END);
    CHECK_S(in, "GET");
    h1_chunked_init(&d, NULL, 100);
    in = B_LIT("g");
    CHECK(h1_chunked_skip(&d, &in) < 0);
}

TEST(stays_at_the_end) {
    struct h1_chunked d;
    struct b_slice in = B_LIT("0\r\n\r\nnext"), data;
    h1_chunked_init(&d, NULL, 0);
    CHECK_INT(h1_chunked_next(&d, &in, &data), H1_CHUNK_END);
    CHECK_INT(h1_chunked_next(&d, &in, &data), H1_CHUNK_END);
    CHECK_S(in, "next");
}

TEST(chunk_heads) {
    static const struct {
        uint64_t n;
        const char *want;
    } rows[] = {{1, "1\r\n"},         {15, "f\r\n"},
                {16, "10\r\n"},       {0xabc, "abc\r\n"},
                {4096, "1000\r\n"},   {65535, "ffff\r\n"},
                {65536, "10000\r\n"}, {UINT64_MAX, "ffffffffffffffff\r\n"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char buf[H1_CHUNK_HEAD_MAX];
        size_t n = h1_chunk_head(buf, rows[i].n);
        CHECK_SLICE(buf, n, rows[i].want);
    }
}

TEST(last_chunk_with_trailers) {
    struct http_field fields[4];
    struct http_fields fs = {.at = fields, .cap = 4};
    char buf[100];
    struct b_text out = b_text_fixed(buf, sizeof buf);
    CHECK_INT(http_fields_add(NULL, &fs, B_LIT("X-Sum"), B_LIT("1")), 0);
    CHECK_INT(http_fields_add(NULL, &fs, B_LIT("Content-Length"), B_LIT("5")), 0);
    CHECK_INT(h1_chunk_last(&out, &fs), 0);
    CHECK_SLICE(out.ptr, out.len, "0\r\nX-Sum: 1\r\n\r\n");
    out = b_text_fixed(buf, sizeof buf);
    CHECK_INT(h1_chunk_last(&out, NULL), 0);
    CHECK_SLICE(out.ptr, out.len, H1_CHUNK_LAST);
    out = b_text_fixed(buf, 12);
    CHECK_INT(h1_chunk_last(&out, &fs), -HTTP_E_INTERNAL);
    fields[0].value = "a\nb";
    fields[0].value_len = 3;
    out = b_text_fixed(buf, sizeof buf);
    CHECK_INT(h1_chunk_last(&out, &fs), -HTTP_E_BAD_OUTPUT);
}

const struct test_case h1_chunked_tests[] = {
    {"decodes", decodes},
    {"S11_bare_line_ends", S11_bare_line_ends},
    {"S12_sizes", S12_sizes},
    {"S13_extensions", S13_extensions},
    {"S13_extensions_too_large", S13_extensions_too_large},
    {"S14_data_longer_than_its_size", S14_data_longer_than_its_size},
    {"S15_malformed_trailers", S15_malformed_trailers},
    {"S15_trailers_too_large", S15_trailers_too_large},
    {"skips_to_the_data", skips_to_the_data},
    {"stays_at_the_end", stays_at_the_end},
    {"chunk_heads", chunk_heads},
    {"last_chunk_with_trailers", last_chunk_with_trailers},
    {0},
};
