/* The state file: what all processes of a simulated machine share. Internal to the engine.
 *
 * One sparse file, mapped MAP_SHARED by everybody. Fixed-width fields only. Who may write what:
 *   machine lock    slots of contexts, event chunks, history, fault rules, freeing of process slots, MIG
 *   device lock     the device's clock, schedule and busy counters; the consumer side of channels
 *   device memory lock   pool counters
 *   file lock (flock)    making the machine, taking a process slot
 *   owner process   the producer side of its channels, its events, its counts of calls
 *   who steps       the checkpoint word of a process, by compare and exchange
 * Locks are robust (lock.h): every mutation is ordered so that after SIGKILL at any instruction the next holder can
 * repair the rest. Numbers read from here are never trusted as indices or sizes: they are masked or checked, because
 * the file may have been written by anybody of the same user. */
#ifndef DIVVY_SIMGPU_LAYOUT_H
#define DIVVY_SIMGPU_LAYOUT_H

#include "simgpu/engine/mig.h"
#include "simgpu/engine/queue.h"

#include <stdbool.h>
#include <stdint.h>

#define SIM_MAGIC UINT64_C(0x31304d4953564944) /* "DIVSIM01" in memory order */

enum {
    SIM_VERSION = 3,
    SIM_PROCS = 1024, /* powers of two: indices are masked */
    SIM_CONTEXTS = 1024,
    SIM_CTX_WORDS = SIM_CONTEXTS / 64,
    SIM_EVENT_CHUNKS = 16384,
    SIM_EVENTS_PER_CHUNK = 64, /* one page */
    SIM_HISTORY = 256,
    SIM_FAULTS = 32,
    SIM_FAULT_NAME = 48,
    SIM_FAULT_TEXT = 1024,
    SIM_MIG_TEXT = 256,
    SIM_DRIVER_TEXT = 16,
    SIM_DEVICES = DIVVY_SIMGPU_DEVICES_MAX,
    SIM_UNITS = DIVVY_SIMGPU_UNITS_MAX,
};
_Static_assert((SIM_UNITS & (SIM_UNITS - 1)) == 0, "units are masked");

/* A robust lock word, see lock.h. */
typedef struct sim_lock {
    uint32_t word;
    uint32_t stolen; /* how often an owner was found dead */
} sim_lock_t;

/* The configuration of a machine, resolved. */
typedef struct sim_config {
    uint32_t devices;
    uint32_t model[SIM_DEVICES]; /* index into the table of models */
    uint64_t memory_bytes[SIM_DEVICES];
    uint64_t slice_ns;
    uint64_t switch_ns; /* the device idles so long when it changes over to another context */
    char faults[SIM_FAULT_TEXT];
    char mig[SIM_MIG_TEXT];       /* as DIVVY_SIM_MIG says it; empty: all off */
    char driver[SIM_DRIVER_TEXT]; /* version */
} sim_config_t;

/* --- queues ------------------------------------------------------------------------------------------------ */

typedef struct sim_item {
    uint8_t kind;  /* divvy_simgpu_kind_t */
    uint8_t flags; /* divvy_simgpu_item_flags */
    uint16_t fraction_permille;
    uint32_t reserved;
    uint64_t submit_ns; /* not before this */
    uint64_t total_ns;  /* durations of all items of the channel up to and with this one */
    uint64_t duration_ns;
    uint64_t a;       /* EVENT_RECORD: event number; EVENT_WAIT: position.channel; COPY: bytes */
    uint64_t b;       /* EVENT_RECORD: record number; EVENT_WAIT: position.seq */
    uint64_t done_ns; /* device time of completion, kept until the place is used again */
    uint64_t padding;
} sim_item_t;
_Static_assert(sizeof(sim_item_t) == 64, "one cache line per item");

/* What the item at the head of a channel is doing. Kept with the head's number in one word, so that moving the head
 * is one store that also resets it. */
enum sim_head_state {
    SIM_FRESH,   /* not looked at yet */
    SIM_WAITING, /* wants the device: for its turn and for room */
    SIM_RUNNING, /* has room; progresses while its context is current */
    SIM_ENDED,   /* device time used up, run() not yet back */
    SIM_COPYING,
    SIM_BLOCKED, /* on a position */
    SIM_HOSTING, /* run() comes first or is all */
    SIM_RECORD,  /* an event record that waits for its context's turn */
};

typedef struct sim_channel {
    /* producer */
    uint64_t tail; /* items ever submitted */
    uint64_t total_ns;
    int32_t priority;
    uint32_t padding0;
    uint64_t padding1[5];
    /* simulation, under the device lock */
    uint64_t head;      /* items ever completed */
    uint64_t state;     /* head << 3 | sim_head_state; of another head: FRESH */
    uint64_t ready_ns;  /* when the head began to wait for room */
    uint64_t finish_ns; /* RUNNING: on the clock of context.busy_ns; COPYING: on the device clock */
    uint32_t copied; /* the last item done was a copy: records follow without the context's turn */
    uint32_t padding2;
    uint64_t padding3[3];
    /* owner's executor, under the device lock */
    uint64_t hosted; /* run() of all items below this number that have one is back */
    uint64_t padding4[7];
} sim_channel_t;
_Static_assert(sizeof(sim_channel_t) == 192, "three cache lines per channel");

enum sim_slot_state { SIM_SLOT_FREE, SIM_SLOT_LIVE, SIM_SLOT_DEAD };

/* Slot words: generation << 2 | sim_slot_state. */
static inline uint64_t sim_slot_word(uint64_t generation, enum sim_slot_state state) {
    return generation << 2 | (uint64_t)state;
}
static inline enum sim_slot_state sim_slot_state(uint64_t word) {
    return (enum sim_slot_state)(word & 3);
}
static inline uint64_t sim_slot_generation(uint64_t word) {
    return word >> 2;
}

typedef struct sim_context {
    uint32_t device;
    uint32_t proc;    /* slot */
    uint64_t proc_id; /* of the owner, so that a reused slot is noticed */
    uint64_t busy_ns; /* also the clock on which running items finish */
    uint64_t active;  /* channels that may hold items */
    uint32_t wake;    /* futex: changes when something happened that no estimate foresees */
    uint32_t waiters;
    int32_t error;
    uint32_t padding0;
    uint64_t launches;
    uint64_t padding1[8];
    sim_channel_t channels[DIVVY_SIMGPU_CHANNELS];
} sim_context_t;

/* --- events ------------------------------------------------------------------------------------------------ */

typedef struct sim_event {
    uint32_t incarnation; /* odd: live */
    uint32_t sequence;    /* odd while the latest record is being replaced */
    uint64_t base;        /* record number at creation: records up to here belong to former lives */
    uint64_t record;      /* number of the latest record */
    uint64_t channel, seq; /* its position */
    uint64_t done;         /* number of the latest record that is done */
    uint64_t time_ns;      /* when */
    uint64_t padding;
} sim_event_t;
_Static_assert(sizeof(sim_event_t) == 64, "a chunk of events is a page");

/* --- processes --------------------------------------------------------------------------------------------- */

/* A bin word: number of the bin (low 32 bits) << 32 | busy ns. */
typedef struct sim_usage {
    uint64_t bytes; /* charged, all kinds */
    uint64_t peak_bytes;
    uint64_t busy_ns;
    uint64_t copy_busy_ns;
    uint64_t launches;
    uint64_t arena_inode; /* the memfd that backs linear memory, for IPC */
    int32_t arena_fd;
    uint32_t seen; /* had a context or memory on the device */
    uint64_t saved_bytes; /* charged before the process was saved, and again when it is restored */
    uint64_t bins[DIVVY_SIMGPU_BINS];
} sim_usage_t;

/* Whether a process may make calls (checkpoint.h). A step is entered with the lock tag of the one who makes it, so that
 * a step whose maker died is known. Word: tag << 8 | sim_checkpoint_state; the tag is 0 outside steps. */
enum sim_checkpoint_state {
    SIM_CHECKPOINT_RUNNING,
    SIM_CHECKPOINT_LOCKED,
    SIM_CHECKPOINT_SAVED,
    SIM_CHECKPOINT_LOCKING, /* steps from here on */
    SIM_CHECKPOINT_SAVING,
    SIM_CHECKPOINT_RESTORING,
};

/* Calls under way: of one thread, and in the last lane of all that have none of their own. */
typedef struct sim_calls {
    uint32_t count;
    uint32_t padding[15];
} sim_calls_t;
enum { SIM_CALL_LANES = 64, SIM_CALL_SHARED = SIM_CALL_LANES - 1 };

typedef struct sim_proc {
    int32_t pid;
    uint32_t flags; /* divvy_simgpu_attach_flags */
    uint64_t start_ticks;
    uint64_t id;
    uint64_t nonce; /* for IPC handles */
    uint64_t attached_ns;
    uint64_t checked_ns; /* last time it was seen alive */
    char comm[DIVVY_SIMGPU_COMM_MAX];
    uint64_t checkpoint;      /* see above */
    uint32_t checkpoint_bell; /* futex: changes with it, and when a call ends that it waits for */
    uint32_t sharing;         /* has opened its memory to others, or theirs */
    uint64_t opened[SIM_UNITS / 64]; /* bit per unit: in use as long as this process lives */
    sim_calls_t calls[SIM_CALL_LANES] __attribute__((aligned(64)));
    sim_usage_t use[SIM_UNITS]; /* beyond the devices: pages exist only where the unit is opened */
} sim_proc_t;

typedef struct sim_ended {
    uint64_t id; /* 0: empty */
    int32_t pid;
    int32_t device;
    uint64_t generation; /* of the unit */
    uint64_t start_ticks;
    uint64_t peak_bytes, busy_ns, copy_busy_ns, launches, attached_ns, ended_ns;
    char comm[DIVVY_SIMGPU_COMM_MAX];
} sim_ended_t;

/* --- devices ----------------------------------------------------------------------------------------------- */

/* A step of the clock, written down before it is made: whoever finds it valid makes it again. */
typedef struct sim_step {
    uint32_t valid;
    uint32_t context; /* SIM_CONTEXTS: no context was running */
    uint64_t now_ns, device_busy_ns, context_busy_ns, proc_busy_ns;
} sim_step_t;

typedef struct sim_device {
    divvy_simgpu_device_t facts;
    uint64_t created_ns;
    sim_lock_t lock;
    uint64_t now_ns;
    uint64_t slice_end_ns;
    uint64_t ready_ns; /* until then it changes over to the current context, and runs nothing */
    uint32_t current; /* context slot; SIM_CONTEXTS: none */
    uint32_t last;    /* where the round robin stands */
    uint64_t
        next_ns; /* when the schedule changes next by itself; UINT64_MAX never; hint, under the lock */
    sim_step_t step;
    uint64_t busy_ns;
    uint64_t launches;
    uint64_t copy_free_ns[2], copy_busy_ns[2], copy_bytes[2];
    uint64_t lost_ns;               /* lost from this moment on; 0: not */
    uint64_t active[SIM_CTX_WORDS]; /* contexts that may hold items */
    uint64_t bins[DIVVY_SIMGPU_BINS];
    uint32_t pool; /* number of the sim_device_t whose pool below is this one's memory */
    uint32_t padding;
    sim_lock_t memory_lock __attribute__((aligned(64)));
    uint64_t used_bytes, pool_bytes;
} sim_device_t;

/* --- MIG --------------------------------------------------------------------------------------------------- */

/* Under the machine lock. The word is a slot word and comes last when an instance is made. */
typedef struct sim_mig_gi {
    uint64_t word;
    uint32_t row; /* of the model's table */
    uint32_t start;
} sim_mig_gi_t;

typedef struct sim_mig_ci {
    uint64_t word;
    uint32_t gi; /* slot */
    uint32_t id, profile_id, start;
} sim_mig_ci_t;

/* The memory of GPU instance number i is the pool of the unit with that number, the compute instance number i is the
 * unit: two numberings in one array. */
typedef struct sim_mig {
    uint32_t mode, pending; /* instances count only while mode is set */
    sim_mig_gi_t gi[DIVVY_SIMGPU_MIG_MAX];
    sim_mig_ci_t ci[DIVVY_SIMGPU_MIG_MAX];
} sim_mig_t;

/* --- faults ------------------------------------------------------------------------------------------------ */

enum sim_fault_kind { SIM_FAULT_NONE, SIM_FAULT_FAIL, SIM_FAULT_SLOW, SIM_FAULT_UNSUPPORTED };

typedef struct sim_fault {
    uint32_t kind;
    int32_t code;
    uint64_t slow_ns;
    uint64_t after; /* the first calls that go unharmed */
    uint64_t times; /* at most so many hits; UINT64_MAX: no limit */
    uint32_t permille;
    uint32_t prefix; /* name ends in '*' */
    uint64_t calls, hits;
    char name[SIM_FAULT_NAME];
} sim_fault_t;

/* --- the file ---------------------------------------------------------------------------------------------- */

typedef struct sim_header {
    uint64_t magic; /* written last */
    uint32_t version;
    uint32_t header_bytes; /* sizeof(sim_file_t) without the rings, as a check of the layout */
    uint64_t file_bytes;
    uint64_t pid_namespace;
    uint64_t uid;
    uint64_t
        boot_ns_check; /* creation, CLOCK_MONOTONIC; a file from before a reboot lies in the future */
    sim_config_t config;
    sim_lock_t lock;
    uint64_t next_id; /* of processes */
    uint64_t proc_words[SIM_PROCS];
    uint64_t context_words[SIM_CONTEXTS];
    uint64_t chunk_words[SIM_EVENT_CHUNKS]; /* owner's process id, 0: free */
    uint32_t chunk_hint;
    uint32_t history_next;
    sim_ended_t history[SIM_HISTORY];
    uint32_t fault_count;
    uint32_t fault_padding;
    sim_fault_t faults[SIM_FAULTS];
    sim_mig_t mig[SIM_DEVICES];
    sim_device_t devices[SIM_UNITS];
} sim_header_t;

typedef struct sim_file {
    sim_header_t header __attribute__((aligned(4096)));
    sim_proc_t procs[SIM_PROCS] __attribute__((aligned(4096)));
    sim_context_t contexts[SIM_CONTEXTS] __attribute__((aligned(4096)));
    sim_event_t events[SIM_EVENT_CHUNKS][SIM_EVENTS_PER_CHUNK] __attribute__((aligned(4096)));
    /* sparse: a page exists only where a channel was used */
    sim_item_t rings[SIM_CONTEXTS][DIVVY_SIMGPU_CHANNELS][DIVVY_SIMGPU_DEPTH]
        __attribute__((aligned(4096)));
} sim_file_t;

/* Shared fields are read and written by several processes: always through these. */
#define sim_load(p)     __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define sim_store(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)

/* The device that a unit is a part of. */
static inline uint32_t sim_unit_device(uint32_t unit) {
    return unit < SIM_DEVICES ? unit : (unit - SIM_DEVICES) / DIVVY_SIMGPU_MIG_MAX % SIM_DEVICES;
}

/* A device of this machine, or a unit of one, whether there is an instance or not. */
static inline bool sim_unit_plausible(const sim_file_t *f, uint32_t unit) {
    return unit < SIM_UNITS && sim_unit_device(unit) < f->header.config.devices;
}

/* Whether the process's use[unit] may be touched: there are pages. */
static inline bool sim_proc_uses(const sim_proc_t *p, uint32_t unit) {
    return unit < SIM_DEVICES || sim_load(&p->opened[unit / 64]) >> unit % 64 & 1;
}

/* The device falls off the bus with all its units. 0: it does not. */
static inline uint64_t sim_unit_lost_ns(const sim_file_t *f, uint32_t unit) {
    return sim_load(&f->header.devices[sim_unit_device(unit)].lost_ns);
}

/* The pool that a unit's memory comes from. */
static inline uint32_t sim_unit_pool(const sim_file_t *f, uint32_t unit) {
    return sim_load(&f->header.devices[unit & (SIM_UNITS - 1)].pool) & (SIM_UNITS - 1);
}

static inline sim_item_t *sim_ring_item(sim_file_t *f, uint32_t context, uint32_t channel,
                                        uint64_t seq) {
    return &f->rings[context & (SIM_CONTEXTS - 1)][channel & (DIVVY_SIMGPU_CHANNELS - 1)]
                    [seq & (DIVVY_SIMGPU_DEPTH - 1)];
}

/* Positions: context generation << 16 | context slot << 6 | channel. Generations start at 1. */
static inline uint64_t sim_position_channel(uint64_t generation, uint32_t context,
                                            uint32_t channel) {
    return generation << 16 | (uint64_t)context << 6 | channel;
}
static inline uint32_t sim_position_context(uint64_t channel) {
    return (uint32_t)(channel >> 6) & (SIM_CONTEXTS - 1);
}
static inline uint32_t sim_position_index(uint64_t channel) {
    return (uint32_t)channel & (DIVVY_SIMGPU_CHANNELS - 1);
}
static inline uint64_t sim_position_generation(uint64_t channel) {
    return channel >> 16;
}

#endif
