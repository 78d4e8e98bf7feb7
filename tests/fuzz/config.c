/* Any bytes as a config: no crash, every error of a text has its place in it, and what loads can be written out and
 * loads again as the same. A first byte of 1 to 3 splits the rest into so many files. */
#include <assert.h>
#include <stdlib.h>

#include "config/describe.h"
#include "config/test_modules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *env(const char *name) {
    static char port[] = "8080", empty[] = "", odd[] = "a: [\n${PORT}\xff";
    switch (name[0]) {
    case 'P': return port;
    case 'E': return empty;
    case 'O': return odd;
    default: return NULL;
    }
}

struct text {
    struct b_slice bytes;
    unsigned lines;
};

static unsigned count_lines(struct b_slice s) {
    unsigned n = 1;
    for (size_t i = 0; i < s.len; i++) {
        /* YAML 1.1 breaks lines at NEL, LS and PS too; their last bytes will do */
        unsigned char c = (unsigned char)s.ptr[i];
        n += c == '\n' || c == '\r' || c == 0x85 || c == 0xa8 || c == 0xa9;
    }
    return n;
}

static void check_errors(const struct cfg_errors *e, const struct cfg_source *sources, size_t n) {
    for (size_t i = 0; i < e->count; i++) {
        const struct cfg_error *error = &e->items[i];
        assert(error->message[0] && error->file_index < n);
        assert(strcmp(error->file, sources[error->file_index].name) == 0);
        assert(error->line >= 1 && error->column >= 1);
        assert(error->line <= count_lines(sources[error->file_index].bytes) + 1);
        assert(error->column <= sources[error->file_index].bytes.len + 2);
        for (const char *p = error->message; *p; p++)
            assert((unsigned char)*p >= 0x20 && *p != 0x7f);
    }
}

/* The config written out; failed when it did not load. */
static struct b_text load(const struct cfg_source *sources, size_t n) {
    struct b_text out = b_text_heap(B_TAG_TEST, (size_t)16 << 20);
    struct b_arena arena;
    struct cfg_errors errors;
    struct cfg_root *root;
    b_arena_init(&arena, B_TAG_TEST, NULL, NULL, 0, (size_t)256 << 20);
    cfg_errors_init(&errors);
    int rc = cfg_load(sources, n, &test_registry, env, &arena, &root, &errors);
    assert((rc == 0) == (root != NULL) && (rc == 0) == !cfg_errors_any(&errors));
    assert(!errors.no_memory);
    check_errors(&errors, sources, n);
    if (root)
        cfg_write_effective(&out, root);
    else
        out.failed = true;
    cfg_errors_free(&errors);
    b_arena_release(&arena);
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct cfg_source sources[3] = {{"a.yaml", {0}}, {"b.yaml", {0}}, {"c.yaml", {0}}};
    struct b_slice rest = b_slice(data, size);
    size_t n = size && data[0] >= 1 && data[0] <= 3 ? data[0] : 0;
    if (n)
        rest = b_slice_from(rest, 1);
    n = n ? n : 1;
    for (size_t i = 0; i < n; i++) {
        size_t len = rest.len / (n - i);
        sources[i].bytes = b_slice(rest.ptr, len);
        rest = b_slice_from(rest, len);
    }
    struct b_text once = load(sources, n);
    if (!once.failed) {
        struct cfg_source again = {"a.yaml", b_text_slice(&once)};
        struct b_text twice = load(&again, 1);
        bool secret = once.len &&
                      memmem(once.ptr, once.len, "(secret)", 8); /* is not written out, so may be too short */
        assert(secret || (!twice.failed && b_slice_eq(b_text_slice(&once), b_text_slice(&twice))));
        b_text_free(&twice);
    }
    b_text_free(&once);
    return 0;
}
