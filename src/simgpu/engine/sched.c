/* The schedule of a device: channel heads, admission, time slices, the clock. */
#include "simgpu/engine/sched.h"

#include "simgpu/engine/lock.h"

#define NONE  SIM_CONTEXTS
#define NEVER UINT64_MAX
enum {
    FULL_PERMILLE = 1000,
    ESTIMATE_DEPTH = 4, /* waits on waits that an estimate follows */
};
/* A process is asked for signs of life at most this often when its turn comes. */
#define LIVE_AGE_NS 2000000u

/* What one pass over the device finds. */
typedef struct scan {
    sim_file_t *f;
    sim_device_t *d;
    uint32_t device;
    uint64_t t;       /* device time of the pass */
    uint64_t present; /* where the advance is going */
    uint64_t next;    /* earliest moment at which something changes by itself */
    bool changed;     /* something completed: look again */
} scan_t;

static enum sim_head_state head_state(const sim_channel_t *ch, uint64_t head) {
    uint64_t word = sim_load(&ch->state);

    return word >> 3 == head ? (enum sim_head_state)(word & 7) : SIM_FRESH;
}

static void set_state(sim_channel_t *ch, uint64_t head, enum sim_head_state state) {
    sim_store(&ch->state, head << 3 | (uint64_t)state);
}

static void earlier(uint64_t *next, uint64_t candidate) {
    if (candidate < *next)
        *next = candidate;
}

/* Bins hold their number, so that a bin of an earlier round reads as empty. */
static void bin_add(uint64_t *bins, uint64_t bin, uint64_t busy_ns) {
    uint64_t *word = &bins[bin % DIVVY_SIMGPU_BINS];
    uint64_t old = sim_load(word);
    uint64_t busy = old >> 32 == (uint32_t)bin ? (uint32_t)old : 0;

    busy += busy_ns;
    if (busy > DIVVY_SIMGPU_BIN_NS)
        busy = DIVVY_SIMGPU_BIN_NS;
    sim_store(word, (uint64_t)(uint32_t)bin << 32 | busy);
}

static void bins_spread(uint64_t *bins, uint64_t from_ns, uint64_t to_ns) {
    uint64_t span = (uint64_t)DIVVY_SIMGPU_BIN_NS * DIVVY_SIMGPU_BINS;

    if (to_ns - from_ns > span)
        from_ns = to_ns - span;
    while (from_ns < to_ns) {
        uint64_t bin = from_ns / DIVVY_SIMGPU_BIN_NS;
        uint64_t end = (bin + 1) * DIVVY_SIMGPU_BIN_NS;

        if (end > to_ns)
            end = to_ns;
        bin_add(bins, bin, end - from_ns);
        from_ns = end;
    }
}

/* --- positions --------------------------------------------------------------------------------------------- */

bool sim_position_reached(sim_file_t *f, uint64_t channel, uint64_t seq) {
    uint32_t slot = sim_position_context(channel);
    uint64_t word = sim_load(&f->header.context_words[slot]);

    if (sim_slot_state(word) != SIM_SLOT_LIVE ||
        sim_slot_generation(word) != sim_position_generation(channel))
        return true;
    return sim_load(&f->contexts[slot].channels[sim_position_index(channel)].head) >= seq;
}

/* The same as another device sees it at its time t: a device that was looked at late must not hear of things before
 * they happened. If it is reached but later than t, lowers *next to that moment. */
static bool reached_by(sim_file_t *f, const sim_item_t *wait, uint64_t t, uint64_t *next) {
    uint32_t slot = sim_position_context(wait->a), index = sim_position_index(wait->a);
    const sim_channel_t *ch = &f->contexts[slot].channels[index];

    if (!sim_position_reached(f, wait->a, wait->b))
        return false;
    if (!wait->b || sim_load(&ch->head) < wait->b) /* reached because its context is gone */
        return true;
    uint64_t done_ns = sim_load(&sim_ring_item(f, slot, index, wait->b - 1)->done_ns);

    /* its place in the ring was used again: that was long ago */
    if (done_ns <= t || sim_load(&ch->tail) - (wait->b - 1) > DIVVY_SIMGPU_DEPTH)
        return true;
    earlier(next, done_ns);
    return false;
}

/* --- completion -------------------------------------------------------------------------------------------- */

static void complete_record(sim_file_t *f, const sim_item_t *item, uint64_t t) {
    uint64_t number = (item->a & UINT32_MAX) - 1;

    if (number >= (uint64_t)SIM_EVENT_CHUNKS * SIM_EVENTS_PER_CHUNK)
        return;
    sim_event_t *e = &f->events[number / SIM_EVENTS_PER_CHUNK][number % SIM_EVENTS_PER_CHUNK];

    if (sim_load(&e->incarnation) != (uint32_t)(item->a >> 32) || item->b <= sim_load(&e->done))
        return;
    sim_store(&e->time_ns, t);
    sim_store(&e->done, item->b);
}

static void count_copy(scan_t *s, sim_context_t *c, const sim_item_t *item) {
    unsigned engine = item->flags & DIVVY_SIMGPU_FROM_DEVICE ? 1 : 0;
    sim_usage_t *u = &s->f->procs[c->proc & (SIM_PROCS - 1)].use[s->device];

    sim_store(&s->d->copy_busy_ns[engine], s->d->copy_busy_ns[engine] + item->duration_ns);
    sim_store(&s->d->copy_bytes[engine], s->d->copy_bytes[engine] + item->a);
    sim_store(&u->copy_busy_ns, u->copy_busy_ns + item->duration_ns);
}

static void count_launch(scan_t *s, sim_context_t *c) {
    sim_usage_t *u = &s->f->procs[c->proc & (SIM_PROCS - 1)].use[s->device];

    sim_store(&s->d->launches, s->d->launches + 1);
    sim_store(&u->launches, u->launches + 1);
    sim_store(&c->launches, c->launches + 1);
}

/* Everything before the store of the head may be repeated by whoever repairs; the store itself ends the item. */
static void complete(scan_t *s, sim_context_t *c, sim_channel_t *ch, uint64_t head,
                     sim_item_t *item) {
    switch (item->kind) {
    case DIVVY_SIMGPU_EVENT_RECORD:
        complete_record(s->f, item, s->t);
        break;
    case DIVVY_SIMGPU_COPY:
        count_copy(s, c, item);
        sim_store(&ch->copied, 1);
        break;
    case DIVVY_SIMGPU_WORK:
    case DIVVY_SIMGPU_HOST:
        if (item->duration_ns)
            count_launch(s, c);
        sim_store(&ch->copied, 0);
        break;
    default:
        break;
    }
    sim_store(&item->done_ns, s->t);
    sim_store(&ch->head, head + 1);
    s->changed = true;
}

/* --- heads ------------------------------------------------------------------------------------------------- */

static bool item_hosted(const sim_item_t *item) {
    switch (item->kind) {
    case DIVVY_SIMGPU_HOST:
    case DIVVY_SIMGPU_COPY:
    case DIVVY_SIMGPU_MEM_WAIT:
    case DIVVY_SIMGPU_MEM_WRITE:
        return true;
    default:
        return false;
    }
}

static enum sim_head_state begin_copy(scan_t *s, sim_channel_t *ch, uint64_t head,
                                      const sim_item_t *item) {
    unsigned engine = item->flags & DIVVY_SIMGPU_FROM_DEVICE ? 1 : 0;
    uint64_t *engine_free = &s->d->copy_free_ns[engine];
    uint64_t start = *engine_free > s->t ? *engine_free : s->t;

    sim_store(&ch->finish_ns, start + item->duration_ns);
    set_state(ch, head, SIM_COPYING);
    sim_store(engine_free, start + item->duration_ns);
    return SIM_COPYING;
}

static enum sim_head_state begin(scan_t *s, sim_channel_t *ch, uint64_t head,
                                 const sim_item_t *item) {
    enum sim_head_state state = SIM_HOSTING;

    switch (item->kind) {
    case DIVVY_SIMGPU_COPY:
        return begin_copy(s, ch, head, item);
    case DIVVY_SIMGPU_WORK:
        state = SIM_WAITING;
        break;
    case DIVVY_SIMGPU_HOST:
        state = item->duration_ns && !(item->flags & DIVVY_SIMGPU_LATE) ? SIM_WAITING : SIM_HOSTING;
        break;
    case DIVVY_SIMGPU_EVENT_RECORD:
        state = SIM_RECORD;
        break;
    case DIVVY_SIMGPU_EVENT_WAIT:
        state = SIM_BLOCKED;
        break;
    default:
        break;
    }
    sim_store(&ch->ready_ns, s->t);
    set_state(ch, head, state);
    return state;
}

enum { HEAD_RESTS, HEAD_WANTS_DEVICE, HEAD_DONE };

/* Moves the head's state as far as the present allows. */
static int step_head(scan_t *s, sim_context_t *c, sim_channel_t *ch, uint64_t head,
                     const sim_item_t *item, bool current) {
    enum sim_head_state state = head_state(ch, head);
    bool back = sim_load(&ch->hosted) > head;

    if (state == SIM_FRESH)
        state = begin(s, ch, head, item);
    switch (state) {
    case SIM_RUNNING:
        if (sim_load(&ch->finish_ns) > c->busy_ns)
            return HEAD_WANTS_DEVICE;
        if (!item_hosted(item) || back)
            return HEAD_DONE;
        set_state(ch, head, SIM_ENDED);
        return HEAD_RESTS;
    case SIM_ENDED:
        return back ? HEAD_DONE : HEAD_RESTS;
    case SIM_HOSTING:
        if (!back)
            return HEAD_RESTS;
        if (!(item->flags & DIVVY_SIMGPU_LATE) || !item->duration_ns)
            return HEAD_DONE;
        sim_store(&ch->ready_ns, s->t);
        set_state(ch, head, SIM_WAITING);
        return HEAD_WANTS_DEVICE;
    case SIM_COPYING:
        if (sim_load(&ch->finish_ns) > s->t) {
            earlier(&s->next, ch->finish_ns);
            return HEAD_RESTS;
        }
        return back ? HEAD_DONE : HEAD_RESTS;
    case SIM_BLOCKED:
        return reached_by(s->f, item, s->t, &s->next) ? HEAD_DONE : HEAD_RESTS;
    case SIM_RECORD:
        return current || ch->copied ? HEAD_DONE : HEAD_WANTS_DEVICE;
    default:
        return HEAD_WANTS_DEVICE;
    }
}

/* Clears the channel's bit, unless an item arrived meanwhile. */
static void channel_rests(sim_context_t *c, sim_channel_t *ch, unsigned index, uint64_t head) {
    uint64_t bit = UINT64_C(1) << index;

    __atomic_and_fetch(&c->active, ~bit, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&ch->tail, __ATOMIC_SEQ_CST) != head)
        __atomic_or_fetch(&c->active, bit, __ATOMIC_SEQ_CST);
}

/* True if the channel's head wants the device's processors. */
static bool scan_channel(scan_t *s, sim_context_t *c, uint32_t slot, unsigned index, bool current) {
    sim_channel_t *ch = &c->channels[index];

    for (;;) {
        uint64_t head = sim_load(&ch->head), tail = sim_load(&ch->tail);

        if (tail - head > DIVVY_SIMGPU_DEPTH) { /* only damage does this: the queue is void */
            sim_store(&ch->head, tail);
            head = tail;
        }
        if (head == tail) {
            channel_rests(c, ch, index, head);
            return false;
        }
        sim_item_t *item = sim_ring_item(s->f, slot, index, head);

        if (item->submit_ns > s->t) {
            earlier(&s->next, item->submit_ns);
            return false;
        }
        int step = step_head(s, c, ch, head, item, current);

        if (step != HEAD_DONE)
            return step == HEAD_WANTS_DEVICE;
        complete(s, c, ch, head, item);
    }
}

static bool scan_context(scan_t *s, uint32_t slot) {
    sim_context_t *c = &s->f->contexts[slot];
    uint64_t channels = sim_load(&c->active);
    bool wants = false;

    while (channels) {
        unsigned index = (unsigned)__builtin_ctzll(channels);

        channels &= channels - 1;
        wants |= scan_channel(s, c, slot, index, slot == s->d->current && s->t >= s->d->ready_ns);
    }
    return wants;
}

/* --- the current context ------------------------------------------------------------------------------------ */

static unsigned item_fraction(const sim_item_t *item) {
    unsigned fraction = item->fraction_permille;

    return fraction < 1 ? 1 : fraction > FULL_PERMILLE ? FULL_PERMILLE : fraction;
}

/* The next head to get room: highest priority, then longest waiting, then lowest channel. -1: none waits. Adds up
 * the fractions of those that run. */
static int best_waiting(scan_t *s, uint32_t slot, unsigned *used, uint64_t *finish_ns) {
    sim_context_t *c = &s->f->contexts[slot];
    uint64_t channels = sim_load(&c->active);
    int best = -1;

    *used = 0;
    *finish_ns = NEVER;
    while (channels) {
        unsigned index = (unsigned)__builtin_ctzll(channels);
        sim_channel_t *ch = &c->channels[index];
        uint64_t head = sim_load(&ch->head);
        enum sim_head_state state = head_state(ch, head);

        channels &= channels - 1;
        if (state == SIM_RUNNING) {
            *used += item_fraction(sim_ring_item(s->f, slot, index, head));
            earlier(finish_ns, ch->finish_ns);
        } else if (state == SIM_WAITING) {
            sim_channel_t *b = best < 0 ? NULL : &c->channels[best];

            if (!b || ch->priority > b->priority ||
                (ch->priority == b->priority && ch->ready_ns < b->ready_ns))
                best = (int)index;
        }
    }
    return best;
}

/* Gives room to waiting heads of the current context, in order, while they fit; remembers when the first of those
 * that run is done. */
static void admit(scan_t *s) {
    sim_context_t *c = &s->f->contexts[s->d->current];
    uint64_t finish_ns;
    unsigned used;
    int index;

    while ((index = best_waiting(s, s->d->current, &used, &finish_ns)) >= 0) {
        sim_channel_t *ch = &c->channels[index];
        uint64_t head = sim_load(&ch->head);
        const sim_item_t *item = sim_ring_item(s->f, s->d->current, (uint32_t)index, head);

        if (used + item_fraction(item) > FULL_PERMILLE)
            break;
        sim_store(&ch->finish_ns, c->busy_ns + item->duration_ns);
        set_state(ch, head, SIM_RUNNING);
        if (!item->duration_ns)
            s->changed = true; /* done already: the next pass completes it */
    }
    if (finish_ns != NEVER)
        earlier(&s->next, s->t + (finish_ns > c->busy_ns ? finish_ns - c->busy_ns : 0));
}

/* A context whose process is gone: its queues count for nothing from now on. Its slot is freed by reaping. */
static bool context_gone(scan_t *s, uint32_t slot) {
    uint64_t word = sim_load(&s->f->header.context_words[slot]);
    sim_context_t *c = &s->f->contexts[slot];
    uint32_t proc = c->proc & (SIM_PROCS - 1);

    if (sim_slot_state(word) != SIM_SLOT_LIVE || c->device != s->device)
        return true;
    if (sim_slot_state(sim_load(&s->f->header.proc_words[proc])) != SIM_SLOT_FREE &&
        sim_load(&s->f->procs[proc].id) == c->proc_id &&
        sim_proc_alive(s->f, proc, s->present, LIVE_AGE_NS))
        return false;
    sim_store(&s->f->header.context_words[slot],
              sim_slot_word(sim_slot_generation(word), SIM_SLOT_DEAD));
    return true;
}

static void context_rests(scan_t *s, uint32_t slot) {
    uint64_t *word = &s->d->active[slot / 64], bit = UINT64_C(1) << slot % 64;

    __atomic_and_fetch(word, ~bit, __ATOMIC_SEQ_CST);
    if (sim_slot_state(sim_load(&s->f->header.context_words[slot])) == SIM_SLOT_LIVE &&
        __atomic_load_n(&s->f->contexts[slot].active, __ATOMIC_SEQ_CST))
        __atomic_or_fetch(word, bit, __ATOMIC_SEQ_CST);
}

typedef struct runnable {
    unsigned count;
    bool current;
    uint32_t first, after; /* lowest, and lowest above the last current one; NONE */
} runnable_t;

static void scan_device(scan_t *s, runnable_t *r) {
    *r = (runnable_t){.first = NONE, .after = NONE};
    for (uint32_t w = 0; w < SIM_CTX_WORDS; w++) {
        uint64_t bits = sim_load(&s->d->active[w]);

        while (bits) {
            uint32_t slot = w * 64 + (uint32_t)__builtin_ctzll(bits);
            sim_context_t *c = &s->f->contexts[slot];

            bits &= bits - 1;
            if (sim_slot_state(sim_load(&s->f->header.context_words[slot])) != SIM_SLOT_LIVE ||
                c->device != s->device || !sim_load(&c->active)) {
                context_rests(s, slot);
                continue;
            }
            if (!scan_context(s, slot))
                continue;
            r->count++;
            if (slot == s->d->current)
                r->current = true;
            if (r->first == NONE)
                r->first = slot;
            if (r->after == NONE && slot > s->d->last)
                r->after = slot;
        }
    }
}

/* Decides who has the device at time t. True if that changed, or a context turned out to be gone. */
static bool choose(scan_t *s, const runnable_t *r) {
    sim_device_t *d = s->d;
    uint64_t slice = s->f->header.config.slice_ns;

    if (r->current && (s->t < d->slice_end_ns || r->count == 1)) {
        if (s->t >= d->slice_end_ns) { /* alone: the next slice follows without a gap */
            if (context_gone(s, d->current))
                return true;
            sim_store(&d->slice_end_ns,
                      d->slice_end_ns + ((s->t - d->slice_end_ns) / slice + 1) * slice);
        }
        if (r->count > 1)
            earlier(&s->next, d->slice_end_ns);
        return false;
    }
    if (!r->count) {
        sim_store(&d->current, NONE);
        return false;
    }
    uint32_t next = r->after != NONE ? r->after : r->first;

    if (context_gone(s, next))
        return true;
    sim_store(&d->ready_ns, s->t + (next != d->last ? s->f->header.config.switch_ns : 0));
    sim_store(&d->slice_end_ns, d->ready_ns + slice);
    sim_store(&d->last, next);
    sim_store(&d->current, next);
    return true;
}

/* Lets everything happen that happens at time t without time passing. */
static void settle(scan_t *s) {
    runnable_t r;

    do {
        s->changed = false;
        s->next = NEVER;
        scan_device(s, &r);
        if (s->changed)
            continue;
        if (choose(s, &r)) {
            s->changed = true;
            continue;
        }
        if (s->d->current >= NONE)
            continue;
        if (s->t < s->d->ready_ns)
            earlier(&s->next, s->d->ready_ns);
        else
            admit(s);
    } while (s->changed);
}

/* --- the clock --------------------------------------------------------------------------------------------- */

static bool is_running(sim_file_t *f, uint32_t slot) {
    sim_context_t *c = &f->contexts[slot];
    uint64_t channels = sim_load(&c->active);

    while (channels) {
        sim_channel_t *ch = &c->channels[__builtin_ctzll(channels)];

        channels &= channels - 1;
        if (head_state(ch, sim_load(&ch->head)) == SIM_RUNNING)
            return true;
    }
    return false;
}

static void step_apply(sim_file_t *f, uint32_t device) {
    sim_device_t *d = &f->header.devices[device];
    const sim_step_t *step = &d->step;

    if (step->context < SIM_CONTEXTS) {
        sim_context_t *c = &f->contexts[step->context];

        sim_store(&f->procs[c->proc & (SIM_PROCS - 1)].use[device].busy_ns, step->proc_busy_ns);
        sim_store(&c->busy_ns, step->context_busy_ns);
        sim_store(&d->busy_ns, step->device_busy_ns);
    }
    sim_store(&d->now_ns, step->now_ns);
    sim_store(&d->step.valid, 0);
}

/* Moves the clock to t1; during that time the current context runs what it has. */
static void step_clock(scan_t *s, uint64_t t1) {
    sim_device_t *d = s->d;
    uint32_t slot = d->current;
    bool busy = slot < NONE && s->t >= d->ready_ns && is_running(s->f, slot);

    sim_store(&d->step.context, busy ? slot : NONE);
    sim_store(&d->step.now_ns, t1);
    if (busy) {
        sim_context_t *c = &s->f->contexts[slot];
        sim_usage_t *u = &s->f->procs[c->proc & (SIM_PROCS - 1)].use[s->device];

        sim_store(&d->step.context_busy_ns, c->busy_ns + (t1 - s->t));
        sim_store(&d->step.proc_busy_ns, u->busy_ns + (t1 - s->t));
        sim_store(&d->step.device_busy_ns, d->busy_ns + (t1 - s->t));
        bins_spread(d->bins, s->t, t1);
        bins_spread(u->bins, s->t, t1);
    }
    sim_store(&d->step.valid, 1);
    step_apply(s->f, s->device);
    s->t = t1;
}

void sim_sched_advance(sim_file_t *f, uint32_t device, uint64_t now_ns) {
    sim_device_t *d = &f->header.devices[device];
    scan_t s = {.f = f, .d = d, .device = device, .t = d->now_ns, .present = now_ns};
    uint64_t lost_ns = sim_unit_lost_ns(f, device);

    if (lost_ns && now_ns > lost_ns)
        now_ns = lost_ns;
    if (now_ns < s.t)
        return;
    if (d->current > NONE)
        sim_store(&d->current, NONE);
    if (d->slice_end_ns > s.t + f->header.config.switch_ns + f->header.config.slice_ns)
        sim_store(&d->slice_end_ns, s.t); /* damage only */
    if (d->ready_ns > s.t + f->header.config.switch_ns)
        sim_store(&d->ready_ns, s.t); /* likewise */
    for (;;) {
        settle(&s);
        if (s.t >= now_ns)
            break;
        if (s.next <= s.t) /* only damage does this: always get on */
            s.next = s.t + 1;
        step_clock(&s, s.next < now_ns ? s.next : now_ns);
    }
    sim_store(&d->next_ns, s.next);
}

void sim_sched_repair(sim_file_t *f, uint32_t device) {
    sim_device_t *d = &f->header.devices[device];
    uint64_t engine_free[2] = {0, 0};

    if (sim_load(&d->step.valid))
        step_apply(f, device);
    for (uint32_t slot = 0; slot < SIM_CONTEXTS; slot++) {
        sim_context_t *c = &f->contexts[slot];

        if (sim_slot_state(sim_load(&f->header.context_words[slot])) != SIM_SLOT_LIVE ||
            c->device != device)
            continue;
        /* the next scan takes back the bits of empty channels */
        __atomic_or_fetch(&c->active, UINT64_MAX, __ATOMIC_SEQ_CST);
        __atomic_or_fetch(&d->active[slot / 64], UINT64_C(1) << slot % 64, __ATOMIC_SEQ_CST);
        for (unsigned k = 0; k < DIVVY_SIMGPU_CHANNELS; k++) {
            sim_channel_t *ch = &c->channels[k];
            uint64_t head = sim_load(&ch->head);

            if (head == sim_load(&ch->tail) || head_state(ch, head) != SIM_COPYING)
                continue;
            unsigned engine =
                sim_ring_item(f, slot, k, head)->flags & DIVVY_SIMGPU_FROM_DEVICE ? 1 : 0;

            if (ch->finish_ns > engine_free[engine])
                engine_free[engine] = ch->finish_ns;
        }
    }
    sim_store(&d->copy_free_ns[0], engine_free[0]);
    sim_store(&d->copy_free_ns[1], engine_free[1]);
}

/* --- looking ahead ----------------------------------------------------------------------------------------- */

/* Device time that the item at the head still needs at least. */
static uint64_t head_rest(sim_file_t *f, sim_context_t *c, sim_channel_t *ch, uint64_t head,
                          const sim_item_t *item, uint64_t now_ns, int depth);

static uint64_t rest_of(sim_file_t *f, uint32_t device, uint64_t channel, uint64_t seq,
                        uint64_t now_ns, int depth) {
    uint32_t slot = sim_position_context(channel), index = sim_position_index(channel);
    sim_context_t *c = &f->contexts[slot];
    sim_channel_t *ch = &c->channels[index];
    uint64_t head = sim_load(&ch->head), tail = sim_load(&ch->tail);

    if (sim_load(&c->device) != device || sim_position_reached(f, channel, seq) || head == tail)
        return 0; /* another device's queues are not ours to read */
    const sim_item_t *first = sim_ring_item(f, slot, index, head);
    uint64_t rest = head_rest(f, c, ch, head, first, now_ns, depth);

    if (seq - 1 > head && seq <= tail) {
        uint64_t behind = sim_ring_item(f, slot, index, seq - 1)->total_ns - first->total_ns;

        rest += behind < NEVER / 4 ? behind : 0;
    }
    return rest;
}

static uint64_t head_rest(sim_file_t *f, sim_context_t *c, sim_channel_t *ch, uint64_t head,
                          const sim_item_t *item, uint64_t now_ns, int depth) {
    uint64_t finish_ns = sim_load(&ch->finish_ns);

    switch (head_state(ch, head)) {
    case SIM_RUNNING:
        return finish_ns > c->busy_ns ? finish_ns - c->busy_ns : 0;
    case SIM_COPYING:
        return finish_ns > now_ns ? finish_ns - now_ns : 0;
    case SIM_WAITING:
        return item->duration_ns;
    case SIM_FRESH:
        return item->submit_ns > now_ns ? item->submit_ns - now_ns : 0;
    case SIM_BLOCKED:
        return depth ? rest_of(f, c->device, item->a, item->b, now_ns, depth - 1) : 0;
    default:
        return 0;
    }
}

uint64_t sim_sched_estimate(sim_file_t *f, uint32_t device, uint64_t channel, uint64_t seq,
                            uint64_t now_ns) {
    uint64_t rest = rest_of(f, device, channel, seq, now_ns, ESTIMATE_DEPTH);
    uint64_t next = sim_load(&f->header.devices[device].next_ns);

    if (next == NEVER)
        return rest ? now_ns + rest : NEVER;
    return now_ns + rest > next ? now_ns + rest : next;
}

bool sim_sched_blocker(sim_file_t *f, uint64_t channel, divvy_simgpu_position_t *ret_position) {
    uint32_t slot = sim_position_context(channel), index = sim_position_index(channel);
    sim_channel_t *ch = &f->contexts[slot].channels[index];
    uint64_t head = sim_load(&ch->head);
    const sim_item_t *item = sim_ring_item(f, slot, index, head);

    if (head == sim_load(&ch->tail) || head_state(ch, head) != SIM_BLOCKED)
        return false;
    *ret_position = (divvy_simgpu_position_t){.channel = item->a, .seq = item->b};
    return true;
}

uint64_t sim_queue_push(sim_file_t *f, uint32_t context, uint32_t channel, const sim_item_t *item,
                        uint64_t submit_ns) {
    sim_context_t *c = &f->contexts[context];
    sim_channel_t *ch = &c->channels[channel];
    uint64_t seq = ch->tail;
    sim_item_t *slot = sim_ring_item(f, context, channel, seq);

    *slot = *item;
    slot->submit_ns = submit_ns;
    ch->total_ns += item->duration_ns;
    slot->total_ns = ch->total_ns;
    /* the consumer clears an active bit, then looks at the tail again; so publish, fence, look at the bits */
    __atomic_store_n(&ch->tail, seq + 1, __ATOMIC_SEQ_CST);

    uint64_t bit = UINT64_C(1) << channel;
    uint64_t *word = &f->header.devices[c->device & (SIM_UNITS - 1)].active[context / 64];

    if (!(__atomic_load_n(&c->active, __ATOMIC_SEQ_CST) & bit))
        __atomic_or_fetch(&c->active, bit, __ATOMIC_SEQ_CST);
    bit = UINT64_C(1) << context % 64;
    if (!(__atomic_load_n(word, __ATOMIC_SEQ_CST) & bit))
        __atomic_or_fetch(word, bit, __ATOMIC_SEQ_CST);
    return seq;
}
