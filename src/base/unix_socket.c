/* Unix sockets: see unix_socket.h. */
#include "base/unix_socket.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int address_make(const char *path, struct sockaddr_un *ret_address, struct divvy_error *error) {
    size_t length = strlen(path);

    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (length == 0)
        return divvy_error_set(error, -EINVAL, "an empty path cannot be a unix socket");
    if (length >= sizeof ret_address->sun_path)
        return divvy_error_set(error, -ENAMETOOLONG, "%.100s... cannot be a unix socket: it has more than %zu characters", path,
                               sizeof ret_address->sun_path - 1);
    memcpy(ret_address->sun_path, path, length + 1);
    return 0;
}

/* 0 when the name is free now. */
static int name_clear(const struct sockaddr_un *address, struct divvy_error *error) {
    cleanup_close int fd = -1;
    struct stat found;

    if (lstat(address->sun_path, &found) < 0)
        return errno == ENOENT ? 0 : divvy_error_set_errno(error, -errno, "socket %s", address->sun_path);
    if (!S_ISSOCK(found.st_mode))
        return divvy_error_set(error, -ENOTSOCK, "%s is there and is no socket; remove it", address->sun_path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return divvy_error_set_errno(error, -errno, "cannot make a socket");
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 || errno != ECONNREFUSED)
        return divvy_error_set(error, -EADDRINUSE, "another server answers at %s", address->sun_path);
    return unlink(address->sun_path) < 0 && errno != ENOENT
               ? divvy_error_set_errno(error, -errno, "the left-over socket %s cannot be removed", address->sun_path)
               : 0;
}

int divvy_unix_listen(const char *path, mode_t mode, struct divvy_error *error) {
    struct sockaddr_un address;
    cleanup_close int fd = -1;
    int status = address_make(path, &address, error);

    if (status == 0)
        status = name_clear(&address, error);
    if (status < 0)
        return status;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return divvy_error_set_errno(error, -errno, "cannot make a socket");
    /* The name takes the mode of the socket, less the umask, which is the whole process' and is left alone. */
    if (fchmod(fd, mode & 0600) < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) < 0)
        return divvy_error_set_errno(error, -errno, "cannot listen on %s", address.sun_path);
    if (chmod(path, mode) == 0 && listen(fd, SOMAXCONN) == 0)
        return divvy_cleanup_keep(&fd);
    status = divvy_error_set_errno(error, -errno, "cannot listen on %s", address.sun_path);
    (void)unlink(path);
    return status;
}
