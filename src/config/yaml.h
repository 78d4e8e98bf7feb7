/* One YAML text to one tree: events of libyaml, no recursion. Internal to config/; node.h is the interface. */
#ifndef CONFIG_YAML_H
#define CONFIG_YAML_H

#include "base/map.h"
#include "config/node.h"

/* What the sources of a load share. */
struct cfg_reader {
    struct b_arena *arena;
    struct cfg_errors *errors;
    cfg_env_fn env;
    size_t nodes;        /* made so far */
    struct b_map by_key; /* every entry of every map, by its map and key: finds duplicates */
};

/* Parses bytes as file. The root (kind CFG_NULL for an empty text), or NULL after an error that ends the reading. */
struct cfg_node *cfg_yaml_parse(struct cfg_reader *r, const struct cfg_file *file, struct b_slice bytes);

/* The entry of the map under that key, or NULL; on no memory NULL too, with errors->no_memory set. */
struct cfg_node *cfg_reader_find(struct cfg_reader *r, const struct cfg_node *map, struct b_slice key);
/* Appends node to parent, a list or a map; false on no memory. Duplicates are the caller's to find. */
bool cfg_reader_append(struct cfg_reader *r, struct cfg_node *parent, struct cfg_node *node);

#endif
