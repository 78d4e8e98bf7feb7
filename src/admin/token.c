/* Who may use what is not open: on an address that others can reach, those who know the token of admin.token_file; on
 * loopback everyone, but no web page that a browser of this machine has open. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "admin/admin.h"
#include "admin/answer.h"
#include "runtime/offload.h"

#define TOKEN_MIN 16
#define TOKEN_MAX 512

static bool is_loopback(const struct cfg_addr *a) {
    static const uint8_t loopback6[16] = {[15] = 1};
    switch (a->kind) {
    case CFG_HOST_UNIX: return true; /* the file's mode decides */
    case CFG_HOST_IPV4: return a->ip[0] == 127;
    case CFG_HOST_IPV6: return memcmp(a->ip, loopback6, sizeof loopback6) == 0;
    default: return false;
    }
}

struct token {
    const char *path;
    char text[TOKEN_MAX + 2];
    size_t len; /* without the line's end */
    int error;  /* errno, negative */
};

static void read_token(void *arg) {
    struct token *t = arg;
    int fd = open(t->path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, t->text, sizeof t->text);
    t->error = n < 0 ? -errno : 0;
    t->len = n < 0 ? 0 : (size_t)n;
    if (fd >= 0)
        close(fd);
    while (t->len && (unsigned char)t->text[t->len - 1] <= ' ')
        t->len--;
}

int adm_check(const struct cfg_root *root, struct cfg_errors *errors) {
    const struct cfg_admin *a = &root->admin;
    const struct cfg_node *addr = cfg_node_get(a->head.node, "addr"),
                          *file = cfg_node_get(a->head.node, "token_file");
    struct token token = {.path = a->token_file.ptr};
    if (!token.path) {
        if (is_loopback(&a->addr))
            return 0;
        return cfg_error_at(
            errors, addr ? addr : a->head.node,
            "the admin address %.*s can be reached from other machines, so it needs a secret: set "
            "admin.token_file to a file that holds one, or listen on 127.0.0.1:%u",
            B_FMT(a->addr.text), a->addr.port);
    }
    read_token(&token);
    if (token.error)
        return cfg_error_at(errors, file, "the token file \"%s\" cannot be read: %s", token.path,
                            strerror(-token.error));
    if (token.len < TOKEN_MIN || token.len > TOKEN_MAX)
        return cfg_error_at(errors, file,
                            "the token in \"%s\" has %zu bytes: it needs %d to %d, such as the output of "
                            "`head -c 32 /dev/urandom | base64`",
                            token.path, token.len, TOKEN_MIN, TOKEN_MAX);
    return 0;
}

/* Takes as long for any two texts of these lengths. */
static bool same(struct b_slice a, struct b_slice b) {
    unsigned differ = a.len != b.len;
    for (size_t i = 0; i < a.len && b.len; i++)
        differ |= (unsigned char)a.ptr[i] ^ (unsigned char)b.ptr[i % b.len];
    return differ == 0;
}

static struct b_slice bearer(const struct exchange *ex) {
    struct b_slice value = http_fields_value(&ex->req.fields, HTTP_FIELD_AUTHORIZATION),
                   scheme = B_LIT("Bearer ");
    if (value.len <= scheme.len || !b_slice_ieq(b_slice(value.ptr, scheme.len), scheme))
        return b_slice(NULL, 0);
    return b_slice_trim(b_slice_from(value, scheme.len));
}

static void add_challenge(struct exchange *ex, struct gw_head_hook *self) {
    (void)self;
    if (http_fields_set_id(&ex->call.arena, &ex->res.fields, HTTP_FIELD_WWW_AUTHENTICATE,
                           B_LIT("Bearer realm=\"weir admin\"")) < 0)
        ex->close = true; /* memory is short; the refusal itself goes out */
}

static int refuse(struct exchange *ex) {
    struct gw_head_hook hook = {.fn = add_challenge, .next = ex->hooks};
    int rc = gw_error(ex, HTTP_E_UNAUTHENTICATED,
                      "Send `Authorization: Bearer TOKEN` with the token of admin.token_file.");
    ex->hooks = &hook;
    gw_fail(ex, (enum http_error) - rc);
    ex->hooks = hook.next;
    return 0;
}

static int demand_token(struct exchange *ex, const char *path) {
    struct b_slice given = bearer(ex);
    struct token *token = given.len ? b_arena_zalloc(&ex->call.arena, sizeof *token) : NULL;
    if (given.len && !token)
        return -HTTP_E_OUT_OF_MEMORY;
    if (token) {
        /* read each time, so that a new token counts at once; a request without any costs nothing */
        token->path = path;
        given = b_arena_copy(&ex->call.arena, given);
        if (!given.ptr || rt_offload(read_token, token) < 0)
            return -HTTP_E_OVERLOADED;
        if (!token->error && token->len >= TOKEN_MIN && same(given, b_slice(token->text, token->len)))
            return 0;
    }
    return refuse(ex);
}

/* A page of another site can make a browser on this machine send requests here, and by a name of its own that resolves
 * to 127.0.0.1 even read the answers. Both show: in Origin, and in a Host that is no address. */
static bool from_a_page(const struct exchange *ex) {
    struct b_slice origin = http_fields_value(&ex->req.fields, HTTP_FIELD_ORIGIN), prefix = B_LIT("http://");
    struct b_slice host = ex->req.authority;
    if (origin.len &&
        !(b_slice_starts(origin, prefix) && b_slice_ieq(b_slice_from(origin, prefix.len), host)))
        return true;
    size_t name = b_slice_find(host, ':');
    bool address = host.len == 0 || b_is_digit(host.ptr[0]) || host.ptr[0] == '[';
    return !address && !b_slice_ieq(b_slice(host.ptr, name), B_LIT("localhost"));
}

int adm_authorise(struct exchange *ex) {
    const struct cfg_admin *a = &ex->snapshot->root->admin;
    if (a->token_file.ptr)
        return demand_token(ex, a->token_file.ptr);
    if (!is_loopback(&a->addr))
        return gw_error(ex, HTTP_E_FORBIDDEN,
                        "Set admin.token_file: this address can be reached from other machines.");
    if (a->addr.kind != CFG_HOST_UNIX && from_a_page(ex))
        return gw_error(ex, HTTP_E_FORBIDDEN,
                        "This address is for programs of its own machine: use http://127.0.0.1 or "
                        "http://localhost, or set admin.token_file.");
    return 0;
}
