/* application/problem+json (RFC 9457): the body of every answer that weir gives in its own name. */
#ifndef HTTP_PROBLEM_H
#define HTTP_PROBLEM_H

#include "base/text.h"
#include "http/error.h"

#define HTTP_PROBLEM_TYPE "application/problem+json"
/* The most bytes of a body: a detail that would take more than 1,024 of them, or an id more than 128, is
 * cut. */
#define HTTP_PROBLEM_MAX 2048

struct http_problem {
    enum http_error error;
    struct b_slice detail;     /* about this occurrence, any bytes; empty: the table's explanation */
    struct b_slice request_id; /* empty: left out */
};

/* Appends {"type","title","status","detail","code","request_id"}. type is "urn:weir:error:CODE". out->failed
 * when there is no room. */
void http_problem_write(struct b_text *out, const struct http_problem *p);

#endif
