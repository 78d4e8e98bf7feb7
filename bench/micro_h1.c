/* Nanoseconds for parsing and writing HTTP/1 heads, the codec alone: the best of several rounds, since
 * whatever else runs on the machine only ever adds.
 *     gcc -O2 -std=gnu17 -D_GNU_SOURCE -Isrc bench/micro_h1.c src/http/[a-z]*.c src/json/writer.c
 * src/base/[a-z]*.c */
#include <stdio.h>
#include <time.h>

#include "base/text.h"
#include "http/h1_parse.h"
#include "http/h1_write.h"

#define ROUNDS 15
#define RUNS 20000
#define FIELDS 100

static const struct {
    const char *name;
    struct b_slice head;
} requests[] = {
    {"wrk-like, 1 field", B_LIT("GET /index.html HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n")},
    {"service, 10 fields",
     B_LIT("POST /api/v1/orders HTTP/1.1\r\nHost: orders.internal:8080\r\nUser-Agent: Go-http-client/1.1\r\n"
           "Content-Length: 256\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\n"
           "Authorization: Bearer 0123456789abcdef0123456789abcdef0123456789abcdef\r\n"
           "Content-Type: application/json\r\n"
           "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
           "X-Request-Id: 6ba7b810-9dad-11d1-80b4-00c04fd430c8\r\nX-Forwarded-For: 10.1.2.3\r\n\r\n")},
    {"browser, 12 fields",
     B_LIT(
         "GET /wp-content/uploads/2010/03/hello-kitty-darth-vader-pink.jpg?w=640 HTTP/1.1\r\n"
         "Host: www.kittyhell.com\r\n"
         "User-Agent: Mozilla/5.0 (Macintosh; U; Intel Mac OS X 10.6; ja-JP-mac; rv:1.9.2.3) Gecko/20100401 "
         "Firefox/3.6.3 Pathtraq/0.9\r\n"
         "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
         "Accept-Language: ja,en-us;q=0.7,en;q=0.3\r\nAccept-Encoding: gzip,deflate\r\n"
         "Accept-Charset: Shift_JIS,utf-8;q=0.7,*;q=0.7\r\nReferer: https://www.kittyhell.com/2010/03/\r\n"
         "Connection: keep-alive\r\nUpgrade-Insecure-Requests: 1\r\nCache-Control: max-age=0\r\n"
         "If-None-Match: \"33a64df551425fcc55e4d42a148795d9f25f89d4\"\r\n"
         "Cookie: wp_ozh_wsa_visits=2; wp_ozh_wsa_visit_lasttime=xxxxxxxxxx; "
         "__utma=xxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx.x; "
         "__utmz=xxxxxxxxx.xxxxxxxxxx.x.x.utmccn=(referral)|utmcsr=reader.livedoor.com\r\n\r\n")},
};

static const struct b_slice response_head = B_LIT(
    "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    "Content-Type: application/json; charset=utf-8\r\nContent-Length: 1024\r\nConnection: keep-alive\r\n"
    "Cache-Control: private, max-age=0\r\nETag: W/\"400-18f3a2b\"\r\nVary: Accept-Encoding\r\n\r\n");

static struct http_field fields[FIELDS];
static struct b_slice input; /* volatile in effect: the compiler does not see through the files */

static void parse_request(void) {
    struct http_request r;
    if (h1_parse_request(input, &http_limits_default, fields, FIELDS, NULL, &r) != (ssize_t)input.len)
        printf("not parsed\n");
}

static void forward_request(void) {
    char buf[4096];
    struct http_request r;
    struct b_text out = b_text_fixed(buf, sizeof buf);
    if (h1_parse_request(input, &http_limits_default, fields, FIELDS, NULL, &r) < 0)
        printf("not parsed\n");
    http_fields_strip_hop(&r.fields);
    if (h1_write_request(&out, &r, 0, b_slice(NULL, 0)) < 0)
        printf("not written\n");
}

static void parse_response(void) {
    struct http_response r;
    if (h1_parse_response(input, &http_limits_default, fields, FIELDS, HTTP_METHOD_GET, &r, NULL) < 0)
        printf("not parsed\n");
}

static void forward_response(void) {
    char buf[4096];
    struct http_response r;
    struct b_text out = b_text_fixed(buf, sizeof buf);
    if (h1_parse_response(input, &http_limits_default, fields, FIELDS, HTTP_METHOD_GET, &r, NULL) < 0)
        printf("not parsed\n");
    http_fields_strip_hop(&r.fields);
    if (h1_write_response(&out, &r, 0, b_slice(NULL, 0)) < 0)
        printf("not written\n");
}

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double measure(void (*run)(void), struct b_slice in) {
    double best = 1e18;
    input = in;
    for (int round = 0; round < ROUNDS; round++) {
        double start = now_ns();
        for (int i = 0; i < RUNS; i++)
            run();
        double ns = (now_ns() - start) / RUNS;
        best = ns < best ? ns : best;
    }
    return best;
}

int main(void) {
    printf("%-22s %6s %10s %22s\n", "", "bytes", "parse, ns", "parse and write, ns");
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++)
        printf("%-22s %6zu %10.0f %22.0f\n", requests[i].name, requests[i].head.len,
               measure(parse_request, requests[i].head), measure(forward_request, requests[i].head));
    printf("%-22s %6zu %10.0f %22.0f\n", "response, 8 fields", response_head.len,
           measure(parse_response, response_head), measure(forward_response, response_head));
    return 0;
}
