/* Partitions in name only: see lenient.h. */
#include "accel/provider/lenient.h"
#include "core/text.h"

AccelResult divvy_lenient_assign(int generation, const char *template_id, const char *device_uuid,
                                 Accel2PartitionResult *ret_result) {
    static unsigned int counter; /* under the lock of the call */
    divvy_core_text_t uuid;

    divvy_core_text_init(&uuid, ret_result->deviceUUID, sizeof ret_result->deviceUUID);
    ret_result->type = PARTITION_TYPE_ENVIRONMENT_VARIABLE;
    if (generation == 1) {
        divvy_core_text_format(&uuid, "partition-%.*s-%.*s", 26, template_id, 26, device_uuid);
        return ACCEL_SUCCESS;
    }
    /* The number must survive a long name. */
    divvy_core_text_format(&uuid, "%.*s-partition-%u", 42, device_uuid, counter++);
    divvy_provider_variable(ret_result, "CUDA_VISIBLE_DEVICES", "0");
    divvy_provider_variable(ret_result, "GPU_UUID", device_uuid);
    divvy_provider_variable(ret_result, "PARTITION_TEMPLATE", template_id);
    return ACCEL_SUCCESS;
}
