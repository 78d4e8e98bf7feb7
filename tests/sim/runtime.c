/* The runtime under the simulator: actors on all workers connect, send, wait for permits, set timers, call helper
 * threads and are cancelled half-way, and at the end nothing may be missing: no byte, no permit, no message, no fiber,
 * no handle. With an even seed the network is good, and then every request must be answered; with an odd one it fails.
 *
 *     sim_runtime [--seeds N] [--seed S] */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "runtime/offload.h"
#include "runtime/sim.h"
#include "runtime/sync.h"
#include "runtime/worker.h"
#include "support/run.h"

#define PATIENCE (3600 * RT_S) /* longer than anything takes in a good network */
#define ACTORS 6               /* on each worker */
#define ROUNDS 6
#define PERMITS 3

static struct {
    bool chaos;
    int listener;
    struct rt_sem sem;
    struct rt_scope accepting[RT_SIM_WORKERS_MAX];
    int holding, connections, timers; /* now */
    uint64_t requests, answers, messages_sent, messages_seen, offloaded, timers_fired;
} sim;

/* What all seeds together have done: a run that tests nothing is none. */
static uint64_t total_answers, total_errors, total_moves, total_parks;

static rt_time in(rt_time span) {
    return rt_after(rt_now(), span);
}

/* In a bad network deadlines are short now and then. */
static rt_time deadline(void) {
    return in(sim.chaos && sim_draw(8) == 0 ? (rt_time)sim_draw(50 * (uint64_t)RT_MS) : PATIENCE);
}

static struct rt_sockaddr address(void) {
    struct rt_sockaddr a = {.len = sizeof a.u.in, .u.in = {.sin_family = AF_INET, .sin_port = htons(80)}};
    a.u.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

/* --- requests: a head, and bytes that follow from it --- */

struct head {
    uint64_t seed;
    uint32_t bytes;
};

/* All of len bytes; the end or an error otherwise. */
static ssize_t receive_all(struct rt_stream *s, void *buf, size_t len, rt_time until) {
    size_t got = 0;
    while (got < len) {
        ssize_t n = rt_receive(s, (char *)buf + got, len - got, until);
        if (n <= 0)
            return n;
        got += (size_t)n;
    }
    return (ssize_t)got;
}

static ssize_t send_all(struct rt_stream *s, void *buf, size_t len, rt_time until) {
    struct iovec v = {buf, len};
    uint64_t before = s->bytes_out;
    ssize_t n = sim_draw(2) ? rt_send(s, &v, 1, until) : rt_send_lent(s, &v, 1, until);
    HOLDS(n < 0 || (size_t)n == len);
    HOLDS(n < 0 || s->bytes_out == before + len);
    return n;
}

/* --- server --- */

struct connection {
    struct rt_stream stream;
    struct rt_parked parked;
    struct rt_msg msg;
    int handle; /* on its way to another worker */
};

static void serve(void *arg);

static void serve_again(struct connection *c) {
    int rc = rt_spawn_now("serve", serve, c);
    if (rc == 0)
        return;
    sim_broken("a server fiber cannot start: %d", rc);
    rt_end(&c->stream, RT_END_CLOSE);
    sim.connections--;
    b_free(c);
}

static void unparked(struct rt_parked *p, int result) {
    struct connection *c = B_CONTAINER(p, struct connection, parked);
    HOLDS(result == 0 || result == -ETIMEDOUT);
    HOLDS(c->stream.worker == rt_self());
    serve_again(c);
}

static void arrived(struct rt_msg *m) {
    struct connection *c = B_CONTAINER(m, struct connection, msg);
    sim.messages_seen++;
    int rc = rt_attach(&c->stream, c->handle, false);
    HOLDS(rc == 0);
    serve_again(c);
}

/* One request and its answer: positive to go on. */
static ssize_t answer(struct rt_stream *s) {
    struct head h;
    unsigned char buf[512];
    ssize_t n = receive_all(s, &h, sizeof h, deadline());
    if (n <= 0)
        return n;
    struct b_rng expected = {.state = h.seed};
    for (size_t left = h.bytes; left; left -= (size_t)n) {
        n = rt_receive(s, buf, left < sizeof buf ? left : sizeof buf, deadline());
        if (n <= 0)
            return n;
        for (ssize_t i = 0; i < n; i++)
            HOLDS(buf[i] == (unsigned char)b_rng_next(&expected));
    }
    uint64_t sum = h.seed ^ h.bytes;
    return send_all(s, &sum, sizeof sum, deadline());
}

static void move_away(struct connection *c) {
    c->handle = rt_end(&c->stream, RT_END_DETACH);
    c->msg.fn = arrived;
    sim.messages_sent++;
    total_moves++;
    rt_post(rt_worker((unsigned)sim_draw(rt_worker_count())), &c->msg);
}

static void serve(void *arg) {
    struct connection *c = arg;
    ssize_t n;
    while ((n = answer(&c->stream)) > 0) {
        switch (sim_draw(4)) {
        case 0: move_away(c); return;
        case 1:
            total_parks++;
            c->parked.fn = unparked;
            rt_park_stream(&c->stream, &c->parked, deadline());
            return;
        default: break;
        }
    }
    if (n < 0) {
        total_errors++;
        if (!sim.chaos)
            sim_broken("a server gets %zd from a good network", n);
    }
    rt_end(&c->stream, sim_draw(8) ? RT_END_CLOSE : RT_END_RESET);
    sim.connections--;
    b_free(c);
}

static void accept_all(void *arg) {
    struct rt_stream listener;
    (void)arg;
    HOLDS(rt_attach(&listener, sim.listener, true) == 0);
    for (;;) {
        int handle = rt_accept(&listener, NULL, RT_NEVER);
        if (handle == -ECANCELED)
            break;
        if (handle == -EMFILE) {
            (void)!rt_sleep_until(in(10 * RT_MS));
            continue;
        }
        struct connection *c = b_zalloc(B_TAG_TEST, sizeof *c);
        HOLDS(handle >= 0 && c);
        sim.connections++;
        HOLDS(rt_attach(&c->stream, handle, false) == 0);
        HOLDS(rt_spawn("serve", serve, c) == 0);
    }
    HOLDS(rt_end(&listener, RT_END_DETACH) == sim.listener);
}

static void start_accepting(void *arg) {
    struct rt_scope *s = &sim.accepting[rt_index()];
    rt_scope_init(s);
    HOLDS(rt_scope_spawn(s, "accept", accept_all, arg) == 0);
}

static void stop_accepting(void *arg) {
    (void)arg;
    rt_scope_leave(&sim.accepting[rt_index()]);
}

/* --- actors --- */

static ssize_t ask(struct rt_stream *s) {
    struct head h = {.seed = sim_draw(1u << 30), .bytes = (uint32_t)sim_draw(sim_draw(4) ? 100 : 3000)};
    struct b_rng rng = {.state = h.seed};
    unsigned char buf[512];
    uint64_t sum = 0;
    sim.requests++;
    ssize_t n = send_all(s, &h, sizeof h, deadline());
    for (size_t left = h.bytes, part; left && n >= 0; left -= part) {
        part = 1 + (size_t)sim_draw(left < sizeof buf ? left : sizeof buf);
        for (size_t i = 0; i < part; i++)
            buf[i] = (unsigned char)b_rng_next(&rng);
        n = send_all(s, buf, part, deadline());
    }
    if (n >= 0)
        n = receive_all(s, &sum, sizeof sum, deadline());
    HOLDS(n <= 0 || sum == (h.seed ^ h.bytes));
    sim.answers += n > 0;
    return n;
}

static void use_network(void *arg) {
    struct rt_sockaddr at = address();
    struct rt_stream s;
    (void)arg;
    int rc = rt_connect(&s, &at, deadline());
    if (rc) {
        if (!sim.chaos)
            sim_broken("a connect gets %d from a good network", rc);
        return;
    }
    ssize_t n = 1;
    for (uint64_t requests = 1 + sim_draw(3); requests && n > 0; requests--) {
        n = ask(&s);
        if (sim_draw(3) == 0)
            (void)!rt_sleep_until(in((rt_time)sim_draw(300 * (uint64_t)RT_MS)));
    }
    if (n <= 0 && !sim.chaos)
        sim_broken("a client gets %zd from a good network", n);
    if (n > 0 && sim_draw(2)) { /* a polite end: the server's is waited for */
        char c;
        HOLDS(rt_end(&s, RT_END_WRITING) == 0 || sim.chaos);
        n = rt_receive(&s, &c, 1, deadline());
        HOLDS(n == 0 || n == -ECONNRESET || sim.chaos);
    }
    rt_end(&s, sim.chaos && sim_draw(4) == 0 ? RT_END_RESET : RT_END_CLOSE);
}

static void use_permit(void *arg) {
    (void)arg;
    if (rt_sem_acquire(&sim.sem, deadline()) != 0) {
        HOLDS(sim.chaos);
        return;
    }
    sim.holding++;
    HOLDS(sim.holding <= PERMITS);
    if (sim_draw(4))
        (void)!rt_sleep_until(in((rt_time)sim_draw(20 * (uint64_t)RT_MS)));
    sim.holding--;
    rt_sem_release(&sim.sem);
}

struct alarm {
    struct rt_timer timer;
    rt_time at;
    bool rang;
};

static void rings(struct rt_timer *t) {
    struct alarm *a = B_CONTAINER(t, struct alarm, timer);
    HOLDS(rt_now() >= a->at);
    HOLDS(!a->rang);
    a->rang = true;
    sim.timers--;
    sim.timers_fired++;
}

static void use_timer(void *arg) {
    struct alarm a = {.at = in((rt_time)sim_draw(50 * (uint64_t)RT_MS))};
    (void)arg;
    rt_timer_init(&a.timer, rings);
    rt_timer_set(&a.timer, a.at);
    sim.timers++;
    int rc = rt_sleep_until(in((rt_time)sim_draw(100 * (uint64_t)RT_MS)));
    HOLDS(rc == 0 || sim.chaos);
    HOLDS(a.rang || rt_timer_is_set(&a.timer));
    if (!a.rang)
        sim.timers--;
    rt_timer_cancel(&a.timer);
}

static void count_call(void *arg) {
    ++*(uint64_t *)arg;
}

static void use_helper(void *arg) {
    (void)arg;
    HOLDS(rt_offload(count_call, &sim.offloaded) == 0);
}

static void use_children(void *arg);

static void act(void *arg) {
    static void (*const acts[])(void *) = {use_network, use_network, use_permit, use_timer, use_helper};
    uint64_t i = sim_draw(arg ? 6 : 5); /* the grandchildren have no children */
    (i == 5 ? use_children : acts[i])(NULL);
}

/* Some are cut short. */
static void use_children(void *arg) {
    struct rt_scope s;
    (void)arg;
    rt_scope_init(&s);
    for (uint64_t n = 1 + sim_draw(4); n; n--)
        HOLDS(rt_scope_spawn(&s, "child", act, NULL) == 0);
    int rc = rt_scope_wait(&s, deadline());
    HOLDS(rc == 0 || sim.chaos);
    rt_scope_leave(&s);
}

static void actor(void *arg) {
    for (int i = 0; i < ROUNDS; i++) {
        act(arg);
        if (sim_draw(2))
            (void)rt_yield();
    }
}

static void play(void *arg) {
    struct rt_scope s;
    rt_scope_init(&s);
    for (int i = 0; i < ACTORS; i++)
        HOLDS(rt_scope_spawn(&s, "actor", actor, &sim) == 0);
    HOLDS(rt_scope_wait(&s, RT_NEVER) == 0);
    rt_scope_leave(&s);
    (void)arg;
}

static void director(void *arg) {
    struct rt_sockaddr at = address();
    HOLDS(rt_listen(&at, 4096, &sim.listener) == 0);
    HOLDS(rt_on_all_workers("accept", start_accepting, arg) == 0);
    HOLDS(rt_on_all_workers("play", play, arg) == 0);
    HOLDS(rt_on_all_workers("close", stop_accepting, arg) == 0);
    rt_close_handle(sim.listener);
    while (sim.connections || sim.messages_seen < sim.messages_sent)
        if (rt_sleep_until(in(RT_S)) != 0)
            break;
}

static void run(uint64_t seed) {
    struct rt_sim_result r;
    struct rt_sim_config c = {.seed = seed, .result = &r};
    memset(&sim, 0, sizeof sim);
    sim.chaos = seed % 2;
    if (sim.chaos) {
        c.resets = 5;
        c.connect_fail = 50;
        c.accept_fail = 50;
    }
    rt_sem_init(&sim.sem, PERMITS);
    HOLDS(rt_sim_run(&c, director, NULL) == 0);
    HOLDS(atomic_load(&sim.sem.available) == PERMITS);
    HOLDS(rt_sem_waiting(&sim.sem) == 0);
    HOLDS(sim.holding == 0 && sim.timers == 0 && sim.connections == 0);
    HOLDS(sim.messages_sent == sim.messages_seen);
    HOLDS(sim.chaos || sim.answers == sim.requests);
    HOLDS(rt_fiber_count() == 0);
    HOLDS(r.handles == 0);
    HOLDS(b_alloc_total_bytes() == 0);
    rt_sem_destroy(&sim.sem);
    total_answers += sim.answers;
}

static bool summary(FILE *out) {
    fprintf(out, "%llu answers, %llu errors, %llu moves, %llu parks", (unsigned long long)total_answers,
            (unsigned long long)total_errors, (unsigned long long)total_moves,
            (unsigned long long)total_parks);
    return total_answers && total_errors && total_moves && total_parks;
}

int main(int argc, char **argv) {
    static const struct sim_program program = {.name = "sim_runtime", .run = run, .summary = summary};
    return sim_main(&program, argc, argv);
}
