#include "config/diff.h"

#include <errno.h>

#include "config/copy.h"
#include "config/describe.h"
#include "config/scalar.h"

struct walk {
    bool (*fn)(void *arg, const struct cfg_difference *d);
    void *arg;
    struct b_text path, from, to;
    bool over;
};

static void report(struct walk *w, bool has_from, bool has_to) {
    struct cfg_difference d = {.option = b_text_slice(&w->path), .added = !has_from, .removed = !has_to};
    if (has_from && w->from.len)
        d.from = b_text_slice(&w->from);
    if (has_to && w->to.len)
        d.to = b_text_slice(&w->to);
    w->over = w->over || !w->fn(w->arg, &d);
    w->from.len = w->to.len = 0;
}

/* Puts a name behind the path; gives the length to go back to. */
static size_t step(struct walk *w, struct b_slice name) {
    size_t before = w->path.len;
    if (before)
        b_text_char(&w->path, '.');
    b_text_slice_add(&w->path, name);
    return before;
}

static size_t step_key(struct walk *w, struct b_slice key) {
    size_t before = w->path.len;
    b_text_char(&w->path, '[');
    b_text_slice_add(&w->path, key);
    b_text_char(&w->path, ']');
    return before;
}

static void objects(struct walk *w, const struct cfg_table *table, const void *a, const void *b);

/* ---- lists ---- */

/* What an item is known by: its name in a map, itself for a text, else its first option, which for a route is what its match
 * begins with. */
static struct b_slice key_of(const struct cfg_option *o, const void *item) {
    if (o->type == CFG_OBJECT_MAP)
        return ((const struct cfg_head *)item)->name;
    if (o->type == CFG_STRING_MAP)
        return ((const struct cfg_text *)item)->name;
    if (o->type == CFG_STRINGS)
        return ((const struct cfg_text *)item)->text;
    if (o->type == CFG_CIDRS)
        return ((const struct cfg_cidr *)item)->node->text;
    const struct cfg_option *first = o->table->options;
    while (first->type == CFG_OBJECT) {
        item = (const char *)item + first->offset;
        first = first->table->options;
    }
    const void *value = (const char *)item + first->offset;
    return first->type == CFG_STRING ? *(const struct b_slice *)value
           : first->type == CFG_ADDR ? ((const struct cfg_addr *)value)->text
           : first->type == CFG_URL  ? ((const struct cfg_url *)value)->text
                                     : b_slice(NULL, 0);
}

/* How many items before this one have its key. */
static size_t turn_of(const struct cfg_option *o, const struct cfg_list *list, size_t at) {
    size_t n = 0;
    const char *items = list->items;
    for (size_t i = 0; i < at; i++)
        n += b_slice_eq(key_of(o, items + i * list->item_size), key_of(o, items + at * list->item_size));
    return n;
}

static const void *find(const struct cfg_option *o, const struct cfg_list *list, struct b_slice key,
                        size_t turn) {
    const char *items = list->items;
    for (size_t i = 0; i < list->count; i++, items += list->item_size)
        if (b_slice_eq(key_of(o, items), key) && turn-- == 0)
            return items;
    return NULL;
}

/* Items of `in` that `from` has not. */
static void missing(struct walk *w, const struct cfg_option *o, const struct cfg_list *in,
                    const struct cfg_list *from, bool added) {
    const char *item = in->items;
    for (size_t i = 0; i < in->count && !w->over; i++, item += in->item_size) {
        struct b_slice key = key_of(o, item);
        if (find(o, from, key, turn_of(o, in, i)))
            continue;
        size_t before =
            o->type == CFG_OBJECT_MAP || o->type == CFG_STRING_MAP ? step(w, key) : step_key(w, key);
        report(w, !added, added);
        w->path.len = before;
    }
}

static void texts(struct walk *w, const struct cfg_text *a, const struct cfg_text *b, bool secret) {
    if (b_slice_eq(a->text, b->text))
        return;
    b_text_slice_add(&w->from, secret ? B_LIT("(secret)") : a->text);
    b_text_slice_add(&w->to, secret ? B_LIT("(secret)") : b->text);
    report(w, true, true);
}

static void lists(struct walk *w, const struct cfg_option *o, const struct cfg_list *a,
                  const struct cfg_list *b) {
    const char *item = a->items;
    bool secret = o->flags & CFG_SECRET;
    if (secret && (o->type == CFG_STRINGS)) {
        report(w, true, true);
        return;
    }
    missing(w, o, a, b, false);
    for (size_t i = 0; i < a->count && !w->over; i++, item += a->item_size) {
        struct b_slice key = key_of(o, item);
        const void *other = find(o, b, key, turn_of(o, a, i));
        if (!other || o->type == CFG_STRINGS || o->type == CFG_CIDRS)
            continue;
        bool named = o->type == CFG_OBJECT_MAP || o->type == CFG_STRING_MAP;
        size_t before = named ? step(w, key) : step_key(w, key);
        if (o->type == CFG_STRING_MAP)
            texts(w, (const void *)item, other, secret);
        else
            objects(w, o->table, item, other);
        w->path.len = before;
    }
    missing(w, o, b, a, true);
}

/* ---- objects ---- */

static void option(struct walk *w, const struct cfg_option *o, const void *a, const void *b) {
    const struct cfg_head *old = a, *new = b;
    if (o->type == CFG_OBJECT) {
        if (old->node && new->node)
            objects(w, o->table, a, b);
        else if (old->node || new->node)
            report(w, old->node, new->node);
    } else if (cfg_type_is_scalar(o->type) || o->type == CFG_NODE) {
        bool had = cfg_write_value(&w->from, o, a), has = cfg_write_value(&w->to, o, b);
        if (had != has || !b_slice_eq(b_text_slice(&w->from), b_text_slice(&w->to)) ||
            (o->flags & CFG_SECRET))
            report(w, had, has);
        w->from.len = w->to.len = 0;
    } else {
        lists(w, o, a, b);
    }
}

static void modules(struct walk *w, const struct cfg_module_use *a, const struct cfg_module_use *b) {
    if (!a->module && !b->module)
        return;
    if (a->module != b->module) {
        if (a->module)
            b_text_slice_add(&w->from, b_slice_cstr(a->module->name));
        if (b->module)
            b_text_slice_add(&w->to, b_slice_cstr(b->module->name));
        size_t before = step(w, B_LIT("handler"));
        report(w, a->module, b->module);
        w->path.len = before;
        return;
    }
    size_t before = step(w, b_slice_cstr(a->module->name));
    if (a->module->options)
        objects(w, a->module->options, a->conf, b->conf);
    w->path.len = before;
}

/* Tables are trees, a few levels deep. */
static void objects(struct walk *w, const struct cfg_table *table, const void *a, const void *b) {
    for (const struct cfg_option *o = table->options; o->name && !w->over; o++) {
        const void *x = (const char *)a + o->offset, *y = (const char *)b + o->offset;
        if (o->type != CFG_OBJECT && o->type != CFG_NODE && !o->table && cfg_option_equal(o, x, y))
            continue; /* with a table there may be modules inside, which that does not look at */
        size_t before = step(w, b_slice_cstr(o->name));
        option(w, o, x, y);
        w->path.len = before;
    }
    if (table->modules && !w->over)
        modules(w, (const void *)((const char *)a + table->module_offset),
                (const void *)((const char *)b + table->module_offset));
}

int cfg_diff(const struct cfg_root *old, const struct cfg_root *new,
             bool (*fn)(void *arg, const struct cfg_difference *d), void *arg) {
    struct walk w = {.fn = fn,
                     .arg = arg,
                     .path = b_text_heap(B_TAG_CONFIG, 1 << 16),
                     .from = b_text_heap(B_TAG_CONFIG, 1 << 20),
                     .to = b_text_heap(B_TAG_CONFIG, 1 << 20)};
    objects(&w, &cfg_root_table, old, new);
    bool failed = w.path.failed || w.from.failed || w.to.failed;
    b_text_free(&w.path);
    b_text_free(&w.from);
    b_text_free(&w.to);
    return failed ? -ENOMEM : 0;
}
