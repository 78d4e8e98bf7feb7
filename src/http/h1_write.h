/* HTTP/1 heads, serialised afresh: nothing of the received framing is ever copied. Written are the start line
 * (always HTTP/1.1), in requests Host, then the fields except Host, hop-by-hop and framing ones, then exactly
 * one framing field chosen from body and content_length, then what the flags ask for, and the empty line. */
#ifndef HTTP_H1_WRITE_H
#define HTTP_H1_WRITE_H

#include "base/text.h"
#include "http/message.h"

enum h1_write_flag {
    H1_WRITE_CLOSE = 1,      /* Connection: close */
    H1_WRITE_KEEP_ALIVE = 2, /* Connection: keep-alive, which HTTP/1.0 clients want to hear */
    H1_WRITE_TE = 8,         /* of a request: TE: trailers, and Connection: TE */
    H1_WRITE_TO_HEAD = 4,    /* the response answers HEAD: it states the length it would have, if known */
};

/* 0; -HTTP_E_BAD_OUTPUT when a part holds a control character, or a space where none may be (S29; the caller
 * answers 500); -HTTP_E_INTERNAL when `out` has no room. Both errors set out->failed, and what was appended
 * is of no use. `upgrade` (empty: none) writes `Upgrade` with that value and `Connection: Upgrade`, whatever
 * the flags say of Connection.
 *
 * A request without body says Content-Length: 0 when its method is POST, PUT or PATCH. */
int h1_write_request(struct b_text *out, const struct http_request *r, unsigned flags,
                     struct b_slice upgrade);

/* 1xx, 204 and 304 carry no framing field; HTTP_BODY_UNTIL_CLOSE carries `Connection: close` instead;
 * HTTP_BODY_NONE means Content-Length: 0 unless the response answers HEAD. */
int h1_write_response(struct b_text *out, const struct http_response *r, unsigned flags,
                      struct b_slice upgrade);

/* Appends one field line, checked as above; for trailers and fields outside a list. 0 or the errors above. */
int h1_write_field(struct b_text *out, struct b_slice name, struct b_slice value);

#endif
