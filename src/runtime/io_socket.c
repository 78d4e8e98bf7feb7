#include "runtime/io_socket.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static rt_time read_clock(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return t.tv_sec * RT_S + t.tv_nsec;
}

rt_time rt_socket_clock(void) {
    return read_clock(CLOCK_MONOTONIC);
}

rt_time rt_socket_wall_clock(void) {
    return read_clock(CLOCK_REALTIME);
}

int rt_socket_listen(const struct rt_sockaddr *at, int backlog, int *out) {
    int on = 1, off = 0, family = at->u.any.sa_family;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (family != AF_UNIX)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, &at->u.any, at->len) != 0 || listen(fd, backlog) != 0) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    *out = fd;
    return 0;
}

void rt_socket_close(int fd) {
    close(fd);
}

static void send_at_once(int fd, int family) {
    int on = 1;
    if (family != AF_UNIX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

bool rt_socket_accept_again(int error) {
    switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case EPERM: return true;
    default: return false;
    }
}

int rt_socket_accept(int listener, struct rt_sockaddr *peer) {
    struct rt_sockaddr ignored;
    struct rt_sockaddr *a = peer ? peer : &ignored;
    int fd;
    do {
        a->len = sizeof a->u;
        fd = accept4(listener, &a->u.any, &a->len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } while (fd < 0 && rt_socket_accept_again(errno));
    if (fd < 0)
        return -errno;
    send_at_once(fd, a->u.any.sa_family);
    return fd;
}

int rt_socket_connect(const struct rt_sockaddr *to, int *fd) {
    *fd = socket(to->u.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd < 0)
        return -errno;
    send_at_once(*fd, to->u.any.sa_family);
    int rc = connect(*fd, &to->u.any, to->len) == 0 ? 0 : -errno;
    if (rc == 0 || rc == -EINPROGRESS)
        return rc;
    close(*fd);
    return rc == -EAGAIN ? -ECONNREFUSED : rc; /* EAGAIN: a unix listener's full backlog */
}

int rt_socket_error(int fd) {
    int error = 0;
    socklen_t len = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 ? -error : -errno;
}

bool rt_socket_advance(struct iovec **iov, int *count, size_t n) {
    while (*count && n >= (*iov)->iov_len) {
        n -= (*iov)->iov_len;
        (*iov)->iov_len = 0;
        ++*iov;
        --*count;
    }
    if (!*count)
        return false;
    (*iov)->iov_base = (char *)(*iov)->iov_base + n;
    (*iov)->iov_len -= n;
    return true;
}

int rt_socket_poll(int fd, int want) {
    short events = (short)((want & RT_READ ? POLLIN | POLLRDHUP : 0) | (want & RT_WRITE ? POLLOUT : 0));
    struct pollfd p = {.fd = fd, .events = events};
    int n = poll(&p, 1, 0), got = 0;
    if (n <= 0)
        return n < 0 && errno != EINTR ? -errno : -EAGAIN;
    if (p.revents & POLLNVAL)
        return -EBADF;
    if (p.revents & (POLLIN | POLLRDHUP | POLLHUP | POLLERR))
        got |= RT_READ;
    if (p.revents & (POLLOUT | POLLHUP | POLLERR))
        got |= RT_WRITE;
    return got;
}

size_t rt_socket_unsent(int fd) {
    int bytes = 0;
    return ioctl(fd, SIOCOUTQ, &bytes) == 0 && bytes > 0 ? (size_t)bytes : 0;
}

void rt_socket_drop_unsent(int fd) {
    struct linger drop = {.l_onoff = 1};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &drop, sizeof drop);
}
