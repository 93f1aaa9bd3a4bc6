/* Event sets. One event is real here: XID 79 (the device fell off the bus), told once to each set that asked for
 * critical XIDs of the device. */
#include "simgpu/nvml/api.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum {
    EVENT_XID = 8,          /* nvmlEventTypeXidCriticalError */
    XID_OFF_THE_BUS = 79,
    POLL_NS = 10000000,
};

/* Sets are known by address, checked against the list. */
struct nvmlEventSet_st {
    struct nvmlEventSet_st *next;
    bool asked[DIVVY_SIMGPU_DEVICES_MAX];
    bool told[DIVVY_SIMGPU_DEVICES_MAX];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct nvmlEventSet_st *sets; /* under `lock` */

static bool set_known(nvmlEventSet_t set) {
    for (struct nvmlEventSet_st *known = sets; known != NULL; known = known->next) {
        if (known == set)
            return true;
    }
    return false;
}

void divvy_nvml_events_drop(void) {
    (void)pthread_mutex_lock(&lock);
    while (sets != NULL) {
        struct nvmlEventSet_st *next = sets->next;

        free(sets);
        sets = next;
    }
    (void)pthread_mutex_unlock(&lock);
}

nvmlReturn_t NVM(nvmlEventSetCreate)(nvmlEventSet_t *set) {
    struct nvmlEventSet_st *made;

    NVM_REQUIRE(set);
    made = calloc(1, sizeof(*made));
    if (made == NULL)
        return NVML_ERROR_MEMORY;
    (void)pthread_mutex_lock(&lock);
    made->next = sets;
    sets = made;
    (void)pthread_mutex_unlock(&lock);
    *set = made;
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlEventSetFree)(nvmlEventSet_t set) {
    nvmlReturn_t result = NVML_ERROR_INVALID_ARGUMENT;

    (void)pthread_mutex_lock(&lock);
    for (struct nvmlEventSet_st **link = &sets; *link != NULL; link = &(*link)->next) {
        if (*link == set) {
            *link = set->next;
            free(set);
            result = NVML_SUCCESS;
            break;
        }
    }
    (void)pthread_mutex_unlock(&lock);
    return result;
}

nvmlReturn_t NVM(nvmlDeviceGetSupportedEventTypes)(nvmlDevice_t device,
                                                   unsigned long long *eventTypes) {
    NVM_DEVICE(facts, device);
    NVM_REQUIRE(eventTypes);
    *eventTypes = EVENT_XID;
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlDeviceRegisterEvents)(nvmlDevice_t device, unsigned long long eventTypes,
                                           nvmlEventSet_t set) {
    nvmlReturn_t result = NVML_SUCCESS;
    NVM_DEVICE(facts, device);

    if ((eventTypes & ~(unsigned long long)EVENT_XID) != 0)
        return NVML_ERROR_NOT_SUPPORTED;
    (void)pthread_mutex_lock(&lock);
    if (!set_known(set))
        result = NVML_ERROR_INVALID_ARGUMENT;
    else if (eventTypes != 0)
        set->asked[facts->index] = true;
    (void)pthread_mutex_unlock(&lock);
    return result;
}

/* NVML_ERROR_TIMEOUT when there is nothing to tell yet. */
static nvmlReturn_t event_take(nvmlEventSet_t set, nvmlEventData_t *ret_data) {
    nvmlReturn_t result = NVML_ERROR_TIMEOUT;

    (void)pthread_mutex_lock(&lock);
    if (!set_known(set))
        result = NVML_ERROR_INVALID_ARGUMENT;
    for (int i = 0; result == NVML_ERROR_TIMEOUT && i < DIVVY_SIMGPU_DEVICES_MAX; i++) {
        if (!set->asked[i] || !divvy_simgpu_device_lost(i))
            continue;
        if (set->told[i]) {
            result = NVML_ERROR_GPU_IS_LOST;
            break;
        }
        set->told[i] = true;
        *ret_data = (nvmlEventData_t){
            .device = divvy_nvml_handle(i),
            .eventType = EVENT_XID,
            .eventData = XID_OFF_THE_BUS,
            .gpuInstanceId = 0xffffffffu,
            .computeInstanceId = 0xffffffffu,
        };
        result = NVML_SUCCESS;
    }
    (void)pthread_mutex_unlock(&lock);
    return result;
}

nvmlReturn_t NVM(nvmlEventSetWait_v2)(nvmlEventSet_t set, nvmlEventData_t *data,
                                      unsigned int timeoutms) {
    uint64_t start_ns = divvy_simgpu_now_ns();
    uint64_t limit_ns = (uint64_t)timeoutms * 1000000;

    NVM_REQUIRE(data);
    for (;;) {
        nvmlReturn_t result = event_take(set, data);
        uint64_t spent_ns = divvy_simgpu_now_ns() - start_ns, rest_ns;
        struct timespec pause = {.tv_nsec = POLL_NS};

        if (result != NVML_ERROR_TIMEOUT || spent_ns >= limit_ns)
            return result;
        rest_ns = limit_ns - spent_ns;
        if (rest_ns < POLL_NS)
            pause.tv_nsec = (long)rest_ns;
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
    }
}

/* The first version's structure ends before the instance numbers. */
nvmlReturn_t NVM(nvmlEventSetWait)(nvmlEventSet_t set, nvmlEventData_t *data,
                                   unsigned int timeoutms) {
    nvmlEventData_t full;

    NVM_REQUIRE(data);
    NVM_TRY(NVM(nvmlEventSetWait_v2)(set, &full, timeoutms));
    data->device = full.device;
    data->eventType = full.eventType;
    data->eventData = full.eventData;
    return NVML_SUCCESS;
}
