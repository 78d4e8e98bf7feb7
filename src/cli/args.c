/* Arguments to struct cli_args, and the help. */
#include "cli/cli.h"
#include "config/nearest.h"

static const struct option {
    const char *name, *letter; /* letter may be NULL */
    const char *value;         /* what it is called in the help; NULL: it has none */
    const char *help;
    unsigned takes; /* of verbs that know it; 0: all */
} options[] = {
    {"--config", "-c", "FILE", "the config: a file, or a directory of them (" CLI_DEFAULT_CONFIG ")",
     CLI_TAKES_CONFIG},
    {"--demo", NULL, NULL, "the demo's config, which needs no file and no other program", CLI_TAKES_DEMO},
    {"--admin", NULL, "ADDR", "the admin address to ask, in place of the config's", CLI_TAKES_ADMIN},
    {"--rps", NULL, "N", "the load, in requests a second", CLI_TAKES_RPS},
    {"--latency", NULL, "TIME", "how long the upstreams take to answer, such as 40ms", CLI_TAKES_LATENCY},
    {"--once", NULL, NULL, "print the figures of one second, and end", CLI_TAKES_ONCE},
    {"--help", "-h", NULL, "this text", 0},
};
#define OPTIONS (sizeof options / sizeof options[0])

/* Other ways to name a verb; its name comes second. */
static const char *const aliases[][2] = {{"validate", "check"},
                                         {"-t", "check"},
                                         {"--version", "version"},
                                         {"-V", "version"}};

static const struct cli_verb *find_verb(const char *name) {
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++)
        if (strcmp(name, aliases[i][0]) == 0)
            name = aliases[i][1];
    for (const struct cli_verb *v = cli_verbs; v->name; v++)
        if (strcmp(v->name, name) == 0)
            return v;
    return NULL;
}

static int unknown_verb(const char *name, struct b_text *message) {
    struct cfg_nearest nearest;
    cfg_nearest_init(&nearest, b_slice_cstr(name));
    for (const struct cli_verb *v = cli_verbs; v->name; v++)
        if (v->summary)
            cfg_nearest_offer(&nearest, b_slice_cstr(v->name));
    if (name[0] == '-')
        b_text_printf(message, "a verb comes first, such as `weir run %.60s`; `weir --help` lists them",
                      name);
    else if (nearest.best.len)
        b_text_printf(message, "there is no verb \"%.60s\"; did you mean \"%s\"?", name, nearest.best.ptr);
    else
        b_text_printf(message, "there is no verb \"%.60s\"; `weir --help` lists them", name);
    return CLI_USAGE;
}

static bool offered(const struct option *o, const struct cli_verb *v) {
    return !o->takes || (o->takes & v->takes);
}

static int unknown_option(const struct cli_verb *verb, struct b_slice name, struct b_text *message) {
    struct cfg_nearest nearest;
    cfg_nearest_init(&nearest, name);
    for (size_t i = 0; i < OPTIONS; i++)
        if (offered(&options[i], verb))
            cfg_nearest_offer(&nearest, b_slice_cstr(options[i].name));
    b_text_printf(message, "`weir %s` has no option %.*s; ", verb->name, (int)(name.len < 60 ? name.len : 60),
                  name.ptr);
    if (nearest.best.len)
        b_text_printf(message, "did you mean %s?", nearest.best.ptr);
    else
        b_text_printf(message, "`weir %s --help` lists them", verb->name);
    return CLI_USAGE;
}

static const struct option *find_option(const struct cli_verb *verb, struct b_slice name) {
    for (size_t i = 0; i < OPTIONS; i++) {
        const struct option *o = &options[i];
        if (offered(o, verb) && (b_slice_eq(name, b_slice_cstr(o->name)) ||
                                 (o->letter && b_slice_eq(name, b_slice_cstr(o->letter)))))
            return o;
    }
    return NULL;
}

static void set(struct cli_args *a, const struct option *o, const char *value) {
    if (o->takes == CLI_TAKES_CONFIG)
        a->config = value;
    else if (o->takes == CLI_TAKES_ADMIN)
        a->admin = value;
    else if (o->takes == CLI_TAKES_DEMO)
        a->demo = true;
    else if (o->takes == CLI_TAKES_ONCE)
        a->once = true;
    else if (o->takes == CLI_TAKES_RPS)
        a->rps = value;
    else if (o->takes == CLI_TAKES_LATENCY)
        a->latency = value;
    else
        a->help = true;
}

/* One option at argv[*at], `--name VALUE` or `--name=VALUE`; *at moves on to its last word. */
static int take_option(char *const *argv, int argc, int *at, struct cli_args *a, struct b_text *message) {
    struct b_slice text = b_slice_cstr(argv[*at]);
    size_t equals = b_slice_starts(text, B_LIT("--")) ? b_slice_find(text, '=') : text.len;
    const struct option *o = find_option(a->verb, b_slice(text.ptr, equals));
    const char *value = equals < text.len ? text.ptr + equals + 1 : NULL;
    if (!o)
        return unknown_option(a->verb, b_slice(text.ptr, equals), message);
    if (value && !o->value) {
        b_text_printf(message, "%s has no value", o->name);
        return CLI_USAGE;
    }
    if (o->value && !value && *at + 1 < argc)
        value = argv[++*at];
    if (o->value && (!value || !*value)) {
        b_text_printf(message, "%s needs a value: %s %s", o->name, o->name, o->value);
        return CLI_USAGE;
    }
    set(a, o, value);
    return 0;
}

static int take_word(const char *word, struct cli_args *a, struct b_text *message) {
    if (a->word_count < a->verb->words_max) {
        a->words[a->word_count++] = word;
        return 0;
    }
    b_text_printf(message,
                  "`weir %s` does not know what to do with \"%.60s\"; `weir %s --help` says what it takes",
                  a->verb->name, word, a->verb->name);
    return CLI_USAGE;
}

static int take_rest(int argc, char *const *argv, int at, struct cli_args *a, struct b_text *message) {
    int rc = 0;
    for (; at < argc && rc == 0; at++)
        rc = argv[at][0] == '-' && argv[at][1] ? take_option(argv, argc, &at, a, message)
                                               : take_word(argv[at], a, message);
    if (rc == 0 && !a->help && a->word_count < a->verb->words_min) {
        b_text_printf(message, "`weir %s` needs more: weir %s %s", a->verb->name, a->verb->name,
                      a->verb->words);
        return CLI_USAGE;
    }
    if (rc == 0 && a->demo && a->config) {
        b_text_lit(message, "--demo and --config exclude each other");
        return CLI_USAGE;
    }
    return rc;
}

static bool asks_for_help(const char *word) {
    return strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

int cli_parse(int argc, char *const *argv, struct cli_args *out, struct b_text *message) {
    *out = (struct cli_args){0};
    if (argc < 2) {
        b_text_lit(message, "a verb is missing; `weir run --demo` shows something, `weir --help` lists all");
        return CLI_USAGE;
    }
    int first = 1;
    if (asks_for_help(argv[1])) {
        out->help = true;
        if (argc == 2)
            return 0;
        first = 2;
    }
    out->verb = find_verb(argv[first]);
    if (!out->verb)
        return unknown_verb(argv[first], message);
    return take_rest(argc, argv, first + 1, out, message);
}

/* ---- help ---- */

static void write_options(struct b_text *out, const struct cli_verb *verb) {
    b_text_lit(out, "\noptions:\n");
    for (size_t i = 0; i < OPTIONS; i++) {
        const struct option *o = &options[i];
        char left[64];
        struct b_text t = b_text_fixed(left, sizeof left);
        if (!offered(o, verb))
            continue;
        b_text_printf(&t, "%s%s%s%s%s", o->letter ? o->letter : "", o->letter ? ", " : "", o->name,
                      o->value ? " " : "", o->value ? o->value : "");
        b_text_printf(out, "  %-20.*s  %s\n", B_FMT(b_text_slice(&t)), o->help);
    }
}

static void write_verb_help(struct b_text *out, const struct cli_verb *v) {
    b_text_printf(out, "usage: weir %s%s%s%s\n", v->name, v->takes ? " [OPTIONS]" : "", *v->words ? " " : "",
                  v->words);
    if (v->summary)
        b_text_printf(out, "       %s\n", v->summary);
    if (v->details)
        b_text_printf(out, "\n%s", v->details);
    write_options(out, v);
}

void cli_write_help(struct b_text *out, const struct cli_verb *verb) {
    if (verb) {
        write_verb_help(out, verb);
        return;
    }
    b_text_lit(out, "weir " WEIR_VERSION ": an HTTP gateway\n\nusage: weir VERB [OPTIONS]\n\n");
    for (const struct cli_verb *v = cli_verbs; v->name; v++)
        if (v->summary)
            b_text_printf(out, "  %-8s  %-13s %s\n", v->name, v->words, v->summary);
    b_text_lit(out, "\n`weir VERB --help` tells more. To see it work: weir run --demo\n"
                    "To begin with your own: weir example > " CLI_DEFAULT_CONFIG "; weir run\n");
}
