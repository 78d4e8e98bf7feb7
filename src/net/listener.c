#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/number.h"
#include "net/address.h"

#define FIRST_INHERITED 3 /* SD_LISTEN_FDS_START */
#define UNIX_MODE 0660

static struct inherited {
    int fd;
    bool taken;
    struct rt_sockaddr at;
} inherited[NET_INHERITED_MAX];
static unsigned inherited_count;

/* --- socket activation --- */

int net_local_address(int fd, struct rt_sockaddr *out) {
    *out = (struct rt_sockaddr){.len = sizeof out->u};
    return getsockname(fd, &out->u.any, &out->len) == 0 ? 0 : -errno;
}

static bool is_set(int fd, int option, int want) {
    int value = 0;
    socklen_t len = sizeof value;
    return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 && value == want;
}

static bool prepare(int fd) {
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

static void inherit(int fd) {
    struct inherited *h = &inherited[inherited_count];
    bool listens = is_set(fd, SO_TYPE, SOCK_STREAM) && is_set(fd, SO_ACCEPTCONN, 1);
    if (!listens || !prepare(fd) || net_local_address(fd, &h->at) != 0)
        return;
    h->fd = fd;
    h->taken = false;
    inherited_count++;
}

static uint64_t number_from_env(const char *name) {
    uint64_t v = 0;
    return b_parse_u64(b_slice_cstr(getenv(name)), &v) ? v : 0;
}

unsigned net_inherit_init(void) {
    uint64_t pid = number_from_env("LISTEN_PID"), count = number_from_env("LISTEN_FDS");
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    inherited_count = 0;
    if (pid != (uint64_t)getpid())
        return 0;
    for (uint64_t i = 0; i < count && inherited_count < NET_INHERITED_MAX; i++) {
        if (fcntl(FIRST_INHERITED + (int)i, F_GETFD) < 0)
            break; /* fewer than promised */
        inherit(FIRST_INHERITED + (int)i);
    }
    return inherited_count;
}

bool net_inherit_unused(unsigned *at, struct rt_sockaddr *addr) {
    while (*at < inherited_count) {
        const struct inherited *h = &inherited[(*at)++];
        if (!h->taken) {
            *addr = h->at;
            return true;
        }
    }
    return false;
}

static bool take_inherited(const struct rt_sockaddr *at, int *fd) {
    for (unsigned i = 0; i < inherited_count; i++) {
        struct inherited *h = &inherited[i];
        if (h->taken || !net_eq(&h->at, at))
            continue;
        h->taken = true;
        *fd = h->fd;
        return true;
    }
    return false;
}

static bool return_inherited(int fd) {
    for (unsigned i = 0; i < inherited_count; i++) {
        if (inherited[i].taken && inherited[i].fd == fd) {
            inherited[i].taken = false;
            return true;
        }
    }
    return false;
}

/* --- unix sockets --- */

/* sun_path is NUL-terminated: net_unix leaves room for it. */
static const char *path_of(const struct rt_sockaddr *at) {
    return at->u.un.sun_path;
}

static bool is_socket_file(const char *path) {
    struct stat st;
    return lstat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* Removes the socket file that a program left behind which is gone. Anything else is left: the bind will
 * fail. */
static void remove_stale(const struct rt_sockaddr *at) {
    if (!is_socket_file(path_of(at)))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    /* a unix connect does not wait: the listener is there or it is not */
    int rc = connect(fd, &at->u.any, at->len); /* lint: allow seam-call: a probe of a local file */
    if (rc != 0 && errno == ECONNREFUSED)
        (void)unlink(path_of(at));
    close(fd);
}

static int listen_unix(const struct rt_sockaddr *at, int backlog, int *fd) {
    remove_stale(at);
    int rc = rt_listen(at, backlog, fd);
    if (rc != 0 || chmod(path_of(at), UNIX_MODE) == 0)
        return rc;
    rc = -errno;
    rt_close_handle(*fd);
    (void)unlink(path_of(at));
    return rc;
}

/* --- both --- */

int net_listen(const struct rt_sockaddr *at, int backlog, int *fd, bool *was_inherited) {
    bool taken = take_inherited(at, fd);
    if (was_inherited)
        *was_inherited = taken;
    if (taken)
        return 0;
    if (at->u.any.sa_family == AF_UNIX)
        return listen_unix(at, backlog, fd);
    return rt_listen(at, backlog, fd);
}

void net_unlisten(int fd, const struct rt_sockaddr *at) {
    if (return_inherited(fd))
        return;
    rt_close_handle(fd);
    if (at->u.any.sa_family == AF_UNIX)
        remove_stale(at);
}
