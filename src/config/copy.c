#include "config/copy.h"

#include <errno.h>

/* ---- copies ---- */

static const struct cfg_node *copied(const struct cfg_node *node) {
    static const struct cfg_node somewhere;
    return node ? &somewhere : NULL;
}

static int copy_slice(struct b_slice *s, struct b_arena *arena) {
    if (!s->ptr)
        return 0;
    *s = b_arena_copy(arena, *s);
    return s->ptr ? 0 : -ENOMEM;
}

static int copy_text(struct cfg_text *t, struct b_arena *arena) {
    t->node = copied(t->node);
    return copy_slice(&t->name, arena) ? -ENOMEM : copy_slice(&t->text, arena);
}

static int copy_url(struct cfg_url *u, struct b_arena *arena) {
    struct b_slice *parts[] = {&u->path, &u->name, &u->authority, &u->text};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (copy_slice(parts[i], arena))
            return -ENOMEM;
    return 0;
}

static int copy_addr(struct cfg_addr *a, struct b_arena *arena) {
    return copy_slice(&a->path, arena) ? -ENOMEM : copy_slice(&a->text, arena);
}

static int copy_item(const struct cfg_option *o, const void *from, void *to, struct b_arena *arena) {
    switch (o->type) {
    case CFG_CIDRS: ((struct cfg_cidr *)to)->node = copied(((const struct cfg_cidr *)from)->node); return 0;
    case CFG_STRINGS:
    case CFG_STRING_MAP: return copy_text(to, arena);
    default: return cfg_copy(o->table, from, to, arena);
    }
}

static int copy_list(const struct cfg_option *o, struct cfg_list *list, struct b_arena *arena) {
    const char *from = list->items;
    list->node = copied(list->node);
    if (!list->count)
        return 0;
    char *to = b_arena_alloc(arena, list->count * list->item_size);
    if (!to)
        return -ENOMEM;
    memcpy(to, from, list->count * list->item_size);
    list->items = to;
    for (size_t i = 0; i < list->count; i++)
        if (copy_item(o, from + i * list->item_size, to + i * list->item_size, arena))
            return -ENOMEM;
    return 0;
}

/* `to` holds a flat copy already. */
static int copy_value(const struct cfg_option *o, const void *from, void *to, struct b_arena *arena) {
    struct cfg_upstream_ref *ref = to;
    switch (o->type) {
    case CFG_BOOL:
    case CFG_INT:
    case CFG_SIZE:
    case CFG_DURATION:
    case CFG_PERCENT:
    case CFG_RATE:
    case CFG_ENUM: return 0;
    case CFG_STRING: return copy_slice(to, arena);
    case CFG_ADDR: return copy_addr(to, arena);
    case CFG_URL: return copy_url(to, arena);
    case CFG_OBJECT: return cfg_copy(o->table, from, to, arena);
    case CFG_NODE: *(const struct cfg_node **)to = NULL; return 0;
    case CFG_UPSTREAM_REF:
        ref->upstream = NULL;
        ref->node = copied(ref->node);
        return copy_slice(&ref->name, arena);
    default: return copy_list(o, to, arena);
    }
}

int cfg_copy(const struct cfg_table *table, const void *from, void *to, struct b_arena *arena) {
    struct cfg_head *head = to;
    memcpy(to, from, table->size);
    head->node = copied(head->node);
    int rc = copy_slice(&head->name, arena);
    for (const struct cfg_option *o = table->options; o->name && rc == 0; o++)
        rc = copy_value(o, (const char *)from + o->offset, (char *)to + o->offset, arena);
    return rc;
}

/* ---- comparisons ---- */

static bool slices_equal(struct b_slice a, struct b_slice b) {
    return !a.ptr == !b.ptr && b_slice_eq(a, b);
}

static bool items_equal(const struct cfg_option *o, const void *a, const void *b) {
    const struct cfg_cidr *net = a, *other = b;
    const struct cfg_text *text = a, *second = b;
    const struct cfg_head *head = a, *behind = b;
    switch (o->type) {
    case CFG_CIDRS:
        return net->kind == other->kind && net->bits == other->bits &&
               memcmp(net->ip, other->ip, sizeof net->ip) == 0;
    case CFG_STRINGS:
    case CFG_STRING_MAP:
        return slices_equal(text->name, second->name) && slices_equal(text->text, second->text);
    default: return slices_equal(head->name, behind->name) && cfg_equal(o->table, a, b);
    }
}

static bool lists_equal(const struct cfg_option *o, const struct cfg_list *a, const struct cfg_list *b) {
    const char *x = a->items, *y = b->items;
    bool equal = a->count == b->count;
    for (size_t i = 0; equal && i < a->count; i++)
        equal = items_equal(o, x + i * a->item_size, y + i * a->item_size);
    return equal;
}

static bool objects_equal(const struct cfg_table *table, const void *a, const void *b) {
    const struct cfg_head *x = a, *y = b;
    if (!x->node || !y->node)
        return !x->node == !y->node;
    return cfg_equal(table, a, b);
}

bool cfg_option_equal(const struct cfg_option *o, const void *a, const void *b) {
    const struct cfg_rate *rate = a, *other = b;
    switch (o->type) {
    case CFG_BOOL: return *(const bool *)a == *(const bool *)b;
    case CFG_INT:
    case CFG_SIZE:
    case CFG_DURATION:
    case CFG_PERCENT: return *(const int64_t *)a == *(const int64_t *)b;
    case CFG_ENUM: return *(const int *)a == *(const int *)b;
    case CFG_RATE: return rate->count == other->count && rate->per == other->per;
    case CFG_STRING: return slices_equal(*(const struct b_slice *)a, *(const struct b_slice *)b);
    case CFG_ADDR:
        return slices_equal(((const struct cfg_addr *)a)->text, ((const struct cfg_addr *)b)->text);
    case CFG_URL: return slices_equal(((const struct cfg_url *)a)->text, ((const struct cfg_url *)b)->text);
    case CFG_UPSTREAM_REF:
        return slices_equal(((const struct cfg_upstream_ref *)a)->name,
                            ((const struct cfg_upstream_ref *)b)->name);
    case CFG_NODE: return *(const struct cfg_node *const *)a == *(const struct cfg_node *const *)b;
    case CFG_OBJECT: return objects_equal(o->table, a, b);
    default: return lists_equal(o, a, b);
    }
}

bool cfg_equal(const struct cfg_table *table, const void *a, const void *b) {
    for (const struct cfg_option *o = table->options; o->name; o++)
        if (!cfg_option_equal(o, (const char *)a + o->offset, (const char *)b + o->offset))
            return false;
    return true;
}
