#include "runtime/signals.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "runtime/fiber.h"
#include "runtime/io.h"

#define RETRY (100 * RT_MS)

static int fd = -1;
static sigset_t before;

int rt_signals_open(void) {
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGHUP);
    sigaddset(&ours, SIGUSR1);
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return -errno;
    int rc = pthread_sigmask(SIG_BLOCK, &ours, &before);
    if (rc)
        return -rc;
    fd = signalfd(-1, &ours, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd >= 0)
        return 0;
    rc = -errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

int rt_signal_wait(rt_time deadline) {
    struct signalfd_siginfo info;
    if (fd < 0) /* nobody asked for signals: none will come */
        return rt_park(deadline);
    for (;;) {
        ssize_t n = read(fd, &info, sizeof info);
        if (n == (ssize_t)sizeof info)
            return (int)info.ssi_signo;
        int rc = rt_wait_fd(fd, RT_READ, deadline);
        if (rc == -ETIMEDOUT || rc == -ECANCELED)
            return rc;
        /* the kernel's memory may be short for a moment (ENOMEM, ENOSPC); a process that nobody can stop any more, or
         * that stops because of it, would be worse than one that hears a little later */
        if (rc < 0 && rt_sleep_until(rt_earlier(deadline, rt_after(rt_now(), RETRY))) != 0)
            return -ECANCELED;
    }
}

void rt_signals_close(void) {
    if (fd < 0)
        return;
    close(fd);
    fd = -1;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}
