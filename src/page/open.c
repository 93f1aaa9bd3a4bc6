/*
 * Page files: made whole under a temporary name and linked to their own; attached after every check
 * that a foreign or cut file must fail; removed when nobody holds them.
 */
#include "core/clock.h"
#include "core/sys.h"
#include "core/text.h"
#include "page/page.h"
#include "page/word.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PATH_BYTES 1024
#define OPEN_TRIES 64 /* of the race against a sweeper that removes the file just opened */

static int system_call_result(long result, int saved_errno) {
    int status = result < 0 ? -errno : (int)result;

    errno = saved_errno;
    return status;
}

static int file_lock(int fd, int operation) {
    int saved = errno;

    return system_call_result(syscall(SYS_flock, fd, operation), saved);
}

static int file_unlink(int folder, const char *name) {
    int saved = errno;

    return system_call_result(syscall(SYS_unlinkat, folder, name, 0), saved);
}

static int file_link(const char *from, const char *to) {
    int saved = errno;

    return system_call_result(syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0), saved);
}

/* Blocks for the whole file, so that no later store meets a full file system. */
static int file_reserve(int fd, uint64_t bytes) {
    int saved = errno;
    int status = system_call_result(syscall(SYS_fallocate, fd, 0, 0L, (long)bytes), saved);

    return status == -EOPNOTSUPP ? divvy_core_sys_ftruncate(fd, bytes) : status;
}

static int map(int fd, bool writable, struct divvy_page **ret_page) {
    int saved = errno;
    int flags = fd >= 0 ? MAP_SHARED : MAP_SHARED | MAP_ANONYMOUS;
    void *memory = mmap(NULL, sizeof(struct divvy_page), PROT_READ | (writable ? PROT_WRITE : 0),
                        flags, fd, 0);
    int status = memory == MAP_FAILED ? -errno : 0;

    errno = saved;
    if (status == 0)
        *ret_page = memory;
    return status;
}

static void fill(struct divvy_page *page, const char *tenant, uint64_t tenant_hash) {
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_REALTIME, &now);
    page->version = DIVVY_PAGE_VERSION;
    page->header_bytes = (uint32_t)offsetof(struct divvy_page, devices);
    page->page_bytes = sizeof *page;
    page->magic = DIVVY_PAGE_MAGIC;
    page->device_count = DIVVY_PAGE_DEVICES;
    page->device_bytes = sizeof page->devices[0];
    page->slot_count = DIVVY_PAGE_SLOTS;
    page->slot_bytes = sizeof page->slots[0];
    page->created_ns = (uint64_t)now.tv_sec * DIVVY_NS_PER_SECOND + (uint64_t)now.tv_nsec;
    page->tenant_hash = tenant_hash;
    if (tenant)
        strncpy(page->tenant, tenant, sizeof page->tenant - 1);
}

int divvy_page_validate(const void *memory, size_t bytes) {
    const struct divvy_page *page = memory;

    if (bytes != sizeof *page || page->version != DIVVY_PAGE_VERSION ||
        page->header_bytes != offsetof(struct divvy_page, devices) ||
        page->page_bytes != sizeof *page || page->magic != DIVVY_PAGE_MAGIC ||
        page->device_count != DIVVY_PAGE_DEVICES || page->device_bytes != sizeof page->devices[0] ||
        page->slot_count != DIVVY_PAGE_SLOTS || page->slot_bytes != sizeof page->slots[0] ||
        page->tenant[sizeof page->tenant - 1] != '\0')
        return -EPROTO;
    return 0;
}

/*
 * Only a regular file of this user that others cannot write, of exactly the right length. The
 * header is read by pread first: mapping comes when the file is known to be a page.
 */
static int file_check(int fd, bool any_owner) {
    struct divvy_page header;
    struct stat status;
    size_t fixed = offsetof(struct divvy_page, devices);
    int saved = errno;
    int result = divvy_core_sys_fstat(fd, &status);

    if (result < 0)
        return result;
    if (!S_ISREG(status.st_mode) || (uint64_t)status.st_size != sizeof(struct divvy_page))
        return -EPROTO;
    if (!any_owner && (status.st_uid != geteuid() || (status.st_mode & 022) != 0))
        return -EPROTO;
    memset(&header, 0, fixed);
    result = system_call_result(syscall(SYS_pread64, fd, &header, fixed, 0L), saved);
    if (result < 0)
        return result;
    return (size_t)result == fixed ? divvy_page_validate(&header, sizeof(struct divvy_page))
                                   : -EPROTO;
}

static bool is_linked(int fd) {
    struct stat status;

    return divvy_core_sys_fstat(fd, &status) == 0 && status.st_nlink > 0;
}

/* 0: attached. -EAGAIN: the file was removed meanwhile. */
static int attach(const char *path, struct divvy_page **ret_page, int *ret_fd) {
    int fd = divvy_core_sys_open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0);
    int status;

    if (fd < 0)
        return fd == -ELOOP ? -EPROTO : fd;
    status = file_check(fd, false);
    if (status == 0)
        status = file_lock(fd, LOCK_SH | LOCK_NB);
    if (status == -EWOULDBLOCK || (status == 0 && !is_linked(fd)))
        status = -EAGAIN;
    if (status == 0)
        status = map(fd, true, ret_page);
    if (status < 0) {
        divvy_core_sys_close(&fd);
        return status;
    }
    *ret_fd = fd;
    return 0;
}

/* 0: created, or somebody was faster. */
static int create(const char *path, const char *tenant, uint64_t tenant_hash) {
    char temporary[PATH_BYTES];
    divvy_core_text_t text;
    struct divvy_page *page;
    int fd, status;

    divvy_core_text_init(&text, temporary, sizeof temporary);
    divvy_core_text_format(&text, "%s.%d.%llx.new", path, (int)divvy_core_sys_gettid(),
                           (unsigned long long)divvy_core_clock_ns());
    if (text.is_cut)
        return -ENAMETOOLONG;
    fd = divvy_core_sys_open(temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fd;
    status = file_reserve(fd, sizeof *page);
    if (status == 0)
        status = map(fd, true, &page);
    if (status == 0) {
        fill(page, tenant, tenant_hash);
        divvy_page_close(page);
        status = file_link(temporary, path);
    }
    (void)file_unlink(AT_FDCWD, temporary);
    divvy_core_sys_close(&fd);
    return status == -EEXIST ? 0 : status;
}

static void pause_1ms(void) {
    struct timespec duration = {.tv_nsec = 1000000};
    int saved = errno;

    (void)syscall(SYS_nanosleep, &duration, NULL);
    errno = saved;
}

int divvy_page_open(const char *path, const char *tenant, uint64_t tenant_hash,
                    struct divvy_page **ret_page, int *ret_fd) {
    int status = -EAGAIN;

    for (int tries = 0; tries < OPEN_TRIES && status == -EAGAIN; tries++) {
        if (tries > 8)
            pause_1ms();
        status = attach(path, ret_page, ret_fd);
        if (status == -ENOENT) {
            status = create(path, tenant, tenant_hash);
            status = status == 0 ? -EAGAIN : status;
        }
    }
    return status;
}

int divvy_page_open_anonymous(const char *tenant, uint64_t tenant_hash,
                              struct divvy_page **ret_page) {
    struct divvy_page *page = NULL;
    int status = map(-1, true, &page);

    if (status < 0)
        return status;
    fill(page, tenant, tenant_hash);
    *ret_page = page;
    return 0;
}

int divvy_page_open_readonly(const char *path, const struct divvy_page **ret_page) {
    int fd = divvy_core_sys_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    struct divvy_page *page = NULL;
    int status;

    if (fd < 0)
        return fd == -ELOOP ? -EPROTO : fd;
    status = file_check(fd, true);
    if (status == 0)
        status = map(fd, false, &page);
    divvy_core_sys_close(&fd);
    if (status == 0)
        *ret_page = page;
    return status;
}

void divvy_page_close(const struct divvy_page *page) {
    int saved = errno;

    if (page)
        (void)munmap((void *)(uintptr_t)page, sizeof *page);
    errno = saved;
}

/* Whether any process of the page lives, for a page whose lock was lost by a program that closes
 * all descriptors. */
static bool any_alive(const struct divvy_page *page, const struct divvy_page_identity *self) {
    for (unsigned index = 0; index < DIVVY_PAGE_SLOTS; index++) {
        struct divvy_page_word owner = divvy_page_word_load(&page->slots[index].owner);
        struct divvy_page_identity identity = {.pid = (uint32_t)owner.low,
                                               .pidns = (uint32_t)(owner.low >> 32),
                                               .start_ticks = owner.high >> 2};

        /* Of processes in other pid namespaces nothing can be known: there the lock alone counts.
         */
        if ((owner.low | owner.high) != 0 && identity.pidns == self->pidns &&
            divvy_page_identity_alive(&identity, self))
            return true;
    }
    return false;
}

/* Whether the page at folder/name was idle and has been removed. */
static bool sweep_one(int folder, const char *name, const struct divvy_page_identity *self) {
    int fd = divvy_core_sys_openat(folder, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0);
    struct divvy_page *page = NULL;
    bool removed = false;

    if (fd < 0)
        return false;
    /* The lock first: most files are in use. */
    if (file_lock(fd, LOCK_EX | LOCK_NB) == 0 && file_check(fd, false) == 0 && is_linked(fd) &&
        map(fd, true, &page) == 0)
        removed = !any_alive(page, self) && file_unlink(folder, name) == 0;
    divvy_page_close(page);
    divvy_core_sys_close(&fd);
    return removed;
}

/* What the kernel's getdents64 returns. */
struct folder_entry {
    uint64_t inode;
    int64_t offset;
    uint16_t bytes;
    uint8_t type;
    char name[];
};

int divvy_page_sweep(const char *folder, const struct divvy_page_identity *self) {
    char buffer[4096] __attribute__((aligned(8)));
    int saved = errno;
    int fd = divvy_core_sys_open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    int removed = 0;
    long length;

    if (fd < 0)
        return fd;
    while ((length = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0) {
        for (long at = 0; at < length;) {
            const struct folder_entry *entry = (const void *)(buffer + at);

            at += entry->bytes;
            if (entry->name[0] != '.')
                removed += sweep_one(fd, entry->name, self);
        }
    }
    errno = saved;
    divvy_core_sys_close(&fd);
    return removed;
}
