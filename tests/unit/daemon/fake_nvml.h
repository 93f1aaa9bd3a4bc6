/* What a test can tell the libnvidia-ml.so.1 of this folder, through its symbol fake_nvml. Words are atomic. */
#ifndef DIVVY_TESTS_DAEMON_FAKE_NVML_H
#define DIVVY_TESTS_DAEMON_FAKE_NVML_H

#include <stdint.h>

struct fake_nvml_control {
    uint32_t count;     /* devices that nvmlInit finds */
    uint32_t init_code; /* what nvmlInit answers */
    uint32_t lost;      /* bit mask: these have fallen off; nvmlInit brings back those that are no longer lost */
    uint32_t lame;      /* 1: power is not supported, 2: utilisation, 4: memory, 8: what processes do, 16: processes */
    uint32_t hang;      /* nvmlDeviceGetMemoryInfo does not return while it is set */
    uint32_t inits;     /* how often NVML was begun */
    uint32_t since_us;  /* from when on samples of processes were asked for last */
    uint32_t quiet;     /* no process has done anything since then */
    uint32_t nameless;  /* bit mask: no UUID */
};

#endif
