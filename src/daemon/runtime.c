/* Where divvyd lives: see runtime.h. */
#include "daemon/runtime.h"

#include "base/cleanup.h"
#include "core/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define PASSED_FD 3 /* systemd passes descriptors from here on */

static mode_t folder_mode(void) {
    return geteuid() == 0 ? 0755 : 0700;
}

/* parent/name, made when missing; others may not be able to write to it. */
static int folder_make(const char *parent, const char *name, char ret_path[DIVVY_RUNTIME_PATH_BYTES]) {
    char path[PATH_MAX];
    struct stat status;

    if ((size_t)snprintf(path, sizeof path, "%s/%s", parent, name) >= DIVVY_RUNTIME_PATH_BYTES - 32)
        return -ENAMETOOLONG;
    if (mkdir(path, folder_mode()) < 0 && errno != EEXIST)
        return -errno;
    if (lstat(path, &status) < 0)
        return -errno;
    if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid() || (status.st_mode & 0022))
        return -EPERM;
    memcpy(ret_path, path, strlen(path) + 1);
    return 0;
}

int divvy_runtime_folder_find(char ret_path[DIVVY_RUNTIME_PATH_BYTES], struct divvy_error *error) {
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    char own[32];
    int status = -ENOENT;

    if (runtime && runtime[0] == '/')
        status = folder_make(runtime, "divvy", ret_path);
    if (status < 0 && geteuid() == 0)
        status = folder_make("/run", "divvy", ret_path);
    if (status < 0) {
        (void)snprintf(own, sizeof own, "divvy-%u", (unsigned int)geteuid());
        status = folder_make("/dev/shm", own, ret_path);
    }
    if (status < 0)
        return divvy_error_set_errno(
            error, status, "no folder can be had in $XDG_RUNTIME_DIR, /run or /dev/shm; give --base and --socket");
    return 0;
}

void divvy_runtime_config_find(char ret_path[DIVVY_RUNTIME_PATH_BYTES]) {
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    int length = 0;

    ret_path[0] = '\0';
    if (geteuid() == 0)
        length = snprintf(ret_path, DIVVY_RUNTIME_PATH_BYTES, "/etc/divvy/divvyd.conf");
    else if (config && config[0] == '/')
        length = snprintf(ret_path, DIVVY_RUNTIME_PATH_BYTES, "%s/divvy/divvyd.conf", config);
    else if (home && home[0] == '/')
        length = snprintf(ret_path, DIVVY_RUNTIME_PATH_BYTES, "%s/.config/divvy/divvyd.conf", home);
    if (length >= (int)DIVVY_RUNTIME_PATH_BYTES)
        ret_path[0] = '\0';
}

void divvy_runtime_simulated_find(char *ret_path) {
    static const char *const places[] = {"../lib/simgpu", "../lib/divvy/simgpu"};
    char folder[PATH_MAX], path[PATH_MAX + 64];
    ssize_t length = readlink("/proc/self/exe", folder, sizeof folder - 1);
    char *slash;

    ret_path[0] = '\0';
    if (length < 0)
        return;
    folder[length] = '\0';
    slash = strrchr(folder, '/');
    if (slash)
        *slash = '\0';
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s/libnvidia-ml.so.1", folder, places[i]);
        if (access(path, R_OK) < 0)
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", folder, places[i]);
        if (realpath(path, ret_path))
            return;
        ret_path[0] = '\0';
    }
}

/* --- one instance ------------------------------------------------------------------------------------- */

static int base_make(const char *base) {
    char path[PATH_MAX];

    if ((size_t)snprintf(path, sizeof path, "%s", base) >= sizeof path)
        return -ENAMETOOLONG;
    for (char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = '\0';
        if (mkdir(path, folder_mode()) < 0 && errno != EEXIST)
            return -errno;
        *at = '/';
    }
    return mkdir(path, folder_mode()) < 0 && errno != EEXIST ? -errno : 0;
}

static int busy_report(int fd, const char *base, struct divvy_error *error) {
    char text[32] = "";
    uint64_t pid;
    ssize_t length = pread(fd, text, sizeof text - 1, 0);

    if (length > 0 && divvy_core_u64_parse(text, strcspn(text, "\n"), &pid, NULL) == 0)
        return divvy_error_set(error, -EBUSY, "another one runs for %.120s, with pid %llu; stop it or give another --base",
                               base, (unsigned long long)pid);
    return divvy_error_set(error, -EBUSY, "another one runs for %.120s; stop it or give another --base", base);
}

/* -EAGAIN: the file was removed between opening and locking. */
static int pid_file_lock(const char *base, const char *path, int *ret_fd, struct divvy_error *error) {
    cleanup_close int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
    struct stat ours, named;
    char text[32];
    int length;

    if (fd < 0)
        return divvy_error_set_errno(error, -errno, "cannot write %.150s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? busy_report(fd, base, error)
                                    : divvy_error_set_errno(error, -errno, "cannot lock %.150s", path);
    if (fstat(fd, &ours) < 0 || lstat(path, &named) < 0 || ours.st_ino != named.st_ino)
        return -EAGAIN;
    length = snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)length, 0) != length)
        return divvy_error_set_errno(error, -errno, "cannot write %.150s", path);
    *ret_fd = divvy_cleanup_keep(&fd);
    return 0;
}

int divvy_runtime_instance_take(const char *base, int *ret_fd, struct divvy_error *error) {
    char path[PATH_MAX];
    int status = base_make(base);

    if (status < 0)
        return divvy_error_set_errno(error, status, "the folder of tenants %.150s cannot be made", base);
    if ((size_t)snprintf(path, sizeof path, "%s/" DIVVY_RUNTIME_PID_FILE, base) >= sizeof path)
        return divvy_error_set(error, -ENAMETOOLONG, "the path of the base is too long");
    do
        status = pid_file_lock(base, path, ret_fd, error);
    while (status == -EAGAIN);
    return status;
}

void divvy_runtime_instance_drop(const char *base, int *fd) {
    char path[PATH_MAX];

    if (*fd < 0)
        return;
    (void)snprintf(path, sizeof path, "%s/" DIVVY_RUNTIME_PID_FILE, base);
    (void)unlink(path);
    divvy_cleanup_close(fd);
}

int divvy_runtime_system_check(const char *path, const char *own, struct divvy_error *error) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    cleanup_close int fd = -1;
    struct ucred peer = {0};
    socklen_t size = sizeof peer;

    if (strcmp(path, own) == 0 || strlen(path) >= sizeof address.sun_path)
        return 0;
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) < 0)
        return 0; /* nobody, or nobody that we may talk to */
    (void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size);
    if (peer.pid == getpid())
        return 0;
    return divvy_error_set(error, -EBUSY,
                           "another one, with pid %d, has the GPUs of this machine already (%.100s); use it, or give --gpu sim",
                           (int)peer.pid, path);
}

/* --- passed by systemd ---------------------------------------------------------------------------------- */

static int passed_count(void) {
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    uint64_t number;

    if (!pid || !count || divvy_core_u64_parse(pid, strlen(pid), &number, NULL) < 0 || number != (uint64_t)getpid() ||
        divvy_core_u64_parse(count, strlen(count), &number, NULL) < 0 || number > 64)
        return 0;
    return (int)number;
}

int divvy_runtime_socket_take(int *ret_fd, struct divvy_error *error) {
    int count = passed_count(), domain = 0, type = 0, listens = 0;
    socklen_t size = sizeof domain;

    *ret_fd = -1;
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    if (count == 0)
        return 0;
    if (count > 1)
        return divvy_error_set(error, -EINVAL, "%d sockets were passed to divvyd; it takes one", count);
    if (getsockopt(PASSED_FD, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0 ||
        getsockopt(PASSED_FD, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
        getsockopt(PASSED_FD, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0 || domain != AF_UNIX ||
        type != SOCK_STREAM || !listens)
        return divvy_error_set(error, -EINVAL, "what was passed to divvyd is no listening unix stream socket");
    (void)fcntl(PASSED_FD, F_SETFD, FD_CLOEXEC);
    *ret_fd = PASSED_FD;
    return 0;
}
