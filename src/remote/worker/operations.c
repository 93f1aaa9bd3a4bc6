/* What each operation of the table does: arguments from the frame, one call of the driver, results into the answer. */
#include "core/checked.h"
#include "remote/worker/job.h"
#include "remote/worker/session.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define DRIVER(call, ...) ((int32_t)session->driver->call(__VA_ARGS__))

#define OPERATION(name)                                                                            \
    static int32_t run_##name(struct divvy_worker_session *session,                                \
                              struct divvy_worker_request *request)
#define IN(name) const struct divvy_wire_##name##_in *in = (const void *)request->in
#define OUT(name) struct divvy_wire_##name##_out *out = (void *)request->out

#define INVALID_VALUE  ((int32_t)CUDA_ERROR_INVALID_VALUE)
#define INVALID_HANDLE ((int32_t)CUDA_ERROR_INVALID_HANDLE)
#define OUT_OF_MEMORY  ((int32_t)CUDA_ERROR_OUT_OF_MEMORY)

#define LONG_BYTES    65536u /* copies for which memory is pinned */
#define JIT_LOG_BYTES 3072u /* with its word within the shortest payload */
#define NAME_BYTES    1024u /* longest name of a function or variable; C++ makes long ones */

/* A failed answer's text. */
static int32_t explain(struct divvy_worker_request *request, int32_t status, const char *text) {
    request->out_length = (uint32_t)strlen(text);
    memcpy(request->out_bytes, text, request->out_length);
    return status;
}

static bool fits_int(uint64_t word) {
    return word <= INT_MAX;
}

static bool fits_unsigned(uint64_t word) {
    return word <= UINT_MAX;
}

/* --- no GPU in it ---------------------------------------------------------------------------------------- */

OPERATION(ping) {
    (void)session;
    memcpy(request->out_bytes, request->bytes, request->bytes_length);
    request->out_length = request->bytes_length;
    return 0;
}

OPERATION(job) {
    size_t length = 0;
    char *answer = divvy_worker_job_answer(session->vector, session->current, request->bytes,
                                           request->bytes_length, &length);

    if (answer && length > session->payload_bytes) {
        free(answer);
        answer = divvy_worker_job_refuse(DIVVY_WIRE_CODE_TOO_LARGE,
                                         "the answer is longer than a frame may be", &length);
    }
    if (!answer)
        return OUT_OF_MEMORY;
    memcpy(request->out_bytes, answer, length);
    request->out_length = (uint32_t)length;
    free(answer);
    return 0;
}

/* What was asked for is done, well or not: an error of it is the client's to learn, by its own requests. */
OPERATION(drain) {
    bool has_left = false;

    (void)request;
    if (session->current)
        (void)DRIVER(cuCtxSynchronize);
    for (uint32_t i = 0; i < session->handles.count; i++) {
        const struct divvy_worker_handle *handle = &session->handles.slots[i];

        if (handle->kind != DIVVY_WORKER_CONTEXT || handle->object == session->current)
            continue;
        has_left = true;
        if (DRIVER(cuCtxSetCurrent, handle->object) == 0)
            (void)DRIVER(cuCtxSynchronize);
    }
    return has_left ? DRIVER(cuCtxSetCurrent, session->current) : 0;
}

/* --- devices --------------------------------------------------------------------------------------------- */

OPERATION(driver_version) {
    OUT(driver_version);
    int version = 0;
    int32_t status = DRIVER(cuDriverGetVersion, &version);

    out->value = (uint64_t)version;
    return status;
}

OPERATION(device_count) {
    OUT(device_count);
    int count = 0;
    int32_t status = DRIVER(cuDeviceGetCount, &count);

    out->count = (uint64_t)count;
    return status;
}

static int32_t device_find(const struct divvy_worker_session *session, uint64_t ordinal, CUdevice *ret_device) {
    return fits_int(ordinal) ? DRIVER(cuDeviceGet, ret_device, (int)ordinal) : (int32_t)CUDA_ERROR_INVALID_DEVICE;
}

OPERATION(device_info) {
    IN(device_info);
    OUT(device_info);
    char name[256] = "";
    CUdevice device;
    CUuuid uuid;
    size_t total = 0;
    int32_t status = device_find(session, in->ordinal, &device);

    if (status == 0)
        status = DRIVER(cuDeviceGetUuid, &uuid, device);
    if (status == 0)
        status = DRIVER(cuDeviceTotalMem_v2, &total, device);
    if (status == 0)
        status = DRIVER(cuDeviceGetName, name, (int)sizeof name - 1, device);
    if (status != 0)
        return status;
    _Static_assert(sizeof uuid == 2 * sizeof out->uuid_low, "a UUID is two words");
    memcpy(&out->uuid_low, &uuid, sizeof out->uuid_low);
    memcpy(&out->uuid_high, (const char *)&uuid + sizeof out->uuid_low, sizeof out->uuid_high);
    out->memory_bytes = total;
    return explain(request, 0, name);
}

OPERATION(device_attribute) {
    IN(device_attribute);
    OUT(device_attribute);
    CUdevice device;
    int value = 0;
    int32_t status = device_find(session, in->object, &device);

    if (status == 0)
        status = fits_int(in->attribute)
                     ? DRIVER(cuDeviceGetAttribute, &value, (CUdevice_attribute)in->attribute, device)
                     : INVALID_VALUE;
    out->value = (uint64_t)(int64_t)value;
    return status;
}

/* --- contexts -------------------------------------------------------------------------------------------- */

static int32_t context_take(struct divvy_worker_session *session, CUcontext context, int32_t device,
                            uint64_t *ret_number) {
    if (divvy_worker_handle_add(&session->handles, DIVVY_WORKER_CONTEXT, context, 0, ret_number) < 0)
        return OUT_OF_MEMORY;
    divvy_worker_handle_find(&session->handles, DIVVY_WORKER_CONTEXT, *ret_number)->device = device;
    session->current = context;
    session->current_number = *ret_number;
    return 0;
}

OPERATION(context_create) {
    IN(context_create);
    OUT(context_create);
    CUcontext context;
    CUdevice device;
    int32_t status = device_find(session, in->ordinal, &device);

    if (status == 0)
        status = fits_unsigned(in->flags) ? DRIVER(cuCtxCreate_v2, &context, (unsigned int)in->flags, device)
                                          : INVALID_VALUE;
    if (status != 0)
        return status;
    status = context_take(session, context, -1, &out->handle);
    if (status != 0)
        (void)DRIVER(cuCtxDestroy_v2, context);
    return status;
}

OPERATION(context_primary) {
    IN(context_primary);
    OUT(context_primary);
    CUcontext context;
    CUdevice device;
    int32_t status = device_find(session, in->ordinal, &device);

    if (status == 0)
        status = DRIVER(cuDevicePrimaryCtxRetain, &context, device);
    if (status != 0)
        return status;
    status = DRIVER(cuCtxSetCurrent, context);
    if (status == 0)
        status = context_take(session, context, device, &out->handle);
    if (status != 0) {
        (void)DRIVER(cuDevicePrimaryCtxRelease_v2, device);
        return status;
    }
    session->primaries++;
    session->primary_device = device;
    return 0;
}

OPERATION(context_use) {
    IN(context_use);
    const struct divvy_worker_handle *found =
        divvy_worker_handle_find(&session->handles, DIVVY_WORKER_CONTEXT, in->handle);
    int32_t status = in->handle == 0 || found ? DRIVER(cuCtxSetCurrent, found ? found->object : NULL)
                                              : (int32_t)CUDA_ERROR_INVALID_CONTEXT;

    if (status == 0) {
        session->current = found ? found->object : NULL;
        session->current_number = in->handle;
    }
    return status;
}

OPERATION(context_destroy) {
    IN(context_destroy);
    const struct divvy_worker_handle *found =
        divvy_worker_handle_find(&session->handles, DIVVY_WORKER_CONTEXT, in->handle);
    int32_t status;

    if (!found)
        return (int32_t)CUDA_ERROR_INVALID_CONTEXT;
    status = found->device >= 0 ? DRIVER(cuDevicePrimaryCtxRelease_v2, found->device)
                                : DRIVER(cuCtxDestroy_v2, found->object);
    if (status != 0)
        return status;
    session->primaries -= found->device >= 0;
    divvy_worker_handle_remove(&session->handles, in->handle);
    if (session->current_number == in->handle) {
        session->current = NULL;
        session->current_number = 0;
        (void)DRIVER(cuCtxSetCurrent, NULL);
    }
    return 0;
}

OPERATION(context_sync) {
    (void)request;
    return DRIVER(cuCtxSynchronize);
}

/* --- memory ---------------------------------------------------------------------------------------------- */

OPERATION(memory_allocate) {
    IN(memory_allocate);
    OUT(memory_allocate);
    CUdeviceptr address = 0;
    int32_t status = DRIVER(cuMemAlloc_v2, &address, in->size_bytes);

    out->address = address;
    return status;
}

OPERATION(memory_free) {
    IN(memory_free);
    return DRIVER(cuMemFree_v2, in->address);
}

OPERATION(memory_info) {
    OUT(memory_info);
    size_t free_bytes = 0, total_bytes = 0;
    int32_t status = DRIVER(cuMemGetInfo_v2, &free_bytes, &total_bytes);

    out->free_bytes = free_bytes;
    out->total_bytes = total_bytes;
    return status;
}

/* Whether `number` is a stream, which *ret_stream then is; 0 is the default stream. */
static bool stream_find(struct divvy_worker_session *session, uint64_t number, CUstream *ret_stream) {
    const struct divvy_worker_handle *found = NULL;

    *ret_stream = NULL;
    if (number == 0)
        return true;
    found = divvy_worker_handle_find(&session->handles, DIVVY_WORKER_STREAM, number);
    if (found)
        *ret_stream = found->object;
    return found;
}

/* The driver's event, or NULL. */
static CUevent event_find(struct divvy_worker_session *session, uint64_t number) {
    const struct divvy_worker_handle *found =
        divvy_worker_handle_find(&session->handles, DIVVY_WORKER_EVENT, number);

    return found ? found->object : NULL;
}

/* The frame's memory is used again: plain memory has been copied when the driver returns, pinned memory is kept until then. */
OPERATION(copy_in) {
    IN(copy_in);
    CUstream stream;
    int32_t status;

    if (!stream_find(session, in->stream, &stream))
        return INVALID_HANDLE;
    if (request->bytes_length == 0)
        return 0;
    session->wants_pinned = session->wants_pinned || request->bytes_length >= LONG_BYTES;
    status = DRIVER(cuMemcpyHtoDAsync_v2, in->to, request->bytes, request->bytes_length, stream);
    return status ? status : divvy_worker_staging_copied(&session->staging, request->bytes, stream, session->current);
}

OPERATION(copy_out) {
    IN(copy_out);
    CUstream stream;
    int32_t status;

    if (in->size_bytes > session->payload_bytes)
        return INVALID_VALUE;
    if (!stream_find(session, in->stream, &stream))
        return INVALID_HANDLE;
    if (in->size_bytes == 0)
        return 0;
    session->wants_pinned = session->wants_pinned || in->size_bytes >= LONG_BYTES;
    status = DRIVER(cuMemcpyDtoHAsync_v2, request->out_bytes, in->from, in->size_bytes, stream);
    if (status == 0)
        status = DRIVER(cuStreamSynchronize, stream);
    if (status == 0)
        request->out_length = (uint32_t)in->size_bytes;
    return status;
}

OPERATION(copy_within) {
    IN(copy_within);
    CUstream stream;

    return stream_find(session, in->stream, &stream)
               ? DRIVER(cuMemcpyDtoDAsync_v2, in->to, in->from, in->size_bytes, stream)
               : INVALID_HANDLE;
}

OPERATION(fill) {
    IN(fill);
    CUstream stream;

    if (!stream_find(session, in->stream, &stream))
        return INVALID_HANDLE;
    switch (in->unit_bytes) {
    case 1:
        return DRIVER(cuMemsetD8Async, in->to, (unsigned char)in->value, in->count, stream);
    case 2:
        return DRIVER(cuMemsetD16Async, in->to, (unsigned short)in->value, in->count, stream);
    case 4:
        return DRIVER(cuMemsetD32Async, in->to, (unsigned int)in->value, in->count, stream);
    default:
        return INVALID_VALUE;
    }
}

/* --- modules --------------------------------------------------------------------------------------------- */

static void image_drop(struct divvy_worker_session *session) {
    free(session->image);
    session->image = NULL;
    session->image_bytes = session->image_have = 0;
}

/* The memory grows with what has come, not with what was announced. */
OPERATION(image) {
    IN(image);
    uint64_t end;
    char *grown;

    if (in->offset_bytes == 0)
        image_drop(session);
    if (in->size_bytes == 0 || in->size_bytes > DIVVY_WIRE_IMAGE_BYTES_MAX || in->offset_bytes != session->image_have ||
        (in->offset_bytes != 0 && in->size_bytes != session->image_bytes) ||
        divvy_core_u64_add(in->offset_bytes, request->bytes_length, &end) < 0 || end > in->size_bytes)
        return INVALID_VALUE;
    grown = realloc(session->image, end + 1);
    if (!grown)
        return OUT_OF_MEMORY;
    session->image = grown;
    session->image_bytes = in->size_bytes;
    memcpy(grown + in->offset_bytes, request->bytes, request->bytes_length);
    session->image_have = end;
    /* PTX is text that ends in NUL, whether the client sent it or not. */
    grown[end] = '\0';
    return 0;
}

OPERATION(module_load) {
    OUT(module_load);
    char log[JIT_LOG_BYTES] = "";
    CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void *values[] = {log, (void *)(uintptr_t)(sizeof log - 1)};
    CUmodule module;
    int32_t status;

    if (session->image_have == 0 || session->image_have != session->image_bytes)
        return explain(request, DIVVY_WIRE_STATUS_SEQUENCE, "the image is not complete");
    status = DRIVER(cuModuleLoadDataEx, &module, session->image, 2, options, values);
    image_drop(session);
    log[sizeof log - 1] = '\0';
    if (status == 0 && divvy_worker_handle_add(&session->handles, DIVVY_WORKER_MODULE, module, session->current_number,
                                               &out->handle) < 0) {
        (void)DRIVER(cuModuleUnload, module);
        status = OUT_OF_MEMORY;
    }
    return explain(request, status, log);
}

OPERATION(module_unload) {
    IN(module_unload);
    const struct divvy_worker_handle *found =
        divvy_worker_handle_find(&session->handles, DIVVY_WORKER_MODULE, in->handle);
    int32_t status = found ? DRIVER(cuModuleUnload, found->object) : INVALID_HANDLE;

    if (status == 0)
        divvy_worker_handle_remove(&session->handles, in->handle);
    return status;
}

/* The bytes of a request as a name. */
static int32_t name_take(const struct divvy_worker_request *request, char ret_name[NAME_BYTES]) {
    if (request->bytes_length == 0 || request->bytes_length >= NAME_BYTES ||
        memchr(request->bytes, '\0', request->bytes_length))
        return INVALID_VALUE;
    memcpy(ret_name, request->bytes, request->bytes_length);
    ret_name[request->bytes_length] = '\0';
    return 0;
}

/* Asks the driver how the parameters lie; never guesses. malloc'ed. */
static int32_t layout_read(const struct divvy_worker_session *session, CUfunction function,
                           struct divvy_worker_layout **ret_layout) {
    struct divvy_worker_layout *layout = NULL;
    size_t offset, size;
    uint32_t count = 0;

    if (!session->driver->cuFuncGetParamInfo)
        return DIVVY_WIRE_STATUS_UNSUPPORTED;
    while (count < DIVVY_WORKER_PARAMETERS_MAX &&
           DRIVER(cuFuncGetParamInfo, function, count, &offset, &size) == 0)
        count++;
    layout = calloc(1, sizeof *layout + count * sizeof layout->parameters[0]);
    if (!layout)
        return OUT_OF_MEMORY;
    layout->count = count;
    for (uint32_t i = 0; i < count; i++) {
        int32_t status = DRIVER(cuFuncGetParamInfo, function, i, &offset, &size);

        if (status != 0 || offset + size > UINT16_MAX) {
            free(layout);
            return status != 0 ? status : DIVVY_WIRE_STATUS_UNSUPPORTED;
        }
        layout->parameters[i].offset = (uint32_t)offset;
        layout->parameters[i].size = (uint32_t)size;
        if (offset + size > layout->bytes)
            layout->bytes = (uint32_t)(offset + size);
    }
    *ret_layout = layout;
    return 0;
}

OPERATION(function_get) {
    IN(function_get);
    OUT(function_get);
    const struct divvy_worker_handle *module =
        divvy_worker_handle_find(&session->handles, DIVVY_WORKER_MODULE, in->handle);
    struct divvy_worker_layout *layout = NULL;
    char name[NAME_BYTES];
    CUfunction function;
    int32_t status = module ? name_take(request, name) : INVALID_HANDLE;

    if (status == 0)
        status = DRIVER(cuModuleGetFunction, &function, module->object, name);
    if (status != 0)
        return status;
    status = layout_read(session, function, &layout);
    if (status == DIVVY_WIRE_STATUS_UNSUPPORTED)
        return explain(request, status, "the driver does not tell how parameters lie (CUDA 12.4 does)");
    if (status != 0)
        return status;
    if (layout->count * sizeof layout->parameters[0] > session->payload_bytes - 3 * sizeof(uint64_t) ||
        divvy_worker_handle_add(&session->handles, DIVVY_WORKER_FUNCTION, function, in->handle, &out->handle) < 0) {
        free(layout);
        return OUT_OF_MEMORY;
    }
    divvy_worker_handle_find(&session->handles, DIVVY_WORKER_FUNCTION, out->handle)->layout = layout;
    out->parameters_bytes = layout->bytes;
    out->parameter_count = layout->count;
    request->out_length = layout->count * (uint32_t)sizeof layout->parameters[0];
    memcpy(request->out_bytes, layout->parameters, request->out_length);
    return 0;
}

OPERATION(function_attribute) {
    IN(function_attribute);
    OUT(function_attribute);
    const struct divvy_worker_handle *found =
        divvy_worker_handle_find(&session->handles, DIVVY_WORKER_FUNCTION, in->object);
    int value = 0;
    int32_t status = INVALID_HANDLE;

    if (found)
        status = fits_int(in->attribute)
                     ? DRIVER(cuFuncGetAttribute, &value, (CUfunction_attribute)in->attribute, found->object)
                     : INVALID_VALUE;
    out->value = (uint64_t)(int64_t)value;
    return status;
}

OPERATION(global_get) {
    IN(global_get);
    OUT(global_get);
    const struct divvy_worker_handle *module =
        divvy_worker_handle_find(&session->handles, DIVVY_WORKER_MODULE, in->handle);
    char name[NAME_BYTES];
    CUdeviceptr address = 0;
    size_t size = 0;
    int32_t status = module ? name_take(request, name) : INVALID_HANDLE;

    if (status == 0)
        status = DRIVER(cuModuleGetGlobal_v2, &address, &size, module->object, name);
    out->address = address;
    out->size_bytes = size;
    return status;
}

/* --- launches -------------------------------------------------------------------------------------------- */

struct launch {
    CUfunction function;
    CUstream stream;
    const struct divvy_worker_layout *layout;
};

/* What every launch begins with. `bytes_length` of parameters came. */
static int32_t launch_check(struct divvy_worker_session *session, const struct divvy_wire_launch_in *in, uint32_t bytes_length,
                            struct launch *ret_launch) {
    const struct divvy_worker_handle *found =
        divvy_worker_handle_find(&session->handles, DIVVY_WORKER_FUNCTION, in->function);

    if (!found || !stream_find(session, in->stream, &ret_launch->stream))
        return INVALID_HANDLE;
    if (bytes_length != found->layout->bytes || !fits_unsigned(in->grid_x) || !fits_unsigned(in->grid_y) ||
        !fits_unsigned(in->grid_z) || !fits_unsigned(in->block_x) || !fits_unsigned(in->block_y) ||
        !fits_unsigned(in->block_z) || !fits_unsigned(in->shared_bytes))
        return INVALID_VALUE;
    ret_launch->function = found->object;
    ret_launch->layout = found->layout;
    return 0;
}

/* Where each parameter lies; one pointer more, which is NULL. */
static void parameters_point(const struct divvy_worker_layout *layout, const char *bytes, void **ret_parameters) {
    for (uint32_t i = 0; i < layout->count; i++)
        ret_parameters[i] = (char *)(uintptr_t)bytes + layout->parameters[i].offset;
    ret_parameters[layout->count] = NULL;
}

OPERATION(launch) {
    IN(launch);
    struct launch launch;
    int32_t status = launch_check(session, in, request->bytes_length, &launch);

    if (status != 0)
        return status;

    void *parameters[launch.layout->count + 1];

    parameters_point(launch.layout, request->bytes, parameters);
    return DRIVER(cuLaunchKernel, launch.function, (unsigned int)in->grid_x, (unsigned int)in->grid_y,
                  (unsigned int)in->grid_z, (unsigned int)in->block_x, (unsigned int)in->block_y,
                  (unsigned int)in->block_z, (unsigned int)in->shared_bytes, launch.stream, parameters, NULL);
}

/* What an attribute's value is. Those that are not here, or are later than these, answer 801: what they point to is not known. */
enum { ATTRIBUTE_NUMBERS = 1, ATTRIBUTE_EVENT };

static const uint8_t attribute_values[CU_LAUNCH_ATTRIBUTE_MAX] = {
    [CU_LAUNCH_ATTRIBUTE_IGNORE] = ATTRIBUTE_NUMBERS,
    [CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW] = ATTRIBUTE_NUMBERS,
    [CU_LAUNCH_ATTRIBUTE_COOPERATIVE] = ATTRIBUTE_NUMBERS,
    [CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY] = ATTRIBUTE_NUMBERS,
    [CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION] = ATTRIBUTE_NUMBERS,
    [CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE] = ATTRIBUTE_NUMBERS,
    [CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION] = ATTRIBUTE_NUMBERS,
    [CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT] = ATTRIBUTE_EVENT,
    [CU_LAUNCH_ATTRIBUTE_PRIORITY] = ATTRIBUTE_NUMBERS,
    [CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP] = ATTRIBUTE_NUMBERS,
    [CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN] = ATTRIBUTE_NUMBERS,
    [CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION] = ATTRIBUTE_NUMBERS,
    [CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT] = ATTRIBUTE_EVENT,
    [CU_LAUNCH_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT] = ATTRIBUTE_NUMBERS,
    [CU_LAUNCH_ATTRIBUTE_NVLINK_UTIL_CENTRIC_SCHEDULING] = ATTRIBUTE_NUMBERS,
};

/* An attribute as it came, for the driver: the client's handle of an event becomes the driver's. */
static int32_t attribute_take(struct divvy_worker_session *session, CUlaunchAttribute *attribute) {
    uint32_t id;
    uint64_t number;
    CUevent event;

    memcpy(&id, &attribute->id, sizeof id);
    if (id >= CU_LAUNCH_ATTRIBUTE_MAX || !attribute_values[id])
        return DIVVY_WIRE_STATUS_UNSUPPORTED;
    if (attribute_values[id] != ATTRIBUTE_EVENT)
        return 0;
    _Static_assert(offsetof(CUlaunchAttributeValue, programmaticEvent.event) == 0, "a handle comes first");
    _Static_assert(offsetof(CUlaunchAttributeValue, launchCompletionEvent.event) == 0, "a handle comes first");
    memcpy(&number, &attribute->value, sizeof number);
    event = event_find(session, number);
    memcpy(&attribute->value, &event, sizeof event);
    return event ? 0 : INVALID_HANDLE;
}

OPERATION(launch_with) {
    IN(launch_with);
    CUlaunchAttribute attributes[DIVVY_WIRE_ATTRIBUTES_MAX];
    uint32_t attributes_bytes = (uint32_t)(in->attributes * sizeof attributes[0]);
    struct launch launch;
    int32_t status;

    _Static_assert(sizeof attributes[0] == DIVVY_WIRE_ATTRIBUTE_BYTES, "layout of the wire");
    if (!session->driver->cuLaunchKernelEx)
        return DIVVY_WIRE_STATUS_UNSUPPORTED;
    if (in->attributes > DIVVY_WIRE_ATTRIBUTES_MAX || request->bytes_length < attributes_bytes)
        return INVALID_VALUE;
    status = launch_check(session, (const void *)in, request->bytes_length - attributes_bytes, &launch);
    memcpy(attributes, request->bytes, attributes_bytes);
    for (uint64_t i = 0; i < in->attributes && status == 0; i++)
        status = attribute_take(session, &attributes[i]);
    if (status != 0)
        return status;

    void *parameters[launch.layout->count + 1];
    const CUlaunchConfig config = {.gridDimX = (unsigned int)in->grid_x,
                                   .gridDimY = (unsigned int)in->grid_y,
                                   .gridDimZ = (unsigned int)in->grid_z,
                                   .blockDimX = (unsigned int)in->block_x,
                                   .blockDimY = (unsigned int)in->block_y,
                                   .blockDimZ = (unsigned int)in->block_z,
                                   .sharedMemBytes = (unsigned int)in->shared_bytes,
                                   .hStream = launch.stream,
                                   .attrs = attributes,
                                   .numAttrs = (unsigned int)in->attributes};

    parameters_point(launch.layout, (const char *)request->bytes + attributes_bytes, parameters);
    return DRIVER(cuLaunchKernelEx, &config, launch.function, parameters, NULL);
}

/* --- streams and events ---------------------------------------------------------------------------------- */

OPERATION(stream_create) {
    IN(stream_create);
    OUT(stream_create);
    int64_t priority = (int64_t)in->priority;
    CUstream stream;
    int32_t status = INVALID_VALUE;

    if (fits_unsigned(in->flags) && priority >= INT_MIN && priority <= INT_MAX)
        status = DRIVER(cuStreamCreateWithPriority, &stream, (unsigned int)in->flags, (int)priority);
    if (status == 0 && divvy_worker_handle_add(&session->handles, DIVVY_WORKER_STREAM, stream, session->current_number,
                                               &out->handle) < 0) {
        (void)DRIVER(cuStreamDestroy_v2, stream);
        return OUT_OF_MEMORY;
    }
    return status;
}

OPERATION(stream_destroy) {
    IN(stream_destroy);
    CUstream stream;
    int32_t status = in->handle && stream_find(session, in->handle, &stream) ? DRIVER(cuStreamDestroy_v2, stream)
                                                                             : INVALID_HANDLE;

    if (status == 0)
        divvy_worker_handle_remove(&session->handles, in->handle);
    return status;
}

OPERATION(stream_sync) {
    IN(stream_sync);
    CUstream stream;

    return stream_find(session, in->handle, &stream) ? DRIVER(cuStreamSynchronize, stream) : INVALID_HANDLE;
}

OPERATION(stream_query) {
    IN(stream_query);
    CUstream stream;

    return stream_find(session, in->handle, &stream) ? DRIVER(cuStreamQuery, stream) : INVALID_HANDLE;
}

OPERATION(stream_wait_event) {
    IN(stream_wait_event);
    CUevent event = event_find(session, in->event);
    CUstream stream;

    if (!event || !stream_find(session, in->stream, &stream))
        return INVALID_HANDLE;
    return fits_unsigned(in->flags) ? DRIVER(cuStreamWaitEvent, stream, event, (unsigned int)in->flags) : INVALID_VALUE;
}

OPERATION(event_create) {
    IN(event_create);
    OUT(event_create);
    CUevent event;
    int32_t status = fits_unsigned(in->flags) ? DRIVER(cuEventCreate, &event, (unsigned int)in->flags) : INVALID_VALUE;

    if (status == 0 && divvy_worker_handle_add(&session->handles, DIVVY_WORKER_EVENT, event, session->current_number,
                                               &out->handle) < 0) {
        (void)DRIVER(cuEventDestroy_v2, event);
        return OUT_OF_MEMORY;
    }
    return status;
}

OPERATION(event_destroy) {
    IN(event_destroy);
    CUevent event = event_find(session, in->handle);
    int32_t status = event ? DRIVER(cuEventDestroy_v2, event) : INVALID_HANDLE;

    if (status == 0)
        divvy_worker_handle_remove(&session->handles, in->handle);
    return status;
}

OPERATION(event_record) {
    IN(event_record);
    CUevent event = event_find(session, in->event);
    CUstream stream;

    if (!event || !stream_find(session, in->stream, &stream))
        return INVALID_HANDLE;
    if (in->flags == 0)
        return DRIVER(cuEventRecord, event, stream);
    if (!session->driver->cuEventRecordWithFlags)
        return DIVVY_WIRE_STATUS_UNSUPPORTED;
    return fits_unsigned(in->flags) ? DRIVER(cuEventRecordWithFlags, event, stream, (unsigned int)in->flags)
                                    : INVALID_VALUE;
}

OPERATION(event_sync) {
    IN(event_sync);
    CUevent event = event_find(session, in->handle);

    return event ? DRIVER(cuEventSynchronize, event) : INVALID_HANDLE;
}

OPERATION(event_query) {
    IN(event_query);
    CUevent event = event_find(session, in->handle);

    return event ? DRIVER(cuEventQuery, event) : INVALID_HANDLE;
}

OPERATION(event_elapsed) {
    IN(event_elapsed);
    OUT(event_elapsed);
    CUevent start = event_find(session, in->start), end = event_find(session, in->end);
    float milliseconds = 0;
    int32_t status = start && end ? DRIVER(cuEventElapsedTime, &milliseconds, start, end) : INVALID_HANDLE;

    out->nanoseconds = (uint64_t)(int64_t)((double)milliseconds * 1e6);
    return status;
}

/* --- the table ------------------------------------------------------------------------------------------- */

/* The handshake is the session's own. */
#define run_hello NULL
#define ROW(NAME, name, number, ...) [(number)] = run_##name,
static const divvy_worker_operation_t operations[256] = {DIVVY_WIRE_OPS(ROW)};

divvy_worker_operation_t divvy_worker_operation_find(uint16_t number) {
    return number < sizeof operations / sizeof operations[0] ? operations[number] : NULL;
}
