/*
 * What the gate and the clock of GPU time keep: all of it in fixed tables of this library, so nothing is ever allocated.
 * docs/COMPUTE.md tells how the pieces play together.
 *
 *   thread   what one thread may still launch (credit) and what it launched on each stream since the last look (slots)
 *   slot     an open segment: launches on one stream by one thread, after a start event
 *   segment  a closed one, between two events, until the device has passed it
 *   device   the tenant's account, what is in flight, segments not yet settled
 *   context  its pool of events and the time that they tell
 *   cost     what a launch is estimated at
 */
#ifndef DIVVY_LIMITER_COMPUTE_STATE_H
#define DIVVY_LIMITER_COMPUTE_STATE_H

#include "core/clock.h"
#include "cuda/driver.h"
#include "cuda/nvml_types.h"
#include "limiter/compute/estimator.h"
#include "limiter/compute/pacer.h"
#include "limiter/compute/union.h"
#include "limiter/hook/control.h"
#include "limiter/hook/lock.h"
#include "page/page.h"

#include <stdbool.h>
#include <stdint.h>

#define DIVVY_COMPUTE_CHUNK_NS  UINT64_C(500000)  /* work between two looks at the clock */
#define DIVVY_COMPUTE_BUDGET_NS UINT64_C(1000000) /* work in flight */
#define DIVVY_COMPUTE_BANK_NS   UINT64_C(10000000) /* GPU time that idleness saves up at most */
#define DIVVY_COMPUTE_EDGE_NS  UINT64_C(400000) /* around a hand-over two tenants may be on the device */
#define DIVVY_COMPUTE_GUESS_NS  UINT64_C(200000)  /* of a kernel never seen */

#define DIVVY_COMPUTE_SLOTS    8u
#define DIVVY_COMPUTE_THREADS  256u
#define DIVVY_COMPUTE_CONTEXTS 64u
#define DIVVY_COMPUTE_EVENTS   192u /* of a context */
#define DIVVY_COMPUTE_SEGMENTS 256u /* of a device, closed and not yet settled */
#define DIVVY_COMPUTE_GROUPS   16u
#define DIVVY_COMPUTE_QUEUE    512u /* threads that wait at the gate of a device */
#define DIVVY_COMPUTE_COSTS    4096u
#define DIVVY_COMPUTE_NONE     UINT16_MAX

/* Estimates. Read by launches without a lock: a torn pair costs one wrong estimate, which measurement corrects. */
struct divvy_compute_cost {
    uint64_t key; /* 0: free */
    uint64_t cost_ns;
};

/* What was learned behind the estimate of the same index. Written under the lock of the table. */
struct divvy_compute_lesson {
    struct divvy_estimator estimator;
    uint64_t sum_ns; /* samples that overlap others are summed up: only together do they tell anything */
    uint32_t sum_launches;
    uint32_t sum_segments;
    uint32_t chunks_since; /* chunks begun by this function since the last sample; atomic, a hint */
    uint32_t launched;     /* was launched at least once; atomic, a hint */
    uint32_t samples;      /* the estimator's count; atomic, a hint */
    uint32_t suspect;      /* measured work was far from its estimate: measure the next launch alone; atomic, a hint */
    uint32_t edges;        /* measured around hand-overs since there was a better sample */
    uint32_t edges_tight;  /* those of them whose time is known well */
    uint64_t edge_least_ns; /* the shortest of the latter */
    bool vague;            /* all samples so far were mere guesses within wide bounds */
};

struct divvy_compute_slot {
    CUstream stream; /* CU_STREAM_LEGACY and CU_STREAM_PER_THREAD stand for the default streams; NULL: unused */
    struct divvy_compute_cost *only; /* the one function of the segment, divvy_compute_mixed: several */
    uint64_t estimate_ns;
    uint32_t launches;
    uint32_t open;
    uint64_t opened_ns;
    uint32_t gap_ns; /* from the start event to the first launch; 0 when the device was busy */
    uint32_t context_generation;
    uint16_t context;
    uint16_t start; /* event before the segment, held */
    uint8_t shared; /* start is the end of a segment before, and the device had not reached it */
    uint8_t crossed; /* that one was in another stream: work of this one may have begun before it */
    uint8_t broken; /* something else entered the stream: the next segment needs a start of its own */
    uint8_t loose;  /* the same in the open segment */
    uint8_t first;  /* the first launch is on its way */
    uint32_t dead;  /* the stream is being destroyed; atomic, set by other threads */
};

struct divvy_compute_thread {
    int64_t credit_ns; /* may be launched before the next look */
    uint64_t salt;     /* of the device, in keys */
    struct divvy_compute_slot slots[DIVVY_COMPUTE_SLOTS];
    /* What the credit was granted under. It is void as soon as *word is not `seen` any more, and from until_ns on. */
    const uint32_t *word; /* NULL: nobody can take it back */
    uint32_t seen;
    uint32_t leased;    /* by a lease: the account was not asked */
    uint64_t until_ns;  /* UINT64_MAX: no end */
    uint64_t late_from_ns; /* begin of the lease whose first launch is on its way, if it was waited for; else 0 */
    uint64_t until_ticks; /* before this the end has not come, for certain; 0: ask the clock */
    uint64_t grant_ns;  /* granted, less what closed segments took over */
    uint64_t parked_ns; /* credit put aside because the current context may have changed */
    uint64_t closed_ns; /* when the last chunk was closed */
    uint64_t chunk_ns;  /* size of the last chunk */
    uint64_t break_ns;  /* start of the millisecond in which breaks are counted */
    uint32_t breaks;
    CUcontext context;
    uint32_t context_generation;
    uint16_t context_index;
    CUstream last_stream; /* of last_end */
    uint16_t last_end; /* the newest event after a segment, held: where the next one may start; NONE */
    uint8_t context_known;
    uint8_t device;  /* index in the page, 255: none */
    uint8_t streams; /* open when the last chunk was closed */
    uint32_t turn;   /* 1: first at the gate; atomic, slept on */
    uint32_t tid;    /* 0: the block is free; atomic */
    uint32_t busy;  /* the owner is using its slots; atomic, others that changed `dead` wait for it */
};

struct divvy_compute_event {
    CUevent handle;
    uint32_t references;
    uint32_t known; /* time_ns is */
    uint64_t time_ns;
};

struct divvy_compute_context {
    CUcontext handle;    /* NULL: free */
    uint32_t generation; /* changes when the context goes */
    divvy_lock_t lock;   /* of the events */
    uint8_t device;      /* index in the page, 255: none */
    uint16_t event_count;
    uint16_t free_count;
    uint16_t base; /* event that others are measured from */
    struct divvy_union busy;
    uint16_t free[DIVVY_COMPUTE_EVENTS];
    struct divvy_compute_event events[DIVVY_COMPUTE_EVENTS];
};

struct divvy_compute_segment {
    uint64_t estimate_ns;
    uint64_t opened_ns; /* when it was begun: its work ran no earlier */
    uint64_t seen_ns;   /* when it was last found not done; 0: never looked for */
    uint64_t lease_end_ns; /* of the lease that it was launched in */
    uint64_t gap_ns;   /* as in struct divvy_estimator_stretch */
    uint64_t doubt_ns; /* the same */
    uint32_t edge;     /* 1: near an end of a lease, where somebody else may have had a turn */
    uint32_t group;    /* segments of one chunk, which are charged together; 0: none */
    uint32_t group_size;
    struct divvy_compute_cost *only;
    uint64_t only_key;
    uint32_t launches;
    uintptr_t stream; /* work of the same stream is done in order */
    uint32_t context_generation;
    uint16_t context;
    uint16_t start, end;
    bool leased; /* as in the thread */
    bool crossed; /* as in slots: it may have taken longer than from `start` to `end` */
};

/* Segments of several streams that one thread filled in turn. */
struct divvy_compute_group {
    struct divvy_estimator_stretch stretch;
    struct divvy_compute_cost *only; /* as in slots */
    uint64_t only_key;
    uint32_t launches;
    bool crossed; /* one of its segments is */
    uint32_t id; /* 0: free */
    uint32_t missing;
};

#define DIVVY_COMPUTE_LATE 8u

/* Another process of the tenant, by slot. */
struct divvy_compute_sibling {
    uint64_t launches;  /* at the last look */
    uint64_t active_ns; /* when it was last seen to compute; 0: never */
};

struct divvy_compute_device {
    struct divvy_page_device *page; /* NULL: not attached */
    struct divvy_page_usage *usage;
    const struct divvy_control_device *control; /* the daemon's entry; NULL: none, we pace ourselves */
    uint32_t leased; /* leases counted at the last look; atomic, a hint */
    uint64_t lease_begin_ns, lease_end_ns; /* of the newest lease that let something through; atomic */
    uint64_t late[DIVVY_COMPUTE_LATE]; /* from the begin of a lease to its first launch, the last few times; a ring */
    uint32_t late_count;
    CUdevice ordinal;
    divvy_lock_t lock; /* of flight, segments, carry, late */
    uint32_t settling; /* somebody looks for completed segments */
    uint32_t siblings;  /* other processes of the tenant that compute; atomic */
    uint32_t strangers; /* others that do; atomic */
    uint64_t looked_ns; /* when these were last counted; atomic. What follows belongs to whoever moved it */
    uint64_t looked_charged_ns;
    nvmlDevice_t nvml;
    bool nvml_asked;
    uint8_t stranger_looks; /* in a row that found somebody else */
    uint64_t carry_ns;
    uint32_t group_last; /* newest id; atomic */
    struct divvy_compute_group groups[DIVVY_COMPUTE_GROUPS];
    struct divvy_pacer_flight flight;
    uint64_t granted_ns;       /* open chunks: reserved, launched or not; atomic */
    uint64_t granted_drain_ns; /* when the device will be done with them if they are launched at once */
    struct divvy_compute_thread *queue[DIVVY_COMPUTE_QUEUE]; /* a ring: who waits, in order of arrival */
    uint32_t queue_first;
    uint32_t queue_count; /* atomic */
    uint64_t queue_ns;    /* when its first was last awake; atomic */
    uint32_t segment_count; /* atomic */
    struct divvy_compute_segment segments[DIVVY_COMPUTE_SEGMENTS];
    uint64_t siblings_ns; /* when siblings were last looked for; atomic. `known` belongs to whoever moved it */
    struct divvy_compute_sibling known[DIVVY_PAGE_SLOTS];
};

/* A launch on its way through the slow path. */
struct divvy_compute_pass {
    struct divvy_compute_thread *thread; /* NULL: not limited, nothing to do afterwards */
    struct divvy_compute_slot *slot;
    struct divvy_compute_cost *cost;
    uint64_t cost_ns;
    bool close;  /* the chunk ends with this launch */
    bool pushed; /* another context was made current */
    struct divvy_compute_thread temporary; /* where the thread has no block, or launches into a foreign context */
};

/* Everything that a launch reads on its way through the open gate. */
struct divvy_compute_gate {
    const uint32_t *permille; /* share of the one device of this process; of several: a word that says "look" */
    const struct divvy_compute_toll *toll; /* NULL: none; atomic */
    uint32_t capturing;       /* captures under way in this process; atomic */
    uint32_t threads_high;    /* blocks of threads below have been used; atomic */
    uint64_t ticks_from, ns_from; /* the counter and the clock at one moment */
};

/*
 * What decides now whether work may start: a lease, or the tenant's own account. `word` and `seen` are what to sleep on for it to
 * change.
 */
struct divvy_compute_say {
    const uint32_t *word;
    uint32_t seen;
    bool is_leased; /* `lease` counts; else pace by `permille` */
    uint32_t permille;
    struct divvy_control_lease lease;
};

/* How the room tells the time and sleeps; tests put their own here. */
struct divvy_compute_port {
    uint64_t (*now)(void);
    /* Sleep while *word == expected until the deadline at most; the word is shared between processes. */
    void (*sleep)(const uint32_t *word, uint32_t expected, uint64_t deadline_ns);
    uint64_t (*ticks)(void); /* NULL: the processor's counter */
};

static inline uint64_t divvy_compute_ticks(const struct divvy_compute_port *port) {
    return __builtin_expect(port->ticks != NULL, 0) ? port->ticks() : divvy_core_clock_ticks();
}

extern struct divvy_compute_gate divvy_compute_gate;
extern struct divvy_compute_port divvy_compute_port;
extern struct divvy_compute_cost divvy_compute_costs[DIVVY_COMPUTE_COSTS];
extern struct divvy_compute_cost divvy_compute_mixed;
extern struct divvy_compute_thread divvy_compute_threads[DIVVY_COMPUTE_THREADS];
extern struct divvy_compute_context divvy_compute_contexts[DIVVY_COMPUTE_CONTEXTS];
extern struct divvy_compute_device divvy_compute_devices[DIVVY_PAGE_DEVICES];
extern __thread struct divvy_compute_thread *divvy_compute_self __attribute__((tls_model("initial-exec")));

/* What a fresh process has, for divvy_compute_attach. */
void divvy_compute_costs_reset(void);
void divvy_compute_contexts_reset(void);
void divvy_compute_captures_reset(void);

/* attach.c: the table of threads. */

/* The calling thread's block, or NULL when there are too many threads. */
struct divvy_compute_thread *divvy_compute_thread_own(void);
/* Give up what threads that have ended still held. */
void divvy_compute_threads_sweep(void);

/* cost.c */

/* The estimate for the key, entered with the guess if new. Any thread. */
struct divvy_compute_cost *divvy_compute_cost_find(uint64_t key, uint64_t guess_ns);
void divvy_compute_cost_forget(uint64_t key);
struct divvy_compute_lesson *divvy_compute_cost_lesson(struct divvy_compute_cost *cost);
/* Learn from settled launches of one function; `only` may have been given to another key since. */
void divvy_compute_cost_learn(const struct divvy_compute_group *group);

/* event.c */

/* Index of the context, entered if new; DIVVY_COMPUTE_NONE when the table is full. It is current. */
uint16_t divvy_compute_context_find(CUcontext handle, uint8_t *ret_device);
/* The entry if it is still what it was. */
struct divvy_compute_context *divvy_compute_context_get(uint16_t index, uint32_t generation);
void divvy_compute_context_drop(struct divvy_compute_context *context);
/* Take an event and record it: its index, or DIVVY_COMPUTE_NONE. The context is current. */
uint16_t divvy_compute_event_record(struct divvy_compute_context *context, CUstream stream);
void divvy_compute_event_hold(struct divvy_compute_context *context, uint16_t event);
void divvy_compute_event_release(struct divvy_compute_context *context, uint16_t event);
/* 1 the device has passed it, 0 not yet, negative: it will never be known. */
int divvy_compute_event_passed(struct divvy_compute_context *context, uint16_t event);
/* The same, with the time on the context's own clock. */
int divvy_compute_event_time(struct divvy_compute_context *context, uint16_t event, uint64_t *ret_ns);
/* Calls that ask about events are forbidden while this process captures, except in this mode of the thread. */
CUstreamCaptureMode divvy_compute_relax(void);
void divvy_compute_unrelax(CUstreamCaptureMode mode);

/* neighbours.c */

/* Count the processes that compute on the device besides this one, about once a second. Nothing is locked. */
void divvy_compute_neighbours_look(struct divvy_compute_device *device, uint64_t now_ns);

/* settle.c */

void divvy_compute_segment_add(struct divvy_compute_device *device,
                               const struct divvy_compute_segment *segment);
/* Charge what the device has completed. Returns at once when another thread is doing it. */
void divvy_compute_settle(struct divvy_compute_device *device);
/* Drop segments of a context that goes: what they were estimated at stays charged. */
void divvy_compute_settle_context(struct divvy_compute_device *device, uint16_t context);

/* A chunk of work_ns was granted, or was not used after all (negative): the daemon is told when the device will be done. */
void divvy_compute_granted(struct divvy_compute_device *device, int64_t work_ns);

/* lease.c */

/* 1: divvy_compute_suspend; atomic, slept on. */
extern uint32_t divvy_compute_suspended;

/* Whether launches on the device have to be looked at. */
bool divvy_compute_armed_on(const struct divvy_compute_device *device);

/* Who decides, at now_ns. */
void divvy_compute_ask(struct divvy_compute_device *device, uint64_t now_ns, struct divvy_compute_say *ret_say);

/*
 * When work may start by the lease, where what is in flight is done at drain_ns: not after now_ns means now, UINT64_MAX not by this
 * lease. *work_ns is cut to what is left of the lease, but not below least_ns. Pure.
 */
uint64_t divvy_compute_lease_wait(const struct divvy_control_lease *lease, uint64_t now_ns, uint64_t drain_ns,
                                  uint64_t least_ns, uint64_t *work_ns);

/*
 * Where the processor's counter will be at until_ns at the earliest, as far as can be told from how fast it went so far; 0: not
 * known yet.
 */
uint64_t divvy_compute_ticks_at(uint64_t now_ns, uint64_t until_ns);

/* Whether the daemon is to be told that somebody stands at the shut gate. */
bool divvy_compute_lease_wants_bell(const struct divvy_compute_device *device, const struct divvy_compute_say *say);

/* account.c: the tenant's account in the page. Lock-free between processes. */

/* Leases decide: the account rests, and begins anew when it is asked again, neither in debt nor rich. */
void divvy_compute_account_rest(struct divvy_page_device *page);
/* Reserve gpu_ns if work may start now: true; else when it may. */
bool divvy_compute_account_reserve(struct divvy_page_device *page, uint64_t now_ns, uint32_t permille,
                                   uint64_t gpu_ns, uint64_t *ret_open_ns);
void divvy_compute_account_correct(struct divvy_page_device *page, int64_t gpu_ns);

/* gate.c: the slow path */

/*
 * Before work goes to the driver: waits until it may. `stream` as in slots; guess_ns: for a key never seen. Every begin is
 * followed by one end on the same thread with what the driver answered.
 */
void divvy_compute_begin(struct divvy_compute_pass *pass, uint64_t key, uint64_t guess_ns, CUstream stream);
void divvy_compute_end(struct divvy_compute_pass *pass, CUresult result);
/* Whether what is launched into the stream is recorded and does not run. */
bool divvy_compute_is_capturing(CUstream stream);
/* Something that is no GPU work of ours, or waits, is about to enter the stream: measured time must not contain it. */
void divvy_compute_break(CUstream stream);
/* The stream is about to be destroyed. */
void divvy_compute_stream_forget(CUstream stream);
/* The thread's current context may have changed. */
void divvy_compute_park(void);
/* Close what the thread has open; its context is current, or nothing is recorded. */
void divvy_compute_close(struct divvy_compute_thread *thread, uint64_t now_ns);
/* Give up what a thread that ended, or a context that went, left open. */
void divvy_compute_abandon(struct divvy_compute_thread *thread);

#endif
