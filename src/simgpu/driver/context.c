/* Contexts and primary contexts: their life, their settings, and the sticky error. */
#include "simgpu/driver/context.h"
#include "simgpu/driver/capture.h"
#include "simgpu/driver/handle.h"
#include "simgpu/driver/memory.h"
#include "simgpu/driver/module.h"
#include "simgpu/driver/pool.h"
#include "simgpu/driver/stream.h"

#include <stdlib.h>

/* What a context takes of the device for itself (measured on an H200), at most a sixteenth of a
 * small device. */
#define OVERHEAD_BYTES 552402944ull

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER; /* the list of all, ids */
static pthread_mutex_t primary_lock = PTHREAD_MUTEX_INITIALIZER;
static divvy_drv_context_t *contexts;
static uint64_t last_id;

/* ---- life ------------------------------------------------------------------------------------ */

void divvy_drv_context_ref(divvy_drv_context_t *context) {
    atomic_fetch_add_explicit(&context->refs, 1, memory_order_relaxed);
}

void divvy_drv_context_unref(divvy_drv_context_t *context) {
    if (atomic_fetch_sub_explicit(&context->refs, 1, memory_order_acq_rel) != 1)
        return;
    pthread_mutex_destroy(&context->lock);
    free(context);
}

static void set_limits(divvy_drv_context_t *context) {
    static const size_t defaults[CU_LIMIT_MAX] = {
        [CU_LIMIT_STACK_SIZE] = 1024,
        [CU_LIMIT_PRINTF_FIFO_SIZE] = 7405568,
        [CU_LIMIT_MALLOC_HEAP_SIZE] = 8388608,
        [CU_LIMIT_DEV_RUNTIME_SYNC_DEPTH] = 2,
        [CU_LIMIT_DEV_RUNTIME_PENDING_LAUNCH_COUNT] = 2048,
        [CU_LIMIT_MAX_L2_FETCH_GRANULARITY] = 64,
        [CU_LIMIT_SHMEM_SIZE] = 0,
    };
    for (int i = 0; i < CU_LIMIT_MAX; i++)
        context->limits[i] = defaults[i];
}

static uint64_t overhead(const divvy_simgpu_device_t *facts) {
    uint64_t sixteenth = facts->memory_bytes / 16 & ~(uint64_t)(DIVVY_SIMGPU_PAGE_BYTES - 1);
    return sixteenth < OVERHEAD_BYTES ? sixteenth : OVERHEAD_BYTES;
}

/* The engine's part: the context there, the bytes it takes, the legacy stream. */
static CUresult furnish(divvy_drv_context_t *context) {
    DRV_TRY(divvy_drv_result(divvy_simgpu_context_create(context->device, &context->engine)));
    context->overhead_bytes = overhead(context->facts);
    CUresult result = divvy_drv_result(
        divvy_simgpu_mem_charge(context->device, (int64_t)context->overhead_bytes));
    if (result == CUDA_SUCCESS) {
        result = divvy_drv_stream_new(context, DRV_STREAM_LEGACY, 0, 0, &context->legacy);
        if (result != CUDA_SUCCESS)
            divvy_simgpu_mem_charge(context->device, -(int64_t)context->overhead_bytes);
    }
    if (result != CUDA_SUCCESS)
        divvy_simgpu_context_destroy(context->engine);
    return result;
}

static CUresult create(CUdevice ordinal, unsigned flags, bool primary,
                       divvy_drv_context_t **ret_context) {
    divvy_drv_device_t *device;
    DRV_TRY(divvy_drv_device_find(ordinal, &device));
    divvy_drv_context_t *context = calloc(1, sizeof(*context));
    if (!context)
        return CUDA_ERROR_OUT_OF_MEMORY;
    context->ordinal = ordinal;
    context->device = device->engine;
    context->facts = device->facts;
    context->primary = primary;
    context->flags = flags;
    context->api_version = 3020;
    atomic_init(&context->refs, 1);
    pthread_mutex_init(&context->lock, NULL);
    set_limits(context);
    CUresult result = furnish(context);
    if (result != CUDA_SUCCESS) {
        divvy_drv_context_unref(context);
        return result;
    }
    context->handle = divvy_drv_handle_new(DRV_HANDLE_CONTEXT, context);
    pthread_mutex_lock(&list_lock);
    context->id = ++last_id;
    context->next = contexts;
    contexts = context;
    pthread_mutex_unlock(&list_lock);
    *ret_context = context;
    return CUDA_SUCCESS;
}

static void unlist(divvy_drv_context_t *context) {
    pthread_mutex_lock(&list_lock);
    divvy_drv_context_t **link = &contexts;
    while (*link && *link != context)
        link = &(*link)->next;
    if (*link)
        *link = context->next;
    pthread_mutex_unlock(&list_lock);
}

/* Everything that lives in the context goes with it. Whoever still has it current gets
 * CONTEXT_IS_DESTROYED. */
static void destroy(divvy_drv_context_t *context) {
    if (atomic_exchange(&context->destroyed, true))
        return;
    atomic_store(&context->aborting, 1);
    divvy_drv_handle_end(context->handle, DRV_HANDLE_CONTEXT);
    unlist(context);
    divvy_drv_thread_forget(context);
    while (context->streams)
        divvy_drv_stream_free(context->streams);
    divvy_simgpu_context_destroy(context->engine);
    context->engine = NULL;
    divvy_drv_module_free_all(context);
    divvy_drv_mem_free_all(context);
    if (!divvy_drv_context_of_device(context->device))
        divvy_drv_pool_device_gone(context->device);
    divvy_simgpu_mem_charge(context->device, -(int64_t)context->overhead_bytes);
    divvy_drv_context_unref(context);
}

void divvy_drv_context_destroy_all(void) {
    for (;;) {
        pthread_mutex_lock(&list_lock);
        divvy_drv_context_t *context = contexts;
        pthread_mutex_unlock(&list_lock);
        if (!context)
            return;
        destroy(context);
    }
}

/* ---- lookup ---------------------------------------------------------------------------------- */

CUresult divvy_drv_context_error(const divvy_drv_context_t *context) {
    if (__builtin_expect(atomic_load_explicit(&context->destroyed, memory_order_relaxed), 0))
        return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    return (CUresult)divvy_simgpu_context_error(context->engine);
}

CUresult divvy_drv_context_bound(divvy_drv_context_t **ret_context) {
    divvy_drv_context_t *context = divvy_drv_self.current;
    if (!context)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (atomic_load_explicit(&context->destroyed, memory_order_relaxed))
        return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    *ret_context = context;
    return CUDA_SUCCESS;
}

CUresult divvy_drv_context_current(divvy_drv_context_t **ret_context) {
    DRV_TRY(divvy_drv_context_bound(ret_context));
    return divvy_drv_context_error(*ret_context);
}

CUresult divvy_drv_context_find(CUcontext handle, divvy_drv_context_t **ret_context) {
    if (!handle)
        return divvy_drv_context_bound(ret_context);
    divvy_drv_context_t *context = divvy_drv_handle_get(handle, DRV_HANDLE_CONTEXT);
    if (!context)
        return CUDA_ERROR_INVALID_CONTEXT;
    *ret_context = context;
    return CUDA_SUCCESS;
}

bool divvy_drv_context_reaches(const divvy_drv_context_t *context, int device) {
    if (device == context->device)
        return true;
    int ordinal = divvy_drv_device_ordinal(device);
    return ordinal >= 0 &&
           atomic_load_explicit(&context->peers, memory_order_relaxed) >> ordinal & 1;
}

divvy_drv_context_t *divvy_drv_context_of_device(int device) {
    pthread_mutex_lock(&list_lock);
    divvy_drv_context_t *context = contexts;
    while (context && context->device != device)
        context = context->next;
    pthread_mutex_unlock(&list_lock);
    return context;
}

/* The list may change while one of them is waited for, so each round looks for the next larger
 * id. */
CUresult divvy_drv_context_wait_all(int device) {
    uint64_t done = 0;
    for (;;) {
        divvy_drv_context_t *next = NULL;
        pthread_mutex_lock(&list_lock);
        for (divvy_drv_context_t *c = contexts; c; c = c->next)
            if (c->id > done && (!next || c->id < next->id) &&
                (device < 0 || divvy_drv_context_reaches(c, device)))
                next = c;
        if (next)
            divvy_drv_context_ref(next);
        pthread_mutex_unlock(&list_lock);
        if (!next)
            return CUDA_SUCCESS;
        done = next->id;
        int status =
            divvy_simgpu_context_idle(next->engine) ? 0 : divvy_simgpu_context_wait(next->engine);
        divvy_drv_context_unref(next);
        if (status)
            return divvy_drv_result(status);
    }
}

/* ---- contexts -------------------------------------------------------------------------------- */

static bool flags_valid(unsigned flags) {
    unsigned schedule = flags & CU_CTX_SCHED_MASK;
    return !(flags & ~(unsigned)CU_CTX_FLAGS_MASK) &&
           (schedule == CU_CTX_SCHED_AUTO || schedule == CU_CTX_SCHED_SPIN ||
            schedule == CU_CTX_SCHED_YIELD || schedule == CU_CTX_SCHED_BLOCKING_SYNC);
}

CUresult DRV(cuCtxCreate_v2)(CUcontext *pctx, unsigned int flags, CUdevice dev) {
    divvy_drv_context_t *context;
    if (!pctx || !flags_valid(flags))
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(create(dev, flags, false, &context));
    CUresult result = divvy_drv_thread_push(context);
    if (result != CUDA_SUCCESS) {
        destroy(context);
        return result;
    }
    *pctx = context->handle;
    return CUDA_SUCCESS;
}

CUresult DRV(cuCtxCreate)(CUcontext *pctx, unsigned int flags, CUdevice dev) {
    CUresult result = DRV(cuCtxCreate_v2)(pctx, flags, dev);
    if (result == CUDA_SUCCESS)
        divvy_drv_self.current->api_version = 3010;
    return result;
}

CUresult DRV(cuCtxCreate_v3)(CUcontext *pctx, CUexecAffinityParam *paramsArray, int numParams,
                             unsigned int flags, CUdevice dev) {
    if (numParams < 0 || (numParams && !paramsArray))
        return CUDA_ERROR_INVALID_VALUE;
    if (numParams)
        return CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY;
    return DRV(cuCtxCreate_v2)(pctx, flags, dev);
}

CUresult DRV(cuCtxCreate_v4)(CUcontext *pctx, CUctxCreateParams *ctxCreateParams,
                             unsigned int flags, CUdevice dev) {
    if (ctxCreateParams && ctxCreateParams->numExecAffinityParams)
        return CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY;
    if (ctxCreateParams && ctxCreateParams->cigParams)
        return CUDA_ERROR_NOT_SUPPORTED;
    return DRV(cuCtxCreate_v2)(pctx, flags, dev);
}

/* A context that the caller has current is popped, as the driver does; on other threads it
 * stays, destroyed. */
CUresult DRV(cuCtxDestroy_v2)(CUcontext ctx) {
    divvy_drv_context_t *context = divvy_drv_handle_get(ctx, DRV_HANDLE_CONTEXT);
    CUcontext popped;
    if (!ctx)
        return CUDA_ERROR_INVALID_VALUE;
    if (!context || context->primary)
        return CUDA_ERROR_INVALID_CONTEXT;
    divvy_drv_context_ref(context);
    if (divvy_drv_self.current == context)
        divvy_drv_thread_pop(&popped);
    destroy(context);
    divvy_drv_context_unref(context);
    return CUDA_SUCCESS;
}

CUresult DRV(cuCtxDestroy)(CUcontext ctx) {
    return DRV(cuCtxDestroy_v2)(ctx);
}

CUresult DRV(cuCtxAttach)(CUcontext *pctx, unsigned int flags) {
    divvy_drv_context_t *context;
    if (!pctx || flags)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_context_current(&context));
    pthread_mutex_lock(&context->lock);
    context->attached++;
    pthread_mutex_unlock(&context->lock);
    *pctx = context->handle;
    return CUDA_SUCCESS;
}

CUresult DRV(cuCtxDetach)(CUcontext ctx) {
    divvy_drv_context_t *context = divvy_drv_handle_get(ctx, DRV_HANDLE_CONTEXT);
    if (!context || context != divvy_drv_self.current)
        return CUDA_ERROR_INVALID_CONTEXT;
    pthread_mutex_lock(&context->lock);
    bool last = !context->attached;
    if (!last)
        context->attached--;
    pthread_mutex_unlock(&context->lock);
    return last ? DRV(cuCtxDestroy_v2)(ctx) : CUDA_SUCCESS;
}

/* ---- the stack ------------------------------------------------------------------------------- */

CUresult DRV(cuCtxPushCurrent_v2)(CUcontext ctx) {
    divvy_drv_context_t *context = divvy_drv_handle_get(ctx, DRV_HANDLE_CONTEXT);
    if (!ctx)
        return CUDA_ERROR_INVALID_VALUE;
    return context ? divvy_drv_thread_push(context) : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult DRV(cuCtxPushCurrent)(CUcontext ctx) {
    return DRV(cuCtxPushCurrent_v2)(ctx);
}

CUresult DRV(cuCtxPopCurrent_v2)(CUcontext *pctx) {
    CUcontext popped;
    DRV_TRY(divvy_drv_thread_pop(&popped));
    if (pctx)
        *pctx = popped;
    return CUDA_SUCCESS;
}

CUresult DRV(cuCtxPopCurrent)(CUcontext *pctx) {
    return DRV(cuCtxPopCurrent_v2)(pctx);
}

CUresult DRV(cuCtxSetCurrent)(CUcontext ctx) {
    if (!ctx)
        return divvy_drv_thread_set(NULL);
    divvy_drv_context_t *context = divvy_drv_handle_get(ctx, DRV_HANDLE_CONTEXT);
    return context ? divvy_drv_thread_set(context) : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult DRV(cuCtxGetCurrent)(CUcontext *pctx) {
    if (!pctx)
        return CUDA_ERROR_INVALID_VALUE;
    divvy_drv_context_t *context = divvy_drv_self.current;
    *pctx = context ? context->handle : NULL;
    return CUDA_SUCCESS;
}

/* ---- primary contexts ------------------------------------------------------------------------ */

CUresult DRV(cuDevicePrimaryCtxRetain)(CUcontext *pctx, CUdevice dev) {
    divvy_drv_device_t *device;
    CUresult result = CUDA_SUCCESS;
    if (!pctx)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_device_find(dev, &device));
    pthread_mutex_lock(&primary_lock);
    if (!device->primary)
        result = create(dev, device->primary_flags, true, &device->primary);
    if (result == CUDA_SUCCESS) {
        device->primary_refs++;
        *pctx = device->primary->handle;
    }
    pthread_mutex_unlock(&primary_lock);
    return result;
}

CUresult DRV(cuDevicePrimaryCtxRelease_v2)(CUdevice dev) {
    divvy_drv_device_t *device;
    DRV_TRY(divvy_drv_device_find(dev, &device));
    pthread_mutex_lock(&primary_lock);
    CUresult result = device->primary_refs ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
    if (device->primary_refs && !--device->primary_refs && device->primary) {
        destroy(device->primary);
        device->primary = NULL;
    }
    pthread_mutex_unlock(&primary_lock);
    return result;
}

CUresult DRV(cuDevicePrimaryCtxRelease)(CUdevice dev) {
    return DRV(cuDevicePrimaryCtxRelease_v2)(dev);
}

/* The references stay, so that whoever holds one may release it; the next retain makes a new
 * context. */
CUresult DRV(cuDevicePrimaryCtxReset_v2)(CUdevice dev) {
    divvy_drv_device_t *device;
    DRV_TRY(divvy_drv_device_find(dev, &device));
    pthread_mutex_lock(&primary_lock);
    if (device->primary)
        destroy(device->primary);
    device->primary = NULL;
    device->primary_flags = 0;
    pthread_mutex_unlock(&primary_lock);
    return CUDA_SUCCESS;
}

CUresult DRV(cuDevicePrimaryCtxReset)(CUdevice dev) {
    return DRV(cuDevicePrimaryCtxReset_v2)(dev);
}

CUresult DRV(cuDevicePrimaryCtxGetState)(CUdevice dev, unsigned int *flags, int *active) {
    divvy_drv_device_t *device;
    if (!flags || !active)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_device_find(dev, &device));
    pthread_mutex_lock(&primary_lock);
    *flags = device->primary ? device->primary->flags : device->primary_flags;
    *active = device->primary != NULL;
    pthread_mutex_unlock(&primary_lock);
    return CUDA_SUCCESS;
}

CUresult DRV(cuDevicePrimaryCtxSetFlags_v2)(CUdevice dev, unsigned int flags) {
    divvy_drv_device_t *device;
    if (!flags_valid(flags))
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(divvy_drv_device_find(dev, &device));
    pthread_mutex_lock(&primary_lock);
    device->primary_flags = flags;
    if (device->primary)
        device->primary->flags = flags;
    pthread_mutex_unlock(&primary_lock);
    return CUDA_SUCCESS;
}

/* Before CUDA 11 the flags of an active context could not be changed. */
CUresult DRV(cuDevicePrimaryCtxSetFlags)(CUdevice dev, unsigned int flags) {
    divvy_drv_device_t *device;
    DRV_TRY(divvy_drv_device_find(dev, &device));
    pthread_mutex_lock(&primary_lock);
    bool active = device->primary != NULL;
    pthread_mutex_unlock(&primary_lock);
    return active ? CUDA_ERROR_PRIMARY_CONTEXT_ACTIVE
                  : DRV(cuDevicePrimaryCtxSetFlags_v2)(dev, flags);
}
