#include "base/siphash.h"

#include "base/rng.h"
#include "test.h"

/* Written from the paper and not from the code under test: bytes in, any number of rounds, the message padded
 * whole. */
struct reference {
    uint64_t a, b, c, d;
};

static uint64_t turn(uint64_t x, unsigned n) {
    return (x << n) + (x >> (64 - n));
}

static void rounds(struct reference *s, int n) {
    while (n-- > 0) {
        s->a += s->b;
        s->c += s->d;
        s->b = turn(s->b, 13) ^ s->a;
        s->d = turn(s->d, 16) ^ s->c;
        s->a = turn(s->a, 32);
        s->c += s->b;
        s->a += s->d;
        s->b = turn(s->b, 17) ^ s->c;
        s->d = turn(s->d, 21) ^ s->a;
        s->c = turn(s->c, 32);
    }
}

static uint64_t reference(int compress, int finish, struct b_hash_key key, const unsigned char *data,
                          size_t len) {
    struct reference s = {key.k0 ^ 0x736f6d6570736575, key.k1 ^ 0x646f72616e646f6d,
                          key.k0 ^ 0x6c7967656e657261, key.k1 ^ 0x7465646279746573};
    size_t whole = len / 8 * 8 + 8;
    for (size_t at = 0; at < whole; at += 8) {
        uint64_t word = 0;
        for (size_t i = 8; i-- > 0;) {
            uint64_t byte = at + i < len ? data[at + i] : at + i == whole - 1 ? len & 255 : 0;
            word = word * 256 + byte;
        }
        s.d ^= word;
        rounds(&s, compress);
        s.a ^= word;
    }
    s.c ^= 255;
    rounds(&s, finish);
    return s.a ^ s.b ^ s.c ^ s.d;
}

static const struct b_hash_key paper_key = {0x0706050403020100, 0x0f0e0d0c0b0a0908};

static void count_up(unsigned char *bytes, size_t n) {
    for (size_t i = 0; i < n; i++)
        bytes[i] = (unsigned char)i;
}

TEST(published_vectors) {
    unsigned char bytes[64];
    count_up(bytes, sizeof bytes);
    /* the paper's appendix A, for 2-4: the reference is right */
    CHECK_UINT(reference(2, 4, paper_key, bytes, 15), 0xa129ca6149be45e5);
    /* for 1-3, with the same key and bytes 00, 01 ... */
    CHECK_UINT(b_siphash(paper_key, bytes, 0), 0xabac0158050fc4dc);
    CHECK_UINT(b_siphash(paper_key, bytes, 1), 0xc9f49bf37d57ca93);
    CHECK_UINT(b_siphash(paper_key, bytes, 8), 0x369095118d299a8e);
    CHECK_UINT(b_siphash(paper_key, bytes, 63), 0x9d199062b7bbb3a8);
    /* and with the key 0 */
    CHECK_UINT(b_siphash((struct b_hash_key){0, 0}, bytes, 0), 0xd1fba762150c532c);
    CHECK_UINT(b_siphash(paper_key, NULL, 0), 0xabac0158050fc4dc);
}

TEST(agrees_with_the_reference) {
    unsigned char bytes[100];
    struct b_rng rng = {7};
    for (int i = 0; i < 2000; i++) {
        struct b_hash_key key = {b_rng_next(&rng), b_rng_next(&rng)};
        size_t len = b_rng_below(&rng, 90), from = b_rng_below(&rng, 8); /* unaligned too */
        for (size_t j = 0; j < sizeof bytes; j++)
            bytes[j] = (unsigned char)b_rng_next(&rng);
        REQUIRE(b_siphash(key, bytes + from, len) == reference(1, 3, key, bytes + from, len));
    }
}

const struct test_case siphash_tests[] = {
    {"published_vectors", published_vectors},
    {"agrees_with_the_reference", agrees_with_the_reference},
    {0},
};
