/*
 * Processes of one tenant. `processes CASE`:
 *
 *   worker SECONDS [FAMILY]
 *               allocates and frees at random, in every family or one, until the time is up
 *   hold BYTES  allocates BYTES, says "held RESULT", and waits for the end of its input
 *   check       prints what the tenant uses
 *   fork        a child forked after cuInit: the parent's bytes stay the parent's
 *   exec        a process that holds memory becomes another program: the bytes come back
 *   vfork       vfork and exec while memory is held: nothing changes
 *   threads     eight threads at once, never above the limit, nothing in the end
 *   contexts    what a context held comes back when it is destroyed
 *   overhead    contexts are charged while they live, where that is asked for
 *   live        set_limit changes the running tenant
 *   errno       calls that succeed, and calls that are refused, leave errno alone
 *   context     what one context takes of the device
 *   pools       60 % of the limit again and again: in one stream, between streams, kept or not
 */
#include "cu.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- random work ---- */

enum kind { LINEAR, ASYNC, ARRAY, CREATE, KINDS };

struct block {
    enum kind kind;
    CUdeviceptr pointer;
    CUarray array;
    CUmemGenericAllocationHandle handle;
    bool live;
};

static int only_kind = -1; /* one family instead of all */

static CUresult block_allocate(struct block *block, unsigned *seed) {
    uint64_t bytes =
        (1 + (uint64_t)rand_r(seed) % 256) * 2 * MIB; /* whole pages: no family rounds up */

    block->kind = (enum kind)((unsigned)rand_r(seed) % KINDS);
    if (only_kind >= 0)
        block->kind = (enum kind)only_kind;
    switch (block->kind) {
    case LINEAR:
        return cu.cuMemAlloc_v2(&block->pointer, bytes);
    case ASYNC:
        return cu.cuMemAllocAsync(&block->pointer, bytes, NULL);
    case ARRAY: {
        CUDA_ARRAY_DESCRIPTOR descriptor = {.Width = 16384,
                                            .Height = bytes / 65536,
                                            .Format = CU_AD_FORMAT_FLOAT,
                                            .NumChannels = 1};

        return cu.cuArrayCreate_v2(&block->array, &descriptor);
    }
    default: {
        CUmemAllocationProp properties = {
            .type = CU_MEM_ALLOCATION_TYPE_PINNED,
            .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}};

        return cu.cuMemCreate(&block->handle, bytes, &properties, 0);
    }
    }
}

static CUresult block_free(struct block *block, unsigned *seed) {
    switch (block->kind) {
    case LINEAR:
        return cu.cuMemFree_v2(block->pointer);
    case ASYNC:
        return rand_r(seed) % 2 ? cu.cuMemFreeAsync(block->pointer, NULL)
                                : cu.cuMemFree_v2(block->pointer);
    case ARRAY:
        return cu.cuArrayDestroy(block->array);
    default:
        return cu.cuMemRelease(block->handle);
    }
}

/* Random allocations and frees; every figure stays within the limit. Ends with everything freed. */
static void work(unsigned seed, double seconds, unsigned steps_max) {
    struct block blocks[64] = {0};
    struct timespec start, now;
    unsigned refused = 0;

    clock_gettime(CLOCK_MONOTONIC, &start);
    for (unsigned steps = 0; steps < steps_max; steps++) {
        struct block *block = &blocks[(unsigned)rand_r(&seed) % 64];

        if (block->live) {
            CHECK_CU(block_free(block, &seed));
            block->live = false;
        } else {
            CUresult result = block_allocate(block, &seed);

            CHECK(result == CUDA_SUCCESS || result == CUDA_ERROR_OUT_OF_MEMORY);
            block->live = result == CUDA_SUCCESS;
            refused += !block->live;
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
        if ((double)(now.tv_sec - start.tv_sec) + (double)(now.tv_nsec - start.tv_nsec) / 1e9 >
            seconds)
            break;
    }
    for (int i = 0; i < 64; i++)
        if (blocks[i].live)
            CHECK_CU(block_free(&blocks[i], &seed));
    CHECK_CU(cu.cuCtxSynchronize());
}

static int worker(double seconds) {
    (void)cu_begin(0);
    work((unsigned)getpid(), seconds, UINT32_MAX);
    return 0;
}

/* ---- cases ---- */

static int hold(uint64_t bytes) {
    CUdeviceptr pointer;
    char byte;

    (void)cu_begin(0);
    printf("held %d\n", (int)cu.cuMemAlloc_v2(&pointer, bytes));
    fflush(stdout);
    return read(0, &byte, 1) < 0;
}

/* What dead processes held comes back in under a second: the dead are looked for every 100 ms. */
static int check(void) {
    (void)cu_begin(0);
    for (int i = 0; i < 10 && cu_used() > 0; i++)
        usleep(100000);
    printf("used %llu\n", (unsigned long long)cu_used());
    return 0;
}

static int after_fork(void) {
    CUdeviceptr pointer, other;
    int status;
    pid_t child;

    (void)cu_begin(0);
    CHECK_CU(cu.cuMemAlloc_v2(&pointer, GIB));
    for (int i = 0; i < 20; i++) {
        child = fork();
        if (child == 0) {
            /* The driver decides whether a child may go on; whatever it answers, it must not free
             * the parent's bytes. */
            if (cu.cuInit(0) == CUDA_SUCCESS)
                (void)cu.cuMemAlloc_v2(&other, 16 * MIB);
            (void)cu.cuMemFree_v2(pointer);
            _exit(0);
        }
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    }
    CHECK_U64(cu_used(), GIB);
    CHECK_CU(cu.cuMemFree_v2(pointer));
    CHECK_U64(cu_used(), 0);
    return 0;
}

static int after_exec(const char *self, const char *next) {
    CUdeviceptr pointer;

    (void)cu_begin(0);
    CHECK_CU(cu.cuMemAlloc_v2(&pointer, GIB));
    CHECK_U64(cu_used(), GIB);
    execl(self, self, next, (char *)NULL);
    return 1;
}

static int after_vfork(const char *self) {
    CUdeviceptr pointer;

    (void)cu_begin(0);
    CHECK_CU(cu.cuMemAlloc_v2(&pointer, GIB));
    for (int i = 0; i < 20; i++) {
        int status;
        pid_t child = vfork();

        if (child == 0) {
            execl("/bin/true", "true", (char *)NULL);
            _exit(1);
        }
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    }
    CHECK_U64(cu_used(), GIB);
    (void)self;
    return 0;
}

static CUcontext shared_context;

static void *thread_work(void *argument) {
    CHECK_CU(cu.cuCtxSetCurrent(shared_context));
    work((unsigned)(uintptr_t)argument, 60, 2000);
    return NULL;
}

static int threads(void) {
    pthread_t ids[8];

    shared_context = cu_begin(0);
    for (uintptr_t i = 0; i < 8; i++)
        CHECK(pthread_create(&ids[i], NULL, thread_work, (void *)(i + 1)) == 0);
    for (int i = 0; i < 8; i++)
        CHECK(pthread_join(ids[i], NULL) == 0);
    CHECK_U64(cu_used(), 0);
    return 0;
}

/* Under DIVVY_OVERHEAD=charge: contexts are charged while they live. */
static int overhead(void) {
    CUcontext outer = cu_begin(0), inner;
    uint64_t one = cu_used();

    CHECK(one > 0);
    CHECK_CU(cu.cuCtxCreate_v2(&inner, 0, 0));
    CHECK(cu_used() > one);
    CHECK_CU(cu.cuCtxDestroy_v2(inner));
    CHECK_CU(cu.cuCtxSetCurrent(outer));
    CHECK_U64(cu_used(), one);
    return 0;
}

static int contexts(void) {
    CUDA_ARRAY_DESCRIPTOR descriptor = {
        .Width = 1024, .Height = 1024, .Format = CU_AD_FORMAT_FLOAT, .NumChannels = 1};
    CUcontext outer = cu_begin(0), inner, primary;
    CUdeviceptr pointer;
    CUarray array;
    CUdevice device = 0;

    CHECK_CU(cu.cuMemAlloc_v2(&pointer, 10 * MIB));
    CHECK_CU(cu.cuCtxCreate_v2(&inner, 0, device));
    CHECK_CU(cu.cuMemAlloc_v2(&pointer, 100 * MIB));
    CHECK_CU(cu.cuMemAllocManaged(&pointer, 100 * MIB, CU_MEM_ATTACH_GLOBAL));
    CHECK_CU(cu.cuArrayCreate_v2(&array, &descriptor));
    CHECK_U64(cu_used(), 214 * MIB);
    CHECK_CU(cu.cuCtxDestroy_v2(inner));
    CHECK_CU(cu.cuCtxSetCurrent(outer));
    CHECK_U64(cu_used(), 10 * MIB);
    for (int reset = 0; reset < 2; reset++) {
        CHECK_CU(cu.cuDevicePrimaryCtxRetain(&primary, device));
        CHECK_CU(cu.cuDevicePrimaryCtxRetain(&primary, device));
        CHECK_CU(cu.cuCtxPushCurrent_v2(primary));
        CHECK_CU(cu.cuMemAlloc_v2(&pointer, 50 * MIB));
        CHECK_CU(cu.cuCtxPopCurrent_v2(&primary));
        CHECK_CU(cu.cuDevicePrimaryCtxRelease_v2(device));
        CHECK_CU(cu.cuCtxSetCurrent(outer));
        CHECK_U64(cu_used(), 60 * MIB);
        CHECK_CU(reset ? cu.cuDevicePrimaryCtxReset_v2(device)
                       : cu.cuDevicePrimaryCtxRelease_v2(device));
        CHECK_U64(cu_used(), 10 * MIB);
    }
    return 0;
}

/* What one context takes of the device (run without a limit). */
static int context_bytes(void) {
    size_t free_before, free_after, total;
    CUcontext context = cu_begin(0), second;

    CHECK_CU(cu.cuMemGetInfo_v2(&free_before, &total));
    CHECK_CU(cu.cuCtxDestroy_v2(context));
    CHECK_CU(cu.cuCtxCreate_v2(&second, 0, 0));
    CHECK_CU(cu.cuMemGetInfo_v2(&free_after, &total));
    CHECK_U64(free_after, free_before);
    printf("%zu\n", total - free_after);
    return 0;
}

static int live(void) {
    void (*set_limit)(uint32_t, uint32_t, uint64_t) =
        (void (*)(uint32_t, uint32_t, uint64_t))dlsym(RTLD_DEFAULT, "set_limit");
    CUdeviceptr pointer, second;
    int status;

    CHECK(set_limit);
    (void)cu_begin(0);
    set_limit(0, 0, 2 * GIB);
    CHECK_U64(cu_total(), 2 * GIB);
    CHECK_CU(cu.cuMemAlloc_v2(&pointer, 2 * GIB));
    CHECK_U64(cu.cuMemAlloc_v2(&second, 1), CUDA_ERROR_OUT_OF_MEMORY);
    set_limit(0, 0, GIB); /* below what is in use: nothing is taken away */
    CHECK_U64(cu_total(), GIB);
    CHECK_U64(cu_used(), GIB);
    set_limit(0, 0, 3 * GIB);
    CHECK_U64(cu_used(), 2 * GIB);
    CHECK_CU(cu.cuMemAlloc_v2(&second, GIB));
    CHECK_CU(cu.cuMemFree_v2(second));
    set_limit(7, 1, 1); /* no such device */
    CHECK_U64(cu_total(), 3 * GIB);
    /* A child sees it too. */
    if (fork() == 0) {
        execl("/proc/self/exe", "processes", "check-total", "3221225472", (char *)NULL);
        _exit(1);
    }
    CHECK(wait(&status) > 0 && status == 0);
    set_limit(0, 0, 0);
    CHECK(cu_total() > 4 * GIB);
    return 0;
}

static int check_total(uint64_t wanted) {
    (void)cu_begin(0);
    CHECK_U64(cu_total(), wanted);
    return 0;
}

static int keeps_errno(void) {
    CUdeviceptr pointer;

    (void)cu_begin(0);
    errno = 72;
    CHECK_CU(cu.cuMemAlloc_v2(&pointer, MIB));
    CHECK_U64(cu.cuMemAlloc_v2(&pointer, 1000 * GIB), CUDA_ERROR_OUT_OF_MEMORY);
    (void)cu_used();
    CHECK(errno == 72);
    return 0;
}

static int pools(void) {
    uint64_t most = 0, some;
    CUmemoryPool pool;
    CUstream streams[2];
    CUdeviceptr pointer;
    CUdevice device = 0;

    (void)cu_begin(0);
    some = cu_total() / 10 * 6;
    CHECK_CU(cu.cuStreamCreate(&streams[0], CU_STREAM_NON_BLOCKING));
    CHECK_CU(cu.cuStreamCreate(&streams[1], CU_STREAM_NON_BLOCKING));
    CHECK_CU(cu.cuDeviceGetDefaultMemPool(&pool, device));
    for (int keeps = 0; keeps < 2; keeps++) {
        cuuint64_t threshold = keeps ? UINT64_MAX : 0;

        CHECK_CU(cu.cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold));
        for (int i = 0; i < 1000; i++) {
            CHECK_CU(cu.cuMemAllocAsync(&pointer, some, streams[0]));
            most = cu_used() > most ? cu_used() : most;
            CHECK_CU(cu.cuMemFreeAsync(pointer, streams[0]));
        }
        CHECK(most <= cu_total());
        /* Another stream, after waiting: what the pool kept is given back for it if need be. */
        for (int i = 0; i < 100; i++) {
            CHECK_CU(cu.cuMemAllocAsync(&pointer, some, streams[i % 2]));
            CHECK_CU(cu.cuMemFreeAsync(pointer, streams[i % 2]));
            CHECK_CU(cu.cuStreamSynchronize(streams[i % 2]));
        }
        CHECK_U64(cu_used(), keeps ? some : 0);
        /* Another kind of memory gets what the pool keeps unused. */
        CHECK_CU(cu.cuMemAlloc_v2(&pointer, some));
        CHECK_CU(cu.cuMemFree_v2(pointer));
        CHECK_U64(cu_used(), 0);
    }
    return 0;
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";

    if (argc > 3)
        only_kind = atoi(argv[3]);
    if (strcmp(name, "worker") == 0)
        return worker(argc > 2 ? atof(argv[2]) : 1);
    if (strcmp(name, "hold") == 0)
        return hold(argc > 2 ? strtoull(argv[2], NULL, 10) : MIB);
    if (strcmp(name, "check") == 0)
        return check();
    if (strcmp(name, "fork") == 0)
        return after_fork();
    if (strcmp(name, "exec") == 0)
        return after_exec(argv[0], "check");
    if (strcmp(name, "exec-other") == 0)
        return after_exec("/bin/sleep", argc > 2 ? argv[2] : "1");
    if (strcmp(name, "vfork") == 0)
        return after_vfork(argv[0]);
    if (strcmp(name, "threads") == 0)
        return threads();
    if (strcmp(name, "contexts") == 0)
        return contexts();
    if (strcmp(name, "context") == 0)
        return context_bytes();
    if (strcmp(name, "overhead") == 0)
        return overhead();
    if (strcmp(name, "live") == 0)
        return live();
    if (strcmp(name, "check-total") == 0)
        return check_total(argc > 2 ? strtoull(argv[2], NULL, 10) : 0);
    if (strcmp(name, "errno") == 0)
        return keeps_errno();
    if (strcmp(name, "pools") == 0)
        return pools();
    fprintf(stderr, "no such case: %s\n", name);
    return 2;
}
