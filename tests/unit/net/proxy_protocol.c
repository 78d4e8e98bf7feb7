#include "net/proxy_protocol.h"

#include "test.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4 "\xc0\0\2\1\xc6\x33\x64\2\4\xd2\0\x50" /* 192.0.2.1:1234 to 198.51.100.2:80 */
#define CASE(text) text, sizeof(text) - 1

struct header {
    const char *bytes;
    size_t len;
    ssize_t want; /* -2: all of it */
    const char *client;
};

static void run(const struct header *cases, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const struct header *h = &cases[i];
        struct net_peer peer = {0};
        char text[NET_PEER_TEXT];
        const char *why = NULL;
        ssize_t n = net_proxy_header(b_slice(h->bytes, h->len), &peer, &why);
        CHECK_INT(n, h->want == -2 ? (ssize_t)h->len : h->want);
        CHECK((n < 0) == (why != NULL));
        net_peer_format(&peer, text);
        CHECK_STR(text, h->client);
    }
}

TEST(version_1) {
    static const struct header cases[] = {
        {CASE("PROXY TCP4 192.0.2.1 198.51.100.2 1234 80\r\n"), -2, "192.0.2.1:1234"},
        {CASE("PROXY TCP4 192.0.2.1 198.51.100.2 1234 80\r\nGET"), 43, "192.0.2.1:1234"},
        {CASE("PROXY TCP6 2001:db8::1 2001:db8::2 0 65535\r\n"), -2, "[2001:db8::1]:0"},
        {CASE("PROXY UNKNOWN\r\n"), -2, "-"},
        {CASE("PROXY UNKNOWN what ever\r\n"), -2, "-"},
        {CASE("PROXY TCP4 192.0.2.1 198.51.100.2 1234 8"), 0, "-"},
        {CASE(""), 0, "-"},
        {CASE("PRO"), 0, "-"},
        {CASE("proxy TCP4 192.0.2.1 198.51.100.2 1234 80\r\n"), -1, "-"},
        {CASE("PROXY TCP4 192.0.2.1 198.51.100.2 1234 80\n"), -1, "-"},
        {CASE("PROXY TCP4 192.0.2.1 198.51.100.2 1234 80 \r\n"), -1, "-"},
        {CASE("PROXY TCP4  192.0.2.1 198.51.100.2 1234 80\r\n"), -1, "-"},
        {CASE("PROXY TCP4 192.0.2.1 198.51.100.2 1234\r\n"), -1, "-"},
        {CASE("PROXY TCP4 192.0.2.1 198.51.100.2 1234 65536\r\n"), -1, "-"},
        {CASE("PROXY TCP4 192.0.2.1 198.51.100.2 01 80\r\n"), -1, "-"},
        {CASE("PROXY TCP4 192.0.2.1 198.51.100.2 +1 80\r\n"), -1, "-"},
        {CASE("PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n"), -1, "-"},
        {CASE("PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n"), -1, "-"},
        {CASE("PROXY TCP4 192.0.2 198.51.100.2 1 2\r\n"), -1, "-"},
        {CASE("PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n"), -1, "-"},
        {CASE("PROXY \r\n"), -1, "-"},
        {CASE("PROXY \n"), -1, "-"},
        {CASE("GET / HTTP/1.1\r\n"), -1, "-"},
        {CASE("\r\n"), 0, "-"},
        {CASE("\r\nGET"), -1, "-"},
    };
    run(cases, sizeof cases / sizeof *cases);
    char line[120];
    const char *why;
    struct net_peer peer = {0};
    memset(line, 'x', sizeof line);
    memcpy(line, "PROXY UNKNOWN ", 14);
    CHECK_INT(net_proxy_header(b_slice(line, 106), &peer, &why), 0);
    CHECK_INT(net_proxy_header(b_slice(line, 107), &peer, &why), -1);
    memcpy(line + 105, "\r\n", 2);
    CHECK_INT(net_proxy_header(b_slice(line, 120), &peer, &why), 107);
}

TEST(version_2) {
    static const struct header cases[] = {
        {CASE(SIGNATURE "\x21\x11\0\x0c" V4), -2, "192.0.2.1:1234"},
        {CASE(SIGNATURE "\x21\x11\0\x0c" V4 "GET"), 28, "192.0.2.1:1234"},
        {CASE(SIGNATURE "\x21\x11\0\x11" V4 "\1\0\2h2"), -2, "192.0.2.1:1234"},
        {CASE(SIGNATURE "\x20\0\0\0"), -2, "-"},
        {CASE(SIGNATURE "\x20\x11\0\3xyz"), -2, "-"},
        {CASE(SIGNATURE "\x21\0\0\3xyz"), -2, "-"},
        {CASE(SIGNATURE "\x21\x11\0\x0c"
                        "\xc0\0\2"),
         0, "-"},
        {CASE("\r\n\r\n\0\r\nQUIT"), 0, "-"},
        {CASE(SIGNATURE "\x21\x11"), 0, "-"},
        {CASE(SIGNATURE "\x11\x11\0\x0c" V4), -1, "-"}, /* version 1 in binary */
        {CASE(SIGNATURE "\x22\x11\0\x0c" V4), -1, "-"}, /* no such command */
        {CASE(SIGNATURE "\x21\x12\0\x0c" V4), -1, "-"}, /* datagrams */
        {CASE(SIGNATURE "\x21\x11\0\x0b" V4), -1, "-"}, /* addresses cut off */
        {CASE(SIGNATURE "\x21\x21\0\x0c" V4), -1, "-"},
        {CASE(SIGNATURE "\x21\x11\0\x0e" V4 "\1\0"), -1, "-"}, /* half a TLV */
        {CASE(SIGNATURE "\x21\x11\0\x10" V4 "\1\0\2h"), -1, "-"},
        {CASE(SIGNATURE "\x21\x11\0\x10" V4 "\1\xff\xffh"), -1, "-"},
        {CASE(SIGNATURE "\x21\x11\x08\0" V4), -1, "-"},                  /* longer than is taken */
        {CASE(SIGNATURE "\x21\x11\0\x13" V4 "\3\0\4\0\0\0\0"), -1, "-"}, /* a wrong checksum */
        {CASE("\r\n\r\n\0\r\nQUIX"), -1, "-"},
    };
    run(cases, sizeof cases / sizeof *cases);
}

const struct test_case proxy_protocol_tests[] = {{"version_1", version_1}, {"version_2", version_2}, {0}};
