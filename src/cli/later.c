#include <stdio.h>

#include "cli/cli.h"

int cli_later(const struct cli_args *args) {
    fprintf(stderr, "weir: `weir %s` is not built yet\n", args->verb->name);
    return CLI_FAILED;
}
