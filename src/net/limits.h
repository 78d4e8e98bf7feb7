/* Limits that the kernel sets on the process. */
#ifndef NET_LIMITS_H
#define NET_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

/* Raises the soft limit on open descriptors to the hard one, and gives the limit then in force
 * (UINT64_MAX: none). Call at start. */
uint64_t net_raise_descriptor_limit(void);

/* The limit that is in force since then; UINT64_MAX before. */
uint64_t net_descriptor_limit(void);

/* So many descriptors no client's connection takes: they are for upstreams, the admin, files. The kernel gives the lowest
 * free number, so a number among the last ones says that all others are taken. */
#define NET_RESERVED 64
bool net_descriptor_is_reserved(int fd);
/* A few of these are for the admin alone, so that it answers when upstreams have taken the rest. */
#define NET_RESERVED_ADMIN 16
bool net_descriptor_is_admins(int fd);
/* Whether only reserved ones are left now; two system calls. */
bool net_descriptors_short(void);

#endif
