#include <stdio.h>

#include "support.h"

/* One parsed response; the slices die with the call. */
struct answer {
    ssize_t result;
    enum http_error why;
    struct http_response response;
};

static struct answer answer_to(enum http_method method, struct b_slice head) {
    struct answer a;
    struct http_field fields[FIELDS];
    char *bytes = exact_copy(head);
    a.result = h1_parse_response(b_slice(bytes, head.len), &http_limits_default, fields, FIELDS, method,
                                 &a.response, &a.why);
    b_free(bytes);
    return a;
}

#define H(lines) B_LIT("HTTP/1.1 " lines "\r\n\r\n")

TEST(typical_response) {
    struct http_field fields[FIELDS];
    struct http_response r;
    struct b_slice head =
        B_LIT("HTTP/1.1 404 Not  Found \r\nServer: x\r\nX_Y: z\r\nContent-Length: 12\r\n\r\n");
    CHECK_INT(h1_parse_response(head, &http_limits_default, fields, FIELDS, HTTP_METHOD_GET, &r, NULL),
              (ssize_t)head.len);
    CHECK_INT(r.status, 404);
    CHECK_S(r.reason, "Not  Found ");
    CHECK_INT(r.minor, 1);
    CHECK(r.keep_alive);
    CHECK_INT(r.body, HTTP_BODY_LENGTH);
    CHECK_UINT(r.content_length, 12);
    CHECK_INT(r.fields.count, 3);
    CHECK_S(http_field_name(&r.fields.at[1]), "X_Y");
}

TEST(every_part_is_incomplete) {
    static const struct b_slice heads[] = {
        H("200 OK\r\nContent-Length: 5\r\nX: y"),
        H("200"),
        H("200 "),
        B_LIT("HTTP/1.0 200 OK\r\n\r\n"),
        H("101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket"),
        H("200 caf\xe9\ttab\r\nTransfer-Encoding: chunked"),
    };
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        CHECK_INT(answer_to(HTTP_METHOD_GET, heads[i]).result, (ssize_t)heads[i].len);
        for (size_t len = 0; len < heads[i].len; len++) {
            struct answer a = answer_to(HTTP_METHOD_GET, b_slice(heads[i].ptr, len));
            CHECK_INT(a.result, 0);
            CHECK_INT(a.why, HTTP_OK);
        }
    }
}

/* RFC 9112 section 6.3, line by line. */
TEST(body_kinds) {
    static const struct {
        enum http_method method;
        struct b_slice head;
        enum http_body_kind kind;
        uint64_t length;
        bool keep_alive;
    } rows[] = {
        {HTTP_METHOD_GET, H("200 OK"), HTTP_BODY_UNTIL_CLOSE, HTTP_LENGTH_UNKNOWN, false},
        {HTTP_METHOD_GET, H("200 OK\r\nContent-Length: 0"), HTTP_BODY_LENGTH, 0, true},
        {HTTP_METHOD_GET, H("200 OK\r\nContent-Length: 9\r\nConnection: close"), HTTP_BODY_LENGTH, 9, false},
        {HTTP_METHOD_GET, H("200 OK\r\nTransfer-Encoding: chunked"), HTTP_BODY_CHUNKED, HTTP_LENGTH_UNKNOWN,
         true},
        {HTTP_METHOD_HEAD, H("200 OK\r\nContent-Length: 9"), HTTP_BODY_NONE, 9, true},
        {HTTP_METHOD_HEAD, H("200 OK\r\nTransfer-Encoding: chunked"), HTTP_BODY_NONE, HTTP_LENGTH_UNKNOWN,
         true},
        {HTTP_METHOD_HEAD, H("200 OK"), HTTP_BODY_NONE, HTTP_LENGTH_UNKNOWN, true},
        {HTTP_METHOD_GET, H("304 Not Modified\r\nContent-Length: 9"), HTTP_BODY_NONE, 9, true},
        {HTTP_METHOD_GET, H("204 No Content"), HTTP_BODY_NONE, HTTP_LENGTH_UNKNOWN, true},
        {HTTP_METHOD_GET, H("204 No Content\r\nContent-Length: 0"), HTTP_BODY_NONE, 0, true},
        {HTTP_METHOD_GET, H("302 Found\r\nLocation: /a\r\nContent-Length: 0\r\nlocation: /a"),
         HTTP_BODY_LENGTH, 0, true},
        {HTTP_METHOD_GET, H("205 Reset Content\r\nContent-Length: 0"), HTTP_BODY_LENGTH, 0, true},
        {HTTP_METHOD_GET, H("205 Reset Content\r\nTransfer-Encoding: chunked"), HTTP_BODY_NONE,
         HTTP_LENGTH_UNKNOWN, false},
        {HTTP_METHOD_GET, H("205 Reset Content"), HTTP_BODY_NONE, HTTP_LENGTH_UNKNOWN, false},
        {HTTP_METHOD_HEAD, H("205 Reset Content"), HTTP_BODY_NONE, HTTP_LENGTH_UNKNOWN, true},
        {HTTP_METHOD_GET, H("100 Continue"), HTTP_BODY_NONE, HTTP_LENGTH_UNKNOWN, true},
        {HTTP_METHOD_GET, H("103 Early Hints\r\nLink: x"), HTTP_BODY_NONE, HTTP_LENGTH_UNKNOWN, true},
        {HTTP_METHOD_GET, H("101 Switching Protocols"), HTTP_BODY_NONE, HTTP_LENGTH_UNKNOWN, true},
        {HTTP_METHOD_CONNECT, H("200 OK"), HTTP_BODY_NONE, HTTP_LENGTH_UNKNOWN, true},
        {HTTP_METHOD_CONNECT, H("400 No\r\nContent-Length: 2"), HTTP_BODY_LENGTH, 2, true},
        {HTTP_METHOD_GET, B_LIT("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n"), HTTP_BODY_LENGTH, 3, false},
        {HTTP_METHOD_GET, B_LIT("HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\n"),
         HTTP_BODY_LENGTH, 3, true},
        {HTTP_METHOD_GET, B_LIT("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n"), HTTP_BODY_UNTIL_CLOSE,
         HTTP_LENGTH_UNKNOWN, false},
        {HTTP_METHOD_GET, H("999 Odd\r\nContent-Length: 3"), HTTP_BODY_LENGTH, 3, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct answer a = answer_to(rows[i].method, rows[i].head);
        if (a.result != (ssize_t)rows[i].head.len || a.response.body != rows[i].kind ||
            a.response.content_length != rows[i].length || a.response.keep_alive != rows[i].keep_alive)
            FAIL("%.*s: result %zd, body %d, length %llu, keep-alive %d", B_FMT(rows[i].head), a.result,
                 a.response.body, (unsigned long long)a.response.content_length, a.response.keep_alive);
    }
}

TEST(S27_refused_responses) {
    static const struct {
        struct b_slice head;
        enum http_error why;
    } rows[] = {
        {H("200 OK\r\nContent-Length: x"), HTTP_E_BAD_CONTENT_LENGTH},
        {H("200 OK\r\nContent-Length: +5"), HTTP_E_BAD_CONTENT_LENGTH},
        {H("200 OK\r\nContent-Length: 05"), HTTP_E_LEADING_ZEROS},
        {H("304 Not Modified\r\nContent-Length: x"), HTTP_E_BAD_CONTENT_LENGTH},
        {H("200 OK\r\nContent-Length: 5\r\nContent-Length: 5"), HTTP_E_DUPLICATE_CONTENT_LENGTH},
        {H("200 OK\r\nContent-Length: 5\r\nContent-Length: 6"), HTTP_E_CONFLICTING_CONTENT_LENGTH},
        {H("200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked"), HTTP_E_CL_AND_TE},
        {H("200 OK\r\nTransfer-Encoding: gzip, chunked"), HTTP_E_UNSUPPORTED_TRANSFER_ENCODING},
        {H("200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
         HTTP_E_BAD_TRANSFER_ENCODING},
        {B_LIT("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), HTTP_E_TE_ON_HTTP_1_0},
        {H("204 No Content\r\nContent-Length: 5"), HTTP_E_BODY_NOT_ALLOWED},
        {H("204 No Content\r\nTransfer-Encoding: chunked"), HTTP_E_BODY_NOT_ALLOWED},
        {H("100 Continue\r\nContent-Length: 5"), HTTP_E_BODY_NOT_ALLOWED},
        {H("101 Switching\r\nTransfer-Encoding: chunked"), HTTP_E_BODY_NOT_ALLOWED},
        {H("205 Reset Content\r\nContent-Length: 5"), HTTP_E_BODY_NOT_ALLOWED},
        {H("200 OK\r\nHTTP/1.1 200 OK"), HTTP_E_BAD_FIELD_NAME},
        {H("200 OK\r\nX : a"), HTTP_E_BAD_FIELD_NAME},
        {H("200 OK\r\n X: a"), HTTP_E_BAD_FIELD_NAME},
        {H("200 OK\r\nTransfer-Encoding:\tchunked"), HTTP_E_DISGUISED_FRAMING},
        {H("302 Found\r\nLocation: /a\r\nLocation: /b"), HTTP_E_DUPLICATE_FIELD},
        {B_LIT("HTTP/1.1 200 OK\nContent-Length: 5\n\n"), HTTP_E_BARE_LF},
        {B_LIT("HTTP/1.1 200 OK\r\nContent-Length: 5\n\r\n"), HTTP_E_BARE_LF},
        {B_LIT("HTTP/1.1 200 OK\rX"), HTTP_E_BARE_CR},
        {H("200 OK\r\nA: b\r\n c"), HTTP_E_OBS_FOLD},
        {H("200 OK\r\nA b: c"), HTTP_E_BAD_FIELD_NAME},
        {H("200 OK\r\nA: \x01"), HTTP_E_BAD_FIELD_VALUE},
        {H("200 OK\r\nConnection: a b"), HTTP_E_BAD_CONNECTION},
        {H("200 O\x01K"), HTTP_E_BAD_STATUS_LINE},
        {H("20 OK"), HTTP_E_BAD_STATUS_LINE},
        {H("099 OK"), HTTP_E_BAD_STATUS_LINE},
        {H("2000 OK"), HTTP_E_BAD_STATUS_LINE},
        {H("2x0 OK"), HTTP_E_BAD_STATUS_LINE},
        {H("-20 OK"), HTTP_E_BAD_STATUS_LINE},
        {H(" 200 OK"), HTTP_E_BAD_STATUS_LINE},
        {H("200\tOK"), HTTP_E_BAD_STATUS_LINE},
        {B_LIT("HTTP/1.2 200 OK\r\n\r\n"), HTTP_E_BAD_STATUS_LINE},
        {B_LIT("HTTP/2.0 200 OK\r\n\r\n"), HTTP_E_BAD_STATUS_LINE},
        {B_LIT("http/1.1 200 OK\r\n\r\n"), HTTP_E_BAD_STATUS_LINE},
        {B_LIT("\r\nHTTP/1.1 200 OK\r\n\r\n"), HTTP_E_BAD_STATUS_LINE},
        {B_LIT("SSH-2.0-OpenSSH"), HTTP_E_BAD_STATUS_LINE},
        {B_LIT("<html>"), HTTP_E_BAD_STATUS_LINE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct answer a = answer_to(HTTP_METHOD_GET, rows[i].head);
        if (a.result != -HTTP_E_UPSTREAM_BAD_RESPONSE || a.why != rows[i].why)
            FAIL("%.*s: result %zd, %s", B_FMT(rows[i].head), a.result, http_error_info(a.why)->code);
        for (size_t len = 0; len < rows[i].head.len; len++)
            CHECK(answer_to(HTTP_METHOD_GET, b_slice(rows[i].head.ptr, len)).result <= 0);
    }
}

TEST(limits_hold) {
    static char head[20000];
    struct http_field fields[4];
    struct http_response r;
    enum http_error why;
    struct http_limits limits = http_limits_default;
    int n = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nA: %-16400s\r\n\r\n", "x");
    CHECK_INT(h1_parse_response(b_slice(head, (size_t)n), &limits, fields, 4, HTTP_METHOD_GET, &r, &why),
              -HTTP_E_UPSTREAM_BAD_RESPONSE);
    CHECK_INT(why, HTTP_E_HEADER_TOO_LARGE);
    struct b_slice five = H("200 OK\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b");
    CHECK_INT(h1_parse_response(five, &limits, fields, 4, HTTP_METHOD_GET, &r, &why),
              -HTTP_E_UPSTREAM_BAD_RESPONSE);
    CHECK_INT(why, HTTP_E_TOO_MANY_HEADERS);
}

const struct test_case h1_response_tests[] = {
    {"typical_response", typical_response},
    {"every_part_is_incomplete", every_part_is_incomplete},
    {"body_kinds", body_kinds},
    {"S27_refused_responses", S27_refused_responses},
    {"limits_hold", limits_hold},
    {0},
};
