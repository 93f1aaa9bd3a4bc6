/*
 * The platform's configuration put into the files: config/workers.json remembers what the platform said last, and what is different from that is
 * carried over to state/workers.json. So a change made here by hand stays until the platform changes the same worker, and a worker that only
 * this machine knows is never touched.
 */
#ifndef DIVVY_AGENT_APPLY_H
#define DIVVY_AGENT_APPLY_H

#include "backend/filestate.h"
#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>

struct divvy_agent_files {
    struct divvy_backend_filestate *state;  /* state/workers.json */
    struct divvy_backend_filestate *config; /* config/workers.json */
    const char *config_folder;              /* where <worker>_share_codes go */
    bool state_is_missing; /* there is no state/workers.json at all: everything is carried over */
};

/*
 * `config` has passed divvy_agent_shape_config. State first, then config: cut off in between, the next call does the rest. 0, or what the
 * files say; then nothing is lost and the call can be made again.
 */
int divvy_agent_config_apply(const struct divvy_agent_files *files, const json_t *config,
                             struct divvy_error *error);

/* The share codes of a worker, one a line, mode 0600; no list or an empty one removes the file. */
int divvy_agent_share_codes_write(const char *config_folder, const char *worker,
                                  const json_t *codes, struct divvy_error *error);

#endif
