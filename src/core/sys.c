/*
 * Raw system calls: see sys.h and futex.h. errno belongs to the host program and is restored after
 * each call.
 */
#include "core/sys.h"

#include "core/clock.h"
#include "core/futex.h"
#include "core/parse.h"
#include "core/text.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

/* One system call; its result or a negative errno. */
#define SYSTEM_CALL(...)                                                                           \
    __extension__({                                                                                \
        int host_errno_ = errno;                                                                   \
        long result_ = syscall(__VA_ARGS__);                                                       \
        if (result_ == -1)                                                                         \
            result_ = -(long)errno;                                                                \
        errno = host_errno_;                                                                       \
        result_;                                                                                   \
    })

int divvy_core_sys_openat(int dirfd, const char *path, int flags, mode_t mode) {
    long fd;

    do {
        fd = SYSTEM_CALL(SYS_openat, dirfd, path, flags | O_CLOEXEC, mode);
    } while (fd == -EINTR);
    return (int)fd;
}

int divvy_core_sys_open(const char *path, int flags, mode_t mode) {
    return divvy_core_sys_openat(AT_FDCWD, path, flags, mode);
}

void divvy_core_sys_close(int *fd) {
    if (*fd >= 0)
        (void)SYSTEM_CALL(SYS_close, *fd);
    *fd = -1;
}

/* On 64-bit Linux the kernel's struct stat is glibc's. */
int divvy_core_sys_fstat(int fd, struct stat *ret_stat) {
    return (int)SYSTEM_CALL(SYS_fstat, fd, ret_stat);
}

int divvy_core_sys_fstatat(int dirfd, const char *path, struct stat *ret_stat, int flags) {
    return (int)SYSTEM_CALL(SYS_newfstatat, dirfd, path, ret_stat, flags);
}

int divvy_core_sys_ftruncate(int fd, uint64_t size_bytes) {
    long status;

    if (size_bytes > INT64_MAX)
        return -EFBIG;
    do {
        status = SYSTEM_CALL(SYS_ftruncate, fd, (long)size_bytes);
    } while (status == -EINTR);
    return (int)status;
}

ssize_t divvy_core_sys_read(int fd, void *buffer, size_t size_bytes) {
    size_t done = 0;

    while (done < size_bytes) {
        long got = SYSTEM_CALL(SYS_read, fd, (char *)buffer + done, size_bytes - done);

        if (got == -EINTR)
            continue;
        if (got < 0)
            return done ? (ssize_t)done : (ssize_t)got;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

ssize_t divvy_core_sys_read_file(const char *path, char *buffer, size_t size_bytes) {
    int fd = divvy_core_sys_open(path, O_RDONLY | O_NOCTTY, 0);
    ssize_t length;

    if (fd < 0)
        return fd;
    length = divvy_core_sys_read(fd, buffer, size_bytes);
    divvy_core_sys_close(&fd);
    if (length < 0)
        return length;
    if ((size_t)length == size_bytes)
        return -EFBIG;
    buffer[length] = '\0';
    return length;
}

int divvy_core_sys_write(int fd, const void *buffer, size_t size_bytes) {
    size_t done = 0;

    while (done < size_bytes) {
        long put = SYSTEM_CALL(SYS_write, fd, (const char *)buffer + done, size_bytes - done);

        if (put == -EINTR)
            continue;
        if (put < 0)
            return (int)put;
        done += (size_t)put;
    }
    return 0;
}

int divvy_core_sys_getrandom(void *buffer, size_t size_bytes) {
    size_t done = 0;

    while (done < size_bytes) {
        long got = SYSTEM_CALL(SYS_getrandom, (char *)buffer + done, size_bytes - done, 0);

        if (got == -EINTR)
            continue;
        if (got < 0)
            return (int)got;
        done += (size_t)got;
    }
    return 0;
}

pid_t divvy_core_sys_gettid(void) {
    return (pid_t)SYSTEM_CALL(SYS_gettid);
}

/* Old glibc caches getpid() across clone(); the kernel does not. */
pid_t divvy_core_sys_getpid(void) {
    return (pid_t)SYSTEM_CALL(SYS_getpid);
}

int divvy_core_sys_pidfd_open(pid_t pid) {
    return (int)SYSTEM_CALL(SYS_pidfd_open, pid, 0);
}

int divvy_core_sys_memfd_create(const char *name) {
    const unsigned int close_on_exec = 1; /* MFD_CLOEXEC */

    return (int)SYSTEM_CALL(SYS_memfd_create, name, close_on_exec);
}

/*
 * /proc/PID/stat: "PID (command) state ppid ... starttime ...": the command may hold blanks and
 * brackets, so fields are counted from the last closing bracket; state is field 3 and starttime
 * field 22.
 */
static int stat_line_read(pid_t pid, char *ret_state, uint64_t *ret_ticks) {
    char path_bytes[32], line[1024];
    const char *at, *end;
    divvy_core_text_t path;
    ssize_t length;

    divvy_core_text_init(&path, path_bytes, sizeof path_bytes);
    if (pid == 0)
        divvy_core_text_add(&path, "/proc/self/stat");
    else
        divvy_core_text_format(&path, "/proc/%d/stat", pid);
    length = divvy_core_sys_read_file(path_bytes, line, sizeof line);
    if (length < 0)
        return (int)length;
    at = memrchr(line, ')', (size_t)length);
    if (!at || at + 3 >= line + length)
        return -EBADMSG;
    at += 2;
    *ret_state = *at;
    for (int field = 3; field < 22; field++) {
        at = memchr(at, ' ', (size_t)(line + length - at));
        if (!at)
            return -EBADMSG;
        at++;
    }
    end = memchr(at, ' ', (size_t)(line + length - at));
    if (!end)
        return -EBADMSG;
    return divvy_core_u64_parse(at, (size_t)(end - at), ret_ticks, NULL);
}

int divvy_core_sys_start_time(pid_t pid, uint64_t *ret_ticks) {
    uint64_t ticks;
    char state;
    int status;

    if (pid < 0)
        return -EINVAL;
    status = stat_line_read(pid, &state, &ticks);
    if (status == -ENOENT) {
        struct stat proc;

        return divvy_core_sys_fstatat(AT_FDCWD, "/proc/self", &proc, 0) == 0 ? -ESRCH : -ENOENT;
    }
    if (status < 0)
        return status;
    *ret_ticks = ticks;
    return 0;
}

bool divvy_core_sys_is_alive(pid_t pid, uint64_t start_ticks) {
    uint64_t ticks;
    char state;
    int status;

    if (pid <= 0)
        return false;
    status = stat_line_read(pid, &state, &ticks);
    if (status == 0)
        return ticks == start_ticks && state != 'Z' && state != 'X';
    if (status == -ESRCH)
        return false;
    return SYSTEM_CALL(SYS_kill, pid, 0) != -ESRCH;
}

int divvy_core_sys_namespace_id(const char *name, uint64_t *ret_inode) {
    char path_bytes[64];
    divvy_core_text_t path;
    struct stat status;
    int result;

    divvy_core_text_init(&path, path_bytes, sizeof path_bytes);
    divvy_core_text_format(&path, "/proc/self/ns/%s", name);
    if (path.is_cut)
        return -ENAMETOOLONG;
    result = divvy_core_sys_fstatat(AT_FDCWD, path_bytes, &status, 0);
    if (result < 0)
        return result;
    *ret_inode = status.st_ino;
    return 0;
}

const char *divvy_core_sys_error_text(int status) {
    static const struct {
        int number;
        const char *text;
    } known[] = {
        {EACCES, "permission denied"},
        {EPERM, "operation not permitted"},
        {ENOENT, "no such file or directory"},
        {ENOTDIR, "a part of the path is no directory"},
        {EISDIR, "it is a directory"},
        {ELOOP, "symbolic links are not followed"},
        {ENAMETOOLONG, "the name is too long"},
        {ENOSPC, "no space left"},
        {EDQUOT, "disk quota exceeded"},
        {EROFS, "the file system is read-only"},
        {EFBIG, "the file is too large"},
        {EIO, "input/output error"},
        {EMFILE, "too many open files in this process"},
        {ENFILE, "too many open files on this machine"},
        {ENOMEM, "out of memory"},
        {EAGAIN, "no resources for it now"},
        {EEXIST, "it exists already"},
        {ENOSYS, "this kernel cannot do it"},
        {ENXIO, "nobody serves it"},
        {ECONNREFUSED, "connection refused"},
        {ECONNRESET, "connection reset"},
        {EPIPE, "connection closed"},
        {ETIMEDOUT, "no answer in time"},
        {EHOSTUNREACH, "no route to it"},
        {ENETUNREACH, "network unreachable"},
        {EBADMSG, "contents that cannot be believed"},
        {EPROTO, "an answer that cannot be understood"},
        {EINVAL, "invalid"},
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].number == -status)
            return known[i].text;
    return "error";
}

int divvy_core_futex_wait(const uint32_t *word, uint32_t expected, uint64_t timeout_ns,
                          bool shared) {
    struct timespec timeout = divvy_core_clock_timespec(timeout_ns);
    int operation = FUTEX_WAIT | (shared ? 0 : FUTEX_PRIVATE_FLAG);

    return (int)SYSTEM_CALL(SYS_futex, word, operation, expected,
                            timeout_ns == DIVVY_CORE_FUTEX_FOREVER ? NULL : &timeout, NULL, 0);
}

int divvy_core_futex_wait_until(const uint32_t *word, uint32_t expected, uint64_t deadline_ns,
                                bool shared) {
    struct timespec deadline = divvy_core_clock_timespec(deadline_ns);
    int operation = FUTEX_WAIT_BITSET | (shared ? 0 : FUTEX_PRIVATE_FLAG);

    return (int)SYSTEM_CALL(SYS_futex, word, operation, expected,
                            deadline_ns == DIVVY_CORE_FUTEX_FOREVER ? NULL : &deadline, NULL,
                            FUTEX_BITSET_MATCH_ANY);
}

int divvy_core_futex_wake(const uint32_t *word, int32_t count, bool shared) {
    int operation = FUTEX_WAKE | (shared ? 0 : FUTEX_PRIVATE_FLAG);

    return (int)SYSTEM_CALL(SYS_futex, word, operation, count, NULL, NULL, 0);
}
