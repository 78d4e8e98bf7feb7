#include "base/map.h"

#include <errno.h>

void b_map_init(struct b_map *m, enum b_tag tag, struct b_hash_key key) {
    *m = (struct b_map){.tag = tag, .key = key};
}

void b_map_free(struct b_map *m) {
    b_free(m->slots);
    m->slots = NULL;
    m->count = m->cap = 0;
}

/* The slot of the key, or the free one where it belongs. The table is never full. */
static struct b_map_entry *find(const struct b_map *m, struct b_slice key, uint64_t hash) {
    for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
        struct b_map_entry *e = &m->slots[i];
        if (!e->value || (e->hash == hash && b_slice_eq(e->key, key)))
            return e;
    }
}

void *b_map_get(const struct b_map *m, struct b_slice key) {
    if (m->count == 0)
        return NULL;
    return find(m, key, b_siphash(m->key, key.ptr, key.len))->value;
}

static int grow(struct b_map *m) {
    struct b_map bigger = *m;
    bigger.cap = m->cap ? m->cap * 2 : 16;
    bigger.slots = b_zalloc(m->tag, bigger.cap * sizeof *bigger.slots);
    if (!bigger.slots)
        return -ENOMEM;
    for (size_t i = 0; i < m->cap; i++)
        if (m->slots[i].value)
            *find(&bigger, m->slots[i].key, m->slots[i].hash) = m->slots[i];
    b_free(m->slots);
    *m = bigger;
    return 0;
}

int b_map_put(struct b_map *m, struct b_slice key, void *value) {
    if ((m->count + 1) * 4 > m->cap * 3) {
        int rc = grow(m);
        if (rc)
            return rc;
    }
    uint64_t hash = b_siphash(m->key, key.ptr, key.len);
    struct b_map_entry *e = find(m, key, hash);
    m->count += e->value == NULL;
    *e = (struct b_map_entry){.key = key, .value = value, .hash = hash};
    return 0;
}

void *b_map_remove(struct b_map *m, struct b_slice key) {
    if (m->count == 0)
        return NULL;
    struct b_map_entry *e = find(m, key, b_siphash(m->key, key.ptr, key.len));
    void *value = e->value;
    if (!value)
        return NULL;
    /* close the gap: entries behind it that would no longer be found move up (Knuth 6.4, algorithm R) */
    size_t hole = (size_t)(e - m->slots), mask = m->cap - 1;
    for (size_t i = (hole + 1) & mask; m->slots[i].value; i = (i + 1) & mask) {
        size_t home = m->slots[i].hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole].value = NULL;
    m->count--;
    return value;
}

struct b_map_entry *b_map_next(const struct b_map *m, size_t *at) {
    while (*at < m->cap) {
        struct b_map_entry *e = &m->slots[(*at)++];
        if (e->value)
            return e;
    }
    return NULL;
}
