/* `weir migrate`: the tables that weir makes in the stores of a config, brought up to date. */
#include <stdio.h>

#include "cli/cli.h"
#include "gateway/gateway.h"
#include "runtime/worker.h"
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

struct migrating {
    const struct gw_snapshot *snapshot;
    bool apply;
    struct b_text out;
    int rc;
};

/* As a fiber: PostgreSQL is spoken to from one. */
static void migrate_all(void *arg) {
    struct migrating *m = arg;
    for (unsigned i = 0; i < m->snapshot->store_count; i++)
        m->rc = migrate_one(m->snapshot->stores[i], m->apply, &m->out) ? CLI_FAILED : m->rc;
    if (!m->snapshot->store_count)
        b_text_lit(&m->out, "the config has no stores\n");
}

static int migrate(struct gw_snapshot *s, bool apply) {
    struct migrating m = {.snapshot = s, .apply = apply, .out = cli_text(), .rc = CLI_DONE};
    const struct rt_config alone = {.workers = 1};
    int rc = rt_run(&alone, migrate_all, &m);
    if (rc) {
        fprintf(stderr, "weir: it cannot be started: %s\n", strerror(-rc));
        m.rc = CLI_FAILED;
    }
    int printed = cli_print(&m.out);
    return m.rc ? m.rc : printed;
}

int cli_migrate(const struct cli_args *args) {
    bool show = args->word_count == 1 && strcmp(args->words[0], "show") == 0;
    struct gw_options source = {0};
    if (args->word_count == 1 && !show) {
        fprintf(stderr, "weir: `weir migrate` takes `show` or nothing, not \"%s\"\n", args->words[0]);
        return CLI_USAGE;
    }
    if (cli_source(args, &source) != 0)
        return CLI_FAILED;
    struct gw_snapshot *s = cli_build(&source);
    if (!s)
        return CLI_FAILED;
    int rc = migrate(s, !show);
    gw_snapshot_free(s);
    return rc;
}
