#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/address.h"
#include "net/limits.h"
#include "support.h"

static const uint8_t loopback[4] = {127, 0, 0, 1};

static int plain_listener(const struct rt_sockaddr *at, int backlog) {
    int fd = socket(at->u.any.sa_family, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, &at->u.any, at->len) != 0 || (backlog && listen(fd, backlog) != 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* A unix address in a directory of its own; remove_directory takes both away. */
static bool unix_address(struct rt_sockaddr *a, char directory[64]) {
    char path[96];
    snprintf(directory, 64, "/tmp/weir-net-XXXXXX");
    if (!mkdtemp(directory))
        return false;
    snprintf(path, sizeof path, "%s/socket", directory);
    return net_unix(a, b_slice_cstr(path)) == 0;
}

static void remove_directory(const struct rt_sockaddr *a, const char *directory) {
    unlink(a->u.un.sun_path);
    CHECK_INT(rmdir(directory), 0);
}

static bool connects(const struct rt_sockaddr *to) {
    struct rt_stream s;
    int rc = rt_connect(&s, to, rt_after(rt_now(), 5 * RT_S));
    if (rc == 0)
        rt_end(&s, RT_END_CLOSE);
    return rc == 0;
}

static void tcp(void *arg) {
    struct rt_sockaddr a, real;
    int fd = -1, second = -1;
    bool inherited = true;
    char buf[NET_LISTEN_ERROR_TEXT], want[NET_LISTEN_ERROR_TEXT];
    (void)arg;
    net_ipv4(&a, loopback, 0);
    REQUIRE(net_listen(&a, 16, &fd, &inherited) == 0);
    CHECK(!inherited);
    REQUIRE(net_local_address(fd, &real) == 0);
    CHECK(net_port(&real) != 0);
    CHECK(connects(&real));
    CHECK_INT(net_listen(&real, 16, &second, NULL), -EADDRINUSE);
    snprintf(want, sizeof want,
             "address in use: another program listens on 127.0.0.1:%u; stop it or choose another port "
             "(ss -ltnp shows it)",
             net_port(&real));
    CHECK_STR(net_listen_error_text(-EADDRINUSE, &real, buf), want);
    net_unlisten(fd, &real);
    CHECK(!connects(&real));
}

TEST(listens) {
    run_fiber(1, tcp, NULL);
}

static void any(void *arg) {
    struct rt_sockaddr a, real;
    int fd = -1;
    (void)arg;
    net_any(&a, 0);
    REQUIRE(net_listen(&a, 16, &fd, NULL) == 0);
    REQUIRE(net_local_address(fd, &real) == 0);
    net_ipv4(&a, loopback, net_port(&real));
    CHECK(connects(&a));
    net_unlisten(fd, &real);
}

TEST(any_takes_ipv4) {
    run_fiber(1, any, NULL);
}

static void unix_life(void *arg) {
    struct rt_sockaddr a;
    struct stat st;
    char directory[64];
    int fd = -1, second = -1;
    (void)arg;
    REQUIRE(unix_address(&a, directory));
    REQUIRE(net_listen(&a, 16, &fd, NULL) == 0);
    REQUIRE(stat(a.u.un.sun_path, &st) == 0);
    CHECK_UINT(st.st_mode & 07777, 0660);
    CHECK(connects(&a));
    CHECK_INT(net_listen(&a, 16, &second, NULL), -EADDRINUSE);
    CHECK(connects(&a)); /* the attempt took nothing away */
    net_unlisten(fd, &a);
    CHECK(stat(a.u.un.sun_path, &st) != 0);
    remove_directory(&a, directory);
}

TEST(unix_socket) {
    run_fiber(1, unix_life, NULL);
}

static void stale(void *arg) {
    struct rt_sockaddr a;
    char directory[64];
    int fd = -1, dead;
    (void)arg;
    REQUIRE(unix_address(&a, directory));
    dead = plain_listener(&a, 1);
    REQUIRE(dead >= 0);
    close(dead); /* the file stays, as after a crash */
    REQUIRE(net_listen(&a, 16, &fd, NULL) == 0);
    CHECK(connects(&a));
    net_unlisten(fd, &a);
    remove_directory(&a, directory);
}

TEST(stale_unix_socket_is_replaced) {
    run_fiber(1, stale, NULL);
}

static void plain_file(void *arg) {
    struct rt_sockaddr a;
    struct stat st;
    char directory[64];
    int fd = -1, file;
    (void)arg;
    REQUIRE(unix_address(&a, directory));
    file = open(a.u.un.sun_path, O_CREAT | O_WRONLY, 0600);
    REQUIRE(file >= 0);
    close(file);
    CHECK_INT(net_listen(&a, 16, &fd, NULL), -EADDRINUSE);
    CHECK(stat(a.u.un.sun_path, &st) == 0); /* somebody's data */
    remove_directory(&a, directory);
}

TEST(other_files_are_left_alone) {
    run_fiber(1, plain_file, NULL);
}

/* The new process of an upgrade has put its own socket at the path. */
static void taken_over(void *arg) {
    struct rt_sockaddr a;
    char directory[64];
    int fd = -1, heir;
    (void)arg;
    REQUIRE(unix_address(&a, directory));
    REQUIRE(net_listen(&a, 16, &fd, NULL) == 0);
    unlink(a.u.un.sun_path);
    heir = plain_listener(&a, 16);
    REQUIRE(heir >= 0);
    net_unlisten(fd, &a);
    CHECK(connects(&a));
    close(heir);
    remove_directory(&a, directory);
}

TEST(successor_keeps_its_socket) {
    run_fiber(1, taken_over, NULL);
}

/* --- socket activation: a TCP listener at 3, a unix one at 4, something else at 5 --- */

static struct rt_sockaddr inherited_tcp, inherited_unix;

static bool at_descriptor(int fd, int wanted) {
    bool ok = fd >= 0 && dup2(fd, wanted) == wanted;
    if (fd != wanted)
        close(fd);
    return ok;
}

static void activation(void *arg) {
    int fd = -1;
    bool was = false;
    unsigned at = 0;
    struct rt_sockaddr left, other;
    (void)arg;
    REQUIRE(net_listen(&inherited_tcp, 16, &fd, &was) == 0);
    CHECK_INT(fd, 3);
    CHECK(was);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    CHECK(connects(&inherited_tcp));
    CHECK_INT(net_listen(&inherited_tcp, 16, &fd, &was), -EADDRINUSE); /* given once only */
    CHECK(!was);
    REQUIRE(net_inherit_unused(&at, &left));
    CHECK(net_eq(&left, &inherited_unix));
    CHECK(!net_inherit_unused(&at, &left));
    net_ipv4(&other, loopback, 0);
    REQUIRE(net_listen(&other, 16, &fd, &was) == 0);
    CHECK(!was);
    net_unlisten(fd, &other);
    net_unlisten(3, &inherited_tcp); /* a reload takes it away and brings it back */
    REQUIRE(net_listen(&inherited_tcp, 16, &fd, &was) == 0);
    CHECK(was && fd == 3);
    REQUIRE(net_listen(&inherited_unix, 16, &fd, &was) == 0);
    CHECK(was && fd == 4);
    net_unlisten(fd, &inherited_unix);
    CHECK(access(inherited_unix.u.un.sun_path, F_OK) == 0); /* the service manager's file */
}

static void run_activation(const char *directory) {
    struct rt_sockaddr a;
    char pid[24];
    net_ipv4(&a, loopback, 0);
    REQUIRE(at_descriptor(plain_listener(&a, 16), 3));
    REQUIRE(net_local_address(3, &inherited_tcp) == 0);
    REQUIRE(at_descriptor(plain_listener(&inherited_unix, 16), 4));
    REQUIRE(at_descriptor(socket(AF_INET, SOCK_DGRAM, 0), 5));
    snprintf(pid, sizeof pid, "%d", getpid());
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", "3", 1);
    CHECK_UINT(net_inherit_init(), 2);
    CHECK(!getenv("LISTEN_PID") && !getenv("LISTEN_FDS"));
    CHECK(fcntl(5, F_GETFD) == 0);
    run_fiber(1, activation, NULL);
    remove_directory(&inherited_unix, directory);
}

/* The harness may use low descriptors: those are kept out of the way. */
TEST(inherited_sockets) {
    char directory[64];
    int saved[3];
    REQUIRE(unix_address(&inherited_unix, directory));
    for (int i = 0; i < 3; i++)
        saved[i] = fcntl(3 + i, F_DUPFD_CLOEXEC, 100);
    run_activation(directory);
    for (int i = 0; i < 3; i++) {
        close(3 + i);
        if (saved[i] >= 0) {
            dup2(saved[i], 3 + i);
            close(saved[i]);
        }
    }
}

TEST(environment_of_another_process) {
    static const char *const pids[] = {"1", "", "x", "-1", "99999999999999999999"};
    for (size_t i = 0; i < sizeof pids / sizeof *pids; i++) {
        setenv("LISTEN_PID", pids[i], 1);
        setenv("LISTEN_FDS", "1", 1);
        CHECK_UINT(net_inherit_init(), 0);
    }
    CHECK_UINT(net_inherit_init(), 0);
}

TEST(error_texts) {
    struct rt_sockaddr low, high, path;
    char buf[NET_LISTEN_ERROR_TEXT];
    static const int codes[] = {EADDRINUSE, EACCES, EPERM,  EADDRNOTAVAIL, EAFNOSUPPORT, ENOENT,
                                ENOTDIR,    EROFS,  EMFILE, ENFILE,        EINVAL,       12345};
    char longest[108];
    memset(longest, 'l', sizeof longest);
    net_ipv4(&low, loopback, 80);
    net_ipv4(&high, loopback, 8080);
    REQUIRE(net_unix(&path, b_slice(longest, 107)) == 0);
    CHECK(strstr(net_listen_error_text(-EACCES, &low, buf), "127.0.0.1:80 needs a privilege"));
    CHECK(strstr(buf, "CAP_NET_BIND_SERVICE"));
    CHECK(!strstr(net_listen_error_text(-EACCES, &high, buf), "below 1024"));
    CHECK(strstr(net_listen_error_text(-EACCES, &path, buf), "directory"));
    CHECK(strstr(net_listen_error_text(-ENOENT, &path, buf), "directory"));
    CHECK(strstr(net_listen_error_text(-EINVAL, &low, buf), "Invalid argument"));
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        const struct rt_sockaddr *all[] = {&low, &high, &path};
        for (size_t k = 0; k < 3; k++) {
            char address[NET_ADDRESS_TEXT];
            net_format(all[k], address);
            CHECK(strstr(net_listen_error_text(-codes[i], all[k], buf), address));
        }
    }
}

TEST(descriptor_limit) {
    struct rlimit limit;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max < 256 ? limit.rlim_max : 256;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    uint64_t now = net_raise_descriptor_limit();
    CHECK_UINT(now, limit.rlim_max == RLIM_INFINITY ? UINT64_MAX : limit.rlim_max);
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK_UINT(limit.rlim_cur, limit.rlim_max);
}

const struct test_case listener_tests[] = {
    {"listens", listens},
    {"any_takes_ipv4", any_takes_ipv4},
    {"unix_socket", unix_socket},
    {"stale_unix_socket_is_replaced", stale_unix_socket_is_replaced},
    {"other_files_are_left_alone", other_files_are_left_alone},
    {"successor_keeps_its_socket", successor_keeps_its_socket},
    {"inherited_sockets", inherited_sockets},
    {"environment_of_another_process", environment_of_another_process},
    {"error_texts", error_texts},
    {"descriptor_limit", descriptor_limit},
    {0},
};
