/* What attempt.c, send.c and response.c have in common. For the folder only. */
#ifndef UPSTREAM_EXCHANGE_H
#define UPSTREAM_EXCHANGE_H

#include "upstream/attempt.h"

/* Remembers why, and gives -error. */
int up_fail(struct up_exchange *x, enum http_error error, const char *why);
/* What an error of the socket means, in the middle of the phase x->phase. */
int up_socket_error(struct up_exchange *x, const struct rt_call *call, int rc);

/* --- send.c --- */

/* Sends head and body. 0 when all has gone, or when the response has begun before that (x->request_whole tells); or
 * -(enum http_error). The deadline moves on with each piece of the body that comes. */
int up_send_request(struct up_exchange *x, const struct rt_call *call, struct http_request *req,
                    const struct up_body *body, rt_time *deadline) __attribute__((warn_unused_result));

/* --- response.c --- */

/* Takes interim responses off the front of *in. The length of the final head, which has been parsed and stays in *in;
 * 0 when it is not whole; or -(enum http_error). */
ssize_t up_final_head(struct up_exchange *x, const struct http_request *req, struct b_slice *in)
    __attribute__((warn_unused_result));
/* Waits for the head of the final response. 0 or -(enum http_error). */
int up_read_head(struct up_exchange *x, const struct rt_call *call, const struct http_request *req,
                 rt_time deadline) __attribute__((warn_unused_result));

#endif
