/* Numbers as JSON writes them (RFC 8259 section 6). For the folder only. */
#ifndef JSON_NUMBER_H
#define JSON_NUMBER_H

#include "base/slice.h"

/* What stands behind the number at p (p < end), or NULL: there is none. */
static inline const char *json_end_of_number(const char *p, const char *end) {
    p += *p == '-';
    if (p == end || !b_is_digit(*p))
        return NULL;
    if (*p == '0')
        p++;
    else
        while (p < end && b_is_digit(*p))
            p++;
    if (p < end && *p == '.') {
        if (++p == end || !b_is_digit(*p))
            return NULL;
        while (p < end && b_is_digit(*p))
            p++;
    }
    if (p < end && (*p | 0x20) == 'e') {
        p++;
        p += p < end && (*p == '+' || *p == '-');
        if (p == end || !b_is_digit(*p))
            return NULL;
        while (p < end && b_is_digit(*p))
            p++;
    }
    return p;
}

#endif
