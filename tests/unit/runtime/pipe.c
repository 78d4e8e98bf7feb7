/* Bytes that are passed on inside the kernel: none is lost or added, a slow reader is waited for, ends and failures are told. */
#include "runtime/pipe.h"

#include "support.h"

struct passing {
    struct rt_stream *from, *to;
    uint64_t bytes;
    ssize_t end; /* what ended it */
};

/* All that comes, until it ends or fails. */
static void pass(void *arg) {
    struct passing *p = arg;
    struct rt_pipe *pipe = rt_pipe_take();
    EXPECT(pipe);
    while (pipe && (p->end = rt_pipe_fill(pipe, p->from, UINT64_MAX, in(LONG))) > 0) {
        p->bytes += (uint64_t)p->end;
        EXPECT_INT(rt_pipe_drain(pipe, p->to, in(LONG)), 0);
    }
    if (pipe)
        rt_pipe_give(pipe);
    EXPECT_INT(rt_end(p->to, RT_END_WRITING), 0);
}

IO_TEST(pass_on_every_byte, 1) {
    struct rt_stream a, b, c, d;
    struct rt_scope s;
    if (!rt_has_pipes()) {
        EXPECT(!rt_pipe_take());
        return;
    }
    make_pair(&a, &b);
    make_pair(&c, &d);
    struct transfer out = {.stream = &a, .bytes = 3000000, .seed = draw(1u << 30)}, back = {.stream = &d};
    struct passing p = {.from = &b, .to = &c};
    rt_scope_init(&s);
    spawn_in(&s, pass, &p);
    spawn_in(&s, send_random, &out);
    receive_all(&back); /* in small pieces, slower than the pipe */
    join(&s);
    EXPECT_UINT(back.bytes, 3000000);
    EXPECT_UINT(back.sum, out.sum);
    EXPECT_INT(p.end, 0);
    EXPECT_UINT(b.bytes_in, 3000000);
    EXPECT_UINT(c.bytes_out, 3000000);
    struct rt_stream *all[] = {&a, &b, &c, &d};
    for (int i = 0; i < 4; i++)
        EXPECT_INT(rt_end(all[i], RT_END_CLOSE), 0);
}

IO_TEST(take_no_more_than_asked, 1) {
    struct rt_stream a, b, c, d;
    char text[] = "twelve bytes", got[16];
    struct iovec v = {text, 12};
    struct rt_pipe *p = rt_pipe_take();
    if (!p)
        return; /* no pipes here */
    make_pair(&a, &b);
    make_pair(&c, &d);
    EXPECT_INT(rt_send(&a, &v, 1, in(LONG)), 12);
    EXPECT_INT(rt_pipe_fill(p, &b, 6, in(LONG)), 6);
    EXPECT_INT(rt_pipe_drain(p, &c, in(LONG)), 0);
    EXPECT_INT(rt_receive(&d, got, sizeof got, in(LONG)), 6);
    EXPECT(memcmp(got, "twelve", 6) == 0);
    EXPECT_INT(rt_receive(&b, got, sizeof got, in(LONG)), 6);
    EXPECT(memcmp(got, " bytes", 6) == 0);
    EXPECT_INT(rt_pipe_fill(p, &b, 6, in(SHORT)), -ETIMEDOUT);
    rt_pipe_give(p);
    struct rt_stream *all[] = {&a, &b, &c, &d};
    for (int i = 0; i < 4; i++)
        EXPECT_INT(rt_end(all[i], RT_END_CLOSE), 0);
}

/* A reader that takes nothing: the sender's time runs out, and what is left in the pipe reaches nobody else. */
IO_TEST(drop_what_nobody_takes, 1) {
    static char block[1 << 16];
    struct rt_stream a, b, c, d;
    struct rt_pipe *p = rt_pipe_take(), *next;
    if (!p)
        return;
    make_pair(&a, &b);
    make_pair(&c, &d);
    int rc = 0;
    while (rc == 0) {
        struct iovec v = {block, sizeof block};
        EXPECT_INT(rt_send(&a, &v, 1, in(LONG)), sizeof block);
        for (size_t left = sizeof block; left && rc == 0;) {
            ssize_t n = rt_pipe_fill(p, &b, left, in(LONG));
            EXPECT(n > 0);
            left -= (size_t)n;
            rc = rt_pipe_drain(p, &c, in(SHORT));
        }
    }
    EXPECT_INT(rc, -ETIMEDOUT);
    rt_pipe_give(p);
    struct rt_stream e, f;
    char got[4];
    make_pair(&e, &f);
    EXPECT_INT(rt_send(&e, &(struct iovec){"abc", 3}, 1, in(LONG)), 3);
    next = rt_pipe_take();
    EXPECT(next && rt_pipe_fill(next, &f, 100, in(LONG)) == 3);
    EXPECT(next && rt_pipe_drain(next, &f, in(LONG)) == 0);
    EXPECT_INT(rt_receive(&e, got, sizeof got, in(LONG)), 3);
    EXPECT(memcmp(got, "abc", 3) == 0);
    if (next)
        rt_pipe_give(next);
    struct rt_stream *all[] = {&a, &b, &c, &d, &e, &f};
    for (int i = 0; i < 6; i++)
        EXPECT_INT(rt_end(all[i], RT_END_CLOSE), 0);
}

IO_TEST(give_no_more_than_the_limit, 1) {
    struct rt_pipe *taken[RT_PIPES_MAX];
    if (!rt_has_pipes())
        return;
    for (int i = 0; i < RT_PIPES_MAX; i++)
        EXPECT(taken[i] = rt_pipe_take());
    EXPECT(!rt_pipe_take());
    for (int i = 0; i < RT_PIPES_MAX; i++)
        rt_pipe_give(taken[i]);
    struct rt_pipe *again = rt_pipe_take();
    EXPECT(again);
    rt_pipe_give(again);
}

const struct test_case pipe_tests[] = {
    IO_CASES(pass_on_every_byte),
    IO_CASES(take_no_more_than_asked),
    IO_CASES(drop_what_nobody_takes),
    IO_CASES(give_no_more_than_the_limit),
    {0},
};
