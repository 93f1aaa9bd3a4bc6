/* The QEMU that a stub holds: its command line, its life, what it writes to standard error. */
#ifndef DIVVY_STUB_MACHINE_H
#define DIVVY_STUB_MACHINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* What of QEMU's standard error is passed on: a burst, and a rate after it. */
#define DIVVY_STUB_STDERR_BURST_BYTES UINT64_C(65536)
#define DIVVY_STUB_STDERR_RATE_BYTES  UINT64_C(4096) /* per second */

struct divvy_stub_machine {
    pid_t pid;
    int exit_fd;   /* readable when QEMU has ended */
    int device_fd; /* our end of the remote-device link; blocking */
    int stderr_fd; /* what QEMU writes to its standard error; non-blocking */
    uint64_t stderr_budget_bytes, stderr_filled_ns, stderr_dropped_bytes;
};

/* Shared memory beside the device, for bulk data: a file that the guest sees as ivshmem-plain. */
struct divvy_stub_bulk {
    const char *path; /* NULL: none */
    uint64_t bytes;
};

/*
 * Starts `arguments` (NULL-terminated: QEMU and its options) with the vGPU and, unless they name a memory backend
 * themselves, with guest memory that can be shared, of the size that -m says. QEMU dies with its stub, however that ends.
 */
int divvy_stub_machine_start(char *const arguments[], const struct divvy_stub_bulk *bulk,
                             struct divvy_stub_machine *ret_machine, struct divvy_error *error);

/*
 * Passes on what QEMU wrote to standard error, within bounds, and counts the rest. Never blocks. False: QEMU has closed it.
 */
bool divvy_stub_machine_stderr_pass(struct divvy_stub_machine *machine, uint64_t now_ns);

/* Ends QEMU if it lives still, politely at first; its exit status, 128 + N for signal N. Closes all. Blocks up to 6 s. */
int divvy_stub_machine_end(struct divvy_stub_machine *machine);

/*
 * Bytes of the memory that QEMU's options ask for by -m: "-m 256", "-m 1G", "-m size=256M,..."; QEMU's own 128 MiB without.
 * -EINVAL for what cannot be read.
 */
int divvy_stub_machine_memory_read(char *const arguments[], uint64_t *ret_bytes);

#endif
