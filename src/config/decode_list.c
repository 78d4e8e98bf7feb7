/* Lists and maps of values. */
#include "config/decode.h"
#include "config/scalar.h"

static bool check_count(struct cfg_decoder *d, const struct cfg_option *option, const struct cfg_node *node) {
    int64_t n = (int64_t)node->count;
    if (n < option->min) {
        cfg_error_at(d->errors, node, "\"%s\" needs at least %lld entr%s%s%s", option->name,
                     (long long)option->min, option->min == 1 ? "y" : "ies",
                     option->example ? ", such as " : "", option->example ? option->example : "");
        return false;
    }
    if (option->max && n > option->max) {
        cfg_error_at(d->errors, node, "\"%s\" has %lld entries: it holds at most %lld", option->name,
                     (long long)n, (long long)option->max);
        return false;
    }
    return true;
}

/* An item of a list of texts must be a scalar; a message names the list. */
static bool need_text(struct cfg_decoder *d, const struct cfg_option *option, const struct cfg_node *item) {
    if (item->kind == CFG_SCALAR)
        return true;
    if (item->kind != CFG_BAD && item->key_line)
        cfg_error_at(d->errors, item, "\"%s\" of \"%s\" cannot be %s: give a text, in quotes if it is empty",
                     item->key.ptr, option->name, cfg_node_kind(item));
    else if (item->kind != CFG_BAD)
        cfg_error_at(d->errors, item, "an entry of \"%s\" cannot be %s: give a text", option->name,
                     cfg_node_kind(item));
    return false;
}

static bool refuse_item(struct cfg_decoder *d, const struct cfg_option *option, const struct cfg_node *item,
                        const char *why) {
    char shown[CFG_SHOWN_SIZE];
    cfg_error_at(d->errors, item, "an entry of \"%s\" cannot be %s: %s", option->name,
                 option->flags & CFG_SECRET ? "this value" : cfg_node_shown(item, shown), why);
    return false;
}

static bool decode_cidr(struct cfg_decoder *d, const struct cfg_option *option, const struct cfg_node *item,
                        struct cfg_cidr *out) {
    if (!need_text(d, option, item))
        return false;
    const char *why = cfg_parse_cidr(item->text, out);
    out->node = item;
    return why ? refuse_item(d, option, item, why) : true;
}

static bool decode_text(struct cfg_decoder *d, const struct cfg_option *option, const struct cfg_node *item,
                        struct cfg_text *out) {
    char buf[CFG_REASON_SIZE];
    *out = (struct cfg_text){.node = item};
    if (!need_text(d, option, item))
        return false;
    out->text = item->text;
    if (item->text.len == 0)
        return refuse_item(d, option, item, "give a text, or leave the entry out");
    for (size_t i = 0; option->choices && option->choices[i]; i++)
        if (b_slice_eq(b_slice_cstr(option->choices[i]), item->text))
            return true;
    return option->choices ? refuse_item(d, option, item, cfg_choice_reason(option, item->text, buf)) : true;
}

/* RFC 9110 section 5.6.2 */
static bool is_token(struct b_slice s) {
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool letter = b_lower(c) >= 'a' && b_lower(c) <= 'z';
        if (!letter && !b_is_digit(c) && (c == 0 || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return s.len > 0;
}

/* RFC 9110 section 5.5: no control characters but the tab, and no space around it, which would be lost. */
static bool is_header_value(struct b_slice s) {
    for (size_t i = 0; i < s.len; i++)
        if (((unsigned char)s.ptr[i] < 0x20 && s.ptr[i] != '\t') || s.ptr[i] == 0x7f)
            return false;
    return b_slice_trim(s).len == s.len;
}

static bool decode_pair(struct cfg_decoder *d, const struct cfg_option *option, const struct cfg_node *item,
                        struct cfg_text *out) {
    char shown[CFG_SHOWN_SIZE];
    *out = (struct cfg_text){.name = item->key, .node = item};
    if (!need_text(d, option, item))
        return false;
    out->text = item->text;
    if (!(option->flags & CFG_HEADER_NAMES))
        return true;
    if (!is_token(item->key)) {
        cfg_error_key(d->errors, item, "%s is not the name of a header: letters, digits and - make one",
                      cfg_text_shown(item->key, shown));
        return false;
    }
    if (!is_header_value(item->text)) {
        cfg_error_at(
            d->errors, item,
            "the value of header \"%s\" holds a line break or control character, or a space at its ends",
            item->key.ptr);
        return false;
    }
    return true;
}

static bool decode_object_item(struct cfg_decoder *d, const struct cfg_option *option,
                               const struct cfg_node *item, void *out) {
    const struct cfg_table *table = option->table;
    if (item->kind == CFG_BAD)
        return false;
    if (item->kind == CFG_LIST || (item->kind == CFG_SCALAR && !table->shorthand)) {
        char shown[CFG_SHOWN_SIZE];
        cfg_error_at(d->errors, item, "%s cannot be %s: give a map of its options", table->name,
                     cfg_node_shown(item, shown));
        return false;
    }
    ((struct cfg_head *)out)->name = item->key;
    return cfg_decode_object(d, table, item, item, out);
}

static bool decode_item(struct cfg_decoder *d, const struct cfg_option *option, const struct cfg_node *item,
                        void *out) {
    switch (option->type) {
    case CFG_CIDRS: return decode_cidr(d, option, item, out);
    case CFG_STRINGS: return decode_text(d, option, item, out);
    case CFG_STRING_MAP: return decode_pair(d, option, item, out);
    default: return decode_object_item(d, option, item, out);
    }
}

bool cfg_decode_items(struct cfg_decoder *d, const struct cfg_option *option, const struct cfg_node *node,
                      struct cfg_list *list) {
    bool ok = check_count(d, option, node);
    list->node = node;
    list->item_size = option->type == CFG_CIDRS ? sizeof(struct cfg_cidr)
                      : option->table           ? option->table->size
                                                : sizeof(struct cfg_text);
    if (!node->count)
        return ok;
    list->items = cfg_decode_alloc(d, node->count * list->item_size);
    if (!list->items)
        return false;
    char *out = list->items;
    CFG_EACH_CHILD(item, node) {
        if (!decode_item(d, option, item, out))
            ok = false;
        out += list->item_size;
        list->count++;
    }
    return ok;
}

bool cfg_decode_one(struct cfg_decoder *d, const struct cfg_option *option, const struct cfg_node *node,
                    struct cfg_list *list) {
    list->node = node;
    list->item_size = option->table->size;
    list->items = cfg_decode_alloc(d, list->item_size);
    list->count = list->items ? 1 : 0;
    return list->items && cfg_decode_object(d, option->table, node, node, list->items);
}
