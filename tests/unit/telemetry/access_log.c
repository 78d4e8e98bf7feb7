#include "telemetry/access_log.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/escape.h"
#include "test.h"

static char line[TEL_ACCESS_LINE_MAX + 1];

static const char *write_line(const struct tel_access *a) {
    struct b_text t = b_text_fixed(line, TEL_ACCESS_LINE_MAX);
    tel_access_write(&t, a);
    CHECK(!t.failed);
    line[t.len] = 0;
    return line;
}

TEST(a_full_line) {
    struct tel_access a = {
        .time_ns = 1767323045678000000u,
        .duration_ns = 1234567890,
        .upstream_ns = 1000999,
        .bytes_in = 10,
        .bytes_out = 2000,
        .status = 502,
        .attempts = 2,
        .client = B_LIT("192.0.2.1"),
        .method = B_LIT("GET"),
        .scheme = B_LIT("https"),
        .host = B_LIT("api.example.com"),
        .path = B_LIT("/orders/7"),
        .query = B_LIT("a=b"),
        .protocol = B_LIT("1.1"),
        .route = B_LIT("/orders/{id}"),
        .code = B_LIT("upstream_reset"),
        .upstream = B_LIT("orders"),
        .endpoint = B_LIT("127.0.0.1:9001"),
        .request_id = B_LIT("r-1"),
        .trace_id = B_LIT("0af7"),
        .user = B_LIT("acme"),
        .user_agent = B_LIT("curl/8"),
        .referer = B_LIT("https://example.com/p?token=secret"),
        .missing = B_LIT("coupon"),
    };
    CHECK_STR(write_line(&a),
              "{\"ts\":\"2026-01-02T03:04:05.678Z\",\"request_id\":\"r-1\",\"trace_id\":\"0af7\","
              "\"client.address\":\"192.0.2.1\",\"user.id\":\"acme\",\"http.request.method\":\"GET\","
              "\"url.scheme\":\"https\",\"server.address\":\"api.example.com\",\"url.path\":\"/orders/7\","
              "\"url.query\":\"a=b\",\"network.protocol.version\":\"1.1\",\"http.route\":\"/orders/{id}\","
              "\"http.response.status_code\":502,\"code\":\"upstream_reset\",\"http.request.body.size\":10,"
              "\"http.response.body.size\":2000,\"duration\":1.234567,\"upstream\":\"orders\","
              "\"endpoint\":\"127.0.0.1:9001\",\"attempts\":2,\"upstream_duration\":0.001000,"
              "\"missing\":\"coupon\",\"user_agent.original\":\"curl/8\","
              "\"http.request.header.referer\":\"https://example.com/p\"}\n");
}

TEST(empty_fields_are_left_out) {
    struct tel_access a = {.time_ns = 0,
                           .status = 404,
                           .method = B_LIT("GET"),
                           .path = B_LIT("/"),
                           .upstream = B_LIT("not asked")};
    CHECK_STR(write_line(&a),
              "{\"ts\":\"1970-01-01T00:00:00.000Z\",\"http.request.method\":\"GET\",\"url.path\":\"/\","
              "\"http.response.status_code\":404,\"http.request.body.size\":0,\"http.response.body.size\":0,"
              "\"duration\":0.000000}\n");
}

/* A13: one request is one line, whatever it carries. */
TEST(nothing_can_be_injected) {
    char all[256];
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    struct tel_access a = {.path = B_LIT("/\r\n{\"forged\":\"line\"}\n"),
                           .user_agent = b_slice(all, 256),
                           .client = B_LIT("\",\"code\":\"x"),
                           .request_id = B_LIT("\x1b]0;owned\x07\x7f\xc2\x9b")};
    const char *text = write_line(&a);
    CHECK(strstr(text, "\"url.path\":\"/\\r\\n{\\\"forged\\\":\\\"line\\\"}\\n\"") != NULL);
    CHECK(strstr(text, "\"client.address\":\"\\\",\\\"code\\\":\\\"x\"") != NULL);
    CHECK(strstr(text, "\"request_id\":\"\\u001b]0;owned\\u0007\\u007f\\u009b\"") != NULL);
    CHECK(strchr(text, '\n') == text + strlen(text) - 1);
    for (struct b_slice rest = b_slice(text, strlen(text) - 1); rest.len;) {
        size_t n = b_utf8_char(rest, NULL);
        REQUIRE(n > 0 && (unsigned char)rest.ptr[0] >= 0x20 && rest.ptr[0] != 0x7f);
        rest = b_slice_from(rest, n);
    }
}

TEST(every_field_is_bounded_and_the_line_with_them) {
    static char bytes[20000];
    memset(bytes, '\n', sizeof bytes); /* each takes two */
    struct b_slice long_value = b_slice(bytes, sizeof bytes);
    struct tel_access a = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, 999,
                           UINT32_MAX, long_value, long_value, long_value, long_value, long_value,
                           long_value, long_value, long_value, long_value, long_value, long_value,
                           long_value, long_value, long_value, long_value, long_value, long_value};
    CHECK(a.missing.len != 0); /* all are set */
    size_t len = strlen(write_line(&a));
    CHECK(len > 17 * (TEL_ACCESS_FIELD_MAX - 2));
    CHECK(strstr(line, "\\n...\",\"user_agent") != NULL);
    size_t longest = 0;
    for (const char *at = line, *quote; (quote = strchr(at, '"')); at = quote + 1)
        longest = (size_t)(quote - at) > longest ? (size_t)(quote - at) : longest;
    CHECK(longest <= TEL_ACCESS_FIELD_MAX);
}

/* The copy writes the same line when the original's strings are gone. */
static void check_kept(const struct tel_access *a, char *strings, size_t len) {
    char *want = strdup(write_line(a)); /* lint: allow heap-call: a test's own */
    struct tel_access *kept = tel_access_keep(a);
    memset(strings, 'x', len);
    REQUIRE(kept);
    CHECK_STR(write_line(kept), want);
    b_free(kept);
    free(want); /* lint: allow heap-call: a test's own */
}

TEST(a_line_that_is_kept) {
    static char bytes[5000];
    memset(bytes, 'a', sizeof bytes);
    struct b_slice part = b_slice(bytes + 10, 20), all = b_slice(bytes, sizeof bytes);
    struct tel_access a = {.status = 101, .client = part, .path = all, .missing = part};
    check_kept(&a, bytes, sizeof bytes);
    memset(bytes, '\n', sizeof bytes);
    struct tel_access b = {.duration_ns = 5, .method = part, .referer = all, .user_agent = all};
    check_kept(&b, bytes, sizeof bytes);
    struct tel_access none = {0};
    check_kept(&none, bytes, sizeof bytes);
}

TEST(a_line_goes_to_the_ring) {
    char path[] = "/tmp/weir-access-XXXXXX", buf[1024] = "";
    int fd = mkstemp(path);
    unlink(path);
    struct tel_ring_options o = {.name = "access", .fd = fd, .producers = 1};
    struct tel_ring *r = NULL;
    struct tel_access a = {.status = 200, .path = B_LIT("/x")};
    REQUIRE(tel_ring_new(&o, &r) == 0);
    CHECK(tel_access_log(r, &a));
    CHECK(tel_access_log(r, &a));
    tel_ring_stop(r);
    size_t len = strlen(write_line(&a));
    CHECK_INT(pread(fd, buf, sizeof buf - 1, 0), 2 * (int)len);
    CHECK_MEM(buf, line, len);
    CHECK_STR(buf + len, line);
    close(fd);
}

const struct test_case access_log_tests[] = {
    {"a_full_line", a_full_line},
    {"empty_fields_are_left_out", empty_fields_are_left_out},
    {"nothing_can_be_injected", nothing_can_be_injected},
    {"every_field_is_bounded_and_the_line_with_them", every_field_is_bounded_and_the_line_with_them},
    {"a_line_that_is_kept", a_line_that_is_kept},
    {"a_line_goes_to_the_ring", a_line_goes_to_the_ring},
    {0},
};
