/* UTF-8 well-formedness (RFC 3629, Unicode table 3-7): no overlong forms, no surrogates, nothing over
 * U+10FFFF. */
#ifndef JSON_UTF8_H
#define JSON_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Bytes of the character at p (n > 0 bytes are readable), 1 to 4; 0 when it is not well-formed or not
 * whole. */
static inline size_t json_utf8_length(const char *p, size_t n) {
    const unsigned char *u = (const unsigned char *)p;
    if (u[0] < 0x80)
        return 1;
    size_t len = u[0] >= 0xf0 ? 4 : u[0] >= 0xe0 ? 3 : 2;
    if (u[0] < 0xc2 || u[0] > 0xf4 || n < len)
        return 0;
    unsigned char low = 0x80, high = 0xbf; /* of the second byte, which rules out overlongs and surrogates */
    switch (u[0]) {
    case 0xe0: low = 0xa0; break;
    case 0xed: high = 0x9f; break;
    case 0xf0: low = 0x90; break;
    case 0xf4: high = 0x8f; break;
    default: break;
    }
    if (u[1] < low || u[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((u[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

/* Whether the n (1 to 3) bytes are the begin of a character that more bytes could make whole. */
static inline bool json_utf8_may_begin(const char *p, size_t n) {
    static const char fills[][3] = {"\x80\x80", "\xbf\xbf", "\x90\x80", "\xa0\x80"};
    const unsigned char lead = (unsigned char)p[0];
    size_t len = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 0;
    char whole[6];
    if (len <= n)
        return false;
    for (size_t i = 0; i < sizeof fills / sizeof fills[0]; i++) {
        memcpy(whole, p, n);
        memcpy(whole + n, fills[i], 2);
        whole[n + 2] = fills[i][1];
        if (json_utf8_length(whole, len) == len)
            return true;
    }
    return false;
}

#endif
