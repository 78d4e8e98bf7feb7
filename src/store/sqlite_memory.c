/* SQLite's memory is weir's: counted with the stores', and what a fault is asked for in fails there, too. */
#include "store/sqlite.h"

static void *take(int size) {
    return b_alloc(B_TAG_STORE, (size_t)size);
}

static void *take_again(void *ptr, int size) {
    return b_realloc(B_TAG_STORE, ptr, (size_t)size);
}

static int size_of(void *ptr) {
    return ptr ? (int)b_alloc_size(ptr) : 0;
}

static int round_up(int size) {
    return (size + 7) & ~7;
}

static int nothing(void *arg) {
    (void)arg;
    return SQLITE_OK;
}

static void nothing_more(void *arg) {
    (void)arg;
}

/* Its own statistics are not kept: they take a lock at every call. */
static void configure(void) {
    static const sqlite3_mem_methods methods = {.xMalloc = take,
                                                .xFree = b_free,
                                                .xRealloc = take_again,
                                                .xSize = size_of,
                                                .xRoundup = round_up,
                                                .xInit = nothing,
                                                .xShutdown = nothing_more};
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    (void)sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
}

void st_sqlite_use_memory(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, configure);
}
