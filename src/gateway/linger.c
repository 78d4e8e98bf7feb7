/* Closing a connection after an answer. Unread input would make the kernel send a reset that can destroy the answer on
 * its way (RFC 9112 section 9.6): weir half-closes, reads what still comes for a second or 64 KiB, and closes. */
#include <errno.h>

#include "gateway/conn.h"

#define LINGER_TIME RT_S
#define LINGER_BYTES 65536

void gw_linger(struct gw_conn *c) {
    rt_time deadline = rt_after(rt_now(), LINGER_TIME);
    size_t total = 0;
    if (c->reset) {
        gw_conn_close(c,
                      RT_END_RESET); /* what went out is not whole, and must not look as if it were (U05) */
        return;
    }
    if (rt_end(&c->stream, RT_END_WRITING) == 0)
        while (total < LINGER_BYTES) {
            struct b_slice ignored;
            ssize_t n = rt_receive_lent(&c->stream, b_slice(NULL, 0), RT_SCRATCH_BYTES, &ignored, deadline);
            if (n <= 0)
                break;
            total += (size_t)n;
        }
    gw_conn_close(c, RT_END_CLOSE);
}
