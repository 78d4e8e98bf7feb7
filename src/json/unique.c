#include "json/unique.h"

#include <errno.h>

#include "base/arena.h"
#include "base/map.h"
#include "json/cursor.h"

#define FEW 12 /* keys that are compared with each other; more are hashed */

/* The keys of one object so far. */
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

/* What stands between the quotes of the key at token n, decoded. ptr NULL: memory is short. */
static inline struct b_slice key_at(const struct json_index *x, uint32_t n, struct b_arena *arena) {
    if (x->tokens[n].link & JSON_ESCAPED)
        return json_text((struct json_value){.index = x, .token = n}, arena);
    return json_between_quotes(x, n);
}

/* The keys of the object at this token, from one to the next over what the values hold. 0, -ENOMEM, or the token of a key that was there
 * before. */
static int64_t check_object(const struct json_index *x, uint32_t object, struct seen *s,
                            struct b_arena *arena) {
    uint32_t behind = x->tokens[object].link;
    int64_t found = 0;
    s->marks = s->count = 0;
    for (uint32_t n = object + 1; n < behind && !found; n = json_behind(x, n + 1)) {
        struct b_slice key = key_at(x, n, arena);
        int rc = key.ptr ? add(s, key) : -ENOMEM;
        found = rc > 0 ? (int64_t)n : rc;
    }
    b_map_free(&s->many); /* the next one begins empty */
    return found;
}

int json_unique_keys(const struct json_index *x, struct b_hash_key key, struct json_fault *fault) {
    struct seen s; /* not cleared whole: most texts are small */
    struct b_arena arena;
    int64_t first = 0, found = 0; /* by where they stand: the chain goes from the end to the begin */
    b_map_init(&s.many, x->tag, key);
    b_arena_init(&arena, x->tag, NULL, NULL, 0, x->text.len + B_ARENA_CHUNK);
    for (uint32_t n = x->last_object; n != JSON_NO_OBJECT && found >= 0;
         n = x->tokens[x->tokens[n].link].link) {
        found = check_object(x, n, &s, &arena);
        if (found > 0 && (!first || found < first))
            first = found;
    }
    if (first)
        json_locate(x, x->tokens[first].at, "a key that the object has already", fault);
    b_arena_release(&arena);
    return found < 0 ? (int)found : first ? -EINVAL : 0;
}
