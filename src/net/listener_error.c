/* What went wrong with a listener, said to the person who can mend it. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "net/address.h"
#include "net/listener.h"

#define PRIVILEGED 1024

static const char *in_use_hint(const struct rt_sockaddr *at) {
    if (at->u.any.sa_family == AF_UNIX)
        return "address in use: another program listens on %s, or that file is no socket; stop the program, "
               "move the file away, or choose another path";
    return "address in use: another program listens on %s; "
           "stop it or choose another port (ss -ltnp shows it)";
}

static const char *denied_hint(const struct rt_sockaddr *at) {
    if (at->u.any.sa_family == AF_UNIX)
        return "permission denied: %s cannot be made; "
               "let this user write to its directory, or choose another one";
    if (net_port(at) < PRIVILEGED)
        return "permission denied: listening on %s needs a privilege, as every port below 1024; "
               "choose a higher port, or give CAP_NET_BIND_SERVICE (systemd: "
               "AmbientCapabilities=CAP_NET_BIND_SERVICE; by hand: setcap cap_net_bind_service=+ep on the "
               "program)";
    return "permission denied: the system's policy (SELinux, AppArmor, a container) "
           "keeps this program from listening on %s";
}

static const char *hint(int rc, const struct rt_sockaddr *at) {
    bool is_unix = at->u.any.sa_family == AF_UNIX;
    switch (-rc) {
    case EADDRINUSE: return in_use_hint(at);
    case EACCES:
    case EPERM: return denied_hint(at);
    case EADDRNOTAVAIL:
        return "no such address here: %s is on no interface of this machine (ip addr shows them)";
    case EAFNOSUPPORT:
        return "no such kind of address: the kernel cannot listen on %s; is IPv6 switched off?";
    case ENOENT:
    case ENOTDIR: return is_unix ? "no such directory: that of %s must exist; make it first" : NULL;
    case EROFS: return is_unix ? "read-only file system: %s cannot be made; choose another directory" : NULL;
    case EMFILE:
    case ENFILE:
        return "too many open files: no descriptor is left for %s; raise the limit (ulimit -n, LimitNOFILE=)";
    default: return NULL;
    }
}

/* The hints are literals with one %s, the address. */
static void add_hint(struct b_text *t, const char *text, const char *address) {
    const char *at = strstr(text, "%s");
    b_text_add(t, text, (size_t)(at - text));
    b_text_cstr(t, address);
    b_text_cstr(t, at + 2);
}

const char *net_listen_error_text(int rc, const struct rt_sockaddr *at, char buf[NET_LISTEN_ERROR_TEXT]) {
    char address[NET_ADDRESS_TEXT];
    struct b_text t = b_text_fixed(buf, NET_LISTEN_ERROR_TEXT - 1);
    const char *text = hint(rc, at), *name = strerrordesc_np(-rc);
    net_format(at, address);
    if (text)
        add_hint(&t, text, address);
    else
        b_text_printf(&t, "cannot listen on %s: %s", address, name ? name : "unknown error");
    assert(!t.failed && "NET_LISTEN_ERROR_TEXT holds the longest");
    buf[t.len] = '\0';
    return buf;
}
