/* Keys that stand in one object twice (R12): two readers may take either, so a text that decides something has none. */
#ifndef JSON_UNIQUE_H
#define JSON_UNIQUE_H

#include "base/siphash.h"
#include "json/index.h"

/* Checks every object of an indexed text; keys compare decoded. `key` is a secret of the process: who sends the text chooses what is
 * hashed. 0; -EINVAL and *fault at the second of two equal keys; -ENOMEM. Allocates for objects of more than a dozen members, and
 * for keys with escapes. */
int json_unique_keys(const struct json_index *x, struct b_hash_key key, struct json_fault *fault)
    __attribute__((warn_unused_result));

#endif
