/*
 * Contexts and their events. Each context has a pool of events, made as needed, and a time of its own: nanoseconds since a
 * base event. The driver tells times between events as float milliseconds, so the base moves along every second or two,
 * and differences stay good to a fraction of a microsecond.
 */
#include "limiter/compute/state.h"
#include "limiter/hook/process.h"
#include "limiter/hook/real.h"

#include <string.h>

#define BASE_START_NS (UINT64_C(1) << 40) /* so that an event before the first base has a positive time */
#define BASE_AGE_NS   UINT64_C(2000000000)

static divvy_lock_t table_lock;

void divvy_compute_contexts_reset(void) {
    divvy_lock_reset(&table_lock);
    for (unsigned i = 0; i < DIVVY_COMPUTE_CONTEXTS; i++) {
        if (divvy_compute_contexts[i].generation == 0)
            continue;
        memset(&divvy_compute_contexts[i], 0, sizeof(divvy_compute_contexts[i]));
    }
}

CUstreamCaptureMode divvy_compute_relax(void) {
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;

    if (!__atomic_load_n(&divvy_compute_gate.capturing, __ATOMIC_RELAXED) ||
        divvy_real.cuThreadExchangeStreamCaptureMode(&mode) != CUDA_SUCCESS)
        return CU_STREAM_CAPTURE_MODE_RELAXED;
    return mode;
}

void divvy_compute_unrelax(CUstreamCaptureMode mode) {
    if (mode != CU_STREAM_CAPTURE_MODE_RELAXED)
        (void)divvy_real.cuThreadExchangeStreamCaptureMode(&mode);
}

static struct divvy_compute_context *context_search(CUcontext handle) {
    for (unsigned i = 0; i < DIVVY_COMPUTE_CONTEXTS; i++)
        if (__atomic_load_n(&divvy_compute_contexts[i].handle, __ATOMIC_ACQUIRE) == handle)
            return &divvy_compute_contexts[i];
    return NULL;
}

static uint8_t context_device(void) {
    CUdevice ordinal;
    int device;

    if (divvy_real.cuCtxGetDevice(&ordinal) != CUDA_SUCCESS)
        return 255;
    device = divvy_process_page_device(ordinal);
    return device < 0 || (unsigned)device >= DIVVY_PAGE_DEVICES ? 255 : (uint8_t)device;
}

uint16_t divvy_compute_context_find(CUcontext handle, uint8_t *ret_device) {
    struct divvy_compute_context *context = context_search(handle);

    if (!context) {
        uint8_t device = context_device();

        divvy_lock_take(&table_lock);
        context = context_search(handle);
        if (!context)
            context = context_search(NULL);
        if (context && !context->handle) {
            context->device = device;
            context->base = DIVVY_COMPUTE_NONE;
            context->event_count = context->free_count = 0;
            memset(&context->busy, 0, sizeof(context->busy));
            __atomic_add_fetch(&context->generation, 1, __ATOMIC_RELAXED);
            __atomic_store_n(&context->handle, handle, __ATOMIC_RELEASE);
        }
        divvy_lock_give(&table_lock);
        if (!context) {
            *ret_device = device;
            return DIVVY_COMPUTE_NONE;
        }
    }
    *ret_device = context->device;
    return (uint16_t)(context - divvy_compute_contexts);
}

struct divvy_compute_context *divvy_compute_context_get(uint16_t index, uint32_t generation) {
    struct divvy_compute_context *context;

    if (index >= DIVVY_COMPUTE_CONTEXTS)
        return NULL;
    context = &divvy_compute_contexts[index];
    return __atomic_load_n(&context->generation, __ATOMIC_RELAXED) == generation &&
                   __atomic_load_n(&context->handle, __ATOMIC_RELAXED)
               ? context
               : NULL;
}

void divvy_compute_context_drop(struct divvy_compute_context *context) {
    uint16_t count;

    __atomic_add_fetch(&context->generation, 1, __ATOMIC_RELAXED);
    divvy_lock_take(&context->lock);
    count = context->event_count;
    context->event_count = context->free_count = 0;
    divvy_lock_give(&context->lock);
    for (uint16_t i = 0; i < count; i++)
        (void)divvy_real.cuEventDestroy_v2(context->events[i].handle);
    __atomic_store_n(&context->handle, NULL, __ATOMIC_RELEASE);
}

/* One more event for the pool, taken; the context is current. */
static uint16_t event_make(struct divvy_compute_context *context) {
    uint16_t event = DIVVY_COMPUTE_NONE;
    CUevent handle;

    if (divvy_real.cuEventCreate(&handle, CU_EVENT_DEFAULT) != CUDA_SUCCESS)
        return DIVVY_COMPUTE_NONE;
    divvy_lock_take(&context->lock);
    if (context->event_count < DIVVY_COMPUTE_EVENTS) {
        event = context->event_count++;
        context->events[event].handle = handle;
    }
    divvy_lock_give(&context->lock);
    if (event == DIVVY_COMPUTE_NONE)
        (void)divvy_real.cuEventDestroy_v2(handle);
    return event;
}

static uint16_t event_take(struct divvy_compute_context *context) {
    uint16_t event = DIVVY_COMPUTE_NONE;
    bool full;

    divvy_lock_take(&context->lock);
    full = context->event_count == DIVVY_COMPUTE_EVENTS;
    if (context->free_count)
        event = context->free[--context->free_count];
    divvy_lock_give(&context->lock);
    if (event == DIVVY_COMPUTE_NONE && !full)
        event = event_make(context);
    if (event == DIVVY_COMPUTE_NONE)
        return event;
    context->events[event].references = 1;
    __atomic_store_n(&context->events[event].known, 0, __ATOMIC_RELAXED);
    return event;
}

uint16_t divvy_compute_event_record(struct divvy_compute_context *context, CUstream stream) {
    uint16_t event = event_take(context);

    if (event == DIVVY_COMPUTE_NONE)
        return event;
    if (divvy_real.cuEventRecord(context->events[event].handle, stream) != CUDA_SUCCESS) {
        divvy_compute_event_release(context, event);
        return DIVVY_COMPUTE_NONE;
    }
    divvy_lock_take(&context->lock);
    if (context->base == DIVVY_COMPUTE_NONE) {
        context->events[event].references++;
        context->events[event].time_ns = BASE_START_NS;
        __atomic_store_n(&context->base, event, __ATOMIC_RELEASE);
    }
    divvy_lock_give(&context->lock);
    return event;
}

void divvy_compute_event_hold(struct divvy_compute_context *context, uint16_t event) {
    divvy_lock_take(&context->lock);
    context->events[event].references++;
    divvy_lock_give(&context->lock);
}

void divvy_compute_event_release(struct divvy_compute_context *context, uint16_t event) {
    if (event == DIVVY_COMPUTE_NONE)
        return;
    divvy_lock_take(&context->lock);
    if (event < context->event_count && --context->events[event].references == 0)
        context->free[context->free_count++] = event;
    divvy_lock_give(&context->lock);
}

int divvy_compute_event_passed(struct divvy_compute_context *context, uint16_t event) {
    CUresult result;

    if (__atomic_load_n(&context->events[event].known, __ATOMIC_ACQUIRE))
        return 1;
    result = divvy_real.cuEventQuery(context->events[event].handle);
    if (result == CUDA_SUCCESS)
        return 1;
    return result == CUDA_ERROR_NOT_READY ? 0 : -1;
}

/* The event becomes the base that others are measured from. Its time is known. */
static void event_rebase(struct divvy_compute_context *context, uint16_t event) {
    uint16_t old;

    divvy_lock_take(&context->lock);
    old = context->base;
    __atomic_store_n(&context->base, event, __ATOMIC_RELEASE);
    context->events[event].references++;
    divvy_lock_give(&context->lock);
    divvy_compute_event_release(context, old);
}

int divvy_compute_event_time(struct divvy_compute_context *context, uint16_t event, uint64_t *ret_ns) {
    struct divvy_compute_event *entry = &context->events[event];
    uint16_t base = __atomic_load_n(&context->base, __ATOMIC_ACQUIRE);
    uint64_t base_ns = context->events[base].time_ns;
    CUresult result;
    float elapsed_ms;

    if (!__atomic_load_n(&entry->known, __ATOMIC_ACQUIRE)) {
        if (event == base) {
            int passed = divvy_compute_event_passed(context, event);

            if (passed <= 0)
                return passed;
        } else {
            result = divvy_real.cuEventElapsedTime(&elapsed_ms, context->events[base].handle, entry->handle);
            if (result != CUDA_SUCCESS)
                return result == CUDA_ERROR_NOT_READY ? 0 : -1;
            entry->time_ns = base_ns + (uint64_t)(int64_t)((double)elapsed_ms * 1e6);
        }
        __atomic_store_n(&entry->known, 1, __ATOMIC_RELEASE);
    }
    *ret_ns = entry->time_ns;
    if (entry->time_ns > base_ns + BASE_AGE_NS)
        event_rebase(context, event);
    return 1;
}
