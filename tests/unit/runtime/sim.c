/* The simulator itself: the same seed gives the same run, hangs are found, failures are injected. */
#include "runtime/sim.h"

#include <arpa/inet.h>
#include <unistd.h>

#include "runtime/sync.h"
#include "support.h"

static struct rt_sockaddr address(uint16_t port) {
    struct rt_sockaddr a = {.len = sizeof a.u.in, .u.in = {.sin_family = AF_INET}};
    a.u.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    a.u.in.sin_port = htons(port);
    return a;
}

/* A run that tells its story as one number. */
static uint64_t story;
static int handle;

static void tell(uint64_t n) {
    story = (story ^ n) * 0x100000001b3u;
}

static void serve_one(void *arg) {
    struct rt_stream s;
    char buf[100];
    ssize_t n;
    if (rt_attach(&s, (int)(intptr_t)arg, false) != 0)
        return;
    while ((n = rt_receive(&s, buf, sizeof buf, in(LONG))) > 0) {
        tell((uint64_t)n);
        tell((uint64_t)rt_clock());
        struct iovec v = {buf, (size_t)n};
        if (rt_send(&s, &v, 1, in(LONG)) < 0)
            break;
    }
    tell((uint64_t)n);
    rt_end(&s, RT_END_CLOSE);
}

static void serve(void *arg) {
    struct rt_stream listener;
    (void)arg;
    CHECK_INT(rt_attach(&listener, handle, true), 0);
    for (int fd; (fd = rt_accept(&listener, NULL, RT_NEVER)) != -ECANCELED;)
        if (fd < 0 || rt_spawn("serve", serve_one, (void *)(intptr_t)fd) != 0)
            tell((uint64_t)fd);
    rt_end(&listener, RT_END_DETACH);
}

static void start_serving(void *arg) {
    CHECK_INT(rt_spawn("server", serve, arg), 0);
}

static void client(void *arg) {
    struct rt_sockaddr at = address(80);
    struct rt_stream s;
    char buf[500] = {0};
    (void)arg;
    int rc = rt_connect(&s, &at, in(RT_S));
    tell((uint64_t)rc);
    if (rc)
        return;
    struct iovec v = {buf, sizeof buf};
    tell((uint64_t)rt_send(&s, &v, 1, in(LONG)));
    for (size_t got = 0; got < sizeof buf;) {
        ssize_t n = rt_receive(&s, buf, sizeof buf, in(LONG));
        tell((uint64_t)n);
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    rt_end(&s, RT_END_CLOSE);
}

static void some_story(void *arg) {
    struct rt_sockaddr at = address(80);
    struct rt_scope s;
    uint64_t r;
    CHECK_INT(rt_listen(&at, 100, &handle), 0);
    CHECK_INT(rt_on_all_workers("start", start_serving, arg), 0);
    rt_scope_init(&s);
    for (int i = 0; i < 20; i++)
        spawn_in(&s, client, NULL);
    join(&s);
    rt_random(&r, sizeof r);
    tell(r);
    tell((uint64_t)rt_wall_clock());
}

static uint64_t story_of(uint64_t seed, struct rt_sim_result *result) {
    struct rt_sim_config c = {
        .seed = seed, .resets = 10, .connect_fail = 50, .accept_fail = 50, .result = result};
    story = 0;
    CHECK_INT(rt_sim_run(&c, some_story, NULL), 0);
    return story;
}

TEST(the_same_seed_gives_the_same_run) {
    unsigned same = 0, injected = 0;
    uint64_t last = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rt_sim_result a, b;
        uint64_t once = story_of(seed, &a), again = story_of(seed, &b);
        CHECK(once == again);
        CHECK_UINT(a.steps, b.steps);
        CHECK_INT(a.elapsed, b.elapsed);
        CHECK_UINT(a.connections, 20);
        CHECK_UINT(a.handles, 1); /* the listener */
        injected += a.injected;
        same += once == last;
        last = once;
    }
    CHECK_UINT(same, 0);
    CHECK(injected > 20);
}

static void hang(void *arg) {
    (void)arg;
    CHECK_INT(rt_park(RT_NEVER), -ECANCELED);
}

TEST(a_hang_is_found) {
    struct rt_sim_config c = {.seed = 1, .quiet = true};
    CHECK_INT(rt_sim_run(&c, hang, NULL), -EDEADLK);
    CHECK_UINT(rt_fiber_count(), 0);
}

static struct rt_sem lock[2];

static void lock_both(void *arg) {
    int first = *(int *)arg;
    CHECK_INT(rt_sleep_until(in((rt_time)draw(5 * (uint64_t)RT_MS))), 0);
    CHECK_INT(rt_sem_acquire(&lock[first], RT_NEVER), 0);
    CHECK_INT(rt_sleep_until(in(RT_MS)), 0);
    if (rt_sem_acquire(&lock[!first], RT_NEVER) == 0)
        rt_sem_release(&lock[!first]);
    rt_sem_release(&lock[first]);
}

static void lock_in_both_orders(void *arg) {
    struct rt_scope s;
    int orders[2] = {0, 1};
    (void)arg;
    rt_sem_init(&lock[0], 1);
    rt_sem_init(&lock[1], 1);
    rt_scope_init(&s);
    spawn_in(&s, lock_both, &orders[0]);
    spawn_in(&s, lock_both, &orders[1]);
    (void)!rt_scope_wait(&s, RT_NEVER);
    rt_scope_leave(&s);
}

/* The order of two locks: some seeds must find the deadlock. */
TEST(seeds_find_a_deadlock) {
    unsigned found = 0;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct rt_sim_config c = {.seed = seed, .quiet = true};
        int rc = rt_sim_run(&c, lock_in_both_orders, NULL);
        CHECK(rc == 0 || rc == -EDEADLK);
        found += rc == -EDEADLK;
    }
    CHECK(found > 0 && found < 50);
}

static void spin(void *arg) {
    (void)arg;
    while (rt_yield() == 0)
        ;
}

static void doze(void *arg) {
    (void)arg;
    while (rt_sleep_until(in(RT_S)) == 0)
        ;
}

TEST(limits_end_a_run) {
    struct rt_sim_result r;
    struct rt_sim_config steps = {.seed = 1, .max_steps = 1000, .quiet = true, .result = &r};
    CHECK_INT(rt_sim_run(&steps, spin, NULL), -ETIME);
    CHECK(r.steps >= 1000 && r.steps < 1100);
    struct rt_sim_config time = {.seed = 1, .max_time = 100 * RT_S, .quiet = true, .result = &r};
    CHECK_INT(rt_sim_run(&time, doze, NULL), -ETIME);
    CHECK(r.elapsed >= 100 * RT_S && r.elapsed < 200 * RT_S);
    CHECK_UINT(rt_fiber_count(), 0);
}

static void look_at_clocks(void *arg) {
    rt_time before = rt_clock();
    CHECK(rt_wall_clock() >= *(rt_time *)arg && rt_wall_clock() < *(rt_time *)arg + RT_S);
    CHECK_INT(rt_sleep_until(in(24 * 3600 * RT_S)), 0);
    CHECK(rt_clock() >= before + 24 * 3600 * RT_S);
    CHECK(rt_wall_clock() >= *(rt_time *)arg + 24 * 3600 * RT_S);
}

TEST(time_is_virtual) {
    rt_time start = 1000000000 * RT_S;
    struct rt_sim_config c = {.seed = 1, .wall_start = start};
    CHECK_INT(rt_sim_run(&c, look_at_clocks, &start), 0);
    start = 1767225600 * RT_S; /* the beginning of 2026 */
    c.wall_start = 0;
    CHECK_INT(rt_sim_run(&c, look_at_clocks, &start), 0);
}

static unsigned refused, unreachable, unanswered, connected;

static void connect_often(void *arg) {
    struct rt_sockaddr at = address(80);
    CHECK_INT(rt_listen(&at, 1000, &handle), 0);
    (void)arg;
    for (int i = 0; i < 200; i++) {
        struct rt_stream s;
        rt_time deadline = in(RT_S);
        int rc = rt_connect(&s, &at, deadline);
        refused += rc == -ECONNREFUSED;
        unreachable += rc == -EHOSTUNREACH;
        unanswered += rc == -ETIMEDOUT;
        connected += rc == 0;
        CHECK(rc != -ETIMEDOUT || rt_now() >= deadline);
        if (rc == 0)
            rt_end(&s, RT_END_CLOSE);
    }
    rt_close_handle(handle);
}

TEST(connects_fail_in_all_ways) {
    struct rt_sim_result r;
    struct rt_sim_config c = {.seed = 1, .connect_fail = 500, .result = &r};
    CHECK_INT(rt_sim_run(&c, connect_often, NULL), 0);
    CHECK(refused && unreachable && unanswered && connected);
    CHECK_UINT(r.injected, refused + unreachable + unanswered);
    CHECK_UINT(r.handles, 0);
    c.connect_fail = 0;
    connected = 0;
    CHECK_INT(rt_sim_run(&c, connect_often, NULL), 0);
    CHECK_UINT(connected, 200);
}

static void accept_anyway(void *arg) {
    struct rt_sockaddr at = address(80);
    struct rt_stream listener, s;
    unsigned *full = arg;
    CHECK_INT(rt_listen(&at, 10, &handle), 0);
    CHECK_INT(rt_attach(&listener, handle, true), 0);
    for (int i = 0; i < 50; i++) {
        CHECK_INT(rt_connect(&s, &at, in(LONG)), 0);
        int fd;
        while ((fd = rt_accept(&listener, NULL, in(LONG))) == -EMFILE)
            ++*full;
        CHECK(fd >= 0);
        rt_close_handle(fd);
        CHECK_INT(rt_end(&s, RT_END_CLOSE), 0);
    }
    CHECK_INT(rt_end(&listener, RT_END_CLOSE), 0);
}

TEST(a_full_table_keeps_the_connection) {
    struct rt_sim_result r;
    struct rt_sim_config c = {.seed = 1, .accept_fail = 300, .result = &r};
    unsigned full = 0;
    CHECK_INT(rt_sim_run(&c, accept_anyway, &full), 0);
    CHECK(full > 5);
    CHECK_UINT(r.injected, full);
    CHECK_UINT(r.handles, 0);
}

static void overfill_backlog(void *arg) {
    struct rt_sockaddr at = address(80);
    struct rt_stream s[4];
    (void)arg;
    CHECK_INT(rt_listen(&at, 3, &handle), 0);
    for (int i = 0; i < 3; i++)
        CHECK_INT(rt_connect(&s[i], &at, in(LONG)), 0);
    CHECK_INT(rt_connect(&s[3], &at, in(LONG)), -ECONNREFUSED);
    rt_close_handle(handle);
    for (int i = 0; i < 3; i++) { /* nobody ever accepted them */
        CHECK_INT(rt_receive(&s[i], &(char){0}, 1, in(LONG)), -ECONNRESET);
        CHECK_INT(rt_end(&s[i], RT_END_CLOSE), 0);
    }
}

TEST(a_backlog_is_bounded) {
    struct rt_sim_config c = {.seed = 1};
    CHECK_INT(rt_sim_run(&c, overfill_backlog, NULL), 0);
}

static void no_descriptors(void *arg) {
    int p[2];
    (void)arg;
    CHECK_INT(pipe(p), 0);
    CHECK_INT(rt_wait_fd(p[0], RT_READ, in(LONG)), -ENOTSUP);
    struct rt_stream s;
    CHECK_INT(rt_attach(&s, p[0], false), -EBADF);
    CHECK(!rt_is_attached(&s));
    close(p[0]);
    close(p[1]);
}

TEST(descriptors_are_not_simulated) {
    struct rt_sim_config c = {.seed = 1};
    CHECK_INT(rt_sim_run(&c, no_descriptors, NULL), 0);
}

const struct test_case sim_tests[] = {
    {"the_same_seed_gives_the_same_run", the_same_seed_gives_the_same_run},
    {"a_hang_is_found", a_hang_is_found},
    {"seeds_find_a_deadlock", seeds_find_a_deadlock},
    {"limits_end_a_run", limits_end_a_run},
    {"time_is_virtual", time_is_virtual},
    {"connects_fail_in_all_ways", connects_fail_in_all_ways},
    {"a_full_table_keeps_the_connection", a_full_table_keeps_the_connection},
    {"a_backlog_is_bounded", a_backlog_is_bounded},
    {"descriptors_are_not_simulated", descriptors_are_not_simulated},
    {0},
};
