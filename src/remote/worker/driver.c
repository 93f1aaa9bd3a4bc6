/* Loading the CUDA driver: see driver.h. */
#include "remote/worker/driver.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct entry {
    const char *symbol;
    size_t offset;
    bool is_optional;
};

#define REQUIRED(name) {#name, offsetof(struct divvy_worker_driver, name), false},
#define OPTIONAL(name) {#name, offsetof(struct divvy_worker_driver, name), true},
static const struct entry entries[] = {DIVVY_WORKER_FUNCTIONS(REQUIRED)
                                           DIVVY_WORKER_OPTIONAL_FUNCTIONS(OPTIONAL)};

int divvy_worker_driver_load(struct divvy_worker_driver *ret_driver, struct divvy_error *error) {
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    struct divvy_worker_driver driver;
    CUresult result;
    int count = 0;

    if (!library)
        return divvy_error_set(error, -ENODEV, "%.200s", dlerror());
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        void *function = dlsym(library, entries[i].symbol);

        if (!function && !entries[i].is_optional)
            return divvy_error_set(error, -ENODEV, "the GPU driver is too old: it lacks %s",
                                   entries[i].symbol);
        memcpy((char *)&driver + entries[i].offset, &function, sizeof function);
    }
    result = driver.cuInit(0);
    if (result == CUDA_SUCCESS)
        result = driver.cuDeviceGetCount(&count);
    if (result != CUDA_SUCCESS)
        return divvy_error_set(error, -ENODEV, "the GPU driver does not start: %s (%d)",
                               divvy_worker_driver_error_name(&driver, result), (int)result);
    if (count < 1)
        return divvy_error_set(error, -ENODEV, "the GPU driver shows no GPU");
    *ret_driver = driver;
    return 0;
}

const char *divvy_worker_driver_error_name(const struct divvy_worker_driver *driver,
                                           CUresult result) {
    const char *name = NULL;

    if (driver->cuGetErrorName(result, &name) != CUDA_SUCCESS || !name)
        return "unknown error";
    return name;
}
