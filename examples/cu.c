/* What the example programs share: see cu.h. */
#include "cu.h"

#include "core/clock.h"
#include "core/parse.h"
#include "core/uuid.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct cu_functions cu;

static const char *program_name(void) {
    return program_invocation_short_name;
}

static void __attribute__((noreturn, format(printf, 2, 3)))
end(int status, const char *format, ...) {
    va_list arguments;

    fprintf(stderr, "%s: ", program_name());
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(status);
}

void cu_check(CUresult result, const char *what) {
    const char *name = NULL;

    if (result == CUDA_SUCCESS)
        return;
    if (cu.GetErrorName)
        (void)cu.GetErrorName(result, &name);
    end(1, "%s failed: %s (%d)", what, name ? name : "unknown error", (int)result);
}

/* The simulated driver of this build or installation, found from where this program lies. */
static bool simulated_path(char *ret_path, size_t size) {
    static const char *const places[] = {"lib/simgpu", "lib/divvy/simgpu"};
    char folder[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", folder, sizeof folder - 1);

    if (length <= 0)
        return false;
    folder[length] = '\0';
    for (char *slash = strrchr(folder, '/'); slash && slash != folder;
         slash = strrchr(folder, '/')) {
        *slash = '\0';
        for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
            int written = snprintf(ret_path, size, "%s/%s/libcuda.so.1", folder, places[i]);

            if (written > 0 && (size_t)written < size && access(ret_path, R_OK) == 0)
                return true;
        }
    }
    return false;
}

static bool functions_load(void *driver) {
#define CU_LOAD(member, symbol) cu.member = (__typeof__(cu.member))dlsym(driver, #symbol);
    CU_FUNCTIONS(CU_LOAD)
    CU_OPTIONAL_FUNCTIONS(CU_LOAD)
#undef CU_LOAD
#define CU_HAVE(member, symbol)                                                                    \
    if (!cu.member)                                                                                \
        return false;
    CU_FUNCTIONS(CU_HAVE)
#undef CU_HAVE
    return true;
}

/* Loads one driver and initialises it; NULL, or why not. */
static const char *driver_start(const char *path) {
    void *driver = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    CUresult result;
    const char *name = "unknown error";

    if (!driver)
        return dlerror();
    if (!functions_load(driver))
        return "the driver is too old: it lacks functions that this program needs";
    result = cu.Init(0);
    if (result == CUDA_SUCCESS)
        return NULL;
    (void)cu.GetErrorName(result, &name);
    return name;
}

static void driver_load(const char *gpu) {
    bool wants_simulated = gpu && strcmp(gpu, "sim") == 0;
    char path[PATH_MAX];
    const char *failure = NULL;

    if (!wants_simulated) {
        failure = driver_start("libcuda.so.1");
        if (!failure)
            return;
        if (gpu)
            end(1, "no GPU driver: %s", failure);
        /*
         * Only a missing driver or device falls back: a limit that was refused or a fault must be
         * seen.
         */
        if (cu.Init && strcmp(failure, "CUDA_ERROR_NO_DEVICE") != 0)
            end(1, "the GPU driver does not start: %s", failure);
    }
    if (!simulated_path(path, sizeof path))
        end(1, "no GPU driver (%s), and the simulated GPU was not found beside this program",
            failure ? failure : "not asked for");
    if (!wants_simulated)
        fprintf(stderr, "%s: no GPU here; using the simulated GPU\n", program_name());
    failure = driver_start(path);
    if (failure)
        end(1, "the simulated GPU does not start: %s", failure);
}

static CUdevice device_find(const char *gpu) {
    divvy_core_uuid_t wanted;
    uint64_t index;
    CUdevice device;
    int count;

    cu_do(DeviceGetCount, &count);
    if (count == 0)
        end(1, "the driver shows no device");
    if (!gpu || strcmp(gpu, "sim") == 0) {
        cu_do(DeviceGet, &device, 0);
        return device;
    }
    if (divvy_core_u64_parse(gpu, strlen(gpu), &index, NULL) == 0) {
        if (index >= (uint64_t)count)
            end(2, "--gpu %s: there are %d devices, numbered from 0", gpu, count);
        cu_do(DeviceGet, &device, (int)index);
        return device;
    }
    if (divvy_core_uuid_parse(gpu, strlen(gpu), &wanted, NULL) < 0)
        end(2, "--gpu %s: neither 'sim' nor an index nor a UUID", gpu);
    for (int i = 0; i < count; i++) {
        CUuuid uuid;

        cu_do(DeviceGet, &device, i);
        cu_do(DeviceGetUuid, &uuid, device);
        if (memcmp(&uuid, wanted.bytes, sizeof wanted.bytes) == 0)
            return device;
    }
    end(2, "--gpu %s: no device has this UUID", gpu);
}

void cu_open(const char *gpu, struct cu_device *ret_device) {
    struct cu_device *d = ret_device;

    driver_load(gpu);
    *d = (struct cu_device){.device = device_find(gpu)};
    cu_do(DeviceGetName, d->name, (int)sizeof d->name, d->device);
    cu_do(DeviceTotalMem, &d->total_bytes, d->device);
    cu_do(DeviceGetAttribute, &d->sm_count, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, d->device);
    cu_do(DevicePrimaryCtxRetain, &d->context, d->device);
    cu_do(CtxSetCurrent, d->context);
}

void cu_close(struct cu_device *device) {
    cu_do(CtxSetCurrent, NULL);
    cu_do(DevicePrimaryCtxRelease, device->device);
}

CUmodule cu_module_load(const char *ptx) {
    char log[4096] = "";
    CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void *values[] = {log, (void *)(uintptr_t)sizeof log};
    CUmodule module;
    CUresult result = cu.ModuleLoadDataEx(&module, ptx, 2, options, values);

    if (result != CUDA_SUCCESS && log[0])
        fprintf(stderr, "%s\n", log);
    cu_check(result, "cuModuleLoadDataEx");
    return module;
}

void *cu_host(size_t size_bytes) {
    void *memory = calloc(1, size_bytes);

    if (!memory)
        end(1, "out of host memory");
    return memory;
}

double cu_now(void) {
    return (double)divvy_core_clock_ns() / 1e9;
}

bool cu_option(int argc, char **argv, int *at, const char *name, const char **ret_value) {
    const char *argument = argv[*at];
    size_t length = strlen(name);

    if (strncmp(argument, name, length) != 0)
        return false;
    if (!ret_value)
        return argument[length] == '\0';
    if (argument[length] == '=') {
        *ret_value = argument + length + 1;
        return true;
    }
    if (argument[length] != '\0')
        return false;
    if (*at + 1 >= argc)
        end(2, "%s needs a value (--help shows the options)", name);
    *ret_value = argv[++*at];
    return true;
}

uint64_t cu_number(const char *option, const char *value, uint64_t min, uint64_t max) {
    divvy_core_fault_t fault = {0, "out of range"};
    uint64_t number;

    if (divvy_core_u64_parse(value, strlen(value), &number, &fault) < 0)
        end(2, "%s %s: character %zu: %s", option, value, fault.position + 1, fault.reason);
    if (number < min || number > max)
        end(2, "%s %s: not between %llu and %llu", option, value, (unsigned long long)min,
            (unsigned long long)max);
    return number;
}

uint64_t cu_size(const char *option, const char *value, uint64_t total_bytes) {
    divvy_core_fault_t fault;
    divvy_core_size_t size;

    if (divvy_core_size_parse(value, strlen(value), &size, &fault) < 0)
        end(2, "%s %s: character %zu: %s", option, value, fault.position + 1, fault.reason);
    return divvy_core_size_resolve(&size, total_bytes);
}

void cu_other_argument(const char *argument, const char *help) {
    if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0) {
        fputs(help, stdout);
        exit(0);
    }
    end(2, "unknown argument '%s' (--help shows the options)", argument);
}
