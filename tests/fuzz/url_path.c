/* Paths: a normal form is normal, stays what it is, and means what the path meant. */
#include <assert.h>

#include "base/number.h"
#include "http/message.h"
#include "http/path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Decodes every escape; gives the new length. For comparison only. */
static size_t decode(struct b_slice s, char *out) {
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '%' && s.len - i >= 3) {
            out[n++] = (char)(b_hex_digit(s.ptr[i + 1]) << 4 | b_hex_digit(s.ptr[i + 2]));
            i += 2;
        } else {
            out[n++] = s.ptr[i];
        }
    }
    return n;
}

static void check_normal(struct b_slice path, uint32_t allow) {
    assert(path.len > 0 && path.ptr[0] == '/');
    for (size_t i = 0; i < path.len; i++) {
        char c = path.ptr[i];
        assert(c > ' ' && c < 0x7f && !memchr("\\?#\"<>[]^`{|}", c, 13));
        if (c == '%') {
            assert(path.len - i >= 3);
            int decoded = b_hex_digit(path.ptr[i + 1]) << 4 | b_hex_digit(path.ptr[i + 2]);
            assert(decoded >= ' ' && decoded != 0x7f && decoded != '\\' && decoded != '.');
            assert(decoded != '/' || allow & HTTP_ALLOW_ENCODED_SLASH);
            assert(path.ptr[i + 1] <= 'F' && path.ptr[i + 2] <= 'F');
        }
    }
    for (struct b_slice rest = b_slice_from(path, 1), segment; b_slice_next(&rest, '/', &segment);) {
        static char plain[1 << 16];
        struct b_slice parts = b_slice(plain, decode(segment, plain)), part;
        assert(segment.len > 0);
        while (b_slice_next(&parts, '/', &part))
            assert(!b_slice_eq(part, B_LIT(".")) && !b_slice_eq(part, B_LIT("..")));
    }
}

/* A slow second opinion on what the path means: decode all of it, then take the segments one by one. */
static size_t meaning(struct b_slice raw, char *out) {
    static char decoded[1 << 14];
    struct b_slice rest = b_slice_from(b_slice(decoded, decode(raw, decoded)), 1), segment;
    size_t n = 0;
    bool open = rest.len == 0 || rest.ptr[rest.len - 1] == '/';
    while (b_slice_next(&rest, '/', &segment)) {
        bool last = rest.len == 0, up = b_slice_eq(segment, B_LIT(".."));
        if (up)
            while (n > 0 && out[--n] != '/') {
            }
        if (up || segment.len == 0 || b_slice_eq(segment, B_LIT("."))) {
            open |= last;
            continue;
        }
        out[n++] = '/';
        memcpy(out + n, segment.ptr, segment.len);
        n += segment.len;
    }
    if (open || n == 0)
        out[n++] = '/';
    return n;
}

static void check(struct b_slice raw, uint32_t allow) {
    static char buf[1 << 16], again[1 << 16], want[1 << 14], got[1 << 16];
    struct b_text out = b_text_fixed(buf, HTTP_PATH_MAX(raw.len)), second = b_text_fixed(again, sizeof again);
    if (raw.len > sizeof want / 2)
        return;
    int r = http_path_normalise(raw, allow, &out);
    assert(r == HTTP_PATH_SAME || r == HTTP_PATH_CHANGED || r == -HTTP_E_BAD_PATH);
    if (r < 0)
        return;
    assert(!out.failed && (r == HTTP_PATH_CHANGED || out.len == 0));
    struct b_slice path = r == HTTP_PATH_CHANGED ? b_text_slice(&out) : raw;
    assert(r == HTTP_PATH_SAME || !b_slice_eq(path, raw));
    check_normal(path, allow);
    assert(http_path_normalise(path, allow, &second) == HTTP_PATH_SAME);
    /* where an encoded slash separates and where not is for the origin to say */
    if (!memmem(raw.ptr, raw.len, "%2F", 3) && !memmem(raw.ptr, raw.len, "%2f", 3))
        assert(b_slice_eq(b_slice(want, meaning(raw, want)), b_slice(got, decode(path, got))));
    assert(http_query_ok(path));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check(b_slice(data, size), 0);
    check(b_slice(data, size), HTTP_ALLOW_ENCODED_SLASH);
    return 0;
}
