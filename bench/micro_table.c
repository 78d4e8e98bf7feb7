/* Nanoseconds for looking a row of a reference table up by its key, as `$tables.NAME[key]` does: of 100, 10,000 and 1,000,000 rows, keys
 * in random order, so that the large table is not in a cache. The best of several rounds. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "gateway/reference.h"

#define LOOKUPS 200000
#define ROUNDS 15

struct key {
    char text[16];
    uint32_t len;
};

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint32_t next(void) {
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

static struct gw_rows *make(unsigned rows) {
    static struct cfg_reference conf;
    static struct b_arena arena;
    struct json_fault fault;
    const char *why;
    b_arena_init(&arena, B_TAG_TEST, NULL, NULL, 0, 1 << 20);
    struct json_compiler c = {.arena = &arena};
    struct b_text answer = b_text_heap(B_TAG_TEST, (size_t)rows * 100 + 100);
    if (json_slot_add(&c, B_LIT("answer")) != 0 || json_slot_add(&c, B_LIT("row")) != 1)
        return NULL;
    struct gw_reference r = {.conf = &conf};
    r.rows = json_expression(&c, B_LIT("answer"));
    r.key = json_expression(&c, B_LIT("row.code"));
    for (unsigned i = 0; i < rows; i++)
        b_text_printf(&answer, "%c{\"code\": \"ST%07u\", \"name\": \"Station %u\", \"country\": \"DE\"}",
                      i ? ',' : '[', i, i);
    b_text_char(&answer, ']');
    struct gw_rows *made = r.rows && r.key && !answer.failed
                               ? gw_rows_new(&r, &answer, (struct b_hash_key){1, 2}, &fault, &why)
                               : NULL;
    return made;
}

static void measure(unsigned rows) {
    struct gw_rows *table = make(rows);
    struct key *keys = calloc(LOOKUPS, sizeof *keys);
    double best = 1e18;
    if (!table || !keys) {
        printf("a table of %u rows cannot be made\n", rows);
        exit(1);
    }
    for (unsigned i = 0; i < LOOKUPS; i++)
        keys[i].len = (uint32_t)snprintf(keys[i].text, sizeof keys[i].text, "ST%07u", next() % rows);
    for (unsigned round = 0; round < ROUNDS; round++) {
        double from = now_ns();
        unsigned found = 0;
        for (unsigned i = 0; i < LOOKUPS; i++)
            found += gw_rows_find(table, b_slice(keys[i].text, keys[i].len)).index != NULL;
        double ns = (now_ns() - from) / LOOKUPS;
        best = ns < best ? ns : best;
        if (found != LOOKUPS)
            exit(1);
    }
    printf("{\"name\": \"table of %u rows: look-up\", \"value\": %.1f, \"unit\": \"ns\"}\n", rows, best);
    free(keys);
    gw_rows_free(table);
}

int main(void) {
    measure(100);
    measure(10000);
    measure(1000000);
    return 0;
}
