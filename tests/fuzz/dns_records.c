/* An answer of a name server. Whatever it holds, what is taken from it lies in the arena, is bounded, and the same each
 * time. The first byte chooses the type. */
#include <assert.h>

#include "net/dns_records.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const enum net_record_type types[] = {NET_RECORD_A, NET_RECORD_AAAA, NET_RECORD_SRV};
    struct net_records first, again;
    struct b_arena arena;
    if (!size)
        return 0;
    enum net_record_type type = types[data[0] % 3];
    b_arena_init(&arena, B_TAG_TEST, NULL, NULL, 0, 16 << 20);
    int rc = net_dns_parse(b_slice(data + 1, size - 1), type, &arena, &first);
    assert(net_dns_parse(b_slice(data + 1, size - 1), type, &arena, &again) == rc &&
           again.count == first.count);
    assert(first.count <= NET_RECORDS_MAX && first.ttl >= 0);
    for (unsigned i = 0; rc == 0 && i < first.count; i++) {
        assert(first.list[i].host.ptr && first.list[i].host.len < 2000);
        assert(type == NET_RECORD_SRV || first.list[i].host.len > 1);
        assert(b_slice_eq(first.list[i].host, again.list[i].host));
    }
    b_arena_release(&arena);
    return 0;
}
