/* Queues of virtual machines: order, ageing, shares, limits, watchdog, quarantine, and random operations against a model. */
#include "node/vmq.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>
/* cmocka needs the headers above. */
#include <cmocka.h>

#define SECOND_NS INT64_C(1000000000)
#define MS_NS     INT64_C(1000000)

static struct divvy_node_vmq *make(bool single, bool by_arrival) {
    struct divvy_node_vmq_settings settings;
    struct divvy_node_vmq *vmq;

    divvy_node_vmq_defaults(&settings);
    settings.single_queue = single;
    settings.by_arrival = by_arrival;
    settings.vms_max = 32;
    settings.jobs_max = 1024;
    assert_int_equal(divvy_node_vmq_new(&settings, &vmq), 0);
    return vmq;
}

static void add(struct divvy_node_vmq *vmq, uint32_t vm, uint32_t pool, uint32_t priority, uint32_t weight) {
    const struct divvy_node_vmq_params params = {.pool = pool, .priority = priority, .weight = weight};

    assert_int_equal(divvy_node_vmq_add(vmq, vm, &params, 0), 0);
}

static uint32_t run_one(struct divvy_node_vmq *vmq, uint32_t pools, int64_t *now_ns, int64_t used_ns) {
    uint32_t job;

    if (divvy_node_vmq_next(vmq, pools, *now_ns, &job) < 0)
        return DIVVY_NODE_VMQ_NOBODY;
    *now_ns += used_ns;
    assert_int_equal(divvy_node_vmq_end(vmq, job, used_ns, DIVVY_NODE_VMQ_DONE, *now_ns, NULL), 0);
    return job;
}

/* A-high, B-high, A-med, B-high, A-low are served 1, 2, 4, 3, 5 by one queue; each pool keeps its own order in pool mode. */
static void classes_are_strict(void **state) {
    static const uint32_t pools[] = {0, 1, 0, 1, 0}, priorities[] = {2, 2, 1, 2, 0}, single[] = {1, 2, 4, 3, 5};
    static const uint32_t of_a[] = {1, 3, 5}, of_b[] = {2, 4};
    struct divvy_node_vmq *vmq = make(true, true);
    int64_t now_ns = 1;

    (void)state;
    for (uint32_t i = 0; i < 5; i++) {
        add(vmq, i, pools[i], priorities[i], 50);
        assert_int_equal(divvy_node_vmq_submit(vmq, i, i + 1, false, now_ns++), 0);
    }
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(run_one(vmq, 1, &now_ns, MS_NS), single[i]);
    divvy_node_vmq_free(vmq);

    vmq = make(false, true);
    for (uint32_t i = 0; i < 5; i++) {
        add(vmq, i, pools[i], priorities[i], 50);
        assert_int_equal(divvy_node_vmq_submit(vmq, i, i + 1, false, now_ns++), 0);
    }
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(run_one(vmq, 1, &now_ns, MS_NS), of_a[i]);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(run_one(vmq, 2, &now_ns, MS_NS), of_b[i]);
    divvy_node_vmq_free(vmq);
}

/* First in, first out for a hundred items of many VMs, also after removals from the middle. */
static void order_survives_removals(void **state) {
    struct divvy_node_vmq *vmq = make(true, true);
    int64_t now_ns = 1;

    (void)state;
    for (uint32_t i = 0; i < 10; i++)
        add(vmq, i, 0, 1, 50);
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(divvy_node_vmq_submit(vmq, i % 10, i, false, now_ns++), 0);
    for (uint32_t i = 0; i < 100; i += 7)
        assert_int_equal(divvy_node_vmq_withdraw(vmq, i, now_ns), 0);
    assert_int_equal(divvy_node_vmq_withdraw(vmq, 0, now_ns), -ENOENT);
    for (uint32_t i = 0; i < 100; i++)
        if (i % 7)
            assert_int_equal(run_one(vmq, 1, &now_ns, MS_NS), i);
    assert_int_equal(run_one(vmq, 1, &now_ns, MS_NS), DIVVY_NODE_VMQ_NOBODY);
    divvy_node_vmq_free(vmq);
}

/* A hundred jobs of pool A and five of pool B on one worker: the last of B comes before half of A's are done. */
static void pools_take_turns(void **state) {
    struct divvy_node_vmq *vmq = make(false, false);
    int64_t now_ns = 1;
    uint32_t done_a = 0, done_b = 0;

    (void)state;
    add(vmq, 0, 0, 1, 50);
    add(vmq, 1, 1, 1, 50);
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(divvy_node_vmq_submit(vmq, 0, i, false, now_ns), 0);
    for (uint32_t i = 100; i < 105; i++)
        assert_int_equal(divvy_node_vmq_submit(vmq, 1, i, false, now_ns), 0);
    while (done_b < 5) {
        uint32_t job = run_one(vmq, 3, &now_ns, MS_NS);

        if (job >= 100)
            done_b++;
        else
            done_a++;
    }
    assert_in_range(done_a, 4, 6);
    divvy_node_vmq_free(vmq);
}

/* A job of class low under endless load of class high is run once it has waited long enough. */
static void nobody_starves(void **state) {
    for (int by_arrival = 0; by_arrival < 2; by_arrival++) {
        struct divvy_node_vmq *vmq = make(false, by_arrival);
        int64_t now_ns = 1;
        uint32_t job, high = 1;

        (void)state;
        add(vmq, 0, 0, 0, 1);
        add(vmq, 1, 0, 2, 100);
        add(vmq, 2, 0, 2, 100);
        assert_int_equal(divvy_node_vmq_submit(vmq, 0, 0, false, now_ns), 0);
        do {
            for (uint32_t vm = 1; vm < 3; vm++) {
                high = high % 1000 + 1;
                (void)divvy_node_vmq_submit(vmq, vm, high, false, now_ns);
            }
            job = run_one(vmq, 1, &now_ns, 100 * MS_NS);
            assert_true(now_ns < 70 * SECOND_NS);
        } while (job != 0);
        assert_true(now_ns > 60 * SECOND_NS);
        divvy_node_vmq_free(vmq);
    }
}

/* Keeps `count` VMs saturated for a while; what each used. Jobs of VM i take cost_ns[i]. */
static void saturate(struct divvy_node_vmq *vmq, uint32_t count, const int64_t *cost_ns, int64_t for_ns, int64_t *now_ns,
                     int64_t *ret_used_ns) {
    int64_t end_ns = *now_ns + for_ns;
    uint32_t job;

    while (*now_ns < end_ns) {
        /* Two jobs of each, so that one waits behind the one that runs; those that are there already are refused. */
        for (uint32_t i = 0; i < 2 * count; i++)
            (void)divvy_node_vmq_submit(vmq, i % count, i, false, *now_ns);
        if (divvy_node_vmq_next(vmq, 1, *now_ns, &job) < 0)
            break;
        *now_ns += cost_ns[job % count];
        ret_used_ns[job % count] += cost_ns[job % count];
        assert_int_equal(divvy_node_vmq_end(vmq, job, cost_ns[job % count], DIVVY_NODE_VMQ_DONE, *now_ns, NULL), 0);
    }
}

/* Weights 80:20 give 4.0 within 2 %, whatever the jobs' lengths. */
static void weights_hold(void **state) {
    static const int64_t costs[][2] = {{MS_NS, MS_NS}, {5 * MS_NS, 200000}, {30000, 20 * MS_NS}, {20000, 20000}};

    (void)state;
    for (size_t i = 0; i < sizeof costs / sizeof costs[0]; i++) {
        struct divvy_node_vmq *vmq = make(false, false);
        int64_t now_ns = 1, used_ns[2] = {0};

        add(vmq, 0, 0, 1, 80);
        add(vmq, 1, 0, 1, 20);
        saturate(vmq, 2, costs[i], 60 * SECOND_NS, &now_ns, used_ns);
        print_message("costs %ld us and %ld us: ratio %.3f\n", (long)costs[i][0] / 1000, (long)costs[i][1] / 1000,
                      (double)used_ns[0] / (double)used_ns[1]);
        assert_in_range(used_ns[0] * 100 / used_ns[1], 392, 408);
        divvy_node_vmq_free(vmq);
    }
}

/* What an idle VM leaves goes to the busy one, and comes back at once. */
static void idle_share_returns(void **state) {
    static const int64_t cost_ns[2] = {MS_NS, MS_NS};
    struct divvy_node_vmq *vmq = make(false, false);
    int64_t now_ns = 1, used_ns[2] = {0}, after_ns[2] = {0};

    (void)state;
    add(vmq, 0, 0, 1, 50);
    add(vmq, 1, 0, 1, 50);
    saturate(vmq, 1, cost_ns, 10 * SECOND_NS, &now_ns, used_ns);
    assert_true(used_ns[0] >= 10 * SECOND_NS);
    saturate(vmq, 2, cost_ns, 200 * MS_NS, &now_ns, after_ns);
    assert_in_range(after_ns[1], 90 * MS_NS, 130 * MS_NS);
    divvy_node_vmq_free(vmq);
}

/* --- short jobs beside others ------------------------------------------------------------------------------- */

static uint32_t behind(struct divvy_node_vmq *vmq, int64_t now_ns) {
    uint32_t job;

    return divvy_node_vmq_behind(vmq, 1, now_ns, &job) < 0 ? DIVVY_NODE_VMQ_NOBODY : job;
}

/* Machine 0 floods; 1 asks for the first time, and again before it is its turn; 2 is of a lower class. */
static void who_is_behind_may_run_beside(void **state) {
    struct divvy_node_vmq *vmq = make(false, false), *other = make(false, true);
    int64_t now_ns = 1;
    uint32_t job;

    (void)state;
    for (uint32_t vm = 0; vm < 3; vm++)
        add(vmq, vm, 0, vm == 2 ? 0 : 1, 50);
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(divvy_node_vmq_submit(vmq, 0, i, false, now_ns), 0);
    assert_int_equal(run_one(vmq, 1, &now_ns, MS_NS), 0);
    assert_int_equal(divvy_node_vmq_next(vmq, 1, now_ns, &job), 0);
    assert_int_equal(behind(vmq, now_ns), DIVVY_NODE_VMQ_NOBODY); /* its own next waits for it */
    assert_int_equal(divvy_node_vmq_submit(vmq, 2, 20, false, now_ns), 0);
    assert_int_equal(behind(vmq, now_ns), DIVVY_NODE_VMQ_NOBODY);
    assert_int_equal(divvy_node_vmq_submit(vmq, 1, 10, false, now_ns), 0);
    assert_int_equal(divvy_node_vmq_submit(vmq, 1, 11, false, now_ns), 0);
    assert_int_equal(behind(vmq, now_ns), 10);
    assert_int_equal(divvy_node_vmq_start(vmq, 11, now_ns), -ENOENT);
    assert_int_equal(divvy_node_vmq_start(vmq, 2000, now_ns), -ENOENT);
    assert_int_equal(divvy_node_vmq_start(vmq, 10, now_ns), 0);
    assert_int_equal(divvy_node_vmq_start(vmq, 10, now_ns), -ENOENT);
    /* It has had a good deal more than its share now. */
    assert_int_equal(divvy_node_vmq_end(vmq, 10, 6 * MS_NS, DIVVY_NODE_VMQ_DONE, now_ns += MS_NS, NULL), 0);
    assert_int_equal(behind(vmq, now_ns), DIVVY_NODE_VMQ_NOBODY);
    divvy_node_vmq_free(vmq);

    add(other, 0, 0, 1, 50);
    add(other, 1, 0, 1, 50);
    assert_int_equal(divvy_node_vmq_submit(other, 0, 0, false, now_ns), 0);
    assert_int_equal(run_one(other, 1, &now_ns, MS_NS), 0);
    assert_int_equal(divvy_node_vmq_submit(other, 1, 1, false, now_ns), 0);
    assert_int_equal(behind(other, now_ns), DIVVY_NODE_VMQ_NOBODY);
    divvy_node_vmq_free(other);
}

/* Machine 0 floods; 1 has a job at a time, hardly longer than the other's, and asks again soon: it never waits. */
static void one_at_a_time_does_not_wait(void **state) {
    struct divvy_node_vmq *vmq = make(false, false);
    const int64_t step_ns = MS_NS / 100, job_ns = 10 * step_ns;
    int64_t now_ns = 1, ends_ns[2] = {0}, asks_ns = 1;
    uint32_t job, running = 0, asked = 0;

    (void)state;
    add(vmq, 0, 0, 1, 50);
    add(vmq, 1, 0, 1, 50);
    for (; now_ns < SECOND_NS; now_ns += step_ns) {
        for (uint32_t vm = 0; vm < 2; vm++)
            if (ends_ns[vm] && ends_ns[vm] <= now_ns) {
                assert_int_equal(
                    divvy_node_vmq_end(vmq, vm, job_ns + vm * step_ns / 2, DIVVY_NODE_VMQ_DONE, now_ns, NULL), 0);
                ends_ns[vm] = 0;
                running--;
                asks_ns = vm == 1 ? now_ns + 2 * step_ns : asks_ns;
            }
        if (!ends_ns[0])
            (void)divvy_node_vmq_submit(vmq, 0, 0, false, now_ns); /* or waits already */
        if (now_ns == asks_ns) {
            assert_int_equal(divvy_node_vmq_submit(vmq, 1, 1, false, now_ns), 0);
            asked++;
        }
        while ((running == 0 && divvy_node_vmq_next(vmq, 1, now_ns, &job) == 0) ||
               (running == 1 && divvy_node_vmq_behind(vmq, 1, now_ns, &job) == 0 &&
                divvy_node_vmq_start(vmq, job, now_ns) == 0)) {
            ends_ns[job] = now_ns + job_ns;
            running++;
        }
        assert_false(now_ns == asks_ns && ends_ns[1] == 0);
    }
    assert_true(asked > 5000);
    divvy_node_vmq_free(vmq);
}

/* Weights hold with one beside as with one at a time. */
static void weights_hold_beside(void **state) {
    static const uint32_t weights[] = {80, 20, 7};
    struct divvy_node_vmq *vmq = make(false, false);
    int64_t now_ns = 1, ends_ns[3] = {0}, used_ns[3] = {0};
    uint32_t job, running = 0, beside = 0;

    (void)state;
    for (uint32_t vm = 0; vm < 3; vm++)
        add(vmq, vm, 0, 1, weights[vm]);
    for (; now_ns < 20 * SECOND_NS; now_ns += MS_NS / 10) {
        for (uint32_t vm = 0; vm < 3; vm++) {
            if (ends_ns[vm] && ends_ns[vm] <= now_ns) {
                assert_int_equal(divvy_node_vmq_end(vmq, vm, MS_NS, DIVVY_NODE_VMQ_DONE, now_ns, NULL), 0);
                used_ns[vm] += MS_NS;
                ends_ns[vm] = 0;
                running--;
            }
            if (!ends_ns[vm])
                (void)divvy_node_vmq_submit(vmq, vm, vm, false, now_ns); /* there already, mostly */
        }
        if (running == 0 && divvy_node_vmq_next(vmq, 1, now_ns, &job) == 0) {
            ends_ns[job] = now_ns + MS_NS;
            running++;
        }
        if (running == 1 && divvy_node_vmq_behind(vmq, 1, now_ns, &job) == 0) {
            assert_int_equal(divvy_node_vmq_start(vmq, job, now_ns), 0);
            ends_ns[job] = now_ns + MS_NS;
            running++;
            beside++;
        }
    }
    assert_true(beside > 1000);
    assert_in_range(used_ns[0] * 1000 / used_ns[1], 3920, 4080);
    assert_in_range(used_ns[0] * 1000 / used_ns[2], 11200, 11660);
    divvy_node_vmq_free(vmq);
}

static void rate_and_depth_refuse(void **state) {
    struct divvy_node_vmq *vmq = make(false, false);
    const struct divvy_node_vmq_params params = {.priority = 1, .weight = 50, .rate = 5, .depth = 3};
    struct divvy_node_vmq_stats stats;
    int64_t now_ns = 1;
    unsigned int taken = 0, cleanups = 0;

    (void)state;
    assert_int_equal(divvy_node_vmq_add(vmq, 0, &params, 0), 0);
    for (int i = 0; i < 1000; i++, now_ns += 10 * MS_NS) {
        int status = divvy_node_vmq_submit(vmq, 0, 1, false, now_ns);

        assert_true(status == 0 || status == -EBUSY);
        taken += status == 0;
        if (i % 100 == 0)
            cleanups += divvy_node_vmq_submit(vmq, 0, 2, true, now_ns) == 0;
        while (run_one(vmq, 1, &now_ns, 0) != DIVVY_NODE_VMQ_NOBODY)
            ;
    }
    assert_in_range(taken, 50, 55); /* five a second, and one second's burst */
    assert_int_equal(cleanups, 10);
    now_ns += 10 * SECOND_NS;
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(divvy_node_vmq_submit(vmq, 0, i, false, now_ns), 0);
    assert_int_equal(divvy_node_vmq_submit(vmq, 0, 3, false, now_ns), -ENOSPC);
    assert_int_equal(divvy_node_vmq_submit(vmq, 0, 3, true, now_ns), 0);
    assert_int_equal(divvy_node_vmq_stats(vmq, 0, &stats), 0);
    assert_int_equal(stats.rejected, 1000 - taken + 1);
    assert_int_equal(divvy_node_vmq_remove(vmq, 0, now_ns), -EBUSY);
    divvy_node_vmq_free(vmq);
}

static void faults_quarantine(void **state) {
    struct divvy_node_vmq *vmq = make(false, false);
    struct divvy_node_vmq_stats stats;
    int64_t now_ns = 1;
    bool quarantined;
    uint32_t job;

    (void)state;
    add(vmq, 0, 0, 1, 50);
    add(vmq, 1, 0, 1, 50);
    for (uint32_t i = 1; i <= 5; i++) {
        assert_int_equal(divvy_node_vmq_submit(vmq, 0, 0, false, now_ns), 0);
        assert_int_equal(divvy_node_vmq_next(vmq, 1, now_ns, &job), 0);
        assert_int_equal(divvy_node_vmq_late(vmq, now_ns + 30 * SECOND_NS, &job), -EAGAIN);
        now_ns += 30 * SECOND_NS + 1;
        assert_int_equal(divvy_node_vmq_late(vmq, now_ns, &job), 0);
        assert_int_equal(job, 0);
        assert_int_equal(divvy_node_vmq_end(vmq, 0, 30 * SECOND_NS, DIVVY_NODE_VMQ_TIMED_OUT, now_ns, &quarantined), 0);
        assert_int_equal(quarantined, i == 5);
    }
    assert_int_equal(divvy_node_vmq_submit(vmq, 0, 0, false, now_ns), -EACCES);
    assert_int_equal(divvy_node_vmq_submit(vmq, 0, 0, true, now_ns), 0);
    assert_int_equal(divvy_node_vmq_submit(vmq, 1, 1, false, now_ns), 0);
    assert_int_equal(divvy_node_vmq_quarantine(vmq, 0, false), 0);
    assert_int_equal(divvy_node_vmq_submit(vmq, 0, 2, false, now_ns), 0);
    assert_int_equal(divvy_node_vmq_stats(vmq, 0, &stats), 0);
    assert_int_equal(stats.faults, 0);
    assert_int_equal(stats.errors, 5);
    assert_int_equal(stats.p99_us, 30000000);
    divvy_node_vmq_free(vmq);
}

static void bad_numbers_are_refused(void **state) {
    static const struct divvy_node_vmq_params bad[] = {
        {.pool = 2, .priority = 1, .weight = 1}, {.priority = 3, .weight = 1}, {.weight = 0}, {.weight = 101},
        {.weight = 1, .rate = DIVVY_NODE_VMQ_RATE_MAX + 1},
    };
    const struct divvy_node_vmq_params good = {.weight = 1};
    struct divvy_node_vmq *vmq = make(false, false);
    uint32_t job;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(divvy_node_vmq_add(vmq, 0, &bad[i], 0), -EINVAL);
    assert_int_equal(divvy_node_vmq_add(vmq, 32, &good, 0), -ERANGE);
    assert_int_equal(divvy_node_vmq_add(vmq, 0, &good, 0), 0);
    assert_int_equal(divvy_node_vmq_add(vmq, 0, &good, 0), -EEXIST);
    assert_int_equal(divvy_node_vmq_submit(vmq, 1, 0, false, 0), -ENOENT);
    assert_int_equal(divvy_node_vmq_submit(vmq, 0, 1024, false, 0), -ERANGE);
    assert_int_equal(divvy_node_vmq_next(vmq, 3, 0, &job), -EAGAIN);
    assert_int_equal(divvy_node_vmq_end(vmq, 0, 0, DIVVY_NODE_VMQ_DONE, 0, NULL), -ENOENT);
    assert_false(divvy_node_vmq_gpu_needs_reset(95, 100));
    assert_true(divvy_node_vmq_gpu_needs_reset(96, 0));
    assert_true(divvy_node_vmq_gpu_needs_reset(20, 101));
    divvy_node_vmq_free(vmq);
}

/* What a job is in the model. */
enum { FREE, WAITS, RUNS };

static void check_sums(const struct divvy_node_vmq *vmq, const int *model, const uint32_t *owner) {
    struct divvy_node_vmq_totals totals, sum = {0};
    struct divvy_node_vmq_stats stats;

    for (uint32_t vm = 0; vm < 32; vm++) {
        uint32_t waits = 0, runs = 0;

        if (divvy_node_vmq_stats(vmq, vm, &stats) < 0)
            continue;
        for (uint32_t i = 0; i < 1024; i++) {
            waits += model[i] == WAITS && owner[i] == vm;
            runs += model[i] == RUNS && owner[i] == vm;
        }
        assert_int_equal(stats.queued, waits);
        assert_int_equal(stats.running, runs);
        assert_true(runs <= 1);
        sum.jobs += stats.jobs;
        sum.errors += stats.errors;
        sum.rejected += stats.rejected;
        sum.used_ns += stats.used_ns;
        sum.queued += stats.queued;
        sum.running += stats.running;
    }
    divvy_node_vmq_totals(vmq, &totals);
    sum.switches = totals.switches;
    assert_memory_equal(&sum, &totals, sizeof sum);
}

/* Random operations against a model: states agree, totals are the sums over the VMs, a VM's jobs run in order. */
static void random_operations(void **state) {
    unsigned int seed = (unsigned int)time(NULL);

    (void)state;
    print_message("seed %u\n", seed);
    for (int round = 0; round < 4; round++) {
        struct divvy_node_vmq *vmq = make(round & 1, round & 2);
        int model[1024] = {0};
        uint32_t owner[1024] = {0}, job;
        int64_t now_ns = 1, stamp[1024] = {0}, last[32] = {0}, order = 0;

        for (uint32_t vm = 0; vm < 32; vm++)
            add(vmq, vm, (uint32_t)rand_r(&seed) % 2, (uint32_t)rand_r(&seed) % 3, 1 + (uint32_t)rand_r(&seed) % 100);
        for (int i = 0; i < 20000; i++) {
            uint32_t vm = (uint32_t)rand_r(&seed) % 32;

            now_ns += rand_r(&seed) % (20 * MS_NS);
            job = (uint32_t)rand_r(&seed) % 1024;
            switch (rand_r(&seed) % 6) {
            case 0:
            case 1:
                if (divvy_node_vmq_submit(vmq, vm, job, false, now_ns) == 0) {
                    assert_int_equal(model[job], FREE);
                    model[job] = WAITS;
                    owner[job] = vm;
                    stamp[job] = ++order;
                } else
                    assert_int_not_equal(model[job], FREE);
                break;
            case 2:
                if (divvy_node_vmq_next(vmq, 1 + (uint32_t)rand_r(&seed) % 3, now_ns, &job) == 0) {
                    assert_int_equal(model[job], WAITS);
                    assert_true(stamp[job] > last[owner[job]]);
                    last[owner[job]] = stamp[job];
                    model[job] = RUNS;
                }
                break;
            case 3:
                assert_int_equal(divvy_node_vmq_end(vmq, job, rand_r(&seed) % MS_NS, rand_r(&seed) % 2, now_ns, NULL),
                                 model[job] == RUNS ? 0 : -ENOENT);
                if (model[job] == RUNS)
                    model[job] = FREE;
                break;
            case 4:
                assert_int_equal(divvy_node_vmq_withdraw(vmq, job, now_ns), model[job] == WAITS ? 0 : -ENOENT);
                if (model[job] == WAITS)
                    model[job] = FREE;
                break;
            default: {
                const struct divvy_node_vmq_params params = {.pool = (uint32_t)rand_r(&seed) % 2,
                                                             .priority = (uint32_t)rand_r(&seed) % 3,
                                                             .weight = 1 + (uint32_t)rand_r(&seed) % 100};

                assert_int_equal(divvy_node_vmq_set(vmq, vm, &params, now_ns), 0);
            }
            }
            if (i % 500 == 0)
                check_sums(vmq, model, owner);
        }
        for (uint32_t i = 0; i < 1024; i++)
            if (model[i] == RUNS)
                assert_int_equal(divvy_node_vmq_end(vmq, i, 0, DIVVY_NODE_VMQ_DONE, now_ns, NULL), 0);
        while ((job = run_one(vmq, 3, &now_ns, 1000)) != DIVVY_NODE_VMQ_NOBODY)
            model[job] = FREE;
        for (uint32_t i = 0; i < 1024; i++)
            assert_true(model[i] != WAITS);
        divvy_node_vmq_free(vmq);
    }
}

/* Equal jobs, of which one VM's take twice as long for what they wait for: weights hold in jobs. */
static void equal_jobs_cost_the_same(void **state) {
    struct divvy_node_vmq *vmq = make(true, false);
    struct divvy_node_vmq_costs costs = {0};
    uint32_t done[2] = {0};
    int64_t now_ns = 0;

    (void)state;
    add(vmq, 0, 0, 1, 80);
    add(vmq, 1, 0, 1, 20);
    for (int i = 0; i < 20000; i++) {
        uint32_t job;

        for (uint32_t vm = 0; vm < 2; vm++)
            (void)divvy_node_vmq_submit(vmq, vm, vm, false, now_ns); /* refused while it waits */
        assert_int_equal(divvy_node_vmq_next(vmq, 1, now_ns, &job), 0);
        int64_t took_ns = job == 0 ? 40000 : 80000;

        now_ns += took_ns;
        assert_int_equal(divvy_node_vmq_end(vmq, job, divvy_node_vmq_cost(&costs, 62, took_ns), DIVVY_NODE_VMQ_DONE, now_ns, NULL), 0);
        done[job] += i >= 1000;
    }
    print_message("%u and %u jobs\n", done[0], done[1]);
    assert_in_range(done[0] * 100 / done[1], 390, 410);
    divvy_node_vmq_free(vmq);

    /* Others of another length, and long ones, are not mixed up with them. */
    assert_false(divvy_node_vmq_cost_is_short(&costs, 1 << 20));
    assert_int_equal(divvy_node_vmq_cost(&costs, 1 << 20, 900000), 900000);
    assert_true(divvy_node_vmq_cost_is_short(&costs, 1 << 20));
    assert_int_equal(divvy_node_vmq_cost(&costs, 62, 5000000), 5000000);
    assert_false(divvy_node_vmq_cost_is_short(&costs, 33));
    assert_in_range(divvy_node_vmq_cost(&costs, 33, 50000), 40000, 80000);
    assert_true(divvy_node_vmq_cost_is_short(&costs, 62));
    assert_int_equal(divvy_node_vmq_cost(&costs, 0, -1), 0);
    assert_in_range(divvy_node_vmq_cost(&costs, UINT64_MAX, 7), 7, 7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_are_strict),    cmocka_unit_test(order_survives_removals), cmocka_unit_test(pools_take_turns),
        cmocka_unit_test(nobody_starves),        cmocka_unit_test(weights_hold),            cmocka_unit_test(idle_share_returns),
        cmocka_unit_test(who_is_behind_may_run_beside), cmocka_unit_test(one_at_a_time_does_not_wait),
        cmocka_unit_test(weights_hold_beside),
        cmocka_unit_test(rate_and_depth_refuse), cmocka_unit_test(faults_quarantine),       cmocka_unit_test(bad_numbers_are_refused),
        cmocka_unit_test(random_operations),     cmocka_unit_test(equal_jobs_cost_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
