/* Streams and events: who waits for whom, and when. */
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

/* A word that the host sets to let a stream go on. */
static volatile unsigned *gate;
static CUdeviceptr gate_address;

static void set_gate(unsigned value) {
    __atomic_store_n(gate, value, __ATOMIC_SEQ_CST);
}

static void close_gate(CUstream stream) {
    set_gate(0);
    OK(cuStreamWaitValue32_v2(stream, gate_address, 1, CU_STREAM_WAIT_VALUE_GEQ));
}

static void open_gate(void) {
    set_gate(1);
}

static void legacy_rules(const fixture_t *f) {
    CUstream blocking, apart;
    OK(cuStreamCreate(&blocking, CU_STREAM_DEFAULT));
    OK(cuStreamCreate(&apart, CU_STREAM_NON_BLOCKING));
    /* The legacy stream waits for blocking streams, and they for it; a non-blocking one is left
     * alone. */
    close_gate(blocking);
    OK(wait_for(f, 1000, NULL));
    OK(wait_for(f, 1000, apart));
    OK(cuStreamSynchronize(apart));
    IS(CUDA_ERROR_NOT_READY, cuStreamQuery(blocking));
    IS(CUDA_ERROR_NOT_READY, cuStreamQuery(NULL));
    open_gate();
    OK(cuStreamSynchronize(NULL));
    OK(cuStreamQuery(blocking));
    close_gate(NULL);
    OK(wait_for(f, 1000, blocking));
    usleep(20000);
    IS(CUDA_ERROR_NOT_READY, cuStreamQuery(blocking));
    open_gate();
    OK(cuStreamSynchronize(blocking));
    /* Even an event in the legacy stream stands between blocking streams. */
    CUstream second;
    CUevent event;
    OK(cuStreamCreate(&second, CU_STREAM_DEFAULT));
    OK(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
    close_gate(blocking);
    OK(wait_for(f, 1000, second));
    OK(cuStreamSynchronize(second));
    OK(cuEventRecord(event, NULL));
    OK(wait_for(f, 1000, second));
    usleep(20000);
    IS(CUDA_ERROR_NOT_READY, cuStreamQuery(second));
    open_gate();
    OK(cuStreamSynchronize(second));
    OK(cuEventDestroy_v2(event));
    OK(cuStreamDestroy_v2(second));
    close_gate(apart);
    OK(wait_for(f, 1000, NULL));
    OK(cuStreamSynchronize(NULL));
    IS(CUDA_ERROR_NOT_READY, cuStreamQuery(apart));
    open_gate();
    OK(cuCtxSynchronize());
    OK(cuStreamDestroy_v2(blocking));
    OK(cuStreamDestroy_v2(apart));
    IS(CUDA_ERROR_INVALID_HANDLE, cuStreamSynchronize(blocking));
}

static void *on_a_thread(void *context) {
    OK(cuCtxSetCurrent(context));
    OK(cuStreamQuery_ptsz(NULL)); /* the other thread's stream is held up, this one's is not */
    unsigned long long id, own;
    OK(cuStreamGetId_ptsz(NULL, &own));
    OK(cuStreamGetId(CU_STREAM_PER_THREAD, &id));
    EQUAL(id, own);
    return (void *)(size_t)own;
}

static void per_thread(const fixture_t *f) {
    pthread_t thread;
    void *other;
    unsigned long long own, legacy;
    OK(cuStreamWaitValue32_v2_ptsz(NULL, gate_address, 2, CU_STREAM_WAIT_VALUE_GEQ));
    IS(CUDA_ERROR_NOT_READY, cuStreamQuery_ptsz(NULL));
    pthread_create(&thread, NULL, on_a_thread, f->context);
    pthread_join(thread, &other);
    OK(cuStreamGetId_ptsz(NULL, &own));
    OK(cuStreamGetId(NULL, &legacy));
    TRUE(own != (size_t)other && own != legacy);
    IS(CUDA_ERROR_NOT_READY, cuStreamQuery(NULL)); /* per-thread streams are blocking ones */
    set_gate(2);
    OK(cuStreamSynchronize_ptsz(NULL));
    OK(cuStreamQuery(NULL));
}

static void times(const fixture_t *f) {
    CUstream a, b;
    CUevent start, middle, end, untimed;
    float ms;
    OK(cuStreamCreate(&a, CU_STREAM_NON_BLOCKING));
    OK(cuStreamCreateWithPriority(&b, CU_STREAM_NON_BLOCKING, -3));
    OK(cuEventCreate(&start, 0));
    OK(cuEventCreate(&middle, 0));
    OK(cuEventCreate(&end, 0));
    OK(cuEventCreate(&untimed, CU_EVENT_DISABLE_TIMING));
    OK(cuEventQuery(end)); /* never recorded is done */
    IS(CUDA_ERROR_INVALID_HANDLE, cuEventElapsedTime(&ms, start, end));
    close_gate(a); /* until all is queued, so that the host's delays do not count */
    OK(cuEventRecord(start, a));
    OK(wait_for(f, 5000000, a));
    OK(cuEventRecord(middle, a));
    OK(cuStreamWaitEvent(b, middle, 0));
    OK(wait_for(f, 3000000, b));
    OK(cuEventRecord(end, b));
    IS(CUDA_ERROR_NOT_READY, cuEventQuery(end));
    IS(CUDA_ERROR_NOT_READY, cuEventElapsedTime(&ms, start, end));
    open_gate();
    OK(cuEventSynchronize(end));
    OK(cuEventQuery(end));
    /* Device time is exact, whatever the host does. */
    OK(cuEventElapsedTime(&ms, start, middle));
    TRUE(ms >= 5.0f && ms < 5.1f);
    OK(cuEventElapsedTime_v2(&ms, start, end));
    TRUE(ms >= 8.0f && ms < 8.2f);
    OK(cuEventRecord(untimed, a));
    OK(cuEventSynchronize(untimed));
    IS(CUDA_ERROR_INVALID_HANDLE, cuEventElapsedTime(&ms, start, untimed));
    IS(CUDA_ERROR_INVALID_VALUE, cuEventCreate(&start, CU_EVENT_INTERPROCESS));
    IS(CUDA_ERROR_INVALID_HANDLE, cuEventRecord((CUevent)a, a));
    int priority;
    OK(cuStreamGetPriority(b, &priority));
    EQUAL(priority, -3);
    OK(cuEventDestroy_v2(end));
    IS(CUDA_ERROR_INVALID_HANDLE, cuEventQuery(end));
}

static _Atomic unsigned sequence;
static unsigned seen[3];

static void note(void *index) {
    seen[(size_t)index] = atomic_fetch_add(&sequence, 1) + 1;
}

static void note_callback(CUstream stream, CUresult status, void *index) {
    (void)stream;
    EQUAL(status, CUDA_SUCCESS);
    note(index);
}

static void host_calls(const fixture_t *f) {
    CUstream stream;
    OK(cuStreamCreate(&stream, 0));
    CUdeviceptr p = words(64, 0);
    OK(cuLaunchHostFunc(stream, note, (void *)0));
    OK(add1(f, p, 64, stream));
    OK(cuStreamAddCallback(stream, note_callback, (void *)1, 0));
    OK(cuLaunchHostFunc(stream, note, (void *)2));
    OK(cuStreamSynchronize(stream));
    EQUAL(seen[0], 1);
    EQUAL(seen[1], 2);
    EQUAL(seen[2], 3);
    IS(CUDA_ERROR_INVALID_VALUE, cuLaunchHostFunc(stream, NULL, NULL));
    IS(CUDA_ERROR_INVALID_VALUE, cuStreamAddCallback(stream, note_callback, NULL, 1));
    OK(cuStreamDestroy_v2(stream));
    OK(cuMemFree_v2(p));
}

static void memory_operations(void) {
    CUdeviceptr p;
    CUstreamBatchMemOpParams ops[3];
    memset(ops, 0, sizeof(ops));
    OK(cuMemAlloc_v2(&p, 64));
    OK(cuStreamWriteValue32_v2(NULL, p, 0x11223344, 0));
    OK(cuStreamWriteValue64_v2(NULL, p + 8, 0x1122334455667788ull, 0));
    EQUAL(word_at(p, 0), 0x11223344);
    EQUAL(word_at(p, 2), 0x55667788);
    IS(CUDA_ERROR_INVALID_VALUE, cuStreamWriteValue32_v2(NULL, p + 2, 1, 0));
    IS(CUDA_ERROR_INVALID_VALUE, cuStreamWriteValue32_v2(NULL, 0x1000, 1, 0));
    ops[0].writeValue.operation = CU_STREAM_MEM_OP_WRITE_VALUE_32;
    ops[0].writeValue.address = p + 16;
    ops[0].writeValue.value = 5;
    ops[1].memoryBarrier.operation = CU_STREAM_MEM_OP_BARRIER;
    ops[2].waitValue.operation = CU_STREAM_MEM_OP_WAIT_VALUE_32;
    ops[2].waitValue.address = p + 16;
    ops[2].waitValue.value = 4;
    ops[2].waitValue.flags = CU_STREAM_WAIT_VALUE_AND;
    OK(cuStreamBatchMemOp_v2(NULL, 3, ops, 0));
    OK(cuStreamSynchronize(NULL));
    EQUAL(word_at(p, 4), 5);
    ops[1].operation = (CUstreamBatchMemOpType)99;
    IS(CUDA_ERROR_INVALID_VALUE, cuStreamBatchMemOp_v2(NULL, 3, ops, 0));
    OK(cuMemFree_v2(p));
}

/* A full queue blocks the launch until there is room; nothing is lost. */
static void depth(const fixture_t *f) {
    CUstream stream;
    struct timespec from, to;
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int i = 0; i < 3000; i++)
        OK(wait_for(f, 20000, stream));
    clock_gettime(CLOCK_MONOTONIC, &to);
    double ms = (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6;
    TRUE(ms >= 20); /* 3000 x 20 us is 60 ms, of which about a third may be in the queue */
    OK(cuStreamSynchronize(stream));
    OK(cuStreamDestroy_v2(stream));
}

static void many_streams(const fixture_t *f) {
    enum { COUNT = 200 };
    CUstream streams[COUNT];
    CUdeviceptr p = words(COUNT, 0);
    for (int i = 0; i < COUNT; i++) {
        OK(cuStreamCreate(streams + i, i % 2));
        OK(add1(f, p + 4ul * (unsigned)i, 1, streams[i]));
    }
    OK(cuCtxSynchronize());
    for (unsigned i = 0; i < COUNT; i++) {
        EQUAL(word_at(p, i), 1);
        OK(cuStreamDestroy_v2(streams[i]));
    }
    OK(cuMemFree_v2(p));
}

/* However many streams are held up, others go on. */
static void many_waiting(const fixture_t *f) {
    enum { COUNT = 50 };
    CUstream streams[COUNT], apart;
    CUdeviceptr p = words(COUNT, 0);
    OK(cuStreamCreate(&apart, CU_STREAM_NON_BLOCKING));
    set_gate(0);
    for (unsigned i = 0; i < COUNT; i++) {
        OK(cuStreamCreate(streams + i, CU_STREAM_NON_BLOCKING));
        OK(cuStreamWaitValue32_v2(streams[i], gate_address, 1, CU_STREAM_WAIT_VALUE_EQ));
        OK(add1(f, p + 4ul * i, 1, streams[i]));
    }
    OK(add1(f, p, 1, apart));
    OK(cuStreamSynchronize(apart));
    for (unsigned i = 0; i < COUNT; i++)
        IS(CUDA_ERROR_NOT_READY, cuStreamQuery(streams[i]));
    open_gate();
    OK(cuCtxSynchronize());
    for (unsigned i = 0; i < COUNT; i++) {
        EQUAL(word_at(p, i), i ? 1 : 2);
        OK(cuStreamDestroy_v2(streams[i]));
    }
    OK(cuStreamDestroy_v2(apart));
    OK(cuMemFree_v2(p));
}

static void *launch_loop(void *argument) {
    const fixture_t *f = argument;
    CUstream stream;
    CUevent event;
    OK(cuCtxSetCurrent(f->context));
    CUdeviceptr p = words(64, 0);
    OK(cuCtxSynchronize());
    OK(cuStreamCreate(&stream, 0));
    OK(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
    for (int i = 0; i < 100; i++) {
        OK(add1(f, p, 64, i % 3 ? stream : CU_STREAM_PER_THREAD));
        OK(cuEventRecord(event, i % 3 ? stream : CU_STREAM_PER_THREAD));
        OK(cuStreamWaitEvent((i + 1) % 3 ? stream : CU_STREAM_PER_THREAD, event, 0));
    }
    OK(cuStreamSynchronize(stream));
    OK(cuStreamSynchronize(CU_STREAM_PER_THREAD));
    EQUAL(word_at(p, 63), 100);
    OK(cuEventDestroy_v2(event));
    OK(cuStreamDestroy_v2(stream));
    OK(cuMemFree_v2(p));
    return NULL;
}

static void threads(const fixture_t *f) {
    pthread_t thread[4];
    for (int i = 0; i < 4; i++)
        pthread_create(thread + i, NULL, launch_loop, (void *)(size_t)f);
    for (int i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
}

int main(void) {
    fixture_t f = begin();
    void *memory;
    OK(cuMemHostAlloc(&memory, 4096, CU_MEMHOSTALLOC_DEVICEMAP));
    OK(cuMemHostGetDevicePointer_v2(&gate_address, memory, 0));
    gate = memory;
    *gate = 1;
    legacy_rules(&f);
    per_thread(&f);
    times(&f);
    host_calls(&f);
    memory_operations();
    depth(&f);
    many_streams(&f);
    many_waiting(&f);
    threads(&f);
    return 0;
}
