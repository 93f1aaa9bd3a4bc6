/* Lock files: see lock.h. */
#include "mig/lock.h"

#include "core/clock.h"
#include "core/sys.h"
#include "mig/error.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_MODE 0644
#define NEW_ENDING ".new"
/* Each round is one holder that came and went between two of our calls. */
#define ROUNDS_MAX 1000u
/*
 * By how much the start of a process, counted in ticks since boot, may seem to lie behind what it wrote a moment later: ts has
 * whole seconds, and the wall clock is steered.
 */
#define START_SLACK_NS (INT64_C(2) * 1000000000)

static int64_t clock_ns(clockid_t clock) {
    struct timespec now = {0};

    (void)clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* --- judging a file ----------------------------------------------------------------------------------------- */

/*
 * Whether the process that wrote this is alive, as far as can be told. /proc may hide processes of others (hidepid), which then
 * seem to be gone there; signals know better.
 */
static bool writer_is_alive(const struct divvy_mig_line *line) {
    int64_t started_ns;
    uint64_t ticks;

    if (kill(line->pid, 0) < 0 && errno == ESRCH)
        return false;
    if (divvy_core_sys_start_time(line->pid, &ticks) < 0)
        return true;
    if (!divvy_core_sys_is_alive(line->pid, ticks)) /* a zombie */
        return false;
    started_ns = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_BOOTTIME) +
                 (int64_t)(ticks * DIVVY_NS_PER_SECOND / (uint64_t)sysconf(_SC_CLK_TCK));
    return started_ns <= (line->realtime_s + 1) * 1000000000 + START_SLACK_NS;
}

/* Reads what the file says of its holder; true when it can be understood. */
static bool holder_read(int fd, const struct stat *file, struct divvy_mig_holder *ret_holder) {
    char text[DIVVY_MIG_LINE_BYTES * 2];
    ssize_t length = pread(fd, text, sizeof text, 0);
    struct divvy_mig_line line;

    *ret_holder = (struct divvy_mig_holder){
        .uid = file->st_uid,
        .heartbeat_age_ns = clock_ns(CLOCK_REALTIME) -
                            ((int64_t)file->st_mtim.tv_sec * 1000000000 + file->st_mtim.tv_nsec),
    };
    if (length < 0 || (size_t)length == sizeof text || divvy_mig_line_parse(text, (size_t)length, &line) < 0)
        return false;
    ret_holder->pid = line.pid;
    ret_holder->since_s = line.realtime_s;
    return true;
}

/* The state of a file whose lock nobody else has. */
static uint32_t holder_judge(const struct divvy_mig_folder *folder, const char *twin, const struct stat *file,
                             bool is_understood, int64_t ttl_ns, const struct divvy_mig_holder *holder) {
    struct divvy_mig_line line = {.pid = holder->pid, .realtime_s = holder->since_s};
    int64_t age_ns = holder->heartbeat_age_ns;
    struct stat second;

    if (divvy_core_sys_fstatat(folder->fd, twin, &second, AT_SYMLINK_NOFOLLOW) == 0 && second.st_dev == file->st_dev &&
        second.st_ino == file->st_ino)
        return DIVVY_MIG_DEAD;
    if (is_understood)
        return writer_is_alive(&line) ? DIVVY_MIG_NAMED : DIVVY_MIG_DEAD;
    /* A time in the future is no better than an old one: it would never pass. */
    return age_ns <= ttl_ns && age_ns >= -ttl_ns ? DIVVY_MIG_UNSURE : DIVVY_MIG_DEAD;
}

struct names {
    char lock[DIVVY_MIG_LOCK_NAME_BYTES];
    char twin[DIVVY_MIG_LOCK_NAME_BYTES];
};

static int names_make(const char *uuid, struct names *ret_names) {
    int status = divvy_mig_folder_name(uuid, "", ".lock", ret_names->lock);

    return status < 0 ? status : divvy_mig_folder_name(uuid, ".", ".flock", ret_names->twin);
}

static bool name_stands_for(const struct divvy_mig_folder *folder, const char *name, const struct stat *file) {
    struct stat named;

    return divvy_core_sys_fstatat(folder->fd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 && named.st_dev == file->st_dev &&
           named.st_ino == file->st_ino;
}

/*
 * Opens a lock file that is there, whatever it is. Reading is enough for the lock, and all that files of other users allow.
 * -EBADF: what has the name is no file.
 */
static int file_open(const struct divvy_mig_folder *folder, const char *name, struct stat *ret_file) {
    int fd = divvy_core_sys_openat(folder->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0), status;

    if (fd < 0)
        return fd == -ELOOP || fd == -ENXIO ? -EBADF : fd;
    status = divvy_core_sys_fstat(fd, ret_file);
    if (status == 0 && !S_ISREG(ret_file->st_mode))
        status = -EBADF;
    if (status < 0) {
        divvy_core_sys_close(&fd);
        return status;
    }
    return fd;
}

static int lock_try(int fd, int operation) {
    int status;

    do
        status = flock(fd, operation | LOCK_NB) < 0 ? -errno : 0;
    while (status == -EINTR);
    return status;
}

/* --- making a file ------------------------------------------------------------------------------------------ */

static int file_fill(int fd, const char *line) {
    size_t length = strlen(line);
    int status = lock_try(fd, LOCK_EX);

    if (status == 0 && fchmod(fd, LOCK_MODE) < 0) /* the umask may be stricter */
        status = -errno;
    return status < 0 ? status : divvy_core_sys_write(fd, line, length);
}

/* An unnamed file gets its name. */
static int file_name_unnamed(const struct divvy_mig_folder *folder, int fd, const char *name) {
    char path[64];

    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, path, folder->fd, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

static int file_make_unnamed(struct divvy_mig_folder *folder, const char *name, const char *line, int *ret_fd) {
    int fd = divvy_core_sys_openat(folder->fd, ".", O_TMPFILE | O_RDWR, LOCK_MODE), status;

    if (fd == -EOPNOTSUPP || fd == -EISDIR || fd == -ENOENT) {
        folder->without_tmpfile = true;
        return -EAGAIN;
    }
    if (fd < 0)
        return fd;
    status = file_fill(fd, line);
    if (status == 0)
        status = file_name_unnamed(folder, fd, name);
    if (status == -ENOENT) { /* no /proc */
        folder->without_tmpfile = true;
        status = -EAGAIN;
    }
    if (status < 0)
        divvy_core_sys_close(&fd);
    else
        *ret_fd = fd;
    return status;
}

static bool is_named_new(const char *name) {
    size_t length = strlen(name), ending = strlen(NEW_ENDING);

    return name[0] == '.' && length > ending && strcmp(name + length - ending, NEW_ENDING) == 0;
}

/* Files that the dead left before they had their names: those that nobody has locked. */
static void new_ones_remove(const struct divvy_mig_folder *folder) {
    int fd = divvy_core_sys_openat(folder->fd, ".", O_RDONLY | O_DIRECTORY, 0);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (!directory) {
        divvy_core_sys_close(&fd);
        return;
    }
    while ((entry = readdir(directory)) != NULL) {
        struct stat file;

        if (!is_named_new(entry->d_name))
            continue;
        fd = file_open(folder, entry->d_name, &file);
        if (fd >= 0 && lock_try(fd, LOCK_EX) == 0)
            (void)unlinkat(folder->fd, entry->d_name, 0);
        divvy_core_sys_close(&fd);
    }
    (void)closedir(directory);
}

/*
 * The same where files must have names: a death may leave one behind that nobody looks at, ".new" of its process and moment,
 * until the next one comes.
 */
static int file_make_named(const struct divvy_mig_folder *folder, const char *name, const char *line, int *ret_fd) {
    char first[64];
    int fd, status;

    new_ones_remove(folder);
    (void)snprintf(first, sizeof first, ".%d-%llx" NEW_ENDING, (int)getpid(), (unsigned long long)divvy_core_clock_ns());
    fd = divvy_core_sys_openat(folder->fd, first, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW, LOCK_MODE);
    if (fd < 0)
        return fd == -EEXIST ? -EAGAIN : fd;
    status = file_fill(fd, line);
    /* Not there: another one took it for a dead one's before it was locked. */
    if (status == 0 && linkat(folder->fd, first, folder->fd, name, 0) < 0)
        status = errno == ENOENT ? -EAGAIN : -errno;
    (void)unlinkat(folder->fd, first, 0);
    if (status < 0)
        divvy_core_sys_close(&fd);
    else
        *ret_fd = fd;
    return status;
}

/* A file of this name that says `line`, locked. -EEXIST: somebody was faster. */
static int file_make(struct divvy_mig_folder *folder, const char *name, const char *line, int *ret_fd) {
    int status = -EAGAIN;

    if (!folder->without_tmpfile)
        status = file_make_unnamed(folder, name, line, ret_fd);
    for (int tries = 0; status == -EAGAIN && tries < 3; tries++)
        status = file_make_named(folder, name, line, ret_fd);
    return status;
}

/* --- taking ------------------------------------------------------------------------------------------------- */

/*
 * Judges the file that has the name. 0: there is none (any more); -EBUSY: taken; -EAGAIN: it was exchanged meanwhile, look again;
 * others are errors.
 */
static int way_clear(const struct divvy_mig_folder *folder, const struct names *names, int64_t ttl_ns,
                     struct divvy_mig_holder *ret_holder) {
    struct stat file;
    bool is_understood;
    int fd = file_open(folder, names->lock, &file), status;

    if (fd == -ENOENT)
        return 0;
    if (fd == -EBADF || fd == -EACCES || fd == -EPERM) {
        *ret_holder = (struct divvy_mig_holder){.state = DIVVY_MIG_UNSURE};
        return -EBUSY;
    }
    if (fd < 0)
        return fd;
    status = lock_try(fd, LOCK_EX);
    is_understood = holder_read(fd, &file, ret_holder);
    if (status == -EWOULDBLOCK) {
        struct divvy_mig_line line = {.pid = ret_holder->pid, .realtime_s = ret_holder->since_s};

        ret_holder->state = DIVVY_MIG_HELD;
        ret_holder->reserved = !is_understood || !writer_is_alive(&line);
        status = -EBUSY;
    } else if (status == 0 && !name_stands_for(folder, names->lock, &file)) {
        status = -EAGAIN;
    } else if (status == 0) {
        ret_holder->state = holder_judge(folder, names->twin, &file, is_understood, ttl_ns, ret_holder);
        if (ret_holder->state != DIVVY_MIG_DEAD)
            status = -EBUSY;
        else if (unlinkat(folder->fd, names->lock, 0) < 0 && errno != ENOENT)
            status = errno == EPERM ? -EBUSY : -errno; /* another user's, in a folder with the sticky bit */
    }
    divvy_core_sys_close(&fd);
    return status;
}

/* The second name of a lock whose holder keeps the kernel's. Without it the lock is as good, but for other pid namespaces. */
static void twin_set(const struct divvy_mig_folder *folder, const struct names *names, bool is_kept) {
    (void)unlinkat(folder->fd, names->twin, 0);
    if (is_kept)
        (void)linkat(folder->fd, names->lock, folder->fd, names->twin, 0);
}

static int lock_fill(const struct divvy_mig_folder *folder, const struct names *names, const char *line, int fd,
                     struct divvy_mig_lock *ret_lock) {
    struct stat file;
    int status = divvy_core_sys_fstat(fd, &file);

    if (status < 0) {
        (void)unlinkat(folder->fd, names->lock, 0);
        return status;
    }
    *ret_lock = (struct divvy_mig_lock){.fd = fd, .device = file.st_dev, .inode = file.st_ino, .owner = getpid()};
    memcpy(ret_lock->name, names->lock, sizeof ret_lock->name);
    memcpy(ret_lock->twin, names->twin, sizeof ret_lock->twin);
    (void)snprintf(ret_lock->line, sizeof ret_lock->line, "%s", line);
    return 0;
}

int divvy_mig_lock_take(struct divvy_mig_folder *folder, const char *uuid, int64_t ttl_ns, pid_t holder_pid,
                        struct divvy_mig_lock *ret_lock, struct divvy_mig_holder *ret_holder,
                        struct divvy_mig_error *error) {
    struct names names;
    char text[DIVVY_MIG_LINE_BYTES];
    int fd = -1, status = names_make(uuid, &names);

    if (status < 0)
        return divvy_mig_error_set(error, status, "'%.100s' cannot be the UUID of a device", uuid);
    for (unsigned int round = 0; round < ROUNDS_MAX; round++) {
        const struct divvy_mig_line line = {.pid = holder_pid ? holder_pid : getpid(),
                                            .realtime_s = clock_ns(CLOCK_REALTIME) / 1000000000};

        status = way_clear(folder, &names, ttl_ns, ret_holder);
        if (status == -EBUSY)
            return status;
        if (status == 0) {
            (void)divvy_mig_line_format(&line, text);
            status = file_make(folder, names.lock, text, &fd);
        }
        if (status != -EEXIST && status != -EAGAIN)
            break;
    }
    if (status == -EEXIST || status == -EAGAIN) { /* others are at it all the time */
        *ret_holder = (struct divvy_mig_holder){.state = DIVVY_MIG_HELD, .reserved = 1};
        return -EBUSY;
    }
    if (status == 0) {
        twin_set(folder, &names, holder_pid == 0);
        status = lock_fill(folder, &names, text, fd, ret_lock);
        if (status < 0 || holder_pid != 0)
            divvy_core_sys_close(status < 0 ? &fd : &ret_lock->fd);
    }
    return status < 0 ? divvy_mig_folder_fail(folder, status, error) : 0;
}

/* --- keeping and giving back ---------------------------------------------------------------------------------- */

bool divvy_mig_lock_is_ours(const struct divvy_mig_folder *folder, const struct divvy_mig_lock *lock) {
    const struct stat file = {.st_dev = lock->device, .st_ino = lock->inode};

    return divvy_mig_folder_is_there(folder) && name_stands_for(folder, lock->name, &file);
}

int divvy_mig_lock_beat(const struct divvy_mig_folder *folder, const struct divvy_mig_lock *lock) {
    if (futimens(lock->fd, NULL) < 0)
        return -errno;
    return divvy_mig_lock_is_ours(folder, lock) ? 0 : -ESTALE;
}

static bool says_what_we_wrote(const struct divvy_mig_lock *lock) {
    char text[DIVVY_MIG_LINE_BYTES];
    size_t length = strlen(lock->line);

    return pread(lock->fd, text, sizeof text, 0) == (ssize_t)length && memcmp(text, lock->line, length) == 0;
}

int divvy_mig_lock_release(const struct divvy_mig_folder *folder, struct divvy_mig_lock *lock) {
    int status = 0;

    if (lock->owner != getpid()) {
        status = -EPERM;
    } else if (!divvy_mig_lock_is_ours(folder, lock) || !says_what_we_wrote(lock)) {
        status = -ESTALE;
    } else {
        /* The second name first: nobody else makes one while our lock has the first. */
        (void)unlinkat(folder->fd, lock->twin, 0);
        if (unlinkat(folder->fd, lock->name, 0) < 0)
            status = -errno;
    }
    /*
     * The child may have a duplicate: the lock is let go for all of them where it is ours to let go. A lock that was kept
     * behind an unlinked name would do no harm.
     */
    divvy_core_sys_close(&lock->fd);
    return status;
}

int divvy_mig_lock_remove_for(struct divvy_mig_folder *folder, const char *uuid, pid_t holder_pid,
                              struct divvy_mig_holder *ret_holder) {
    struct names names;
    struct stat file;
    int fd, status = names_make(uuid, &names);

    if (status < 0)
        return status;
    fd = file_open(folder, names.lock, &file);
    if (fd < 0)
        return fd;
    status = lock_try(fd, LOCK_EX);
    if (status == -EWOULDBLOCK)
        status = -EBUSY;
    if (!holder_read(fd, &file, ret_holder) && status == 0)
        status = -EPERM;
    if (status == 0 && !name_stands_for(folder, names.lock, &file))
        status = -ENOENT;
    if (status == 0 && ret_holder->pid != holder_pid)
        status = -EPERM;
    if (status == 0 && unlinkat(folder->fd, names.lock, 0) < 0)
        status = -errno;
    divvy_core_sys_close(&fd);
    return status;
}

/* One look. -EAGAIN: the file was exchanged meanwhile. */
static int look_once(const struct divvy_mig_folder *folder, const struct names *names, int64_t ttl_ns,
                     struct divvy_mig_holder *ret_holder) {
    struct stat file;
    bool is_understood;
    int fd = file_open(folder, names->lock, &file), status;

    *ret_holder = (struct divvy_mig_holder){.state = DIVVY_MIG_FREE};
    if (fd == -ENOENT)
        return 0;
    if (fd == -EBADF || fd == -EACCES) {
        ret_holder->state = DIVVY_MIG_UNSURE;
        return 0;
    }
    if (fd < 0)
        return fd;
    status = lock_try(fd, LOCK_SH);
    is_understood = holder_read(fd, &file, ret_holder);
    if (status == -EWOULDBLOCK) {
        ret_holder->state = DIVVY_MIG_HELD;
        status = 0;
    } else if (status == 0) {
        ret_holder->state = holder_judge(folder, names->twin, &file, is_understood, ttl_ns, ret_holder);
    }
    if (status == 0 && !name_stands_for(folder, names->lock, &file))
        status = -EAGAIN;
    divvy_core_sys_close(&fd);
    return status;
}

int divvy_mig_lock_look(const struct divvy_mig_folder *folder, const char *uuid, int64_t ttl_ns,
                        struct divvy_mig_holder *ret_holder) {
    struct divvy_mig_holder holder = {0};
    struct names names;
    int status = names_make(uuid, &names);

    if (status < 0)
        return status;
    status = -EAGAIN;
    for (unsigned int round = 0; status == -EAGAIN && round < ROUNDS_MAX; round++)
        status = look_once(folder, &names, ttl_ns, &holder);
    if (status < 0 && status != -EAGAIN)
        return status;
    if (status == -EAGAIN) /* it goes from hand to hand */
        holder.state = DIVVY_MIG_HELD;
    *ret_holder = holder;
    return 0;
}
