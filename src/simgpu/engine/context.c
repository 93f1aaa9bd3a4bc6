/* Contexts and channels of this process, and submitting to them. */
#include "simgpu/engine/engine.h"
#include "simgpu/engine/local.h"
#include "simgpu/engine/sched.h"
#include "simgpu/engine/self.h"
#include "simgpu/engine/state.h"

#include "core/clock.h"

#include <errno.h>
#include <stdlib.h>

/* Beyond this, sums of durations might overflow: some 30 years. */
#define DURATION_MAX_NS UINT64_C(1000000000000000000)
/* A full channel of short items is waited for in batches. */
enum { BATCH_ITEMS = 32 };
#define BATCH_NS (2 * DIVVY_NS_PER_US)

static struct {
    pthread_mutex_t mutex;
    divvy_simgpu_context_t *first;
} all = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* --- contexts ---------------------------------------------------------------------------------------------- */

static void link_context(divvy_simgpu_context_t *context) {
    pthread_mutex_lock(&all.mutex);
    context->next = all.first;
    if (all.first)
        all.first->previous = context;
    all.first = context;
    pthread_mutex_unlock(&all.mutex);
}

static void unlink_context(divvy_simgpu_context_t *context) {
    pthread_mutex_lock(&all.mutex);
    if (context->previous)
        context->previous->next = context->next;
    else
        all.first = context->next;
    if (context->next)
        context->next->previous = context->previous;
    pthread_mutex_unlock(&all.mutex);
}

int divvy_simgpu_context_create(int device, divvy_simgpu_context_t **ret_context) {
    sim_file_t *f = sim_self_file();
    divvy_simgpu_context_t *context;
    int r;

    if (!f)
        return -ENOTCONN;
    if ((r = sim_self_unit(device)) < 0)
        return r;
    if (divvy_simgpu_device_lost(device))
        return -ENODEV;
    if (!(context = calloc(1, sizeof *context)))
        return -ENOMEM;
    sim_self_lock(&f->header.lock);
    r = sim_unit_open(f, sim_self_slot(), (uint32_t)device);
    if (!r)
        r = sim_context_claim(f, sim_self_slot(), (uint32_t)device, &context->slot);
    sim_lock_give(&f->header.lock);
    if (r < 0) {
        free(context);
        return r;
    }
    context->file = f;
    context->shared = &f->contexts[context->slot];
    context->device = (uint32_t)device;
    context->generation = sim_slot_generation(sim_load(&f->header.context_words[context->slot]));
    pthread_mutex_init(&context->mutex, NULL);
    link_context(context);
    *ret_context = context;
    return 0;
}

void divvy_simgpu_context_destroy(divvy_simgpu_context_t *context) {
    sim_file_t *f = sim_self_file();

    if (!context || !f)
        return;
    unlink_context(context);
    sim_store(&context->stopping, 1);
    sim_context_kill(f, sim_self_tag(), context->slot);
    for (unsigned i = 0; i < DIVVY_SIMGPU_CHANNELS; i++) {
        divvy_simgpu_channel_t *ch = context->channels[i];

        if (!ch)
            continue;
        sim_executor_stop(ch);
        pthread_mutex_destroy(&ch->mutex);
        free(ch);
    }
    sim_self_lock(&f->header.lock);
    sim_context_free(f, sim_self_tag(), context->slot);
    sim_lock_give(&f->header.lock);
    pthread_mutex_destroy(&context->mutex);
    free(context);
}

void sim_local_contexts_destroy(void) {
    while (all.first)
        divvy_simgpu_context_destroy(all.first);
}

int divvy_simgpu_context_device(const divvy_simgpu_context_t *context) {
    return (int)context->device;
}

int divvy_simgpu_context_error(const divvy_simgpu_context_t *context) {
    return divvy_simgpu_attached() ? sim_load(&context->shared->error) : 0;
}

uint64_t divvy_simgpu_context_busy_ns(divvy_simgpu_context_t *context) {
    sim_file_t *f = sim_self_file();

    if (!f)
        return 0;
    sim_device_t *d = sim_self_lock_device(context->device);

    sim_sched_advance(f, context->device, divvy_core_clock_ns());
    uint64_t busy_ns = context->shared->busy_ns;

    sim_lock_give(&d->lock);
    return busy_ns;
}

int divvy_simgpu_context_wait(divvy_simgpu_context_t *context) {
    divvy_simgpu_position_t positions[DIVVY_SIMGPU_CHANNELS];
    unsigned count = 0;

    if (!divvy_simgpu_attached())
        return -ENOTCONN;
    for (unsigned i = 0; i < DIVVY_SIMGPU_CHANNELS; i++) {
        sim_channel_t *ch = &context->shared->channels[i];
        uint64_t tail = sim_load(&ch->tail);

        if (sim_load(&ch->head) != tail)
            positions[count++] = (divvy_simgpu_position_t){
                .channel = sim_position_channel(context->generation, context->slot, i),
                .seq = tail};
    }
    for (unsigned i = 0; i < count; i++) {
        int r = divvy_simgpu_wait(positions[i]);

        if (r < 0)
            return r;
    }
    return 0;
}

bool divvy_simgpu_context_idle(divvy_simgpu_context_t *context) {
    if (!divvy_simgpu_attached())
        return true;
    for (unsigned i = 0; i < DIVVY_SIMGPU_CHANNELS; i++) {
        sim_channel_t *ch = &context->shared->channels[i];
        divvy_simgpu_position_t position = {
            .channel = sim_position_channel(context->generation, context->slot, i),
            .seq = sim_load(&ch->tail)};

        if (sim_load(&ch->head) != position.seq && divvy_simgpu_query(position) != 1)
            return false;
    }
    return true;
}

/* --- channels ---------------------------------------------------------------------------------------------- */

/* A place nobody uses, idle if possible; -1: none. The context's mutex is held. */
static int free_place(divvy_simgpu_context_t *context) {
    int place = -1;

    for (int i = 0; i < DIVVY_SIMGPU_CHANNELS; i++) {
        divvy_simgpu_channel_t *ch = context->channels[i];
        sim_channel_t *shared = &context->shared->channels[i];

        if (ch && ch->users)
            continue;
        if (!ch || sim_load(&shared->head) == sim_load(&shared->tail))
            return i;
        if (place < 0)
            place = i;
    }
    return place;
}

/* The channel that costs least to share: equal priority before fewest users. */
static divvy_simgpu_channel_t *shareable(divvy_simgpu_context_t *context, int priority) {
    divvy_simgpu_channel_t *best = NULL;

    for (unsigned i = 0; i < DIVVY_SIMGPU_CHANNELS; i++) {
        divvy_simgpu_channel_t *ch = context->channels[i];

        if (!ch || !ch->users)
            continue;
        bool same = ch->priority == priority, best_same = best && best->priority == priority;

        if (!best || (same && !best_same) || (same == best_same && ch->users < best->users))
            best = ch;
    }
    return best;
}

static int make_channel(divvy_simgpu_context_t *context, int place) {
    sim_file_t *f = context->file;
    divvy_simgpu_channel_t *ch;

    if (context->channels[place])
        return 0;
    if (sim_state_populate(f->rings[context->slot][place], sizeof f->rings[0][0]) < 0)
        return -ENOSPC;
    if (!(ch = calloc(1, sizeof *ch)))
        return -ENOMEM;
    ch->context = context;
    ch->index = (uint32_t)place;
    ch->position = sim_position_channel(context->generation, context->slot, (uint32_t)place);
    pthread_mutex_init(&ch->mutex, NULL);
    context->channels[place] = ch;
    return 0;
}

int divvy_simgpu_channel_open(divvy_simgpu_context_t *context, int priority,
                              divvy_simgpu_channel_t **ret_channel) {
    divvy_simgpu_channel_t *ch = NULL;
    int place, r = 0;

    if (!divvy_simgpu_attached())
        return -ENOTCONN;
    pthread_mutex_lock(&context->mutex);
    place = free_place(context);
    if (place >= 0 && !(r = make_channel(context, place))) {
        ch = context->channels[place];
        sim_device_t *d = sim_self_lock_device(context->device);

        ch->priority = priority;
        sim_store(&context->shared->channels[place].priority, priority);
        sim_lock_give(&d->lock);
    }
    if (!ch)
        ch = shareable(context, priority);
    if (ch)
        ch->users++;
    pthread_mutex_unlock(&context->mutex);
    if (!ch)
        return r ? r : -ENOSPC;
    *ret_channel = ch;
    return 0;
}

void divvy_simgpu_channel_close(divvy_simgpu_channel_t *channel) {
    if (!channel || !divvy_simgpu_attached())
        return;
    pthread_mutex_lock(&channel->context->mutex);
    channel->users--;
    pthread_mutex_unlock(&channel->context->mutex);
}

divvy_simgpu_context_t *divvy_simgpu_channel_context(const divvy_simgpu_channel_t *channel) {
    return channel->context;
}

divvy_simgpu_position_t divvy_simgpu_channel_tail(const divvy_simgpu_channel_t *channel) {
    divvy_simgpu_position_t position = {.channel = channel->position};

    if (divvy_simgpu_attached())
        position.seq = sim_load(&channel->context->shared->channels[channel->index].tail);
    return position;
}

/* --- submitting -------------------------------------------------------------------------------------------- */

static int check_item(const divvy_simgpu_item_t *item) {
    if (item->duration_ns > DURATION_MAX_NS)
        return -EINVAL;
    switch (item->kind) {
    case DIVVY_SIMGPU_WORK:
    case DIVVY_SIMGPU_EVENT_WAIT:
    case DIVVY_SIMGPU_EVENT_RECORD:
        return 0;
    case DIVVY_SIMGPU_HOST:
    case DIVVY_SIMGPU_COPY:
        return item->run ? 0 : -EINVAL;
    case DIVVY_SIMGPU_MEM_WRITE:
    case DIVVY_SIMGPU_MEM_WAIT:
        if (!item->address || item->address % (item->flags & DIVVY_SIMGPU_WIDE ? 8 : 4))
            return -EINVAL;
        return 0;
    default:
        return -EINVAL;
    }
}

static bool needs_executor(divvy_simgpu_kind_t kind) {
    return kind == DIVVY_SIMGPU_HOST || kind == DIVVY_SIMGPU_COPY ||
           kind == DIVVY_SIMGPU_MEM_WRITE || kind == DIVVY_SIMGPU_MEM_WAIT;
}

static bool takes_device_time(const divvy_simgpu_item_t *item) {
    return item->kind == DIVVY_SIMGPU_WORK || item->kind == DIVVY_SIMGPU_COPY ||
           (item->kind == DIVVY_SIMGPU_HOST && !(item->flags & DIVVY_SIMGPU_LATE));
}

int sim_channel_push(divvy_simgpu_channel_t *ch, const divvy_simgpu_item_t *item, uint64_t a,
                     uint64_t b, uint64_t *ret_seq) {
    divvy_simgpu_context_t *context = ch->context;
    sim_channel_t *shared = &context->shared->channels[ch->index];
    sim_item_t shared_item = {
        .kind = (uint8_t)item->kind,
        .flags = (uint8_t)item->flags,
        .fraction_permille =
            (uint16_t)(item->fraction_permille > 1000 ? 1000 : item->fraction_permille),
        .duration_ns = takes_device_time(item) ? item->duration_ns : 0,
        .a = a,
        .b = b,
    };
    int r = 0;

    pthread_mutex_lock(&ch->mutex);
    if (shared->tail - sim_load(&shared->head) >= DIVVY_SIMGPU_DEPTH)
        r = -EAGAIN;
    else if (needs_executor(item->kind))
        r = sim_executor_start(ch);
    if (!r) {
        uint64_t seq = sim_queue_push(context->file, context->slot, ch->index, &shared_item,
                                      divvy_core_clock_ns());

        if (needs_executor(item->kind))
            sim_executor_add(ch, seq, item);
        *ret_seq = seq + 1;
    }
    pthread_mutex_unlock(&ch->mutex);
    return r;
}

int sim_channel_make_room(divvy_simgpu_channel_t *ch, uint64_t duration_ns) {
    divvy_simgpu_context_t *context = ch->context;
    uint64_t tail = sim_load(&context->shared->channels[ch->index].tail);
    uint64_t room = duration_ns < BATCH_NS ? BATCH_ITEMS : 1;
    divvy_simgpu_position_t position = {.channel = ch->position,
                                        .seq = tail - DIVVY_SIMGPU_DEPTH + room};

    if (tail < DIVVY_SIMGPU_DEPTH)
        return 0;
    return sim_wait(context->file, position, UINT64_MAX, &context->stopping);
}

static int submit_gate(divvy_simgpu_channel_t *ch) {
    if (!divvy_simgpu_attached())
        return -ENOTCONN;
    if (sim_load(&ch->context->stopping))
        return -ECANCELED;
    if (sim_unit_lost_ns(ch->context->file, ch->context->device) &&
        divvy_simgpu_device_lost((int)ch->context->device))
        return -ENODEV;
    return 0;
}

int divvy_simgpu_submit(divvy_simgpu_channel_t *channel, const divvy_simgpu_item_t *item,
                        divvy_simgpu_position_t *ret_position) {
    uint64_t a = item->kind == DIVVY_SIMGPU_COPY ? item->bytes : item->position.channel, seq = 0;
    int r = check_item(item);

    if (r < 0)
        return r;
    if (item->kind == DIVVY_SIMGPU_EVENT_RECORD) {
        r = divvy_simgpu_event_record(channel, item->event, item->flags);
        if (!r && ret_position)
            r = divvy_simgpu_event_position(item->event, ret_position);
        return r;
    }
    for (;;) {
        if ((r = submit_gate(channel)) < 0)
            return r;
        if ((r = sim_channel_push(channel, item, a, item->position.seq, &seq)) != -EAGAIN)
            break;
        if (item->flags & DIVVY_SIMGPU_NONBLOCK) {
            divvy_simgpu_position_t room = divvy_simgpu_channel_tail(channel);

            room.seq -= DIVVY_SIMGPU_DEPTH - 1;
            if (divvy_simgpu_query(room) != 1)
                return -EAGAIN;
        } else if ((r = sim_channel_make_room(channel, item->duration_ns)) < 0) {
            return r;
        }
    }
    if (!r && ret_position)
        *ret_position = (divvy_simgpu_position_t){.channel = channel->position, .seq = seq};
    return r;
}
