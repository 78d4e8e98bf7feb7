#include "config/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

static char dir[64];

static const char *path(const char *name) {
    static char buf[128];
    snprintf(buf, sizeof buf, "%s%s%s", dir, name[0] ? "/" : "", name);
    return buf;
}

static void make_dir(void) {
    snprintf(dir, sizeof dir, "/tmp/weir-config-XXXXXX");
    CHECK(mkdtemp(dir) != NULL);
}

static void put(const char *name, const char *text, size_t size) {
    int fd = open(path(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0);
    CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    CHECK_INT(size ? ftruncate(fd, (off_t)size) : 0, 0);
    close(fd);
}

static void clean(const char *const *names) {
    for (; *names; names++)
        CHECK_INT(remove(path(*names)), 0);
    CHECK_INT(rmdir(dir), 0);
}

/* Reads and gives the messages with the directory's name as D. */
static const char *read_said(const char *what, struct cfg_files *files, int *rc) {
    static char said[1024];
    char raw[1024] = "";
    struct cfg_errors errors;
    struct b_text out = b_text_fixed(raw, sizeof raw - 1);
    size_t n = 0;
    cfg_errors_init(&errors);
    *rc = cfg_files_read(what, files, &errors);
    cfg_errors_write(&errors, &out);
    for (const char *p = raw; *p; p++) {
        bool here = dir[0] && strncmp(p, dir, strlen(dir)) == 0;
        said[n++] = here ? 'D' : *p;
        p += here ? strlen(dir) - 1 : 0;
    }
    said[n] = 0;
    CHECK((*rc < 0) == cfg_errors_any(&errors));
    CHECK((*rc < 0) == (files->count == 0));
    cfg_errors_free(&errors);
    return said;
}

TEST(a_file_is_one_source) {
    static const char *const names[] = {"w.yaml", "empty", NULL};
    struct cfg_files f;
    int rc;
    make_dir();
    put("w.yaml", "version: 1\n", 0);
    put("empty", "", 0);
    CHECK_STR(read_said(path("w.yaml"), &f, &rc), "");
    REQUIRE(f.count == 1);
    CHECK_STR(f.sources[0].name, path("w.yaml"));
    CHECK_SLICE(f.sources[0].bytes.ptr, f.sources[0].bytes.len, "version: 1\n");
    cfg_files_free(&f);
    CHECK_STR(read_said(path("empty"), &f, &rc), "");
    REQUIRE(f.count == 1);
    CHECK_UINT(f.sources[0].bytes.len, 0);
    cfg_files_free(&f);
    clean(names);
}

TEST(a_directory_is_read_in_the_order_of_names) {
    static const char *const names[] = {"10.yaml",    "9.yml",     "B.yaml", "a.yaml", ".hidden.yaml",
                                        "a.yaml.bak", "notes.txt", ".yaml",  NULL};
    struct cfg_files f;
    int rc;
    make_dir();
    for (size_t i = 0; names[i]; i++)
        put(names[i], names[i], 0);
    CHECK_STR(read_said(dir, &f, &rc), "");
    REQUIRE(f.count == 4);
    for (size_t i = 0; i < 4; i++) {
        CHECK_STR(f.sources[i].name, path(names[i]));
        CHECK_SLICE(f.sources[i].bytes.ptr, f.sources[i].bytes.len, names[i]);
    }
    cfg_files_free(&f);
    clean(names);
}

TEST(what_cannot_be_read_is_said) {
    static const char *const names[] = {"big.yaml", "sub.yaml", NULL};
    struct cfg_files f;
    int rc;
    make_dir();
    CHECK_STR(read_said(path("none.yaml"), &f, &rc),
              "D/none.yaml: there is no such file; name the config, a file or a directory, with -c\n");
    CHECK_INT(rc, -EINVAL);
    CHECK_STR(read_said(dir, &f, &rc), "D: the directory holds no config; its files end in .yaml or .yml\n");
    put("big.yaml", "", CFG_BYTES_MAX + 1);
    CHECK_STR(read_said(path("big.yaml"), &f, &rc),
              "D/big.yaml: the file is larger than 4 MiB; split it over a directory\n");
    put("big.yaml", "", CFG_BYTES_MAX);
    CHECK_STR(read_said(path("big.yaml"), &f, &rc), "");
    CHECK_UINT(f.sources[0].bytes.len, CFG_BYTES_MAX);
    cfg_files_free(&f);
    CHECK_INT(mkdir(path("sub.yaml"), 0700), 0);
    CHECK_STR(read_said(dir, &f, &rc), "D/sub.yaml: Is a directory\n");
    clean(names);
}

TEST(a_file_may_be_forbidden) {
    static const char *const names[] = {"w.yaml", NULL};
    struct cfg_files f;
    int rc;
    if (geteuid() == 0)
        SKIP("root may read everything");
    make_dir();
    put("w.yaml", "version: 1\n", 0);
    CHECK_INT(chmod(path("w.yaml"), 0), 0);
    CHECK_STR(read_said(path("w.yaml"), &f, &rc),
              "D/w.yaml: this user may not read it; change its owner or mode\n");
    clean(names);
}

TEST(a_directory_has_a_limit) {
    struct cfg_files f;
    int rc;
    char name[32];
    make_dir();
    for (unsigned i = 0; i <= CFG_FILES_MAX; i++) {
        snprintf(name, sizeof name, "%u.yaml", i);
        put(name, "", 0);
    }
    CHECK_STR(read_said(dir, &f, &rc),
              "D: the directory holds more than 256 config files; join some of them\n");
    CHECK_INT(remove(path(name)), 0);
    CHECK_STR(read_said(dir, &f, &rc), "");
    CHECK_UINT(f.count, CFG_FILES_MAX);
    cfg_files_free(&f);
    for (unsigned i = 0; i < CFG_FILES_MAX; i++) {
        snprintf(name, sizeof name, "%u.yaml", i);
        CHECK_INT(remove(path(name)), 0);
    }
    CHECK_INT(rmdir(dir), 0);
}

TEST(a_pipe_will_do) {
    struct cfg_files f;
    int ends[2], rc;
    char name[32];
    dir[0] = 0;
    CHECK_INT(pipe(ends), 0);
    CHECK(write(ends[1], "version: 1\n", 11) == 11);
    close(ends[1]);
    snprintf(name, sizeof name, "/dev/fd/%d", ends[0]);
    CHECK_STR(read_said(name, &f, &rc), "");
    REQUIRE(f.count == 1);
    CHECK_SLICE(f.sources[0].bytes.ptr, f.sources[0].bytes.len, "version: 1\n");
    cfg_files_free(&f);
    close(ends[0]);
}

TEST(memory_may_run_out) {
    static const char *const names[] = {"a.yaml", "b.yaml", NULL};
    struct cfg_files f;
    struct cfg_errors errors;
    bool done = false;
    make_dir();
    put("a.yaml", "version: 1\n", 0);
    put("b.yaml", "x: 1\n", 0);
    for (uint64_t nth = 1; !done && nth < 100; nth++) {
        cfg_errors_init(&errors);
        b_alloc_fail_at(nth);
        int rc = cfg_files_read(dir, &f, &errors);
        b_alloc_fail_at(0);
        done = rc == 0;
        CHECK_INT(rc, done ? 0 : -ENOMEM);
        CHECK(errors.no_memory == !done);
        CHECK_UINT(f.count, done ? 2 : 0);
        cfg_files_free(&f);
        cfg_errors_free(&errors);
    }
    CHECK(done);
    clean(names);
}

const struct test_case files_tests[] = {
    {"a_file_is_one_source", a_file_is_one_source},
    {"a_directory_is_read_in_the_order_of_names", a_directory_is_read_in_the_order_of_names},
    {"what_cannot_be_read_is_said", what_cannot_be_read_is_said},
    {"a_file_may_be_forbidden", a_file_may_be_forbidden},
    {"a_directory_has_a_limit", a_directory_has_a_limit},
    {"a_pipe_will_do", a_pipe_will_do},
    {"memory_may_run_out", memory_may_run_out},
    {0},
};
