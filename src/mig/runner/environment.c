/* The program's environment: see environment.h. */
#include "mig/runner/environment.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "core/text.h"
#include "core/uuid.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* More than any device has: with DIVVY_LIMIT_FITS the device's own size is the limit, and what is used of it is counted. */
#define WHOLE_DEVICE_BYTES (UINT64_C(1) << 62)

static int variable_set(const char *name, const char *value, struct divvy_error *error) {
    if (setenv(name, value, 1) == 0)
        return 0;
    return divvy_error_set_errno(error, -ENOMEM, "cannot set %s", name);
}

static int list_front(const char *name, const char *first, struct divvy_error *error) {
    cleanup_free char *list = divvy_install_list_front(first, getenv(name));

    return list ? variable_set(name, list, error) : divvy_error_set_errno(error, -ENOMEM, "cannot set %s", name);
}

size_t divvy_runner_limit_format(const struct divvy_runner_slice *slice, uint64_t bytes, char *ret_text, size_t size_bytes) {
    divvy_core_text_t text;
    unsigned int count = 0;

    divvy_core_text_init(&text, ret_text, size_bytes);
    for (uint32_t i = 0; i < slice->count; i++) {
        const struct divvy_mig_device *device = &slice->devices[i];
        /* Limits name GPUs: a slice goes by the GPU that it is part of, and the program sees no other part of it. */
        const char *name = device->is_mig ? device->parent_uuid : device->uuid;
        divvy_core_uuid_t uuid;

        if (divvy_core_uuid_parse(name, strlen(name), &uuid, NULL) < 0 || strstr(ret_text, name))
            continue;
        divvy_core_text_format(&text, "%s\"%s\": %llu", count++ ? ", " : "{", name, (unsigned long long)bytes);
    }
    if (count == 0)
        divvy_core_text_format(&text, "{\"0\": %llu", (unsigned long long)bytes);
    divvy_core_text_add(&text, "}");
    return text.is_cut ? 0 : text.length;
}

static int limiter_set(const struct divvy_runner_plan *plan, const struct divvy_runner_slice *slice, const char *folder,
                       struct divvy_error *error) {
    const char *own = getenv("TENSOR_FUSION_CUDA_MEM_LIMIT");
    char limit[DIVVY_RUNNER_DEVICES * 96];

    if (!plan->vram_limit_bytes && own && own[0])
        divvy_log_debug("TENSOR_FUSION_CUDA_MEM_LIMIT is set and stays as it is");
    else if (divvy_runner_limit_format(slice, plan->vram_limit_bytes ? plan->vram_limit_bytes : WHOLE_DEVICE_BYTES, limit,
                                       sizeof limit) == 0 ||
             variable_set("TENSOR_FUSION_CUDA_MEM_LIMIT", limit, error) < 0)
        return divvy_error_set_errno(error, -ENOMEM, "cannot set TENSOR_FUSION_CUDA_MEM_LIMIT");
    if (variable_set("DIVVY_LIMIT_FITS", "1", error) < 0 || variable_set("DIVVY_TENANT", plan->instance, error) < 0 ||
        variable_set("DIVVY_TENANT_DIR", folder, error) < 0)
        return error->status;
    return list_front("LD_PRELOAD", plan->install.limiter, error);
}

static int limiter_decide(const struct divvy_runner_plan *plan, const struct divvy_runner_slice *slice, const char *folder,
                          bool *ret_has_limiter, struct divvy_error *error) {
    /* The loader would split such a path and preload nothing. */
    bool is_usable = plan->install.limiter[0] && !strpbrk(plan->install.limiter, ": \t");

    *ret_has_limiter = is_usable && !plan->settings.no_limiter;
    if (*ret_has_limiter)
        return limiter_set(plan, slice, folder, error);
    if (plan->settings.no_limiter) {
        divvy_log_warn("HYPERCORE_DISABLE_SHIM is set: device memory is neither limited nor counted");
        return 0;
    }
    if (plan->vram_limit_bytes)
        return divvy_error_set(error, -ENOENT,
                               "libcuda_limiter.so is not where this runner is installed (../lib or ../lib/divvy, a path "
                               "without blanks and colons), and a limit of device memory needs it");
    divvy_log_warn("libcuda_limiter.so is not installed: device memory is not counted");
    return 0;
}

static int model_set(const struct divvy_runner_plan *plan, struct divvy_error *error) {
    const struct divvy_runner_model *model = &plan->model;
    char port[16], batch[16];

    if (!model->name)
        return 0;
    (void)snprintf(port, sizeof port, "%u", model->port);
    (void)snprintf(batch, sizeof batch, "%u", model->batch_max);
    if (variable_set("HYPERCORE_MODEL_PORT", port, error) < 0 ||
        variable_set("HYPERCORE_MODEL_BATCH_MAX", batch, error) < 0 ||
        variable_set("HYPERCORE_MODEL_SLO_CLASS", model->slo_class, error) < 0 ||
        variable_set("HYPERCORE_MODEL_WEIGHTS", model->weights, error) < 0)
        return error->status;
    return 0;
}

int divvy_runner_environment_set(const struct divvy_runner_plan *plan, const struct divvy_runner_slice *slice,
                                 const char *folder, const char *latency_socket, bool *ret_has_limiter,
                                 struct divvy_error *error) {
    const char *visible = slice->is_set ? slice->device.uuid : plan->visible_is_model ? plan->visible : NULL;

    /* What names the GPUs of a container says the same, where it is set. */
    if ((visible && variable_set("CUDA_VISIBLE_DEVICES", visible, error) < 0) ||
        (slice->is_set && getenv("NVIDIA_VISIBLE_DEVICES") && variable_set("NVIDIA_VISIBLE_DEVICES", visible, error) < 0) ||
        (plan->model_id[0] && variable_set("MODEL_ID", plan->model_id, error) < 0) ||
        (latency_socket && variable_set("HYPERCORE_LATENCY_SOCKET", latency_socket, error) < 0) ||
        (!getenv("PYTHONUNBUFFERED") && variable_set("PYTHONUNBUFFERED", "1", error) < 0) ||
        (plan->options.simulate && list_front("LD_LIBRARY_PATH", plan->install.simulated_dir, error) < 0) ||
        model_set(plan, error) < 0)
        return error->status;
    if (plan->settings.prefetch && variable_set("HYPERCORE_PREFETCH", "1", error) < 0)
        return error->status;
    if (!plan->settings.prefetch)
        (void)unsetenv("HYPERCORE_PREFETCH");
    return limiter_decide(plan, slice, folder, ret_has_limiter, error);
}
