/* Where the config comes from, and loading it to look at it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "admin/admin.h"
#include "cli/cli.h"
#include "store/store.h"
#include "upstream/upstream.h"

#define ARENA_MAX ((size_t)256 << 20)

int cli_source(const struct cli_args *args, struct gw_options *out) {
    const char *path = args->config ? args->config : CLI_DEFAULT_CONFIG;
    *out = (struct gw_options){.admin = &adm_handler};
    if (args->demo) {
        out->config_text = b_slice(cli_demo_yaml, (size_t)(cli_demo_yaml_end - cli_demo_yaml));
        out->config_name = "demo.yaml";
        return 0;
    }
    out->config_path = path;
    if (access(path, F_OK) == 0 || errno != ENOENT)
        return 0;
    fprintf(stderr,
            "weir: there is no config %s%s\n"
            "      see it work without one:   weir run --demo\n"
            "      write one to start from:   weir example > %s\n",
            path, args->config ? "" : " here", path);
    return CLI_FAILED;
}

static char *environment(const char *name) {
    return getenv(name);
}

static int load(const struct gw_options *source, struct cli_config *c, struct cfg_errors *errors) {
    struct cfg_source embedded = {.name = source->config_name, .bytes = source->config_text};
    struct cfg_root *root = NULL;
    int rc = source->config_path ? cfg_files_read(source->config_path, &c->files, errors) : 0;
    if (rc < 0)
        return rc;
    if (source->config_path)
        rc = cfg_load(c->files.sources, c->files.count, gw_registry(), environment, &c->arena, &root, errors);
    else
        rc = cfg_load(&embedded, 1, gw_registry(), environment, &c->arena, &root, errors);
    c->root = root;
    return rc < 0 ? rc : adm_check(root, errors);
}

int cli_load(const struct gw_options *source, struct cli_config *out) {
    struct cfg_errors errors;
    cfg_errors_init(&errors);
    *out = (struct cli_config){0};
    b_arena_init(&out->arena, B_TAG_CONFIG, NULL, NULL, 0, ARENA_MAX);
    int rc = load(source, out, &errors);
    cli_print_errors(&errors);
    return rc < 0 ? CLI_FAILED : CLI_DONE;
}

void cli_unload(struct cli_config *c) {
    b_arena_release(&c->arena);
    cfg_files_free(&c->files);
    c->root = NULL;
}

void cli_print_errors(struct cfg_errors *errors) {
    struct b_text text = cli_text();
    cfg_errors_sort(errors);
    cfg_errors_write(errors, &text);
    if (text.failed)
        fprintf(stderr, "weir: out of memory\n");
    else if (text.len)
        fwrite(text.ptr, 1, text.len, stderr);
    b_text_free(&text);
    cfg_errors_free(errors);
}

int cli_print(struct b_text *text) {
    bool ok = !text->failed && (!text->len || fwrite(text->ptr, 1, text->len, stdout) == text->len) &&
              fflush(stdout) == 0;
    if (!ok)
        fprintf(stderr, "weir: %s\n", text->failed ? "out of memory" : strerror(errno));
    b_text_free(text);
    return ok ? CLI_DONE : CLI_FAILED;
}

struct gw_snapshot *cli_build(const struct gw_options *source) {
    static struct gateway nobody; /* serves nothing; large */
    struct cfg_errors errors;
    cfg_errors_init(&errors);
    nobody.options = source;
    nobody.upstreams = up_registry_new();
    nobody.stores = st_registry_new();
    bool ready = nobody.upstreams && nobody.stores;
    struct gw_snapshot *s = ready ? gw_build(&nobody, source, &errors) : NULL;
    if (!ready)
        (void)cfg_error_memory(&errors);
    cli_print_errors(&errors);
    return s;
}
