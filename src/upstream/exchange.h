/* What attempt.c, send.c and response.c have in common. For the folder only. */
#ifndef UPSTREAM_EXCHANGE_H
#define UPSTREAM_EXCHANGE_H

#include "upstream/attempt.h"

/* Remembers why, and gives -error. */
int up_fail(struct up_exchange *x, enum http_error error, const char *why);
/* What an error of the socket means, in the middle of the phase x->phase. */
int up_socket_error(struct up_exchange *x, const struct rt_call *call, int rc);

/* Until when an attempt that begins now may take. */
static inline rt_time up_attempt_deadline(const struct up_exchange *x, const struct rt_call *call,
                                          const struct up_client *client) {
    return client->whole_time ? call->deadline
                              : rt_earlier(call->deadline, rt_after(rt_now(), x->upstream->conf.timeout));
}

/* What an attempt says of its endpoint: rc is 0 for the response in x->res, else -(enum http_error). */
enum up_outcome up_outcome_of(const struct up_exchange *x, int rc);
/* Takes a connection to x->endpoint and sends the request; the deadline moves on as in up_pool_get and up_send_request. 0 or
 * -(enum http_error). */
int up_begin_attempt(struct up_exchange *x, struct rt_call *call, struct http_request *req,
                     const struct up_client *client, rt_time *deadline) __attribute__((warn_unused_result));

/* --- send.c --- */

/* Sends head and body. 0 when all has gone, or when the response has begun before that (x->request_whole tells); or
 * -(enum http_error). The deadline moves on with each piece of the body that comes. */
int up_send_request(struct up_exchange *x, struct rt_call *call, struct http_request *req,
                    const struct up_client *client, rt_time *deadline) __attribute__((warn_unused_result));

/* After an early response: sends on until there is something to read (0), or nothing more to be sent (0). The deadline
 * is for the endpoint to take what was held; or -(enum http_error) of the client. */
int up_send_on(struct up_exchange *x, rt_time deadline) __attribute__((warn_unused_result));
/* Whether that has still something to do. */
bool up_sends_on(const struct up_exchange *x);
void up_forget_unsent(struct up_exchange *x);

/* --- response.c --- */

/* Whether the head of the final response has begun to come in `in` (or something that is none), behind interim ones. */
bool up_final_begun(struct up_exchange *x, const struct http_request *req, struct b_slice in);
/* Passes on the interim responses that were kept while the request was sent. May wait. 0 or -(enum http_error). */
int up_pass_interim(struct up_exchange *x, const struct http_request *req, const struct up_client *client)
    __attribute__((warn_unused_result));
/* Waits for the head of the final response, and passes interim ones on. 0 or -(enum http_error). */
int up_read_head(struct up_exchange *x, const struct rt_call *call, const struct http_request *req,
                 const struct up_client *client, rt_time deadline) __attribute__((warn_unused_result));

#endif
