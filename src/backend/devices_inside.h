/* The device controller from inside: for devices.c, devices_figures.c and partitions.c only. */
#ifndef DIVVY_BACKEND_DEVICES_INSIDE_H
#define DIVVY_BACKEND_DEVICES_INSIDE_H

#include "backend/devices.h"
#include "backend/filestate.h"
#include "core/parse.h"

#include <pthread.h>

/*
 * `work` is held by whoever changes something, for as long as it takes, library and handlers included; it may be taken again by its
 * holder. `lock` is held for moments, inside of `work` or without it, and guards the table.
 */
struct divvy_backend_devices {
    struct divvy_backend_devices_options options;
    char *library, *vendor;
    pthread_mutex_t work, lock;
    pthread_cond_t wake; /* with lock */
    pthread_t thread;
    bool looking, stopping, discovered;
    struct divvy_accel *accel;
    struct divvy_backend_filestate *file; /* NULL: nothing is written down */
    struct divvy_backend_device **table;  /* also those that have vanished, not healthy */
    size_t count;
    struct divvy_backend_device_handler *handlers;
    size_t handler_count;
};

enum divvy_backend_tale { DIVVY_BACKEND_NO_TALE, DIVVY_BACKEND_ADDED, DIVVY_BACKEND_REMOVED, DIVVY_BACKEND_UPDATED };

/* Under `work`. */
void divvy_backend_devices_tell(struct divvy_backend_devices *devices, enum divvy_backend_tale tale,
                                struct divvy_backend_device *before, struct divvy_backend_device *after);

/* Under `lock`: a place in the table, or NULL; enters (takes the reference over on success); takes out, the reference is the caller's. */
struct divvy_backend_device **divvy_backend_devices_find(struct divvy_backend_devices *devices, const char *uuid);
int divvy_backend_devices_enter(struct divvy_backend_devices *devices, struct divvy_backend_device *device);
void divvy_backend_devices_leave(struct divvy_backend_devices *devices, struct divvy_backend_device **place);

/* Under `work`. Writes the table to devices.json; says so in the log when it cannot. */
void divvy_backend_devices_save(struct divvy_backend_devices *devices);
/* Enters the partitions that devices.json tells of and the table does not have; not healthy until their device is seen. */
void divvy_backend_devices_recover(struct divvy_backend_devices *devices);

#endif
