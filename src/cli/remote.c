/* Verbs that a running weir carries out: `weir reload`, `weir drain`. */
#include <stdio.h>

#include "cli/cli.h"

static int ask(const struct cli_args *args, const char *path, const char *done) {
    struct cli_response response;
    int rc = cli_post(args, path, &response);
    if (rc != CLI_DONE)
        return rc;
    if (response.status < 300) {
        printf("%s %.*s", done, B_FMT(response.body));
    } else {
        fprintf(stderr, "%.*s", B_FMT(response.body));
        fprintf(stderr, "weir: %s answered %u; nothing was changed\n", path, response.status);
        rc = CLI_FAILED;
    }
    b_free(response.bytes);
    return rc;
}

int cli_reload(const struct cli_args *args) {
    return ask(args, "/-/reload", "reloaded:");
}

int cli_drain(const struct cli_args *args) {
    return ask(args, "/-/drain", "draining:");
}
