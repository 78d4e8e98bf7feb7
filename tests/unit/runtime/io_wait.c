/* Deadlines and cancellation of every stream operation, on both back ends; descriptors of libraries. */
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime/io.h"
#include "support.h"

/* Sends until no more fits: the count that went. */
static uint64_t fill(struct rt_stream *s) {
    static char bytes[65536];
    ssize_t n;
    do {
        struct iovec v = {bytes, sizeof bytes};
        n = rt_send(s, &v, 1, RT_NOWAIT);
    } while (n > 0);
    EXPECT_INT(n, -EAGAIN);
    return s->bytes_out;
}

/* Until the peer's window is known to be closed, too: what is under way may make room once more. On a busy machine the
 * kernel may take it in later than this waits: see call_when_full. */
static void fill_up(struct rt_stream *s) {
    uint64_t before;
    do {
        before = fill(s);
        EXPECT_INT(rt_sleep_until(in(on_sim() ? 100 * RT_MS : 20 * RT_MS)), 0);
    } while (fill(s) != before);
}

struct ends {
    struct rt_stream a, b, listener;
    struct rt_sockaddr at;
};

static void open_ends(struct ends *e) {
    int fd;
    make_pair(&e->a, &e->b);
    listen_anywhere(&e->at, &fd);
    EXPECT_INT(rt_attach(&e->listener, fd, true), 0);
}

static void close_ends(struct ends *e) {
    EXPECT_INT(rt_end(&e->a, RT_END_CLOSE), 0);
    EXPECT_INT(rt_end(&e->b, RT_END_CLOSE), 0);
    EXPECT_INT(rt_end(&e->listener, RT_END_CLOSE), 0);
}

static void work_for(void *arg) {
    struct ends *e = arg;
    rt_own(&e->a);
    EXPECT_INT(rt_park(in(LONG)), -ECANCELED); /* whatever it waits for */
    EXPECT(e->a.flags & RT_STREAM_ERROR);
}

/* A peer that is gone ends the work that is done for it; one that has only finished sending does not. */
IO_TEST(the_owner_of_a_broken_stream_is_cancelled, 1) {
    struct ends e;
    struct rt_scope s;
    open_ends(&e);
    rt_scope_init(&s);
    spawn_in(&s, work_for, &e);
    EXPECT_INT(rt_end(&e.b, RT_END_WRITING), 0);
    EXPECT_INT(rt_scope_wait(&s, in(SHORT)), -ETIMEDOUT);
    EXPECT_INT(rt_end(&e.b, RT_END_RESET), 0);
    join(&s);
    rt_disown(&e.a);
    spawn_in(&s, work_for, &e); /* it was broken before: at once */
    join(&s);
    EXPECT_INT(rt_end(&e.a, RT_END_CLOSE), 0);
    EXPECT_INT(rt_end(&e.listener, RT_END_CLOSE), 0);
}

static void take_back(void *arg) {
    struct ends *e = arg;
    rt_own(&e->a);
    rt_disown(&e->a);
    EXPECT_INT(rt_park(in(SHORT)), -ETIMEDOUT);
}

IO_TEST(a_stream_that_is_not_owned_cancels_nobody, 1) {
    struct ends e;
    struct rt_scope s;
    open_ends(&e);
    rt_scope_init(&s);
    spawn_in(&s, take_back, &e);
    EXPECT_INT(rt_yield(), 0);
    EXPECT_INT(rt_end(&e.b, RT_END_RESET), 0);
    join(&s);
    EXPECT_INT(rt_end(&e.a, RT_END_CLOSE), 0);
    EXPECT_INT(rt_end(&e.listener, RT_END_CLOSE), 0);
}

/* Operations that have to wait, all on e->a but accept. */
static ssize_t do_accept(struct ends *e, rt_time deadline) {
    return rt_accept(&e->listener, NULL, deadline);
}

static ssize_t do_receive(struct ends *e, rt_time deadline) {
    char c;
    return rt_receive(&e->a, &c, 1, deadline);
}

static ssize_t do_receive_lent(struct ends *e, rt_time deadline) {
    struct b_slice all;
    return rt_receive_lent(&e->a, B_LIT("kept"), 1, &all, deadline);
}

static ssize_t do_send(struct ends *e, rt_time deadline) {
    static char bytes[1000];
    struct iovec v = {bytes, sizeof bytes};
    return rt_send(&e->a, &v, 1, deadline);
}

static ssize_t do_send_lent(struct ends *e, rt_time deadline) {
    struct iovec v = {rt_scratch_out(), 1000};
    return rt_send_lent(&e->a, &v, 1, deadline);
}

static ssize_t do_wait_readable(struct ends *e, rt_time deadline) {
    return rt_wait_readable(&e->a, deadline);
}

static ssize_t do_wait_any(struct ends *e, rt_time deadline) {
    struct rt_wait w[2] = {{.stream = &e->a, .want = RT_READ | RT_WRITE},
                           {.stream = &e->listener, .want = RT_READ}};
    return rt_wait_any(w, 2, deadline);
}

static const struct operation {
    const char *name;
    ssize_t (*call)(struct ends *, rt_time);
} operations[] = {
    {"accept", do_accept},
    {"receive", do_receive},
    {"send", do_send},
    {"send_lent", do_send_lent},
    {"receive_lent", do_receive_lent},
    {"wait_any", do_wait_any},
    {"wait_readable", do_wait_readable},
};
enum { OPERATIONS = sizeof operations / sizeof operations[0] };

static void expect_result(const struct operation *op, ssize_t got, ssize_t want) {
    if (got != want)
        FAIL("%s gives %zd, not %zd", op->name, got, want);
    expect_told(got == want);
}

enum { REFILLS_MAX = 100 };

/* One that succeeds found room that the kernel made after fill_up: it is filled again, until there is none. */
static bool found_room(struct ends *e, ssize_t result, int *refills) {
    if (result <= 0 || ++*refills > REFILLS_MAX)
        return false;
    fill_up(&e->a);
    return true;
}

static void call_when_full(struct ends *e, const struct operation *op, rt_time span, ssize_t want) {
    ssize_t got;
    rt_time at;
    int refills = 0;
    do {
        at = span == RT_NOWAIT ? RT_NOWAIT : in(span);
        got = op->call(e, at);
    } while (found_room(e, got, &refills));
    expect_result(op, got, want);
    EXPECT(rt_clock() >= at);
}

IO_TEST(every_wait_ends_at_its_deadline, 1) {
    struct ends e;
    open_ends(&e);
    fill_up(&e.a);
    EXPECT_INT(rt_accept(&e.listener, NULL, RT_NOWAIT), -EAGAIN);
    EXPECT_INT(do_receive(&e, RT_NOWAIT), -EAGAIN);
    for (int i = 0; i < OPERATIONS; i++) {
        call_when_full(&e, &operations[i], SHORT, -ETIMEDOUT);
        call_when_full(&e, &operations[i], -1, -ETIMEDOUT);
        call_when_full(&e, &operations[i], RT_NOWAIT, -EAGAIN);
    }
    EXPECT(e.a.reader == NULL && e.a.writer == NULL && e.listener.reader == NULL);
    close_ends(&e);
}

struct waiting {
    struct ends *ends;
    const struct operation *op;
    struct rt_fiber *fiber;
    ssize_t result;
    bool done;
};

static void wait_forever(void *arg) {
    struct waiting *w = arg;
    w->fiber = rt_fiber_self();
    w->result = w->op->call(w->ends, RT_NEVER);
    w->fiber = NULL;
    w->done = true;
}

IO_TEST(every_wait_can_be_cancelled, 1) {
    struct ends e;
    open_ends(&e);
    fill_up(&e.a);
    EXPECT_INT(rt_accept(&e.listener, NULL, RT_NOWAIT), -EAGAIN);
    EXPECT_INT(do_receive(&e, RT_NOWAIT), -EAGAIN);
    for (int i = 0; i < OPERATIONS; i++) {
        struct waiting w = {.ends = &e, .op = &operations[i]};
        int refills = 0;
        do {
            struct rt_scope s;
            w.done = false;
            rt_scope_init(&s);
            spawn_in(&s, wait_forever, &w);
            UNTIL(w.done || (w.fiber && w.fiber->state == RT_FIBER_PARKED));
            rt_scope_leave(&s);
        } while (found_room(&e, w.result, &refills));
        expect_result(&operations[i], w.result, -ECANCELED);
    }
    EXPECT(e.a.reader == NULL && e.a.writer == NULL && e.listener.reader == NULL);
    close_ends(&e);
}

/* What went before the deadline is told, and the rest can be sent later: nothing is lost or doubled. */
struct slow_reader {
    struct rt_stream *stream;
    uint64_t bytes;
    bool in_order;
};

static void read_slowly(void *arg) {
    struct slow_reader *r = arg;
    unsigned char buf[16384];
    ssize_t n;
    r->in_order = true;
    while ((n = rt_receive(r->stream, buf, sizeof buf, in(LONG))) > 0) {
        for (ssize_t i = 0; i < n; i++, r->bytes++)
            r->in_order = r->in_order && buf[i] == (unsigned char)(r->bytes % 251);
        if (draw(4) == 0)
            EXPECT_INT(rt_sleep_until(in((rt_time)draw(3 * (uint64_t)RT_MS))), 0);
    }
    EXPECT_INT(n, 0);
}

IO_TEST(a_send_goes_on_after_its_deadline, 1) {
    static unsigned char bytes[251 * 4000];
    struct rt_stream a, b;
    struct slow_reader r = {.stream = &b};
    struct rt_scope s;
    size_t all = on_sim() ? 4000 : sizeof bytes;
    for (size_t i = 0; i < all; i++)
        bytes[i] = (unsigned char)(i % 251);
    make_pair(&a, &b);
    rt_scope_init(&s);
    spawn_in(&s, read_slowly, &r);
    while (a.bytes_out < all) {
        struct iovec v = {bytes + a.bytes_out, all - a.bytes_out};
        ssize_t n = rt_send(&a, &v, 1, in((rt_time)draw(2 * (uint64_t)RT_MS)));
        EXPECT(n == -ETIMEDOUT || n > 0);
        EXPECT_UINT(v.iov_len, all - a.bytes_out);
    }
    EXPECT_INT(rt_end(&a, RT_END_CLOSE), 0);
    join(&s);
    EXPECT_UINT(r.bytes, all);
    EXPECT(r.in_order);
    EXPECT_INT(rt_end(&b, RT_END_CLOSE), 0);
}

/* --- connect --- */

enum { TRIES = 64 };

/* A queue that nobody accepts from is full at some point, and then nobody answers. */
static void connect_unanswered(void *arg) {
    struct rt_sockaddr at = {.len = sizeof at.u.in, .u.in = {.sin_family = AF_INET}};
    struct rt_stream streams[TRIES];
    int n = 0, fd, rc = 0;
    (void)arg;
    at.u.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_INT(rt_listen(&at, 1, &fd), 0);
    CHECK_INT(getsockname(fd, &at.u.any, &at.len), 0);
    rt_time before = 0;
    while (n < TRIES && rc == 0) {
        before = rt_now();
        rc = rt_connect(&streams[n], &at, in(20 * RT_MS));
        n += rc == 0;
    }
    CHECK_INT(rc, -ETIMEDOUT);
    CHECK(rt_now() >= before + 20 * RT_MS);
    CHECK(!rt_is_attached(&streams[n]));
    for (int i = 0; i < n; i++)
        CHECK_INT(rt_end(&streams[i], RT_END_CLOSE), 0);
    rt_close_handle(fd);
}

TEST(connect_ends_at_its_deadline) {
    run_on(1, connect_unanswered, NULL);
}

static struct rt_sockaddr silent_at;
static struct rt_fiber *connecting;

static void connect_to_silence(void *arg) {
    struct rt_stream s[TRIES];
    int *rc = arg, n = 0;
    connecting = rt_fiber_self();
    do
        *rc = rt_connect(&s[n], &silent_at, RT_NEVER);
    while (*rc == 0 && ++n < TRIES);
    while (n--)
        CHECK_INT(rt_end(&s[n], RT_END_CLOSE), 0);
}

static void cancel_connect(void *arg) {
    struct rt_scope s;
    int rc = 1, fd;
    (void)arg;
    silent_at = (struct rt_sockaddr){.len = sizeof silent_at.u.in, .u.in = {.sin_family = AF_INET}};
    silent_at.u.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_INT(rt_listen(&silent_at, 1, &fd), 0);
    CHECK_INT(getsockname(fd, &silent_at.u.any, &silent_at.len), 0);
    rt_scope_init(&s);
    spawn_in(&s, connect_to_silence, &rc);
    CHECK_INT(rt_sleep_until(in(50 * RT_MS)), 0);
    rt_scope_leave(&s);
    CHECK_INT(rc, -ECANCELED);
    rt_close_handle(fd);
}

TEST(connect_can_be_cancelled) {
    run_on(1, cancel_connect, NULL);
}

/* --- a fiber waits on a stream that another one ends: a bug, and told as one --- */

static void wait_on_it(void *arg) {
    (void)!rt_receive(arg, &(char){0}, 1, RT_NEVER);
}

static void end_under_a_waiter(void *arg) {
    struct rt_stream a, b;
    struct rt_scope s;
    (void)arg;
    make_pair(&a, &b);
    rt_scope_init(&s);
    spawn_in(&s, wait_on_it, &a);
    EXPECT_INT(rt_sleep_until(in(SHORT)), 0);
    rt_end(&a, RT_END_CLOSE);
}

static void end_badly_tcp(void) {
    run_both(TCP, 1, end_under_a_waiter);
}

static void end_badly_sim(void) {
    run_both(SIM, 1, end_under_a_waiter);
}

TEST(ending_under_a_waiter_is_refused) {
    CHECK(dies(end_badly_tcp));
    CHECK(dies(end_badly_sim));
}

/* --- descriptors of libraries --- */

static void write_later(void *arg) {
    CHECK_INT(rt_sleep_until(in(SHORT)), 0);
    CHECK_INT(write(*(int *)arg, "x", 1), 1);
}

static void cancel_me(void *arg) {
    CHECK_INT(rt_wait_fd(*(int *)arg, RT_READ, RT_NEVER), -ECANCELED);
}

static void wait_for_pipes(void *arg) {
    struct rt_scope s;
    int p[2];
    (void)arg;
    CHECK_INT(pipe(p), 0);
    CHECK_INT(rt_wait_fd(p[0], RT_READ, RT_NOWAIT), -EAGAIN);
    CHECK_INT(rt_wait_fd(p[1], RT_WRITE, RT_NOWAIT), RT_WRITE);
    CHECK_INT(rt_wait_fd(p[1], RT_WRITE, in(LONG)), RT_WRITE);
    rt_time at = in(SHORT);
    CHECK_INT(rt_wait_fd(p[0], RT_READ, at), -ETIMEDOUT);
    CHECK(rt_clock() >= at);
    rt_scope_init(&s);
    spawn_in(&s, write_later, &p[1]);
    CHECK_INT(rt_wait_fd(p[0], RT_READ, in(LONG)), RT_READ);
    CHECK_INT(rt_wait_fd(p[0], RT_READ, in(LONG)), RT_READ); /* by level: nothing has been read yet */
    CHECK_INT(read(p[0], &(char){0}, 1), 1);
    join(&s);
    rt_scope_init(&s);
    spawn_in(&s, cancel_me, &p[0]);
    CHECK_INT(rt_sleep_until(in(SHORT)), 0);
    rt_scope_leave(&s);
    close(p[1]);
    CHECK_INT(rt_wait_fd(p[0], RT_READ, in(LONG)) & RT_READ, RT_READ); /* the end */
    CHECK_INT(rt_wait_fd(p[0], RT_READ, RT_NOWAIT) & RT_READ, RT_READ);
    close(p[0]);
    CHECK_INT(rt_wait_fd(p[0], RT_READ, in(LONG)), -EBADF);
    CHECK_INT(rt_wait_fd(p[0], RT_READ, RT_NOWAIT), -EBADF);
}

TEST(descriptors_can_be_waited_for) {
    run_on(1, wait_for_pipes, NULL);
}

const struct test_case io_wait_tests[] = {
    IO_CASES(every_wait_ends_at_its_deadline),
    IO_CASES(every_wait_can_be_cancelled),
    IO_CASES(a_send_goes_on_after_its_deadline),
    IO_CASES(the_owner_of_a_broken_stream_is_cancelled),
    IO_CASES(a_stream_that_is_not_owned_cancels_nobody),
    {"connect_ends_at_its_deadline", connect_ends_at_its_deadline},
    {"connect_can_be_cancelled", connect_can_be_cancelled},
    {"ending_under_a_waiter_is_refused", ending_under_a_waiter_is_refused},
    {"descriptors_can_be_waited_for", descriptors_can_be_waited_for},
    {0},
};
