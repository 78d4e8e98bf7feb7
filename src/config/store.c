/* Stores: the databases. */
#include <errno.h>

#include "config/tables.h"

static const struct cfg_option pool_options[] = {
    {.name = "max_open",
     .type = CFG_INT,
     CFG_AT(struct cfg_store_pool, max_open),
     .default_text = "25",
     .min = 1,
     .max = 1000,
     .help = "connections to the database, of all workers together"},
    {.name = "connect_timeout",
     .type = CFG_DURATION,
     CFG_AT(struct cfg_store_pool, connect_timeout),
     .default_text = "5s",
     .min = 10 * CFG_MS,
     .max = 5 * CFG_M,
     .help = "for a new connection, until it can be used"},
    {0},
};

static const struct cfg_table pool_table = {.name = "a store's pool",
                                            .summary = "Connections to a database server; SQLite has none",
                                            .options = pool_options,
                                            .size = sizeof(struct cfg_store_pool)};

static const struct cfg_option options[] = {
    {.name = "sqlite",
     .type = CFG_STRING,
     CFG_AT(struct cfg_store, sqlite),
     .min = 1,
     .max = 4000,
     .example = "weir.db",
     .help = "an SQLite file, made when it is not there; `-wal` and `-shm` beside it belong to it"},
    {.name = "postgres",
     .type = CFG_STRING,
     CFG_AT(struct cfg_store, postgres),
     .flags = CFG_SECRET,
     .min = 1,
     .max = 4000,
     .example = "\"postgres://app@127.0.0.1/app\"",
     .help = "a PostgreSQL database, as a URL or as `host=... dbname=...`"},
    {.name = "pool",
     .type = CFG_OBJECT,
     CFG_AT(struct cfg_store, pool),
     .table = &pool_table,
     .help = "connections, of PostgreSQL"},
    {.name = "unready_after",
     .type = CFG_DURATION,
     CFG_AT(struct cfg_store, unready_after),
     .default_text = "30s",
     .min = CFG_S,
     .max = 24 * CFG_H,
     .help = "/readyz turns 503 when the store has been down for so long"},
    {0},
};

static int check(struct cfg_errors *errors, const struct cfg_node *node, void *conf) {
    const struct cfg_store *c = conf;
    if (!c->sqlite.ptr == !c->postgres.ptr)
        return cfg_error_at(errors, node, "a store has one of `sqlite: FILE` and `postgres: URL`");
    if (c->sqlite.ptr && cfg_node_get(node, "pool"))
        return cfg_error_key(errors, cfg_node_get(node, "pool"),
                             "SQLite has no connections to pool: take `pool` out");
    if (b_slice_starts(c->sqlite, B_LIT(":memory:")) || b_slice_starts(c->sqlite, B_LIT("file:")))
        return cfg_error_at(errors, cfg_node_get(node, "sqlite"),
                            "\"sqlite\" is the path of a file: what is acknowledged must be on disk");
    return 0;
}

const struct cfg_table cfg_store_table = {.name = "a store",
                                          .summary = "A database that rows go into and answers come out of",
                                          .options = options,
                                          .size = sizeof(struct cfg_store),
                                          .check = check};
