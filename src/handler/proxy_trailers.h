/* Trailer fields that a proxy route lets through: those of a list, never those that are no trailers (S15). */
#ifndef HANDLER_PROXY_TRAILERS_H
#define HANDLER_PROXY_TRAILERS_H

#include "config/config.h"
#include "gateway/exchange.h"
#include "upstream/attempt.h"

#define HD_TRAILERS_MAX 16

/* Of one request, in its arena. */
struct hd_trailers {
    const struct cfg_list *names;    /* struct cfg_text */
    bool wanted;                     /* the client takes them: TE: trailers, RFC 9110 section 6.5.1 */
    struct b_text request, response; /* the sections as they came; on the heap */
    struct b_slice announced;        /* of the request's Trailer field, what the list has */
    struct http_fields behind;       /* what goes behind the request's body; lent until the next wait */
    struct http_fields back;         /* and behind the response's */
};

/* Contract of cfg_table.check, for the list of names. */
int hd_trailers_check(struct cfg_errors *errors, const struct cfg_list *names);

/* Before hop-by-hop fields are taken off the request: sees whether there is something to keep. 0 and *out, or
 * -HTTP_E_OUT_OF_MEMORY. */
int hd_trailers_open(struct exchange *ex, const struct cfg_list *names, struct hd_trailers **out)
    __attribute__((warn_unused_result));
void hd_trailers_close(struct exchange *ex, struct hd_trailers *t);
/* The names that a Trailer field may tell of, as a list in the arena; empty when there are none. */
struct b_slice hd_trailers_announced(struct exchange *ex, const struct hd_trailers *t,
                                     const struct http_fields *fields);
/* Adds a Trailer field, unless the list is empty. 0 or -HTTP_E_OUT_OF_MEMORY. */
int hd_trailers_announce(struct exchange *ex, struct http_fields *fields, struct b_slice names)
    __attribute__((warn_unused_result));
/* The body of the request, or that of the response, has been read to its end: what of its trailer section goes on. 0 or
 * -(enum http_error). */
int hd_trailers_of_request(struct exchange *ex, struct hd_trailers *t) __attribute__((warn_unused_result));
int hd_trailers_of_response(struct hd_trailers *t) __attribute__((warn_unused_result));

#endif
