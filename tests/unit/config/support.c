#include "support.h"

#include <stdio.h>
#include <string.h>

#include "test.h"
#include "test_modules.h"

char *test_env(const char *name) {
    static char port[] = "8080", empty[] = "", secret[] = "hunter2hunter2", lines[] = "a\nb",
                dollar[] = "${PORT}";
    return strcmp(name, "PORT") == 0     ? port
           : strcmp(name, "EMPTY") == 0  ? empty
           : strcmp(name, "SECRET") == 0 ? secret
           : strcmp(name, "LINES") == 0  ? lines
           : strcmp(name, "DOLLAR") == 0 ? dollar
                                         : NULL;
}

void load_sources(struct loaded *l, const struct cfg_source *sources, size_t n) {
    struct b_text out = b_text_fixed(l->said, sizeof l->said - 1);
    b_arena_init(&l->arena, B_TAG_TEST, NULL, NULL, 0, (size_t)64 << 20);
    cfg_errors_init(&l->errors);
    l->rc = cfg_load(sources, n, &test_registry, test_env, &l->arena, &l->root, &l->errors);
    cfg_errors_write(&l->errors, &out);
    l->said[out.len] = 0;
    CHECK((l->rc == 0) == (l->root != NULL));
    CHECK((l->rc < 0) == cfg_errors_any(&l->errors));
}

void load_text(struct loaded *l, const char *text) {
    struct cfg_source source = {"w", b_slice_cstr(text)};
    load_sources(l, &source, 1);
}

void unload(struct loaded *l) {
    cfg_errors_free(&l->errors);
    b_arena_release(&l->arena);
}

void check_said(const struct said_case *cases) {
    for (; cases->text; cases++) {
        struct loaded l;
        load_text(&l, cases->text);
        if (strcmp(l.said, cases->said) != 0)
            FAIL("the config\n%s\nsays\n%s\nand not\n%s", cases->text, l.said, cases->said);
        unload(&l);
    }
}
