#include "http/h1_internal.h"

static enum http_error as_trailer_error(enum http_error error) {
    return error == HTTP_E_TOO_MANY_HEADERS || error == HTTP_E_HEADER_TOO_LARGE ? HTTP_E_TRAILERS_TOO_LARGE
                                                                                : HTTP_E_BAD_TRAILER;
}

ssize_t h1_parse_trailers(struct b_slice in, const struct http_limits *limits, struct http_field *fields,
                          unsigned cap, struct http_fields *out) {
    size_t size = in.len < limits->max_header_bytes ? in.len : limits->max_header_bytes;
    struct h1_block b = h1_block(fields, cap, limits, limits->allow & HTTP_ALLOW_UNDERSCORE);
    *out = (struct http_fields){0};
    if (in.len == 0)
        return 0;
    const char *at = h1_take_fields(&b, in.ptr, in.ptr + size);
    if (!at && b.error)
        return -(ssize_t)as_trailer_error(b.error);
    if (!at)
        return in.len >= limits->max_header_bytes ? -(ssize_t)HTTP_E_TRAILERS_TOO_LARGE : 0;
    unsigned kept = 0;
    for (unsigned i = 0; i < b.count; i++)
        if (!(fields[i].flags & HTTP_F_NEVER_TRAILER))
            fields[kept++] = fields[i];
    b.count = kept;
    *out = h1_block_fields(&b, cap);
    return at - in.ptr;
}
