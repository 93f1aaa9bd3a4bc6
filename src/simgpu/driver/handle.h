/*
 * Live handles. Whatever a program hands in as a handle is checked here before anything is read
 * through it, so that garbage and freed handles are errors, not crashes.
 *
 * A handle is the address of a slot in one reserved area; slots are used again as late as possible.
 * All functions are thread-safe and never block for long.
 */
#ifndef DIVVY_SIMGPU_DRIVER_HANDLE_H
#define DIVVY_SIMGPU_DRIVER_HANDLE_H

#include <stdint.h>

typedef enum {
    DRV_HANDLE_NONE, /* a free slot */
    DRV_HANDLE_CONTEXT,
    DRV_HANDLE_MODULE,
    DRV_HANDLE_FUNCTION,
    DRV_HANDLE_LIBRARY,
    DRV_HANDLE_KERNEL,
    DRV_HANDLE_STREAM,
    DRV_HANDLE_EVENT,
    DRV_HANDLE_ARRAY,
    DRV_HANDLE_MIPMAP,
    DRV_HANDLE_POOL,
    DRV_HANDLE_GRAPH,
    DRV_HANDLE_NODE,
    DRV_HANDLE_EXEC,
    DRV_HANDLE_LINK,
    DRV_HANDLE_USER_OBJECT,
    DRV_HANDLE_EXTERNAL,
    DRV_HANDLE_MAX
} divvy_drv_handle_kind_t;

/* A handle for OBJECT, or NULL when there are none left. */
void *divvy_drv_handle_new(divvy_drv_handle_kind_t kind, void *object);

/* The object behind HANDLE, or NULL when it is not a live handle of that kind. HANDLE may be
 * anything. */
void *divvy_drv_handle_get(const void *handle, divvy_drv_handle_kind_t kind);

/* Ends HANDLE; NULL and foreign values are ignored. Of several threads that end the same one,
 * one gets 1. */
int divvy_drv_handle_end(const void *handle, divvy_drv_handle_kind_t kind);

#endif
