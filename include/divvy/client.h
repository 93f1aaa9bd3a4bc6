/*
 * The client's side of divvy's protocol: a GPU that a worker (divvy-worker) serves, directly or through relays, at the level of the
 * CUDA driver API. docs/PROTOCOL.md describes what travels.
 *
 * Every function that talks to the worker returns 0; a positive number, the worker's: a CUresult, or 10001 and above as
 * PROTOCOL.md lists them; or a negative errno, when it could not be asked. After a negative errno other than -EINVAL and
 * -EOPNOTSUPP the connection is lost, and all later calls return -ENOTCONN. Out-parameters are untouched on failure.
 *
 * Functions said to be one-way do not wait: their requests are collected and sent when 64 KiB are there, with the next call that
 * waits, or by divvy_client_flush. What goes wrong with them is returned, once, by the next divvy_client_*_sync or
 * divvy_client_copy_out.
 *
 * A client is used by one thread at a time, and not in a child after fork. No signal is raised when the worker goes away. Needs
 * libc only; C99.
 */
#ifndef DIVVY_CLIENT_H
#define DIVVY_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct divvy_client;

/*
 * Connects and shakes hands. `address`: "unix:PATH" or a path with a slash; "HOST:PORT" or "tcp:HOST:PORT" with a numeric host
 * ("[::1]:5000" for IPv6) or localhost; "serial:PATH" for a character device, as a virtio-serial port;
 * "shm:FILE,STREAM" for memory shared with a relay and the unix socket or character device beside it (without STREAM: FILE.sock),
 * and "shm:" in a VM for its ivshmem device and virtio-serial port;
 * "xenstore" or "xenstore:PATH" for the XenStore of a Xen guest (without PATH: $XENSTORED_PATH, else /dev/xen/xenbus), which
 * carries divvy_client_job alone: other calls return -EOPNOTSUPP, and a request longer than 486,400 bytes is answered by error 2.
 * No answer is waited for longer than timeout_ms (0: without end), here and later. *ret_client is to be closed. -EINVAL: the
 * address makes no sense;
 * -EPROTO: no worker of this protocol answers; -ETIMEDOUT; others as connect has them. Blocks.
 */
int divvy_client_open(const char *address, uint32_t timeout_ms, struct divvy_client **ret_client);

/* Wishes: what a connection should do that the worker may or may not know. */
#define DIVVY_CLIENT_CHECKSUMS 1u /* every frame has one; a wrong one ends the connection (-EBADMSG) */
#define DIVVY_CLIENT_COMPRESS  2u /* long bytes go packed where that makes them shorter: for links slower than some 500 MB/s */

/*
 * The same with wishes, DIVVY_CLIENT_ put together by |. A worker that lacks one does without, as do connections that gain nothing by it
 * (memory that is shared is not packed, XenStore knows neither). -EINVAL: also unknown wishes.
 */
int divvy_client_open_with(const char *address, uint32_t timeout_ms, uint32_t wishes, struct divvy_client **ret_client);

/* The wishes that hold on this connection. */
uint32_t divvy_client_granted(const struct divvy_client *client);

/* Disconnects; the worker frees all that was allocated. One-way requests that have not been sent are not. NULL is fine. */
void divvy_client_close(struct divvy_client *client);

/* One line about the last failure, or "" ; valid until the next call. */
const char *divvy_client_text(const struct divvy_client *client);

/* Sends the one-way requests that are waiting. */
int divvy_client_flush(struct divvy_client *client);

/* Sends bytes there and back; -EPROTO when others come back. At most 4096. */
int divvy_client_ping(struct divvy_client *client, const void *bytes, size_t length_bytes);

/*
 * A request of the JSON dialect. The answer, *ret_length_bytes long and with a NUL behind it, is the caller's, to be freed; it may
 * be an error in JSON.
 */
int divvy_client_job(struct divvy_client *client, const char *text, size_t length_bytes, char **ret_answer,
                     size_t *ret_length_bytes);

/* cuDriverGetVersion of the worker. */
int divvy_client_driver_version(struct divvy_client *client, int32_t *ret_version);

/* How many devices the worker serves. */
int divvy_client_device_count(struct divvy_client *client, uint32_t *ret_count);

struct divvy_client_device {
    uint64_t memory_bytes;
    uint8_t uuid[16];
    char name[232]; /* ends in NUL */
};

/* Name, UUID and memory of a device, counted from 0. */
int divvy_client_device_info(struct divvy_client *client, uint32_t ordinal, struct divvy_client_device *ret_device);

/* cuDeviceGetAttribute; `attribute` is a CUdevice_attribute. */
int divvy_client_device_attribute(struct divvy_client *client, uint32_t ordinal, uint32_t attribute,
                                  int32_t *ret_value);

/* Takes a device's primary context, makes it current. */
int divvy_client_context_primary(struct divvy_client *client, uint32_t ordinal, uint64_t *ret_context);

/* Creates a context with the flags of cuCtxCreate, makes it current. */
int divvy_client_context_create(struct divvy_client *client, uint32_t flags, uint32_t ordinal, uint64_t *ret_context);

/* Makes a context current, or none with 0. */
int divvy_client_context_use(struct divvy_client *client, uint64_t context);

/* Destroys a context, or gives a primary one back. What belonged to it is gone. */
int divvy_client_context_destroy(struct divvy_client *client, uint64_t context);

/* Waits for all work of the current context. */
int divvy_client_context_sync(struct divvy_client *client);

/* Device memory in the current context; its address. */
int divvy_client_memory_allocate(struct divvy_client *client, uint64_t size_bytes, uint64_t *ret_address);

/* Frees it. */
int divvy_client_memory_free(struct divvy_client *client, uint64_t address);

/* Free and total memory, as this client's tenant has them. */
int divvy_client_memory_info(struct divvy_client *client, uint64_t *ret_free_bytes, uint64_t *ret_total_bytes);

/* One-way: copies to the device, in chunks; `bytes` may be changed when it returns. */
int divvy_client_copy_in(struct divvy_client *client, uint64_t to, const void *bytes, uint64_t size_bytes,
                         uint64_t stream);

/* Copies from the device, behind the work of the stream, and waits. On failure some of ret_bytes may have been written. */
int divvy_client_copy_out(struct divvy_client *client, uint64_t from, uint64_t size_bytes, uint64_t stream,
                          void *ret_bytes);

/* One-way: copies within the device. */
int divvy_client_copy_within(struct divvy_client *client, uint64_t to, uint64_t from, uint64_t size_bytes,
                             uint64_t stream);

/* One-way: `count` units of 1, 2 or 4 bytes get this value. */
int divvy_client_fill(struct divvy_client *client, uint64_t to, uint32_t value, uint32_t unit_bytes, uint64_t count,
                      uint64_t stream);

/* Loads PTX text, a cubin or a fat binary. When it fails, divvy_client_text has the compiler's words. */
int divvy_client_module_load(struct divvy_client *client, const void *image, uint64_t size_bytes,
                             uint64_t *ret_module);

/* Unloads a module; its functions are gone. */
int divvy_client_module_unload(struct divvy_client *client, uint64_t module);

struct divvy_client_parameter {
    uint32_t offset_bytes, size_bytes;
};

struct divvy_client_function {
    uint64_t handle;
    uint32_t parameters_bytes; /* of all parameters as they lie */
    uint32_t parameter_count;
    struct divvy_client_parameter parameters[64]; /* the first ones */
};

/* A kernel by name, and how its parameters lie. */
int divvy_client_function_get(struct divvy_client *client, uint64_t module, const char *name,
                              struct divvy_client_function *ret_function);

/* cuFuncGetAttribute; `attribute` is a CUfunction_attribute. */
int divvy_client_function_attribute(struct divvy_client *client, uint64_t function, uint32_t attribute,
                                    int32_t *ret_value);

/* Address and size of a variable of a module. */
int divvy_client_global_get(struct divvy_client *client, uint64_t module, const char *name, uint64_t *ret_address,
                            uint64_t *ret_size_bytes);

struct divvy_client_shape {
    uint32_t grid[3], block[3];
    uint32_t shared_bytes;
    uint32_t reserved; /* 0 */
};

/*
 * One-way: launches a kernel. `parameters` has a pointer to each, as cuLaunchKernel takes them. -EINVAL when the function has
 * more than 64 parameters.
 */
int divvy_client_launch(struct divvy_client *client, const struct divvy_client_function *function,
                        const struct divvy_client_shape *shape, uint64_t stream, const void *const *parameters);

/* An attribute of a launch: a CUlaunchAttributeID, and its CUlaunchAttributeValue as it lies in memory. */
struct divvy_client_attribute {
    uint32_t id;
    uint32_t reserved; /* 0 */
    uint64_t value[8]; /* where the driver's type begins with an event (7, 12), the first is the event's number here; without times */
};

/*
 * One-way: launches a kernel with at most 16 attributes, as cuLaunchKernelEx. 801 comes back, as of all one-way requests, for attributes that
 * the worker does not know, and for those that only mean something in graphs (13). -EINVAL: as above, or too many.
 */
int divvy_client_launch_with(struct divvy_client *client, const struct divvy_client_function *function,
                             const struct divvy_client_shape *shape, uint64_t stream,
                             const struct divvy_client_attribute *attributes, uint32_t attribute_count,
                             const void *const *parameters);

/* A stream with the flags and priority of cuStreamCreateWithPriority; 0 is the default stream. */
int divvy_client_stream_create(struct divvy_client *client, uint32_t flags, int32_t priority, uint64_t *ret_stream);

/* Destroys a stream. */
int divvy_client_stream_destroy(struct divvy_client *client, uint64_t stream);

/* Waits for a stream. */
int divvy_client_stream_sync(struct divvy_client *client, uint64_t stream);

/* 0 when a stream has nothing to do, 600 (CUDA_ERROR_NOT_READY) when it has. */
int divvy_client_stream_query(struct divvy_client *client, uint64_t stream);

/* One-way: what comes after in the stream waits for the event. */
int divvy_client_stream_wait_event(struct divvy_client *client, uint64_t stream, uint64_t event, uint32_t flags);

/* An event with the flags of cuEventCreate. */
int divvy_client_event_create(struct divvy_client *client, uint32_t flags, uint64_t *ret_event);

/* Destroys an event. */
int divvy_client_event_destroy(struct divvy_client *client, uint64_t event);

/* One-way: the event happens when the stream gets there. */
int divvy_client_event_record(struct divvy_client *client, uint64_t event, uint64_t stream);

/* Waits for an event. */
int divvy_client_event_sync(struct divvy_client *client, uint64_t event);

/* 0 when an event has happened, 600 (CUDA_ERROR_NOT_READY) when not yet. */
int divvy_client_event_query(struct divvy_client *client, uint64_t event);

/* Nanoseconds of device time between two events. */
int divvy_client_event_elapsed(struct divvy_client *client, uint64_t start, uint64_t end, int64_t *ret_elapsed_ns);

#ifdef __cplusplus
}
#endif

#endif
