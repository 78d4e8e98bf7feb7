#include "cli/cli.h"
#include "config/describe.h"
#include "gateway/module.h"

int cli_schema(const struct cli_args *args) {
    struct b_text out = cli_text();
    (void)args;
    cfg_write_json_schema(&out, gw_registry());
    return cli_print(&out);
}
