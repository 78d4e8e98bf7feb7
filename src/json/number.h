/* Numbers as JSON writes them (RFC 8259 section 6). For the folder only. */
#ifndef JSON_NUMBER_H
#define JSON_NUMBER_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#include "base/slice.h"

/* Behind the digits at p, eight at a time: how many they are nobody could predict. */
static inline const char *json_end_of_digits(const char *p, const char *end) {
    while (end - p >= 8) {
        uint64_t x;
        memcpy(&x, p, 8);
        x = le64toh(x) ^
            0x3030303030303030; /* digits are 0 to 9 now; what is more carries upwards only, behind the first of them */
        uint64_t others = ((x + 0x7676767676767676) | x) & 0x8080808080808080;
        if (others)
            return p + __builtin_ctzll(others) / 8;
        p += 8;
    }
    while (p < end && b_is_digit(*p))
        p++;
    return p;
}

/* What stands behind the number at p (p < end), or NULL: there is none. */
static inline const char *json_end_of_number(const char *p, const char *end) {
    p += *p == '-';
    if (p == end || !b_is_digit(*p))
        return NULL;
    if (*p == '0')
        p++;
    else
        p = json_end_of_digits(p, end);
    if (p < end && *p == '.') {
        if (++p == end || !b_is_digit(*p))
            return NULL;
        p = json_end_of_digits(p, end);
    }
    if (p < end && (*p | 0x20) == 'e') {
        p++;
        p += p < end && (*p == '+' || *p == '-');
        if (p == end || !b_is_digit(*p))
            return NULL;
        p = json_end_of_digits(p, end);
    }
    return p;
}

#endif
