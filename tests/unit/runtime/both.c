/* Runs one test on the epoll back end and on io_uring, over TCP and over unix sockets, and on the simulator with many
 * seeds. */
#include <arpa/inet.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support.h"

#define SEEDS 50

static enum where here;
static uint64_t seed;
static bool failed;
static int next_address;
static char folder[] = "/tmp/weir-test-XXXXXX"; /* of the unix sockets */

bool expect_told(bool ok) {
    if (!ok && !failed) {
        failed = true;
        if (here == SIM)
            FAIL("that was seed %llu; WEIR_SEED=%llu replays it", (unsigned long long)seed,
                 (unsigned long long)seed);
    }
    return ok;
}

bool on_sim(void) {
    return here == SIM;
}

bool on_unix(void) {
    return here == UNIX || here == URING_UNIX;
}

bool on_uring(void) {
    return here != SIM && strcmp(rt_self()->backend->name, "uring") == 0;
}

uint64_t draw(uint64_t n) {
    return b_rng_below(&rt_self()->rng, n);
}

static int open_descriptors(void) {
    DIR *d = opendir("/proc/self/fd");
    int n = 0;
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void run_seeds(unsigned workers, void (*fn)(void *)) {
    bool replay = getenv("WEIR_SEED") != NULL;
    uint64_t first = rt_sim_seed(1);
    for (seed = first; seed < first + (replay ? 1 : SEEDS) && !failed; seed++) {
        struct rt_sim_result result;
        struct rt_sim_config config = {.seed = seed, .workers = workers, .result = &result};
        EXPECT_INT(rt_sim_run(&config, fn, NULL), 0);
        EXPECT_UINT(result.handles, 0);
        EXPECT_UINT(rt_fiber_count(), 0);
    }
}

void run_both(enum where where, unsigned workers, void (*fn)(void *)) {
    here = where;
    if (where == SIM) {
        run_seeds(workers, fn);
        return;
    }
    if ((where == URING || where == URING_UNIX) && !test_on_uring())
        return;
    CHECK(!on_unix() || mkdtemp(folder) != NULL);
    int before = open_descriptors();
    run_on(workers, fn, NULL);
    CHECK_INT(open_descriptors(), before);
    for (; on_unix() && next_address; next_address--) {
        char path[64];
        (void)snprintf(path, sizeof path, "%s/%d", folder, next_address - 1);
        (void)unlink(path);
    }
    if (on_unix())
        CHECK_INT(rmdir(folder), 0);
}

void listen_anywhere(struct rt_sockaddr *at, int *fd) {
    memset(at, 0, sizeof *at);
    if (on_unix()) {
        at->len = sizeof at->u.un;
        at->u.un.sun_family = AF_UNIX;
        (void)snprintf(at->u.un.sun_path, sizeof at->u.un.sun_path, "%s/%d", folder, next_address++);
    } else {
        at->len = sizeof at->u.in;
        at->u.in.sin_family = AF_INET;
        at->u.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        at->u.in.sin_port = htons(here == SIM ? (uint16_t)(1000 + next_address++ % 1000) : 0);
    }
    EXPECT_INT(rt_listen(at, 4096, fd), 0);
    if (here == TCP || here == URING)
        EXPECT_INT(getsockname(*fd, &at->u.any, &at->len), 0);
}

struct connecting {
    struct rt_sockaddr at;
    struct rt_stream *stream;
};

static void connect_one(void *arg) {
    struct connecting *c = arg;
    EXPECT_INT(rt_connect(c->stream, &c->at, in(LONG)), 0);
}

void make_pair(struct rt_stream *a, struct rt_stream *b) {
    struct connecting c = {.stream = a};
    struct rt_stream listener;
    struct rt_scope s;
    int fd = -1;
    listen_anywhere(&c.at, &fd);
    EXPECT_INT(rt_attach(&listener, fd, true), 0);
    rt_scope_init(&s);
    spawn_in(&s, connect_one, &c);
    int accepted = rt_accept(&listener, NULL, in(LONG));
    EXPECT(accepted >= 0);
    EXPECT_INT(rt_attach(b, accepted, false), 0);
    join(&s);
    EXPECT_INT(rt_end(&listener, RT_END_CLOSE), 0);
}

uint64_t checksum(uint64_t sum, const unsigned char *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        sum = (sum ^ p[i]) * 0x100000001b3u;
    return sum;
}

void send_random(void *arg) {
    struct transfer *t = arg;
    struct b_rng rng = {.state = t->seed};
    unsigned char buf[3000];
    for (size_t left = t->bytes; left;) {
        size_t n = 1 + (size_t)draw(left < sizeof buf ? left : sizeof buf);
        for (size_t i = 0; i < n; i++)
            buf[i] = (unsigned char)b_rng_next(&rng);
        t->sum = checksum(t->sum, buf, n);
        size_t a = (size_t)draw(n + 1), b = (size_t)draw(n - a + 1);
        struct iovec v[3] = {{buf, a}, {buf + a, b}, {buf + a + b, n - a - b}};
        EXPECT_INT(rt_send(t->stream, v, 3, in(LONG)), (ssize_t)n);
        left -= n;
    }
    EXPECT_INT(rt_end(t->stream, RT_END_WRITING), 0);
}

void receive_all(struct transfer *t) {
    unsigned char buf[4000];
    ssize_t n;
    while ((n = rt_receive(t->stream, buf, 1 + (size_t)draw(sizeof buf), in(LONG))) > 0) {
        t->bytes += (size_t)n;
        t->sum = checksum(t->sum, buf, (size_t)n);
    }
    EXPECT_INT(n, 0);
}
