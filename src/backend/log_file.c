/* Logs of workers: see log_file.h. */
#include "backend/log_file.h"

#include "base/cleanup.h"
#include "core/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

int divvy_backend_log_open(const char *path, struct divvy_error *error) {
    cleanup_close int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0644);
    struct stat status;

    if (fd < 0 && errno != ELOOP && errno != ENXIO)
        return divvy_error_set_errno(error, -errno, "the log %.180s cannot be opened", path);
    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return divvy_error_set(error, -EPERM, "the log %.180s is a link or no file", path);
    return divvy_cleanup_keep(&fd);
}

/* What lies behind the target's end, until there is nothing more. */
static int copy(int from, int to) {
    char block[65536];
    ssize_t got;
    int status = 0;

    while (status == 0 && (got = divvy_core_sys_read(from, block, sizeof block)) != 0)
        status = got < 0 ? (int)got : divvy_core_sys_write(to, block, (size_t)got);
    return status;
}

static int old_move(const char *path, uint32_t files) {
    char from[PATH_MAX], to[PATH_MAX];

    for (uint32_t i = files - 1; i > 0; i--) {
        if (snprintf(from, sizeof from, "%s.%u", path, i) >= (int)sizeof from ||
            snprintf(to, sizeof to, "%s.%u", path, i + 1) >= (int)sizeof to)
            return -ENAMETOOLONG;
        if (rename(from, to) < 0 && errno != ENOENT)
            return -errno;
    }
    return 0;
}

int divvy_backend_log_rotate(const char *path, uint64_t max_bytes, uint32_t files) {
    cleanup_close int fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), kept_fd = -1;
    char kept[PATH_MAX];
    struct stat status;
    int result = 0;

    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode))
        return -EPERM;
    if (max_bytes == 0 || (uint64_t)status.st_size < max_bytes)
        return 0;
    if (files > 0) {
        result = snprintf(kept, sizeof kept, "%s.1", path) >= (int)sizeof kept ? -ENAMETOOLONG : old_move(path, files);
        if (result == 0) {
            kept_fd = open(kept, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
            result = kept_fd < 0 ? -errno : copy(fd, kept_fd);
        }
    }
    if (result < 0)
        return result;
    return ftruncate(fd, 0) < 0 ? -errno : 1;
}
