/* Links from slots to tenants: see links.h. */
#include "plugin/links.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define FRESH ".fresh" /* only one thread makes links */

int divvy_plugin_links_open(const char *path, struct divvy_error *error) {
    int fd;

    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        return divvy_error_set_errno(error, -errno, "cannot make the folder %.180s", path);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? divvy_error_set_errno(error, -errno, "the folder %.180s", path) : fd;
}

int divvy_plugin_link_set(int folder_fd, const char *name, const char *target) {
    (void)unlinkat(folder_fd, FRESH, 0);
    if (symlinkat(target, folder_fd, FRESH) < 0)
        return -errno;
    if (renameat(folder_fd, FRESH, folder_fd, name) == 0)
        return 0;
    if ((errno == EISDIR || errno == ENOTDIR || errno == EEXIST) && unlinkat(folder_fd, name, AT_REMOVEDIR) == 0 &&
        renameat(folder_fd, FRESH, folder_fd, name) == 0)
        return 0;
    return -errno;
}

int divvy_plugin_link_read(int folder_fd, const char *name, char *ret_target, size_t size_bytes) {
    ssize_t length = readlinkat(folder_fd, name, ret_target, size_bytes);

    if (length < 0)
        return -errno;
    if ((size_t)length == size_bytes)
        return -ENAMETOOLONG;
    ret_target[length] = '\0';
    return 0;
}

void divvy_plugin_link_remove(int folder_fd, const char *name) {
    (void)unlinkat(folder_fd, name, 0);
}
