/*
 * Model files: what a supervised run runs, as one JSON object. Required: name, engine, model_path (strings), vram_limit,
 * cpu_mem_limit (sizes as divvy_mig_size_parse reads them). Optional: model_args (array of strings), weights (string), slo_class
 * (string, "interactive"), batch_max (1), port (8080), gpu_device ("0"). Another key, or one that stands twice, is refused.
 *
 * The engine is the program; it is started with model_path and then the model_args.
 */
#ifndef DIVVY_MIG_RUNNER_MODEL_H
#define DIVVY_MIG_RUNNER_MODEL_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

#define DIVVY_RUNNER_MODEL_BYTES (1u << 20) /* of the file; longer ones are refused */

struct divvy_runner_model {
    void *json; /* holds the texts; internal */
    const char *name, *engine, *model_path;
    const char *weights; /* "" none */
    const char *slo_class, *gpu_device;
    char **arguments; /* engine, model_path, model_args, NULL */
    uint64_t vram_limit_bytes, memory_bytes;
    uint32_t batch_max;
    uint16_t port;
};

/* Reads text of any content. -EINVAL, -ERANGE (a size or number), -ENOMEM. To be freed with _done. */
int divvy_runner_model_parse(const char *text, size_t length, struct divvy_runner_model *ret_model, struct divvy_error *error);
/* The same with a file's, whose name is put before the error; what open says of it too. */
int divvy_runner_model_read(const char *path, struct divvy_runner_model *ret_model, struct divvy_error *error);
/* Also of one that is all zeros. */
void divvy_runner_model_done(struct divvy_runner_model *model);

#endif
