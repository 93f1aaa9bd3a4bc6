/*
 * A libnvidia-ml.so.1 with MIG for tests of the MIG library: devices, slots with holes, real names and sizes, and calls that
 * fail as a test wants. Environment, read at each nvmlInit:
 *
 *   FAKE_MIG        GPUs, separated by ';': MODEL[:SLOT,SLOT,…] with models A100-40 A100-80 H100 H200, or MODEL:off for one
 *                   with MIG off, MODEL:none for one that cannot do it, MODEL:later for one that is switched on at its next
 *                   reset. A SLOT is a profile ("1g.10gb", "1c.3g.40gb"), "-" a hole, "!" one that answers with an error.
 *   FAKE_MIG_FAIL   calls that fail, separated by ';': SYMBOL[@N][=CODE]; the N-th call of it in this process (without: each)
 *                   answers CODE (999, unknown error). "#N" as SYMBOL counts all calls.
 *   FAKE_MIG_NAMES  "none": instances have no name; "plain": the name of their GPU
 *   FAKE_MIG_LEGACY set: UUIDs of instances as MIG-GPU-…/GI/CI
 *   FAKE_MIG_STATE  a file that processes share, so that what one creates is seen by all
 *   FAKE_MIG_SLOW   microseconds that each call takes
 *   FAKE_MIG_KILL   number of the call, from when this was set, at which the process is killed before anything of it is done
 *   FAKE_MIG_CALLS  a file to which the number of calls is written at nvmlShutdown
 */
#include "cuda/nvml.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#define GPUS  16u
#define SLOTS 8u /* one more than cards have */

/* --- what cards offer ------------------------------------------------------------------------------------------- */

struct profile {
    unsigned int number, id, slices, eighths, mib;
    const char *name;
};

struct model {
    const char *key, *name;
    uint64_t mib;
    struct profile profiles[9];
};

static const struct model models[] = {
    {"A100-40", "NVIDIA A100-SXM4-40GB", 40536,
     {{0, 19, 1, 1, 4864, "1g.5gb"}, {7, 20, 1, 1, 4864, "1g.5gb+me"}, {9, 15, 1, 2, 9856, "1g.10gb"},
      {1, 14, 2, 2, 9856, "2g.10gb"}, {2, 9, 3, 4, 20096, "3g.20gb"}, {3, 5, 4, 4, 20096, "4g.20gb"},
      {4, 0, 7, 8, 40192, "7g.40gb"}}},
    {"A100-80", "NVIDIA A100-SXM4-80GB", 81251,
     {{0, 19, 1, 1, 9728, "1g.10gb"}, {7, 20, 1, 1, 9728, "1g.10gb+me"}, {9, 15, 1, 2, 19968, "1g.20gb"},
      {1, 14, 2, 2, 19968, "2g.20gb"}, {2, 9, 3, 4, 40192, "3g.40gb"}, {3, 5, 4, 4, 40192, "4g.40gb"},
      {4, 0, 7, 8, 81152, "7g.80gb"}}},
    {"H100", "NVIDIA H100 80GB HBM3", 81559,
     {{0, 19, 1, 1, 9984, "1g.10gb"}, {7, 20, 1, 1, 9984, "1g.10gb+me"}, {9, 15, 1, 2, 20096, "1g.20gb"},
      {1, 14, 2, 2, 20096, "2g.20gb"}, {2, 9, 3, 4, 40448, "3g.40gb"}, {3, 5, 4, 4, 40448, "4g.40gb"},
      {4, 0, 7, 8, 81152, "7g.80gb"}}},
    {"H200", "NVIDIA H200", 143771,
     {{0, 19, 1, 1, 16384, "1g.18gb"}, {7, 20, 1, 1, 16384, "1g.18gb+me"}, {9, 15, 1, 2, 33280, "1g.35gb"},
      {1, 14, 2, 2, 33280, "2g.35gb"}, {2, 9, 3, 4, 71424, "3g.71gb"}, {3, 5, 4, 4, 71424, "4g.71gb"},
      {4, 0, 7, 8, 143360, "7g.141gb"}}},
};

/* --- state ------------------------------------------------------------------------------------------------------ */

enum slot_state { SLOT_HOLE, SLOT_USED, SLOT_BROKEN, SLOT_HALF /* a GPU instance without compute instance */ };

struct slot {
    unsigned int state, profile, compute_slices, generation;
};

struct gpu {
    unsigned int model, mig, pending, can_mig;
    struct slot slots[SLOTS];
};

struct state {
    unsigned int magic, count, generation, live;
    struct gpu gpus[GPUS];
};

static struct state own_state, *state = &own_state;
static int state_fd = -1;
static unsigned int begun;
static unsigned long calls;

/* Handles are places: GPUs, GPU instances (also their MIG devices), compute instances. */
static uint8_t places[GPUS][SLOTS + 1], instances[GPUS][SLOTS], computes[GPUS][SLOTS];

static void lock(void) {
    if (state_fd >= 0)
        (void)flock(state_fd, LOCK_EX);
}

static void unlock(void) {
    if (state_fd >= 0)
        (void)flock(state_fd, LOCK_UN);
}

/* --- calls that fail -------------------------------------------------------------------------------------------- */

static struct {
    char symbol[64];
    unsigned long at, seen, code;
} failures[8];
static unsigned int failure_count;

static void failures_read(const char *text) {
    failure_count = 0;
    while (text && *text && failure_count < 8) {
        unsigned int place = failure_count++;
        int used = 0;

        failures[place].at = failures[place].seen = 0;
        failures[place].code = NVML_ERROR_UNKNOWN;
        if (sscanf(text, "%63[^@=;]%n", failures[place].symbol, &used) != 1)
            break;
        text += used;
        if (*text == '@')
            failures[place].at = strtoul(text + 1, (char **)&text, 10);
        if (*text == '=')
            failures[place].code = strtoul(text + 1, (char **)&text, 10);
        if (failures[place].symbol[0] == '#')
            failures[place].at = strtoul(failures[place].symbol + 1, NULL, 10);
        text += *text == ';';
    }
}

static void kill_when_due(void) {
    static unsigned long last, since;
    const char *text = getenv("FAKE_MIG_KILL");
    unsigned long at = text ? strtoul(text, NULL, 10) : 0;

    since = at == last ? since + 1 : 1;
    last = at;
    if (at != 0 && since == at)
        (void)raise(SIGKILL);
}

static nvmlReturn_t step(const char *symbol) {
    const char *slow = getenv("FAKE_MIG_SLOW");

    calls++;
    kill_when_due();
    if (slow)
        (void)usleep((useconds_t)strtoul(slow, NULL, 10));
    for (unsigned int i = 0; i < failure_count; i++) {
        if (failures[i].symbol[0] != '#' && strcmp(failures[i].symbol, symbol) != 0)
            continue;
        failures[i].seen++;
        if (failures[i].at == 0 || failures[i].at == failures[i].seen)
            return (nvmlReturn_t)failures[i].code;
    }
    return begun || strcmp(symbol, "nvmlInit_v2") == 0 ? NVML_SUCCESS : NVML_ERROR_UNINITIALIZED;
}

#define ENTER()                                                                                                                \
    do {                                                                                                                       \
        nvmlReturn_t entered = step(__func__);                                                                                 \
        if (entered != NVML_SUCCESS)                                                                                           \
            return entered;                                                                                                    \
    } while (0)

/* --- the machine as it is asked for ------------------------------------------------------------------------------- */

static void die(const char *what, const char *text) {
    (void)fprintf(stderr, "fake NVML: %s: %s\n", what, text);
    abort();
}

static const struct profile *profile_of(const struct gpu *gpu, unsigned int place) {
    return &models[gpu->model].profiles[place];
}

static void slot_read(struct gpu *gpu, unsigned int place, const char *text) {
    const char *name = text[1] == 'c' ? text + 3 : text;
    struct slot *slot = &gpu->slots[place];

    if (strcmp(text, "-") == 0)
        return;
    if (strcmp(text, "!") == 0) {
        slot->state = SLOT_BROKEN;
        return;
    }
    for (unsigned int i = 0; i < 9 && models[gpu->model].profiles[i].name; i++)
        if (strcmp(models[gpu->model].profiles[i].name, name) == 0) {
            *slot = (struct slot){.state = SLOT_USED,
                                  .profile = i,
                                  .compute_slices = name != text ? (unsigned int)(text[0] - '0') : profile_of(gpu, i)->slices};
            return;
        }
    die("no such profile", text);
}

static void gpu_read(struct gpu *gpu, char *text) {
    char *slots = strchr(text, ':'), *rest = NULL;
    unsigned int place = 0;

    if (slots)
        *slots++ = '\0';
    for (gpu->model = 0; strcmp(models[gpu->model].key, text) != 0;)
        if (++gpu->model == sizeof models / sizeof models[0])
            die("no such model", text);
    gpu->can_mig = gpu->mig = gpu->pending = 1;
    if (slots && strcmp(slots, "none") == 0)
        gpu->can_mig = gpu->mig = gpu->pending = 0;
    else if (slots && strcmp(slots, "off") == 0)
        gpu->mig = gpu->pending = 0;
    else if (slots && strcmp(slots, "later") == 0)
        gpu->mig = 0;
    else
        for (char *slot = slots ? strtok_r(slots, ",", &rest) : NULL; slot && place < SLOTS; slot = strtok_r(NULL, ",", &rest))
            slot_read(gpu, place++, slot);
}

static void machine_read(struct state *machine) {
    const char *spec = getenv("FAKE_MIG");
    char text[4096], *rest = NULL;

    memset(machine, 0, sizeof *machine);
    (void)snprintf(text, sizeof text, "%s", spec ? spec : "");
    for (char *gpu = strtok_r(text, ";", &rest); gpu && machine->count < GPUS; gpu = strtok_r(NULL, ";", &rest))
        gpu_read(&machine->gpus[machine->count++], gpu);
    machine->magic = 0x4d494721;
}

static void state_open(const char *path) {
    if (!path) {
        machine_read(&own_state);
        return;
    }
    if (state_fd < 0) {
        state_fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0666);
        if (state_fd < 0 || ftruncate(state_fd, sizeof *state) < 0)
            die("state", strerror(errno));
        state = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, state_fd, 0);
        if (state == MAP_FAILED)
            die("state", strerror(errno));
    }
    lock();
    if (state->magic == 0)
        machine_read(state);
    unlock();
}

/* --- handles ------------------------------------------------------------------------------------------------------ */

static bool place_of(const void *handle, uint8_t *table, unsigned int columns, unsigned int *ret_gpu, unsigned int *ret_slot) {
    const uint8_t *at = handle;
    size_t offset;

    if (at < table || at >= table + (size_t)GPUS * columns)
        return false;
    offset = (size_t)(at - table);
    *ret_gpu = (unsigned int)(offset / columns);
    *ret_slot = (unsigned int)(offset % columns);
    return *ret_gpu < state->count;
}

/* The GPU of a device's handle; *ret_slot is its slot, or SLOTS for a whole GPU. NULL: no such device (any more). */
static struct gpu *device_of(nvmlDevice_t device, unsigned int *ret_index, struct slot **ret_slot) {
    unsigned int slot;

    if (!place_of(device, &places[0][0], SLOTS + 1, ret_index, &slot))
        return NULL;
    *ret_slot = slot == SLOTS ? NULL : &state->gpus[*ret_index].slots[slot];
    return *ret_slot && (*ret_slot)->state != SLOT_USED ? NULL : &state->gpus[*ret_index];
}

#define DEVICE(device)                                                                                                         \
    unsigned int index = 0;                                                                                                    \
    struct slot *slot = NULL;                                                                                                  \
    struct gpu *gpu;                                                                                                           \
    ENTER();                                                                                                                   \
    gpu = device_of(device, &index, &slot);                                                                                    \
    if (!gpu)                                                                                                                  \
        return NVML_ERROR_INVALID_ARGUMENT;

/* --- NVML --------------------------------------------------------------------------------------------------------- */

nvmlReturn_t nvmlInit_v2(void) {
    failures_read(getenv("FAKE_MIG_FAIL"));
    ENTER();
    if (begun++ == 0)
        state_open(getenv("FAKE_MIG_STATE"));
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlShutdown(void) {
    const char *path = getenv("FAKE_MIG_CALLS");
    FILE *out = path ? fopen(path, "we") : NULL;

    if (out) {
        (void)fprintf(out, "%lu\n", calls);
        (void)fclose(out);
    }
    if (begun > 0)
        begun--; /* also where the answer is a failure: tests come after it */
    return step(__func__);
}

const char *nvmlErrorString(nvmlReturn_t result) {
    switch (result) {
    case NVML_ERROR_DRIVER_NOT_LOADED:
        return "Driver Not Loaded";
    case NVML_ERROR_NO_PERMISSION:
        return "Insufficient Permissions";
    case NVML_ERROR_INSUFFICIENT_RESOURCES:
        return "Insufficient Resources";
    case NVML_ERROR_GPU_IS_LOST:
        return "GPU is lost";
    default:
        return "Unknown Error";
    }
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count) {
    ENTER();
    *count = state->count;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device) {
    ENTER();
    if (index >= state->count)
        return NVML_ERROR_INVALID_ARGUMENT;
    *device = (nvmlDevice_t)(void *)&places[index][SLOTS];
    return NVML_SUCCESS;
}

static void gpu_uuid(unsigned int index, char text[64]) {
    (void)snprintf(text, 64, "GPU-%08x-1111-2222-3333-444444444444", 0xa0000000u + index);
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned int length) {
    char text[64];

    DEVICE(device)
    gpu_uuid(index, text);
    if (!slot) {
        (void)snprintf(uuid, length, "%s", text);
        return NVML_SUCCESS;
    }
    if (getenv("FAKE_MIG_LEGACY"))
        (void)snprintf(uuid, length, "MIG-%s/%u/0", text, (unsigned int)(slot - gpu->slots) + 1);
    else
        (void)snprintf(uuid, length, "MIG-%08x-%04x-5555-6666-777777777777", 0xb0000000u + index * 256 +
                       (unsigned int)(slot - gpu->slots), slot->generation);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned int length) {
    const char *names = getenv("FAKE_MIG_NAMES");

    DEVICE(device)
    if (!slot || (names && strcmp(names, "plain") == 0))
        (void)snprintf(name, length, "%s", models[gpu->model].name);
    else if (names)
        return NVML_ERROR_NOT_SUPPORTED;
    else if (slot->compute_slices != profile_of(gpu, slot->profile)->slices)
        (void)snprintf(name, length, "%s MIG %uc.%s", models[gpu->model].name, slot->compute_slices,
                       profile_of(gpu, slot->profile)->name);
    else
        (void)snprintf(name, length, "%s MIG %s", models[gpu->model].name, profile_of(gpu, slot->profile)->name);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory) {
    DEVICE(device)
    memory->total = (slot ? profile_of(gpu, slot->profile)->mib : models[gpu->model].mib) << 20;
    memory->used = 13ull << 20;
    memory->free = memory->total - memory->used;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *utilization) {
    DEVICE(device)
    if (slot || gpu->mig)
        return NVML_ERROR_NOT_SUPPORTED;
    *utilization = (nvmlUtilization_t){.gpu = 42, .memory = 7};
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned int *current, unsigned int *pending) {
    DEVICE(device)
    if (slot || !gpu->can_mig)
        return NVML_ERROR_NOT_SUPPORTED;
    *current = gpu->mig;
    *pending = gpu->pending;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned int *count) {
    DEVICE(device)
    *count = slot || !gpu->can_mig ? 0 : SLOTS;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device, unsigned int place, nvmlDevice_t *mig) {
    DEVICE(device)
    if (slot || place >= SLOTS)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (gpu->slots[place].state == SLOT_BROKEN)
        return NVML_ERROR_GPU_IS_LOST;
    if (gpu->slots[place].state != SLOT_USED)
        return NVML_ERROR_NOT_FOUND;
    *mig = (nvmlDevice_t)(void *)&places[index][place];
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetAttributes_v2(nvmlDevice_t device, nvmlDeviceAttributes_t *attributes) {
    DEVICE(device)
    if (!slot)
        return NVML_ERROR_NOT_SUPPORTED;
    *attributes = (nvmlDeviceAttributes_t){.gpuInstanceSliceCount = profile_of(gpu, slot->profile)->slices,
                                           .computeInstanceSliceCount = slot->compute_slices,
                                           .memorySizeMB = profile_of(gpu, slot->profile)->mib};
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetGpuInstanceId(nvmlDevice_t device, unsigned int *id) {
    DEVICE(device)
    if (!slot)
        return NVML_ERROR_INVALID_ARGUMENT;
    *id = (unsigned int)(slot - gpu->slots) + 1;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetComputeInstanceId(nvmlDevice_t device, unsigned int *id) {
    DEVICE(device)
    *id = 0;
    return slot ? NVML_SUCCESS : NVML_ERROR_INVALID_ARGUMENT;
}

/* --- profiles and creation ----------------------------------------------------------------------------------------- */

static const struct profile *profile_find(const struct gpu *gpu, unsigned int number, bool by_id, unsigned int *ret_place) {
    for (unsigned int i = 0; i < 9 && models[gpu->model].profiles[i].name; i++)
        if ((by_id ? profile_of(gpu, i)->id : profile_of(gpu, i)->number) == number) {
            *ret_place = i;
            return profile_of(gpu, i);
        }
    return NULL;
}

/* How many more of a profile fit: slices and eighths of memory, not places. */
static unsigned int room_for(const struct gpu *gpu, const struct profile *profile) {
    unsigned int slices = 7, eighths = 8, by_slices, by_memory;

    for (unsigned int i = 0; i < SLOTS; i++)
        if (gpu->slots[i].state == SLOT_USED || gpu->slots[i].state == SLOT_HALF) {
            slices -= profile_of(gpu, gpu->slots[i].profile)->slices;
            eighths -= profile_of(gpu, gpu->slots[i].profile)->eighths;
        }
    by_slices = slices > 7 ? 0 : slices / profile->slices;
    by_memory = eighths > 8 ? 0 : eighths / profile->eighths;
    if (strchr(profile->name, '+') && by_slices > 1)
        by_slices = 1;
    return by_slices < by_memory ? by_slices : by_memory;
}

nvmlReturn_t nvmlDeviceGetGpuInstanceProfileInfoV(nvmlDevice_t device, unsigned int number, nvmlGpuInstanceProfileInfo_v2_t *info) {
    const struct profile *profile;
    unsigned int place;

    DEVICE(device)
    if (info->version != NVML_STRUCT_VERSION(GpuInstanceProfileInfo, 2))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    profile = slot || !gpu->can_mig ? NULL : profile_find(gpu, number, false, &place);
    if (!profile)
        return NVML_ERROR_NOT_SUPPORTED;
    info->id = profile->id;
    info->sliceCount = profile->slices;
    info->instanceCount = 7 / profile->slices;
    info->memorySizeMB = profile->mib;
    (void)snprintf(info->name, sizeof info->name, "MIG %s", profile->name);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetGpuInstanceProfileInfo(nvmlDevice_t device, unsigned int number, nvmlGpuInstanceProfileInfo_t *info) {
    const struct profile *profile;
    unsigned int place;

    DEVICE(device)
    profile = slot || !gpu->can_mig ? NULL : profile_find(gpu, number, false, &place);
    if (!profile)
        return NVML_ERROR_NOT_SUPPORTED;
    *info = (nvmlGpuInstanceProfileInfo_t){
        .id = profile->id, .sliceCount = profile->slices, .instanceCount = 7 / profile->slices, .memorySizeMB = profile->mib};
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetGpuInstanceRemainingCapacity(nvmlDevice_t device, unsigned int id, unsigned int *count) {
    const struct profile *profile;
    unsigned int place;

    DEVICE(device)
    profile = slot ? NULL : profile_find(gpu, id, true, &place);
    if (!profile || !gpu->mig)
        return NVML_ERROR_NOT_SUPPORTED;
    *count = room_for(gpu, profile);
    return NVML_SUCCESS;
}

static nvmlReturn_t instance_create(struct gpu *gpu, unsigned int index, unsigned int id, nvmlGpuInstance_t *instance) {
    unsigned int place, profile_place;
    const struct profile *profile = profile_find(gpu, id, true, &profile_place);

    if (!profile)
        return NVML_ERROR_INVALID_ARGUMENT;
    for (place = 0; place < SLOTS && gpu->slots[place].state != SLOT_HOLE; place++)
        ;
    if (place == SLOTS || room_for(gpu, profile) == 0)
        return NVML_ERROR_INSUFFICIENT_RESOURCES;
    gpu->slots[place] = (struct slot){.state = SLOT_HALF, .profile = profile_place, .generation = ++state->generation};
    state->live++;
    *instance = (nvmlGpuInstance_t)(void *)&instances[index][place];
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceCreateGpuInstance(nvmlDevice_t device, unsigned int id, nvmlGpuInstance_t *instance) {
    nvmlReturn_t result;

    DEVICE(device)
    if (slot || !gpu->mig)
        return NVML_ERROR_NOT_SUPPORTED;
    lock();
    result = instance_create(gpu, index, id, instance);
    unlock();
    return result;
}

nvmlReturn_t nvmlDeviceGetGpuInstanceById(nvmlDevice_t device, unsigned int id, nvmlGpuInstance_t *instance) {
    DEVICE(device)
    if (slot || id == 0 || id > SLOTS || gpu->slots[id - 1].state == SLOT_HOLE)
        return NVML_ERROR_NOT_FOUND;
    *instance = (nvmlGpuInstance_t)(void *)&instances[index][id - 1];
    return NVML_SUCCESS;
}

#define INSTANCE(handle, table)                                                                                                \
    unsigned int index = 0, place = 0;                                                                                         \
    struct slot *slot;                                                                                                         \
    ENTER();                                                                                                                   \
    if (!place_of(handle, &(table)[0][0], SLOTS, &index, &place))                                                              \
        return NVML_ERROR_INVALID_ARGUMENT;                                                                                    \
    slot = &state->gpus[index].slots[place];

nvmlReturn_t nvmlGpuInstanceGetInfo(nvmlGpuInstance_t instance, nvmlGpuInstanceInfo_t *info) {
    INSTANCE(instance, instances)
    *info = (nvmlGpuInstanceInfo_t){.device = (nvmlDevice_t)(void *)&places[index][SLOTS],
                                    .id = place + 1,
                                    .profileId = profile_of(&state->gpus[index], slot->profile)->id};
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlGpuInstanceDestroy(nvmlGpuInstance_t instance) {
    INSTANCE(instance, instances)
    if (slot->state == SLOT_USED)
        return NVML_ERROR_IN_USE;
    if (slot->state == SLOT_HOLE)
        return NVML_ERROR_NOT_FOUND;
    lock();
    slot->state = SLOT_HOLE;
    state->live--;
    unlock();
    return NVML_SUCCESS;
}

/* Compute instances of 1, 2, 3, 4 and 7 slices. */
nvmlReturn_t nvmlGpuInstanceGetComputeInstanceProfileInfo(nvmlGpuInstance_t instance, unsigned int number, unsigned int engine,
                                                          nvmlComputeInstanceProfileInfo_t *info) {
    static const unsigned int slices[] = {1, 2, 3, 4, 7};

    INSTANCE(instance, instances)
    if (engine != NVML_COMPUTE_INSTANCE_ENGINE_PROFILE_SHARED || number >= 5 ||
        slices[number] > profile_of(&state->gpus[index], slot->profile)->slices)
        return NVML_ERROR_NOT_SUPPORTED;
    *info = (nvmlComputeInstanceProfileInfo_t){.id = number + 100, .sliceCount = slices[number], .instanceCount = 1};
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlGpuInstanceCreateComputeInstance(nvmlGpuInstance_t instance, unsigned int id, nvmlComputeInstance_t *compute) {
    static const unsigned int slices[] = {1, 2, 3, 4, 7};

    INSTANCE(instance, instances)
    if (slot->state != SLOT_HALF || id < 100 || id > 104)
        return NVML_ERROR_INVALID_ARGUMENT;
    lock();
    slot->compute_slices = slices[id - 100];
    slot->state = SLOT_USED;
    unlock();
    *compute = (nvmlComputeInstance_t)(void *)&computes[index][place];
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlGpuInstanceGetComputeInstanceById(nvmlGpuInstance_t instance, unsigned int id, nvmlComputeInstance_t *compute) {
    INSTANCE(instance, instances)
    if (slot->state != SLOT_USED || id != 0)
        return NVML_ERROR_NOT_FOUND;
    *compute = (nvmlComputeInstance_t)(void *)&computes[index][place];
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlComputeInstanceDestroy(nvmlComputeInstance_t compute) {
    INSTANCE(compute, computes)
    if (slot->state != SLOT_USED)
        return NVML_ERROR_NOT_FOUND;
    lock();
    slot->state = SLOT_HALF;
    unlock();
    return NVML_SUCCESS;
}
