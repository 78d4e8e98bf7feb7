/* What the tests of runtime/ share. */
#ifndef RUNTIME_SUPPORT_H
#define RUNTIME_SUPPORT_H

#include <errno.h>
#include <string.h>

#include "runtime/io.h"
#include "runtime/sim.h"
#include "runtime/worker.h"
#include "test.h"

/* Generous: what must happen, happens long before; what must not, is waited for a short time only. */
#define LONG (30 * RT_S)
#define SHORT (5 * RT_MS)

/* Runs fn as the main fiber on `workers` workers: of the epoll back end, or after test_on_uring (or with
 * WEIR_TEST_IO=uring in the environment) of io_uring. */
void run_on(unsigned workers, void (*fn)(void *), void *arg);

/* False, with a note, where io_uring cannot be used. */
bool test_on_uring(void);

/* Runs fn in a child process; true when that died of a signal (under a sanitizer, which catches signals: of anything). */
bool dies(void (*fn)(void));

/* Starts a child, for tests in which it must work. */
void spawn_in(struct rt_scope *s, void (*fn)(void *), void *arg);
/* Waits for all children. */
void join(struct rt_scope *s);
/* Lets others run until the condition holds. */
#define UNTIL(cond)           \
    do {                      \
        while (!(cond))       \
            (void)rt_yield(); \
    } while (0)

static inline rt_time in(rt_time span) {
    return rt_after(rt_now(), span);
}

/* --- the same test on both back ends (both.c) --- */

/* Checks that also tell the seed. */
#define EXPECT(cond) ((void)expect_told(test_check(__FILE__, __LINE__, !!(cond), #cond)))
#define EXPECT_INT(got, want) ((void)expect_told(test_check_int(__FILE__, __LINE__, #got, (got), (want))))
#define EXPECT_UINT(got, want) ((void)expect_told(test_check_uint(__FILE__, __LINE__, #got, (got), (want))))
bool expect_told(bool ok);

enum where { TCP, UNIX, URING, URING_UNIX, SIM };
void run_both(enum where where, unsigned workers, void (*fn)(void *));
/* A listener, and the address to connect to. */
void listen_anywhere(struct rt_sockaddr *at, int *fd);
/* Two attached ends of a new connection. */
void make_pair(struct rt_stream *a, struct rt_stream *b);
bool on_sim(void);
bool on_unix(void);
bool on_uring(void);
/* 0 .. n-1, by the worker's generator. */
uint64_t draw(uint64_t n);

uint64_t checksum(uint64_t sum, const unsigned char *p, size_t n);

struct transfer {
    struct rt_stream *stream;
    size_t bytes;
    uint64_t sum;
    uint64_t seed;
};
/* Sends that many bytes, which follow from the seed, in chunks of random sizes over one to three buffers, and its FIN. */
void send_random(void *transfer);
/* Receives up to the end. */
void receive_all(struct transfer *t);

/* Defines a test that runs on all: IO_TEST(name, workers) { body }, and its lines in the table. */
#define IO_TEST(name, workers)               \
    static void name(void *arg);             \
    static void name##_tcp(void) {           \
        run_both(TCP, workers, name);        \
    }                                        \
    static void name##_unix(void) {          \
        run_both(UNIX, workers, name);       \
    }                                        \
    static void name##_uring(void) {         \
        run_both(URING, workers, name);      \
    }                                        \
    static void name##_uring_unix(void) {    \
        run_both(URING_UNIX, workers, name); \
    }                                        \
    static void name##_sim(void) {           \
        run_both(SIM, workers, name);        \
    }                                        \
    static void name(__attribute__((unused)) void *arg)
#define IO_CASES(name)                                                                        \
    {#name "_tcp", name##_tcp}, {#name "_unix", name##_unix}, {#name "_uring", name##_uring}, \
        {#name "_uring_unix", name##_uring_unix}, {                                           \
#name "_sim", name##_sim                                                              \
    }

#endif
