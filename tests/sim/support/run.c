#include "support/run.h"

#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "runtime/worker.h"

#define SEEDS 20    /* without arguments */
#define FAILURES 10 /* seeds that fail before the run is given up */
#define TOLD 8      /* broken rules of one seed */

uint64_t sim_seed;

static const struct sim_program *program;
static unsigned broken_count; /* in this seed */

void sim_broken(const char *fmt, ...) {
    va_list args;
    if (broken_count == 0)
        fprintf(stderr, "FAIL %s: seed %llu; to repeat: build/asan/%s --seed %llu\n", program->name,
                (unsigned long long)sim_seed, program->name, (unsigned long long)sim_seed);
    if (++broken_count > TOLD)
        return;
    va_start(args, fmt);
    fputs("    ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
}

void sim_tell(const char *fmt, ...) {
    static int on = -1;
    va_list args;
    if (on < 0)
        on = getenv("WEIR_LOG") != NULL;
    if (!on)
        return;
    va_start(args, fmt);
    fprintf(stderr, "%12.6f ", rt_self() ? (double)rt_now() / RT_S : 0.0);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
}

uint64_t sim_draw(uint64_t n) {
    return b_rng_below(&rt_self()->rng, n);
}

void sim_pause(rt_time span) {
    (void)!rt_sleep_until(rt_after(rt_now(), (rt_time)sim_draw((uint64_t)span)));
}

void sim_saboteur(void *arg) {
    (void)arg;
    while (!rt_cancelled()) {
        sim_pause(40 * RT_MS);
        b_alloc_fail_at(1 + sim_draw(60));
    }
    b_alloc_fail_at(0);
}

static uint64_t number(const char *text) {
    char *end;
    unsigned long long n = strtoull(text ? text : "", &end, 10);
    if (!text || !*text || *end) {
        fprintf(stderr, "usage: %s [--seeds N] [--seed S]\n", program->name);
        exit(2);
    }
    return n;
}

/* What weir logs about the faults that it meets is not what the run is to tell. */
static void drop(const struct b_log_sink *sink, struct b_slice line) {
    (void)sink;
    (void)line;
}

static const struct b_log_sink nowhere = {.write = drop};

/* A crash names its seed, too. */
static void name_seed(void) {
    fprintf(stderr, "FAIL %s: seed %llu crashes; to repeat: build/asan/%s --seed %llu\n", program->name,
            (unsigned long long)sim_seed, program->name, (unsigned long long)sim_seed);
}

static void aborted(int number) {
    name_seed();
    signal(number, SIG_DFL);
    raise(number);
}

const char *__ubsan_default_options(void);

const char *__ubsan_default_options(void) {
    return "abort_on_error=1:print_stacktrace=1";
}

void __sanitizer_set_death_callback(void (*fn)(void)) __attribute__((weak));

static void watch_for_crashes(void) {
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(name_seed);
    signal(SIGABRT, aborted);
}

int sim_main(const struct sim_program *p, int argc, char **argv) {
    uint64_t seeds = getenv("WEIR_SEED") ? 1 : SEEDS, first = rt_sim_seed(1), failed = 0, done = 0;
    bool counted = false;
    program = p;
    watch_for_crashes();
    if (!getenv("WEIR_LOG"))
        b_log_set_sink(&nowhere);
    for (int i = 1; i < argc; i += 2) {
        if (strcmp(argv[i], "--seeds") == 0) {
            seeds = number(argv[i + 1]);
            counted = true;
        } else if (strcmp(argv[i], "--seed") == 0) {
            first = number(argv[i + 1]);
            seeds = counted ? seeds : 1;
        } else {
            number(NULL);
        }
    }
    for (; done < seeds && failed < FAILURES; done++) {
        sim_seed = first + done;
        broken_count = 0;
        p->run(sim_seed);
        failed += broken_count != 0;
    }
    printf("%s: %llu seeds passed, %llu failed; ", p->name, (unsigned long long)(done - failed),
           (unsigned long long)failed);
    bool something = p->summary(stdout);
    fputc('\n', stdout);
    if (!something && done >= SEEDS) {
        fprintf(stderr, "FAIL %s: a part of what it is to test never happened\n", p->name);
        failed++;
    }
    return failed != 0;
}
