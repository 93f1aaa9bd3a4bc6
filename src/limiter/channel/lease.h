/*
 * Leases that come over the channel, for a tenant without a control page: this process keeps a control page of its own, in its
 * memory, and writes into it what a daemon on the same machine would have written. The gate reads it like any other. It is
 * kept alive by the channel's thread while the stream stands, and counts no longer than that.
 */
#ifndef DIVVY_LIMITER_CHANNEL_LEASE_H
#define DIVVY_LIMITER_CHANNEL_LEASE_H

#include "page/page.h"
#include "wire/channel/client.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * A device of the usage page was entered, its limits are in it: give it an entry. Nothing where a control page of a daemon is
 * mapped. Before the gate of the device is attached. `ring` is called, from any thread, by whoever comes to a shut gate.
 */
void divvy_channel_lease_device(const struct divvy_page *usage, unsigned device, void (*ring)(void));
/* The limits of a device of the usage page were changed from within the process. */
void divvy_channel_lease_limits(const struct divvy_page *usage, unsigned device);

/*
 * Do what a Lease command says, at now_ns. 0; -ENODEV: no such device; -EINVAL: mode or times; -EBUSY: a daemon's page decides;
 * -ESTALE: one with a higher number has come over the same stream.
 */
int divvy_channel_lease_apply(const struct divvy_wire_command *command, uint64_t now_ns);

/* The newest lease of a device. */
struct divvy_channel_lease_state {
    uint64_t number;  /* of its command; 0: none came over this stream */
    bool is_measured; /* work is measured while it lasts */
    bool is_over;     /* nothing starts by it any more; never of one that is open or self */
    uint64_t left_ns; /* UINT64_MAX: it has no end */
};
void divvy_channel_lease_state(unsigned device, uint64_t now_ns, struct divvy_channel_lease_state *ret_state);

/* Keep what was said alive: ns until this is to be called again, UINT64_MAX when nothing was said. */
uint64_t divvy_channel_lease_tick(uint64_t now_ns);

/* The stream has ended, or this is a forked child: back to self. What is frozen stays so for a while where `keep_frozen`. */
void divvy_channel_lease_reset(bool keep_frozen);

#endif
