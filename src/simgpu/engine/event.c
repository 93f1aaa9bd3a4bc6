/* Events: numbered slots of the state file that hold their latest record. */
#include "simgpu/engine/engine.h"
#include "simgpu/engine/local.h"
#include "simgpu/engine/self.h"
#include "simgpu/engine/state.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>

enum { EVENTS = SIM_EVENT_CHUNKS * SIM_EVENTS_PER_CHUNK, STRIPES = 64, READ_TRIES = 1000 };

/* Numbers that this process holds and does not use. */
static struct {
    pthread_mutex_t mutex;
    uint32_t *free;
    size_t count, owned, capacity; /* room for all owned, so that giving back cannot fail */
} pool = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* Two threads that record the same event take turns. */
static pthread_mutex_t stripes[STRIPES] = {[0 ... STRIPES - 1] = PTHREAD_MUTEX_INITIALIZER};

static sim_event_t *event_at(sim_file_t *f, uint32_t number) {
    return &f->events[number / SIM_EVENTS_PER_CHUNK][number % SIM_EVENTS_PER_CHUNK];
}

/* Handles: incarnation << 32 | number + 1. */
static sim_event_t *event_find(sim_file_t *f, divvy_simgpu_event_t event, uint32_t *ret_number) {
    uint32_t number = (uint32_t)event - 1, incarnation = (uint32_t)(event >> 32);

    if (number >= EVENTS || !(incarnation & 1) ||
        !sim_load(&f->header.chunk_words[number / SIM_EVENTS_PER_CHUNK]))
        return NULL;
    sim_event_t *e = event_at(f, number);

    if (sim_load(&e->incarnation) != incarnation)
        return NULL;
    if (ret_number)
        *ret_number = number;
    return e;
}

static int claim_chunk(sim_file_t *f, uint32_t *ret_chunk) {
    int r = -ENOSPC;

    sim_self_lock(&f->header.lock);
    uint32_t hint = f->header.chunk_hint;

    for (uint32_t i = 0; i < SIM_EVENT_CHUNKS; i++) {
        uint32_t chunk = (hint + i) % SIM_EVENT_CHUNKS;

        if (sim_load(&f->header.chunk_words[chunk]))
            continue;
        if (sim_state_populate(f->events[chunk], sizeof f->events[chunk]) < 0)
            break;
        sim_store(&f->header.chunk_words[chunk], sim_self_id());
        sim_store(&f->header.chunk_hint, chunk);
        *ret_chunk = chunk;
        r = 0;
        break;
    }
    sim_lock_give(&f->header.lock);
    return r;
}

/* The pool's mutex is held. */
static int refill(sim_file_t *f) {
    uint32_t chunk;

    if (pool.owned + SIM_EVENTS_PER_CHUNK > pool.capacity) {
        size_t capacity = pool.capacity ? pool.capacity * 2 : 4 * SIM_EVENTS_PER_CHUNK;
        uint32_t *grown = realloc(pool.free, capacity * sizeof *grown);

        if (!grown)
            return -ENOMEM;
        pool.free = grown;
        pool.capacity = capacity;
    }
    int r = claim_chunk(f, &chunk);

    if (r < 0)
        return r;
    pool.owned += SIM_EVENTS_PER_CHUNK;
    for (uint32_t i = 0; i < SIM_EVENTS_PER_CHUNK; i++)
        pool.free[pool.count++] = chunk * SIM_EVENTS_PER_CHUNK + SIM_EVENTS_PER_CHUNK - 1 - i;
    return 0;
}

void sim_local_events_forget(void) {
    pthread_mutex_lock(&pool.mutex);
    pool.count = pool.owned = pool.capacity = 0;
    free(pool.free);
    pool.free = NULL;
    pthread_mutex_unlock(&pool.mutex);
}

int divvy_simgpu_event_create(divvy_simgpu_event_t *ret_event) {
    sim_file_t *f = sim_self_file();
    uint32_t number = 0;
    int r = 0;

    if (!f)
        return -ENOTCONN;
    pthread_mutex_lock(&pool.mutex);
    if (!pool.count)
        r = refill(f);
    if (!r)
        number = pool.free[--pool.count];
    pthread_mutex_unlock(&pool.mutex);
    if (r < 0)
        return r;
    sim_event_t *e = event_at(f, number);
    uint32_t incarnation =
        (sim_load(&e->incarnation) | 1) + (sim_load(&e->incarnation) & 1 ? 2 : 0);
    uint64_t record = sim_load(&e->record);

    sim_store(&e->base, record);
    sim_store(&e->done, record);
    sim_store(&e->channel, 0);
    sim_store(&e->seq, 0);
    sim_store(&e->sequence, 0);
    sim_store(&e->incarnation, incarnation);
    *ret_event = (uint64_t)incarnation << 32 | (number + 1);
    return 0;
}

int divvy_simgpu_event_destroy(divvy_simgpu_event_t event) {
    sim_file_t *f = sim_self_file();
    uint32_t number;

    if (!f)
        return -ENOTCONN;
    sim_event_t *e = event_find(f, event, &number);

    if (!e || sim_load(&f->header.chunk_words[number / SIM_EVENTS_PER_CHUNK]) != sim_self_id())
        return -EINVAL;
    pthread_mutex_lock(&pool.mutex);
    sim_store(&e->incarnation, (uint32_t)(event >> 32) + 1);
    pool.free[pool.count++] = number;
    pthread_mutex_unlock(&pool.mutex);
    return 0;
}

/* --- recording --------------------------------------------------------------------------------------------- */

/* One try. While the sequence is odd, readers wait: so nothing in between blocks. */
static int record_once(divvy_simgpu_channel_t *ch, sim_event_t *e, divvy_simgpu_event_t event) {
    const divvy_simgpu_item_t item = {.kind = DIVVY_SIMGPU_EVENT_RECORD};
    uint64_t record = sim_load(&e->record) + 1, seq = 0;
    uint32_t sequence = sim_load(&e->sequence) & ~UINT32_C(1);

    sim_store(&e->sequence, sequence + 1);
    sim_store(&e->record, record);
    int r = sim_channel_push(ch, &item, event, record, &seq);

    if (r < 0) {
        sim_store(&e->record, record - 1);
    } else {
        sim_store(&e->channel, ch->position);
        sim_store(&e->seq, seq);
    }
    sim_store(&e->sequence, sequence + 2);
    return r;
}

int divvy_simgpu_event_record(divvy_simgpu_channel_t *channel, divvy_simgpu_event_t event,
                              unsigned flags) {
    sim_file_t *f = sim_self_file();
    uint32_t number;

    if (!f)
        return -ENOTCONN;
    sim_event_t *e = event_find(f, event, &number);

    if (!e || sim_load(&f->header.chunk_words[number / SIM_EVENTS_PER_CHUNK]) != sim_self_id())
        return -EINVAL;
    for (;;) {
        if (sim_load(&channel->context->stopping))
            return -ECANCELED;
        if (divvy_simgpu_device_lost((int)channel->context->device))
            return -ENODEV;
        pthread_mutex_lock(&stripes[number % STRIPES]);
        int r = record_once(channel, e, event);

        pthread_mutex_unlock(&stripes[number % STRIPES]);
        if (r != -EAGAIN)
            return r;
        if (flags & DIVVY_SIMGPU_NONBLOCK) {
            divvy_simgpu_position_t room = divvy_simgpu_channel_tail(channel);

            room.seq -= DIVVY_SIMGPU_DEPTH - 1;
            if (divvy_simgpu_query(room) != 1)
                return -EAGAIN;
        } else if ((r = sim_channel_make_room(channel, 0)) < 0) {
            return r;
        }
    }
}

/* --- asking ------------------------------------------------------------------------------------------------ */

typedef struct latest {
    divvy_simgpu_position_t position;
    uint64_t record;
    bool never; /* never recorded */
} latest_t;

static int read_latest(sim_event_t *e, latest_t *ret_latest) {
    for (int i = 0; i < READ_TRIES; i++) {
        uint32_t before = sim_load(&e->sequence);
        latest_t latest = {.record = sim_load(&e->record),
                           .never = sim_load(&e->base) == sim_load(&e->record)};

        latest.position.channel = sim_load(&e->channel);
        latest.position.seq = sim_load(&e->seq);
        if (!(before & 1) && sim_load(&e->sequence) == before) {
            *ret_latest = latest;
            return 0;
        }
        sched_yield();
    }
    return -EAGAIN; /* its owner stands still, or died, in the middle of a record */
}

int divvy_simgpu_event_position(divvy_simgpu_event_t event, divvy_simgpu_position_t *ret_position) {
    sim_file_t *f = sim_self_file();
    sim_event_t *e;
    latest_t latest;
    int r;

    if (!f)
        return -ENOTCONN;
    if (!(e = event_find(f, event, NULL)))
        return -EINVAL;
    if ((r = read_latest(e, &latest)) < 0)
        return r;
    *ret_position = latest.position;
    return 0;
}

int divvy_simgpu_event_query(divvy_simgpu_event_t event) {
    sim_file_t *f = sim_self_file();
    sim_event_t *e;
    latest_t latest;
    int r;

    if (!f)
        return -ENOTCONN;
    if (!(e = event_find(f, event, NULL)))
        return -EINVAL;
    if ((r = read_latest(e, &latest)) < 0)
        return r == -EAGAIN ? 0 : r;
    if (latest.never || sim_load(&e->done) >= latest.record)
        return 1;
    return sim_query(f, latest.position);
}

int divvy_simgpu_event_wait(divvy_simgpu_event_t event) {
    divvy_simgpu_position_t position;
    int r;

    while ((r = divvy_simgpu_event_position(event, &position)) == -EAGAIN)
        sched_yield();
    return r < 0 ? r : divvy_simgpu_wait(position);
}

int divvy_simgpu_event_time(divvy_simgpu_event_t event, uint64_t *ret_ns) {
    sim_file_t *f = sim_self_file();
    sim_event_t *e;
    latest_t latest;
    int r;

    if (!f)
        return -ENOTCONN;
    if (!(e = event_find(f, event, NULL)))
        return -EINVAL;
    if ((r = read_latest(e, &latest)) < 0)
        return r;
    if (latest.never)
        return -ENODATA;
    if (sim_load(&e->done) < latest.record) {
        if ((r = sim_query(f, latest.position)) != 1)
            return r < 0 ? r : -EAGAIN;
        if (sim_load(&e->done) < latest.record)
            return -ENODATA; /* its context went away first */
    }
    *ret_ns = sim_load(&e->time_ns);
    return 0;
}
