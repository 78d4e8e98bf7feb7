#include "http/path.h"

#include "base/number.h"
#include "http/chars.h"
#include "http/message.h"
#include "http/scan.h"
#include "json/utf8.h"

/* Whether "." or ".." with a slash or the end behind it stands at s[i]. */
static bool dot_segment_at(struct b_slice s, size_t i) {
    size_t n = i;
    while (n < s.len && n < i + 2 && s.ptr[n] == '.')
        n++;
    return n > i && (n == s.len || s.ptr[n] == '/');
}

/* The common case: nothing to decode, escape, merge or resolve. */
static bool is_plain(struct b_slice raw) {
    for (size_t i = 0; i < raw.len; i++) {
        if (!http_char_is(raw.ptr[i], HTTP_C_PATH))
            return false;
        if (raw.ptr[i] != '/' || i + 1 == raw.len)
            continue;
        if (raw.ptr[i + 1] == '/' || (raw.ptr[i + 1] == '.' && dot_segment_at(raw, i + 1)))
            return false;
    }
    return true;
}

static void add_escaped(struct b_text *out, unsigned char c) {
    const char *digits = "0123456789ABCDEF";
    const char escape[3] = {'%', digits[c >> 4], digits[c & 15]};
    b_text_add(out, escape, sizeof escape);
}

/* The byte that the escape at s[i] stands for, or -1. */
static int escape_at(struct b_slice s, size_t i) {
    if (s.len - i < 3 || s.ptr[i] != '%')
        return -1;
    int high = b_hex_digit(s.ptr[i + 1]), low = b_hex_digit(s.ptr[i + 2]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* A character outside ASCII: two to four escapes in a row that are well-formed UTF-8 together. Gives how many
 * bytes of s they take, 0 when they are not. */
static size_t add_utf8(struct b_text *out, struct b_slice s, size_t i) {
    char bytes[4] = {0};
    size_t n = 0;
    for (int c; n < sizeof bytes && i + 3 * n < s.len && (c = escape_at(s, i + 3 * n)) >= 0; n++)
        bytes[n] = (char)c;
    n = n ? json_utf8_length(bytes, n) : 0;
    for (size_t k = 0; k < n; k++)
        add_escaped(out, (unsigned char)bytes[k]);
    return 3 * n;
}

/* One character of a segment, in its normal form. Gives how many bytes of s it took, 0 when it is refused. */
static size_t add_char(struct b_text *out, uint32_t allow, struct b_slice s, size_t i) {
    char c = s.ptr[i];
    if (http_char_is(c, HTTP_C_PATH)) {
        b_text_char(out, c);
        return 1;
    }
    if (http_char_is(c, HTTP_C_ESCAPE)) {
        add_escaped(out, (unsigned char)c);
        return 1;
    }
    int decoded = escape_at(s, i);
    if (decoded >= 0x80)
        return add_utf8(out, s, i);
    /* an encoded slash or backslash is a separator to some readers and not to others */
    if (decoded < 0x20 || decoded == 0x7f || decoded == '\\' ||
        (decoded == '/' && !(allow & HTTP_ALLOW_ENCODED_SLASH)))
        return 0;
    if (http_char_is((char)decoded, HTTP_C_UNRESERVED))
        b_text_char(out, (char)decoded);
    else
        add_escaped(out, (unsigned char)decoded);
    return 3;
}

/* What stands in out from `at` on, a slash and a segment, is taken back if it is a dot segment, with the one
 * before it for "..". False when there is none before, which is above the root. `root` is where the path
 * begins. */
static bool resolve_dots(struct b_text *out, size_t root, size_t at, bool *was_dots) {
    struct b_slice segment = b_slice(out->ptr + at + 1, out->len - at - 1);
    *was_dots = dot_segment_at(segment, 0);
    if (!*was_dots)
        return true;
    out->len = at;
    if (segment.len == 1)
        return true;
    if (at == root)
        return false;
    do
        out->len--;
    while (out->ptr[out->len] != '/');
    return true;
}

/* Whether a segment holds a dot segment for those who decode its %2F. */
static bool hides_dots(struct b_slice segment) {
    for (struct b_slice rest = segment;;) {
        const char *slash = memmem(rest.ptr, rest.len, "%2F", 3);
        struct b_slice part = b_slice(rest.ptr, slash ? (size_t)(slash - rest.ptr) : rest.len);
        if (part.len < segment.len && dot_segment_at(part, 0))
            return true;
        if (!slash)
            return false;
        rest = b_slice_from(rest, part.len + 3);
    }
}

/* Slash and segment at s[*i], which is a slash. `open` says whether the path ends in a directory after this one. */
static bool add_segment(struct b_text *out, uint32_t allow, size_t root, struct b_slice s, size_t *i,
                        bool *open) {
    while (*i < s.len && s.ptr[*i] == '/')
        ++*i;
    *open = *i == s.len;
    if (*open)
        return true;
    size_t at = out->len;
    b_text_char(out, '/');
    while (*i < s.len && s.ptr[*i] != '/') {
        size_t n = add_char(out, allow, s, *i);
        if (n == 0)
            return false;
        *i += n;
    }
    if (out->failed)
        return true;
    if (allow & HTTP_ALLOW_ENCODED_SLASH && hides_dots(b_slice(out->ptr + at + 1, out->len - at - 1)))
        return false;
    return resolve_dots(out, root, at, open);
}

/* Apart, so that a path that is plain does not pay for its registers. */
static __attribute__((noinline)) int rewrite(struct b_slice raw, uint32_t allow, struct b_text *out) {
    size_t root = out->len;
    bool open = false;
    for (size_t i = 0; i < raw.len && !out->failed;)
        if (!add_segment(out, allow, root, raw, &i, &open))
            return -HTTP_E_BAD_PATH;
    /* a path that ends in a slash or a dot segment names a directory */
    if (open)
        b_text_char(out, '/');
    if (out->failed)
        return -HTTP_E_URI_TOO_LONG;
    if (!b_slice_eq(b_slice(out->ptr + root, out->len - root), raw))
        return HTTP_PATH_CHANGED;
    out->len = root;
    return HTTP_PATH_SAME;
}

int http_path_normalise(struct b_slice raw, uint32_t allow, struct b_text *out) {
    if (raw.len == 0 || raw.ptr[0] != '/')
        return -HTTP_E_BAD_PATH;
    return is_plain(raw) ? HTTP_PATH_SAME : rewrite(raw, allow, out);
}

bool http_query_ok(struct b_slice query) {
    return query.len == 0 || http_scan_target(query.ptr, query.ptr + query.len) == query.ptr + query.len;
}
