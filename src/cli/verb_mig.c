/* divvy mig: slices of GPUs. One file for each thing that can be done; this one finds it, and has what they share. */
#include "base/install.h"
#include "cli/cli.h"
#include "cli/mig.h"
#include "core/parse.h"
#include "mig/apart.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *about;
} parts[] = {
    {"list", divvy_cli_mig_list, "list the GPUs and their MIG instances"},
    {"profiles", divvy_cli_mig_profiles, "list the profiles: what there is, what is free, what fits"},
    {"reserve", divvy_cli_mig_reserve, "reserve an instance, for this shell or for a program"},
    {"release", divvy_cli_mig_release, "give instances back"},
    {"status", divvy_cli_mig_status, "tell who has which instance"},
};
#define PARTS (sizeof parts / sizeof parts[0])

static void usage_print(FILE *out) {
    (void)fputs("Usage: divvy mig WHAT [OPTION...]\n"
                "Finds and reserves slices into which the hardware divides GPUs (MIG).\n\n",
                out);
    for (size_t i = 0; i < PARTS; i++)
        (void)fprintf(out, "  %-9s %s\n", parts[i].name, parts[i].about);
    (void)fputs("\n"
                "For example:\n"
                "  divvy mig status\n"
                "  export CUDA_VISIBLE_DEVICES=$(divvy mig reserve 1g.10gb)\n"
                "  divvy mig reserve 1g.10gb --wait=10m -- python3 train.py\n\n"
                "`divvy mig WHAT --help' explains each.\n",
                out);
}

int divvy_cli_verb_mig(int argc, char **argv) {
    char name[64];

    if (argc < 2) {
        usage_print(stderr);
        return DIVVY_CLI_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-?") == 0) {
        usage_print(stdout);
        return DIVVY_CLI_OK;
    }
    for (size_t i = 0; i < PARTS; i++)
        if (strcmp(argv[1], parts[i].name) == 0) {
            (void)snprintf(name, sizeof name, "divvy mig %s", parts[i].name);
            argv[1] = name;
            return parts[i].run(argc - 1, argv + 1);
        }
    divvy_cli_complain("mig", "'%s' is nothing that can be done (`divvy mig --help' lists what can)", argv[1]);
    return DIVVY_CLI_USAGE;
}

/* --- what they share ------------------------------------------------------------------------------------------- */

error_t divvy_cli_mig_common_take(int key, char *value, struct divvy_cli_mig_common *common) {
    switch (key) {
    case DIVVY_CLI_MIG_OPTION_JSON:
        common->json = 1;
        return 0;
    case DIVVY_CLI_MIG_OPTION_GPU:
        common->gpu = value;
        return 0;
    case DIVVY_CLI_MIG_OPTION_LOCKS:
        common->locks = value;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

error_t divvy_cli_mig_plain_take(int key, char *value, struct argp_state *state) {
    if (key == ARGP_KEY_ARG) {
        argp_error(state, "unexpected argument '%s'", value);
        return 0;
    }
    return divvy_cli_mig_common_take(key, value, state->input);
}

static void log_line(void *data, int level, const char *line) {
    (void)data;
    if (level <= DIVVY_MIG_LOG_WARN)
        divvy_cli_complain("mig", "%s", line);
}

void divvy_cli_mig_options(const struct divvy_cli_mig_common *common, struct divvy_mig_options *ret_options) {
    struct divvy_mig_options options = DIVVY_MIG_OPTIONS_INIT;

    options.log = log_line;
    divvy_mig_options_read_environment(&options);
    if (common->locks)
        options.lock_dir = common->locks;
    *ret_options = options;
}

int divvy_cli_mig_fail(const char *what, const struct divvy_mig_error *error) {
    (void)fprintf(stderr, "divvy mig %s: %s\n", what, error->text);
    switch (error->status) {
    case -EINVAL:
        return DIVVY_CLI_USAGE;
    case -EBUSY:
    case -ETIMEDOUT:
        return DIVVY_CLI_MIG_BUSY;
    default:
        return DIVVY_CLI_FAILED;
    }
}

int divvy_cli_mig_open(const char *what, const struct divvy_cli_mig_common *common, bool is_apart,
                       struct divvy_mig **ret_mig) {
    static struct divvy_install install;
    char library[PATH_MAX + 32];
    struct divvy_error found = {0};
    struct divvy_mig_error error = {0};
    const char *chosen = NULL;

    if (common->gpu && strcmp(common->gpu, "sim") == 0) {
        if (divvy_install_find(&install, &found) < 0)
            return divvy_cli_fail("mig", &found);
        if (!install.simulated_dir[0]) {
            divvy_cli_complain("mig", "the simulated GPU is not installed (lib/simgpu/libnvidia-ml.so.1 is missing)");
            return DIVVY_CLI_FAILED;
        }
        (void)snprintf(library, sizeof library, "%s/libnvidia-ml.so.1", install.simulated_dir);
        chosen = library;
    }
    if ((is_apart ? divvy_mig_open_apart(chosen, ret_mig, &error) : divvy_mig_open(chosen, ret_mig, &error)) == 0)
        return 0;
    if (error.status == -ENOENT)
        (void)fprintf(stderr, "divvy mig %s: %s, or use --gpu sim\n", what, error.text);
    else
        (void)divvy_cli_mig_fail(what, &error);
    return DIVVY_CLI_FAILED;
}

bool divvy_cli_mig_is_wanted(const struct divvy_cli_mig_common *common, const struct divvy_mig_device *device) {
    uint64_t index;

    if (!common->gpu || strcmp(common->gpu, "sim") == 0)
        return true;
    if (divvy_core_u64_parse(common->gpu, strlen(common->gpu), &index, NULL) == 0)
        return device->gpu_index == index;
    return strcasecmp(common->gpu, device->parent_uuid) == 0 || strcasecmp(common->gpu, device->uuid) == 0;
}

static json_t *known(uint32_t value) {
    return value == DIVVY_MIG_UNKNOWN ? json_null() : json_integer(value);
}

json_t *divvy_cli_mig_device_json(const struct divvy_mig_device *device) {
    return json_pack("{s:i, s:s, s:s, s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:s, s:I, s:o, s:b, s:b}", "gpu",
                     (int)device->gpu_index, "uuid", device->uuid, "parent_uuid", device->parent_uuid, "name", device->name,
                     "mig", (int)device->is_mig, "mig_index", known(device->mig_index), "gpu_instance",
                     known(device->gpu_instance), "compute_instance", known(device->compute_instance), "gpu_slices",
                     device->gpu_slices ? json_integer(device->gpu_slices) : json_null(), "compute_slices",
                     device->compute_slices ? json_integer(device->compute_slices) : json_null(), "profile", device->profile,
                     "memory_bytes", (json_int_t)device->memory_bytes, "memory_used_bytes",
                     device->memory_used_bytes == DIVVY_MIG_UNKNOWN_BYTES ? json_null() :
                                                                         json_integer((json_int_t)device->memory_used_bytes),
                     "mig_mode", (int)device->mig_mode, "mig_mode_pending", (int)device->mig_mode_pending);
}
