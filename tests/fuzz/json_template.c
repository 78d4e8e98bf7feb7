/* Templates: a text, up to the first line feed, is compiled as a template and evaluated over the JSON behind it (or over a text of
 * the target's own). What comes out without a fault is JSON again, with the same verdict in each place. */
#include <assert.h>

#include "json/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char own[] =
    "{\"id\":7,\"t\":\"a\\u00e9\\\"\",\"no\":null,\"l\":[{\"n\":1},{\"n\":2.5}],\"o\":{\"k\":[[]]}}";

static struct json_operand special(void *arg, enum json_special what, struct b_slice name) {
    (void)arg;
    return what == JSON_REQUEST_HEADER ? json_operand_text(name) : (struct json_operand){0};
}

static void evaluate(struct json_env *env, const struct json_node *n) {
    struct b_text out = b_text_heap(B_TAG_TEST, 1 << 20);
    json_evaluate(env, n, &out);
    if (!env->why && !out.failed) {
        struct json_index x = {.tag = B_TAG_TEST};
        struct json_fault fault;
        assert(json_index(&x, b_text_slice(&out), &fault) == 0);
        json_index_free(&x);
    }
    for (int place = JSON_IN_TEXT; place <= JSON_IN_QUERY; place++) {
        out.len = 0;
        env->why = NULL;
        json_evaluate_text(env, n, (enum json_place)place, &out);
    }
    b_text_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct b_slice all = b_slice(data, size), text = b_slice(data, b_slice_find(all, '\n'));
    struct b_slice json = text.len < size ? b_slice_from(all, text.len + 1) : B_LIT(own);
    struct json_index x = {.tag = B_TAG_TEST};
    struct json_operand slots[JSON_SLOTS_MAX] = {0};
    struct json_fault fault;
    struct b_arena arena;
    b_arena_init(&arena, B_TAG_TEST, NULL, NULL, 0, 4 << 20);
    struct json_compiler c = {.arena = &arena, .line = 1};
    int slot = json_slot_add(&c, B_LIT("a")), item = json_slot_add(&c, B_LIT("i"));
    if (json_index(&x, json, &fault) == 0)
        slots[slot] = json_operand_value(json_root(&x));
    struct json_env env = {.slots = slots, .special = special, .arena = &arena};
    struct json_node *n = json_string_template(&c, text);
    assert(n || c.why[0] || c.no_memory);
    assert(n || c.at <= text.len);
    if (n) {
        evaluate(&env, n);
        struct json_node *each =
            json_each(&c, (unsigned)item, n, NULL, NULL, json_string_template(&c, B_LIT("$i")));
        env.why = NULL;
        evaluate(&env, each);
    }
    json_index_free(&x);
    b_arena_release(&arena);
    return 0;
}
