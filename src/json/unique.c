#include "json/unique.h"

#include <errno.h>

#include "base/arena.h"
#include "base/map.h"
#include "json/cursor.h"

#define FEW 12 /* keys that are compared with each other; more are hashed */

/* The keys of one object so far. */
struct seen {
    struct b_slice few[FEW];
    unsigned count;
    struct b_map many;
};

/* A key as text: as it stands there, or decoded. ptr NULL when memory is short. */
static struct b_slice text_of(struct json_value key, struct b_arena *arena) {
    bool plain;
    struct b_slice raw = json_raw_string(key, &plain);
    if (plain)
        return raw.len ? raw : B_LIT("");
    char *text = b_arena_alloc(arena, raw.len);
    return text ? b_slice(text, json_decode_string(key, text)) : b_slice(NULL, 0);
}

static int put(struct b_map *m, struct b_slice key) {
    return b_map_get(m, key) ? 1 : b_map_put(m, key, m);
}

/* 1: it was there before; 0, or -ENOMEM. */
static int add(struct seen *s, struct b_slice key) {
    if (s->count > FEW)
        return put(&s->many, key);
    for (unsigned i = 0; i < s->count; i++)
        if (b_slice_eq(s->few[i], key))
            return 1;
    if (s->count < FEW) {
        s->few[s->count++] = key;
        return 0;
    }
    s->count++;
    for (unsigned i = 0; i < FEW; i++)
        if (put(&s->many, s->few[i]))
            return -ENOMEM;
    return put(&s->many, key);
}

/* One object; those inside have their turn later. */
static int check(const struct json_index *x, uint32_t object, struct b_hash_key key, struct b_arena *arena,
                 struct json_fault *fault) {
    struct seen s = {0};
    uint32_t end = x->tokens[object].link;
    int rc = 0;
    b_map_init(&s.many, x->tag, key);
    for (uint32_t n = object + 1; n < end && rc == 0; n = json_behind(x, n + 1)) {
        struct b_slice text = text_of((struct json_value){.index = x, .token = n}, arena);
        rc = text.ptr ? add(&s, text) : -ENOMEM;
        if (rc > 0) {
            json_locate(x, x->tokens[n].at, "a key that the object has already", fault);
            rc = -EINVAL;
        }
    }
    b_map_free(&s.many);
    return rc;
}

int json_unique_keys(const struct json_index *x, struct b_hash_key key, struct json_fault *fault) {
    struct b_arena arena;
    int rc = 0;
    b_arena_init(&arena, x->tag, NULL, NULL, 0, x->text.len + B_ARENA_CHUNK);
    for (uint32_t n = 0; n < x->count && rc == 0; n++)
        if (x->text.ptr[x->tokens[n].at] == '{')
            rc = check(x, n, key, &arena, fault);
    b_arena_release(&arena);
    return rc;
}
