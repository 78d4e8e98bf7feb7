/* `weir check`: everything that is wrong with a config, in one go. */
#include "cli/cli.h"
#include "gateway/gateway.h"
#include "telemetry/http_metrics.h"
#include "upstream/upstream.h"

static void count(struct b_text *out, size_t n, const char *what) {
    b_text_printf(out, "%zu %s%s", n, what, n == 1 ? "" : "s");
}

int cli_check(const struct cli_args *args) {
    struct gw_options source;
    struct b_text out = cli_text();
    if (cli_source(args, &source) != 0)
        return CLI_FAILED;
    tel_metrics_init(1);
    struct gw_snapshot *s = cli_build(&source);
    if (!s)
        return CLI_FAILED;
    b_text_printf(&out, "%s: ok: ", source.config_path ? source.config_path : source.config_name);
    count(&out, s->root->routes.count, "route");
    b_text_lit(&out, ", ");
    count(&out, s->root->upstreams.count, "upstream");
    b_text_char(&out, '\n');
    gw_snapshot_free(s);
    return cli_print(&out);
}
