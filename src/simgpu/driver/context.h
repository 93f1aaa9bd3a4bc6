/*
 * Devices as this process sees them, contexts, and what each thread has current.
 */
#ifndef DIVVY_SIMGPU_DRIVER_CONTEXT_H
#define DIVVY_SIMGPU_DRIVER_CONTEXT_H

#include "simgpu/driver/api.h"
#include "simgpu/engine/engine.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

typedef struct divvy_drv_context divvy_drv_context_t;
typedef struct divvy_drv_stream divvy_drv_stream_t;
typedef struct divvy_drv_module divvy_drv_module_t;
typedef struct divvy_drv_pool divvy_drv_pool_t;

/* ---- devices --------------------------------------------------------------------------------- */

typedef struct {
    int engine; /* index in the engine */
    const divvy_simgpu_device_t *facts;
    /* Under primary_lock: */
    divvy_drv_context_t *primary; /* NULL while inactive */
    unsigned primary_refs;
    unsigned primary_flags;
    _Atomic(divvy_drv_pool_t *) pool_default; /* made when first asked for */
    _Atomic(divvy_drv_pool_t *) pool_current; /* NULL: the default one */
} divvy_drv_device_t;

/* Reads CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER; called once, by cuInit, after the engine is
 * attached. */
void divvy_drv_devices_init(void);
int divvy_drv_devices_count(void);
/* CUDA_ERROR_INVALID_DEVICE for a number that this process does not see. */
CUresult divvy_drv_device_find(CUdevice ordinal, divvy_drv_device_t **ret_device);
/* The ordinal under which engine device INDEX is seen, or -1. */
int divvy_drv_device_ordinal(int index);

/* ---- contexts -------------------------------------------------------------------------------- */

struct divvy_drv_context {
    CUcontext handle;
    uint64_t id;
    int ordinal; /* CUdevice */
    int device;  /* index in the engine */
    const divvy_simgpu_device_t *facts;
    bool primary;
    _Atomic unsigned refs; /* its existence, and every place on a thread's stack */
    _Atomic bool destroyed;
    _Atomic uint32_t aborting; /* ends kernels that still run when the context goes */
    unsigned flags;
    unsigned api_version;
    unsigned attached; /* cuCtxAttach */
    divvy_simgpu_context_t *engine;
    divvy_drv_stream_t *legacy;
    _Atomic uint64_t legacy_count; /* submissions to the legacy stream */
    _Atomic bool
        blocking_work;    /* some blocking stream has work that the legacy stream has not seen */
    pthread_mutex_t lock; /* the lists, the settings, and the order of the legacy stream */
    divvy_drv_stream_t *streams;
    divvy_drv_module_t *modules;
    size_t limits[CU_LIMIT_MAX];
    CUfunc_cache cache_config;
    CUsharedconfig shared_config;
    _Atomic uint32_t peers; /* bit per ordinal whose memory may be used here */
    uint64_t overhead_bytes;
    divvy_drv_context_t *next; /* list of all */
};

/* The current context, checked: CUDA_ERROR_INVALID_CONTEXT none, CONTEXT_IS_DESTROYED, or its
 * sticky error. */
CUresult divvy_drv_context_current(divvy_drv_context_t **ret_context);
/* The same without regard to the sticky error. */
CUresult divvy_drv_context_bound(divvy_drv_context_t **ret_context);
/* HANDLE, or the current context for NULL. CUDA_ERROR_INVALID_CONTEXT for anything else. */
CUresult divvy_drv_context_find(CUcontext handle, divvy_drv_context_t **ret_context);
/* The sticky error of CONTEXT, or CUDA_SUCCESS. */
CUresult divvy_drv_context_error(const divvy_drv_context_t *context);
/* Whether kernels of CONTEXT may touch memory of engine device DEVICE. */
bool divvy_drv_context_reaches(const divvy_drv_context_t *context, int device);
/* Waits until no context of this process that may use memory of engine device DEVICE (-1: any) has
 * work left. */
CUresult divvy_drv_context_wait_all(int device);
/* Any context of engine device DEVICE of this process, for work that has to run somewhere; NULL
 * when none. */
divvy_drv_context_t *divvy_drv_context_of_device(int device);
/* Ends all contexts, as at the end of the process; for tests and for a failed cuInit. */
void divvy_drv_context_destroy_all(void);

/* ---- threads --------------------------------------------------------------------------------- */

typedef struct divvy_drv_thread divvy_drv_thread_t;

/* What the fast paths need of a thread. The rest is made when first needed (thread.c). */
typedef struct {
    divvy_drv_context_t *current; /* top of the stack */
    divvy_drv_thread_t *more;
    bool per_thread;      /* inside a _ptsz or _ptds form: stream 0 is this thread's own */
    uint8_t capture_mode; /* CUstreamCaptureMode of cuThreadExchangeStreamCaptureMode */
    uint8_t lane;         /* of the engine's count of calls, plus 1; 0: none yet */
    uint16_t depth;       /* calls that this thread is in: a lock holds back the outermost only */
} divvy_drv_self_t;

extern __thread divvy_drv_self_t divvy_drv_self __attribute__((tls_model("initial-exec")));

/* Stack of current contexts. */
CUresult divvy_drv_thread_push(divvy_drv_context_t *context);
CUresult divvy_drv_thread_pop(CUcontext *ret_handle);
/* Replaces the top; NULL empties it. */
CUresult divvy_drv_thread_set(divvy_drv_context_t *context);

/* This thread's default stream in CONTEXT, made when first asked for. */
CUresult divvy_drv_thread_stream(divvy_drv_context_t *context, divvy_drv_stream_t **ret_stream);
/* A context goes: no thread keeps a default stream of it. */
void divvy_drv_thread_forget(divvy_drv_context_t *context);

void divvy_drv_context_ref(divvy_drv_context_t *context);
void divvy_drv_context_unref(divvy_drv_context_t *context);

#endif
