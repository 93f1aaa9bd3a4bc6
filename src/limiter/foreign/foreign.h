/*
 * The pod file of a hypervisor that is not divvyd (page/podfile.h, docs/PODFILE.md), seen from inside the pod: limits, tokens and
 * memory in use as that hypervisor says. It decides only where nobody nearer does: no folder of a tenant, no limits in the
 * environment, and no divvyd that has answered for the pod.
 *
 *   source.c  which file, from the environment
 *   file.c    attaching, and a look at the file ten times a second, by system calls and on a copy
 *   toll.c    tokens for launches, in front of the gate
 *   graph.c   what a launch of a graph costs
 *
 * All in the pod may write to the file, cut it or replace it. What is read from it is checked on the copy; the mapping is touched
 * for tokens and the PID set only, each time after a look at the file's size. Nothing here can protect a process from a file that
 * is cut between that look and the touch.
 *
 * libc's system calls and fixed memory; errno is kept; any thread.
 */
#ifndef DIVVY_LIMITER_FOREIGN_FOREIGN_H
#define DIVVY_LIMITER_FOREIGN_FOREIGN_H

#include "cuda/driver.h"
#include "limiter/compute/compute.h"
#include "limiter/hook/limits.h"
#include "page/page.h"
#include "page/podfile.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIVVY_FOREIGN_PATH_BYTES 512u
#define DIVVY_FOREIGN_LOOK_NS    UINT64_C(100000000) /* between two looks at the file */

/* Where the file is said to be. */
struct divvy_foreign_source {
    char path[DIVVY_FOREIGN_PATH_BYTES];
    const char *variable; /* that named it; NULL: the usual place, where it may be missing */
    bool is_test;         /* by TF_SHM_FILE: made when it is missing, and nobody is asked by HTTP */
};

/*
 * 0; -ENOENT: the environment names none and this is no pod's process; -EINVAL, -ENAMETOOLONG: a variable that cannot be
 * followed, *ret_source says which.
 */
int divvy_foreign_source_find(struct divvy_foreign_source *ret_source);

/* Whether a file is named, or there is one at the usual place. */
bool divvy_foreign_is_wanted(void);

/*
 * Attach to the file. `machine`: all GPUs in NVML's order, count 0 when not known. 0, also when there is none at the usual place;
 * -errno after one line: it cannot be used. Once, before any device is entered.
 */
int divvy_foreign_attach(const struct divvy_limit_device *machine, size_t count);

/* For tests: as if divvy_foreign_attach had never been called. */
void divvy_foreign_detach(void);

/* Which tenant's page: all processes that are attached to a file of this place share one. Attached only. */
uint64_t divvy_foreign_key(void);

/* A device was entered into the usage page: take what the file says of it. Before the gate of the device is attached. */
void divvy_foreign_device_entered(unsigned device);

/* This process has a slot, again in a forked child: launches are paid for from now on, and the PID set gets its pid. */
void divvy_foreign_joined(void);

/* In a forked child: locks and places in queues are the parent's. */
void divvy_foreign_fork_child(void);

typedef enum {
    DIVVY_FOREIGN_NONE,    /* not attached */
    DIVVY_FOREIGN_HEALTHY, /* the hypervisor lives */
    DIVVY_FOREIGN_SILENT, /* it does not, or the file is gone or damaged: the last limits are kept */
} divvy_foreign_state_t;

/* What the last look has found of a device of the usage page; all atomic. */
struct divvy_foreign_device {
    uint32_t is_known; /* the file had an active entry for it at some time */
    uint32_t entry;    /* which */
    uint32_t up_limit; /* percent */
    uint64_t mem_limit;
    uint64_t others_bytes;   /* in use in the pod beyond what the usage page accounts for */
    uint64_t capacity;       /* bits of a double: tokens */
    uint64_t peaks_bytes[2]; /* most that the usage page held, in this period and the one before */
    uint32_t first;          /* number of the thread that is first at the gate, 0: none; slept on */
    uint64_t first_ns;       /* when it last looked */
};

struct divvy_foreign {
    uint32_t state; /* divvy_foreign_state_t; atomic */
    bool is_closed; /* DIVVY_FAIL_POLICY when it was attached */
    struct divvy_podfile file;
    struct divvy_foreign_device devices[DIVVY_PAGE_DEVICES];
};

extern struct divvy_foreign divvy_foreign;

static inline divvy_foreign_state_t divvy_foreign_state(void) {
    return (divvy_foreign_state_t)__atomic_load_n(&divvy_foreign.state, __ATOMIC_ACQUIRE);
}

/* Look at the file if that was not done just now; limits of the usage page follow. Nothing where none is attached. */
void divvy_foreign_look(uint64_t now_ns);

/* Look again at once the next time. */
void divvy_foreign_doubt(void);

/* Whether the file has all its bytes and is the one that is mapped: to be asked right before the mapping is touched. */
bool divvy_foreign_is_whole(void);

/*
 * Bytes of the pod on the device that the usage page does not account for; the limits of the page are brought up to date.
 * wanted_bytes: what is about to be reserved, 0: nothing. 0 where no file is attached.
 */
uint64_t divvy_foreign_others(unsigned device, uint64_t wanted_bytes);

/* toll.c: what the gate asks before each launch. */
extern const struct divvy_compute_toll divvy_foreign_toll;

/*
 * graph.c: what an executable graph costs, learned when it is made or changed; tokens for a launch of it: the sum over its kernels.
 * One that was never seen costs what a launch costs at most.
 */
void divvy_foreign_graph_learn(CUgraphExec exec, CUgraph graph);
double divvy_foreign_graph_cost(CUgraphExec exec);

#endif
