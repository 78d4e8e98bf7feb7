/*
 * Time from exec to the first answered request: starts a command again and again, asks its port until it answers 200, and
 * prints the milliseconds of each start on a line. It is a C program because a Python one would add its own millisecond.
 */
#include "common.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <sys/wait.h>

extern char **environ;

enum { TRY_EVERY_US = 50, START_LIMIT_S = 10, STOP_LIMIT_MS = 3000 };

static pid_t start_command(char **command) {
    pid_t pid;
    posix_spawn_file_actions_t quiet;
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&quiet, 2, "/dev/null", O_WRONLY, 0);
    errno = posix_spawnp(&pid, command[0], &quiet, NULL, command, environ);
    if (errno)
        die(command[0]);
    posix_spawn_file_actions_destroy(&quiet);
    return pid;
}

static bool answers(long port) {
    static const char request[] = "GET /1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    char head[16] = "";
    struct timeval limit = {.tv_sec = 1};
    int fd = connect_to(port);
    if (fd < 0)
        return false;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    bool ok = write(fd, request, sizeof request - 1) == (ssize_t)sizeof request - 1 &&
              recv(fd, head, 12, MSG_WAITALL) == 12 && memcmp(head, "HTTP/1.1 200", 12) == 0;
    close(fd);
    return ok;
}

static bool gone_within(pid_t pid, int limit_ms) {
    for (int ms = 0; ms < limit_ms; ms++) {
        if (waitpid(pid, NULL, WNOHANG) == pid)
            return true;
        usleep(1000);
    }
    return false;
}

/* A first TERM may drain, a second one ends that; KILL is for what hangs. */
static void stop_command(pid_t pid) {
    static const int signals[] = {SIGTERM, SIGTERM, SIGKILL};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        kill(pid, signals[i]);
        if (gone_within(pid, STOP_LIMIT_MS))
            return;
    }
}

static double measure_start(long port, char **command) {
    uint64_t began = now_ns(), limit = began + START_LIMIT_S * UINT64_C(1000000000);
    pid_t pid = start_command(command);
    bool ok = false;
    while (!ok && now_ns() < limit && waitpid(pid, NULL, WNOHANG) == 0) {
        ok = answers(port);
        if (!ok)
            usleep(TRY_EVERY_US);
    }
    uint64_t took = now_ns() - began;
    if (!ok) {
        kill(pid, SIGKILL);
        fprintf(stderr, "start: %s did not answer on port %ld\n", command[0], port);
        exit(1);
    }
    stop_command(pid);
    return (double)took / 1e6;
}

int main(int argc, char **argv) {
    static const char help[] = "-p PORT [-n STARTS] COMMAND [ARGUMENT ...]";
    long port = 0, starts = 20;
    for (int option; (option = getopt(argc, argv, "+p:n:")) != -1;) {
        switch (option) {
        case 'p': port = number_or_die(optarg, 1, 65535); break;
        case 'n': starts = number_or_die(optarg, 1, 10000); break;
        default: usage(help);
        }
    }
    if (!port || optind >= argc)
        usage(help);
    prepare_process();
    if (answers(port)) {
        fprintf(stderr, "start: something else answers on port %ld\n", port);
        return 1;
    }
    for (long i = 0; i < starts; i++) {
        printf("%.3f\n", measure_start(port, argv + optind));
        fflush(stdout);
    }
    return 0;
}
