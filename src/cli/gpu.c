/* Choosing among GPUs: see gpu.h. */
#include "cli/gpu.h"

#include "core/parse.h"

#include <errno.h>
#include <string.h>

enum divvy_cli_driver_state divvy_cli_gpu_list_state(const struct divvy_cli_gpu_list *list) {
    if (list->count > 0)
        return DIVVY_CLI_DRIVER_OK;
    return list->cuda.state != DIVVY_CLI_DRIVER_ASKED_NOT ? list->cuda.state : list->nvml.state;
}

static bool is_simulated_word(const char *gpu) {
    return strcmp(gpu, "sim") == 0;
}

/* Whether `gpu` can be an answer at all, before any driver is asked. */
static int word_check(const char *gpu, struct divvy_error *error) {
    divvy_core_fault_t fault;
    divvy_core_uuid_t uuid;
    uint64_t index;
    bool is_mig;

    if (!gpu || is_simulated_word(gpu) ||
        divvy_core_u64_parse(gpu, strlen(gpu), &index, NULL) == 0 ||
        divvy_core_uuid_parse_any(gpu, strlen(gpu), &uuid, &is_mig, &fault) == 0)
        return 0;
    return divvy_error_set(
        error, -EINVAL,
        "--gpu '%s': character %zu: %s; write sim, a number, or a UUID as `divvy gpus' shows it",
        gpu, fault.position + 1, fault.reason);
}

static int broken_report(const struct divvy_cli_gpu_list *list, struct divvy_error *error) {
    const struct divvy_cli_driver *driver =
        list->cuda.state == DIVVY_CLI_DRIVER_ASKED_NOT ? &list->nvml : &list->cuda;

    return divvy_error_set(
        error, -ENODEV, "the GPU driver does not work (%s); see `divvy doctor', or use --gpu sim",
        driver->text);
}

static int simulated_read(const struct divvy_install *install, unsigned int flags,
                          struct divvy_cli_gpu_list *ret_list, struct divvy_error *error) {
    int status;

    if (!install->simulated_dir[0])
        return divvy_error_set(
            error, -ENOENT,
            "the simulated GPU is not installed (lib/simgpu/libcuda.so.1 is missing)");
    status = divvy_cli_gpu_list_read(install->simulated_dir, flags, ret_list, error);
    if (status < 0)
        return status;
    if (divvy_cli_gpu_list_state(ret_list) != DIVVY_CLI_DRIVER_OK)
        return divvy_error_set(error, -ENODEV, "the simulated GPU does not start (%s)",
                               ret_list->cuda.text[0] ? ret_list->cuda.text : ret_list->nvml.text);
    ret_list->simulated = true;
    return 0;
}

int divvy_cli_gpu_list_choose(const struct divvy_install *install, const char *gpu,
                              unsigned int flags, struct divvy_cli_gpu_list *ret_list,
                              bool *ret_fell_back, struct divvy_error *error) {
    int status = word_check(gpu, error);

    if (status < 0)
        return status;
    *ret_fell_back = false;
    if (gpu && is_simulated_word(gpu))
        return simulated_read(install, flags, ret_list, error);
    status = divvy_cli_gpu_list_read(NULL, flags, ret_list, error);
    if (status < 0)
        return status;
    switch (divvy_cli_gpu_list_state(ret_list)) {
    case DIVVY_CLI_DRIVER_OK:
        return 0;
    case DIVVY_CLI_DRIVER_BROKEN:
        return broken_report(ret_list, error);
    default:
        if (gpu)
            return divvy_error_set(
                error, -EINVAL, "--gpu %s: there is no GPU here; use --gpu sim for a simulated one",
                gpu);
        *ret_fell_back = true;
        return simulated_read(install, flags, ret_list, error);
    }
}

void divvy_cli_gpu_uuid_format(const struct divvy_cli_gpu *gpu,
                               char ret_text[DIVVY_CORE_UUID_TEXT_BYTES]) {
    divvy_core_uuid_format_any(&gpu->uuid, gpu->is_instance, ret_text);
}

static int picked(const struct divvy_cli_gpu *found, const char *gpu,
                  const struct divvy_cli_gpu **ret_gpu, struct divvy_error *error) {
    if (found->mig)
        return divvy_error_set(
            error, -EINVAL,
            "--gpu %s: this GPU is split into MIG instances; give one of them by its UUID, as "
            "`divvy gpus' shows it",
            gpu);
    *ret_gpu = found;
    return 0;
}

static int pick_first(const struct divvy_cli_gpu_list *list, const struct divvy_cli_gpu **ret_gpu,
                      struct divvy_error *error) {
    for (uint32_t i = 0; i < list->count; i++)
        if (!list->gpus[i].mig) {
            *ret_gpu = &list->gpus[i];
            return 0;
        }
    return divvy_error_set(error, -ENODEV, list->count == 0
                                               ? "no GPU is visible"
                                               : "MIG mode is on and there are no MIG instances");
}

int divvy_cli_gpu_pick(const struct divvy_cli_gpu_list *list, const char *gpu,
                       const struct divvy_cli_gpu **ret_gpu, struct divvy_error *error) {
    divvy_core_uuid_t uuid;
    uint32_t gpus = 0;
    uint64_t index;
    bool is_mig;

    if (!gpu || is_simulated_word(gpu))
        return pick_first(list, ret_gpu, error);
    if (divvy_core_u64_parse(gpu, strlen(gpu), &index, NULL) == 0) {
        for (uint32_t i = 0; i < list->count; i++) {
            if (list->gpus[i].index == index && !list->gpus[i].is_instance)
                return picked(&list->gpus[i], gpu, ret_gpu, error);
            gpus += !list->gpus[i].is_instance;
        }
        return divvy_error_set(error, -EINVAL,
                               "--gpu %s: there are %u GPUs, numbered from 0; see `divvy gpus'",
                               gpu, gpus);
    }
    if (divvy_core_uuid_parse_any(gpu, strlen(gpu), &uuid, &is_mig, NULL) == 0)
        for (uint32_t i = 0; i < list->count; i++)
            if (divvy_core_uuid_equal(&list->gpus[i].uuid, &uuid))
                return picked(&list->gpus[i], gpu, ret_gpu, error);
    return divvy_error_set(error, -EINVAL, "--gpu %s: no GPU here has this UUID; see `divvy gpus'",
                           gpu);
}
