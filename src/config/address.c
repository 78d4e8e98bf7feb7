#include "config/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/un.h>

#define UNIX_PATH_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

/* Digits only, 0 to 65535, five of them at most. */
static bool parse_port(struct b_slice s, uint16_t *port) {
    unsigned v = 0;
    if (s.len < 1 || s.len > 5)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (!b_is_digit(s.ptr[i]))
            return false;
        v = v * 10 + (unsigned)(s.ptr[i] - '0');
    }
    *port = (uint16_t)v;
    return v <= 65535;
}

/* inet_pton wants a NUL. */
static bool parse_ip(struct b_slice s, int family, uint8_t ip[16]) {
    char buf[INET6_ADDRSTRLEN];
    if (s.len >= sizeof buf)
        return false;
    memcpy(buf, s.ptr ? s.ptr : "", s.len);
    buf[s.len] = 0;
    memset(ip, 0, 16);
    return strlen(buf) == s.len && inet_pton(family, buf, ip) == 1;
}

static const char *parse_unix(struct b_slice path, struct b_slice *out) {
    if (!path.len || path.ptr[0] != '/')
        return "the path of a unix socket is absolute, such as unix:/run/weir.sock";
    if (path.len > UNIX_PATH_MAX)
        return "the path of a unix socket has at most 107 bytes";
    *out = path;
    return NULL;
}

static bool host_char(char c) {
    return b_is_digit(c) || (b_lower(c) >= 'a' && b_lower(c) <= 'z') || c == '-' || c == '_';
}

/* Labels of 1 to 63 host characters, no dash at an end; the last one is not a number, which would be a bad address. */
static bool is_name(struct b_slice s) {
    bool digits = true;
    size_t label = 0;
    if (s.len == 0 || s.len > 253)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '.' ? label == 0 || s.ptr[i - 1] == '-'
                     : !host_char(c) || (c == '-' && !label) || label >= 63)
            return false;
        label = c == '.' ? 0 : label + 1;
        digits = c == '.' ? true : digits && b_is_digit(c);
    }
    return label && !digits && s.ptr[s.len - 1] != '-';
}

const char *cfg_check_host(struct b_slice s) {
    uint8_t ip[16];
    if (s.len > 1 && s.ptr[0] == '*')
        return "hosts with * are not built yet: name the host, or leave `host` out to match all of them";
    if (is_name(s) || parse_ip(s, AF_INET, ip))
        return NULL;
    if (s.len > 2 && s.ptr[0] == '[' && s.ptr[s.len - 1] == ']' &&
        parse_ip(b_slice(s.ptr + 1, s.len - 2), AF_INET6, ip))
        return NULL;
    if (is_name(b_slice(s.ptr, b_slice_find(s, ':'))))
        return "give the host without port; `listen` in the match limits a route to a listener";
    return "give a host name such as api.example.com";
}

/* What stands before the port: an IPv4 address, an IPv6 address in brackets, or (with `names`) a name. The slice goes
 * to *name without brackets. */
static bool parse_host(struct b_slice s, bool names, enum cfg_host *kind, uint8_t ip[16],
                       struct b_slice *name) {
    *name = s;
    if (s.len > 2 && s.ptr[0] == '[' && s.ptr[s.len - 1] == ']') {
        *name = b_slice(s.ptr + 1, s.len - 2);
        *kind = CFG_HOST_IPV6;
        return parse_ip(*name, AF_INET6, ip);
    }
    *kind = parse_ip(s, AF_INET, ip) ? CFG_HOST_IPV4 : CFG_HOST_NAME;
    return *kind == CFG_HOST_IPV4 || (names && is_name(s));
}

/* Splits `host:port` at the colon behind a closing bracket, or at the only one. False when there is none. */
static bool split_port(struct b_slice s, struct b_slice *host, struct b_slice *port) {
    size_t at = s.len && s.ptr[0] == '[' ? b_slice_find(s, ']') + 1 : b_slice_find(s, ':');
    if (at >= s.len || s.ptr[at] != ':')
        return false;
    *host = b_slice(s.ptr, at);
    *port = b_slice_from(s, at + 1);
    return true;
}

const char *cfg_parse_addr(struct b_slice s, struct cfg_addr *out) {
    static const char reason[] =
        "give an address with its port, such as \":8080\", 127.0.0.1:8080, \"[::1]:8080\" or unix:/run/weir.sock";
    struct cfg_addr a = {.text = s};
    struct b_slice host, port, name;
    if (b_slice_starts(s, B_LIT("unix:"))) {
        const char *why = parse_unix(b_slice_from(s, 5), &a.path);
        a.kind = CFG_HOST_UNIX;
        if (!why)
            *out = a;
        return why;
    }
    if (!split_port(s, &host, &port))
        return reason;
    if (!parse_port(port, &a.port))
        return "the port is a number from 0 to 65535";
    if (host.len == 0)
        a.kind = CFG_HOST_ANY;
    else if (!parse_host(host, false, &a.kind, a.ip, &name))
        return is_name(host) ? "a name may stand for several addresses: give a number, such as 127.0.0.1:8080"
                             : reason;
    *out = a;
    return NULL;
}

/* Behind `http://`. */
static const char *parse_authority(struct b_slice rest, struct cfg_url *url) {
    struct b_slice host = rest, port = {0};
    if (b_slice_find(rest, '@') < rest.len)
        return "an endpoint holds no user and password";
    if (b_slice_find(rest, '/') < rest.len || b_slice_find(rest, '?') < rest.len ||
        b_slice_find(rest, '#') < rest.len)
        return "an endpoint ends with its port, without path or query; the request brings its own";
    url->port = 80;
    if (split_port(rest, &host, &port) && (!parse_port(port, &url->port) || url->port == 0))
        return "the port is a number from 1 to 65535";
    if (!parse_host(host, true, &url->kind, url->ip, &url->name))
        return "the host is a name or an address, such as http://orders:8080 or http://[::1]:8080";
    url->authority = rest;
    return NULL;
}

const char *cfg_parse_url(struct b_slice s, struct cfg_url *out) {
    struct cfg_url url = {.text = s};
    const char *why = NULL;
    if (b_slice_starts(s, B_LIT("http://"))) {
        why = parse_authority(b_slice_from(s, 7), &url);
    } else if (b_slice_starts(s, B_LIT("http+unix:")) || b_slice_starts(s, B_LIT("unix:"))) {
        url.kind = CFG_HOST_UNIX;
        why = parse_unix(b_slice_from(s, b_slice_find(s, ':') + 1), &url.path);
    } else if (b_slice_starts(s, B_LIT("https:"))) {
        why = "TLS to upstreams is not built yet: use http://";
    } else {
        why = "give a URL such as http://127.0.0.1:9001 or unix:/run/app.sock";
    }
    if (!why)
        *out = url;
    return why;
}

/* True when a bit behind the prefix is set. */
static bool host_bits(const uint8_t *ip, unsigned bits, unsigned total) {
    for (unsigned i = bits; i < total; i++)
        if (ip[i / 8] & (0x80u >> (i % 8)))
            return true;
    return false;
}

const char *cfg_parse_cidr(struct b_slice s, struct cfg_cidr *out) {
    size_t slash = b_slice_find(s, '/');
    struct b_slice host = b_slice(s.ptr, slash);
    uint8_t ip[16];
    bool v4 = parse_ip(host, AF_INET, ip);
    if (!v4 && !parse_ip(host, AF_INET6, ip))
        return "give an address or a network, such as 127.0.0.1, 10.0.0.0/8 or 2001:db8::/32";
    unsigned total = v4 ? 32 : 128;
    uint16_t bits = (uint16_t)total;
    if (slash < s.len && (!parse_port(b_slice_from(s, slash + 1), &bits) || bits > total))
        return v4 ? "the length of an IPv4 prefix is 0 to 32" : "the length of an IPv6 prefix is 0 to 128";
    if (host_bits(ip, bits, total))
        return "the address has bits set behind the prefix: write the first address of the network, such as 10.0.0.0/8";
    out->kind = v4 ? CFG_HOST_IPV4 : CFG_HOST_IPV6;
    out->bits = (uint8_t)bits;
    memcpy(out->ip, ip, sizeof ip);
    return NULL;
}

bool cfg_addr_eq(const struct cfg_addr *a, const struct cfg_addr *b) {
    return a->kind == b->kind && a->port == b->port && memcmp(a->ip, b->ip, sizeof a->ip) == 0 &&
           b_slice_eq(a->path, b->path);
}
