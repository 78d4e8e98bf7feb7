/* Lists of fields: elements of values, fields that Connection names, and what is added, set and removed. The input is
 * lines of "name:value". */
#include <assert.h>
#include <errno.h>

#include "base/text.h"
#include "http/fields.h"

#define FIELDS_MAX 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned named(const struct http_fields *fs, struct b_slice name) {
    unsigned n = 0;
    for (const struct http_field *f = NULL; (f = http_fields_next_name(fs, name, f));)
        n++;
    return n;
}

/* The elements, written with commas between them, are the same elements. */
static void check_elements(struct b_slice value) {
    static char buf[1 << 17];
    struct b_text out = b_text_fixed(buf, sizeof buf);
    struct b_slice rest = value, element, other;
    unsigned count = 0;
    for (; http_list_next(&rest, &element); count++) {
        assert(element.len && element.ptr >= value.ptr && element.ptr + element.len <= value.ptr + value.len);
        assert(b_slice_trim(element).len == element.len && !memchr(element.ptr, ',', element.len));
        b_text_lit(&out, " ,,\t");
        b_text_slice_add(&out, element);
    }
    if (out.failed)
        return;
    struct b_slice again = b_text_slice(&out);
    for (rest = value; count; count--) {
        assert(http_list_next(&rest, &element) && http_list_next(&again, &other));
        assert(b_slice_eq(element, other));
    }
    assert(!http_list_next(&again, &other));
}

/* Whether a Connection field of the list names it. */
static bool nominated(const struct http_fields *fs, struct b_slice name) {
    return http_fields_has_token(fs, HTTP_FIELD_CONNECTION, name);
}

/* What is left behind http_fields_strip_hop is what may be: the same fields, in their order. */
static void check_strip(struct b_arena *arena, const struct http_fields *before) {
    struct http_fields fs = *before;
    fs.at = b_arena_alloc(arena, (before->count + 1u) * sizeof *fs.at);
    assert(fs.at);
    if (before->count)
        memcpy(fs.at, before->at, before->count * sizeof *fs.at);
    fs.cap = fs.count;
    for (struct http_field *f = NULL; (f = http_fields_next(&fs, HTTP_FIELD_CONNECTION, f));) {
        struct b_slice rest = http_field_value(f), element;
        while (http_list_next(&rest, &element)) /* as the parsers do */
            http_fields_nominate(&fs, element);
    }
    http_fields_strip_hop(&fs);
    unsigned k = 0;
    for (unsigned i = 0; i < before->count; i++) {
        const struct http_field *f = &before->at[i];
        unsigned flags = http_field_info((enum http_field_id)f->id)->flags;
        bool gone = flags & HTTP_F_HOP || (!(flags & HTTP_F_OWNED) && nominated(before, http_field_name(f)));
        if (gone)
            continue;
        assert(k < fs.count && fs.at[k].name == f->name && fs.at[k].value == f->value);
        k++;
    }
    assert(k == fs.count);
}

static void check_set(struct b_arena *arena, struct http_fields *fs, const struct http_field *like) {
    struct http_field f = *like;
    unsigned others = fs->count - named(fs, http_field_name(&f));
    assert(http_fields_set(arena, fs, http_field_name(&f), http_field_value(&f)) == 0);
    assert(named(fs, http_field_name(&f)) == 1 && fs->count == others + 1);
    assert(http_fields_remove_name(fs, http_field_name(&f)) == 1);
    assert(fs->count == others && !http_fields_find_name(fs, http_field_name(&f)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct b_arena arena;
    struct http_fields fs = {0};
    struct b_slice rest = b_slice(data, size), line;
    if (size > 20000)
        return 0;
    b_arena_init(&arena, B_TAG_TEST, NULL, NULL, 0, 1 << 22);
    while (fs.count < FIELDS_MAX && b_slice_next(&rest, '\n', &line)) {
        size_t colon = b_slice_find(line, ':');
        struct b_slice name = b_slice(line.ptr, colon),
                       value = b_slice_from(line, colon < line.len ? colon + 1 : colon);
        unsigned count = fs.count;
        int rc = http_fields_add(&arena, &fs, name, value);
        assert(rc == 0 || rc == -EINVAL);
        assert(fs.count == count + (rc == 0));
        if (rc == 0) {
            const struct http_field *f = &fs.at[count];
            assert(b_slice_eq(http_field_value(f), b_slice_trim(value)) && http_field_id(name) == f->id);
            check_elements(http_field_value(f));
        }
    }
    check_strip(&arena, &fs);
    while (fs.count)
        check_set(&arena, &fs, &fs.at[fs.count / 2]);
    b_arena_release(&arena);
    return 0;
}
