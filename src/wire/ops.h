/*
 * The operations of the framed protocol, each listed once: codec, dispatcher, client, tests and docs/PROTOCOL.md derive from
 * this table. A request is a fixed number of words (64 bits, little-endian), then bytes where the row says so; an answer
 * likewise. Everything a driver calls a handle is a number that the worker gives out and that means something on its own
 * connection only; device addresses are the driver's.
 *
 *   OP(NAME, name, number, kind, request words, request bytes, answer words, answer bytes, what it does)
 *
 * `kind`: CALL is answered; ONEWAY is not: what goes wrong is kept (the first error only) and told by the next SYNC. SYNC is
 * answered, and answers a kept error, once, with DIVVY_WIRE_LATCHED set and the id of the request that failed as its one word.
 * Words are F(name), in order. BYTES: any number of bytes follow; NONE: none may.
 */
#ifndef DIVVY_WIRE_OPS_H
#define DIVVY_WIRE_OPS_H

#include <stdint.h>

#define DIVVY_WIRE_NO_WORDS(F)

/* clang-format off */
#define DIVVY_WIRE_HELLO_IN(F) F(version) F(header_bytes) F(payload_bytes) F(features)
#define DIVVY_WIRE_HELLO_OUT(F) F(version) F(header_bytes) F(payload_bytes) F(features)
#define DIVVY_WIRE_COUNT_OUT(F) F(count)
#define DIVVY_WIRE_VALUE_OUT(F) F(value)
#define DIVVY_WIRE_DEVICE_IN(F) F(ordinal)
#define DIVVY_WIRE_DEVICE_OUT(F) F(uuid_low) F(uuid_high) F(memory_bytes)
#define DIVVY_WIRE_ATTRIBUTE_IN(F) F(attribute) F(object)
#define DIVVY_WIRE_HANDLE(F) F(handle)
#define DIVVY_WIRE_CONTEXT_IN(F) F(flags) F(ordinal)
#define DIVVY_WIRE_SIZE_IN(F) F(size_bytes)
#define DIVVY_WIRE_ADDRESS(F) F(address)
#define DIVVY_WIRE_MEMORY_OUT(F) F(free_bytes) F(total_bytes)
#define DIVVY_WIRE_COPY_IN_IN(F) F(to) F(stream)
#define DIVVY_WIRE_COPY_OUT_IN(F) F(from) F(size_bytes) F(stream)
#define DIVVY_WIRE_COPY_WITHIN_IN(F) F(to) F(from) F(size_bytes) F(stream)
#define DIVVY_WIRE_FILL_IN(F) F(to) F(value) F(unit_bytes) F(count) F(stream)
#define DIVVY_WIRE_IMAGE_IN(F) F(offset_bytes) F(size_bytes)
#define DIVVY_WIRE_GLOBAL_OUT(F) F(address) F(size_bytes)
#define DIVVY_WIRE_FUNCTION_OUT(F) F(handle) F(parameters_bytes) F(parameter_count)
#define DIVVY_WIRE_LAUNCH_IN(F) F(function) F(grid_x) F(grid_y) F(grid_z) F(block_x) F(block_y) F(block_z) F(shared_bytes) F(stream)
#define DIVVY_WIRE_LAUNCH_WITH_IN(F) DIVVY_WIRE_LAUNCH_IN(F) F(attributes)
#define DIVVY_WIRE_STREAM_IN(F) F(flags) F(priority)
#define DIVVY_WIRE_FLAGS_IN(F) F(flags)
#define DIVVY_WIRE_EVENT_STREAM_IN(F) F(event) F(stream) F(flags)
#define DIVVY_WIRE_EVENTS_IN(F) F(start) F(end)
#define DIVVY_WIRE_TIME_OUT(F) F(nanoseconds)

#define DIVVY_WIRE_OPS(OP) \
  OP(HELLO, hello, 0x01, CALL, DIVVY_WIRE_HELLO_IN, NONE, DIVVY_WIRE_HELLO_OUT, BYTES, "opens a connection; must be its first request, once; the bytes name the server") \
  OP(PING, ping, 0x02, CALL, DIVVY_WIRE_NO_WORDS, BYTES, DIVVY_WIRE_NO_WORDS, BYTES, "answers the same bytes") \
  OP(JOB, job, 0x03, CALL, DIVVY_WIRE_NO_WORDS, BYTES, DIVVY_WIRE_NO_WORDS, BYTES, "a request of the JSON dialect, and its answer") \
  OP(DRAIN, drain, 0x04, CALL, DIVVY_WIRE_NO_WORDS, NONE, DIVVY_WIRE_NO_WORDS, NONE, "answered when the GPU has done all that was asked for, in every context; for relays, which take it from no client") \
  OP(DRIVER_VERSION, driver_version, 0x10, CALL, DIVVY_WIRE_NO_WORDS, NONE, DIVVY_WIRE_VALUE_OUT, NONE, "cuDriverGetVersion") \
  OP(DEVICE_COUNT, device_count, 0x11, CALL, DIVVY_WIRE_NO_WORDS, NONE, DIVVY_WIRE_COUNT_OUT, NONE, "cuDeviceGetCount") \
  OP(DEVICE_INFO, device_info, 0x12, CALL, DIVVY_WIRE_DEVICE_IN, NONE, DIVVY_WIRE_DEVICE_OUT, BYTES, "UUID and memory of a device; the bytes are its name") \
  OP(DEVICE_ATTRIBUTE, device_attribute, 0x13, CALL, DIVVY_WIRE_ATTRIBUTE_IN, NONE, DIVVY_WIRE_VALUE_OUT, NONE, "cuDeviceGetAttribute; the object is the ordinal") \
  OP(CONTEXT_CREATE, context_create, 0x20, CALL, DIVVY_WIRE_CONTEXT_IN, NONE, DIVVY_WIRE_HANDLE, NONE, "cuCtxCreate; the context is current from here on") \
  OP(CONTEXT_PRIMARY, context_primary, 0x21, CALL, DIVVY_WIRE_DEVICE_IN, NONE, DIVVY_WIRE_HANDLE, NONE, "cuDevicePrimaryCtxRetain, and current from here on") \
  OP(CONTEXT_USE, context_use, 0x22, CALL, DIVVY_WIRE_HANDLE, NONE, DIVVY_WIRE_NO_WORDS, NONE, "cuCtxSetCurrent") \
  OP(CONTEXT_DESTROY, context_destroy, 0x23, CALL, DIVVY_WIRE_HANDLE, NONE, DIVVY_WIRE_NO_WORDS, NONE, "cuCtxDestroy, or cuDevicePrimaryCtxRelease") \
  OP(CONTEXT_SYNC, context_sync, 0x24, SYNC, DIVVY_WIRE_NO_WORDS, NONE, DIVVY_WIRE_NO_WORDS, NONE, "cuCtxSynchronize") \
  OP(MEMORY_ALLOCATE, memory_allocate, 0x30, CALL, DIVVY_WIRE_SIZE_IN, NONE, DIVVY_WIRE_ADDRESS, NONE, "cuMemAlloc") \
  OP(MEMORY_FREE, memory_free, 0x31, CALL, DIVVY_WIRE_ADDRESS, NONE, DIVVY_WIRE_NO_WORDS, NONE, "cuMemFree") \
  OP(MEMORY_INFO, memory_info, 0x32, CALL, DIVVY_WIRE_NO_WORDS, NONE, DIVVY_WIRE_MEMORY_OUT, NONE, "cuMemGetInfo") \
  OP(COPY_IN, copy_in, 0x33, ONEWAY, DIVVY_WIRE_COPY_IN_IN, BYTES, DIVVY_WIRE_NO_WORDS, NONE, "cuMemcpyHtoDAsync of the bytes") \
  OP(COPY_OUT, copy_out, 0x34, SYNC, DIVVY_WIRE_COPY_OUT_IN, NONE, DIVVY_WIRE_NO_WORDS, BYTES, "cuMemcpyDtoHAsync, and waits for it") \
  OP(COPY_WITHIN, copy_within, 0x35, ONEWAY, DIVVY_WIRE_COPY_WITHIN_IN, NONE, DIVVY_WIRE_NO_WORDS, NONE, "cuMemcpyDtoDAsync") \
  OP(FILL, fill, 0x36, ONEWAY, DIVVY_WIRE_FILL_IN, NONE, DIVVY_WIRE_NO_WORDS, NONE, "cuMemsetD8Async, D16 or D32 by unit_bytes 1, 2 or 4") \
  OP(IMAGE, image, 0x40, ONEWAY, DIVVY_WIRE_IMAGE_IN, BYTES, DIVVY_WIRE_NO_WORDS, NONE, "a part of a module's image of size_bytes, in order; at offset 0 a new one begins") \
  OP(MODULE_LOAD, module_load, 0x41, SYNC, DIVVY_WIRE_NO_WORDS, NONE, DIVVY_WIRE_HANDLE, BYTES, "cuModuleLoadDataEx of the image that was sent; the bytes are the compiler's log, also when it fails") \
  OP(MODULE_UNLOAD, module_unload, 0x42, CALL, DIVVY_WIRE_HANDLE, NONE, DIVVY_WIRE_NO_WORDS, NONE, "cuModuleUnload") \
  OP(FUNCTION_GET, function_get, 0x43, CALL, DIVVY_WIRE_HANDLE, BYTES, DIVVY_WIRE_FUNCTION_OUT, BYTES, "cuModuleGetFunction by name; the bytes are its layout: offset and size of each parameter, 32 bits each") \
  OP(FUNCTION_ATTRIBUTE, function_attribute, 0x44, CALL, DIVVY_WIRE_ATTRIBUTE_IN, NONE, DIVVY_WIRE_VALUE_OUT, NONE, "cuFuncGetAttribute; the object is the function") \
  OP(GLOBAL_GET, global_get, 0x45, CALL, DIVVY_WIRE_HANDLE, BYTES, DIVVY_WIRE_GLOBAL_OUT, NONE, "cuModuleGetGlobal by name") \
  OP(LAUNCH, launch, 0x50, ONEWAY, DIVVY_WIRE_LAUNCH_IN, BYTES, DIVVY_WIRE_NO_WORDS, NONE, "cuLaunchKernel; the bytes are the parameters as they lie by the layout, exactly parameters_bytes") \
  OP(LAUNCH_WITH, launch_with, 0x51, ONEWAY, DIVVY_WIRE_LAUNCH_WITH_IN, BYTES, DIVVY_WIRE_NO_WORDS, NONE, "cuLaunchKernelEx; the bytes are so many attributes, 72 each as in CUlaunchAttribute with handles in the place of events, then the parameters") \
  OP(STREAM_CREATE, stream_create, 0x60, CALL, DIVVY_WIRE_STREAM_IN, NONE, DIVVY_WIRE_HANDLE, NONE, "cuStreamCreateWithPriority; 0 is the default stream") \
  OP(STREAM_DESTROY, stream_destroy, 0x61, CALL, DIVVY_WIRE_HANDLE, NONE, DIVVY_WIRE_NO_WORDS, NONE, "cuStreamDestroy") \
  OP(STREAM_SYNC, stream_sync, 0x62, SYNC, DIVVY_WIRE_HANDLE, NONE, DIVVY_WIRE_NO_WORDS, NONE, "cuStreamSynchronize") \
  OP(STREAM_QUERY, stream_query, 0x63, CALL, DIVVY_WIRE_HANDLE, NONE, DIVVY_WIRE_NO_WORDS, NONE, "cuStreamQuery") \
  OP(STREAM_WAIT_EVENT, stream_wait_event, 0x64, ONEWAY, DIVVY_WIRE_EVENT_STREAM_IN, NONE, DIVVY_WIRE_NO_WORDS, NONE, "cuStreamWaitEvent") \
  OP(EVENT_CREATE, event_create, 0x70, CALL, DIVVY_WIRE_FLAGS_IN, NONE, DIVVY_WIRE_HANDLE, NONE, "cuEventCreate") \
  OP(EVENT_DESTROY, event_destroy, 0x71, CALL, DIVVY_WIRE_HANDLE, NONE, DIVVY_WIRE_NO_WORDS, NONE, "cuEventDestroy") \
  OP(EVENT_RECORD, event_record, 0x72, ONEWAY, DIVVY_WIRE_EVENT_STREAM_IN, NONE, DIVVY_WIRE_NO_WORDS, NONE, "cuEventRecordWithFlags") \
  OP(EVENT_SYNC, event_sync, 0x73, SYNC, DIVVY_WIRE_HANDLE, NONE, DIVVY_WIRE_NO_WORDS, NONE, "cuEventSynchronize") \
  OP(EVENT_QUERY, event_query, 0x74, CALL, DIVVY_WIRE_HANDLE, NONE, DIVVY_WIRE_NO_WORDS, NONE, "cuEventQuery") \
  OP(EVENT_ELAPSED, event_elapsed, 0x75, CALL, DIVVY_WIRE_EVENTS_IN, NONE, DIVVY_WIRE_TIME_OUT, NONE, "cuEventElapsedTime, in nanoseconds")
/* clang-format on */

enum {
#define DIVVY_WIRE_NUMBER(NAME, name, number, ...) DIVVY_WIRE_OP_##NAME = (number),
    DIVVY_WIRE_OPS(DIVVY_WIRE_NUMBER)
#undef DIVVY_WIRE_NUMBER
};

/* The words of each request and answer as a struct: struct divvy_wire_copy_in_in, struct divvy_wire_hello_out, ... */
#define DIVVY_WIRE_WORD(name) uint64_t name;
#define DIVVY_WIRE_STRUCTS(NAME, name, number, kind, in, in_bytes, out, out_bytes, text)           \
    struct divvy_wire_##name##_in {                                                                \
        in(DIVVY_WIRE_WORD)                                                                        \
    };                                                                                             \
    struct divvy_wire_##name##_out {                                                               \
        out(DIVVY_WIRE_WORD)                                                                       \
    };
DIVVY_WIRE_OPS(DIVVY_WIRE_STRUCTS)
#undef DIVVY_WIRE_STRUCTS
#undef DIVVY_WIRE_WORD

#endif
