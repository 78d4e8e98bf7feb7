#include "http/fields.h"

#include <errno.h>

#include "http/chars.h"
#include "http/scan.h"

#define NAME_LEN_MAX 19
#define PREFIX "x-forwarded-"
#define PREFIX_LEN (sizeof(PREFIX) - 1)

enum { HOP = HTTP_F_HOP, FRAMING = HTTP_F_FRAMING, SINGLETON = HTTP_F_SINGLETON };
enum { NEVER_TRAILER = HTTP_F_NEVER_TRAILER, OWNED = HTTP_F_OWNED };

static const struct http_field_info infos[HTTP_FIELD_COUNT] = {
    [HTTP_FIELD_OTHER] = {"", 0, 0},
#define HTTP_FIELD(id, name_, flags_) [HTTP_FIELD_##id] = {(name_), sizeof(name_) - 1, (flags_)},
#include "http/fields.def"
#undef HTTP_FIELD
    [HTTP_FIELD_X_FORWARDED_ANY] = {PREFIX, PREFIX_LEN, OWNED | NEVER_TRAILER},
};

/* The names once more, padded, so that eight bytes can be compared at once. */
static const char names[HTTP_FIELD_COUNT][24] = {
#define HTTP_FIELD(id, name_, flags_) [HTTP_FIELD_##id] = (name_),
#include "http/fields.def"
#undef HTTP_FIELD
};

/* The lines of fields.def that have n bytes: [n] = {first, one past the last}. A line added there at the edge
 * of its length moves an edge here; the unit test looks every name up. */
#define LINES(from, to) \
    { HTTP_FIELD_##from, HTTP_FIELD_##to + 1 }
static const struct {
    uint8_t from, to;
} by_length[NAME_LEN_MAX + 1] = {
    [2] = LINES(TE, TE),
    [3] = LINES(AGE, VIA),
    [4] = LINES(HOST, VARY),
    [5] = LINES(RANGE, ALLOW),
    [6] = LINES(ACCEPT, ORIGIN),
    [7] = LINES(REFERER, TRAILER),
    [8] = LINES(LOCATION, LOCATION),
    [9] = LINES(FORWARDED, X_REAL_IP),
    [10] = LINES(CONNECTION, SET_COOKIE),
    [11] = LINES(TRACEPARENT, RETRY_AFTER),
    [12] = LINES(CONTENT_TYPE, WEIR_MISSING),
    [13] = LINES(AUTHORIZATION, CONTENT_RANGE),
    [14] = LINES(CONTENT_LENGTH, CONTENT_LENGTH),
    [15] = LINES(ACCEPT_ENCODING, X_FORWARDED_FOR),
    [16] = LINES(CONTENT_ENCODING, WWW_AUTHENTICATE),
    [17] = LINES(X_FORWARDED_PROTO, IF_MODIFIED_SINCE),
    [18] = LINES(PROXY_AUTHENTICATE, X_REQUEST_DEADLINE),
    [19] = LINES(PROXY_AUTHORIZATION, PROXY_AUTHORIZATION),
};

_Static_assert(HTTP_FIELD_COUNT <= 64, "the parsers keep ids in a set of 64 bits");
_Static_assert(sizeof(struct http_field) == 24, "a request holds up to a hundred of these");

/* Eight and four bytes in lower case. Setting bit 5 maps only upper-case letters onto letters, and onto '-'
 * only CR, which is no tchar: for tokens the comparison is exact. */
static inline uint64_t fold8(const char *p) {
    uint64_t v;
    memcpy(&v, p, 8);
    return v | 0x2020202020202020u;
}

static inline uint32_t fold4(const char *p) {
    uint32_t v;
    memcpy(&v, p, 4);
    return v | 0x20202020u;
}

static enum http_field_id id_of_short(const char *p, size_t len) {
    for (unsigned id = by_length[len].from; id < by_length[len].to; id++) {
        const char *n = names[id];
        if (len >= 4 ? fold4(p) == fold4(n) && fold4(p + len - 4) == fold4(n + len - 4)
                     : b_lower(p[0]) == n[0] && b_lower(p[1]) == n[1] && b_lower(p[len - 1]) == n[len - 1])
            return (enum http_field_id)id;
    }
    return HTTP_FIELD_OTHER;
}

/* The first and the last eight bytes, which overlap below 16; above, the middle ones too. */
static enum http_field_id id_of_long(const char *p, size_t len) {
    uint64_t head = fold8(p), tail = fold8(p + len - 8);
    for (unsigned id = by_length[len].from; id < by_length[len].to; id++) {
        const char *n = names[id];
        if (head == fold8(n) && tail == fold8(n + len - 8) && (len <= 16 || fold8(p + 8) == fold8(n + 8)))
            return (enum http_field_id)id;
    }
    return HTTP_FIELD_OTHER;
}

enum http_field_id http_field_id(struct b_slice name) {
    enum http_field_id id = HTTP_FIELD_OTHER;
    if (name.len < 2)
        return id;
    if (name.len <= NAME_LEN_MAX)
        id = name.len < 8 ? id_of_short(name.ptr, name.len) : id_of_long(name.ptr, name.len);
    if (id == HTTP_FIELD_OTHER && name.len > PREFIX_LEN && b_lower(name.ptr[0]) == 'x' &&
        b_slice_ieq(b_slice(name.ptr, PREFIX_LEN), B_LIT(PREFIX)))
        id = HTTP_FIELD_X_FORWARDED_ANY;
    return id;
}

const struct http_field_info *http_field_info(enum http_field_id id) {
    return &infos[(unsigned)id < HTTP_FIELD_COUNT ? id : HTTP_FIELD_OTHER];
}

struct http_field *http_fields_next(const struct http_fields *fs, enum http_field_id id,
                                    const struct http_field *after) {
    struct http_field *f = after ? fs->at + (after - fs->at) + 1 : fs->at;
    if (fs->absent & HTTP_ID_BIT(id))
        return NULL;
    for (; f < fs->at + fs->count; f++)
        if (f->id == id)
            return f;
    return NULL;
}

struct http_field *http_fields_next_name(const struct http_fields *fs, struct b_slice name,
                                         const struct http_field *after) {
    struct http_field *f = after ? fs->at + (after - fs->at) + 1 : fs->at;
    for (; f < fs->at + fs->count; f++)
        if (b_slice_ieq(http_field_name(f), name))
            return f;
    return NULL;
}

struct http_field *http_fields_find(const struct http_fields *fs, enum http_field_id id) {
    return http_fields_next(fs, id, NULL);
}

struct http_field *http_fields_find_name(const struct http_fields *fs, struct b_slice name) {
    return http_fields_next_name(fs, name, NULL);
}

struct b_slice http_fields_value(const struct http_fields *fs, enum http_field_id id) {
    const struct http_field *f = http_fields_find(fs, id);
    return f ? http_field_value(f) : b_slice(NULL, 0);
}

bool http_list_next(struct b_slice *rest, struct b_slice *element) {
    while (b_slice_next(rest, ',', element)) {
        *element = b_slice_trim(*element);
        if (element->len)
            return true;
    }
    return false;
}

bool http_fields_has_token(const struct http_fields *fs, enum http_field_id id, struct b_slice token) {
    for (const struct http_field *f = NULL; (f = http_fields_next(fs, id, f));) {
        struct b_slice rest = http_field_value(f), element;
        while (http_list_next(&rest, &element))
            if (b_slice_ieq(element, token))
                return true;
    }
    return false;
}

static int grow(struct b_arena *arena, struct http_fields *fs) {
    unsigned cap = fs->cap ? 2u * fs->cap : 16;
    if (!arena || fs->count == UINT16_MAX)
        return -ENOMEM;
    if (cap > UINT16_MAX)
        cap = UINT16_MAX;
    struct http_field *at = b_arena_alloc(arena, cap * sizeof *at);
    if (!at)
        return -ENOMEM;
    if (fs->count)
        memcpy(at, fs->at, fs->count * sizeof *at);
    fs->at = at;
    fs->cap = (uint16_t)cap;
    return 0;
}

static bool name_ok(struct b_slice name) {
    return http_is_token(name) && name.len <= UINT16_MAX;
}

static bool value_ok(struct b_slice value) {
    return value.len == 0 || (value.len <= UINT32_MAX &&
                              http_scan_value(value.ptr, value.ptr + value.len) == value.ptr + value.len);
}

/* `flags` beside those of the table. */
static inline __attribute__((always_inline)) int append(struct b_arena *arena, struct http_fields *fs,
                                                        enum http_field_id id, struct b_slice name,
                                                        struct b_slice value, unsigned flags) {
    if (fs->count == fs->cap && grow(arena, fs) < 0)
        return -ENOMEM;
    fs->absent &= ~HTTP_ID_BIT(id);
    fs->at[fs->count++] = (struct http_field){
        .name = name.ptr,
        .value = value.ptr,
        .value_len = (uint32_t)value.len,
        .name_len = (uint16_t)name.len,
        .id = (uint8_t)id,
        .flags = (uint8_t)(infos[id].flags | flags),
    };
    return 0;
}

int http_fields_add(struct b_arena *arena, struct http_fields *fs, struct b_slice name,
                    struct b_slice value) {
    value = b_slice_trim(value);
    if (!name_ok(name) || !value_ok(value))
        return -EINVAL;
    return append(arena, fs, http_field_id(name), name, value, 0);
}

static struct b_slice name_of_id(enum http_field_id id) {
    const struct http_field_info *info = http_field_info(id);
    return id == HTTP_FIELD_X_FORWARDED_ANY ? b_slice(NULL, 0) : b_slice(info->name, info->name_len);
}

int http_fields_add_id(struct b_arena *arena, struct http_fields *fs, enum http_field_id id,
                       struct b_slice value) {
    struct b_slice name = name_of_id(id);
    value = b_slice_trim(value);
    if (!name.len || !value_ok(value))
        return -EINVAL;
    return append(arena, fs, id, name, value, 0);
}

_Static_assert(NAME_LEN_MAX + 4 <= HTTP_LINE_ROOM, "a line's name, colon, space and end");

int http_lines_begin(struct http_lines *l, struct b_arena *arena, struct http_fields *to, unsigned lines,
                     size_t values) {
    size_t room = lines * HTTP_LINE_ROOM + values;
    *l =
        (struct http_lines){.arena = arena, .to = to, .text = b_text_fixed(b_arena_alloc(arena, room), room)};
    return l->text.ptr ? 0 : -ENOMEM;
}

/* A line that has been written behind the others. */
int http_lines_took(struct http_lines *l, enum http_field_id id, size_t name_len, size_t value_len) {
    char *at = l->text.ptr + l->text.len;
    int rc = append(l->arena, l->to, id, b_slice(at, name_len), b_slice(at + name_len + 2, value_len),
                    HTTP_F_LINE);
    if (rc == 0)
        l->text.len += name_len + value_len + 4;
    return rc;
}

int http_lines_add(struct http_lines *l, enum http_field_id id, struct b_slice value) {
    struct b_slice name = name_of_id(id);
    size_t len = name.len + value.len + 4;
    if (l->text.cap - l->text.len < len)
        return -ENOMEM;
    char *at = l->text.ptr + l->text.len, *colon = at + name.len;
    memcpy(at, name.ptr, name.len);
    memcpy(colon, ": ", 2);
    if (!name.len || !http_copy_value(colon + 2, value.ptr, value.len))
        return -EINVAL;
    memcpy(colon + 2 + value.len, "\r\n", 2);
    return http_lines_took(l, id, name.len, value.len);
}

int http_fields_set(struct b_arena *arena, struct http_fields *fs, struct b_slice name,
                    struct b_slice value) {
    struct http_field *old = http_fields_find_name(fs, name);
    value = b_slice_trim(value);
    if (!old)
        return http_fields_add(arena, fs, name, value);
    if (!name_ok(name) || !value_ok(value))
        return -EINVAL;
    /* the room of the one that goes is the room for the one that comes */
    enum http_field_id id = (enum http_field_id)old->id;
    http_fields_remove_name(fs, name);
    return append(arena, fs, id, name, value, 0);
}

int http_fields_set_id(struct b_arena *arena, struct http_fields *fs, enum http_field_id id,
                       struct b_slice value) {
    if (fs->absent & HTTP_ID_BIT(id))
        return http_fields_add_id(arena, fs, id, value);
    return http_fields_set(arena, fs, name_of_id(id), value);
}

unsigned http_fields_remove_set(struct http_fields *fs, uint64_t ids) {
    unsigned kept = 0;
    if ((fs->absent & ids) == ids)
        return 0;
    for (unsigned i = 0; i < fs->count; i++)
        if (!(HTTP_ID_BIT(fs->at[i].id) & ids))
            fs->at[kept++] = fs->at[i];
    unsigned removed = fs->count - kept;
    fs->count = (uint16_t)kept;
    fs->absent |= ids;
    return removed;
}

unsigned http_fields_remove(struct http_fields *fs, enum http_field_id id) {
    return http_fields_remove_set(fs, HTTP_ID_BIT(id));
}

unsigned http_fields_remove_name(struct http_fields *fs, struct b_slice name) {
    unsigned kept = 0;
    for (unsigned i = 0; i < fs->count; i++)
        if (!b_slice_ieq(http_field_name(&fs->at[i]), name))
            fs->at[kept++] = fs->at[i];
    unsigned removed = fs->count - kept;
    fs->count = (uint16_t)kept;
    return removed;
}

void http_fields_nominate(struct http_fields *fs, struct b_slice name) {
    enum http_field_id id = http_field_id(name);
    if (http_field_info(id)->flags & (HTTP_F_OWNED | HTTP_F_HOP))
        return;
    for (unsigned i = 0; i < fs->count; i++)
        if (fs->at[i].id == id && b_slice_ieq(http_field_name(&fs->at[i]), name))
            fs->at[i].flags |= HTTP_F_HOP;
}

#define HTTP_FIELD(id, name, flags) | ((flags)&HOP ? HTTP_ID_BIT(HTTP_FIELD_##id) : 0)
static const uint64_t hop = 0
#include "http/fields.def"
    ;
#undef HTTP_FIELD

void http_fields_strip_hop(struct http_fields *fs) {
    if ((fs->absent & hop) == hop)
        return; /* Connection too, so that none is nominated */
    unsigned kept = 0;
    for (unsigned i = 0; i < fs->count; i++)
        if (!(fs->at[i].flags & HTTP_F_HOP))
            fs->at[kept++] = fs->at[i];
    fs->count = (uint16_t)kept;
}
