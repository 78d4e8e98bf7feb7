#include "json/unique.h"

#include <errno.h>

#include "base/arena.h"
#include "base/map.h"
#include "json/cursor.h"

#define FEW 12 /* keys that are compared with each other; more are hashed */

/* The keys of one object so far. There is one for each depth, used again by the next object there. */
struct seen {
    struct b_slice few[FEW];
    uint64_t marks; /* of the few: a key with a new mark is new */
    unsigned count;
    struct b_map many;
};

static uint64_t load_eight(const char *p) {
    uint64_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

static uint64_t load_four(const char *p) {
    uint32_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

/* One bit of 64, by the length and the first and last bytes: keys of one object mostly differ there. */
static uint64_t mark_of(struct b_slice key) {
    const char *p = key.ptr;
    size_t n = key.len;
    uint64_t mix = n;
    if (n >= 8)
        mix += load_eight(p) ^ load_eight(p + n - 8) << 7;
    else if (n >= 4)
        mix += load_four(p) ^ load_four(p + n - 4) << 25;
    else if (n)
        mix += (unsigned char)p[0] | (uint64_t)(unsigned char)p[n / 2] << 8 |
               (uint64_t)(unsigned char)p[n - 1] << 16;
    return (uint64_t)1 << ((mix * 0x9e3779b97f4a7c15u) >> 58);
}

static int put(struct b_map *m, struct b_slice key) {
    return b_map_get(m, key) ? 1 : b_map_put(m, key, m);
}

static int add_to_many(struct seen *s, struct b_slice key) {
    for (unsigned i = 0; s->count == FEW && i < FEW; i++)
        if (put(&s->many, s->few[i]))
            return -ENOMEM;
    s->count++;
    return put(&s->many, key);
}

/* 1: it was there before; 0, or -ENOMEM. */
static int add(struct seen *s, struct b_slice key) {
    if (s->count >= FEW)
        return add_to_many(s, key);
    uint64_t mark = mark_of(key);
    for (unsigned i = 0; (s->marks & mark) && i < s->count; i++)
        if (b_slice_eq(s->few[i], key))
            return 1;
    s->marks |= mark;
    s->few[s->count++] = key;
    return 0;
}

/* A walk over all tokens. */
struct walk {
    const struct json_index *x;
    struct b_hash_key key;
    struct b_arena arena;
    struct seen *at[JSON_DEPTH_MAX + 1]; /* by depth; NULL: none was needed yet */
    bool object[JSON_DEPTH_MAX + 1];     /* what is open there */
    unsigned depth;                      /* 0: nothing is */
    bool key_due;
};

static int open_object(struct walk *w) {
    struct seen *s = w->at[w->depth];
    if (!s) {
        s = w->at[w->depth] = b_arena_alloc(&w->arena, sizeof *s);
        if (!s)
            return -ENOMEM;
        b_map_init(&s->many, w->x->tag, w->key);
    } else if (s->count > FEW) {
        b_map_free(&s->many);
        b_map_init(&s->many, w->x->tag, w->key);
    }
    s->marks = s->count = 0;
    return 0;
}

static int take_key(struct walk *w, uint32_t n) {
    struct b_slice text = json_text((struct json_value){.index = w->x, .token = n}, &w->arena);
    return text.ptr ? add(w->at[w->depth], text) : -ENOMEM;
}

/* 1 at a key that was there before; 0 or -ENOMEM. */
static int take(struct walk *w, uint32_t n) {
    char c = w->x->text.ptr[w->x->tokens[n].at];
    if (c == '{' || c == '[') {
        w->object[++w->depth] = w->key_due = c == '{';
        return c == '{' ? open_object(w) : 0;
    }
    if (w->key_due && c == '"') {
        w->key_due = false;
        return take_key(w, n);
    }
    w->depth -= c == '}' || c == ']';
    w->key_due = w->object[w->depth]; /* a value is over */
    return 0;
}

int json_unique_keys(const struct json_index *x, struct b_hash_key key, struct json_fault *fault) {
    struct walk w; /* not cleared whole: most texts are small */
    int rc = 0;
    w.x = x;
    w.key = key;
    w.depth = 0;
    w.key_due = w.object[0] = false;
    memset(w.at, 0, sizeof w.at);
    b_arena_init(&w.arena, x->tag, NULL, NULL, 0,
                 x->text.len + JSON_DEPTH_MAX * sizeof(struct seen) + B_ARENA_CHUNK);
    for (uint32_t n = 0; n < x->count && rc == 0; n++)
        if ((rc = take(&w, n)) > 0)
            json_locate(x, x->tokens[n].at, "a key that the object has already", fault);
    for (unsigned i = 0; i <= JSON_DEPTH_MAX; i++)
        if (w.at[i])
            b_map_free(&w.at[i]->many);
    b_arena_release(&w.arena);
    return rc > 0 ? -EINVAL : rc;
}
