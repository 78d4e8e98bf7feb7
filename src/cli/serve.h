/* The main fiber of `weir run`: start, signals, end. */
#ifndef CLI_SERVE_H
#define CLI_SERVE_H

#include "gateway/gateway.h"

struct cli_serving {
    struct gateway *gateway;
    const struct gw_options *options;
    bool demo;
    struct cfg_errors errors; /* of the start */
    int result;               /* 0, or what kept it from starting */
};

/* For rt_run; arg is a struct cli_serving. */
void cli_serve(void *arg);

#endif
