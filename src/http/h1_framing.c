/* Where a message ends (RFC 9112 section 6): S02 to S08, and what Connection says about what comes after
 * it. */
#include "base/number.h"
#include "http/chars.h"
#include "http/h1_internal.h"

/* S08: a tab beside a framing value is legal, and known to make other readers miss the field. */
static bool has_tab_around(const struct http_field *f, uint32_t allow) {
    if (allow & HTTP_ALLOW_FRAMING_TABS)
        return false;
    for (const char *p = f->name + f->name_len + 1; p < f->value; p++)
        if (*p == '\t')
            return true;
    /* the line's end stops this one */
    for (const char *p = f->value + f->value_len; *p == ' ' || *p == '\t'; p++)
        if (*p == '\t')
            return true;
    return false;
}

/* S04, S05: digits only, in the one form each number has. */
static enum http_error parse_length(struct b_slice text, uint32_t allow, uint64_t *length) {
    if (text.len > 19 || !b_parse_u64(text, length) || *length > INT64_MAX)
        return HTTP_E_BAD_CONTENT_LENGTH;
    if (text.len > 1 && text.ptr[0] == '0' && !(allow & HTTP_ALLOW_LEADING_ZEROS))
        return HTTP_E_LEADING_ZEROS;
    return HTTP_OK;
}

/* Several values, in fields of their own or in lists: each must be a valid number (S04, S05), and they must not differ
 * (S02). S03: even then a listener has to allow it. */
static enum http_error several_lengths(const struct h1_block *b, const struct http_fields *fs,
                                       uint64_t *length) {
    bool any = false, differ = false;
    for (const struct http_field *f = NULL; (f = http_fields_next(fs, HTTP_FIELD_CONTENT_LENGTH, f));) {
        struct b_slice rest = http_field_value(f), element;
        if (has_tab_around(f, b->allow))
            return HTTP_E_DISGUISED_FRAMING;
        if (rest.len == 0 || rest.ptr[rest.len - 1] == ',')
            return HTTP_E_BAD_CONTENT_LENGTH;
        while (b_slice_next(&rest, ',', &element)) {
            uint64_t v;
            enum http_error error = parse_length(b_slice_trim(element), b->allow, &v);
            if (error)
                return error;
            differ |= any && v != *length;
            *length = v;
            any = true;
        }
    }
    if (differ)
        return HTTP_E_CONFLICTING_CONTENT_LENGTH;
    return b->allow & HTTP_ALLOW_EQUAL_LENGTHS ? HTTP_OK : HTTP_E_DUPLICATE_CONTENT_LENGTH;
}

enum http_error h1_content_length(const struct h1_block *b, uint64_t *length) {
    struct http_fields fs = h1_block_fields(b, b->count);
    const struct http_field *f = http_fields_find(&fs, HTTP_FIELD_CONTENT_LENGTH);
    struct b_slice value = http_field_value(f);
    bool repeated = b->twice & HTTP_ID_BIT(HTTP_FIELD_CONTENT_LENGTH);
    enum http_error error = repeated ? HTTP_OK : parse_length(value, b->allow, length);
    if (repeated || (error && b_slice_find(value, ',') < value.len))
        return several_lengths(b, &fs, length);
    return has_tab_around(f, b->allow) ? HTTP_E_DISGUISED_FRAMING : error;
}

/* S08: some readers skip such bytes. Controls have been refused by now. */
static bool has_odd_byte(struct b_slice value) {
    for (size_t i = 0; i < value.len; i++)
        if ((unsigned char)value.ptr[i] >= 0x80 || value.ptr[i] == '\t')
            return true;
    return false;
}

/* One element of Transfer-Encoding, with its parameters: well-formed enough to be called "not supported"? */
static bool coding_ok(struct b_slice coding) {
    size_t name_end = b_slice_find(coding, ';');
    if (!http_is_token(b_slice_trim(b_slice(coding.ptr, name_end))))
        return false;
    for (size_t i = name_end; i < coding.len; i++)
        if (!http_char_is(coding.ptr[i], HTTP_C_TOKEN) && !strchr(" \";=", coding.ptr[i]))
            return false;
    return true;
}

enum http_error h1_transfer_encoding(const struct h1_block *b) {
    struct http_fields fs = h1_block_fields(b, b->count);
    const struct http_field *f = http_fields_find(&fs, HTTP_FIELD_TRANSFER_ENCODING);
    struct b_slice rest = http_field_value(f), coding;
    if (b->twice & HTTP_ID_BIT(HTTP_FIELD_TRANSFER_ENCODING) || rest.len == 0 ||
        rest.ptr[rest.len - 1] == ',')
        return HTTP_E_BAD_TRANSFER_ENCODING;
    if (has_tab_around(f, b->allow))
        return HTTP_E_DISGUISED_FRAMING;
    if (b_slice_ieq(rest, B_LIT("chunked")))
        return HTTP_OK;
    if (has_odd_byte(rest))
        return HTTP_E_DISGUISED_FRAMING;
    /* S06 and S07: a well-formed list that ends in at most one chunked is 501, anything else 400 */
    bool chunked = false;
    while (b_slice_next(&rest, ',', &coding)) {
        coding = b_slice_trim(coding);
        if (chunked || !coding_ok(coding))
            return HTTP_E_BAD_TRANSFER_ENCODING;
        chunked = b_slice_ieq(coding, B_LIT("chunked"));
    }
    return HTTP_E_UNSUPPORTED_TRANSFER_ENCODING;
}

enum http_error h1_connection(const struct h1_block *b, struct h1_connection *out) {
    struct http_fields fs = h1_block_fields(b, b->count);
    unsigned options = 0;
    *out = (struct h1_connection){0};
    if (!(b->seen & HTTP_ID_BIT(HTTP_FIELD_CONNECTION)))
        return HTTP_OK;
    for (const struct http_field *f = NULL; (f = http_fields_next(&fs, HTTP_FIELD_CONNECTION, f));) {
        struct b_slice rest = http_field_value(f), option;
        while (b_slice_next(&rest, ',', &option)) {
            option = b_slice_trim(option);
            /* each may be compared with every field */
            if (++options > H1_CONNECTION_OPTIONS_MAX || (option.len && !http_is_token(option)))
                return HTTP_E_BAD_CONNECTION;
            if (b_slice_ieq(option, B_LIT("keep-alive")))
                out->keep_alive = true;
            else if (b_slice_ieq(option, B_LIT("close")))
                out->close = true;
            else if (b_slice_ieq(option, B_LIT("upgrade")))
                out->upgrade = true;
            else
                http_fields_nominate(&fs, option);
        }
    }
    return HTTP_OK;
}
