/*
 * System calls for injected code. They go to the kernel through syscall(), so that no glibc symbol
 * newer than 2.17 is needed (fstat and others got new versions in 2.33). Every function returns a
 * value >= 0 or a negative errno, and leaves the caller's errno as it was. None allocates or locks;
 * all are async-signal-safe and valid after fork.
 */
#ifndef DIVVY_CORE_SYS_H
#define DIVVY_CORE_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/* Descriptor with O_CLOEXEC added, owned by the caller. Retries EINTR. dirfd may be AT_FDCWD. */
int divvy_core_sys_openat(int dirfd, const char *path, int flags, mode_t mode);
int divvy_core_sys_open(const char *path, int flags, mode_t mode);

/* Closes *fd when >= 0 and sets it to -1. */
void divvy_core_sys_close(int *fd);

int divvy_core_sys_fstat(int fd, struct stat *ret_stat);

/* Does not follow a link in the last component when flags has AT_SYMLINK_NOFOLLOW. */
int divvy_core_sys_fstatat(int dirfd, const char *path, struct stat *ret_stat, int flags);
int divvy_core_sys_ftruncate(int fd, uint64_t size_bytes);

/*
 * Reads until size bytes, end of file or error; retries EINTR. Bytes read, or negative errno when
 * none was.
 */
ssize_t divvy_core_sys_read(int fd, void *buffer, size_t size_bytes);

/*
 * Reads a small file whole: at most size - 1 bytes, NUL added. Its length, or negative errno;
 * -EFBIG when it is longer.
 */
ssize_t divvy_core_sys_read_file(const char *path, char *buffer, size_t size_bytes);

/* Writes all of it unless an error comes first; retries EINTR. 0 or negative errno. */
int divvy_core_sys_write(int fd, const void *buffer, size_t size_bytes);

/* size bytes of randomness; 0, or -ENOSYS on kernels before 3.17. Never blocks after boot. */
int divvy_core_sys_getrandom(void *buffer, size_t size_bytes);

pid_t divvy_core_sys_gettid(void);
pid_t divvy_core_sys_getpid(void);

/*
 * Descriptor of a process; -ESRCH when it is gone, -ENOSYS on kernels before 5.3. Owned by the
 * caller.
 */
int divvy_core_sys_pidfd_open(pid_t pid);

/* A name in memory (MFD_CLOEXEC); -ENOSYS on kernels before 3.17. Owned by the caller. */
int divvy_core_sys_memfd_create(const char *name);

/*
 * Start time of a process in clock ticks since boot, as /proc/PID/stat has it: together with the
 * pid it identifies a process for as long as the machine is up. 0 = the calling process. -ESRCH
 * when there is no such process, -ENOENT when /proc is not mounted.
 */
int divvy_core_sys_start_time(pid_t pid, uint64_t *ret_ticks);

/*
 * Whether the process with this pid and start time is alive. A zombie counts as dead: it holds
 * nothing any more. When /proc cannot tell, a process that can be signalled (or may not be, EPERM)
 * counts as alive.
 */
bool divvy_core_sys_is_alive(pid_t pid, uint64_t start_ticks);

/* Inode number of a namespace of the calling process ("pid", "mnt", ...), or negative errno. */
int divvy_core_sys_namespace_id(const char *name, uint64_t *ret_inode);

/*
 * What went wrong, in words, for a negative errno as the functions above return it: "no space left". For one that has no
 * words here: "error". Constant; unlike strerror it never takes a lock, and does not speak the host program's language.
 */
const char *divvy_core_sys_error_text(int status);

#endif
