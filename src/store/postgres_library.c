#include <stdio.h>

#include "runtime/library.h"
#include "store/postgres.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct st_pq functions;
static bool loaded;
static char missing[ST_WHY_MAX];

static void load(void) {
    static const struct rt_symbol symbols[] = {
#define SYMBOL(name) {"PQ" #name, offsetof(struct st_pq, name)},
        ST_PQ(SYMBOL)
#undef SYMBOL
    };
    char why[ST_WHY_MAX / 2];
    loaded =
        rt_load_library("libpq.so.5", symbols, sizeof symbols / sizeof *symbols, &functions, why, sizeof why);
    if (!loaded)
        snprintf(missing, sizeof missing,
                 "PostgreSQL's client library (14 or later) is needed: install libpq5 (%s)", why);
}

const struct st_pq *st_pq_load(char *why) {
    pthread_once(&once, load);
    if (loaded)
        return &functions;
    snprintf(why, ST_WHY_MAX, "%s", missing);
    return NULL;
}
