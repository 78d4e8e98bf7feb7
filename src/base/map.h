/* Hash map from byte strings to pointers, keyed SipHash, linear probing. Keys are not copied: they live as long as
 * the map. Not thread-safe. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/alloc.h"
#include "base/siphash.h"

struct b_map_entry {
    struct b_slice key;
    void *value; /* NULL: free slot */
    uint64_t hash;
};

struct b_map {
    struct b_map_entry *slots;
    size_t count, cap; /* cap is a power of two, or 0 */
    struct b_hash_key key;
    enum b_tag tag;
};

void b_map_init(struct b_map *m, enum b_tag tag, struct b_hash_key key);
void b_map_free(struct b_map *m);
/* The value, or NULL. */
void *b_map_get(const struct b_map *m, struct b_slice key);
/* Sets or replaces; value must not be NULL. 0 or -ENOMEM. */
int b_map_put(struct b_map *m, struct b_slice key, void *value) __attribute__((warn_unused_result));
/* Removes and returns the value, or NULL. */
void *b_map_remove(struct b_map *m, struct b_slice key);
/* Iteration: start with *at = 0; NULL at the end. The map must not change meanwhile. */
struct b_map_entry *b_map_next(const struct b_map *m, size_t *at);

#endif
