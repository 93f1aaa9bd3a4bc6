/*
 * The process's side of the ledger: reserve before the driver's call, credit after it, for the
 * devices of the page. What to do when the limit is reached also lives here: first everything that
 * can be given back is (pools of this process that shrank, slots of dead processes), then the
 * request is refused.
 */
#ifndef DIVVY_LIMITER_MEMORY_ACCOUNT_H
#define DIVVY_LIMITER_MEMORY_ACCOUNT_H

#include "cuda/driver_types.h"
#include "limiter/hook/process.h"
#include "limiter/memory/table.h"

#include <stdbool.h>
#include <stdint.h>

/* Called with a new slot, at activation and in a forked child. */
void divvy_memory_attach(void);

/* In a forked child: everything recorded is the parent's. */
void divvy_memory_fork_child(void);

/*
 * Whether a hook must pass its call on untouched: nothing is limited, or the driver itself is
 * calling (an entry of its own, from within a call that we made: what it allocates is part of
 * that).
 */
extern __thread uint32_t divvy_memory_inside __attribute__((tls_model("initial-exec")));

static inline bool divvy_memory_passes(void) {
    return divvy_memory_inside != 0 || !divvy_process_ready();
}

/* `call` evaluated with that mark set; only where it allocates or frees. */
#define DIVVY_MEMORY_DRIVER(call)                                                                  \
    ({                                                                                             \
        divvy_memory_inside++;                                                                     \
        CUresult driver_result_ = (call);                                                          \
        divvy_memory_inside--;                                                                     \
        driver_result_;                                                                            \
    })

/*
 * 0, or -ENOMEM: would exceed the limit, even after reclaiming. `device` is one of the page, from
 * 0; -1 (not limited) always succeeds.
 */
int divvy_memory_reserve(int device, uint64_t bytes);
void divvy_memory_credit(int device, uint64_t bytes);

/* The same without reclaiming and without counting a refusal. */
int divvy_memory_reserve_at_once(int device, uint64_t bytes);

/* Charge without asking: what the driver has taken already. */
void divvy_memory_charge(int device, uint64_t bytes);

/*
 * What the program says that it takes, or gives back, without a call of the driver that we see (CheckAndRecordMemoryOps): charged
 * within the limit like any other. `device` is one of the page. -ENOMEM: above the limit; -ERANGE: more is given back than was said
 * to be taken: nothing of what hooks have charged can be credited so. The process is attached.
 */
int divvy_memory_state(int device, uint64_t bytes);
int divvy_memory_unstate(int device, uint64_t bytes);

/*
 * Enter what a successful call allocated, already reserved. CUDA_SUCCESS; CUDA_ERROR_OUT_OF_MEMORY:
 * no memory for the record: the caller frees again and credits.
 */
CUresult divvy_memory_record(const struct divvy_record *record);

/* Give back what dead processes held, if that was not done just now. */
void divvy_memory_reap(void);

/* Device of the page of the current context; -1 none. *ret_context NULL: no context is current. */
int divvy_memory_current(CUcontext *ret_context);

/* Contexts may have gone: current contexts are asked for afresh. */
void divvy_memory_contexts_changed(void);

#endif
