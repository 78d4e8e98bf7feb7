#include "net/proxy_protocol.h"

#include "base/number.h"

#define V1_MAX 107 /* section 2.1, the CRLF included */
#define V2_HEAD 16

static ssize_t bad(const char **why, const char *text) {
    *why = text;
    return -1;
}

/* ---- version 1: a line of text ---- */

static bool parse_port(struct b_slice text, uint16_t *port) {
    uint64_t n;
    if (text.len > 5 || (text.len > 1 && text.ptr[0] == '0') || !b_parse_u64(text, &n) || n > 65535)
        return false;
    *port = (uint16_t)n;
    return true;
}

/* `TCP4 SOURCE DESTINATION PORT PORT`; UNKNOWN may be followed by anything. */
static bool parse_line(struct b_slice line, struct net_peer *client) {
    struct b_slice word[5], rest = line;
    unsigned count = 0;
    if (b_slice_eq(line, B_LIT("UNKNOWN")) || b_slice_starts(line, B_LIT("UNKNOWN ")))
        return true;
    while (count < 5 && b_slice_next(&rest, ' ', &word[count]))
        count++;
    if (line.len && line.ptr[line.len - 1] == ' ')
        return false;
    bool four = count == 5 && b_slice_eq(word[0], B_LIT("TCP4"));
    if (count != 5 || rest.len || (!four && !b_slice_eq(word[0], B_LIT("TCP6"))))
        return false;
    struct rt_sockaddr from, to;
    uint16_t port, other;
    if (!parse_port(word[3], &port) || !parse_port(word[4], &other) || net_parse_ip(&from, word[1], port) ||
        net_parse_ip(&to, word[2], other))
        return false;
    sa_family_t family = four ? AF_INET : AF_INET6;
    if (from.u.any.sa_family != family || to.u.any.sa_family != family)
        return false;
    net_peer_from(client, &from);
    return true;
}

static ssize_t version_1(struct b_slice in, struct net_peer *client, const char **why) {
    struct b_slice line = b_slice(in.ptr, in.len < V1_MAX ? in.len : V1_MAX);
    size_t end = b_slice_find(line, '\n');
    if (end == line.len)
        return in.len < V1_MAX ? 0 : bad(why, "a line of version 1 that is too long");
    if (in.ptr[end - 1] != '\r' || !parse_line(b_slice(in.ptr + 6, end - 7), client))
        return bad(why, "a malformed line of version 1");
    return (ssize_t)end + 1;
}

/* ---- version 2: binary ---- */

/* Castagnoli's polynomial, reflected; a few hundred bytes a connection need no table. */
static uint32_t crc32c(uint32_t crc, const uint8_t *p, size_t n) {
    while (n--) {
        crc ^= *p++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0x82f63b78u & -(crc & 1));
    }
    return crc;
}

enum { TLV_CRC32C = 3, TLV_HEAD = 3 };

/* The checksum is that of the whole header with its own four bytes as zeros (section 2.2.3). */
static bool crc_is_right(const uint8_t *header, size_t len, const uint8_t *value) {
    static const uint8_t zeros[4];
    uint32_t given = (uint32_t)b_u16(value) << 16 | b_u16(value + 2);
    uint32_t crc = crc32c(~0u, header, (size_t)(value - header));
    crc = crc32c(crc, zeros, 4);
    return ~crc32c(crc, value + 4, len - (size_t)(value + 4 - header)) == given;
}

/* NULL, or what is wrong. */
static const char *check_tlvs(const uint8_t *header, size_t len, size_t at) {
    while (at < len) {
        if (len - at < TLV_HEAD || len - at - TLV_HEAD < b_u16(header + at + 1))
            return "a TLV that ends behind the header";
        size_t size = b_u16(header + at + 1);
        if (header[at] == TLV_CRC32C && (size != 4 || !crc_is_right(header, len, header + at + TLV_HEAD)))
            return "a checksum that is wrong";
        at += TLV_HEAD + size;
    }
    return NULL;
}

/* Family and protocol to the length of the addresses; -1: not of a stream. */
static int addresses_of(uint8_t family) {
    switch (family) {
    case 0x00: return 0;
    case 0x11: return 12;
    case 0x21: return 36;
    case 0x31: return 216;
    default: return -1;
    }
}

static void take_source(uint8_t family, const uint8_t *p, struct net_peer *client) {
    struct rt_sockaddr from;
    if (family == 0x11) {
        net_ipv4(&from, p, (uint16_t)b_u16(p + 8));
        net_peer_from(client, &from);
    } else if (family == 0x21) {
        net_ipv6(&from, p, (uint16_t)b_u16(p + 32));
        net_peer_from(client, &from);
    } else if (family == 0x31) {
        *client = (struct net_peer){.family = AF_UNIX};
    }
}

static ssize_t version_2(struct b_slice in, struct net_peer *client, const char **why) {
    const uint8_t *p = (const uint8_t *)in.ptr;
    if (in.len < V2_HEAD)
        return 0;
    size_t len = V2_HEAD + b_u16(p + 14);
    unsigned command = p[12] & 0x0f;
    int addresses = addresses_of(p[13]);
    if (p[12] >> 4 != 2 || command > 1)
        return bad(why, "an unknown version or command");
    if (len > NET_PROXY_MAX)
        return bad(why, "a header that is too long");
    if (command == 1 && (addresses < 0 || len < V2_HEAD + (size_t)addresses))
        return bad(why, "addresses of a kind that no stream has, or that are cut off");
    if (in.len < len)
        return 0;
    if (command == 0) /* LOCAL: what follows is to be skipped, whatever it is */
        return (ssize_t)len;
    const char *wrong = p[13] ? check_tlvs(p, len, V2_HEAD + (size_t)addresses) : NULL;
    if (wrong)
        return bad(why, wrong);
    take_source(p[13], p + V2_HEAD, client);
    return (ssize_t)len;
}

static bool may_be(struct b_slice in, struct b_slice signature) {
    size_t n = in.len < signature.len ? in.len : signature.len;
    return memcmp(in.ptr, signature.ptr, n) == 0;
}

ssize_t net_proxy_header(struct b_slice in, struct net_peer *client, const char **why) {
    static const struct b_slice one = {"PROXY ", 6}, two = {"\r\n\r\n\0\r\nQUIT\n", 12};
    if (!in.len)
        return 0;
    if (may_be(in, one))
        return in.len > one.len ? version_1(in, client, why) : 0;
    if (may_be(in, two))
        return version_2(in, client, why);
    return bad(why, "no header of the PROXY protocol");
}
