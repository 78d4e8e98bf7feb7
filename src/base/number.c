#include "base/number.h"

#include <string.h>

bool b_parse_u64(struct b_slice s, uint64_t *out) {
    uint64_t v = 0;
    size_t i = 0;
    if (s.len == 0)
        return false;
    for (; i < s.len && i < 19; i++) { /* 19 digits always fit */
        if (!b_is_digit(s.ptr[i]))
            return false;
        v = v * 10 + (uint64_t)(s.ptr[i] - '0');
    }
    for (; i < s.len; i++) {
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

void b_format_hex(char buf[16], uint64_t v) {
    for (unsigned i = 16; i--; v >>= 4)
        buf[i] = "0123456789abcdef"[v & 15];
}

/* "00" to "99". */
static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
                            "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
                            "8081828384858687888990919293949596979899";

size_t b_format_u64(char *buf, uint64_t v) {
    size_t n = 1;
    for (uint64_t limit = 10; v >= limit; n++, limit *= 10)
        if (n == B_U64_TEXT - 1) { /* ten times the limit would not fit */
            n++;
            break;
        }
    size_t at = n;
    for (; v >= 100; v /= 100)
        memcpy(buf + (at -= 2), pairs + v % 100 * 2, 2);
    if (v >= 10)
        memcpy(buf, pairs + v * 2, 2);
    else
        buf[0] = (char)('0' + v);
    return n;
}

size_t b_format_u8(char *buf, uint8_t v) {
    if (v < 10) {
        buf[0] = (char)('0' + v);
        return 1;
    }
    size_t hundreds = v >= 100;
    if (hundreds) {
        buf[0] = (char)('0' + v / 100);
        v %= 100;
    }
    memcpy(buf + hundreds, pairs + v * 2, 2);
    return hundreds + 2;
}
