#ifdef WEIR_URING
#include "runtime/io_uring_internal.h"

const struct rt_backend *rt_uring_backend(const char **why, int *error) {
    *error = rt_uring_probe(why);
    return *error == 0 ? &rt_uring : NULL;
}
#else
#include "runtime/io.h"

const struct rt_backend *rt_uring_backend(const char **why, int *error) {
    *why = "this build is without liburing";
    *error = 0;
    return NULL;
}
#endif
