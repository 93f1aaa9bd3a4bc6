/*
 * Throughput meter: launches kernels of a known amount of work, as fast as the device takes them,
 * and reports each second how much was completed. Two of them under limits show what share of the
 * GPU each one really gets.
 *
 * On the simulated GPU the kernel's pragma gives its device time and nothing is computed. On a real
 * GPU the same kernel runs a loop whose length is calibrated at the start: fixed work, not a fixed
 * time, since a clock that goes on while another process has the GPU would count time as work.
 */
#include "cu.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: throughput [options]\n"
    "\n"
    "Keeps the GPU busy with kernels of known work; prints completed work each\n"
    "second.\n"
    "\n"
    "  --kernel-us N        work of one kernel, microseconds of the whole GPU (1000)\n"
    "  --turns N            length of the kernel's loop on a real GPU, as a run alone on it\n"
    "                       printed it; default: calibrated, which others on the GPU disturb\n"
    "  --blocks N           blocks of a kernel (default: one for each SM)\n"
    "  --threads N          threads of a block (1024)\n"
    "  --seconds N          how long; 0 = until interrupted (10)\n"
    "  --interval-ms N      time between reports (1000)\n"
    "  --streams N          streams used at once (1)\n"
    "  --graph N            launch graphs of N kernels instead of kernels\n"
    "  --launch KIND        kernel, ex or cooperative (kernel)\n"
    "  --memory SIZE        device memory to hold meanwhile, such as 2GiB or 50%\n"
    "  --attempt SIZE       also try to allocate this much at the start, and say\n"
    "                       whether it was refused\n"
    "  --json               one JSON object a line\n" CU_GPU_HELP "\n"
    "Exit status: 0, or 1 when the GPU cannot be used or --memory is refused.\n";

/*
 * Eight dependent multiply-adds a turn; the result is stored only if it is a value that it never
 * has.
 */
static const char ptx[] = ".version 7.0\n"
                          ".target sm_70\n"
                          ".address_size 64\n"
                          ".visible .entry work(\n"
                          "    .param .u64 duration_ns, .param .u64 turns, .param .u64 sink)\n"
                          "{\n"
                          "    .pragma \"divvy.time_only_param 0\";\n"
                          "    .reg .pred %more, %never;\n"
                          "    .reg .f32 %x, %a;\n"
                          "    .reg .b64 %left, %out;\n"
                          "    ld.param.u64 %left, [turns];\n"
                          "    ld.param.u64 %out, [sink];\n"
                          "    mov.f32 %x, 0f3F000000;\n"
                          "    mov.f32 %a, 0f3E800000;\n"
                          "LOOP:\n"
                          "    setp.eq.u64 %more, %left, 0;\n"
                          "    @%more bra DONE;\n"
                          "    fma.rn.f32 %x, %x, %a, %a;\n"
                          "    fma.rn.f32 %x, %x, %a, %a;\n"
                          "    fma.rn.f32 %x, %x, %a, %a;\n"
                          "    fma.rn.f32 %x, %x, %a, %a;\n"
                          "    fma.rn.f32 %x, %x, %a, %a;\n"
                          "    fma.rn.f32 %x, %x, %a, %a;\n"
                          "    fma.rn.f32 %x, %x, %a, %a;\n"
                          "    fma.rn.f32 %x, %x, %a, %a;\n"
                          "    sub.u64 %left, %left, 1;\n"
                          "    bra LOOP;\n"
                          "DONE:\n"
                          "    setp.eq.f32 %never, %x, 0fBF800000;\n"
                          "    @!%never bra END;\n"
                          "    cvta.to.global.u64 %out, %out;\n"
                          "    st.global.f32 [%out], %x;\n"
                          "END:\n"
                          "    ret;\n"
                          "}\n";

enum launch_kind { LAUNCH_KERNEL, LAUNCH_EX, LAUNCH_COOPERATIVE };

struct options {
    const char *gpu, *memory, *attempt;
    uint64_t kernel_us, turns, blocks, threads, seconds, interval_ms, streams, graph;
    enum launch_kind launch;
    bool json;
};

#define STREAMS_MAX      64
#define DEPTH_MAX        256
#define CALIBRATION_RUNS 6

/* One stream with its launches that have not been seen to complete: a ring of events. */
struct lane {
    CUstream stream;
    CUgraph graph;
    CUgraphExec graph_exec;
    CUevent events[DEPTH_MAX];
    unsigned int oldest, pending;
};

struct meter {
    struct options options;
    struct cu_device device;
    CUmodule module;
    CUfunction work;
    CUdeviceptr sink, held;
    uint64_t held_bytes, duration_ns, turns;
    unsigned int depth;
    struct lane lanes[STREAMS_MAX];
    bool attempt_refused;
};

static volatile sig_atomic_t stop_asked;

static void on_signal(int number) {
    (void)number;
    stop_asked = 1;
}

static enum launch_kind launch_kind_parse(const char *value) {
    if (strcmp(value, "kernel") == 0)
        return LAUNCH_KERNEL;
    if (strcmp(value, "ex") == 0)
        return LAUNCH_EX;
    if (strcmp(value, "cooperative") == 0)
        return LAUNCH_COOPERATIVE;
    fprintf(stderr, "throughput: --launch %s: neither kernel nor ex nor cooperative\n", value);
    exit(2);
}

static void options_parse(int argc, char **argv, struct options *o) {
    const char *v;

    *o = (struct options){
        .kernel_us = 1000, .threads = 1024, .seconds = 10, .interval_ms = 1000, .streams = 1};
    for (int i = 1; i < argc; i++) {
        if (cu_option(argc, argv, &i, "--gpu", &v))
            o->gpu = v;
        else if (cu_option(argc, argv, &i, "--kernel-us", &v))
            o->kernel_us = cu_number("--kernel-us", v, 1, 10000000);
        else if (cu_option(argc, argv, &i, "--turns", &v))
            o->turns = cu_number("--turns", v, 1, UINT64_C(1) << 40);
        else if (cu_option(argc, argv, &i, "--blocks", &v))
            o->blocks = cu_number("--blocks", v, 1, 1u << 30);
        else if (cu_option(argc, argv, &i, "--threads", &v))
            o->threads = cu_number("--threads", v, 1, 1024);
        else if (cu_option(argc, argv, &i, "--seconds", &v))
            o->seconds = cu_number("--seconds", v, 0, 1000000);
        else if (cu_option(argc, argv, &i, "--interval-ms", &v))
            o->interval_ms = cu_number("--interval-ms", v, 10, 3600000);
        else if (cu_option(argc, argv, &i, "--streams", &v))
            o->streams = cu_number("--streams", v, 1, STREAMS_MAX);
        else if (cu_option(argc, argv, &i, "--graph", &v))
            o->graph = cu_number("--graph", v, 0, 10000);
        else if (cu_option(argc, argv, &i, "--launch", &v))
            o->launch = launch_kind_parse(v);
        else if (cu_option(argc, argv, &i, "--memory", &v))
            o->memory = v;
        else if (cu_option(argc, argv, &i, "--attempt", &v))
            o->attempt = v;
        else if (cu_option(argc, argv, &i, "--json", NULL))
            o->json = true;
        else
            cu_other_argument(argv[i], help);
    }
    /* Spelling is checked before the GPU is touched. */
    if (o->memory)
        (void)cu_size("--memory", o->memory, 1);
    if (o->attempt)
        (void)cu_size("--attempt", o->attempt, 1);
}

static void kernel_launch(struct meter *m, CUstream stream) {
    unsigned int blocks = (unsigned int)m->options.blocks;
    unsigned int threads = (unsigned int)m->options.threads;
    void *parameters[] = {&m->duration_ns, &m->turns, &m->sink};
    CUlaunchConfig config = {.gridDimX = blocks,
                             .gridDimY = 1,
                             .gridDimZ = 1,
                             .blockDimX = threads,
                             .blockDimY = 1,
                             .blockDimZ = 1,
                             .hStream = stream};

    switch (m->options.launch) {
    case LAUNCH_KERNEL:
        cu_do(LaunchKernel, m->work, blocks, 1, 1, threads, 1, 1, 0, stream, parameters, NULL);
        break;
    case LAUNCH_EX:
        cu_do(LaunchKernelEx, &config, m->work, parameters, NULL);
        break;
    case LAUNCH_COOPERATIVE:
        cu_do(LaunchCooperativeKernel, m->work, blocks, 1, 1, threads, 1, 1, 0, stream, parameters);
        break;
    }
}

/*
 * Device time of one kernel with so many turns, in nanoseconds: the shortest of several, so that
 * neighbours and the limiter's waits do not count.
 */
static double kernel_measure(struct meter *m, uint64_t turns) {
    double best_ns = 1e18;
    CUevent before, after;

    m->turns = turns;
    cu_do(EventCreate, &before, CU_EVENT_DEFAULT);
    cu_do(EventCreate, &after, CU_EVENT_DEFAULT);
    for (int i = 0; i < CALIBRATION_RUNS; i++) {
        float ms;

        cu_do(EventRecord, before, m->lanes[0].stream);
        kernel_launch(m, m->lanes[0].stream);
        cu_do(EventRecord, after, m->lanes[0].stream);
        cu_do(EventSynchronize, after);
        cu_do(EventElapsedTime, &ms, before, after);
        if (i > 0 && (double)ms * 1e6 < best_ns)
            best_ns = (double)ms * 1e6;
    }
    cu_do(EventDestroy, before);
    cu_do(EventDestroy, after);
    return best_ns;
}

/* What one turn takes, from kernels of so few and so many turns: what a launch takes besides cancels out. */
static double turn_measure(struct meter *m, uint64_t few, uint64_t many) {
    double few_ns = kernel_measure(m, few);
    double many_ns = kernel_measure(m, many);

    return many_ns < 1.5 * few_ns ? 0 : (many_ns - few_ns) / (double)(many - few);
}

/*
 * Finds the turns that make a kernel of the asked length with this grid: roughly with short kernels, while the GPU's clock
 * may still rise, then with kernels about as long as asked. Where the device time does not depend on the turns (the
 * simulated GPU: the pragma fixes it) they are left at one.
 */
static void calibrate(struct meter *m) {
    uint64_t few = 200, many = 4000, turns = 1;

    m->duration_ns = 100000;
    for (int round = 0; round < 3; round++) {
        double turn_ns = turn_measure(m, few, many);

        if (turn_ns <= 0)
            break;
        turns = (uint64_t)((double)m->options.kernel_us * 1000 / turn_ns);
        turns = turns < 1 ? 1 : turns;
        few = turns / 2 + 1;
        many = turns * 3 / 2 + 2;
    }
    m->duration_ns = m->options.kernel_us * 1000;
    m->turns = turns;
}

static void memory_take(struct meter *m) {
    const struct options *o = &m->options;

    if (o->memory) {
        m->held_bytes = cu_size("--memory", o->memory, m->device.total_bytes);
        if (m->held_bytes)
            cu_do(MemAlloc, &m->held, m->held_bytes);
    }
    if (o->attempt) {
        uint64_t bytes = cu_size("--attempt", o->attempt, m->device.total_bytes);
        CUdeviceptr pointer;
        CUresult result = cu.MemAlloc(&pointer, bytes);

        m->attempt_refused = result == CUDA_ERROR_OUT_OF_MEMORY;
        if (result == CUDA_SUCCESS)
            cu_do(MemFree, pointer);
        else if (!m->attempt_refused)
            cu_check(result, "cuMemAlloc of --attempt");
    }
}

static void graph_build(struct meter *m, struct lane *lane) {
    cu_do(StreamBeginCapture, lane->stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    for (uint64_t i = 0; i < m->options.graph; i++)
        kernel_launch(m, lane->stream);
    cu_do(StreamEndCapture, lane->stream, &lane->graph);
    cu_do(GraphInstantiateWithFlags, &lane->graph_exec, lane->graph, 0);
}

static uint64_t unit_kernels(const struct meter *m) {
    return m->options.graph ? m->options.graph : 1;
}

static void meter_open(struct meter *m) {
    struct options *o = &m->options;
    uint64_t unit_us = o->kernel_us * unit_kernels(m);

    cu_open(o->gpu, &m->device);
    if (o->blocks == 0)
        o->blocks = (uint64_t)m->device.sm_count;
    if ((o->launch == LAUNCH_EX && !cu.LaunchKernelEx) ||
        (o->launch == LAUNCH_COOPERATIVE && !cu.LaunchCooperativeKernel) ||
        (o->graph && (!cu.GraphLaunch || !cu.GraphInstantiateWithFlags))) {
        fputs("throughput: this driver is too old for --launch or --graph\n", stderr);
        exit(1);
    }
    m->module = cu_module_load(ptx);
    cu_do(ModuleGetFunction, &m->work, m->module, "work");
    cu_do(MemAlloc, &m->sink, 256);
    memory_take(m);
    for (uint64_t i = 0; i < o->streams; i++)
        cu_do(StreamCreate, &m->lanes[i].stream, CU_STREAM_NON_BLOCKING);
    if (o->turns) {
        m->turns = o->turns;
        m->duration_ns = o->kernel_us * 1000;
    } else {
        calibrate(m);
    }

    /* Enough in the queue for 8 ms, so that a host that wakes late leaves no gap. */
    m->depth = (unsigned int)(8000 / unit_us);
    m->depth = m->depth < 4 ? 4 : m->depth > DEPTH_MAX ? DEPTH_MAX : m->depth;
    for (uint64_t i = 0; i < o->streams; i++) {
        for (unsigned int e = 0; e < m->depth; e++)
            cu_do(EventCreate, &m->lanes[i].events[e],
                  CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING);
        if (o->graph)
            graph_build(m, &m->lanes[i]);
    }
}

static void lane_fill(struct meter *m, struct lane *lane) {
    for (; lane->pending < m->depth; lane->pending++) {
        if (m->options.graph)
            cu_do(GraphLaunch, lane->graph_exec, lane->stream);
        else
            kernel_launch(m, lane->stream);
        cu_do(EventRecord, lane->events[(lane->oldest + lane->pending) % m->depth], lane->stream);
    }
}

/* Waits for the oldest launch of the lane, then counts all that have completed since. */
static uint64_t lane_collect(struct meter *m, struct lane *lane) {
    uint64_t completed = 0;

    if (lane->pending == 0)
        return 0;
    cu_do(EventSynchronize, lane->events[lane->oldest]);
    do {
        lane->oldest = (lane->oldest + 1) % m->depth;
        lane->pending--;
        completed++;
    } while (lane->pending && cu.EventQuery(lane->events[lane->oldest]) == CUDA_SUCCESS);
    return completed * unit_kernels(m);
}

static void start_print(const struct meter *m) {
    const struct options *o = &m->options;
    size_t free_bytes, total_bytes;

    cu_do(MemGetInfo, &free_bytes, &total_bytes);
    if (o->json) {
        printf("{\"event\": \"start\", \"device\": \"%s\", \"kernel_us\": %llu, \"blocks\": %llu, "
               "\"memory_total_bytes\": %zu, \"memory_free_bytes\": %zu, \"held_bytes\": %llu",
               m->device.name, (unsigned long long)o->kernel_us, (unsigned long long)o->blocks,
               total_bytes, free_bytes, (unsigned long long)m->held_bytes);
        if (o->attempt)
            printf(", \"attempt_refused\": %s", m->attempt_refused ? "true" : "false");
        puts("}");
    } else {
        printf("%s: %.1f GiB, %.1f GiB free; kernels of %llu us, %llu blocks, %llu turns\n", m->device.name,
               (double)total_bytes / (1 << 30), (double)free_bytes / (1 << 30),
               (unsigned long long)o->kernel_us, (unsigned long long)o->blocks,
               (unsigned long long)m->turns);
        if (o->attempt)
            printf("allocating %s: %s\n", o->attempt,
                   m->attempt_refused ? "refused, out of memory" : "granted");
    }
    fflush(stdout);
}

static void report_print(const struct meter *m, const char *event, double at, double span_seconds,
                         uint64_t kernels) {
    double work_seconds = (double)kernels * (double)m->options.kernel_us / 1e6;

    if (m->options.json)
        printf("{\"event\": \"%s\", \"at\": %.3f, \"seconds\": %.4f, \"kernels\": %llu, "
               "\"work_ms\": %.3f, \"share\": %.4f, \"held_bytes\": %llu}\n",
               event, at, span_seconds, (unsigned long long)kernels, work_seconds * 1e3,
               work_seconds / span_seconds, (unsigned long long)m->held_bytes);
    else
        printf("%s %8.2f s  %8llu kernels  %6.2f %% of the GPU\n",
               strcmp(event, "total") == 0 ? "in all" : "      ", at, (unsigned long long)kernels,
               100 * work_seconds / span_seconds);
    fflush(stdout);
}

static void meter_run(struct meter *m) {
    double interval = (double)m->options.interval_ms / 1e3;
    double start = cu_now(), last = start, now = start;
    uint64_t kernels = 0, kernels_last = 0;

    while (!stop_asked && (m->options.seconds == 0 || now - start < (double)m->options.seconds)) {
        for (uint64_t i = 0; i < m->options.streams; i++)
            lane_fill(m, &m->lanes[i]);
        for (uint64_t i = 0; i < m->options.streams; i++)
            kernels += lane_collect(m, &m->lanes[i]);
        now = cu_now();
        if (now - last >= interval) {
            report_print(m, "interval", now - start, now - last, kernels - kernels_last);
            kernels_last = kernels;
            last = now;
        }
    }
    if (now > start)
        report_print(m, "total", now - start, now - start, kernels);
}

static void meter_close(struct meter *m) {
    cu_do(CtxSynchronize);
    for (uint64_t i = 0; i < m->options.streams; i++) {
        struct lane *lane = &m->lanes[i];

        for (unsigned int e = 0; e < m->depth; e++)
            cu_do(EventDestroy, lane->events[e]);
        if (lane->graph_exec) {
            cu_do(GraphExecDestroy, lane->graph_exec);
            cu_do(GraphDestroy, lane->graph);
        }
        cu_do(StreamDestroy, lane->stream);
    }
    if (m->held)
        cu_do(MemFree, m->held);
    cu_do(MemFree, m->sink);
    cu_do(ModuleUnload, m->module);
    cu_close(&m->device);
}

int main(int argc, char **argv) {
    static struct meter meter;

    options_parse(argc, argv, &meter.options);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    meter_open(&meter);
    start_print(&meter);
    meter_run(&meter);
    meter_close(&meter);
    return 0;
}
