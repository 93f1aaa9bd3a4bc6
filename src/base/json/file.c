/* JSON files: see file.h. */
#include "base/json/file.h"

#include "base/cleanup.h"
#include "core/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

/* Opened so that a FIFO does not hold it up. */
static int file_open(const char *path, size_t *ret_size, struct divvy_error *error) {
    struct stat status;
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0 || fstat(fd, &status) < 0)
        return divvy_error_set_errno(error, -errno, "%.150s", path);
    if (!S_ISREG(status.st_mode))
        return divvy_error_set(error, S_ISDIR(status.st_mode) ? -EISDIR : -ENODEV,
                               "%.150s: not a file", path);
    if ((uint64_t)status.st_size > DIVVY_JSON_FILE_BYTES)
        return divvy_error_set(error, -EFBIG, "%.150s: longer than %u MiB", path,
                               DIVVY_JSON_FILE_BYTES >> 20);
    *ret_size = (size_t)status.st_size;
    return divvy_cleanup_keep(&fd);
}

int divvy_json_file_read(const char *path, json_t **ret_value, struct divvy_error *error) {
    size_t size = 0;
    ssize_t length;
    json_error_t fault;
    json_t *value;
    cleanup_close int fd = file_open(path, &size, error);
    cleanup_free char *text = NULL;

    if (fd < 0)
        return fd;
    text = malloc(size + 1);
    if (!text)
        return divvy_error_set_errno(error, -ENOMEM, "%.150s", path);
    length = divvy_core_sys_read(fd, text, size);
    if (length < 0)
        return divvy_error_set_errno(error, (int)length, "%.150s", path);
    value = json_loadb(text, (size_t)length, JSON_DECODE_ANY, &fault);
    if (!value)
        return divvy_error_set(error, -EINVAL, "%.120s: line %d, column %d: %.80s", path,
                               fault.line, fault.column,
                               length == 0 ? "the file is empty" : fault.text);
    *ret_value = value;
    return 0;
}

/* ---- writing ---- */

/* The folder of a path, opened; *ret_name is its last part. */
static int folder_open(const char *path, const char **ret_name, struct divvy_error *error) {
    const char *slash = strrchr(path, '/');
    char folder[PATH_MAX];
    int fd;

    *ret_name = slash ? slash + 1 : path;
    if ((size_t)snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 1,
                         slash ? path : ".") >= sizeof folder)
        return divvy_error_set_errno(error, -ENAMETOOLONG, "%.150s", path);
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? divvy_error_set_errno(error, -errno, "%.150s", folder) : fd;
}

/* A name that nobody else uses, now or after a crash: what is left of one is never met again. */
static int temporary_open(int folder, const char *name, char *ret_name, size_t size_bytes) {
    uint64_t random;
    int fd;

    for (int tries = 0; tries < 8; tries++) {
        if (divvy_core_sys_getrandom(&random, sizeof random) < 0)
            random = (uint64_t)getpid() << 8 | (uint64_t)tries;
        if ((size_t)snprintf(ret_name, size_bytes, ".%s.%016" PRIx64, name, random) >= size_bytes)
            return -ENAMETOOLONG;
        fd = openat(folder, ret_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd >= 0 || errno != EEXIST)
            return fd < 0 ? -errno : fd;
    }
    return -EEXIST;
}

static int text_store(int fd, const char *text, mode_t mode) {
    int status = divvy_core_sys_write(fd, text, strlen(text));

    if (status == 0)
        status = divvy_core_sys_write(fd, "\n", 1);
    if (status == 0 && (fchmod(fd, mode) < 0 || fsync(fd) < 0))
        status = -errno;
    return status;
}

int divvy_json_file_write(const char *path, const json_t *value, mode_t mode,
                          struct divvy_error *error) {
    cleanup_free char *text = json_dumps(value, JSON_INDENT(2) | JSON_ENCODE_ANY);
    const char *name;
    char temporary[NAME_MAX + 1];
    int status;
    cleanup_close int folder = folder_open(path, &name, error), fd = -1;

    if (folder < 0)
        return folder;
    if (!text)
        return divvy_error_set_errno(error, -ENOMEM, "%.150s", path);
    fd = temporary_open(folder, name, temporary, sizeof temporary);
    if (fd < 0)
        return divvy_error_set_errno(error, fd, "cannot write %.150s", path);
    status = text_store(fd, text, mode);
    if (status == 0 && renameat(folder, temporary, folder, name) < 0)
        status = -errno;
    if (status < 0) {
        (void)unlinkat(folder, temporary, 0);
        return divvy_error_set_errno(error, status, "cannot write %.150s", path);
    }
    /* Where a folder cannot be synced the file system does not need it. */
    (void)fsync(folder);
    return 0;
}

/* ---- locks, and files that are of no use ---- */

int divvy_json_file_lock(const char *path, int *ret_fd, struct divvy_error *error) {
    char name[PATH_MAX];
    cleanup_close int fd = -1;

    if ((size_t)snprintf(name, sizeof name, "%s.lock", path) >= sizeof name)
        return divvy_error_set_errno(error, -ENAMETOOLONG, "%.150s", path);
    fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return divvy_error_set_errno(error, -errno, "cannot open %.150s", name);
    while (flock(fd, LOCK_EX) < 0)
        if (errno != EINTR)
            return divvy_error_set_errno(error, -errno, "cannot lock %.150s", name);
    *ret_fd = divvy_cleanup_keep(&fd);
    return 0;
}

int divvy_json_file_set_aside(const char *path, char ret_path[PATH_MAX],
                              struct divvy_error *error) {
    for (unsigned int n = 1; n <= 1000; n++) {
        if ((size_t)snprintf(ret_path, PATH_MAX, "%s.unreadable-%u", path, n) >= PATH_MAX)
            return divvy_error_set_errno(error, -ENAMETOOLONG, "%.150s", path);
        /* Never over another: RENAME_NOREPLACE. */
        if (renameat2(AT_FDCWD, path, AT_FDCWD, ret_path, RENAME_NOREPLACE) == 0)
            return 0;
        if (errno != EEXIST)
            return divvy_error_set_errno(error, -errno, "cannot set %.150s aside", path);
    }
    return divvy_error_set(
        error, -EEXIST, "cannot set %.150s aside: a thousand of its kind are there already", path);
}
