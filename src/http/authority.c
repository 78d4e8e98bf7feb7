#include "http/authority.h"

#include "base/number.h"
#include "http/chars.h"
#include "http/error.h"

/* What stands after the colon: one to five digits, 1 to 65535. */
static bool parse_port(struct b_slice text, uint16_t *port) {
    uint64_t v;
    if (text.len > 5 || !b_parse_u64(text, &v) || v == 0 || v > UINT16_MAX)
        return false;
    *port = (uint16_t)v;
    return true;
}

/* The inside of [...]: the letters of an IPv6 address. Whether it is one is found out by whoever resolves it;
 * what matters here is that no other reader takes it for something else. */
static bool ipv6_ok(struct b_slice host) {
    unsigned colons = 0;
    for (size_t i = 0; i < host.len; i++) {
        colons += host.ptr[i] == ':';
        if (host.ptr[i] != ':' && host.ptr[i] != '.' && b_hex_digit(host.ptr[i]) < 0)
            return false;
    }
    return colons >= 2 && colons <= 8 && host.len <= 45;
}

static bool name_ok(struct b_slice host) {
    for (size_t i = 0; i < host.len; i++)
        if (!http_char_is(host.ptr[i], HTTP_C_UNRESERVED))
            return false;
    return host.len > 0 && host.len <= 255;
}

int http_authority_parse(struct b_slice text, struct http_authority *out) {
    struct http_authority a = {.ipv6 = text.len && text.ptr[0] == '['};
    size_t host_end = b_slice_find(text, a.ipv6 ? ']' : ':');
    struct b_slice rest = b_slice_from(text, host_end);
    if (a.ipv6) {
        if (rest.len == 0)
            return -HTTP_E_BAD_HOST;
        a.host = b_slice(text.ptr + 1, host_end - 1);
        rest = b_slice_from(rest, 1);
    } else {
        a.host = b_slice(text.ptr, host_end);
    }
    if (a.ipv6 ? !ipv6_ok(a.host) : !name_ok(a.host))
        return -HTTP_E_BAD_HOST;
    if (rest.len && (rest.ptr[0] != ':' || !parse_port(b_slice_from(rest, 1), &a.port)))
        return -HTTP_E_BAD_HOST;
    if (out)
        *out = a;
    return 0;
}
