/* Folders of ggo: see paths.h. */
#include "agent/paths.h"

#include <errno.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATE_FOLDER         "/tmp/tensor-fusion-state"
#define STATE_FOLDER_OF_ROOT "/var/lib/gpugo/state"

/* NULL when not set or empty. */
static const char *variable_get(const char *name) {
    const char *value = getenv(name);

    return value && value[0] ? value : NULL;
}

static int path_set(const char *first, const char *second, char *ret_path,
                    struct divvy_error *error) {
    char here[PATH_MAX] = "";
    const char *slash = "";

    if (first[0] != '/') {
        if (!getcwd(here, sizeof here))
            return divvy_error_set_errno(error, -errno, "%.100s: the current folder cannot be told",
                                         first);
        slash = "/";
    }
    if ((size_t)snprintf(ret_path, DIVVY_AGENT_DIR_BYTES, "%s%s%s%s", here, slash, first, second) >=
        DIVVY_AGENT_DIR_BYTES)
        return divvy_error_set_errno(error, -ENAMETOOLONG, "%.100s", first);
    return 0;
}

static const char *home_find(void) {
    const char *home = variable_get("HOME");
    const struct passwd *entry;

    if (home && home[0] == '/')
        return home;
    /* Service managers may start programs without HOME. */
    entry = getpwuid(geteuid());
    return entry && entry->pw_dir && entry->pw_dir[0] == '/' ? entry->pw_dir : NULL;
}

static int home_missing(const char *what, const char *remedy, struct divvy_error *error) {
    return divvy_error_set(error, -EINVAL, "%s cannot be told without HOME; use %s", what, remedy);
}

static bool has_registration(const char *folder) {
    char path[PATH_MAX];

    divvy_agent_path_join(folder, "config.json", path);
    return access(path, F_OK) == 0;
}

static int config_find(const char *given, const char *home, struct divvy_agent_paths *paths,
                       struct divvy_error *error) {
    const char *xdg = variable_get("XDG_CONFIG_HOME");
    char later[DIVVY_AGENT_DIR_BYTES];
    int status;

    if (!given || !given[0])
        given = variable_get("GGO_CONFIG_DIR");
    if (given)
        return path_set(given, "", paths->config, error);
    if (geteuid() == 0)
        status = path_set("/etc/gpugo", "", paths->config, error);
    else if (xdg && xdg[0] == '/')
        status = path_set(xdg, "/gpugo", paths->config, error);
    else if (home)
        status = path_set(home, "/.config/gpugo", paths->config, error);
    else
        return home_missing("the configuration folder", "--config-dir", error);
    if (status == 0 && home && !has_registration(paths->config) &&
        path_set(home, "/.gpugo/config", later, NULL) == 0 && has_registration(later))
        memcpy(paths->config, later, sizeof later);
    return status;
}

/* Whether only we can change what is in it. */
static bool is_private(const char *folder) {
    struct stat status;

    return lstat(folder, &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == geteuid() &&
           !(status.st_mode & 022);
}

static int state_find(const char *given, struct divvy_agent_paths *paths,
                      struct divvy_error *error) {
    if (!given || !given[0])
        given = variable_get("TENSOR_FUSION_STATE_DIR");
    if (!given)
        given = variable_get("GGO_STATE_DIR");
    if (!given)
        given = geteuid() == 0 && !is_private(STATE_FOLDER) ? STATE_FOLDER_OF_ROOT : STATE_FOLDER;
    return path_set(given, "", paths->state, error);
}

static int cache_find(const char *home, struct divvy_agent_paths *paths,
                      struct divvy_error *error) {
    const char *given = variable_get("GGO_CACHE_DIR");

    if (given)
        return path_set(given, "", paths->cache, error);
    if (geteuid() == 0)
        return path_set("/var/cache/gpugo", "", paths->cache, error);
    if (!home)
        return home_missing("the cache folder", "GGO_CACHE_DIR", error);
    return path_set(home, "/.cache/gpugo", paths->cache, error);
}

int divvy_agent_paths_find(const char *config_dir, const char *state_dir,
                           struct divvy_agent_paths *ret_paths, struct divvy_error *error) {
    const char *home = home_find();
    int status;

    memset(ret_paths, 0, sizeof *ret_paths);
    status = config_find(config_dir, home, ret_paths, error);
    if (status == 0)
        status = state_find(state_dir, ret_paths, error);
    if (status == 0)
        status = cache_find(home, ret_paths, error);
    if (status == 0 && home)
        status = path_set(home, "/.gpugo", ret_paths->user, error);
    return status;
}

void divvy_agent_path_join(const char *folder, const char *name, char ret_path[PATH_MAX]) {
    (void)snprintf(ret_path, PATH_MAX, "%.*s/%.254s", DIVVY_AGENT_DIR_BYTES - 1, folder, name);
}

int divvy_agent_folder_make(const char *path, unsigned int mode, struct divvy_error *error) {
    char part[PATH_MAX];
    struct stat status;

    if ((size_t)snprintf(part, sizeof part, "%s", path) >= sizeof part)
        return divvy_error_set_errno(error, -ENAMETOOLONG, "%.100s", path);
    for (char *at = strchr(part + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = '\0';
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return divvy_error_set_errno(error, -errno, "cannot make the folder %.150s", part);
        *at = '/';
    }
    if (mkdir(part, mode) < 0 && errno != EEXIST)
        return divvy_error_set_errno(error, -errno, "cannot make the folder %.150s", part);
    if (stat(part, &status) < 0 || !S_ISDIR(status.st_mode))
        return divvy_error_set(error, -ENOTDIR, "%.150s is no folder", part);
    return 0;
}
