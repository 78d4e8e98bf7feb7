/* Shared libraries that are loaded when a config asks for what they do, since they bring others with them that nobody else needs. */
#ifndef RUNTIME_LIBRARY_H
#define RUNTIME_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

struct rt_symbol {
    const char *name;
    size_t offset; /* of its pointer in the struct of functions */
};

/* Opens the library, for the life of the process, and stores the addresses. False with *why, in `room` bytes. */
bool rt_load_library(const char *file, const struct rt_symbol *symbols, size_t count, void *functions,
                     char *why, size_t room);

#endif
