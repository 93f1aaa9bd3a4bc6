/* Executors: a thread per channel that has work for the host, which does it when its turn comes. */
#include "simgpu/engine/local.h"

#include "simgpu/engine/sched.h"
#include "simgpu/engine/self.h"

#include "core/clock.h"
#include "core/futex.h"
#include "core/spin.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

enum { STACK_BYTES = 256 * 1024 };
#define POLL_MIN_NS (5 * DIVVY_NS_PER_US)
#define POLL_MAX_NS (200 * DIVVY_NS_PER_US)
#define LOST_NS     (20 * DIVVY_NS_PER_MS)

static bool compare_holds(const sim_action_t *a) {
    bool wide = a->flags & DIVVY_SIMGPU_WIDE;
    uint64_t seen =
        wide ? __atomic_load_n((const uint64_t *)(uintptr_t)a->address, __ATOMIC_ACQUIRE)
             : __atomic_load_n((const uint32_t *)(uintptr_t)a->address, __ATOMIC_ACQUIRE);

    switch (a->compare) {
    case DIVVY_SIMGPU_GEQ:
        return wide ? (int64_t)(seen - a->value) >= 0
                    : (int32_t)((uint32_t)seen - (uint32_t)a->value) >= 0;
    case DIVVY_SIMGPU_EQ:
        return wide ? seen == a->value : (uint32_t)seen == (uint32_t)a->value;
    case DIVVY_SIMGPU_AND:
        return wide ? (seen & a->value) != 0 : ((uint32_t)seen & (uint32_t)a->value) != 0;
    default:
        return wide ? ~(seen | a->value) != 0 : ~((uint32_t)seen | (uint32_t)a->value) != 0;
    }
}

/* Nobody tells when plain memory changes: look, ever less often. */
static int wait_memory(const sim_action_t *a, const uint32_t *stop) {
    uint64_t pause_ns = POLL_MIN_NS;

    while (!compare_holds(a)) {
        struct timespec t = divvy_core_clock_timespec(pause_ns);

        if (sim_load(stop))
            return -ECANCELED;
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
        if (pause_ns < POLL_MAX_NS)
            pause_ns += pause_ns / 4;
    }
    return 0;
}

static void write_memory(const sim_action_t *a) {
    if (a->flags & DIVVY_SIMGPU_WIDE)
        __atomic_store_n((uint64_t *)(uintptr_t)a->address, a->value, __ATOMIC_RELEASE);
    else
        __atomic_store_n((uint32_t *)(uintptr_t)a->address, (uint32_t)a->value, __ATOMIC_RELEASE);
}

static void note_error(sim_context_t *c, int code) {
    int32_t none = 0;

    if (code)
        (void)__atomic_compare_exchange_n(&c->error, &none, code, false, __ATOMIC_RELEASE,
                                          __ATOMIC_RELAXED);
}

/* The device learns that the action is back, at the moment when it is. */
static void report(divvy_simgpu_channel_t *ch, uint64_t seq, const sim_action_t *a,
                   uint64_t duration_ns) {
    divvy_simgpu_context_t *context = ch->context;
    sim_file_t *f = context->file;
    sim_device_t *d = sim_self_lock_device(context->device);

    sim_sched_advance(f, context->device, divvy_core_clock_ns());
    if (a->flags & DIVVY_SIMGPU_LATE)
        sim_ring_item(f, context->slot, ch->index, seq)->duration_ns = duration_ns;
    sim_store(&context->shared->channels[ch->index].hosted, seq + 1);
    sim_sched_advance(f, context->device, d->now_ns);
    sim_lock_give(&d->lock);
    sim_context_wake(context->shared);
}

static void perform(divvy_simgpu_channel_t *ch, uint64_t seq, const sim_action_t *a) {
    divvy_simgpu_context_t *context = ch->context;
    uint64_t duration_ns = a->duration_ns;

    switch (a->kind) {
    case DIVVY_SIMGPU_MEM_WAIT:
        if (wait_memory(a, &context->stopping) < 0)
            return;
        break;
    case DIVVY_SIMGPU_MEM_WRITE:
        write_memory(a);
        break;
    default:
        note_error(context->shared, a->run(a->arg, &duration_ns));
        break;
    }
    report(ch, seq, a, duration_ns);
}

/* The item is at the head of its channel, or never will be (-ECANCELED). */
static int wait_turn(divvy_simgpu_channel_t *ch, uint64_t seq) {
    divvy_simgpu_context_t *context = ch->context;
    divvy_simgpu_position_t position = {.channel = ch->position, .seq = seq};
    int r;

    while ((r = sim_wait(context->file, position, UINT64_MAX, &context->stopping)) == -ENODEV) {
        /* the device is lost: it may come back, or the context go */
        uint32_t seen = sim_load(&context->shared->wake);

        if (sim_load(&context->stopping))
            return -ECANCELED;
        (void)divvy_core_futex_wait(&context->shared->wake, seen, LOST_NS, true);
    }
    uint64_t word = sim_load(&context->file->header.context_words[context->slot]);

    return sim_load(&context->stopping) || sim_slot_state(word) != SIM_SLOT_LIVE ? -ECANCELED : r;
}

static void ring(divvy_simgpu_channel_t *ch) {
    __atomic_add_fetch(&ch->bell, 1, __ATOMIC_SEQ_CST);
    (void)divvy_core_futex_wake(&ch->bell, 1, false);
}

/* Programs mostly launch again as soon as they have an answer. */
static void wait_work(divvy_simgpu_channel_t *ch, uint32_t seen, struct divvy_core_spin *spin) {
    divvy_core_spin_begin(spin);
    while (sim_load(&ch->bell) == seen && divvy_core_spin_goes_on(spin))
        ;
    (void)divvy_core_futex_wait(&ch->bell, seen, DIVVY_CORE_FUTEX_FOREVER, false);
    divvy_core_spin_end(spin);
}

static void *executor(void *arg) {
    divvy_simgpu_channel_t *ch = arg;
    divvy_simgpu_context_t *context = ch->context;
    struct divvy_core_spin spin = {.window_ns = DIVVY_CORE_SPIN_WINDOW_NS};

    (void)prctl(PR_SET_NAME, "divvy-sim-exec");
    for (uint32_t taken = 0;;) {
        uint32_t bell = sim_load(&ch->bell);

        if (sim_load(&ch->added) == taken) {
            if (sim_load(&context->stopping))
                return NULL;
            wait_work(ch, bell, &spin);
            continue;
        }
        uint32_t place = taken++ % DIVVY_SIMGPU_DEPTH;
        uint64_t seq = ch->actions->seq[place];
        sim_action_t action = ch->actions->action[place];

        if (wait_turn(ch, seq) == 0)
            perform(ch, seq, &action);
        else if (action.drop)
            action.drop(action.arg);
    }
}

int sim_executor_start(divvy_simgpu_channel_t *ch) {
    pthread_attr_t attributes;
    sigset_t all, before;
    int r;

    if (ch->actions)
        return 0;
    sim_actions_t *actions = calloc(1, sizeof *actions);

    if (!actions)
        return -ENOMEM;
    ch->actions = actions;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all,
                    &before); /* inherited: no signal of the program is ever delivered there */
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    r = pthread_create(&ch->executor, &attributes, executor, ch);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r) {
        ch->actions = NULL;
        free(actions);
    }
    return -r;
}

void sim_executor_add(divvy_simgpu_channel_t *ch, uint64_t seq, const divvy_simgpu_item_t *item) {
    uint32_t place = ch->added % DIVVY_SIMGPU_DEPTH;

    ch->actions->seq[place] = seq;
    ch->actions->action[place] = (sim_action_t){
        .run = item->run,
        .drop = item->drop,
        .arg = item->arg,
        .duration_ns = item->duration_ns,
        .address = item->address,
        .value = item->value,
        .kind = (uint8_t)item->kind,
        .flags = (uint8_t)item->flags,
        .compare = (uint8_t)item->compare,
    };
    __atomic_add_fetch(&ch->added, 1, __ATOMIC_RELEASE);
    ring(ch);
}

void sim_executor_stop(divvy_simgpu_channel_t *ch) {
    if (!ch->actions)
        return;
    ring(ch);
    pthread_join(ch->executor, NULL);
    free(ch->actions);
    ch->actions = NULL;
}
