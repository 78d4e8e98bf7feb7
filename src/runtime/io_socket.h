/* Inside runtime/: what the back ends of real sockets share. Errors are negative errno. */
#ifndef RUNTIME_IO_SOCKET_H
#define RUNTIME_IO_SOCKET_H

#include "runtime/io.h"

rt_time rt_socket_clock(void);
rt_time rt_socket_wall_clock(void);

/* struct rt_backend: listen, close_handle. */
int rt_socket_listen(const struct rt_sockaddr *at, int backlog, int *out) __attribute__((warn_unused_result));
void rt_socket_close(int fd);

/* The next connection's descriptor, with its peer's address when that is wanted; -EAGAIN when there is none. */
int rt_socket_accept(int listener, struct rt_sockaddr *peer) __attribute__((warn_unused_result));
/* What went wrong with the next connection, not with the listener (accept(2)): the one after it may be good. */
bool rt_socket_accept_again(int error);
/* A descriptor that is connected (0) or about to be (-EINPROGRESS). */
int rt_socket_connect(const struct rt_sockaddr *to, int *fd) __attribute__((warn_unused_result));
/* The socket's error, which is taken off it by this. */
int rt_socket_error(int fd) __attribute__((warn_unused_result));
/* Moves the iovecs past n sent bytes; false when everything has gone. */
bool rt_socket_advance(struct iovec **iov, int *count, size_t n);
/* Whether a descriptor is ready now: what of RT_READ and RT_WRITE, or -EAGAIN. */
int rt_socket_poll(int fd, int want) __attribute__((warn_unused_result));
/* How much of what the kernel has been given has not arrived at the peer's end. */
size_t rt_socket_unsent(int fd);
/* The close that follows drops what is unsent, and resets the connection. */
void rt_socket_drop_unsent(int fd);

#endif
