/* What a handle carries from one worker to the next: bytes that were received and not read, and bytes that could not be
 * sent yet. Of most handles nothing, so that a counter is all that is looked at. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>

#include "runtime/io_uring_internal.h"

struct cargo {
    struct b_list link;
    int fd, error;
    bool shut, finish;
    uint32_t in, out;
    char bytes[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct b_list all = {&all, &all};
static _Atomic unsigned count;

static struct cargo *take(int fd) {
    struct cargo *found = NULL;
    if (!atomic_load(&count)) /* who hands a handle over has put its cargo here before */
        return NULL;
    pthread_mutex_lock(&lock);
    B_LIST_EACH(n, &all) {
        struct cargo *c = B_CONTAINER(n, struct cargo, link);
        if (c->fd == fd) {
            b_list_remove(&c->link);
            atomic_fetch_sub(&count, 1);
            found = c;
            break;
        }
    }
    pthread_mutex_unlock(&lock);
    return found;
}

/* An end of file is found again by reading on; an error is told but once by the kernel. */
void rt_uring_carry(struct rt_uring_sock *k) {
    size_t in = rt_uring_unread(k), out = k->out ? k->out->len - k->out->at : 0;
    int error = k->error ? k->error : k->broken;
    if (!in && !out && !error && !k->shut)
        return;
    struct cargo *c = b_zalloc(B_TAG_CONNECTIONS, sizeof *c + in + out);
    if (!c) { /* the connection is lost, and both its ends see it */
        (void)shutdown(k->fd, SHUT_RDWR);
        return;
    }
    *c =
        (struct cargo){.fd = k->fd, .error = error, .shut = k->shut, .finish = k->finish, .in = (uint32_t)in};
    (void)rt_uring_take(k, c->bytes, in);
    if (out)
        memcpy(c->bytes + in, k->out->bytes + k->out->at, out);
    c->out = (uint32_t)out;
    pthread_mutex_lock(&lock);
    b_list_push_back(&all, &c->link);
    atomic_fetch_add(&count, 1);
    pthread_mutex_unlock(&lock);
}

void rt_uring_carry_on(struct rt_uring_sock *k) {
    struct cargo *c = take(k->fd);
    if (!c)
        return;
    struct iovec rest = {.iov_base = c->bytes + c->in, .iov_len = c->out};
    k->shut = c->shut;
    k->finish = c->finish;
    k->error = c->error;
    if (c->in && rt_uring_hold(k, c->bytes, c->in) != 0)
        k->error = -ENOMEM;
    if (c->out && !rt_uring_send_copy(k, &rest, 1))
        k->error = -ENOMEM;
    if (k->error || c->in) {
        k->stream->flags |= RT_STREAM_READABLE | (k->error ? RT_STREAM_ERROR | RT_STREAM_HUP : 0);
        rt_uring_touch(k);
    }
    b_free(c);
}

void rt_uring_close_handle(int fd) {
    b_free(take(fd));
    rt_socket_close(fd);
}
