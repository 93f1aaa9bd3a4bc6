/*
 * The model: an absolute device clock; work is placed on it at launch. See model.h.
 */
#include "model.h"

#include "limiter/compute/compute.h"
#include "limiter/compute/state.h"
#include "limiter/hook/nvml.h"
#include "limiter/hook/process.h"
#include "limiter/hook/real.h"
#include "limiter/memory/graph.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLICE_NS   UINT64_C(2000000)
#define STREAMS    16u
#define EVENTS     4096u
#define INTERVALS  2048u
#define DEPTH      1024u /* of the driver's queue: then a launch blocks */
#define CONTEXT    ((CUcontext)0x1000)

struct model_settings model;
struct divvy_real divvy_real;
struct divvy_process divvy_process;
uint32_t divvy_process_fork_words[3 * DIVVY_PROCESS_FORK_PAGE / sizeof(uint32_t)];

static struct divvy_page page;
static uint64_t now_ns = UINT64_C(1000000000);
static uint64_t state;
static uint64_t device_free_ns, tails_ns[STREAMS];
static uint64_t busy_ns;  /* of intervals that are over */
static uint64_t next_preemption_ns;
static struct {
    uint64_t start_ns, end_ns;
} intervals[INTERVALS];
static unsigned interval_first, interval_count;
static struct {
    bool used, recorded;
    uint64_t time_ns;
} events[EVENTS];
static unsigned events_alive, event_calls, launches;
static bool events_fail, launches_fail;
static uint64_t pending_length_ns;

struct divvy_nvml divvy_nvml;
struct divvy_control_link divvy_control_link;

static struct divvy_control control;
static uint64_t (*daemon_step)(struct divvy_control *control, uint64_t now_ns);
static uint64_t daemon_next_ns;
static void (*launch_seen)(uint64_t now_ns, uint64_t start_ns, uint64_t end_ns);
static unsigned rings;

void divvy_control_ring(void) {
    rings++;
}

bool divvy_nvml_find(const divvy_core_uuid_t *uuid, nvmlDevice_t *ret_device) {
    (void)uuid;
    (void)ret_device;
    return false;
}

bool divvy_nvml_resolve(bool may_load) {
    (void)may_load;
    return false;
}

bool divvy_process_attach(void) {
    return true;
}

void divvy_memory_graph_instantiated(CUgraphExec exec, CUgraph graph) {
    (void)exec;
    (void)graph;
}

void divvy_memory_graph_exec_destroyed(CUgraphExec exec) {
    (void)exec;
}

CUresult divvy_memory_graph_launch_begin(CUgraphExec exec) {
    (void)exec;
    return CUDA_SUCCESS;
}

void divvy_memory_graph_launch_end(CUgraphExec exec) {
    (void)exec;
}

uint64_t model_random(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static double uniform(void) {
    return ((double)(model_random() >> 11) + 0.5) / 9007199254740992.0;
}

static uint64_t exponential(uint64_t mean_ns) {
    return (uint64_t)(-log(uniform()) * (double)mean_ns);
}

/* The daemon does what it has to do until now. */
static void daemon_run(void) {
    while (daemon_step && daemon_next_ns <= now_ns)
        daemon_next_ns = daemon_step(&control, daemon_next_ns);
}

/* Host time passes; now and then the kernel takes the CPU away. */
static void host(uint64_t duration_ns) {
    now_ns += duration_ns;
    if (model.preempt_every_ns && now_ns >= next_preemption_ns) {
        now_ns += exponential(model.preempt_ns);
        next_preemption_ns = now_ns + exponential(model.preempt_every_ns);
    }
    daemon_run();
}

static uint64_t port_now(void) {
    host(40);
    return now_ns;
}

static uint64_t port_ticks(void) {
    return now_ns * 5 / 2;
}

static void port_sleep(const uint32_t *word, uint32_t expected, uint64_t deadline_ns) {
    while (*word == expected && now_ns < deadline_ns) {
        now_ns = daemon_step && daemon_next_ns < deadline_ns ? daemon_next_ns : deadline_ns;
        daemon_run();
    }
    host(1000 + exponential(model.oversleep_ns));
}

static unsigned stream_index(CUstream stream) {
    return (unsigned)((uintptr_t)stream & 15u);
}

/* When work of this length is done that starts at start_ns, beside a neighbour that takes every other slice. */
static uint64_t finish(uint64_t start_ns, uint64_t length_ns) {
    if (!model.neighbour)
        return start_ns + length_ns;
    while (length_ns > 0) {
        uint64_t phase_ns = start_ns % (2 * SLICE_NS), run_ns;

        if (phase_ns >= SLICE_NS) {
            start_ns += 2 * SLICE_NS - phase_ns;
            continue;
        }
        run_ns = SLICE_NS - phase_ns < length_ns ? SLICE_NS - phase_ns : length_ns;
        start_ns += run_ns;
        length_ns -= run_ns;
    }
    return start_ns;
}

static void intervals_retire(void) {
    while (interval_count) {
        unsigned i = interval_first % INTERVALS;

        if (intervals[i].end_ns > now_ns)
            return;
        busy_ns += intervals[i].end_ns - intervals[i].start_ns;
        interval_first++;
        interval_count--;
    }
}

/* Only what no earlier interval covers is remembered; with a neighbour, true work time is remembered as if it came last. */
static void interval_add(uint64_t start_ns, uint64_t end_ns, uint64_t work_ns) {
    unsigned last = (interval_first + interval_count - 1) % INTERVALS;

    if (model.neighbour)
        start_ns = end_ns - work_ns;
    if (interval_count && intervals[last].end_ns > start_ns)
        start_ns = intervals[last].end_ns;
    if (end_ns <= start_ns)
        return;
    intervals_retire();
    if (interval_count == INTERVALS)
        abort();
    last = (interval_first + interval_count++) % INTERVALS;
    intervals[last].start_ns = start_ns;
    intervals[last].end_ns = end_ns;
}

/* When what comes now can begin, where its stream is done at tail_ns. */
static uint64_t come_back(uint64_t tail_ns) {
    if (now_ns <= tail_ns)
        return tail_ns;
    if (model.change_ns && now_ns > device_free_ns + 1000000)
        device_free_ns = now_ns + model.change_ns;
    return model.change_ns && device_free_ns > now_ns ? device_free_ns : now_ns;
}

static CUresult work(CUstream stream) {
    uint64_t *tail = &tails_ns[stream_index(stream)];
    uint64_t start_ns, end_ns;

    host(model.launch_ns);
    if (launches_fail)
        return CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
    launches++;
    intervals_retire();
    if (interval_count >= DEPTH && intervals[interval_first % INTERVALS].end_ns > now_ns)
        now_ns = intervals[interval_first % INTERVALS].end_ns;
    start_ns = come_back(*tail);
    if (!model.overlapping && device_free_ns > start_ns)
        start_ns = device_free_ns;
    end_ns = finish(start_ns, pending_length_ns);
    if (launch_seen)
        launch_seen(now_ns, start_ns, end_ns);
    interval_add(start_ns, end_ns, pending_length_ns);
    *tail = end_ns;
    if (end_ns > device_free_ns)
        device_free_ns = end_ns;
    return CUDA_SUCCESS;
}

static CUresult fake_launch(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                            unsigned shared, CUstream stream, void **params, void **extra) {
    (void)f, (void)gx, (void)gy, (void)gz, (void)bx, (void)by, (void)bz, (void)shared, (void)params, (void)extra;
    return work(stream);
}

static CUresult fake_graph_launch(CUgraphExec exec, CUstream stream) {
    (void)exec;
    return work(stream);
}

static CUresult fake_event_create(CUevent *event, unsigned flags) {
    (void)flags;
    host(model.launch_ns / 5);
    if (events_fail)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (unsigned i = 1; i < EVENTS; i++)
        if (!events[i].used) {
            events[i].used = true;
            events[i].recorded = false;
            events_alive++;
            *event = (CUevent)(uintptr_t)i;
            return CUDA_SUCCESS;
        }
    return CUDA_ERROR_OUT_OF_MEMORY;
}

static CUresult fake_event_destroy(CUevent event) {
    events[(uintptr_t)event].used = false;
    events_alive--;
    return CUDA_SUCCESS;
}

static CUresult fake_event_record(CUevent event, CUstream stream) {
    uint64_t tail_ns = tails_ns[stream_index(stream)];

    host(model.launch_ns / 5);
    event_calls++;
    tail_ns = come_back(tail_ns);
    if (model.neighbour && tail_ns % (2 * SLICE_NS) >= SLICE_NS) /* a record waits for its context's turn */
        tail_ns += 2 * SLICE_NS - tail_ns % (2 * SLICE_NS);
    events[(uintptr_t)event].recorded = true;
    events[(uintptr_t)event].time_ns = tail_ns;
    tails_ns[stream_index(stream)] = tail_ns;
    return CUDA_SUCCESS;
}

static CUresult fake_event_query(CUevent event) {
    host(model.launch_ns / 5);
    if (!events[(uintptr_t)event].used)
        return CUDA_ERROR_INVALID_HANDLE;
    return events[(uintptr_t)event].time_ns <= now_ns ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

static CUresult fake_event_elapsed(float *ms, CUevent start, CUevent end) {
    uint64_t start_ns = events[(uintptr_t)start].time_ns, end_ns = events[(uintptr_t)end].time_ns;

    host(model.launch_ns / 5);
    if (start_ns > now_ns || end_ns > now_ns)
        return CUDA_ERROR_NOT_READY;
    *ms = (float)(((double)end_ns - (double)start_ns) / 1e6);
    return CUDA_SUCCESS;
}

static CUresult fake_get_current(CUcontext *context) {
    *context = CONTEXT;
    return CUDA_SUCCESS;
}

static CUresult fake_get_device(CUdevice *device) {
    *device = 0;
    return CUDA_SUCCESS;
}

static CUresult fake_stream_context(CUstream stream, CUcontext *context) {
    (void)stream;
    *context = CONTEXT;
    return CUDA_SUCCESS;
}

static CUresult fake_copy(CUdeviceptr dst, const void *src, size_t bytes, CUstream stream) {
    uint64_t *tail = &tails_ns[stream_index(stream)];

    (void)dst, (void)src, (void)bytes;
    host(model.launch_ns);
    *tail = (*tail > now_ns ? *tail : now_ns) + pending_length_ns;
    return CUDA_SUCCESS;
}

static const uint8_t uuid[16] = {7, 1};

void model_daemon_start(uint64_t (*step)(struct divvy_control *, uint64_t), uint32_t permille) {
    control = (struct divvy_control){.heartbeat_ns = (int64_t)now_ns};
    memcpy(&control.devices[0].uuid, uuid, sizeof(uuid));
    control.devices[0].compute_permille = permille;
    control.devices[0].armed = 1;
    divvy_control_link.page = &control;
    divvy_control_link.devices[0] = &control.devices[0];
    daemon_step = step;
    daemon_next_ns = now_ns;
    daemon_run();
    divvy_compute_attach();
}

void model_on_launch(void (*seen)(uint64_t now_ns, uint64_t start_ns, uint64_t end_ns)) {
    launch_seen = seen;
}

unsigned model_rings(void) {
    return rings;
}

struct divvy_page_device *model_device(void) {
    return &page.devices[0];
}

struct divvy_page_usage *model_usage(void) {
    return &page.slots[0].usage[0];
}

void model_start(const struct model_settings *settings, uint32_t permille) {
    model = *settings;
    memset(&divvy_control_link, 0, sizeof(divvy_control_link));
    daemon_step = NULL;
    launch_seen = NULL;
    rings = 0;
    state = settings->seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    now_ns += UINT64_C(10000000000);
    memset(&page, 0, sizeof(page));
    memset(events, 0, sizeof(events));
    memset(tails_ns, 0, sizeof(tails_ns));
    events_alive = event_calls = launches = 0;
    events_fail = launches_fail = false;
    device_free_ns = busy_ns = 0;
    interval_count = 0;
    next_preemption_ns = now_ns + exponential(model.preempt_every_ns);
    page.devices[0].compute_permille = permille;
    *divvy_process_attached_word = 1;
    divvy_process.page = &page;
    divvy_process.device_count = 1;
    divvy_real.cuLaunchKernel = fake_launch;
    divvy_real.cuGraphLaunch = fake_graph_launch;
    divvy_real.cuEventCreate = fake_event_create;
    divvy_real.cuEventDestroy_v2 = fake_event_destroy;
    divvy_real.cuEventRecord = fake_event_record;
    divvy_real.cuEventQuery = fake_event_query;
    divvy_real.cuEventElapsedTime = fake_event_elapsed;
    divvy_real.cuCtxGetCurrent = fake_get_current;
    divvy_real.cuCtxGetDevice = fake_get_device;
    divvy_real.cuStreamGetCtx = fake_stream_context;
    divvy_real.cuMemcpyHtoDAsync_v2 = fake_copy;
    divvy_compute_port.now = port_now;
    divvy_compute_port.sleep = port_sleep;
    divvy_compute_port.ticks = port_ticks;
    divvy_compute_attach();
}

void model_set_permille(uint32_t permille) {
    page.devices[0].compute_permille = permille;
}

void model_kernel(unsigned function, uint64_t length_ns, CUstream stream) {
    pending_length_ns = length_ns;
    (void)divvy_hook_cuLaunchKernel((CUfunction)(uintptr_t)(0x5000 + function * 64), 132, 1, 1, 256, 1, 1, 0, stream,
                                    NULL, NULL);
}

void model_graph(unsigned exec, uint64_t length_ns, CUstream stream) {
    pending_length_ns = length_ns;
    (void)divvy_hook_cuGraphLaunch((CUgraphExec)(uintptr_t)(0x9000 + exec * 64), stream);
}

void model_copy(uint64_t duration_ns, CUstream stream) {
    pending_length_ns = duration_ns;
    (void)divvy_hook_cuMemcpyHtoDAsync_v2(0, NULL, 1 << 20, stream);
}

void model_synchronize(CUstream stream) {
    uint64_t tail_ns = tails_ns[stream_index(stream)];

    host(model.launch_ns / 5);
    if (tail_ns > now_ns) {
        now_ns = tail_ns;
        host(5000 + exponential(model.oversleep_ns));
    }
}

void model_host(uint64_t duration_ns) {
    host(duration_ns);
}

CUstream model_stream(unsigned index) {
    return (CUstream)(uintptr_t)(0x7f0000001000 + index * 0x340 + 3 + index);
}

uint64_t model_now_ns(void) {
    return now_ns;
}

uint64_t model_busy_ns(void) {
    uint64_t sum_ns;

    intervals_retire();
    sum_ns = busy_ns;
    for (unsigned i = 0; i < interval_count; i++) {
        unsigned place = (interval_first + i) % INTERVALS;

        if (intervals[place].start_ns >= now_ns)
            break;
        sum_ns += now_ns - intervals[place].start_ns;
    }
    return sum_ns;
}

uint64_t model_charged_ns(void) {
    return page.devices[0].compute.charged_ns;
}

unsigned model_events_alive(void) {
    return events_alive;
}

unsigned model_event_calls(void) {
    return event_calls;
}

unsigned model_launches(void) {
    return launches;
}

void model_fail_events(bool fail) {
    events_fail = fail;
}

void model_fail_launches(bool fail) {
    launches_fail = fail;
}

void model_destroy_context(void) {
    divvy_compute_context_destroying(CONTEXT);
    divvy_compute_context_switched();
}

uint64_t model_debt_ns(void) {
    uint64_t paid_ns = page.devices[0].compute.spare[0];

    return paid_ns > now_ns ? paid_ns - now_ns : 0;
}
