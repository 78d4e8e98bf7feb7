/* Reference tables: rows of an upstream, kept in memory, looked up by key from templates, refreshed in the background; the last
 * good copy is kept. The living side of a table is the process's and goes by its name; snapshots describe it. */
#ifndef GATEWAY_REFERENCE_H
#define GATEWAY_REFERENCE_H

#include "base/siphash.h"
#include "gateway/gateway.h"
#include "upstream/upstream.h"
#include "json/template.h"

/* Immutable once it is published. */
struct gw_rows {
    struct b_text text;
    struct json_index index;
    struct b_arena arena; /* of keys that had to be decoded */
    struct b_hash_key hash_key;
    struct gw_row {
        const char *key; /* NULL: free */
        uint32_t key_len, token;
        uint64_t hash;
    } * slots; /* linear probing, half full at the most */
    uint32_t mask, count;
    rt_time loaded;        /* clock */
    struct gw_rows *older; /* of those that may still be read */
};

struct gw_table {
    struct b_list link; /* gateway->tables */
    char *name;
    _Atomic(struct gw_rows *) rows; /* NULL: not loaded yet */
    struct gw_rows *retired;        /* its fiber's: rows that are not looked up any more */
    _Atomic bool running;           /* its fiber */
    _Atomic bool wanted;            /* the config in force has it; for metrics and readiness */
    _Atomic bool required;
    struct tel_series *good, *bad;
};

/* A table as a snapshot describes it. */
struct gw_reference {
    const struct cfg_reference *conf;
    struct gw_table *table; /* NULL until it is published */
    struct up_upstream *upstream;
    const struct json_node *rows, *key; /* over slots 0 (the answer) and 1 (a row) */
};

/* Compiles the tables of a config. 0, or negative after reporting. */
int gw_references_open(const struct gw_open *o);
void gw_references_close(struct gw_snapshot *s);
/* The number of the table of that name, or -ENOENT: for json_compiler.find_table, with the snapshot as `arg`. */
int gw_reference_find(void *snapshot, struct b_slice name);
/* The snapshot is about to be in force: its tables get their living sides. 0 or -ENOMEM. */
int gw_references_publish(struct gateway *g, struct gw_snapshot *s) __attribute__((warn_unused_result));
/* It is in force: starts the fibers that are missing. From a fiber. */
void gw_references_start(struct gateway *g, const struct gw_snapshot *s);
/* After rt_run. */
void gw_references_free(struct gateway *g);
/* Once, at the start. */
int gw_references_init(struct gateway *g);
/* Whether every table that is required has been loaded. */
bool gw_references_ready(struct gateway *g);

/* Makes the rows of an answer, which becomes theirs; for an offload thread. NULL with *why: `fault` when that is set (bad JSON).
 * Pure. */
struct gw_rows *gw_rows_new(const struct gw_reference *r, struct b_text *answer, struct b_hash_key key,
                            struct json_fault *fault, const char **why);
void gw_rows_free(struct gw_rows *rows);
/* The row with that key; missing: there is none. */
struct json_value gw_rows_find(const struct gw_rows *rows, struct b_slice key);

#endif
