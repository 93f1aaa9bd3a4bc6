/*
 * The pure decisions of the gate and the clock of GPU time: pacer, union of intervals, estimator.
 */
#include "limiter/compute/estimator.h"
#include "limiter/compute/fast.h"
#include "limiter/compute/pacer.h"
#include "limiter/compute/union.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)

static uint64_t state;

static uint64_t draw(uint64_t below) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (state >> 11) % below;
}

static void seed(void) {
    const char *given = getenv("DIVVY_TEST_SEED");

    state = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
    printf("seed %llu\n", (unsigned long long)state);
    state = state * UINT64_C(0x9E3779B97F4A7C15) | 1;
}

/* --- pacer -------------------------------------------------------------------------------------------------------- */

static void which_shares_limit(void **unused) {
    (void)unused;
    assert_false(divvy_pacer_limits(0));
    assert_true(divvy_pacer_limits(1));
    assert_true(divvy_pacer_limits(999));
    assert_false(divvy_pacer_limits(1000));
    assert_false(divvy_pacer_limits(UINT32_MAX));
}

static void account_pays_for_what_was_charged(void **unused) {
    uint64_t now = 1000 * MS, paid = divvy_pacer_settle(0, now, 250, 5 * MS);

    (void)unused;
    assert_int_equal(paid, now);
    paid = divvy_pacer_charge(paid, (int64_t)(2 * MS), 250);
    assert_int_equal(paid, now + 8 * MS);
    paid = divvy_pacer_charge(paid, -(int64_t)MS, 250);
    assert_int_equal(paid, now + 4 * MS);
    assert_int_equal(divvy_pacer_settle(paid, now, 250, 5 * MS), paid);
}

static void account_banks_no_more_than_the_bank(void **unused) {
    uint64_t now = 60000 * MS;

    (void)unused;
    assert_int_equal(divvy_pacer_settle(1, now, 500, 5 * MS), now - 10 * MS);
    assert_int_equal(divvy_pacer_settle(now - 9 * MS, now, 500, 5 * MS), now - 9 * MS);
    /* a correction that would go before the beginning of time */
    assert_int_equal(divvy_pacer_charge(5, -(int64_t)MS, 1), 1);
}

static void account_keeps_debt_when_the_share_changes(void **unused) {
    uint64_t now = 1000 * MS;

    (void)unused;
    /* 80 ms at 10 % are 8 ms of GPU time, which are 10 ms at 80 % */
    assert_int_equal(divvy_pacer_rescale(now + 80 * MS, now, 100, 800), now + 10 * MS);
    assert_int_equal(divvy_pacer_rescale(now - 80 * MS, now, 100, 800), now - 10 * MS);
    assert_int_equal(divvy_pacer_rescale(now, now, 1, 999), now);
    assert_int_equal(divvy_pacer_rescale(1, now, 999, 1), 1);
}

/* Whatever is asked for, when and for how long: never more than share x time + bank + one piece of work. */
static void account_never_gives_more_than_the_share(void **unused) {
    (void)unused;
    seed();
    for (unsigned round = 0; round < 200; round++) {
        uint32_t permille = 1 + (uint32_t)draw(999);
        uint64_t start = (1 + draw(1000000)) * MS, now = start, paid = 0, used = 0, largest = 0;

        for (unsigned i = 0; i < 2000; i++) {
            uint64_t work = 1000 + draw(draw(10) ? MS : 50 * MS), settled;

            now += draw(4) ? draw(MS) : draw(100 * MS);
            settled = divvy_pacer_settle(paid, now, permille, 5 * MS);
            if (settled > now)
                continue;
            paid = divvy_pacer_charge(settled, (int64_t)work, permille);
            used += work;
            largest = work > largest ? work : largest;
            assert_true((double)used <= (double)(now - start) * permille / 1000 + 5e6 + (double)largest + 2000);
        }
    }
}

static void flight_admits_within_the_budget(void **unused) {
    struct divvy_pacer_flight flight = {0};
    uint64_t now = 1000 * MS;

    (void)unused;
    assert_int_equal(divvy_pacer_flight_wait(&flight, now, 50 * MS, MS, false, false), now);
    divvy_pacer_flight_add(&flight, now, MS / 2);
    assert_int_equal(divvy_pacer_flight_wait(&flight, now, MS / 2, MS, false, false), now);
    divvy_pacer_flight_add(&flight, now, MS / 2);
    /* full: half of it has to drain first */
    assert_int_equal(divvy_pacer_flight_wait(&flight, now, MS / 2, MS, false, false), now + MS / 2);
    /* it should have drained in part, though nothing was seen: time alone tells so much */
    assert_int_equal(divvy_pacer_flight_wait(&flight, now + MS / 2, MS / 2, MS, false, false), now + MS / 2);
    divvy_pacer_flight_done(&flight, now + MS / 4, MS / 2);
    assert_int_equal(flight.pending_ns, MS / 2);
    assert_int_equal(flight.drain_ns, now + MS / 4 + MS / 2);
}

static void flight_lets_long_work_follow_near_its_end(void **unused) {
    struct divvy_pacer_flight flight = {0};
    uint64_t now = 1000 * MS;

    (void)unused;
    divvy_pacer_flight_add(&flight, now, 5 * MS);
    assert_int_equal(divvy_pacer_flight_wait(&flight, now, 5 * MS, MS, false, false), now + 5 * MS - MS / 2);
}

static void flight_is_patient_but_not_for_ever(void **unused) {
    struct divvy_pacer_flight flight = {0};
    uint64_t now = 1000 * MS;

    (void)unused;
    divvy_pacer_flight_add(&flight, now, 2 * MS);
    now += 3 * MS; /* overdue */
    assert_int_equal(divvy_pacer_flight_wait(&flight, now, MS, MS, false, false), now + DIVVY_PACER_POLL_NS);
    now += DIVVY_PACER_PATIENCE_MIN_NS;
    assert_true(divvy_pacer_flight_is_stuck(&flight, now));
    assert_int_equal(divvy_pacer_flight_wait(&flight, now, MS, MS, false, false), now);
    assert_int_equal(divvy_pacer_flight_wait(&flight, now, MS, MS, true, false), now);
    divvy_pacer_flight_forced(&flight, now);
    assert_false(divvy_pacer_flight_is_stuck(&flight, now + DIVVY_PACER_PATIENCE_MIN_NS));
    assert_true(divvy_pacer_flight_is_stuck(&flight, now + 2 * DIVVY_PACER_PATIENCE_MIN_NS));
    for (int i = 0; i < 20; i++)
        divvy_pacer_flight_forced(&flight, now);
    assert_int_equal(flight.patience_ns, DIVVY_PACER_PATIENCE_MAX_NS);
    divvy_pacer_flight_done(&flight, now, MS);
    assert_int_equal(flight.patience_ns, DIVVY_PACER_PATIENCE_MIN_NS);
    /* work of unknown length goes alone */
    assert_int_equal(divvy_pacer_flight_wait(&flight, now, 1000, MS, true, false), now + DIVVY_PACER_POLL_NS);
    divvy_pacer_flight_done(&flight, now, MS);
    assert_int_equal(divvy_pacer_flight_wait(&flight, now, 1000, MS, true, false), now);
}

/* --- union -------------------------------------------------------------------------------------------------------- */

static void union_knows_what_is_covered(void **unused) {
    struct divvy_union busy = {0};

    (void)unused;
    assert_int_equal(divvy_union_covered(&busy, 0, 1000), 0);
    (void)divvy_union_add(&busy, 100, 200);
    (void)divvy_union_add(&busy, 900, 1100); /* idle, or not yet known, from 200 to 900 */
    assert_int_equal(divvy_union_covered(&busy, 150, 1000), 150);
    assert_int_equal(divvy_union_covered(&busy, 200, 900), 0);
    assert_int_equal(divvy_union_covered(&busy, 500, 5000), 200);
    assert_int_equal(divvy_union_covered(&busy, 1100, 1200), 0);
    assert_int_equal(divvy_union_add(&busy, 150, 1100), 700);
    assert_int_equal(divvy_union_covered(&busy, 150, 1100), 950);
}

static void estimator_bound_cuts_what_was_learned(void **unused) {
    struct divvy_estimator estimator = {0};

    (void)unused;
    for (unsigned i = 0; i < 10; i++)
        (void)divvy_estimator_update(&estimator, 200000, 0, false);
    divvy_estimator_bound(&estimator, 300000);
    assert_int_equal(estimator.mean_ns, 200000);
    divvy_estimator_bound(&estimator, 20000);
    assert_int_equal(estimator.mean_ns, 20000);
    assert_int_equal(divvy_estimator_low_ns(&estimator), 20000);
}

static void union_counts_once(void **unused) {
    struct divvy_union set = {0};

    (void)unused;
    assert_int_equal(divvy_union_add(&set, 100, 200), 100);
    assert_int_equal(divvy_union_add(&set, 150, 250), 50);
    assert_int_equal(divvy_union_add(&set, 150, 250), 0);
    assert_int_equal(divvy_union_add(&set, 300, 400), 100);
    /* a long one that ends after the others and began before */
    assert_int_equal(divvy_union_add(&set, 50, 450), 50 + 50 + 50);
    assert_int_equal(divvy_union_add(&set, 0, 450), 50);
    assert_int_equal(divvy_union_add(&set, 450, 450), 0);
    assert_int_equal(divvy_union_add(&set, 470, 460), 0);
}

/* Random intervals against a map of every nanosecond. */
static void union_is_the_union(void **unused) {
    static unsigned char map[20000];

    (void)unused;
    seed();
    for (unsigned round = 0; round < 200; round++) {
        struct divvy_union set = {0};
        uint64_t newest = 0;

        memset(map, 0, sizeof(map));
        for (unsigned i = 0; i < 60; i++) {
            uint64_t end = newest + draw(300), length = draw(3) ? draw(200) : draw(1500);
            uint64_t start = end > length ? end - length : 0, added = 0;

            if (draw(5) == 0 && end > 100)
                end -= draw(100);
            for (uint64_t at = start; at < end; at++) {
                added += !map[at];
                map[at] = 1;
            }
            newest = end > newest ? end : newest;
            assert_int_equal(divvy_union_add(&set, start, end), added);
            if (set.gap_count == DIVVY_UNION_GAPS)
                break; /* from here on it forgets the oldest */
        }
    }
}

static void union_forgets_only_old_gaps(void **unused) {
    struct divvy_union set = {0};

    (void)unused;
    for (uint64_t i = 1; i <= 100; i++)
        assert_int_equal(divvy_union_add(&set, i * 100, i * 100 + 50), 50);
    assert_int_equal(set.gap_count, DIVVY_UNION_GAPS);
    assert_int_equal(divvy_union_add(&set, 0, 100 * 100 + 50), DIVVY_UNION_GAPS * 50);
    assert_int_equal(set.gap_count, 0);
}

/* --- estimator ---------------------------------------------------------------------------------------------------- */

static void estimator_finds_the_mean(void **unused) {
    struct divvy_estimator estimator = {0};
    uint64_t estimate = 0;
    double sum = 0;

    (void)unused;
    seed();
    assert_int_equal(divvy_estimator_update(&estimator, 700, 0, false), 700);
    for (unsigned i = 0; i < 3000; i++) {
        estimate = divvy_estimator_update(&estimator, draw(10) ? 100000 : 3000000, 0, false);
        if (i >= 1000)
            sum += (double)estimate;
    }
    /* 90 x 0.1 ms and 10 x 3 ms: 0.39 ms */
    assert_in_range(sum / 2000, 300000, 480000);
}

static void estimator_follows_a_function_that_has_grown(void **unused) {
    struct divvy_estimator estimator = {0};

    (void)unused;
    for (unsigned i = 0; i < 100; i++)
        (void)divvy_estimator_update(&estimator, 20000, 0, false);
    assert_in_range(divvy_estimator_update(&estimator, 5000000, 0, false), 20000, 200000);
    assert_in_range(divvy_estimator_update(&estimator, 20000, 0, false), 20000, 200000);
    (void)divvy_estimator_update(&estimator, 5000000, 0, false);
    (void)divvy_estimator_update(&estimator, 5000000, 0, false);
    assert_int_equal(divvy_estimator_update(&estimator, 5000000, 0, false), 5000000);
    assert_int_equal(divvy_estimator_update(&estimator, 5000000, 0, false), 5000000);
}

/* Under a lease one of the samples that tell of growth may have met another tenant's work: the least of them counts. */
static void estimator_grows_by_the_least(void **unused) {
    struct divvy_estimator estimator = {0};

    (void)unused;
    for (unsigned i = 0; i < 5; i++)
        (void)divvy_estimator_update(&estimator, 100000, 0, true);
    (void)divvy_estimator_update(&estimator, 1000000, 0, true);
    (void)divvy_estimator_update(&estimator, 2000000, 0, true);
    assert_int_equal(divvy_estimator_update(&estimator, 31000000, 0, true), 1000000);
    assert_true(divvy_estimator_is_outlier(&estimator, 31000000));
    assert_in_range(divvy_estimator_update(&estimator, 1200000, 0, true), 1000000, 1200000);
}

/* Beside siblings the device is slower than estimates: the newest work may be running, the one before must be done. */
static void shared_flight_does_not_pile_up(void **unused) {
    struct divvy_pacer_flight flight = {0};
    uint64_t now = 1000 * MS;

    (void)unused;
    divvy_pacer_flight_add(&flight, now, 5 * MS);
    now += 5 * MS - MS / 4;
    assert_int_equal(divvy_pacer_flight_wait(&flight, now, 5 * MS, MS, false, true), now);
    divvy_pacer_flight_add(&flight, now, 5 * MS);
    now = flight.drain_ns - MS / 4; /* nothing has completed */
    assert_int_equal(divvy_pacer_flight_wait(&flight, now, 5 * MS, MS, false, false), now);
    assert_int_equal(divvy_pacer_flight_wait(&flight, now, 5 * MS, MS, false, true), now + DIVVY_PACER_POLL_NS);
    divvy_pacer_flight_done(&flight, now, 5 * MS);
    flight.drain_ns = now + MS / 4;
    assert_int_equal(divvy_pacer_flight_wait(&flight, now, 5 * MS, MS, false, true), now);
}

/* Samples that overlapped others can be next to nothing; the estimate is not. */
static void estimator_is_not_fooled_by_overlap(void **unused) {
    struct divvy_estimator estimator = {0};
    uint64_t cost_ns = 0;

    (void)unused;
    for (unsigned i = 0; i < 200; i++)
        cost_ns = divvy_estimator_update(&estimator, i % 4 ? 1000 : 800000, 2, false);
    assert_true(cost_ns >= 200000 / 6 * 3 / 4);
}

static void estimator_ignores_stretched_samples_beside_neighbours(void **unused) {
    struct divvy_estimator estimator = {0};
    uint64_t estimate = 0;

    (void)unused;
    for (unsigned i = 0; i < 100; i++)
        estimate = divvy_estimator_update(&estimator, i % 3 ? 3000000 : 1000000, 1, false);
    assert_int_equal(estimate, 1000000);
    for (unsigned i = 0; i < DIVVY_ESTIMATOR_RING; i++)
        estimate = divvy_estimator_update(&estimator, 5000000, 1, false);
    assert_int_equal(estimate, 5000000);
}

static void charge_lies_within_its_bounds(void **unused) {
    (void)unused;
    seed();
    for (unsigned i = 0; i < 100000; i++) {
        uint64_t carry = draw(2) ? draw(20 * MS) : 0;
        struct divvy_estimator_stretch stretch = {.estimate_ns = draw(10 * MS),
                                                  .span_ns = draw(10 * MS),
                                                  .gap_ns = draw(20000),
                                                  .doubt_ns = draw(4) ? draw(MS) : UINT64_MAX,
                                                  .neighbours = (unsigned)draw(4)};
        uint64_t charge;

        stretch.most_ns = stretch.span_ns ? draw(stretch.span_ns) : 0;
        charge = divvy_estimator_charge(&stretch, &carry);
        assert_true(charge <= stretch.most_ns);
        assert_true(charge >= divvy_estimator_least_ns(&stretch));
        assert_true(carry <= DIVVY_ESTIMATOR_CARRY_MAX_NS);
    }
}

static void charge_is_exact_where_the_device_was_busy(void **unused) {
    struct divvy_estimator_stretch stretch = {.estimate_ns = 123, .span_ns = 900000, .most_ns = 900000};
    uint64_t carry = 0;

    (void)unused;
    assert_int_equal(divvy_estimator_charge(&stretch, &carry), 900000);
    stretch.estimate_ns = 5000000;
    assert_int_equal(divvy_estimator_charge(&stretch, &carry), 900000);
    assert_int_equal(carry, 0);
}

static void charge_carries_what_loose_bounds_cut_off(void **unused) {
    struct divvy_estimator_stretch stretch = {
        .estimate_ns = 500000, .span_ns = 200000, .most_ns = 200000, .doubt_ns = 200000};
    uint64_t carry = 0;

    (void)unused;
    assert_int_equal(divvy_estimator_charge(&stretch, &carry), 200000);
    assert_int_equal(carry, 300000);
    stretch.span_ns = stretch.most_ns = stretch.doubt_ns = 900000;
    assert_int_equal(divvy_estimator_charge(&stretch, &carry), 800000);
    assert_int_equal(carry, 0);
}

/* --- keys --------------------------------------------------------------------------------------------------------- */

static void grids_are_classed_by_size(void **unused) {
    (void)unused;
    assert_int_equal(divvy_compute_grid_class(132, 1, 1), divvy_compute_grid_class(255, 1, 1));
    assert_int_not_equal(divvy_compute_grid_class(132, 1, 1), divvy_compute_grid_class(256, 1, 1));
    assert_int_equal(divvy_compute_grid_class(16, 16, 1), divvy_compute_grid_class(256, 1, 1));
    assert_int_not_equal(divvy_compute_grid_class(1, 1, 64), divvy_compute_grid_class(1, 1, 1));
    assert_true(divvy_compute_grid_class(UINT32_MAX, UINT32_MAX, UINT32_MAX) < DIVVY_COMPUTE_KEY_GRAPH);
    assert_true(divvy_compute_grid_class(0, 0, 0) < DIVVY_COMPUTE_KEY_GRAPH);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(which_shares_limit),
        cmocka_unit_test(account_pays_for_what_was_charged),
        cmocka_unit_test(account_banks_no_more_than_the_bank),
        cmocka_unit_test(account_keeps_debt_when_the_share_changes),
        cmocka_unit_test(account_never_gives_more_than_the_share),
        cmocka_unit_test(flight_admits_within_the_budget),
        cmocka_unit_test(flight_lets_long_work_follow_near_its_end),
        cmocka_unit_test(flight_is_patient_but_not_for_ever),
        cmocka_unit_test(union_knows_what_is_covered),
        cmocka_unit_test(estimator_bound_cuts_what_was_learned),
        cmocka_unit_test(union_counts_once),
        cmocka_unit_test(union_is_the_union),
        cmocka_unit_test(union_forgets_only_old_gaps),
        cmocka_unit_test(estimator_finds_the_mean),
        cmocka_unit_test(estimator_follows_a_function_that_has_grown),
        cmocka_unit_test(estimator_grows_by_the_least),
        cmocka_unit_test(shared_flight_does_not_pile_up),
        cmocka_unit_test(estimator_is_not_fooled_by_overlap),
        cmocka_unit_test(estimator_ignores_stretched_samples_beside_neighbours),
        cmocka_unit_test(charge_lies_within_its_bounds),
        cmocka_unit_test(charge_is_exact_where_the_device_was_busy),
        cmocka_unit_test(charge_carries_what_loose_bounds_cut_off),
        cmocka_unit_test(grids_are_classed_by_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
