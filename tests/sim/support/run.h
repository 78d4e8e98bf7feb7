/* What every simulation is made of: runs by seed, checks that name the seed, chance that follows from it. */
#ifndef SIM_SUPPORT_RUN_H
#define SIM_SUPPORT_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "runtime/sim.h"

/* The seed that runs. */
extern uint64_t sim_seed;

/* A rule was broken: tells it, and how to repeat the run. The first few of a seed are told. */
__attribute__((format(printf, 1, 2))) void sim_broken(const char *fmt, ...);

#define HOLDS(cond)                                                       \
    do {                                                                  \
        if (!(cond))                                                      \
            sim_broken("%s:%d: not true: %s", __FILE__, __LINE__, #cond); \
    } while (0)

/* With WEIR_LOG in the environment: says what happens, and when. */
__attribute__((format(printf, 1, 2))) void sim_tell(const char *fmt, ...);

/* 0 .. n-1, from the generator of the worker that runs. */
uint64_t sim_draw(uint64_t n);
/* Sleeps for a while that is drawn, up to `span`. */
void sim_pause(rt_time span);

/* A fiber that lets an allocation fail now and then, until it is cancelled. */
void sim_saboteur(void *arg);

struct sim_program {
    const char *name;
    void (*run)(uint64_t seed);
    /* What all seeds together have done, as text; false when that is nothing, so that the run has tested nothing. */
    bool (*summary)(FILE *out);
};

/* main of a simulation: --seeds N runs N seeds from 1 on, or from --seed S or WEIR_SEED; one of these alone runs that
 * seed. */
int sim_main(const struct sim_program *p, int argc, char **argv);

#endif
