/* Intrusive doubly linked lists. A node that is on no list points to itself, so removal needs no list head and is
 * safe to repeat. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct b_list {
    struct b_list *next, *prev;
};

#define B_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void b_list_init(struct b_list *l) {
    l->next = l->prev = l;
}

static inline bool b_list_empty(const struct b_list *l) {
    return l->next == l;
}

static inline void b_list_insert_(struct b_list *n, struct b_list *prev, struct b_list *next) {
    n->prev = prev;
    n->next = next;
    prev->next = n;
    next->prev = n;
}

/* Appends n, which must be on no list. */
static inline void b_list_push_back(struct b_list *l, struct b_list *n) {
    b_list_insert_(n, l->prev, l);
}

static inline void b_list_push_front(struct b_list *l, struct b_list *n) {
    b_list_insert_(n, l, l->next);
}

static inline void b_list_remove(struct b_list *n) {
    n->prev->next = n->next;
    n->next->prev = n->prev;
    n->next = n->prev = n;
}

/* Removes and returns the first node, or NULL. */
static inline struct b_list *b_list_pop_front(struct b_list *l) {
    struct b_list *n = l->next;
    if (n == l)
        return NULL;
    b_list_remove(n);
    return n;
}

/* Moves all nodes of `from` to the end of `to`. */
static inline void b_list_splice(struct b_list *to, struct b_list *from) {
    if (b_list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    b_list_init(from);
}

#define B_LIST_EACH(it, l)                                                \
    for (struct b_list *it = (l)->next, *it##_next = it->next; it != (l); \
         it = it##_next, it##_next = it->next)

#endif
