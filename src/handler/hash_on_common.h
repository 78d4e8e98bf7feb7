/* What `hash_on` of an upstream names, as a number for consistent_hash. */
#ifndef HANDLER_HASH_ON_COMMON_H
#define HANDLER_HASH_ON_COMMON_H

#include "config/config.h"
#include "gateway/exchange.h"

/* The hash of the request's key; a random number when the request has none. */
uint64_t hd_hash_on(struct exchange *ex, const struct cfg_hash_on *on);

#endif
