/* The chunked transfer coding (RFC 9112 section 7.1), strict by S11 to S14. */
#ifndef HTTP_H1_CHUNKED_H
#define HTTP_H1_CHUNKED_H

#include "base/slice.h"
#include "base/text.h"
#include "http/fields.h"

#define H1_CHUNK_EXTENSION_MAX 256          /* bytes of extensions per chunk */
#define H1_CHUNK_EXTENSIONS_MAX (16 * 1024) /* and per body */

enum {
    H1_CHUNK_END = 0,  /* the body is over, trailers included; *in is what follows it */
    H1_CHUNK_DATA = 1, /* *data is the next piece of the body, inside the old *in */
    H1_CHUNK_MORE = 2, /* all of *in is consumed and understood; give more */
};

/* Decoder. It copies no data; what it has seen of a line is in these few numbers. */
struct h1_chunked {
    struct b_text *trailers; /* where trailer lines and their empty line are gathered raw, or NULL: dropped */
    uint64_t left;           /* of the chunk: its size while that is read, then bytes still to come */
    uint32_t extensions;     /* bytes of extensions so far in the body */
    uint32_t trailer_left;   /* bytes that the trailer section may still take */
    uint16_t extension;      /* bytes of extensions in this chunk */
    uint8_t digits;          /* of the size */
    uint8_t state;
};

/* `trailers` (may be NULL) must live as long as the decoder; trailer_max bounds the section in bytes. */
void h1_chunked_init(struct h1_chunked *d, struct b_text *trailers, uint32_t trailer_max);

/* Takes bytes off the front of *in. H1_CHUNK_DATA, H1_CHUNK_MORE, H1_CHUNK_END (also when called again), or
 * -HTTP_E_BAD_CHUNK_SIZE, _BAD_CHUNK_EXTENSION, _CHUNK_EXTENSION_TOO_LARGE, _BAD_CHUNK_END, _BARE_LF, _BARE_CR,
 * _BAD_TRAILER, _TRAILERS_TOO_LARGE, or _OUT_OF_MEMORY (for `trailers`), after which the decoder and the connection
 * are of no further use. The result does not depend on how the input is cut, except for how the data is cut. */
int h1_chunked_next(struct h1_chunked *d, struct b_slice *in, struct b_slice *data)
    __attribute__((warn_unused_result));

/* The same without taking data: H1_CHUNK_DATA says that some is there. */
int h1_chunked_skip(struct h1_chunked *d, struct b_slice *in) __attribute__((warn_unused_result));

#define H1_CHUNK_HEAD_MAX 18 /* 16 digits and CRLF */
#define H1_CHUNK_TAIL "\r\n" /* after the data of each chunk */
#define H1_CHUNK_LAST "0\r\n\r\n"

/* Writes the line before a chunk of n > 0 bytes and gives its length. */
size_t h1_chunk_head(char buf[H1_CHUNK_HEAD_MAX], uint64_t n);
/* Appends the last chunk, the trailers (NULL: none) without those that may not be trailers, and the empty
 * line. 0, -HTTP_E_BAD_OUTPUT or -HTTP_E_INTERNAL (no room), as h1_write.h. */
int h1_chunk_last(struct b_text *out, const struct http_fields *trailers);

#endif
