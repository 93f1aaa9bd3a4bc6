/*
 * Runs a fuzz target on every file of the given directories or files, so that corpora are also
 * plain tests where no fuzzing compiler is at hand. Fails when a directory holds nothing.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int file_replay(const char *path) {
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = NULL;
    long size;

    if (!file || fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0) {
        perror(path);
        exit(1);
    }
    rewind(file);
    bytes = malloc((size_t)size + 1);
    if (!bytes || fread(bytes, 1, (size_t)size, file) != (size_t)size) {
        perror(path);
        exit(1);
    }
    fclose(file);
    LLVMFuzzerTestOneInput(bytes, (size_t)size);
    free(bytes);
    return 1;
}

static int directory_replay(const char *path) {
    DIR *directory = opendir(path);
    struct dirent *entry;
    int count = 0;

    if (!directory) {
        perror(path);
        exit(1);
    }
    while ((entry = readdir(directory))) {
        char name[4096];

        if (entry->d_name[0] == '.')
            continue;
        if ((size_t)snprintf(name, sizeof name, "%s/%s", path, entry->d_name) >= sizeof name)
            continue;
        count += file_replay(name);
    }
    closedir(directory);
    return count;
}

int main(int argc, char **argv) {
    int count = 0;

    for (int i = 1; i < argc; i++) {
        struct stat status;

        if (stat(argv[i], &status) != 0) {
            perror(argv[i]);
            return 1;
        }
        count += S_ISDIR(status.st_mode) ? directory_replay(argv[i]) : file_replay(argv[i]);
    }
    printf("%d inputs\n", count);
    return count > 0 ? 0 : 1;
}
