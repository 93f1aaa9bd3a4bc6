/* A worker, a relay before it, and virtual machines' sockets, for benches; and processes that load them. */
#ifndef DIVVY_BENCH_RELAY_RIG_H
#define DIVVY_BENCH_RELAY_RIG_H

#include "bench.h"

#include "divvy/client.h"
#include "remote/kernels.h"

#include <stdint.h>
#include <sys/types.h>

#define RIG_VMS 2u

/* A kernel that takes as long as its parameter says, in nanoseconds, on the simulated GPU. */
#define RIG_PTX_TIME                                                                               \
    DIVVY_REMOTE_PTX_HEAD                                                                          \
    ".visible .entry takes(.param .u64 time)\n{\n  .pragma \"divvy.time_only_param 0\";\n  ret;\n}\n"

struct rig {
    pid_t worker, relay;
    char folder[64], worker_path[96];
    char vms[RIG_VMS][96]; /* sockets; the first has weight 80, the second 20 */
    uint64_t kernel_ns;    /* for loads that launch kernels */
};

/* With the first `count` of them, at most RIG_VMS. */
void rig_start(const struct bench *bench, struct rig *ret_rig, size_t count);
void rig_end(const struct bench *bench, const struct rig *rig);

int rig_connect(const struct bench *bench, const char *path);
struct divvy_client *rig_client(const struct bench *bench, const char *path); /* to be closed */
void rig_check(const struct bench *bench, const struct divvy_client *client, const char *what, int status);
/* The client's first context, and a function of this module in it. */
void rig_function(const struct bench *bench, struct divvy_client *client, const char *ptx, const char *name,
                  struct divvy_client_function *ret_function);

/* What a process does without end for VM `number`, counting in *done. */
typedef void (*rig_load_t)(const struct bench *bench, const struct rig *rig, size_t number, volatile uint64_t *done);

struct rig_loads {
    pid_t pids[RIG_VMS];
    volatile uint64_t *done; /* shared */
    size_t count;
};

/* For the first `count` VMs, at most RIG_VMS. */
void rig_loads_start(const struct bench *bench, const struct rig *rig, struct rig_loads *ret_loads, size_t count, rig_load_t load);
/* Until each of them has done something. */
void rig_loads_wait(const struct bench *bench, const struct rig_loads *loads);
void rig_loads_end(struct rig_loads *loads);

#endif
