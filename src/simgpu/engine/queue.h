/* Work and time: contexts, channels (in-order hardware queues), items, events, waiting.
 *
 * A device runs one context at a time: round robin, slices of divvy_simgpu_slice_ns(), work-conserving. Inside the
 * current context the heads of its channels run side by side as far as their fractions of the device fit. Copies
 * run on copy engines, in real time. Everything is placed on the device's absolute clock: the next item starts at
 * the very nanosecond at which its predecessor ended, however late anybody looks. */
#ifndef DIVVY_SIMGPU_QUEUE_H
#define DIVVY_SIMGPU_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DIVVY_SIMGPU_CHANNELS = 64, /* per context */
    DIVVY_SIMGPU_DEPTH = 1024,  /* items per channel */
};

typedef struct divvy_simgpu_context divvy_simgpu_context_t;
typedef struct divvy_simgpu_channel divvy_simgpu_channel_t;

/* A moment in a channel's life, valid machine-wide (also in other processes): "all items up to seq are done".
 * A position of a context that is gone counts as reached. All zero: always reached. */
typedef struct divvy_simgpu_position {
    uint64_t channel; /* opaque */
    uint64_t
        seq; /* number of items from the first, so the n-th item submitted is done at seq == n */
} divvy_simgpu_position_t;

/* --- contexts and channels ---------------------------------------------------------------------------------- */

/* -ENOSPC: the machine has no context slot left. */
int divvy_simgpu_context_create(int device, divvy_simgpu_context_t **ret_context);
/* Drops what is queued (item.drop runs for actions that did not run), waits for running actions, frees the channels.
 * Not from inside an action of the same context. NULL is fine. */
void divvy_simgpu_context_destroy(divvy_simgpu_context_t *context);
int divvy_simgpu_context_device(const divvy_simgpu_context_t *context);
/* The first non-zero result of an action of this context; sticky; 0 if none. */
int divvy_simgpu_context_error(const divvy_simgpu_context_t *context);
/* Exact busy time of this context, now. */
uint64_t divvy_simgpu_context_busy_ns(divvy_simgpu_context_t *context);
/* Waits until everything submitted to the context before the call is done. Errors as divvy_simgpu_wait. */
int divvy_simgpu_context_wait(divvy_simgpu_context_t *context);
/* True if nothing is queued or running. */
bool divvy_simgpu_context_idle(divvy_simgpu_context_t *context);

/* priority: larger is served first among waiting heads; 0 is the usual. Hands out a channel of its own while there
 * are some, then shares the least used one, of equal priority if there is one. Counted. -ENOSPC: no space. */
int divvy_simgpu_channel_open(divvy_simgpu_context_t *context, int priority,
                              divvy_simgpu_channel_t **ret_channel);
/* What is queued still runs. NULL is fine. */
void divvy_simgpu_channel_close(divvy_simgpu_channel_t *channel);
divvy_simgpu_context_t *divvy_simgpu_channel_context(const divvy_simgpu_channel_t *channel);

/* --- items -------------------------------------------------------------------------------------------------- */

typedef enum divvy_simgpu_kind {
    DIVVY_SIMGPU_WORK = 1, /* device time only: duration_ns on fraction_permille of the device */
    DIVVY_SIMGPU_HOST, /* run() in this process; if duration_ns is set, device time like WORK as well. Done
                                  when both are; waiting for run() alone is idle time of the device */
    DIVVY_SIMGPU_COPY,         /* duration_ns on a copy engine, and run() to move the bytes */
    DIVVY_SIMGPU_EVENT_RECORD, /* event: takes the device's time when all before it is done */
    DIVVY_SIMGPU_EVENT_WAIT, /* position: waits for it (same or another channel, context, device) */
    DIVVY_SIMGPU_MEM_WRITE,  /* writes value to address */
    DIVVY_SIMGPU_MEM_WAIT,   /* waits until the value at address satisfies compare */
    DIVVY_SIMGPU_KIND_MAX
} divvy_simgpu_kind_t;

typedef enum divvy_simgpu_compare {
    DIVVY_SIMGPU_GEQ, /* (signed)(*address - value) >= 0 */
    DIVVY_SIMGPU_EQ,
    DIVVY_SIMGPU_AND, /* (*address & value) != 0 */
    DIVVY_SIMGPU_NOR, /* ~(*address | value) != 0 */
} divvy_simgpu_compare_t;

enum divvy_simgpu_item_flags {
    DIVVY_SIMGPU_NONBLOCK = 1 << 0, /* -EAGAIN instead of blocking on a full channel */
    DIVVY_SIMGPU_LATE =
        1 << 1, /* HOST: the duration is what run() returns; device time starts when it did */
    DIVVY_SIMGPU_FROM_DEVICE = 1 << 2, /* COPY: device to host (the other engine) */
    DIVVY_SIMGPU_WIDE = 1 << 3,        /* MEM_*: 64 bits, else 32 */
};

typedef uint64_t divvy_simgpu_event_t; /* 0 is none */

typedef struct divvy_simgpu_item {
    divvy_simgpu_kind_t kind;
    unsigned flags;
    unsigned fraction_permille; /* WORK, HOST: part of the SMs, 1..1000; 0 is taken as 1 */
    uint64_t duration_ns;       /* WORK, HOST, COPY */
    uint64_t bytes;             /* COPY: for the counters */
    /* HOST, COPY: exactly one of run and drop is called, once. run executes in a thread of the engine (all signals
     * blocked) when everything before the item in its channel is done. It returns 0 or a code that becomes the
     * context's sticky error. duration_ns holds the item's duration, and with LATE takes the real one. drop (may
     * be NULL) is called instead when the context is destroyed first. run must not wait for its own channel. */
    int (*run)(void *arg, uint64_t *duration_ns);
    void (*drop)(void *arg);
    void *arg;
    divvy_simgpu_event_t event;       /* EVENT_RECORD */
    divvy_simgpu_position_t position; /* EVENT_WAIT */
    uint64_t address,
        value; /* MEM_*: address is naturally aligned memory of this process, device or host */
    divvy_simgpu_compare_t compare;
} divvy_simgpu_item_t;

/* Appends an item. Blocks while the channel holds DEPTH items, unless NONBLOCK. ret_position may be NULL.
 * -EAGAIN, -EINVAL, -ENODEV, -ECANCELED (the context is being destroyed). Under 0.5 us for WORK. */
int divvy_simgpu_submit(divvy_simgpu_channel_t *channel, const divvy_simgpu_item_t *item,
                        divvy_simgpu_position_t *ret_position);
/* The position after everything submitted so far. */
divvy_simgpu_position_t divvy_simgpu_channel_tail(const divvy_simgpu_channel_t *channel);

/* 1 reached, 0 not yet, or an error (-ENODEV). Advances the device to the present first. */
int divvy_simgpu_query(divvy_simgpu_position_t position);
/* Sleeps until reached. -ENODEV: the device is lost. */
int divvy_simgpu_wait(divvy_simgpu_position_t position);
/* The same with a deadline of the clock of divvy_simgpu_now_ns; -ETIMEDOUT. */
int divvy_simgpu_wait_until(divvy_simgpu_position_t position, uint64_t deadline_ns);

/* --- events ------------------------------------------------------------------------------------------------- */

/* An event holds the latest record made of it. Machine-wide: another process may query and wait for it by number.
 * -ENOSPC. */
int divvy_simgpu_event_create(divvy_simgpu_event_t *ret_event);
/* Only the creator. A record still queued then changes nothing. */
int divvy_simgpu_event_destroy(divvy_simgpu_event_t event);
/* Submits an EVENT_RECORD and makes it the event's latest. flags: 0 or DIVVY_SIMGPU_NONBLOCK. */
int divvy_simgpu_event_record(divvy_simgpu_channel_t *channel, divvy_simgpu_event_t event,
                              unsigned flags);
/* Position of the latest record, to wait for; all zero if there was none. -EINVAL: no such event. */
int divvy_simgpu_event_position(divvy_simgpu_event_t event, divvy_simgpu_position_t *ret_position);
/* 1 done (also when never recorded), 0 not yet, or an error. */
int divvy_simgpu_event_query(divvy_simgpu_event_t event);
int divvy_simgpu_event_wait(divvy_simgpu_event_t event);
/* Device time of the latest record. -EAGAIN: not yet done; -ENODATA: never recorded, or its context was destroyed
 * before it was done; -EINVAL. */
int divvy_simgpu_event_time(divvy_simgpu_event_t event, uint64_t *ret_ns);

#endif
