#include "http/authority.h"

#include "base/number.h"
#include "http/chars.h"
#include "http/message.h"

/* What stands after the colon: one to five digits, 1 to 65535. */
static bool parse_port(struct b_slice text, uint16_t *port) {
    uint64_t v;
    if (text.len > 5 || !b_parse_u64(text, &v) || v == 0 || v > UINT16_MAX)
        return false;
    *port = (uint16_t)v;
    return true;
}

/* Four numbers of 0 to 255, without leading zeros. */
static bool ipv4_ok(struct b_slice text) {
    unsigned count = 0;
    for (struct b_slice rest = text, part; b_slice_next(&rest, '.', &part); count++) {
        uint64_t v;
        if (part.len > 3 || (part.len > 1 && part.ptr[0] == '0') || !b_parse_u64(part, &v) || v > 255)
            return false;
    }
    return count == 4 && text.ptr[text.len - 1] != '.';
}

/* IPv6address of RFC 3986 section 3.2.2: eight groups, the last two perhaps as IPv4, one run of zeros as "::". */
static bool ipv6_ok(struct b_slice s) {
    unsigned groups = 0;
    size_t i = s.len >= 2 && s.ptr[0] == ':' && s.ptr[1] == ':' ? 2 : 0;
    bool gap = i > 0;
    while (i < s.len) {
        size_t end = i;
        while (end < s.len && b_hex_digit(s.ptr[end]) >= 0)
            end++;
        if (end < s.len && s.ptr[end] == '.') {
            groups += 2;
            return ipv4_ok(b_slice_from(s, i)) && (gap ? groups <= 7 : groups == 8);
        }
        if (end == i || end - i > 4 || (end < s.len && s.ptr[end] != ':') || end + 1 == s.len)
            return false;
        groups++;
        i = end + 1;
        if (i < s.len && s.ptr[i] == ':') {
            if (gap)
                return false;
            gap = true;
            i++;
        }
    }
    return gap ? groups <= 7 : groups == 8;
}

/* "v" 1*HEXDIG "." 1*( unreserved / sub-delims / ":" ), but for the comma, as in names */
static bool ip_future_ok(struct b_slice s) {
    size_t dot = b_slice_find(s, '.');
    if (dot < 2 || dot + 1 >= s.len || b_lower(s.ptr[0]) != 'v')
        return false;
    for (size_t i = 1; i < dot; i++)
        if (b_hex_digit(s.ptr[i]) < 0)
            return false;
    for (size_t i = dot + 1; i < s.len; i++)
        if (!http_char_is(s.ptr[i], HTTP_C_PATH) || s.ptr[i] == '/' || s.ptr[i] == '@' || s.ptr[i] == ',')
            return false;
    return true;
}

/* reg-name of RFC 3986, but for the comma, which would make two hosts of one (P03). */
static bool any_name_ok(struct b_slice host) {
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];
        if (c == '%' && host.len - i >= 3 && b_hex_digit(host.ptr[i + 1]) >= 0 &&
            b_hex_digit(host.ptr[i + 2]) >= 0)
            i += 2;
        else if (!http_char_is(c, HTTP_C_PATH) || c == '/' || c == '@' || c == ',')
            return false;
    }
    return true;
}

static bool name_ok(struct b_slice host, uint32_t allow) {
    if (host.len == 0 || host.len > 255)
        return false;
    for (size_t i = 0; i < host.len; i++)
        if (!http_char_is(host.ptr[i], HTTP_C_UNRESERVED))
            return allow & HTTP_ALLOW_ANY_HOST && any_name_ok(host);
    return true;
}

int http_authority_parse(struct b_slice text, uint32_t allow, struct http_authority *out) {
    struct http_authority a = {.ipv6 = text.len && text.ptr[0] == '['};
    size_t host_end = b_slice_find(text, a.ipv6 ? ']' : ':');
    struct b_slice rest = b_slice_from(text, host_end);
    bool ok;
    if (a.ipv6) {
        if (rest.len == 0)
            return -HTTP_E_BAD_HOST;
        a.host = b_slice(text.ptr + 1, host_end - 1);
        rest = b_slice_from(rest, 1);
        ok = ipv6_ok(a.host) || (allow & HTTP_ALLOW_ANY_HOST && ip_future_ok(a.host));
    } else {
        a.host = b_slice(text.ptr, host_end);
        ok = name_ok(a.host, allow);
    }
    bool empty_port = rest.len == 1 && rest.ptr[0] == ':' && allow & HTTP_ALLOW_ANY_HOST;
    if (rest.len && !empty_port && (rest.ptr[0] != ':' || !parse_port(b_slice_from(rest, 1), &a.port)))
        ok = false;
    if (ok && out)
        *out = a;
    return ok ? 0 : -HTTP_E_BAD_HOST;
}
