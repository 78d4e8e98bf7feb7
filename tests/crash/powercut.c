/* A disk that loses what was not synced, for LD_PRELOAD: every write to a database's files first notes what stood there, in FILE.undo;
 * a sync forgets the notes. After the process has been killed, run.py puts the old bytes back, and the files are as a power cut would
 * have left them. POWERCUT_NO_SYNC=1: syncs are lies, as with synchronous=OFF. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct note {
    int64_t offset, len, size; /* of the bytes that follow, and of the file before */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool ends_with(const char *s, const char *end) {
    size_t a = strlen(s), b = strlen(end);
    return a >= b && strcmp(s + a - b, end) == 0;
}

/* The journal of a descriptor's file; -1: it is none of a database. */
static int journal_of(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 8);
    if (n <= 0)
        return -1;
    path[n] = 0;
    if (!ends_with(path, ".db") && !ends_with(path, ".db-wal"))
        return -1;
    strcat(path, ".undo");
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void die(const char *what) {
    fprintf(stderr, "powercut: %s: %s\n", what, strerror(errno));
    abort();
}

/* What stands at the place now, so that it can be put back. */
static void remember(int fd, int journal, int64_t offset, int64_t len) {
    struct stat st;
    if (fstat(fd, &st) != 0)
        die("fstat");
    struct note note = {offset, 0, st.st_size};
    if (offset < st.st_size)
        note.len = offset + len < st.st_size ? len : st.st_size - offset;
    char *text = malloc(sizeof note + (size_t)note.len);
    memcpy(text, &note, sizeof note);
    if (note.len && pread(fd, text + sizeof note, (size_t)note.len, offset) != note.len)
        die("pread");
    if (write(journal, text, sizeof note + (size_t)note.len) != (ssize_t)sizeof note + note.len)
        die("write");
    free(text);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t offset) {
    static ssize_t (*real)(int, const void *, size_t, off_t);
    if (!real)
        real = (ssize_t(*)(int, const void *, size_t, off_t))(uintptr_t)dlsym(RTLD_NEXT, "pwrite64");
    int journal = journal_of(fd);
    if (journal < 0)
        return real(fd, bytes, len, offset);
    pthread_mutex_lock(&lock);
    remember(fd, journal, offset, (int64_t)len);
    ssize_t n = real(fd, bytes, len, offset);
    pthread_mutex_unlock(&lock);
    close(journal);
    return n;
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset) {
    return pwrite64(fd, bytes, len, offset);
}

int ftruncate64(int fd, off_t size) {
    static int (*real)(int, off_t);
    struct stat st;
    if (!real)
        real = (int (*)(int, off_t))(uintptr_t)dlsym(RTLD_NEXT, "ftruncate64");
    int journal = journal_of(fd);
    if (journal < 0)
        return real(fd, size);
    pthread_mutex_lock(&lock);
    if (fstat(fd, &st) == 0 && size < st.st_size)
        remember(fd, journal, size, st.st_size - size);
    int rc = real(fd, size);
    pthread_mutex_unlock(&lock);
    close(journal);
    return rc;
}

int ftruncate(int fd, off_t size) {
    return ftruncate64(fd, size);
}

/* The real one is left out: what the process has written is on the disk of this test. */
static int sync_it(int fd) {
    static int lies = -1;
    if (lies < 0)
        lies = getenv("POWERCUT_NO_SYNC") != NULL;
    int journal = lies ? -1 : journal_of(fd);
    if (journal < 0)
        return 0;
    pthread_mutex_lock(&lock);
    static int (*real)(int, off_t);
    if (!real)
        real = (int (*)(int, off_t))(uintptr_t)dlsym(RTLD_NEXT, "ftruncate64");
    if (real(journal, 0) != 0)
        die("ftruncate");
    pthread_mutex_unlock(&lock);
    close(journal);
    return 0;
}

int fdatasync(int fd) {
    return sync_it(fd);
}

int fsync(int fd) {
    return sync_it(fd);
}
