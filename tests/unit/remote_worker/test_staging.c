/* Memory for what comes in, with a driver that copies as late as it may: no byte is overwritten before it has been copied. */
#include "remote/worker/staging.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define COPIES_MAX 4096u
#define FRAME_MOST 5000u

/* --- a driver whose copies are made when somebody waits ------------------------------------------------------- */

static struct {
    struct {
        const unsigned char *from;
        unsigned char *to;
        size_t bytes;
        CUstream stream;
    } copies[COPIES_MAX];
    size_t count, done;
    size_t events[2 * DIVVY_WORKER_STAGING_PIECES], event_count; /* copies that an event covers */
    unsigned int allocated, retained, registered, refuses_after;
    bool refuses_to_register;
    CUcontext current;
} device;

static char context, other_context, streams[2];

static void copy(const void *from, void *to, size_t bytes, CUstream stream) {
    assert_true(device.count < COPIES_MAX);
    device.copies[device.count].from = from;
    device.copies[device.count].to = to;
    device.copies[device.count].bytes = bytes;
    device.copies[device.count++].stream = stream;
}

static void copies_do(size_t until, CUstream stream, bool all) {
    for (size_t i = device.done; i < until; i++)
        if (all || device.copies[i].stream == stream) {
            memcpy(device.copies[i].to, device.copies[i].from, device.copies[i].bytes);
            device.copies[i].bytes = 0;
        }
    while (device.done < device.count && device.copies[device.done].bytes == 0)
        device.done++;
}

static CUresult host_alloc(void **ret, size_t bytes, unsigned int flags) {
    assert_int_equal(flags, CU_MEMHOSTALLOC_PORTABLE);
    if (device.refuses_after > 0 && --device.refuses_after == 0)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *ret = malloc(bytes);
    device.allocated++;
    return CUDA_SUCCESS;
}

static CUresult host_free(void *memory) {
    copies_do(device.count, NULL, true); /* as the driver: it waits for the device */
    free(memory);
    device.allocated--;
    return CUDA_SUCCESS;
}

static CUresult host_register(void *memory, size_t bytes, unsigned int flags) {
    assert_ptr_equal(device.current, &context);
    assert_int_equal(flags, CU_MEMHOSTREGISTER_PORTABLE);
    if (!memory || bytes == 0 || device.refuses_to_register)
        return CUDA_ERROR_NOT_SUPPORTED;
    device.registered++;
    return CUDA_SUCCESS;
}

static CUresult host_unregister(void *memory) {
    assert_non_null(memory);
    assert_ptr_equal(device.current, &context);
    device.registered--;
    return CUDA_SUCCESS;
}

static CUresult event_create(CUevent *ret, unsigned int flags) {
    (void)flags;
    *ret = (CUevent)(void *)&device.events[device.event_count++ % (2 * DIVVY_WORKER_STAGING_PIECES)];
    return CUDA_SUCCESS;
}

static CUresult event_destroy(CUevent event) {
    return event ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

static CUresult event_record(CUevent event, CUstream stream) {
    assert_ptr_equal(device.current, &context); /* events belong to their context */
    (void)stream;
    *(size_t *)(void *)event = device.count;
    return CUDA_SUCCESS;
}

/* Only copies of one stream are sure to be done: those of others are not. */
static CUresult event_synchronize(CUevent event) {
    size_t until = *(size_t *)(void *)event;

    if (until > 0)
        copies_do(until, device.copies[until - 1].stream, false);
    return CUDA_SUCCESS;
}

static CUresult stream_synchronize(CUstream stream) {
    copies_do(device.count, stream, false);
    return CUDA_SUCCESS;
}

static CUresult retain(CUcontext *ret, CUdevice number) {
    *ret = (CUcontext)(void *)&context;
    device.retained++;
    return number == 3 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

static CUresult release(CUdevice number) {
    device.retained--;
    return number == 3 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

static CUresult set_current(CUcontext wanted) {
    device.current = wanted;
    return CUDA_SUCCESS;
}

static const struct divvy_worker_driver driver = {
    .cuMemHostAlloc = host_alloc,       .cuMemFreeHost = host_free,
    .cuEventCreate = event_create,      .cuEventDestroy_v2 = event_destroy,
    .cuEventRecord = event_record,      .cuEventSynchronize = event_synchronize,
    .cuStreamSynchronize = stream_synchronize,
    .cuDevicePrimaryCtxRetain = retain, .cuDevicePrimaryCtxRelease_v2 = release,
    .cuCtxSetCurrent = set_current,
    .cuMemHostRegister_v2 = host_register, .cuMemHostUnregister = host_unregister,
};

/* --- tests ------------------------------------------------------------------------------------------------------- */

/* One frame after the other comes in pieces; its copy, from where it lies, must bring what was sent. */
static void nothing_is_overwritten(void **state) {
    unsigned int seed = (unsigned int)time(NULL), frames = 2000;
    unsigned char *sent = malloc((size_t)frames * FRAME_MOST), *got = calloc(frames, FRAME_MOST);
    struct divvy_worker_staging staging;
    CUcontext current = (CUcontext)(void *)&context;

    (void)state;
    print_message("seed %u\n", seed);
    srand(seed);
    memset(&device, 0, sizeof device);
    divvy_worker_staging_init(&staging, &driver);
    assert_int_equal(divvy_worker_staging_grow(&staging, 2 * FRAME_MOST), 0);
    for (size_t i = 0; i < (size_t)frames * FRAME_MOST; i++)
        sent[i] = (unsigned char)rand();
    for (size_t i = 0; i < frames; i++) {
        size_t length = 1 + (size_t)rand() % FRAME_MOST, at = i * FRAME_MOST;
        CUstream stream = (CUstream)(void *)&streams[rand() % 8 == 0];

        if (i == 50)
            divvy_worker_staging_pin(&staging, 3, FRAME_MOST, current);
        if (i == frames - 50)
            assert_int_equal(divvy_worker_staging_unpin(&staging, current), 0);
        if (rand() % 16 == 0)
            current = (CUcontext)(void *)(current == (void *)&context ? &other_context : &context);
        (void)set_current(current);
        while (staging.end - staging.start < length) {
            size_t part = 1 + (size_t)rand() % (length - (staging.end - staging.start));

            divvy_worker_staging_room(&staging, rand() % 2 ? FRAME_MOST : length, current);
            assert_ptr_equal(device.current, current);
            assert_true(staging.piece_bytes - staging.start >= length);
            memcpy(staging.pieces[staging.at].bytes + staging.end, sent + at + (staging.end - staging.start), part);
            staging.end += part;
        }
        copy(staging.pieces[staging.at].bytes + staging.start, got + at, length, stream);
        if (!staging.context)
            copies_do(device.count, NULL, true); /* plain memory is copied at once */
        assert_int_equal(divvy_worker_staging_copied(&staging, staging.pieces[staging.at].bytes + staging.start, stream, current), 0);
        memset(sent + at + length, 0, FRAME_MOST - length);
        staging.start += length;
        assert_int_equal(device.allocated, staging.context ? DIVVY_WORKER_STAGING_PIECES + 1 : 0);
        if (device.done == device.count)
            device.done = device.count = 0;
        if (device.count == 0)
            memset(device.events, 0, sizeof device.events);
    }
    copies_do(device.count, NULL, true);
    assert_memory_equal(sent, got, (size_t)frames * FRAME_MOST);
    divvy_worker_staging_done(&staging);
    assert_int_equal(device.retained, 0);
    free(sent);
    free(got);
}

static void a_driver_that_refuses_leaves_plain_memory(void **state) {
    (void)state;
    for (unsigned int after = 1; after <= DIVVY_WORKER_STAGING_PIECES + 1; after++) {
        struct divvy_worker_staging staging;

        memset(&device, 0, sizeof device);
        divvy_worker_staging_init(&staging, &driver);
        assert_int_equal(divvy_worker_staging_grow(&staging, 100), 0);
        device.refuses_after = after;
        divvy_worker_staging_pin(&staging, 3, FRAME_MOST, (CUcontext)(void *)&other_context);
        assert_null(staging.context);
        assert_int_equal(device.allocated, 0);
        assert_int_equal(device.retained, 0);
        assert_ptr_equal(device.current, &other_context);
        device.refuses_after = 0;
        divvy_worker_staging_pin(&staging, 3, FRAME_MOST, NULL); /* it is not asked again */
        assert_null(staging.context);
        divvy_worker_staging_done(&staging);
    }
}

/* The client may write into shared memory as soon as it is told that its bytes were taken: the device must have read them by then. */
static void shared_memory_is_pinned_and_read_at_once(void **state) {
    CUstream stream = (CUstream)(void *)&streams[0];
    char shared[64] = "what the client sent", got[64] = "";

    (void)state;
    for (int refuses = 0; refuses < 2; refuses++) {
        struct divvy_worker_staging staging;

        memset(&device, 0, sizeof device);
        memset(got, 0, sizeof got);
        device.refuses_to_register = refuses;
        divvy_worker_staging_init(&staging, &driver);
        staging.shared = shared;
        staging.shared_bytes = sizeof shared;
        assert_int_equal(divvy_worker_staging_grow(&staging, 100), 0);
        divvy_worker_staging_pin(&staging, 3, FRAME_MOST, (CUcontext)(void *)&other_context);
        assert_ptr_equal(device.current, &other_context);
        assert_non_null(staging.context);
        assert_int_equal(staging.is_shared_pinned, !refuses);
        assert_int_equal(device.registered, !refuses);
        copy(shared + 5, got, 10, stream);
        if (refuses)
            copies_do(device.count, NULL, true); /* plain memory is copied at once */
        assert_int_equal(divvy_worker_staging_copied(&staging, shared + 5, stream, (CUcontext)(void *)&other_context), 0);
        assert_memory_equal(got, "the client", 10);
        assert_int_equal(divvy_worker_staging_unpin(&staging, (CUcontext)(void *)&other_context), 0);
        assert_int_equal(device.registered, 0);
        assert_ptr_equal(staging.shared, shared); /* the next context pins it again */
        divvy_worker_staging_pin(&staging, 3, FRAME_MOST, (CUcontext)(void *)&other_context);
        assert_int_equal(device.registered, !refuses);
        divvy_worker_staging_done(&staging);
        assert_int_equal(device.registered, 0);
        assert_int_equal(device.retained, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_is_overwritten),
                                       cmocka_unit_test(a_driver_that_refuses_leaves_plain_memory),
                                       cmocka_unit_test(shared_memory_is_pinned_and_read_at_once)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
