/* A state of the daemon for tests of the HTTP server: two devices, tenants in an array, failures on request. */
#ifndef DIVVY_TESTS_DAEMON_HTTP_FAKE_STATE_H
#define DIVVY_TESTS_DAEMON_HTTP_FAKE_STATE_H

#include "daemon/state.h"

/* One with two simulated devices and no tenant; fake_free gives it back. */
struct divvy_daemon *fake_new(void);
void fake_free(struct divvy_daemon *daemon);

/* The next operation on a tenant (create, change, freeze, remove, snapshot, resume, register) fails like this. */
void fake_fail_next(struct divvy_daemon *daemon, int status, const char *text);
/* Operations on tenants take so long. */
void fake_delay(struct divvy_daemon *daemon, uint32_t milliseconds);
void fake_ready(struct divvy_daemon *daemon, bool ready);
/* Snapshots work, and free what the tenant uses. */
void fake_can_snapshot(struct divvy_daemon *daemon, bool can);

/* A tenant with these names, a process with this pid, and memory in use on device 0. */
void fake_tenant_add(struct divvy_daemon *daemon, const char *id, const char *namespace, const char *pod, const char *container,
                     enum divvy_node_qos qos, uint32_t owner_uid, int32_t pid, uint64_t used_bytes);
void fake_memory_used(struct divvy_daemon *daemon, uint32_t device, uint64_t bytes);
/* What the last operation was given; a copy that lives until the next call. For one thread. */
const struct divvy_daemon_peer *fake_last_peer(struct divvy_daemon *daemon);
const struct divvy_node_change *fake_last_change(struct divvy_daemon *daemon);
uint64_t fake_touched(const struct divvy_daemon *daemon);

#endif
