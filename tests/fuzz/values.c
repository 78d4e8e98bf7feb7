/* Values of the config: durations, sizes, rates, numbers, addresses, URLs, networks, hosts. What is read and written must be
 * read as the same; an endpoint's authority must do as Host, a host of a route must be one that a request can have. */
#include <arpa/inet.h>
#include <assert.h>

#include "config/address.h"
#include "config/value.h"
#include "http/authority.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char buf[1024];

static void check_numbers(struct b_slice s) {
    struct b_text out = b_text_fixed(buf, sizeof buf);
    int64_t v, again;
    if (!cfg_parse_int(s, &v)) {
        cfg_write_int(&out, v);
        assert(!cfg_parse_int(b_text_slice(&out), &again) && again == v);
    }
    out.len = 0;
    if (!cfg_parse_duration(s, &v)) {
        assert(v >= 0 && v <= 100000 * CFG_H);
        cfg_write_duration(&out, v);
        assert(!cfg_parse_duration(b_text_slice(&out), &again) && again == v);
    }
    out.len = 0;
    if (!cfg_parse_size(s, &v)) {
        assert(v >= 0);
        cfg_write_size(&out, v);
        assert(!cfg_parse_size(b_text_slice(&out), &again) && again == v);
    }
    if (!cfg_parse_percent(s, &v))
        assert(v >= 0 && v <= 100);
}

static void check_rate(struct b_slice s) {
    struct b_text out = b_text_fixed(buf, sizeof buf);
    struct cfg_rate r, again;
    bool b;
    if (!cfg_parse_rate(s, &r)) {
        assert(r.count >= 1 && (r.per == CFG_S || r.per == CFG_M || r.per == CFG_H));
        cfg_write_rate(&out, r);
        assert(!cfg_parse_rate(b_text_slice(&out), &again) && again.count == r.count && again.per == r.per);
    }
    if (!cfg_parse_bool(s, &b))
        assert(b_slice_eq(s, b ? B_LIT("true") : B_LIT("false")));
}

static void check_listener(struct b_slice s) {
    struct cfg_addr a;
    if (cfg_parse_addr(s, &a))
        return;
    assert(a.kind != CFG_HOST_NONE && a.kind != CFG_HOST_NAME && cfg_addr_eq(&a, &a) &&
           b_slice_eq(a.text, s));
    assert((a.kind == CFG_HOST_UNIX) == (a.path.len > 0) && a.path.len <= 107);
    assert(!a.path.len ||
           (a.path.ptr[a.path.len - 1] == s.ptr[s.len - 1] && a.port == 0)); /* the end of the text */
}

static void check_endpoint(struct b_slice s) {
    struct cfg_url u;
    struct http_authority a;
    if (cfg_parse_url(s, &u))
        return;
    assert(u.kind != CFG_HOST_NONE && u.kind != CFG_HOST_ANY && b_slice_eq(u.text, s));
    if (u.kind == CFG_HOST_UNIX) {
        assert(!u.authority.len && u.path.len > 0 && u.path.len <= 107);
        return;
    }
    assert(http_authority_parse(u.authority, 0, &a) == 0 && u.port && (a.port == u.port || a.port == 0));
    assert(b_slice_eq(a.host, u.name) && a.ipv6 == (u.kind == CFG_HOST_IPV6));
}

static void check_network(struct b_slice s) {
    struct cfg_cidr net, again;
    char ip[INET6_ADDRSTRLEN];
    if (cfg_parse_cidr(s, &net))
        return;
    bool four = net.kind == CFG_HOST_IPV4;
    assert((four || net.kind == CFG_HOST_IPV6) && net.bits <= (four ? 32 : 128));
    for (unsigned bit = net.bits; bit < (four ? 32 : 128); bit++)
        assert(!(net.ip[bit / 8] >> (7 - bit % 8) & 1));
    assert(inet_ntop(four ? AF_INET : AF_INET6, net.ip, ip, sizeof ip));
    struct b_text out = b_text_fixed(buf, sizeof buf);
    b_text_printf(&out, "%s/%u", ip, net.bits);
    assert(!cfg_parse_cidr(b_text_slice(&out), &again));
    assert(again.kind == net.kind && again.bits == net.bits && memcmp(again.ip, net.ip, four ? 4 : 16) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct b_slice s = b_slice(data, size);
    if (size > 300)
        return 0;
    check_numbers(s);
    check_rate(s);
    check_listener(s);
    check_endpoint(s);
    check_network(s);
    if (!cfg_check_host(s))
        assert(http_authority_parse(s, 0, NULL) == 0 || s.ptr[0] == '[' || memchr(s.ptr, ':', s.len));
    return 0;
}
