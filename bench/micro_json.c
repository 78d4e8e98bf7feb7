/* JSON on documents like those of services, GB/s of text: the structural index, by each scanner, beside simdjson's DOM parse by the
 * same instruction set (with PEER_SIMDJSON: bench/peer_simdjson.cc); and values copied out of a finished index, one by one. */
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "json/cursor.h"

static char *text;
static size_t len;

#define ROOM (2u << 20)

__attribute__((format(printf, 1, 2))) static void put(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    len += (size_t)vsnprintf(text + len, ROOM - len, format, arguments);
    va_end(arguments);
}

static unsigned next(void) {
    static unsigned state = 1;
    state = state * 1103515245u + 12345u;
    return state >> 16;
}

/* Posts with long texts, some beyond ASCII, ids, nested users; pretty or not. */
static void twitter_like(size_t size) {
    put("{\"statuses\":[");
    for (unsigned i = 0; len < size; i++)
        put("%s\n  {\"created_at\": \"Sun Aug 31 00:29:%02u +0000 2014\", \"id\": 50587492471%07u, \"id_str\": \"50587492471%07u\",\n"
            "   \"text\": \"@user%u %s \\u2014 \\\"%s\\\" http:\\/\\/t.co\\/%x\", \"truncated\": false,\n"
            "   \"user\": {\"id\": %u, \"name\": \"%s\", \"followers_count\": %u, \"verified\": %s, \"url\": null},\n"
            "   \"entities\": {\"hashtags\": [], \"urls\": [{\"indices\": [%u, %u]}]}, \"retweet_count\": %u}",
            i ? "," : "", next() % 60, next(), next(), next() % 999,
            next() % 3
                ? "the quick brown fox jumps over the lazy dog and then some"
                : "\xe5\x90\x8d\xe5\x89\x8d\xe3\x81\xaf\xe3\x81\xbe\xe3\x81\xa0\xe3\x81\xaa\xe3\x81\x84\xe3\x80\x82",
            "so it goes", next(), next(), next() % 2 ? "Ana" : "\xe6\xa2\x85", next() % 5000,
            next() % 2 ? "true" : "false", next() % 90, next() % 140, next() % 100);
    put("]}");
}

/* Products: many short members and numbers, without white space. */
static void catalogue_like(size_t size) {
    put("[");
    for (unsigned i = 0; len < size; i++)
        put("%s{\"sku\":\"A-%05u\",\"name\":\"Shelf %u\",\"price\":%u.%02u,\"currency\":\"EUR\",\"stock\":%u,\"tags\":[\"wood\","
            "\"oak\"],\"dim\":{\"w\":%u,\"h\":%u,\"d\":%u},\"active\":true}",
            i ? "," : "", next() % 99999, i, next() % 900, next() % 100, next() % 500, next() % 200,
            next() % 200, next() % 200);
    put("]");
}

/* Trips: times, codes, prices; nested segments. */
static void search_like(size_t size) {
    put("{\"currency\":\"EUR\",\"trips\":[");
    for (unsigned i = 0; len < size; i++)
        put("%s{\"id\":\"t%06u\",\"from\":\"DE%05u\",\"to\":\"FR%05u\",\"departure\":\"2026-11-%02uT%02u:%02u:00+01:00\","
            "\"arrival\":\"2026-11-%02uT%02u:%02u:00+01:00\",\"segments\":[{\"train\":\"ICE %u\",\"platform\":\"%u\",\"seats\":%u}],"
            "\"fares\":[{\"class\":1,\"amount\":%u.90},{\"class\":2,\"amount\":%u.90}],\"refundable\":%s}",
            i ? "," : "", i, next() % 99999, next() % 99999, next() % 30 + 1, next() % 24, next() % 60,
            next() % 30 + 1, next() % 24, next() % 60, next() % 999, next() % 20, next() % 300, next() % 200,
            next() % 100, next() % 2 ? "true" : "false");
    put("]}");
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

#ifdef PEER_SIMDJSON
const char *peer_use(const char *name);
bool peer_parse(const char *text, size_t len);
#else
static const char *peer_use(const char *name) {
    (void)name;
    return NULL;
}
static bool peer_parse(const char *text_, size_t len_) {
    (void)text_;
    (void)len_;
    return true;
}
#endif

static struct json_index index_ = {.tag = B_TAG_TEST};
static struct json_fault fault;
static struct b_text copy;

static bool by_weir(void) {
    return json_index(&index_, b_slice(text, len), &fault) == 0;
}

static bool by_peer(void) {
    return peer_parse(text, len);
}

/* Each of the records, as `$item` of a template would put it out. */
static bool by_copying(void) {
    struct json_value records = json_root(&index_);
    if (json_kind(records) == JSON_OBJECT)
        for (records = json_first(records); records.index && json_kind(records) != JSON_ARRAY;)
            records = json_next(records);
    copy.len = 0;
    for (struct json_value v = json_first(records); v.index; v = json_next(v)) {
        b_text_char(&copy, ',');
        b_text_slice_add(&copy, json_slice(v));
    }
    return !copy.failed && copy.len > len / 2;
}

/* GB/s of the best of 40 rounds, the two in turn: what the machine's others take does not count. */
static void race(bool (*const runs[])(void), unsigned count, double best[]) {
    unsigned rounds = (unsigned)(4000000 / len) + 1;
    for (unsigned n = 0; n < 40 * count; n++) {
        double from = now();
        for (unsigned i = 0; i < rounds; i++)
            if (!runs[n % count]()) {
                printf("%s at %zu\n", fault.why ? fault.why : "it is not taken", fault.at);
                exit(1);
            }
        double rate = (double)len * rounds / (now() - from) / 1e9;
        if (best[n % count] < rate)
            best[n % count] = rate;
    }
}

static void tell(const char *name, const char *how, double value, const char *unit) {
    printf("{\"name\": \"JSON %s, %zu KB, %s\", \"value\": %.2f, \"unit\": \"%s\"}\n", name, len / 1000, how,
           value, unit);
}

static void measure(const char *name, void (*make)(size_t), size_t size) {
    static bool (*const runs[])(void) = {by_weir, by_peer}, (*const copying[])(void) = {by_copying};
    double copied = 0;
    len = 0;
    make(size);
    for (const char *const *scanner = json_scanners(); *scanner; scanner++) {
        const char *peer = strcmp(*scanner, "avx512") == 0 ? peer_use("icelake")
                           : strcmp(*scanner, "avx2") == 0 ? peer_use("haswell")
                           : strcmp(*scanner, "sse2") == 0 ? peer_use("westmere")
                                                           : peer_use("fallback");
        double best[2] = {0};
        json_use_scanner(*scanner);
        race(runs, peer ? 2 : 1, best);
        tell(name, *scanner, best[0], "GB/s, validated and indexed");
        if (peer) {
            char how[64];
            snprintf(how, sizeof how, "simdjson %s", peer);
            tell(name, how, best[1], "GB/s, DOM parse");
            snprintf(how, sizeof how, "%s to simdjson's", *scanner);
            tell(name, how, best[0] / best[1], "ratio");
        }
    }
    race(copying, 1, &copied);
    tell(name, "copied from the index", copied, "GB/s");
}

int main(void) {
    text = malloc(ROOM);
    copy = b_text_heap(B_TAG_TEST, ROOM);
    if (!text)
        return 1;
    measure("like twitter", twitter_like, 500000);
    measure("like a catalogue", catalogue_like, 500000);
    measure("like a search", search_like, 500000);
    measure("like twitter", twitter_like, 10000);
    measure("like a search", search_like, 10000);
    return 0;
}
