/*
 * Work for the simulated GPU, launched in every way there is: load SCENARIO. Says "ready" when the first work is queued, and
 * goes on until it is killed, unless the scenario is one that ends. Kernels last as long as their parameter says.
 */
#include "../limiter/cu.h"

#include <pthread.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char ptx[] = ".version 7.0\n"
                          ".target sm_70\n"
                          ".address_size 64\n"
                          ".visible .entry work(.param .u64 duration_ns)\n"
                          "{\n"
                          "    .pragma \"divvy.time_only_param 0\";\n"
                          "    ret;\n"
                          "}\n"
                          ".visible .entry other(.param .u64 duration_ns)\n"
                          "{\n"
                          "    .pragma \"divvy.time_only_param 0\";\n"
                          "    ret;\n"
                          "}\n";

static CUcontext context;
static CUfunction work, other;

static uint64_t now_ns(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static void rest(uint64_t duration_ns) {
    struct timespec duration = {(time_t)(duration_ns / UINT64_C(1000000000)), (long)(duration_ns % UINT64_C(1000000000))};

    nanosleep(&duration, NULL);
}

static void begin(void) {
    CUmodule module;

    context = cu_begin(0);
    CHECK_CU(cu.cuModuleLoadData(&module, ptx));
    CHECK_CU(cu.cuModuleGetFunction(&work, module, "work"));
    CHECK_CU(cu.cuModuleGetFunction(&other, module, "other"));
}

static void ready(void) {
    static int said;

    if (!said && write(1, "ready\n", 6) != 6)
        exit(1);
    said = 1;
}

static void launch(CUfunction function, uint64_t duration_ns, CUstream stream) {
    void *parameters[] = {&duration_ns};

    CHECK_CU(cu.cuLaunchKernel(function, 132, 1, 1, 1024, 1, 1, 0, stream, parameters, NULL));
    ready();
}

static CUstream stream_new(void) {
    CUstream stream;

    CHECK_CU(cu.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    return stream;
}

/* --- one thread --------------------------------------------------------------------------------------------------- */

static void kernels(uint64_t duration_ns) {
    CUstream stream = stream_new();

    for (;;)
        launch(work, duration_ns, stream);
}

static void kernels_100us(void) {
    kernels(100000);
}

static void kernels_1ms(void) {
    kernels(1000000);
}

static void kernels_5ms(void) {
    kernels(5000000);
}

static void legacy_stream(void) {
    for (;;)
        launch(work, 300000, NULL);
}

static void synchronous(void) {
    CUstream stream = stream_new();

    for (;;) {
        launch(work, 300000, stream);
        CHECK_CU(cu.cuStreamSynchronize(stream));
    }
}

static void mixed(void) {
    CUstream stream = stream_new();

    for (unsigned i = 0;; i++)
        launch(i % 3 ? work : other, i % 3 ? 50000 : 900000, stream);
}

static void four_streams(void) {
    CUstream streams[4];

    for (unsigned i = 0; i < 4; i++)
        streams[i] = stream_new();
    for (unsigned i = 0;; i++)
        launch(work, 250000, streams[i % 4]);
}

static void extended(void) {
    CUlaunchConfig config = {.gridDimX = 132, .gridDimY = 1, .gridDimZ = 1, .blockDimX = 1024, .blockDimY = 1, .blockDimZ = 1};
    uint64_t duration_ns = 500000;
    void *parameters[] = {&duration_ns};

    config.hStream = stream_new();
    for (;;) {
        CHECK_CU(cu.cuLaunchKernelEx(&config, work, parameters, NULL));
        ready();
    }
}

static void cooperative(void) {
    CUstream stream = stream_new();
    uint64_t duration_ns = 500000;
    void *parameters[] = {&duration_ns};

    for (;;) {
        CHECK_CU(cu.cuLaunchCooperativeKernel(work, 132, 1, 1, 1024, 1, 1, 0, stream, parameters));
        ready();
    }
}

static void multi_device(void) {
    CUstream stream = stream_new();
    uint64_t duration_ns = 500000;
    void *parameters[] = {&duration_ns};
    CUDA_LAUNCH_PARAMS part = {.function = work, .gridDimX = 132, .gridDimY = 1, .gridDimZ = 1, .blockDimX = 1024,
                               .blockDimY = 1, .blockDimZ = 1, .hStream = stream, .kernelParams = parameters};

    for (;;) {
        CUresult result = cu.cuLaunchCooperativeKernelMultiDevice(&part, 1, 0);

        if (result == CUDA_ERROR_NOT_SUPPORTED)
            exit(77);
        CHECK_CU(result);
        ready();
    }
}

/* The oldest calls: parameters and shape are set before. */
static void oldest(void) {
    uint64_t duration_ns = 500000;

    CHECK_CU(cu.cuFuncSetBlockShape(work, 1024, 1, 1));
    CHECK_CU(cu.cuParamSetSize(work, 8));
    CHECK_CU(cu.cuParamSetv(work, 0, &duration_ns, 8));
    for (;;) {
        CHECK_CU(cu.cuLaunchGrid(work, 132, 1));
        CHECK_CU(cu.cuLaunchGridAsync(work, 132, 1, NULL));
        CHECK_CU(cu.cuLaunch(work));
        ready();
    }
}

static CUgraphExec graph_capture(CUstream stream, unsigned kernel_count, uint64_t duration_ns, CUstreamCaptureMode mode) {
    CUgraph graph;
    CUgraphExec exec;
    CUresult result = cu.cuStreamBeginCapture_v2(stream, mode);

    if (result == CUDA_ERROR_NOT_SUPPORTED)
        exit(77);
    CHECK_CU(result);
    for (unsigned i = 0; i < kernel_count; i++) {
        void *parameters[] = {&duration_ns};

        CHECK_CU(cu.cuLaunchKernel(work, 132, 1, 1, 1024, 1, 1, 0, stream, parameters, NULL));
    }
    CHECK_CU(cu.cuStreamEndCapture(stream, &graph));
    CHECK_CU(cu.cuGraphInstantiateWithFlags(&exec, graph, 0));
    CHECK_CU(cu.cuGraphDestroy(graph));
    return exec;
}

static void graphs(void) {
    CUstream stream = stream_new();
    CUgraphExec exec = graph_capture(stream, 20, 50000, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);

    for (;;) {
        CHECK_CU(cu.cuGraphLaunch(exec, stream));
        ready();
    }
}

/* New graphs all the time, at handles that the driver uses again; their lengths differ. */
static void graphs_short_lived(void) {
    CUstream stream = stream_new();

    for (unsigned turn = 0;; turn++) {
        CUgraphExec exec =
            graph_capture(stream, 1 + turn % 8, 100000 + 200000 * (turn % 3), CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);

        for (unsigned i = 0; i < 10; i++) {
            CHECK_CU(cu.cuGraphLaunch(exec, stream));
            ready();
        }
        CHECK_CU(cu.cuStreamSynchronize(stream));
        CHECK_CU(cu.cuGraphExecDestroy(exec));
    }
}

static void copies(void) {
    CUstream stream = stream_new();
    CUdeviceptr from, to;
    size_t bytes = (size_t)256 << 20;

    CHECK_CU(cu.cuMemAlloc_v2(&from, bytes));
    CHECK_CU(cu.cuMemAlloc_v2(&to, bytes));
    for (;;) {
        CHECK_CU(cu.cuMemcpyDtoDAsync_v2(to, from, bytes, stream));
        CHECK_CU(cu.cuMemsetD32Async(to, 7, bytes / 4, stream));
        ready();
    }
}

/* Transfers between kernels take no GPU time of the tenant's. */
static void transfers_between(void) {
    CUstream stream = stream_new();
    CUdeviceptr device;
    void *host;
    size_t bytes = (size_t)16 << 20;

    CHECK_CU(cu.cuMemAlloc_v2(&device, bytes));
    CHECK_CU(cu.cuMemHostAlloc(&host, bytes, 0));
    memset(host, 1, bytes);
    for (;;) {
        CHECK_CU(cu.cuMemcpyHtoDAsync_v2(device, host, bytes, stream));
        for (unsigned i = 0; i < 10; i++)
            launch(work, 100000, stream);
    }
}

/* --- contexts and streams that come and go ------------------------------------------------------------------------ */

static void contexts_pushed(void) {
    CUcontext popped;

    for (;;) {
        CHECK_CU(cu.cuCtxPushCurrent_v2(context));
        launch(work, 200000, NULL);
        CHECK_CU(cu.cuCtxPopCurrent_v2(&popped));
    }
}

static void contexts_two(void) {
    CUcontext second;
    CUmodule module;
    CUfunction work_second;
    CUstream stream = stream_new(), stream_second;

    CHECK_CU(cu.cuCtxCreate_v2(&second, 0, 0));
    CHECK_CU(cu.cuModuleLoadData(&module, ptx));
    CHECK_CU(cu.cuModuleGetFunction(&work_second, module, "work"));
    stream_second = stream_new();
    for (;;) {
        CHECK_CU(cu.cuCtxSetCurrent(context));
        for (unsigned i = 0; i < 7; i++)
            launch(work, 150000, stream);
        launch(work, 150000, NULL);
        CHECK_CU(cu.cuCtxSetCurrent(second));
        for (unsigned i = 0; i < 5; i++)
            launch(work_second, 150000, stream_second);
    }
}

static void contexts_short_lived(void) {
    for (;;) {
        CUcontext own;
        CUmodule module;
        CUfunction function;
        CUstream stream;

        CHECK_CU(cu.cuCtxCreate_v2(&own, 0, 0));
        CHECK_CU(cu.cuModuleLoadData(&module, ptx));
        CHECK_CU(cu.cuModuleGetFunction(&function, module, "work"));
        stream = stream_new();
        for (unsigned i = 0; i < 20; i++)
            launch(function, 200000, i % 2 ? stream : NULL);
        CHECK_CU(cu.cuCtxSynchronize());
        CHECK_CU(cu.cuCtxDestroy_v2(own));
    }
}

static void streams_short_lived(void) {
    for (;;) {
        CUstream stream = stream_new();

        for (unsigned i = 0; i < 5; i++)
            launch(work, 200000, stream);
        CHECK_CU(cu.cuStreamDestroy_v2(stream));
    }
}

/* --- threads ------------------------------------------------------------------------------------------------------ */

#define THREADS 8u

static uint64_t launched[THREADS];

static void *thread_kernels(void *argument) {
    unsigned index = (unsigned)(uintptr_t)argument;
    CUstream stream;

    CHECK_CU(cu.cuCtxSetCurrent(context));
    stream = stream_new();
    for (;;) {
        launch(work, 200000, stream);
        __atomic_fetch_add(&launched[index], 200000, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void thread_start(void *(*body)(void *), uintptr_t argument) {
    pthread_t thread;

    CHECK(pthread_create(&thread, NULL, body, (void *)argument) == 0);
    pthread_detach(thread);
}

/* All threads make progress: after three seconds none has less than half of what the best has. */
static void threads(void) {
    uint64_t least = UINT64_MAX, most = 0;

    for (uintptr_t i = 0; i < THREADS; i++)
        thread_start(thread_kernels, i);
    rest(UINT64_C(3000000000));
    for (unsigned i = 0; i < THREADS; i++) {
        uint64_t value = __atomic_load_n(&launched[i], __ATOMIC_RELAXED);

        least = value < least ? value : least;
        most = value > most ? value : most;
    }
    if (least * 2 < most) {
        fprintf(stderr, "a thread got %llu ns, another %llu\n", (unsigned long long)least, (unsigned long long)most);
        exit(1);
    }
    for (;;)
        pause();
}

static void *thread_per_thread_stream(void *argument) {
    uint64_t duration_ns = 200000;
    void *parameters[] = {&duration_ns};

    (void)argument;
    CHECK_CU(cu.cuCtxSetCurrent(context));
    for (;;) {
        CHECK_CU(cu.cuLaunchKernel_ptsz(work, 132, 1, 1, 1024, 1, 1, 0, NULL, parameters, NULL));
        ready();
    }
    return NULL;
}

static void per_thread_streams(void) {
    for (uintptr_t i = 0; i < 3; i++)
        thread_start(thread_per_thread_stream, i);
    for (;;)
        pause();
}

static pthread_mutex_t turn_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn_changed = PTHREAD_COND_INITIALIZER;
static unsigned turn_of;

/* A few kernels, then the other thread, as the forward and the backward pass of a training step do. */
static void *thread_takes_turns(void *argument) {
    unsigned own = (unsigned)(uintptr_t)argument;

    CHECK_CU(cu.cuCtxSetCurrent(context));
    for (;;) {
        pthread_mutex_lock(&turn_lock);
        while (turn_of != own)
            pthread_cond_wait(&turn_changed, &turn_lock);
        pthread_mutex_unlock(&turn_lock);
        for (unsigned i = 0; i < 3; i++)
            launch(i == 1 ? other : work, i == 1 ? 150000 : 20000, NULL);
        pthread_mutex_lock(&turn_lock);
        turn_of = !own;
        pthread_cond_signal(&turn_changed);
        pthread_mutex_unlock(&turn_lock);
    }
    return NULL;
}

static void threads_in_turns(void) {
    thread_start(thread_takes_turns, 0);
    thread_start(thread_takes_turns, 1);
    for (;;)
        pause();
}

static void *thread_one_kernel(void *argument) {
    CHECK_CU(cu.cuCtxSetCurrent(context));
    launch(work, 400000, (CUstream)argument);
    return NULL;
}

static void threads_short_lived(void) {
    CUstream stream = stream_new();

    for (;;) {
        pthread_t thread;

        CHECK(pthread_create(&thread, NULL, thread_one_kernel, stream) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
    }
}

/* Streams destroyed by another thread than the one that launches into others. */
static void *thread_streams(void *argument) {
    (void)argument;
    CHECK_CU(cu.cuCtxSetCurrent(context));
    streams_short_lived();
    return NULL;
}

static void threads_and_streams(void) {
    thread_start(thread_streams, 0);
    thread_start(thread_streams, 0);
    streams_short_lived();
}

/* A capture in the strictest mode must not be disturbed by what the limiter does for other threads. */
static void *thread_captures(void *argument) {
    CUstream stream;

    (void)argument;
    CHECK_CU(cu.cuCtxSetCurrent(context));
    stream = stream_new();
    for (;;) {
        CUgraphExec exec = graph_capture(stream, 50, 20000, CU_STREAM_CAPTURE_MODE_GLOBAL);

        CHECK_CU(cu.cuGraphLaunch(exec, stream));
        CHECK_CU(cu.cuStreamSynchronize(stream));
        CHECK_CU(cu.cuGraphExecDestroy(exec));
    }
    return NULL;
}

static void captures(void) {
    thread_start(thread_captures, 0);
    kernels(200000);
}

/* --- scenarios that end ------------------------------------------------------------------------------------------- */

/* What is in flight waits for something that the program launches later: the gate must not wait for it for ever. */
static void dependent(void) {
    CUstream waiting = stream_new(), writing = stream_new();
    CUdeviceptr flag;
    uint64_t start_ns = now_ns();

    CHECK_CU(cu.cuMemAlloc_v2(&flag, 4));
    CHECK_CU(cu.cuMemsetD32_v2(flag, 0, 1));
    for (unsigned turn = 1; turn <= 5; turn++) {
        CHECK_CU(cu.cuStreamWaitValue32_v2(waiting, flag, turn, CU_STREAM_WAIT_VALUE_EQ));
        for (unsigned i = 0; i < 10; i++)
            launch(work, 500000, waiting);
        launch(other, 100000, writing);
        CHECK_CU(cu.cuStreamWriteValue32_v2(writing, flag, turn, 0));
        CHECK_CU(cu.cuStreamSynchronize(waiting));
    }
    CHECK(now_ns() - start_ns < UINT64_C(10000000000));
    exit(0);
}

/* The first second after the start, by what the program itself saw complete; at 20 percent. */
static void first_second(void) {
    CUstream stream = stream_new();
    uint64_t start_ns = now_ns(), done_ns = 0;

    while (now_ns() < start_ns + UINT64_C(1000000000)) {
        launch(work, 5000000, stream);
        CHECK_CU(cu.cuStreamSynchronize(stream));
        done_ns += 5000000;
    }
    CHECK(done_ns <= UINT64_C(400000000));
    exit(0);
}

/* After a long pause a burst gets little more than its share; at 20 percent. */
static void burst(void) {
    CUstream stream = stream_new();
    uint64_t start_ns, done_ns = 0;

    for (unsigned i = 0; i < 50; i++)
        launch(work, 1000000, stream);
    CHECK_CU(cu.cuStreamSynchronize(stream));
    rest(UINT64_C(2000000000));
    start_ns = now_ns();
    while (now_ns() < start_ns + UINT64_C(500000000)) {
        launch(work, 1000000, stream);
        done_ns += 1000000;
    }
    CHECK(done_ns <= UINT64_C(115000000));
    exit(0);
}

/* A child of fork can use neither the driver nor the parent's events; the parent goes on. */
static void forked(void) {
    CUstream stream = stream_new();

    for (unsigned i = 0; i < 20; i++) {
        int status;
        pid_t child;

        for (unsigned j = 0; j < 10; j++)
            launch(work, 200000, stream);
        child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            uint64_t duration_ns = 1000;
            void *parameters[] = {&duration_ns};

            for (unsigned j = 0; j < 10; j++)
                if (cu.cuLaunchKernel(work, 132, 1, 1, 1024, 1, 1, 0, stream, parameters, NULL) == CUDA_SUCCESS)
                    _exit(1);
            _exit(0);
        }
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    }
    CHECK_CU(cu.cuStreamSynchronize(stream));
    exit(0);
}

static const struct {
    const char *name;
    void (*run)(void);
} scenarios[] = {
    {"kernels-100us", kernels_100us},
    {"kernels-1ms", kernels_1ms},
    {"kernels-5ms", kernels_5ms},
    {"legacy-stream", legacy_stream},
    {"synchronous", synchronous},
    {"mixed", mixed},
    {"four-streams", four_streams},
    {"extended", extended},
    {"cooperative", cooperative},
    {"multi-device", multi_device},
    {"oldest", oldest},
    {"graphs", graphs},
    {"graphs-short-lived", graphs_short_lived},
    {"copies", copies},
    {"transfers-between", transfers_between},
    {"contexts-pushed", contexts_pushed},
    {"contexts-two", contexts_two},
    {"contexts-short-lived", contexts_short_lived},
    {"streams-short-lived", streams_short_lived},
    {"threads", threads},
    {"per-thread-streams", per_thread_streams},
    {"threads-short-lived", threads_short_lived},
    {"threads-in-turns", threads_in_turns},
    {"threads-and-streams", threads_and_streams},
    {"captures", captures},
    {"dependent", dependent},
    {"first-second", first_second},
    {"burst", burst},
    {"forked", forked},
};

int main(int argc, char **argv) {
    for (size_t i = 0; argc == 2 && i < sizeof(scenarios) / sizeof(scenarios[0]); i++)
        if (strcmp(argv[1], scenarios[i].name) == 0) {
            begin();
            scenarios[i].run();
        }
    fprintf(stderr, "usage: load SCENARIO\n");
    return 2;
}
