/* Codes of shares, and what `ggo use` leaves on disk for them. */
#ifndef DIVVY_AGENT_SHARE_H
#define DIVVY_AGENT_SHARE_H

#include "agent/grammar.h"
#include "base/error.h"

#include <jansson.h>

#define DIVVY_AGENT_CODE_BYTES 121

/* "abc123", "https://gpu.tf/s/abc123", "gpu.tf/s/abc123/": the last part. -EINVAL: no code in it. */
int divvy_agent_code_parse(const char *text, char ret_code[DIVVY_AGENT_CODE_BYTES],
                           struct divvy_error *error);

/* Asks the platform what a code leads to; no credential is needed. *ret_share is a new reference. */
int divvy_agent_code_resolve(const struct divvy_agent_call *call, const char *code,
                             json_t **ret_share, struct divvy_error *error);

/* An environment variable of a user of a share. */
struct divvy_agent_variable {
    const char *name;
    char *value; /* owned */
};
#define DIVVY_AGENT_VARIABLES_MAX 16u

struct divvy_agent_environment {
    unsigned int count;
    struct divvy_agent_variable variables[DIVVY_AGENT_VARIABLES_MAX];
    bool has_client; /* a GPU client library is installed, and the environment loads it */
};

/*
 * What a program needs to use a share: GPU_GO_CONNECTION_URL, GPU_GO_WORKER_ID, GPU_GO_VENDOR, GPU_GO_TMP_DIR, CUDA_VISIBLE_DEVICES; and
 * TENSOR_FUSION_OPERATOR_CONNECTION_INFO, TF_CONNECTION_INFO_PATH, TF_LOG_PATH, TF_LOG_LEVEL, TF_ENABLE_LOG; LD_LIBRARY_PATH, PATH and
 * LD_PRELOAD where the client's libraries are installed (`cache_folder`/libs, or lib/divvy/client beside this program).
 */
int divvy_agent_environment_make(const json_t *share, const char *tmp_folder,
                                 const char *cache_folder,
                                 struct divvy_agent_environment *ret_environment,
                                 struct divvy_error *error);
void divvy_agent_environment_done(struct divvy_agent_environment *environment);

#endif
