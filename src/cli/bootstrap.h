/* What programs of containers find of divvy: libraries in a folder, and the dynamic loader's file that names them. */
#ifndef DIVVY_CLI_BOOTSTRAP_H
#define DIVVY_CLI_BOOTSTRAP_H

#include "base/error.h"

#include <stdbool.h>

#define DIVVY_CLI_BOOTSTRAP_FILES 64u

struct divvy_cli_bootstrap {
    const char *libraries_dir; /* where the installation has libadd_path.so, libcuda_limiter.so, and client/ */
    const char *to_dir;        /* for libraries; must be there */
    const char *config_dir;    /* for ld.so.preload and zz_tensor-fusion.conf; must be there */
    const char *as_path;       /* what containers call to_dir */
    const char *nvidia_smi;    /* copied too; NULL: none */
    bool is_remote;            /* the client's stand-ins for the driver are preloaded, not the limiter */
    bool has_limiter;
};

/* What was done: names of files in to_dir, and those that ld.so.preload has. */
struct divvy_cli_bootstrap_done {
    unsigned int copied, preloaded;
    char copied_names[DIVVY_CLI_BOOTSTRAP_FILES][64], preloaded_names[4][64];
};

/*
 * Whether the loader would take this for one path: absolute, without blanks, colons and "$", short enough. -EINVAL.
 */
int divvy_cli_bootstrap_path_check(const char *path, struct divvy_error *error);

/*
 * Puts everything in place, each file by rename: programs that have an older one mapped keep that. Several at once take turns. The
 * file for the loader is written last. -ENOENT: a folder or library is missing; and what else files can fail with.
 */
int divvy_cli_bootstrap_run(const struct divvy_cli_bootstrap *bootstrap, struct divvy_cli_bootstrap_done *ret_done,
                            struct divvy_error *error);

#endif
