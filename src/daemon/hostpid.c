/* Finding the host's pid of a container's process: see hostpid.h. */
#include "daemon/hostpid.h"

#include "base/cleanup.h"
#include "core/clock.h"
#include "core/sys.h"
#include "kube/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define TIMEOUT_MAX_NS    (5 * (int64_t)DIVVY_NS_PER_SECOND)
#define AGAIN_NS          (50 * DIVVY_NS_PER_MS) /* between two looks through /proc */
#define STATUS_BYTES      4096
#define CGROUP_BYTES      4096
#define ENVIRONMENT_BYTES 131072 /* what lies behind is not looked at */

/* What is looked for, and what a look found. */
struct look {
    const struct divvy_hostpid_search *search;
    const char *proc;
    uint64_t namespace_inode; /* of the peer; 0 not known */
    int64_t deadline_ns;
    uint32_t found, found_named; /* of the latter the environment names the container as well */
    pid_t pid;
    uint64_t start_ticks;
    char *environment; /* a buffer */
};

static int file_read(const char *proc, const char *pid, const char *name, char *buffer, size_t size_bytes, size_t *ret_length) {
    char path[PATH_MAX];
    cleanup_close int fd = -1;
    ssize_t length;

    (void)snprintf(path, sizeof path, "%s/%s/%s", proc, pid, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    length = divvy_core_sys_read(fd, buffer, size_bytes - 1);
    if (length < 0)
        return (int)length;
    buffer[length] = '\0';
    *ret_length = (size_t)length;
    return 0;
}

/* The same of a pid that is known; -ESRCH: there is no such process. */
static int file_read_of(const char *proc, pid_t host_pid, const char *name, char *buffer, size_t size_bytes, size_t *ret_length) {
    char pid[16];
    int status;

    (void)snprintf(pid, sizeof pid, "%d", (int)host_pid);
    status = file_read(proc ? proc : "/proc", pid, name, buffer, size_bytes, ret_length);
    return status == -ENOENT ? -ESRCH : status;
}

/* The last number of the line NSpid: the pid in the innermost namespace. */
static int innermost_pid(const char *status_text, int32_t *ret_pid) {
    const char *line = strstr(status_text, "\nNSpid:");
    long pid = 0;
    size_t length;

    if (!line)
        return -ENOENT;
    line += strlen("\nNSpid:");
    length = strcspn(line, "\n");
    for (const char *at = line, *end = line + length; at < end;) {
        char *next;
        long value = strtol(at, &next, 10);

        if (next == at || next > end)
            break;
        pid = value;
        at = next;
    }
    if (pid <= 0 || pid > INT32_MAX)
        return -ENOENT;
    *ret_pid = (int32_t)pid;
    return 0;
}

int divvy_hostpid_container_pid(const char *proc, pid_t host_pid, int32_t *ret_container_pid) {
    char text[STATUS_BYTES];
    size_t length;
    int status = file_read_of(proc, host_pid, "status", text, sizeof text, &length);

    return status < 0 ? status : innermost_pid(text, ret_container_pid);
}

/* Inode of a process's pid namespace. stat needs no more than readlink does and follows to the namespace itself. */
static uint64_t namespace_inode(const char *proc, const char *pid) {
    char path[PATH_MAX];
    struct stat status;

    (void)snprintf(path, sizeof path, "%s/%s/ns/pid", proc, pid);
    return stat(path, &status) == 0 ? (uint64_t)status.st_ino : 0;
}

/* Whether the environment has NAME=value; `value` NULL or empty is not looked at. */
static bool environment_has(const char *text, size_t length, const char *name, const char *value) {
    size_t name_length = strlen(name);

    if (!value || !*value)
        return true;
    for (size_t at = 0; at < length; at += strlen(text + at) + 1)
        if (strncmp(text + at, name, name_length) == 0 && text[at + name_length] == '=' &&
            strcmp(text + at + name_length + 1, value) == 0)
            return true;
    return false;
}

static bool environment_fits(const struct look *look, const char *pid) {
    const struct divvy_hostpid_search *search = look->search;
    size_t length;

    if (!(search->pod && *search->pod) && !(search->namespace && *search->namespace) &&
        !(search->container && *search->container))
        return true;
    if (file_read(look->proc, pid, "environ", look->environment, ENVIRONMENT_BYTES, &length) < 0)
        return false;
    return environment_has(look->environment, length, "POD_NAME", search->pod) &&
           environment_has(look->environment, length, "POD_NAMESPACE", search->namespace) &&
           environment_has(look->environment, length, "CONTAINER_NAME", search->container);
}

static bool cgroup_fits(const struct look *look, const char *pid) {
    char text[CGROUP_BYTES], uid[DIVVY_KUBE_UID_BYTES];
    size_t length;

    if (!look->search->pod_uid || !*look->search->pod_uid)
        return true;
    return file_read(look->proc, pid, "cgroup", text, sizeof text, &length) == 0 && divvy_kube_cgroup_pod(text, length, uid) &&
           strcmp(uid, look->search->pod_uid) == 0;
}

/* Containers of a pod count from 1 each: which one a process is of, only its environment says, and that decides nothing else. */
static bool container_is(const struct look *look, const char *pid) {
    const char *hint = look->search->container_hint;
    size_t length;

    return hint && *hint && file_read(look->proc, pid, "environ", look->environment, ENVIRONMENT_BYTES, &length) == 0 &&
           environment_has(look->environment, length, "CONTAINER_NAME", hint);
}

static bool process_fits(const struct look *look, const char *pid) {
    char text[STATUS_BYTES];
    size_t length;
    int32_t innermost;

    return file_read(look->proc, pid, "status", text, sizeof text, &length) == 0 &&
           innermost_pid(text, &innermost) == 0 && innermost == look->search->container_pid &&
           (!look->namespace_inode || namespace_inode(look->proc, pid) == look->namespace_inode) &&
           cgroup_fits(look, pid) && environment_fits(look, pid);
}

/* Field 22 of /proc/PID/stat, behind the name in parentheses, which may hold anything. */
static int start_read(const char *proc, const char *pid, uint64_t *ret_ticks) {
    char text[1024];
    size_t length;
    const char *at;
    int status = file_read(proc, pid, "stat", text, sizeof text, &length);

    if (status < 0)
        return status;
    at = strrchr(text, ')');
    for (int field = 2; at && field < 22; field++) {
        at = strchr(at, ' ');
        at = at ? at + 1 : NULL;
    }
    if (!at)
        return -EIO;
    *ret_ticks = strtoull(at, NULL, 10);
    return 0;
}

static int look_through(struct look *look, struct divvy_error *error) {
    cleanup_closedir DIR *processes = opendir(look->proc);
    struct dirent *entry;

    if (!processes)
        return divvy_error_set_errno(error, -errno, "cannot look through %s", look->proc);
    look->found = look->found_named = 0;
    while ((entry = readdir(processes))) {
        uint64_t start_ticks;

        if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
            continue;
        if ((int64_t)divvy_core_clock_ns() >= look->deadline_ns)
            return divvy_error_set(error, -ETIMEDOUT, "no process %d of the container was found in time",
                                   (int)look->search->container_pid);
        if (!process_fits(look, entry->d_name) || start_read(look->proc, entry->d_name, &start_ticks) < 0)
            continue;
        if (container_is(look, entry->d_name))
            look->found_named++;
        else if (look->found_named)
            continue;
        look->found++;
        look->pid = (pid_t)strtol(entry->d_name, NULL, 10);
        look->start_ticks = start_ticks;
    }
    return 0;
}

static int peer_take(struct look *look, struct divvy_error *error) {
    char pid[16];

    if (!look->search->peer_pid)
        return 0;
    (void)snprintf(pid, sizeof pid, "%d", (int)look->search->peer_pid);
    look->namespace_inode = namespace_inode(look->proc, pid);
    if (!look->namespace_inode)
        return divvy_error_set(error, -ESRCH, "process %s, who asks, is gone or may not be looked at", pid);
    return 0;
}

static int look_until(struct look *look, struct divvy_error *error) {
    for (;;) {
        struct timespec pause = divvy_core_clock_timespec(AGAIN_NS);
        int status = look_through(look, error);

        if (status < 0)
            return status;
        if (look->found == 1 || look->found_named == 1)
            return 0;
        if (look->found > 1)
            return divvy_error_set(error, -ENOTUNIQ, "%u processes fit process %d of the container", look->found,
                                   (int)look->search->container_pid);
        if ((int64_t)divvy_core_clock_ns() >= look->deadline_ns)
            return divvy_error_set(error, -ETIMEDOUT, "no process %d of the container was found in time",
                                   (int)look->search->container_pid);
        (void)nanosleep(&pause, NULL);
    }
}

int divvy_hostpid_find(const struct divvy_hostpid_search *search, int32_t *ret_host_pid, uint64_t *ret_start_ticks,
                       struct divvy_error *error) {
    int64_t timeout_ns = search->timeout_ns < TIMEOUT_MAX_NS ? search->timeout_ns : TIMEOUT_MAX_NS;
    struct look look = {.search = search,
                        .proc = search->proc ? search->proc : "/proc",
                        .deadline_ns = (int64_t)divvy_core_clock_ns() + timeout_ns};
    int status;

    if (search->container_pid <= 0 || (!search->peer_pid && !(search->pod_uid && *search->pod_uid) &&
                                       !(search->pod && *search->pod) && !(search->container && *search->container)))
        return divvy_error_set(error, -EINVAL, "a process cannot be told by its pid in a container alone");
    look.environment = malloc(ENVIRONMENT_BYTES);
    if (!look.environment)
        return divvy_error_set_errno(error, -ENOMEM, "cannot look for process %d", (int)search->container_pid);
    status = peer_take(&look, error);
    if (status == 0)
        status = look_until(&look, error);
    free(look.environment);
    if (status < 0)
        return status;
    *ret_host_pid = (int32_t)look.pid;
    *ret_start_ticks = look.start_ticks;
    return 0;
}

int divvy_hostpid_pod(const char *proc, pid_t host_pid, char ret_uid[DIVVY_KUBE_UID_BYTES]) {
    char text[CGROUP_BYTES];
    size_t length;
    int status = file_read_of(proc, host_pid, "cgroup", text, sizeof text, &length);

    if (status < 0)
        return status;
    return divvy_kube_cgroup_pod(text, length, ret_uid) ? 0 : -ENOENT;
}
