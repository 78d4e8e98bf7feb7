#include <dlfcn.h>
#include <stdio.h>

#include "store/postgres.h"

#define LIBRARY "libpq.so.5"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct st_pq functions;
static char missing[ST_WHY_MAX];

static void load(void) {
    static const struct {
        const char *name;
        size_t offset;
    } names[] = {
#define NAME(name) {"PQ" #name, offsetof(struct st_pq, name)},
        ST_PQ(NAME)
#undef NAME
    };
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(missing, sizeof missing, "PostgreSQL's client library is not there: install libpq5 (%s)",
                 dlerror());
        return;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        void *function = dlsym(library, names[i].name);
        if (!function) {
            snprintf(missing, sizeof missing, "%s is too old: it has no %s; 14 or later is needed", LIBRARY,
                     names[i].name);
            return;
        }
        memcpy((char *)&functions + names[i].offset, &function, sizeof function);
    }
}

const struct st_pq *st_pq_load(char *why) {
    pthread_once(&once, load);
    if (!missing[0])
        return &functions;
    snprintf(why, ST_WHY_MAX, "%s", missing);
    return NULL;
}
