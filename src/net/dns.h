/* Names to addresses, through c-ares: /etc/hosts first, then the servers of /etc/resolv.conf, which is read
 * again when it has changed. Each worker has its own channel and its own cache, so a name costs up to one
 * query a worker and TTL.
 *
 * TTLs are honoured between 1 s and 1 h, a failure is remembered for 1 s. When a name that was known
 * cannot be found any more, for whatever reason (an empty answer included), its last addresses are given
 * for up to 1 h more. */
#ifndef NET_DNS_H
#define NET_DNS_H

#include "base/slice.h"
#include "runtime/io.h"

#define NET_ADDRESSES_MAX 16

/* About 1.8 KiB: in an arena or on the heap, rather than on a fiber's stack. */
struct net_addresses {
    unsigned count;
    bool stale; /* kept from before: the last lookup failed, or has not come back in time */
    /* Monotonic time after which asking again may give another answer; RT_NEVER for an IP address. */
    rt_time expires;
    struct rt_sockaddr list[NET_ADDRESSES_MAX]; /* IPv4 first, each kind in the order of the answer */
};

/* The addresses of a host name (at most 253 bytes; a final dot means that no search domain is tried), or
 * of an IP address in text form. From a fiber; waits for the answer until the deadline, one query serving
 * all who wait for the same name. A query that is not waited for any more goes on, and fills the cache.
 * With RT_NOWAIT it gives what is known, and starts a query when that is due.
 * 0, with at least one address; or -ENOENT (no such name, or it has no address), -EINVAL (cannot be a
 * name), -ETIMEDOUT (the deadline, or the servers do not answer), -ECANCELED, -EIO (the servers refuse, or
 * answer nonsense), -EAGAIN (too many lookups at once, or no fiber), -ENOMEM, or what the kernel says to a
 * new descriptor. */
int net_resolve(struct b_slice name, uint16_t port, rt_time deadline, struct net_addresses *out)
    __attribute__((warn_unused_result));

/* Ends the worker's lookups with -ECANCELED and gives its memory back. From a fiber of the worker, as the
 * last use of this module there; rt_on_all_workers calls it everywhere. What a lookup under way holds goes
 * when the worker stops. */
void net_dns_close_worker(void);

struct net_dns_stats {
    uint64_t lookups; /* sent to c-ares */
    uint64_t hits;    /* answered from the cache, fresh */
    uint64_t joined;  /* waited for a lookup that another one had started */
    uint64_t stale;   /* answered with addresses kept from before */
    uint64_t failed;  /* lookups that gave no address */
    uint64_t names;   /* in the caches now */
};
/* Sums over all workers; any thread. */
void net_dns_stats(struct net_dns_stats *out);

/* --- for tests; while no other worker uses this module --- */
/* Asks these servers only ("127.0.0.1:5353,[::1]:5354") and tries no search domains, unless a file is set
 * below; NULL: those of the file. */
int net_dns_servers(const char *csv) __attribute__((warn_unused_result));
/* Another file in place of /etc/resolv.conf (borrowed for good), looked at on every lookup; NULL: back to
 * it. */
void net_dns_config_path(const char *path);

#endif
