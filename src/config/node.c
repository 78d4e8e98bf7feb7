#include "config/node.h"

#include <stdio.h>

#include "config/yaml.h"

const struct cfg_node *cfg_node_get(const struct cfg_node *node, const char *name) {
    struct b_slice key = b_slice_cstr(name);
    if (node && node->kind == CFG_MAP)
        CFG_EACH_CHILD(it, node) {
            if (b_slice_eq(it->key, key))
                return it;
        }
    return NULL;
}

const char *cfg_node_kind(const struct cfg_node *node) {
    switch (node->kind) {
    case CFG_LIST: return "a list";
    case CFG_MAP: return "a map";
    case CFG_SCALAR: return "a text";
    default: return "empty";
    }
}

const char *cfg_text_shown(struct b_slice s, char buf[CFG_SHOWN_SIZE]) {
    size_t n = s.len < 60 ? s.len : 60;
    while (n < s.len && n > 56 && (s.ptr[n] & 0xc0) == 0x80) /* not within a character */
        n--;
    (void)snprintf(buf, CFG_SHOWN_SIZE, "\"%.*s%s\"", (int)n, s.ptr ? s.ptr : "", n < s.len ? "..." : "");
    return buf;
}

const char *cfg_node_shown(const struct cfg_node *node, char buf[CFG_SHOWN_SIZE]) {
    if (node->kind != CFG_SCALAR)
        return cfg_node_kind(node);
    if (!node->from_env)
        return cfg_text_shown(node->text, buf);
    (void)cfg_text_shown(node->raw, buf);
    size_t len = strlen(buf);
    (void)snprintf(buf + len, CFG_SHOWN_SIZE - len, " (environment)");
    return buf;
}

/* ---- several sources ---- */

static bool same_version(const struct cfg_node *a, const struct cfg_node *b) {
    return a->kind == CFG_SCALAR && b->kind == CFG_SCALAR && b_slice_eq(a->key, B_LIT("version")) &&
           b_slice_eq(a->text, b->text);
}

/* Moves the children of `from` to `into`, both maps or both lists. False on no memory. */
static bool move_children(struct cfg_reader *r, struct cfg_node *into, struct cfg_node *from) {
    char buf[CFG_SHOWN_SIZE];
    for (struct cfg_node *it = from->first, *next; it; it = next) {
        next = it->next;
        struct cfg_node *first = into->kind == CFG_MAP ? cfg_reader_find(r, into, it->key) : NULL;
        if (first)
            cfg_error_key(r->errors, it, "%s of \"%s\" is already given in %s:%u:%u",
                          cfg_text_shown(it->key, buf), into->key.ptr, first->file->name, first->key_line,
                          first->key_column);
        else if (r->errors->no_memory || !cfg_reader_append(r, into, it))
            return false;
    }
    return true;
}

/* The entry `it` comes to the root, which may have one of that name from an earlier source. */
static bool merge_entry(struct cfg_reader *r, struct cfg_node *root, struct cfg_node *it) {
    struct cfg_node *first = cfg_reader_find(r, root, it->key);
    if (!first)
        return !r->errors->no_memory && cfg_reader_append(r, root, it);
    if (it->kind == CFG_NULL || it->kind == CFG_BAD || same_version(first, it))
        return true;
    if (first->kind == CFG_NULL && (it->kind == CFG_MAP || it->kind == CFG_LIST)) {
        first->kind = it->kind;
        first->line = it->line;
        first->column = it->column;
        first->file = it->file;
        first->key_line = it->key_line;
        first->key_column = it->key_column;
    }
    if (first->kind == it->kind && (it->kind == CFG_MAP || it->kind == CFG_LIST))
        return move_children(r, first, it);
    char buf[CFG_SHOWN_SIZE];
    cfg_error_key(r->errors, it, "%s is already given in %s:%u:%u; give it in one file only",
                  cfg_text_shown(it->key, buf), first->file->name, first->key_line, first->key_column);
    return true;
}

static bool merge(struct cfg_reader *r, struct cfg_node *root, struct cfg_node *other) {
    if (other->kind == CFG_NULL || other->kind == CFG_BAD)
        return other->kind == CFG_NULL;
    if (other->kind != CFG_MAP) {
        cfg_error_at(r->errors, other, "a config is a map of options that begins with \"version: 1\", not %s",
                     cfg_node_kind(other));
        return false;
    }
    if (root->kind == CFG_NULL) {
        root->kind = CFG_MAP;
        root->file = other->file;
        root->line = other->line;
        root->column = other->column;
    }
    for (struct cfg_node *it = other->first, *next; it; it = next) {
        next = it->next;
        if (!merge_entry(r, root, it))
            return false;
    }
    return true;
}

static const struct cfg_file *new_file(struct cfg_reader *r, const struct cfg_source *source, size_t index) {
    struct cfg_file *file = b_arena_alloc(r->arena, sizeof *file);
    char *name = b_arena_strdup(r->arena, source->name);
    if (!file || !name) {
        (void)cfg_error_memory(r->errors);
        return NULL;
    }
    *file = (struct cfg_file){name, (unsigned)index};
    return file;
}

/* Reads one source into the root; false when the tree is of no use any more. All sources are read nevertheless. */
static bool read_source(struct cfg_reader *r, struct cfg_node *root, const struct cfg_source *source,
                        size_t index) {
    const struct cfg_file *file = new_file(r, source, index);
    if (!file)
        return false;
    if (!root->file)
        *root = (struct cfg_node){.kind = CFG_NULL, .file = file, .line = 1, .column = 1};
    if (source->bytes.len > CFG_BYTES_MAX) {
        cfg_error_pos(r->errors, file, 1, 1, "the file is larger than 4 MiB: split it over a directory");
        return false;
    }
    struct cfg_node *tree = cfg_yaml_parse(r, file, source->bytes);
    return tree && merge(r, root, tree);
}

struct cfg_node *cfg_tree(const struct cfg_source *sources, size_t n, cfg_env_fn env, struct b_arena *arena,
                          struct cfg_errors *errors) {
    struct cfg_reader r = {.arena = arena, .errors = errors, .env = env};
    struct cfg_node *root = b_arena_zalloc(arena, sizeof *root);
    bool ok = root != NULL;
    if (!ok)
        (void)cfg_error_memory(errors);
    b_map_init(&r.by_key, B_TAG_CONFIG, (struct b_hash_key){0, 0}); /* its texts are the operator's own */
    for (size_t i = 0; root && i < n && !errors->no_memory; i++)
        ok &= read_source(&r, root, &sources[i], i);
    b_map_free(&r.by_key);
    return ok && !errors->no_memory ? root : NULL;
}
