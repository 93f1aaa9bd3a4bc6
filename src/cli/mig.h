/* What the parts of divvy mig share. */
#ifndef DIVVY_CLI_MIG_H
#define DIVVY_CLI_MIG_H

#include "divvy/mig.h"

#include <argp.h>
#include <jansson.h>
#include <stdbool.h>

/* Exit status of a reservation that could not be had now and may be had later (EX_TEMPFAIL). */
#define DIVVY_CLI_MIG_BUSY 75

/* Each gets its own arguments, argv[0] being "divvy mig WHAT", and returns the exit status. */
int divvy_cli_mig_list(int argc, char **argv);
int divvy_cli_mig_profiles(int argc, char **argv);
int divvy_cli_mig_reserve(int argc, char **argv);
int divvy_cli_mig_release(int argc, char **argv);
int divvy_cli_mig_status(int argc, char **argv);

/* Options of all of them: --json, --gpu, --locks. */
struct divvy_cli_mig_common {
    int json;
    const char *gpu;   /* NULL, "sim", an index or a UUID */
    const char *locks; /* NULL: HC_MIG_LOCK_DIR, else the library's */
};

enum {
    DIVVY_CLI_MIG_OPTION_JSON = 0x1000,
    DIVVY_CLI_MIG_OPTION_GPU,
    DIVVY_CLI_MIG_OPTION_LOCKS,
};

/* Rows for an argp table. */
#define DIVVY_CLI_MIG_OPTION_ROWS                                                                  \
    {"gpu", DIVVY_CLI_MIG_OPTION_GPU, "sim|N|UUID", 0,                                             \
     "Only this GPU; `sim': the simulated ones", 0},                                               \
        {"locks", DIVVY_CLI_MIG_OPTION_LOCKS, "FOLDER", 0,                                         \
         "Folder of the lock files (HC_MIG_LOCK_DIR, else " DIVVY_MIG_LOCK_DIR ")", 0},            \
        {"json", DIVVY_CLI_MIG_OPTION_JSON, NULL, 0, "For machines: one JSON object", 0}

/* Takes one of them; ARGP_ERR_UNKNOWN when it is none. */
error_t divvy_cli_mig_common_take(int key, char *value, struct divvy_cli_mig_common *common);
/* argp's parser of those that take nothing else; the input is a struct divvy_cli_mig_common. */
error_t divvy_cli_mig_plain_take(int key, char *value, struct argp_state *state);

/* Options for the library: the environment, and --locks over it; warnings go to stderr. */
void divvy_cli_mig_options(const struct divvy_cli_mig_common *common, struct divvy_mig_options *ret_options);

/*
 * Opens NVML, the system's or the simulated one; `is_apart`: in processes of its own (mig/apart.h), for those that become a program
 * or shall finish. 0, or the exit status with the reason said.
 */
int divvy_cli_mig_open(const char *what, const struct divvy_cli_mig_common *common, bool is_apart,
                       struct divvy_mig **ret_mig);

/* Says the error as "divvy mig WHAT: …"; the exit status that fits. */
int divvy_cli_mig_fail(const char *what, const struct divvy_mig_error *error);

/* Whether the device is of the GPU that --gpu names. */
bool divvy_cli_mig_is_wanted(const struct divvy_cli_mig_common *common, const struct divvy_mig_device *device);

/* What is known of a device, as JSON; NULL without memory. */
json_t *divvy_cli_mig_device_json(const struct divvy_mig_device *device);

#endif
