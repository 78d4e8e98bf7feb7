/* Limits that the kernel sets on the process. */
#ifndef NET_LIMITS_H
#define NET_LIMITS_H

#include <stdint.h>

/* Raises the soft limit on open descriptors to the hard one, and gives the limit then in force
 * (UINT64_MAX: none). Call at start. */
uint64_t net_raise_descriptor_limit(void);

#endif
