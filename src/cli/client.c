/* A request to the admin address, over a plain blocking socket: there is no runtime here. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/number.h"
#include "cli/cli.h"
#include "gateway/conn.h"

#define RESPONSE_MAX ((size_t)16 << 20)
#define TIMEOUT_S 90 /* a reload may resolve names and wait for workers */

/* What there is to know about the running weir. */
struct target {
    struct rt_sockaddr address;
    char text[NET_ADDRESS_TEXT];
    char token[600];
};

static int set_address(struct target *t, const struct cfg_addr *addr) {
    if (gw_sockaddr(addr, &t->address) != 0)
        return CLI_FAILED;
    (void)net_format(&t->address, t->text);
    return 0;
}

static int read_token(struct target *t, struct b_slice path) {
    int fd = open(path.ptr, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, t->token, sizeof t->token - 1);
    if (n < 0)
        fprintf(stderr, "weir: the token file \"%s\" cannot be read: %s\n", path.ptr, strerror(errno));
    if (fd >= 0)
        close(fd);
    if (n < 0)
        return CLI_FAILED;
    while (n > 0 && (unsigned char)t->token[n - 1] <= ' ')
        n--;
    t->token[n] = 0;
    return 0;
}

/* The address and token of the config. */
static int from_config(const struct cli_args *args, struct target *t) {
    struct gw_options source;
    struct cli_config config;
    int rc = cli_source(args, &source);
    if (rc != 0)
        return rc;
    rc = cli_load(&source, &config);
    if (rc == 0)
        rc = set_address(t, &config.root->admin.addr);
    if (rc == 0 && config.root->admin.token_file.ptr)
        rc = read_token(t, config.root->admin.token_file);
    else if (rc != 0)
        fprintf(stderr, "weir: this config does not tell where weir runs; --admin ADDR does\n");
    cli_unload(&config);
    return rc;
}

static int find_target(const struct cli_args *args, struct target *t) {
    struct cfg_addr addr = {0};
    int rc = args->config || !args->admin ? from_config(args, t) : 0;
    if (rc != 0 || !args->admin)
        return rc;
    const char *why = cfg_parse_addr(b_slice_cstr(args->admin), &addr);
    if (!why)
        return set_address(t, &addr);
    fprintf(stderr, "weir: --admin cannot be \"%.100s\": %s\n", args->admin, why);
    return CLI_USAGE;
}

static int open_socket(const struct target *t) {
    struct timeval limit = {.tv_sec = TIMEOUT_S};
    /* lint: allow seam-call: a command of a few milliseconds, without a runtime */
    int fd = socket(t->address.u.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    /* lint: allow seam-call: as above */
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    /* lint: allow seam-call: as above */
    if (connect(fd, &t->address.u.any, t->address.len) == 0)
        return fd;
    int rc = -errno;
    close(fd);
    return rc;
}

static int send_request(int fd, const struct target *t, const char *method, const char *path) {
    char buf[1024];
    struct b_text request = b_text_fixed(buf, sizeof buf);
    b_text_printf(&request,
                  "%s %s HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain\r\nContent-Length: 0\r\n", method,
                  path);
    if (t->token[0])
        b_text_printf(&request, "Authorization: Bearer %s\r\n", t->token);
    b_text_lit(&request, "Connection: close\r\n\r\n");
    ssize_t n = request.failed ? -1 : send(fd, request.ptr, request.len, MSG_NOSIGNAL);
    return n == (ssize_t)request.len ? 0 : -EPIPE;
}

static int receive(int fd, struct b_text *in) {
    ssize_t n = 0;
    while (b_text_reserve(in, 4096) && (n = recv(fd, in->ptr + in->len, in->cap - in->len, 0)) > 0)
        in->len += (size_t)n;
    return n < 0 ? -errno : in->failed ? -EMSGSIZE : 0;
}

/* Status and body; weir frames such answers by their length, and closes behind them. */
static int split(struct b_text *in, struct cli_response *out) {
    struct b_slice all = b_text_slice(in);
    const char *end = all.len ? memmem(all.ptr, all.len, "\r\n\r\n", 4) : NULL;
    uint64_t status = 0;
    if (!end || !b_slice_starts(all, B_LIT("HTTP/1.1 ")) || !b_parse_u64(b_slice(all.ptr + 9, 3), &status))
        return -EPROTO;
    *out = (struct cli_response){(unsigned)status, b_slice_from(all, (size_t)(end - all.ptr) + 4), in->ptr};
    return 0;
}

static int ask(const struct cli_args *args, const char *method, const char *path, struct cli_response *out) {
    static struct target t; /* large; there is one request in a process */
    struct b_text in = b_text_heap(B_TAG_BASE, RESPONSE_MAX);
    int rc = find_target(args, &t);
    if (rc != 0)
        return rc;
    int fd = open_socket(&t);
    rc = fd < 0 ? fd : send_request(fd, &t, method, path);
    if (rc == 0)
        rc = receive(fd, &in);
    if (fd >= 0)
        close(fd);
    if (rc == 0)
        rc = split(&in, out);
    if (rc == 0)
        return CLI_DONE;
    b_text_free(&in);
    fprintf(
        stderr,
        "weir: the admin address %s gave no answer: %s\n      Is weir running there? --admin ADDR names another.\n",
        t.text,
        rc == -EPROTO   ? "something else listens there"
        : rc == -EAGAIN ? "it is too slow"
                        : strerror(-rc));
    return CLI_FAILED;
}

int cli_post(const struct cli_args *args, const char *path, struct cli_response *out) {
    return ask(args, "POST", path, out);
}

int cli_get(const struct cli_args *args, const char *path, struct cli_response *out) {
    return ask(args, "GET", path, out);
}
