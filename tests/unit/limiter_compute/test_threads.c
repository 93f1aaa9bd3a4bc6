/*
 * Many threads at the gate at once, with streams and contexts that come and go under them, over a driver that does nothing
 * and whose device is always done. What must hold afterwards: nothing is waited for, no event is left over. Under
 * ThreadSanitizer this is the test for races.
 */
#include "core/clock.h"
#include "limiter/compute/compute.h"
#include "limiter/compute/state.h"
#include "limiter/hook/nvml.h"
#include "limiter/hook/process.h"
#include "limiter/hook/real.h"
#include "limiter/memory/graph.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define THREADS 8u
#define EVENTS  4096u

struct divvy_real divvy_real;
struct divvy_process divvy_process;
struct divvy_nvml divvy_nvml;
struct divvy_control_link divvy_control_link;
uint32_t divvy_process_fork_words[3 * DIVVY_PROCESS_FORK_PAGE / sizeof(uint32_t)];

static struct divvy_page page;
static struct divvy_control control;
static uint32_t rings, daemon_stops;
static __thread CUcontext current;
static uint64_t event_times_ns[EVENTS]; /* 0: free, 1: never recorded */
static uint32_t events_alive, launches, bad_handles;

bool divvy_process_attach(void) {
    return true;
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

void divvy_control_ring(void) {
    __atomic_fetch_add(&rings, 1, __ATOMIC_RELAXED);
}

void divvy_memory_graph_instantiated(CUgraphExec exec, CUgraph graph) {
    (void)exec, (void)graph;
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

static CUresult launch(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                       unsigned shared, CUstream stream, void **params, void **extra) {
    (void)f, (void)gx, (void)gy, (void)gz, (void)bx, (void)by, (void)bz, (void)shared, (void)params, (void)extra;
    (void)stream;
    __atomic_fetch_add(&launches, 1, __ATOMIC_RELAXED);
    return CUDA_SUCCESS;
}

static CUresult event_create(CUevent *event, unsigned flags) {
    (void)flags;
    for (uintptr_t i = 1; i < EVENTS; i++) {
        uint64_t none = 0;

        if (!__atomic_compare_exchange_n(&event_times_ns[i], &none, 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            continue;
        __atomic_fetch_add(&events_alive, 1, __ATOMIC_RELAXED);
        *event = (CUevent)i;
        return CUDA_SUCCESS;
    }
    return CUDA_ERROR_OUT_OF_MEMORY;
}

static CUresult event_destroy(CUevent event) {
    if (!__atomic_exchange_n(&event_times_ns[(uintptr_t)event], 0, __ATOMIC_RELAXED))
        __atomic_fetch_add(&bad_handles, 1, __ATOMIC_RELAXED);
    __atomic_fetch_sub(&events_alive, 1, __ATOMIC_RELAXED);
    return CUDA_SUCCESS;
}

static uint64_t event_time_ns(CUevent event) {
    uint64_t time_ns = __atomic_load_n(&event_times_ns[(uintptr_t)event], __ATOMIC_RELAXED);

    if (time_ns == 0)
        __atomic_fetch_add(&bad_handles, 1, __ATOMIC_RELAXED);
    return time_ns;
}

/* Streams that have been destroyed have the lowest bit of their second byte set: nothing may be recorded on them. */
static uint8_t streams_dead[1024];

static uintptr_t stream_number(CUstream stream) {
    return (uintptr_t)stream >> 8 & 1023;
}

static CUresult event_record(CUevent event, CUstream stream) {
    (void)event_time_ns(event);
    if ((uintptr_t)stream > 255 && __atomic_load_n(&streams_dead[stream_number(stream)], __ATOMIC_RELAXED))
        __atomic_fetch_add(&bad_handles, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&event_times_ns[(uintptr_t)event], divvy_core_clock_ns(), __ATOMIC_RELAXED);
    return CUDA_SUCCESS;
}

static CUresult event_query(CUevent event) {
    return event_time_ns(event) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

static CUresult event_elapsed(float *ms, CUevent start, CUevent end) {
    *ms = (float)(((double)event_time_ns(end) - (double)event_time_ns(start)) / 1e6);
    return CUDA_SUCCESS;
}

static CUresult get_current(CUcontext *context) {
    *context = current;
    return CUDA_SUCCESS;
}

static CUresult set_current(CUcontext context) {
    current = context;
    return CUDA_SUCCESS;
}

static CUresult push_current(CUcontext context) {
    current = context;
    return CUDA_SUCCESS;
}

static CUresult pop_current(CUcontext *context) {
    *context = current;
    return CUDA_SUCCESS;
}

static CUresult get_device(CUdevice *device) {
    *device = 0;
    return CUDA_SUCCESS;
}

static CUresult stream_context(CUstream stream, CUcontext *context) {
    (void)stream;
    *context = current;
    return CUDA_SUCCESS;
}

static CUresult stream_destroy(CUstream stream) {
    __atomic_store_n(&streams_dead[stream_number(stream)], 1, __ATOMIC_RELAXED);
    return CUDA_SUCCESS;
}

static CUresult begin_capture(CUstream stream, CUstreamCaptureMode mode) {
    (void)stream, (void)mode;
    return CUDA_SUCCESS;
}

static CUresult end_capture(CUstream stream, CUgraph *graph) {
    (void)stream;
    *graph = NULL;
    return CUDA_SUCCESS;
}

static CUresult is_capturing(CUstream stream, CUstreamCaptureStatus *status) {
    (void)stream;
    *status = CU_STREAM_CAPTURE_STATUS_NONE;
    return CUDA_SUCCESS;
}

static CUresult exchange_mode(CUstreamCaptureMode *mode) {
    *mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
    return CUDA_SUCCESS;
}

static CUresult wait_event(CUstream stream, CUevent event, unsigned flags) {
    (void)stream, (void)event, (void)flags;
    return CUDA_SUCCESS;
}

static int start(void **unused) {
    (void)unused;
    divvy_real.cuLaunchKernel = launch;
    divvy_real.cuEventCreate = event_create;
    divvy_real.cuEventDestroy_v2 = event_destroy;
    divvy_real.cuEventRecord = event_record;
    divvy_real.cuEventQuery = event_query;
    divvy_real.cuEventElapsedTime = event_elapsed;
    divvy_real.cuCtxGetCurrent = get_current;
    divvy_real.cuCtxSetCurrent = set_current;
    divvy_real.cuCtxPushCurrent_v2 = push_current;
    divvy_real.cuCtxPopCurrent_v2 = pop_current;
    divvy_real.cuCtxGetDevice = get_device;
    divvy_real.cuStreamGetCtx = stream_context;
    divvy_real.cuStreamDestroy_v2 = stream_destroy;
    divvy_real.cuStreamBeginCapture_v2 = begin_capture;
    divvy_real.cuStreamEndCapture = end_capture;
    divvy_real.cuStreamIsCapturing = is_capturing;
    divvy_real.cuThreadExchangeStreamCaptureMode = exchange_mode;
    divvy_real.cuStreamWaitEvent = wait_event;
    memset(&page, 0, sizeof(page));
    memset(event_times_ns, 0, sizeof(event_times_ns));
    memset(streams_dead, 0, sizeof(streams_dead));
    events_alive = launches = bad_handles = 0;
    page.devices[0].compute_permille = 900;
    *divvy_process_attached_word = 1;
    divvy_process.page = &page;
    divvy_process.device_count = 1;
    divvy_compute_attach();
    return 0;
}

static void kernel(unsigned function, CUstream stream) {
    (void)divvy_hook_cuLaunchKernel((CUfunction)(uintptr_t)(0x5000 + function * 64), 132, 1, 1, 256, 1, 1, 0, stream,
                                    NULL, NULL);
}

static CUstream stream_of(unsigned number) {
    return (CUstream)(uintptr_t)(0x7f0000000000 | (uint64_t)number << 8 | 0x40);
}

static void check_rest(CUcontext context) {
    struct divvy_compute_device *device = &divvy_compute_devices[0];

    divvy_compute_threads_sweep();
    divvy_compute_settle(device);
    assert_int_equal(bad_handles, 0);
    assert_int_equal(device->segment_count, 0);
    assert_int_equal(device->queue_count, 0);
    assert_int_equal(device->usage->waiting, 0);
    assert_int_equal(device->granted_ns, 0);
    divvy_compute_context_destroying(context);
    assert_int_equal(events_alive, 0);
}

static void *launching(void *argument) {
    unsigned index = (unsigned)(uintptr_t)argument;

    current = (CUcontext)0x1000;
    for (unsigned i = 0; i < 3000; i++)
        kernel(i % 5, i % 7 ? stream_of(index * 8 + i % 3) : NULL);
    return NULL;
}

static void run(void *(*body)(void *), unsigned count) {
    pthread_t threads[THREADS];

    for (uintptr_t i = 0; i < count; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, body, (void *)i), 0);
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

static void threads_launch(void **unused) {
    (void)unused;
    run(launching, THREADS);
    assert_int_equal(launches, THREADS * 3000);
    check_rest((CUcontext)0x1000);
}

/* Each thread makes streams, uses them and those of others, and destroys its own. */
static void *streaming(void *argument) {
    unsigned index = (unsigned)(uintptr_t)argument;

    current = (CUcontext)0x1000;
    for (unsigned i = 0; i < 100; i++) {
        CUstream own = stream_of(index * 100 + i);

        for (unsigned j = 0; j < 10; j++) {
            kernel(j, own);
            kernel(j, CU_STREAM_PER_THREAD);
            (void)divvy_hook_cuStreamWaitEvent(own, NULL, 0);
        }
        (void)divvy_hook_cuStreamDestroy_v2(own);
    }
    return NULL;
}

static void streams_come_and_go(void **unused) {
    (void)unused;
    run(streaming, THREADS);
    check_rest((CUcontext)0x1000);
}

/* Each thread has a context of its own, and now and then another one. */
static void *switching(void *argument) {
    CUcontext own = (CUcontext)((uintptr_t)argument * 256 + 0x100000);

    for (unsigned i = 0; i < 60; i++) {
        (void)divvy_hook_cuCtxSetCurrent(own);
        for (unsigned j = 0; j < 10; j++)
            kernel(j, j % 2 ? CU_STREAM_PER_THREAD : NULL);
        (void)divvy_hook_cuCtxSetCurrent((CUcontext)0x1000);
        for (unsigned j = 0; j < 5; j++)
            kernel(j, NULL);
        (void)divvy_hook_cuCtxSetCurrent(own);
        divvy_compute_context_destroying(own);
        divvy_compute_context_switched();
    }
    return NULL;
}

static void contexts_come_and_go(void **unused) {
    (void)unused;
    run(switching, THREADS);
    check_rest((CUcontext)0x1000);
}

static void *capturing(void *argument) {
    CUstream stream = stream_of((unsigned)(uintptr_t)argument);
    CUgraph graph;

    current = (CUcontext)0x1000;
    for (unsigned i = 0; i < 300; i++) {
        (void)divvy_hook_cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL);
        kernel(i % 3, stream);
        (void)divvy_hook_cuStreamEndCapture(stream, &graph);
        kernel(i % 3, stream);
    }
    return NULL;
}

static void captures_come_and_go(void **unused) {
    (void)unused;
    run(capturing, THREADS);
    assert_int_equal(divvy_compute_gate.capturing, 0);
    check_rest((CUcontext)0x1000);
}

static void *once(void *argument) {
    (void)argument;
    current = (CUcontext)0x1000;
    kernel(1, stream_of(1));
    return NULL;
}

/* More threads in the life of the process than there are blocks: those that ended give theirs back. */
static void threads_come_and_go(void **unused) {
    (void)unused;
    for (unsigned i = 0; i < 100; i++)
        run(once, THREADS);
    assert_int_equal(launches, 100 * THREADS);
    check_rest((CUcontext)0x1000);
}

static void *changing(void *argument) {
    (void)argument;
    for (unsigned i = 0; i < 200; i++) {
        __atomic_store_n(&page.devices[0].compute_permille, i % 4 ? 100 + i * 4 : 1000, __ATOMIC_RELAXED);
        usleep(1000);
    }
    __atomic_store_n(&page.devices[0].compute_permille, 900, __ATOMIC_RELAXED);
    return NULL;
}

static void limit_changes_under_them(void **unused) {
    pthread_t thread;

    (void)unused;
    assert_int_equal(pthread_create(&thread, NULL, changing, NULL), 0);
    run(launching, THREADS);
    pthread_join(thread, NULL);
    check_rest((CUcontext)0x1000);
}

static int start_with_daemon(void **unused) {
    control = (struct divvy_control){.heartbeat_ns = (int64_t)divvy_core_clock_ns()};
    control.devices[0].armed = control.devices[0].listening = 1;
    control.devices[0].compute_permille = 500;
    divvy_control_link.page = &control;
    divvy_control_link.devices[0] = &control.devices[0];
    daemon_stops = 0;
    return start(unused);
}

static int stop_daemon(void **unused) {
    (void)unused;
    memset(&divvy_control_link, 0, sizeof(divvy_control_link));
    return 0;
}

/* Leases of a millisecond, pauses, other modes, and at times it is dead for longer than anybody waits. */
static void *granting(void *argument) {
    unsigned seed = 17;

    (void)argument;
    for (unsigned i = 0; !__atomic_load_n(&daemon_stops, __ATOMIC_RELAXED); i++) {
        int64_t now_ns = (int64_t)divvy_core_clock_ns();
        uint32_t mode = (uint32_t)rand_r(&seed) % 16;
        struct divvy_control_lease lease = {.mode = mode < DIVVY_CONTROL_MODE_MAX ? mode : DIVVY_CONTROL_LEASED,
                                            .begin_ns = now_ns + rand_r(&seed) % 300000,
                                            .end_ns = now_ns + 300000 + rand_r(&seed) % 1000000,
                                            .budget_ns = 1000000};

        __atomic_store_n(&control.heartbeat_ns, i % 64 ? now_ns : now_ns - 2 * DIVVY_CONTROL_STALE_NS, __ATOMIC_RELAXED);
        __atomic_store_n(&control.devices[0].armed, lease.mode != DIVVY_CONTROL_OPEN, __ATOMIC_SEQ_CST);
        divvy_control_lease_write(&control, 0, &lease);
        usleep((useconds_t)rand_r(&seed) % 2000);
    }
    return NULL;
}

static void leases_change_under_them(void **unused) {
    pthread_t thread;

    (void)unused;
    assert_int_equal(pthread_create(&thread, NULL, granting, NULL), 0);
    run(launching, THREADS);
    run(switching, THREADS);
    __atomic_store_n(&daemon_stops, 1, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    assert_int_equal(launches, THREADS * (3000 + 60 * 15));
    check_rest((CUcontext)0x1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(threads_launch, start),
        cmocka_unit_test_setup(streams_come_and_go, start),
        cmocka_unit_test_setup(contexts_come_and_go, start),
        cmocka_unit_test_setup(captures_come_and_go, start),
        cmocka_unit_test_setup(threads_come_and_go, start),
        cmocka_unit_test_setup(limit_changes_under_them, start),
        cmocka_unit_test_setup_teardown(leases_change_under_them, start_with_daemon, stop_daemon),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
