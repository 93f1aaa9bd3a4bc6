/*
 * ggo use, clean and launch: the environment in which programs use a shared GPU. What `use` makes lies in ~/.gpugo/use/CODE: env.sh (mode
 * 0600, the connection is in it) and the folder for logs and the like. Without --long-term it is removed by the next `use` after a day.
 */
#include "agent/config.h"
#include "agent/output.h"
#include "agent/paths.h"
#include "agent/share.h"
#include "agent/verbs.h"
#include "base/cleanup.h"
#include "core/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SHORT_TERM_SECONDS 86400
#define LONG_TERM_MARK     "long-term"

/* ---- folders ---- */

static int use_folder(const struct divvy_agent_paths *paths, const char *code,
                      char ret_path[PATH_MAX], struct divvy_error *error) {
    if (!paths->user[0])
        return divvy_error_set(error, -EINVAL,
                               "without HOME there is no place for what this makes");
    (void)snprintf(ret_path, PATH_MAX, "%.*s/use%s%.120s", DIVVY_AGENT_DIR_BYTES - 1, paths->user,
                   code[0] ? "/" : "", code);
    return 0;
}

static int entry_remove(const char *path, const struct stat *status, int kind, struct FTW *place) {
    (void)status;
    (void)place;
    return kind == FTW_DP ? rmdir(path) : unlink(path);
}

/* A folder with what is in it; links are not followed. */
static int folder_remove(const char *path, struct divvy_error *error) {
    if (nftw(path, entry_remove, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) == 0 || errno == ENOENT)
        return 0;
    return divvy_error_set_errno(error, -errno, "cannot remove %.150s", path);
}

/* Removes those that are over, or all; how many. */
static unsigned int folders_clean(const struct divvy_agent_paths *paths, bool all, bool only_old) {
    char top[PATH_MAX], path[PATH_MAX + 300], mark[PATH_MAX + 320];
    cleanup_closedir DIR *folder = NULL;
    const struct dirent *entry;
    unsigned int count = 0;

    if (use_folder(paths, "", top, NULL) < 0)
        return 0;
    folder = opendir(top);
    while (folder && (entry = readdir(folder))) {
        struct stat status;

        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", top, entry->d_name);
        (void)snprintf(mark, sizeof mark, "%s/" LONG_TERM_MARK, path);
        if ((!all && access(mark, F_OK) == 0) || stat(path, &status) < 0 ||
            (only_old && status.st_mtime > time(NULL) - SHORT_TERM_SECONDS))
            continue;
        count += folder_remove(path, NULL) == 0;
    }
    return count;
}

/* ---- use ---- */

/* A value in single quotes of a shell. */
static void quoted_print(FILE *out, const char *value) {
    (void)fputc('\'', out);
    for (; *value; value++)
        (void)fprintf(out, *value == '\'' ? "'\\''" : "%c", *value);
    (void)fputc('\'', out);
}

static void exports_print(FILE *out, const struct divvy_agent_environment *environment) {
    for (unsigned int i = 0; i < environment->count; i++) {
        (void)fprintf(out, "export %s=", environment->variables[i].name);
        quoted_print(out, environment->variables[i].value);
        (void)fputc('\n', out);
    }
}

static int script_write(const char *folder, const struct divvy_agent_environment *environment,
                        struct divvy_error *error) {
    char path[PATH_MAX];
    int fd;
    FILE *out;

    divvy_agent_path_join(folder, "env.sh", path);
    (void)unlink(path);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    out = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!out) {
        int status = -errno;

        divvy_cleanup_close(&fd);
        return divvy_error_set_errno(error, status, "cannot write %.150s", path);
    }
    exports_print(out, environment);
    if (ferror(out) | fclose(out))
        return divvy_error_set_errno(error, -EIO, "cannot write %.150s", path);
    return 0;
}

/* Where env.sh shall go: --output-dir, or a folder after --output. */
static const char *output_folder(const struct divvy_agent_call *call) {
    const char *output = call->values[DIVVY_AGENT_OUTPUT];

    if (call->values[DIVVY_AGENT_OUTPUT_DIR])
        return call->values[DIVVY_AGENT_OUTPUT_DIR];
    return output && strcmp(output, "json") != 0 && strcmp(output, "table") != 0 ? output : NULL;
}

static int mark_set(const char *folder, bool is_long_term) {
    char path[PATH_MAX];
    int fd;

    divvy_agent_path_join(folder, LONG_TERM_MARK, path);
    if (!is_long_term)
        return unlink(path) == 0 || errno == ENOENT ? 0 : -errno;
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    (void)close(fd);
    return 0;
}

/* Resolves the code and prepares its folder. */
static int use_prepare(const struct divvy_agent_call *call, const char *link, bool is_long_term,
                       struct divvy_agent_environment *environment, char ret_folder[PATH_MAX],
                       struct divvy_error *error) {
    struct divvy_agent_paths paths;
    char code[DIVVY_AGENT_CODE_BYTES];
    json_t *share = NULL;
    int status = divvy_agent_code_parse(link, code, error);

    if (status == 0)
        status = divvy_agent_paths_find(call->values[DIVVY_AGENT_CONFIG_DIR], NULL, &paths, error);
    if (status == 0)
        status = divvy_agent_code_resolve(call, code, &share, error);
    if (status < 0)
        return status;
    (void)folders_clean(&paths, false, true);
    status = use_folder(&paths, code, ret_folder, error);
    if (status == 0)
        status = divvy_agent_folder_make(ret_folder, 0700, error);
    if (status == 0 && mark_set(ret_folder, is_long_term) < 0)
        status = divvy_error_set_errno(error, -EACCES, "%.150s", ret_folder);
    if (status == 0)
        status = divvy_agent_environment_make(share, ret_folder, paths.cache, environment, error);
    json_decref(share);
    return status;
}

static int use_tell(const struct divvy_agent_call *call,
                    const struct divvy_agent_environment *environment, const char *script_folder) {
    if (call->is_json) {
        json_t *variables = json_object(), *value;
        int status;

        for (unsigned int i = 0; i < environment->count; i++)
            (void)json_object_set_new(variables, environment->variables[i].name,
                                      json_string(environment->variables[i].value));
        value = json_pack("{s:{s:o, s:s+, s:b}}", "item", "environment", variables, "script",
                          script_folder, "/env.sh", "client_installed", environment->has_client);
        status = divvy_agent_print_json(value);
        json_decref(value);
        return status;
    }
    exports_print(stdout, environment);
    if (!divvy_agent_call_on(call, DIVVY_AGENT_YES))
        (void)fprintf(
            stderr,
            "These lines are in %s/env.sh as well: '. %s/env.sh', or eval \"$(ggo use CODE -y)\"\n",
            script_folder, script_folder);
    return fflush(stdout) == 0 ? 0 : 1;
}

int divvy_agent_verb_use(struct divvy_agent_call *call) {
    struct divvy_agent_environment environment = {0};
    struct divvy_error error = {0};
    char folder[PATH_MAX];
    const char *other = output_folder(call);
    int status =
        use_prepare(call, call->arguments[0], divvy_agent_call_on(call, DIVVY_AGENT_LONG_TERM),
                    &environment, folder, &error);

    if (status == 0 && other)
        status = divvy_agent_folder_make(other, 0700, &error);
    if (status == 0)
        status = script_write(other ? other : folder, &environment, &error);
    if (status < 0) {
        divvy_agent_environment_done(&environment);
        return divvy_agent_fail(call, &error);
    }
    if (!environment.has_client)
        (void)fprintf(stderr, "ggo use: no GPU client library is installed: programs are told of "
                              "the GPU but cannot reach it yet\n");
    status = use_tell(call, &environment, other ? other : folder);
    divvy_agent_environment_done(&environment);
    return status;
}

/* ---- clean ---- */

int divvy_agent_verb_clean(struct divvy_agent_call *call) {
    static const char *const names[] = {"GPU_GO_CONNECTION_URL",
                                        "GPU_GO_WORKER_ID",
                                        "GPU_GO_VENDOR",
                                        "GPU_GO_TMP_DIR",
                                        "TENSOR_FUSION_OPERATOR_CONNECTION_INFO",
                                        "TF_CONNECTION_INFO_PATH",
                                        "TF_LOG_PATH",
                                        "TF_LOG_LEVEL",
                                        "TF_ENABLE_LOG"};
    struct divvy_agent_paths paths;
    struct divvy_error error = {0};
    char folder[PATH_MAX], code[DIVVY_AGENT_CODE_BYTES];
    unsigned int count = 0;
    bool all = divvy_agent_call_on(call, DIVVY_AGENT_ALL);
    int status = divvy_agent_paths_find(NULL, NULL, &paths, &error);

    if (status == 0 && all && call->argument_count)
        status = divvy_error_set(&error, -EINVAL, "give either a code or --all");
    if (status == 0 && call->argument_count) {
        status = divvy_agent_code_parse(call->arguments[0], code, &error);
        if (status == 0)
            status = use_folder(&paths, code, folder, &error);
        if (status == 0 && access(folder, F_OK) < 0)
            status = divvy_error_set(&error, -ENOENT, "nothing is here of %.60s", code);
        if (status == 0)
            status = folder_remove(folder, &error);
        count = 1;
    } else if (status == 0) {
        count = folders_clean(&paths, all, false);
    }
    if (status < 0)
        return divvy_agent_fail(call, &error);
    if (!divvy_agent_call_on(call, DIVVY_AGENT_YES))
        (void)fprintf(
            stderr, "removed %u; in a shell that was prepared: eval \"$(ggo clean -y)\"\n", count);
    else
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            (void)printf("unset %s\n", names[i]);
    return fflush(stdout) == 0 ? 0 : 1;
}

/* ---- launch ---- */

int divvy_agent_verb_launch(struct divvy_agent_call *call) {
    struct divvy_agent_environment environment = {0};
    struct divvy_error error = {0};
    char folder[PATH_MAX];
    int status;

    if (!call->values[DIVVY_AGENT_SHARE_LINK]) {
        (void)divvy_error_set(&error, -EINVAL, "--share LINK is missing: which GPU?");
        return divvy_agent_fail(call, &error);
    }
    status = use_prepare(call, call->values[DIVVY_AGENT_SHARE_LINK], false, &environment, folder,
                         &error);
    if (status == 0 && !environment.has_client)
        status = divvy_error_set(&error, -ENOENT,
                                 "no GPU client library is installed (libcuda.so in the cache's "
                                 "libs, or lib/divvy/client beside ggo); "
                                 "without it the program would not use the shared GPU");
    if (status < 0) {
        divvy_agent_environment_done(&environment);
        return divvy_agent_fail(call, &error);
    }
    for (unsigned int i = 0; i < environment.count; i++)
        (void)setenv(environment.variables[i].name, environment.variables[i].value, 1);
    divvy_agent_environment_done(&environment);
    (void)execvp(call->arguments[0], (char *const *)call->arguments);
    status = errno;
    (void)divvy_error_set_errno(&error, -status, "%.150s", call->arguments[0]);
    (void)divvy_agent_fail(call, &error);
    return status == ENOENT ? DIVVY_AGENT_NOT_FOUND : DIVVY_AGENT_NOT_EXECUTABLE;
}
