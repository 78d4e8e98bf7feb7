/* What the two sides of the fault proxy share: endpoints with their faults, and the commands that set them. */
#ifndef FAULTPROXY_H
#define FAULTPROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ENDPOINTS_MAX = 64, FILLERS_MAX = 8, LINE_BYTES = 512 };

enum fault {
    NONE,
    REFUSE,
    BLACKHOLE,
    HANG,
    HANG_FORWARD,
    RST_ACCEPT,
    RST_REQUEST,
    RST_ANSWER,
    CUT,
    HALF_CLOSE,
    GARBAGE,
    CORRUPT_HEAD,
    CORRUPT_BODY,
};

enum kind { LISTENER, PAIR_END, CONTROL_LISTENER, CONTROL };

/* What epoll gives back. */
struct watched {
    enum kind kind;
    int fd;
};

struct endpoint {
    struct watched watched;
    char name[32];
    long port, origin_port;
    struct pair *pairs;
    enum fault fault;
    uint64_t argument;
    bool full;
    int fillers[FILLERS_MAX], fillers_count;
    double chance;
    uint64_t latency_ns, jitter_ns, rate, drip_ns;
    int open;
    uint64_t connections, requests, bytes_up, bytes_down, faults;
};

extern struct endpoint endpoints[ENDPOINTS_MAX];
extern int endpoints_count, events_fd;
extern uint64_t posts, repeated; /* POSTs with an X-Id, and those whose number had come before */

/* Resets the connections that an endpoint has. */
void reset_pairs(struct endpoint *endpoint);
/* All POSTs are new from now on. */
void forget_posts(void);
/* From now on it does this wrong, and what it did before no more. */
void put_fault(struct endpoint *endpoint, enum fault fault, uint64_t argument);

/* commands.c: connections that give commands, a line each. */
struct control {
    struct watched watched;
    size_t len;
    char line[LINE_BYTES];
};

void accept_control(int listener);
void serve_control(struct control *control);

#endif
