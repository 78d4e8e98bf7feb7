/* The rows of a reference table: from the bytes of an answer to a hash table over its index. */

#include "gateway/reference.h"
#include "json/unique.h"

void gw_rows_free(struct gw_rows *rows) {
    if (!rows)
        return;
    json_index_free(&rows->index);
    b_text_free(&rows->text);
    b_arena_release(&rows->arena);
    b_free(rows->slots);
    b_free(rows);
}

/* The slot of that key: where it stands, or a free one where it would. */
static struct gw_row *slot_of(const struct gw_rows *rows, struct b_slice key, uint64_t hash) {
    uint32_t at = (uint32_t)hash & rows->mask;
    for (;; at = (at + 1) & rows->mask) {
        struct gw_row *s = &rows->slots[at];
        if (!s->key || (s->hash == hash && b_slice_eq(b_slice(s->key, s->key_len), key)))
            return s;
    }
}

struct json_value gw_rows_find(const struct gw_rows *rows, struct b_slice key) {
    if (!rows || !rows->count)
        return (struct json_value){0};
    const struct gw_row *s = slot_of(rows, key, b_siphash(rows->hash_key, key.ptr, key.len));
    return s->key ? (struct json_value){.index = &rows->index, .token = s->token} : (struct json_value){0};
}

static bool make_slots(struct gw_rows *rows, struct json_value array) {
    uint32_t count = 0, cap = 16;
    for (struct json_value v = json_first(array); v.index; v = json_next(v))
        count++;
    while (cap < count * 2)
        cap *= 2;
    rows->slots = b_zalloc(B_TAG_GATEWAY, cap * sizeof *rows->slots);
    rows->mask = cap - 1;
    return rows->slots != NULL;
}

/* The key's text, which lives as long as the rows. ptr NULL: it has none. */
static struct b_slice key_of(struct gw_rows *rows, struct json_env *env, const struct json_node *n) {
    struct json_operand key = json_evaluate_operand(env, n);
    if (key.kind != JSON_OPERAND_VALUE)
        return b_slice(NULL, 0);
    if (json_kind(key.at) == JSON_NUMBER)
        return json_slice(key.at);
    if (json_kind(key.at) != JSON_STRING)
        return b_slice(NULL, 0);
    return json_text(key.at, &rows->arena);
}

static const char *fill(struct gw_rows *rows, const struct gw_reference *r) {
    struct json_operand slots[2] = {json_operand_value(json_root(&rows->index))};
    struct json_env env = {.slots = slots, .arena = &rows->arena};
    struct json_operand array = json_evaluate_operand(&env, r->rows);
    if (env.why || json_operand_kind(&array) != JSON_ARRAY)
        return "`rows` is no array in it";
    if (!make_slots(rows, array.at))
        return "memory is short";
    for (struct json_value v = json_first(array.at); v.index; v = json_next(v)) {
        slots[1] = json_operand_value(v);
        struct b_slice key = key_of(rows, &env, r->key);
        if (env.why || !key.ptr)
            return "a row has no key, or one that is neither text nor number";
        uint64_t hash = b_siphash(rows->hash_key, key.ptr, key.len);
        struct gw_row *s = slot_of(rows, key, hash);
        if (s->key)
            return "two rows have the same key";
        *s = (struct gw_row){.key = key.ptr, .key_len = (uint32_t)key.len, .token = v.token, .hash = hash};
        rows->count++;
    }
    return rows->count || r->conf->allow_empty ? NULL
                                               : "there is no row in it (`allow_empty: true` takes that)";
}

struct gw_rows *gw_rows_new(const struct gw_reference *r, struct b_text *answer, struct b_hash_key key,
                            struct json_fault *fault, const char **why) {
    struct gw_rows *rows = b_zalloc(B_TAG_GATEWAY, sizeof *rows);
    *fault = (struct json_fault){0};
    *why = "memory is short";
    if (!rows)
        return NULL;
    rows->text = *answer;
    *answer = (struct b_text){0};
    rows->hash_key = key;
    rows->index.tag = B_TAG_GATEWAY;
    b_arena_init(&rows->arena, B_TAG_GATEWAY, NULL, NULL, 0, (size_t)1 << 30);
    int rc = json_index(&rows->index, b_text_slice(&rows->text), fault);
    rc = rc ? rc : json_unique_keys(&rows->index, key, fault);
    if (rc == 0 && !(*why = fill(rows, r)))
        return rows;
    gw_rows_free(rows);
    return NULL;
}
