#include "gateway/jq.h"

#include "gateway/gateway.h"

#ifdef WEIR_JQ

#include <jq.h>
#include <jv.h>
#include <pthread.h>
#include <stdio.h>

#include "runtime/fiber.h"
#include "runtime/library.h"
#include "runtime/offload.h"

#define KEPT 4 /* interpreters of a program: making one takes some 14 ms */
#define WHY_MAX 256

struct functions {
#define FUNCTIONS(X)          \
    X(jq_init)                \
    X(jq_teardown)            \
    X(jq_compile)             \
    X(jq_start)               \
    X(jq_next)                \
    X(jq_set_error_cb)        \
    X(jv_parse_sized)         \
    X(jv_dump_string)         \
    X(jv_string_value)        \
    X(jv_string_length_bytes) \
    X(jv_get_kind)            \
    X(jv_copy)                \
    X(jv_free)                \
    X(jv_invalid_get_msg)
#define MEMBER(name) __typeof__(name) *name;
    FUNCTIONS(MEMBER)
#undef MEMBER
};

static struct functions f;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool loaded;
static char missing[WHY_MAX];

static void load(void) {
    static const struct rt_symbol symbols[] = {
#define SYMBOL(name) {#name, offsetof(struct functions, name)},
        FUNCTIONS(SYMBOL)
#undef SYMBOL
    };
    char why[WHY_MAX / 2];
    loaded = rt_load_library("libjq.so.1", symbols, sizeof symbols / sizeof *symbols, &f, why, sizeof why);
    if (!loaded)
        snprintf(missing, sizeof missing, "jq's library is needed: install libjq1 (%s)", why);
}

struct gw_jq {
    struct gw_jq *next; /* of the snapshot */
    const char *program;
    uint32_t line;
    pthread_mutex_t lock;
    jq_state *kept[KEPT];
    unsigned count;
};

/* ---- texts of libjq ---- */

/* Takes v. */
static void copy_message(jv v, char *why) {
    jv text = f.jv_get_kind(v) == JV_KIND_STRING ? v : f.jv_dump_string(v, 0);
    snprintf(why, WHY_MAX, "%.*s", f.jv_string_length_bytes(f.jv_copy(text)), f.jv_string_value(text));
    f.jv_free(text);
}

static void note_error(void *why, jv message) {
    if (((char *)why)[0]) { /* the first one counts */
        f.jv_free(message);
        return;
    }
    copy_message(message, why);
}

/* ---- interpreters ---- */

struct making {
    struct gw_jq *jq;
    jq_state *state;
    char why[WHY_MAX];
};

static void make(void *arg) {
    struct making *m = arg;
    m->state = f.jq_init();
    if (!m->state) {
        snprintf(m->why, sizeof m->why, "memory is short");
        return;
    }
    f.jq_set_error_cb(m->state, note_error, m->why);
    if (!f.jq_compile(m->state, m->jq->program))
        f.jq_teardown(&m->state);
}

static jq_state *take(struct gw_jq *jq, char *why) {
    struct making m = {.jq = jq};
    pthread_mutex_lock(&jq->lock);
    if (jq->count)
        m.state = jq->kept[--jq->count];
    pthread_mutex_unlock(&jq->lock);
    if (!m.state)
        make(&m);
    if (!m.state)
        snprintf(why, WHY_MAX, "%s", m.why);
    return m.state;
}

static void give_back(struct gw_jq *jq, jq_state *state) {
    pthread_mutex_lock(&jq->lock);
    if (jq->count < KEPT) {
        jq->kept[jq->count++] = state;
        state = NULL;
    }
    pthread_mutex_unlock(&jq->lock);
    if (state)
        f.jq_teardown(&state);
}

/* ---- the config ---- */

bool gw_jq_is(const struct cfg_node *node) {
    const struct cfg_node *program =
        node->kind == CFG_MAP && node->count == 1 ? cfg_node_get(node, "jq") : NULL;
    return program && program->kind == CFG_SCALAR;
}

/* `name: $name`, or another expression. */
static bool add(struct json_compiler *c, struct json_node *object, struct b_slice name,
                const char *expression) {
    struct b_slice text = b_arena_copy(c->arena, b_slice_cstr(expression));
    struct json_node *n = text.ptr ? json_string_template(c, text) : NULL;
    return n && json_object_add(c, object, name, n);
}

static struct json_node *make_input(struct json_compiler *c, const char *program) {
    struct json_node *input = json_object_template(c), *request = input ? json_object_template(c) : NULL;
    bool good = request && add(c, request, B_LIT("id"), "$request.id") &&
                add(c, request, B_LIT("method"), "$request.method") &&
                add(c, request, B_LIT("path"), "$request.path") &&
                add(c, request, B_LIT("query"), "$request.query");
    if (good && strstr(program, ".request.body")) /* others need not have one */
        good = add(c, request, B_LIT("body"), "$request.body");
    good = good && json_object_add(c, input, B_LIT("request"), request) &&
           add(c, input, B_LIT("missing"), "$missing");
    for (unsigned i = 0; good && i < c->slots; i++) {
        char expression[80];
        if (!c->names[i].len)
            continue;
        snprintf(expression, sizeof expression, "$%.*s", (int)(c->names[i].len < 64 ? c->names[i].len : 64),
                 c->names[i].ptr);
        good = add(c, input, c->names[i], expression);
    }
    return good ? input : NULL;
}

struct json_node *gw_jq_compile(struct json_compiler *c, struct cfg_errors *errors,
                                const struct cfg_node *node) {
    const struct cfg_node *text = cfg_node_get(node, "jq");
    struct gw_snapshot *s = c->arg;
    pthread_once(&once, load);
    if (!loaded) {
        cfg_error_at(errors, text, "%s", missing);
        return NULL;
    }
    struct gw_jq *jq = b_arena_zalloc(c->arena, sizeof *jq);
    struct b_slice program = b_arena_copy(c->arena, text->text);
    struct json_node *input = jq && program.ptr ? make_input(c, program.ptr) : NULL;
    if (!input) {
        cfg_error_memory(errors);
        return NULL;
    }
    struct making m = {.jq = jq};
    jq->program = program.ptr;
    jq->line = text->line;
    if (rt_self()) /* its depth is that of the program */
        rt_on_big_stack(make, &m);
    else
        make(&m);
    if (!m.state) {
        cfg_error_at(errors, text, "jq does not understand the program: %s", m.why);
        return NULL;
    }
    pthread_mutex_init(&jq->lock, NULL);
    jq->kept[jq->count++] = m.state;
    jq->next = s->programs;
    s->programs = jq;
    json_set_foreign(input, jq);
    return input;
}

void gw_jq_close(struct gw_snapshot *s) {
    for (struct gw_jq *jq = s->programs; jq; jq = jq->next) {
        while (jq->count)
            f.jq_teardown(&jq->kept[--jq->count]);
        pthread_mutex_destroy(&jq->lock);
    }
}

/* ---- a request ---- */

struct job {
    struct gw_jq *jq;
    struct b_slice input;
    struct b_text made; /* of the helper thread's making */
    char why[WHY_MAX];
};

/* Takes `output`. */
static void write_output(struct job *j, jv output) {
    if (f.jv_get_kind(output) == JV_KIND_INVALID) {
        jv message = f.jv_invalid_get_msg(output);
        if (f.jv_get_kind(message) == JV_KIND_NULL) {
            snprintf(j->why, sizeof j->why, "it made nothing");
            f.jv_free(message);
        } else {
            copy_message(message, j->why);
        }
        return;
    }
    jv text = f.jv_dump_string(output, 0);
    b_text_add(&j->made, f.jv_string_value(text), (size_t)f.jv_string_length_bytes(f.jv_copy(text)));
    f.jv_free(text);
}

static void run_program(void *arg) {
    struct job *j = arg;
    jq_state *state = take(j->jq, j->why);
    if (!state)
        return;
    f.jq_set_error_cb(state, note_error, j->why);
    f.jq_start(state, f.jv_parse_sized(j->input.ptr, (int)j->input.len), 0);
    write_output(j, f.jq_next(state));
    give_back(j->jq, state);
}

int gw_jq_run(struct exchange *ex, struct gw_jq *jq, struct b_slice input, struct b_text *out) {
    struct job *j = b_zalloc(B_TAG_GATEWAY, sizeof *j);
    if (!j)
        return -HTTP_E_OUT_OF_MEMORY;
    *j = (struct job){.jq = jq, .input = input, .made = b_text_heap(B_TAG_GATEWAY, (size_t)64 << 20)};
    int rc = rt_offload(run_program, j) ? -HTTP_E_QUEUE_FULL : 0;
    if (rc == 0 && j->why[0])
        rc = gw_error(ex, HTTP_E_TEMPLATE_FAILED, "jq at line %u: %s", jq->line, j->why);
    b_text_slice_add(out, b_text_slice(&j->made));
    if (rc == 0 && (j->made.failed || out->failed))
        rc = -HTTP_E_OUT_OF_MEMORY;
    b_text_free(&j->made);
    b_free(j);
    return rc;
}

#else

bool gw_jq_is(const struct cfg_node *node) {
    return node->kind == CFG_MAP && node->count == 1 && cfg_node_get(node, "jq");
}

struct json_node *gw_jq_compile(struct json_compiler *c, struct cfg_errors *errors,
                                const struct cfg_node *node) {
    (void)c;
    cfg_error_key(errors, cfg_node_get(node, "jq"),
                  "weir was built without jq: install libjq-dev and build it again");
    return NULL;
}

int gw_jq_run(struct exchange *ex, struct gw_jq *jq, struct b_slice input, struct b_text *out) {
    (void)ex;
    (void)jq;
    (void)input;
    (void)out;
    return -HTTP_E_INTERNAL;
}

void gw_jq_close(struct gw_snapshot *s) {
    (void)s;
}

#endif
