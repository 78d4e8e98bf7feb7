/* The data of a node in a registry. What is taken for an endpoint is a URL with an address, a port and a weight in bounds, and
 * nothing of the environment comes into it. */
#include <assert.h>

#include "upstream/discover.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct up_found found = {0};
    b_arena_init(&found.arena, B_TAG_TEST, NULL, NULL, 0, 16 << 20);
    bool taken = up_found_node(&found, b_slice(data, size));
    assert(taken == (found.count == 1));
    if (taken) {
        const struct up_target *t = &found.targets[0];
        assert(t->weight >= 1 && t->weight <= 1000 && t->url->port > 0);
        assert(t->url->text.len > 8 && t->url->text.len < 300 && t->url->name.len);
        for (size_t i = 0; i < t->url->text.len; i++)
            assert(t->url->text.ptr[i] > ' ' && t->url->text.ptr[i] != '@' && t->url->text.ptr[i] != '$');
    }
    b_arena_release(&found.arena);
    return 0;
}
