/* Field lines (RFC 9112 section 5): S08, S10, S11, S16, S17, S18. */
#include "http/h1_internal.h"
#include "http/scan.h"

const char *h1_line_end(struct h1_block *b, const char *at, const char *end) {
    if (*at == '\r') {
        if (end - at < 2)
            return NULL;
        return at[1] == '\n' ? at + 2 : h1_fail(b, HTTP_E_BARE_CR);
    }
    if (*at == '\n')
        return b->allow & HTTP_ALLOW_BARE_LF ? at + 1 : h1_fail(b, HTTP_E_BARE_LF);
    return h1_fail(b, HTTP_E_BAD_FIELD_VALUE);
}

/* S17: with '_' read as '-', as CGI and its heirs do, the name is one that weir relies on (P06). */
static bool poses_as_known(const char *name, size_t len) {
    char hyphenated[32];
    if (len > sizeof hyphenated)
        len = sizeof hyphenated;
    for (size_t i = 0; i < len; i++)
        hyphenated[i] = name[i] == '_' ? '-' : name[i];
    return http_field_id(b_slice(hyphenated, len)) != HTTP_FIELD_OTHER;
}

/* The rest of a name that holds, at `at`, something else than letters, digits and hyphens: either a rarer
 * tchar, or an error. Gives the colon. */
static const char *rare_name(struct h1_block *b, const char *name, const char *at, const char *end) {
    bool underscore = false;
    if (*name == ' ' || *name == '\t')
        return h1_fail(b, b->count ? HTTP_E_OBS_FOLD : HTTP_E_BAD_FIELD_NAME);
    for (; at < end && http_char_is(*at, HTTP_C_TOKEN); at++)
        underscore |= *at == '_';
    if (underscore && !(b->allow & (HTTP_ALLOW_UNDERSCORE | H1_ALLOW_ANY_UNDERSCORE)))
        return h1_fail(b, HTTP_E_UNDERSCORE_IN_FIELD_NAME);
    if (at == end)
        return NULL;
    if (*at != ':')
        return h1_fail(b, HTTP_E_BAD_FIELD_NAME);
    if (underscore && !(b->allow & H1_ALLOW_ANY_UNDERSCORE) && poses_as_known(name, (size_t)(at - name)))
        return h1_fail(b, HTTP_E_UNDERSCORE_IN_FIELD_NAME);
    return at;
}

/* `flags` beside those of the table. */
static inline void append(struct h1_block *b, struct b_slice name, struct b_slice value, unsigned flags) {
    enum http_field_id id = http_field_id(name);
    b->twice |= b->seen & HTTP_ID_BIT(id);
    b->seen |= HTTP_ID_BIT(id);
    b->at[b->count++] = (struct http_field){
        .name = name.ptr,
        .value = value.ptr,
        .value_len = (uint32_t)value.len,
        .name_len = (uint16_t)name.len,
        .id = (uint8_t)id,
        .flags = (uint8_t)(http_field_info(id)->flags | flags),
    };
}

/* One line; gives the start of the next. */
static const char *take_field(struct h1_block *b, const char *line, const char *end) {
    const char *at = http_scan_name(line, end);
    if (at == end)
        return NULL;
    if (*at != ':' && !(at = rare_name(b, line, at, end)))
        return NULL;
    struct b_slice name = b_slice(line, (size_t)(at - line));
    if (name.len == 0)
        return h1_fail(b, HTTP_E_BAD_FIELD_NAME);
    if (name.len > UINT16_MAX)
        return h1_fail(b, HTTP_E_HEADER_TOO_LARGE);
    for (at++; at < end && (*at == ' ' || *at == '\t'); at++) {
    }
    const char *value = at, *colon = name.ptr + name.len;
    at = http_scan_value(at, end);
    if (at == end)
        return NULL;
    const char *value_end = at;
    at = h1_line_end(b, at, end);
    if (!at)
        return NULL;
    while (value_end > value && (value_end[-1] == ' ' || value_end[-1] == '\t'))
        value_end--;
    bool canonical = value == colon + 2 && colon[1] == ' ' && at == value_end + 2 && *value_end == '\r';
    append(b, name, b_slice(value, (size_t)(value_end - value)), canonical ? HTTP_F_LINE : 0);
    return at;
}

const char *h1_take_fields(struct h1_block *b, const char *at, const char *end) {
    while (at && at < end) {
        if (*at == '\r' || *at == '\n')
            return h1_line_end(b, at, end);
        if (b->count == b->max)
            return h1_fail(b, HTTP_E_TOO_MANY_HEADERS);
        at = take_field(b, at, end);
    }
    return NULL;
}
