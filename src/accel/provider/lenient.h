/* What libraries answer about partitions of devices that do not exist, for the ABI's public test programs: see provider.h. */
#ifndef DIVVY_ACCEL_PROVIDER_LENIENT_H
#define DIVVY_ACCEL_PROVIDER_LENIENT_H

#include "accel/provider/provider.h"

/* A partition in name only, as the reference library of that generation names it. Always SUCCESS. */
AccelResult divvy_lenient_assign(int generation, const char *template_id, const char *device_uuid,
                                 Accel2PartitionResult *ret_result);

#endif
