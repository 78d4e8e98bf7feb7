/* Sending with io_uring. What is small is copied into a buffer of the worker's and goes out with all that the turn has
 * to send, in one call; one buffer per socket, which takes more until it is submitted. The rest is sent by plain calls
 * that do not block, from where it lies. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "runtime/io_uring_internal.h"

void rt_uring_expect_room(struct rt_uring_sock *k) {
    if (!(k->stream->flags & RT_STREAM_WRITABLE) && !k->out)
        rt_uring_poll(k, RT_URING_POLL_OUT, POLLOUT);
}

/* --- from copies --- */

static void submit(struct rt_uring_sock *k) {
    struct rt_uring_out *out = k->out;
    k->out_sqe = rt_uring_begin(k, RT_URING_SEND);
    io_uring_prep_send(k->out_sqe, k->fd, out->bytes + out->at, out->len - out->at,
                       MSG_NOSIGNAL | MSG_WAITALL);
    rt_uring_name(k->out_sqe, k, RT_URING_SEND);
    k->out_epoch = rt_uring_here()->epoch;
}

static void append(struct rt_uring_out *out, const struct iovec *iov, int n) {
    for (int i = 0; i < n; i++) {
        if (iov[i].iov_len)
            memcpy(out->bytes + out->len, iov[i].iov_base, iov[i].iov_len);
        out->len += (uint32_t)iov[i].iov_len;
    }
}

bool rt_uring_send_copy(struct rt_uring_sock *k, const struct iovec *iov, int n) {
    k->out = rt_uring_out_get(rt_uring_here());
    if (!k->out)
        return false;
    append(k->out, iov, n);
    submit(k);
    k->stream->flags &= (uint16_t)~RT_STREAM_WRITABLE; /* until it has gone */
    return true;
}

static bool grow(struct rt_uring_sock *k, const struct iovec *iov, int n, size_t len) {
    struct rt_uring_out *out = k->out;
    if (!out || k->out_epoch != rt_uring_here()->epoch || len > RT_URING_OUT_BYTES - out->len)
        return false;
    append(out, iov, n);
    k->out_sqe->len = out->len - out->at;
    return true;
}

/* Takes all of it, or nothing. */
static bool send_later(struct rt_uring_sock *k, struct iovec *iov, int n) {
    size_t len = rt_iov_bytes(iov, n);
    if (!len || len > RT_URING_OUT_BYTES)
        return false;
    if (!grow(k, iov, n, len) &&
        (k->out || !(k->stream->flags & RT_STREAM_WRITABLE) || !rt_uring_send_copy(k, iov, n)))
        return false;
    k->stream->bytes_out += len;
    (void)rt_socket_advance(&iov, &n, len);
    return true;
}

/* Whoever reads learns of a broken connection by reading, after what has come before. */
static void send_failed(struct rt_uring_sock *k, int error) {
    struct rt_stream *s = k->stream;
    s->bytes_out -= k->out->len - k->out->at;
    k->broken = error;
    if (error != -EPIPE && error != -ECONNRESET)
        k->error = error; /* reading might never end */
    rt_uring_raise(k, RT_STREAM_WRITABLE | RT_STREAM_HUP | RT_STREAM_ERROR |
                          (k->error ? RT_STREAM_READABLE : 0));
}

static void give_up_out(struct rt_uring_sock *k) {
    struct rt_uring_out *out = k->out;
    k->out = NULL;
    rt_uring_out_put(rt_uring_here(), out);
}

void rt_uring_sent(struct rt_uring_sock *k, int res) {
    struct rt_uring_out *out = k->out;
    if (res > 0)
        out->at += (uint32_t)res;
    if (k->moving)
        return;       /* what is left is carried on */
    if (!k->stream) { /* its descriptor may be another's by now */
        give_up_out(k);
        return;
    }
    if (res > 0 && out->at < out->len) {
        submit(k); /* what stopped it tells itself now */
        return;
    }
    if (out->at < out->len) {
        send_failed(k, res ? res : -EPIPE);
        if (k->out == out)
            give_up_out(k);
        return;
    }
    give_up_out(k);
    if (k->finish) {
        k->finish = false;
        (void)shutdown(k->fd, SHUT_WR);
    }
    rt_uring_raise(k, RT_STREAM_WRITABLE);
}

/* --- from where it lies --- */

static ssize_t send_now(int fd, struct iovec *iov, int n) {
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = (size_t)n};
    ssize_t rc;
    do
        rc = n == 1 ? send(fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL | MSG_DONTWAIT)
                    : sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : rc;
}

static ssize_t send_directly(struct rt_stream *s, struct iovec *iov, int n, rt_time deadline) {
    struct rt_uring_sock *k = rt_uring_sock(s);
    ssize_t all = 0;
    for (;;) {
        if (k->broken)
            return k->broken;
        ssize_t sent = k->out ? -EAGAIN : send_now(k->fd, iov, n);
        if (sent < 0 && sent != -EAGAIN)
            return sent;
        if (sent > 0) {
            s->bytes_out += (uint64_t)sent;
            all += sent;
        }
        if (sent >= 0 && !rt_socket_advance(&iov, &n, (size_t)sent)) {
            s->flags |= RT_STREAM_WRITABLE;
            return all;
        }
        s->flags &= (uint16_t)~RT_STREAM_WRITABLE; /* it is full */
        if (deadline == RT_NOWAIT)
            return all ? all : -EAGAIN;
        rt_uring_expect_room(k);
        int rc = rt_ready_write(s, deadline);
        if (rc < 0)
            return rc;
    }
}

size_t rt_uring_unsent(struct rt_stream *s) {
    const struct rt_uring_sock *k = rt_uring_sock(s);
    return rt_socket_unsent(s->fd) + (k->out ? k->out->len - k->out->at : 0);
}

ssize_t rt_uring_send(struct rt_stream *s, struct iovec *iov, int n, rt_time deadline) {
    struct rt_uring_sock *k = rt_uring_sock(s);
    if (k->broken || k->error || k->shut)
        return k->broken ? k->broken : k->error ? k->error : -EPIPE;
    size_t len = deadline == RT_NOWAIT ? rt_iov_bytes(iov, n) : 0;
    if (len && send_later(k, iov, n))
        return (ssize_t)len;
    return send_directly(s, iov, n, deadline);
}

int rt_uring_finish_writing(struct rt_uring_sock *k) {
    if (k->broken || k->error)
        return -ENOTCONN;
    k->shut = true;
    if (k->out) {
        k->finish = true;
        return 0;
    }
    return shutdown(k->fd, SHUT_WR) == 0 ? 0 : -errno;
}
