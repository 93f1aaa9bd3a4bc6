/* What the tests of the simulated NVML share: a machine of its own for each test, and a program that uses it. */
#ifndef DIVVY_TEST_SIMGPU_NVML_ROOM_H
#define DIVVY_TEST_SIMGPU_NVML_ROOM_H

#include "cuda/nvml.h"
#include "simgpu/engine/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* cmocka setup and teardown: a fresh machine in a folder of its own, NVML initialised, and the folder removed. The
 * environment holds the machine's configuration: two devices with 1 GiB each. */
int room_setup(void **state);
int room_teardown(void **state);

/* The same machine, NVML not initialised. */
int room_setup_bare(void **state);
int room_teardown_bare(void **state);

/* Handle of device INDEX; fails the test when there is none. */
nvmlDevice_t room_device(unsigned int index);

/* A process that computes: joins the machine with a context on DEVICE, takes BYTES, keeps the device busy for BUSY_NS,
 * and stays until room_guest_end. Returns its pid once all that is done. */
typedef struct {
    int pid;
    int door; /* closing it sends the guest home */
} room_guest_t;
room_guest_t room_guest_start(int device, uint64_t bytes, uint64_t busy_ns);
void room_guest_end(room_guest_t guest);

#endif
