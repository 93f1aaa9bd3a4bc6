/* divvy-worker: serves a GPU. Beginning and end; the tenant that it becomes. */
#include "base/error.h"
#include "base/install.h"
#include "base/log.h"
#include "remote/worker/acceptor.h"
#include "remote/worker/listen.h"
#include "remote/worker/options.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

#define ARGUMENTS_MAX 16

static int complain(const struct divvy_error *error) {
    (void)fprintf(stderr, "divvy-worker: %s\n", error->text);
    return error->status == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
}

static bool is_set(const char *variable) {
    const char *value = getenv(variable);

    return value && value[0];
}

/* Whether somebody has made this process part of a tenant already: `divvy run', divvyd, ggo, or a limiter by hand. */
static bool is_tenant(void) {
    const char *preload = getenv("LD_PRELOAD");

    return is_set("DIVVY_TENANT") || is_set("DIVVY_TENANT_DIR") || (preload && strstr(preload, "libcuda_limiter"));
}

/* The program `divvy' beside this one. */
static int divvy_find(char ret_path[PATH_MAX], char ret_self[PATH_MAX], struct divvy_error *error) {
    ssize_t length = readlink("/proc/self/exe", ret_self, PATH_MAX - 1);
    char *slash;

    if (length < 0)
        return divvy_error_set_errno(error, -errno, "cannot find out where this program lies");
    ret_self[length] = '\0';
    slash = strrchr(ret_self, '/');
    if (snprintf(ret_path, PATH_MAX, "%.*s/divvy", (int)(slash - ret_self), ret_self) >= PATH_MAX ||
        access(ret_path, X_OK) < 0)
        return divvy_error_set(error, -ENOENT, "divvy is not where this divvy-worker is installed; install it again");
    return 0;
}

/*
 * Goes on as `divvy run ... -- divvy-worker ...', which chooses the GPU, makes the tenant and starts this program again inside.
 * Only returns when that cannot be.
 */
static int tenant_become(const struct divvy_worker_options *options, char **argv, int argc, struct divvy_error *error) {
    static char divvy[PATH_MAX], self[PATH_MAX], run[] = "run", no_daemon[] = "--no-daemon", end[] = "--";
    const struct {
        const char *name, *value;
    } passed[] = {{"--gpu", options->gpu}, {"--memory", options->memory}, {"--compute", options->compute},
                  {"--name", options->name}};
    char **arguments;
    size_t at = 0;

    if (divvy_find(divvy, self, error) < 0)
        return error->status;
    arguments = calloc((size_t)argc + ARGUMENTS_MAX, sizeof *arguments);
    if (!arguments)
        return divvy_error_set_errno(error, -ENOMEM, "cannot start");
    arguments[at++] = divvy;
    arguments[at++] = run;
    for (size_t i = 0; i < sizeof passed / sizeof passed[0]; i++)
        if (passed[i].value) {
            arguments[at++] = (char *)(uintptr_t)passed[i].name;
            arguments[at++] = (char *)(uintptr_t)passed[i].value;
        }
    if (options->no_daemon)
        arguments[at++] = no_daemon;
    arguments[at++] = end;
    arguments[at++] = self;
    for (int i = 1; i < argc; i++)
        arguments[at++] = argv[i];
    (void)execv(divvy, arguments);
    free(arguments);
    return divvy_error_set_errno(error, -errno, "cannot run %.200s", divvy);
}

static void ready_tell(const struct divvy_worker_listen *listener) {
    const char *worker = getenv("WORKER_ID");
    const struct divvy_log_field field = {"worker", worker && worker[0] ? worker : NULL};

    if (listener->fds[0] >= 0)
        divvy_log_at(DIVVY_LOG_INFO, &field, 1, "Worker listening on port %u", listener->port);
    if (listener->fds[1] >= 0)
        divvy_log_at(DIVVY_LOG_INFO, &field, 1, "Worker listening on %s", listener->path);
}

/* What whoever started this worker counts on and does not get. */
static void missing_tell(void) {
    if (is_set("TF_ENABLE_URL_AUTH"))
        divvy_log_warn("TF_ENABLE_URL_AUTH is set, but this worker checks no codes: whoever can connect can use the GPU");
}

static int work(const struct divvy_worker_options *options) {
    struct divvy_worker_listen listener;
    struct divvy_error error = {0};
    int status = divvy_worker_listen_open(options, &listener, &error);

    if (status < 0)
        return complain(&error);
    missing_tell();
    status = divvy_worker_acceptor_run(&listener, options->clients, ready_tell, &error);
    divvy_worker_listen_close(&listener);
    return status < 0 ? complain(&error) : EXIT_OK;
}

int main(int argc, char **argv) {
    const struct divvy_log_settings settings = {.level = DIVVY_LOG_INFO, .program = "divvy-worker"};
    struct divvy_worker_options options;
    struct divvy_error error = {0};

    if (divvy_worker_options_parse(argc, argv, &options, &error) < 0)
        return complain(&error);
    if (options.help) {
        (void)fputs(divvy_worker_help, stdout);
        return EXIT_OK;
    }
    if (options.version) {
        (void)puts("divvy-worker " DIVVY_VERSION);
        return EXIT_OK;
    }
    if (!is_tenant())
        return tenant_become(&options, argv, argc, &error) < 0 ? complain(&error) : EXIT_FAILED;
    if (divvy_log_open(&settings, &error) < 0)
        return complain(&error);
    return work(&options);
}
