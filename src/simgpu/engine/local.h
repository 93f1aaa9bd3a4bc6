/* This process's own side of contexts and channels. Internal to the engine. */
#ifndef DIVVY_SIMGPU_LOCAL_H
#define DIVVY_SIMGPU_LOCAL_H

#include "simgpu/engine/layout.h"

#include <pthread.h>
#include <stdbool.h>

typedef struct sim_action {
    int (*run)(void *arg, uint64_t *duration_ns);
    void (*drop)(void *arg);
    void *arg;
    uint64_t duration_ns, address, value;
    uint8_t kind, flags, compare;
} sim_action_t;

/* Actions wait here for their executor, in the order of the channel; as many as the channel holds items. */
typedef struct sim_actions {
    uint64_t seq[DIVVY_SIMGPU_DEPTH];
    sim_action_t action[DIVVY_SIMGPU_DEPTH];
} sim_actions_t;

struct divvy_simgpu_channel {
    divvy_simgpu_context_t *context;
    uint32_t index;
    uint32_t users; /* under the context's mutex */
    int32_t priority;
    uint32_t added; /* actions ever added */
    uint32_t bell;  /* futex of the executor: changes with added and when it shall stop */
    uint64_t position;
    pthread_mutex_t mutex;  /* producers */
    sim_actions_t *actions; /* made with the executor, under mutex */
    pthread_t executor;
};

struct divvy_simgpu_context {
    divvy_simgpu_context_t *previous, *next; /* all of this process */
    sim_file_t *file;
    sim_context_t *shared;
    uint32_t slot, device;
    uint64_t generation;
    uint32_t stopping;
    pthread_mutex_t mutex; /* channels */
    divvy_simgpu_channel_t *channels[DIVVY_SIMGPU_CHANNELS];
};

/* Destroys what the application left behind. */
void sim_local_contexts_destroy(void);

/* Starts the executor of a channel if there is none; the channel's mutex is held. -EAGAIN, -ENOMEM. */
int sim_executor_start(divvy_simgpu_channel_t *ch);
/* Hands it the action of item seq, which was just pushed; the channel's mutex is held. */
void sim_executor_add(divvy_simgpu_channel_t *ch, uint64_t seq, const divvy_simgpu_item_t *item);
/* After context->stopping was set and the context killed: waits for the executor, which drops what is left. */
void sim_executor_stop(divvy_simgpu_channel_t *ch);

/* Waits; stop (may be NULL) ends it early with -ECANCELED when it becomes non-zero and the context is woken. */
int sim_wait(sim_file_t *f, divvy_simgpu_position_t position, uint64_t deadline_ns,
             const uint32_t *stop);
/* Brings the position's device to the present, and devices it waits for. Result as divvy_simgpu_query. */
int sim_query(sim_file_t *f, divvy_simgpu_position_t position);

/* Appends without blocking; the caller checked the item. -EAGAIN: full. */
int sim_channel_push(divvy_simgpu_channel_t *ch, const divvy_simgpu_item_t *item, uint64_t a,
                     uint64_t b, uint64_t *ret_seq);
/* Waits until the channel has room for an item of that duration. */
int sim_channel_make_room(divvy_simgpu_channel_t *ch, uint64_t duration_ns);
/* Forgets events that were handed out: the slots are given back by the release of the process slot. */
void sim_local_events_forget(void);

#endif
