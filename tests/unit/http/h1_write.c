#include "http/h1_write.h"

#include "support.h"

static const struct b_slice no_upgrade;

/* A request with some of every kind of field. */
static struct http_request request(struct http_field *fields, unsigned cap) {
    struct http_request r = {
        .method = HTTP_METHOD_GET,
        .method_text = B_LIT("GET"),
        .path = B_LIT("/a/b"),
        .authority = B_LIT("a.example:80"),
        .fields = {.at = fields, .cap = (uint16_t)cap},
        .content_length = HTTP_LENGTH_UNKNOWN,
    };
    static const char *const lines[][2] = {
        {"Host", "evil"},
        {"Accept", "*/*"},
        {"Connection", "x"},
        {"Content-Length", "99"},
        {"Keep-Alive", "t=1"},
        {"X-Long", "0123456789abcdef0123456789abcdef!"},
        {"Transfer-Encoding", "chunked"},
        {"TE", "trailers"},
        {"Upgrade", "h2c"},
        {"X-Short", ""},
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        CHECK_INT(http_fields_add(NULL, &r.fields, b_slice_cstr(lines[i][0]), b_slice_cstr(lines[i][1])), 0);
    return r;
}

#define KEPT "Accept: */*\r\nX-Long: 0123456789abcdef0123456789abcdef!\r\nX-Short: \r\n"

static char buffer[2048];

static void check_request(const struct http_request *r, unsigned flags, struct b_slice upgrade,
                          const char *want) {
    struct b_text out = b_text_fixed(buffer, sizeof buffer);
    CHECK_INT(h1_write_request(&out, r, flags, upgrade), 0);
    CHECK_SLICE(out.ptr, out.len, want);
}

static void check_response(const struct http_response *r, unsigned flags, const char *want) {
    struct b_text out = b_text_fixed(buffer, sizeof buffer);
    CHECK_INT(h1_write_response(&out, r, flags, no_upgrade), 0);
    CHECK_SLICE(out.ptr, out.len, want);
}

TEST(requests) {
    struct http_field fields[16];
    struct http_request r = request(fields, 16);
    check_request(&r, 0, no_upgrade, "GET /a/b HTTP/1.1\r\nHost: a.example:80\r\n" KEPT "\r\n");
    r.has_query = true;
    check_request(&r, H1_WRITE_CLOSE, no_upgrade,
                  "GET /a/b? HTTP/1.1\r\nHost: a.example:80\r\n" KEPT "Connection: close\r\n\r\n");
    r.query = B_LIT("x=y");
    check_request(&r, 0, B_LIT("websocket"),
                  "GET /a/b?x=y HTTP/1.1\r\nHost: a.example:80\r\n" KEPT
                  "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
}

TEST(S01_requests_have_one_framing_field) {
    struct http_field fields[16];
    struct http_request r = request(fields, 16);
    r.body = HTTP_BODY_LENGTH;
    r.content_length = 9223372036854775807;
    check_request(&r, 0, no_upgrade,
                  "GET /a/b HTTP/1.1\r\nHost: a.example:80\r\n" KEPT
                  "Content-Length: 9223372036854775807\r\n\r\n");
    r.body = HTTP_BODY_CHUNKED;
    check_request(&r, 0, no_upgrade,
                  "GET /a/b HTTP/1.1\r\nHost: a.example:80\r\n" KEPT "Transfer-Encoding: chunked\r\n\r\n");
    r.body = HTTP_BODY_NONE;
    r.method = HTTP_METHOD_POST;
    r.method_text = B_LIT("POST");
    check_request(&r, 0, no_upgrade,
                  "POST /a/b HTTP/1.1\r\nHost: a.example:80\r\n" KEPT "Content-Length: 0\r\n\r\n");
}

TEST(special_targets) {
    struct http_request r = {.method = HTTP_METHOD_OPTIONS,
                             .method_text = B_LIT("OPTIONS"),
                             .path = B_LIT("*"),
                             .authority = B_LIT("a")};
    check_request(&r, 0, no_upgrade, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    r = (struct http_request){.method = HTTP_METHOD_CONNECT,
                              .method_text = B_LIT("CONNECT"),
                              .authority = B_LIT("a:1")};
    check_request(&r, 0, no_upgrade, "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n");
    r = (struct http_request){.method = HTTP_METHOD_OTHER,
                              .method_text = B_LIT("A#%|"),
                              .path = B_LIT("/"),
                              .authority = B_LIT("a")};
    check_request(&r, 0, no_upgrade,
                  "A#%| / HTTP/1.1\r\nHost: a\r\n\r\n"); /* '#' is a tchar, if an odd one */
}

TEST(responses) {
    struct http_field fields[4];
    struct http_response r = {.status = 200,
                              .body = HTTP_BODY_LENGTH,
                              .content_length = 5,
                              .fields = {.at = fields, .cap = 4}};
    CHECK_INT(http_fields_add(NULL, &r.fields, B_LIT("ETag"), B_LIT("\"x\"")), 0);
    check_response(&r, 0, "HTTP/1.1 200 OK\r\nETag: \"x\"\r\nContent-Length: 5\r\n\r\n");
    r.reason = B_LIT("Fine");
    check_response(&r, H1_WRITE_CLOSE,
                   "HTTP/1.1 200 Fine\r\nETag: \"x\"\r\nContent-Length: 5\r\nConnection: close\r\n\r\n");
    r.status = 503;
    r.reason = no_upgrade;
    r.body = HTTP_BODY_CHUNKED;
    check_response(&r, H1_WRITE_KEEP_ALIVE,
                   "HTTP/1.1 503 Service Unavailable\r\nETag: \"x\"\r\nTransfer-Encoding: chunked\r\n"
                   "Connection: keep-alive\r\n\r\n");
    r.body = HTTP_BODY_UNTIL_CLOSE;
    check_response(&r, H1_WRITE_KEEP_ALIVE,
                   "HTTP/1.1 503 Service Unavailable\r\nETag: \"x\"\r\nConnection: close\r\n\r\n");
    r.body = HTTP_BODY_NONE;
    check_response(&r, 0, "HTTP/1.1 503 Service Unavailable\r\nETag: \"x\"\r\nContent-Length: 0\r\n\r\n");
}

TEST(bodiless_responses) {
    static const struct {
        unsigned status;
        enum http_body_kind body;
        uint64_t length;
        unsigned flags;
        const char *want;
    } rows[] = {
        {204, HTTP_BODY_NONE, HTTP_LENGTH_UNKNOWN, 0, "HTTP/1.1 204 No Content\r\n\r\n"},
        {204, HTTP_BODY_LENGTH, 0, 0, "HTTP/1.1 204 No Content\r\n\r\n"},
        {304, HTTP_BODY_NONE, 9, 0, "HTTP/1.1 304 Not Modified\r\n\r\n"},
        {100, HTTP_BODY_NONE, HTTP_LENGTH_UNKNOWN, 0, "HTTP/1.1 100 Continue\r\n\r\n"},
        {200, HTTP_BODY_NONE, 9, H1_WRITE_TO_HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"},
        {200, HTTP_BODY_LENGTH, 9, H1_WRITE_TO_HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"},
        {200, HTTP_BODY_NONE, HTTP_LENGTH_UNKNOWN, H1_WRITE_TO_HEAD, "HTTP/1.1 200 OK\r\n\r\n"},
        {799, HTTP_BODY_NONE, 0, 0, "HTTP/1.1 799 Unknown\r\nContent-Length: 0\r\n\r\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http_response r = {.status = (uint16_t)rows[i].status,
                                  .body = rows[i].body,
                                  .content_length = rows[i].length};
        check_response(&r, rows[i].flags, rows[i].want);
    }
}

TEST(switching_protocols) {
    struct http_response r = {.status = 101};
    struct b_text out = b_text_fixed(buffer, sizeof buffer);
    CHECK_INT(h1_write_response(&out, &r, 0, B_LIT("websocket")), 0);
    CHECK_SLICE(out.ptr, out.len,
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
}

static int write_request(const struct http_request *r) {
    struct b_text out = b_text_fixed(buffer, sizeof buffer);
    int result = h1_write_request(&out, r, 0, no_upgrade);
    CHECK_INT(out.failed, result != 0);
    return result;
}

/* A control character in any part, at any place of it, and nothing is sent. */
TEST(S29_control_characters_are_not_written) {
    struct http_field fields[16];
    static const char bad[] = {'\r', '\n', 0, 1, 0x1f, 0x7f};
    struct http_request good = request(fields, 16), r = good;
    CHECK_INT(write_request(&good), 0);
    for (size_t i = 0; i < sizeof bad; i++) {
        for (size_t len = 1; len < 40; len++) {
            char text[40];
            memset(text, 'x', sizeof text);
            text[len / 2] = bad[i];
            struct b_slice s = b_slice(text, len);
            struct b_slice *const parts[] = {&r.path, &r.query, &r.authority, &r.method_text};
            for (size_t k = 0; k < sizeof parts / sizeof parts[0]; k++) {
                r = good;
                r.has_query = true;
                *parts[k] = s;
                CHECK_INT(write_request(&r), -HTTP_E_BAD_OUTPUT);
            }
            struct b_text out = b_text_fixed(buffer, sizeof buffer);
            CHECK_INT(h1_write_field(&out, B_LIT("X"), s), -HTTP_E_BAD_OUTPUT);
            out = b_text_fixed(buffer, sizeof buffer);
            CHECK_INT(h1_write_field(&out, s, B_LIT("x")), -HTTP_E_BAD_OUTPUT);
            struct http_response response = {.status = 200, .reason = s};
            out = b_text_fixed(buffer, sizeof buffer);
            CHECK_INT(h1_write_response(&out, &response, 0, no_upgrade), -HTTP_E_BAD_OUTPUT);
            response = (struct http_response){.status = 101};
            out = b_text_fixed(buffer, sizeof buffer);
            CHECK_INT(h1_write_response(&out, &response, 0, s), -HTTP_E_BAD_OUTPUT);
        }
    }
}

TEST(S29_spaces_in_the_start_line_are_not_written) {
    struct http_field fields[16];
    struct http_request good = request(fields, 16), r = good;
    struct b_slice *const parts[] = {&r.path, &r.query, &r.authority, &r.method_text};
    for (size_t k = 0; k < sizeof parts / sizeof parts[0]; k++) {
        r = good;
        r.has_query = true;
        *parts[k] = B_LIT("a b");
        CHECK_INT(write_request(&r), -HTTP_E_BAD_OUTPUT);
    }
    r = good;
    r.body = HTTP_BODY_UNTIL_CLOSE;
    CHECK_INT(write_request(&r), -HTTP_E_BAD_OUTPUT);
    struct http_response response = {.status = 99};
    struct b_text out = b_text_fixed(buffer, sizeof buffer);
    CHECK_INT(h1_write_response(&out, &response, 0, no_upgrade), -HTTP_E_BAD_OUTPUT);
}

/* Too little room at every size: an error, and not a byte past the end. */
TEST(S30_room_runs_out) {
    struct http_field fields[16];
    struct http_request r = request(fields, 16);
    struct b_text whole = b_text_fixed(buffer, sizeof buffer);
    CHECK_INT(h1_write_request(&whole, &r, H1_WRITE_CLOSE, no_upgrade), 0);
    for (size_t cap = 0; cap <= whole.len; cap++) {
        char *room = b_alloc(B_TAG_TEST, cap + 1);
        room[cap] = 'z';
        struct b_text out = b_text_fixed(room, cap);
        CHECK_INT(h1_write_request(&out, &r, H1_WRITE_CLOSE, no_upgrade),
                  cap < whole.len ? -HTTP_E_INTERNAL : 0);
        CHECK_INT(room[cap], 'z');
        b_free(room);
    }
}

const struct test_case h1_write_tests[] = {
    {"requests", requests},
    {"S01_requests_have_one_framing_field", S01_requests_have_one_framing_field},
    {"special_targets", special_targets},
    {"responses", responses},
    {"bodiless_responses", bodiless_responses},
    {"switching_protocols", switching_protocols},
    {"S29_control_characters_are_not_written", S29_control_characters_are_not_written},
    {"S29_spaces_in_the_start_line_are_not_written", S29_spaces_in_the_start_line_are_not_written},
    {"S30_room_runs_out", S30_room_runs_out},
    {0},
};
