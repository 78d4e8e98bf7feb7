#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/number.h"

void b_text_free(struct b_text *t) {
    if (t->grows)
        b_free(t->ptr);
    t->ptr = NULL;
    t->len = t->cap = 0;
}

bool b_text_reserve_slow(struct b_text *t, size_t n) {
    if (t->failed)
        return false;
    if (!t->grows || n > t->max || t->len > t->max - n)
        return !(t->failed = true);
    size_t cap = t->cap ? t->cap : 256;
    while (cap - t->len < n)
        cap *= 2;
    if (cap > t->max)
        cap = t->max;
    char *p = b_realloc(t->tag, t->ptr, cap);
    if (!p) {
        t->no_memory = t->failed = true;
        return false;
    }
    t->ptr = p;
    t->cap = cap;
    return true;
}

bool b_text_reserve_exactly(struct b_text *t, size_t n) {
    if (t->failed || t->cap || !t->grows || n > t->max)
        return b_text_reserve(t, n);
    t->ptr = b_realloc(t->tag, NULL, n ? n : 1);
    t->no_memory = t->failed = !t->ptr;
    t->cap = t->ptr ? n : 0;
    return !t->failed;
}

void b_text_cut(struct b_text *t, size_t n) {
    char *p = n && n < t->len ? b_realloc(t->tag, t->ptr, n) : NULL;
    if (!p)
        return;
    t->ptr = p;
    t->len = t->cap = n;
}

void b_text_cstr(struct b_text *t, const char *s) {
    b_text_add(t, s, strlen(s));
}

void b_text_u64(struct b_text *t, uint64_t v) {
    char digits[B_U64_TEXT];
    b_text_add(t, digits, b_format_u64(digits, v));
}

void b_text_printf(struct b_text *t, const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    /* vsnprintf wants room for its NUL, which is not counted in len */
    if (n >= 0 && b_text_reserve(t, (size_t)n + 1)) {
        (void)vsnprintf(t->ptr + t->len, (size_t)n + 1, fmt, again);
        t->len += (size_t)n;
    } else {
        t->failed = true;
    }
    va_end(again);
    va_end(ap);
}
