/* Records of the DNS as they are, with their TTL: for who wants all addresses of a name, or its SRV records. Nothing is
 * kept: each call asks. */
#ifndef NET_DNS_RECORDS_H
#define NET_DNS_RECORDS_H

#include "base/arena.h"
#include "runtime/io.h"

enum net_record_type { NET_RECORD_A = 1, NET_RECORD_AAAA = 28, NET_RECORD_SRV = 33 };

struct net_record {
    struct b_slice host; /* an address as text; of SRV the name of a host, empty for "no such service" */
    uint16_t port, priority, weight; /* of SRV (RFC 2782) */
};

#define NET_RECORDS_MAX 4096

struct net_records {
    struct net_record *list; /* in the arena */
    unsigned count;
    rt_time ttl; /* the smallest; 0 with no record */
};

/* Asks the servers ("127.0.0.1:8600,[::1]:53"; NULL: those of the system) for the records of a name. From a fiber. 0, also
 * with no record of that type; -ENOENT (no such name), -EINVAL, -ETIMEDOUT, -ECANCELED, -EIO, -EAGAIN, -ENOMEM. */
int net_dns_records(struct b_slice name, enum net_record_type type, const char *servers,
                    struct b_arena *arena, rt_time deadline, struct net_records *out)
    __attribute__((warn_unused_result));

/* The records of that type in an answer, those of other names that a CNAME leads to among them. Pure. 0, -EIO (malformed)
 * or -ENOMEM. */
int net_dns_parse(struct b_slice answer, enum net_record_type type, struct b_arena *arena,
                  struct net_records *out) __attribute__((warn_unused_result));

#endif
