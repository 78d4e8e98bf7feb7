/* Streams and several workers, on both back ends: a shared listener, and connections that move. */
#include "support.h"

/* --- several workers on one listener --- */

enum { CLIENTS = 50 };
static struct rt_sockaddr shared_at;
static int shared_fd;
static _Atomic unsigned accepted, greeted, left;

static void greet(void *arg) {
    struct rt_stream s;
    char hello = 'h';
    struct iovec v = {&hello, 1};
    EXPECT_INT(rt_attach(&s, (int)(intptr_t)arg, false), 0);
    EXPECT_INT(rt_send(&s, &v, 1, in(LONG)), 1);
    EXPECT_INT(rt_receive(&s, &hello, 1, in(LONG)), 0);
    EXPECT_INT(rt_end(&s, RT_END_CLOSE), 0);
    atomic_fetch_add(&left, 1);
}

static struct rt_scope accepting[RT_SIM_WORKERS_MAX];

static void accept_forever(void *arg) {
    struct rt_stream listener;
    (void)arg;
    EXPECT_INT(rt_attach(&listener, shared_fd, true), 0);
    for (;;) {
        int fd = rt_accept(&listener, NULL, RT_NEVER);
        if (fd == -ECANCELED)
            break;
        EXPECT(fd >= 0);
        atomic_fetch_add(&accepted, 1);
        EXPECT_INT(rt_spawn("greet", greet, (void *)(intptr_t)fd), 0);
    }
    EXPECT_INT(rt_end(&listener, RT_END_DETACH), shared_fd);
}

static void start_accepting(void *arg) {
    rt_scope_init(&accepting[rt_index()]);
    spawn_in(&accepting[rt_index()], accept_forever, arg);
}

static void stop_accepting(void *arg) {
    (void)arg;
    rt_scope_leave(&accepting[rt_index()]);
}

static void be_greeted(void *arg) {
    struct rt_stream s;
    char c = 0;
    (void)arg;
    EXPECT_INT(rt_connect(&s, &shared_at, in(LONG)), 0);
    EXPECT_INT(rt_receive(&s, &c, 1, in(LONG)), 1);
    EXPECT_INT(c, 'h');
    atomic_fetch_add(&greeted, 1);
    EXPECT_INT(rt_end(&s, RT_END_CLOSE), 0);
}

static void be_greeted_often(void *arg) {
    struct rt_scope s;
    rt_scope_init(&s);
    for (int i = 0; i < CLIENTS; i++) {
        spawn_in(&s, be_greeted, arg);
        if (draw(4) == 0)
            (void)rt_yield();
    }
    join(&s);
}

IO_TEST(workers_share_a_listener, 4) {
    atomic_store(&accepted, 0);
    atomic_store(&greeted, 0);
    atomic_store(&left, 0);
    listen_anywhere(&shared_at, &shared_fd);
    EXPECT_INT(rt_on_all_workers("start", start_accepting, NULL), 0);
    EXPECT_INT(rt_on_all_workers("clients", be_greeted_often, NULL), 0);
    EXPECT_UINT(greeted, CLIENTS * rt_worker_count());
    EXPECT_UINT(accepted, greeted);
    UNTIL(left == accepted);
    EXPECT_INT(rt_on_all_workers("stop", stop_accepting, NULL), 0);
    rt_close_handle(shared_fd);
}

/* --- moving between workers --- */

struct mover {
    struct rt_msg msg;
    int fd;
    unsigned hops, at;
    size_t bytes;
    uint64_t sum;
    bool done;
};

static void move_on(struct mover *m);

static void receive_some(void *arg) {
    struct mover *m = arg;
    struct rt_stream s;
    unsigned char buf[64];
    EXPECT_INT(rt_attach(&s, m->fd, false), 0);
    for (int i = 0; i < 3; i++) {
        ssize_t n = rt_receive(&s, buf, 1 + (size_t)draw(sizeof buf), in(LONG));
        EXPECT(n >= 0);
        if (n <= 0) {
            EXPECT_INT(rt_end(&s, RT_END_CLOSE), 0);
            m->done = true;
            break;
        }
        m->bytes += (size_t)n;
        m->sum = checksum(m->sum, buf, (size_t)n);
    }
    if (!m->done)
        m->fd = rt_end(&s, RT_END_DETACH);
    move_on(m);
}

static void start_receiving(struct rt_msg *msg) {
    EXPECT_INT(rt_spawn("receive", receive_some, B_CONTAINER(msg, struct mover, msg)), 0);
}

static struct rt_fiber *mover_waits;

static void moved_home(struct rt_msg *msg) {
    (void)msg;
    rt_wake(mover_waits, 0);
}

static void move_on(struct mover *m) {
    m->hops++;
    m->at = (m->at + 1) % rt_worker_count();
    m->msg.fn = m->done ? moved_home : start_receiving;
    rt_post(rt_worker(m->done ? 0 : m->at), &m->msg);
}

IO_TEST(a_stream_moves_between_workers_with_its_data, 3) {
    struct rt_stream a, b;
    struct rt_scope s;
    struct transfer out = {.stream = &a, .bytes = 4000, .seed = 9};
    struct mover m = {0};
    make_pair(&a, &b);
    rt_scope_init(&s);
    spawn_in(&s, send_random, &out);
    mover_waits = rt_fiber_self();
    m.fd = rt_end(&b, RT_END_DETACH);
    move_on(&m);
    EXPECT_INT(rt_park(RT_NEVER), 0);
    join(&s);
    EXPECT_UINT(m.bytes, 4000);
    EXPECT_UINT(m.sum, out.sum);
    EXPECT(m.hops > 10);
    EXPECT_INT(rt_end(&a, RT_END_CLOSE), 0);
}

static void receive_it(void *arg) {
    receive_all(arg);
}

/* What is sent goes out before whatever follows, though nothing waits between them: a move, a half-close, a close. */
IO_TEST(what_was_sent_goes_out_before_what_follows, 1) {
    for (int i = 0; i < 30; i++) {
        struct rt_stream a, b;
        struct transfer got = {.stream = &b};
        unsigned char bytes[100];
        uint64_t sum = 0;
        int moves = (int)draw(4);
        struct rt_scope s;
        make_pair(&a, &b);
        rt_scope_init(&s);
        spawn_in(&s, receive_it, &got);
        for (int k = 0; k <= moves; k++) {
            struct iovec v = {bytes, sizeof bytes};
            memset(bytes, 'a' + k, sizeof bytes);
            sum = checksum(sum, bytes, sizeof bytes);
            EXPECT_INT(rt_send_lent(&a, &v, 1, in(LONG)), (ssize_t)sizeof bytes);
            memset(bytes, 0, sizeof bytes); /* it was only lent */
            if (k < moves)
                EXPECT_INT(rt_attach(&a, rt_end(&a, RT_END_DETACH), false), 0);
        }
        if (draw(2))
            EXPECT_INT(rt_end(&a, RT_END_WRITING), 0);
        EXPECT_INT(rt_end(&a, RT_END_CLOSE), 0);
        join(&s);
        EXPECT_UINT(got.bytes, sizeof bytes * (size_t)(moves + 1));
        EXPECT_UINT(got.sum, sum);
        EXPECT_INT(rt_end(&b, RT_END_CLOSE), 0);
    }
}

const struct test_case io_workers_tests[] = {
    IO_CASES(workers_share_a_listener),
    IO_CASES(a_stream_moves_between_workers_with_its_data),
    IO_CASES(what_was_sent_goes_out_before_what_follows),
    {0},
};
