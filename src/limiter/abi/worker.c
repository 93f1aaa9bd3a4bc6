/*
 * The worker's half of limiter.h (divvy/accelerator_limiter.h), for programs that hook the driver themselves: what they record
 * is charged to the tenant's ledger and let through by its gate, like what divvy's own hooks see. docs/ACCELERATOR.md tells the
 * units and who may ask for whom. Linked into the library itself, like exports.c.
 */
#include "core/parse.h"
#include "core/sys.h"
#include "core/text.h"
#include "core/uuid.h"
#include "divvy/accelerator_limiter.h"
#include "limiter/compute/compute.h"
#include "limiter/hook/process.h"
#include "limiter/hook/real.h"
#include "limiter/memory/account.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TOKEN_NS   UINT64_C(1000)       /* a token is a microsecond of the GPU's time */
#define TOKENS_MAX UINT64_C(3600000000) /* an hour of it: nobody means more at once */
#define ID_BYTES   64u

static void id_write(char field[ID_BYTES], const char *id) {
    divvy_core_text_t text;

    divvy_core_text_init(&text, field, ID_BYTES);
    divvy_core_text_add_bytes(&text, id, strnlen(id, ID_BYTES));
}

static bool process_parse(const char *id, uint64_t *ret_pid) {
    return divvy_core_u64_parse(id, strnlen(id, ID_BYTES), ret_pid, NULL) == 0 && *ret_pid != 0;
}

/* By its pid where it is, or by the one outside, which a daemon knows. */
static bool process_is_self(uint64_t pid) {
    return pid == (uint64_t)divvy_core_sys_getpid() ||
           pid == __atomic_load_n(&divvy_process.page->slots[divvy_process.slot].host_pid, __ATOMIC_RELAXED);
}

/* Device of the page, or -1. */
static int device_find(const char *uuid_text) {
    divvy_core_uuid_t uuid;
    bool is_mig;

    return divvy_core_uuid_parse_any(uuid_text, strnlen(uuid_text, ID_BYTES), &uuid, &is_mig, NULL) < 0
               ? -1
               : divvy_process_page_device_by_uuid(&uuid);
}

enum standing { LIMITED, UNLIMITED, REFUSED, UNREADY };

/* Whether this process has limits, and a place among the tenant's to charge. */
static enum standing standing_find(void) {
    switch (divvy_process_open()) {
    case DIVVY_PROCESS_FREE:
        return UNLIMITED;
    case DIVVY_PROCESS_REFUSED:
        return REFUSED;
    case DIVVY_PROCESS_UNKNOWN:
    case DIVVY_PROCESS_LIMITED:
        break;
    }
    return divvy_real_resolve() && divvy_process_ready() ? LIMITED : UNREADY;
}

/* Where something of a device is asked: the device's number, or what to answer. */
static AccelResult device_ask(const char *process, const char *uuid, enum standing standing, int *ret_device) {
    uint64_t pid;

    if (!process_parse(process, &pid))
        return ACCEL_ERROR_INVALID_PARAM;
    if (standing == REFUSED || standing == UNREADY)
        return ACCEL_ERROR_OPERATION_FAILED;
    if (standing == UNLIMITED)
        return pid == (uint64_t)divvy_core_sys_getpid() ? ACCEL_SUCCESS : ACCEL_ERROR_NOT_FOUND;
    *ret_device = process_is_self(pid) ? device_find(uuid) : -1;
    return *ret_device < 0 ? ACCEL_ERROR_NOT_FOUND : ACCEL_SUCCESS;
}

static uint64_t bytes_left(int device) {
    uint64_t limit = __atomic_load_n(&divvy_process.page->devices[device].limit_bytes, __ATOMIC_RELAXED);
    uint64_t used = divvy_page_used(divvy_process.page, (unsigned)device);

    return used < limit ? limit - used : 0;
}

ACCELERATOR_API AccelResult CheckAndRecordMemoryOps(const char *processId, const char *deviceUUID, int64_t bytesDiff,
                                                    MemoryOpRecord *record) {
    enum standing standing;
    AccelResult result;
    int device = -1, saved = errno;

    if (!processId || !deviceUUID || !record || bytesDiff == INT64_MIN)
        return ACCEL_ERROR_INVALID_PARAM;
    *record = (MemoryOpRecord){.bytesDiff = bytesDiff, .shouldBlock = bytesDiff > 0};
    id_write(record->deviceUUID, deviceUUID);
    standing = standing_find();
    result = device_ask(processId, deviceUUID, standing, &device);
    if (result == ACCEL_SUCCESS && standing == UNLIMITED) {
        record->shouldBlock = false;
        record->availableBytes = UINT64_MAX;
    } else if (result == ACCEL_SUCCESS) {
        if (bytesDiff > 0)
            record->shouldBlock = divvy_memory_state(device, (uint64_t)bytesDiff) < 0;
        else if (divvy_memory_unstate(device, (uint64_t)-bytesDiff) < 0)
            result = ACCEL_ERROR_INVALID_PARAM;
        record->availableBytes = bytes_left(device);
    }
    errno = saved;
    return result;
}

ACCELERATOR_API AccelResult CheckAndRecordComputeOps(const char *processId, const char *deviceUUID, uint64_t computeTokens,
                                                     ComputeOpRecord *record) {
    enum standing standing;
    AccelResult result;
    uint64_t left_ns = UINT64_MAX;
    int device = -1, saved = errno, status = 0;

    if (!processId || !deviceUUID || !record || computeTokens > TOKENS_MAX)
        return ACCEL_ERROR_INVALID_PARAM;
    *record = (ComputeOpRecord){.computeTokens = computeTokens, .shouldBlock = true};
    id_write(record->deviceUUID, deviceUUID);
    standing = standing_find();
    result = device_ask(processId, deviceUUID, standing, &device);
    if (result == ACCEL_SUCCESS) {
        if (standing == LIMITED)
            status = divvy_compute_state((unsigned)device, computeTokens * TOKEN_NS, &left_ns);
        if (status == -ENODEV)
            result = ACCEL_ERROR_NOT_FOUND;
        record->shouldBlock = status < 0;
        record->availableTokens = left_ns == UINT64_MAX ? UINT64_MAX : left_ns / TOKEN_NS;
    }
    errno = saved;
    return result;
}

/* --- stopping and going on --------------------------------------------------------------------------------------------------- */

static uint64_t frozen_ms; /* when the worker was stopped, 0: it is not; atomic */

/* Every name that the worker of this process goes by. */
static bool worker_is_self(const char *id) {
    static const char *const variables[] = {"WORKER_ID", "DIVVY_TENANT", "POD_NAME"};
    size_t length = strnlen(id, ID_BYTES);

    if (length == 0)
        return false;
    if (divvy_process.page && strnlen(divvy_process.page->tenant, sizeof divvy_process.page->tenant) == length &&
        memcmp(divvy_process.page->tenant, id, length) == 0)
        return true;
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        const char *name = getenv(variables[i]);

        if (name && strlen(name) == length && memcmp(name, id, length) == 0)
            return true;
    }
    return false;
}

static AccelResult worker_ask(const char *id) {
    switch (standing_find()) {
    case UNLIMITED:
        return ACCEL_ERROR_NOT_SUPPORTED; /* there is no gate to shut */
    case REFUSED:
    case UNREADY:
        return ACCEL_ERROR_OPERATION_FAILED;
    case LIMITED:
        break;
    }
    return worker_is_self(id) ? ACCEL_SUCCESS : ACCEL_ERROR_NOT_FOUND;
}

static void freeze(void) {
    struct timespec now;
    uint64_t none = 0, now_ms;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    (void)__atomic_compare_exchange_n(&frozen_ms, &none, now_ms, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    divvy_compute_suspend(DIVVY_COMPUTE_BY_WORKER, true);
}

/* -EBUSY: it goes on no more than before, for a hypervisor has stopped it as well. */
static int thaw(void) {
    __atomic_store_n(&frozen_ms, 0, __ATOMIC_SEQ_CST);
    divvy_compute_suspend(DIVVY_COMPUTE_BY_WORKER, false);
    return divvy_compute_is_suspended() ? -EBUSY : 0;
}

static void state_write(WorkerFreezeState *state, const char *id) {
    *state = (WorkerFreezeState){.isFrozen = divvy_compute_is_suspended(),
                                 .freezeTimeMs = __atomic_load_n(&frozen_ms, __ATOMIC_SEQ_CST)};
    id_write(state->workerId, id);
}

ACCELERATOR_API AccelResult FreezeWorker(const char *workerId, WorkerFreezeState *state) {
    AccelResult result;
    int saved = errno;

    if (!workerId || !state)
        return ACCEL_ERROR_INVALID_PARAM;
    *state = (WorkerFreezeState){0};
    result = worker_ask(workerId);
    if (result == ACCEL_SUCCESS) {
        freeze();
        state_write(state, workerId);
    }
    errno = saved;
    return result;
}

ACCELERATOR_API AccelResult ResumeWorker(const char *workerId, WorkerFreezeState *state) {
    AccelResult result;
    int saved = errno;

    if (!workerId || !state)
        return ACCEL_ERROR_INVALID_PARAM;
    *state = (WorkerFreezeState){0};
    result = worker_ask(workerId);
    if (result == ACCEL_SUCCESS) {
        if (thaw() < 0)
            result = ACCEL_ERROR_OPERATION_FAILED;
        state_write(state, workerId);
    }
    errno = saved;
    return result;
}

enum resource { MEMORY, COMPUTE, NEITHER };

static enum resource resource_parse(const char *name) {
    size_t length = strnlen(name, ID_BYTES);

    return divvy_core_word_equal(name, length, "memory")    ? MEMORY
           : divvy_core_word_equal(name, length, "compute") ? COMPUTE
                                                            : NEITHER;
}

static AccelResult resource_ask(const char *worker, const char *uuid, const char *name, int *ret_device) {
    AccelResult result;

    if (!worker || !uuid || !name || resource_parse(name) == NEITHER)
        return ACCEL_ERROR_INVALID_PARAM;
    result = worker_ask(worker);
    if (result != ACCEL_SUCCESS)
        return result;
    *ret_device = device_find(uuid);
    return *ret_device < 0 ? ACCEL_ERROR_NOT_FOUND : ACCEL_SUCCESS;
}

ACCELERATOR_API AccelResult AutoFreeze(const char *workerId, const char *deviceUUID, const char *resourceType) {
    int device, saved = errno;
    AccelResult result = resource_ask(workerId, deviceUUID, resourceType, &device);

    if (result == ACCEL_SUCCESS)
        freeze();
    errno = saved;
    return result;
}

ACCELERATOR_API AccelResult AutoResume(const char *workerId, const char *deviceUUID, const char *resourceType) {
    int device, saved = errno;
    AccelResult result = resource_ask(workerId, deviceUUID, resourceType, &device);

    if (result == ACCEL_SUCCESS) {
        divvy_memory_reap();
        /* of the GPU's time there is enough for whoever waits at the gate */
        if (resource_parse(resourceType) == MEMORY && bytes_left(device) == 0)
            result = ACCEL_ERROR_RESOURCE_EXHAUSTED;
        else if (thaw() < 0)
            result = ACCEL_ERROR_OPERATION_FAILED;
    }
    errno = saved;
    return result;
}

/* --- whose process ------------------------------------------------------------------------------------------------------------ */

/* Processes enter themselves; a host's word for another one is only checked. */
static bool process_is_entered(uint64_t pid) {
    for (unsigned i = 0; i < DIVVY_PAGE_SLOTS; i++) {
        const struct divvy_page_slot *slot = &divvy_process.page->slots[i];
        uint64_t owner = __atomic_load_n(&slot->owner.low, __ATOMIC_RELAXED);

        if (owner != 0 && ((owner & UINT32_MAX) == pid || __atomic_load_n(&slot->host_pid, __ATOMIC_RELAXED) == pid))
            return true;
    }
    return false;
}

ACCELERATOR_API AccelResult AddWorkerProcess(const char *deviceUUID, const char *processId) {
    AccelResult result = ACCEL_SUCCESS;
    int saved = errno;
    uint64_t pid;

    if (!deviceUUID || !processId || !process_parse(processId, &pid))
        return ACCEL_ERROR_INVALID_PARAM;
    switch (standing_find()) {
    case UNLIMITED:
        result = ACCEL_ERROR_NOT_SUPPORTED;
        break;
    case REFUSED:
    case UNREADY:
        result = ACCEL_ERROR_OPERATION_FAILED;
        break;
    case LIMITED:
        if (device_find(deviceUUID) < 0 || !process_is_entered(pid))
            result = ACCEL_ERROR_NOT_FOUND;
        break;
    }
    errno = saved;
    return result;
}
