#include "runtime/library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

bool rt_load_library(const char *file, const struct rt_symbol *symbols, size_t count, void *functions,
                     char *why, size_t room) {
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(why, room, "%s", dlerror());
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        void *function = dlsym(library, symbols[i].name);
        if (!function) {
            snprintf(why, room, "%s has no %s: it is too old, or too new", file, symbols[i].name);
            return false;
        }
        memcpy((char *)functions + symbols[i].offset, &function, sizeof function);
    }
    return true;
}
