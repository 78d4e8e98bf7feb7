/* Listening sockets. A listening handle is the process's: every worker attaches it (rt_attach with
 * listener = true). */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include "runtime/io.h"

#define NET_LISTEN_BACKLOG 4096
#define NET_INHERITED_MAX 64

/* Takes over what the service manager has passed (systemd's socket activation, sd_listen_fds(3):
 * LISTEN_PID, LISTEN_FDS; descriptors from 3 on) and takes the variables out of the environment. Call once
 * at start, before other threads; the number of listening sockets found. Descriptors that are no listening
 * stream sockets are left alone. */
unsigned net_inherit_init(void);
/* The inherited sockets that no listener has taken yet, for a warning: start with *at = 0; false at the
 * end. */
bool net_inherit_unused(unsigned *at, struct rt_sockaddr *addr);

/* A listening handle, close-on-exec and non-blocking: an inherited one that is bound to exactly this
 * address (*inherited, which may be NULL, becomes true), else a new one. At a unix path, a socket file
 * that nobody listens on is removed first, and the new file gets mode 0660. On a worker, like net_unlisten;
 * one call at a time in the process.
 * 0, or the errno of socket(2), bind(2), listen(2): -EADDRINUSE (for a unix
 * path also when the file is no socket), -EACCES, -EADDRNOTAVAIL, ... */
int net_listen(const struct rt_sockaddr *at, int backlog, int *fd, bool *inherited)
    __attribute__((warn_unused_result));
/* Closes a handle that is attached to no worker any more, and removes the file of a unix socket unless
 * someone else listens there by now. An inherited one is not closed (the service manager has it open too,
 * so that would not end it) but kept for a later net_listen. */
void net_unlisten(int fd, const struct rt_sockaddr *at);
/* The address a handle is really bound to (the port when 0 was asked for). 0 or negative errno. */
int net_local_address(int fd, struct rt_sockaddr *out) __attribute__((warn_unused_result));

#define NET_LISTEN_ERROR_TEXT 384
/* What net_listen's error means and what to do about it: one sentence without a newline, NUL-terminated,
 * starting with lower case. Gives buf. */
const char *net_listen_error_text(int rc, const struct rt_sockaddr *at, char buf[NET_LISTEN_ERROR_TEXT]);

#endif
