/* The stream operations, on both back ends: data, the ends of a connection, waiting for readiness, parking. */
#include "runtime/io.h"

#include <stdlib.h>
#include <unistd.h>

#include "support.h"

/* --- echo --- */

static void echo_until_end(void *arg) {
    struct rt_stream *s = arg;
    char buf[2048];
    ssize_t n;
    while ((n = rt_receive(s, buf, 1 + (size_t)draw(sizeof buf), in(LONG))) > 0) {
        struct iovec v = {buf, (size_t)n};
        EXPECT_INT(rt_send(s, &v, 1, in(LONG)), n);
    }
    EXPECT_INT(n, 0);
    EXPECT_INT(rt_end(s, RT_END_CLOSE), 0);
}

static size_t some_bytes(void) {
    return 1 + (size_t)draw(on_sim() ? 3000 : 300000);
}

static void one_echo(void *arg) {
    struct rt_stream a, b;
    struct rt_scope s;
    struct transfer out = {.stream = &a, .bytes = some_bytes(), .seed = draw(1u << 30)},
                    back = {.stream = &a};
    size_t want = out.bytes;
    (void)arg;
    make_pair(&a, &b);
    rt_scope_init(&s);
    spawn_in(&s, echo_until_end, &b);
    spawn_in(&s, send_random, &out);
    receive_all(&back);
    join(&s);
    EXPECT_UINT(back.bytes, want);
    EXPECT_UINT(back.sum, out.sum);
    EXPECT_UINT(a.bytes_in, want);
    EXPECT_UINT(a.bytes_out, want);
    EXPECT_INT(rt_end(&a, RT_END_CLOSE), 0);
    EXPECT(!rt_is_attached(&a));
}

IO_TEST(echo_keeps_every_byte, 1) {
    struct rt_scope s;
    rt_scope_init(&s);
    for (int i = 0; i < 4; i++)
        spawn_in(&s, one_echo, NULL);
    join(&s);
}

/* --- the ends of a connection --- */

static void answer_the_count(void *arg) {
    struct transfer t = {.stream = arg};
    receive_all(&t);
    EXPECT(t.stream->flags & RT_STREAM_HUP);
    EXPECT_INT(rt_receive(t.stream, &(char){0}, 1, in(LONG)), 0); /* the end stays the end */
    struct iovec v = {&t.bytes, sizeof t.bytes};
    EXPECT_INT(rt_send(t.stream, &v, 1, in(LONG)), (ssize_t)sizeof t.bytes);
    EXPECT_INT(rt_end(t.stream, RT_END_CLOSE), 0);
}

static ssize_t receive_exactly(struct rt_stream *s, void *buf, size_t len, rt_time deadline) {
    size_t got = 0;
    while (got < len) {
        ssize_t n = rt_receive(s, (char *)buf + got, len - got, deadline);
        if (n <= 0)
            return n;
        got += (size_t)n;
    }
    return (ssize_t)got;
}

IO_TEST(half_close_lets_the_answer_through, 1) {
    struct rt_stream a, b;
    struct rt_scope s;
    struct transfer out = {.stream = &a, .bytes = 5000, .seed = 1};
    size_t counted = 0;
    make_pair(&a, &b);
    rt_scope_init(&s);
    spawn_in(&s, answer_the_count, &b);
    send_random(&out);
    EXPECT_INT(receive_exactly(&a, &counted, sizeof counted, in(LONG)), (ssize_t)sizeof counted);
    EXPECT_UINT(counted, 5000);
    EXPECT_INT(rt_receive(&a, &counted, 1, in(LONG)), 0);
    struct iovec v = {&counted, 1};
    EXPECT_INT(rt_send(&a, &v, 1, in(LONG)), -EPIPE);
    join(&s);
    EXPECT_INT(rt_end(&a, RT_END_CLOSE), 0);
}

static void expect_broken(struct rt_stream *s) {
    char c = 'x';
    struct iovec v = {&c, 1};
    EXPECT_INT(rt_receive(s, &c, 1, in(LONG)), -ECONNRESET);
    EXPECT(s->flags & RT_STREAM_ERROR);
    ssize_t n = rt_send(s, &v, 1, in(LONG));
    EXPECT(n == -EPIPE || n == -ECONNRESET);
    EXPECT_INT(rt_end(s, RT_END_CLOSE), 0);
}

IO_TEST(reset_is_an_error_for_both_directions, 1) {
    struct rt_stream a, b;
    make_pair(&a, &b);
    EXPECT_INT(rt_end(&b, RT_END_RESET), 0);
    if (!on_unix()) { /* which has none */
        expect_broken(&a);
        return;
    }
    EXPECT_INT(rt_receive(&a, &(char){0}, 1, in(LONG)), 0);
    EXPECT_INT(rt_end(&a, RT_END_CLOSE), 0);
}

IO_TEST(closing_with_bytes_unread_is_a_reset, 1) {
    struct rt_stream a, b;
    struct iovec v = {&(char){0}, 1};
    make_pair(&a, &b);
    EXPECT_INT(rt_send(&a, &v, 1, in(LONG)), 1);
    EXPECT_INT(rt_sleep_until(in(100 * RT_MS)), 0); /* the byte has come by then */
    EXPECT_INT(rt_end(&b, RT_END_CLOSE), 0);
    if (on_uring() &&
        on_unix()) { /* the byte had been received, and a unix socket cannot be reset otherwise */
        EXPECT_INT(rt_receive(&a, &(char){0}, 1, in(LONG)), 0);
        EXPECT_INT(rt_end(&a, RT_END_CLOSE), 0);
        return;
    }
    expect_broken(&a);
}

IO_TEST(connect_is_refused_where_nobody_listens, 1) {
    struct rt_sockaddr at;
    struct rt_stream s;
    int fd;
    listen_anywhere(&at, &fd);
    rt_close_handle(fd);
    EXPECT_INT(rt_connect(&s, &at, in(LONG)), -ECONNREFUSED);
    EXPECT(!rt_is_attached(&s));
}

IO_TEST(an_address_is_listened_at_once, 1) {
    struct rt_sockaddr at;
    int fd, other;
    listen_anywhere(&at, &fd);
    EXPECT_INT(rt_listen(&at, 16, &other), -EADDRINUSE);
    rt_close_handle(fd);
}

IO_TEST(accept_tells_who_connects, 1) {
    struct rt_sockaddr at, peer;
    struct rt_stream listener, s;
    int fd;
    listen_anywhere(&at, &fd);
    EXPECT_INT(rt_attach(&listener, fd, true), 0);
    EXPECT_INT(rt_connect(&s, &at, in(LONG)), 0);
    fd = rt_accept(&listener, &peer, in(LONG));
    EXPECT(fd >= 0);
    EXPECT_INT(peer.u.any.sa_family, at.u.any.sa_family);
    EXPECT(on_unix() || peer.u.in.sin_port != 0);
    EXPECT(on_unix() || peer.u.in.sin_port != at.u.in.sin_port);
    rt_close_handle(fd);
    EXPECT_INT(rt_receive(&s, &peer, 1, in(LONG)), 0);
    EXPECT_INT(rt_end(&s, RT_END_CLOSE), 0);
    EXPECT_INT(rt_end(&listener, RT_END_CLOSE), 0);
}

enum { CLIENTS = 4 };

static void come(struct rt_stream *clients, const struct rt_sockaddr *at) {
    for (int i = 0; i < CLIENTS; i++)
        EXPECT_INT(rt_connect(&clients[i], at, in(LONG)), 0);
    EXPECT_INT(rt_sleep_until(in(SHORT)), 0); /* for a back end that would take them */
}

/* Accepts and closes so many with this worker's listener, the rest from the backlog, and ends the clients. */
static void take(struct rt_stream *clients, struct rt_stream *listener, int with_listener) {
    struct rt_sockaddr peer;
    for (int i = 0; i < CLIENTS; i++) {
        int fd =
            i < with_listener ? rt_accept(listener, &peer, in(LONG)) : rt_accept_handle(listener->fd, &peer);
        EXPECT(fd >= 0);
        if (fd >= 0)
            rt_close_handle(fd);
    }
    for (int i = 0; i < CLIENTS; i++)
        EXPECT_INT(rt_end(&clients[i], RT_END_CLOSE), 0);
}

IO_TEST(none_is_accepted_ahead_where_that_is_not_wanted, 1) {
    struct rt_sockaddr at;
    struct rt_stream listener, clients[CLIENTS];
    int fd;
    listen_anywhere(&at, &fd);
    EXPECT_INT(rt_attach(&listener, fd, true), 0);
    rt_accept_ahead(&listener, false);
    EXPECT_INT(rt_accept(&listener, NULL, in(SHORT)), -ETIMEDOUT);
    come(clients, &at);
    take(clients, &listener, 1);
    rt_accept_ahead(&listener, true);
    EXPECT_INT(rt_accept(&listener, NULL, in(SHORT)), -ETIMEDOUT);
    come(clients, &at);
    take(clients, &listener, CLIENTS);
    rt_accept_ahead(&listener, false); /* what is under way is stopped */
    EXPECT_INT(rt_accept(&listener, NULL, in(SHORT)), -ETIMEDOUT);
    come(clients, &at);
    take(clients, &listener, 1);
    EXPECT_INT(rt_end(&listener, RT_END_CLOSE), 0);
}

/* Sends small pieces until no more is taken, now or a moment later. */
static void send_until_full(struct rt_stream *s) {
    static char piece[8000];
    for (int refused = 0; refused < 3;) {
        struct iovec v = {piece, sizeof piece};
        ssize_t n = rt_send(s, &v, 1, RT_NOWAIT);
        EXPECT(n > 0 || n == -EAGAIN);
        refused = n > 0 ? 0 : refused + 1;
        EXPECT_INT(n > 0 ? rt_yield() : rt_sleep_until(in(SHORT)), 0);
    }
}

IO_TEST(a_close_delivers_what_the_peer_takes_late, 1) {
    struct rt_stream a, b;
    struct transfer got = {.stream = &b};
    make_pair(&a, &b);
    send_until_full(&a);
    uint64_t sent = a.bytes_out;
    EXPECT_INT(rt_end(&a, RT_END_CLOSE), 0);
    EXPECT_INT(rt_sleep_until(in(SHORT)), 0);
    receive_all(&got);
    EXPECT_UINT(got.bytes, sent);
    EXPECT_INT(rt_end(&b, RT_END_CLOSE), 0);
}

/* --- bytes that are only lent --- */

static void spoil_scratch(void *arg) {
    struct transfer *t = arg;
    memset(rt_scratch_out(), 0xee, RT_SCRATCH_BYTES);
    receive_all(t);
}

IO_TEST(lent_bytes_are_copied_before_a_wait, 1) {
    struct rt_stream a, b;
    struct rt_scope s;
    struct transfer got = {.stream = &b};
    uint64_t sum = 0;
    make_pair(&a, &b);
    rt_scope_init(&s);
    spawn_in(&s, spoil_scratch, &got);
    for (int i = 0; i < 20; i++) {
        unsigned char *p = rt_scratch_out();
        size_t n = on_sim() ? 300 : RT_SCRATCH_BYTES;
        memset(p, i, n);
        sum = checksum(sum, p, n);
        struct iovec v[2] = {{p, n / 2}, {p + n / 2, n - n / 2}};
        EXPECT_INT(rt_send_lent(&a, v, 2, in(LONG)), (ssize_t)n);
    }
    EXPECT_INT(rt_end(&a, RT_END_CLOSE), 0);
    join(&s);
    EXPECT_UINT(got.sum, sum);
    EXPECT_INT(rt_end(&b, RT_END_CLOSE), 0);
}

static void send_slowly(void *arg) {
    struct transfer *t = arg;
    struct b_rng rng = {.state = t->seed};
    for (size_t left = t->bytes; left; left--) {
        unsigned char c = (unsigned char)b_rng_next(&rng);
        struct iovec v = {&c, 1};
        t->sum = checksum(t->sum, &c, 1);
        EXPECT_INT(rt_send(t->stream, &v, 1, in(LONG)), 1);
        if (draw(8) == 0)
            (void)rt_yield();
    }
    EXPECT_INT(rt_end(t->stream, RT_END_WRITING), 0);
}

/* A few bytes are kept over every wait, as a parser keeps the beginning of a head; `max` is never exceeded. */
IO_TEST(bytes_are_received_behind_those_that_were_kept, 1) {
    struct rt_stream a, b;
    struct rt_scope s;
    struct transfer out = {.stream = &a, .bytes = 3000, .seed = draw(1u << 30)};
    char kept[64];
    size_t n = 0, all_bytes = 0;
    uint64_t sum = 0;
    make_pair(&a, &b);
    rt_scope_init(&s);
    spawn_in(&s, send_slowly, &out);
    for (;;) {
        struct b_slice all;
        size_t max = 1 + (size_t)draw(100);
        rt_time deadline = draw(4) ? in(LONG) : RT_NOWAIT;
        ssize_t got = rt_receive_lent(&b, b_slice(n ? kept : NULL, n), max, &all, deadline);
        if (got == -EAGAIN) {
            EXPECT(deadline == RT_NOWAIT);
            (void)rt_yield();
            continue;
        }
        EXPECT(got >= 0 && (size_t)got <= max && all.len == n + (size_t)got);
        EXPECT(n == 0 || memcmp(all.ptr, kept, n) == 0);
        if (got > 0 && draw(8) == 0) { /* more, behind what is lent */
            struct b_slice more;
            ssize_t again = rt_receive_lent(&b, all, 10, &more, RT_NOWAIT);
            EXPECT(again == -EAGAIN || (again >= 0 && more.len == all.len + (size_t)again));
            if (again >= 0) {
                EXPECT(n == 0 || memcmp(more.ptr, kept, n) == 0);
                all = more;
            }
        }
        size_t keep = got ? (size_t)draw(all.len < sizeof kept ? all.len : sizeof kept) : 0;
        sum = checksum(sum, (const unsigned char *)all.ptr, all.len - keep);
        all_bytes += all.len - keep;
        if (keep)
            memcpy(kept, all.ptr + all.len - keep, keep);
        n = keep;
        if (got == 0)
            break;
    }
    join(&s);
    EXPECT_UINT(all_bytes, 3000);
    EXPECT_UINT(sum, out.sum);
    EXPECT_UINT(b.bytes_in, 3000);
    EXPECT_INT(rt_end(&a, RT_END_CLOSE), 0);
    EXPECT_INT(rt_end(&b, RT_END_CLOSE), 0);
}

/* --- wait_any --- */

/* One direction of a relay: what has been read from `from` and not yet been written to `to`. */
struct way {
    struct rt_stream *from, *to;
    char buf[1000];
    size_t at, end;
    bool ended;
};

static void pump(struct way *w, int got_from, int got_to) {
    if ((got_from & RT_READ) && w->at == w->end && !w->ended) {
        ssize_t n = rt_receive(w->from, w->buf, sizeof w->buf, RT_NOWAIT);
        EXPECT(n >= 0 || n == -EAGAIN);
        if (n == 0) {
            EXPECT_INT(rt_end(w->to, RT_END_WRITING), 0);
            w->ended = true;
        }
        w->at = 0;
        w->end = n > 0 ? (size_t)n : 0;
    }
    if ((got_to & RT_WRITE) && w->at < w->end) {
        struct iovec v = {w->buf + w->at, w->end - w->at};
        ssize_t n = rt_send(w->to, &v, 1, RT_NOWAIT);
        EXPECT(n > 0 || n == -EAGAIN);
        w->at += n > 0 ? (size_t)n : 0;
    }
}

/* Both directions in one fiber, which waits in one place only: neither can block the other. */
static void relay(void *arg) {
    struct rt_stream **side = arg;
    struct way w[2] = {{.from = side[0], .to = side[1]}, {.from = side[1], .to = side[0]}};
    while (!w[0].ended || !w[1].ended) {
        struct rt_wait waits[2] = {{.stream = side[0]}, {.stream = side[1]}};
        for (int i = 0; i < 2; i++) {
            bool full = w[i].at < w[i].end;
            waits[i].want |= !full && !w[i].ended ? RT_READ : 0;
            waits[!i].want |= full ? RT_WRITE : 0;
        }
        EXPECT(rt_wait_any(waits, 2, in(LONG)) >= 1);
        pump(&w[0], waits[0].got, waits[1].got);
        pump(&w[1], waits[1].got, waits[0].got);
    }
    EXPECT_INT(rt_end(side[0], RT_END_CLOSE), 0);
    EXPECT_INT(rt_end(side[1], RT_END_CLOSE), 0);
}

IO_TEST(wait_any_serves_two_sides, 1) {
    struct rt_stream a, near, far, b, *sides[2] = {&near, &far};
    struct rt_scope s;
    struct transfer out = {.stream = &a, .bytes = some_bytes(), .seed = 3}, back = {.stream = &a};
    size_t want = out.bytes;
    make_pair(&a, &near);
    make_pair(&far, &b);
    rt_scope_init(&s);
    spawn_in(&s, relay, sides);
    spawn_in(&s, echo_until_end, &b);
    spawn_in(&s, send_random, &out);
    receive_all(&back);
    join(&s);
    EXPECT_UINT(back.bytes, want);
    EXPECT_UINT(back.sum, out.sum);
    EXPECT_INT(rt_end(&a, RT_END_CLOSE), 0);
}

/* --- parking --- */

static struct rt_parked parked;
static struct rt_stream *parked_stream;
static int park_results, park_result;

static void park_done(struct rt_parked *p, int result) {
    EXPECT(p == &parked);
    EXPECT(!p->waiting);
    park_result = result;
    park_results++;
}

IO_TEST(a_parked_stream_tells_when_it_is_readable, 1) {
    struct rt_stream a, b;
    char c = 'p', buf[8];
    struct iovec v = {&c, 1};
    make_pair(&a, &b);
    parked = (struct rt_parked){.fn = park_done};
    parked_stream = &b;
    park_results = 0;
    EXPECT_INT(rt_receive(&b, buf, sizeof buf, RT_NOWAIT), -EAGAIN);

    rt_time at = in(SHORT); /* the deadline */
    rt_park_stream(&b, &parked, at);
    EXPECT_INT(park_results, 0);
    UNTIL(park_results == 1);
    EXPECT_INT(park_result, -ETIMEDOUT);
    EXPECT(rt_now() >= at);

    rt_park_stream(&b, &parked, in(LONG)); /* data */
    EXPECT_INT(rt_sleep_until(in(SHORT)), 0);
    EXPECT_INT(park_results, 1);
    EXPECT_INT(rt_send(&a, &v, 1, in(LONG)), 1);
    UNTIL(park_results == 2);
    EXPECT_INT(park_result, 0);
    EXPECT_INT(rt_receive(&b, buf, sizeof buf, RT_NOWAIT), 1);
    EXPECT_INT(buf[0], 'p');

    rt_park_stream(&b, &parked, in(SHORT)); /* taken back */
    rt_park_stream(&b, NULL, RT_NEVER);
    v = (struct iovec){&c, 1};
    EXPECT_INT(rt_send(&a, &v, 1, in(LONG)), 1);
    EXPECT_INT(receive_exactly(&b, buf, 1, in(LONG)), 1);
    EXPECT_INT(rt_sleep_until(in(2 * SHORT)), 0);
    EXPECT_INT(park_results, 2);

    rt_park_stream(&b, &parked, RT_NEVER); /* the peer goes */
    EXPECT_INT(rt_end(&a, RT_END_CLOSE), 0);
    UNTIL(park_results == 3);
    EXPECT_INT(park_result, 0);
    EXPECT_INT(rt_receive(&b, buf, sizeof buf, in(LONG)), 0);

    rt_park_stream(&b, &parked, RT_NEVER); /* readable already: at once */
    EXPECT_INT(park_results, 4);
    EXPECT_INT(rt_end(&b, RT_END_CLOSE), 0);
}

IO_TEST(ending_a_parked_stream_takes_it_back, 1) {
    struct rt_stream a, b;
    make_pair(&a, &b);
    park_results = 0;
    parked = (struct rt_parked){.fn = park_done};
    EXPECT_INT(rt_receive(&b, &(char){0}, 1, RT_NOWAIT), -EAGAIN);
    rt_park_stream(&b, &parked, in(SHORT));
    EXPECT_INT(rt_end(&b, RT_END_CLOSE), 0);
    EXPECT_INT(rt_end(&a, RT_END_CLOSE), 0);
    EXPECT_INT(rt_sleep_until(in(2 * SHORT)), 0);
    EXPECT_INT(park_results, 0);
}

/* Many parked streams become readable together; each function ends its own and the next one's stream, too. */
enum { CROWD = 16 };
static struct {
    struct rt_stream near, far;
    struct rt_parked parked;
    bool called;
} crowd[CROWD];

static void end_two(struct rt_parked *p, int result) {
    size_t i = (size_t)(B_CONTAINER(p, __typeof__(crowd[0]), parked) - crowd);
    EXPECT_INT(result, 0);
    EXPECT(!crowd[i].called);
    EXPECT(rt_is_attached(&crowd[i].near));
    crowd[i].called = true;
    for (size_t k = i; k < i + 2; k++) {
        struct rt_stream *s = &crowd[k % CROWD].near;
        if (rt_is_attached(s))
            EXPECT_INT(rt_end(s, RT_END_CLOSE), 0);
        memset(s, 0xdd, sizeof *s); /* its owner may reuse the memory at once */
        s->worker = NULL;
    }
}

static bool none_attached(void) {
    for (int i = 0; i < CROWD; i++)
        if (rt_is_attached(&crowd[i].near))
            return false;
    return true;
}

IO_TEST(an_event_never_reaches_a_stream_that_ended, 1) {
    char c = 0;
    memset(crowd, 0, sizeof crowd);
    for (int i = 0; i < CROWD; i++) {
        make_pair(&crowd[i].far, &crowd[i].near);
        crowd[i].parked.fn = end_two;
        EXPECT_INT(rt_receive(&crowd[i].near, &c, 1, RT_NOWAIT), -EAGAIN);
        rt_park_stream(&crowd[i].near, &crowd[i].parked, RT_NEVER);
    }
    for (int i = 0; i < CROWD; i++) {
        struct iovec v = {&c, 1};
        ssize_t n = rt_send(&crowd[i].far, &v, 1, in(LONG));
        EXPECT(n == 1 || n == -EPIPE || n == -ECONNRESET); /* the other end may be gone already */
    }
    UNTIL(none_attached());
    for (int i = 0; i < CROWD; i++)
        EXPECT_INT(rt_end(&crowd[i].far, RT_END_CLOSE), 0);
}

const struct test_case io_tests[] = {
    IO_CASES(echo_keeps_every_byte),
    IO_CASES(half_close_lets_the_answer_through),
    IO_CASES(reset_is_an_error_for_both_directions),
    IO_CASES(closing_with_bytes_unread_is_a_reset),
    IO_CASES(connect_is_refused_where_nobody_listens),
    IO_CASES(an_address_is_listened_at_once),
    IO_CASES(accept_tells_who_connects),
    IO_CASES(none_is_accepted_ahead_where_that_is_not_wanted),
    IO_CASES(a_close_delivers_what_the_peer_takes_late),
    IO_CASES(lent_bytes_are_copied_before_a_wait),
    IO_CASES(bytes_are_received_behind_those_that_were_kept),
    IO_CASES(wait_any_serves_two_sides),
    IO_CASES(a_parked_stream_tells_when_it_is_readable),
    IO_CASES(ending_a_parked_stream_takes_it_back),
    IO_CASES(an_event_never_reaches_a_stream_that_ended),
    {0},
};
