/*
 * What surrounds each exported function: the lock, the driver that is started when it is needed, and messages that wait until
 * the lock is given back. For exports_1.c, exports_2.c and what they share.
 */
#ifndef DIVVY_ACCEL_PROVIDER_CALL_H
#define DIVVY_ACCEL_PROVIDER_CALL_H

#include "accel/provider/provider.h"

#define DIVVY_PROVIDER_MESSAGES      6u
#define DIVVY_PROVIDER_MESSAGE_BYTES 256u

/* One call of the host, on its stack. */
struct divvy_provider_call {
    size_t count;
    struct {
        const char *level;
        char text[DIVVY_PROVIDER_MESSAGE_BYTES];
    } messages[DIVVY_PROVIDER_MESSAGES];
};

/* Takes the lock and starts the driver. Whatever it returns, divvy_provider_leave has to follow. */
AccelResult divvy_provider_enter(struct divvy_provider_call *call);

/* The same without the driver. */
void divvy_provider_enter_quietly(struct divvy_provider_call *call);

/* Gives the lock back, then tells the host what there is to tell. Returns `result`. */
AccelResult divvy_provider_leave(struct divvy_provider_call *call, AccelResult result);

/* Lets go of the driver; inside a call. */
void divvy_provider_stop(void);

/* NULL: nobody listens. */
void divvy_provider_listen(LogCallbackFunc callback);

/* Whether the public test programs' expectations about devices that do not exist are to be met; inside a call. */
bool divvy_provider_is_lenient(void);

/* --- what both generations do: arguments as they came ---------------------------------------------------------- */

/* The id, cut at 64 bytes and ended. False when it is NULL or empty. */
bool divvy_provider_id_read(const char *id, char ret_id[DIVVY_PROVIDER_ID_BYTES]);

AccelResult divvy_provider_count_get(size_t *ret_count);
AccelResult divvy_provider_partition_make(int generation, const char *template_id, const char *device_uuid,
                                          Accel2PartitionResult *ret_result);
AccelResult divvy_provider_partition_remove(const char *name, const char *device_uuid);
AccelResult divvy_provider_memory_limit(const char *device_uuid, uint64_t bytes);
AccelResult divvy_provider_compute_limit(const char *device_uuid, uint32_t percent);
AccelResult divvy_provider_freeze(const pid_t *pids, size_t count, const char *device_uuid, bool resume);
AccelResult divvy_provider_processes_get(ProcessInformation *infos, size_t max, size_t *ret_count);
AccelResult divvy_provider_metrics_get(const char **uuids, size_t count, DeviceMetrics *metrics);
AccelResult divvy_provider_mounts_get(MountPath *mounts, size_t max, size_t *ret_count);

#endif
