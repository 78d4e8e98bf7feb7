#include "base/map.h"

#include <errno.h>
#include <stdio.h>

#include "base/rng.h"
#include "test.h"

static const struct b_hash_key key = {1, 2};

TEST(put_get_remove) {
    struct b_map m;
    int one = 1, two = 2;
    b_map_init(&m, B_TAG_TEST, key);
    CHECK(b_map_get(&m, B_LIT("a")) == NULL);
    CHECK(b_map_remove(&m, B_LIT("a")) == NULL);
    CHECK_INT(b_map_put(&m, B_LIT("a"), &one), 0);
    CHECK_INT(b_map_put(&m, B_LIT(""), &two), 0);
    CHECK(b_map_get(&m, B_LIT("a")) == &one);
    CHECK(b_map_get(&m, b_slice(NULL, 0)) == &two);
    CHECK_INT(b_map_put(&m, B_LIT("a"), &two), 0);
    CHECK(b_map_get(&m, B_LIT("a")) == &two);
    CHECK_UINT(m.count, 2);
    CHECK(b_map_remove(&m, B_LIT("a")) == &two);
    CHECK(b_map_remove(&m, B_LIT("a")) == NULL);
    CHECK(b_map_get(&m, B_LIT("")) == &two);
    CHECK_UINT(m.count, 1);
    b_map_free(&m);
    CHECK(b_map_get(&m, B_LIT("")) == NULL);
}

/* All chains of probing wrap and mix: removal must not lose what stands behind the gap. */
TEST(removal_loses_nobody) {
    enum { KEYS = 12 };
    static const char names[] = "abcdefghijkl";
    for (uint64_t seed = 0; seed < 500; seed++) {
        struct b_map m;
        struct b_rng rng = {seed};
        bool there[KEYS] = {false};
        b_map_init(&m, B_TAG_TEST, (struct b_hash_key){seed, 0});
        for (int i = 0; i < KEYS; i++) { /* 12 in 16 slots: as full as it gets */
            CHECK_INT(b_map_put(&m, b_slice(names + i, 1), (void *)(uintptr_t)(names + i)), 0);
            there[i] = true;
        }
        CHECK_UINT(m.cap, 16);
        for (int round = 0; round < 8; round++) {
            int gone = (int)b_rng_below(&rng, KEYS);
            CHECK((b_map_remove(&m, b_slice(names + gone, 1)) != NULL) == there[gone]);
            there[gone] = false;
            for (int i = 0; i < KEYS; i++)
                REQUIRE((b_map_get(&m, b_slice(names + i, 1)) == names + i) == there[i]);
        }
        b_map_free(&m);
    }
}

enum { MODEL_KEYS = 500 };
static char model_names[MODEL_KEYS][16];

static void compare(const struct b_map *m, void *const *model) {
    size_t at = 0, count = 0, seen = 0;
    for (int i = 0; i < MODEL_KEYS; i++)
        count += model[i] != NULL;
    CHECK_UINT(m->count, count);
    for (struct b_map_entry *e; (e = b_map_next(m, &at)); seen++) {
        ptrdiff_t i = (const char(*)[16])(const void *)e->key.ptr - model_names;
        REQUIRE(i >= 0 && i < MODEL_KEYS);
        CHECK(e->value == model[i]);
    }
    CHECK_UINT(seen, count);
}

TEST(ten_thousand_operations_against_a_model) {
    void *model[MODEL_KEYS] = {NULL};
    static char values[16];
    struct b_rng rng = {42};
    struct b_map m;
    b_map_init(&m, B_TAG_TEST, key);
    for (int i = 0; i < MODEL_KEYS; i++)
        snprintf(model_names[i], sizeof model_names[i], "key%d", i);
    for (int op = 0; op < 10000; op++) {
        size_t i = b_rng_below(&rng, MODEL_KEYS);
        struct b_slice name = b_slice_cstr(model_names[i]);
        void *value = &values[b_rng_below(&rng, sizeof values)];
        uint64_t what = b_rng_below(&rng, op < 5000 ? 3 : 5); /* growing first, then shrinking */
        if (what == 0) {
            CHECK(b_map_get(&m, name) == model[i]);
        } else if (what <= (op < 5000 ? 2 : 1)) {
            CHECK_INT(b_map_put(&m, name, value), 0);
            model[i] = value;
        } else {
            CHECK(b_map_remove(&m, name) == model[i]);
            model[i] = NULL;
        }
        if (op % 100 == 0)
            compare(&m, model);
    }
    compare(&m, model);
    b_map_free(&m);
}

TEST(without_memory_nothing_changes) {
    struct b_map m;
    char names[12][16];
    b_map_init(&m, B_TAG_TEST, key);
    for (int i = 0; i < 12; i++) {
        snprintf(names[i], sizeof names[i], "%d", i);
        CHECK_INT(b_map_put(&m, b_slice_cstr(names[i]), names[i]), 0);
    }
    b_alloc_fail_at(1);
    CHECK_INT(b_map_put(&m, B_LIT("new"), names), -ENOMEM);
    b_alloc_fail_at(0);
    CHECK_UINT(m.count, 12);
    CHECK(b_map_get(&m, B_LIT("new")) == NULL);
    for (int i = 0; i < 12; i++)
        CHECK(b_map_get(&m, b_slice_cstr(names[i])) == names[i]);
    b_map_free(&m);
}

const struct test_case map_tests[] = {
    {"put_get_remove", put_get_remove},
    {"removal_loses_nobody", removal_loses_nobody},
    {"ten_thousand_operations_against_a_model", ten_thousand_operations_against_a_model},
    {"without_memory_nothing_changes", without_memory_nothing_changes},
    {0},
};
