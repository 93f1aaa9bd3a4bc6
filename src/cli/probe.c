/* Asking the driver, inside a child process: see gpu.h. */
#include "base/child.h"
#include "cli/gpu.h"
#include "core/clock.h"
#include "cuda/driver.h"
#include "cuda/nvml.h"

#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PROBE_TIMEOUT_NS (30 * DIVVY_NS_PER_SECOND)

/* What the child is told. */
struct question {
    const char *driver_dir;
    unsigned int flags;
};

/* Functions of the driver that are asked, in structures filled by name. */
#define CUDA_ASKED(X)                                                                              \
    X(cuInit)                                                                                      \
    X(cuGetErrorName)                                                                              \
    X(cuDriverGetVersion)                                                                          \
    X(cuDeviceGetCount)                                                                            \
    X(cuDeviceGet)                                                                                 \
    X(cuDeviceGetName)                                                                             \
    X(cuDeviceGetUuid)                                                                             \
    X(cuDeviceTotalMem_v2)                                                                         \
    X(cuDeviceGetAttribute)                                                                        \
    X(cuDeviceGetPCIBusId)

#define NVML_ASKED(X)                                                                              \
    X(nvmlInit_v2)                                                                                 \
    X(nvmlErrorString)                                                                             \
    X(nvmlDeviceGetCount_v2)                                                                       \
    X(nvmlDeviceGetHandleByIndex_v2)                                                               \
    X(nvmlDeviceGetName)                                                                           \
    X(nvmlDeviceGetUUID)                                                                           \
    X(nvmlDeviceGetMemoryInfo)                                                                     \
    X(nvmlDeviceGetPciInfo_v3)                                                                     \
    X(nvmlDeviceGetComputeMode)                                                                    \
    X(nvmlDeviceGetMigMode)

/* Those that older drivers lack. */
#define CUDA_WANTED(X) X(cuDeviceGetUuid_v2) /* MIG devices by their own UUID */
#define NVML_WANTED(X)                                                                             \
    X(nvmlDeviceGetTemperature)                                                                    \
    X(nvmlDeviceGetTotalEccErrors)                                                                 \
    X(nvmlDeviceGetMaxMigDeviceCount)                                                              \
    X(nvmlDeviceGetMigDeviceHandleByIndex)

#define MEMBER(symbol) __typeof__(&symbol) symbol;
struct cuda_functions {
    CUDA_ASKED(MEMBER) CUDA_WANTED(MEMBER)
};
struct nvml_functions {
    NVML_ASKED(MEMBER) NVML_WANTED(MEMBER)
};
#undef MEMBER

static void *library_open(const struct question *question, const char *name,
                          struct divvy_cli_driver *driver) {
    char path[PATH_MAX];
    void *library;
    struct link_map *map;

    (void)snprintf(path, sizeof path, "%s%s%s", question->driver_dir ? question->driver_dir : "",
                   question->driver_dir ? "/" : "", name);
    library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char *reason = dlerror();

        /* A library that is there but cannot be loaded is broken, not missing. */
        driver->state =
            strstr(reason, "No such file") ? DIVVY_CLI_DRIVER_MISSING : DIVVY_CLI_DRIVER_BROKEN;
        (void)snprintf(driver->text, sizeof driver->text, "%s", reason);
        return NULL;
    }
    if (dlinfo(library, RTLD_DI_LINKMAP, &map) == 0 && map->l_name)
        (void)snprintf(driver->path, sizeof driver->path, "%s", map->l_name);
    return library;
}

#define LOAD(symbol)                                                                               \
    functions->symbol = (__typeof__(functions->symbol))dlsym(library, #symbol);                    \
    if (!functions->symbol) {                                                                      \
        driver->state = DIVVY_CLI_DRIVER_BROKEN;                                                   \
        (void)snprintf(driver->text, sizeof driver->text, "it lacks " #symbol);                    \
        return false;                                                                              \
    }

#define LOAD_WANTED(symbol)                                                                        \
    functions->symbol = (__typeof__(functions->symbol))dlsym(library, #symbol);

static bool cuda_load(void *library, struct cuda_functions *functions,
                      struct divvy_cli_driver *driver) {
    CUDA_ASKED(LOAD)
    CUDA_WANTED(LOAD_WANTED)
    if (!functions->cuDeviceGetUuid_v2)
        functions->cuDeviceGetUuid_v2 = functions->cuDeviceGetUuid;
    return true;
}

static bool nvml_load(void *library, struct nvml_functions *functions,
                      struct divvy_cli_driver *driver) {
    NVML_ASKED(LOAD)
    NVML_WANTED(LOAD_WANTED)
    return true;
}

#undef LOAD
#undef LOAD_WANTED

/*
 * What a driver writes to stderr when it does not start says more than its error code: for example
 * which variable the simulated one cannot read. Stderr of this child goes to a file without a name.
 */
static int words_catch(void) {
    int fd = memfd_create("words", MFD_CLOEXEC);

    if (fd >= 0)
        (void)dup2(fd, STDERR_FILENO);
    return fd;
}

/* Appends the last line that was caught, if there is one. */
static void words_add(int fd, char *text, size_t size_bytes) {
    char words[512];
    size_t used = strlen(text);
    off_t end = lseek(fd, 0, SEEK_END);
    off_t start = end > (off_t)sizeof words - 1 ? end - (off_t)sizeof words + 1 : 0;
    ssize_t length = pread(fd, words, sizeof words - 1, start);
    const char *line;

    while (length > 0 && words[length - 1] == '\n')
        length--;
    if (length <= 0)
        return;
    words[length] = '\0';
    line = strrchr(words, '\n');
    (void)snprintf(text + used, size_bytes - used, "; it says: %s", line ? line + 1 : words);
}

static uint64_t nvml_total(const struct nvml_functions *nvml, nvmlDevice_t device) {
    nvmlMemory_t memory = {0};

    return nvml->nvmlDeviceGetMemoryInfo(device, &memory) == NVML_SUCCESS ? memory.total : 0;
}

/* The MIG devices of a GPU; their indices have holes. Those with names of the old form are left out:
 * they have no UUID. */
static void nvml_instances_ask(const struct nvml_functions *nvml, nvmlDevice_t parent,
                               const struct divvy_cli_gpu *whole,
                               struct divvy_cli_gpu_list *list) {
    unsigned int most = 0;

    if (!nvml->nvmlDeviceGetMaxMigDeviceCount || !nvml->nvmlDeviceGetMigDeviceHandleByIndex ||
        nvml->nvmlDeviceGetMaxMigDeviceCount(parent, &most) != NVML_SUCCESS)
        return;
    for (unsigned int i = 0; i < most && list->count < DIVVY_CLI_GPUS_MAX; i++) {
        struct divvy_cli_gpu gpu = {.index = whole->index, .is_instance = true, .instance = i,
                                    .temperature_c = -1, .uncorrected_errors = -1};
        char uuid[96] = "";
        nvmlDevice_t device;
        bool is_mig = false;

        if (nvml->nvmlDeviceGetMigDeviceHandleByIndex(parent, i, &device) != NVML_SUCCESS ||
            nvml->nvmlDeviceGetUUID(device, uuid, sizeof uuid) != NVML_SUCCESS ||
            divvy_core_uuid_parse_any(uuid, strlen(uuid), &gpu.uuid, &is_mig, NULL) < 0 || !is_mig)
            continue;
        if (nvml->nvmlDeviceGetName(device, gpu.name, sizeof gpu.name) != NVML_SUCCESS)
            (void)snprintf(gpu.name, sizeof gpu.name, "unknown");
        gpu.memory_bytes = nvml_total(nvml, device);
        memcpy(gpu.pci, whole->pci, sizeof gpu.pci);
        list->gpus[list->count++] = gpu;
    }
}

/* What wears a GPU out; some have no such memory or do not tell. */
static void nvml_health_ask(const struct nvml_functions *nvml, nvmlDevice_t device, struct divvy_cli_gpu *gpu) {
    unsigned int degrees;
    unsigned long long errors;

    gpu->temperature_c = gpu->uncorrected_errors = -1;
    if (nvml->nvmlDeviceGetTemperature && nvml->nvmlDeviceGetTemperature(device, NVML_TEMPERATURE_GPU, &degrees) == NVML_SUCCESS)
        gpu->temperature_c = degrees;
    if (nvml->nvmlDeviceGetTotalEccErrors &&
        nvml->nvmlDeviceGetTotalEccErrors(device, NVML_MEMORY_ERROR_TYPE_UNCORRECTED, NVML_VOLATILE_ECC, &errors) == NVML_SUCCESS)
        gpu->uncorrected_errors = errors > INT64_MAX ? INT64_MAX : (int64_t)errors;
}

static void nvml_device_ask(const struct nvml_functions *nvml, unsigned int index,
                            struct divvy_cli_gpu_list *list) {
    struct divvy_cli_gpu gpu = {.index = index};
    char uuid[96] = "";
    nvmlDevice_t device;
    nvmlPciInfo_t pci = {0};
    nvmlComputeMode_t mode;
    unsigned int mig, pending;

    if (nvml->nvmlDeviceGetHandleByIndex_v2(index, &device) != NVML_SUCCESS ||
        nvml->nvmlDeviceGetUUID(device, uuid, sizeof uuid) != NVML_SUCCESS ||
        divvy_core_uuid_parse(uuid, strlen(uuid), &gpu.uuid, NULL) < 0 ||
        list->count == DIVVY_CLI_GPUS_MAX)
        return;
    if (nvml->nvmlDeviceGetName(device, gpu.name, sizeof gpu.name) != NVML_SUCCESS)
        (void)snprintf(gpu.name, sizeof gpu.name, "unknown");
    gpu.memory_bytes = nvml_total(nvml, device);
    nvml_health_ask(nvml, device, &gpu);
    if (nvml->nvmlDeviceGetPciInfo_v3(device, &pci) == NVML_SUCCESS)
        (void)snprintf(gpu.pci, sizeof gpu.pci, "%.19s", pci.busId);
    if (nvml->nvmlDeviceGetComputeMode(device, &mode) == NVML_SUCCESS)
        gpu.exclusive = mode != NVML_COMPUTEMODE_DEFAULT;
    if (nvml->nvmlDeviceGetMigMode(device, &mig, &pending) == NVML_SUCCESS)
        gpu.mig = mig != 0;
    list->gpus[list->count++] = gpu;
    if (gpu.mig)
        nvml_instances_ask(nvml, device, &gpu, list);
}

static void nvml_ask(const struct question *question, struct divvy_cli_gpu_list *list) {
    void *library = library_open(question, "libnvidia-ml.so.1", &list->nvml);
    struct nvml_functions nvml;
    unsigned int count = 0;
    nvmlReturn_t result;

    if (!library || !nvml_load(library, &nvml, &list->nvml))
        return;
    result = nvml.nvmlInit_v2();
    if (result == NVML_SUCCESS)
        result = nvml.nvmlDeviceGetCount_v2(&count);
    if (result != NVML_SUCCESS) {
        list->nvml.state = result == NVML_ERROR_DRIVER_NOT_LOADED ? DIVVY_CLI_DRIVER_NO_DEVICE
                                                                  : DIVVY_CLI_DRIVER_BROKEN;
        (void)snprintf(list->nvml.text, sizeof list->nvml.text, "NVML: %s",
                       nvml.nvmlErrorString(result));
        return;
    }
    for (unsigned int i = 0; i < count; i++)
        nvml_device_ask(&nvml, i, list);
    list->nvml.state = list->count ? DIVVY_CLI_DRIVER_OK : DIVVY_CLI_DRIVER_NO_DEVICE;
}

/* The entry of `known` with this UUID, else a new one numbered as the driver numbers. */
static struct divvy_cli_gpu cuda_device_start(const struct divvy_cli_gpu_list *known,
                                              const divvy_core_uuid_t *uuid, int ordinal) {
    for (uint32_t i = 0; i < known->count; i++)
        if (divvy_core_uuid_equal(&known->gpus[i].uuid, uuid))
            return known->gpus[i];
    return (struct divvy_cli_gpu){.index = (uint32_t)ordinal, .uuid = *uuid};
}

static int cuda_device_ask(const struct cuda_functions *cuda, int ordinal,
                           const struct divvy_cli_gpu_list *known, struct divvy_cli_gpu *ret_gpu) {
    struct divvy_cli_gpu gpu;
    divvy_core_uuid_t uuid;
    CUuuid driver_uuid;
    CUdevice device;
    size_t total_bytes;
    int sm_count = 0;

    if (cuda->cuDeviceGet(&device, ordinal) != CUDA_SUCCESS ||
        cuda->cuDeviceGetUuid_v2(&driver_uuid, device) != CUDA_SUCCESS ||
        cuda->cuDeviceTotalMem_v2(&total_bytes, device) != CUDA_SUCCESS)
        return -1;
    memcpy(uuid.bytes, &driver_uuid, sizeof uuid.bytes);
    gpu = cuda_device_start(known, &uuid, ordinal);
    gpu.memory_bytes = total_bytes;
    gpu.has_driver_facts = true;
    (void)cuda->cuDeviceGetName(gpu.name, (int)sizeof gpu.name, device);
    if (!gpu.pci[0])
        (void)cuda->cuDeviceGetPCIBusId(gpu.pci, (int)sizeof gpu.pci, device);
    if (cuda->cuDeviceGetAttribute(&sm_count, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, device) ==
        CUDA_SUCCESS)
        gpu.sm_count = (uint32_t)sm_count;
    *ret_gpu = gpu;
    return 0;
}

static CUresult cuda_start(const struct cuda_functions *cuda, struct divvy_cli_driver *driver,
                           int *ret_count) {
    CUresult result;
    const char *name = "unknown error";
    int words = words_catch();

    (void)cuda->cuDriverGetVersion(&driver->version);
    result = cuda->cuInit(0);
    if (result == CUDA_SUCCESS)
        result = cuda->cuDeviceGetCount(ret_count);
    if (result == CUDA_SUCCESS)
        return result;
    (void)cuda->cuGetErrorName(result, &name);
    driver->state =
        result == CUDA_ERROR_NO_DEVICE ? DIVVY_CLI_DRIVER_NO_DEVICE : DIVVY_CLI_DRIVER_BROKEN;
    (void)snprintf(driver->text, sizeof driver->text, "cuInit: %s", name);
    if (words >= 0)
        words_add(words, driver->text, sizeof driver->text);
    return result;
}

static void list_merge(struct divvy_cli_gpu_list *list, const struct divvy_cli_gpu *gpu) {
    for (uint32_t i = 0; i < list->count; i++)
        if (divvy_core_uuid_equal(&list->gpus[i].uuid, &gpu->uuid)) {
            list->gpus[i] = *gpu;
            return;
        }
    if (list->count < DIVVY_CLI_GPUS_MAX)
        list->gpus[list->count++] = *gpu;
}

static void cuda_ask(const struct question *question, struct divvy_cli_gpu_list *list) {
    static struct divvy_cli_gpu_list known;
    void *library = library_open(question, "libcuda.so.1", &list->cuda);
    struct cuda_functions cuda;
    int count = 0;

    known = *list;
    if (question->flags & DIVVY_CLI_GPU_AS_PROGRAM)
        list->count = 0;
    if (!library || !cuda_load(library, &cuda, &list->cuda) ||
        cuda_start(&cuda, &list->cuda, &count) != CUDA_SUCCESS)
        return;
    for (int i = 0; i < count; i++) {
        struct divvy_cli_gpu gpu;

        if (cuda_device_ask(&cuda, i, &known, &gpu) == 0)
            list_merge(list, &gpu);
    }
    list->cuda.state = count ? DIVVY_CLI_DRIVER_OK : DIVVY_CLI_DRIVER_NO_DEVICE;
}

/* The simulated driver lies in a folder of this name wherever it is installed. */
static bool is_simulated(const char *path) {
    const char *slash = strrchr(path, '/');

    return slash && slash - path >= 7 && strncmp(slash - 7, "/simgpu", 7) == 0;
}

static int probe(void *data, int fd) {
    static struct divvy_cli_gpu_list list;
    const struct question *question = data;

    if (!(question->flags & DIVVY_CLI_GPU_AS_PROGRAM)) {
        (void)unsetenv("CUDA_VISIBLE_DEVICES");
        (void)setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID", 1);
    }
    nvml_ask(question, &list);
    if ((question->flags & (DIVVY_CLI_GPU_WITH_CUDA | DIVVY_CLI_GPU_AS_PROGRAM)) ||
        list.nvml.state != DIVVY_CLI_DRIVER_OK)
        cuda_ask(question, &list);
    list.simulated = is_simulated(list.cuda.path[0] ? list.cuda.path : list.nvml.path);
    return write(fd, &list, sizeof list) == (ssize_t)sizeof list ? 0 : 1;
}

int divvy_cli_gpu_list_read(const char *driver_dir, unsigned int flags,
                            struct divvy_cli_gpu_list *ret_list, struct divvy_error *error) {
    struct question question = {driver_dir, flags};
    struct divvy_child_result result;
    int status;

    status = divvy_child_collect(probe, &question, 0, PROBE_TIMEOUT_NS, ret_list, sizeof *ret_list,
                                 &result, error);
    if (status < 0)
        return status;
    if (!result.timed_out && result.length == sizeof *ret_list)
        return 0;
    memset(ret_list, 0, sizeof *ret_list);
    ret_list->cuda.state = DIVVY_CLI_DRIVER_BROKEN;
    (void)snprintf(ret_list->cuda.text, sizeof ret_list->cuda.text, "%s",
                   result.timed_out ? "it does not answer within 30 s"
                                    : "it crashes the program that loads it");
    return 0;
}
