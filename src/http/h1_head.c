#include "http/chars.h"
#include "http/h1_parse.h"

enum h1_head_state h1_head_state(struct b_slice in, size_t from, const struct http_limits *limits) {
    if (in.len == 0)
        return H1_HEAD_MORE;
    /* not HTTP at all (a TLS hello, say): refuse it now and not at the deadline */
    if (in.len >= limits->max_header_bytes ||
        (!http_char_is(in.ptr[0], HTTP_C_TOKEN) && in.ptr[0] != '\r' && in.ptr[0] != '\n'))
        return H1_HEAD_READY;
    if (in.len >= 4 && memcmp(in.ptr + in.len - 4, "\r\n\r\n", 4) == 0)
        return H1_HEAD_READY;
    while (from < in.len) {
        size_t lf = from + b_slice_find(b_slice_from(in, from), '\n');
        if (lf == in.len)
            break;
        bool bare = lf == 0 || in.ptr[lf - 1] != '\r';
        size_t line_end = bare ? lf : lf - 1;
        /* an empty line; or a bare LF, which is an error unless it is allowed */
        if ((bare && !(limits->allow & HTTP_ALLOW_BARE_LF)) || (line_end > 0 && in.ptr[line_end - 1] == '\n'))
            return H1_HEAD_READY;
        from = lf + 1;
    }
    return H1_HEAD_MORE;
}
