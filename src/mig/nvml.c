/* Loading of NVML: see nvml.h. The library stays loaded: unloading a driver is not safe. */
#include "mig/nvml.h"

#include "mig/error.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int divvy_mig_nvml_errno(nvmlReturn_t result) {
    switch (result) {
    case NVML_SUCCESS:
        return 0;
    case NVML_ERROR_NO_PERMISSION:
        return -EPERM;
    case NVML_ERROR_DRIVER_NOT_LOADED:
    case NVML_ERROR_LIBRARY_NOT_FOUND:
        return -ENODEV;
    case NVML_ERROR_INSUFFICIENT_RESOURCES:
        return -ENOSPC;
    case NVML_ERROR_IN_USE:
        return -EBUSY;
    default:
        return -EIO;
    }
}

static int functions_load(void *library, struct divvy_mig *mig, struct divvy_mig_error *error) {
#define LOAD(symbol) mig->symbol = (__typeof__(mig->symbol))dlsym(library, #symbol);
#define CHECK(symbol)                                                                              \
    if (!mig->symbol)                                                                              \
        return divvy_mig_error_set(error, -EIO, "%s lacks " #symbol, mig->library);
    DIVVY_MIG_NVML_NEEDED(LOAD)
    DIVVY_MIG_NVML_WANTED(LOAD)
    DIVVY_MIG_NVML_NEEDED(CHECK)
#undef LOAD
#undef CHECK
    return 0;
}

static int library_open(const char *name, struct divvy_mig *mig, struct divvy_mig_error *error) {
    void *library;

    if (strlen(name) >= sizeof mig->library)
        return divvy_mig_error_set(error, -ENOENT, "the name of NVML's library is too long: %.60s…", name);
    (void)snprintf(mig->library, sizeof mig->library, "%s", name);
    library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char *reason = dlerror();

        if (reason && !strstr(reason, "No such file"))
            return divvy_mig_error_set(error, -EIO, "NVML cannot be loaded: %s", reason);
        return divvy_mig_error_set(error, -ENOENT, "no NVML here (%s is not found); it comes with NVIDIA's driver", name);
    }
    return functions_load(library, mig, error);
}

int divvy_mig_open(const char *library, struct divvy_mig **ret_mig, struct divvy_mig_error *error) {
    struct divvy_mig *mig = calloc(1, sizeof *mig);
    nvmlReturn_t result;
    int status;

    if (!mig)
        return divvy_mig_error_set_errno(error, -ENOMEM, "NVML");
    status = library_open(library ? library : "libnvidia-ml.so.1", mig, error);
    if (status == 0 && (result = mig->nvmlInit_v2()) != NVML_SUCCESS)
        status = divvy_mig_error_set(error, divvy_mig_nvml_errno(result) == -ENODEV ? -ENODEV : -EIO,
                                     "NVML does not begin: %s", mig->nvmlErrorString(result));
    if (status < 0) {
        free(mig);
        return status;
    }
    *ret_mig = mig;
    return 0;
}

void divvy_mig_close(struct divvy_mig *mig) {
    if (!mig)
        return;
    if (!mig->is_apart)
        (void)mig->nvmlShutdown();
    divvy_mig_list_free(mig->fresh);
    free(mig);
}
