/* Host and port as they stand in Host, in an absolute target or in :authority (RFC 3986 section 3.2, RFC 9110
 * section 7.2), without user information. Stricter than the RFC: names are letters, digits, '-', '.', '_' and
 * '~'; a port is 1 to 65535 and not empty. */
#ifndef HTTP_AUTHORITY_H
#define HTTP_AUTHORITY_H

#include "base/slice.h"

struct http_authority {
    struct b_slice host; /* as given; an IPv6 address without its brackets */
    uint16_t port;       /* 0: none given */
    bool ipv6;
};

/* Splits and checks. 0, or -HTTP_E_BAD_HOST. `out` may be NULL. Slices point into text. */
int http_authority_parse(struct b_slice text, struct http_authority *out);

#endif
