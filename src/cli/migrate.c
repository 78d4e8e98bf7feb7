/* `weir migrate`: the tables that weir makes in the stores of a config, brought up to date. */
#include <stdio.h>

#include "cli/cli.h"
#include "gateway/gateway.h"
#include "store/store.h"

static int migrate_one(struct st_store *store, bool apply, struct b_text *out) {
    char why[ST_WHY_MAX] = "";
    size_t before = out->len;
    b_text_printf(out, "%s:\n", st_name(store));
    size_t head = out->len;
    if (st_migrate(store, apply, out, why) != 0) {
        out->len = before;
        fprintf(stderr, "weir: store %s: %s\n", st_name(store), why);
        return CLI_FAILED;
    }
    if (out->len == head)
        b_text_lit(out, "  up to date\n");
    return CLI_DONE;
}

int cli_migrate(const struct cli_args *args) {
    bool show = args->word_count == 1 && strcmp(args->words[0], "show") == 0;
    struct b_text out = cli_text();
    struct gw_options source = {0};
    if (args->word_count == 1 && !show) {
        fprintf(stderr, "weir: `weir migrate` takes `show` or nothing, not \"%s\"\n", args->words[0]);
        return CLI_USAGE;
    }
    if (cli_source(args, &source) != 0)
        return CLI_FAILED;
    struct gw_snapshot *s = cli_build(&source);
    int rc = s ? CLI_DONE : CLI_FAILED;
    for (unsigned i = 0; s && i < s->store_count; i++)
        rc = migrate_one(s->stores[i], !show, &out) ? CLI_FAILED : rc;
    if (s && !s->store_count)
        b_text_lit(&out, "the config has no stores\n");
    int printed = cli_print(&out);
    if (s)
        gw_snapshot_free(s);
    return rc ? rc : printed;
}
