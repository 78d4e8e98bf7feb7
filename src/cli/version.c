#include "cli/cli.h"

#ifndef WEIR_COMMIT
#define WEIR_COMMIT "unknown"
#endif

int cli_version(const struct cli_args *args) {
    struct b_text out = cli_text();
    (void)args;
    b_text_lit(&out, "weir " WEIR_VERSION " (commit " WEIR_COMMIT ")\n");
    return cli_print(&out);
}
