/* One form of a path for everyone: routing, authorisation and the upstream see the same bytes (P01, P02).
 * Escapes of unreserved characters are decoded, once; other escapes are kept in upper case; characters that
 * RFC 3986 does not allow raw in a path are escaped; repeated slashes and dot segments are resolved; ';' is
 * an ordinary character. Idempotent. */
#ifndef HTTP_PATH_H
#define HTTP_PATH_H

#include "base/slice.h"
#include "base/text.h"

enum {
    HTTP_PATH_SAME = 0,    /* raw is normal already; nothing was written */
    HTTP_PATH_CHANGED = 1, /* the normal form has been appended to `out` */
};

/* The most bytes that the normal form of n raw bytes can take. */
#define HTTP_PATH_MAX(n) (3 * (size_t)(n))

/* Normalises an absolute path (without query). HTTP_PATH_SAME, HTTP_PATH_CHANGED, or -HTTP_E_BAD_PATH when
 * raw does not start with '/', climbs above the root, holds a backslash, a space, a control character, a raw
 * byte over 0x7e, '?' or '#', an escape that is not two hexadecimal digits, an escaped slash, backslash or
 * control character, or escapes that are not valid UTF-8. -HTTP_E_URI_TOO_LONG when `out` has no room (then
 * out->failed is set). With HTTP_ALLOW_ENCODED_SLASH an escaped slash stays one, inside its segment; segments that
 * would hold "." or ".." once it is decoded are refused, since some origin will decode it. */
int http_path_normalise(struct b_slice raw, uint32_t allow, struct b_text *out)
    __attribute__((warn_unused_result));

/* A query is visible ASCII without '#'; nothing else is asked of it. */
bool http_query_ok(struct b_slice query);

#endif
