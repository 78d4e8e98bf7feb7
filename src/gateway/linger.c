/* Closing a connection after an answer. Unread input would make the kernel send a reset that can destroy the answer on
 * its way (RFC 9112 section 9.6), or fail a client that looks for its answer when it has sent all. So weir half-closes,
 * reads what still comes, and closes. What it reads goes nowhere: the limits are there to be rid of the client. */
#include <errno.h>

#include "gateway/conn.h"

#define SILENCE RT_S
#define TIME (5 * RT_S)
#define BYTES (64u << 20)

void gw_linger(struct gw_conn *c) {
    rt_time end = rt_after(rt_now(), TIME);
    size_t total = 0;
    if (c->reset) {
        gw_conn_close(c,
                      RT_END_RESET); /* what went out is not whole, and must not look as if it were (U05) */
        return;
    }
    if (rt_end(&c->stream, RT_END_WRITING) == 0)
        while (total < BYTES && rt_now() < end) {
            struct b_slice ignored;
            rt_time deadline = rt_earlier(end, rt_after(rt_now(), SILENCE));
            ssize_t n = rt_receive_lent(&c->stream, b_slice(NULL, 0), RT_SCRATCH_BYTES, &ignored, deadline);
            if (n <= 0)
                break;
            total += (size_t)n;
        }
    gw_conn_close(c, RT_END_CLOSE);
}
