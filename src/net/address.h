/* Addresses: where a socket listens, connects to or comes from. Pure helpers on struct rt_sockaddr, and a
 * compact form for records that are kept. Ports are in host order, IP bytes in network order; texts are
 * NUL-terminated. */
#ifndef NET_ADDRESS_H
#define NET_ADDRESS_H

#include "base/slice.h"
#include "runtime/io.h"

#define NET_ADDRESS_TEXT 128 /* room for any address as text, its NUL included */
#define NET_PEER_TEXT 64

void net_ipv4(struct rt_sockaddr *a, const uint8_t ip[4], uint16_t port);
void net_ipv6(struct rt_sockaddr *a, const uint8_t ip[16], uint16_t port);
/* All addresses of the machine: [::], which takes IPv4 too, or 0.0.0.0 when the kernel has no IPv6. */
void net_any(struct rt_sockaddr *a, uint16_t port);
/* A unix socket at a path of 1 to 107 bytes without NUL. 0, -ENAMETOOLONG or -EINVAL. */
int net_unix(struct rt_sockaddr *a, struct b_slice path) __attribute__((warn_unused_result));
/* An IP address as text, without brackets: 0, or -EINVAL when it is none (a name, perhaps). */
int net_parse_ip(struct rt_sockaddr *a, struct b_slice text, uint16_t port)
    __attribute__((warn_unused_result));
/* Whether the kernel makes IPv6 sockets; asked once. Any thread. */
bool net_has_ipv6(void);

/* 0 for a unix socket. */
uint16_t net_port(const struct rt_sockaddr *a);
/* The path of a unix socket; empty when it is another kind, or has no name (as clients have). */
struct b_slice net_unix_path(const struct rt_sockaddr *a);
/* The same family, address and port (and IPv6 scope), or the same path. An IPv4-mapped IPv6 address is not
 * the IPv4 one: they are different sockets. */
bool net_eq(const struct rt_sockaddr *a, const struct rt_sockaddr *b);

/* "127.0.0.1:80", "[::1]:80", "unix:/path"; an IPv4-mapped address is shown as it is written,
 * [::ffff:127.0.0.1]:80. Gives the length. */
size_t net_format(const struct rt_sockaddr *a, char buf[NET_ADDRESS_TEXT]);
/* The address alone: "127.0.0.1" (IPv4-mapped, too), "::1", "unix". Gives the length. */
size_t net_format_ip(const struct rt_sockaddr *a, char buf[NET_ADDRESS_TEXT]);

/* The compact form, for connection records. An IPv4-mapped IPv6 address becomes the IPv4 one, so that
 * rules for IPv4 networks hold on dual-stack listeners. */
struct net_peer {
    uint8_t ip[16]; /* AF_INET: the first 4; AF_UNIX: none */
    uint16_t port;
    uint8_t family; /* AF_INET, AF_INET6, AF_UNIX; 0 is none */
};

void net_peer_from(struct net_peer *p, const struct rt_sockaddr *a);
/* The address with another port (p's own: pass p->port); AF_INET and AF_INET6 only. */
void net_peer_to(const struct net_peer *p, uint16_t port, struct rt_sockaddr *a);
/* "127.0.0.1:80", "[::1]:80", "unix"; "-" for none. Gives the length. */
size_t net_peer_format(const struct net_peer *p, char buf[NET_PEER_TEXT]);
/* The address alone. Gives the length. */
size_t net_peer_format_ip(const struct net_peer *p, char buf[NET_PEER_TEXT]);
/* Whether the first `bits` bits (at most 32 or 128) of the peer's address are those of net_ip, and the
 * families are the same. A unix peer is in no network. */
bool net_peer_in(const struct net_peer *p, int family, const uint8_t *net_ip, unsigned bits);
/* The same address; the ports do not count. */
bool net_peer_same_ip(const struct net_peer *a, const struct net_peer *b);

#endif
