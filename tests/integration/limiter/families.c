/*
 * Every way to allocate device memory against the limit: the largest request that succeeds is the
 * limit itself, to the family's granularity; one step more is refused with
 * CUDA_ERROR_OUT_OF_MEMORY; what is freed can be had again at once; CUDA and NVML agree after each
 * step; and in the end nothing is in use.
 *
 * Run under the limiter with a memory limit. Prints one line for each family.
 */
#include "cu.h"

#define ROW_BYTES   (UINT64_C(16384) * 16)
#define LAYER_BYTES (UINT64_C(4096) * 1024 * 2)

static CUstream stream;
static CUmemoryPool pool;
static nvmlDevice_t nvml_device;
static uint64_t limit;
static uint64_t vmm_step;

/* What one allocation holds until it is freed. */
struct held {
    CUdeviceptr pointer;
    CUarray array;
    CUmipmappedArray mipmap;
    CUmemGenericAllocationHandle handle;
    CUdeviceptr range;
    uint64_t bytes;
    CUgraph graph;
    CUgraphExec exec;
};

struct family {
    const char *name;
    uint64_t step; /* requests are multiples of it */
    CUresult (*allocate)(uint64_t bytes, struct held *held);
    CUresult (*release)(struct held *held);
    uint64_t
        slack; /* how far the ledger may lie above the request: what the driver keeps to itself */
};

/* ---- linear ---- */

static CUresult linear(uint64_t bytes, struct held *held) {
    return cu.cuMemAlloc_v2(&held->pointer, bytes);
}

static CUresult linear_old(uint64_t bytes, struct held *held) {
    CUdeviceptr_v1 pointer = 0;
    CUresult result =
        bytes > UINT32_MAX ? CUDA_ERROR_OUT_OF_MEMORY : cu.cuMemAlloc(&pointer, (unsigned)bytes);

    held->pointer = pointer;
    return result;
}

static CUresult managed(uint64_t bytes, struct held *held) {
    return cu.cuMemAllocManaged(&held->pointer, bytes, CU_MEM_ATTACH_GLOBAL);
}

static CUresult pitch(uint64_t bytes, struct held *held) {
    size_t row = 0;
    CUresult result = cu.cuMemAllocPitch_v2(&held->pointer, &row, 1024, bytes / 1024, 4);

    if (result == CUDA_SUCCESS)
        CHECK_U64(row, 1024);
    return result;
}

/* Rows that the driver pads: 1000 bytes take 1024. */
static CUresult pitch_padded(uint64_t bytes, struct held *held) {
    size_t row = 0;

    return cu.cuMemAllocPitch_v2(&held->pointer, &row, 1000, bytes / 1024, 4);
}

static CUresult linear_free(struct held *held) {
    return cu.cuMemFree_v2(held->pointer);
}

static CUresult linear_old_free(struct held *held) {
    return cu.cuMemFree((CUdeviceptr_v1)held->pointer);
}

/* ---- stream-ordered ---- */

static CUresult async(uint64_t bytes, struct held *held) {
    return cu.cuMemAllocAsync(&held->pointer, bytes, stream);
}

static CUresult async_per_thread(uint64_t bytes, struct held *held) {
    return cu.cuMemAllocAsync_ptsz(&held->pointer, bytes, NULL);
}

static CUresult from_pool(uint64_t bytes, struct held *held) {
    return cu.cuMemAllocFromPoolAsync(&held->pointer, bytes, pool, stream);
}

static CUresult from_pool_per_thread(uint64_t bytes, struct held *held) {
    return cu.cuMemAllocFromPoolAsync_ptsz(&held->pointer, bytes, pool, NULL);
}

static CUresult async_free(struct held *held) {
    CUresult result = cu.cuMemFreeAsync(held->pointer, stream);

    return result == CUDA_SUCCESS ? cu.cuStreamSynchronize(stream) : result;
}

static CUresult async_per_thread_free(struct held *held) {
    CUresult result = cu.cuMemFreeAsync_ptsz(held->pointer, NULL);

    return result == CUDA_SUCCESS ? cu.cuStreamSynchronize_ptsz(NULL) : result;
}

/* ---- virtual memory management ---- */

static CUmemAllocationProp device_memory(void) {
    CUmemAllocationProp properties = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                      .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}};

    return properties;
}

static CUresult create(uint64_t bytes, struct held *held) {
    CUmemAllocationProp properties = device_memory();

    return cu.cuMemCreate(&held->handle, bytes, &properties, 0);
}

static CUresult create_free(struct held *held) {
    return cu.cuMemRelease(held->handle);
}

/* The handle is released while the memory is mapped: only unmapping gives it back. */
static CUresult create_and_map(uint64_t bytes, struct held *held) {
    CUresult result = create(bytes, held);

    if (result != CUDA_SUCCESS)
        return result;
    held->bytes = bytes;
    CHECK_CU(cu.cuMemAddressReserve(&held->range, bytes, 0, 0, 0));
    CHECK_CU(cu.cuMemMap(held->range, bytes, 0, held->handle, 0));
    CHECK_CU(cu.cuMemRelease(held->handle));
    CHECK(cu_used() >= bytes);
    return CUDA_SUCCESS;
}

static CUresult unmap_free(struct held *held) {
    CHECK_CU(cu.cuMemUnmap(held->range, held->bytes));
    return cu.cuMemAddressFree(held->range, held->bytes);
}

/* ---- arrays ---- */

/* 2D of float4, rows of 256 KiB: devices have limits on the number of rows, slices and layers. */
static CUresult array_2d(uint64_t bytes, struct held *held) {
    CUDA_ARRAY_DESCRIPTOR descriptor = {.Width = 16384,
                                        .Height = bytes / ROW_BYTES,
                                        .Format = CU_AD_FORMAT_FLOAT,
                                        .NumChannels = 4};

    return cu.cuArrayCreate_v2(&held->array, &descriptor);
}

static CUresult array_2d_old(uint64_t bytes, struct held *held) {
    CUDA_ARRAY_DESCRIPTOR_v1 descriptor = {.Width = 16384,
                                           .Height = (unsigned)(bytes / ROW_BYTES),
                                           .Format = CU_AD_FORMAT_FLOAT,
                                           .NumChannels = 4};

    return cu.cuArrayCreate(&held->array, &descriptor);
}

/* 3D of bytes, slices of 1 MiB. */
static CUresult array_3d(uint64_t bytes, struct held *held) {
    CUDA_ARRAY3D_DESCRIPTOR descriptor = {.Width = 1024,
                                          .Height = 1024,
                                          .Depth = bytes / MIB,
                                          .Format = CU_AD_FORMAT_UNSIGNED_INT8,
                                          .NumChannels = 1};

    return cu.cuArray3DCreate_v2(&held->array, &descriptor);
}

static CUresult array_layered(uint64_t bytes, struct held *held) {
    CUDA_ARRAY3D_DESCRIPTOR descriptor = {.Width = 4096,
                                          .Height = 1024,
                                          .Depth = bytes / LAYER_BYTES,
                                          .Format = CU_AD_FORMAT_HALF,
                                          .NumChannels = 1,
                                          .Flags = CUDA_ARRAY3D_LAYERED};

    return cu.cuArray3DCreate_v2(&held->array, &descriptor);
}

static CUresult array_free(struct held *held) {
    return cu.cuArrayDestroy(held->array);
}

/* Layers of 4096 x 1024 halves with one more level of a quarter: 10 MiB each. */
static CUresult mipmap(uint64_t bytes, struct held *held) {
    CUDA_ARRAY3D_DESCRIPTOR descriptor = {.Width = 4096,
                                          .Height = 1024,
                                          .Depth = bytes / (LAYER_BYTES + LAYER_BYTES / 4),
                                          .Format = CU_AD_FORMAT_HALF,
                                          .NumChannels = 1,
                                          .Flags = CUDA_ARRAY3D_LAYERED};

    return cu.cuMipmappedArrayCreate(&held->mipmap, &descriptor, 2);
}

static CUresult mipmap_free(struct held *held) {
    return cu.cuMipmappedArrayDestroy(held->mipmap);
}

/* ---- graphs ---- */

static CUresult graph_run(struct held *held) {
    CUresult result = cu.cuGraphInstantiateWithFlags(&held->exec, held->graph, 0);

    if (result != CUDA_SUCCESS) {
        CHECK_CU(cu.cuGraphDestroy(held->graph));
        return result;
    }
    result = cu.cuGraphLaunch(held->exec, stream);
    if (result == CUDA_SUCCESS) {
        CHECK_CU(cu.cuStreamSynchronize(stream));
        return result;
    }
    CHECK_CU(cu.cuGraphExecDestroy(held->exec));
    CHECK_CU(cu.cuGraphDestroy(held->graph));
    return result;
}

static CUresult graph_node(uint64_t bytes, struct held *held) {
    CUDA_MEM_ALLOC_NODE_PARAMS parameters = {
        .poolProps = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                      .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}},
        .bytesize = bytes};
    CUgraphNode node;
    CUresult result = cu.cuGraphCreate(&held->graph, 0);

    if (result != CUDA_SUCCESS)
        return result;
    result = cu.cuGraphAddMemAllocNode(&node, held->graph, NULL, 0, &parameters);
    if (result != CUDA_SUCCESS) {
        CHECK_CU(cu.cuGraphDestroy(held->graph));
        return result;
    }
    held->pointer = parameters.dptr;
    return graph_run(held);
}

static CUresult graph_captured(uint64_t bytes, struct held *held) {
    CUresult result = cu.cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL), end;

    if (result != CUDA_SUCCESS)
        return result;
    result = cu.cuMemAllocAsync(&held->pointer, bytes, stream);
    end = cu.cuStreamEndCapture(stream, &held->graph);
    if (result != CUDA_SUCCESS || end != CUDA_SUCCESS)
        return result != CUDA_SUCCESS ? result : end;
    return graph_run(held);
}

static CUresult graph_free(struct held *held) {
    CHECK_CU(cu.cuMemFreeAsync(held->pointer, stream));
    CHECK_CU(cu.cuStreamSynchronize(stream));
    CHECK_CU(cu.cuGraphExecDestroy(held->exec));
    CHECK_CU(cu.cuGraphDestroy(held->graph));
    return cu.cuDeviceGraphMemTrim(0);
}

/* ---- the test ---- */

/* CUDA's and NVML's figures agree; returns the bytes in use. */
static uint64_t used(void) {
    nvmlMemory_v2_t second = {.version = (unsigned)(sizeof second | 2u << 24)};
    size_t free_bytes, total, device_total;
    nvmlMemory_t first;

    CHECK_CU(cu.cuMemGetInfo_v2(&free_bytes, &total));
    CHECK_CU(cu.cuDeviceTotalMem_v2(&device_total, 0));
    CHECK(nv.nvmlDeviceGetMemoryInfo(nvml_device, &first) == NVML_SUCCESS);
    CHECK(nv.nvmlDeviceGetMemoryInfo_v2(nvml_device, &second) == NVML_SUCCESS);
    CHECK_U64(total, limit);
    CHECK_U64(device_total, limit);
    CHECK_U64(first.total, limit);
    CHECK_U64(first.free, free_bytes);
    CHECK_U64(first.used, total - free_bytes);
    CHECK_U64(second.total, limit);
    CHECK_U64(second.free, free_bytes);
    CHECK_U64(second.used, total - free_bytes);
    CHECK_U64(second.reserved, 0);
    return total - free_bytes;
}

static int unsupported(CUresult result) {
    return result == CUDA_ERROR_NOT_SUPPORTED || result == CUDA_ERROR_NOT_FOUND;
}

static void test_family(const struct family *family) {
    uint64_t low = 0, high = 2 * limit / family->step;
    struct held held = {0};
    CUresult result = family->allocate(family->step, &held);

    if (unsupported(result)) {
        printf("%-22s not supported by this driver\n", family->name);
        return;
    }
    CHECK_CU(result);
    CHECK(used() >= family->step && used() <= family->step + family->slack);
    CHECK_CU(family->release(&held));
    CHECK_U64(used(), 0);
    /* The largest number of steps that succeeds. */
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;

        memset(&held, 0, sizeof held);
        result = family->allocate(middle * family->step, &held);
        if (result == CUDA_SUCCESS) {
            CHECK(used() >= middle * family->step &&
                  used() <= middle * family->step + family->slack);
            CHECK_CU(family->release(&held));
            low = middle;
        } else {
            CHECK_U64(result, CUDA_ERROR_OUT_OF_MEMORY);
            high = middle;
        }
        CHECK_U64(used(), 0);
    }
    printf("%-22s largest success %llu, limit %llu, step %llu\n", family->name,
           (unsigned long long)(low * family->step), (unsigned long long)limit,
           (unsigned long long)family->step);
    CHECK(low * family->step <= limit && (low + 1) * family->step + family->slack > limit);
    /* A refusal leaves everything usable, and what is freed is there at once. */
    for (int i = 0; i < 50; i++) {
        struct held first = {0}, second = {0};
        uint64_t most = low * family->step * 9 / 10 / family->step * family->step;

        CHECK_CU(family->allocate(most, &first));
        CHECK_U64(family->allocate(most, &second), CUDA_ERROR_OUT_OF_MEMORY);
        CHECK_CU(family->release(&first));
    }
    CHECK_U64(used(), 0);
}

int main(void) {
    CUmemPoolProps properties = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                                 .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}};
    CUmemAllocationProp memory = device_memory();
    size_t granularity = 0;

    (void)cu_begin(0);
    nv_load();
    CHECK(nv.nvmlInit_v2() == NVML_SUCCESS);
    CHECK(nv.nvmlDeviceGetHandleByIndex_v2(0, &nvml_device) == NVML_SUCCESS);
    limit = cu_total();
    /* Is the limiter at work at all? */
    CHECK(getenv("TENSOR_FUSION_CUDA_MEM_LIMIT"));
    CHECK_U64(limit, strtoull(strchr(getenv("TENSOR_FUSION_CUDA_MEM_LIMIT"), ':') + 1, NULL, 10));
    CHECK_CU(cu.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    CHECK_CU(cu.cuMemPoolCreate(&pool, &properties));
    if (cu.cuMemGetAllocationGranularity(&granularity, &memory, CU_MEM_ALLOC_GRANULARITY_MINIMUM) !=
        CUDA_SUCCESS)
        granularity = 2 * MIB;
    vmm_step = granularity;

    const struct family families[] = {
        {"cuMemAlloc", 1, linear, linear_free, 0},
        {"cuMemAlloc (32 bit)", 4096, linear_old, linear_old_free, 0},
        {"cuMemAllocManaged", 1, managed, linear_free, 0},
        {"cuMemAllocPitch", 1024, pitch, linear_free, 0},
        {"cuMemAllocPitch, padded", 1024, pitch_padded, linear_free, 0},
        {"cuMemAllocAsync", 1, async, async_free, 0},
        {"cuMemAllocAsync_ptsz", 1, async_per_thread, async_per_thread_free, 0},
        {"cuMemAllocAsync, cuMemFree", 1, async, linear_free, 0},
        {"from pool", 1, from_pool, async_free, 0},
        {"from pool, ptsz", 1, from_pool_per_thread, async_per_thread_free, 0},
        {"cuMemCreate", vmm_step, create, create_free, 0},
        {"cuMemCreate, mapped", vmm_step, create_and_map, unmap_free, 0},
        {"array 2D", ROW_BYTES, array_2d, array_free, 0},
        {"array 2D (32 bit)", ROW_BYTES, array_2d_old, array_free, 0},
        {"array 3D", MIB, array_3d, array_free, 0},
        {"array layered", LAYER_BYTES, array_layered, array_free, 0},
        {"mipmap", LAYER_BYTES + LAYER_BYTES / 4, mipmap, mipmap_free, 0},
        {"graph node", 2 * MIB, graph_node, graph_free, 32 * MIB},
        {"graph, captured", 2 * MIB, graph_captured, graph_free, 32 * MIB},
    };

    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        test_family(&families[i]);
    return 0;
}
