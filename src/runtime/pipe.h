/* Bytes on their way from one stream to another that stay inside the kernel (splice(2)): a large body is passed on without
 * being copied into the process and out of it again, which is half of what it costs otherwise. */
#ifndef RUNTIME_PIPE_H
#define RUNTIME_PIPE_H

#include "runtime/io.h"

/* The most that one pipe holds, and how many one worker has: those beyond it copy. */
#define RT_PIPE_BYTES (256 * 1024)
#define RT_PIPES_MAX 64

struct rt_pipe;

/* An empty pipe of this worker. NULL where the back end has no sockets that it could take from, where all pipes are in use,
 * or descriptors or memory are short: then receive and send. */
struct rt_pipe *rt_pipe_take(void);
/* Gives it back; what is still in it is dropped. */
void rt_pipe_give(struct rt_pipe *p);
/* Whether rt_pipe_take can give one at all. */
bool rt_has_pipes(void);

/* Waits until bytes have come on the stream and takes up to max of them into the pipe, which is empty: the count; 0 at the end
 * of what the peer sends; or negative errno. From a fiber. */
ssize_t rt_pipe_fill(struct rt_pipe *p, struct rt_stream *from, uint64_t max, rt_time deadline)
    __attribute__((warn_unused_result));
/* Sends all that is in the pipe: 0, or negative errno. From a fiber. */
int rt_pipe_drain(struct rt_pipe *p, struct rt_stream *to, rt_time deadline)
    __attribute__((warn_unused_result));

/* --- for the worker --- */
/* Closes the pipes that are not in use. */
void rt_pipes_free(struct rt_worker *w);

#endif
