/*
 * The life of a stub: one thread, one loop, between the QEMU of a VM and the relay. It holds the device for as long as the
 * VM runs, whatever becomes of the relay.
 */
#ifndef DIVVY_STUB_HOLDER_H
#define DIVVY_STUB_HOLDER_H

#include "stub/machine.h"
#include "stub/pci.h"

/* A request that finds no relay is answered with "relay unavailable" after this time. */
#define DIVVY_STUB_GRACE_MS 500u

struct divvy_stub_settings {
    struct divvy_stub_identity identity;
    const char *relay; /* path of the relay's socket of this VM */
    uint64_t timeout_ns; /* a request that has not ended by then ends with "timeout" */
    struct divvy_stub_bulk bulk;
    char **machine; /* QEMU and its options, NULL-terminated */
};

/* Runs until QEMU has ended, or a signal ends both. Its exit status; 1 with *error set when nothing could be started. */
int divvy_stub_holder_run(const struct divvy_stub_settings *settings, struct divvy_error *error);

#endif
