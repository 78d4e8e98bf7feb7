/* Addresses as the config writes them: where to listen, where an upstream is, whom to trust. Pure parsers with the
 * contract of config/value.h; slices in the results point into the text given. */
#ifndef CONFIG_ADDRESS_H
#define CONFIG_ADDRESS_H

#include "base/text.h"

struct cfg_node;

enum cfg_host {
    CFG_HOST_NONE, /* not set */
    CFG_HOST_ANY,  /* `:8080`: all addresses of the machine */
    CFG_HOST_IPV4, /* ip[0..3] */
    CFG_HOST_IPV6, /* ip[0..15] */
    CFG_HOST_UNIX, /* path; as long as a unix socket allows (107 bytes) */
    CFG_HOST_NAME, /* name, to be resolved (endpoints only) */
};

struct cfg_addr {
    enum cfg_host kind;
    uint16_t port;  /* 0 only when asked for by `:0` (any free port), and for unix */
    uint8_t ip[16]; /* network order */
    struct b_slice path;
    struct b_slice text; /* as written */
};

/* An endpoint. http only; TLS to upstreams is not built yet. */
struct cfg_url {
    enum cfg_host kind;
    uint16_t port; /* 80 when not written; 0 for unix */
    uint8_t ip[16];
    struct b_slice path;      /* unix: of the socket */
    struct b_slice name;      /* host without brackets; empty for unix */
    struct b_slice authority; /* for the Host header: `host` or `host:port` as written; empty for unix */
    struct b_slice text;      /* as written */
};

/* A network, or one address (all bits). */
struct cfg_cidr {
    enum cfg_host kind; /* CFG_HOST_IPV4 or CFG_HOST_IPV6 */
    uint8_t bits;       /* length of the prefix: 0 to 32 or 128 */
    uint8_t ip[16];     /* bits after the prefix are 0 */
    const struct cfg_node *node;
};

/* `:8080`, `127.0.0.1:8080`, `[::1]:8080`, `unix:/path`. Names are refused: a listener must not depend on DNS. */
const char *cfg_parse_addr(struct b_slice s, struct cfg_addr *out);
/* `http://host:port`, port 80 by default, no path, query, user; `http+unix:/path`, `unix:/path`. */
const char *cfg_parse_url(struct b_slice s, struct cfg_url *out);
/* `10.0.0.0/8`, `2001:db8::/32`, `127.0.0.1`. Leaves out->node alone. */
const char *cfg_parse_cidr(struct b_slice s, struct cfg_cidr *out);
/* A DNS host name as routes match it: labels of letters, digits, `-`, `_`; an IP address is taken too. */
const char *cfg_check_host(struct b_slice s);

/* The same place? Unlike the texts, `127.0.0.1:80` and `127.0.0.1:080` compare equal. */
bool cfg_addr_eq(const struct cfg_addr *a, const struct cfg_addr *b);

#endif
