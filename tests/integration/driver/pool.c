/* Stream-ordered allocation and pools. */
#include "check.h"

#include <pthread.h>

static cuuint64_t asks(CUmemoryPool pool, CUmemPool_attribute what) {
    cuuint64_t value;
    OK(cuMemPoolGetAttribute(pool, what, &value));
    return value;
}

#define RESERVED(pool) asks(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT)
#define USED(pool)     asks(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT)

static void accounting(const fixture_t *f) {
    CUmemoryPool pool, same;
    CUdeviceptr p, q;
    CUstream stream;
    size_t before = free_bytes();
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    OK(cuDeviceGetDefaultMemPool(&pool, 0));
    OK(cuDeviceGetMemPool(&same, 0));
    TRUE(pool == same);
    IS(CUDA_ERROR_INVALID_VALUE, cuMemPoolDestroy(pool));
    OK(cuMemAllocAsync(&p, 5 << 20, stream));
    EQUAL(USED(pool), 5 << 20);
    EQUAL(RESERVED(pool), 6 << 20); /* whole pages of 2 MiB */
    EQUAL(before - free_bytes(), 6 << 20);
    OK(cuMemsetD32Async(p, 3, 64, stream));
    OK(add1(f, p, 64, stream));
    OK(cuStreamSynchronize(stream));
    EQUAL(word_at(p, 63), 4);
    OK(cuMemFreeAsync(p, stream));
    EQUAL(USED(pool), 0);
    OK(cuStreamSynchronize(stream)); /* the threshold is 0: all goes back when the host waits */
    EQUAL(RESERVED(pool), 0);
    EQUAL(free_bytes(), before);
    cuuint64_t threshold = 64 << 20;
    OK(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold));
    OK(cuMemAllocAsync(&p, 4 << 20, stream));
    OK(cuMemFreeAsync(p, stream));
    OK(cuStreamSynchronize(stream));
    EQUAL(RESERVED(pool), 4 << 20); /* kept ... */
    OK(cuMemAllocAsync(&q, 4 << 20, stream));
    TRUE(p == q);        /* ... and used again */
    OK(cuMemFree_v2(q)); /* either way of freeing will do */
    OK(cuMemPoolTrimTo(pool, 0));
    EQUAL(RESERVED(pool), 0);
    EQUAL(asks(pool, CU_MEMPOOL_ATTR_USED_MEM_HIGH), 5 << 20);
    cuuint64_t zero = 0;
    OK(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_HIGH, &zero));
    EQUAL(asks(pool, CU_MEMPOOL_ATTR_USED_MEM_HIGH), 0);
    OK(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &zero));
    IS(CUDA_ERROR_INVALID_VALUE, cuMemFreeAsync(q, stream));
    IS(CUDA_ERROR_INVALID_VALUE, cuMemFreeAsync(0, stream));
    IS(CUDA_ERROR_INVALID_VALUE, cuMemAllocAsync(&p, 0, stream));
    IS(CUDA_ERROR_OUT_OF_MEMORY, cuMemAllocAsync(&p, (size_t)1 << 50, stream));
    OK(cuMemAlloc_v2(&p, 4096)); /* plain memory may be freed in a stream */
    OK(cuMemFreeAsync(p, stream));
    OK(cuStreamDestroy_v2(stream));
}

/* Memory that a pool holds unused is given up before an allocation fails. */
static void under_pressure(void) {
    CUmemoryPool pool;
    CUdeviceptr p, q;
    cuuint64_t threshold = ~0ull;
    OK(cuDeviceGetDefaultMemPool(&pool, 0));
    OK(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold));
    size_t half = free_bytes() / 2 / (2 << 20) * (2 << 20), before = free_bytes();
    OK(cuMemAllocAsync(&p, half, NULL));
    OK(cuMemFreeAsync(p, NULL));
    OK(cuCtxSynchronize());
    EQUAL(RESERVED(pool), half);
    OK(cuMemAlloc_v2(&q, before - (4 << 20)));
    EQUAL(RESERVED(pool), 0);
    IS(CUDA_ERROR_OUT_OF_MEMORY, cuMemAllocAsync(&p, half, NULL));
    OK(cuMemFree_v2(q));
    threshold = 0;
    OK(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold));
}

static void own_pools(void) {
    CUmemoryPool pool, got;
    CUdeviceptr p;
    CUmemPoolProps props = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                            .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0},
                            .maxSize = 16 << 20};
    CUmemAccess_flags access;
    CUmemAccessDesc let = {{CU_MEM_LOCATION_TYPE_DEVICE, 1}, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    size_t before = free_bytes();
    OK(cuMemPoolCreate(&pool, &props));
    OK(cuMemAllocFromPoolAsync(&p, 12 << 20, pool, NULL));
    IS(CUDA_ERROR_OUT_OF_MEMORY,
       cuMemAllocFromPoolAsync(&p, 12 << 20, pool, NULL)); /* beyond maxSize */
    CUmemoryPool shown;
    OK(cuPointerGetAttribute(&shown, CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE, p));
    TRUE(shown == pool);
    OK(cuMemPoolGetAccess(&access, pool, &let.location));
    EQUAL(access, CU_MEM_ACCESS_FLAGS_PROT_NONE);
    OK(cuMemPoolSetAccess(pool, &let, 1));
    OK(cuMemPoolGetAccess(&access, pool, &let.location));
    EQUAL(access, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
    OK(cuDeviceSetMemPool(0, pool));
    OK(cuDeviceGetMemPool(&got, 0));
    TRUE(got == pool);
    IS(CUDA_ERROR_INVALID_VALUE, cuDeviceSetMemPool(1, pool));
    OK(cuMemPoolDestroy(pool)); /* lives on until the last block is back */
    OK(cuDeviceGetMemPool(&got, 0));
    TRUE(got != pool);
    IS(CUDA_ERROR_INVALID_VALUE, cuMemPoolTrimTo(pool, 0));
    EQUAL(before - free_bytes(), 12 << 20);
    OK(cuMemFreeAsync(p, NULL));
    OK(cuCtxSynchronize());
    EQUAL(free_bytes(), before);
    props.location.type = CU_MEM_LOCATION_TYPE_HOST;
    IS(CUDA_ERROR_NOT_SUPPORTED, cuMemPoolCreate(&pool, &props));
    props.location = (CUmemLocation){CU_MEM_LOCATION_TYPE_DEVICE, 5};
    IS(CUDA_ERROR_INVALID_DEVICE, cuMemPoolCreate(&pool, &props));
}

static unsigned next(unsigned *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Blocks that are alive at the same time never overlap: each is filled with its own number and
 * checked. */
static void *random_use(void *argument) {
    enum { COUNT = 64 };
    fixture_t *f = argument;
    CUstream stream;
    CUdeviceptr live[COUNT] = {0};
    unsigned value[COUNT], size[COUNT], state = 12345u + (unsigned)(size_t)&stream;
    OK(cuCtxSetCurrent(f->context));
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    for (unsigned i = 0; i < 1500; i++) {
        unsigned k = next(&state) % COUNT;
        if (live[k]) {
            unsigned first, last;
            OK(cuMemcpyDtoHAsync_v2(&first, live[k], 4, stream));
            OK(cuMemcpyDtoHAsync_v2(&last, live[k] + 4ul * (size[k] - 1), 4, stream));
            TRUE(first == value[k] && last == value[k]);
            OK(cuMemFreeAsync(live[k], stream));
            live[k] = 0;
        } else {
            size[k] = 1 + next(&state) % 5000;
            value[k] = next(&state);
            OK(cuMemAllocAsync(live + k, size[k] * 4ul, stream));
            OK(cuMemsetD32Async(live[k], value[k], size[k], stream));
        }
    }
    for (unsigned k = 0; k < COUNT; k++)
        if (live[k])
            OK(cuMemFreeAsync(live[k], stream));
    OK(cuStreamSynchronize(stream));
    OK(cuStreamDestroy_v2(stream));
    return NULL;
}

static void threads(fixture_t *f) {
    CUmemoryPool pool;
    pthread_t thread[3];
    size_t before = free_bytes();
    for (int i = 0; i < 3; i++)
        pthread_create(thread + i, NULL, random_use, f);
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    OK(cuCtxSynchronize());
    OK(cuDeviceGetDefaultMemPool(&pool, 0));
    EQUAL(USED(pool), 0);
    EQUAL(RESERVED(pool), 0);
    EQUAL(free_bytes(), before);
}

int main(void) {
    fixture_t f = begin();
    accounting(&f);
    under_pressure();
    own_pools();
    threads(&f);
    return 0;
}
