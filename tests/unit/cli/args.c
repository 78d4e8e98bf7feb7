#include "cli/cli.h"
#include "test.h"

#define PARSE(...) parse((const char *const[]){"weir", __VA_ARGS__, NULL})
#define REFUSED(want, ...) refused((const char *const[]){"weir", __VA_ARGS__, NULL}, (want))

static int run(const char *const *argv, struct cli_args *args, char *said, size_t size) {
    struct b_text message = b_text_fixed(said, size - 1);
    int argc = 0;
    while (argv[argc])
        argc++;
    memset(said, 0, size);
    return cli_parse(argc, (char *const *)(uintptr_t)argv, args, &message);
}

static struct cli_args parse(const char *const *argv) {
    struct cli_args args;
    char said[256];
    CHECK_INT(run(argv, &args, said, sizeof said), 0);
    CHECK_STR(said, "");
    return args;
}

static void refused(const char *const *argv, const char *want) {
    struct cli_args args;
    char said[256];
    CHECK_INT(run(argv, &args, said, sizeof said), CLI_USAGE);
    CHECK_STR(said, want);
}

TEST(verbs) {
    CHECK_STR(PARSE("run").verb->name, "run");
    CHECK_STR(PARSE("validate").verb->name, "check");
    CHECK_STR(PARSE("-t", "-c", "x").verb->name, "check");
    CHECK_STR(PARSE("--version").verb->name, "version");
    CHECK_STR(PARSE("help", "run").verb->name, "run");
    CHECK(PARSE("help", "run").help);
    CHECK(PARSE("explain", "--help").help);
    CHECK(PARSE("--help").help && !PARSE("-h").verb);
}

TEST(options) {
    CHECK_STR(PARSE("run", "-c", "a.yaml").config, "a.yaml");
    CHECK_STR(PARSE("run", "--config=b.yaml").config, "b.yaml");
    CHECK_STR(PARSE("reload", "--admin", ":9901").admin, ":9901");
    CHECK(PARSE("run", "--demo").demo);
    CHECK(!PARSE("run").config);
}

TEST(words) {
    struct cli_args args = PARSE("explain", "-c", "f", "POST", "/x");
    CHECK_UINT(args.word_count, 2);
    CHECK_STR(args.words[0], "POST");
    CHECK_STR(args.words[1], "/x");
}

TEST(refusals) {
    refused((const char *const[]){"weir", NULL},
            "a verb is missing; `weir run --demo` shows something, `weir --help` lists all");
    REFUSED("there is no verb \"chek\"; did you mean \"check\"?", "chek");
    REFUSED("there is no verb \"frobnicate\"; `weir --help` lists them", "frobnicate");
    REFUSED("a verb comes first, such as `weir run --demo`; `weir --help` lists them", "--demo");
    REFUSED("`weir run` has no option --confg; did you mean --config?", "run", "--confg");
    REFUSED("`weir run` has no option --admin; `weir run --help` lists them", "run", "--admin", "x");
    REFUSED("--config needs a value: --config FILE", "run", "-c");
    REFUSED("--demo has no value", "run", "--demo=1");
    REFUSED("--demo and --config exclude each other", "run", "--demo", "-c", "x");
    REFUSED("`weir run` does not know what to do with \"x\"; `weir run --help` says what it takes", "run",
            "x");
    REFUSED("`weir explain` needs more: weir explain [METHOD] URL", "explain");
}

TEST(helps) {
    struct b_text out = cli_text();
    cli_write_help(&out, NULL);
    for (const struct cli_verb *v = cli_verbs; v->name; v++)
        cli_write_help(&out, v);
    CHECK(!out.failed);
    CHECK(memmem(out.ptr, out.len, "explain   [METHOD] URL", 22) != NULL);
    b_text_free(&out);
}

TEST(examples_are_whole) {
    CHECK(b_slice_starts(b_slice_cstr(cli_demo_yaml), B_LIT("# The demo")) && *cli_demo_yaml_end == 0);
    CHECK(b_slice_starts(b_slice_cstr(cli_proxy_yaml), B_LIT("# One origin")) && *cli_proxy_yaml_end == 0);
}

const struct test_case args_tests[] = {
    {"verbs", verbs},
    {"options", options},
    {"words", words},
    {"refusals", refusals},
    {"helps", helps},
    {"examples_are_whole", examples_are_whole},
    {0},
};
