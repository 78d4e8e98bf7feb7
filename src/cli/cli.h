/* The command line: one table of verbs, one file for each. Exit statuses: 0 done, 1 bad config or failed, 2 bad usage. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "config/config.h"
#include "config/files.h"

struct gw_options;

#define CLI_DEFAULT_CONFIG "weir.yaml"
#define CLI_WORDS_MAX 2

enum cli_exit { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2 };
enum cli_takes {
    CLI_TAKES_CONFIG = 1,
    CLI_TAKES_DEMO = 2,
    CLI_TAKES_ADMIN = 4,
    CLI_TAKES_RPS = 8,
    CLI_TAKES_LATENCY = 16,
    CLI_TAKES_ONCE = 32
};

struct cli_verb;

/* What was asked for; the texts are argv's. */
struct cli_args {
    const struct cli_verb *verb; /* NULL: none */
    bool help;
    const char *config; /* -c; NULL: not given */
    const char *admin;  /* --admin; NULL: not given */
    bool demo, once;
    const char *rps, *latency;        /* NULL: not given */
    const char *words[CLI_WORDS_MAX]; /* arguments without a dash */
    unsigned word_count;
};

struct cli_verb {
    const char *name;
    const char *words;   /* its arguments, for the usage line; "" for none */
    const char *summary; /* half a sentence; NULL: the verb is left out of the list */
    const char *details; /* for `weir VERB --help`; may be NULL */
    unsigned takes;      /* enum cli_takes */
    unsigned words_min, words_max;
    int (*run)(const struct cli_args *args); /* gives the exit status */
};
extern const struct cli_verb cli_verbs[]; /* ends with an empty one */

/* args.c. Pure: 0, or CLI_USAGE with what is wrong in *message (a sentence, without newline). */
int cli_parse(int argc, char *const *argv, struct cli_args *out, struct b_text *message);
/* The help of a verb, of all when it is NULL. */
void cli_write_help(struct b_text *out, const struct cli_verb *verb);

/* load.c: where the config comes from. 0; CLI_FAILED after saying that there is none. */
int cli_source(const struct cli_args *args, struct gw_options *out);

/* A config that was loaded to be looked at. */
struct cli_config {
    struct cfg_files files;
    struct b_arena arena;
    const struct cfg_root *root;
};
/* Loads and checks it, without opening anything. CLI_DONE, or CLI_FAILED after printing the errors; warnings are
 * printed either way. Free it with cli_unload in both cases. */
int cli_load(const struct gw_options *source, struct cli_config *out);
void cli_unload(struct cli_config *c);
/* Everything that was found, a line each, on stderr; then frees the list. */
void cli_print_errors(struct cfg_errors *errors);
/* A text on the heap to stdout; frees it. CLI_DONE, or CLI_FAILED after saying why. */
int cli_print(struct b_text *text);
static inline struct b_text cli_text(void) {
    return b_text_heap(B_TAG_CONFIG, (size_t)64 << 20);
}

/* A snapshot that serves nothing: for check and explain. NULL after printing the errors. Once in a process. */
struct gw_snapshot *cli_build(const struct gw_options *source);

/* notify.c: tells the service manager (sd_notify(3)): "READY=1". Does nothing where there is none. */
void cli_notify(const char *state);

/* client.c: one request to the admin address, as `weir reload`, `weir drain` and `weir top` make it. */
struct cli_response {
    unsigned status;
    struct b_slice body;
    char *bytes; /* owned */
};
/* CLI_DONE with *out, or CLI_FAILED after saying why. */
int cli_get(const struct cli_args *args, const char *path, struct cli_response *out);
int cli_post(const struct cli_args *args, const char *path, struct cli_response *out);

/* The verbs, by file. */
int cli_run(const struct cli_args *args);
int cli_check(const struct cli_args *args);
int cli_explain(const struct cli_args *args);
int cli_schema(const struct cli_args *args);
int cli_docs(const struct cli_args *args);
int cli_example(const struct cli_args *args);
int cli_version(const struct cli_args *args);
int cli_reload(const struct cli_args *args); /* remote.c */
int cli_drain(const struct cli_args *args);
int cli_plan(const struct cli_args *args);
int cli_top(const struct cli_args *args);
int cli_migrate(const struct cli_args *args);

/* embed.S */
extern const char cli_demo_yaml[], cli_demo_yaml_end[], cli_proxy_yaml[], cli_proxy_yaml_end[];

#endif
