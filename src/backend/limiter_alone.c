/* Limits without a daemon: see allocation.h. */
#include "backend/allocation.h"

#include "base/cleanup.h"
#include "base/install.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

/* Whole percents of each device, or its bytes; NULL in *ret_text when no device has such a limit. */
static int limits_text(const struct divvy_node_claims *claims, bool memory, char **ret_text) {
    json_t *object = json_object();

    *ret_text = NULL;
    for (uint32_t i = 0; object && i < claims->count; i++) {
        const struct divvy_node_claim *claim = &claims->claims[i];
        json_int_t value = memory ? (json_int_t)claim->demand.limit_bytes : (json_int_t)(claim->demand.limit_permille + 9) / 10;

        if ((memory ? claim->demand.limit_bytes > 0 : claim->demand.limit_permille < DIVVY_NODE_PERMILLE_NONE) &&
            json_object_set_new(object, claim->uuid, json_integer(value)) < 0) {
            json_decref(object);
            return -ENOMEM;
        }
    }
    if (json_object_size(object))
        *ret_text = json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER);
    if (!object || (json_object_size(object) && !*ret_text)) {
        json_decref(object);
        return -ENOMEM;
    }
    json_decref(object);
    return 0;
}

static int preload_set(const char *library, struct divvy_backend_environment *environment, struct divvy_error *error) {
    struct divvy_install install = {.limiter = ""};
    cleanup_free char *list = NULL;
    int status = library ? 0 : divvy_install_find(&install, error);

    if (status < 0)
        return status;
    if (!library && !install.limiter[0])
        return divvy_error_set(error, -ENOENT, "libcuda_limiter.so is not found beside this program: limits could not be kept");
    list = divvy_install_list_front(library ? library : install.limiter, getenv("LD_PRELOAD"));
    return list ? divvy_backend_environment_set(environment, "LD_PRELOAD", list) : -ENOMEM;
}

static int alone_hold(void *data, const struct divvy_node_worker *worker, const struct divvy_node_claims *claims,
                      struct divvy_backend_environment *environment, struct divvy_error *error) {
    cleanup_free char *bytes = NULL, *percents = NULL;
    int status = limits_text(claims, true, &bytes);

    if (status == 0)
        status = limits_text(claims, false, &percents);
    if (status == 0 && (bytes || percents))
        status = preload_set(data, environment, error);
    if (status == 0)
        status = divvy_backend_environment_set(environment, "TENSOR_FUSION_CUDA_MEM_LIMIT", bytes);
    if (status == 0)
        status = divvy_backend_environment_set(environment, "TENSOR_FUSION_CUDA_UP_LIMIT", percents);
    if (status == 0)
        status = divvy_backend_environment_set(environment, "DIVVY_TENANT_DIR", NULL);
    if (status < 0 && !error->status)
        (void)divvy_error_set_errno(error, status, "limits of worker %.100s", worker->uid);
    return status;
}

static void alone_drop(void *data, const char *uid) {
    (void)data;
    (void)uid;
}

struct divvy_backend_limiter divvy_backend_limiter_alone(const char *library) {
    return (struct divvy_backend_limiter){.data = (void *)library, .hold = alone_hold, .drop = alone_drop};
}
