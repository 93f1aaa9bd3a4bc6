/*
 * A program with something on the device that does nothing until it is told to: a line on its input is the name of one call, which
 * it makes, as its only one, and answers "done NAME MICROSECONDS"; every call looks at what was in memory afterwards. "quit" ends
 * it; with an argument it lists the calls that it knows.
 */
#include "../limiter/cu.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

enum { WORDS = 1 << 20, VALUE = 4711 };

static const char ptx[] = ".version 7.0\n.target sm_70\n.address_size 64\n.visible .entry nothing()\n{\n    ret;\n}\n";

static CUcontext context;
static CUmodule module;
static CUfunction function;
static CUstream stream;
static CUevent event;
static CUgraphExec graph;
static CUdeviceptr memory, other;
static uint32_t words[WORDS];

static CUresult launch(void) {
    return cu.cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, stream, NULL, NULL);
}
static CUresult launch_default(void) {
    return cu.cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL);
}
static CUresult launch_per_thread(void) {
    return cu.cuLaunchKernel_ptsz(function, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL);
}
static CUresult graph_launch(void) {
    return cu.cuGraphLaunch(graph, stream);
}
static CUresult copy_to(void) {
    return cu.cuMemcpyHtoD_v2(other, words, 64);
}
static CUresult copy_from(void) {
    return cu.cuMemcpyDtoH_v2(words, other, 64);
}
static CUresult copy_within(void) {
    return cu.cuMemcpyDtoD_v2(other, memory, 64);
}
static CUresult copy_any(void) {
    return cu.cuMemcpy(other, memory, 64);
}
static CUresult copy_large(void) {
    return cu.cuMemcpyDtoDAsync_v2(other, memory, sizeof words, stream);
}
static CUresult fill(void) {
    return cu.cuMemsetD32Async(other, 1, 16, stream);
}
static CUresult fill_large(void) {
    return cu.cuMemsetD32_v2(other, 1, WORDS);
}
static CUresult allocate(void) {
    CUdeviceptr pointer = 0;
    CUresult result = cu.cuMemAlloc_v2(&pointer, 4096);

    return result == CUDA_SUCCESS ? cu.cuMemFree_v2(pointer) : result;
}
static CUresult allocate_async(void) {
    CUdeviceptr pointer = 0;
    CUresult result = cu.cuMemAllocAsync(&pointer, 4096, stream);

    return result == CUDA_SUCCESS ? cu.cuMemFreeAsync(pointer, stream) : result;
}
static CUresult allocate_host(void) {
    void *pointer = NULL;
    CUresult result = cu.cuMemAllocHost_v2(&pointer, 4096);

    return result == CUDA_SUCCESS ? cu.cuMemFreeHost(pointer) : result;
}
static CUresult free_other(void) {
    CUresult result = cu.cuMemFree_v2(other);

    return result == CUDA_SUCCESS ? cu.cuMemAlloc_v2(&other, sizeof words) : result;
}
static CUresult info(void) {
    size_t free_bytes, total_bytes;

    return cu.cuMemGetInfo_v2(&free_bytes, &total_bytes);
}
static CUresult synchronize_stream(void) {
    return cu.cuStreamSynchronize(stream);
}
static CUresult synchronize_context(void) {
    return cu.cuCtxSynchronize();
}
static CUresult synchronize_event(void) {
    return cu.cuEventSynchronize(event);
}
static CUresult query_stream(void) {
    return cu.cuStreamQuery(stream);
}
static CUresult query_event(void) {
    return cu.cuEventQuery(event);
}
static CUresult record_event(void) {
    return cu.cuEventRecord(event, stream);
}
static CUresult wait_event(void) {
    return cu.cuStreamWaitEvent(stream, event, 0);
}
static CUresult create_stream(void) {
    CUstream more;
    CUresult result = cu.cuStreamCreate(&more, CU_STREAM_NON_BLOCKING);

    return result == CUDA_SUCCESS ? cu.cuStreamDestroy_v2(more) : result;
}
static CUresult current(void) {
    CUcontext there;

    return cu.cuCtxGetCurrent(&there);
}
static CUresult set_current(void) {
    return cu.cuCtxSetCurrent(context);
}
static CUresult push(void) {
    CUcontext popped;
    CUresult result = cu.cuCtxPushCurrent_v2(context);

    return result == CUDA_SUCCESS ? cu.cuCtxPopCurrent_v2(&popped) : result;
}
static CUresult attribute(void) {
    int value;

    return cu.cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 0);
}
static CUresult pointer_attribute(void) {
    unsigned int value;

    return cu.cuPointerGetAttribute(&value, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, memory);
}
static CUresult load_module(void) {
    CUmodule more;
    CUresult result = cu.cuModuleLoadData(&more, ptx);

    return result == CUDA_SUCCESS ? cu.cuModuleUnload(more) : result;
}
static CUresult get_function(void) {
    return cu.cuModuleGetFunction(&function, module, "nothing");
}

/* From a thread that the process did not have when it went to sleep. */
static void *thread_run(void *result) {
    *(CUresult *)result = cu.cuCtxSetCurrent(context);
    return NULL;
}
static CUresult other_thread(void) {
    CUresult result = CUDA_ERROR_UNKNOWN;
    pthread_t thread;

    if (pthread_create(&thread, NULL, thread_run, &result) == 0)
        pthread_join(thread, NULL);
    return result;
}

static const struct {
    const char *name;
    CUresult (*make)(void);
} calls[] = {
#define CALL(name) {#name, name}
    CALL(launch),          CALL(launch_default),  CALL(launch_per_thread),   CALL(graph_launch),      CALL(copy_to),
    CALL(copy_from),       CALL(copy_within),     CALL(copy_any),            CALL(copy_large),        CALL(fill),
    CALL(fill_large),      CALL(allocate),        CALL(allocate_async),      CALL(allocate_host),     CALL(free_other),
    CALL(info),            CALL(synchronize_stream), CALL(synchronize_context), CALL(synchronize_event), CALL(query_stream),
    CALL(query_event),     CALL(record_event),    CALL(wait_event),          CALL(create_stream),     CALL(current),
    CALL(set_current),     CALL(push),            CALL(attribute),           CALL(pointer_attribute), CALL(load_module),
    CALL(get_function),    CALL(other_thread),
};

static void begin(void) {
    CUgraph drawn;

    context = cu_begin(0);
    CHECK_CU(cu.cuModuleLoadData(&module, ptx));
    CHECK_CU(cu.cuModuleGetFunction(&function, module, "nothing"));
    CHECK_CU(cu.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    CHECK_CU(cu.cuEventCreate(&event, 0));
    CHECK_CU(cu.cuMemAlloc_v2(&memory, sizeof words));
    CHECK_CU(cu.cuMemAlloc_v2(&other, sizeof words));
    CHECK_CU(cu.cuMemsetD32_v2(memory, VALUE, WORDS));
    CHECK_CU(cu.cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
    CHECK_CU(launch());
    CHECK_CU(cu.cuStreamEndCapture(stream, &drawn));
    CHECK_CU(cu.cuGraphInstantiateWithFlags(&graph, drawn, 0));
    CHECK_CU(cu.cuEventRecord(event, stream));
    CHECK_CU(cu.cuCtxSynchronize());
}

static double now_us(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void make(const char *name) {
    double began_us;

    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        if (strcmp(calls[i].name, name) == 0) {
            began_us = now_us();
            CHECK_CU(calls[i].make());
            began_us = now_us() - began_us;
            CHECK_CU(cu.cuMemcpyDtoH_v2(words, memory, sizeof words));
            CHECK(words[0] == VALUE && words[WORDS - 1] == VALUE);
            printf("done %s %.0f\n", name, began_us);
            return;
        }
    fprintf(stderr, "no such call: %s\n", name);
    exit(2);
}

int main(int argc, char **argv) {
    char line[64];

    (void)argv;
    if (argc > 1) {
        for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
            puts(calls[i].name);
        return 0;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    begin();
    puts("ready");
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, "quit") == 0)
            break;
        if (strcmp(line, "spin") == 0) /* the host works, the device does not */
            for (double until_us = now_us() + 3e6; now_us() < until_us;)
                ;
        else
            make(line);
    }
    return 0;
}
