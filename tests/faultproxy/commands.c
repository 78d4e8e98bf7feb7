/* Commands of the fault proxy; --help lists them. */
#include "faultproxy.h"

#include <stdarg.h>

#include "../../bench/common.h"

/* A number from 0 to max; `otherwise` when the word is missing. */
static bool number(const char *word, double max, double otherwise, double *value) {
    char *end;
    *value = word ? strtod(word, &end) : otherwise;
    return word ? end != word && !*end && *value >= 0 && *value <= max : otherwise >= 0;
}

static const char *set_shape(struct endpoint *endpoint, char **words) {
    double first, second;
    if (!number(words[1], 1e9, -1, &first) || !number(words[2], 1e9, 0, &second))
        return "a number is missing or wrong";
    if (!strcmp(words[0], "latency")) {
        endpoint->latency_ns = (uint64_t)(first * 1e6);
        endpoint->jitter_ns = (uint64_t)(second * 1e6);
    } else if (!strcmp(words[0], "rate")) {
        endpoint->rate = (uint64_t)first;
    } else if (!strcmp(words[0], "drip")) {
        endpoint->drip_ns = (uint64_t)(first * 1e6);
    } else if (first > 100) {
        return "chance is 0 to 100";
    } else {
        endpoint->chance = first;
    }
    return NULL;
}

/* FAULT [VARIANT] [N]; otherwise -1: N has to be given, -2: there is none. */
static const struct {
    const char *word, *variant;
    enum fault fault;
    double otherwise;
} faults[] = {
    {"refuse", NULL, REFUSE, -2},
    {"blackhole", "full", BLACKHOLE, -2},
    {"blackhole", NULL, BLACKHOLE, -2},
    {"hang", "forward", HANG_FORWARD, -2},
    {"hang", NULL, HANG, -2},
    {"rst", "accept", RST_ACCEPT, -2},
    {"rst", "request", RST_REQUEST, -2},
    {"rst", "answer", RST_ANSWER, -1},
    {"cut", NULL, CUT, -1},
    {"halfclose", NULL, HALF_CLOSE, -2},
    {"garbage", NULL, GARBAGE, 1024},
    {"corrupt", "head", CORRUPT_HEAD, 10},
    {"corrupt", "body", CORRUPT_BODY, 10},
};

static const char *set_fault(struct endpoint *endpoint, char **words) {
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        const char *variant = faults[i].variant;
        if (strcmp(words[0], faults[i].word) || (variant && (!words[1] || strcmp(words[1], variant))))
            continue;
        char **rest = words + 1 + (variant != NULL);
        double value = faults[i].fault == BLACKHOLE && variant;
        if (faults[i].otherwise == -2
                ? *rest != NULL
                : !number(*rest, 1e15, faults[i].otherwise, &value) || (*rest && rest[1]))
            return "wrong arguments; see --help";
        put_fault(endpoint, faults[i].fault, (uint64_t)value);
        return NULL;
    }
    return "no such command; see --help";
}

static const char *command(struct endpoint *endpoint, char **words) {
    static const char *const shapes[] = {"latency", "rate", "drip", "chance"};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (!strcmp(words[0], shapes[i]))
            return set_shape(endpoint, words);
    if (!strcmp(words[0], "drop")) {
        reset_pairs(endpoint);
        return NULL;
    }
    if (strcmp(words[0], "clear"))
        return set_fault(endpoint, words);
    endpoint->latency_ns = endpoint->jitter_ns = endpoint->rate = endpoint->drip_ns = 0;
    endpoint->chance = 100;
    put_fault(endpoint, NONE, 0);
    return NULL;
}

static void say(int fd, const char *format, ...) {
    char text[64 * 256];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (write(fd, text, (size_t)len) < 0)
        return; /* who does not read his answer has closed */
}

static void say_stats(int fd) {
    char text[ENDPOINTS_MAX * 240];
    int len = 0;
    for (int i = 0; i < endpoints_count; i++) {
        const struct endpoint *e = &endpoints[i];
        len += snprintf(
            text + len, sizeof text - (size_t)len,
            "%s\"%s\": {\"connections\": %lu, \"open\": %d, \"requests\": %lu, \"bytes_up\": %lu, \"bytes_down\": %lu, "
            "\"faults\": %lu}",
            i ? ", " : "", e->name, e->connections, e->open, e->requests, e->bytes_up, e->bytes_down,
            e->faults);
    }
    say(fd, "ok {%s, \"posts\": %lu, \"repeated\": %lu}\n", text, posts, repeated);
}

static void run_line(int fd, char *line) {
    enum { WORDS_MAX = 5 };
    char *words[WORDS_MAX + 1] = {NULL}, *state = NULL;
    int count = 0;
    for (char *word = strtok_r(line, " \t\r", &state); word && count < WORDS_MAX;
         word = strtok_r(NULL, " \t\r", &state))
        words[count++] = word;
    if (count == 1 && !strcmp(words[0], "stats")) {
        say_stats(fd);
        return;
    }
    if (count == 1 && !strcmp(words[0], "forget")) {
        forget_posts();
        say(fd, "ok\n");
        return;
    }
    if (count == 1 && !strcmp(words[0], "quit"))
        exit(0);
    for (int i = 0; i < endpoints_count && count >= 2; i++) {
        if (strcmp(words[0], endpoints[i].name))
            continue;
        const char *wrong = command(&endpoints[i], words + 1);
        if (wrong)
            say(fd, "error: %s\n", wrong);
        else
            say(fd, "ok\n");
        return;
    }
    say(fd, "error: no such endpoint or command; see --help\n");
}

void accept_control(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    struct control *control = calloc(1, sizeof *control);
    if (!control)
        die("calloc");
    control->watched = (struct watched){CONTROL, fd};
    set_nodelay(fd);
    watch(events_fd, fd, EPOLLIN, &control->watched);
}

void serve_control(struct control *control) {
    int fd = control->watched.fd;
    ssize_t got = read(fd, control->line + control->len, sizeof control->line - control->len);
    if (got <= 0) {
        close(fd);
        free(control);
        return;
    }
    control->len += (size_t)got;
    for (char *end; (end = memchr(control->line, '\n', control->len));) {
        *end = 0;
        run_line(fd, control->line);
        control->len -= (size_t)(end + 1 - control->line);
        memmove(control->line, end + 1, control->len);
    }
    if (control->len == sizeof control->line) {
        say(fd, "error: the line is too long\n");
        control->len = 0;
    }
}
