/* Header fields: names, values and the rules that hold for the names weir knows (fields.def). RFC 9110
 * sections 5 to 7. Nothing here copies bytes: names and values are slices that must outlive the list. */
#ifndef HTTP_FIELDS_H
#define HTTP_FIELDS_H

#include <errno.h>
#include <string.h>

#include "base/arena.h"
#include "base/slice.h"
#include "base/text.h"

enum http_field_id {
    HTTP_FIELD_OTHER = 0, /* a name that is not in fields.def */
#define HTTP_FIELD(id, name, flags) HTTP_FIELD_##id,
#include "http/fields.def"
#undef HTTP_FIELD
    HTTP_FIELD_X_FORWARDED_ANY, /* any other name that begins with "x-forwarded-" */
    HTTP_FIELD_COUNT
};

enum http_field_flag {
    HTTP_F_HOP = 1,           /* concerns one connection, never forwarded (RFC 9110 section 7.6.1) */
    HTTP_F_FRAMING = 2,       /* decides where a body ends; the serialiser writes its own */
    HTTP_F_SINGLETON = 4,     /* repeated in a request: 400 (P08) */
    HTTP_F_NEVER_TRAILER = 8, /* dropped from a trailer section, whatever a route allows (S15) */
    HTTP_F_OWNED = 16,        /* a Connection field cannot have it removed (P05) */
    /* Not of the table: name and value stand in the line they were parsed from, which is `name: value CRLF` to the byte.
     * A serialiser may copy such lines as they are, several at once. */
    HTTP_F_LINE = 32,
};

#define HTTP_ID_BIT(id) ((uint64_t)1 << (id))

struct http_field {
    const char *name, *value; /* not owned; value has no spaces or tabs around it */
    uint32_t value_len;
    uint16_t name_len;
    uint8_t id;    /* enum http_field_id */
    uint8_t flags; /* enum http_field_flag, from the table */
};

struct http_fields {
    struct http_field *at; /* the caller's array, or the arena's once it grew */
    uint16_t count, cap;
    uint64_t
        absent; /* ids of which no field is there; a bit of 0 says nothing. Saves the search for most of them */
};

struct http_field_info {
    const char *name; /* lower case; "" for HTTP_FIELD_OTHER, "x-forwarded-" for HTTP_FIELD_X_FORWARDED_ANY */
    uint8_t name_len, flags;
};

/* The id of a name, whatever its case; HTTP_FIELD_OTHER when it is not in the table. For tokens: other bytes
 * may be mistaken for similar ones. */
enum http_field_id http_field_id(struct b_slice name);
/* The table's line for an id, static; that of HTTP_FIELD_OTHER when out of range. */
const struct http_field_info *http_field_info(enum http_field_id id);

static inline struct b_slice http_field_name(const struct http_field *f) {
    return b_slice(f->name, f->name_len);
}
static inline struct b_slice http_field_value(const struct http_field *f) {
    return b_slice(f->value, f->value_len);
}

/* The first field with that id (name), or NULL. Never call the first with HTTP_FIELD_OTHER. */
struct http_field *http_fields_find(const struct http_fields *fs, enum http_field_id id);
struct http_field *http_fields_find_name(const struct http_fields *fs, struct b_slice name);
/* The next field of that id (name) after `after`, or the first when it is NULL; NULL at the end.
 *     for (struct http_field *f = NULL; (f = http_fields_next(fs, HTTP_FIELD_COOKIE, f));) */
struct http_field *http_fields_next(const struct http_fields *fs, enum http_field_id id,
                                    const struct http_field *after);
struct http_field *http_fields_next_name(const struct http_fields *fs, struct b_slice name,
                                         const struct http_field *after);
/* The value of the first field with that id; ptr is NULL when there is none. */
struct b_slice http_fields_value(const struct http_fields *fs, enum http_field_id id);

/* Whether any comma-separated list in the fields of that id holds the token, whatever its case. */
bool http_fields_has_token(const struct http_fields *fs, enum http_field_id id, struct b_slice token);
/* Takes the next element, trimmed, off a comma-separated list; empty elements are skipped. False at the
 * end. */
bool http_list_next(struct b_slice *rest, struct b_slice *element);

/* Appends a field. The name must be a token, the value free of control characters but tab (S29); spaces
 * around the value are trimmed. 0, -EINVAL, or -ENOMEM when the list is full and the arena (may be NULL) has
 * no room. */
int http_fields_add(struct b_arena *arena, struct http_fields *fs, struct b_slice name, struct b_slice value)
    __attribute__((warn_unused_result));
/* Appends a field of the table, under its lower-case name. */
int http_fields_add_id(struct b_arena *arena, struct http_fields *fs, enum http_field_id id,
                       struct b_slice value) __attribute__((warn_unused_result));
/* Fields that weir makes itself, several in a row: their lines are laid side by side in one block, so that a serialiser copies
 * them as one (HTTP_F_LINE). Begin with room for all the values; 0 or -ENOMEM. */
struct http_lines {
    struct b_arena *arena;
    struct http_fields *to;
    struct b_text text;
};
#define HTTP_LINE_ROOM 24 /* name, ": " and CRLF of any name of the table */
int http_lines_begin(struct http_lines *l, struct b_arena *arena, struct http_fields *to, unsigned lines,
                     size_t values) __attribute__((warn_unused_result));
/* Appends a field of the table; as http_fields_add_id. -ENOMEM also when it does not fit. */
int http_lines_add(struct http_lines *l, enum http_field_id id, struct b_slice value)
    __attribute__((warn_unused_result));
/* Appends a line that is always the same, `name: value CRLF` with the table's name; inlined, so that it is a few moves. */
#define http_lines_fixed(l, id, name, value) \
    http_lines_fixed_((l), (id), name ": " value "\r\n", sizeof name - 1, sizeof value - 1)
int http_lines_took(struct http_lines *l, enum http_field_id id, size_t name_len, size_t value_len)
    __attribute__((warn_unused_result));
static inline int http_lines_fixed_(struct http_lines *l, enum http_field_id id, const char *line,
                                    size_t name_len, size_t value_len) {
    size_t len = name_len + value_len + 4;
    if (l->text.cap - l->text.len < len)
        return -ENOMEM;
    memcpy(l->text.ptr + l->text.len, line, len);
    return http_lines_took(l, id, name_len, value_len);
}
/* Removes all fields of that name and appends this one. On an error nothing is changed. */
int http_fields_set(struct b_arena *arena, struct http_fields *fs, struct b_slice name, struct b_slice value)
    __attribute__((warn_unused_result));
int http_fields_set_id(struct b_arena *arena, struct http_fields *fs, enum http_field_id id,
                       struct b_slice value) __attribute__((warn_unused_result));
/* Remove all fields of that id (name), keep the order of the others, give how many went. Pointers into the
 * list that were handed out before move. */
unsigned http_fields_remove(struct http_fields *fs, enum http_field_id id);
unsigned http_fields_remove_name(struct http_fields *fs, struct b_slice name);
/* Removes all fields whose id is in the set (HTTP_ID_BIT). */
unsigned http_fields_remove_set(struct http_fields *fs, uint64_t ids);

/* Marks the fields of that name as hop-by-hop, because Connection names them; not those that are HTTP_F_OWNED (P05). The
 * parsers do it, so that a field that weir sets later under the same name stays. */
void http_fields_nominate(struct http_fields *fs, struct b_slice name);
/* Removes the hop-by-hop fields. Read Connection, Upgrade and TE before. */
void http_fields_strip_hop(struct http_fields *fs);

#endif
