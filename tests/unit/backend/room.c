/* A folder of state for a test: see room.h. */
#include "room.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

void room_open(struct room *room) {
    (void)snprintf(room->path, sizeof room->path, "%s/divvy-test-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(room->path));
    room->fd = open(room->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(room->fd >= 0);
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *where) {
    (void)status;
    (void)kind;
    (void)where;
    return remove(path);
}

void room_close(struct room *room) {
    (void)close(room->fd);
    (void)nftw(room->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void room_write(const struct room *room, const char *name, const char *text) {
    int fd = openat(room->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    (void)close(fd);
}

void room_replace(const struct room *room, const char *name, const char *text) {
    room_write(room, "room-replace.tmp", text);
    assert_int_equal(renameat(room->fd, "room-replace.tmp", room->fd, name), 0);
}

char *room_read(const struct room *room, const char *name) {
    int fd = openat(room->fd, name, O_RDONLY | O_CLOEXEC);
    struct stat status;
    char *text;

    if (fd < 0)
        return NULL;
    assert_int_equal(fstat(fd, &status), 0);
    text = calloc(1, (size_t)status.st_size + 1);
    assert_non_null(text);
    assert_int_equal(read(fd, text, (size_t)status.st_size), status.st_size);
    (void)close(fd);
    return text;
}

size_t room_count(const struct room *room, const char *prefix) {
    DIR *folder = opendir(room->path);
    struct dirent *entry;
    size_t count = 0;

    while ((entry = readdir(folder)))
        count += strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
    (void)closedir(folder);
    return count;
}

void must(int status, const struct divvy_error *error) {
    if (status != 0)
        fail_msg("%d: %s", status, error->text);
}

uint32_t room_random(uint64_t *seed) {
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*seed >> 33);
}

uint64_t room_seed(void) {
    const char *text = getenv("DIVVY_TEST_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 10) : (uint64_t)time(NULL) ^ (uint64_t)getpid() << 32;

    print_message("DIVVY_TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

uint16_t room_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    (void)close(fd);
    return ntohs(address.sin_port);
}
