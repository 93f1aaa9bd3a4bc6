/* Stream capture: what becomes a node, what is refused, and what a refusal ends. */
#include "check.h"

#include <pthread.h>

static CUstream a, b;
static CUevent fork_event, join_event;

static void linear(const fixture_t *f) {
    CUdeviceptr p = words(64, 1), q;
    CUgraph graph, seen;
    CUgraphExec exec;
    CUstreamCaptureStatus status;
    const CUgraphNode *nodes;
    cuuint64_t id;
    size_t count;
    unsigned out = 0, *pinned;
    OK(cuMemAllocHost_v2((void **)&pinned, 4));
    OK(cuCtxSynchronize());
    OK(cuStreamIsCapturing(a, &status));
    EQUAL(status, CU_STREAM_CAPTURE_STATUS_NONE);
    OK(cuStreamBeginCapture_v2(a, CU_STREAM_CAPTURE_MODE_GLOBAL));
    IS(CUDA_ERROR_ILLEGAL_STATE, cuStreamBeginCapture_v2(a, CU_STREAM_CAPTURE_MODE_GLOBAL));
    OK(add1(f, p, 64, a));
    OK(scale(f, p, 64, 5, a));
    OK(cuMemsetD32Async(p + 4, 50, 1, a));
    OK(cuMemcpyDtoHAsync_v2(pinned, p + 4, 4, a));
    OK(cuMemAllocAsync(&q, 1 << 20, a));
    OK(cuMemcpyDtoDAsync_v2(q, p, 256, a));
    OK(cuMemcpyDtoDAsync_v2(p + 128, q, 4, a));
    OK(cuMemFreeAsync(q, a));
    OK(cuStreamGetCaptureInfo_v2(a, &status, &id, &seen, &nodes, &count));
    EQUAL(status, CU_STREAM_CAPTURE_STATUS_ACTIVE);
    EQUAL(count, 1);
    OK(cuStreamEndCapture(a, &graph));
    TRUE(graph == seen);
    OK(cuGraphGetNodes(graph, NULL, &count));
    EQUAL(count, 8);
    EQUAL(word_at(p, 0), 1); /* nothing ran */
    OK(cuGraphInstantiateWithFlags(&exec, graph, 0));
    OK(cuGraphLaunch(exec, a));
    OK(cuStreamSynchronize(a));
    EQUAL(word_at(p, 0), 10);
    EQUAL(word_at(p, 1), 50);
    EQUAL(word_at(p, 32), 10);
    EQUAL(*pinned, 50);
    OK(cuGraphLaunch(exec, a));
    OK(cuStreamSynchronize(a));
    EQUAL(word_at(p, 0), 55);
    OK(cuGraphExecDestroy(exec));
    OK(cuGraphDestroy(graph));
    OK(cuMemFree_v2(p));
    OK(cuMemFreeHost(pinned));
    (void)out;
}

static void forked(const fixture_t *f) {
    CUdeviceptr p = words(64, 1), q = words(64, 1);
    CUgraph graph;
    CUgraphExec exec;
    size_t count;
    OK(cuCtxSynchronize());
    OK(cuStreamBeginCapture_v2(a, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
    OK(add1(f, p, 64, a));
    OK(cuEventRecord(fork_event, a));
    OK(cuStreamWaitEvent(b, fork_event, 0)); /* b joins */
    OK(add1(f, q, 64, b));
    OK(scale(f, p, 64, 3, a));
    IS(CUDA_ERROR_CAPTURED_EVENT, cuEventQuery(fork_event)); /* which ends it */
    IS(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, add1(f, q, 64, b));
    IS(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(a, &graph));
    TRUE(!graph);
    OK(cuStreamBeginCapture_v2(a, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
    OK(add1(f, p, 64, a));
    OK(cuEventRecord(fork_event, a));
    OK(cuStreamWaitEvent(b, fork_event, 0));
    OK(add1(f, q, 64, b));
    OK(scale(f, p, 64, 3, a));
    OK(cuEventRecord(join_event, b));
    OK(cuStreamWaitEvent(a, join_event, 0));
    OK(add1(f, p, 64, a)); /* behind both */
    OK(cuStreamEndCapture(a, &graph));
    OK(cuGraphGetEdges(graph, NULL, NULL, &count));
    EQUAL(count, 4);
    OK(cuGraphInstantiateWithFlags(&exec, graph, 0));
    OK(cuGraphLaunch(exec, NULL));
    EQUAL(word_at(p, 0), 7);
    EQUAL(word_at(q, 0), 2);
    OK(cuStreamQuery(b)); /* free again */
    OK(cuGraphExecDestroy(exec));
    OK(cuGraphDestroy(graph));
    OK(cuMemFree_v2(p));
    OK(cuMemFree_v2(q));
}

/* Begins, does one thing that is forbidden, and finds the capture invalid. */
#define FORBIDDEN(result, mode, expression)                                                        \
    do {                                                                                           \
        CUgraph graph_;                                                                            \
        OK(cuStreamBeginCapture_v2(a, mode));                                                      \
        IS(result, expression);                                                                    \
        IS(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(a, &graph_));                 \
        TRUE(!graph_);                                                                             \
    } while (0)
#define GLOBAL  CU_STREAM_CAPTURE_MODE_GLOBAL
#define RELAXED CU_STREAM_CAPTURE_MODE_RELAXED

static void forbidden(const fixture_t *f) {
    CUdeviceptr p = words(64, 0), q;
    CUevent plain;
    unsigned out;
    CUstream apart;
    OK(cuEventCreate(&plain, 0));
    OK(cuCtxSynchronize());
    FORBIDDEN(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, GLOBAL, cuStreamSynchronize(a));
    FORBIDDEN(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, RELAXED, cuStreamQuery(a));
    FORBIDDEN(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, RELAXED, cuCtxSynchronize());
    FORBIDDEN(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, GLOBAL, cuMemAlloc_v2(&q, 64));
    FORBIDDEN(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, GLOBAL, cuMemcpyDtoH_v2(&out, p, 4));
    FORBIDDEN(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, RELAXED,
              add1(f, p, 64, NULL)); /* a is a blocking stream */
    FORBIDDEN(CUDA_ERROR_STREAM_CAPTURE_ISOLATION, GLOBAL, cuStreamWaitEvent(a, plain, 0));
    IS(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuStreamBeginCapture_v2(NULL, GLOBAL));
    IS(CUDA_ERROR_ILLEGAL_STATE, cuStreamEndCapture(a, &(CUgraph){0}));
    IS(CUDA_ERROR_INVALID_VALUE, cuStreamBeginCapture_v2(a, (CUstreamCaptureMode)3));
    /* Relaxed allows allocation, and so does a thread that says so. */
    CUgraph graph;
    OK(cuStreamBeginCapture_v2(a, RELAXED));
    OK(cuMemAlloc_v2(&q, 64));
    OK(cuStreamEndCapture(a, &graph));
    OK(cuMemFree_v2(q));
    OK(cuGraphDestroy(graph));
    CUstreamCaptureMode mode = RELAXED;
    OK(cuThreadExchangeStreamCaptureMode(&mode));
    EQUAL(mode, GLOBAL);
    OK(cuStreamBeginCapture_v2(a, GLOBAL));
    OK(cuMemAlloc_v2(&q, 64));
    OK(cuStreamEndCapture(a, &graph));
    OK(cuThreadExchangeStreamCaptureMode(&mode));
    EQUAL(mode, RELAXED);
    OK(cuMemFree_v2(q));
    OK(cuGraphDestroy(graph));
    /* With a non-blocking stream the legacy stream stays usable. */
    OK(cuStreamCreate(&apart, CU_STREAM_NON_BLOCKING));
    OK(cuStreamBeginCapture_v2(apart, RELAXED));
    OK(add1(f, p, 64, apart));
    OK(add1(f, p, 64, NULL));
    OK(cuStreamSynchronize(NULL));
    OK(cuStreamEndCapture(apart, &graph));
    OK(cuGraphDestroy(graph));
    EQUAL(word_at(p, 0), 1);
    OK(cuStreamDestroy_v2(apart));
    OK(cuMemFree_v2(p));
}

static void unjoined(const fixture_t *f) {
    CUgraph graph;
    CUdeviceptr p = words(64, 0);
    OK(cuCtxSynchronize());
    OK(cuStreamBeginCapture_v2(a, GLOBAL));
    OK(cuEventRecord(fork_event, a));
    OK(cuStreamWaitEvent(b, fork_event, 0));
    OK(add1(f, p, 64, b));
    IS(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, cuStreamEndCapture(a, &graph));
    TRUE(!graph);
    OK(cuStreamBeginCapture_v2(a, GLOBAL));
    OK(cuEventRecord(fork_event, a));
    OK(cuStreamWaitEvent(b, fork_event, 0));
    IS(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, cuStreamEndCapture(b, &graph));
    IS(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(a, &graph));
    /* Two captures cannot be mixed. */
    OK(cuStreamBeginCapture_v2(a, GLOBAL));
    OK(cuStreamBeginCapture_v2(b, GLOBAL));
    OK(cuEventRecord(fork_event, a));
    IS(CUDA_ERROR_STREAM_CAPTURE_MERGE, cuStreamWaitEvent(b, fork_event, 0));
    IS(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(a, &graph));
    IS(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(b, &graph));
    IS(CUDA_ERROR_CAPTURED_EVENT, cuStreamWaitEvent(b, fork_event, 0)); /* its capture is over */
    OK(cuEventRecord(fork_event, a));
    OK(cuStreamWaitEvent(b, fork_event, 0)); /* and now it is an ordinary one again */
    OK(cuMemFree_v2(p));
}

static void *other_thread(void *context) {
    CUdeviceptr p;
    CUgraph graph;
    OK(cuCtxSetCurrent(context));
    IS(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, cuStreamEndCapture(a, &graph));
    OK(cuMemAlloc_v2(&p,
                     64)); /* a thread-local capture of another thread does not concern this one */
    OK(cuStreamSynchronize(b));
    return (void *)(size_t)p;
}

static void *global_barred(void *context) {
    CUdeviceptr p;
    OK(cuCtxSetCurrent(context));
    IS(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuMemAlloc_v2(&p, 64));
    return NULL;
}

static void threads(const fixture_t *f) {
    pthread_t thread;
    void *p;
    CUgraph graph;
    OK(cuCtxSynchronize());
    OK(cuStreamBeginCapture_v2(a, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
    pthread_create(&thread, NULL, other_thread, f->context);
    pthread_join(thread, &p);
    OK(cuStreamEndCapture(a, &graph));
    OK(cuGraphDestroy(graph));
    OK(cuMemFree_v2((CUdeviceptr)p));
    OK(cuStreamBeginCapture_v2(a, GLOBAL));
    pthread_create(&thread, NULL, global_barred, f->context);
    pthread_join(thread, NULL);
    IS(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(a, &graph));
}

static void into_a_graph(const fixture_t *f) {
    CUdeviceptr p = words(64, 1);
    CUgraph graph, same;
    CUgraphExec exec;
    CUgraphNode root;
    size_t count;
    CUDA_MEMSET_NODE_PARAMS fill = {
        .dst = p, .value = 6, .elementSize = 4, .width = 64, .height = 1};
    OK(cuCtxSynchronize());
    OK(cuGraphCreate(&graph, 0));
    OK(cuGraphAddMemsetNode(&root, graph, NULL, 0, &fill, f->context));
    OK(cuStreamBeginCaptureToGraph(a, graph, &root, NULL, 1, GLOBAL));
    OK(add1(f, p, 64, a));
    OK(cuStreamUpdateCaptureDependencies(a, &root, 1, CU_STREAM_SET_CAPTURE_DEPENDENCIES));
    OK(cuLaunchHostFunc(a, (CUhostFn)free, NULL));
    OK(cuStreamEndCapture(a, &same));
    TRUE(same == graph);
    OK(cuGraphNodeGetDependentNodes(root, NULL, &count));
    EQUAL(count, 2);
    OK(cuGraphInstantiateWithFlags(&exec, graph, 0));
    OK(cuGraphLaunch(exec, NULL));
    EQUAL(word_at(p, 9), 7);
    OK(cuGraphExecDestroy(exec));
    OK(cuGraphDestroy(graph));
    OK(cuMemFree_v2(p));
}

/* A graph that is launched while its stream captures is a child of the new one. */
static void nested(const fixture_t *f) {
    CUdeviceptr p = words(64, 1);
    CUgraph inner, outer;
    CUgraphExec inner_exec, outer_exec;
    CUgraphNode node;
    CUgraphNodeType type;
    size_t count = 1;
    OK(cuStreamBeginCapture_v2(a, GLOBAL));
    OK(add1(f, p, 64, a));
    OK(scale(f, p, 64, 10, a));
    OK(cuStreamEndCapture(a, &inner));
    OK(cuGraphInstantiateWithFlags(&inner_exec, inner, 0));
    OK(cuStreamBeginCapture_v2(a, GLOBAL));
    OK(cuGraphLaunch(inner_exec, a));
    OK(add1(f, p, 64, a));
    OK(cuStreamEndCapture(a, &outer));
    OK(cuGraphExecDestroy(inner_exec));
    OK(cuGraphDestroy(inner));
    OK(cuGraphGetRootNodes(outer, &node, &count));
    OK(cuGraphNodeGetType(node, &type));
    EQUAL(type, CU_GRAPH_NODE_TYPE_GRAPH);
    EQUAL(word_at(p, 0), 1);
    OK(cuGraphInstantiateWithFlags(&outer_exec, outer, 0));
    OK(cuGraphLaunch(outer_exec, a));
    OK(cuStreamSynchronize(a));
    EQUAL(word_at(p, 0), 21);
    OK(cuGraphExecDestroy(outer_exec));
    OK(cuGraphDestroy(outer));
    OK(cuMemFree_v2(p));
}

/* Destroying what a capture needs ends it cleanly. */
static void abandoned(void) {
    CUstream stream;
    OK(cuStreamCreate(&stream, 0));
    OK(cuStreamBeginCapture_v2(stream, GLOBAL));
    OK(cuStreamDestroy_v2(stream));
    CUdeviceptr p;
    OK(cuMemAlloc_v2(&p, 64));
    OK(cuMemFree_v2(p));
}

int main(void) {
    fixture_t f = begin();
    OK(cuStreamCreate(&a, 0));
    OK(cuStreamCreate(&b, 0));
    OK(cuEventCreate(&fork_event, CU_EVENT_DISABLE_TIMING));
    OK(cuEventCreate(&join_event, CU_EVENT_DISABLE_TIMING));
    linear(&f);
    forked(&f);
    forbidden(&f);
    unjoined(&f);
    threads(&f);
    into_a_graph(&f);
    nested(&f);
    abandoned();
    return 0;
}
