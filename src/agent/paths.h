/*
 * Where ggo keeps its files: names that the first gpu-go used, and those of later versions where files of theirs are there.
 * Reads the environment; one thread.
 */
#ifndef DIVVY_AGENT_PATHS_H
#define DIVVY_AGENT_PATHS_H

#include "base/error.h"

#include <limits.h>
#include <stddef.h>

/* Absolute. Room is left for the names of files in them. */
#define DIVVY_AGENT_DIR_BYTES (PATH_MAX - 256)

struct divvy_agent_paths {
    char config[DIVVY_AGENT_DIR_BYTES]; /* config.json, gpus.json, workers.json */
    char state[DIVVY_AGENT_DIR_BYTES];  /* workers.json, devices.json, logs, agent.pid */
    char cache[DIVVY_AGENT_DIR_BYTES];
    char user[DIVVY_AGENT_DIR_BYTES]; /* token.json, and what `use` leaves; "" without a home */
};

/*
 * `config_dir` and `state_dir` are those of flags, NULL or empty without. Then
 *   config: GGO_CONFIG_DIR, /etc/gpugo for root, XDG_CONFIG_HOME/gpugo, ~/.config/gpugo; ~/.gpugo/config when only that holds a config.json
 *   state:  TENSOR_FUSION_STATE_DIR, GGO_STATE_DIR, /tmp/tensor-fusion-state; for root /var/lib/gpugo/state, unless the former is
 *           there, is root's and nobody else can write to it
 *   cache:  GGO_CACHE_DIR, /var/cache/gpugo for root, ~/.cache/gpugo
 *   user:   ~/.gpugo
 * Nothing is made. -EINVAL when a path cannot be told, -ENAMETOOLONG.
 */
int divvy_agent_paths_find(const char *config_dir, const char *state_dir,
                           struct divvy_agent_paths *ret_paths, struct divvy_error *error);

/* "FOLDER/NAME" in a buffer of PATH_MAX: always fits for names of fewer than 256 bytes. */
void divvy_agent_path_join(const char *folder, const char *name, char ret_path[PATH_MAX]);

/* Makes a folder and its parents; `mode` is that of the last. 0 when it is there. */
int divvy_agent_folder_make(const char *path, unsigned int mode, struct divvy_error *error);

#endif
