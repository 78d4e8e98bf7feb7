#include "config/yaml.h"

#include <stdio.h>
#include <yaml.h>

#include "config/env.h"

/* A map or list that is still open. */
struct frame {
    struct cfg_node *node;
    struct cfg_node key; /* map: the key whose value comes next; kind CFG_NULL when a key comes next */
    bool discard;        /* that value is dropped: its key was wrong */
};

struct builder {
    struct cfg_reader *r;
    const struct cfg_file *file;
    struct frame stack[CFG_DEPTH_MAX];
    size_t depth;
    unsigned documents;
    struct cfg_node *root;
};

/* ---- the tree ---- */

/* The map's address and the key, as one string that lives as long as the tree. */
static struct b_slice entry_key(struct cfg_reader *r, const struct cfg_node *map, struct b_slice key) {
    char *p = b_arena_alloc(r->arena, sizeof map + key.len);
    if (!p) {
        (void)cfg_error_memory(r->errors);
        return b_slice(NULL, 0);
    }
    memcpy(p, &map, sizeof map);
    memcpy(p + sizeof map, key.ptr, key.len);
    return b_slice(p, sizeof map + key.len);
}

struct cfg_node *cfg_reader_find(struct cfg_reader *r, const struct cfg_node *map, struct b_slice key) {
    struct b_slice full = entry_key(r, map, key);
    return full.ptr ? b_map_get(&r->by_key, full) : NULL;
}

bool cfg_reader_append(struct cfg_reader *r, struct cfg_node *parent, struct cfg_node *node) {
    if (parent->kind == CFG_MAP) {
        struct b_slice full = entry_key(r, parent, node->key);
        if (!full.ptr || b_map_put(&r->by_key, full, node) < 0) {
            (void)cfg_error_memory(r->errors);
            return false;
        }
    }
    node->parent = parent;
    node->next = NULL;
    if (parent->last)
        parent->last->next = node;
    else
        parent->first = node;
    parent->last = node;
    parent->count++;
    return true;
}

/* ---- events ---- */

static int error_mark(struct builder *b, const yaml_mark_t *mark, const char *message) {
    return cfg_error_pos(b->r->errors, b->file, mark->line + 1, mark->column + 1, "%s", message);
}

/* A new node, linked into what is open; NULL ends the reading. */
static struct cfg_node *add_node(struct builder *b, enum cfg_kind kind, const yaml_mark_t *mark) {
    if (++b->r->nodes > CFG_NODES_MAX) {
        error_mark(b, mark, "the config is too large: it may hold 200000 values");
        return NULL;
    }
    struct cfg_node *node = b_arena_zalloc(b->r->arena, sizeof *node);
    if (!node) {
        (void)cfg_error_memory(b->r->errors);
        return NULL;
    }
    node->kind = kind;
    node->file = b->file;
    node->line = (unsigned)mark->line + 1;
    node->column = (unsigned)mark->column + 1;
    if (!b->depth) {
        b->root = node;
        return node;
    }
    struct frame *f = &b->stack[b->depth - 1];
    bool discard = f->discard;
    if (f->node->kind == CFG_MAP) {
        node->key = f->key.key;
        node->key_line = f->key.line;
        node->key_column = f->key.column;
        f->key.kind = CFG_NULL;
        f->discard = false;
    }
    return discard || cfg_reader_append(b->r, f->node, node) ? node : NULL;
}

static bool expects_key(const struct builder *b) {
    const struct frame *f = b->depth ? &b->stack[b->depth - 1] : NULL;
    return f && f->node->kind == CFG_MAP && f->key.kind == CFG_NULL;
}

/* Anchors and tags: reported, then read on as if they were not there. */
static void refuse_properties(struct builder *b, const yaml_event_t *ev, const yaml_char_t *anchor,
                              const yaml_char_t *tag) {
    if (anchor)
        error_mark(b, &ev->start_mark,
                   "anchors (&name) are not supported: write the value out in each place");
    if (tag)
        error_mark(b, &ev->start_mark,
                   "tags (!name) are not supported: write the value without it, in quotes if it "
                   "begins with !");
}

static bool is_null(struct b_slice s) {
    return s.len == 0 || b_slice_eq(s, B_LIT("~")) || b_slice_eq(s, B_LIT("null")) ||
           b_slice_eq(s, B_LIT("Null")) || b_slice_eq(s, B_LIT("NULL"));
}

static bool take_key(struct builder *b, const yaml_event_t *ev, struct b_slice text) {
    struct frame *f = &b->stack[b->depth - 1];
    char buf[CFG_SHOWN_SIZE];
    bool plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    f->key = (struct cfg_node){.kind = CFG_SCALAR,
                               .key = b_arena_copy(b->r->arena, text),
                               .line = (unsigned)ev->start_mark.line + 1,
                               .column = (unsigned)ev->start_mark.column + 1};
    if (!f->key.key.ptr) {
        (void)cfg_error_memory(b->r->errors);
        return false;
    }
    f->discard = true;
    struct cfg_node *first = cfg_reader_find(b->r, f->node, f->key.key);
    if (memchr(text.ptr, 0, text.len))
        error_mark(b, &ev->start_mark, "a key holds no zero byte");
    else if (plain ? is_null(text) : text.len == 0)
        error_mark(b, &ev->start_mark, "a name must stand before the colon");
    else if (plain && b_slice_eq(text, B_LIT("<<")))
        error_mark(b, &ev->start_mark,
                   "merge keys (<<) are not supported: write the entries out in each place");
    else if (first)
        cfg_error_pos(b->r->errors, b->file, f->key.line, f->key.column,
                      "%s is given twice; the first one is in line %u", cfg_text_shown(text, buf),
                      first->key_line);
    else
        f->discard = false;
    return !b->r->errors->no_memory;
}

static bool take_scalar(struct builder *b, const yaml_event_t *ev) {
    struct b_slice text = b_slice(ev->data.scalar.value, ev->data.scalar.length);
    bool quoted = ev->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    refuse_properties(b, ev, ev->data.scalar.anchor, ev->data.scalar.tag);
    if (expects_key(b))
        return take_key(b, ev, text);
    struct cfg_node *node = add_node(b, !quoted && is_null(text) ? CFG_NULL : CFG_SCALAR, &ev->start_mark);
    if (!node)
        return false;
    node->quoted = quoted;
    node->raw = b_arena_copy(b->r->arena, text);
    if (!node->raw.ptr) {
        (void)cfg_error_memory(b->r->errors);
        return false;
    }
    if (memchr(node->raw.ptr, 0, text.len)) {
        node->kind = CFG_BAD;
        error_mark(b, &ev->start_mark, "a value holds no zero byte");
        return true;
    }
    return cfg_env_expand(node, b->r->env, b->r->arena, b->r->errors);
}

static bool open_collection(struct builder *b, const yaml_event_t *ev, enum cfg_kind kind) {
    bool map = kind == CFG_MAP;
    if (expects_key(b)) {
        error_mark(b, &ev->start_mark,
                   "a key is a single text, not a list or a map; text with { or [ needs quotes");
        return false;
    }
    if (b->depth == CFG_DEPTH_MAX) {
        error_mark(b, &ev->start_mark, "lists and maps are nested more than 32 deep");
        return false;
    }
    refuse_properties(b, ev, map ? ev->data.mapping_start.anchor : ev->data.sequence_start.anchor,
                      map ? ev->data.mapping_start.tag : ev->data.sequence_start.tag);
    struct cfg_node *node = add_node(b, kind, &ev->start_mark);
    if (node)
        b->stack[b->depth++] = (struct frame){.node = node};
    return node != NULL;
}

static bool take_alias(struct builder *b, const yaml_event_t *ev) {
    error_mark(b, &ev->start_mark,
               "aliases (*name) are not supported: write the value out, in quotes if it begins with *");
    return !expects_key(b) && add_node(b, CFG_BAD, &ev->start_mark);
}

static bool open_document(struct builder *b, const yaml_event_t *ev) {
    if (b->documents++) {
        error_mark(b, &ev->start_mark, "a second document begins here (---): put it into a file of its own");
        return false;
    }
    if (ev->data.document_start.tag_directives.start != ev->data.document_start.tag_directives.end)
        error_mark(b, &ev->start_mark, "%TAG is not supported");
    return true;
}

/* False ends the reading. */
static bool take_event(struct builder *b, const yaml_event_t *ev) {
    switch (ev->type) {
    case YAML_DOCUMENT_START_EVENT: return open_document(b, ev);
    case YAML_SCALAR_EVENT: return take_scalar(b, ev);
    case YAML_ALIAS_EVENT: return take_alias(b, ev);
    case YAML_MAPPING_START_EVENT: return open_collection(b, ev, CFG_MAP);
    case YAML_SEQUENCE_START_EVENT: return open_collection(b, ev, CFG_LIST);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT: b->depth--; return true;
    default: return true;
    }
}

/* ---- syntax errors ---- */

/* libyaml's words, and what most often lies behind them. */
static const struct {
    const char *problem, *hint;
} hints[] = {
    {"mapping values are not allowed",
     "a text with \": \" in it needs quotes, and entries of a map stand below each other"},
    {"did not find expected alphabetic or numeric", "a text that begins with * or & needs quotes"},
    {"did not find expected ',' or '}'", "a text with { } [ ] or , in it needs quotes"},
    {"did not find expected ',' or ']'", "a text with { } [ ] or , in it needs quotes"},
    {"found unexpected end of stream", "a quote or bracket is not closed"},
    {"could not find expected ':'", "a key is followed by a colon and a space"},
    {"did not find expected key", "check the indentation: entries of a map begin in the same column"},
    {"did not find expected '-' indicator",
     "check the indentation: items of a list begin in the same column"},
    {"did not find expected node content", "a text that begins with , } or ] needs quotes"},
    {"found unknown escape character", "write \\\\ for a backslash in double quotes, or use single quotes"},
};

/* The byte at a mark, or 0. */
static char byte_at(struct b_slice bytes, const yaml_mark_t *mark) {
    size_t line = 0, column = 0, i = 0;
    for (; i < bytes.len && line < mark->line; i++)
        line += bytes.ptr[i] == '\n';
    for (; i < bytes.len && column < mark->column; i++)
        column += (bytes.ptr[i] & 0xc0) != 0x80;
    return i < bytes.len ? bytes.ptr[i] : 0;
}

static const char *find_hint(const char *problem, char at) {
    if (strstr(problem, "cannot start any token"))
        return at == '\t' ? "indent with spaces, not tabs" : "a text that begins with @, ` or % needs quotes";
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++)
        if (strstr(problem, hints[i].problem))
            return hints[i].hint;
    return at == '\t' ? "indent with spaces, not tabs" : NULL;
}

/* Not UTF-8, or a control character: libyaml gives the offset only. */
static void report_reader(struct builder *b, const yaml_parser_t *p, struct b_slice bytes) {
    size_t line = 1, column = 1, at = p->problem_offset < bytes.len ? p->problem_offset : bytes.len;
    for (size_t i = 0; i < at; i++) {
        column += (bytes.ptr[i] & 0xc0) != 0x80;
        if (bytes.ptr[i] == '\n')
            line++, column = 1;
    }
    cfg_error_pos(b->r->errors, b->file, line, column, "this is not YAML in UTF-8: %s (value %d)", p->problem,
                  p->problem_value);
}

static void report_syntax(struct builder *b, const yaml_parser_t *p, struct b_slice bytes) {
    if (p->error == YAML_MEMORY_ERROR) {
        (void)cfg_error_memory(b->r->errors);
        return;
    }
    const char *problem = p->problem ? p->problem : "unknown error";
    if (p->error == YAML_READER_ERROR) {
        report_reader(b, p, bytes);
        return;
    }
    const char *hint = find_hint(problem, byte_at(bytes, &p->problem_mark));
    char context[128] = "";
    if (p->context)
        (void)snprintf(context, sizeof context, " %s that begins in line %zu", p->context,
                       p->context_mark.line + 1);
    cfg_error_pos(b->r->errors, b->file, p->problem_mark.line + 1, p->problem_mark.column + 1,
                  "this is not YAML: %s%s%s%s", problem, context, hint ? "; " : "", hint ? hint : "");
}

static bool run_events(struct builder *b, yaml_parser_t *p, struct b_slice bytes) {
    for (;;) {
        yaml_event_t ev;
        if (!yaml_parser_parse(p, &ev)) {
            report_syntax(b, p, bytes);
            return false;
        }
        bool end = ev.type == YAML_STREAM_END_EVENT, more = take_event(b, &ev);
        yaml_event_delete(&ev);
        if (!more || end)
            return more;
    }
}

struct cfg_node *cfg_yaml_parse(struct cfg_reader *r, const struct cfg_file *file, struct b_slice bytes) {
    static const yaml_mark_t start;
    if (b_slice_starts(bytes, B_LIT("\xef\xbb\xbf"))) /* a byte order mark, which would shift the columns */
        bytes = b_slice_from(bytes, 3);
    struct builder *b = b_zalloc(B_TAG_CONFIG, sizeof *b);
    struct cfg_node *root = NULL;
    yaml_parser_t parser;
    if (!b || !yaml_parser_initialize(&parser)) {
        b_free(b);
        (void)cfg_error_memory(r->errors);
        return NULL;
    }
    b->r = r;
    b->file = file;
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)(bytes.ptr ? bytes.ptr : ""), bytes.len);
    if (run_events(b, &parser, bytes))
        root = b->root ? b->root : add_node(b, CFG_NULL, &start);
    yaml_parser_delete(&parser);
    b_free(b);
    return root;
}
