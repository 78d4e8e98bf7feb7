#include "handler/respond_json.h"

#include "json/writer.h"

static size_t digits(struct b_slice s, size_t at) {
    while (at < s.len && b_is_digit(s.ptr[at]))
        at++;
    return at;
}

/* RFC 8259 section 6. */
static bool is_number(struct b_slice s) {
    size_t at = s.len && s.ptr[0] == '-', from = at;
    at = digits(s, at);
    if (at == from || (s.ptr[from] == '0' && at > from + 1))
        return false;
    if (at < s.len && s.ptr[at] == '.') {
        from = at + 1;
        at = digits(s, from);
        if (at == from)
            return false;
    }
    if (at < s.len && b_lower(s.ptr[at]) == 'e') {
        from = at + 1;
        from += from < s.len && (s.ptr[from] == '+' || s.ptr[from] == '-');
        at = digits(s, from);
        if (at == from)
            return false;
    }
    return at == s.len;
}

static void write_scalar(struct json_writer *w, const struct cfg_node *n) {
    bool word = b_slice_eq(n->text, B_LIT("true")) || b_slice_eq(n->text, B_LIT("false"));
    if (!n->quoted && (word || is_number(n->text)))
        json_raw(w, n->text);
    else
        json_string(w, n->text);
}

static void begin(struct json_writer *w, const struct cfg_node *n, bool keyed) {
    if (keyed)
        json_key(w, n->key);
    if (n->kind == CFG_MAP)
        json_object_begin(w);
    else if (n->kind == CFG_LIST)
        json_array_begin(w);
    else if (n->kind == CFG_SCALAR)
        write_scalar(w, n);
    else
        json_null(w);
}

static void end(struct json_writer *w, const struct cfg_node *n) {
    if (n->kind == CFG_MAP)
        json_object_end(w);
    else if (n->kind == CFG_LIST)
        json_array_end(w);
}

/* Down to the first child, else on to the next sibling of the nearest that has one. */
void hd_respond_json(struct b_text *out, const struct cfg_node *value) {
    struct json_writer w = json_writer(out);
    const struct cfg_node *n = value;
    for (;;) {
        begin(&w, n, n != value && n->parent->kind == CFG_MAP);
        if (n->first) {
            n = n->first;
            continue;
        }
        end(&w, n);
        while (n != value && !n->next) {
            n = n->parent;
            end(&w, n);
        }
        if (n == value)
            return;
        n = n->next;
    }
}
