#include "http/h1_chunked.h"

#include "base/number.h"
#include "http/chars.h"
#include "http/h1_write.h"
#include "http/scan.h"

enum state {
    SIZE,
    EXT_NAME_FIRST, /* after ';' */
    EXT_NAME,
    EXT_VALUE_FIRST, /* after '=' */
    EXT_VALUE,
    EXT_QUOTED,
    EXT_ESCAPED,      /* after '\' in a quoted string */
    EXT_QUOTED_AFTER, /* after the closing quote */
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER, /* at the start of a line */
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    LAST_LF,
    DONE,
};

void h1_chunked_init(struct h1_chunked *d, struct b_text *trailers, uint32_t trailer_max) {
    *d = (struct h1_chunked){.trailers = trailers, .trailer_left = trailer_max, .state = SIZE};
}

static int go(struct h1_chunked *d, enum state next) {
    d->state = (uint8_t)next;
    return 0;
}

/* A byte that may not stand in the line of a chunk's size. S11: some readers take LF for the line's end. */
static int wrong(const struct h1_chunked *d, char c) {
    if (c == '\n')
        return -HTTP_E_BARE_LF;
    return d->state == SIZE ? -HTTP_E_BAD_CHUNK_SIZE : -HTTP_E_BAD_CHUNK_EXTENSION;
}

/* ';' begins an extension, CR ends the line; wherever both may stand. */
static int after_item(struct h1_chunked *d, char c) {
    if (c == ';')
        return go(d, EXT_NAME_FIRST);
    return c == '\r' ? go(d, SIZE_LF) : wrong(d, c);
}

/* S12: the size is digits and nothing else, no space on either side. */
static int step_size(struct h1_chunked *d, char c) {
    int digit = b_hex_digit(c);
    if (digit < 0)
        return d->digits ? after_item(d, c) : wrong(d, c);
    if (++d->digits > 16)
        return -HTTP_E_BAD_CHUNK_SIZE;
    d->left = d->left << 4 | (uint64_t)digit;
    return d->left <= INT64_MAX ? 0 : -HTTP_E_BAD_CHUNK_SIZE;
}

/* S13: *( ";" token [ "=" ( token / quoted-string ) ] ), without the spaces that RFC 9112 section 7.1.1 calls
 * bad. */
static int step_extension(struct h1_chunked *d, char c) {
    bool token = http_char_is(c, HTTP_C_TOKEN);
    switch ((enum state)d->state) {
    case EXT_NAME_FIRST: return token ? go(d, EXT_NAME) : wrong(d, c);
    case EXT_NAME: return token ? 0 : c == '=' ? go(d, EXT_VALUE_FIRST) : after_item(d, c);
    case EXT_VALUE_FIRST: return token ? go(d, EXT_VALUE) : c == '"' ? go(d, EXT_QUOTED) : wrong(d, c);
    case EXT_VALUE: return token ? 0 : after_item(d, c);
    case EXT_QUOTED:
        if (c == '"' || c == '\\')
            return go(d, c == '"' ? EXT_QUOTED_AFTER : EXT_ESCAPED);
        return http_char_is(c, HTTP_C_QDTEXT) ? 0 : wrong(d, c);
    case EXT_ESCAPED: return http_value_byte(c) ? go(d, EXT_QUOTED) : wrong(d, c);
    default: /* EXT_QUOTED_AFTER */ return after_item(d, c);
    }
}

/* Counts a byte of an extension, the ';' included. */
static int count_extension(struct h1_chunked *d) {
    d->extension++;
    d->extensions++;
    return d->extension > H1_CHUNK_EXTENSION_MAX || d->extensions > H1_CHUNK_EXTENSIONS_MAX
               ? -HTTP_E_CHUNK_EXTENSION_TOO_LARGE
               : 0;
}

/* A byte of the line that holds a chunk's size. */
static int step_head(struct h1_chunked *d, char c) {
    if (d->state == SIZE_LF) {
        if (c != '\n')
            return -HTTP_E_BARE_CR;
        d->digits = 0;
        d->extension = 0;
        return go(d, d->left ? DATA : TRAILER);
    }
    int r = d->state == SIZE ? step_size(d, c) : step_extension(d, c);
    if (r == 0 && d->state != SIZE && d->state != SIZE_LF)
        r = count_extension(d);
    return r;
}

/* A byte of the trailer section. It is checked here, whether it is kept or not. */
static int step_trailer(struct h1_chunked *d, char c) {
    if (d->state == LAST_LF || d->state == TRAILER_LF) {
        if (c != '\n')
            return -HTTP_E_BARE_CR;
        if (d->state == LAST_LF)
            return go(d, DONE);
    } else if (c == '\n') {
        return -HTTP_E_BARE_LF;
    }
    if (d->state == TRAILER && c == '\r')
        return go(d, LAST_LF);
    if (d->trailer_left == 0)
        return -HTTP_E_TRAILERS_TOO_LARGE;
    d->trailer_left--;
    switch ((enum state)d->state) {
    case TRAILER: return http_char_is(c, HTTP_C_TOKEN) ? go(d, TRAILER_NAME) : -HTTP_E_BAD_TRAILER;
    case TRAILER_NAME:
        if (c == ':')
            return go(d, TRAILER_VALUE);
        return http_char_is(c, HTTP_C_TOKEN) ? 0 : -HTTP_E_BAD_TRAILER;
    case TRAILER_VALUE:
        if (c == '\r')
            return go(d, TRAILER_LF);
        return http_value_byte(c) ? 0 : -HTTP_E_BAD_TRAILER;
    default: /* TRAILER_LF */ return go(d, TRAILER);
    }
}

static int keep_trailer(struct h1_chunked *d, char c) {
    if (!d->trailers)
        return 0;
    b_text_char(d->trailers, c);
    if (!d->trailers->failed)
        return 0;
    bool full = !d->trailers->grows || d->trailers->len >= d->trailers->max;
    return full ? -HTTP_E_TRAILERS_TOO_LARGE : -HTTP_E_OUT_OF_MEMORY;
}

/* Any byte but one of a chunk's data. */
static int step(struct h1_chunked *d, char c) {
    if (d->state <= SIZE_LF)
        return step_head(d, c);
    /* S14: after the data comes CRLF, or the size was a lie */
    if (d->state == DATA_CR)
        return c == '\r' ? go(d, DATA_LF) : c == '\n' ? -HTTP_E_BARE_LF : -HTTP_E_BAD_CHUNK_END;
    if (d->state == DATA_LF)
        return c == '\n' ? go(d, SIZE) : -HTTP_E_BARE_CR;
    int r = step_trailer(d, c);
    return r < 0 ? r : keep_trailer(d, c);
}

int h1_chunked_skip(struct h1_chunked *d, struct b_slice *in) {
    while (d->state != DONE && d->state != DATA && in->len) {
        int r = step(d, in->ptr[0]);
        if (r < 0)
            return r;
        *in = b_slice_from(*in, 1);
    }
    if (d->state == DONE)
        return H1_CHUNK_END;
    return in->len ? H1_CHUNK_DATA : H1_CHUNK_MORE;
}

int h1_chunked_next(struct h1_chunked *d, struct b_slice *in, struct b_slice *data) {
    int r = h1_chunked_skip(d, in);
    if (r != H1_CHUNK_DATA)
        return r;
    size_t n = in->len < d->left ? in->len : (size_t)d->left;
    *data = b_slice(in->ptr, n);
    *in = b_slice_from(*in, n);
    d->left -= n;
    if (d->left == 0)
        d->state = DATA_CR;
    return H1_CHUNK_DATA;
}

size_t h1_chunk_head(char buf[H1_CHUNK_HEAD_MAX], uint64_t n) {
    unsigned digits = (unsigned)(67 - __builtin_clzll(n | 1)) / 4;
    for (unsigned i = digits; i-- > 0; n >>= 4)
        buf[i] = "0123456789abcdef"[n & 15];
    buf[digits] = '\r';
    buf[digits + 1] = '\n';
    return digits + 2;
}

int h1_chunk_last(struct b_text *out, const struct http_fields *trailers) {
    int r = 0;
    b_text_lit(out, "0\r\n");
    for (unsigned i = 0; trailers && i < trailers->count && r == 0; i++) {
        const struct http_field *f = &trailers->at[i];
        if (!(f->flags & HTTP_F_NEVER_TRAILER))
            r = h1_write_field(out, http_field_name(f), http_field_value(f));
    }
    b_text_lit(out, "\r\n");
    if (r == 0 && out->failed)
        r = -HTTP_E_INTERNAL;
    return r;
}
