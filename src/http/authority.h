/* Host and port as they stand in Host, in an absolute target or in :authority (RFC 3986 section 3.2, RFC 9110
 * section 7.2), without user information. Stricter than the RFC, unless HTTP_ALLOW_ANY_HOST is set: names are
 * letters, digits, '-', '.', '_' and '~'; [v1.x] is none; a port is not empty. It is 1 to 65535 either way. */
#ifndef HTTP_AUTHORITY_H
#define HTTP_AUTHORITY_H

#include "base/slice.h"

struct http_authority {
    struct b_slice host; /* as given; without its brackets */
    uint16_t port;       /* 0: none given */
    bool ipv6;           /* it stood in brackets */
};

/* Splits and checks. 0, or -HTTP_E_BAD_HOST. `out` may be NULL. Slices point into text. */
int http_authority_parse(struct b_slice text, uint32_t allow, struct http_authority *out);

#endif
