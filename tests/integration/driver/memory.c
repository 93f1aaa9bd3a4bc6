/* Memory, copies and sets: against a model in host memory where the shape is free. */
#include "check.h"

#include <time.h>
#include <unistd.h>

static unsigned random_state;

static unsigned rnd(unsigned below) {
    random_state = random_state * 1664525u + 1013904223u;
    return (unsigned)((unsigned long long)(random_state >> 8) * below >> 24);
}

static void linear(void) {
    CUdeviceptr p, q, base;
    size_t before = free_bytes(), pitch, bytes;
    OK(cuMemAlloc_v2(&p, 1));
    EQUAL(p % 512, 0);
    TRUE(before - free_bytes() >= 1);
    OK(cuMemGetAddressRange_v2(&base, &bytes, p));
    EQUAL(bytes, 1);
    OK(cuMemAllocPitch_v2(&q, &pitch, 100, 10, 4));
    EQUAL(pitch, 512);
    OK(cuMemGetAddressRange_v2(&base, &bytes, q + 1000));
    TRUE(base == q);
    EQUAL(bytes, 5120);
    IS(CUDA_ERROR_NOT_FOUND, cuMemGetAddressRange_v2(&base, &bytes, 0x1234));
    IS(CUDA_ERROR_INVALID_VALUE, cuMemAllocPitch_v2(&q, &pitch, 100, 10, 3));
    OK(cuMemFree_v2(q));
    IS(CUDA_ERROR_INVALID_VALUE, cuMemFree_v2(q));
    IS(CUDA_ERROR_INVALID_VALUE, cuMemFree_v2(p + 1));
    IS(CUDA_ERROR_INVALID_VALUE, cuMemFree_v2(0xdead000));
    OK(cuMemFree_v2(p));
    OK(cuMemFree_v2(0));
    EQUAL(free_bytes(), before);
    IS(CUDA_ERROR_INVALID_VALUE, cuMemAlloc_v2(&p, 0));
    IS(CUDA_ERROR_INVALID_VALUE, cuMemAlloc_v2(NULL, 16));
    IS(CUDA_ERROR_OUT_OF_MEMORY, cuMemAlloc_v2(&p, (size_t)1 << 60));
    OK(cuMemAlloc_v2(&p, before / 2)); /* address space is not storage */
    OK(cuMemAlloc_v2(&q, free_bytes()));
    EQUAL(free_bytes(), 0);
    IS(CUDA_ERROR_OUT_OF_MEMORY, cuMemAlloc_v2(&base, 1));
    OK(cuMemFree_v2(p));
    OK(cuMemFree_v2(q));
    EQUAL(free_bytes(), before);
}

static void managed(const fixture_t *f) {
    CUdeviceptr p;
    int value;
    OK(cuMemAllocManaged(&p, 4096, CU_MEM_ATTACH_GLOBAL));
    unsigned *host = (unsigned *)p;
    host[5] = 10;
    OK(add1(f, p, 1024, NULL));
    OK(cuCtxSynchronize());
    EQUAL(host[5], 11);
    OK(cuPointerGetAttribute(&value, CU_POINTER_ATTRIBUTE_IS_MANAGED, p));
    EQUAL(value, 1);
    OK(cuMemAdvise(p, 4096, CU_MEM_ADVISE_SET_READ_MOSTLY, 0));
    OK(cuMemPrefetchAsync(p, 4096, CU_DEVICE_CPU, NULL));
    IS(CUDA_ERROR_INVALID_VALUE, cuMemPrefetchAsync(p, 4097, 0, NULL));
    OK(cuMemFree_v2(p));
}

static void pinned(const fixture_t *f) {
    void *memory;
    CUdeviceptr p;
    unsigned flags;
    OK(cuMemHostAlloc(&memory, 10000, CU_MEMHOSTALLOC_PORTABLE));
    OK(cuMemHostGetDevicePointer_v2(&p, memory, 0));
    ((unsigned *)memory)[100] = 3;
    OK(add1(f, p, 200, NULL)); /* kernels may use it */
    OK(cuCtxSynchronize());
    EQUAL(((unsigned *)memory)[100], 4);
    OK(cuMemHostGetFlags(&flags, memory));
    EQUAL(flags, CU_MEMHOSTALLOC_PORTABLE);
    OK(cuMemFreeHost(memory));
    IS(CUDA_ERROR_INVALID_VALUE, cuMemFreeHost(memory));
    memory = aligned_alloc(4096, 8192);
    OK(cuMemHostRegister_v2(memory, 8192, 0));
    IS(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED,
       cuMemHostRegister_v2((char *)memory + 4096, 4096, 0));
    IS(CUDA_ERROR_INVALID_VALUE, cuMemFreeHost(memory));
    OK(cuMemHostUnregister(memory));
    IS(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, cuMemHostUnregister(memory));
    free(memory);
}

static void pointers(const fixture_t *f) {
    CUdeviceptr p = words(64, 0), shown;
    CUcontext context;
    CUmemorytype type;
    int ordinal, local;
    unsigned long long id, other;
    size_t bytes;
    CUpointer_attribute names[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
                                   CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,
                                   CU_POINTER_ATTRIBUTE_RANGE_SIZE};
    void *values[] = {&type, &ordinal, &bytes};
    OK(cuPointerGetAttribute(&context, CU_POINTER_ATTRIBUTE_CONTEXT, p + 100));
    TRUE(context == f->context);
    OK(cuPointerGetAttributes(3, names, values, p + 100));
    EQUAL(type, CU_MEMORYTYPE_DEVICE);
    EQUAL(ordinal, 0);
    EQUAL(bytes, 256);
    OK(cuPointerGetAttribute(&shown, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, p + 100));
    TRUE(shown == p);
    IS(CUDA_ERROR_INVALID_VALUE,
       cuPointerGetAttribute(&shown, CU_POINTER_ATTRIBUTE_HOST_POINTER, p));
    IS(CUDA_ERROR_INVALID_VALUE,
       cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, (CUdeviceptr)&local));
    OK(cuPointerGetAttributes(3, names, values, (CUdeviceptr)&local));
    EQUAL(type, 0);
    EQUAL(ordinal, CU_DEVICE_INVALID);
    OK(cuPointerGetAttribute(&id, CU_POINTER_ATTRIBUTE_BUFFER_ID, p));
    OK(cuMemFree_v2(p));
    p = words(64, 0);
    OK(cuPointerGetAttribute(&other, CU_POINTER_ATTRIBUTE_BUFFER_ID, p));
    TRUE(id != other);
    OK(cuMemFree_v2(p));
}

/* Random copies of every linear kind between two device buffers and a host buffer, each with its
 * model. */
static void copies(void) {
    enum { SIZE = 20000, ROUNDS = 400 };
    static unsigned char model[2][SIZE], host[SIZE], out[SIZE];
    CUdeviceptr p[2];
    unsigned char *pinned_host;
    for (int i = 0; i < 2; i++) {
        OK(cuMemAlloc_v2(p + i, SIZE));
        OK(cuMemsetD8_v2(p[i], 0, SIZE));
    }
    OK(cuMemAllocHost_v2((void **)&pinned_host, SIZE));
    for (int i = 0; i < ROUNDS; i++) {
        unsigned a = rnd(2), bytes = rnd(2) ? rnd(SIZE) : rnd(64), to = rnd(SIZE - bytes + 1),
                 from = rnd(SIZE - bytes + 1), b = !a;
        for (unsigned k = 0; k < bytes; k++)
            host[k] = pinned_host[k] = (unsigned char)rnd(256);
        switch (rnd(8)) {
        case 0:
            OK(cuMemcpyHtoD_v2(p[a] + to, host, bytes));
            memcpy(model[a] + to, host, bytes);
            break;
        case 1: /* the source may change as soon as the call is back */
            OK(cuMemcpyHtoDAsync_v2(p[a] + to, host, bytes, NULL));
            memcpy(model[a] + to, host, bytes);
            memset(host, 0xee, bytes);
            break;
        case 2:
            OK(cuMemcpyHtoDAsync_v2(p[a] + to, pinned_host, bytes, NULL));
            OK(cuStreamSynchronize(NULL));
            memcpy(model[a] + to, pinned_host, bytes);
            break;
        case 3:
            OK(cuMemcpyDtoD_v2(p[a] + to, p[b] + from, bytes));
            memcpy(model[a] + to, model[b] + from, bytes);
            break;
        case 4:
            OK(cuMemcpyDtoHAsync_v2(host, p[a] + from, bytes,
                                    NULL)); /* pageable: complete on return */
            TRUE(!memcmp(host, model[a] + from, bytes));
            break;
        case 5:
            OK(cuMemcpyAsync(p[a] + to, p[b] + from, bytes, CU_STREAM_PER_THREAD));
            memcpy(model[a] + to, model[b] + from, bytes);
            break;
        case 6:
            OK(cuMemcpy((CUdeviceptr)host, p[a] + from, bytes));
            TRUE(!memcmp(host, model[a] + from, bytes));
            break;
        case 7:
            OK(cuMemsetD8Async(p[a] + to, (unsigned char)i, bytes, NULL));
            memset(model[a] + to, i & 0xff, bytes);
            break;
        }
    }
    for (int i = 0; i < 2; i++) {
        OK(cuMemcpyDtoH_v2(out, p[i], SIZE));
        TRUE(!memcmp(out, model[i], SIZE));
    }
    IS(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD_v2(p[0] + 1, host, SIZE));
    IS(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD_v2(p[0], NULL, 8));
    IS(CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoH_v2(out, (CUdeviceptr)host, 8));
    OK(cuMemFree_v2(p[0]));
    IS(CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoH_v2(out, p[0], 8));
    OK(cuMemFree_v2(p[1]));
    OK(cuMemFreeHost(pinned_host));
}

/* A box of a 3D array, by way of pitched memory, and back to the host. */
static void shaped(void) {
    enum { W = 40, H = 11, D = 5 };
    static unsigned char host[D][H][W], out[D][H][W];
    CUdeviceptr p;
    CUarray array;
    size_t pitch;
    CUDA_ARRAY3D_DESCRIPTOR shape = {W / 4, H, D, CU_AD_FORMAT_UNSIGNED_INT8, 4, 0};
    for (size_t i = 0; i < sizeof(host); i++)
        ((unsigned char *)host)[i] = (unsigned char)rnd(256);
    OK(cuMemAllocPitch_v2(&p, &pitch, W, H * D, 4));
    OK(cuArray3DCreate_v2(&array, &shape));
    CUDA_MEMCPY3D in = {.srcMemoryType = CU_MEMORYTYPE_HOST,
                        .srcHost = host,
                        .srcPitch = W,
                        .srcHeight = H,
                        .dstMemoryType = CU_MEMORYTYPE_DEVICE,
                        .dstDevice = p,
                        .dstPitch = pitch,
                        .dstHeight = H,
                        .WidthInBytes = W,
                        .Height = H,
                        .Depth = D};
    OK(cuMemcpy3D_v2(&in));
    CUDA_MEMCPY3D across = {.srcMemoryType = CU_MEMORYTYPE_UNIFIED,
                            .srcDevice = p,
                            .srcPitch = pitch,
                            .srcHeight = H,
                            .dstMemoryType = CU_MEMORYTYPE_ARRAY,
                            .dstArray = array,
                            .WidthInBytes = W,
                            .Height = H,
                            .Depth = D};
    OK(cuMemcpy3DAsync_v2(&across, NULL));
    for (int i = 0; i < 50; i++) {
        size_t x = rnd(W), y = rnd(H), z = rnd(D), w = 1 + rnd((unsigned)(W - x)),
               h = 1 + rnd((unsigned)(H - y)), d = 1 + rnd((unsigned)(D - z));
        memset(out, 0, sizeof(out));
        CUDA_MEMCPY3D box = {.srcXInBytes = x,
                             .srcY = y,
                             .srcZ = z,
                             .srcMemoryType = CU_MEMORYTYPE_ARRAY,
                             .srcArray = array,
                             .dstXInBytes = x,
                             .dstY = y,
                             .dstZ = z,
                             .dstMemoryType = CU_MEMORYTYPE_HOST,
                             .dstHost = out,
                             .dstPitch = W,
                             .dstHeight = H,
                             .WidthInBytes = w,
                             .Height = h,
                             .Depth = d};
        OK(cuMemcpy3D_v2(&box));
        for (size_t c = 0; c < D; c++)
            for (size_t b = 0; b < H; b++)
                for (size_t a = 0; a < W; a++) {
                    bool inside = a >= x && a < x + w && b >= y && b < y + h && c >= z && c < z + d;
                    if (out[c][b][a] != (inside ? host[c][b][a] : 0))
                        FAIL("box %zu,%zu,%zu of %zux%zux%zu: wrong at %zu,%zu,%zu", x, y, z, w, h,
                             d, a, b, c);
                }
        box.WidthInBytes = W + 1;
        IS(CUDA_ERROR_INVALID_VALUE, cuMemcpy3D_v2(&box));
    }
    CUDA_MEMCPY2D rows = {.srcMemoryType = CU_MEMORYTYPE_DEVICE,
                          .srcDevice = p,
                          .srcPitch = pitch,
                          .srcY = 3,
                          .dstMemoryType = CU_MEMORYTYPE_HOST,
                          .dstHost = out,
                          .dstPitch = W,
                          .WidthInBytes = W,
                          .Height = 4};
    OK(cuMemcpy2D_v2(&rows));
    TRUE(!memcmp(out, host[0][3], 4 * W));
    rows.srcPitch = W - 1;
    IS(CUDA_ERROR_INVALID_VALUE, cuMemcpy2DUnaligned_v2(&rows));
    OK(cuMemcpyAtoH_v2(out, array, 10, 100));
    TRUE(!memcmp(out, (unsigned char *)host + 10, 100));
    IS(CUDA_ERROR_INVALID_VALUE, cuMemcpyAtoH_v2(out, array, W * H * D - 10, 11));
    OK(cuArrayDestroy(array));
    IS(CUDA_ERROR_INVALID_HANDLE, cuMemcpyAtoH_v2(out, array, 0, 1));
    OK(cuMemFree_v2(p));
}

static void sets(void) {
    CUdeviceptr p;
    size_t pitch;
    unsigned char out[64];
    OK(cuMemAllocPitch_v2(&p, &pitch, 32, 4, 4));
    OK(cuMemsetD2D8_v2(p, pitch, 0x11, 32, 4));
    OK(cuMemsetD2D16_v2(p + 4, pitch, 0x2233, 3, 2));
    OK(cuMemsetD2D32_v2(p + 16, pitch, 0x44556677, 2, 1));
    OK(cuMemcpyDtoH_v2(out, p, 32));
    TRUE(out[3] == 0x11 && out[4] == 0x33 && out[5] == 0x22 && out[9] == 0x22 && out[10] == 0x11 &&
         out[16] == 0x77);
    OK(cuMemcpyDtoH_v2(out, p + 2 * pitch, 32));
    TRUE(out[4] == 0x11 && out[16] == 0x11);
    OK(cuMemsetD16_v2(p, 0xabcd, 4));
    OK(cuMemsetD32Async(p + 8, 0, 2, NULL));
    OK(cuMemcpyDtoH_v2(out, p, 16));
    TRUE(out[0] == 0xcd && out[7] == 0xab && out[8] == 0 && out[15] == 0);
    IS(CUDA_ERROR_INVALID_VALUE, cuMemsetD32_v2(p + 1, 0, 1));
    IS(CUDA_ERROR_INVALID_VALUE, cuMemsetD8_v2(p, 0, 4 * pitch + 1));
    OK(cuMemsetD8_v2(p, 0, 0));
    OK(cuMemFree_v2(p));
}

static void arrays(void) {
    CUarray array, level;
    CUmipmappedArray mipmap;
    CUDA_ARRAY_DESCRIPTOR got;
    CUDA_ARRAY3D_DESCRIPTOR shape = {0};
    size_t before = free_bytes();
#define TAKES(bytes, ...)                                                                          \
    do {                                                                                           \
        shape = (CUDA_ARRAY3D_DESCRIPTOR){__VA_ARGS__};                                            \
        OK(cuArray3DCreate_v2(&array, &shape));                                                    \
        EQUAL(before - free_bytes(), bytes);                                                       \
        OK(cuArrayDestroy(array));                                                                 \
        EQUAL(free_bytes(), before);                                                               \
    } while (0)
    TAKES(1024 * 4, 1024, 0, 0, CU_AD_FORMAT_FLOAT, 1, 0);
    TAKES(1024 * 1024 * 8, 1024, 1024, 0, CU_AD_FORMAT_HALF, 4, 0);
    TAKES(64 * 64 * 64, 64, 64, 64, CU_AD_FORMAT_UNSIGNED_INT8, 1, 0);
    TAKES(512 * 8, 512, 0, 8, CU_AD_FORMAT_UNSIGNED_INT8, 1, CUDA_ARRAY3D_LAYERED);
    TAKES(64 * 64 * 6 * 4, 64, 64, 6, CU_AD_FORMAT_SIGNED_INT32, 1, CUDA_ARRAY3D_CUBEMAP);
    IS(CUDA_ERROR_INVALID_VALUE,
       cuArray3DCreate_v2(&array, &(CUDA_ARRAY3D_DESCRIPTOR){64, 32, 6, CU_AD_FORMAT_FLOAT, 1,
                                                             CUDA_ARRAY3D_CUBEMAP}));
    IS(CUDA_ERROR_INVALID_VALUE,
       cuArray3DCreate_v2(&array, &(CUDA_ARRAY3D_DESCRIPTOR){64, 0, 0, CU_AD_FORMAT_FLOAT, 3, 0}));
    IS(CUDA_ERROR_NOT_SUPPORTED,
       cuArray3DCreate_v2(&array, &(CUDA_ARRAY3D_DESCRIPTOR){64, 64, 0, CU_AD_FORMAT_NV12, 1, 0}));
    IS(CUDA_ERROR_OUT_OF_MEMORY,
       cuArray3DCreate_v2(
           &array, &(CUDA_ARRAY3D_DESCRIPTOR){16384, 16384, 16384, CU_AD_FORMAT_FLOAT, 4, 0}));
    shape = (CUDA_ARRAY3D_DESCRIPTOR){256, 256, 0, CU_AD_FORMAT_FLOAT, 1, 0};
    OK(cuMipmappedArrayCreate(&mipmap, &shape, 3));
    EQUAL(before - free_bytes(), (256 * 256 + 128 * 128 + 64 * 64) * 4);
    OK(cuMipmappedArrayGetLevel(&level, mipmap, 2));
    OK(cuArrayGetDescriptor_v2(&got, level));
    EQUAL(got.Width, 64);
    IS(CUDA_ERROR_INVALID_VALUE, cuMipmappedArrayGetLevel(&level, mipmap, 3));
    IS(CUDA_ERROR_INVALID_HANDLE, cuArrayDestroy(level));
    OK(cuMipmappedArrayDestroy(mipmap));
    EQUAL(free_bytes(), before);
    IS(CUDA_ERROR_INVALID_HANDLE, cuArrayGetDescriptor_v2(&got, level));
}

static void batches(void) {
    CUdeviceptr p = words(64, 1), q = words(64, 2);
    CUdeviceptr to[2] = {q, q + 64}, from[2] = {p, p + 64};
    size_t sizes[2] = {8, 16}, first = 0, fail = 0;
    CUmemcpyAttributes attributes = {.srcAccessOrder = CU_MEMCPY_SRC_ACCESS_ORDER_STREAM};
    CUstream stream;
    OK(cuStreamCreate(&stream, 0));
    OK(cuMemcpyBatchAsync(to, from, sizes, 2, &attributes, &first, 1, &fail, stream));
    EQUAL(word_at(q, 1), 1);
    EQUAL(word_at(q, 2), 2);
    EQUAL(word_at(q, 19), 1);
    to[1] = 0x1234;
    IS(CUDA_ERROR_INVALID_VALUE,
       cuMemcpyBatchAsync_v2(to, from, sizes, 2, &attributes, &first, 1, NULL));
    OK(cuStreamDestroy_v2(stream));
    OK(cuMemFree_v2(p));
    OK(cuMemFree_v2(q));
}

/* Many allocations, freed in any order: every byte comes back. */
static void churn(void) {
    enum { COUNT = 3000 };
    static CUdeviceptr live[COUNT];
    size_t before = free_bytes();
    for (int i = 0; i < 20000; i++) {
        unsigned k = rnd(COUNT);
        if (live[k]) {
            OK(cuMemFree_v2(live[k]));
            live[k] = 0;
        } else {
            OK(cuMemAlloc_v2(live + k, 1 + rnd(100000)));
        }
    }
    for (int k = 0; k < COUNT; k++)
        if (live[k])
            OK(cuMemFree_v2(live[k]));
    EQUAL(free_bytes(), before);
}

int main(void) {
    fixture_t f = begin();
    const char *seed = getenv("SEED");
    random_state =
        seed ? (unsigned)strtoul(seed, NULL, 0) : (unsigned)time(NULL) ^ (unsigned)getpid();
    printf("SEED=%u\n", random_state);
    linear();
    managed(&f);
    pinned(&f);
    pointers(&f);
    copies();
    shaped();
    sets();
    arrays();
    batches();
    churn();
    return 0;
}
