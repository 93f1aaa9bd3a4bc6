/* Finding the installation: see install.h. */
#include "base/install.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Relative to the folder of the program; the first that exists is taken. */
static const char *const limiter_places[] = {"../lib/libcuda_limiter.so",
                                             "../lib/divvy/libcuda_limiter.so"};
static const char *const simulated_places[] = {"../lib/simgpu", "../lib/divvy/simgpu"};

static const char *const daemon_places[] = {"divvyd", "../sbin/divvyd"};

static const char *const runner_places[] = {"divvy-runner"};

/* An absolute path without "..", if `folder`/`place`/`file` can be read; else empty. */
static void place_find(const char *folder, const char *const *places, size_t count,
                       const char *file, char *ret_path) {
    ret_path[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        char path[PATH_MAX + 64], resolved[PATH_MAX];

        (void)snprintf(path, sizeof path, "%s/%s", folder, places[i]);
        if (!realpath(path, resolved))
            continue;
        if ((size_t)snprintf(path, sizeof path, "%s%s%s", resolved, *file ? "/" : "", file) >=
                sizeof path ||
            access(path, R_OK) < 0)
            continue;
        memcpy(ret_path, resolved, strlen(resolved) + 1);
        return;
    }
}

int divvy_install_find(struct divvy_install *ret_install, struct divvy_error *error) {
    char folder[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", folder, sizeof folder - 1);
    char *slash;

    if (length < 0)
        return divvy_error_set_errno(error, -errno,
                                     "cannot find where this program lies: /proc/self/exe");
    folder[length] = '\0';
    slash = strrchr(folder, '/');
    if (slash)
        *slash = '\0';
    place_find(folder, limiter_places, sizeof limiter_places / sizeof limiter_places[0], "",
               ret_install->limiter);
    place_find(folder, simulated_places, sizeof simulated_places / sizeof simulated_places[0],
               "libcuda.so.1", ret_install->simulated_dir);
    place_find(folder, daemon_places, sizeof daemon_places / sizeof daemon_places[0], "",
               ret_install->daemon);
    place_find(folder, runner_places, sizeof runner_places / sizeof runner_places[0], "",
               ret_install->runner);
    return 0;
}

char *divvy_install_list_front(const char *first, const char *list) {
    size_t length = strlen(first);
    char *result;

    if (!list || !list[0] || (strncmp(list, first, length) == 0 && (list[length] == '\0')))
        return strdup(first);
    if (strncmp(list, first, length) == 0 && list[length] == ':')
        return strdup(list);
    return asprintf(&result, "%s:%s", first, list) < 0 ? NULL : result;
}
