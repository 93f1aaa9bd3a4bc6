/*
 * Control pages: made whole under a temporary name and renamed, opened after every check that a foreign file must fail, leases
 * under a sequence lock.
 */
#include "page/control.h"

#include "core/futex.h"
#include "core/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define TEMPORARY           "control.new"
#define READ_TRIES          1000 /* a writer is in the middle of it for nanoseconds, unless it died there */
#define NAME_IS_WHOLE(name) (memchr((name), '\0', sizeof(name)) != NULL)

static int result_of(long result, int saved_errno) {
    int status = result < 0 ? -errno : (int)result;

    errno = saved_errno;
    return status;
}

int divvy_control_validate(const void *memory, size_t bytes) {
    const struct divvy_control *control = memory;

    if (bytes != sizeof *control || control->version != DIVVY_CONTROL_VERSION ||
        control->header_bytes != offsetof(struct divvy_control, devices) ||
        control->page_bytes != sizeof *control || control->magic != DIVVY_CONTROL_MAGIC ||
        control->device_count != DIVVY_PAGE_DEVICES ||
        control->device_bytes != sizeof control->devices[0])
        return -EPROTO;
    if (!NAME_IS_WHOLE(control->name) || !NAME_IS_WHOLE(control->pod) ||
        !NAME_IS_WHOLE(control->namespace))
        return -EPROTO;
    for (unsigned i = 0; i < DIVVY_PAGE_DEVICES; i++)
        if (control->devices[i].mode >= DIVVY_CONTROL_MODE_MAX ||
            control->devices[i].compute_permille > DIVVY_PAGE_PERMILLE_UNLIMITED)
            return -EPROTO;
    return 0;
}

static int map(int fd, bool writable, struct divvy_control **ret_control) {
    int saved = errno;
    void *memory = mmap(NULL, sizeof **ret_control, PROT_READ | (writable ? PROT_WRITE : 0),
                        MAP_SHARED, fd, 0);
    int status = memory == MAP_FAILED ? -errno : 0;

    errno = saved;
    if (status == 0)
        *ret_control = memory;
    return status;
}

void divvy_control_close(const struct divvy_control *control) {
    int saved = errno;

    if (control)
        (void)munmap((void *)(uintptr_t)control, sizeof *control);
    errno = saved;
}

/* --- the daemon ----------------------------------------------------------------------------------------------------- */

static void fill(struct divvy_control *control) {
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_REALTIME, &now);
    *control = (struct divvy_control){
        .version = DIVVY_CONTROL_VERSION,
        .header_bytes = (uint32_t)offsetof(struct divvy_control, devices),
        .page_bytes = sizeof *control,
        .magic = DIVVY_CONTROL_MAGIC,
        .device_count = DIVVY_PAGE_DEVICES,
        .device_bytes = sizeof control->devices[0],
        .created_ns = (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec,
    };
}

/* Blocks for the whole file, so that no later store meets a full file system. */
static int reserve(int fd) {
    int saved = errno;
    int status =
        result_of(syscall(SYS_fallocate, fd, 0, 0L, (long)sizeof(struct divvy_control)), saved);

    return status == -EOPNOTSUPP ? divvy_core_sys_ftruncate(fd, sizeof(struct divvy_control))
                                 : status;
}

int divvy_control_create(int folder_fd, struct divvy_control **ret_control, int *ret_fd) {
    struct divvy_control *control = NULL;
    int saved = errno, fd, status;

    (void)result_of(syscall(SYS_unlinkat, folder_fd, TEMPORARY, 0), saved);
    fd = divvy_core_sys_openat(folder_fd, TEMPORARY, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0644);
    if (fd < 0)
        return fd;
    status = result_of(syscall(SYS_fchmod, fd, 0644),
                       saved); /* whatever the umask is: tenants must read it */
    if (status == 0)
        status = reserve(fd);
    if (status == 0)
        status = result_of(syscall(SYS_flock, fd, LOCK_EX | LOCK_NB), saved);
    if (status == 0)
        status = map(fd, true, &control);
    if (status == 0) {
        fill(control);
        status = result_of(
            syscall(SYS_linkat, folder_fd, TEMPORARY, folder_fd, DIVVY_CONTROL_FILE, 0), saved);
    }
    (void)result_of(syscall(SYS_unlinkat, folder_fd, TEMPORARY, 0), saved);
    if (status < 0) {
        divvy_control_close(control);
        divvy_core_sys_close(&fd);
        return status;
    }
    *ret_control = control;
    *ret_fd = fd;
    return 0;
}

/* Of the effective user or, where allowed, root; written by nobody else; of the right length. */
static int file_check(int fd, bool may_be_roots) {
    struct stat status;
    int result = divvy_core_sys_fstat(fd, &status);

    if (result < 0)
        return result;
    if (!S_ISREG(status.st_mode) || (status.st_mode & 022) ||
        (uint64_t)status.st_size != sizeof(struct divvy_control))
        return -EPROTO;
    return status.st_uid == geteuid() || (may_be_roots && status.st_uid == 0) ? 0 : -EPROTO;
}

int divvy_control_adopt(int folder_fd, struct divvy_control **ret_control, int *ret_fd) {
    struct divvy_control *control = NULL;
    int saved = errno;
    int fd =
        divvy_core_sys_openat(folder_fd, DIVVY_CONTROL_FILE, O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0);
    int status;

    if (fd < 0)
        return fd == -ELOOP ? -EPROTO : fd;
    status = file_check(fd, false);
    if (status == 0)
        status = result_of(syscall(SYS_flock, fd, LOCK_EX | LOCK_NB), saved);
    if (status == 0)
        status = map(fd, true, &control);
    if (status == 0)
        status = divvy_control_validate(control, sizeof *control);
    if (status < 0) {
        divvy_control_close(control);
        divvy_core_sys_close(&fd);
        return status;
    }
    *ret_control = control;
    *ret_fd = fd;
    return 0;
}

void divvy_control_lease_write(struct divvy_control *control, unsigned device,
                               const struct divvy_control_lease *lease) {
    struct divvy_control_device *entry = &control->devices[device];
    uint32_t seq = __atomic_load_n(&entry->lease_seq, __ATOMIC_RELAXED) |
                   1; /* odd already: a writer died here */

    /* Every store of a field also keeps the one of the odd number before it, every load keeps the second look behind it. */
    __atomic_store_n(&entry->lease_seq, seq, __ATOMIC_RELAXED);
    __atomic_store_n(&entry->mode, lease->mode, __ATOMIC_RELEASE);
    __atomic_store_n(&entry->begin_ns, lease->begin_ns, __ATOMIC_RELEASE);
    __atomic_store_n(&entry->end_ns, lease->end_ns, __ATOMIC_RELEASE);
    __atomic_store_n(&entry->lease_id, lease->id, __ATOMIC_RELEASE);
    __atomic_store_n(&entry->budget_ns, lease->budget_ns, __ATOMIC_RELEASE);
    __atomic_store_n(&entry->lease_seq, seq + 1, __ATOMIC_SEQ_CST);
    (void)divvy_core_futex_wake(&entry->lease_seq, INT32_MAX, true);
}

/* --- the limiter ---------------------------------------------------------------------------------------------------- */

int divvy_control_open(const char *path, const struct divvy_control **ret_control) {
    struct divvy_control *control = NULL;
    int fd = divvy_core_sys_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    int status;

    if (fd < 0)
        return fd == -ELOOP ? -EPROTO : fd;
    status = file_check(fd, true);
    if (status == 0)
        status = map(fd, false, &control);
    divvy_core_sys_close(&fd);
    if (status == 0)
        status = divvy_control_validate(control, sizeof *control);
    if (status < 0) {
        divvy_control_close(control);
        return status;
    }
    *ret_control = control;
    return 0;
}

int divvy_control_device_find(const struct divvy_control *control, const uint8_t uuid[16]) {
    static const uint8_t zero[16];

    for (unsigned i = 0; i < DIVVY_PAGE_DEVICES && memcmp(uuid, zero, sizeof zero) != 0; i++)
        if (memcmp(&control->devices[i].uuid, uuid, sizeof control->devices[i].uuid) == 0)
            return (int)i;
    return -ENOENT;
}

bool divvy_control_lease_read(const struct divvy_control *control, unsigned device,
                              struct divvy_control_lease *ret_lease) {
    const struct divvy_control_device *entry = &control->devices[device];

    for (int tries = 0; tries < READ_TRIES; tries++) {
        uint32_t seq = __atomic_load_n(&entry->lease_seq, __ATOMIC_ACQUIRE);
        struct divvy_control_lease lease = {
            .seq = seq,
            .mode = __atomic_load_n(&entry->mode, __ATOMIC_ACQUIRE),
            .begin_ns = __atomic_load_n(&entry->begin_ns, __ATOMIC_ACQUIRE),
            .end_ns = __atomic_load_n(&entry->end_ns, __ATOMIC_ACQUIRE),
            .id = __atomic_load_n(&entry->lease_id, __ATOMIC_ACQUIRE),
            .budget_ns = __atomic_load_n(&entry->budget_ns, __ATOMIC_ACQUIRE),
        };

        if (!(seq & 1) && __atomic_load_n(&entry->lease_seq, __ATOMIC_RELAXED) == seq) {
            *ret_lease = lease;
            return true;
        }
    }
    return false;
}
