/*
 * How the gate behaves where things are not as usual, in virtual time: see model.h.
 */
#include "limiter/compute/compute.h"
#include "limiter/compute/state.h"
#include "limiter/hook/process.h"
#include "model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define MS        UINT64_C(1000000)
#define SECOND_NS UINT64_C(1000000000)

static const struct model_settings settings = {.seed = 7, .launch_ns = 2500, .oversleep_ns = 60000};

static void run_for(uint64_t duration_ns, uint64_t length_ns) {
    uint64_t end_ns = model_now_ns() + duration_ns;

    while (model_now_ns() < end_ns)
        model_kernel(1, length_ns, model_stream(0));
}

static double share_over(uint64_t duration_ns, uint64_t length_ns) {
    uint64_t begin_ns = model_now_ns(), busy_ns = model_busy_ns();

    run_for(duration_ns, length_ns);
    return 100.0 * (double)(model_busy_ns() - busy_ns) / (double)(model_now_ns() - begin_ns);
}

#define assert_share(share, low, high)                                                                                \
    do {                                                                                                              \
        double is_ = (share);                                                                                         \
        if (is_ < (low) || is_ > (high))                                                                              \
            fail_msg("share %.2f %% is not in %.2f .. %.2f", is_, (double)(low), (double)(high));                     \
    } while (0)

static void without_a_limit_nothing_happens(void **unused) {
    (void)unused;
    model_start(&settings, DIVVY_PAGE_PERMILLE_UNLIMITED);
    run_for(SECOND_NS / 10, 1000);
    assert_int_equal(model_event_calls(), 0);
    assert_int_equal(model_charged_ns(), 0);
}

static void limit_comes_changes_and_goes(void **unused) {
    (void)unused;
    model_start(&settings, DIVVY_PAGE_PERMILLE_UNLIMITED);
    run_for(SECOND_NS / 10, 100000);
    model_synchronize(model_stream(0));
    model_set_permille(200);
    assert_share(share_over(SECOND_NS, 100000), 19, 21);
    model_set_permille(800);
    assert_share(share_over(SECOND_NS, 100000), 78, 81);
    model_set_permille(10);
    assert_share(share_over(5 * SECOND_NS, 100000), 0.9, 1.2);
    model_set_permille(0);
    assert_share(share_over(SECOND_NS, 100000), 97, 100.1);
}

/* The driver makes no events: launches are paced by what was learned before, or by the first guess. */
static void without_events_estimates_pace(void **unused) {
    (void)unused;
    model_start(&settings, 300);
    run_for(SECOND_NS, 100000);
    model_fail_events(true);
    assert_share(share_over(SECOND_NS, 100000), 27, 33);
    model_start(&settings, 300);
    model_fail_events(true);
    assert_share(share_over(SECOND_NS, DIVVY_COMPUTE_GUESS_NS), 28, 32);
}

static void failed_launches_cost_nothing(void **unused) {
    (void)unused;
    model_start(&settings, 100);
    run_for(SECOND_NS, 200000);
    model_fail_launches(true);
    for (unsigned i = 0; i < 1000; i++)
        model_kernel(1, 200000, model_stream(0));
    model_host(50 * MS);
    model_fail_launches(false);
    model_kernel(1, 200000, model_stream(0));
    assert_true(model_debt_ns() < 20 * MS);
}

static void context_takes_its_events_along(void **unused) {
    (void)unused;
    model_start(&settings, 300);
    run_for(SECOND_NS / 2, 100000);
    assert_true(model_events_alive() > 0);
    model_destroy_context();
    assert_int_equal(model_events_alive(), 0);
    assert_int_equal(divvy_compute_devices[0].segment_count, 0);
    /* and work goes on in the next one */
    assert_share(share_over(SECOND_NS, 100000), 28, 32);
}

static void events_stay_few(void **unused) {
    (void)unused;
    model_start(&settings, 900);
    for (unsigned i = 0; i < 200000; i++)
        model_kernel(1 + i % 7, 3000 + 20000 * (i % 7), model_stream(i % 5));
    assert_true(model_events_alive() < DIVVY_COMPUTE_EVENTS);
}

static void nothing_stays_in_flight(void **unused) {
    struct divvy_compute_device *device = &divvy_compute_devices[0];

    (void)unused;
    model_start(&settings, 500);
    for (unsigned i = 0; i < 5000; i++)
        model_kernel(i % 3, 50000, model_stream(i % 4));
    model_host(SECOND_NS);
    divvy_compute_close(divvy_compute_self, model_now_ns());
    model_host(SECOND_NS);
    divvy_compute_settle(device);
    assert_int_equal(device->segment_count, 0);
    assert_int_equal(device->flight.pending_ns, 0);
    assert_int_equal(device->queue_count, 0);
    assert_int_equal(device->usage->waiting, 0);
    for (unsigned i = 0; i < DIVVY_COMPUTE_GROUPS; i++)
        assert_int_equal(device->groups[i].id, 0);
    assert_int_equal(device->usage->launches, 5000);
}

static void first_launches_of_unknown_length_go_one_by_one(void **unused) {
    uint64_t begin_ns;

    (void)unused;
    model_start(&settings, 200);
    begin_ns = model_now_ns();
    while (model_now_ns() < begin_ns + SECOND_NS)
        model_kernel(1, 50 * MS, model_stream(0));
    /* a tenth more than the share, and the kernel that was in flight */
    assert_true(model_busy_ns() <= 320 * MS);
}

static void idle_time_is_not_saved_up(void **unused) {
    uint64_t busy_ns, begin_ns;

    (void)unused;
    model_start(&settings, 100);
    run_for(SECOND_NS, 100000);
    model_host(60 * SECOND_NS);
    busy_ns = model_busy_ns();
    begin_ns = model_now_ns();
    run_for(SECOND_NS / 10, 100000);
    assert_true(model_busy_ns() - busy_ns <=
                (model_now_ns() - begin_ns) / 10 + DIVVY_COMPUTE_BANK_NS + DIVVY_COMPUTE_BUDGET_NS);
}

static int one_neighbour(CUdevice device) {
    (void)device;
    return 1;
}

/* Another process takes every other time slice: what is charged is the own time all the same. */
static void neighbour_does_not_raise_the_charge(void **unused) {
    static const uint64_t lengths[] = {100000, 500000, 1000000};
    struct model_settings beside = settings;

    (void)unused;
    beside.neighbour = true;
    divvy_compute_set_neighbour_probe(one_neighbour);
    for (unsigned i = 0; i < 3; i++) {
        uint64_t busy_ns, charged_ns;

        model_start(&beside, 300);
        run_for(2 * SECOND_NS, lengths[i]);
        busy_ns = model_busy_ns();
        charged_ns = model_charged_ns();
        assert_share(share_over(10 * SECOND_NS, lengths[i]), 27, 33);
        assert_in_range((model_charged_ns() - charged_ns) * 100 / (model_busy_ns() - busy_ns), 92, 108);
    }
    divvy_compute_set_neighbour_probe(NULL);
}

/* Like a child of fork: tables are fresh, and the parent's events are not touched. */
static void attaching_again_forgets_everything(void **unused) {
    unsigned alive;

    (void)unused;
    model_start(&settings, 300);
    run_for(SECOND_NS / 10, 100000);
    alive = model_events_alive();
    divvy_compute_attach();
    assert_null(divvy_compute_self);
    assert_int_equal(model_events_alive(), alive);
    assert_int_equal(divvy_compute_devices[0].segment_count, 0);
    assert_share(share_over(SECOND_NS, 100000), 27, 33);
}

/* An hour in small steps: the sum is right to a tenth of a percent. */
static void an_hour(void **unused) {
    struct model_settings noisy = settings;
    uint64_t begin_ns, busy_ns, charged_ns;

    (void)unused;
    noisy.preempt_ns = 2 * MS;
    noisy.preempt_every_ns = 200 * MS;
    model_start(&noisy, 370);
    run_for(SECOND_NS, 400000);
    begin_ns = model_now_ns();
    busy_ns = model_busy_ns();
    charged_ns = model_charged_ns();
    run_for(3600 * SECOND_NS, 400000);
    assert_share(100.0 * (double)(model_busy_ns() - busy_ns) / (double)(model_now_ns() - begin_ns), 36.9, 37.1);
    assert_share(100.0 * (double)(model_charged_ns() - charged_ns) / (double)(model_busy_ns() - busy_ns), 99.8, 100.2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_limit_nothing_happens),
        cmocka_unit_test(limit_comes_changes_and_goes),
        cmocka_unit_test(without_events_estimates_pace),
        cmocka_unit_test(failed_launches_cost_nothing),
        cmocka_unit_test(context_takes_its_events_along),
        cmocka_unit_test(events_stay_few),
        cmocka_unit_test(nothing_stays_in_flight),
        cmocka_unit_test(first_launches_of_unknown_length_go_one_by_one),
        cmocka_unit_test(idle_time_is_not_saved_up),
        cmocka_unit_test(neighbour_does_not_raise_the_charge),
        cmocka_unit_test(attaching_again_forgets_everything),
        cmocka_unit_test(an_hour),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
