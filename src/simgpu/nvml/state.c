/* What the functions of the simulated NVML share: attachment, handles, text, and figures over sampling periods. */
#include "simgpu/nvml/api.h"

#include "core/checked.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* A handle is the address of an element; it stays the same over shutdown and a new initialisation. */
struct nvmlDevice_st {
    char unused;
};
static struct nvmlDevice_st handles[DIVVY_SIMGPU_DEVICES_MAX];

/* Of MIG devices: by generation of the unit too, so that the handle of a destroyed one is known as such. */
enum { MIG_UNITS = DIVVY_SIMGPU_UNITS_MAX - DIVVY_SIMGPU_DEVICES_MAX, GENERATIONS = 256 };
static struct nvmlDevice_st mig_handles[GENERATIONS][MIG_UNITS];

/* Wall clock minus the engine's clock when the library was last initialised. */
static int64_t wall_offset_ns;

nvmlReturn_t divvy_nvml_result(int status) {
    switch (-status) {
    case 0:
        return NVML_SUCCESS;
    case EINVAL:
        return NVML_ERROR_INVALID_ARGUMENT;
    case ENODEV:
        return NVML_ERROR_GPU_IS_LOST;
    case ENOTCONN:
        return NVML_ERROR_UNINITIALIZED;
    case ESRCH:
    case ENOENT:
        return NVML_ERROR_NOT_FOUND;
    case EOPNOTSUPP:
        return NVML_ERROR_NOT_SUPPORTED;
    case EBUSY:
        return NVML_ERROR_IN_USE;
    case ENOSPC:
        return NVML_ERROR_INSUFFICIENT_RESOURCES;
    case ENOMEM:
        return NVML_ERROR_MEMORY;
    default:
        return NVML_ERROR_UNKNOWN;
    }
}

/* A machine that cannot be joined is to NVML what a driver that is not loaded is; the cause goes to stderr, since the
 * interface has no place for it. */
nvmlReturn_t divvy_nvml_start(unsigned int flags) {
    char error[DIVVY_SIMGPU_ERROR_MAX] = "";
    struct timespec wall;
    int status = divvy_simgpu_attach(DIVVY_SIMGPU_OBSERVER, error);

    if (status != 0) {
        if (error[0] != '\0')
            (void)fprintf(stderr, "%s\n", error);
        return status == -ENOMEM ? NVML_ERROR_MEMORY : NVML_ERROR_DRIVER_NOT_LOADED;
    }
    if (divvy_simgpu_device_count() == 0 && (flags & NVML_INIT_FLAG_NO_GPUS) == 0) {
        divvy_simgpu_detach();
        return NVML_ERROR_DRIVER_NOT_LOADED;
    }
    (void)clock_gettime(CLOCK_REALTIME, &wall);
    wall_offset_ns = (int64_t)wall.tv_sec * INT64_C(1000000000) + wall.tv_nsec -
                     (int64_t)divvy_simgpu_now_ns();
    return NVML_SUCCESS;
}

nvmlReturn_t divvy_nvml_stop(void) {
    divvy_nvml_events_drop();
    divvy_simgpu_detach();
    return NVML_SUCCESS;
}

nvmlDevice_t divvy_nvml_handle(int index) {
    return &handles[index];
}

nvmlReturn_t divvy_nvml_device(nvmlDevice_t handle, const divvy_simgpu_device_t **ret_facts) {
    uintptr_t offset = (uintptr_t)handle - (uintptr_t)handles;
    int index = (int)(offset / sizeof(handles[0]));

    if (offset >= sizeof(handles) || offset % sizeof(handles[0]) != 0 ||
        index >= divvy_simgpu_device_count()) {
        divvy_simgpu_ci_t ci;

        NVM_TRY(divvy_nvml_mig_device(handle, &ci));
        return NVML_ERROR_NOT_SUPPORTED;
    }
    if (divvy_simgpu_device_lost(index))
        return NVML_ERROR_GPU_IS_LOST;
    *ret_facts = divvy_simgpu_device_get(index);
    return *ret_facts != NULL ? NVML_SUCCESS : NVML_ERROR_UNINITIALIZED;
}

nvmlDevice_t divvy_nvml_mig_handle(const divvy_simgpu_ci_t *ci) {
    return &mig_handles[ci->generation % GENERATIONS][ci->unit - DIVVY_SIMGPU_DEVICES_MAX];
}

nvmlReturn_t divvy_nvml_mig_device(nvmlDevice_t handle, divvy_simgpu_ci_t *ret_ci) {
    uintptr_t offset = (uintptr_t)handle - (uintptr_t)mig_handles;
    int unit = (int)(offset / sizeof(handles[0]) % MIG_UNITS) + DIVVY_SIMGPU_DEVICES_MAX;
    divvy_simgpu_ci_t ci;
    int status;

    if (offset >= sizeof(mig_handles) ||
        divvy_simgpu_unit_device(unit) >= divvy_simgpu_device_count())
        return NVML_ERROR_INVALID_ARGUMENT;
    status = divvy_simgpu_ci_of_unit(unit, &ci);
    if (status == -ENODEV && divvy_simgpu_device_lost(unit))
        return NVML_ERROR_GPU_IS_LOST;
    if (status != 0 || divvy_nvml_mig_handle(&ci) != handle)
        return NVML_ERROR_INVALID_ARGUMENT;
    *ret_ci = ci;
    return NVML_SUCCESS;
}

nvmlReturn_t divvy_nvml_any_device(nvmlDevice_t handle, const divvy_simgpu_device_t **ret_facts) {
    divvy_simgpu_ci_t ci;
    nvmlReturn_t result = divvy_nvml_device(handle, ret_facts);

    if (result != NVML_ERROR_NOT_SUPPORTED)
        return result;
    NVM_TRY(divvy_nvml_mig_device(handle, &ci));
    *ret_facts = divvy_simgpu_device_get(ci.unit);
    return *ret_facts != NULL ? NVML_SUCCESS : NVML_ERROR_INVALID_ARGUMENT;
}

bool divvy_nvml_is_divided(int device) {
    bool current = false, pending;

    return divvy_simgpu_mig_mode(device, &current, &pending) == 0 && current;
}

void divvy_nvml_driver_version(char version[DIVVY_NVML_DRIVER_BYTES]) {
    version[0] = '\0';
    (void)divvy_simgpu_driver_version(version, DIVVY_NVML_DRIVER_BYTES);
}

nvmlReturn_t divvy_nvml_text(const char *text, char *buffer, unsigned int length) {
    size_t bytes = strlen(text) + 1;

    NVM_REQUIRE(buffer);
    if (bytes > length)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    memcpy(buffer, text, bytes);
    return NVML_SUCCESS;
}

unsigned long long divvy_nvml_stamp_us(uint64_t engine_ns) {
    return (unsigned long long)((int64_t)engine_ns + wall_offset_ns) / 1000;
}

/* Periods lie on the engine's clock at whole multiples of their length, so that every process and every reader sees
 * the same ones. */
int divvy_nvml_periods(int device, int pid, unsigned long long since_us,
                       divvy_nvml_period_t periods[DIVVY_NVML_PERIODS_MAX], size_t *ret_count) {
    enum { BINS = (int)(DIVVY_NVML_PERIOD_NS / DIVVY_SIMGPU_BIN_NS) };
    divvy_simgpu_sample_t bins[DIVVY_SIMGPU_BINS];
    uint64_t busy_ns = 0;
    size_t count, in_period = 0, found = 0;
    int status = divvy_simgpu_samples(device, pid, 0, bins, DIVVY_SIMGPU_BINS, &count);

    if (status != 0)
        return status;
    for (size_t i = 0; i < count; i++) {
        if (bins[i].start_ns % DIVVY_NVML_PERIOD_NS < DIVVY_SIMGPU_BIN_NS)
            busy_ns = in_period = 0;
        busy_ns += bins[i].busy_ns;
        if (++in_period == BINS && found < DIVVY_NVML_PERIODS_MAX) {
            unsigned long long end_us =
                divvy_nvml_stamp_us(bins[i].start_ns + DIVVY_SIMGPU_BIN_NS);

            if (end_us > since_us)
                periods[found++] = (divvy_nvml_period_t){
                    .end_us = end_us,
                    .busy_permille = (unsigned int)(busy_ns * 1000 / DIVVY_NVML_PERIOD_NS),
                };
        }
    }
    *ret_count = found;
    return 0;
}

unsigned int divvy_nvml_busy_permille(int device) {
    unsigned int permille = 0;

    (void)divvy_simgpu_utilisation(device, 0, DIVVY_NVML_PERIOD_NS, &permille);
    return permille;
}

unsigned int divvy_nvml_power_mw(const divvy_simgpu_device_t *facts, unsigned int busy_permille) {
    uint64_t span_mw = divvy_core_u64_sub_floored(facts->power_limit_mw, facts->power_idle_mw);

    return facts->power_idle_mw + (unsigned int)(span_mw * busy_permille / 1000);
}
