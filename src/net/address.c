#include "net/address.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/number.h"

#define PATH_AT offsetof(struct sockaddr_un, sun_path)
static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

void net_ipv4(struct rt_sockaddr *a, const uint8_t ip[4], uint16_t port) {
    *a = (struct rt_sockaddr){.len = sizeof a->u.in};
    a->u.in.sin_family = AF_INET;
    a->u.in.sin_port = htons(port);
    memcpy(&a->u.in.sin_addr, ip, 4);
}

void net_ipv6(struct rt_sockaddr *a, const uint8_t ip[16], uint16_t port) {
    *a = (struct rt_sockaddr){.len = sizeof a->u.in6};
    a->u.in6.sin6_family = AF_INET6;
    a->u.in6.sin6_port = htons(port);
    memcpy(&a->u.in6.sin6_addr, ip, 16);
}

bool net_has_ipv6(void) {
    static _Atomic int known; /* 1 yes, 2 no; two threads that ask at once find the same */
    int v = atomic_load_explicit(&known, memory_order_relaxed);
    if (!v) {
        int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
        v = fd < 0 && errno == EAFNOSUPPORT ? 2 : 1;
        if (fd >= 0)
            close(fd);
        atomic_store_explicit(&known, v, memory_order_relaxed);
    }
    return v == 1;
}

void net_any(struct rt_sockaddr *a, uint16_t port) {
    static const uint8_t zero[16];
    if (net_has_ipv6())
        net_ipv6(a, zero, port);
    else
        net_ipv4(a, zero, port);
}

int net_unix(struct rt_sockaddr *a, struct b_slice path) {
    if (path.len == 0 || b_slice_find(path, '\0') != path.len)
        return -EINVAL;
    if (path.len >= sizeof a->u.un.sun_path)
        return -ENAMETOOLONG;
    *a = (struct rt_sockaddr){.len = (socklen_t)(PATH_AT + path.len + 1)};
    a->u.un.sun_family = AF_UNIX;
    memcpy(a->u.un.sun_path, path.ptr, path.len);
    return 0;
}

int net_parse_ip(struct rt_sockaddr *a, struct b_slice text, uint16_t port) {
    char buf[INET6_ADDRSTRLEN];
    uint8_t ip[16];
    if (text.len == 0 || text.len >= sizeof buf || b_slice_find(text, '\0') != text.len)
        return -EINVAL;
    memcpy(buf, text.ptr, text.len);
    buf[text.len] = '\0';
    if (inet_pton(AF_INET, buf, ip) == 1)
        net_ipv4(a, ip, port);
    else if (inet_pton(AF_INET6, buf, ip) == 1)
        net_ipv6(a, ip, port);
    else
        return -EINVAL;
    return 0;
}

uint16_t net_port(const struct rt_sockaddr *a) {
    switch (a->u.any.sa_family) {
    case AF_INET: return ntohs(a->u.in.sin_port);
    case AF_INET6: return ntohs(a->u.in6.sin6_port);
    default: return 0;
    }
}

struct b_slice net_unix_path(const struct rt_sockaddr *a) {
    if (a->u.any.sa_family != AF_UNIX || a->len <= PATH_AT)
        return b_slice(NULL, 0);
    size_t room = a->len - PATH_AT;
    if (room > sizeof a->u.un.sun_path)
        room = sizeof a->u.un.sun_path;
    return b_slice(a->u.un.sun_path, strnlen(a->u.un.sun_path, room));
}

bool net_eq(const struct rt_sockaddr *a, const struct rt_sockaddr *b) {
    if (a->u.any.sa_family != b->u.any.sa_family)
        return false;
    switch (a->u.any.sa_family) {
    case AF_INET:
        return a->u.in.sin_port == b->u.in.sin_port && a->u.in.sin_addr.s_addr == b->u.in.sin_addr.s_addr;
    case AF_INET6:
        return a->u.in6.sin6_port == b->u.in6.sin6_port && a->u.in6.sin6_scope_id == b->u.in6.sin6_scope_id &&
               memcmp(&a->u.in6.sin6_addr, &b->u.in6.sin6_addr, 16) == 0;
    case AF_UNIX: return b_slice_eq(net_unix_path(a), net_unix_path(b));
    default: return false;
    }
}

/* --- text: own code for IPv4, since it is on the way of a request and inet_ntop goes through printf --- */

static size_t format_ipv4(const uint8_t ip[4], char *buf) {
    size_t n = 0;
    for (int i = 0; i < 4; i++) {
        if (i)
            buf[n++] = '.';
        n += b_format_u8(buf + n, ip[i]);
    }
    buf[n] = '\0';
    return n;
}

static size_t format_ipv6(const uint8_t ip[16], char *buf) {
    const char *p = inet_ntop(AF_INET6, ip, buf, INET6_ADDRSTRLEN);
    assert(p && "the buffer is large enough");
    return strlen(p);
}

static size_t format_port(char *buf, size_t n, uint16_t port) {
    buf[n++] = ':';
    n += b_format_u64(buf + n, port);
    buf[n] = '\0';
    return n;
}

static size_t format_literal(const char *text, char *buf) {
    size_t n = strlen(text);
    memcpy(buf, text, n + 1);
    return n;
}

static size_t format_bracketed(const uint8_t ip[16], uint16_t port, char *buf) {
    buf[0] = '[';
    size_t n = 1 + format_ipv6(ip, buf + 1);
    buf[n++] = ']';
    return format_port(buf, n, port);
}

static size_t format_path(const struct rt_sockaddr *a, char *buf) {
    struct b_slice path = net_unix_path(a);
    size_t n = format_literal("unix:", buf);
    if (path.len)
        memcpy(buf + n, path.ptr, path.len);
    buf[n + path.len] = '\0';
    return n + path.len;
}

size_t net_format(const struct rt_sockaddr *a, char buf[NET_ADDRESS_TEXT]) {
    switch (a->u.any.sa_family) {
    case AF_INET: return format_port(buf, format_ipv4((const uint8_t *)&a->u.in.sin_addr, buf), net_port(a));
    case AF_INET6: return format_bracketed(a->u.in6.sin6_addr.s6_addr, net_port(a), buf);
    case AF_UNIX: return format_path(a, buf);
    default: return format_literal("-", buf);
    }
}

size_t net_format_ip(const struct rt_sockaddr *a, char buf[NET_ADDRESS_TEXT]) {
    struct net_peer p;
    net_peer_from(&p, a);
    return net_peer_format_ip(&p, buf);
}

/* --- the compact form --- */

void net_peer_from(struct net_peer *p, const struct rt_sockaddr *a) {
    *p = (struct net_peer){.port = net_port(a)};
    switch (a->u.any.sa_family) {
    case AF_INET:
        p->family = AF_INET;
        memcpy(p->ip, &a->u.in.sin_addr, 4);
        break;
    case AF_INET6: {
        const uint8_t *ip = a->u.in6.sin6_addr.s6_addr;
        bool mapped = memcmp(ip, mapped_prefix, sizeof mapped_prefix) == 0;
        p->family = mapped ? AF_INET : AF_INET6;
        memcpy(p->ip, mapped ? ip + 12 : ip, mapped ? 4 : 16);
        break;
    }
    case AF_UNIX: p->family = AF_UNIX; break;
    default: break;
    }
}

void net_peer_to(const struct net_peer *p, uint16_t port, struct rt_sockaddr *a) {
    assert(p->family == AF_INET || p->family == AF_INET6);
    if (p->family == AF_INET)
        net_ipv4(a, p->ip, port);
    else
        net_ipv6(a, p->ip, port);
}

size_t net_peer_format_ip(const struct net_peer *p, char buf[NET_PEER_TEXT]) {
    switch (p->family) {
    case AF_INET: return format_ipv4(p->ip, buf);
    case AF_INET6: return format_ipv6(p->ip, buf);
    case AF_UNIX: return format_literal("unix", buf);
    default: return format_literal("-", buf);
    }
}

size_t net_peer_format(const struct net_peer *p, char buf[NET_PEER_TEXT]) {
    if (p->family == AF_INET6)
        return format_bracketed(p->ip, p->port, buf);
    size_t n = net_peer_format_ip(p, buf);
    return p->family == AF_INET ? format_port(buf, n, p->port) : n;
}

bool net_peer_in(const struct net_peer *p, int family, const uint8_t *net_ip, unsigned bits) {
    if (p->family != family || (family != AF_INET && family != AF_INET6))
        return false;
    unsigned whole = bits / 8, rest = bits % 8;
    assert(bits <= (family == AF_INET ? 32u : 128u));
    if (memcmp(p->ip, net_ip, whole) != 0)
        return false;
    return rest == 0 || ((p->ip[whole] ^ net_ip[whole]) >> (8 - rest)) == 0;
}

bool net_peer_same_ip(const struct net_peer *a, const struct net_peer *b) {
    return a->family == b->family && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}
