/* `weir example`: the configs of examples/ that lie inside the binary. */
#include <stdio.h>

#include "cli/cli.h"

int cli_example(const struct cli_args *args) {
    const char *name = args->word_count ? args->words[0] : "proxy";
    struct b_text out = cli_text();
    if (strcmp(name, "proxy") == 0) {
        b_text_add(&out, cli_proxy_yaml, (size_t)(cli_proxy_yaml_end - cli_proxy_yaml));
    } else if (strcmp(name, "demo") == 0) {
        b_text_add(&out, cli_demo_yaml, (size_t)(cli_demo_yaml_end - cli_demo_yaml));
    } else {
        fprintf(stderr, "weir: there is no example \"%.60s\"; there are proxy and demo\n", name);
        return CLI_USAGE;
    }
    return cli_print(&out);
}
