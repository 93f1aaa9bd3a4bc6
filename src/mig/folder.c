/* The folder of the lock files: see folder.h. */
#include "mig/folder.h"

#include "core/sys.h"
#include "mig/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER_MODE 0755

/* Makes the folder and what is missing above it. The mode is set afterwards: the umask may be stricter, and is not ours. */
static int folder_make(const char *path) {
    char part[DIVVY_MIG_FOLDER_BYTES];
    size_t length = strlen(path);

    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, FOLDER_MODE) == 0) {
            if (chmod(part, FOLDER_MODE) < 0)
                return -errno;
        } else if (errno != EEXIST) {
            return -errno;
        }
    }
    return 0;
}

static int folder_fail_open(const char *path, int status, struct divvy_mig_error *error) {
    struct stat found;

    if (lstat(path, &found) == 0 && S_ISLNK(found.st_mode))
        return divvy_mig_error_set(error, -ELOOP, "lock folder %s is a symbolic link; name the folder itself", path);
    if (status == -ENOTDIR)
        return divvy_mig_error_set(error, status, "lock folder %s, or a part of its path, is a file", path);
    return divvy_mig_error_set_errno(error, status, "lock folder %s", path);
}

int divvy_mig_folder_open(const char *path, bool create, struct divvy_mig_folder *ret_folder,
                          struct divvy_mig_error *error) {
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
    size_t length;
    int fd, status;

    path = path ? path : DIVVY_MIG_LOCK_DIR;
    length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    if (path[0] != '/' || length >= sizeof ret_folder->path)
        return divvy_mig_error_set(error, -EINVAL, "lock folder '%.200s': give an absolute path%s", path,
                                   path[0] == '/' ? " that is shorter" : "");
    *ret_folder = (struct divvy_mig_folder){.fd = -1};
    memcpy(ret_folder->path, path, length);
    fd = divvy_core_sys_open(ret_folder->path, flags, 0);
    if (fd == -ENOENT && create) {
        status = folder_make(ret_folder->path);
        if (status < 0)
            return divvy_mig_folder_fail(ret_folder, status, error);
        fd = divvy_core_sys_open(ret_folder->path, flags, 0);
    }
    if (fd < 0)
        return folder_fail_open(ret_folder->path, fd, error);
    ret_folder->fd = fd;
    return 0;
}

void divvy_mig_folder_close(struct divvy_mig_folder *folder) {
    divvy_core_sys_close(&folder->fd);
}

bool divvy_mig_folder_is_there(const struct divvy_mig_folder *folder) {
    struct stat open_one, named;

    return divvy_core_sys_fstat(folder->fd, &open_one) == 0 &&
           divvy_core_sys_fstatat(AT_FDCWD, folder->path, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           named.st_dev == open_one.st_dev && named.st_ino == open_one.st_ino;
}

int divvy_mig_folder_fail(const struct divvy_mig_folder *folder, int status, struct divvy_mig_error *error) {
    const char *path = folder->path;

    switch (status) {
    case -EACCES:
    case -EPERM:
        return divvy_mig_error_set(error, status,
                                   "lock folder %s is not writable by user %u; run: sudo mkdir -p %s && sudo chmod 755 %s, "
                                   "and start as root, or make it writable for a group of the users who reserve",
                                   path, (unsigned)geteuid(), path, path);
    case -EROFS:
        return divvy_mig_error_set(error, status, "lock folder %s is on a file system that is mounted read-only", path);
    case -ENOSPC:
    case -EDQUOT:
        return divvy_mig_error_set(error, status, "lock folder %s is on a file system that is full; free space there", path);
    default:
        return divvy_mig_error_set_errno(error, status, "lock folder %s", path);
    }
}

int divvy_mig_folder_name(const char *uuid, const char *prefix, const char *ending,
                          char ret_name[DIVVY_MIG_LOCK_NAME_BYTES]) {
    static const char digits[] = "0123456789ABCDEF";
    size_t length = strnlen(uuid, DIVVY_MIG_UUID_BYTES), at = strlen(prefix);

    if (length == 0 || length >= DIVVY_MIG_UUID_BYTES || uuid[0] == '.' || at + strlen(ending) >= 16)
        return -EINVAL;
    memcpy(ret_name, prefix, at);
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)uuid[i];

        if (byte <= ' ' || byte >= 0x7f)
            return -EINVAL;
        if (byte == '%' || byte == '/') {
            ret_name[at++] = '%';
            ret_name[at++] = digits[byte >> 4];
            ret_name[at++] = digits[byte & 15];
        } else {
            ret_name[at++] = (char)byte;
        }
    }
    memcpy(ret_name + at, ending, strlen(ending) + 1);
    return at + strlen(ending) < 255 ? 0 : -EINVAL; /* NAME_MAX */
}
