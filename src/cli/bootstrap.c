/* Libraries for containers: see bootstrap.h. */
#include "cli/bootstrap.h"

#include "base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PRELOAD_FILE "ld.so.preload"
#define SEARCH_FILE  "zz_tensor-fusion.conf" /* behind what else a distribution has there */
#define COPY_BYTES   65536u

int divvy_cli_bootstrap_path_check(const char *path, struct divvy_error *error) {
    if (path[0] != '/' || strpbrk(path, " \t\n\r:$") || strlen(path) > 200)
        return divvy_error_set(error, -EINVAL,
                               "'%.80s' cannot stand in ld.so.preload: give an absolute path without blanks, ':' and '$'", path);
    return 0;
}

/* --- files ---------------------------------------------------------------------------------------------------------- */

struct folder {
    const char *path;
    int fd; /* its lock as well */
};

static int folder_open(const char *path, struct folder *ret_folder, struct divvy_error *error) {
    cleanup_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return divvy_error_set_errno(error, -errno, "folder %.150s", path);
    while (flock(fd, LOCK_EX) < 0)
        if (errno != EINTR)
            return divvy_error_set_errno(error, -errno, "folder %.150s", path);
    *ret_folder = (struct folder){path, divvy_cleanup_keep(&fd)};
    return 0;
}

static int file_fail(const struct folder *folder, const char *name, int status, struct divvy_error *error) {
    return divvy_error_set_errno(error, status, "%.120s/%.60s", folder->path, name);
}

/* Under another name first; what a run that was killed has left under it is in nobody's use. */
static int file_begin(const struct folder *folder, const char *name, char ret_new[80]) {
    int fd;

    (void)snprintf(ret_new, 80, ".%.64s.new", name);
    (void)unlinkat(folder->fd, ret_new, 0);
    fd = openat(folder->fd, ret_new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd < 0 ? -errno : fd;
}

static int file_end(const struct folder *folder, int fd, const char *new_name, const char *name, mode_t mode, int status) {
    if (status == 0 && (fchmod(fd, mode) < 0 || renameat(folder->fd, new_name, folder->fd, name) < 0))
        status = -errno;
    if (status < 0)
        (void)unlinkat(folder->fd, new_name, 0);
    return status;
}

static int bytes_write(int fd, const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t written = write(fd, bytes, length);

        if (written < 0 && errno != EINTR)
            return -errno;
        if (written > 0) {
            bytes += written;
            length -= (size_t)written;
        }
    }
    return 0;
}

static int bytes_copy(int from, int to) {
    static char buffer[COPY_BYTES];

    for (;;) {
        ssize_t length = read(from, buffer, sizeof buffer);
        int status;

        if (length == 0)
            return 0;
        if (length < 0 && errno != EINTR)
            return -errno;
        if (length > 0 && (status = bytes_write(to, buffer, (size_t)length)) < 0)
            return status;
    }
}

static int text_put(const struct folder *folder, const char *name, const char *text, struct divvy_error *error) {
    char new_name[80];
    cleanup_close int fd = file_begin(folder, name, new_name);
    int status = fd < 0 ? fd : bytes_write(fd, text, strlen(text));

    if (fd >= 0)
        status = file_end(folder, fd, new_name, name, 0644, status);
    return status < 0 ? file_fail(folder, name, status, error) : 0;
}

static int file_copy(const struct folder *folder, const char *from_path, const char *name, struct divvy_cli_bootstrap_done *done,
                     struct divvy_error *error) {
    cleanup_close int from = open(from_path, O_RDONLY | O_CLOEXEC), fd = -1;
    char new_name[80];
    int status;

    if (from < 0)
        return divvy_error_set_errno(error, -errno, "%.200s", from_path);
    fd = file_begin(folder, name, new_name);
    status = fd < 0 ? fd : bytes_copy(from, fd);
    if (fd >= 0)
        status = file_end(folder, fd, new_name, name, 0755, status);
    if (status < 0)
        return file_fail(folder, name, status, error);
    if (done->copied < DIVVY_CLI_BOOTSTRAP_FILES)
        (void)snprintf(done->copied_names[done->copied++], sizeof done->copied_names[0], "%s", name);
    return 0;
}

/* NAME.so.1 beside NAME.so: what programs are linked with. */
static int link_put(const struct folder *folder, const char *name, struct divvy_error *error) {
    char link_name[72], new_name[80];
    int status = 0;

    (void)snprintf(link_name, sizeof link_name, "%.64s.1", name);
    (void)snprintf(new_name, sizeof new_name, ".%.70s.new", link_name);
    (void)unlinkat(folder->fd, new_name, 0);
    if (symlinkat(name, folder->fd, new_name) < 0 || renameat(folder->fd, new_name, folder->fd, link_name) < 0)
        status = -errno;
    return status < 0 ? file_fail(folder, link_name, status, error) : 0;
}

/* --- what goes where -------------------------------------------------------------------------------------------------- */

static bool is_library(const char *name) {
    size_t length = strlen(name);

    return length > 6 && length < 60 && strncmp(name, "lib", 3) == 0 && strcmp(name + length - 3, ".so") == 0;
}

static int library_put(const struct folder *to, const char *from_dir, const char *name, struct divvy_cli_bootstrap_done *done,
                       struct divvy_error *error) {
    char path[PATH_MAX];

    (void)snprintf(path, sizeof path, "%.3000s/%.64s", from_dir, name);
    if (file_copy(to, path, name, done, error) < 0 || link_put(to, name, error) < 0)
        return error->status;
    return 0;
}

/* The stand-ins for the driver, of a client whose GPU is elsewhere: all there are. */
static int client_put(const struct folder *to, const struct divvy_cli_bootstrap *bootstrap, struct divvy_cli_bootstrap_done *done,
                      struct divvy_error *error) {
    char from_dir[PATH_MAX];
    cleanup_closedir DIR *folder = NULL;
    const struct dirent *entry;
    bool has_driver = false;

    (void)snprintf(from_dir, sizeof from_dir, "%.3000s/client", bootstrap->libraries_dir);
    folder = opendir(from_dir);
    while (folder && (entry = readdir(folder)) != NULL) {
        if (!is_library(entry->d_name))
            continue;
        if (library_put(to, from_dir, entry->d_name, done, error) < 0)
            return error->status;
        has_driver = has_driver || strcmp(entry->d_name, "libcuda.so") == 0;
    }
    if (!has_driver)
        return divvy_error_set(error, -ENOENT, "no GPU client library is installed: there is no %.150s/libcuda.so", from_dir);
    return 0;
}

static bool was_copied(const struct divvy_cli_bootstrap_done *done, const char *name) {
    for (unsigned int i = 0; i < done->copied; i++)
        if (strcmp(done->copied_names[i], name) == 0)
            return true;
    return false;
}

static int preload_put(const struct folder *config, const struct divvy_cli_bootstrap *bootstrap,
                       struct divvy_cli_bootstrap_done *done, struct divvy_error *error) {
    static const char *const order[] = {"libadd_path.so", "libcuda_limiter.so", "libcuda.so", "libnvidia-ml.so"};
    char text[4 * 300] = "", line[300];
    size_t length = 0;

    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        if (!was_copied(done, order[i]))
            continue;
        (void)snprintf(done->preloaded_names[done->preloaded++], sizeof done->preloaded_names[0], "%s", order[i]);
        length += (size_t)snprintf(text + length, sizeof text - length, "%s/%s\n", bootstrap->as_path, order[i]);
    }
    (void)snprintf(line, sizeof line, "%s\n", bootstrap->as_path);
    if (text_put(config, SEARCH_FILE, line, error) < 0 || text_put(config, PRELOAD_FILE, text, error) < 0)
        return error->status;
    return 0;
}

int divvy_cli_bootstrap_run(const struct divvy_cli_bootstrap *bootstrap, struct divvy_cli_bootstrap_done *ret_done,
                            struct divvy_error *error) {
    struct folder to = {.fd = -1}, config = {.fd = -1};
    struct divvy_cli_bootstrap_done *done = ret_done;
    struct stat one, other;
    int status;

    *done = (struct divvy_cli_bootstrap_done){0};
    status = divvy_cli_bootstrap_path_check(bootstrap->as_path, error);
    if (status == 0)
        status = folder_open(bootstrap->to_dir, &to, error);
    /* One folder for both is one lock. */
    if (status == 0 && fstat(to.fd, &one) == 0 && stat(bootstrap->config_dir, &other) == 0 && one.st_dev == other.st_dev &&
        one.st_ino == other.st_ino)
        config = to;
    else if (status == 0)
        status = folder_open(bootstrap->config_dir, &config, error);
    if (status == 0)
        status = library_put(&to, bootstrap->libraries_dir, "libadd_path.so", done, error);
    if (status == 0 && bootstrap->is_remote)
        status = client_put(&to, bootstrap, done, error);
    else if (status == 0 && bootstrap->has_limiter)
        status = library_put(&to, bootstrap->libraries_dir, "libcuda_limiter.so", done, error);
    if (status == 0 && bootstrap->nvidia_smi)
        status = file_copy(&to, bootstrap->nvidia_smi, "nvidia-smi", done, error);
    if (status == 0)
        status = preload_put(&config, bootstrap, done, error);
    if (config.fd != to.fd)
        divvy_cleanup_close(&config.fd);
    divvy_cleanup_close(&to.fd);
    return status;
}
