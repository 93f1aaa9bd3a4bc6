/* Memory for what comes in: see staging.h. */
#include "remote/worker/staging.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void divvy_worker_staging_init(struct divvy_worker_staging *staging, const struct divvy_worker_driver *driver) {
    *staging = (struct divvy_worker_staging){.driver = driver};
}

int divvy_worker_staging_grow(struct divvy_worker_staging *staging, size_t bytes) {
    char *grown;

    if (staging->piece_bytes >= bytes || staging->context)
        return staging->piece_bytes >= bytes ? 0 : -ENOMEM;
    grown = realloc(staging->pieces[0].bytes, bytes);
    if (!grown)
        return -ENOMEM;
    staging->pieces[0].bytes = grown;
    staging->piece_bytes = bytes;
    return 0;
}

static void pieces_release(struct divvy_worker_staging *staging, struct divvy_worker_piece *pieces, char *out) {
    if (out)
        (void)staging->driver->cuMemFreeHost(out);
    for (size_t i = 0; i < DIVVY_WORKER_STAGING_PIECES; i++) {
        if (pieces[i].event)
            (void)staging->driver->cuEventDestroy_v2(pieces[i].event);
        if (pieces[i].bytes)
            (void)staging->driver->cuMemFreeHost(pieces[i].bytes);
    }
}

/* A file on a disk cannot be pinned, and need not be: the driver copies from it then as from any memory. */
static void shared_pin(struct divvy_worker_staging *staging) {
    const struct divvy_worker_driver *driver = staging->driver;

    staging->is_shared_pinned =
        staging->shared && driver->cuMemHostRegister_v2 && driver->cuMemHostUnregister &&
        driver->cuMemHostRegister_v2(staging->shared, staging->shared_bytes, CU_MEMHOSTREGISTER_PORTABLE) == CUDA_SUCCESS;
}

/* All of them, or none. */
static bool pieces_make(struct divvy_worker_staging *staging, size_t bytes, struct divvy_worker_piece *ret_pieces, char **ret_out) {
    void *out = NULL;

    if (staging->driver->cuMemHostAlloc(&out, 2 * bytes, CU_MEMHOSTALLOC_PORTABLE) != CUDA_SUCCESS)
        return false;
    *ret_out = out;
    for (size_t i = 0; i < DIVVY_WORKER_STAGING_PIECES; i++) {
        void *memory = NULL;

        if (staging->driver->cuMemHostAlloc(&memory, bytes, CU_MEMHOSTALLOC_PORTABLE) != CUDA_SUCCESS)
            return false;
        ret_pieces[i].bytes = memory;
        if (staging->driver->cuEventCreate(&ret_pieces[i].event, CU_EVENT_DISABLE_TIMING) != CUDA_SUCCESS) {
            ret_pieces[i].event = NULL;
            return false;
        }
    }
    return true;
}

void divvy_worker_staging_pin(struct divvy_worker_staging *staging, CUdevice device, size_t bytes, CUcontext current) {
    const struct divvy_worker_driver *driver = staging->driver;
    struct divvy_worker_piece pieces[DIVVY_WORKER_STAGING_PIECES] = {{0}};
    size_t there = staging->end - staging->start;
    CUcontext context;
    char *out = NULL;

    if (staging->context || staging->is_refused)
        return;
    staging->is_refused = true;
    if (bytes < there)
        bytes = there;
    if (!driver->cuMemHostAlloc || !driver->cuMemFreeHost || driver->cuDevicePrimaryCtxRetain(&context, device) != CUDA_SUCCESS)
        return;
    if (driver->cuCtxSetCurrent(context) == CUDA_SUCCESS && pieces_make(staging, bytes, pieces, &out)) {
        if (there)
            memcpy(pieces[0].bytes, staging->pieces[0].bytes + staging->start, there);
        free(staging->pieces[0].bytes);
        memcpy(staging->pieces, pieces, sizeof pieces);
        staging->context = context;
        staging->device = device;
        staging->out = out;
        staging->piece_bytes = bytes;
        staging->at = 0;
        staging->start = 0;
        staging->end = there;
        staging->is_refused = false;
        shared_pin(staging);
    } else {
        pieces_release(staging, pieces, out);
        (void)driver->cuDevicePrimaryCtxRelease_v2(device);
    }
    (void)driver->cuCtxSetCurrent(current);
}

/* What the device reads may not be changed. An error of the device is the client's to learn, by its own requests. */
static void piece_wait(struct divvy_worker_staging *staging, struct divvy_worker_piece *piece, CUcontext current) {
    if (!piece->is_read)
        return;
    if (current != staging->context)
        (void)staging->driver->cuCtxSetCurrent(staging->context);
    (void)staging->driver->cuEventSynchronize(piece->event);
    if (current != staging->context)
        (void)staging->driver->cuCtxSetCurrent(current);
    piece->is_read = false;
}

void divvy_worker_staging_room(struct divvy_worker_staging *staging, size_t bytes, CUcontext current) {
    struct divvy_worker_piece *piece = &staging->pieces[staging->at];
    size_t there = staging->end - staging->start;
    const char *from = piece->bytes + staging->start;

    if (there == 0 && !piece->is_read)
        staging->start = staging->end = 0;
    if (staging->piece_bytes - staging->start >= bytes && staging->piece_bytes > staging->end)
        return;
    if (piece->is_read) {
        staging->at = (staging->at + 1) % DIVVY_WORKER_STAGING_PIECES;
        piece = &staging->pieces[staging->at];
        piece_wait(staging, piece, current);
    }
    memmove(piece->bytes, from, there);
    staging->start = 0;
    staging->end = there;
}

int32_t divvy_worker_staging_copied(struct divvy_worker_staging *staging, const void *bytes, CUstream stream, CUcontext current) {
    struct divvy_worker_piece *piece = &staging->pieces[staging->at];
    const char *at = bytes;

    if (staging->is_shared_pinned && at >= staging->shared && at < staging->shared + staging->shared_bytes)
        return (int32_t)staging->driver->cuStreamSynchronize(stream); /* the client writes there as soon as it may */
    if (!staging->context || at < piece->bytes || at >= piece->bytes + staging->piece_bytes)
        return 0;
    /* An event belongs to its context, and tells of one stream. */
    if (current != staging->context || (piece->is_read && piece->stream != stream) ||
        staging->driver->cuEventRecord(piece->event, stream) != CUDA_SUCCESS)
        return (int32_t)staging->driver->cuStreamSynchronize(stream);
    piece->stream = stream;
    piece->is_read = true;
    return 0;
}

static void pinned_release(struct divvy_worker_staging *staging) {
    if (staging->driver->cuCtxSetCurrent(staging->context) == CUDA_SUCCESS) {
        for (size_t i = 0; i < DIVVY_WORKER_STAGING_PIECES; i++)
            piece_wait(staging, &staging->pieces[i], staging->context);
        if (staging->is_shared_pinned)
            (void)staging->driver->cuMemHostUnregister(staging->shared);
        pieces_release(staging, staging->pieces, staging->out);
    }
    (void)staging->driver->cuDevicePrimaryCtxRelease_v2(staging->device);
}

int divvy_worker_staging_unpin(struct divvy_worker_staging *staging, CUcontext current) {
    struct divvy_worker_staging plain = {.driver = staging->driver,
                                         .end = staging->end - staging->start,
                                         .shared = staging->shared,
                                         .shared_bytes = staging->shared_bytes};

    if (!staging->context)
        return 0;
    if (divvy_worker_staging_grow(&plain, staging->piece_bytes) < 0)
        return -ENOMEM;
    memcpy(plain.pieces[0].bytes, staging->pieces[staging->at].bytes + staging->start, plain.end);
    pinned_release(staging);
    (void)staging->driver->cuCtxSetCurrent(current);
    *staging = plain;
    return 0;
}

void divvy_worker_staging_done(struct divvy_worker_staging *staging) {
    if (staging->context)
        pinned_release(staging);
    else
        free(staging->pieces[0].bytes);
    *staging = (struct divvy_worker_staging){.driver = staging->driver};
}
