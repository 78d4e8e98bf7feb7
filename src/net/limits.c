#include "net/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

static uint64_t in_force = UINT64_MAX;

uint64_t net_raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1024; /* what every POSIX system gives a process at least, nearly */
    rlim_t had = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        limit.rlim_cur = had;
    in_force = limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
    return in_force;
}

uint64_t net_descriptor_limit(void) {
    return in_force;
}

bool net_descriptor_is_reserved(int fd) {
    return (uint64_t)fd + NET_RESERVED >= in_force;
}

bool net_descriptor_is_admins(int fd) {
    return (uint64_t)fd + NET_RESERVED_ADMIN >= in_force;
}

bool net_descriptors_short(void) {
    int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return errno == EMFILE || errno == ENFILE;
    close(fd);
    return net_descriptor_is_reserved(fd);
}
