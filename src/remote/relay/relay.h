/*
 * The relay between virtual machines and workers: what its parts know of each other. One thread, one loop; nothing blocks.
 *
 * A front end (a VM's socket, XenStore) turns what a VM asks into a job. Jobs stand in the queues of node/vmq; when their turn comes
 * they go to a worker over a link that belongs to their VM alone, and the answer goes back the same way. A job is answered exactly
 * once, and sent to a worker at most once.
 *
 * Whose job it is follows from the channel on which it came, never from what the message says.
 */
#ifndef DIVVY_REMOTE_RELAY_RELAY_H
#define DIVVY_REMOTE_RELAY_RELAY_H

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "core/clock.h"
#include "node/vmq.h"
#include "remote/relay/bytes.h"
#include "remote/relay/endpoint.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIVVY_RELAY_VMS_MAX      256u
#define DIVVY_RELAY_JOBS_MAX     16384u
#define DIVVY_RELAY_WORKERS_MAX  64u
#define DIVVY_RELAY_CHANNELS_MAX 32u /* connections of one VM */
#define DIVVY_RELAY_NAME_BYTES   64u
#define DIVVY_RELAY_PATH_BYTES   108u /* sun_path */
#define DIVVY_RELAY_VM_BYTES     ((uint64_t)160 << 20) /* requests of one VM, half read or waiting */
#define DIVVY_RELAY_ALL_BYTES    ((uint64_t)1 << 30)   /* and of all */
#define DIVVY_RELAY_OUT_BYTES    ((size_t)1 << 20)     /* answers that a VM does not take, before nothing more is read from it */

struct divvy_relay;
struct divvy_relay_store;
struct divvy_relay_xen;
struct divvy_relay_vm;
struct divvy_relay_job;
struct divvy_relay_link;
struct divvy_relay_channel;
struct divvy_relay_ring;
struct divvy_relay_monitor;
struct divvy_relay_turn;
struct divvy_relay_leftover;

/* Who waits for answers. Both functions are called once in all for a job, which is gone afterwards; they free nothing of it. */
struct divvy_relay_front {
    void (*answer)(struct divvy_relay_front *front, const struct divvy_relay_job *job, const char *json, size_t length);
    void (*refuse)(struct divvy_relay_front *front, const struct divvy_relay_job *job, uint32_t code, const char *message);
};

struct divvy_relay_job {
    uint32_t number; /* in vmq */
    struct divvy_relay_vm *vm;
    struct divvy_relay_front *front; /* NULL: nobody waits any more */
    struct divvy_relay_link *link;   /* while it runs */
    struct divvy_relay_ring *ring;   /* not NULL: a turn of shared memory that a worker serves */
    struct divvy_relay_turn *turn;   /* NULL: a request. Otherwise a turn of a connection that carries frames */
    bool is_short;                   /* a request that is like others that took little time */
    uint32_t request_id, opcode;     /* of a vGPU's request */
    bool is_vgpu;
    uint64_t submitted_ns, sent_ns;
    struct divvy_relay_bytes request; /* one JSON object and a line's end */
    struct divvy_relay_job *next;     /* free ones; those of one VM */
};

/* How a VM is reached, and what it may; as configured. */
struct divvy_relay_vm_config {
    uint32_t vm_id;                    /* its number on this host; on Xen the domain's */
    char name[DIVVY_RELAY_NAME_BYTES]; /* plain: letters, digits, '.', '_', '-' */
    char socket[DIVVY_RELAY_PATH_BYTES]; /* empty: none */
    char shm[DIVVY_RELAY_PATH_BYTES]; /* a file of memory shared with it; empty: none */
    uint64_t shm_bytes;               /* its size; 0: the file's own */
    bool connects; /* the socket is the hypervisor's and the relay connects to it; else the relay listens there */
    char qmp[DIVVY_RELAY_PATH_BYTES]; /* the hypervisor's monitor, where it has the socket too; empty: none */
    struct divvy_node_vmq_params params;
    bool quarantined;
    uint32_t faults;
};

struct divvy_relay_vm {
    struct divvy_relay *relay;
    struct divvy_relay_vm_config config;
    uint32_t number; /* in vmq and in relay->vms */
    bool is_used, is_going; /* going: forgotten as soon as its jobs are */
    bool is_unregistered;
    bool is_stored, is_seen; /* it came from the state; while that is read: it is still there */
    struct divvy_source listener;
    uint64_t connect_at_ns; /* next attempt where the relay connects; 0: none wanted */
    struct divvy_relay_channel *channels;
    uint32_t channel_count;
    struct divvy_relay_link *link; /* for jobs; NULL: none */
    struct divvy_relay_ring *ring; /* NULL: no shared memory */
    struct divvy_relay_monitor *monitor; /* NULL: none */
    uint64_t bytes;                /* of requests, read in part or waiting */
    uint64_t rx_bytes, tx_bytes;
    struct divvy_log_site received_site, sent_site, offence_site;
};

struct divvy_relay_worker {
    struct divvy_relay_endpoint endpoint;
    uint32_t pools; /* bit 0: pool A; 0: it is not given jobs any more */
    uint32_t given_pools; /* of the command line: these count where no GPU of the state has this worker */
    uint32_t running, tunnels; /* jobs and turns; connections that carry frames */
    uint32_t running_long;     /* of those that run, all but short requests */
    uint64_t down_until_ns; /* 0: nothing known against it */
    bool told_down;
};

struct divvy_relay_settings {
    struct divvy_node_vmq_settings vmq;
    uint32_t parallel;           /* jobs that a worker is given at a time */
    bool beside;                 /* and a short request more, where its VM is behind: see divvy_node_vmq_behind */
    uint64_t connect_timeout_ns; /* to a worker */
    uint64_t partial_timeout_ns; /* a request that has begun and does not go on */
    struct divvy_node_vmq_params unregistered; /* of a VM that nobody registered */
};

struct divvy_relay {
    struct divvy_relay_settings settings;
    struct divvy_loop loop;
    struct divvy_node_vmq *vmq;
    struct divvy_relay_vm vms[DIVVY_RELAY_VMS_MAX];
    struct divvy_relay_worker workers[DIVVY_RELAY_WORKERS_MAX];
    uint32_t worker_count;
    struct divvy_relay_job *jobs, *free_jobs;
    struct divvy_node_vmq_costs costs; /* of requests, not of turns */
    struct divvy_later schedule; /* queued when a job came or a worker is free */
    uint64_t bytes;              /* of all VMs */
    uint64_t started_ns;
    uint64_t next_ns;            /* when divvy_relay_tick is to be called */
    uint64_t resets;             /* workers that went and came back */
    struct divvy_relay_ring *rings;  /* shared memory of VMs */
    struct divvy_relay_leftover *leftovers; /* turns whose clients are gone before their work was done */
    struct divvy_relay_xen *xen;     /* NULL: no XenStore */
    struct divvy_relay_store *store; /* NULL: nothing is remembered; the program's */
};

static inline int64_t divvy_relay_now_ns(void) {
    return (int64_t)divvy_core_clock_ns();
}

/* --- relay.c: VMs and jobs ---------------------------------------------------------------------------------- */

void divvy_relay_settings_default(struct divvy_relay_settings *ret_settings);
/* 0 or a negative errno; `relay` is zero before and large: not for the stack. */
int divvy_relay_init(struct divvy_relay *relay, const struct divvy_relay_settings *settings, struct divvy_error *error);
void divvy_relay_done(struct divvy_relay *relay);

/* `pools`: "A", "B" or "AB". 0, -EINVAL, -ENOSPC or what resolving gave. */
int divvy_relay_worker_add(struct divvy_relay *relay, const char *endpoint, const char *pools, struct divvy_error *error);
/*
 * The pools (bits) of a worker from here on, which is added where it is not known. Its place is kept when it has no pools any more. 0,
 * -ENOSPC or what resolving gave.
 */
int divvy_relay_worker_set(struct divvy_relay *relay, const char *endpoint, uint32_t pools, struct divvy_error *error);

/* Adds a VM and opens its socket. 0; -EEXIST: its number or name is taken; -ENOSPC; or a negative errno of the socket. */
int divvy_relay_vm_add(struct divvy_relay *relay, const struct divvy_relay_vm_config *config, struct divvy_relay_vm **ret_vm,
                       struct divvy_error *error);
/* Takes over what can change live: name, pool, priority, weight, limits; a changed socket is closed and opened anew. */
int divvy_relay_vm_change(struct divvy_relay_vm *vm, const struct divvy_relay_vm_config *config, struct divvy_error *error);
/* Its connections end, what waits is dropped; what runs is waited for. */
void divvy_relay_vm_remove(struct divvy_relay_vm *vm);
struct divvy_relay_vm *divvy_relay_vm_by_id(struct divvy_relay *relay, uint32_t vm_id);
void divvy_relay_vm_quarantine(struct divvy_relay_vm *vm, bool quarantined);

/*
 * A request of a VM: one JSON object, whose memory is taken over (also on failure). The front end is answered, now or later, in any
 * case. `model` has what the answer needs (is_vgpu, request_id, opcode).
 */
void divvy_relay_submit(struct divvy_relay_vm *vm, struct divvy_relay_front *front, const struct divvy_relay_job *model,
                        struct divvy_relay_bytes *request);
/* The front end is going: its jobs are answered to nobody, and those that wait are withdrawn. */
void divvy_relay_front_leave(struct divvy_relay_vm *vm, const struct divvy_relay_front *front);

/* The answer to a job that ran; `json` is not NULL, or the job is refused with `code`. Ends the job. */
void divvy_relay_job_finish(struct divvy_relay_job *job, const char *json, size_t length, uint32_t code, const char *message,
                            enum divvy_node_vmq_outcome outcome);

bool divvy_relay_worker_serves(const struct divvy_relay *relay, const struct divvy_relay_worker *worker, uint32_t pool);
/* A worker for the pool of this VM that is up, the least busy, or NULL. */
struct divvy_relay_worker *divvy_relay_worker_choose(struct divvy_relay_vm *vm);
void divvy_relay_worker_failed(struct divvy_relay *relay, struct divvy_relay_worker *worker, int status);
void divvy_relay_worker_answered(struct divvy_relay *relay, struct divvy_relay_worker *worker);

/* A job takes a place at a worker, and leaves it. */
static inline void divvy_relay_worker_take(struct divvy_relay_worker *worker, const struct divvy_relay_job *job) {
    worker->running++;
    worker->running_long += !job->is_short;
}

static inline void divvy_relay_worker_leave(struct divvy_relay_worker *worker, const struct divvy_relay_job *job) {
    worker->running--;
    worker->running_long -= !job->is_short;
}

/* Deadlines. To be called at relay->next_ns, which it sets anew. */
void divvy_relay_tick(struct divvy_relay *relay);
/* Makes the next tick come no later than this. */
static inline void divvy_relay_deadline(struct divvy_relay *relay, uint64_t at_ns) {
    if (at_ns < relay->next_ns)
        relay->next_ns = at_ns;
}

/* --- state.c: what is remembered ------------------------------------------------------------------------------ */

/* Makes the VMs those of the state; those of the command line stay. What cannot be taken is logged and told in `error`. */
int divvy_relay_state_load(struct divvy_relay *relay, struct divvy_error *error);
/* Remembers a VM's quarantine and faults. */
void divvy_relay_state_note(struct divvy_relay_vm *vm);

/* --- admin.c: the socket for administration --------------------------------------------------------------------- */

struct divvy_relay_admin;

int divvy_relay_admin_open(struct divvy_relay *relay, const char *path, struct divvy_relay_admin **ret_admin,
                           struct divvy_error *error);
void divvy_relay_admin_close(struct divvy_relay_admin *admin); /* NULL is fine */

/* --- xen.c: XenStore ----------------------------------------------------------------------------------------------- */

/* Serves domains by the XenStore whose socket this is; if it cannot be reached now, later. 0, or a negative errno for the path. */
int divvy_relay_xen_open(struct divvy_relay *relay, const char *path, struct divvy_error *error);
void divvy_relay_xen_tick(struct divvy_relay_xen *xen, uint64_t now_ns, uint64_t *next_ns);
/* Its jobs are dropped before, with their VMs. */
void divvy_relay_xen_close(struct divvy_relay *relay);

/* --- channel.c: sockets of VMs ------------------------------------------------------------------------------ */

int divvy_relay_vm_listen(struct divvy_relay_vm *vm, struct divvy_error *error);
void divvy_relay_vm_close(struct divvy_relay_vm *vm); /* the listener and all connections */
/* Ends connections that carry frames when their VM came under quarantine. */
void divvy_relay_channels_quarantined(struct divvy_relay_vm *vm);
/* Ends connections that carry frames to a worker which does not serve their VM's pool any more: what they have there is freed. */
void divvy_relay_channels_misplaced(struct divvy_relay_vm *vm);
/* No program in the guest has the port open: connections at which one has left something end, and are made anew at once. */
void divvy_relay_channels_hung_up(struct divvy_relay_vm *vm);
/* Whether anything of a program is here or at a worker: a conversation, a part of one, jobs. */
bool divvy_relay_channels_have_left(const struct divvy_relay_vm *vm);
void divvy_relay_channels_tick(struct divvy_relay_vm *vm, uint64_t now_ns, uint64_t *next_ns);

/* --- turn.c: connections that carry frames ------------------------------------------------------------------- */

/* A turn that runs now, in a place of this worker. */
void divvy_relay_turn_start(struct divvy_relay_job *job, struct divvy_relay_worker *worker);
/* It ran beyond the limit: if its client is gone, the worker sees the connection end. The caller ends the job. */
void divvy_relay_turn_abandon(struct divvy_relay *relay, const struct divvy_relay_turn *turn);
/* When the relay ends. */
void divvy_relay_leftovers_done(struct divvy_relay *relay);

/* --- link.c: connections to workers for jobs ---------------------------------------------------------------- */

/* Sends a job that runs now to a worker; answers it in the end, whatever happens. */
void divvy_relay_link_start(struct divvy_relay_job *job, struct divvy_relay_worker *worker);
/* The job is given up: the worker sees its connection end. */
void divvy_relay_link_abandon(struct divvy_relay_link *link);
void divvy_relay_link_tick(struct divvy_relay_vm *vm, uint64_t now_ns, uint64_t *next_ns);
void divvy_relay_link_free(struct divvy_relay_vm *vm);

#endif
