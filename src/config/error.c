#include "config/error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/node.h"

#define MESSAGE_MAX 1024 /* bytes of one message; the rest is cut */

void cfg_errors_init(struct cfg_errors *e) {
    *e = (struct cfg_errors){0};
}

void cfg_errors_free(struct cfg_errors *e) {
    for (size_t i = 0; i < e->count; i++)
        b_free((char *)(uintptr_t)e->items[i].message); /* the file's name is in the same block */
    b_free(e->items);
    *e = (struct cfg_errors){0};
}

int cfg_error_memory(struct cfg_errors *e) {
    e->no_memory = true;
    return -ENOMEM;
}

static bool make_room(struct cfg_errors *e) {
    if (e->count < e->cap)
        return true;
    size_t cap = e->cap ? e->cap * 2 : 16;
    struct cfg_error *items = b_realloc(B_TAG_CONFIG, e->items, cap * sizeof *items);
    if (!items)
        return false;
    e->items = items;
    e->cap = cap;
    return true;
}

/* Counts it and keeps it, unless enough of its severity are kept. */
static void keep(struct cfg_errors *e, struct cfg_error error, const struct cfg_file *file, const char *fmt,
                 va_list ap) {
    size_t *seen = error.severity == CFG_ERROR ? &e->errors : &e->warnings;
    if (++*seen > CFG_ERRORS_MAX)
        return;
    char message[MESSAGE_MAX];
    int n = vsnprintf(message, sizeof message, fmt, ap);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof message ? (size_t)n : sizeof message - 1;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)message[i] < 0x20 || message[i] == 0x7f)
            message[i] = '?'; /* a text of the config must not drive a terminal */
    const char *name = file ? file->name : "";
    size_t name_len = strlen(name);
    char *block = make_room(e) ? b_alloc(B_TAG_CONFIG, len + name_len + 2) : NULL;
    if (!block) {
        (void)cfg_error_memory(e);
        return;
    }
    memcpy(block, message, len);
    block[len] = 0;
    memcpy(block + len + 1, name, name_len + 1);
    error.message = block;
    error.file = block + len + 1;
    error.file_index = file ? file->index : UINT32_MAX;
    error.sequence = (unsigned)e->count;
    e->items[e->count++] = error;
}

int cfg_error_at(struct cfg_errors *e, const struct cfg_node *node, const char *fmt, ...) {
    struct cfg_error error = {.line = node ? node->line : 0, .column = node ? node->column : 0};
    va_list ap;
    va_start(ap, fmt);
    keep(e, error, node ? node->file : NULL, fmt, ap);
    va_end(ap);
    return -EINVAL;
}

static struct cfg_error at_key(const struct cfg_node *node) {
    bool key = node && node->key_line;
    return (struct cfg_error){.line = key    ? node->key_line
                                      : node ? node->line
                                             : 0,
                              .column = key    ? node->key_column
                                        : node ? node->column
                                               : 0};
}

int cfg_error_key(struct cfg_errors *e, const struct cfg_node *node, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    keep(e, at_key(node), node ? node->file : NULL, fmt, ap);
    va_end(ap);
    return -EINVAL;
}

int cfg_error_pos(struct cfg_errors *e, const struct cfg_file *file, size_t line, size_t column,
                  const char *fmt, ...) {
    struct cfg_error error = {.line = (unsigned)line, .column = (unsigned)column};
    va_list ap;
    va_start(ap, fmt);
    keep(e, error, file, fmt, ap);
    va_end(ap);
    return -EINVAL;
}

void cfg_warn_at(struct cfg_errors *e, const struct cfg_node *node, const char *fmt, ...) {
    struct cfg_error error = at_key(node);
    error.severity = CFG_WARNING;
    va_list ap;
    va_start(ap, fmt);
    keep(e, error, node ? node->file : NULL, fmt, ap);
    va_end(ap);
}

static int compare(const void *left, const void *right) {
    const struct cfg_error *a = left, *b = right;
    if (a->file_index != b->file_index)
        return a->file_index < b->file_index ? -1 : 1;
    if (a->line != b->line)
        return a->line - 1u < b->line - 1u ? -1 : 1; /* 0, no position, wraps to the end */
    if (a->column != b->column)
        return a->column < b->column ? -1 : 1;
    return a->sequence < b->sequence ? -1 : 1;
}

void cfg_errors_sort(struct cfg_errors *e) {
    if (e->count > 1)
        qsort(e->items, e->count, sizeof *e->items, compare);
}

static void write_left_out(struct b_text *out, size_t seen, const char *what) {
    if (seen > CFG_ERRORS_MAX)
        b_text_printf(out, "and %zu more %s%s\n", seen - CFG_ERRORS_MAX, what,
                      seen - CFG_ERRORS_MAX == 1 ? "" : "s");
}

void cfg_errors_write(const struct cfg_errors *e, struct b_text *out) {
    for (size_t i = 0; i < e->count; i++) {
        const struct cfg_error *error = &e->items[i];
        if (error->file[0]) {
            b_text_cstr(out, error->file);
            if (error->line)
                b_text_printf(out, ":%u:%u", error->line, error->column);
            b_text_lit(out, ": ");
        }
        if (error->severity == CFG_WARNING)
            b_text_lit(out, "warning: ");
        b_text_cstr(out, error->message);
        b_text_char(out, '\n');
    }
    write_left_out(out, e->errors, "error");
    write_left_out(out, e->warnings, "warning");
    if (e->no_memory)
        b_text_lit(out, "memory ran out while the config was loaded; nothing was changed\n");
}
