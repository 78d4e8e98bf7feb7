#include "http/chars.h"

#define ALNUM (HTTP_C_TOKEN | HTTP_C_UNRESERVED | HTTP_C_PATH | HTTP_C_QDTEXT)
#define SUB_DELIM (HTTP_C_PATH | HTTP_C_QDTEXT)
#define TOKEN_SUB_DELIM (SUB_DELIM | HTTP_C_TOKEN)

const uint8_t http_chars[256] = {
    ['0' ... '9'] = ALNUM,
    ['A' ... 'Z'] = ALNUM,
    ['a' ... 'z'] = ALNUM,
    ['-'] = ALNUM,
    ['.'] = ALNUM,
    ['_'] = ALNUM,
    ['~'] = ALNUM,
    ['!'] = TOKEN_SUB_DELIM,
    ['$'] = TOKEN_SUB_DELIM,
    ['&'] = TOKEN_SUB_DELIM,
    ['\''] = TOKEN_SUB_DELIM,
    ['*'] = TOKEN_SUB_DELIM,
    ['+'] = TOKEN_SUB_DELIM,
    ['('] = SUB_DELIM,
    [')'] = SUB_DELIM,
    [','] = SUB_DELIM,
    [';'] = SUB_DELIM,
    ['='] = SUB_DELIM,
    [':'] = SUB_DELIM,
    ['@'] = SUB_DELIM,
    ['/'] = SUB_DELIM,
    ['#'] = HTTP_C_TOKEN | HTTP_C_QDTEXT,
    ['%'] = HTTP_C_TOKEN | HTTP_C_QDTEXT,
    ['^'] = HTTP_C_TOKEN | HTTP_C_ESCAPE | HTTP_C_QDTEXT,
    ['`'] = HTTP_C_TOKEN | HTTP_C_ESCAPE | HTTP_C_QDTEXT,
    ['|'] = HTTP_C_TOKEN | HTTP_C_ESCAPE | HTTP_C_QDTEXT,
    ['"'] = HTTP_C_ESCAPE,
    ['<'] = HTTP_C_ESCAPE | HTTP_C_QDTEXT,
    ['>'] = HTTP_C_ESCAPE | HTTP_C_QDTEXT,
    ['['] = HTTP_C_ESCAPE | HTTP_C_QDTEXT,
    [']'] = HTTP_C_ESCAPE | HTTP_C_QDTEXT,
    ['{'] = HTTP_C_ESCAPE | HTTP_C_QDTEXT,
    ['}'] = HTTP_C_ESCAPE | HTTP_C_QDTEXT,
    ['?'] = HTTP_C_QDTEXT,
    ['\t'] = HTTP_C_QDTEXT,
    [' '] = HTTP_C_QDTEXT,
    [0x80 ... 0xff] = HTTP_C_QDTEXT,
};

bool http_is_token(struct b_slice s) {
    for (size_t i = 0; i < s.len; i++)
        if (!http_char_is(s.ptr[i], HTTP_C_TOKEN))
            return false;
    return s.len > 0;
}
