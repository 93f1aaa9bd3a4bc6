/* Control groups: see cgroup.h. */
#include "mig/runner/cgroup.h"

#include "base/cleanup.h"
#include "core/parse.h"
#include "core/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX         "divvy-runner-"
#define MOUNTINFO_BYTES 262144

static int file_write(int folder_fd, const char *name, const char *text) {
    cleanup_close int fd = openat(folder_fd, name, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    return divvy_core_sys_write(fd, text, strlen(text));
}

/* Whoever made it is dead. A group with processes in it cannot be removed, whatever we think. */
static void leftovers_remove(int folder_fd) {
    int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_closedir DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!folder) {
        divvy_cleanup_close(&fd);
        return;
    }
    while ((entry = readdir(folder))) {
        const char *number = entry->d_name + strlen(PREFIX);
        uint64_t pid;

        if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0 ||
            divvy_core_u64_parse(number, strlen(number), &pid, NULL) < 0 || pid > INT32_MAX)
            continue;
        if (kill((pid_t)pid, 0) < 0 && errno == ESRCH)
            (void)unlinkat(folder_fd, entry->d_name, AT_REMOVEDIR);
    }
}

/* Limit and door of a group that was just made. */
static int group_fill(int group_fd, uint64_t limit_bytes) {
    char limit[32];
    int status;

    (void)snprintf(limit, sizeof limit, "%llu", (unsigned long long)limit_bytes);
    status = file_write(group_fd, "memory.max", limit);
    if (status < 0)
        return status == -ENOENT ? -ENOTSUP : status;
    /* Kernels without swap accounting lack the one, old ones the other. */
    (void)file_write(group_fd, "memory.swap.max", "0");
    (void)file_write(group_fd, "memory.oom.group", "1");
    status = openat(group_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    return status < 0 ? -errno : status;
}

int divvy_runner_cgroup_make_in(const char *root, uint64_t limit_bytes, struct divvy_runner_cgroup *ret_cgroup) {
    cleanup_close int root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), group_fd = -1;
    char name[sizeof PREFIX + 16];
    int procs_fd;

    if (root_fd < 0)
        return -errno;
    leftovers_remove(root_fd);
    (void)file_write(root_fd, "cgroup.subtree_control", "+memory");
    (void)snprintf(name, sizeof name, PREFIX "%d", (int)getpid());
    if ((size_t)snprintf(ret_cgroup->path, sizeof ret_cgroup->path, "%s/%s", root, name) >= sizeof ret_cgroup->path)
        return -ENAMETOOLONG;
    if (mkdirat(root_fd, name, 0755) < 0 && errno != EEXIST)
        return -errno;
    group_fd = openat(root_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    procs_fd = group_fd < 0 ? -errno : group_fill(group_fd, limit_bytes);
    if (procs_fd < 0) {
        (void)unlinkat(root_fd, name, AT_REMOVEDIR);
        return procs_fd;
    }
    ret_cgroup->procs_fd = procs_fd;
    return 0;
}

int divvy_runner_cgroup_mount_find(const char *mountinfo, char *ret_path, size_t size_bytes) {
    for (const char *line = mountinfo; line && *line; line = strchr(line, '\n')) {
        const char *end, *dash, *at;

        line += *line == '\n';
        at = line;
        end = line + strcspn(line, "\n");
        dash = strstr(line, " - cgroup2 ");
        if (!dash || dash >= end)
            continue;
        /* "36 35 0:30 / /sys/fs/cgroup rw … - cgroup2 …": the fifth word. */
        for (int word = 0; word < 4 && at < end; word++)
            at += strcspn(at, " ") + 1;
        if (at >= end || strcspn(at, " ") >= size_bytes)
            continue;
        (void)snprintf(ret_path, size_bytes, "%.*s", (int)strcspn(at, " "), at);
        return 0;
    }
    return -ENOENT;
}

/* The runner's own group, below where the hierarchy is mounted. */
static int own_find(char *ret_path, size_t size_bytes) {
    cleanup_free char *mounts = malloc(MOUNTINFO_BYTES);
    char groups[4096], root[PATH_MAX / 2];
    const char *own;

    if (!mounts)
        return -ENOMEM;
    if (divvy_core_sys_read_file("/proc/self/mountinfo", mounts, MOUNTINFO_BYTES) < 0 ||
        divvy_core_sys_read_file("/proc/self/cgroup", groups, sizeof groups) < 0 ||
        divvy_runner_cgroup_mount_find(mounts, root, sizeof root) < 0)
        return -ENOTSUP;
    own = strstr(groups, "0::/");
    if (!own || (own > groups && own[-1] != '\n'))
        return -ENOTSUP;
    own += 3;
    if ((size_t)snprintf(ret_path, size_bytes, "%s%.*s", root, (int)strcspn(own, "\n"), own) >= size_bytes)
        return -ENAMETOOLONG;
    for (size_t length = strlen(ret_path); length > 1 && ret_path[length - 1] == '/'; length--)
        ret_path[length - 1] = '\0';
    return (int)strlen(root);
}

int divvy_runner_cgroup_make(uint64_t limit_bytes, struct divvy_runner_cgroup *ret_cgroup, struct divvy_error *error) {
    char own[PATH_MAX];
    int root_length = own_find(own, sizeof own), status = root_length;
    char *slash;

    ret_cgroup->procs_fd = -1;
    if (root_length >= 0) {
        /* Below a group that has processes itself nothing can be limited, so beside it comes first, except at the root. */
        slash = strrchr(own, '/');
        status = -ENOTSUP;
        if (slash && slash - own >= root_length) {
            *slash = '\0';
            status = divvy_runner_cgroup_make_in(own, limit_bytes, ret_cgroup);
            *slash = '/';
        }
        if (status < 0)
            status = divvy_runner_cgroup_make_in(own, limit_bytes, ret_cgroup);
    }
    if (status >= 0)
        return 0;
    ret_cgroup->path[0] = '\0';
    return divvy_error_set_errno(error, status, "no control group (v2) with a memory limit can be made");
}

int divvy_runner_cgroup_enter(const struct divvy_runner_cgroup *cgroup) {
    return divvy_core_sys_write(cgroup->procs_fd, "0", 1);
}

void divvy_runner_cgroup_remove(struct divvy_runner_cgroup *cgroup) {
    divvy_cleanup_close(&cgroup->procs_fd);
    /* A group whose last process is just going is busy for a moment. */
    for (int tries = 0; cgroup->path[0] && tries < 50; tries++) {
        if (rmdir(cgroup->path) == 0 || errno != EBUSY)
            break;
        (void)usleep(2000);
    }
    cgroup->path[0] = '\0';
}
