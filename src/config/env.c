#include "config/env.h"

#define NAME_MAX_BYTES 127

static bool name_char(char c, bool first) {
    return c == '_' || (b_lower(c) >= 'a' && b_lower(c) <= 'z') || (!first && b_is_digit(c));
}

/* Length of the name at the front of s; 0 when there is none. */
static size_t name_length(struct b_slice s) {
    size_t n = 0;
    while (n < s.len && name_char(s.ptr[n], n == 0))
        n++;
    return n;
}

/* Replaces one `${NAME...}` whose name begins at s. Returns the bytes taken, the brace included; 0 after an error. */
static size_t replace(struct cfg_node *node, struct b_slice s, cfg_env_fn env, struct b_text *out,
                      struct cfg_errors *errors) {
    char name[NAME_MAX_BYTES + 1];
    size_t n = name_length(s), end = b_slice_find(s, '}');
    if (n > NAME_MAX_BYTES) {
        cfg_error_at(errors, node, "the name of the variable in ${%.*s...} is too long", 40, s.ptr);
        return 0;
    }
    if (end == s.len) {
        cfg_error_at(errors, node, "${%.*s has no closing }", (int)n, s.ptr);
        return 0;
    }
    memcpy(name, s.ptr, n);
    name[n] = 0;
    bool fallback = end >= n + 2 && s.ptr[n] == ':' && s.ptr[n + 1] == '-';
    if (n != end && !fallback) {
        cfg_error_at(errors, node, "write ${%s} or, with a default, ${%s:-default}", name, name);
        return 0;
    }
    const char *value = env ? env(name) : NULL;
    if (fallback && (!value || !*value))
        b_text_add(out, s.ptr + n + 2, end - n - 2);
    else if (value)
        b_text_cstr(out, value);
    else {
        cfg_error_at(errors, node,
                     "the environment variable %s is not set: set it, or give a default as ${%s:-default}",
                     name, name);
        return 0;
    }
    return end + 1;
}

/* False when an error was reported. */
static bool expand(struct cfg_node *node, cfg_env_fn env, struct b_text *out, struct cfg_errors *errors) {
    struct b_slice s = node->raw;
    for (size_t i = 0; i < s.len && !out->failed;) {
        bool dollar = s.ptr[i] == '$' && i + 1 < s.len;
        if (dollar && s.ptr[i + 1] == '{' && i + 2 < s.len && name_char(s.ptr[i + 2], true)) {
            size_t n = replace(node, b_slice_from(s, i + 2), env, out, errors);
            if (!n)
                return false;
            i += 2 + n;
            node->from_env = true;
            continue;
        }
        size_t n = dollar && s.ptr[i + 1] == '$' ? 2 : 1; /* `$$` hides the second one from us */
        b_text_add(out, s.ptr + i, n);
        i += n;
    }
    return true;
}

bool cfg_env_expand(struct cfg_node *node, cfg_env_fn env, struct b_arena *arena, struct cfg_errors *errors) {
    struct b_text out = b_text_heap(B_TAG_CONFIG, CFG_ENV_TEXT_MAX);
    bool ok = true;
    node->text = node->raw;
    if (b_slice_find(node->raw, '$') == node->raw.len)
        return true;
    if (!expand(node, env, &out, errors)) {
        node->kind = CFG_BAD;
    } else if (out.failed && out.len > CFG_ENV_TEXT_MAX / 2) {
        cfg_error_at(errors, node, "the value is longer than 1 MiB once the environment is put in");
        node->kind = CFG_BAD;
    } else if (out.failed) {
        ok = false;
    } else if (node->from_env) {
        node->text = b_arena_copy(arena, b_text_slice(&out));
        ok = node->text.ptr != NULL;
    }
    b_text_free(&out);
    if (!ok)
        (void)cfg_error_memory(errors);
    return ok;
}
