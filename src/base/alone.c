/* The folder of a running tenant that no daemon knows: see alone.h. */
#include "base/alone.h"

#include "base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define USAGE_PAGE_NAME "usage" /* each attached process holds a shared lock on it (page/page.h) */

/*
 * Opens a folder of ours inside `at`, made with this mode when missing. -EPERM when others have
 * rights to it that are in `refused`.
 */
static int folder_open(int at, const char *name, mode_t mode, mode_t refused) {
    struct stat status;
    int fd;

    if (mkdirat(at, name, mode) < 0 && errno != EEXIST)
        return -errno;
    fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &status) < 0 || status.st_uid != geteuid() || (status.st_mode & refused)) {
        divvy_cleanup_close(&fd);
        return -EPERM;
    }
    return fd;
}

/* The folder of tenants below parent/name, and its path. */
static int base_open_in(const char *parent, const char *name, char *ret_path) {
    cleanup_close int parent_fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_close int divvy_fd = -1;

    if (parent_fd < 0)
        return -errno;
    /* Everybody has to reach the socket of root's daemon there. */
    divvy_fd = folder_open(parent_fd, name, geteuid() == 0 ? 0755 : 0700, 0022);
    if (divvy_fd < 0)
        return divvy_fd;
    if (snprintf(ret_path, PATH_MAX, "%s/%s/alone", parent, name) >=
        PATH_MAX - DIVVY_ERROR_TEXT_BYTES)
        return -ENAMETOOLONG;
    return folder_open(divvy_fd, "alone", 0700, 0077);
}

static int base_open(char *ret_path, struct divvy_error *error) {
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    char own[32];
    int fd = -ENOENT;

    if (runtime && runtime[0] == '/')
        fd = base_open_in(runtime, "divvy", ret_path);
    if (fd < 0 && geteuid() == 0)
        fd = base_open_in("/run", "divvy", ret_path);
    if (fd < 0) {
        (void)snprintf(own, sizeof own, "divvy-%u", (unsigned int)geteuid());
        fd = base_open_in("/dev/shm", own, ret_path);
    }
    if (fd >= 0)
        return fd;
    return divvy_error_set_errno(
        error, fd, "no folder for tenants can be made in $XDG_RUNTIME_DIR or in /dev/shm");
}

int divvy_alone_base_find(char *ret_path, struct divvy_error *error) {
    cleanup_close int fd = base_open(ret_path, error);

    return fd < 0 ? fd : 0;
}

/* Whether a process of a tenant whose divvy run is gone still uses its page. */
static bool page_in_use(int folder_fd) {
    cleanup_close int fd = openat(folder_fd, USAGE_PAGE_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

static void folder_empty(int folder_fd) {
    int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_closedir DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!folder) {
        divvy_cleanup_close(&fd);
        return;
    }
    while ((entry = readdir(folder)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            (void)unlinkat(folder_fd, entry->d_name, 0);
}

/*
 * Opens and locks one tenant's folder. -EBUSY: its tenant lives. -EAGAIN: it was removed while we
 * waited for nothing; the folder behind the descriptor is no longer the one behind the name.
 */
static int folder_lock(int base_fd, const char *name, bool make) {
    struct stat ours, named;
    int fd;

    if (make)
        fd = folder_open(base_fd, name, 0700, 0077);
    else if ((fd = openat(base_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
        fd = -errno;
    if (fd < 0)
        return fd;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0 || page_in_use(fd)) {
        divvy_cleanup_close(&fd);
        return -EBUSY;
    }
    if (fstat(fd, &ours) < 0 || fstatat(base_fd, name, &named, AT_SYMLINK_NOFOLLOW) < 0 ||
        ours.st_ino != named.st_ino) {
        divvy_cleanup_close(&fd);
        return -EAGAIN;
    }
    return fd;
}

/*
 * Removes what tenants left whose divvy run was killed together with everything that it had
 * started.
 */
static void leftovers_remove(int base_fd) {
    int fd = openat(base_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_closedir DIR *base = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!base) {
        divvy_cleanup_close(&fd);
        return;
    }
    while ((entry = readdir(base))) {
        cleanup_close int folder_fd = -1;

        if (entry->d_name[0] == '.')
            continue;
        folder_fd = folder_lock(base_fd, entry->d_name, false);
        if (folder_fd < 0)
            continue;
        folder_empty(folder_fd);
        (void)unlinkat(base_fd, entry->d_name, AT_REMOVEDIR);
    }
}

int divvy_alone_open(const char *name, struct divvy_alone *ret_tenant,
                          struct divvy_error *error) {
    struct divvy_alone tenant = {.fd = -1, .base_fd = -1};
    size_t length;

    tenant.base_fd = base_open(tenant.path, error);
    if (tenant.base_fd < 0)
        return tenant.base_fd;
    /*
     * One at a time: otherwise another's search for leftovers could lock or remove the folder
     * between its making and our lock. Not getting the lock would only bring that race back.
     */
    (void)flock(tenant.base_fd, LOCK_EX);
    leftovers_remove(tenant.base_fd);
    for (int tries = 0; tries < 100; tries++) {
        tenant.fd = folder_lock(tenant.base_fd, name, true);
        if (tenant.fd != -EAGAIN && tenant.fd != -ENOENT)
            break;
    }
    (void)flock(tenant.base_fd, LOCK_UN);
    if (tenant.fd < 0) {
        int status = tenant.fd;

        divvy_cleanup_close(&tenant.base_fd);
        if (status == -EBUSY)
            return divvy_error_set(
                error, status,
                "a tenant named '%s' is running; give another --name, or wait for it", name);
        return divvy_error_set_errno(error, status, "cannot make the tenant's folder %.150s/%s",
                                     tenant.path, name);
    }
    folder_empty(tenant.fd);
    length = strlen(tenant.path);
    (void)snprintf(tenant.path + length, sizeof tenant.path - length, "/%s", name);
    (void)snprintf(tenant.name, sizeof tenant.name, "%s", name);
    *ret_tenant = tenant;
    return 0;
}

void divvy_alone_remove(struct divvy_alone *tenant) {
    if (tenant->fd >= 0) {
        folder_empty(tenant->fd);
        (void)unlinkat(tenant->base_fd, tenant->name, AT_REMOVEDIR);
    }
    divvy_cleanup_close(&tenant->fd);
    divvy_cleanup_close(&tenant->base_fd);
}
