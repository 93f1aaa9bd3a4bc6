/* The plan: see plan.h. */
#include "mig/runner/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define USUAL_PATH "/usr/local/bin:/usr/bin:/bin"

static int file_judge(const char *path) {
    struct stat status;

    if (stat(path, &status) < 0)
        return errno == EACCES ? -EACCES : -ENOENT;
    if (!S_ISREG(status.st_mode) || faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0)
        return -EACCES;
    return 0;
}

int divvy_runner_program_find(const char *name, const char *search, char ret_path[PATH_MAX]) {
    int worst = -ENOENT;

    if (strlen(name) >= PATH_MAX)
        return -ENOENT;
    if (strchr(name, '/')) {
        (void)snprintf(ret_path, PATH_MAX, "%s", name);
        return file_judge(ret_path);
    }
    while (search && name[0]) {
        size_t length = strcspn(search, ":");
        int status = -ENOENT;

        /* An empty element is the folder one is in. */
        if ((size_t)snprintf(ret_path, PATH_MAX, "%.*s%s%s", (int)length, search, length > 0 ? "/" : "./", name) < PATH_MAX)
            status = file_judge(ret_path);
        if (status == 0)
            return 0;
        if (status == -EACCES)
            worst = -EACCES;
        search = search[length] ? search + length + 1 : NULL;
    }
    return worst;
}

static int program_find(struct divvy_runner_plan *plan, int *ret_exit, struct divvy_error *error) {
    const char *search = getenv("PATH"), *name = plan->arguments[0];
    int status = divvy_runner_program_find(name, search && search[0] ? search : USUAL_PATH, plan->program);

    if (status == 0)
        return 0;
    *ret_exit = status == -ENOENT ? DIVVY_RUNNER_NOT_FOUND : DIVVY_RUNNER_NOT_EXECUTABLE;
    return divvy_error_set(error, status, status == -ENOENT ? "'%.150s' is not found" : "'%.150s' cannot be run: it is no program, or not executable",
                           name);
}

/* Two sources of one figure: either, or both when they agree. */
static int limit_agree(const char *variable, uint64_t by_variable, const char *key, uint64_t by_file, uint64_t *ret_bytes,
                       struct divvy_error *error) {
    if (by_variable && by_file && by_variable != by_file)
        return divvy_error_set(error, -EINVAL,
                               "%s says %llu bytes and \"%s\" of the model file %llu; take one of them away", variable,
                               (unsigned long long)by_variable, key, (unsigned long long)by_file);
    *ret_bytes = by_variable ? by_variable : by_file;
    return 0;
}

static int model_take(struct divvy_runner_plan *plan, struct divvy_error *error) {
    const struct divvy_runner_options *options = &plan->options;

    plan->restart = options->has_restart ? options->restart : DIVVY_RUNNER_RESTART_NEVER;
    plan->model_port = options->model_port;
    plan->arguments = options->arguments;
    plan->visible = getenv("CUDA_VISIBLE_DEVICES");
    if (options->model_file) {
        if (divvy_runner_model_read(options->model_file, &plan->model, error) < 0)
            return error->status;
        if (options->has_model_port && options->model_port != plan->model.port)
            return divvy_error_set(error, -EINVAL,
                                   "--model-port says %u and \"port\" of the model file %u; take one of them away",
                                   options->model_port, plan->model.port);
        plan->arguments = plan->model.arguments;
        plan->model_port = plan->model.port;
        if (!options->has_restart)
            plan->restart = DIVVY_RUNNER_RESTART_ALWAYS;
        plan->visible_is_model = !plan->visible;
        if (!plan->visible)
            plan->visible = plan->model.gpu_device;
    }
    if (limit_agree("HYPERCORE_VRAM_LIMIT_BYTES", plan->settings.vram_limit_bytes, "vram_limit",
                    plan->model.vram_limit_bytes, &plan->vram_limit_bytes, error) < 0 ||
        limit_agree("HYPERCORE_CPU_MEM_MB", plan->settings.memory_bytes, "cpu_mem_limit", plan->model.memory_bytes,
                    &plan->memory_bytes, error) < 0)
        return error->status;
    plan->model_id = plan->settings.model_id[0] || !plan->model.name ? plan->settings.model_id : plan->model.name;
    return 0;
}

static int log_open(const struct divvy_runner_plan *plan, struct divvy_error *error) {
    struct divvy_log_settings settings = {.level = plan->settings.debug ? DIVVY_LOG_DEBUG : DIVVY_LOG_INFO,
                                          .format = plan->options.log_format,
                                          .program = "divvy-runner"};

    return divvy_log_open(&settings, error);
}

static int tenant_check(struct divvy_error *error) {
    const char *outer = getenv("DIVVY_TENANT");

    if (!outer || !outer[0])
        return 0;
    return divvy_error_set(error, -EINVAL,
                           "this is already inside the tenant '%.64s' (DIVVY_TENANT is set); a tenant cannot be divided "
                           "again, start the runner outside",
                           outer);
}

int divvy_runner_plan_make(int argc, char **argv, struct divvy_runner_plan *ret_plan, int *ret_exit,
                           struct divvy_error *error) {
    struct divvy_runner_plan *plan = ret_plan;
    int status;

    *plan = (struct divvy_runner_plan){.profile = ""};
    *ret_exit = DIVVY_RUNNER_USAGE;
    status = divvy_runner_options_parse(argc, argv, &plan->options, error);
    if (status != 0) {
        *ret_exit = status > 0 ? 0 : DIVVY_RUNNER_USAGE;
        return status > 0 ? -ECANCELED : status;
    }
    if (divvy_runner_settings_read(&plan->settings, error) < 0 || log_open(plan, error) < 0 || tenant_check(error) < 0 ||
        model_take(plan, error) < 0)
        return error->status;
    plan->profile = plan->options.profile ? plan->options.profile : plan->settings.profile;
    if (plan->options.require_slice && !plan->profile[0])
        return divvy_error_set(error, -EINVAL, "--require-slice needs a profile: --profile, or HC_MIG_PROFILE");
    if (plan->options.instance)
        (void)snprintf(plan->instance, sizeof plan->instance, "%s", plan->options.instance);
    else
        (void)snprintf(plan->instance, sizeof plan->instance, "runner-%d", (int)getpid());
    if (program_find(plan, ret_exit, error) < 0)
        return error->status;
    *ret_exit = DIVVY_RUNNER_FAILED;
    return divvy_install_find(&plan->install, error);
}

void divvy_runner_plan_done(struct divvy_runner_plan *plan) {
    divvy_runner_options_done(&plan->options);
    divvy_runner_model_done(&plan->model);
}
