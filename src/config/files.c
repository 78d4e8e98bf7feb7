#include "config/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reports with the path in the place of the file. */
static int refuse(struct cfg_errors *errors, const char *path, const char *what, const char *way_out) {
    struct cfg_file file = {.name = path};
    return cfg_error_pos(errors, &file, 0, 0, "%s%s%s", what, way_out ? "; " : "", way_out ? way_out : "");
}

static int refuse_errno(struct cfg_errors *errors, const char *path, int err) {
    if (err == ENOENT)
        return refuse(errors, path, "there is no such file",
                      "name the config, a file or a directory, with -c");
    if (err == EACCES)
        return refuse(errors, path, "this user may not read it", "change its owner or mode");
    return refuse(errors, path, strerror(err), NULL);
}

void cfg_files_free(struct cfg_files *f) {
    for (size_t i = 0; i < f->count; i++) {
        b_free((char *)(uintptr_t)f->sources[i].name);
        b_free((char *)(uintptr_t)f->sources[i].bytes.ptr);
    }
    b_free(f->sources);
    *f = (struct cfg_files){0};
}

/* Everything up to the end, one byte over the limit at most. 0 or -errno. */
static int read_all(int fd, struct b_text *text) {
    for (;;) {
        if (!b_text_reserve(text, 1))
            return text->len > CFG_BYTES_MAX ? 0 : -ENOMEM;
        ssize_t n = read(fd, text->ptr + text->len, text->cap - text->len);
        if (n == 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -errno;
        text->len += n > 0 ? (size_t)n : 0;
    }
}

/* Appends the file to *out, whose sources have room. */
static int read_file(const char *path, struct cfg_files *out, struct cfg_errors *errors) {
    struct b_text text = b_text_heap(B_TAG_CONFIG, CFG_BYTES_MAX + 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return refuse_errno(errors, path, errno);
    int rc = read_all(fd, &text);
    close(fd);
    if (rc == 0 && text.len > CFG_BYTES_MAX)
        rc = refuse(errors, path, "the file is larger than 4 MiB", "split it over a directory");
    else if (rc < 0 && rc != -ENOMEM)
        rc = refuse_errno(errors, path, -rc);
    char *name = rc == 0 ? b_strdup(B_TAG_CONFIG, path, strlen(path)) : NULL;
    if (rc == 0 && !name)
        rc = -ENOMEM;
    if (rc < 0) {
        b_text_free(&text);
        return rc == -ENOMEM ? cfg_error_memory(errors) : rc;
    }
    out->sources[out->count++] = (struct cfg_source){name, b_text_slice(&text)};
    return 0;
}

/* ---- directories ---- */

static bool is_yaml(const char *name) {
    size_t n = strlen(name);
    return name[0] != '.' &&
           ((n > 5 && strcmp(name + n - 5, ".yaml") == 0) || (n > 4 && strcmp(name + n - 4, ".yml") == 0));
}

struct names {
    char *items[CFG_FILES_MAX];
    size_t count;
};

static int by_bytes(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The paths of the config files of a directory, in the order of their names. */
static int list(DIR *dir, const char *path, struct names *names, struct cfg_errors *errors) {
    const struct dirent *entry;
    size_t len = strlen(path);
    while (errno = 0, (entry = readdir(dir)) != NULL) {
        if (!is_yaml(entry->d_name))
            continue;
        if (names->count == CFG_FILES_MAX)
            return refuse(errors, path, "the directory holds more than 256 config files",
                          "join some of them");
        struct b_text full = b_text_heap(B_TAG_CONFIG, len + sizeof entry->d_name + 2);
        b_text_printf(&full, "%s%s%s", path, len && path[len - 1] == '/' ? "" : "/", entry->d_name);
        b_text_char(&full, 0);
        if (full.failed) {
            b_text_free(&full);
            return cfg_error_memory(errors);
        }
        names->items[names->count++] = full.ptr;
    }
    if (errno)
        return refuse_errno(errors, path, errno);
    if (!names->count)
        return refuse(errors, path, "the directory holds no config", "its files end in .yaml or .yml");
    qsort(names->items, names->count, sizeof *names->items, by_bytes);
    return 0;
}

/* Reads what was listed; a failure does not keep the others from being looked at. */
static int read_names(const struct names *names, struct cfg_files *out, struct cfg_errors *errors) {
    int rc = 0;
    out->sources = b_zalloc(B_TAG_CONFIG, names->count * sizeof *out->sources);
    if (!out->sources)
        return cfg_error_memory(errors);
    for (size_t i = 0; i < names->count && rc != -ENOMEM; i++) {
        int one = read_file(names->items[i], out, errors);
        rc = one ? one : rc;
    }
    return rc;
}

static int read_directory(const char *path, struct cfg_files *out, struct cfg_errors *errors) {
    struct names *names = b_zalloc(B_TAG_CONFIG, sizeof *names);
    if (!names)
        return cfg_error_memory(errors);
    DIR *dir = opendir(path);
    int rc = dir ? list(dir, path, names, errors) : refuse_errno(errors, path, errno);
    if (dir)
        closedir(dir);
    if (rc == 0)
        rc = read_names(names, out, errors);
    for (size_t i = 0; i < names->count; i++)
        b_free(names->items[i]);
    b_free(names);
    return rc;
}

int cfg_files_read(const char *path, struct cfg_files *out, struct cfg_errors *errors) {
    struct stat st;
    int rc;
    *out = (struct cfg_files){0};
    if (stat(path, &st) < 0)
        return refuse_errno(errors, path, errno);
    if (S_ISDIR(st.st_mode)) {
        rc = read_directory(path, out, errors);
    } else {
        out->sources = b_zalloc(B_TAG_CONFIG, sizeof *out->sources);
        rc = out->sources ? read_file(path, out, errors) : cfg_error_memory(errors);
    }
    if (rc < 0)
        cfg_files_free(out);
    return rc;
}
