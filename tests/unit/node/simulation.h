/*
 * A device in virtual time under the scheduler of node/sched.h, with tenants that behave as programs do: kernels that cannot be
 * stopped, work that drains after a lease, requests that come at random, threads that go to sleep. What each tenant ran is entered in
 * windows of time, as an observer of the device would see it.
 */
#ifndef DIVVY_TESTS_UNIT_NODE_SIMULATION_H
#define DIVVY_TESTS_UNIT_NODE_SIMULATION_H

#include "node/sched.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIMULATION_MS     1000000ll
#define SIMULATION_SECOND (1000 * SIMULATION_MS)

/* What a tenant does. Times of 0: not at all. */
struct simulation_program {
    struct divvy_node_tenant_params params;
    int64_t kernel_ns;       /* indivisible piece of work */
    int64_t drain_max_ns;    /* runs on for a random time of up to so much after each lease */
    int64_t host_ns;         /* the device idles so long between its kernels (the host is slow) */
    int64_t request_ns;      /* not greedy: requests of so much GPU time … */
    int64_t request_every_ns; /* … come at random, with this mean distance */
};

struct simulation;

/* `handover_ns`: the device idles so long when the lease goes to somebody else. All are awake at time 0. */
struct simulation *simulation_new(const struct simulation_program *programs, uint32_t count, int64_t handover_ns,
                                  int64_t window_ns, int64_t length_ns, uint64_t seed);
void simulation_free(struct simulation *simulation);

struct divvy_node_sched *simulation_sched(struct simulation *simulation);
int64_t simulation_now(const struct simulation *simulation);
void simulation_run(struct simulation *simulation, int64_t until_ns);

/* A greedy tenant has nothing to do from now on; or has again. */
void simulation_sleep(struct simulation *simulation, uint32_t tenant, bool asleep);
void simulation_kernel(struct simulation *simulation, uint32_t tenant, int64_t kernel_ns);

/* GPU time of the tenant from `begin` to `end` (whole windows). */
int64_t simulation_used(const struct simulation *simulation, uint32_t tenant, int64_t begin_ns, int64_t end_ns);
int64_t simulation_lost(const struct simulation *simulation); /* idle at hand-overs */

/* Latencies of a tenant's requests in the order of their ends; *ret_count of them. Stays the simulation's. */
const int64_t *simulation_latencies(const struct simulation *simulation, uint32_t tenant, size_t *ret_count);

#endif
