/* Preloaded into weir, lets one system call fail: WEIR_FAIL_CALL=NAME:ERRNO:N[:TIMES] makes the Nth call of NAME, and
 * the TIMES-1 after it, return -1 with that errno. NAME `count` fails nothing; `buffers` gives every socket the smallest
 * buffers there are instead, so that reads and writes are short. At the end the calls are told on stderr, and how many
 * failed, for a test must see that its fault happened.
 *
 * Calls of libraries (c-ares) count as well. Writes to an eventfd are left alone: they cannot fail. Short reads and writes are not made up: on an edge-triggered socket a read
 * that comes short says that the socket is empty, and the kernel keeps to that. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* X(name, result, parameters, arguments) */
#define CALLS(X)                                                                                       \
    X(accept4, int, (int s, struct sockaddr *a, socklen_t *l, int f), (s, a, l, f))                    \
    X(recv, ssize_t, (int s, void *p, size_t n, int f), (s, p, n, f))                                  \
    X(recvfrom, ssize_t, (int s, void *p, size_t n, int f, struct sockaddr *a, socklen_t *l),          \
      (s, p, n, f, a, l))                                                                              \
    X(send, ssize_t, (int s, const void *p, size_t n, int f), (s, p, n, f))                            \
    X(sendmsg, ssize_t, (int s, const struct msghdr *m, int f), (s, m, f))                             \
    X(sendto, ssize_t, (int s, const void *p, size_t n, int f, const struct sockaddr *a, socklen_t l), \
      (s, p, n, f, a, l))                                                                              \
    X(connect, int, (int s, const struct sockaddr *a, socklen_t l), (s, a, l))                         \
    X(bind, int, (int s, const struct sockaddr *a, socklen_t l), (s, a, l))                            \
    X(listen, int, (int s, int n), (s, n))                                                             \
    X(setsockopt, int, (int s, int l, int o, const void *p, socklen_t n), (s, l, o, p, n))             \
    X(getsockopt, int, (int s, int l, int o, void *p, socklen_t *n), (s, l, o, p, n))                  \
    X(shutdown, int, (int s, int how), (s, how))                                                       \
    X(epoll_create1, int, (int f), (f))                                                                \
    X(epoll_ctl, int, (int e, int op, int fd, struct epoll_event *v), (e, op, fd, v))                  \
    X(epoll_wait, int, (int e, struct epoll_event *v, int n, int t), (e, v, n, t))                     \
    X(eventfd, int, (unsigned n, int f), (n, f))                                                       \
    X(signalfd, int, (int fd, const sigset_t *m, int f), (fd, m, f))                                   \
    X(madvise, int, (void *p, size_t n, int a), (p, n, a))                                             \
    X(mprotect, int, (void *p, size_t n, int a), (p, n, a))                                            \
    X(read, ssize_t, (int fd, void *p, size_t n), (fd, p, n))                                          \
    X(write, ssize_t, (int fd, const void *p, size_t n), (fd, p, n))                                   \
    X(writev, ssize_t, (int fd, const struct iovec *v, int n), (fd, v, n))                             \
    X(pipe2, int, (int fd[2], int f), (fd, f))                                                         \
    X(splice, ssize_t, (int in, off_t *i, int out, off_t *o, size_t n, unsigned f), (in, i, out, o, n, f))

/* Of liburing, which give the negative errno itself. */
#define RING_CALLS(X)                                                                                    \
    X(io_uring_queue_init_params, int, (unsigned n, void *ring, void *p), (n, ring, p))                  \
    X(io_uring_register_buf_ring, int, (void *ring, void *reg, unsigned f), (ring, reg, f))              \
    X(io_uring_register_ring_fd, int, (void *ring), (ring))                                              \
    X(io_uring_submit_and_wait_timeout, int, (void *ring, void **cqe, unsigned n, void *ts, void *mask), \
      (ring, cqe, n, ts, mask))

#define OTHERS(X) X(socket) X(mmap) X(open) X(pthread_create)

enum call {
#define NUMBER(name, ...) CALL_##name,
    CALLS(NUMBER) RING_CALLS(NUMBER) OTHERS(NUMBER)
#undef NUMBER
        CALL_COUNT
};

static const char *const names[] = {
#define NAME(name, ...) #name,
    CALLS(NAME) RING_CALLS(NAME) OTHERS(NAME)
#undef NAME
};

static _Atomic unsigned long counts[CALL_COUNT], injected;
static int chosen = -1, error;
static unsigned long first, times = 1;
static bool counting, tiny;

__attribute__((constructor)) static void read_order(void) {
    char text[128], *save = NULL;
    const char *env = getenv("WEIR_FAIL_CALL");
    snprintf(text, sizeof text, "%s", env ? env : "");
    const char *name = strtok_r(text, ":", &save);
    for (int i = 0; name && i < CALL_COUNT; i++)
        if (strcmp(name, names[i]) == 0)
            chosen = i;
    counting = name && chosen < 0;
    tiny = name && strcmp(name, "buffers") == 0;
    const char *number = strtok_r(NULL, ":", &save);
    error = number ? atoi(number) : 0;
    number = strtok_r(NULL, ":", &save);
    first = number ? strtoul(number, NULL, 10) : 0;
    number = strtok_r(NULL, ":", &save);
    times = number ? strtoul(number, NULL, 10) : 1;
}

__attribute__((destructor)) static void tell(void) {
    char text[1024];
    int n = snprintf(text, sizeof text, "faults: %lu injected;", injected);
    for (int i = 0; i < CALL_COUNT; i++)
        if (counts[i] && (counting || i == chosen))
            n += snprintf(text + n, sizeof text - (size_t)n, " %s %lu", names[i], counts[i]);
    if (counting || chosen >= 0)
        dprintf(STDERR_FILENO, "%s\n", text);
}

/* Descriptors of eventfd; weir has a few, with low numbers. */
static _Atomic bool is_event[1024];

static bool strikes(enum call c, int fd) {
    if (c == CALL_write && fd >= 0 && fd < 1024 && is_event[fd])
        return false;
    unsigned long n = atomic_fetch_add(&counts[c], 1) + 1;
    if ((int)c != chosen || n < first || n >= first + times)
        return false;
    atomic_fetch_add(&injected, 1);
    errno = error;
    return true;
}

static void *next(const char *name) {
    void *f = dlsym(RTLD_NEXT, name);
    if (!f)
        abort();
    return f;
}

static int shrunk(int fd) {
    static int (*real)(int, int, int, const void *, socklen_t);
    int one = 1;
    if (!real)
        real = next("setsockopt");
    if (tiny && fd >= 0) {
        real(fd, SOL_SOCKET, SO_SNDBUF, &one, sizeof one);
        real(fd, SOL_SOCKET, SO_RCVBUF, &one, sizeof one);
        atomic_fetch_add(&injected, 1);
    }
    return fd;
}

/* A descriptor that a call has given. */
static void made(enum call c, int fd) {
    if (c == CALL_accept4)
        shrunk(fd);
    if (c == CALL_eventfd && fd >= 0 && fd < 1024)
        is_event[fd] = true;
}

/* The first argument, of whatever type. */
#define FD_OF(first, ...) (int)(intptr_t)(first)

#define WRAP(name, result, parameters, arguments)  \
    result name parameters {                       \
        static result(*real) parameters;           \
        if (!real)                                 \
            real = next(#name);                    \
        if (strikes(CALL_##name, FD_OF arguments)) \
            return -1;                             \
        result r = real arguments;                 \
        made(CALL_##name, (int)r);                 \
        return r;                                  \
    }
CALLS(WRAP)

#define WRAP_RING(name, result, parameters, arguments)             \
    result name parameters;                                        \
    result name parameters {                                       \
        static result(*real) parameters;                           \
        if (!real)                                                 \
            real = next(#name);                                    \
        return strikes(CALL_##name, -1) ? -error : real arguments; \
    }
RING_CALLS(WRAP_RING)

int socket(int domain, int type, int protocol) {
    static int (*real)(int, int, int);
    if (!real)
        real = next("socket");
    return strikes(CALL_socket, -1) ? -1 : shrunk(real(domain, type, protocol));
}

void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset) {
    static void *(*real)(void *, size_t, int, int, int, off_t);
    if (!real)
        real = next("mmap");
    return strikes(CALL_mmap, -1) ? MAP_FAILED : real(at, n, prot, flags, fd, offset);
}

int open(const char *path, int flags, ...) {
    static int (*real)(const char *, int, ...);
    va_list args;
    va_start(args, flags);
    int mode = flags & O_CREAT ? va_arg(args, int) : 0;
    va_end(args);
    if (!real)
        real = next("open");
    return strikes(CALL_open, -1) ? -1 : real(path, flags, mode);
}

int pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg) {
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (!real)
        real = next("pthread_create");
    return strikes(CALL_pthread_create, -1) ? error : real(t, attr, fn, arg);
}
