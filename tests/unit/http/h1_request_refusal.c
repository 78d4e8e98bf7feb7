/* What a request parser must refuse: one test for each row of the acceptance table. */
#include <stdio.h>

#include "support.h"

struct refusal {
    struct b_slice head;
    enum http_error want;
};

/* A head that is wrong as a whole, and one with a line of its own before the empty line. */
#define HEAD(text, error) \
    { {(text), sizeof(text) - 1}, HTTP_E_##error }
#define LINES(text, error) HEAD("POST / HTTP/1.1\r\nHost: a\r\n" text "\r\n\r\n", error)

/* Each head is refused with its error; no shorter part of it is ever taken for a whole message. */
static void check_refusals(const struct refusal *rows, size_t n, const struct http_limits *limits) {
    for (size_t i = 0; i < n; i++) {
        ssize_t got = result_of(rows[i].head, limits);
        if (got != -(ssize_t)rows[i].want)
            FAIL("%.*s: got %zd (%s), not %s", B_FMT(rows[i].head), got,
                 got < 0 ? http_error_info((enum http_error) - got)->code : "accepted",
                 http_error_info(rows[i].want)->code);
        for (size_t len = 0; len < rows[i].head.len; len++)
            if (result_of(b_slice(rows[i].head.ptr, len), limits) > 0)
                FAIL("%.*s: its first %zu bytes are accepted", B_FMT(rows[i].head), len);
    }
}
#define CHECK_REFUSALS(rows) check_refusals(rows, sizeof(rows) / sizeof(rows)[0], &http_limits_default)

static ssize_t with_line(const char *line, uint32_t allow) {
    char head[512];
    struct http_limits limits = allowing(allow);
    int n = snprintf(head, sizeof head, "POST / HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n", line);
    return result_of(b_slice(head, (size_t)n), &limits);
}

TEST(S01_cl_and_te) {
    static const struct refusal rows[] = {
        LINES("Content-Length: 5\r\nTransfer-Encoding: chunked", CL_AND_TE),
        LINES("Transfer-Encoding: chunked\r\nContent-Length: 5", CL_AND_TE),
        LINES("Transfer-Encoding: chunked\r\nContent-Length: 0", CL_AND_TE),
        LINES("transfer-encoding: xchunked\r\nA: b\r\ncOnTeNt-LeNgTh: 5", CL_AND_TE),
    };
    CHECK_REFUSALS(rows);
}

TEST(S02_different_lengths) {
    static const struct refusal rows[] = {
        LINES("Content-Length: 5\r\nContent-Length: 6", CONFLICTING_CONTENT_LENGTH),
        LINES("Content-Length: 5, 6", CONFLICTING_CONTENT_LENGTH),
        LINES("Content-Length: 5\r\nA: b\r\ncontent-length: 6", CONFLICTING_CONTENT_LENGTH),
        LINES("Content-Length: 5, 5\r\nContent-Length: 6", CONFLICTING_CONTENT_LENGTH),
    };
    CHECK_REFUSALS(rows);
    CHECK_INT(with_line("Content-Length: 5\r\nContent-Length: 6", HTTP_ALLOW_EQUAL_LENGTHS),
              -HTTP_E_CONFLICTING_CONTENT_LENGTH);
    CHECK_INT(with_line("Content-Length: 5, 6", HTTP_ALLOW_EQUAL_LENGTHS),
              -HTTP_E_CONFLICTING_CONTENT_LENGTH);
}

TEST(S03_equal_lengths) {
    static const struct refusal rows[] = {
        LINES("Content-Length: 5\r\nContent-Length: 5", DUPLICATE_CONTENT_LENGTH),
        LINES("Content-Length: 5, 5", DUPLICATE_CONTENT_LENGTH),
    };
    CHECK_REFUSALS(rows);
    CHECK(with_line("Content-Length: 5\r\nContent-Length: 5", HTTP_ALLOW_EQUAL_LENGTHS) > 0);
    CHECK(with_line("Content-Length: 5, 5", HTTP_ALLOW_EQUAL_LENGTHS) > 0);
    CHECK_INT(with_line("Content-Length: 5, 5,", HTTP_ALLOW_EQUAL_LENGTHS), -HTTP_E_BAD_CONTENT_LENGTH);
    CHECK_INT(with_line("Content-Length: 5,, 5", HTTP_ALLOW_EQUAL_LENGTHS), -HTTP_E_BAD_CONTENT_LENGTH);
    CHECK_INT(with_line("Content-Length: 5\r\nContent-Length:", HTTP_ALLOW_EQUAL_LENGTHS),
              -HTTP_E_BAD_CONTENT_LENGTH);
    CHECK_INT(with_line("Content-Length: +5", HTTP_ALLOW_EQUAL_LENGTHS), -HTTP_E_BAD_CONTENT_LENGTH);
}

TEST(S04_content_length_is_not_a_number) {
    static const struct refusal rows[] = {
        LINES("Content-Length:", BAD_CONTENT_LENGTH),
        LINES("Content-Length: +5", BAD_CONTENT_LENGTH),
        LINES("Content-Length: -0", BAD_CONTENT_LENGTH),
        LINES("Content-Length: -5", BAD_CONTENT_LENGTH),
        LINES("Content-Length: 0x5", BAD_CONTENT_LENGTH),
        LINES("Content-Length: 1_0", BAD_CONTENT_LENGTH),
        LINES("Content-Length: 1 0", BAD_CONTENT_LENGTH),
        LINES("Content-Length: 5,", BAD_CONTENT_LENGTH),
        LINES("Content-Length: ,5", BAD_CONTENT_LENGTH),
        LINES("Content-Length: 5\r\nContent-Length: x", BAD_CONTENT_LENGTH),
        LINES("Content-Length: 5;", BAD_CONTENT_LENGTH),
        LINES("Content-Length: \"5\"", BAD_CONTENT_LENGTH),
        LINES("Content-Length: 5.0", BAD_CONTENT_LENGTH),
        LINES("Content-Length: \xd9\xa5", BAD_CONTENT_LENGTH), /* an Arabic five */
        LINES("Content-Length: 9223372036854775808", BAD_CONTENT_LENGTH),
        LINES("Content-Length: 18446744073709551616", BAD_CONTENT_LENGTH),
        LINES("Content-Length: 100000000000000000005", BAD_CONTENT_LENGTH),
    };
    CHECK_REFUSALS(rows);
    CHECK(with_line("Content-Length: 9223372036854775807", 0) > 0);
    CHECK(with_line("Content-Length:   5  ", 0) > 0);
}

TEST(S05_leading_zeros) {
    static const struct refusal rows[] = {
        LINES("Content-Length: 05", LEADING_ZEROS),
        LINES("Content-Length: 00", LEADING_ZEROS),
    };
    CHECK_REFUSALS(rows);
    CHECK(with_line("Content-Length: 05", HTTP_ALLOW_LEADING_ZEROS) > 0);
    CHECK(with_line("Content-Length: 0", 0) > 0);
}

TEST(S06_other_codings) {
    static const struct refusal rows[] = {
        LINES("Transfer-Encoding: xchunked", UNSUPPORTED_TRANSFER_ENCODING),
        LINES("Transfer-Encoding: identity", UNSUPPORTED_TRANSFER_ENCODING),
        LINES("Transfer-Encoding: gzip, chunked", UNSUPPORTED_TRANSFER_ENCODING),
        LINES("Transfer-Encoding: chunked;a=b", UNSUPPORTED_TRANSFER_ENCODING),
        LINES("Transfer-Encoding: gzip;q=\"x\", chunked", UNSUPPORTED_TRANSFER_ENCODING),
    };
    CHECK_REFUSALS(rows);
    CHECK_INT(http_error_info(HTTP_E_UNSUPPORTED_TRANSFER_ENCODING)->status, 501);
    CHECK(with_line("Transfer-Encoding: chunked", 0) > 0);
    CHECK(with_line("transfer-encoding:CHUNKED", 0) > 0);
}

TEST(S07_malformed_codings) {
    static const struct refusal rows[] = {
        LINES("Transfer-Encoding:", BAD_TRANSFER_ENCODING),
        LINES("Transfer-Encoding: chunked, chunked", BAD_TRANSFER_ENCODING),
        LINES("Transfer-Encoding: , chunked", BAD_TRANSFER_ENCODING),
        LINES("Transfer-Encoding: chunked,", BAD_TRANSFER_ENCODING),
        LINES("Transfer-Encoding: chunked, gzip", BAD_TRANSFER_ENCODING),
        LINES("Transfer-Encoding: chunked, identity", BAD_TRANSFER_ENCODING),
        LINES("Transfer-Encoding: gzip,, chunked", BAD_TRANSFER_ENCODING),
        LINES("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", BAD_TRANSFER_ENCODING),
        LINES("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", BAD_TRANSFER_ENCODING),
        LINES("Transfer-Encoding: chunked\r\nTransfer-Encoding: x", BAD_TRANSFER_ENCODING),
        LINES("Transfer-Encoding: \"chunked\"", BAD_TRANSFER_ENCODING),
        LINES("Transfer-Encoding: chun ked", BAD_TRANSFER_ENCODING),
    };
    CHECK_REFUSALS(rows);
}

TEST(S08_disguised_codings) {
    static const struct refusal rows[] = {
        LINES("Transfer-Encoding: \vchunked", BAD_FIELD_VALUE),
        LINES("Transfer-Encoding: \fchunked", BAD_FIELD_VALUE),
        LINES("Transfer-Encoding: chunked\v", BAD_FIELD_VALUE),
        HEAD("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\0\r\n\r\n", BAD_FIELD_VALUE),
        LINES("Transfer-Encoding: \xa0"
              "chunked",
              DISGUISED_FRAMING),
        LINES("Transfer-Encoding: chunked\x85", DISGUISED_FRAMING),
        LINES("Transfer-Encoding: gzip,\tchunked", DISGUISED_FRAMING),
        LINES("Transfer-Encoding:\tchunked", DISGUISED_FRAMING),
        LINES("Transfer-Encoding: chunked\t", DISGUISED_FRAMING),
        LINES("Content-Length:\t5", DISGUISED_FRAMING),
        LINES("Content-Length: 5\t", DISGUISED_FRAMING),
        LINES("Content-Length: 5, 5\t", DISGUISED_FRAMING),
        LINES("Transfer-Encoding : chunked", BAD_FIELD_NAME),
        LINES("Transfer-Encoding\t: chunked", BAD_FIELD_NAME),
        LINES("Transfer-Encoding:\r\n chunked", OBS_FOLD),
        LINES("Transfer_Encoding: chunked", UNDERSCORE_IN_FIELD_NAME),
        LINES("X: y\rTransfer-Encoding: chunked", BARE_CR),
        LINES("X: y\nTransfer-Encoding: chunked", BARE_LF),
    };
    CHECK_REFUSALS(rows);
}

TEST(S09_te_on_http_1_0) {
    static const struct refusal rows[] = {
        HEAD("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", TE_ON_HTTP_1_0),
        HEAD("POST / HTTP/1.0\r\nTransfer-Encoding: identity\r\n\r\n", TE_ON_HTTP_1_0),
    };
    CHECK_REFUSALS(rows);
}

TEST(S10_folded_lines) {
    static const struct refusal rows[] = {
        LINES("A: b\r\n c", OBS_FOLD),
        LINES("A: b\r\n\tc", OBS_FOLD),
        LINES("A: b\r\n C: d", OBS_FOLD),
        LINES("A: b\r\n ", OBS_FOLD),
    };
    CHECK_REFUSALS(rows);
}

TEST(S11_bare_line_ends) {
    static const struct refusal rows[] = {
        HEAD("GET / HTTP/1.1\nHost: a\n\n", BARE_LF),
        HEAD("GET / HTTP/1.1\r\nHost: a\n\r\n", BARE_LF),
        HEAD("GET / HTTP/1.1\r\nHost: a\r\n\n", BARE_LF),
        HEAD("GET / HTTP/1.1\rHost: a\r\n\r\n", BARE_CR),
        HEAD("GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", BARE_CR),
        HEAD("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", BARE_CR),
        HEAD("GET / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n", BARE_CR),
        HEAD("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", BARE_LF),
        HEAD("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", BARE_CR),
    };
    CHECK_REFUSALS(rows);
    struct http_limits limits = allowing(HTTP_ALLOW_BARE_LF);
    CHECK(result_of(B_LIT("GET / HTTP/1.1\nHost: a\n\n"), &limits) > 0);
    CHECK(result_of(B_LIT("GET / HTTP/1.1\r\nHost: a\n\r\n"), &limits) > 0);
    CHECK_INT(result_of(B_LIT("GET / HTTP/1.1\rHost: a\r\n\r\n"), &limits), -HTTP_E_BARE_CR);
}

/* What each switch lets in, by its bit. */
static const struct refusal relaxable[HTTP_ALLOW_COUNT] = {
    [HTTP_ALLOW_BIT_EQUAL_LENGTHS] =
        LINES("Content-Length: 5\r\nContent-Length: 5", DUPLICATE_CONTENT_LENGTH),
    [HTTP_ALLOW_BIT_LEADING_ZEROS] = LINES("Content-Length: 05", LEADING_ZEROS),
    [HTTP_ALLOW_BIT_FRAMING_TABS] = LINES("Transfer-Encoding:\tchunked\t", DISGUISED_FRAMING),
    [HTTP_ALLOW_BIT_BARE_LF] = HEAD("\nGET / HTTP/1.1\nHost: a\nX: y\n\n", BARE_LF),
    [HTTP_ALLOW_BIT_UNDERSCORE] = LINES("X_Y: z", UNDERSCORE_IN_FIELD_NAME),
    [HTTP_ALLOW_BIT_ANY_METHOD] = HEAD("get / HTTP/1.1\r\nHost: a\r\n\r\n", BAD_METHOD),
    [HTTP_ALLOW_BIT_BODY_ON_HTTP_1_0] = HEAD("GET / HTTP/1.0\r\nContent-Length: 5\r\n\r\n", UNEXPECTED_BODY),
    [HTTP_ALLOW_BIT_ENCODED_SLASH] = HEAD("GET /a%2fb HTTP/1.1\r\nHost: a\r\n\r\n", BAD_PATH),
    [HTTP_ALLOW_BIT_ANY_HOST] = HEAD("GET / HTTP/1.1\r\nHost: a:\r\n\r\n", BAD_HOST),
};

TEST(each_switch_relaxes_its_rule_alone) {
    for (unsigned i = 0; i < HTTP_ALLOW_COUNT; i++) {
        struct http_limits one = allowing(1u << i), others = allowing(HTTP_ALLOW_ALL & ~(1u << i));
        check_refusals(&relaxable[i], 1, &http_limits_default);
        check_refusals(&relaxable[i], 1, &others);
        CHECK_INT(result_of(relaxable[i].head, &one), (ssize_t)relaxable[i].head.len);
        /* however it comes in pieces, the head is whole when it is, and not before */
        for (size_t len = 1; len <= relaxable[i].head.len; len++) {
            struct b_slice part = b_slice(relaxable[i].head.ptr, len);
            bool whole = len == relaxable[i].head.len;
            CHECK_INT(h1_head_state(part, len - 1, &one), whole ? H1_HEAD_READY : H1_HEAD_MORE);
            CHECK_INT(result_of(part, &one), whole ? (ssize_t)len : 0);
        }
    }
}

TEST(no_switch_relaxes_framing) {
    static const struct refusal rows[] = {
        LINES("Content-Length: 5\r\nTransfer-Encoding: chunked", CL_AND_TE),
        LINES("Content-Length: 5\r\nContent-Length: 6", CONFLICTING_CONTENT_LENGTH),
        LINES("Content-Length: 05, 6", CONFLICTING_CONTENT_LENGTH),
        LINES("Content-Length: +5", BAD_CONTENT_LENGTH),
        LINES("Content-Length: 5,", BAD_CONTENT_LENGTH),
        LINES("Content-Length: 5 5", BAD_CONTENT_LENGTH),
        LINES("Transfer-Encoding: gzip", UNSUPPORTED_TRANSFER_ENCODING),
        LINES("Transfer-Encoding: chunked, chunked", BAD_TRANSFER_ENCODING),
        LINES("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", BAD_TRANSFER_ENCODING),
        LINES("Transfer-Encoding: \xa0"
              "chunked",
              DISGUISED_FRAMING),
        LINES("Transfer-Encoding : chunked", BAD_FIELD_NAME),
        LINES("Transfer_Encoding: chunked", UNDERSCORE_IN_FIELD_NAME),
        LINES("Content_Length: 5", UNDERSCORE_IN_FIELD_NAME),
        LINES("X: y\n\tTransfer-Encoding: chunked", OBS_FOLD),
        LINES("X: y\rTransfer-Encoding: chunked", BARE_CR),
        HEAD("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", TE_ON_HTTP_1_0),
        HEAD("TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", TRACE_WITH_BODY),
        HEAD("GET / HTTP/1.1\nHost: a\nHost: a\n\n", DUPLICATE_HOST),
    };
    struct http_limits limits = allowing(HTTP_ALLOW_ALL);
    check_refusals(rows, sizeof rows / sizeof rows[0], &limits);
}

TEST(S21_trace_has_no_body) {
    static const struct refusal rows[] = {
        HEAD("TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n", TRACE_WITH_BODY),
        HEAD("TRACE / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", TRACE_WITH_BODY),
        HEAD("TRACE / HTTP/1.0\r\nContent-Length: 5\r\n\r\n", TRACE_WITH_BODY),
    };
    CHECK_REFUSALS(rows);
    CHECK(result_of(B_LIT("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"), &http_limits_default) > 0);
}

TEST(S16_field_names) {
    static const struct refusal rows[] = {
        LINES(": x", BAD_FIELD_NAME),
        LINES("A b: x", BAD_FIELD_NAME),
        LINES("A\tb: x", BAD_FIELD_NAME),
        LINES("A : x", BAD_FIELD_NAME),
        LINES("A\t: x", BAD_FIELD_NAME),
        LINES("A\x01: x", BAD_FIELD_NAME),
        LINES("A\x7f: x", BAD_FIELD_NAME),
        LINES("A\xc3\xa9: x", BAD_FIELD_NAME),
        LINES("A(b): x", BAD_FIELD_NAME),
        LINES("\"A\": x", BAD_FIELD_NAME),
        LINES("A", BAD_FIELD_NAME),
        LINES("no colon at all", BAD_FIELD_NAME),
        HEAD("GET / HTTP/1.1\r\nHost: a\r\nA\0b: x\r\n\r\n", BAD_FIELD_NAME),
        HEAD("GET / HTTP/1.1\r\n Host: a\r\n\r\n", BAD_FIELD_NAME),
        HEAD("GET / HTTP/1.1\r\n\tHost: a\r\n\r\n", BAD_FIELD_NAME),
        HEAD("GET / HTTP/1.1\r\n:\r\n\r\n", BAD_FIELD_NAME),
    };
    CHECK_REFUSALS(rows);
    CHECK(with_line("!#$%&'*+-.^`|~09azAZ: x", 0) > 0);
}

TEST(S16_every_byte_in_a_name) {
    for (int c = 1; c < 256; c++) {
        char line[] = "Ab?cd: x";
        line[2] = (char)c;
        bool tchar = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     strchr("!#$%&'*+-.^`|~", c);
        if (c == ':')
            continue;
        if ((with_line(line, 0) > 0) != tchar)
            FAIL("byte %#x in a name", c);
    }
}

TEST(S17_underscore) {
    static const struct refusal rows[] = {
        LINES("X_Y: z", UNDERSCORE_IN_FIELD_NAME),
        LINES("_: z", UNDERSCORE_IN_FIELD_NAME),
        LINES("X-A-Very-Long-Header-Name_: z", UNDERSCORE_IN_FIELD_NAME),
    };
    CHECK_REFUSALS(rows);
    CHECK(with_line("X_Y: z", HTTP_ALLOW_UNDERSCORE) > 0);
    /* P06: not for a name that a CGI-like reader would take for one that counts */
    CHECK_INT(with_line("X_Forwarded_For: 1.2.3.4", HTTP_ALLOW_UNDERSCORE), -HTTP_E_UNDERSCORE_IN_FIELD_NAME);
    CHECK_INT(with_line("x-forwarded_anything: 1", HTTP_ALLOW_UNDERSCORE), -HTTP_E_UNDERSCORE_IN_FIELD_NAME);
    CHECK_INT(with_line("Content_Length: 5", HTTP_ALLOW_UNDERSCORE), -HTTP_E_UNDERSCORE_IN_FIELD_NAME);
    CHECK_INT(with_line("x_forwarded_something_very_much_longer: 5", HTTP_ALLOW_UNDERSCORE),
              -HTTP_E_UNDERSCORE_IN_FIELD_NAME);
}

/* The byte stands at every place of a value, so that each step of the vector code sees it. */
TEST(S18_every_byte_in_a_value) {
    for (int c = 0; c < 256; c++) {
        bool legal = (c >= 0x20 && c != 0x7f) || c == '\t';
        for (int at = 0; at < 40; at++) {
            char head[128];
            int n = snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: a\r\nX: %-40s\r\n\r\n", "");
            for (int i = 0; i < 40; i++)
                head[28 + i] = i == at ? (char)c : 'v';
            if ((result_of(b_slice(head, (size_t)n), &http_limits_default) > 0) != legal)
                FAIL("byte %#x at %d of a value", c, at);
        }
    }
}

TEST(S19_request_line) {
    static const struct refusal rows[] = {
        HEAD("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", BAD_REQUEST_LINE),
        HEAD("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", BAD_REQUEST_LINE),
        HEAD("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", BAD_REQUEST_LINE),
        HEAD(" GET / HTTP/1.1\r\nHost: a\r\n\r\n", BAD_REQUEST_LINE),
        HEAD("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", BAD_REQUEST_LINE),
        HEAD("GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", BAD_REQUEST_LINE),
        HEAD("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", BAD_REQUEST_LINE),
        HEAD("GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", BAD_REQUEST_LINE),
        HEAD("GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", BAD_REQUEST_LINE),
        HEAD("GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", BAD_REQUEST_LINE),
        HEAD("GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n", BAD_REQUEST_LINE),
        HEAD("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", BAD_REQUEST_LINE),
        HEAD("GET /?a#b HTTP/1.1\r\nHost: a\r\n\r\n", BAD_REQUEST_LINE),
        HEAD("GET /\r\n", BAD_REQUEST_LINE),
        HEAD("GET / \r\n", BAD_REQUEST_LINE),
        HEAD("GET\r\n", BAD_REQUEST_LINE),
        HEAD("GET / HTTP/1.32\r\nHost: a\r\n\r\n", BAD_REQUEST_LINE),
        HEAD("GET / HTTP/11\r\nHost: a\r\n\r\n", BAD_REQUEST_LINE),
        HEAD("GET / HTTP/1,1\r\nHost: a\r\n\r\n", BAD_REQUEST_LINE),
        HEAD("GET / HTTP/1.\r\nHost: a\r\n\r\n", BAD_REQUEST_LINE),
        HEAD("GET / http/1.1\r\nHost: a\r\n\r\n", BAD_REQUEST_LINE),
        HEAD("GET / HTTPS/1.1\r\nHost: a\r\n\r\n", BAD_REQUEST_LINE),
        HEAD("GET / HTTP/1.1x\r\nHost: a\r\n\r\n", BAD_REQUEST_LINE),
        HEAD("GET / HTTP/ 1.1\r\nHost: a\r\n\r\n", BAD_REQUEST_LINE),
        HEAD("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", BAD_REQUEST_LINE),
        HEAD("GET / HTTP/2.0\r\nHost: a\r\n\r\n", UNSUPPORTED_VERSION),
        HEAD("GET / HTTP/0.9\r\nHost: a\r\n\r\n", UNSUPPORTED_VERSION),
        HEAD("GET / HTTP/1.2\r\nHost: a\r\n\r\n", UNSUPPORTED_VERSION),
        HEAD("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", UNSUPPORTED_VERSION),
    };
    CHECK_REFUSALS(rows);
    CHECK_INT(http_error_info(HTTP_E_UNSUPPORTED_VERSION)->status, 505);
}

TEST(S19_target_forms) {
    static const struct refusal rows[] = {
        HEAD("GET * HTTP/1.1\r\nHost: a\r\n\r\n", BAD_REQUEST_LINE),
        HEAD("OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n", BAD_REQUEST_LINE),
        HEAD("GET a/b HTTP/1.1\r\nHost: a\r\n\r\n", BAD_REQUEST_LINE),
        HEAD("GET ?a HTTP/1.1\r\nHost: a\r\n\r\n", BAD_REQUEST_LINE),
        HEAD("GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", BAD_REQUEST_LINE),
        HEAD("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", BAD_REQUEST_LINE),
        HEAD("GET http:/a HTTP/1.1\r\nHost: a\r\n\r\n", BAD_REQUEST_LINE),
        HEAD("CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", BAD_HOST),
    };
    CHECK_REFUSALS(rows);
}

TEST(S20_methods) {
    static const struct refusal rows[] = {
        HEAD("G\x01T / HTTP/1.1\r\nHost: a\r\n\r\n", BAD_METHOD),
        HEAD("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", BAD_METHOD),
        HEAD("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", BAD_METHOD),
        HEAD("\x16\x03\x01\x02", BAD_METHOD), /* a TLS hello on a plain port */
        HEAD("get / HTTP/1.1\r\nHost: a\r\n\r\n", BAD_METHOD),
        HEAD("Get / HTTP/1.1\r\nHost: a\r\n\r\n", BAD_METHOD),
        HEAD("pOST / HTTP/1.1\r\nHost: a\r\n\r\n", BAD_METHOD),
        HEAD("AMETHODTHATISLONGERTHANTHIRTYTWOBYTES", BAD_METHOD),
        HEAD("AMETHODOFTHIRTYTHREEBYTES00000033 / HTTP/1.1\r\nHost: a\r\n\r\n", BAD_METHOD),
    };
    CHECK_REFUSALS(rows);
    CHECK(result_of(B_LIT("GETX / HTTP/1.1\r\nHost: a\r\n\r\n"), &http_limits_default) > 0);
}

TEST(S21_body_on_http_1_0) {
    static const struct refusal rows[] = {
        HEAD("GET / HTTP/1.0\r\nContent-Length: 5\r\n\r\n", UNEXPECTED_BODY),
        HEAD("HEAD / HTTP/1.0\r\nContent-Length: 1\r\n\r\n", UNEXPECTED_BODY),
        HEAD("DELETE / HTTP/1.0\r\nContent-Length: 5\r\n\r\n", UNEXPECTED_BODY),
    };
    CHECK_REFUSALS(rows);
    CHECK(result_of(B_LIT("GET / HTTP/1.0\r\nContent-Length: 0\r\n\r\n"), &http_limits_default) > 0);
    CHECK(result_of(B_LIT("POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\n"), &http_limits_default) > 0);
    CHECK(result_of(B_LIT("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"), &http_limits_default) >
          0);
}

TEST(S23_expectations) {
    static const struct refusal rows[] = {
        LINES("Expect: 100-continue, x", BAD_EXPECTATION),
        LINES("Expect: y 100-continue", BAD_EXPECTATION),
        LINES("Expect:", BAD_EXPECTATION),
        LINES("Expect: 200-ok", BAD_EXPECTATION),
        LINES("Expect: 100-continue\r\nExpect: 100-continue", DUPLICATE_FIELD),
    };
    CHECK_REFUSALS(rows);
    CHECK_INT(http_error_info(HTTP_E_BAD_EXPECTATION)->status, 417);
}

TEST(P03_host) {
    static const struct refusal rows[] = {
        HEAD("GET / HTTP/1.1\r\n\r\n", MISSING_HOST),
        HEAD("GET http://a/ HTTP/1.1\r\n\r\n", MISSING_HOST),
        HEAD("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", DUPLICATE_HOST),
        HEAD("GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", DUPLICATE_HOST),
        HEAD("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", DUPLICATE_HOST),
        HEAD("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", DUPLICATE_HOST),
        HEAD("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", DUPLICATE_HOST),
        HEAD("GET / HTTP/1.1\r\nHost:\r\n\r\n", BAD_HOST),
        HEAD("GET / HTTP/1.0\r\nHost:\r\n\r\n", BAD_HOST),
        HEAD("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", BAD_HOST),
        HEAD("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", BAD_HOST),
        HEAD("GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", BAD_HOST),
        HEAD("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", BAD_HOST),
        HEAD("GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", BAD_HOST),
        HEAD("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", BAD_HOST),
        HEAD("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", BAD_HOST),
        HEAD("GET / HTTP/1.1\r\nHost: a\xc3\xa9\r\n\r\n", BAD_HOST),
        HEAD("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", BAD_HOST),
        HEAD("GET http://u@b/ HTTP/1.1\r\nHost: a\r\n\r\n", BAD_HOST),
        HEAD("GET http://b:x/ HTTP/1.1\r\nHost: a\r\n\r\n", BAD_HOST),
        HEAD("GET http://b/ HTTP/1.1\r\nHost: a b\r\n\r\n", BAD_HOST),
    };
    CHECK_REFUSALS(rows);
}

TEST(P05_connection_options) {
    static const struct refusal rows[] = {
        LINES("Connection: a b", BAD_CONNECTION),
        LINES("Connection: \"close\"", BAD_CONNECTION),
        LINES("Connection: close;x", BAD_CONNECTION),
    };
    CHECK_REFUSALS(rows);
    char line[512] = "Connection: a";
    for (int i = 0; i < 64 - 1; i++)
        strncat(line, ",a", sizeof line - strlen(line) - 1);
    CHECK(with_line(line, 0) > 0);
    strncat(line, ",a", sizeof line - strlen(line) - 1);
    CHECK_INT(with_line(line, 0), -HTTP_E_BAD_CONNECTION);
}

TEST(P08_repeated_fields) {
    static const struct refusal rows[] = {
        LINES("Authorization: a\r\nAuthorization: b", DUPLICATE_FIELD),
        LINES("Content-Type: a/b\r\nX: y\r\ncontent-type: a/b", DUPLICATE_FIELD),
        LINES("X-Request-Deadline: 1\r\nX-Request-Deadline: 1", DUPLICATE_FIELD),
    };
    CHECK_REFUSALS(rows);
    CHECK(with_line("Cookie: a\r\nCookie: b\r\nAccept: a\r\nAccept: b", 0) > 0);
}

TEST(P01_paths) {
    static const struct refusal rows[] = {
        HEAD("GET /../a HTTP/1.1\r\nHost: a\r\n\r\n", BAD_PATH),
        HEAD("GET /%2e%2e/a HTTP/1.1\r\nHost: a\r\n\r\n", BAD_PATH),
        HEAD("GET /a%2fb HTTP/1.1\r\nHost: a\r\n\r\n", BAD_PATH),
        HEAD("GET /a%00 HTTP/1.1\r\nHost: a\r\n\r\n", BAD_PATH),
        HEAD("GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n", BAD_PATH),
        HEAD("GET http://a/b/../../c HTTP/1.1\r\nHost: a\r\n\r\n", BAD_PATH),
        HEAD("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", BAD_PATH),
    };
    CHECK_REFUSALS(rows);
}

/* A head of exactly size bytes whose last field is padded, or the target when `long_target`. */
static size_t padded(char *buf, size_t size, bool long_target) {
    const char *end = long_target ? " HTTP/1.1\r\nHost: a\r\n\r\n" : "\r\n\r\n";
    size_t n = (size_t)snprintf(buf, size, "%s", long_target ? "GET /" : "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    memset(buf + n, 'x', size - n);
    memcpy(buf + size - strlen(end), end, strlen(end));
    return size;
}

TEST(R01_header_too_large) {
    static char head[20000];
    size_t max = http_limits_default.max_header_bytes;
    CHECK_INT(result_of(b_slice(head, padded(head, max, false)), &http_limits_default), (ssize_t)max);
    CHECK_INT(result_of(b_slice(head, padded(head, max + 1, false)), &http_limits_default),
              -HTTP_E_HEADER_TOO_LARGE);
    /* at once when the room is used up, not only when the rest has come */
    CHECK_INT(result_of(b_slice(head, max - 1), &http_limits_default), 0);
    CHECK_INT(result_of(b_slice(head, max), &http_limits_default), -HTTP_E_HEADER_TOO_LARGE);
}

TEST(S19_uri_too_long) {
    static char head[20000];
    size_t max = http_limits_default.max_uri, around = strlen("GET  HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_INT(result_of(b_slice(head, padded(head, max + around, true)), &http_limits_default),
              (ssize_t)(max + around));
    CHECK_INT(result_of(b_slice(head, padded(head, max + around + 1, true)), &http_limits_default),
              -HTTP_E_URI_TOO_LONG);
    CHECK_INT(result_of(b_slice(head, 4 + max), &http_limits_default), 0);
    CHECK_INT(result_of(b_slice(head, 4 + max + 1), &http_limits_default), -HTTP_E_URI_TOO_LONG);
    struct http_limits limits = http_limits_default;
    limits.max_header_bytes = 1000;
    CHECK_INT(result_of(b_slice(head, 1000), &limits), -HTTP_E_URI_TOO_LONG);
}

TEST(H04_too_many_headers) {
    static char head[8192];
    struct http_limits limits = http_limits_default;
    int n = snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 1; i < 100; i++)
        n += snprintf(head + n, sizeof head - (size_t)n, "A: %d\r\n", i);
    snprintf(head + n, sizeof head - (size_t)n, "\r\n");
    CHECK_INT(result_of(b_slice(head, (size_t)n + 2), &limits), n + 2);
    limits.max_headers = 99;
    CHECK_INT(result_of(b_slice(head, (size_t)n + 2), &limits), -HTTP_E_TOO_MANY_HEADERS);
    /* the caller's array is a limit too, whatever the config says */
    limits.max_headers = 100000;
    struct http_field fields[3];
    struct http_request r;
    CHECK_INT(h1_parse_request(b_slice(head, (size_t)n + 2), &limits, fields, 3, NULL, &r),
              -HTTP_E_TOO_MANY_HEADERS);
}

const struct test_case h1_request_refusal_tests[] = {
    {"S01_cl_and_te", S01_cl_and_te},
    {"S02_different_lengths", S02_different_lengths},
    {"S03_equal_lengths", S03_equal_lengths},
    {"S04_content_length_is_not_a_number", S04_content_length_is_not_a_number},
    {"S05_leading_zeros", S05_leading_zeros},
    {"S06_other_codings", S06_other_codings},
    {"S07_malformed_codings", S07_malformed_codings},
    {"S08_disguised_codings", S08_disguised_codings},
    {"S09_te_on_http_1_0", S09_te_on_http_1_0},
    {"S10_folded_lines", S10_folded_lines},
    {"S11_bare_line_ends", S11_bare_line_ends},
    {"each_switch_relaxes_its_rule_alone", each_switch_relaxes_its_rule_alone},
    {"no_switch_relaxes_framing", no_switch_relaxes_framing},
    {"S21_trace_has_no_body", S21_trace_has_no_body},
    {"S16_field_names", S16_field_names},
    {"S16_every_byte_in_a_name", S16_every_byte_in_a_name},
    {"S17_underscore", S17_underscore},
    {"S18_every_byte_in_a_value", S18_every_byte_in_a_value},
    {"S19_request_line", S19_request_line},
    {"S19_target_forms", S19_target_forms},
    {"S20_methods", S20_methods},
    {"S21_body_on_http_1_0", S21_body_on_http_1_0},
    {"S23_expectations", S23_expectations},
    {"P01_paths", P01_paths},
    {"P03_host", P03_host},
    {"P05_connection_options", P05_connection_options},
    {"P08_repeated_fields", P08_repeated_fields},
    {"R01_header_too_large", R01_header_too_large},
    {"S19_uri_too_long", S19_uri_too_long},
    {"H04_too_many_headers", H04_too_many_headers},
    {0},
};
