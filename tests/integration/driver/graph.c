/* Graphs: built by hand, instantiated, launched, changed, and their memory. */
#include "check.h"

static CUgraphNode kernel_node(CUgraph graph, CUfunction function, void **args,
                               const CUgraphNode *before, size_t count) {
    CUgraphNode node;
    CUDA_KERNEL_NODE_PARAMS params = {.func = function,
                                      .gridDimX = 1,
                                      .gridDimY = 1,
                                      .gridDimZ = 1,
                                      .blockDimX = 64,
                                      .blockDimY = 1,
                                      .blockDimZ = 1,
                                      .kernelParams = args};
    OK(cuGraphAddKernelNode_v2(&node, graph, before, count, &params));
    return node;
}

static unsigned called;

static void call(void *argument) {
    called += (unsigned)(size_t)argument;
}

/* set 1, add 1, times 10, copy out; a host function on the side. */
static void build_and_launch(const fixture_t *f) {
    CUdeviceptr p = words(64, 0);
    unsigned n = 64, by = 10, out[64] = {0};
    void *add[] = {&p, &n}, *times[] = {&p, &n, &by};
    CUgraph graph, clone;
    CUgraphExec exec;
    CUgraphNode set, add_node, scale_node, copy, host, empty, nodes[8], found;
    CUgraphNodeType type;
    size_t count;
    CUDA_MEMSET_NODE_PARAMS fill = {
        .dst = p, .value = 1, .elementSize = 4, .width = 64, .height = 1};
    CUDA_MEMCPY3D back = {.srcMemoryType = CU_MEMORYTYPE_DEVICE,
                          .srcDevice = p,
                          .dstMemoryType = CU_MEMORYTYPE_HOST,
                          .dstHost = out,
                          .WidthInBytes = sizeof(out),
                          .Height = 1,
                          .Depth = 1};
    CUDA_HOST_NODE_PARAMS host_params = {call, (void *)1};
    OK(cuGraphCreate(&graph, 0));
    OK(cuGraphAddMemsetNode(&set, graph, NULL, 0, &fill, f->context));
    add_node = kernel_node(graph, f->add1, add, &set, 1);
    scale_node = kernel_node(graph, f->scale, times, &add_node, 1);
    n = 0; /* parameters were copied */
    OK(cuGraphAddMemcpyNode(&copy, graph, &scale_node, 1, &back, f->context));
    OK(cuGraphAddHostNode(&host, graph, NULL, 0, &host_params));
    OK(cuGraphAddEmptyNode(&empty, graph, (CUgraphNode[]){copy, host}, 2));
    OK(cuGraphGetNodes(graph, NULL, &count));
    EQUAL(count, 6);
    count = 8;
    OK(cuGraphGetRootNodes(graph, nodes, &count));
    EQUAL(count, 2);
    TRUE(nodes[0] == set && nodes[1] == host && !nodes[2]);
    OK(cuGraphNodeGetDependencies(empty, NULL, &count));
    EQUAL(count, 2);
    OK(cuGraphNodeGetDependentNodes(set, nodes, &count));
    TRUE(nodes[0] == add_node);
    OK(cuGraphGetEdges(graph, NULL, NULL, &count));
    EQUAL(count, 5);
    OK(cuGraphNodeGetType(copy, &type));
    EQUAL(type, CU_GRAPH_NODE_TYPE_MEMCPY);
    OK(cuGraphInstantiateWithFlags(&exec, graph, 0));
    for (unsigned i = 1; i <= 3; i++) {
        memset(out, 0, sizeof(out));
        OK(cuGraphLaunch(exec, NULL));
        OK(cuStreamSynchronize(NULL));
        EQUAL(out[0], 20);
        EQUAL(out[63], 20);
        EQUAL(called, i);
    }
    /* Parameters of what is instantiated change without the graph. */
    n = 64;
    by = 3;
    CUDA_KERNEL_NODE_PARAMS params;
    OK(cuGraphKernelNodeGetParams_v2(scale_node, &params));
    EQUAL(*(unsigned *)params.kernelParams[2], 10);
    params.kernelParams = times;
    OK(cuGraphExecKernelNodeSetParams_v2(exec, scale_node, &params));
    OK(cuGraphLaunch(exec, NULL));
    OK(cuStreamSynchronize(NULL));
    EQUAL(out[5], 6);
    OK(cuGraphNodeSetEnabled(exec, scale_node, 0));
    OK(cuGraphLaunch(exec, NULL));
    OK(cuStreamSynchronize(NULL));
    EQUAL(out[5], 2);
    IS(CUDA_ERROR_INVALID_VALUE, cuGraphNodeSetEnabled(exec, host, 0));
    /* A graph of the same shape brings its parameters. */
    OK(cuGraphClone(&clone, graph));
    OK(cuGraphNodeFindInClone(&found, scale_node, clone));
    by = 7;
    OK(cuGraphKernelNodeSetParams_v2(found, &params));
    CUgraphExecUpdateResultInfo info;
    OK(cuGraphExecUpdate_v2(exec, clone, &info));
    OK(cuGraphNodeSetEnabled(exec, scale_node, 1));
    OK(cuGraphLaunch(exec, NULL));
    OK(cuStreamSynchronize(NULL));
    EQUAL(out[5], 14);
    OK(cuGraphDestroyNode(found));
    IS(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, cuGraphExecUpdate_v2(exec, clone, &info));
    EQUAL(info.result, CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED);
    IS(CUDA_ERROR_INVALID_VALUE, cuGraphNodeGetType(found, &type));
    OK(cuGraphDestroy(clone));
    OK(cuGraphDestroy(graph)); /* the executable one lives on */
    OK(cuGraphLaunch(exec, CU_STREAM_PER_THREAD));
    OK(cuStreamSynchronize(CU_STREAM_PER_THREAD));
    OK(cuGraphExecDestroy(exec));
    IS(CUDA_ERROR_INVALID_VALUE, cuGraphLaunch(exec, NULL));
    IS(CUDA_ERROR_INVALID_VALUE, cuGraphDestroy(graph));
    OK(cuMemFree_v2(p));
}

static void circle(const fixture_t *f) {
    CUgraph graph;
    CUgraphExec exec;
    CUgraphNode a, b;
    CUDA_GRAPH_INSTANTIATE_PARAMS params = {0};
    (void)f;
    OK(cuGraphCreate(&graph, 0));
    OK(cuGraphAddEmptyNode(&a, graph, NULL, 0));
    OK(cuGraphAddEmptyNode(&b, graph, &a, 1));
    IS(CUDA_ERROR_INVALID_VALUE, cuGraphAddDependencies(graph, &a, &b, 1)); /* there already */
    IS(CUDA_ERROR_INVALID_VALUE, cuGraphAddDependencies(graph, &a, &a, 1));
    OK(cuGraphAddDependencies(graph, &b, &a, 1));
    IS(CUDA_ERROR_INVALID_VALUE, cuGraphInstantiateWithParams(&exec, graph, &params));
    EQUAL(params.result_out, CUDA_GRAPH_INSTANTIATE_INVALID_STRUCTURE);
    OK(cuGraphRemoveDependencies(graph, &b, &a, 1));
    IS(CUDA_ERROR_INVALID_VALUE, cuGraphRemoveDependencies(graph, &b, &a, 1));
    OK(cuGraphInstantiateWithParams(&exec, graph, &params));
    OK(cuGraphLaunch(exec, NULL));
    OK(cuGraphExecDestroy(exec));
    OK(cuGraphDestroy(graph));
}

/* Branches run side by side, and a child graph stands for its nodes. */
static void branches(const fixture_t *f) {
    CUgraph graph, child;
    CUgraphExec exec;
    CUgraphNode root, ends[4], node;
    CUevent start, end;
    unsigned long long ns = 5000000;
    void *args[] = {&ns};
    float ms;
    OK(cuGraphCreate(&child, 0));
    CUgraphNode first = kernel_node(child, f->wait_ns, args, NULL, 0);
    kernel_node(child, f->wait_ns, args, &first, 1);
    OK(cuGraphCreate(&graph, 0));
    OK(cuGraphAddEmptyNode(&root, graph, NULL, 0));
    for (int i = 0; i < 3; i++)
        ends[i] = kernel_node(graph, f->wait_ns, args, &root, 1);
    OK(cuGraphAddChildGraphNode(&ends[3], graph, &root, 1, child));
    OK(cuGraphAddEmptyNode(&node, graph, ends, 4));
    OK(cuGraphInstantiate_v2(&exec, graph, NULL, NULL, 0));
    OK(cuEventCreate(&start, 0));
    OK(cuEventCreate(&end, 0));
    OK(wait_for(f, 50000000, NULL)); /* long enough to queue the rest behind it */
    OK(cuEventRecord(start, NULL));
    OK(cuGraphLaunch(exec, NULL));
    OK(cuEventRecord(end, NULL));
    OK(cuEventSynchronize(end));
    OK(cuEventElapsedTime(&ms, start, end));
    TRUE(ms >= 10.0f && ms < 11.0f); /* 5 ms beside 5 + 5 ms */
    OK(cuGraphExecDestroy(exec));
    OK(cuGraphDestroy(graph));
    OK(cuGraphDestroy(child));
}

static void events(const fixture_t *f) {
    CUgraph graph;
    CUgraphExec exec;
    CUgraphNode record, wait;
    CUevent inside, outside;
    CUstream stream;
    OK(cuEventCreate(&inside, 0));
    OK(cuEventCreate(&outside, 0));
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    OK(cuGraphCreate(&graph, 0));
    OK(cuGraphAddEventWaitNode(&wait, graph, NULL, 0, outside));
    OK(cuGraphAddEventRecordNode(&record, graph, &wait, 1, inside));
    OK(cuGraphInstantiateWithFlags(&exec, graph, 0));
    OK(wait_for(f, 30000000, NULL));
    OK(cuEventRecord(outside, NULL));
    OK(cuGraphLaunch(exec, stream));
    IS(CUDA_ERROR_NOT_READY, cuEventQuery(inside));
    OK(cuEventSynchronize(inside));
    float ms;
    OK(cuEventElapsedTime(&ms, outside, inside));
    TRUE(ms >= 0);
    OK(cuGraphExecDestroy(exec));
    OK(cuGraphDestroy(graph));
    OK(cuStreamDestroy_v2(stream));
}

static cuuint64_t graph_bytes(CUgraphMem_attribute what) {
    cuuint64_t value;
    OK(cuDeviceGetGraphMemAttribute(0, what, &value));
    return value;
}

static void memory(const fixture_t *f) {
    enum { BYTES = 3 << 20, TAKEN = 4 << 20 };
    CUgraph graph;
    CUgraphExec exec;
    CUgraphNode alloc, set, free_node;
    CUDA_MEM_ALLOC_NODE_PARAMS params = {
        .poolProps = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                      .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}},
        .bytesize = BYTES};
    size_t before = free_bytes();
    OK(cuGraphCreate(&graph, 0));
    OK(cuGraphAddMemAllocNode(&alloc, graph, NULL, 0, &params));
    TRUE(params.dptr != 0);
    CUDA_MEMSET_NODE_PARAMS fill = {
        .dst = params.dptr, .value = 9, .elementSize = 4, .width = 64, .height = 1};
    IS(CUDA_ERROR_INVALID_VALUE, cuMemFree_v2(params.dptr)); /* an address, no memory yet */
    unsigned n = 64;
    void *args[] = {&params.dptr, &n};
    set = kernel_node(graph, f->add1, args, &alloc, 1);
    OK(cuGraphInstantiateWithFlags(&exec, graph, 0));
    EQUAL(free_bytes(), before);
    OK(cuGraphLaunch(exec, NULL));
    OK(cuStreamSynchronize(NULL));
    EQUAL(before - free_bytes(), TAKEN);
    EQUAL(graph_bytes(CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT), TAKEN);
    EQUAL(word_at(params.dptr, 5), 1);
    IS(CUDA_ERROR_INVALID_VALUE, cuGraphLaunch(exec, NULL)); /* not freed since */
    OK(cuMemFreeAsync(params.dptr, NULL));
    OK(cuGraphLaunch(exec, NULL));
    OK(cuMemFree_v2(params.dptr));
    IS(CUDA_ERROR_INVALID_VALUE, cuMemFree_v2(params.dptr));
    EQUAL(graph_bytes(CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT), 0);
    EQUAL(graph_bytes(CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT),
          TAKEN); /* kept for the next launch */
    OK(cuDeviceGraphMemTrim(0));
    EQUAL(graph_bytes(CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT), 0);
    EQUAL(graph_bytes(CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH), TAKEN);
    EQUAL(free_bytes(), before);
    OK(cuGraphExecDestroy(exec));
    OK(cuGraphAddMemFreeNode(&free_node, graph, &set, 1, params.dptr));
    IS(CUDA_ERROR_INVALID_VALUE, cuGraphAddMemFreeNode(&free_node, graph, &set, 1, params.dptr));
    OK(cuGraphInstantiateWithFlags(&exec, graph, CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD));
    EQUAL(before - free_bytes(), TAKEN); /* uploading takes the bytes */
    for (int i = 0; i < 5; i++)
        OK(cuGraphLaunch(exec, NULL));
    OK(cuStreamSynchronize(NULL));
    EQUAL(graph_bytes(CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT), 0);
    OK(cuGraphExecDestroy(exec));
    CUgraph clone;
    IS(CUDA_ERROR_NOT_SUPPORTED, cuGraphClone(&clone, graph));
    OK(cuGraphDestroy(graph));
    EQUAL(free_bytes(), before);
    /* What does not fit is refused at the launch, and nothing of it runs. */
    params.bytesize = before + (4 << 20);
    OK(cuGraphCreate(&graph, 0));
    OK(cuGraphAddMemAllocNode(&alloc, graph, NULL, 0, &params));
    OK(cuGraphInstantiateWithFlags(&exec, graph, 0));
    IS(CUDA_ERROR_OUT_OF_MEMORY, cuGraphLaunch(exec, NULL));
    OK(cuGraphExecDestroy(exec));
    OK(cuGraphDestroy(graph));
    (void)fill;
}

static void objects(void) {
    CUuserObject object;
    CUgraph graph, clone;
    unsigned before = called;
    OK(cuUserObjectCreate(&object, (void *)100, call, 1, CU_USER_OBJECT_NO_DESTRUCTOR_SYNC));
    OK(cuGraphCreate(&graph, 0));
    OK(cuGraphRetainUserObject(graph, object, 1, CU_GRAPH_USER_OBJECT_MOVE));
    OK(cuGraphClone(&clone, graph));
    OK(cuGraphDestroy(graph));
    EQUAL(called, before);
    OK(cuGraphDestroy(clone));
    EQUAL(called, before + 100);
    IS(CUDA_ERROR_INVALID_VALUE, cuUserObjectRelease(object, 1));
}

/* The generic forms: one union for every kind. */
static void generic(const fixture_t *f) {
    CUdeviceptr p = words(64, 4);
    unsigned n = 64;
    void *args[] = {&p, &n};
    CUgraph graph;
    CUgraphExec exec;
    CUgraphNode node, next;
    CUgraphNodeParams params = {.type = CU_GRAPH_NODE_TYPE_KERNEL};
    params.kernel = (CUDA_KERNEL_NODE_PARAMS_v3){.func = f->add1,
                                                 .gridDimX = 1,
                                                 .gridDimY = 1,
                                                 .gridDimZ = 1,
                                                 .blockDimX = 64,
                                                 .blockDimY = 1,
                                                 .blockDimZ = 1,
                                                 .kernelParams = args};
    OK(cuGraphCreate(&graph, 0));
    OK(cuGraphAddNode(&node, graph, NULL, 0, &params));
    OK(cuGraphAddNode_v2(&next, graph, &node, NULL, 1, &params));
    OK(cuGraphInstantiateWithFlags(&exec, graph, 0));
    OK(cuGraphLaunch(exec, NULL));
    EQUAL(word_at(p, 0), 6);
    params.kernel.gridDimX = 0;
    IS(CUDA_ERROR_INVALID_VALUE, cuGraphNodeSetParams(node, &params));
    params.type = CU_GRAPH_NODE_TYPE_CONDITIONAL;
    IS(CUDA_ERROR_NOT_SUPPORTED, cuGraphAddNode(&node, graph, NULL, 0, &params));
    OK(cuGraphExecDestroy(exec));
    OK(cuGraphDestroy(graph));
    OK(cuMemFree_v2(p));
}

/* A module that goes takes its kernels out of every graph. */
static void stale(void) {
    CUmodule module;
    CUfunction function;
    CUgraph graph;
    CUgraphExec exec, other;
    OK(cuModuleLoadData(&module, kernels));
    OK(cuModuleGetFunction(&function, module, "tick"));
    OK(cuGraphCreate(&graph, 0));
    kernel_node(graph, function, NULL, NULL, 0);
    OK(cuGraphInstantiateWithFlags(&exec, graph, 0));
    OK(cuModuleUnload(module));
    IS(CUDA_ERROR_INVALID_HANDLE, cuGraphLaunch(exec, NULL));
    IS(CUDA_ERROR_INVALID_HANDLE, cuGraphInstantiateWithFlags(&other, graph, 0));
    OK(cuGraphExecDestroy(exec));
    OK(cuGraphDestroy(graph));
}

int main(void) {
    fixture_t f = begin();
    build_and_launch(&f);
    circle(&f);
    branches(&f);
    events(&f);
    memory(&f);
    objects();
    generic(&f);
    stale();
    return 0;
}
