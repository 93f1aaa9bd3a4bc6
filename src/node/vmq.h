/*
 * The queues of virtual machines that share GPUs: whose job runs next, which jobs are refused, and what is counted.
 *
 * Pure decisions. There is no clock, thread, socket or file here: `now_ns` comes in with every call and must never go back. All
 * memory is taken once by divvy_node_vmq_new. Not thread-safe: one caller, or the caller's lock.
 *
 * VMs and jobs are named by small integers that the caller chooses. A VM has one queue, first in first out, and at most one job
 * that runs. VMs belong to a pool; in pool mode each pool has queues of its own, in single-queue mode all share one.
 *
 *   class       high before medium before low, strictly. A job that waits long is moved up, so that nobody starves
 *   order       inside a class: by weighted GPU time (src/node/sched), or by time of arrival alone
 *   rate limit  jobs per second with one second's worth of burst; jobs that only clean up always pass
 *   depth       a queue that is full refuses
 *   watchdog    a job that runs too long is told by divvy_node_vmq_late; ending it as timed out is a fault of its VM
 *   quarantine  after so many faults, until it is lifted; jobs that only clean up pass
 */
#ifndef DIVVY_NODE_VMQ_H
#define DIVVY_NODE_VMQ_H

#include <stdbool.h>
#include <stdint.h>

#define DIVVY_NODE_VMQ_POOLS      2u /* 'A' and 'B' */
#define DIVVY_NODE_VMQ_CLASSES    3u /* 0 low, 1 medium, 2 high */
#define DIVVY_NODE_VMQ_WEIGHT_MAX 100u
#define DIVVY_NODE_VMQ_WINDOW     1000u /* latencies that are remembered for each VM */
#define DIVVY_NODE_VMQ_RATE_MAX   1000000u
#define DIVVY_NODE_VMQ_NOBODY     UINT32_MAX

struct divvy_node_vmq_settings {
    uint32_t vms_max, jobs_max; /* 1 .. 100,000 and 1 .. 10,000,000 */
    bool single_queue;
    bool by_arrival;
    int64_t age_low_ns;    /* so long a job of class low waits until it counts as medium */
    int64_t age_medium_ns; /* so long any job waits, in all, until it counts as high; not less than age_low_ns */
    int64_t job_limit_ns;
    uint32_t depth;  /* of a VM that has no number of its own */
    uint32_t faults; /* so many quarantine a VM; 0: never */
};

struct divvy_node_vmq_params {
    uint32_t pool;     /* 0 .. POOLS - 1 */
    uint32_t priority; /* 0 .. CLASSES - 1 */
    uint32_t weight;   /* 1 .. WEIGHT_MAX */
    uint32_t rate;     /* jobs per second, 0: no limit */
    uint32_t depth;    /* jobs that may wait, 0: the settings' */
};

enum divvy_node_vmq_outcome {
    DIVVY_NODE_VMQ_DONE,
    DIVVY_NODE_VMQ_FAILED,
    DIVVY_NODE_VMQ_TIMED_OUT, /* a fault of the VM */
    DIVVY_NODE_VMQ_GONE,      /* nobody waits for the answer */
};

struct divvy_node_vmq_stats {
    uint64_t jobs;     /* taken into the queue */
    uint64_t errors;   /* FAILED or TIMED_OUT */
    uint64_t rejected; /* refused: rate, depth, quarantine */
    uint64_t used_ns;
    uint32_t queued, running;
    uint32_t faults;
    bool quarantined;
    uint32_t p50_us, p95_us, p99_us; /* waiting and running together, of the last WINDOW jobs; 0: none yet */
};

struct divvy_node_vmq_totals {
    uint64_t jobs, errors, rejected, used_ns;
    uint64_t switches; /* a job of another VM than before, in one queue */
    uint32_t queued, running;
};

struct divvy_node_vmq;

void divvy_node_vmq_defaults(struct divvy_node_vmq_settings *ret_settings);

/* Returns 0, -EINVAL (a setting out of range) or -ENOMEM. */
int divvy_node_vmq_new(const struct divvy_node_vmq_settings *settings, struct divvy_node_vmq **ret_vmq);
void divvy_node_vmq_free(struct divvy_node_vmq *vmq); /* NULL is fine */

/* 0, -EINVAL, -ERANGE (number) or -EEXIST. */
int divvy_node_vmq_add(struct divvy_node_vmq *vmq, uint32_t vm, const struct divvy_node_vmq_params *params, int64_t now_ns);
/* Live: waiting jobs move along with their VM. 0, -EINVAL or -ENOENT. */
int divvy_node_vmq_set(struct divvy_node_vmq *vmq, uint32_t vm, const struct divvy_node_vmq_params *params, int64_t now_ns);
/* 0, -ENOENT, or -EBUSY while it has jobs, waiting or running. What it was counted for stays in the totals. */
int divvy_node_vmq_remove(struct divvy_node_vmq *vmq, uint32_t vm, int64_t now_ns);

/* Lifting (false) also zeroes the faults. `faults` is taken as it was remembered. 0 or -ENOENT. */
int divvy_node_vmq_quarantine(struct divvy_node_vmq *vmq, uint32_t vm, bool quarantined);
int divvy_node_vmq_faults_restore(struct divvy_node_vmq *vmq, uint32_t vm, uint32_t faults);

/* Whether a job of this VM would be taken now; nothing is counted. 0, -ENOENT, -EACCES, -ENOSPC or -EBUSY. */
int divvy_node_vmq_admits(const struct divvy_node_vmq *vmq, uint32_t vm, int64_t now_ns);

/*
 * A job of a VM. `cleanup`: it only gives back, and passes every limit. 0; -ENOENT no such VM; -ERANGE or -EEXIST: the job's number;
 * refused and counted: -EACCES quarantined, -ENOSPC the queue is full, -EBUSY more jobs than the rate.
 */
int divvy_node_vmq_submit(struct divvy_node_vmq *vmq, uint32_t vm, uint32_t job, bool cleanup, int64_t now_ns);

/*
 * The next job of the pools in `pools` (bit 0: pool 0; in single-queue mode any bit), in turns among pools that have work. It runs from
 * now on. 0, or -EAGAIN: nothing to run.
 */
int divvy_node_vmq_next(struct divvy_node_vmq *vmq, uint32_t pools, int64_t now_ns, uint32_t *ret_job);

/*
 * A job that may run beside those that run though there is no place left, if they are short and it is too: of a VM that has had less than
 * its share, or a millisecond more, and is of no lower class than any that runs. So whoever has one job at a time need not wait for the job
 * of one who floods. Nothing is started, by order of arrival nothing is found. 0, or -EAGAIN.
 */
int divvy_node_vmq_behind(struct divvy_node_vmq *vmq, uint32_t pools, int64_t now_ns, uint32_t *ret_job);
/* Starts the oldest waiting job of a VM none of whose jobs runs. 0, or -ENOENT: it is not that. */
int divvy_node_vmq_start(struct divvy_node_vmq *vmq, uint32_t job, int64_t now_ns);

/*
 * A running job has ended and used so much GPU time. *ret_quarantined (may be NULL): its VM came under quarantine by this. 0, -ENOENT
 * (it does not run) or -EINVAL (used_ns negative).
 */
int divvy_node_vmq_end(struct divvy_node_vmq *vmq, uint32_t job, int64_t used_ns, enum divvy_node_vmq_outcome outcome,
                       int64_t now_ns, bool *ret_quarantined);
/* A waiting job is taken back; the order of the others stays. 0 or -ENOENT. */
int divvy_node_vmq_withdraw(struct divvy_node_vmq *vmq, uint32_t job, int64_t now_ns);

/* The job that has run longest, when that is beyond the limit; it goes on until it is ended. 0 or -EAGAIN. */
int divvy_node_vmq_late(const struct divvy_node_vmq *vmq, int64_t now_ns, uint32_t *ret_job);
/* When the next running job is late; INT64_MAX: none runs. */
int64_t divvy_node_vmq_late_at_ns(const struct divvy_node_vmq *vmq);

/* The VM's oldest waiting job, or NOBODY: to empty a queue. */
uint32_t divvy_node_vmq_oldest(const struct divvy_node_vmq *vmq, uint32_t vm);

int divvy_node_vmq_stats(const struct divvy_node_vmq *vmq, uint32_t vm, struct divvy_node_vmq_stats *ret_stats); /* 0 or -ENOENT */
void divvy_node_vmq_totals(const struct divvy_node_vmq *vmq, struct divvy_node_vmq_totals *ret_totals);

/*
 * What jobs cost that are alike, whoever sends them: short ones are charged the mean of those of their length, since what differs between
 * them is what they waited for, as for a worker's process to wake up. Zero: nothing is known.
 */
struct divvy_node_vmq_costs {
    struct {
        int64_t mean_ns; /* of the short ones */
        uint32_t count;
        bool is_long; /* the last one was */
    } lengths[64]; /* powers of two */
};

/* Whether a job with a request of `bytes` will probably be short, at most a millisecond: the last one like it was. */
bool divvy_node_vmq_cost_is_short(const struct divvy_node_vmq_costs *costs, uint64_t bytes);
/* A job with a request of `bytes` took took_ns from sending to answer. What it is to be charged; negative times count as none. */
int64_t divvy_node_vmq_cost(struct divvy_node_vmq_costs *costs, uint64_t bytes, int64_t took_ns);

/* Whether a GPU should be reset: hotter than 95 degrees, or more than 100 uncorrected memory errors since its last reset. */
bool divvy_node_vmq_gpu_needs_reset(uint32_t temperature_c, uint64_t uncorrected_errors);

#endif
