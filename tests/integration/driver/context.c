/* Devices, contexts, what threads have current, and errors that stick. */
#include "check.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static void devices(void) {
    int count, value, major, minor;
    char name[64], bus[16];
    CUuuid uuid, other;
    CUdevice device;
    size_t total;
    OK(cuDeviceGetCount(&count));
    EQUAL(count, 2);
    OK(cuDeviceGet(&device, 1));
    EQUAL(device, 1);
    IS(CUDA_ERROR_INVALID_DEVICE, cuDeviceGet(&device, 2));
    IS(CUDA_ERROR_INVALID_DEVICE, cuDeviceGet(&device, -1));
    OK(cuDeviceGetName(name, sizeof(name), 0));
    TRUE(!strcmp(name, "NVIDIA H200"));
    OK(cuDeviceGetName(name, 7, 0));
    TRUE(!strcmp(name, "NVIDIA"));
    OK(cuDeviceGetUuid(&uuid, 0));
    OK(cuDeviceGetUuid_v2(&other, 1));
    TRUE(memcmp(&uuid, &other, sizeof(uuid)));
    OK(cuDeviceTotalMem_v2(&total, 0));
    TRUE(total > (100ul << 30));
    OK(cuDeviceComputeCapability(&major, &minor, 0));
    EQUAL(major, 9);
    OK(cuDeviceGetPCIBusId(bus, sizeof(bus), 1));
    OK(cuDeviceGetByPCIBusId(&device, bus));
    EQUAL(device, 1);
    IS(CUDA_ERROR_INVALID_VALUE, cuDeviceGetByPCIBusId(&device, "nonsense"));
    IS(CUDA_ERROR_INVALID_VALUE, cuDeviceGetPCIBusId(bus, 5, 1));
    OK(cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 0));
    EQUAL(value, 132);
    OK(cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_WARP_SIZE, 0));
    EQUAL(value, 32);
    IS(CUDA_ERROR_INVALID_VALUE, cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_MAX, 0));
    IS(CUDA_ERROR_INVALID_VALUE, cuDeviceGetAttribute(&value, 0, 0));
    IS(CUDA_ERROR_INVALID_DEVICE, cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_WARP_SIZE, 7));
    for (int a = 1; a < CU_DEVICE_ATTRIBUTE_MAX; a++)
        OK(cuDeviceGetAttribute(&value, (CUdevice_attribute)a, 0));
    OK(cuDeviceCanAccessPeer(&value, 0, 1));
    EQUAL(value, 1);
    OK(cuDeviceCanAccessPeer(&value, 0, 0));
    EQUAL(value, 0);
}

static void *other_thread(void *expected) {
    CUcontext current;
    OK(cuCtxGetCurrent(&current));
    TRUE(!current); /* each thread has its own */
    OK(cuCtxSetCurrent(expected));
    OK(cuCtxGetCurrent(&current));
    TRUE(current == expected);
    return NULL;
}

static void stack(void) {
    CUcontext a, b, got;
    CUdevice device;
    pthread_t thread;
    unsigned flags;
    OK(cuCtxGetCurrent(&got));
    TRUE(!got);
    IS(CUDA_ERROR_INVALID_CONTEXT, cuCtxGetDevice(&device));
    IS(CUDA_ERROR_INVALID_CONTEXT, cuCtxPopCurrent_v2(&got));
    OK(cuCtxCreate_v2(&a, CU_CTX_SCHED_YIELD, 0));
    OK(cuCtxCreate_v2(&b, 0, 1));
    OK(cuCtxGetDevice(&device));
    EQUAL(device, 1);
    OK(cuCtxPopCurrent_v2(&got));
    TRUE(got == b);
    OK(cuCtxGetFlags(&flags));
    EQUAL(flags, CU_CTX_SCHED_YIELD);
    OK(cuCtxPushCurrent_v2(b));
    pthread_create(&thread, NULL, other_thread, a);
    pthread_join(thread, NULL);
    OK(cuCtxDestroy_v2(b)); /* pops itself */
    OK(cuCtxGetCurrent(&got));
    TRUE(got == a);
    IS(CUDA_ERROR_INVALID_CONTEXT, cuCtxDestroy_v2(b));
    IS(CUDA_ERROR_INVALID_CONTEXT, cuCtxSetCurrent(b));
    IS(CUDA_ERROR_INVALID_CONTEXT, cuCtxSetCurrent((CUcontext)0x1234));
    IS(CUDA_ERROR_INVALID_CONTEXT, cuCtxPushCurrent_v2((CUcontext)&got));
    OK(cuCtxPushCurrent_v2(a)); /* twice on the stack */
    OK(cuCtxDestroy_v2(a));
    IS(CUDA_ERROR_CONTEXT_IS_DESTROYED, cuCtxSynchronize());
    OK(cuCtxPopCurrent_v2(&got));
    IS(CUDA_ERROR_INVALID_VALUE, cuCtxCreate_v2(&a, 0x3, 0));
    IS(CUDA_ERROR_INVALID_DEVICE, cuCtxCreate_v2(&a, 0, 9));
}

static void primary(void) {
    CUcontext a, b;
    unsigned flags;
    int active;
    OK(cuDevicePrimaryCtxGetState(0, &flags, &active));
    EQUAL(active, 0);
    OK(cuDevicePrimaryCtxSetFlags_v2(0, CU_CTX_SCHED_BLOCKING_SYNC));
    OK(cuDevicePrimaryCtxRetain(&a, 0));
    OK(cuDevicePrimaryCtxRetain(&b, 0));
    TRUE(a == b);
    OK(cuDevicePrimaryCtxGetState(0, &flags, &active));
    EQUAL(active, 1);
    EQUAL(flags, CU_CTX_SCHED_BLOCKING_SYNC);
    IS(CUDA_ERROR_INVALID_CONTEXT, cuCtxDestroy_v2(a));
    OK(cuDevicePrimaryCtxRelease_v2(0));
    OK(cuDevicePrimaryCtxGetState(0, &flags, &active));
    EQUAL(active, 1);
    OK(cuDevicePrimaryCtxRelease_v2(0));
    OK(cuDevicePrimaryCtxGetState(0, &flags, &active));
    EQUAL(active, 0);
    IS(CUDA_ERROR_INVALID_CONTEXT, cuDevicePrimaryCtxRelease_v2(0));
}

static void settings(const fixture_t *f) {
    size_t value;
    unsigned version;
    int least, greatest;
    unsigned long long id;
    OK(cuCtxSetLimit(CU_LIMIT_STACK_SIZE, 4000));
    OK(cuCtxGetLimit(&value, CU_LIMIT_STACK_SIZE));
    EQUAL(value, 4000);
    IS(CUDA_ERROR_UNSUPPORTED_LIMIT, cuCtxSetLimit(CU_LIMIT_MAX, 1));
    OK(cuCtxGetApiVersion(f->context, &version));
    EQUAL(version, 3020);
    OK(cuCtxGetStreamPriorityRange(&least, &greatest));
    EQUAL(least, 0);
    EQUAL(greatest, -5);
    OK(cuCtxGetId(NULL, &id));
    TRUE(id > 0);
}

static void memory_goes_with_context(void) {
    CUcontext context;
    CUdeviceptr p;
    CUarray array;
    CUDA_ARRAY_DESCRIPTOR shape = {1024, 1024, CU_AD_FORMAT_FLOAT, 1};
    size_t before = free_bytes();
    OK(cuCtxCreate_v2(&context, 0, 0));
    TRUE(free_bytes() < before); /* a context costs something */
    OK(cuMemAlloc_v2(&p, 1 << 20));
    OK(cuArrayCreate_v2(&array, &shape));
    OK(cuCtxDestroy_v2(context));
    EQUAL(free_bytes(), before);
    IS(CUDA_ERROR_INVALID_VALUE, cuMemFree_v2(p));
    IS(CUDA_ERROR_INVALID_HANDLE, cuArrayDestroy(array));
}

/* A kernel that writes where nothing is ruins its context, and only that. */
static void sticky(const fixture_t *f) {
    CUcontext context;
    CUmodule module;
    CUfunction touch;
    CUdeviceptr p, nowhere = 0x10;
    void *args[] = {&nowhere};
    OK(cuCtxCreate_v2(&context, 0, 0));
    OK(cuModuleLoadData(&module, kernels));
    OK(cuModuleGetFunction(&touch, module, "touch"));
    OK(cuMemAlloc_v2(&p, 64));
    OK(cuLaunchKernel(touch, 1, 1, 1, 1, 1, 1, 0, NULL, args, NULL));
    IS(CUDA_ERROR_ILLEGAL_ADDRESS, cuCtxSynchronize());
    IS(CUDA_ERROR_ILLEGAL_ADDRESS, cuCtxSynchronize());
    IS(CUDA_ERROR_ILLEGAL_ADDRESS, cuMemAlloc_v2(&p, 64));
    IS(CUDA_ERROR_ILLEGAL_ADDRESS, cuLaunchKernel(touch, 1, 1, 1, 1, 1, 1, 0, NULL, args, NULL));
    OK(cuCtxDestroy_v2(context));
    p = words(64, 5);
    OK(add1(f, p, 64, NULL));
    EQUAL(word_at(p, 0), 6);
    OK(cuMemFree_v2(p));
}

static void peers(const fixture_t *f) {
    CUcontext other;
    CUdeviceptr far;
    void *args[] = {&far};
    OK(cuDevicePrimaryCtxRetain(&other, 1));
    OK(cuCtxPushCurrent_v2(other));
    OK(cuMemAlloc_v2(&far, 64));
    OK(cuCtxPopCurrent_v2(NULL));
    OK(cuCtxEnablePeerAccess(other, 0));
    IS(CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED, cuCtxEnablePeerAccess(other, 0));
    OK(cuLaunchKernel(f->touch, 1, 1, 1, 1, 1, 1, 0, NULL, args, NULL));
    OK(cuCtxSynchronize());
    EQUAL(word_at(far, 0), 42);
    OK(cuCtxDisablePeerAccess(other));
    IS(CUDA_ERROR_PEER_ACCESS_NOT_ENABLED, cuCtxDisablePeerAccess(other));
    OK(cuDevicePrimaryCtxRelease_v2(1));
}

/* Starts this program again to see what another environment shows it. */
static void visible(const char *self, const char *list, const char *expected) {
    pid_t child = fork();
    if (!child) {
        setenv("CUDA_VISIBLE_DEVICES", list, 1);
        execl(self, self, "visible", expected, (char *)NULL);
        _exit(99);
    }
    int status;
    waitpid(child, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        FAIL("CUDA_VISIBLE_DEVICES=%s: not %s devices", list, expected);
}

/* EXPECTED is "none", or the bus numbers of the devices in order. */
static int show_visible(const char *expected) {
    char seen[64] = "none", bus[16];
    int count, domain, number;
    CUresult result = cuInit(0);
    if (result == CUDA_SUCCESS) {
        OK(cuDeviceGetCount(&count));
        for (int i = 0; i < count; i++) {
            OK(cuDeviceGetPCIBusId(bus, sizeof(bus), i));
            sscanf(bus, "%x:%x", &domain, &number);
            snprintf(i ? seen + strlen(seen) : seen, 8, "%x ", number);
        }
    } else {
        IS(CUDA_ERROR_NO_DEVICE, result);
        IS(CUDA_ERROR_NOT_INITIALIZED, cuDeviceGetCount(&count));
    }
    if (strcmp(seen, expected))
        fprintf(stderr, "saw '%s', expected '%s'\n", seen, expected);
    return strcmp(seen, expected) != 0;
}

static void visibility(const char *self) {
    char bus[2][16], one[16], both[32], swapped[32], uuid[64], prefix[16];
    int domain, n[2];
    CUuuid id;
    for (int i = 0; i < 2; i++) {
        OK(cuDeviceGetPCIBusId(bus[i], sizeof(bus[i]), i));
        sscanf(bus[i], "%x:%x", &domain, &n[i]);
    }
    OK(cuDeviceGetUuid(&id, 1));
    const unsigned char *b = (const unsigned char *)id.bytes;
    snprintf(uuid, sizeof(uuid),
             "GPU-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
             b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
             b[15]);
    snprintf(prefix, sizeof(prefix), "%.12s", uuid);
    snprintf(one, sizeof(one), "%x ", n[1]);
    snprintf(both, sizeof(both), "%x %x ", n[0], n[1]);
    snprintf(swapped, sizeof(swapped), "%x %x ", n[1], n[0]);
    visible(self, "0,1", both);
    visible(self, "1,0", swapped);
    visible(self, "1", one);
    visible(self, uuid, one);
    visible(self, prefix, one);
    visible(self, "1,-1,0", one);
    visible(self, "1,7,0", one);
    visible(self, "1,junk", one);
    visible(self, "-1", "none");
    visible(self, "", "none");
    visible(self, "junk", "none");
    visible(self, "0,0", "none");
    visible(self, "GPU-", "none"); /* names both, and so neither */
}

int main(int argc, char **argv) {
    if (argc == 3)
        return show_visible(argv[2]);
    OK(cuInit(0));
    devices();
    stack();
    primary();
    fixture_t f = begin();
    settings(&f);
    memory_goes_with_context();
    sticky(&f);
    peers(&f);
    visibility(argv[0]);
    return 0;
}
