/* Launches: checked, packed, and turned into items of the engine. */
#include "simgpu/driver/capture.h"
#include "simgpu/driver/memory.h"
#include "simgpu/driver/module.h"
#include "simgpu/driver/pool.h"

#include <stdlib.h>
#include <string.h>

/* ---- checking and packing -------------------------------------------------------------------- */

CUresult divvy_drv_kernel_check(const divvy_drv_function_t *function,
                                const divvy_drv_kernel_op_t *op) {
    const divvy_ptx_entry_t *entry = function->entry;
    const uint32_t *grid = op->grid, *block = op->block;
    if (!grid[0] || !grid[1] || !grid[2] || !block[0] || !block[1] || !block[2] ||
        grid[0] > INT32_MAX || grid[1] > 65535 || grid[2] > 65535 || block[0] > 1024 ||
        block[1] > 1024 || block[2] > 64)
        return CUDA_ERROR_INVALID_VALUE;
    uint32_t threads = block[0] * block[1] * block[2];
    if (threads > DIVVY_PTX_BLOCK_MAX_THREADS)
        return CUDA_ERROR_INVALID_VALUE;
    if (entry->req_ntid[0] && (block[0] != entry->req_ntid[0] ||
                               block[1] != (entry->req_ntid[1] ? entry->req_ntid[1] : 1) ||
                               block[2] != (entry->req_ntid[2] ? entry->req_ntid[2] : 1)))
        return CUDA_ERROR_INVALID_VALUE;
    if (op->shared_bytes > (uint32_t)function->max_dynamic_shared_bytes)
        return CUDA_ERROR_INVALID_VALUE;
    if (threads > entry->max_threads ||
        (uint64_t)entry->registers * ((threads + 31) / 32 * 32) >
            (uint64_t)function->module->context->facts->registers_per_block)
        return CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
    if (op->cooperative) {
        uint64_t blocks = (uint64_t)grid[0] * grid[1] * grid[2];
        uint64_t resident = (uint64_t)divvy_drv_occupancy(function, threads, op->shared_bytes) *
                            (uint64_t)function->module->context->facts->sm_count;
        if (blocks > resident)
            return CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE;
    }
    return CUDA_SUCCESS;
}

static CUresult pack_extra(const divvy_ptx_entry_t *entry, void **extra, void *buffer) {
    const void *from = NULL;
    size_t bytes = 0;
    for (; *extra != CU_LAUNCH_PARAM_END; extra += 2) {
        if (*extra == CU_LAUNCH_PARAM_BUFFER_POINTER)
            from = extra[1];
        else if (*extra == CU_LAUNCH_PARAM_BUFFER_SIZE && extra[1])
            bytes = *(size_t *)extra[1];
        else
            return CUDA_ERROR_INVALID_VALUE;
    }
    if (bytes < entry->params_bytes || (entry->params_bytes && !from))
        return CUDA_ERROR_INVALID_VALUE;
    if (entry->params_bytes)
        memcpy(buffer, from, entry->params_bytes);
    return CUDA_SUCCESS;
}

CUresult divvy_drv_kernel_pack(const divvy_drv_function_t *function, void **kernel_params,
                               void **extra, void *buffer) {
    const divvy_ptx_entry_t *entry = function->entry;
    if (kernel_params && extra)
        return CUDA_ERROR_INVALID_VALUE;
    if (extra)
        return pack_extra(entry, extra, buffer);
    if (entry->params && !kernel_params)
        return CUDA_ERROR_INVALID_VALUE;
    for (uint32_t i = 0; i < entry->params; i++) {
        if (!kernel_params[i])
            return CUDA_ERROR_INVALID_VALUE;
        memcpy((char *)buffer + function->params[i].offset_bytes, kernel_params[i],
               function->params[i].size_bytes);
    }
    return CUDA_SUCCESS;
}

/* ---- time ------------------------------------------------------------------------------------ */

static uint32_t threads_of(const divvy_drv_kernel_op_t *op) {
    return op->block[0] * op->block[1] * op->block[2];
}

static uint64_t blocks_of(const divvy_drv_kernel_op_t *op) {
    return (uint64_t)op->grid[0] * op->grid[1] * op->grid[2];
}

/* How much of the device the grid takes: its blocks over those that can be resident at once. */
static unsigned fraction(const divvy_drv_kernel_op_t *op, unsigned per_sm) {
    uint64_t resident = (uint64_t)per_sm * (uint64_t)op->function->module->context->facts->sm_count;
    uint64_t blocks = blocks_of(op);
    if (!resident || blocks >= resident)
        return 1000;
    uint64_t permille = (blocks * 1000 + resident - 1) / resident;
    return permille ? (unsigned)permille : 1;
}

static uint64_t cost(const divvy_drv_kernel_op_t *op, uint64_t instructions,
                     uint64_t critical_cycles) {
    const divvy_simgpu_device_t *facts = op->function->module->context->facts;
    divvy_ptx_cost_t model = {
        .blocks = blocks_of(op),
        .threads_per_block = threads_of(op),
        .instructions = instructions,
        .critical_cycles = critical_cycles,
        .sm_count = (uint32_t)facts->sm_count,
        .clock_khz = facts->sm_clock_khz,
        .max_blocks_per_sm = divvy_drv_occupancy(op->function, threads_of(op), op->shared_bytes),
        .max_threads_per_sm = (uint32_t)facts->threads_per_sm_max,
    };
    return divvy_ptx_cost_ns(&model);
}

/* ---- execution in a thread of the engine ----------------------------------------------------- */

typedef struct {
    divvy_drv_context_t *context;
    divvy_drv_image_t *image;
    divvy_drv_kernel_op_t op; /* its function may be gone when the job runs */
    uint32_t index;
    uint64_t *variables; /* behind the job, with the parameters behind them */
    bool fixed_time;
    /* For the cost, without the function, whose module may be gone by then. */
    divvy_ptx_cost_t model;
} job_t;

/* Whether memory of the engine's device DEVICE is this kernel's to use: its own device's, that
 * of an enabled peer, or memory whose pool or mapping lets its device in. */
static bool device_allowed(const job_t *job, uint64_t address, bool write, int device) {
    divvy_drv_mem_t mem;
    int ordinal = job->context->ordinal;
    bool near = divvy_drv_context_reaches(job->context, device);
    if (!divvy_drv_mem_find(address, &mem))
        return near;
    if (mem.kind == DRV_MEM_MAPPED)
        return (write ? mem.writers : mem.readers) >> ordinal & 1;
    return near || divvy_drv_pool_reaches(&mem, ordinal);
}

/* A kernel may touch memory of its device, of peers that were enabled, and host memory that the
 * driver knows. */
static bool access_allowed(void *argument, uint64_t address, size_t length, bool write,
                           divvy_ptx_span_t *ret_span) {
    const job_t *job = argument;
    divvy_simgpu_range_t range;
    divvy_drv_mem_t mem;
    if (!divvy_simgpu_mem_lookup(address, &range)) {
        if (length > range.bytes - (address - range.base) ||
            !(write ? range.writable : range.readable) ||
            !device_allowed(job, address, write, range.device))
            return false;
        *ret_span = (divvy_ptx_span_t){range.base, range.base + range.bytes - 1, range.writable};
        return true;
    }
    if (!divvy_drv_mem_find(address, &mem) || !(mem.kind & DRV_MEM_ON_HOST) ||
        length > mem.bytes - (address - mem.address))
        return false;
    bool writable = !(mem.kind == DRV_MEM_REGISTERED && mem.flags & CU_MEMHOSTREGISTER_READ_ONLY);
    *ret_span = (divvy_ptx_span_t){mem.address, mem.address + mem.bytes - 1, writable};
    return writable || !write;
}

static CUresult status_result(divvy_ptx_status_t status) {
    switch (status) {
    case DIVVY_PTX_DONE:
    case DIVVY_PTX_ABORTED:
        return CUDA_SUCCESS;
    case DIVVY_PTX_ILLEGAL_ADDRESS:
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    case DIVVY_PTX_MISALIGNED_ADDRESS:
        return CUDA_ERROR_MISALIGNED_ADDRESS;
    case DIVVY_PTX_STACK_OVERFLOW:
        return CUDA_ERROR_HARDWARE_STACK_ERROR;
    case DIVVY_PTX_INVALID_PC:
        return CUDA_ERROR_INVALID_PC;
    case DIVVY_PTX_ILLEGAL_INSTRUCTION:
        return CUDA_ERROR_ILLEGAL_INSTRUCTION;
    case DIVVY_PTX_DEADLOCK:
        return CUDA_ERROR_LAUNCH_TIMEOUT; /* a GPU would hang for ever */
    default:
        return CUDA_ERROR_LAUNCH_FAILED;
    }
}

static void job_free(void *argument) {
    job_t *job = argument;
    divvy_drv_image_unref(job->image);
    free(job);
}

static int job_run(void *argument, uint64_t *duration_ns) {
    job_t *job = argument;
    divvy_ptx_launch_t launch = {
        .module = job->image->ptx,
        .entry = job->index,
        .grid = {job->op.grid[0], job->op.grid[1], job->op.grid[2]},
        .block = {job->op.block[0], job->op.block[1], job->op.block[2]},
        .shared_dynamic_bytes = job->op.shared_bytes,
        .params = job->op.params,
        .params_bytes = job->op.params_bytes,
        .variables = job->variables,
        .access = access_allowed,
        .access_ctx = job,
        .abort_flag = &job->context->aborting,
        .cooperative = job->op.cooperative,
        .sm_count = job->model.sm_count,
        .clock_khz = job->model.clock_khz,
        .start_ns = divvy_simgpu_now_ns(),
    };
    divvy_ptx_result_t outcome = {0};
    uint64_t ticket = divvy_drv_action_begin();
    int status = (int)divvy_ptx_execute(&launch, &outcome);
    divvy_drv_action_end(ticket);
    CUresult result =
        status < 0 ? CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES : status_result((divvy_ptx_status_t)status);
    if (!job->fixed_time) {
        job->model.instructions = outcome.instructions;
        job->model.critical_cycles = outcome.critical_cycles;
        *duration_ns = divvy_ptx_cost_ns(&job->model);
    }
    job_free(job);
    return (int)result;
}

static job_t *job_new(const divvy_drv_kernel_op_t *op) {
    divvy_drv_module_t *module = op->function->module;
    size_t variables = module->image->info.variables;
    job_t *job = malloc(sizeof(*job) + variables * sizeof(uint64_t) + op->params_bytes);
    if (!job)
        return NULL;
    const divvy_simgpu_device_t *facts = module->context->facts;
    *job = (job_t){
        .context = module->context,
        .image = module->image,
        .op = *op,
        .index = op->function->index,
        .variables = (uint64_t *)(job + 1),
        .model =
            {
                .blocks = blocks_of(op),
                .threads_per_block = threads_of(op),
                .sm_count = (uint32_t)facts->sm_count,
                .clock_khz = facts->sm_clock_khz,
                .max_blocks_per_sm =
                    divvy_drv_occupancy(op->function, threads_of(op), op->shared_bytes),
                .max_threads_per_sm = (uint32_t)facts->threads_per_sm_max,
            },
    };
    divvy_drv_image_ref(job->image);
    if (variables)
        memcpy(job->variables, module->variables, variables * sizeof(uint64_t));
    job->op.params = job->variables + variables;
    if (op->params_bytes)
        memcpy(job->variables + variables, op->params, op->params_bytes);
    return job;
}

CUresult divvy_drv_kernel_execute(divvy_drv_stream_t *stream, const divvy_drv_kernel_op_t *op) {
    const divvy_drv_function_t *function = op->function;
    const divvy_ptx_entry_t *entry = function->entry;
    unsigned per_sm = divvy_drv_occupancy(function, threads_of(op), op->shared_bytes);
    divvy_simgpu_item_t item = {.kind = DIVVY_SIMGPU_WORK,
                                .fraction_permille = fraction(op, per_sm)};
    int fixed = 1;
    if (entry->time == DIVVY_PTX_TIME_FIXED)
        item.duration_ns = entry->time_ns;
    else
        fixed = divvy_ptx_entry_fixed_time(function->module->image->ptx, function->index,
                                           op->params, op->params_bytes, &item.duration_ns);
    if (fixed < 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (!entry->executed) {
        if (!fixed)
            item.duration_ns =
                cost(op, (uint64_t)entry->instructions * threads_of(op) * blocks_of(op), 0);
        return divvy_drv_stream_submit(stream, &item, NULL);
    }
    job_t *job = job_new(op);
    if (!job)
        return CUDA_ERROR_OUT_OF_MEMORY;
    job->fixed_time = fixed;
    item.kind = DIVVY_SIMGPU_HOST;
    item.flags = fixed ? 0 : DIVVY_SIMGPU_LATE;
    item.run = job_run;
    item.drop = job_free;
    item.arg = job;
    CUresult result = divvy_drv_stream_submit(stream, &item, NULL);
    if (result != CUDA_SUCCESS)
        job_free(job);
    return result;
}

/* ---- the calls ------------------------------------------------------------------------------- */

/* Whether the parameters have to be gathered at all: a kernel of fixed time that only passes
 * time ignores them. */
static bool needs_params(const divvy_ptx_entry_t *entry) {
    return entry->params_bytes && (entry->executed || entry->time == DIVVY_PTX_TIME_PARAM);
}

/* Checks, packs and runs OP, whose params are not set yet. */
static CUresult launch(divvy_drv_stream_t *stream, divvy_drv_kernel_op_t *op, void **kernel_params,
                       void **extra) {
    _Alignas(16) uint8_t small[512];
    const divvy_drv_function_t *function = op->function;
    if (function->module->context != stream->context)
        return CUDA_ERROR_INVALID_HANDLE;
    DRV_TRY(divvy_drv_kernel_check(function, op));
    bool capturing = divvy_drv_capturing();
    if (!capturing && !needs_params(function->entry))
        return divvy_drv_kernel_execute(stream, op);
    void *buffer = small;
    op->params_bytes = function->entry->params_bytes;
    if (op->params_bytes > sizeof(small)) {
        buffer = malloc(op->params_bytes);
        if (!buffer)
            return CUDA_ERROR_OUT_OF_MEMORY;
    }
    CUresult result = divvy_drv_kernel_pack(function, kernel_params, extra, buffer);
    op->params = buffer;
    if (result == CUDA_SUCCESS && capturing) {
        divvy_drv_op_t whole = {
            .kind = CU_GRAPH_NODE_TYPE_KERNEL, .kernel_handle = function->handle, .kernel = *op};
        result = divvy_drv_op_run(stream, &whole);
    } else if (result == CUDA_SUCCESS) {
        result = divvy_drv_kernel_execute(stream, op);
    }
    op->params = NULL; /* the buffer goes */
    if (buffer != small)
        free(buffer);
    return result;
}

static CUresult start(CUfunction f, const uint32_t *grid, const uint32_t *block, unsigned shared,
                      CUstream hStream, void **kernel_params, void **extra, bool cooperative) {
    divvy_drv_stream_t *stream;
    divvy_drv_kernel_op_t op = {
        .grid = {grid[0], grid[1], grid[2]},
        .block = {block[0], block[1], block[2]},
        .shared_bytes = shared,
        .cooperative = cooperative,
    };
    DRV_TRY(divvy_drv_stream_find(hStream, &stream));
    DRV_TRY(divvy_drv_function_find(f, stream->context, &op.function));
    return launch(stream, &op, kernel_params, extra);
}

CUresult DRV(cuLaunchKernel)(CUfunction f, unsigned int gridDimX, unsigned int gridDimY,
                             unsigned int gridDimZ, unsigned int blockDimX, unsigned int blockDimY,
                             unsigned int blockDimZ, unsigned int sharedMemBytes, CUstream hStream,
                             void **kernelParams, void **extra) {
    const uint32_t grid[3] = {gridDimX, gridDimY, gridDimZ},
                   block[3] = {blockDimX, blockDimY, blockDimZ};
    return start(f, grid, block, sharedMemBytes, hStream, kernelParams, extra, false);
}

CUresult DRV(cuLaunchCooperativeKernel)(CUfunction f, unsigned int gridDimX, unsigned int gridDimY,
                                        unsigned int gridDimZ, unsigned int blockDimX,
                                        unsigned int blockDimY, unsigned int blockDimZ,
                                        unsigned int sharedMemBytes, CUstream hStream,
                                        void **kernelParams) {
    const uint32_t grid[3] = {gridDimX, gridDimY, gridDimZ},
                   block[3] = {blockDimX, blockDimY, blockDimZ};
    return start(f, grid, block, sharedMemBytes, hStream, kernelParams, NULL, true);
}

/* One launch per device; all are checked before the first one starts. */
CUresult DRV(cuLaunchCooperativeKernelMultiDevice)(CUDA_LAUNCH_PARAMS *launchParamsList,
                                                   unsigned int numDevices, unsigned int flags) {
    if (!launchParamsList || !numDevices || numDevices > (unsigned)divvy_drv_devices_count() ||
        (flags & ~3u))
        return CUDA_ERROR_INVALID_VALUE;
    uint32_t devices = 0;
    for (unsigned i = 0; i < numDevices; i++) {
        const CUDA_LAUNCH_PARAMS *p = launchParamsList + i;
        divvy_drv_stream_t *stream;
        divvy_drv_kernel_op_t op = {.grid = {p->gridDimX, p->gridDimY, p->gridDimZ},
                                    .block = {p->blockDimX, p->blockDimY, p->blockDimZ},
                                    .shared_bytes = p->sharedMemBytes,
                                    .cooperative = true};
        if (p->hStream <= CU_STREAM_PER_THREAD)
            return CUDA_ERROR_INVALID_VALUE; /* default streams are not allowed */
        DRV_TRY(divvy_drv_stream_find(p->hStream, &stream));
        DRV_TRY(divvy_drv_function_find(p->function, stream->context, &op.function));
        if (op.function->module->context != stream->context)
            return CUDA_ERROR_INVALID_HANDLE;
        uint32_t bit = (uint32_t)1 << stream->context->ordinal;
        if (devices & bit)
            return CUDA_ERROR_INVALID_DEVICE;
        devices |= bit;
        DRV_TRY(divvy_drv_kernel_check(op.function, &op));
    }
    for (unsigned i = 0; i < numDevices; i++) {
        const CUDA_LAUNCH_PARAMS *p = launchParamsList + i;
        DRV_TRY(DRV(cuLaunchCooperativeKernel)(p->function, p->gridDimX, p->gridDimY, p->gridDimZ,
                                               p->blockDimX, p->blockDimY, p->blockDimZ,
                                               p->sharedMemBytes, p->hStream, p->kernelParams));
    }
    return CUDA_SUCCESS;
}

/* ---- attributes ------------------------------------------------------------------------------ */

static CUresult check_cluster(const divvy_drv_function_t *function, const uint32_t *grid,
                              unsigned x, unsigned y, unsigned z) {
    uint64_t size = (uint64_t)x * y * z;
    if (!size || size > (function->non_portable_cluster ? 16u : 8u) || grid[0] % x || grid[1] % y ||
        grid[2] % z)
        return CUDA_ERROR_INVALID_CLUSTER_SIZE;
    return CUDA_SUCCESS;
}

/* Events of launches must not take times. */
static CUresult check_event(CUevent handle) {
    divvy_drv_event_t *event;
    DRV_TRY(divvy_drv_event_find(handle, &event));
    return event->flags & CU_EVENT_DISABLE_TIMING ? CUDA_SUCCESS : CUDA_ERROR_NOT_SUPPORTED;
}

/* A preferred size of clusters needs one that is sure. */
static CUresult check_preferred(const CUlaunchConfig *config) {
    bool has_preferred = false;
    for (unsigned i = 0; i < config->numAttrs; i++) {
        if (config->attrs[i].id == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION)
            return CUDA_SUCCESS;
        has_preferred |= config->attrs[i].id == CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION;
    }
    return has_preferred ? CUDA_ERROR_INVALID_CLUSTER_SIZE : CUDA_SUCCESS;
}

/* What an attribute means to the launch itself; most only guide a real device. */
static CUresult apply(const CUlaunchAttribute *attribute, divvy_drv_kernel_op_t *op,
                      CUevent *ret_after) {
    const CUlaunchAttributeValue *value = &attribute->value;
    switch (attribute->id) {
    case CU_LAUNCH_ATTRIBUTE_COOPERATIVE:
        op->cooperative = value->cooperative != 0;
        return CUDA_SUCCESS;
    case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION:
        return check_cluster(op->function, op->grid, value->clusterDim.x, value->clusterDim.y,
                             value->clusterDim.z);
    case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT:
        *ret_after = value->programmaticEvent.event;
        return check_event(*ret_after);
    case CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT:
        *ret_after = value->launchCompletionEvent.event;
        return check_event(*ret_after);
    case CU_LAUNCH_ATTRIBUTE_IGNORE:
    case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:
    case CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
    case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION:
    case CU_LAUNCH_ATTRIBUTE_PRIORITY:
    case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
    case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN:
    case CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION:
    case CU_LAUNCH_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
    case CU_LAUNCH_ATTRIBUTE_NVLINK_UTIL_CENTRIC_SCHEDULING:
        return CUDA_SUCCESS;
    case CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE:
        return value->deviceUpdatableKernelNode.deviceUpdatable ? CUDA_ERROR_NOT_SUPPORTED
                                                                : CUDA_SUCCESS;
    default: /* the synchronisation policy among them, which is a stream's */
        return CUDA_ERROR_INVALID_VALUE;
    }
}

CUresult DRV(cuLaunchKernelEx)(const CUlaunchConfig *config, CUfunction f, void **kernelParams,
                               void **extra) {
    divvy_drv_stream_t *stream;
    CUevent after = NULL;
    if (!config || (config->numAttrs && !config->attrs))
        return CUDA_ERROR_INVALID_VALUE;
    divvy_drv_kernel_op_t op = {
        .grid = {config->gridDimX, config->gridDimY, config->gridDimZ},
        .block = {config->blockDimX, config->blockDimY, config->blockDimZ},
        .shared_bytes = config->sharedMemBytes,
    };
    DRV_TRY(divvy_drv_stream_find(config->hStream, &stream));
    DRV_TRY(divvy_drv_function_find(f, stream->context, &op.function));
    for (unsigned i = 0; i < config->numAttrs; i++)
        DRV_TRY(apply(config->attrs + i, &op, &after));
    DRV_TRY(check_preferred(config));
    DRV_TRY(launch(stream, &op, kernelParams, extra));
    return after ? DRV(cuEventRecord)(after, config->hStream) : CUDA_SUCCESS;
}

/* ---- the launch interface of CUDA 3 ---------------------------------------------------------- */

CUresult DRV(cuFuncSetBlockShape)(CUfunction hfunc, int x, int y, int z) {
    divvy_drv_function_t *function;
    DRV_TRY(divvy_drv_function_find(hfunc, NULL, &function));
    if (x <= 0 || y <= 0 || z <= 0 || x > 1024 || y > 1024 || z > 64 || (int64_t)x * y * z > 1024)
        return CUDA_ERROR_INVALID_VALUE;
    function->legacy_block[0] = (uint32_t)x;
    function->legacy_block[1] = (uint32_t)y;
    function->legacy_block[2] = (uint32_t)z;
    return CUDA_SUCCESS;
}

CUresult DRV(cuFuncSetSharedSize)(CUfunction hfunc, unsigned int bytes) {
    divvy_drv_function_t *function;
    DRV_TRY(divvy_drv_function_find(hfunc, NULL, &function));
    function->legacy_shared_bytes = bytes;
    return CUDA_SUCCESS;
}

CUresult DRV(cuParamSetSize)(CUfunction hfunc, unsigned int numbytes) {
    divvy_drv_function_t *function;
    DRV_TRY(divvy_drv_function_find(hfunc, NULL, &function));
    if (numbytes > DIVVY_PTX_PARAMS_MAX_BYTES)
        return CUDA_ERROR_INVALID_VALUE;
    function->legacy_params_bytes = numbytes;
    return CUDA_SUCCESS;
}

CUresult DRV(cuParamSetv)(CUfunction hfunc, int offset, void *ptr, unsigned int numbytes) {
    divvy_drv_function_t *function;
    DRV_TRY(divvy_drv_function_find(hfunc, NULL, &function));
    if (offset < 0 || !ptr || (uint64_t)offset + numbytes > DIVVY_PTX_PARAMS_MAX_BYTES)
        return CUDA_ERROR_INVALID_VALUE;
    if (!function->legacy_params)
        function->legacy_params = calloc(1, DIVVY_PTX_PARAMS_MAX_BYTES);
    if (!function->legacy_params)
        return CUDA_ERROR_OUT_OF_MEMORY;
    memcpy(function->legacy_params + offset, ptr, numbytes);
    return CUDA_SUCCESS;
}

CUresult DRV(cuParamSeti)(CUfunction hfunc, int offset, unsigned int value) {
    return DRV(cuParamSetv)(hfunc, offset, &value, sizeof(value));
}

CUresult DRV(cuParamSetf)(CUfunction hfunc, int offset, float value) {
    return DRV(cuParamSetv)(hfunc, offset, &value, sizeof(value));
}

CUresult DRV(cuLaunchGridAsync)(CUfunction f, int grid_width, int grid_height, CUstream hStream) {
    divvy_drv_function_t *function;
    static uint8_t nothing;
    DRV_TRY(divvy_drv_function_find(f, NULL, &function));
    if (grid_width <= 0 || grid_height <= 0 || !function->legacy_block[0])
        return CUDA_ERROR_INVALID_VALUE;
    const uint32_t grid[3] = {(uint32_t)grid_width, (uint32_t)grid_height, 1};
    size_t bytes = function->legacy_params_bytes;
    void *extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER,
                     function->legacy_params ? function->legacy_params : &nothing,
                     CU_LAUNCH_PARAM_BUFFER_SIZE, &bytes, CU_LAUNCH_PARAM_END};
    if (bytes && !function->legacy_params)
        return CUDA_ERROR_INVALID_VALUE;
    return start(f, grid, function->legacy_block, function->legacy_shared_bytes, hStream, NULL,
                 extra, false);
}

CUresult DRV(cuLaunchGrid)(CUfunction f, int grid_width, int grid_height) {
    return DRV(cuLaunchGridAsync)(f, grid_width, grid_height, NULL);
}

CUresult DRV(cuLaunch)(CUfunction f) {
    return DRV(cuLaunchGrid)(f, 1, 1);
}
