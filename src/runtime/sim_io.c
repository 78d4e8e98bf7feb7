/* The simulator's operations: those of io_epoll.c on sockets in memory, with the same flags and the same rules for them. */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "runtime/sim_internal.h"

static void clear(struct rt_stream *s, unsigned flag) {
    s->flags &= (uint16_t)~flag;
}

/* Half of the transfers are cut to a part of what they could be. */
static size_t shortened(size_t n) {
    return n < 2 || rt_sim_draw(2) ? n : 1 + rt_sim_draw(n - 1);
}

void rt_sim_take_events(struct rt_worker *w) {
    struct b_list batch;
    b_list_init(&batch);
    b_list_splice(&batch, &rt_sim_now.events[w->index]);
    /* a stream that another one's event has ended is off the batch */
    for (struct b_list *n; (n = b_list_pop_front(&batch));) {
        struct rt_sim_source *source = B_CONTAINER(n, struct rt_sim_source, link);
        unsigned events = source->events;
        source->events = 0;
        b_counter_add(&w->stats.io_events, 1);
        rt_ready_event(source->stream, events);
    }
}

static int attach_listener(struct rt_stream *s, struct rt_sim_listener *l) {
    struct rt_sim_attachment *a = b_zalloc(B_TAG_RUNTIME, sizeof *a);
    if (!a)
        return -ENOMEM;
    b_list_init(&a->source.link);
    a->source.stream = s;
    b_list_push_back(&l->attachments, &a->link);
    s->flags = RT_STREAM_LISTENER | RT_STREAM_READABLE;
    return 0;
}

static int sim_attach(struct rt_stream *s, int fd, bool listener) {
    struct rt_sim_end *e = rt_sim_end_of(fd);
    struct rt_sim_listener *l = rt_sim_listener_of(fd);
    if (listener ? !l : !e)
        return -EBADF;
    *s = (struct rt_stream){.worker = rt_self(), .fd = fd};
    if (listener) {
        int rc = attach_listener(s, l);
        if (rc)
            s->worker = NULL;
        return rc;
    }
    assert(!e->source.stream && "a handle is attached twice");
    e->source.stream = s;
    s->flags = RT_STREAM_READABLE | RT_STREAM_WRITABLE;
    rt_sim_raise(&e->source, rt_sim_state(e));
    return 0;
}

/* The address of who connected: the loopback and a port of its own, or an unnamed local socket. */
static void peer_address(const struct rt_sim_conn *c, struct rt_sockaddr *peer) {
    memset(peer, 0, sizeof *peer);
    peer->u.any.sa_family = c->to.u.any.sa_family;
    if (c->to.u.any.sa_family == AF_INET) {
        peer->len = sizeof peer->u.in;
        peer->u.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        peer->u.in.sin_port = htons(c->port);
    } else if (c->to.u.any.sa_family == AF_INET6) {
        peer->len = sizeof peer->u.in6;
        peer->u.in6.sin6_addr = in6addr_loopback;
        peer->u.in6.sin6_port = htons(c->port);
    } else {
        peer->len = sizeof(sa_family_t);
    }
}

static int take_queued(struct rt_sim_listener *l, struct rt_sockaddr *peer) {
    struct rt_sim_conn *c = B_CONTAINER(l->queue.next, struct rt_sim_conn, queued);
    int handle = rt_sim_handle_new(&c->end[1], NULL);
    if (handle < 0)
        return handle;
    b_list_remove(&c->queued);
    l->length--;
    c->end[1].handle = handle;
    if (peer)
        peer_address(c, peer);
    return handle;
}

int rt_sim_accept_handle(int listener, struct rt_sockaddr *peer) {
    struct rt_sim_listener *l = rt_sim_listener_of(listener);
    return b_list_empty(&l->queue) ? -EAGAIN : take_queued(l, peer);
}

static int sim_accept(struct rt_stream *s, struct rt_sockaddr *peer, rt_time deadline) {
    struct rt_sim_listener *l = rt_sim_listener_of(s->fd);
    for (;;) {
        if (!(s->flags & RT_STREAM_READABLE)) {
            int rc = rt_ready_read(s, deadline);
            if (rc < 0)
                return rc;
            continue;
        }
        if (b_list_empty(&l->queue)) {
            clear(s, RT_STREAM_READABLE);
            continue;
        }
        if (rt_sim_strikes(rt_sim_now.config->accept_fail))
            return -EMFILE;
        return take_queued(l, peer);
    }
}

/* What a connect meets: 0, an injected errno, or a negative number for no answer. */
static int fate(void) {
    if (!rt_sim_strikes(rt_sim_now.config->connect_fail))
        return 0;
    switch (rt_sim_draw(3)) {
    case 0: return ECONNREFUSED;
    case 1: return EHOSTUNREACH;
    default: return -1;
    }
}

static int sim_end(struct rt_stream *s, enum rt_end how);

static int finish_connect(struct rt_stream *s, struct rt_sim_end *e, rt_time deadline) {
    int rc = 0;
    clear(s, RT_STREAM_READABLE | RT_STREAM_WRITABLE);
    while (rc == 0 && !(s->flags & RT_STREAM_WRITABLE))
        rc = rt_ready_write(s, deadline);
    if (rc == 0)
        rc = e->reset ? -ECONNRESET : -e->error;
    if (rc)
        sim_end(s, RT_END_CLOSE);
    return rc;
}

static int sim_connect(struct rt_stream *s, const struct rt_sockaddr *to, rt_time deadline) {
    struct rt_sim_conn *c = rt_sim_conn_new(to);
    if (!c)
        return -ENOMEM;
    struct rt_sim_end *e = &c->end[0];
    int handle = rt_sim_handle_new(e, NULL);
    if (handle < 0) {
        rt_sim_end_close(e, false);
        return handle;
    }
    e->handle = handle;
    rt_sim_now.result.connections++;
    int rc = sim_attach(s, handle, false);
    assert(rc == 0);
    rc = fate();
    if (rc == 0)
        rt_sim_send_to(e, RT_SIM_OPEN, 0);
    else if (rc > 0)
        rt_sim_send_to(e, RT_SIM_OPENED, (size_t)rc);
    return finish_connect(s, e, deadline);
}

static size_t take_bytes(struct rt_sim_end *e, char *buf, size_t len) {
    size_t n = shortened(len < e->arrived ? len : e->arrived);
    size_t first = n < e->cap - e->start ? n : e->cap - e->start;
    memcpy(buf, e->ring + e->start, first);
    memcpy(buf + first, e->ring, n - first);
    e->start = (e->start + n) % e->cap;
    e->held -= n;
    e->arrived -= n;
    return n;
}

static ssize_t sim_receive(struct rt_stream *s, void *buf, size_t len, rt_time deadline) {
    struct rt_sim_end *e = rt_sim_end_of(s->fd);
    for (;;) {
        if (!(s->flags & RT_STREAM_READABLE)) {
            int rc = rt_ready_read(s, deadline);
            if (rc < 0)
                return rc;
            continue;
        }
        if (!e->reset && rt_sim_strikes(rt_sim_now.config->resets))
            rt_sim_break(e);
        if (e->arrived && len) {
            size_t n = take_bytes(e, buf, len);
            if (!e->reset)
                rt_sim_send_to(rt_sim_peer(e), RT_SIM_ROOM, n);
            /* as on epoll: a short read has emptied the socket, unless it was the seed that made it short */
            if (n < len && !e->arrived && !(s->flags & (RT_STREAM_HUP | RT_STREAM_ERROR)))
                clear(s, RT_STREAM_READABLE);
            return (ssize_t)n;
        }
        if (e->reset)
            return -ECONNRESET;
        if (e->finished || !len)
            return 0;
        clear(s, RT_STREAM_READABLE);
    }
}

static void append(struct rt_sim_end *e, const char *bytes, size_t n) {
    size_t at = (e->start + e->held) % e->cap;
    size_t first = n < e->cap - at ? n : e->cap - at;
    memcpy(e->ring + at, bytes, first);
    memcpy(e->ring, bytes + first, n - first);
    e->held += n;
}

/* Moves what fits, or a part of it, into the peer's ring; the iovecs move on. */
static size_t put_bytes(struct rt_sim_end *peer, struct iovec **iov, int *count) {
    size_t all = 0, room = peer->cap - peer->used;
    for (int i = 0; i < *count; i++)
        all += (*iov)[i].iov_len;
    size_t n = shortened(all < room ? all : room), left = n;
    while (*count && (left || !(*iov)->iov_len)) {
        size_t part = left < (*iov)->iov_len ? left : (*iov)->iov_len;
        if (part)
            append(peer, (*iov)->iov_base, part);
        left -= part;
        (*iov)->iov_base = (char *)(*iov)->iov_base + part;
        (*iov)->iov_len -= part;
        if (!(*iov)->iov_len)
            ++*iov, --*count;
    }
    peer->used += n;
    return n;
}

/* A chunk travels in one or two parts. */
static void send_parts(struct rt_sim_end *peer, size_t n) {
    size_t first = shortened(n);
    rt_sim_send_to(peer, RT_SIM_DATA, first);
    if (n > first)
        rt_sim_send_to(peer, RT_SIM_DATA, n - first);
}

static ssize_t sim_send(struct rt_stream *s, struct iovec *iov, int count, rt_time deadline) {
    struct rt_sim_end *e = rt_sim_end_of(s->fd), *peer = rt_sim_peer(e);
    ssize_t all = 0;
    for (;;) {
        if (!(s->flags & RT_STREAM_WRITABLE)) {
            int rc = rt_ready_write(s, deadline);
            if (rc < 0)
                return rc == -EAGAIN && all ? all : rc;
            continue;
        }
        if (!e->reset && rt_sim_strikes(rt_sim_now.config->resets))
            rt_sim_break(e);
        if (e->reset || e->shut)
            return e->reset ? -ECONNRESET : -EPIPE;
        size_t n = put_bytes(peer, &iov, &count);
        if (n)
            send_parts(peer, n);
        s->bytes_out += n;
        all += (ssize_t)n;
        if (!count)
            return all;
        clear(s, RT_STREAM_WRITABLE);
        e->starved = true;
        if (peer->used < peer->cap) /* only the seed made it short */
            rt_sim_send_to(e, RT_SIM_ROOM, 0);
    }
}

static size_t sim_unsent(struct rt_stream *s) {
    return rt_sim_peer(rt_sim_end_of(s->fd))->used;
}

static int sim_wait_fd(int fd, int events, rt_time deadline) {
    (void)fd;
    (void)events;
    (void)deadline;
    return -ENOTSUP;
}

static void detach(struct rt_sim_source *source) {
    b_list_remove(&source->link);
    source->stream = NULL;
    source->events = 0;
}

static int end_listener(struct rt_stream *s, struct rt_sim_listener *l, enum rt_end how) {
    struct rt_sim_attachment *a = rt_sim_attachment(l, s);
    detach(&a->source);
    b_list_remove(&a->link);
    b_free(a);
    if (how == RT_END_DETACH)
        return l->handle;
    rt_sim_listener_close(l);
    return 0;
}

static int end_writing(struct rt_sim_end *e) {
    if (e->reset || !e->established)
        return -ENOTCONN;
    if (!e->shut)
        rt_sim_send_to(rt_sim_peer(e), RT_SIM_FIN, 0);
    e->shut = true;
    return 0;
}

static int sim_end(struct rt_stream *s, enum rt_end how) {
    struct rt_sim_end *e = rt_sim_end_of(s->fd);
    int rc = 0;
    if (how == RT_END_WRITING)
        return end_writing(e);
    assert(!s->reader && !s->writer && "a fiber waits on the stream that another one ends");
    rt_ready_park(s, NULL, RT_NEVER);
    if (s->flags & RT_STREAM_LISTENER) {
        rc = end_listener(s, rt_sim_listener_of(s->fd), how);
    } else if (how == RT_END_DETACH) {
        detach(&e->source);
        rc = s->fd;
    } else {
        rt_sim_end_close(e, how == RT_END_RESET);
    }
    s->worker = NULL;
    s->fd = -1;
    return rc;
}

const struct rt_io_ops rt_sim_ops = {
    .attach = sim_attach,
    .accept = sim_accept,
    .connect = sim_connect,
    .receive = sim_receive,
    .receive_lent = rt_ready_receive_lent,
    .send = sim_send,
    .unsent = sim_unsent,
    .wait_fd = sim_wait_fd,
    .wait_any = rt_ready_wait_any,
    .park = rt_ready_park,
    .end = sim_end,
};
