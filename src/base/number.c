#include "base/number.h"

bool b_parse_u64(struct b_slice s, uint64_t *out) {
    uint64_t v = 0;
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (!b_is_digit(s.ptr[i]))
            return false;
        if (__builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, (uint64_t)(s.ptr[i] - '0'), &v))
            return false;
    }
    *out = v;
    return true;
}

int b_hex_digit(char c) {
    if (b_is_digit(c))
        return c - '0';
    c = b_lower(c);
    return (c >= 'a' && c <= 'f') ? c - 'a' + 10 : -1;
}

bool b_parse_hex(struct b_slice s, uint64_t *out) {
    uint64_t v = 0;
    if (s.len == 0 || s.len > 16)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        int d = b_hex_digit(s.ptr[i]);
        if (d < 0)
            return false;
        v = v << 4 | (uint64_t)d;
    }
    *out = v;
    return true;
}

size_t b_format_u64(char *buf, uint64_t v) {
    char tmp[B_U64_TEXT];
    size_t n = 0;
    do {
        tmp[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    for (size_t i = 0; i < n; i++)
        buf[i] = tmp[n - 1 - i];
    return n;
}
