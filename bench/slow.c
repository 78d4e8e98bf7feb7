/*
 * Slow senders: connections that each send a request's head a byte at a time and never finish it. A connection that the
 * subject ends is opened again. Prints "ready" once all are open and have sent their first bytes, and ends with its standard
 * input: then it prints how many were ended by the subject meanwhile.
 */
#include "common.h"

#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>

enum { CONNECTIONS_MAX = 200000 };

static const char begin[] = "GET /1k HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ";

struct slow {
    int *fds;
    long count, port, next;
    uint64_t ended;
};

static void open_one(struct slow *s, long i) {
    s->fds[i] = connect_to(s->port);
    if (s->fds[i] < 0)
        die("connect");
    fcntl(s->fds[i], F_SETFL, O_NONBLOCK);
    if (write(s->fds[i], begin, sizeof begin - 1) != (ssize_t)sizeof begin - 1)
        die("write");
}

/* One byte more on one connection. */
static void drip(struct slow *s) {
    long i = s->next++ % s->count;
    char answer[256];
    ssize_t got = recv(s->fds[i], answer, sizeof answer, MSG_DONTWAIT);
    if (got >= 0 || errno != EAGAIN || send(s->fds[i], "x", 1, MSG_NOSIGNAL) != 1) {
        s->ended++;
        close(s->fds[i]);
        open_one(s, i);
    }
}

/* Each connection gets a byte every `period_s`, all of them evenly spread, until the standard input ends. */
static void run(struct slow *s, double period_s) {
    uint64_t start = now_ns(), sent = 0;
    double interval_ns = period_s * 1e9 / (double)s->count;
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    while (poll(&input, 1, 1) == 0)
        for (uint64_t due = (uint64_t)((double)(now_ns() - start) / interval_ns); sent < due; sent++)
            drip(s);
}

int main(int argc, char **argv) {
    struct slow s = {.count = 10000};
    double period_s = 1;
    for (int option; (option = getopt(argc, argv, "p:c:i:")) != -1;) {
        switch (option) {
        case 'p': s.port = number_or_die(optarg, 1, 65535); break;
        case 'c': s.count = number_or_die(optarg, 1, CONNECTIONS_MAX); break;
        case 'i': period_s = strtod(optarg, NULL); break;
        default: usage("-p PORT [-c CONNECTIONS] [-i SECONDS_BETWEEN_BYTES]");
        }
    }
    if (!s.port || optind != argc || period_s <= 0)
        usage("-p PORT [-c CONNECTIONS] [-i SECONDS_BETWEEN_BYTES]");
    prepare_process();
    s.fds = calloc((size_t)s.count, sizeof *s.fds);
    if (!s.fds)
        die("calloc");
    for (long i = 0; i < s.count; i++)
        open_one(&s, i);
    puts("ready");
    fflush(stdout);
    run(&s, period_s);
    printf("{\"ended\": %lu}\n", s.ended);
    return 0;
}
