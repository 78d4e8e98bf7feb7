/* The header that a load balancer sends in front of a connection: the verdict is the same however it is cut, and nothing
 * behind the header has a say in it. */
#include <assert.h>
#include <stdlib.h>

#include "net/proxy_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static ssize_t parse(const uint8_t *data, size_t size, struct net_peer *peer) {
    const char *why = NULL;
    char *exact = malloc(size ? size : 1); /* so that a byte too far is seen */
    memset(peer, 0, sizeof *peer);
    memcpy(exact, data, size);
    ssize_t n = net_proxy_header(b_slice(exact, size), peer, &why);
    free(exact);
    assert(n >= -1 && n <= (ssize_t)size && n <= NET_PROXY_MAX && (n < 0) == (why != NULL));
    assert(n > 0 || peer->family == 0);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct net_peer whole, part;
    ssize_t n = parse(data, size, &whole);
    if (n == 0)
        assert(size < NET_PROXY_MAX);
    for (size_t cut = 0; cut < size && cut < 300; cut++) {
        ssize_t m = parse(data, cut, &part);
        if (m < 0)
            assert(n < 0);
        else if (m > 0)
            assert(m == n && memcmp(&part, &whole, sizeof part) == 0);
        else
            assert(n <= 0 || (size_t)n > cut);
    }
    return 0;
}
