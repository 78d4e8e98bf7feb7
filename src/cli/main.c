/* weir VERB: see verbs.c. */
#include <stdio.h>

#include "cli/cli.h"

int main(int argc, char **argv) {
    struct cli_args args;
    char buf[512];
    struct b_text message = b_text_fixed(buf, sizeof buf);
    b_alloc_init();
    int rc = cli_parse(argc, argv, &args, &message);
    if (rc != 0) {
        fprintf(stderr, "weir: %.*s\n", B_FMT(b_text_slice(&message)));
        return rc;
    }
    if (args.help) {
        struct b_text help = cli_text();
        cli_write_help(&help, args.verb);
        return cli_print(&help);
    }
    rc = args.verb->run(&args);
    if (b_alloc_calls()) /* with WEIR_FAIL_ALLOC: a test must see that its fault happened */
        fprintf(stderr, "weir: allocations: %llu, made to fail: %llu\n", (unsigned long long)b_alloc_calls(),
                (unsigned long long)b_alloc_failures());
    return rc;
}
