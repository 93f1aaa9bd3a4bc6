/*
 * Finds the largest allocation of one family that succeeds, and the smallest that fails.
 *
 * usage: subject_exact FAMILY EXPECTED_BYTES
 *
 * Prints, one a line: the bytes shown as free before, the largest success, the smallest failure, and the family's
 * granularity, all in bytes. Prints nothing when the driver does not support the family.
 */
#include "subject.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the attempts of one family need; every attempt gives back all that it took. */
struct attempt {
    uint64_t unit_bytes; /* sizes are multiples of it */
    CUmemoryPool pool;
    CUstream stream;
};

typedef CUresult attempt_fn(struct attempt *attempt, uint64_t units);

enum {
    ROW_ELEMENTS = 16384, /* of 16 bytes: rows of 256 KiB */
    ROW_BYTES = ROW_ELEMENTS * 16,
    SLICE_ELEMENTS = 4096, /* 16 rows of them: slices of 1 MiB */
    SLICE_ROWS = 16,
    SLICE_BYTES = SLICE_ELEMENTS * 16 * SLICE_ROWS,
};

static CUresult try_linear(struct attempt *attempt, uint64_t units) {
    CUdeviceptr pointer;
    CUresult result = cuMemAlloc_v2(&pointer, units * attempt->unit_bytes);

    return result == CUDA_SUCCESS ? cuMemFree_v2(pointer) : result;
}

static CUresult try_pitch(struct attempt *attempt, uint64_t units) {
    CUdeviceptr pointer;
    size_t pitch;
    CUresult result = cuMemAllocPitch_v2(&pointer, &pitch, attempt->unit_bytes, units, 16);

    if (result != CUDA_SUCCESS)
        return result;
    if (pitch != attempt->unit_bytes)
        return CUDA_ERROR_NOT_SUPPORTED; /* the unit was chosen so that rows need no padding */
    return cuMemFree_v2(pointer);
}

static CUresult try_managed(struct attempt *attempt, uint64_t units) {
    CUdeviceptr pointer;
    CUresult result =
        cuMemAllocManaged(&pointer, units * attempt->unit_bytes, CU_MEM_ATTACH_GLOBAL);

    return result == CUDA_SUCCESS ? cuMemFree_v2(pointer) : result;
}

/* The pool keeps nothing between attempts. */
static CUresult async_end(struct attempt *attempt, CUdeviceptr pointer, CUmemoryPool pool) {
    CHECK(cuMemFreeAsync(pointer, attempt->stream));
    CHECK(cuStreamSynchronize(attempt->stream));
    return cuMemPoolTrimTo(pool, 0);
}

static CUresult try_async(struct attempt *attempt, uint64_t units) {
    CUdeviceptr pointer;
    CUmemoryPool pool;
    CUresult result = cuMemAllocAsync(&pointer, units * attempt->unit_bytes, attempt->stream);

    if (result != CUDA_SUCCESS)
        return result;
    CHECK(cuDeviceGetDefaultMemPool(&pool, 0));
    return async_end(attempt, pointer, pool);
}

static CUresult try_from_pool(struct attempt *attempt, uint64_t units) {
    CUdeviceptr pointer;
    CUresult result = cuMemAllocFromPoolAsync(&pointer, units * attempt->unit_bytes, attempt->pool,
                                              attempt->stream);

    return result == CUDA_SUCCESS ? async_end(attempt, pointer, attempt->pool) : result;
}

static const CUmemAllocationProp physical = {
    .type = CU_MEM_ALLOCATION_TYPE_PINNED,
    .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE},
};

static CUresult try_physical(struct attempt *attempt, uint64_t units) {
    CUmemGenericAllocationHandle handle;
    CUresult result = cuMemCreate(&handle, units * attempt->unit_bytes, &physical, 0);

    return result == CUDA_SUCCESS ? cuMemRelease(handle) : result;
}

static CUresult try_array(struct attempt *attempt, uint64_t units) {
    const CUDA_ARRAY_DESCRIPTOR shape = {
        .Width = ROW_ELEMENTS, .Height = units, .Format = CU_AD_FORMAT_FLOAT, .NumChannels = 4};
    CUarray array;
    CUresult result = cuArrayCreate_v2(&array, &shape);

    (void)attempt;
    return result == CUDA_SUCCESS ? cuArrayDestroy(array) : result;
}

static CUresult try_array_3d(struct attempt *attempt, uint64_t units) {
    const CUDA_ARRAY3D_DESCRIPTOR shape = {.Width = SLICE_ELEMENTS,
                                           .Height = SLICE_ROWS,
                                           .Depth = units,
                                           .Format = CU_AD_FORMAT_FLOAT,
                                           .NumChannels = 4};
    CUarray array;
    CUresult result = cuArray3DCreate_v2(&array, &shape);

    (void)attempt;
    return result == CUDA_SUCCESS ? cuArrayDestroy(array) : result;
}

static CUresult try_mipmap(struct attempt *attempt, uint64_t units) {
    const CUDA_ARRAY3D_DESCRIPTOR shape = {
        .Width = ROW_ELEMENTS, .Height = units, .Format = CU_AD_FORMAT_FLOAT, .NumChannels = 4};
    CUmipmappedArray array;
    CUresult result = cuMipmappedArrayCreate(&array, &shape, 1);

    (void)attempt;
    return result == CUDA_SUCCESS ? cuMipmappedArrayDestroy(array) : result;
}

static CUresult graph_fill(CUgraph graph, uint64_t bytes) {
    CUDA_MEM_ALLOC_NODE_PARAMS parameters = {
        .poolProps = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                      .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE}},
        .bytesize = bytes};
    CUgraphNode allocation, release;
    CUresult result = cuGraphAddMemAllocNode(&allocation, graph, NULL, 0, &parameters);

    return result == CUDA_SUCCESS
               ? cuGraphAddMemFreeNode(&release, graph, &allocation, 1, parameters.dptr)
               : result;
}

static CUresult try_graph(struct attempt *attempt, uint64_t units) {
    CUgraph graph;
    CUgraphExec executable = NULL;
    CUresult result;

    CHECK(cuGraphCreate(&graph, 0));
    result = graph_fill(graph, units * attempt->unit_bytes);
    if (result == CUDA_SUCCESS)
        result = cuGraphInstantiateWithFlags(&executable, graph, 0);
    if (result == CUDA_SUCCESS)
        result = cuGraphLaunch(executable, attempt->stream);
    if (result == CUDA_SUCCESS)
        CHECK(cuStreamSynchronize(attempt->stream));
    if (executable != NULL)
        CHECK(cuGraphExecDestroy(executable));
    CHECK(cuGraphDestroy(graph));
    CHECK(cuDeviceGraphMemTrim(0));
    return result;
}

/* Units are the granularity to which each family is promised exact; 0: the driver is asked. */
static const struct family {
    const char *name;
    attempt_fn *attempt;
    uint64_t unit_bytes;
} families[] = {
    {"cuMemAlloc", try_linear, 512},
    {"cuMemAllocPitch", try_pitch, 65536},
    {"cuMemAllocManaged", try_managed, 65536},
    {"cuMemAllocAsync", try_async, 512},
    {"cuMemAllocFromPoolAsync", try_from_pool, 512},
    {"cuMemCreate", try_physical, 0},
    {"cuArrayCreate", try_array, ROW_BYTES},
    {"cuArray3DCreate", try_array_3d, SLICE_BYTES},
    {"cuMipmappedArrayCreate", try_mipmap, ROW_BYTES},
    {"cuGraphAddMemAllocNode", try_graph, 2 << 20},
};

/* Largest number of units that succeeds; *ret_failure the smallest that does not. */
static uint64_t search(const struct family *family, struct attempt *attempt, uint64_t most,
                       uint64_t *ret_failure) {
    uint64_t good = 0, bad = most + 1;

    while (bad - good > 1) {
        uint64_t middle = good + (bad - good) / 2;
        CUresult result = family->attempt(attempt, middle);

        if (result == CUDA_SUCCESS) {
            good = middle;
        } else if (result == CUDA_ERROR_OUT_OF_MEMORY) {
            bad = middle;
        } else {
            subject_check(result, family->name);
        }
    }
    *ret_failure = bad;
    return good;
}

int main(int argc, char **argv) {
    const struct family *family = NULL;
    struct attempt attempt = {0};
    size_t free_bytes, total_bytes, unit_bytes;
    uint64_t good, bad;
    CUresult result;
    CUmemPoolProps pool = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                           .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE}};

    for (size_t i = 0; argc == 3 && i < sizeof(families) / sizeof(families[0]); i++) {
        if (strcmp(families[i].name, argv[1]) == 0)
            family = &families[i];
    }
    if (family == NULL)
        return 2;
    subject_open(subject_number(argv[2]));
    CHECK(cuStreamCreate(&attempt.stream, CU_STREAM_NON_BLOCKING));
    CHECK(cuMemPoolCreate(&attempt.pool, &pool));
    attempt.unit_bytes = family->unit_bytes;
    if (attempt.unit_bytes == 0) {
        CHECK(cuMemGetAllocationGranularity(&unit_bytes, &physical, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
        attempt.unit_bytes = unit_bytes;
    }
    result = family->attempt(&attempt, 1);
    if (result == CUDA_ERROR_NOT_SUPPORTED)
        return 0;
    subject_check(result, family->name);
    CHECK(cuMemGetInfo_v2(&free_bytes, &total_bytes));
    good = search(family, &attempt, 2 * total_bytes / attempt.unit_bytes, &bad);
    good *= attempt.unit_bytes;
    bad *= attempt.unit_bytes;
    (void)printf("%zu\n%" PRIu64 "\n%" PRIu64 "\n%" PRIu64 "\n", free_bytes, good, bad,
                 attempt.unit_bytes);
    return 0;
}
