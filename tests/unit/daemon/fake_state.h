/* What the parts around the state told it, for tests of theirs. */
#ifndef DIVVY_TESTS_DAEMON_FAKE_STATE_H
#define DIVVY_TESTS_DAEMON_FAKE_STATE_H

#include "node/registry.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define FAKE_ENDED_MAX 8192u

struct fake_ended {
    char id[DIVVY_NODE_ID_BYTES];
    int32_t pid; /* 0: the keeper */
    uint64_t start_ticks;
};

/* The last look at the devices, and how many there were. */
uint64_t fake_devices(struct divvy_node_device *ret_devices, size_t *ret_count);

/* Waits until `good` holds for the devices seen; false after five seconds. */
bool fake_devices_wait(bool (*good)(const struct divvy_node_device *devices, size_t count));

/* Processes that ended, in order; how many. Waits for at least `count`, at most ten seconds. */
uint32_t fake_ended_wait(uint32_t count, struct fake_ended *ret_ended, uint32_t room);
void fake_ended_forget(void);

#endif
