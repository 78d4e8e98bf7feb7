#include "runtime/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "runtime/worker.h"

#define FREE_MAX 16 /* pipes that a worker keeps for the next */

struct rt_pipe {
    struct rt_pipe *next; /* on the worker's list of free ones */
    int in, out;
    size_t held; /* bytes in it */
};

bool rt_has_pipes(void) {
    return rt_self()->backend->sockets;
}

static void destroy(struct rt_worker *w, struct rt_pipe *p) {
    w->pipes_made--;
    close(p->in);
    close(p->out);
    b_free(p);
}

static struct rt_pipe *make(struct rt_worker *w) {
    int ends[2];
    struct rt_pipe *p = w->pipes_made < RT_PIPES_MAX ? b_zalloc(B_TAG_RUNTIME, sizeof *p) : NULL;
    if (!p)
        return NULL;
    if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) {
        b_free(p);
        return NULL;
    }
    p->out = ends[0];
    p->in = ends[1];
    (void)fcntl(p->in, F_SETPIPE_SZ,
                RT_PIPE_BYTES); /* refused where the user has many already: a smaller one will do */
    w->pipes_made++;
    return p;
}

struct rt_pipe *rt_pipe_take(void) {
    struct rt_worker *w = rt_self();
    struct rt_pipe *p = w->pipes;
    if (!rt_has_pipes())
        return NULL;
    if (!p)
        return make(w);
    w->pipes = p->next;
    w->pipes_free--;
    return p;
}

void rt_pipe_give(struct rt_pipe *p) {
    struct rt_worker *w = rt_self();
    if (p->held || w->pipes_free >= FREE_MAX) {
        destroy(w, p);
        return;
    }
    p->next = w->pipes;
    w->pipes = p;
    w->pipes_free++;
}

void rt_pipes_free(struct rt_worker *w) {
    for (struct rt_pipe *p; (p = w->pipes);) {
        w->pipes = p->next;
        destroy(w, p);
    }
    w->pipes_free = 0;
}

/* As much as can be had now: the count, 0 at the end of the input, -EAGAIN, ... */
static ssize_t move(int from, int to, size_t max) {
    ssize_t n;
    do
        n = splice(from, NULL, to, NULL, max, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    while (n < 0 && errno == EINTR);
    rt_charge(RT_OPERATION + (n > 0 ? n : 0));
    return n < 0 ? -errno : n;
}

ssize_t rt_pipe_fill(struct rt_pipe *p, struct rt_stream *from, uint64_t max, rt_time deadline) {
    size_t most = max < RT_PIPE_BYTES ? (size_t)max : RT_PIPE_BYTES;
    for (;;) {
        int rc = rt_wait_readable(from, deadline);
        if (rc)
            return rc;
        ssize_t n = move(from->fd, p->in, most);
        if (n == -EAGAIN) {
            from->flags &= (uint16_t)~RT_STREAM_READABLE;
            continue;
        }
        if (n > 0) {
            p->held = (size_t)n;
            from->bytes_in += (size_t)n;
        }
        return n;
    }
}

int rt_pipe_drain(struct rt_pipe *p, struct rt_stream *to, rt_time deadline) {
    while (p->held) {
        struct rt_wait w = {.stream = to, .want = RT_WRITE};
        int rc = rt_wait_any(&w, 1, deadline);
        if (rc < 0)
            return rc;
        ssize_t n = move(p->out, to->fd, p->held);
        if (n < 0 && n != -EAGAIN)
            return (int)n;
        size_t moved = n > 0 ? (size_t)n : 0;
        p->held -= moved;
        to->bytes_out += moved;
        if (p->held)
            to->flags &= (uint16_t)~RT_STREAM_WRITABLE; /* it is full: the next edge comes when it is not */
    }
    return 0;
}
