/* The agent's pid file: see pidfile.h. */
#include "agent/pidfile.h"

#include "agent/paths.h"
#include "base/cleanup.h"
#include "core/parse.h"
#include "core/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static pid_t pid_read(int fd) {
    char text[24];
    ssize_t length = pread(fd, text, sizeof text, 0);
    uint64_t pid = 0;
    size_t digits = 0;

    while (length > 0 && digits < (size_t)length && text[digits] >= '0' && text[digits] <= '9')
        digits++;
    if (digits == 0 || divvy_core_u64_parse(text, digits, &pid, NULL) < 0 || pid > INT32_MAX)
        return 0;
    return (pid_t)pid;
}

int divvy_agent_pidfile_take(const char *state_folder, int *ret_fd, struct divvy_error *error) {
    char path[PATH_MAX], text[24];
    int length, locked = -1;
    cleanup_close int fd = -1;

    divvy_agent_path_join(state_folder, "agent.pid", path);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return divvy_error_set_errno(error, -errno, "%.150s", path);
    /* `ggo agent status` holds it for a moment as well. */
    for (int tries = 0; tries < 10 && locked < 0; tries++) {
        locked = flock(fd, LOCK_EX | LOCK_NB);
        if (locked < 0)
            (void)usleep(20000);
    }
    if (locked < 0)
        return divvy_error_set(error, -EBUSY,
                               "an agent with pid %d runs the workers of %.120s already",
                               (int)pid_read(fd), state_folder);
    length = snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)length, 0) != length)
        return divvy_error_set_errno(error, -errno, "cannot write %.150s", path);
    *ret_fd = divvy_cleanup_keep(&fd);
    return 0;
}

pid_t divvy_agent_pidfile_look(const char *state_folder) {
    char path[PATH_MAX];
    cleanup_close int fd = -1;

    divvy_agent_path_join(state_folder, "agent.pid", path);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return 0;
    return pid_read(fd);
}
