/*
 * Memory of the host for what comes in from a client and goes out to it: the driver reads and writes it without another copy, once
 * the client has a primary context for it to belong to; until then it is plain memory.
 *
 * What comes in lies in one of several pieces. A piece that the device still reads is left alone until it has done so. Memory that is shared
 * with the client is not ours, but pinned along with the rest.
 */
#ifndef DIVVY_REMOTE_WORKER_STAGING_H
#define DIVVY_REMOTE_WORKER_STAGING_H

#include "remote/worker/driver.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIVVY_WORKER_STAGING_PIECES 4u

struct divvy_worker_piece {
    char *bytes;
    CUevent event;   /* pinned pieces: after the last copy from it */
    CUstream stream; /* of that copy */
    bool is_read;    /* by the device, until the event */
};

/* One thread uses it. */
struct divvy_worker_staging {
    const struct divvy_worker_driver *driver;
    CUcontext context; /* NULL: plain memory, one piece */
    CUdevice device;
    bool is_refused; /* the driver has no such memory */
    struct divvy_worker_piece pieces[DIVVY_WORKER_STAGING_PIECES];
    size_t piece_bytes; /* of each */
    char *out;          /* pinned memory for answers, as large as two pieces; NULL: none */
    char *shared;       /* memory that client and worker share, and that stays as long as this; NULL: none */
    size_t shared_bytes;
    bool is_shared_pinned; /* the device reads and writes it by itself */
    uint32_t at;        /* the piece that is filled */
    size_t start, end;  /* in it: bytes that came and are not used up */
};

void divvy_worker_staging_init(struct divvy_worker_staging *staging, const struct divvy_worker_driver *driver);
void divvy_worker_staging_done(struct divvy_worker_staging *staging);

/* Plain memory of at least this size. 0 or -ENOMEM. */
int divvy_worker_staging_grow(struct divvy_worker_staging *staging, size_t bytes);

/*
 * Goes over to memory that the driver pins (shared memory too, where it can), of at least this size for each piece, beneath the primary context of this device. Does nothing when it is
 * done already or the driver refuses. `current` is current again afterwards.
 */
void divvy_worker_staging_pin(struct divvy_worker_staging *staging, CUdevice device, size_t bytes, CUcontext current);

/* Back to plain memory, with what is there. 0 or -ENOMEM. The context that was current is current again. */
int divvy_worker_staging_unpin(struct divvy_worker_staging *staging, CUcontext current);

/*
 * Makes room behind `end` for a frame of `bytes` (at most a piece) whose beginning is what is there, in another piece if this one
 * is full or being read. `current` is current again afterwards.
 */
void divvy_worker_staging_room(struct divvy_worker_staging *staging, size_t bytes, CUcontext current);

/*
 * A copy from `bytes` was begun on `stream` of the context that is current. Sees to it that the bytes stay as long as the device
 * reads them; waits where nothing else helps.
 */
int32_t divvy_worker_staging_copied(struct divvy_worker_staging *staging, const void *bytes, CUstream stream, CUcontext current);

#endif
