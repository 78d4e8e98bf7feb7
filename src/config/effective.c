/* A loaded config written out with all its defaults, as YAML. */
#include "config/config.h"
#include "config/describe.h"
#include "config/scalar.h"
#include "json/writer.h"

struct dump {
    struct b_text *out;
    unsigned depth;
    bool dash; /* "- " was written: the next line begins behind it */
};

/* The character at the front of s when YAML cannot hold it as it is, or would break or skip a line there, and its length
 * to *len; else 0. */
static unsigned special(struct b_slice s, size_t *len) {
    const unsigned char *p = (const unsigned char *)s.ptr;
    *len = 1;
    if (p[0] == 0x7f)
        return 0x7f;
    *len = 2;
    if (s.len >= 2 && p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f) /* C1 controls */
        return p[1];
    *len = 3;
    if (s.len < 3 || (p[0] != 0xe2 && p[0] != 0xef))
        return 0;
    unsigned c = (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
    return c == 0x2028 || c == 0x2029 || c == 0xfeff || c == 0xfffe || c == 0xffff ? c : 0;
}

/* In double quotes: JSON's escapes, and some more. */
static void write_string(struct b_text *out, struct b_slice s) {
    b_text_char(out, '"');
    for (size_t i = 0, begin = 0; i <= s.len; i++) {
        size_t len = 0;
        unsigned c = i < s.len ? special(b_slice_from(s, i), &len) : 0;
        if (!c && i < s.len)
            continue;
        json_write_escaped(out, b_slice(s.ptr + begin, i - begin));
        if (!c)
            break;
        b_text_printf(out, "\\u%04x", c);
        i += len - 1;
        begin = i + 1;
    }
    b_text_char(out, '"');
}

static void begin_line(struct dump *d) {
    for (unsigned i = 0; !d->dash && i < d->depth; i++)
        b_text_lit(d->out, "  ");
    d->dash = false;
}

static void begin_item(struct dump *d) {
    begin_line(d);
    b_text_lit(d->out, "- ");
    d->depth++;
    d->dash = true;
}

static void end_item(struct dump *d) {
    if (d->dash)
        b_text_lit(d->out, "{}\n");
    d->dash = false;
    d->depth--;
}

/* A key; plain when it cannot be taken for anything else. */
static void write_key(struct dump *d, struct b_slice key) {
    bool plain = key.len && b_lower(key.ptr[0]) >= 'a' && b_lower(key.ptr[0]) <= 'z' &&
                 !b_slice_ieq(key, B_LIT("null"));
    for (size_t i = 0; i < key.len; i++)
        plain &= (b_lower(key.ptr[i]) >= 'a' && b_lower(key.ptr[i]) <= 'z') || b_is_digit(key.ptr[i]) ||
                 key.ptr[i] == '_';
    begin_line(d);
    if (plain)
        b_text_slice_add(d->out, key);
    else
        write_string(d->out, key);
    b_text_char(d->out, ':');
}

/* A text as it must be written so that the environment is not put in twice: a value that came from there as its
 * variable, any other as it was written. */
static void write_text(struct dump *d, struct b_slice text, const struct cfg_node *node) {
    write_string(d->out, node && node->kind == CFG_SCALAR ? node->raw : text);
}

/* ---- raw nodes ---- */

/* May it stand without quotes in a flow? Numbers, booleans and null do; other texts get quotes. */
static bool is_plain(const struct cfg_node *node) {
    bool plain = !node->quoted && !node->from_env && node->raw.len;
    for (size_t i = 0; plain && i < node->raw.len; i++) {
        char c = node->raw.ptr[i];
        plain = b_is_digit(c) || (b_lower(c) >= 'a' && b_lower(c) <= 'z') || c == '.' ||
                (i && (c == '-' || c == '+')) || (c == '-' && node->raw.len > 1);
    }
    return plain;
}

/* In flow style, on one line. Nodes are CFG_DEPTH_MAX deep at most. */
static void write_node(struct dump *d, const struct cfg_node *node) {
    bool map = node->kind == CFG_MAP;
    if (node->kind == CFG_NULL || node->kind == CFG_BAD) {
        b_text_lit(d->out, "null");
    } else if (node->kind == CFG_SCALAR && is_plain(node)) {
        b_text_slice_add(d->out, node->raw);
    } else if (node->kind == CFG_SCALAR) {
        write_string(d->out, node->raw);
    } else {
        b_text_char(d->out, map ? '{' : '[');
        CFG_EACH_CHILD(child, node) {
            if (child != node->first)
                b_text_lit(d->out, ", ");
            if (map) {
                write_string(d->out, child->key);
                b_text_lit(d->out, ": ");
            }
            write_node(d, child);
        }
        b_text_char(d->out, map ? '}' : ']');
    }
}

/* ---- options ---- */

static bool is_absent(const struct cfg_option *o, const void *value) {
    switch (o->type) {
    case CFG_STRING: return !((const struct b_slice *)value)->ptr;
    case CFG_ADDR: return ((const struct cfg_addr *)value)->kind == CFG_HOST_NONE;
    case CFG_URL: return ((const struct cfg_url *)value)->kind == CFG_HOST_NONE;
    case CFG_RATE: return ((const struct cfg_rate *)value)->per == 0;
    case CFG_UPSTREAM_REF: return !((const struct cfg_upstream_ref *)value)->name.ptr;
    case CFG_NODE: return !*(const struct cfg_node *const *)value;
    case CFG_OBJECT: return !((const struct cfg_head *)value)->node;
    case CFG_BOOL:
    case CFG_INT:
    case CFG_SIZE:
    case CFG_DURATION:
    case CFG_PERCENT:
    case CFG_ENUM: return false;
    default: return ((const struct cfg_list *)value)->count == 0;
    }
}

static bool needs_quotes(enum cfg_type type) {
    return type == CFG_STRING || type == CFG_ADDR || type == CFG_URL || type == CFG_UPSTREAM_REF;
}

static struct b_slice text_of(const struct cfg_option *o, const void *value) {
    switch (o->type) {
    case CFG_STRING: return *(const struct b_slice *)value;
    case CFG_ADDR: return ((const struct cfg_addr *)value)->text;
    case CFG_URL: return ((const struct cfg_url *)value)->text;
    default: return ((const struct cfg_upstream_ref *)value)->name;
    }
}

/* `given` is the node that the text has for it, or NULL. */
static void write_scalar(struct dump *d, const struct cfg_option *o, const void *value,
                         const struct cfg_node *given) {
    if (o->flags & CFG_SECRET)
        b_text_lit(d->out, "\"(secret)\"");
    else if (given && given->from_env)
        write_string(d->out, given->raw);
    else if (needs_quotes(o->type))
        write_text(d, text_of(o, value), given);
    else
        cfg_scalar_write(d->out, o, value);
}

static void write_texts(struct dump *d, const struct cfg_option *o, const struct cfg_list *list) {
    CFG_EACH(struct cfg_text, it, list) {
        if (o->type == CFG_STRING_MAP) {
            write_key(d, it->name);
            b_text_char(d->out, ' ');
        } else {
            begin_line(d);
            b_text_lit(d->out, "- ");
        }
        if (o->flags & CFG_SECRET)
            b_text_lit(d->out, "\"(secret)\"");
        else
            write_text(d, it->text, it->node);
        b_text_char(d->out, '\n');
    }
}

static void write_object(struct dump *d, const struct cfg_table *table, const void *conf);

static void write_items(struct dump *d, const struct cfg_option *o, const struct cfg_list *list) {
    const char *item = list->items;
    for (size_t i = 0; i < list->count; i++, item += list->item_size) {
        if (o->type == CFG_OBJECT_MAP) {
            write_key(d, ((const struct cfg_head *)(const void *)item)->name);
            b_text_char(d->out, '\n');
            d->depth++;
            write_object(d, o->table, item);
            d->depth--;
            continue;
        }
        begin_item(d);
        if (o->type == CFG_CIDRS) {
            const struct cfg_cidr *cidr = (const void *)item;
            write_text(d, cidr->node->text, cidr->node);
            b_text_char(d->out, '\n');
            d->dash = false;
        } else {
            write_object(d, o->table, item);
        }
        end_item(d);
    }
}

static void write_option(struct dump *d, const struct cfg_option *o, const void *value,
                         const struct cfg_node *given) {
    if (is_absent(o, value))
        return;
    write_key(d, b_slice_cstr(o->name));
    if (cfg_type_is_scalar(o->type) || o->type == CFG_NODE) {
        b_text_char(d->out, ' ');
        if (o->type == CFG_NODE)
            write_node(d, *(const struct cfg_node *const *)value);
        else
            write_scalar(d, o, value, given);
        b_text_char(d->out, '\n');
        return;
    }
    b_text_char(d->out, '\n');
    d->depth++;
    if (o->type == CFG_OBJECT)
        write_object(d, o->table, value);
    else if (o->type == CFG_STRINGS || o->type == CFG_STRING_MAP)
        write_texts(d, o, value);
    else
        write_items(d, o, value);
    d->depth--;
}

static void write_module(struct dump *d, const struct cfg_module_use *use) {
    size_t before;
    if (!use->module)
        return;
    write_key(d, b_slice_cstr(use->module->name));
    b_text_char(d->out, '\n');
    before = d->out->len;
    d->depth++;
    if (use->module->options)
        write_object(d, use->module->options, use->conf);
    d->depth--;
    if (d->out->len == before && before) {
        d->out->len--; /* nothing below: an empty map on the same line */
        b_text_lit(d->out, " {}\n");
    }
}

/* Tables are trees, a few levels deep. */
static void write_object(struct dump *d, const struct cfg_table *table, const void *conf) {
    const struct cfg_head *head = conf;
    const struct cfg_node *node = head->given ? head->node : NULL;
    bool shorthand = node && node->kind == CFG_SCALAR && table->shorthand;
    for (const struct cfg_option *o = table->options; o->name; o++) {
        const struct cfg_node *given = cfg_node_get(node, o->name);
        if (shorthand && strcmp(o->name, table->shorthand) == 0)
            given = node;
        write_option(d, o, (const char *)conf + o->offset, given);
    }
    if (table->modules)
        write_module(d, (const struct cfg_module_use *)(const void *)((const char *)conf +
                                                                      table->module_offset));
}

void cfg_write_effective(struct b_text *out, const struct cfg_root *root) {
    struct dump d = {.out = out};
    write_object(&d, &cfg_root_table, root);
}

bool cfg_write_value(struct b_text *out, const struct cfg_option *o, const void *value) {
    struct dump d = {.out = out};
    if (is_absent(o, value))
        return false;
    if (o->flags & CFG_SECRET)
        b_text_lit(out, "(secret)");
    else if (o->type == CFG_NODE)
        write_node(&d, *(const struct cfg_node *const *)value);
    else if (needs_quotes(o->type))
        b_text_slice_add(out, text_of(o, value));
    else
        cfg_scalar_write(out, o, value);
    return true;
}
