/* divvy mig reserve and divvy mig release. */
#include "cli/act.h"
#include "cli/cli.h"
#include "cli/mig.h"
#include "core/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    OPTION_WAIT = 0x100,
    OPTION_CREATE,
    OPTION_BIGGER,
    OPTION_PID,
    OPTION_INSTANCE,
    OPTION_ORPHANS,
};

struct arguments {
    struct divvy_cli_mig_common common;
    const char *profile, *instance;
    int64_t wait_ns;
    uint32_t flags;
    int32_t pid;
    int orphans;
    int count;
    char **rest; /* part of argv: the program, or UUIDs */
};

static void wait_parse(const char *value, struct argp_state *state, struct arguments *arguments) {
    if (!value)
        arguments->wait_ns = DIVVY_MIG_WAIT_FOREVER;
    else if (divvy_mig_ttl_parse(value, &arguments->wait_ns) < 0)
        argp_error(state, "--wait=%s: write a duration such as 90s, 10m or 1h30m", value);
}

static void pid_parse(const char *value, struct argp_state *state, struct arguments *arguments) {
    uint64_t pid;

    if (divvy_core_u64_parse(value, strlen(value), &pid, NULL) < 0 || pid == 0 || pid > INT32_MAX)
        argp_error(state, "--pid %s: write the number of a process", value);
    else
        arguments->pid = (int32_t)pid;
}

static error_t option_take(int key, char *value, struct argp_state *state) {
    struct arguments *arguments = state->input;

    switch (key) {
    case OPTION_WAIT:
        wait_parse(value, state, arguments);
        return 0;
    case OPTION_CREATE:
        arguments->flags |= DIVVY_MIG_CREATE;
        return 0;
    case OPTION_BIGGER:
        arguments->flags |= DIVVY_MIG_BIGGER;
        return 0;
    case OPTION_PID:
        pid_parse(value, state, arguments);
        return 0;
    case OPTION_INSTANCE:
        arguments->instance = value;
        return 0;
    case OPTION_ORPHANS:
        arguments->orphans = 1;
        return 0;
    default:
        return divvy_cli_mig_common_take(key, value, &arguments->common);
    }
}

/* --- reserve ---------------------------------------------------------------------------------------------------- */

static error_t reserve_take(int key, char *value, struct argp_state *state) {
    struct arguments *arguments = state->input;

    switch (key) {
    case ARGP_KEY_ARG:
        if (arguments->profile)
            return ARGP_ERR_UNKNOWN; /* the program: all that is left */
        arguments->profile = value;
        return 0;
    case ARGP_KEY_ARGS:
        arguments->rest = state->argv + state->next;
        arguments->count = state->argc - state->next;
        return 0;
    case ARGP_KEY_END:
        if (!arguments->profile)
            argp_error(state, "which profile? (`divvy mig profiles' lists them)");
        if (arguments->pid && arguments->count)
            argp_error(state, "--pid is for another process, and a program is its own");
        if ((arguments->flags & DIVVY_MIG_CREATE) && !arguments->count)
            argp_error(state, "--create needs a program to run: what is created goes when that ends");
        return 0;
    default:
        return option_take(key, value, state);
    }
}

static const struct argp_option reserve_options[] = {
    {"wait", OPTION_WAIT, "DURATION", OPTION_ARG_OPTIONAL, "Wait for one to become free, so long (10m) or for ever", 0},
    {"create", OPTION_CREATE, NULL, 0, "Where none is free, create one; see below", 0},
    {"bigger", OPTION_BIGGER, NULL, 0, "Where none of the profile is free, take the smallest that is bigger", 0},
    {"instance", OPTION_INSTANCE, "UUID", 0, "This instance and no other", 0},
    {"pid", OPTION_PID, "N", 0, "For this process instead of the one that calls divvy", 0},
    DIVVY_CLI_MIG_OPTION_ROWS,
    {0},
};

static const struct argp reserve_parser = {
    .options = reserve_options,
    .parser = reserve_take,
    .args_doc = "PROFILE [-- PROGRAM [ARGUMENT...]]",
    .doc = "Reserve a MIG instance of PROFILE (1g.10gb, 1g.10gb+me, 1c.3g.40gb), or of at least N mebibytes (custom.N). The "
           "smallest that fits is taken.\v"
           "Without PROGRAM its UUID is printed, and it is reserved until the process that called divvy ends, a shell "
           "most often, or `divvy mig release'. With PROGRAM, that runs on it, with CUDA_VISIBLE_DEVICES set, and its end "
           "and of whatever it leaves running is the end of the reservation: until then a small process beside it keeps the "
           "heartbeat, and destroys in the end what --create has made. divvy-runner does more: supervision, limits, "
           "metrics.\n\n"
           "For example:\n"
           "  export CUDA_VISIBLE_DEVICES=$(divvy mig reserve 1g.10gb)\n"
           "  divvy mig reserve custom.8192 --wait=10m -- python3 train.py\n\n"
           "Exit status: 0, or the program's; 75 when all that fit are taken; 1 for other failures; 2 for wrong use; 126 "
           "and 127 when the program cannot be run or is not found.",
};

static int device_print(const struct divvy_mig_device *device, int json) {
    if (json)
        return divvy_cli_json_print(divvy_cli_mig_device_json(device), 2, stdout);
    return puts(device->uuid) == EOF || fflush(stdout) == EOF ? DIVVY_CLI_FAILED : DIVVY_CLI_OK;
}

/*
 * Becomes the program, which inherits the lock: it is this process, whose pid the lock file has, and the kernel lets go of the
 * lock when it is gone.
 */
static int become(char **program, struct divvy_mig_reservation *reservation) {
    int fd = divvy_mig_reservation_fd(reservation), status;
    struct divvy_mig_error error = {0};

    if (divvy_mig_keep(reservation, &error) < 0) /* the lock holds without it */
        divvy_cli_complain("mig", "%s: the heartbeat of the lock is not kept", error.text);

    if (setenv("CUDA_VISIBLE_DEVICES", divvy_mig_reservation_device(reservation)->uuid, 1) == 0 &&
        fcntl(fd, F_SETFD, 0) == 0)
        (void)execvp(program[0], program);
    status = errno == ENOENT ? DIVVY_CLI_NOT_FOUND : DIVVY_CLI_NOT_EXECUTABLE;
    (void)fprintf(stderr, "divvy mig reserve: cannot start '%s': %s\n", program[0], strerror(errno));
    return status;
}

static int reserve(struct divvy_mig *mig, struct arguments *arguments, const struct divvy_mig_profile *profile,
                   struct divvy_mig_options *settings) {
    struct divvy_mig_reservation *reservation;
    struct divvy_mig_error error = {0};
    struct divvy_mig_device device;
    int status;

    if (!arguments->count) {
        settings->holder_pid = arguments->pid ? arguments->pid : (int32_t)getppid();
        status = divvy_mig_reserve_for(mig, profile, settings, &device, &error);
        divvy_mig_close(mig);
        return status < 0 ? divvy_cli_mig_fail("reserve", &error) : device_print(&device, arguments->common.json);
    }
    status = divvy_mig_reserve(mig, profile, settings, &reservation, &error);
    divvy_mig_close(mig);
    if (status < 0)
        return divvy_cli_mig_fail("reserve", &error);
    status = become(arguments->rest, reservation);
    (void)divvy_mig_release(reservation, NULL);
    return status;
}

/* The UUID of the GPU that --gpu names, into `uuid`. */
static int gpu_find(struct divvy_mig *mig, const struct divvy_cli_mig_common *common, char uuid[DIVVY_MIG_UUID_BYTES],
                    struct divvy_mig_error *error) {
    struct divvy_mig_list *list;
    int status = divvy_mig_list(mig, 0, &list, error);

    if (status < 0)
        return status;
    uuid[0] = '\0';
    for (uint32_t i = 0; i < divvy_mig_list_count(list); i++) {
        const struct divvy_mig_device *device = divvy_mig_list_at(list, i);

        if (!device->is_mig && divvy_cli_mig_is_wanted(common, device))
            (void)snprintf(uuid, DIVVY_MIG_UUID_BYTES, "%s", device->uuid);
    }
    divvy_mig_list_free(list);
    if (uuid[0])
        return 0;
    error->status = -EINVAL;
    (void)snprintf(error->text, sizeof error->text, "there is no GPU '%.100s' (`divvy mig list' shows them)", common->gpu);
    return -EINVAL;
}

int divvy_cli_mig_reserve(int argc, char **argv) {
    struct arguments arguments = {0};
    char gpu_uuid[DIVVY_MIG_UUID_BYTES];
    struct divvy_mig_profile profile;
    struct divvy_mig_options settings;
    struct divvy_mig_error error = {0};
    struct divvy_mig *mig;
    int status;

    if (argp_parse(&reserve_parser, argc, argv, ARGP_IN_ORDER, NULL, &arguments) != 0)
        return DIVVY_CLI_USAGE;
    divvy_cli_mig_options(&arguments.common, &settings);
    settings.wait_ns = arguments.wait_ns;
    settings.flags = arguments.flags;
    settings.uuid = arguments.instance;
    status = divvy_cli_mig_open("reserve", &arguments.common, arguments.count > 0, &mig);
    if (status != 0)
        return divvy_mig_profile_read(NULL, arguments.profile, &profile, &error) < 0 ? divvy_cli_mig_fail("reserve", &error) : status;
    if (divvy_mig_profile_read(mig, arguments.profile, &profile, &error) < 0) {
        divvy_mig_close(mig);
        return divvy_cli_mig_fail("reserve", &error);
    }
    if (arguments.common.gpu && strcmp(arguments.common.gpu, "sim") != 0) {
        if (gpu_find(mig, &arguments.common, gpu_uuid, &error) < 0) {
            divvy_mig_close(mig);
            return divvy_cli_mig_fail("reserve", &error);
        }
        settings.gpu_uuid = gpu_uuid;
    }
    return reserve(mig, &arguments, &profile, &settings);
}

/* --- release ---------------------------------------------------------------------------------------------------- */

static error_t release_take(int key, char *value, struct argp_state *state) {
    struct arguments *arguments = state->input;

    switch (key) {
    case ARGP_KEY_ARGS:
        arguments->rest = state->argv + state->next;
        arguments->count = state->argc - state->next;
        return 0;
    case ARGP_KEY_END:
        if (!arguments->count && !arguments->orphans)
            argp_error(state, "which instances? (`divvy mig status' shows them)");
        return 0;
    default:
        return option_take(key, value, state);
    }
}

static const struct argp_option release_options[] = {
    {"pid", OPTION_PID, "N", 0, "Reserved for this process instead of the one that calls divvy", 0},
    {"orphans", OPTION_ORPHANS, NULL, 0, "Destroy instances that were created on demand and that nobody has", 0},
    DIVVY_CLI_MIG_OPTION_ROWS,
    {0},
};

static const struct argp release_parser = {
    .options = release_options,
    .parser = release_take,
    .args_doc = "UUID...",
    .doc = "Give back MIG instances that `divvy mig reserve' has reserved for the process that calls divvy. Nobody else's are "
           "taken away: what a running program holds goes when that ends.\v"
           "Exit status: 0; 75 when a program holds one itself; 1 for other failures; 2 for wrong use.",
};

static int orphans_destroy(const struct arguments *arguments, const struct divvy_mig_options *settings) {
    struct divvy_mig_error error = {0};
    struct divvy_mig *mig;
    int status = divvy_cli_mig_open("release", &arguments->common, true, &mig);

    if (status != 0)
        return status;
    status = divvy_mig_reap(mig, settings->lock_dir, &error);
    divvy_mig_close(mig);
    if (status < 0)
        return divvy_cli_mig_fail("release", &error);
    if (!arguments->common.json)
        (void)printf("%d destroyed\n", status);
    return DIVVY_CLI_OK;
}

int divvy_cli_mig_release(int argc, char **argv) {
    struct arguments arguments = {0};
    struct divvy_mig_options settings;
    json_t *released = NULL;
    int worst = DIVVY_CLI_OK;

    if (argp_parse(&release_parser, argc, argv, 0, NULL, &arguments) != 0)
        return DIVVY_CLI_USAGE;
    divvy_cli_mig_options(&arguments.common, &settings);
    if (arguments.common.json)
        released = json_array();
    for (int i = 0; i < arguments.count; i++) {
        struct divvy_mig_error error = {0};
        int32_t pid = arguments.pid ? arguments.pid : (int32_t)getppid();
        int status = DIVVY_CLI_OK;

        if (divvy_mig_release_for(settings.lock_dir, arguments.rest[i], pid, &error) < 0)
            status = divvy_cli_mig_fail("release", &error);
        else if (released)
            (void)json_array_append_new(released, json_string(arguments.rest[i]));
        if (status > worst)
            worst = status;
    }
    if (arguments.orphans) {
        int status = orphans_destroy(&arguments, &settings);

        worst = status > worst ? status : worst;
    }
    if (released && divvy_cli_json_print(json_pack("{s:o}", "released", released), 2, stdout) != 0)
        worst = DIVVY_CLI_FAILED;
    return worst;
}
