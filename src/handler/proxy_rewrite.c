#include "handler/proxy_rewrite.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/alloc.h"
#include "http/error.h"
#include "runtime/worker.h"

#define MATCH_LIMIT 100000
#define DEPTH_LIMIT 1000
#define GROUPS_MAX 32
#define RESULT_MAX 16384

struct hd_rewrite {
    pcre2_code *code;
    pcre2_general_context *memory;
    pcre2_match_context *limits;
    pcre2_match_data *data[RT_WORKERS_MAX]; /* one for each worker that has matched: matching does not wait */
    struct b_slice to;
    char text[]; /* of `to` */
};

static void *get(size_t size, void *arg) {
    (void)arg;
    return b_alloc(B_TAG_GATEWAY, size);
}

static void put(void *p, void *arg) {
    (void)arg;
    b_free(p);
}

/* --- at the load --- */

struct compiling {
    struct hd_rewrite *r;
    struct b_slice regex;
    int error;
    size_t at;
};

static void compile(void *arg) {
    struct compiling *c = arg;
    pcre2_compile_context *context = pcre2_compile_context_create(c->r->memory);
    if (!context)
        return;
    c->r->code = pcre2_compile((PCRE2_SPTR)(const void *)c->regex.ptr, c->regex.len,
                               PCRE2_NEVER_UTF | PCRE2_NEVER_BACKSLASH_C, &c->error, &c->at, context);
    pcre2_compile_context_free(context);
    if (c->r->code) /* without a JIT it is slower, and right all the same */
        (void)pcre2_jit_compile(c->r->code, PCRE2_JIT_COMPLETE);
}

/* Whether every $n of the text is a group of the expression. NULL, or what is wrong. */
static bool check_to(const struct hd_rewrite *r, struct b_text *why) {
    uint32_t groups = 0;
    pcre2_pattern_info(r->code, PCRE2_INFO_CAPTURECOUNT, &groups);
    if (groups >= GROUPS_MAX) {
        b_text_printf(why, "it has %u groups: %u at the most", groups, GROUPS_MAX - 1);
        return false;
    }
    for (size_t i = 0; i < r->to.len; i++) {
        if (r->to.ptr[i] != '$')
            continue;
        char c = i + 1 < r->to.len ? r->to.ptr[++i] : 0;
        if (c == '$')
            continue;
        if (!b_is_digit(c) || (uint32_t)(c - '0') > groups) {
            b_text_printf(
                why, "\"to\" holds $ without a group: the expression has %u, $1 is the first; $$ is a dollar",
                groups);
            return false;
        }
    }
    return true;
}

struct hd_rewrite *hd_rewrite_new(struct b_slice regex, struct b_slice to, struct b_text *why) {
    struct hd_rewrite *r = b_zalloc(B_TAG_GATEWAY, sizeof *r + to.len);
    if (!r)
        return NULL;
    memcpy(r->text, to.ptr, to.len);
    r->to = b_slice(r->text, to.len);
    r->memory = pcre2_general_context_create(get, put, NULL);
    r->limits = r->memory ? pcre2_match_context_create(r->memory) : NULL;
    struct compiling c = {.r = r, .regex = regex};
    if (r->limits) {
        pcre2_set_match_limit(r->limits, MATCH_LIMIT);
        pcre2_set_depth_limit(r->limits, DEPTH_LIMIT);
        if (rt_self() && rt_fiber_self())
            rt_on_big_stack(compile, &c);
        else
            compile(&c);
    }
    if (r->code && check_to(r, why))
        return r;
    if (!r->code && c.error && c.error != PCRE2_ERROR_NOMEMORY &&
        c.error != 121) { /* 121: no memory at compile time */
        char message[128];
        pcre2_get_error_message(c.error, (PCRE2_UCHAR *)(void *)message, sizeof message);
        b_text_printf(why, "%s at character %zu", message, c.at + 1);
    }
    hd_rewrite_free(r);
    return NULL;
}

void hd_rewrite_free(struct hd_rewrite *r) {
    if (!r)
        return;
    for (unsigned i = 0; i < RT_WORKERS_MAX; i++)
        pcre2_match_data_free(r->data[i]);
    pcre2_code_free(r->code);
    pcre2_match_context_free(r->limits);
    pcre2_general_context_free(r->memory);
    b_free(r);
}

/* --- in a request --- */

struct matching {
    const struct hd_rewrite *r;
    pcre2_match_data *data;
    struct b_slice path;
    int rc;
};

static void match(void *arg) {
    struct matching *m = arg;
    m->rc = pcre2_match(m->r->code, (PCRE2_SPTR)(const void *)m->path.ptr, m->path.len, 0, 0, m->data,
                        m->r->limits);
}

static pcre2_match_data *data_here(const struct hd_rewrite *r) {
    pcre2_match_data **at = &((struct hd_rewrite *)(uintptr_t)r)->data[rt_index()];
    if (!*at)
        *at = pcre2_match_data_create(GROUPS_MAX, r->memory);
    return *at;
}

static void add_group(struct b_text *out, struct b_slice path, const size_t *bounds, int groups, int n) {
    if (n < groups && bounds[2 * n] != PCRE2_UNSET)
        b_text_slice_add(out, b_slice(path.ptr + bounds[2 * n], bounds[2 * n + 1] - bounds[2 * n]));
}

/* What the expression matched is replaced, and the rest of the path stays. */
static int replace(const struct matching *m, struct b_arena *arena, struct b_slice *out) {
    const size_t *bounds = pcre2_get_ovector_pointer(m->data);
    struct b_text text = b_text_fixed(b_arena_alloc(arena, RESULT_MAX), RESULT_MAX);
    struct b_slice to = m->r->to;
    if (!text.ptr)
        return -HTTP_E_OUT_OF_MEMORY;
    b_text_slice_add(&text, b_slice(m->path.ptr, bounds[0]));
    for (size_t i = 0; i < to.len; i++) {
        if (to.ptr[i] != '$')
            b_text_char(&text, to.ptr[i]);
        else if (to.ptr[++i] == '$')
            b_text_char(&text, '$');
        else
            add_group(&text, m->path, bounds, m->rc, to.ptr[i] - '0');
    }
    b_text_slice_add(&text, b_slice_from(m->path, bounds[1]));
    if (text.failed)
        return -HTTP_E_BAD_OUTPUT;
    *out = b_text_slice(&text);
    return 1;
}

int hd_rewrite_match(const struct hd_rewrite *r, struct b_slice path, struct b_arena *arena,
                     struct b_slice *out) {
    struct matching m = {.r = r, .path = path, .data = data_here(r)};
    if (!m.data)
        return -HTTP_E_OUT_OF_MEMORY;
    rt_on_big_stack(match, &m);
    if (m.rc == PCRE2_ERROR_NOMATCH)
        return 0;
    if (m.rc == PCRE2_ERROR_NOMEMORY)
        return -HTTP_E_OUT_OF_MEMORY;
    return m.rc < 0 ? -HTTP_E_REWRITE_LIMIT : replace(&m, arena, out);
}
