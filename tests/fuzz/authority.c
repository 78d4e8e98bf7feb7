/* Host and port. What is taken must be put together again to the same, a name must hold nothing that means something
 * elsewhere in a head or a URL, and about IPv6 addresses weir and the C library must agree. */
#include <arpa/inet.h>
#include <assert.h>

#include "base/text.h"
#include "http/authority.h"
#include "http/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool libc_takes_ipv6(struct b_slice host) {
    char text[INET6_ADDRSTRLEN];
    struct in6_addr ip;
    if (host.len >= sizeof text || memchr(host.ptr, 0, host.len))
        return false;
    memcpy(text, host.ptr, host.len);
    text[host.len] = 0;
    return inet_pton(AF_INET6, text, &ip) == 1;
}

static void check_parts(struct b_slice text, const struct http_authority *a) {
    assert(a->host.len > 0 && a->host.ptr >= text.ptr && a->host.ptr + a->host.len <= text.ptr + text.len);
    for (size_t i = 0; i < text.len; i++)
        assert(text.ptr[i] > ' ' && text.ptr[i] < 0x7f && !strchr("/?#@\\,\"<>", text.ptr[i]));
}

static void check_again(const struct http_authority *a, uint32_t allow) {
    char buf[512];
    struct b_text out = b_text_fixed(buf, sizeof buf);
    struct http_authority again;
    b_text_printf(&out, a->ipv6 ? "[%.*s]" : "%.*s", B_FMT(a->host));
    if (a->port)
        b_text_printf(&out, ":%u", a->port);
    assert(!out.failed);
    assert(http_authority_parse(b_text_slice(&out), allow, &again) == 0);
    assert(again.port == a->port && again.ipv6 == a->ipv6 && b_slice_eq(again.host, a->host));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct b_slice text = b_slice(data, size);
    struct http_authority strict, lax;
    int rc = http_authority_parse(text, 0, &strict),
        rc_lax = http_authority_parse(text, HTTP_ALLOW_ANY_HOST, &lax);
    assert(http_authority_parse(text, 0, NULL) == rc);
    assert(rc == 0 || rc == -HTTP_E_BAD_HOST);
    if (size > 400) /* a name has 255 bytes, unless it is let be */
        return 0;
    if (rc == 0) {
        assert(rc_lax == 0 && lax.port == strict.port && b_slice_eq(lax.host, strict.host));
        check_parts(text, &strict);
        check_again(&strict, 0);
    }
    if (rc_lax == 0) {
        check_parts(text, &lax);
        check_again(&lax, HTTP_ALLOW_ANY_HOST);
    }
    if (size > 2 && data[0] == '[' && data[size - 1] == ']')
        assert((rc == 0) == libc_takes_ipv6(b_slice(data + 1, size - 2)));
    return 0;
}
