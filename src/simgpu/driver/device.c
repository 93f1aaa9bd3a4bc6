/* Devices: which of the machine's are seen, under which number, and their facts. */
#include "core/uuid.h"
#include "simgpu/driver/context.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Contexts keep a bit for each device seen. */
enum { SEEN_MAX = 32 };
static divvy_drv_device_t devices[SEEN_MAX];
static int device_count;

/* ---- which devices are seen ------------------------------------------------------------------ */

static bool faster(int a, int b) {
    const divvy_simgpu_device_t *x = divvy_simgpu_device_get(a), *y = divvy_simgpu_device_get(b);
    return (uint64_t)x->sm_count * x->sm_clock_khz > (uint64_t)y->sm_count * y->sm_clock_khz;
}

/* The machine's devices in the order of CUDA_DEVICE_ORDER: the fastest first, or as they sit on
 * the bus. */
static int sort_devices(int *order) {
    int count = divvy_simgpu_device_count();
    for (int i = 0; i < count; i++)
        order[i] = i;
    const char *how = getenv("CUDA_DEVICE_ORDER");
    if (how && !strcmp(how, "PCI_BUS_ID"))
        return count;
    for (int i = 1; i < count; i++)
        for (int j = i; j > 0 && faster(order[j], order[j - 1]); j--) {
            int swap = order[j];
            order[j] = order[j - 1];
            order[j - 1] = swap;
        }
    return count;
}

static bool is_divided(int device) {
    bool current, pending;
    return !divvy_simgpu_mig_mode(device, &current, &pending) && current;
}

/* Since driver 570 a process may see several MIG devices, one of each GPU instance; before, one
 * and nothing beside it. */
static bool sees_several(void) {
    char version[16] = "";
    (void)divvy_simgpu_driver_version(version, sizeof(version));
    return strtoul(version, NULL, 10) >= 570;
}

/* Adds the MIG devices of DEVICE that have a number of their own: the first one of the device, or
 * of each of its GPU instances. */
static int add_instances(int device, int *units, int count) {
    uint32_t instances = 0; /* bit per GPU instance that was added */
    divvy_simgpu_ci_t ci;
    for (unsigned index = 0; index < DIVVY_SIMGPU_MIG_MAX && count < SEEN_MAX; index++) {
        if (divvy_simgpu_ci_get(device, index, &ci) || instances >> ci.gi.slot & 1)
            continue;
        units[count++] = ci.unit;
        instances |= 1u << ci.gi.slot;
        if (!sees_several())
            break;
    }
    return count;
}

/* What numbers in CUDA_VISIBLE_DEVICES count: the devices without MIG, and then MIG devices of
 * the others. */
static int enumerate(int *units) {
    int order[DIVVY_SIMGPU_DEVICES_MAX];
    int devices_all = sort_devices(order), count = 0;
    for (int i = 0; i < devices_all; i++)
        if (!is_divided(order[i]))
            units[count++] = order[i];
    for (int i = 0; i < devices_all; i++)
        if (is_divided(order[i]))
            count = add_instances(order[i], units, count);
    return count;
}

/* The device whose UUID begins so, its first MIG device where MIG is on; or -1, also where the
 * beginning is ambiguous. */
static int named_device(const char *word, size_t length) {
    int found = -1, units[SEEN_MAX];
    for (int i = 0; i < divvy_simgpu_device_count(); i++) {
        const divvy_simgpu_device_t *facts = divvy_simgpu_device_get(i);
        if (length > strlen(facts->uuid_text) || strncasecmp(word, facts->uuid_text, length))
            continue;
        if (found >= 0)
            return -1;
        found = i;
    }
    if (found < 0 || !is_divided(found))
        return found;
    return add_instances(found, units, 0) ? units[0] : -1;
}

/* The MIG device that is called so: the beginning of its UUID, or all of the legacy form. */
static int named_instance(const char *word, size_t length) {
    int found = -1;
    divvy_simgpu_ci_t ci;
    for (int device = 0; device < divvy_simgpu_device_count(); device++)
        for (unsigned index = 0; index < DIVVY_SIMGPU_MIG_MAX; index++) {
            if (divvy_simgpu_ci_get(device, index, &ci))
                continue;
            if (strlen(ci.uuid_legacy) == length && !strncasecmp(word, ci.uuid_legacy, length))
                return ci.unit;
            if (length > strlen(ci.uuid_plain) || strncasecmp(word, ci.uuid_plain, length))
                continue;
            if (found >= 0)
                return -1;
            found = ci.unit;
        }
    return found;
}

/* The device that one word of CUDA_VISIBLE_DEVICES names, or -1: a number, or the beginning of
 * one UUID. */
static int named(const char *word, size_t length, const int *order, int count) {
    if (length >= 4 && !strncasecmp(word, "GPU-", 4))
        return named_device(word, length);
    if (length >= 4 && !strncasecmp(word, "MIG-", 4))
        return named_instance(word, length);
    if (!length || length > 6)
        return -1;
    int number = 0;
    for (size_t i = 0; i < length; i++) {
        if (word[i] < '0' || word[i] > '9')
            return -1;
        number = number * 10 + (word[i] - '0');
    }
    return number < count ? order[number] : -1;
}

/* The first word that names nothing ends the list, and so does one that was there before: it
 * hides them all. */
static int select_visible(const char *list, const int *order, int count, int *ret_visible) {
    int visible = 0;
    while (*list) {
        list += strspn(list, " \t");
        size_t length = strcspn(list, ",");
        size_t word = length;
        while (word && (list[word - 1] == ' ' || list[word - 1] == '\t'))
            word--;
        int index = named(list, word, order, count);
        if (index < 0)
            break;
        for (int i = 0; i < visible; i++)
            if (ret_visible[i] == index)
                return 0;
        if (visible < SEEN_MAX)
            ret_visible[visible++] = index;
        list += length;
        if (*list == ',')
            list++;
    }
    return visible;
}

/* Whether UNIT may be seen beside those that were chosen before it. */
static bool goes_with(int unit, const int *before, int count) {
    bool is_mig = unit >= DIVVY_SIMGPU_DEVICES_MAX;
    divvy_simgpu_ci_t ci, other;
    if (!count)
        return true;
    if (!sees_several()) /* a MIG device is seen alone; and not at all beside others */
        return !is_mig && before[0] < DIVVY_SIMGPU_DEVICES_MAX;
    if (!is_mig)
        return true;
    if (divvy_simgpu_ci_of_unit(unit, &ci))
        return false;
    for (int i = 0; i < count; i++)
        if (!divvy_simgpu_ci_of_unit(before[i], &other) && other.device == ci.device &&
            other.gi.slot == ci.gi.slot)
            return false; /* one compute instance of a GPU instance */
    return true;
}

void divvy_drv_devices_init(void) {
    int order[SEEN_MAX], visible[SEEN_MAX], taken[SEEN_MAX];
    int count = enumerate(order);
    const char *list = getenv("CUDA_VISIBLE_DEVICES");
    const int *chosen = order;
    if (list) {
        count = select_visible(list, order, count, visible);
        chosen = visible;
    }
    device_count = 0;
    for (int i = 0; i < count; i++) {
        /* open from here on: what this process sees can be destroyed no more */
        if (!goes_with(chosen[i], taken, device_count) || divvy_simgpu_open(chosen[i]))
            continue;
        taken[device_count] = chosen[i];
        devices[device_count].engine = chosen[i];
        devices[device_count].facts = divvy_simgpu_device_get(chosen[i]);
        device_count++;
    }
}

int divvy_drv_devices_count(void) {
    return device_count;
}

CUresult divvy_drv_device_find(CUdevice ordinal, divvy_drv_device_t **ret_device) {
    if (ordinal < 0 || ordinal >= device_count)
        return CUDA_ERROR_INVALID_DEVICE;
    *ret_device = devices + ordinal;
    return CUDA_SUCCESS;
}

int divvy_drv_device_ordinal(int index) {
    for (int i = 0; i < device_count; i++)
        if (devices[i].engine == index)
            return i;
    return -1;
}

/* ---- enumeration ----------------------------------------------------------------------------- */

CUresult DRV(cuDeviceGetCount)(int *count) {
    if (!count)
        return CUDA_ERROR_INVALID_VALUE;
    *count = device_count;
    return CUDA_SUCCESS;
}

CUresult DRV(cuDeviceGet)(CUdevice *device, int ordinal) {
    divvy_drv_device_t *found;
    if (!device)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_device_find(ordinal, &found));
    *device = ordinal;
    return CUDA_SUCCESS;
}

CUresult DRV(cuDeviceGetName)(char *name, int len, CUdevice dev) {
    divvy_drv_device_t *device;
    if (!name || len <= 0)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_device_find(dev, &device));
    snprintf(name, (size_t)len, "%s", device->facts->name);
    return CUDA_SUCCESS;
}

/* Of a MIG device: the first version tells the UUID of the whole device, the second its own. */
CUresult DRV(cuDeviceGetUuid)(CUuuid *uuid, CUdevice dev) {
    divvy_drv_device_t *device;
    if (!uuid)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_device_find(dev, &device));
    const divvy_simgpu_device_t *whole =
        divvy_simgpu_device_get(divvy_simgpu_unit_device(device->engine));
    memcpy(uuid->bytes, whole ? whole->uuid : device->facts->uuid, sizeof(uuid->bytes));
    return CUDA_SUCCESS;
}

CUresult DRV(cuDeviceGetUuid_v2)(CUuuid *uuid, CUdevice dev) {
    divvy_drv_device_t *device;
    if (!uuid)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_device_find(dev, &device));
    memcpy(uuid->bytes, device->facts->uuid, sizeof(uuid->bytes));
    return CUDA_SUCCESS;
}

CUresult DRV(cuDeviceTotalMem_v2)(size_t *bytes, CUdevice dev) {
    divvy_drv_device_t *device;
    if (!bytes)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_device_find(dev, &device));
    *bytes = device->facts->memory_bytes;
    return CUDA_SUCCESS;
}

/* The 32-bit form shows no more than it can hold. */
CUresult DRV(cuDeviceTotalMem)(unsigned int *bytes, CUdevice dev) {
    size_t wide;
    if (!bytes)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(DRV(cuDeviceTotalMem_v2)(&wide, dev));
    *bytes = wide > UINT32_MAX ? UINT32_MAX : (unsigned)wide;
    return CUDA_SUCCESS;
}

CUresult DRV(cuDeviceComputeCapability)(int *major, int *minor, CUdevice dev) {
    divvy_drv_device_t *device;
    if (!major || !minor)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_device_find(dev, &device));
    *major = device->facts->cc_major;
    *minor = device->facts->cc_minor;
    return CUDA_SUCCESS;
}

CUresult DRV(cuDeviceGetPCIBusId)(char *pciBusId, int len, CUdevice dev) {
    divvy_drv_device_t *device;
    if (!pciBusId || len <= 0)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_device_find(dev, &device));
    int needed = snprintf(pciBusId, (size_t)len, "%04X:%02X:%02X.0", device->facts->pci_domain,
                          device->facts->pci_bus, device->facts->pci_device);
    return needed < len ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult DRV(cuDeviceGetByPCIBusId)(CUdevice *dev, const char *pciBusId) {
    unsigned domain = 0, bus, slot, function = 0;
    int end = 0;
    if (!dev || !pciBusId)
        return CUDA_ERROR_INVALID_VALUE;
    if (sscanf(pciBusId, "%x:%x:%x.%x%n", &domain, &bus, &slot, &function, &end) != 4 &&
        sscanf(pciBusId, "%x:%x:%x%n", &domain, &bus, &slot, &end) != 3) {
        domain = 0;
        if (sscanf(pciBusId, "%x:%x.%x%n", &bus, &slot, &function, &end) != 3)
            return CUDA_ERROR_INVALID_VALUE;
    }
    for (int i = 0; i < device_count && !function; i++) {
        const divvy_simgpu_device_t *facts = devices[i].facts;
        if (facts->pci_domain == domain && facts->pci_bus == bus && facts->pci_device == slot) {
            *dev = i;
            return CUDA_SUCCESS;
        }
    }
    return CUDA_ERROR_INVALID_DEVICE;
}

/* The two halves of a LUID are a Windows matter, and this is the answer on other systems. */
CUresult DRV(cuDeviceGetLuid)(char *luid, unsigned int *deviceNodeMask, CUdevice dev) {
    divvy_drv_device_t *device;
    if (!luid || !deviceNodeMask)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_device_find(dev, &device));
    return CUDA_ERROR_NOT_SUPPORTED;
}

/* ---- attributes ------------------------------------------------------------------------------ */

/* Values that no model of the simulated machine changes; those read off an H200 where they could
 * be. */
static const struct {
    CUdevice_attribute attribute;
    int value;
} constants[] = {
    {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 1024},
    {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X, 1024},
    {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y, 1024},
    {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z, 64},
    {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X, 2147483647},
    {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y, 65535},
    {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z, 65535},
    {CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY, 65536},
    {CU_DEVICE_ATTRIBUTE_WARP_SIZE, 32},
    {CU_DEVICE_ATTRIBUTE_MAX_PITCH, 2147483647},
    {CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT, 512},
    {CU_DEVICE_ATTRIBUTE_TEXTURE_PITCH_ALIGNMENT, 32},
    {CU_DEVICE_ATTRIBUTE_SURFACE_ALIGNMENT, 512},
    {CU_DEVICE_ATTRIBUTE_GPU_OVERLAP, 1},
    {CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY, 1},
    {CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS, 1},
    {CU_DEVICE_ATTRIBUTE_ECC_ENABLED, 1},
    {CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING, 1},
    {CU_DEVICE_ATTRIBUTE_STREAM_PRIORITIES_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_GLOBAL_L1_CACHE_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_LOCAL_L1_CACHE_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY, 1},
    {CU_DEVICE_ATTRIBUTE_SINGLE_TO_DOUBLE_PRECISION_PERF_RATIO, 2},
    {CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS, 1},
    {CU_DEVICE_ATTRIBUTE_COMPUTE_PREEMPTION_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM, 1},
    {CU_DEVICE_ATTRIBUTE_CAN_USE_STREAM_MEM_OPS_V1, 1},
    {CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS_V1, 1},
    {CU_DEVICE_ATTRIBUTE_CAN_USE_STREAM_WAIT_VALUE_NOR_V1, 1},
    {CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS, 1},
    {CU_DEVICE_ATTRIBUTE_CAN_USE_STREAM_WAIT_VALUE_NOR, 1},
    {CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH, 1},
    {CU_DEVICE_ATTRIBUTE_COOPERATIVE_MULTI_DEVICE_LAUNCH, 1},
    {CU_DEVICE_ATTRIBUTE_HOST_REGISTER_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_READ_ONLY_HOST_REGISTER_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_MEMPOOL_SUPPORTED_HANDLE_TYPES, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR},
    {CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH, 1},
    {CU_DEVICE_ATTRIBUTE_IPC_EVENT_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_MEM_SYNC_DOMAIN_COUNT, 4},
    {CU_DEVICE_ATTRIBUTE_UNIFIED_FUNCTION_POINTERS, 1},
    {CU_DEVICE_ATTRIBUTE_NUMA_ID, -1},
    {CU_DEVICE_ATTRIBUTE_HOST_NUMA_ID, 0},
    {CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK, 1024},
    {CU_DEVICE_ATTRIBUTE_MAX_ACCESS_POLICY_WINDOW_SIZE, 134213632},
    {CU_DEVICE_ATTRIBUTE_CAN_TEX2D_GATHER, 1},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE1D_WIDTH, 131072},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE1D_LINEAR_WIDTH, 268435456},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE1D_MIPMAPPED_WIDTH, 32768},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE1D_LAYERED_WIDTH, 32768},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE1D_LAYERED_LAYERS, 2048},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE2D_WIDTH, 131072},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE2D_HEIGHT, 65536},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE2D_LINEAR_WIDTH, 131072},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE2D_LINEAR_HEIGHT, 65000},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE2D_LINEAR_PITCH, 2097120},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE2D_MIPMAPPED_WIDTH, 32768},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE2D_MIPMAPPED_HEIGHT, 32768},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE2D_GATHER_WIDTH, 32768},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE2D_GATHER_HEIGHT, 32768},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE2D_LAYERED_WIDTH, 32768},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE2D_LAYERED_HEIGHT, 32768},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE2D_LAYERED_LAYERS, 2048},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE3D_WIDTH, 16384},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE3D_HEIGHT, 16384},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE3D_DEPTH, 16384},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE3D_WIDTH_ALTERNATE, 8192},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE3D_HEIGHT_ALTERNATE, 8192},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE3D_DEPTH_ALTERNATE, 32768},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURECUBEMAP_WIDTH, 32768},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURECUBEMAP_LAYERED_WIDTH, 32768},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURECUBEMAP_LAYERED_LAYERS, 2046},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_SURFACE1D_WIDTH, 32768},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_SURFACE1D_LAYERED_WIDTH, 32768},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_SURFACE1D_LAYERED_LAYERS, 2048},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_SURFACE2D_WIDTH, 131072},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_SURFACE2D_HEIGHT, 65536},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_SURFACE2D_LAYERED_WIDTH, 32768},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_SURFACE2D_LAYERED_HEIGHT, 32768},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_SURFACE2D_LAYERED_LAYERS, 2048},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_SURFACE3D_WIDTH, 16384},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_SURFACE3D_HEIGHT, 16384},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_SURFACE3D_DEPTH, 16384},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_SURFACECUBEMAP_WIDTH, 32768},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_SURFACECUBEMAP_LAYERED_WIDTH, 32768},
    {CU_DEVICE_ATTRIBUTE_MAXIMUM_SURFACECUBEMAP_LAYERED_LAYERS, 2046},
};

static bool constant(CUdevice_attribute attribute, int *ret_value) {
    for (size_t i = 0; i < sizeof(constants) / sizeof(constants[0]); i++)
        if (constants[i].attribute == attribute) {
            *ret_value = constants[i].value;
            return true;
        }
    return false;
}

static int attribute_value(const divvy_simgpu_device_t *facts, CUdevice_attribute attribute) {
    switch ((int)attribute) {
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK:
        return (int)facts->shared_per_block_bytes;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN:
        return (int)facts->shared_per_block_optin_bytes;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR:
        return (int)facts->shared_per_sm_bytes;
    case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK:
        return facts->registers_per_block;
    case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR:
        return facts->registers_per_sm;
    case CU_DEVICE_ATTRIBUTE_CLOCK_RATE:
        return (int)facts->sm_clock_khz;
    case CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE:
        return (int)facts->memory_clock_khz;
    case CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH:
        return (int)facts->memory_bus_bits;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
        return facts->sm_count;
    case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE:
        return (int)facts->l2_bytes;
    case CU_DEVICE_ATTRIBUTE_MAX_PERSISTING_L2_CACHE_SIZE:
        return (int)(facts->l2_bytes * 5 / 8);
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR:
        return facts->threads_per_sm_max;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR:
        return facts->blocks_per_sm_max;
    case CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT:
        return facts->copy_engines;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
        return facts->cc_major;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR:
        return facts->cc_minor;
    case CU_DEVICE_ATTRIBUTE_PCI_BUS_ID:
        return (int)facts->pci_bus;
    case CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID:
        return (int)facts->pci_device;
    case CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID:
        return (int)facts->pci_domain;
    case CU_DEVICE_ATTRIBUTE_GPU_PCI_DEVICE_ID:
        return (int)facts->pci_id;
    case CU_DEVICE_ATTRIBUTE_GPU_PCI_SUBSYSTEM_ID:
        return (int)facts->pci_subsystem_id;
    default:
        return 0; /* a feature that the simulated device does not have */
    }
}

CUresult DRV(cuDeviceGetAttribute)(int *pi, CUdevice_attribute attrib, CUdevice dev) {
    divvy_drv_device_t *device;
    if (!pi || (int)attrib < 1 || attrib >= CU_DEVICE_ATTRIBUTE_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_device_find(dev, &device));
    if (!constant(attrib, pi))
        *pi = attribute_value(device->facts, attrib);
    return CUDA_SUCCESS;
}

CUresult DRV(cuDeviceGetProperties)(CUdevprop *prop, CUdevice dev) {
    divvy_drv_device_t *device;
    if (!prop)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_device_find(dev, &device));
    const divvy_simgpu_device_t *facts = device->facts;
    *prop = (CUdevprop){
        .maxThreadsPerBlock = 1024,
        .maxThreadsDim = {1024, 1024, 64},
        .maxGridSize = {2147483647, 65535, 65535},
        .sharedMemPerBlock = (int)facts->shared_per_block_bytes,
        .totalConstantMemory = 65536,
        .SIMDWidth = 32,
        .memPitch = 2147483647,
        .regsPerBlock = facts->registers_per_block,
        .clockRate = (int)facts->sm_clock_khz,
        .textureAlign = 512,
    };
    return CUDA_SUCCESS;
}

CUresult DRV(cuDeviceGetTexture1DLinearMaxWidth)(size_t *maxWidthInElements, CUarray_format format,
                                                 unsigned numChannels, CUdevice dev) {
    divvy_drv_device_t *device;
    if (!maxWidthInElements || (numChannels != 1 && numChannels != 2 && numChannels != 4))
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_device_find(dev, &device));
    (void)format;
    *maxWidthInElements = 268435456;
    return CUDA_SUCCESS;
}

CUresult DRV(cuDeviceGetExecAffinitySupport)(int *pi, CUexecAffinityType type, CUdevice dev) {
    divvy_drv_device_t *device;
    if (!pi || type >= CU_EXEC_AFFINITY_TYPE_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_device_find(dev, &device));
    *pi = 0; /* only under MPS */
    return CUDA_SUCCESS;
}

/* ---- peers ----------------------------------------------------------------------------------- */

/* MIG devices reach nobody. */
static bool is_instance(const divvy_drv_device_t *device) {
    return device->engine >= DIVVY_SIMGPU_DEVICES_MAX;
}

CUresult DRV(cuDeviceCanAccessPeer)(int *canAccessPeer, CUdevice dev, CUdevice peerDev) {
    divvy_drv_device_t *a, *b;
    if (!canAccessPeer)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_device_find(dev, &a));
    DRV_TRY(divvy_drv_device_find(peerDev, &b));
    *canAccessPeer = a != b && !is_instance(a) && !is_instance(b);
    return CUDA_SUCCESS;
}

CUresult DRV(cuDeviceGetP2PAttribute)(int *value, CUdevice_P2PAttribute attrib, CUdevice srcDevice,
                                      CUdevice dstDevice) {
    divvy_drv_device_t *a, *b;
    if (!value)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_device_find(srcDevice, &a));
    DRV_TRY(divvy_drv_device_find(dstDevice, &b));
    if (a == b)
        return CUDA_ERROR_INVALID_DEVICE;
    switch (attrib) {
    case CU_DEVICE_P2P_ATTRIBUTE_PERFORMANCE_RANK:
    case CU_DEVICE_P2P_ATTRIBUTE_ONLY_PARTIAL_NATIVE_ATOMIC_SUPPORTED:
        *value = 0;
        return CUDA_SUCCESS;
    case CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED:
    case CU_DEVICE_P2P_ATTRIBUTE_NATIVE_ATOMIC_SUPPORTED:
    case CU_DEVICE_P2P_ATTRIBUTE_CUDA_ARRAY_ACCESS_SUPPORTED:
        *value = !is_instance(a) && !is_instance(b);
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}
