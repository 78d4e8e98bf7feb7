/* Templates: JSON (or text) made from values that are known when a request is there. Compiled once, checked then, and evaluated
 * without a look at their text. Subtrees that pass through are copied as the bytes they came in.
 *
 * An expression reads
 *     $name.member[0].more ["any key"] [other.reference]     a reference; inside an expression the dollar may be left out
 *     'text' "text" 12.5 true false null                      literals
 *     a ?? b     == != < <= > >=     !a     a && b     a || b     (a)
 *     function(a, b)                                          functions.c has the list
 * The first name of a reference is a slot, or one of `request`, `now`, `missing`; `tables.NAME[key]` is a row. A missing value is null, and so is
 * whatever would stand inside it; only null and false are false. A wrong use, such as a member of a text, is a fault. */
#ifndef JSON_TEMPLATE_H
#define JSON_TEMPLATE_H

#include "base/arena.h"
#include "base/text.h"
#include "json/cursor.h"

/* ---- values ---- */

enum json_operand_kind {
    JSON_OPERAND_NULL, /* missing as well */
    JSON_OPERAND_BOOL,
    JSON_OPERAND_TEXT,  /* decoded */
    JSON_OPERAND_RAW,   /* a JSON text: a number, or what has been put together */
    JSON_OPERAND_VALUE, /* a place in an indexed text */
};

struct json_operand {
    enum json_operand_kind kind;
    bool truth;           /* of BOOL */
    struct b_slice text;  /* of TEXT and RAW; lent */
    struct json_value at; /* of VALUE */
};

static inline struct json_operand json_operand_text(struct b_slice s) {
    return (struct json_operand){.kind = JSON_OPERAND_TEXT, .text = s};
}
static inline struct json_operand json_operand_raw(struct b_slice s) {
    return (struct json_operand){.kind = JSON_OPERAND_RAW, .text = s};
}
static inline struct json_operand json_operand_value(struct json_value v) {
    return (struct json_operand){.kind = v.index ? JSON_OPERAND_VALUE : JSON_OPERAND_NULL, .at = v};
}
/* What it is in JSON; JSON_NULL for what is missing. */
enum json_kind json_operand_kind(const struct json_operand *o);

/* ---- compiling ---- */

/* What only the owner of a template knows: $request.header.NAME and the like. */
enum json_special {
    JSON_REQUEST_ID,
    JSON_REQUEST_METHOD,
    JSON_REQUEST_PATH,
    JSON_REQUEST_QUERY,  /* with a name: of the parameter; without: all of it */
    JSON_REQUEST_HEADER, /* with a name */
    JSON_REQUEST_BODY,
    JSON_NOW,           /* unix ms */
    JSON_MISSING_NAMES, /* an array of texts */
    JSON_SPECIALS
};

#define JSON_SLOTS_MAX 64
#define JSON_TEMPLATE_DEPTH_MAX 32

struct json_node; /* a compiled template, or a part of one; immutable, in the compiler's arena */

struct json_compiler {
    struct b_arena *arena;
    struct b_slice names[JSON_SLOTS_MAX]; /* of the slots; empty: its variable is out of sight */
    unsigned slots;
    uint64_t uses;     /* slots that references have named so far; the caller clears it */
    uint32_t specials; /* bits 1 << enum json_special, likewise */
    uint32_t line;     /* of what is compiled, for faults: the caller's */
    bool uses_tables;  /* likewise */
    int (*find_table)(void *arg,
                      struct b_slice name); /* its number, or negative: there is none. May be NULL */
    void *arg;
    /* of the last failure */
    char why[160];
    size_t at; /* bytes from the begin of the expression */
    bool no_memory;
};

/* A slot of that name: its number, or -EEXIST (used already, or a word of the language), -EINVAL (no name), -E2BIG. */
int json_slot_add(struct json_compiler *c, struct b_slice name);
/* The variable of an `each` goes out of sight. */
void json_slot_drop(struct json_compiler *c, unsigned slot);

/* NULL after a failure, which c->why and c->at tell (or c->no_memory). The text must outlive the template. */
struct json_node *json_expression(struct json_compiler *c, struct b_slice text);
/* Text with {expressions} in it; `{{` is a brace. */
struct json_node *json_interpolation(struct json_compiler *c, struct b_slice text);
/* What a string of a config is: an expression if it begins with a dollar (`$$` is a dollar; `$(...)` any expression), else text. */
struct json_node *json_string_template(struct json_compiler *c, struct b_slice text);
/* A constant: JSON text, which is copied. */
struct json_node *json_constant(struct json_compiler *c, struct b_slice json);
/* Containers, to be filled. */
struct json_node *json_array_template(struct json_compiler *c);
struct json_node *json_object_template(struct json_compiler *c);
void json_array_add(struct json_node *array, struct json_node *item);
/* False: memory is short. */
bool json_object_add(struct json_compiler *c, struct json_node *object, struct b_slice key,
                     struct json_node *value);
/* `otherwise` may be NULL: null. */
struct json_node *json_if(struct json_compiler *c, struct json_node *condition, struct json_node *then,
                          struct json_node *otherwise);
/* One for each item of `in`, which the slot holds in turn; those for which `where` (may be NULL) is false are left out, and
 * what comes after `limit` (may be NULL). */
struct json_node *json_each(struct json_compiler *c, unsigned slot, struct json_node *in,
                            struct json_node *where, struct json_node *limit, struct json_node *body);
/* What else the owner of a whole template knows of it; NULL: nothing. */
void json_set_foreign(struct json_node *n, void *foreign);
void *json_foreign_of(const struct json_node *n);
/* Whether it is a number as JSON writes them. */
bool json_is_number(struct b_slice s);
/* The expression of a text that is nothing but one; NULL: it is something else. */
const struct json_node *json_sole_expression(const struct json_node *n);

/* ---- evaluating ---- */

struct json_env {
    struct json_operand *slots; /* those of `each` are written */
    /* May be NULL: null. `name` is empty where none was given. */
    struct json_operand (*special)(void *arg, enum json_special what, struct b_slice name);
    /* The row of a table with this key; missing where there is none. May be NULL. What it gives is good as long as nothing
     * waits. */
    struct json_value (*row)(void *arg, unsigned table, struct b_slice key);
    void *arg;
    struct b_arena *arena; /* for texts that had to be made */
    /* of the first fault; why NULL: none; json_memory_is_short: that */
    const char *why;
    uint32_t line;
};

extern const char json_memory_is_short[];

/* Append the JSON of a template. Errors: out->failed (no room), env->why (a wrong use); then what was appended is of no use.
 * Never waits; takes stack by the depth of the template. */
void json_evaluate(struct json_env *env, const struct json_node *n, struct b_text *out);
/* As a value. Containers cannot be had like that: NULL operand. */
struct json_operand json_evaluate_operand(struct json_env *env, const struct json_node *n);

enum json_place { JSON_IN_TEXT, JSON_IN_PATH, JSON_IN_QUERY };
/* Append its text, with values escaped for where they stand. In a path, one that is null, empty, `.` or `..` is a fault, as it
 * would name something else. */
void json_evaluate_text(struct json_env *env, const struct json_node *n, enum json_place place,
                        struct b_text *out);

#endif
