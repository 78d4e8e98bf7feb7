#include "dns_server.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define PACKET 2048
#define T_A 1
#define T_CNAME 5
#define T_AAAA 28

struct reply {
    uint8_t bytes[PACKET];
    size_t len;
    unsigned records;
};

static void put16(struct reply *r, unsigned v) {
    r->bytes[r->len++] = (uint8_t)(v >> 8);
    r->bytes[r->len++] = (uint8_t)v;
}

static void head(struct reply *r, unsigned type, uint32_t ttl, unsigned len) {
    put16(r, 0xc00c); /* the name in the question */
    put16(r, type);
    put16(r, 1);
    put16(r, ttl >> 16);
    put16(r, ttl & 0xffff);
    put16(r, len);
    r->records++;
}

static void address(struct reply *r, struct dns_server *s, unsigned type, unsigned n) {
    uint8_t third = atomic_load(&s->third);
    uint8_t v4[4] = {10, 0, third, (uint8_t)n}, v6[16] = {0xfd, [14] = third, [15] = (uint8_t)n};
    head(r, type, atomic_load(&s->ttl), type == T_A ? 4 : 16);
    memcpy(r->bytes + r->len, type == T_A ? v4 : v6, type == T_A ? 4 : 16);
    r->len += type == T_A ? 4 : 16;
}

static int mode_of(const uint8_t *name, int mode) {
    static const struct {
        const char *name;
        int mode;
    } names[] = {{"v4", V4},           {"v6", V6},         {"many", MANY},       {"alias", ALIAS},
                 {"nx", NX},           {"empty", EMPTY},   {"broken", BROKEN},   {"garbage", GARBAGE},
                 {"cut", CUT},         {"silent", SILENT}, {"silent6", SILENT6}, {"late6", LATE6},
                 {"broken6", BROKEN6}, {"slow", SLOW}};
    if (mode != BY_NAME)
        return mode;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (name[0] == strlen(names[i].name) && memcmp(name + 1, names[i].name, name[0]) == 0)
            return names[i].mode;
    return BOTH;
}

static void records(struct reply *r, struct dns_server *s, int mode, unsigned type) {
    unsigned count = mode == MANY ? 20 : 2;
    if ((mode == V4 && type == T_AAAA) || (mode == V6 && type == T_A) || mode == EMPTY || mode == NX)
        return;
    if (mode == ALIAS) {
        head(r, T_CNAME, 1, 2);
        put16(r, 0xc00c); /* an alias of itself: c-ares reads the TTL and goes on */
    }
    for (unsigned n = 1; n <= count; n++)
        address(r, s, type, n);
    if (mode == CUT)
        r->len -= 3;
}

static unsigned code_of(int mode, unsigned type) {
    if (mode == BROKEN || (mode == BROKEN6 && type == T_AAAA))
        return 2;
    return mode == NX ? 3 : 0;
}

static void pause_ms(long ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* False: no answer. */
static bool answer(struct dns_server *s, const uint8_t *query, size_t len, struct reply *r) {
    size_t end = 12;
    while (end < len && query[end])
        end += query[end] + 1u;
    if (end + 5 > len)
        return false;
    unsigned type = (unsigned)query[end + 1] << 8 | query[end + 2];
    memcpy(s->last, query + 12, end + 1 - 12 < sizeof s->last ? end + 1 - 12 : sizeof s->last);
    int mode = mode_of(query + 12, atomic_load(&s->mode));
    atomic_fetch_add(type == T_A ? &s->queries_a : &s->queries_aaaa, 1);
    if (mode == SILENT || (mode == SILENT6 && type == T_AAAA))
        return false;
    if (mode == SLOW || (mode == LATE6 && type == T_AAAA))
        pause_ms(150);
    memcpy(r->bytes, query, end + 5);
    r->len = end + 5;
    r->bytes[2] = 0x81;
    r->bytes[3] = (uint8_t)(0x80 | code_of(mode, type));
    memset(r->bytes + 6, 0, 6);
    if (mode == GARBAGE) {
        memset(r->bytes + 6, 0xff, 200);
        r->len = 206;
        return true;
    }
    if (code_of(mode, type) == 0)
        records(r, s, mode, type);
    r->bytes[7] = (uint8_t)r->records;
    return true;
}

static void *serve(void *arg) {
    struct dns_server *s = arg;
    while (!atomic_load(&s->stop)) {
        uint8_t query[PACKET];
        struct reply r = {.len = 0};
        struct sockaddr_in from;
        socklen_t len = sizeof from;
        ssize_t n = recvfrom(s->fd, query, sizeof query, 0, (struct sockaddr *)&from, &len);
        if (n > 12 && answer(s, query, (size_t)n, &r))
            (void)sendto(s->fd, r.bytes, r.len, 0, (struct sockaddr *)&from, len);
    }
    return NULL;
}

bool dns_server_start(struct dns_server *s) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    memset(s, 0, sizeof *s);
    s->ttl = 60;
    s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(s->fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_usec = 20000},
                     sizeof(struct timeval));
    if (bind(s->fd, (struct sockaddr *)&at, len) != 0 ||
        getsockname(s->fd, (struct sockaddr *)&at, &len) != 0)
        return false;
    snprintf(s->csv, sizeof s->csv, "127.0.0.1:%u", ntohs(at.sin_port));
    return pthread_create(&s->thread, NULL, serve, s) == 0;
}

void dns_server_stop(struct dns_server *s) {
    atomic_store(&s->stop, true);
    pthread_join(s->thread, NULL);
    close(s->fd);
}
