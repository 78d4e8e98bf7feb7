/* What expression.c, template.c and functions.c have in common. For the folder only. */
#ifndef JSON_TEMPLATE_INTERNAL_H
#define JSON_TEMPLATE_INTERNAL_H

#include "json/template.h"

enum json_node_kind {
    JSON_N_CONSTANT, /* text: its JSON; operand: its value */
    JSON_N_SLOT,     /* number; its children are steps */
    JSON_N_SPECIAL,  /* number: enum json_special; text: the name; children are steps */
    JSON_N_ROW,      /* number: of the table; children: the key, then steps */
    JSON_N_MEMBER,   /* a step: text is the key */
    JSON_N_ITEM,     /* a step: number */
    JSON_N_AT,       /* a step: the child tells the key or the number */
    JSON_N_TEXT,     /* interpolation: children, constants among them hold text */
    JSON_N_ARRAY,
    JSON_N_OBJECT, /* each child has its key */
    JSON_N_EACH,   /* number: slot; children: in, body, and where, limit as the flags say */
    JSON_N_IF,     /* children: condition, then, otherwise or none */
    JSON_N_NOT,
    JSON_N_AND,
    JSON_N_OR,
    JSON_N_COALESCE,
    JSON_N_EQ,
    JSON_N_NE,
    JSON_N_LT,
    JSON_N_LE,
    JSON_N_GT,
    JSON_N_GE,
    JSON_N_FUNCTION, /* function; children are arguments */
};

struct json_function;

struct json_node {
    enum json_node_kind kind;
    uint32_t line;
    uint32_t number;
    bool has_where, has_limit;
    struct json_node *first, *last, *next;
    struct b_slice text;
    struct b_slice key; /* of a member: `"key":` as it is written */
    struct json_operand operand;
    const struct json_function *function;
    void *foreign; /* the owner's */
};

struct json_node *json_node_new(struct json_compiler *c, enum json_node_kind kind);
void json_node_add(struct json_node *parent, struct json_node *child);

/* The first fault counts. Gives null. */
struct json_operand json_wrong_use(struct json_env *env, const struct json_node *n, const char *why);
/* The text of a text, number or boolean, "" for null; a fault for others. */
struct b_slice json_text_of(struct json_env *env, const struct json_node *n, const struct json_operand *o);
bool json_truth(const struct json_operand *o);
/* The JSON of a number; ptr NULL: it is none. */
struct b_slice json_number_of(const struct json_operand *o);
double json_double_of(struct b_slice number);

/* functions.c */
#define JSON_ARGUMENTS_MAX 3
struct json_function {
    const char *name;
    unsigned least, most; /* arguments */
    struct json_operand (*run)(struct json_env *env, const struct json_node *n,
                               const struct json_operand *arguments, unsigned count);
};
const struct json_function *json_function_find(struct b_slice name);

#endif
