#include "support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sanitize.h"

static const struct rt_backend *backend;

bool test_on_uring(void) {
    const char *why;
    int error;
    backend = rt_uring_backend(&why, &error);
    if (!backend)
        printf("io_uring is not tested here: %s: %s\n", why, strerror(-error));
    return backend != NULL;
}

void run_on(unsigned workers, void (*fn)(void *), void *arg) {
    const char *io = getenv("WEIR_TEST_IO");
    struct rt_config config = {.workers = workers, .backend = backend};
    if (!backend && io && strcmp(io, "uring") == 0 && test_on_uring())
        config.backend = backend;
    CHECK_INT(rt_run(&config, fn, arg), 0);
    CHECK_UINT(rt_fiber_count(), 0);
}

bool dies(void (*fn)(void)) {
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        int nowhere = open("/dev/null", O_WRONLY);
        dup2(nowhere, 2);
        fn();
        _exit(0);
    }
    int status = 0;
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    if (B_ASAN || B_TSAN)
        return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    return WIFSIGNALED(status);
}

void spawn_in(struct rt_scope *s, void (*fn)(void *), void *arg) {
    CHECK_INT(rt_scope_spawn(s, "test", fn, arg), 0);
}

void join(struct rt_scope *s) {
    CHECK_INT(rt_scope_wait(s, RT_NEVER), 0);
    rt_scope_leave(s);
}
