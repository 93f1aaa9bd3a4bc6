/*
 * Fuzz target of a worker's session: any bytes after a handshake, against a driver that knows nothing but which objects it gave
 * out; and the same bytes through shared memory. Answers must be frames; the session never uses more than it said.
 */
#include "remote/worker/session.h"
#include "core/clock.h"
#include "remote/worker/job.h"
#include "remote/worker/ring.h"

#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PAYLOAD_BYTES 8192u

static char object[64];

/* Whatever the driver is handed must be one of its own, or NULL where that means something. */
static CUresult known(const void *pointer) {
    if (pointer && pointer != object)
        abort();
    return CUDA_SUCCESS;
}

static CUresult fake_count(int *ret) { *ret = 1; return CUDA_SUCCESS; }
static CUresult fake_device(CUdevice *ret, int ordinal) { *ret = 0; return ordinal ? CUDA_ERROR_INVALID_DEVICE : CUDA_SUCCESS; }
static CUresult fake_name(char *ret, int size, CUdevice device) { memset(ret, 'x', (size_t)size); ret[size - 1] = '\0'; return device ? CUDA_ERROR_INVALID_DEVICE : CUDA_SUCCESS; }
static CUresult fake_uuid(CUuuid *ret, CUdevice device) { memset(ret, device, sizeof *ret); return CUDA_SUCCESS; }
static CUresult fake_total(size_t *ret, CUdevice device) { *ret = (size_t)device + 1; return CUDA_SUCCESS; }
static CUresult fake_attribute(int *ret, CUdevice_attribute which, CUdevice device) { *ret = device; return (int)which < 0 ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS; }
static CUresult fake_context(CUcontext *ret, unsigned int flags, CUdevice device) { *ret = (void *)object; (void)flags; return device ? CUDA_ERROR_INVALID_DEVICE : CUDA_SUCCESS; }
static CUresult fake_retain(CUcontext *ret, CUdevice device) { *ret = (void *)object; return device ? CUDA_ERROR_INVALID_DEVICE : CUDA_SUCCESS; }
static CUresult fake_release(CUdevice device) { return device ? CUDA_ERROR_INVALID_DEVICE : CUDA_SUCCESS; }
static CUresult fake_context_use(CUcontext context) { return known(context); }
static CUresult fake_sync(void) { return CUDA_SUCCESS; }
static CUresult fake_allocate(CUdeviceptr *ret, size_t bytes) { *ret = bytes; return bytes ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE; }
static CUresult fake_free(CUdeviceptr address) { return address ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE; }
static CUresult fake_info(size_t *ret_free, size_t *ret_total) { *ret_free = *ret_total = 1; return CUDA_SUCCESS; }
static unsigned char sink;
static CUresult fake_in(CUdeviceptr to, const void *from, size_t bytes, CUstream stream)
{ for (size_t i = 0; i < bytes; i++) sink ^= ((const unsigned char *)from)[i]; (void)to; return known(stream); }
static CUresult fake_out(void *to, CUdeviceptr from, size_t bytes, CUstream stream) { memset(to, (int)from, bytes); return known(stream); }
static CUresult fake_within(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) { (void)to; (void)from; (void)bytes; return known(stream); }
static CUresult fake_fill8(CUdeviceptr to, unsigned char value, size_t count, CUstream stream) { (void)to; (void)value; (void)count; return known(stream); }
static CUresult fake_fill16(CUdeviceptr to, unsigned short value, size_t count, CUstream stream) { (void)to; (void)value; (void)count; return known(stream); }
static CUresult fake_fill32(CUdeviceptr to, unsigned int value, size_t count, CUstream stream) { (void)to; (void)value; (void)count; return known(stream); }
static CUresult fake_load(CUmodule *ret, const void *image, unsigned int count, CUjit_option *options, void **values)
{ *ret = (void *)object; sink ^= (unsigned char)strlen(image); memcpy(values[0], "log", 4); return count == 2 && options ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE; }
static CUresult fake_unload(CUmodule module) { return known(module); }
static CUresult fake_function(CUfunction *ret, CUmodule module, const char *name) { *ret = (void *)object; sink ^= (unsigned char)strlen(name); return known(module); }
static CUresult fake_global(CUdeviceptr *ret, size_t *ret_bytes, CUmodule module, const char *name) { *ret = *ret_bytes = strlen(name); return known(module); }
static CUresult fake_function_attribute(int *ret, CUfunction_attribute which, CUfunction function) { *ret = (int)which; return known(function); }
static CUresult fake_parameter(CUfunction function, size_t index, size_t *ret_offset, size_t *ret_size)
{ *ret_offset = index * 8; *ret_size = 8; return index < 3 ? known(function) : CUDA_ERROR_INVALID_VALUE; }
static CUresult fake_launch(CUfunction function, unsigned int gx, unsigned int gy, unsigned int gz, unsigned int bx, unsigned int by, unsigned int bz, unsigned int shared, CUstream stream, void **parameters, void **extra)
{ for (int i = 0; i < 3; i++) for (int k = 0; k < 8; k++) sink ^= ((unsigned char *)parameters[i])[k]; (void)gx; (void)gy; (void)gz; (void)bx; (void)by; (void)bz; (void)shared; (void)extra; (void)known(function); return known(stream); }
static CUresult fake_launch_with(const CUlaunchConfig *config, CUfunction function, void **parameters, void **extra)
{ for (unsigned int i = 0; i < config->numAttrs; i++) {
    const CUlaunchAttribute *at = &config->attrs[i];
    if (at->id == CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT) (void)known(at->value.programmaticEvent.event);
    if (at->id == CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT) (void)known(at->value.launchCompletionEvent.event);
    if (at->id == CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE) abort(); }
  return fake_launch(function, 1, 1, 1, 1, 1, 1, 0, config->hStream, parameters, extra); }
static CUresult fake_stream(CUstream *ret, unsigned int flags, int priority) { *ret = (void *)object; (void)priority; return flags > 1 ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS; }
static CUresult fake_stream_use(CUstream stream) { return known(stream); }
static CUresult fake_wait(CUstream stream, CUevent event, unsigned int flags) { (void)flags; (void)known(stream); return known(event); }
static CUresult fake_event(CUevent *ret, unsigned int flags) { *ret = (void *)object; return flags > 7 ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS; }
static CUresult fake_event_use(CUevent event) { return known(event); }
static CUresult fake_record(CUevent event, CUstream stream) { (void)known(event); return known(stream); }
static CUresult fake_elapsed(float *ret, CUevent start, CUevent end) { *ret = -1.5f; (void)known(start); return known(end); }
static CUresult fake_error_name(CUresult result, const char **ret) { (void)result; *ret = "FAKE"; return CUDA_SUCCESS; }

static const struct divvy_worker_driver driver = {
    .cuGetErrorName = fake_error_name, .cuDriverGetVersion = fake_count, .cuDeviceGetCount = fake_count,
    .cuDeviceGet = fake_device, .cuDeviceGetName = fake_name, .cuDeviceGetUuid = fake_uuid,
    .cuDeviceTotalMem_v2 = fake_total, .cuDeviceGetAttribute = fake_attribute, .cuCtxCreate_v2 = fake_context,
    .cuCtxDestroy_v2 = fake_context_use, .cuCtxSetCurrent = fake_context_use, .cuCtxSynchronize = fake_sync,
    .cuDevicePrimaryCtxRetain = fake_retain, .cuDevicePrimaryCtxRelease_v2 = fake_release,
    .cuMemAlloc_v2 = fake_allocate, .cuMemFree_v2 = fake_free, .cuMemGetInfo_v2 = fake_info,
    .cuMemcpyHtoDAsync_v2 = fake_in, .cuMemcpyDtoHAsync_v2 = fake_out, .cuMemcpyDtoDAsync_v2 = fake_within,
    .cuMemsetD8Async = fake_fill8, .cuMemsetD16Async = fake_fill16, .cuMemsetD32Async = fake_fill32,
    .cuModuleLoadDataEx = fake_load, .cuModuleUnload = fake_unload, .cuModuleGetFunction = fake_function,
    .cuModuleGetGlobal_v2 = fake_global, .cuFuncGetAttribute = fake_function_attribute,
    .cuLaunchKernel = fake_launch, .cuLaunchKernelEx = fake_launch_with, .cuStreamCreateWithPriority = fake_stream, .cuStreamDestroy_v2 = fake_stream_use,
    .cuStreamSynchronize = fake_stream_use, .cuStreamQuery = fake_stream_use, .cuStreamWaitEvent = fake_wait,
    .cuEventCreate = fake_event, .cuEventDestroy_v2 = fake_event_use, .cuEventRecord = fake_record,
    .cuEventSynchronize = fake_event_use, .cuEventQuery = fake_event_use, .cuEventElapsedTime = fake_elapsed,
    .cuFuncGetParamInfo = fake_parameter,
};

static void answers_check(const struct divvy_worker_session *session) {
    for (size_t at = 0; at < session->out_length;) {
        struct divvy_wire_header header;

        if (session->out_length - at < sizeof header ||
            divvy_wire_header_read(session->out + at, DIVVY_WIRE_PAYLOAD_MAX_BYTES, &header) < 0 ||
            !(header.flags & DIVVY_WIRE_ANSWER) || session->out_length - at - sizeof header < header.length)
            abort();
        at += sizeof header + header.length;
    }
}

#define RING_BYTES 65536u

/* Everything that came out of the memory is frames of answers. */
static void ring_answers_check(struct divvy_wire_ring *client) {
    static char bytes[RING_BYTES];
    bool wake;
    ssize_t got = divvy_wire_ring_read(client, bytes, sizeof bytes, &wake);
    const struct divvy_worker_session answers = {.out = bytes, .out_length = got > 0 ? (size_t)got : 0};

    if (got < 0)
        abort();
    answers_check(&answers);
}

/* One frame after another by whichever way takes it; what the client has not sent in whole ends the session, as its end would. */
static void ring_run(struct divvy_worker_session *session, const uint8_t *data, size_t size) {
    static _Alignas(64) uint8_t memory[RING_BYTES];
    static char bytes[RING_BYTES];
    struct divvy_worker_ring ring = {.pipe = {.stream_fd = -1, .timeout_ms = 1, .spin_ns = 1}, .session = session, .has_turn = true};
    struct divvy_wire_ring client;
    int status = 1;
    bool wake;

    if (divvy_wire_ring_create(memory, sizeof memory, 1, &ring.pipe.ring) < 0 ||
        divvy_wire_ring_attach(memory, sizeof memory, 1, &client) < 0)
        abort();
    (void)divvy_wire_ring_write(&client, data, size, &wake);
    while (status > 0) {
        struct iovec pieces[2];
        ssize_t there, used;

        ring.looked_ns = divvy_core_clock_ns();
        status = divvy_worker_ring_copy(&ring);
        ring_answers_check(&client);
        if (status != 0)
            continue;
        there = divvy_wire_ring_there(&ring.pipe.ring, pieces);
        if (there <= 0 || pieces[1].iov_len > 0)
            return;
        memcpy(bytes, pieces[0].iov_base, (size_t)there);
        used = divvy_worker_session_take(session, bytes, (size_t)there);
        session->out_length = 0;
        if (used <= 0 || session->is_over)
            return;
        divvy_wire_ring_take(&ring.pipe.ring, (size_t)used, &wake);
        status = 1;
    }
}

static int session_begin(struct divvy_worker_session *session, struct divvy_worker_vector *vector, uint64_t features) {
    const struct divvy_wire_hello_in words = {DIVVY_WIRE_VERSION, sizeof(struct divvy_wire_header), PAYLOAD_BYTES, features};
    const struct divvy_wire_header header = {
        .magic = DIVVY_WIRE_MAGIC, .op = DIVVY_WIRE_OP_HELLO, .length = sizeof words, .id = 1};
    char hello[sizeof header + sizeof words];

    memcpy(hello, &header, sizeof header);
    memcpy(hello + sizeof header, &words, sizeof words);
    divvy_worker_session_init(session, &driver, vector);
    return divvy_worker_session_take(session, hello, sizeof hello) == (ssize_t)sizeof hello && session->is_open ? 0 : -1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct divvy_worker_vector vector = {.driver = &driver};
    struct divvy_worker_session session;
    char *copy = malloc(size + 1);
    ssize_t used = 0;

    if (!copy)
        return 0;
    memcpy(copy, data, size);
    if (session_begin(&session, &vector, DIVVY_WIRE_FEATURE_PACKED) < 0)
        abort();
    for (size_t at = 0; used >= 0 && at < size;) {
        used = divvy_worker_session_take(&session, copy + at, size - at);
        if (used > (ssize_t)(size - at))
            abort();
        answers_check(&session);
        session.out_length = 0;
        if (used <= 0 || session.is_over)
            break;
        at += (size_t)used;
    }
    divvy_worker_session_done(&session);
    if (session_begin(&session, &vector, 0) < 0)
        abort();
    session.out_length = 0;
    ring_run(&session, data, size);
    divvy_worker_session_done(&session);
    free(copy);
    return 0;
}
