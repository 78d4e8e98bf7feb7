/* Inside runtime/: what back ends that report readiness share: the flags of a stream, and who waits for them. All run on
 * the stream's own worker. */
#ifndef RUNTIME_IO_READY_H
#define RUNTIME_IO_READY_H

#include "runtime/io.h"

/* Something has happened (READABLE, WRITABLE, HUP, ERROR): keeps it, and wakes or unparks whoever waits for it. */
void rt_ready_event(struct rt_stream *s, unsigned flags);
/* The same, told in the bits of poll(2), which are those of epoll. */
void rt_ready_polled(struct rt_stream *s, unsigned events);
/* Waits as the stream's reader or writer until an event may have set the flag: 0, -EAGAIN (RT_NOWAIT), -ETIMEDOUT,
 * -ECANCELED. */
int rt_ready_read(struct rt_stream *s, rt_time deadline) __attribute__((warn_unused_result));
int rt_ready_write(struct rt_stream *s, rt_time deadline) __attribute__((warn_unused_result));
/* The operations of the same names in struct rt_io_ops. */
ssize_t rt_ready_receive_lent(struct rt_stream *s, struct b_slice kept, size_t max, struct b_slice *all,
                              rt_time deadline) __attribute__((warn_unused_result));
int rt_ready_wait_any(struct rt_wait *waits, int n, rt_time deadline) __attribute__((warn_unused_result));
void rt_ready_park(struct rt_stream *s, struct rt_parked *p, rt_time deadline);

#endif
