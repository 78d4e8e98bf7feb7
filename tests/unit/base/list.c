#include "base/list.h"

#include "test.h"

struct item {
    int number;
    struct b_list node;
};

/* The numbers on the list, forwards or backwards, as one number: 1, 2, 3 is 123. */
static int digits(const struct b_list *l, bool backwards) {
    int sum = 0;
    for (const struct b_list *n = backwards ? l->prev : l->next; n != l; n = backwards ? n->prev : n->next)
        sum = sum * 10 + B_CONTAINER(n, struct item, node)->number;
    return sum;
}

TEST(push_keeps_the_order) {
    struct b_list l;
    struct item a = {.number = 1}, b = {.number = 2}, c = {.number = 3};
    b_list_init(&l);
    CHECK(b_list_empty(&l));
    b_list_push_back(&l, &b.node);
    b_list_push_back(&l, &c.node);
    b_list_push_front(&l, &a.node);
    CHECK(!b_list_empty(&l));
    CHECK_INT(digits(&l, false), 123);
    CHECK_INT(digits(&l, true), 321);
}

TEST(remove_may_be_repeated) {
    struct b_list l;
    struct item a = {.number = 1}, b = {.number = 2}, c = {.number = 3};
    b_list_init(&l);
    b_list_push_back(&l, &a.node);
    b_list_push_back(&l, &b.node);
    b_list_push_back(&l, &c.node);
    b_list_remove(&b.node);
    b_list_remove(&b.node);
    CHECK_INT(digits(&l, false), 13);
    CHECK_INT(digits(&l, true), 31);
    b_list_push_front(&l, &b.node);
    CHECK_INT(digits(&l, false), 213);
}

TEST(pop_takes_the_first) {
    struct b_list l;
    struct item a = {.number = 1}, b = {.number = 2};
    b_list_init(&l);
    CHECK(b_list_pop_front(&l) == NULL);
    b_list_push_back(&l, &a.node);
    b_list_push_back(&l, &b.node);
    CHECK(b_list_pop_front(&l) == &a.node);
    CHECK(b_list_empty(&a.node));
    CHECK(b_list_pop_front(&l) == &b.node);
    CHECK(b_list_pop_front(&l) == NULL);
}

TEST(splice_moves_all) {
    struct b_list to, from;
    struct item items[4];
    b_list_init(&to);
    b_list_init(&from);
    for (int i = 0; i < 4; i++) {
        items[i].number = i + 1;
        b_list_push_back(i < 2 ? &to : &from, &items[i].node);
    }
    b_list_splice(&to, &from);
    CHECK_INT(digits(&to, false), 1234);
    CHECK_INT(digits(&to, true), 4321);
    CHECK(b_list_empty(&from));
    b_list_splice(&to, &from);
    CHECK_INT(digits(&to, false), 1234);
    b_list_splice(&from, &to);
    CHECK_INT(digits(&from, false), 1234);
}

TEST(the_loop_survives_removal) {
    struct b_list l;
    struct item items[5];
    int sum = 0;
    b_list_init(&l);
    for (int i = 0; i < 5; i++) {
        items[i].number = i + 1;
        b_list_push_back(&l, &items[i].node);
    }
    B_LIST_EACH(n, &l) {
        sum = sum * 10 + B_CONTAINER(n, struct item, node)->number;
        b_list_remove(n);
    }
    CHECK_INT(sum, 12345);
    CHECK(b_list_empty(&l));
}

const struct test_case list_tests[] = {
    {"push_keeps_the_order", push_keeps_the_order},
    {"remove_may_be_repeated", remove_may_be_repeated},
    {"pop_takes_the_first", pop_takes_the_first},
    {"splice_moves_all", splice_moves_all},
    {"the_loop_survives_removal", the_loop_survives_removal},
    {0},
};
