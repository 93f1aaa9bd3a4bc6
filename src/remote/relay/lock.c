/* One instance: see lock.h. */
#include "remote/relay/lock.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

int divvy_relay_lock_take(const char *path, struct divvy_error *error) {
    cleanup_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    char text[32] = "";
    int length;

    if (fd < 0)
        return divvy_error_set_errno(error, -errno, "cannot open the lock file %.120s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK)
            return divvy_error_set_errno(error, -errno, "cannot lock %.120s", path);
        if (pread(fd, text, sizeof text - 1, 0) < 0)
            text[0] = '\0';
        text[strcspn(text, "\n")] = '\0';
        return divvy_error_set(error, -EBUSY, "another relay runs already, process %s (%.120s)", text[0] ? text : "unknown", path);
    }
    length = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)length, 0) != length)
        return divvy_error_set_errno(error, -errno, "cannot write the lock file %.120s", path);
    return divvy_cleanup_keep(&fd);
}
