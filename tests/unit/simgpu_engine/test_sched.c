/* The schedule, on a clock that the test moves: slices, overlap, events, waits, copies, and a brute-force model. */
#include "machine.h"

/* --- one context -------------------------------------------------------------------------------------------- */

static void work_follows_work_to_the_nanosecond(void **state) {
    virtual_t v = virtual_make(1);
    uint32_t c = virtual_context(&v, 0);

    (void)state;
    virtual_record(&v, c, 0, 10, 0);
    for (int i = 0; i < 100; i++)
        virtual_work(&v, c, 0, 10, 12345, 1000);
    virtual_record(&v, c, 0, 10, 1);
    /* nobody looks for three seconds */
    virtual_advance(&v, 0, 3000 * MS);
    assert_int_equal(virtual_time(&v, 0), 10);
    assert_int_equal(virtual_time(&v, 1), 10 + 100 * 12345);
    assert_int_equal(virtual_busy(&v, c), 100 * 12345);
    assert_int_equal(v.f->header.devices[0].busy_ns, 100 * 12345);
    assert_int_equal(v.f->procs[v.proc].use[0].busy_ns, 100 * 12345);
    assert_int_equal(v.f->procs[v.proc].use[0].launches, 100);
    virtual_free(&v);
}

static void work_never_starts_before_it_was_submitted(void **state) {
    virtual_t v = virtual_make(1);
    uint32_t c = virtual_context(&v, 0);

    (void)state;
    virtual_work(&v, c, 0, 0, 100 * US, 1000);
    virtual_work(&v, c, 0, 500 * US, 100 * US, 1000); /* long after the first ended */
    virtual_record(&v, c, 0, 500 * US, 0);
    virtual_advance(&v, 0, 10 * MS);
    assert_int_equal(virtual_time(&v, 0), 600 * US);
    assert_int_equal(virtual_busy(&v, c), 200 * US);
    virtual_free(&v);
}

static void overlap_is_busy_once(void **state) {
    virtual_t v = virtual_make(1);
    uint32_t c = virtual_context(&v, 0);

    (void)state;
    for (uint32_t k = 0; k < 4; k++) {
        virtual_work(&v, c, k, 0, (k + 1) * MS, 250);
        virtual_record(&v, c, k, 0, k);
    }
    virtual_advance(&v, 0, 100 * MS);
    for (uint32_t k = 0; k < 4; k++)
        assert_int_equal(virtual_time(&v, k), (k + 1) * MS);
    assert_int_equal(virtual_busy(&v, c), 4 * MS);
    virtual_free(&v);
}

static void what_does_not_fit_waits_in_order(void **state) {
    virtual_t v = virtual_make(1);
    uint32_t c = virtual_context(&v, 0);

    (void)state;
    virtual_work(&v, c, 3, 0, 1 * MS, 600);
    virtual_work(&v, c, 2, 1 * US, 1 * MS, 600); /* waits for channel 3 */
    virtual_work(&v, c, 1, 2 * US, 1 * MS, 300); /* would fit, but came later */
    virtual_record(&v, c, 3, 0, 3);
    virtual_record(&v, c, 2, 1 * US, 2);
    virtual_record(&v, c, 1, 2 * US, 1);
    virtual_advance(&v, 0, 100 * MS);
    assert_int_equal(virtual_time(&v, 3), 1 * MS);
    assert_int_equal(virtual_time(&v, 2), 2 * MS);
    assert_int_equal(virtual_time(&v, 1), 2 * MS);
    assert_int_equal(virtual_busy(&v, c), 2 * MS);
    virtual_free(&v);
}

static void higher_priority_goes_first(void **state) {
    virtual_t v = virtual_make(1);
    uint32_t c = virtual_context(&v, 0);

    (void)state;
    v.f->contexts[c].channels[2].priority = 5;
    virtual_work(&v, c, 0, 0, 1 * MS, 1000);
    virtual_work(&v, c, 1, 1, 1 * MS, 1000);
    virtual_work(&v, c, 2, 2, 1 * MS, 1000);
    virtual_record(&v, c, 1, 1, 1);
    virtual_record(&v, c, 2, 2, 2);
    virtual_advance(&v, 0, 100 * MS);
    assert_int_equal(virtual_time(&v, 2), 2 * MS);
    assert_int_equal(virtual_time(&v, 1), 3 * MS);
    virtual_free(&v);
}

/* --- several contexts --------------------------------------------------------------------------------------- */

static void two_contexts_share_evenly(void **state) {
    virtual_t v = virtual_make(1);
    uint32_t a = virtual_context(&v, 0), b = virtual_context(&v, 0);

    (void)state;
    for (int i = 0; i < 1000; i++) {
        virtual_work(&v, a, 0, 0, 700 * US, 1000);
        virtual_work(&v, b, 0, 0, 1300 * US, 1000);
    }
    for (uint64_t t = 4; t <= 1000; t += 4) {
        virtual_advance(&v, 0, t * MS); /* whole rounds of two slices */
        assert_int_equal(virtual_busy(&v, a), t * MS / 2);
        assert_int_equal(virtual_busy(&v, b), t * MS / 2);
    }
    assert_int_equal(v.f->header.devices[0].busy_ns, 1000 * MS);
    virtual_free(&v);
}

static void a_long_kernel_is_preempted_and_keeps_its_rest(void **state) {
    virtual_t v = virtual_make(1);
    uint32_t a = virtual_context(&v, 0), b = virtual_context(&v, 0);

    (void)state;
    virtual_work(&v, a, 0, 0, 10 * MS, 1000);
    virtual_record(&v, a, 0, 0, 0);
    virtual_work(&v, b, 0, 1 * MS, 3 * MS, 1000);
    virtual_record(&v, b, 0, 1 * MS, 1);
    virtual_advance(&v, 0, 100 * MS);
    /* a 0-2, b 2-4, a 4-6, b 6-7 (done, yields), a 7-13 */
    assert_int_equal(virtual_time(&v, 1), 7 * MS);
    assert_int_equal(virtual_time(&v, 0), 13 * MS);
    assert_int_equal(virtual_busy(&v, a), 10 * MS);
    assert_int_equal(virtual_busy(&v, b), 3 * MS);
    virtual_free(&v);
}

static void an_idle_context_yields_at_once_and_waits_its_turn(void **state) {
    virtual_t v = virtual_make(1);
    uint32_t a = virtual_context(&v, 0), b = virtual_context(&v, 0);

    (void)state;
    virtual_work(&v, a, 0, 0, 100 * US, 1000);
    virtual_work(&v, b, 0, 0, 5 * MS, 1000);
    virtual_work(&v, a, 0, 200 * US, 100 * US, 1000);
    virtual_record(&v, a, 0, 200 * US, 0);
    virtual_advance(&v, 0, 100 * MS);
    /* a 0-0.1, b 0.1-2.1 (its slice), a 2.1-2.2 */
    assert_int_equal(virtual_time(&v, 0), 2200 * US);
    virtual_free(&v);
}

static void a_change_of_context_costs_what_the_configuration_says(void **state) {
    virtual_t v = virtual_make(1);
    uint32_t a = virtual_context(&v, 0), b = virtual_context(&v, 0);

    (void)state;
    v.f->header.config.switch_ns = 150 * US;
    virtual_work(&v, a, 0, 0, 3 * MS, 1000);
    virtual_record(&v, a, 0, 0, 0);
    virtual_work(&v, b, 0, 1 * MS, 1 * MS, 1000);
    virtual_record(&v, b, 0, 1 * MS, 1);
    virtual_work(&v, b, 0, 5 * MS, 1 * MS, 1000);
    virtual_record(&v, b, 0, 5 * MS, 2);
    virtual_advance(&v, 0, 4 * MS);
    virtual_advance(&v, 0, 100 * MS);
    /* a 0.15-2.15, b 2.3-3.3, a 3.45-4.45, b 5.15-6.15 */
    assert_int_equal(virtual_time(&v, 1), 3300 * US);
    assert_int_equal(virtual_time(&v, 0), 4450 * US);
    assert_int_equal(virtual_time(&v, 2), 6150 * US);
    assert_int_equal(virtual_busy(&v, a), 3 * MS);
    assert_int_equal(virtual_busy(&v, b), 2 * MS);
    assert_int_equal(v.f->header.devices[0].busy_ns, 5 * MS);
    virtual_work(&v, b, 0, 100 * MS, 1 * MS, 1000);
    virtual_record(&v, b, 0, 100 * MS, 3);
    virtual_advance(&v, 0, 200 * MS);
    assert_int_equal(virtual_time(&v, 3), 101 * MS);
    virtual_free(&v);
}

static void a_record_alone_waits_for_the_context_to_get_its_turn(void **state) {
    virtual_t v = virtual_make(1);
    uint32_t a = virtual_context(&v, 0), b = virtual_context(&v, 0);

    (void)state;
    virtual_work(&v, a, 0, 0, 10 * MS, 1000);
    virtual_record(&v, b, 0, 500 * US, 0);
    virtual_advance(&v, 0, 100 * MS);
    assert_int_equal(virtual_time(&v, 0), 2 * MS);
    assert_int_equal(virtual_busy(&v, a), 10 * MS);
    assert_int_equal(virtual_busy(&v, b), 0);
    virtual_free(&v);
}

static void round_robin_serves_everybody(void **state) {
    enum { N = 7 };
    virtual_t v = virtual_make(1);
    uint32_t c[N];

    (void)state;
    for (int i = 0; i < N; i++) {
        c[i] = virtual_context(&v, 0);
        virtual_work(&v, c[i], (uint32_t)i, 0, 1000 * MS, 1000);
    }
    virtual_advance(&v, 0, N * 2 * MS * 10);
    for (int i = 0; i < N; i++)
        assert_int_equal(virtual_busy(&v, c[i]), 20 * MS);
    virtual_free(&v);
}

static void a_dead_process_loses_its_turn(void **state) {
    virtual_t v = virtual_make(1);
    uint32_t a = virtual_context(&v, 0), b = 0, proc = 0;

    (void)state;
    assert_int_equal(sim_slot_claim(v.f, 0, &proc), 0);
    assert_int_equal(sim_context_claim(v.f, proc, 0, &b), 0);
    virtual_work(&v, a, 0, 0, 1000 * MS, 1000);
    virtual_work(&v, b, 0, 0, 1000 * MS, 1000);
    virtual_advance(&v, 0, 4 * MS);
    assert_int_equal(virtual_busy(&v, b), 2 * MS);
    v.f->procs[proc].start_ticks++; /* now it is somebody else's pid */
    v.f->procs[proc].checked_ns = 0;
    virtual_advance(&v, 0, 1000 * MS);
    assert_int_equal(virtual_busy(&v, b), 2 * MS);
    assert_int_equal(virtual_busy(&v, a), 998 * MS);
    assert_int_equal(sim_slot_reap(v.f, v.tag), 1);
    assert_int_equal(sim_slot_state(v.f->header.context_words[b]), SIM_SLOT_FREE);
    assert_int_equal(sim_slot_state(v.f->header.context_words[a]), SIM_SLOT_LIVE);
    assert_int_equal(v.f->header.history[0].busy_ns, 2 * MS);
    virtual_free(&v);
}

/* --- waits -------------------------------------------------------------------------------------------------- */

static void a_wait_across_channels_ends_with_what_it_waits_for(void **state) {
    virtual_t v = virtual_make(1);
    uint32_t a = virtual_context(&v, 0), b = virtual_context(&v, 0);

    (void)state;
    uint64_t seq = virtual_work(&v, a, 0, 0, 1500 * US, 500);

    virtual_wait_for(&v, a, 1, 0, virtual_position(&v, a, 0), seq);
    virtual_work(&v, a, 1, 0, 100 * US, 500);
    virtual_record(&v, a, 1, 0, 0);
    virtual_wait_for(&v, b, 0, 0, virtual_position(&v, a, 1), 2);
    virtual_record(&v, b, 0, 0, 1);
    virtual_advance(&v, 0, 100 * MS);
    assert_int_equal(virtual_time(&v, 0), 1600 * US);
    assert_int_equal(virtual_time(&v, 1), 1600 * US);
    virtual_free(&v);
}

static void a_wait_across_devices_is_never_early(void **state) {
    virtual_t v = virtual_make(2);
    uint32_t a = virtual_context(&v, 0), b = virtual_context(&v, 1);

    (void)state;
    uint64_t seq = virtual_work(&v, a, 0, 0, 5 * MS, 1000);

    virtual_wait_for(&v, b, 0, 0, virtual_position(&v, a, 0), seq);
    virtual_record(&v, b, 0, 0, 0);
    virtual_advance(&v, 1, 1 * MS);
    assert_int_equal(virtual_time(&v, 0), UINT64_MAX);
    virtual_advance(&v, 0, 9 * MS); /* device 1 still stands at 1 ms */
    virtual_advance(&v, 1, 9 * MS);
    assert_int_equal(virtual_time(&v, 0), 5 * MS);
    virtual_free(&v);
}

static void a_position_of_a_freed_context_is_reached(void **state) {
    virtual_t v = virtual_make(1);
    uint32_t a = virtual_context(&v, 0);
    uint64_t position = virtual_position(&v, a, 0);

    (void)state;
    virtual_work(&v, a, 0, 0, 1000000 * MS, 1000);
    assert_false(sim_position_reached(v.f, position, 1));
    sim_context_free(v.f, v.tag, a);
    assert_true(sim_position_reached(v.f, position, 1));
    assert_int_equal(virtual_context(&v, 0), a); /* the same slot again */
    assert_true(sim_position_reached(v.f, position, 1));
    assert_false(sim_position_reached(v.f, virtual_position(&v, a, 0), 1));
    virtual_free(&v);
}

/* --- copies and the host ------------------------------------------------------------------------------------ */

static void hosted(virtual_t *v, uint32_t c, uint32_t k, uint64_t at, uint64_t seq) {
    virtual_advance(v, v->f->contexts[c].device, at);
    v->f->contexts[c].channels[k].hosted = seq;
    virtual_advance(v, v->f->contexts[c].device, at);
}

static void copies_run_beside_slices_and_one_after_another(void **state) {
    virtual_t v = virtual_make(1);
    uint32_t a = virtual_context(&v, 0), b = virtual_context(&v, 0);
    sim_item_t copy = {.kind = DIVVY_SIMGPU_COPY, .duration_ns = 3 * MS, .a = 4096};

    (void)state;
    virtual_work(&v, a, 0, 0, 1000 * MS, 1000);
    uint64_t first = virtual_push(&v, b, 0, 0, copy), second = virtual_push(&v, b, 1, 1, copy);

    copy.flags = DIVVY_SIMGPU_FROM_DEVICE;
    uint64_t third = virtual_push(&v, b, 2, 2, copy);

    for (uint32_t k = 0; k < 3; k++)
        virtual_record(&v, b, k, 3, k);
    hosted(&v, b, 0, 10 * US, first);
    hosted(&v, b, 1, 20 * US, second);
    hosted(&v, b, 2, 4 * MS, third); /* the bytes took longer than the engine */
    virtual_advance(&v, 0, 100 * MS);
    assert_int_equal(virtual_time(&v, 0), 3 * MS);
    assert_int_equal(virtual_time(&v, 1), 6 * MS);
    assert_int_equal(virtual_time(&v, 2), 4 * MS);
    assert_int_equal(virtual_busy(&v, a), 100 * MS);
    assert_int_equal(v.f->header.devices[0].copy_busy_ns[0], 6 * MS);
    assert_int_equal(v.f->header.devices[0].copy_bytes[1], 4096);
    virtual_free(&v);
}

static void the_hosts_slowness_is_idle_time(void **state) {
    virtual_t v = virtual_make(1);
    uint32_t a = virtual_context(&v, 0);
    sim_item_t item = {.kind = DIVVY_SIMGPU_HOST, .duration_ns = 1 * MS, .fraction_permille = 1000};

    (void)state;
    uint64_t first = virtual_push(&v, a, 0, 0, item);

    virtual_record(&v, a, 0, 0, 0);
    item.flags = DIVVY_SIMGPU_LATE;
    item.duration_ns = 0;
    uint64_t second = virtual_push(&v, a, 0, 0, item);

    virtual_record(&v, a, 0, 0, 1);
    hosted(&v, a, 0, 5 * MS, first);
    assert_int_equal(virtual_time(&v, 0), 5 * MS);
    assert_int_equal(virtual_busy(&v, a), 1 * MS);
    virtual_advance(&v, 0, 7 * MS);
    sim_ring_item(v.f, a, 0, second - 1)->duration_ns = 2 * MS;
    hosted(&v, a, 0, 7 * MS, second);
    virtual_advance(&v, 0, 100 * MS);
    assert_int_equal(virtual_time(&v, 1), 9 * MS);
    assert_int_equal(virtual_busy(&v, a), 3 * MS);
    virtual_free(&v);
}

static void a_lost_device_stands_still(void **state) {
    virtual_t v = virtual_make(1);
    uint32_t a = virtual_context(&v, 0);

    (void)state;
    v.f->header.devices[0].lost_ns = v.t0 + 5 * MS;
    virtual_work(&v, a, 0, 0, 100 * MS, 1000);
    virtual_advance(&v, 0, 1000 * MS);
    assert_int_equal(virtual_busy(&v, a), 5 * MS);
    virtual_free(&v);
}

/* --- estimates ---------------------------------------------------------------------------------------------- */

/* Sleeping until the estimate and looking again must reach the end, never late. */
static void estimates_are_never_late(void **state) {
    virtual_t v = virtual_make(1);
    uint32_t a = virtual_context(&v, 0), b = virtual_context(&v, 0);
    uint64_t now = 0, seq = 0, looks = 0;

    (void)state;
    for (int i = 0; i < 200; i++) {
        seq = virtual_work(&v, a, 0, 0, 900 * US, 1000);
        virtual_work(&v, b, 0, 0, 500 * US, 1000);
    }
    virtual_record(&v, a, 0, 0, 0);
    virtual_advance(&v, 0, now);
    while (!sim_position_reached(v.f, virtual_position(&v, a, 0), seq)) {
        uint64_t next =
            sim_sched_estimate(v.f, 0, virtual_position(&v, a, 0), seq, v.t0 + now) - v.t0;

        assert_true(next > now);
        now = next;
        virtual_advance(&v, 0, now);
        looks++;
    }
    assert_int_equal(virtual_time(&v, 0), now);
    assert_true(looks < 40);
    virtual_free(&v);
}

/* --- a crash in the middle of a step ------------------------------------------------------------------------ */

static void an_interrupted_step_is_made_once(void **state) {
    (void)state;
    for (int stage = 0; stage < 3; stage++) {
        virtual_t v = virtual_make(1);
        uint32_t a = virtual_context(&v, 0);
        sim_device_t *d = &v.f->header.devices[0];

        virtual_work(&v, a, 0, 0, 100 * MS, 1000);
        virtual_advance(&v, 0, 10 * MS);
        d->step = (sim_step_t){.valid = 1,
                               .context = a,
                               .now_ns = v.t0 + 20 * MS,
                               .device_busy_ns = 20 * MS,
                               .context_busy_ns = 20 * MS,
                               .proc_busy_ns = 20 * MS};
        if (stage > 0)
            v.f->procs[v.proc].use[0].busy_ns = 20 * MS;
        if (stage > 1)
            v.f->contexts[a].busy_ns = 20 * MS;
        d->active[0] = 0;
        d->copy_free_ns[0] = UINT64_MAX;
        sim_sched_repair(v.f, 0);
        assert_int_equal(d->copy_free_ns[0], 0);
        virtual_advance(&v, 0, 50 * MS);
        assert_int_equal(virtual_busy(&v, a), 50 * MS);
        assert_int_equal(d->busy_ns, 50 * MS);
        assert_int_equal(v.f->procs[v.proc].use[0].busy_ns, 50 * MS);
        virtual_free(&v);
    }
}

/* --- random work against a model that walks microsecond by microsecond --------------------------------------- */

enum { MODEL_CONTEXTS = 3, MODEL_CHANNELS = 3, MODEL_ITEMS = 12, MODEL_TICKS = 60000 };

typedef struct model_item {
    uint64_t submit, left; /* microseconds */
    unsigned fraction;
    uint64_t done;
} model_item_t;

typedef struct model {
    model_item_t items[MODEL_CONTEXTS][MODEL_CHANNELS][MODEL_ITEMS];
    int head[MODEL_CONTEXTS][MODEL_CHANNELS];
    bool runs[MODEL_CONTEXTS][MODEL_CHANNELS];
    uint64_t ready[MODEL_CONTEXTS][MODEL_CHANNELS];
    uint64_t busy[MODEL_CONTEXTS];
    int current, last;
    uint64_t slice_end;
} model_t;

static model_item_t *model_head(model_t *m, int c, int k, uint64_t t) {
    if (m->head[c][k] == MODEL_ITEMS || m->items[c][k][m->head[c][k]].submit > t)
        return NULL;
    return &m->items[c][k][m->head[c][k]];
}

static bool model_wants(model_t *m, int c, uint64_t t) {
    for (int k = 0; k < MODEL_CHANNELS; k++)
        if (model_head(m, c, k, t))
            return true;
    return false;
}

static void model_choose(model_t *m, uint64_t t) {
    bool others = false;

    for (int c = 0; c < MODEL_CONTEXTS; c++)
        others |= c != m->current && model_wants(m, c, t);
    if (m->current >= 0 && model_wants(m, m->current, t)) {
        if (t < m->slice_end)
            return;
        if (!others) {
            while (m->slice_end <= t)
                m->slice_end += 2000;
            return;
        }
    }
    m->current = -1;
    for (int i = 1; i <= MODEL_CONTEXTS; i++) {
        int c = (m->last + i) % MODEL_CONTEXTS;

        if (model_wants(m, c, t)) {
            m->current = m->last = c;
            m->slice_end = t + 2000;
            return;
        }
    }
}

static void model_admit(model_t *m, uint64_t t) {
    int c = m->current;

    for (;;) {
        unsigned used = 0;
        int best = -1;

        for (int k = 0; k < MODEL_CHANNELS; k++) {
            model_item_t *item = model_head(m, c, k, t);

            if (item && m->runs[c][k])
                used += item->fraction;
            else if (item && (best < 0 || m->ready[c][k] < m->ready[c][best]))
                best = k;
        }
        if (best < 0 || used + model_head(m, c, best, t)->fraction > 1000)
            return;
        m->runs[c][best] = true;
    }
}

/* Waiting time counts from when an item reached the head of its channel, whoever had the device. */
static void model_note_ready(model_t *m, uint64_t t) {
    for (int c = 0; c < MODEL_CONTEXTS; c++)
        for (int k = 0; k < MODEL_CHANNELS; k++)
            if (model_head(m, c, k, t) && m->ready[c][k] == UINT64_MAX)
                m->ready[c][k] = t;
}

static void model_tick(model_t *m, uint64_t t) {
    model_note_ready(m, t);
    model_choose(m, t);
    if (m->current < 0)
        return;
    model_admit(m, t);
    m->busy[m->current]++;
    for (int k = 0; k < MODEL_CHANNELS; k++) {
        model_item_t *item = model_head(m, m->current, k, t);

        if (!item || !m->runs[m->current][k] || --item->left)
            continue;
        item->done = t + 1;
        m->head[m->current][k]++;
        m->runs[m->current][k] = false;
        m->ready[m->current][k] = UINT64_MAX;
    }
}

static void random_work_matches_the_model(void **state) {
    (void)state;
    for (unsigned seed = 1; seed <= 60; seed++) {
        virtual_t v = virtual_make(1);
        model_t *m = calloc(1, sizeof *m);
        uint32_t c[MODEL_CONTEXTS];

        srand(seed);
        m->current = -1;
        m->last = MODEL_CONTEXTS - 1;
        memset(m->ready, 0xFF, sizeof m->ready);
        for (int i = 0; i < MODEL_CONTEXTS; i++)
            c[i] = virtual_context(&v, 0);
        v.f->header.devices[0].last = c[MODEL_CONTEXTS - 1];
        for (int i = 0; i < MODEL_CONTEXTS; i++)
            for (uint32_t k = 0; k < MODEL_CHANNELS; k++) {
                uint64_t at = 0;

                for (uint32_t j = 0; j < MODEL_ITEMS; j++) {
                    uint64_t duration = 1 + (uint64_t)(rand() % (rand() % 4 ? 300 : 4000));
                    unsigned fraction = 1 + (unsigned)(rand() % 1000);

                    at += (uint64_t)(rand() % 3 ? 0 : rand() % 5000);
                    m->items[i][k][j] =
                        (model_item_t){.submit = at, .left = duration, .fraction = fraction};
                    virtual_work(&v, c[i], k, at * US, duration * US, fraction);
                    virtual_record(&v, c[i], k, at * US, (uint32_t)i * 100 + k * 30 + j);
                }
            }
        for (uint64_t t = 0; t < MODEL_TICKS; t++)
            model_tick(m, t);
        /* look at random moments: when one looks must not matter */
        for (uint64_t t = 0; t < (MODEL_TICKS - 9000) * US; t += (uint64_t)rand() % (9000 * US))
            virtual_advance(&v, 0, t);
        virtual_advance(&v, 0, MODEL_TICKS * US);
        for (int i = 0; i < MODEL_CONTEXTS; i++) {
            for (uint32_t k = 0; k < MODEL_CHANNELS; k++)
                for (uint32_t j = 0; j < MODEL_ITEMS; j++) {
                    uint64_t got = virtual_time(&v, (uint32_t)i * 100 + k * 30 + j);

                    if (m->items[i][k][j].done && got != m->items[i][k][j].done * US)
                        fail_msg("seed %u context %d channel %u item %u: %llu, model %llu us", seed,
                                 i, k, j, (unsigned long long)got,
                                 (unsigned long long)m->items[i][k][j].done);
                }
            assert_int_equal(virtual_busy(&v, c[i]), m->busy[i] * US);
        }
        free(m);
        virtual_free(&v);
    }
}

/* --- bins --------------------------------------------------------------------------------------------------- */

static void bins_add_up(void **state) {
    virtual_t v = virtual_make(1);
    uint32_t a = virtual_context(&v, 0);
    uint64_t sum = 0;

    (void)state;
    for (uint64_t i = 0; i < 50; i++)
        virtual_work(&v, a, 0, i * 20 * MS, 7 * MS, 1000);
    virtual_advance(&v, 0, 1000 * MS);
    for (uint64_t bin = v.t0 / DIVVY_SIMGPU_BIN_NS; bin <= (v.t0 + 1000 * MS) / DIVVY_SIMGPU_BIN_NS;
         bin++) {
        uint64_t word = v.f->header.devices[0].bins[bin % DIVVY_SIMGPU_BINS];

        if (word >> 32 == (uint32_t)bin)
            sum += (uint32_t)word;
    }
    assert_int_equal(sum, 350 * MS);
    virtual_free(&v);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_follows_work_to_the_nanosecond),
        cmocka_unit_test(work_never_starts_before_it_was_submitted),
        cmocka_unit_test(overlap_is_busy_once),
        cmocka_unit_test(what_does_not_fit_waits_in_order),
        cmocka_unit_test(higher_priority_goes_first),
        cmocka_unit_test(two_contexts_share_evenly),
        cmocka_unit_test(a_long_kernel_is_preempted_and_keeps_its_rest),
        cmocka_unit_test(an_idle_context_yields_at_once_and_waits_its_turn),
        cmocka_unit_test(a_record_alone_waits_for_the_context_to_get_its_turn),
        cmocka_unit_test(round_robin_serves_everybody),
        cmocka_unit_test(a_dead_process_loses_its_turn),
        cmocka_unit_test(a_wait_across_channels_ends_with_what_it_waits_for),
        cmocka_unit_test(a_wait_across_devices_is_never_early),
        cmocka_unit_test(a_position_of_a_freed_context_is_reached),
        cmocka_unit_test(a_change_of_context_costs_what_the_configuration_says),
        cmocka_unit_test(copies_run_beside_slices_and_one_after_another),
        cmocka_unit_test(the_hosts_slowness_is_idle_time),
        cmocka_unit_test(a_lost_device_stands_still),
        cmocka_unit_test(estimates_are_never_late),
        cmocka_unit_test(an_interrupted_step_is_made_once),
        cmocka_unit_test(random_work_matches_the_model),
        cmocka_unit_test(bins_add_up),
    };

    return cmocka_run_group_tests_name("simgpu schedule", tests, NULL, NULL);
}
