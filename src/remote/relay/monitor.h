/*
 * The monitor of a VM's hypervisor (QEMU's QMP), which knows what its socket does not tell: whether a program in the guest has the port
 * open. When nobody has had it open for a moment, the VM's connection is ended and made anew, and what the program had is freed.
 *
 * QEMU says "VSERPORT_CHANGE" when any port of the VM is opened or closed; `query-chardev` then tells of each socket whether its port
 * is open ("frontend-open"). Ports without an id make no events, so it is asked from time to time besides. Source: QEMU's QMP reference. A monitor has one client at a time, so the VM needs one for this.
 */
#ifndef DIVVY_REMOTE_RELAY_MONITOR_H
#define DIVVY_REMOTE_RELAY_MONITOR_H

#include "remote/relay/relay.h"

struct divvy_relay_monitor;

/* Watches the monitor that the VM's configuration names; none is fine. It is looked for again and again. 0 or -ENOMEM. */
int divvy_relay_monitor_open(struct divvy_relay_vm *vm, struct divvy_error *error);
void divvy_relay_monitor_close(struct divvy_relay_vm *vm);
void divvy_relay_monitor_tick(struct divvy_relay_vm *vm, uint64_t now_ns, uint64_t *next_ns);

#endif
