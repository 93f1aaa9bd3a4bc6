/*
 * What this process has allocated, by address: device memory and host memory that the driver knows.
 * Thread-safe.
 */
#ifndef DIVVY_SIMGPU_DRIVER_MEMORY_H
#define DIVVY_SIMGPU_DRIVER_MEMORY_H

#include "simgpu/driver/context.h"

typedef enum {
    DRV_MEM_LINEAR = 1 << 0,
    DRV_MEM_MANAGED = 1 << 1,
    DRV_MEM_GLOBAL = 1 << 2, /* a variable of a module */
    DRV_MEM_POOL = 1 << 3,   /* a block of a pool */
    DRV_MEM_GRAPH = 1 << 4,  /* an allocation node's */
    DRV_MEM_MAPPED = 1 << 5, /* cuMemMap */
    DRV_MEM_IPC = 1 << 6,
    DRV_MEM_ARRAY = 1 << 7,
    DRV_MEM_HOST = 1 << 8,       /* cuMemHostAlloc */
    DRV_MEM_REGISTERED = 1 << 9, /* cuMemHostRegister */
} divvy_drv_mem_kind_t;

enum { DRV_MEM_ON_HOST = DRV_MEM_HOST | DRV_MEM_REGISTERED };

typedef struct divvy_drv_mem divvy_drv_mem_t;
struct divvy_drv_mem {
    uint64_t address, bytes;
    divvy_drv_mem_kind_t kind;
    unsigned flags;               /* of the call that made it */
    int device;                   /* engine index; host memory: -1 */
    uint64_t id;                  /* CU_POINTER_ATTRIBUTE_BUFFER_ID */
    divvy_drv_context_t *context; /* owner, which frees it when it goes; NULL: nobody */
    void *owner;                  /* POOL: divvy_drv_pool_t; GRAPH: its memory; MAPPED: none */
    void *block;                  /* POOL: its block there */
    uint64_t handle;              /* MAPPED */
    uint32_t readers, writers;    /* MAPPED: bit per ordinal, by cuMemSetAccess */
    bool sync_memops;
    /* Of the index: */
    divvy_drv_mem_t *left, *right;
    uint32_t rank;
};

/* Enters a copy of *MEM. -ENOMEM. */
int divvy_drv_mem_enter(const divvy_drv_mem_t *mem);
/* The allocation that contains ADDRESS (or starts there, for empty ones), copied. */
bool divvy_drv_mem_find(uint64_t address, divvy_drv_mem_t *ret_mem);
/* Takes the allocation that starts at ADDRESS, if it is one of KINDS, out of the index. */
bool divvy_drv_mem_take(uint64_t address, unsigned kinds, divvy_drv_mem_t *ret_mem);
/* Whether [address, address+bytes) is host memory that the driver knows. */
bool divvy_drv_mem_is_host(uint64_t address, uint64_t bytes);
/* Whether anything in [address, address+bytes) is entered. */
bool divvy_drv_mem_overlaps(uint64_t address, uint64_t bytes);
bool divvy_drv_mem_set_sync(uint64_t address, bool sync);
/* MAPPED: of the ordinals TOUCHED, those in READERS and WRITERS may use the mapping at ADDRESS;
 * the outcome is copied. */
bool divvy_drv_mem_set_access(uint64_t address, uint32_t touched, uint32_t readers,
                              uint32_t writers, divvy_drv_mem_t *ret_mem);
/* Frees all that CONTEXT owns; its work has ended. */
void divvy_drv_mem_free_all(divvy_drv_context_t *context);

/* Whether [address, address+bytes) may be used by the device: device memory or known host
 * memory. */
bool divvy_drv_mem_usable(uint64_t address, uint64_t bytes, bool write);

/* Opens memory of another process in the current context (ipc.c). POOLED: a pointer of a shared
 * pool, which is given up with cuMemFree or cuMemFreeAsync. Counted: the same memory again has
 * the same address. */
CUresult divvy_drv_ipc_open(const divvy_simgpu_ipc_t *ipc, bool pooled, CUdeviceptr *ret_address);
/* Gives up one opening; CUDA_ERROR_INVALID_VALUE when ADDRESS is not the start of one of that
 * kind. */
CUresult divvy_drv_ipc_close(CUdeviceptr address, bool pooled);

/* Gives host memory of kind HOST back to the system (host_memory.c). */
void divvy_drv_host_release(const divvy_drv_mem_t *mem);

/* Before memory of engine device DEVICE (-1: of the host) goes: waits for all work of the process
 * that may use it, as cuMemFree does. */
CUresult divvy_drv_mem_quiesce(int device);

#endif
