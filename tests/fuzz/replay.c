/* Stands in for libFuzzer: runs a fuzz target on every file of the directories and files given, and says how many. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned count;

static void run_file(const char *path, size_t size) {
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(size); /* of the exact size, so that ASan sees a read past its end */
    if (!file || (size && !data) || fread(data, 1, size, file) != size) {
        fprintf(stderr, "%s: cannot read: %s\n", path, strerror(errno));
        exit(1);
    }
    fclose(file);
    fprintf(stderr, "%s\n", path); /* the last line before a crash names the input */
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    count++;
}

static void run_path(const char *path);

static void run_directory(const char *path) {
    struct dirent **entries;
    int n = scandir(path, &entries, NULL, alphasort);
    if (n < 0)
        exit(1);
    for (int i = 0; i < n; i++) {
        char full[4096];
        if (entries[i]->d_name[0] != '.') {
            snprintf(full, sizeof full, "%s/%s", path, entries[i]->d_name);
            run_path(full);
        }
        free(entries[i]);
    }
    free(entries);
}

static void run_path(const char *path) {
    struct stat st;
    if (stat(path, &st) < 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(1);
    }
    if (S_ISDIR(st.st_mode))
        run_directory(path);
    else
        run_file(path, (size_t)st.st_size);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        run_path(argv[i]);
    const char *slash = strrchr(argv[0], '/');
    printf("%s: %u inputs\n", slash ? slash + 1 : argv[0], count);
    if (count == 0)
        fprintf(stderr, "no input: give it files or directories that hold some\n");
    return count == 0;
}
