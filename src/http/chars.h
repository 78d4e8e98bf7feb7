/* Classes of bytes (RFC 9110 section 5.6.2, RFC 3986 section 2), one table look-up each. */
#ifndef HTTP_CHARS_H
#define HTTP_CHARS_H

#include "base/slice.h"

enum http_char {
    HTTP_C_TOKEN = 1,      /* tchar: method, field name, list element */
    HTTP_C_UNRESERVED = 2, /* letters, digits, - . _ ~ */
    HTTP_C_PATH = 4,       /* stands raw in a normalised path: unreserved, sub-delims, ':', '@' and '/' */
    HTTP_C_ESCAPE = 8,     /* visible, but RFC 3986 wants it escaped in a path: " < > [ ] ^ ` { | } */
    HTTP_C_QDTEXT = 16,    /* inside a quoted-string, unescaped */
};

extern const uint8_t http_chars[256]; /* enum http_char */

static inline bool http_char_is(char c, unsigned classes) {
    return (http_chars[(unsigned char)c] & classes) != 0;
}

/* At least one byte, all of them tchar. */
bool http_is_token(struct b_slice s);

#endif
