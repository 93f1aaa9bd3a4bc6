/*
 * The scheduler in virtual time: tenants with kernels of any length play hours in a second, and what each got is held against
 * what a perfectly fluid division would have given.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "node/sched.h"

#define MS     1000000ll
#define SECOND (1000 * MS)

static uint64_t state = 1;

static uint64_t random_below(uint64_t n) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (state >> 24) % n;
}

struct player {
    struct divvy_node_tenant_params params;
    int64_t kernel_ns; /* indivisible piece of work */
    int64_t used_ns;
};

static struct divvy_node_sched *new_sched(uint32_t capacity) {
    struct divvy_node_sched *sched;
    assert_int_equal(divvy_node_sched_new(capacity, NULL, &sched), 0);
    return sched;
}

static void add(struct divvy_node_sched *sched, uint32_t id,
                struct divvy_node_tenant_params params) {
    assert_int_equal(divvy_node_sched_add(sched, id, &params, 0), 0);
}

/* One lease of a greedy player: whole kernels until the lease is over. Returns the time at which the device is free. */
static int64_t play(struct divvy_node_sched *sched, struct player *players, int64_t now,
                    int64_t end) {
    struct divvy_node_lease lease;
    divvy_node_sched_pick(sched, now, &lease);
    if (lease.kind == DIVVY_NODE_LEASE_NONE)
        return lease.retry_ns < end ? lease.retry_ns : end;
    struct player *p = &players[lease.tenant];
    int64_t length = lease.kind == DIVVY_NODE_LEASE_OPEN ? 10 * MS : lease.length_ns;
    int64_t used = 0;
    while (used < length)
        used += p->kernel_ns;
    p->used_ns += used;
    divvy_node_sched_charge(sched, lease.tenant, used, now + used);
    if (lease.kind == DIVVY_NODE_LEASE_TIMED)
        divvy_node_sched_end(sched, lease.tenant, now + used);
    return now + used;
}

static int64_t play_until(struct divvy_node_sched *sched, struct player *players, int64_t now,
                          int64_t end) {
    while (now < end)
        now = play(sched, players, now, end);
    return now;
}

static void start(struct divvy_node_sched *sched, struct player *players, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        add(sched, i, players[i].params);
        divvy_node_sched_wake(sched, i, 0);
    }
}

static void test_weights_give_shares(void **unused) {
    (void)unused;
    struct player players[] = {{{.weight = 300}, 50000, 0}, {{.weight = 700}, 5 * MS, 0}};
    struct divvy_node_sched *sched = new_sched(2);
    start(sched, players, 2);
    int64_t end = play_until(sched, players, 0, 3600 * SECOND);
    assert_true(fabs((double)players[0].used_ns / (double)end - 0.3) < 0.0005);
    divvy_node_sched_free(sched);
}

static void test_windows_of_a_second_hold(void **unused) {
    (void)unused;
    struct player players[] = {{{.weight = 1}, MS, 0},
                               {{.weight = 2}, MS / 10, 0},
                               {{.weight = 4}, MS, 0},
                               {{.weight = 8}, 2 * MS, 0}};
    struct divvy_node_sched *sched = new_sched(4);
    start(sched, players, 4);
    int64_t now = play_until(sched, players, 0, SECOND);
    double error = 0;
    for (int window = 0; window < 100; window++) {
        int64_t begin = now, before[4];
        for (int i = 0; i < 4; i++)
            before[i] = players[i].used_ns;
        now = play_until(sched, players, now, now + SECOND);
        for (int i = 0; i < 4; i++)
            error += fabs((double)(players[i].used_ns - before[i]) / (double)(now - begin) -
                          players[i].params.weight / 15.0);
    }
    assert_true(error / 400 < 0.01);
    divvy_node_sched_free(sched);
}

static void test_ten_thousand_tenants(void **unused) {
    (void)unused;
    enum { COUNT = 10000 };
    struct player *players = calloc(COUNT, sizeof *players);
    struct divvy_node_sched *sched = new_sched(COUNT);
    uint64_t weights = 0;
    state = (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)state);
    for (int i = 0; i < COUNT; i++) {
        players[i].params =
            (struct divvy_node_tenant_params){.weight = 100 * (1 + (uint32_t)random_below(4)),
                                              .qos = (enum divvy_node_qos)random_below(4)};
        players[i].kernel_ns = 10000 + (int64_t)random_below(3 * MS);
        weights += players[i].params.weight;
    }
    start(sched, players, COUNT);
    int64_t end = play_until(sched, players, 0, 12 * 3600 * SECOND);
    double sum = 0, squares = 0;
    for (int i = 0; i < COUNT; i++) {
        double ratio =
            (double)players[i].used_ns / (double)end / players[i].params.weight * (double)weights;
        sum += ratio;
        squares += ratio * ratio;
    }
    assert_true(sum * sum / (COUNT * squares) > 0.999); /* Jain's index of use over weight */
    divvy_node_sched_free(sched);
    free(players);
}

static void test_hard_cap_leaves_the_rest_idle(void **unused) {
    (void)unused;
    for (uint32_t cap = 10; cap < 1000; cap += 70) {
        struct player players[] = {{{.weight = 100, .cap_permille = cap}, MS / 2, 0}};
        struct divvy_node_sched *sched = new_sched(1);
        start(sched, players, 1);
        int64_t end = play_until(sched, players, 0, 100 * SECOND);
        assert_true(fabs((double)players[0].used_ns / (double)end - cap / 1000.0) < 0.0005);
        divvy_node_sched_free(sched);
    }
}

static void test_soft_cap_borrows_only_what_is_idle(void **unused) {
    (void)unused;
    struct player players[] = {{{.weight = 100, .cap_permille = 200, .cap_soft = true}, MS, 0},
                               {{.weight = 100}, MS, 0}};
    struct divvy_node_sched *sched = new_sched(2);
    start(sched, players, 2);
    divvy_node_sched_sleep(sched, 1, 0);
    int64_t alone = play_until(sched, players, 0, 10 * SECOND);
    assert_true(players[0].used_ns > alone * 99 / 100);
    divvy_node_sched_wake(sched, 1, alone);
    players[0].used_ns = 0;
    int64_t end = play_until(sched, players, alone, alone + 100 * SECOND);
    assert_true(fabs((double)players[0].used_ns / (double)(end - alone) - 0.2) < 0.002);
    divvy_node_sched_free(sched);
}

static void test_sleep_banks_little(void **unused) {
    (void)unused;
    struct player players[] = {{{.weight = 100}, MS, 0}, {{.weight = 100}, MS, 0}};
    struct divvy_node_sched *sched = new_sched(2);
    start(sched, players, 2);
    divvy_node_sched_sleep(sched, 0, 0);
    int64_t now = play_until(sched, players, 0, 3600 * SECOND);
    divvy_node_sched_wake(sched, 0, now);
    players[0].used_ns = players[1].used_ns = 0;
    play_until(sched, players, now, now + SECOND / 2);
    assert_in_range(players[0].used_ns, SECOND / 4 - 20 * MS, SECOND / 4 + 40 * MS);
    divvy_node_sched_free(sched);
}

static void test_one_long_kernel_is_repaid(void **unused) {
    (void)unused;
    struct player players[] = {{{.weight = 100}, 500 * MS, 0}, {{.weight = 100}, MS, 0}};
    struct divvy_node_sched *sched = new_sched(2);
    start(sched, players, 2);
    int64_t end = play_until(sched, players, 0, 600 * SECOND);
    assert_true(fabs((double)players[1].used_ns / (double)end - 0.5) < 0.01);
    struct divvy_node_sched_stats stats;
    assert_int_equal(divvy_node_sched_stats(sched, 0, &stats), 0);
    assert_true(stats.overrun_ns > stats.used_ns / 2);
    divvy_node_sched_free(sched);
}

static void test_single_tenant_is_open_until_company_comes(void **unused) {
    (void)unused;
    struct divvy_node_sched *sched = new_sched(2);
    struct divvy_node_lease lease;
    add(sched, 0, (struct divvy_node_tenant_params){.weight = 1});
    add(sched, 1, (struct divvy_node_tenant_params){.weight = 1});
    divvy_node_sched_pick(sched, 0, &lease);
    assert_int_equal(lease.kind, DIVVY_NODE_LEASE_NONE);
    assert_true(lease.retry_ns == DIVVY_NODE_SCHED_NEVER);
    divvy_node_sched_wake(sched, 0, 0);
    divvy_node_sched_pick(sched, 0, &lease);
    assert_int_equal(lease.kind, DIVVY_NODE_LEASE_OPEN);
    divvy_node_sched_wake(sched, 1, MS);
    divvy_node_sched_pick(sched, MS, &lease);
    assert_int_equal(lease.kind, DIVVY_NODE_LEASE_TIMED);
    assert_int_equal(lease.tenant, 0);
    assert_int_equal(divvy_node_sched_end(sched, 1, MS), -ENOENT);
    assert_int_equal(divvy_node_sched_end(sched, 0, MS), 0);
    divvy_node_sched_free(sched);
}

/* The use of an open lease becomes known when it is over: whoever came is not owed that. */
static void test_late_charge_of_an_open_lease(void **unused) {
    (void)unused;
    struct player players[] = {{{.weight = 100}, MS, 0}, {{.weight = 100}, MS, 0}};
    struct divvy_node_sched *sched = new_sched(2);
    struct divvy_node_lease lease;
    start(sched, players, 2);
    divvy_node_sched_sleep(sched, 1, 0);
    divvy_node_sched_pick(sched, 0, &lease);
    assert_int_equal(lease.kind, DIVVY_NODE_LEASE_OPEN);
    divvy_node_sched_wake(sched, 1, SECOND);
    divvy_node_sched_pick(sched, SECOND, &lease);
    assert_int_equal(lease.kind, DIVVY_NODE_LEASE_TIMED);
    divvy_node_sched_charge(sched, 0, SECOND, SECOND);
    divvy_node_sched_charge(sched, 0, MS, SECOND + MS);
    divvy_node_sched_end(sched, 0, SECOND + MS);
    play_until(sched, players, SECOND + MS, SECOND + 101 * MS);
    assert_in_range(players[0].used_ns, 35 * MS, 65 * MS);
    divvy_node_sched_free(sched);
}

static void test_high_class_revokes_but_keeps_to_its_weight(void **unused) {
    (void)unused;
    struct divvy_node_sched *sched = new_sched(2);
    struct divvy_node_lease lease;
    add(sched, 0, (struct divvy_node_tenant_params){.weight = 100});
    add(sched, 1, (struct divvy_node_tenant_params){.weight = 100, .qos = DIVVY_NODE_QOS_CRITICAL});
    divvy_node_sched_wake(sched, 0, 0);
    divvy_node_sched_pick(sched, 0, &lease);
    assert_int_equal(lease.tenant, 0);
    assert_false(divvy_node_sched_should_revoke(sched, MS));
    divvy_node_sched_wake(sched, 1, MS);
    assert_true(divvy_node_sched_should_revoke(sched, MS));
    divvy_node_sched_charge(sched, 0, MS, MS);
    divvy_node_sched_end(sched, 0, MS);
    divvy_node_sched_pick(sched, MS, &lease);
    assert_int_equal(lease.tenant, 1);
    divvy_node_sched_free(sched);

    struct player players[] = {{{.weight = 100}, MS, 0},
                               {{.weight = 100, .qos = DIVVY_NODE_QOS_CRITICAL}, MS, 0}};
    sched = new_sched(2);
    start(sched, players, 2);
    int64_t end = play_until(sched, players, 0, 100 * SECOND);
    assert_true(fabs((double)players[1].used_ns / (double)end - 0.5) < 0.005);
    divvy_node_sched_free(sched);
}

static void test_frozen_gets_nothing(void **unused) {
    (void)unused;
    struct player players[] = {{{.weight = 100}, MS, 0}, {{.weight = 100}, MS, 0}};
    struct divvy_node_sched *sched = new_sched(2);
    start(sched, players, 2);
    assert_int_equal(divvy_node_sched_freeze(sched, 0, true, 0), 0);
    int64_t now = play_until(sched, players, 0, SECOND);
    assert_int_equal(players[0].used_ns, 0);
    divvy_node_sched_freeze(sched, 0, false, now);
    play_until(sched, players, now, now + SECOND);
    assert_true(players[0].used_ns > 400 * MS);
    divvy_node_sched_free(sched);
}

static void test_live_change_of_cap_and_weight(void **unused) {
    (void)unused;
    struct player players[] = {{{.weight = 100, .cap_permille = 200}, MS, 0}};
    struct divvy_node_sched *sched = new_sched(1);
    start(sched, players, 1);
    int64_t now = play_until(sched, players, 0, 10 * SECOND);
    struct divvy_node_tenant_params changed = {.weight = 100, .cap_permille = 600};
    assert_int_equal(divvy_node_sched_set(sched, 0, &changed, now), 0);
    players[0].used_ns = 0;
    int64_t end = play_until(sched, players, now, now + SECOND / 2);
    assert_true(fabs((double)players[0].used_ns / (double)(end - now) - 0.6) < 0.05);
    divvy_node_sched_free(sched);
}

/* Debts and savings are gone, what it has had is not forgotten. */
static void test_renewed_account(void **unused) {
    (void)unused;
    struct divvy_node_tenant_params capped = {.weight = 100, .cap_permille = 500};
    struct divvy_node_sched *sched = new_sched(2);
    struct divvy_node_sched_stats stats;
    struct divvy_node_lease lease;
    for (uint32_t id = 0; id < 2; id++) {
        assert_int_equal(divvy_node_sched_add(sched, id, &capped, 0), 0);
        assert_int_equal(divvy_node_sched_wake(sched, id, 0), 0);
        assert_int_equal(divvy_node_sched_charge(sched, id, 5 * SECOND, 0), 0);
    }
    divvy_node_sched_pick(sched, SECOND, &lease);
    assert_int_equal(lease.kind, DIVVY_NODE_LEASE_NONE);
    assert_true(lease.retry_ns > 9 * SECOND);
    assert_int_equal(divvy_node_sched_renew(sched, 1, SECOND), 0);
    divvy_node_sched_pick(sched, SECOND, &lease);
    assert_int_equal(lease.tenant, 1);
    assert_int_equal(divvy_node_sched_renew(sched, 1, SECOND), -EBUSY);
    assert_int_equal(divvy_node_sched_charge(sched, 1, 5 * MS, SECOND), 0);
    assert_int_equal(divvy_node_sched_end(sched, 1, SECOND), 0);
    divvy_node_sched_pick(sched, SECOND, &lease);
    assert_int_equal(lease.kind, DIVVY_NODE_LEASE_NONE); /* no more than a beginner has */
    assert_int_equal(divvy_node_sched_stats(sched, 1, &stats), 0);
    assert_int_equal(stats.used_ns, 5 * SECOND + 5 * MS);
    assert_int_equal(divvy_node_sched_renew(sched, 2, SECOND), -ENOENT);
    divvy_node_sched_free(sched);
}

/* Any sequence of calls: invariants hold, nobody starves, time going back is harmless. */
static void test_random_calls(void **unused) {
    (void)unused;
    enum { COUNT = 40, STEPS = 400000 };
    state = (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)state);
    struct divvy_node_sched *sched = new_sched(COUNT);
    bool known[COUNT] = {false}, ready[COUNT] = {false}, frozen[COUNT] = {false};
    int64_t now = 0;
    for (int step = 0; step < STEPS; step++) {
        uint32_t id = (uint32_t)random_below(COUNT);
        struct divvy_node_tenant_params params = {.weight = 1 + (uint32_t)random_below(1000),
                                                  .cap_permille = (uint32_t)random_below(1001),
                                                  .cap_soft = random_below(2),
                                                  .qos = (enum divvy_node_qos)random_below(4)};
        int expected = known[id] ? 0 : -ENOENT;
        bool holds = divvy_node_sched_holder(sched) == id;
        now += (int64_t)random_below(3 * MS) - MS;
        switch (random_below(9)) {
        case 0:
            assert_int_equal(divvy_node_sched_add(sched, id, &params, now),
                             known[id] ? -EEXIST : 0);
            if (!known[id])
                ready[id] = frozen[id] = false;
            known[id] = true;
            break;
        case 1:
            if (random_below(4) == 0) {
                assert_int_equal(divvy_node_sched_remove(sched, id, now), expected);
                known[id] = false;
            }
            break;
        case 2:
            assert_int_equal(divvy_node_sched_set(sched, id, &params, now), expected);
            break;
        case 3:
            assert_int_equal(divvy_node_sched_sleep(sched, id, now), expected);
            ready[id] = false;
            break;
        case 4:
            assert_int_equal(divvy_node_sched_freeze(sched, id, step & 1, now), expected);
            if (known[id])
                frozen[id] = step & 1;
            break;
        case 5:
            assert_int_equal(
                divvy_node_sched_charge(sched, id, (int64_t)random_below(20 * MS), now), expected);
            break;
        case 6:
            assert_int_equal(divvy_node_sched_renew(sched, id, now), holds ? -EBUSY : expected);
            break;
        default:
            assert_int_equal(divvy_node_sched_wake(sched, id, now), expected);
            if (known[id])
                ready[id] = true;
        }
        divvy_node_sched_should_revoke(sched, now);
        struct divvy_node_lease lease;
        divvy_node_sched_pick(sched, now, &lease);
        if (lease.kind == DIVVY_NODE_LEASE_NONE) {
            if (lease.retry_ns == DIVVY_NODE_SCHED_NEVER)
                for (int i = 0; i < COUNT; i++)
                    assert_false(known[i] && ready[i] && !frozen[i]);
            continue;
        }
        assert_true(known[lease.tenant] && ready[lease.tenant] && !frozen[lease.tenant]);
        assert_true(lease.kind == DIVVY_NODE_LEASE_OPEN || lease.length_ns > 0);
        if (random_below(2))
            assert_int_equal(divvy_node_sched_end(sched, lease.tenant, now), 0);
    }
    divvy_node_sched_free(sched);
}

/* Leases of the patient classes grow, nobody else's; shares of capped and of uncapped tenants stay what they were. */
static void test_stretched_leases(void **unused) {
    static const int64_t expected[] = {25 * MS, 25 * MS / 2, 3 * MS, 2 * MS};
    struct player capped[] = {{{.weight = 100, .cap_permille = 300}, MS, 0},
                              {{.weight = 100, .cap_permille = 700}, MS / 4, 0}};
    struct divvy_node_sched *sched;
    struct divvy_node_lease lease;

    (void)unused;
    for (int qos = 0; qos < DIVVY_NODE_QOS_MAX; qos++) {
        sched = new_sched(2);
        divvy_node_sched_stretch(sched, 2500);
        for (uint32_t id = 0; id < 2; id++) {
            add(sched, id, (struct divvy_node_tenant_params){.weight = 100, .qos = (enum divvy_node_qos)qos});
            divvy_node_sched_wake(sched, id, 0);
        }
        divvy_node_sched_pick(sched, 0, &lease);
        assert_int_equal(lease.length_ns, expected[qos]);
        divvy_node_sched_free(sched);
    }
    sched = new_sched(2);
    divvy_node_sched_stretch(sched, UINT32_MAX);
    start(sched, capped, 2);
    int64_t end = play_until(sched, capped, 0, 100 * SECOND);
    assert_true(fabs((double)capped[0].used_ns / (double)end - 0.3) < 0.001);
    assert_true(fabs((double)capped[1].used_ns / (double)end - 0.7) < 0.001);
    divvy_node_sched_stretch(sched, 0);
    while (divvy_node_sched_pick(sched, end, &lease), lease.kind == DIVVY_NODE_LEASE_NONE)
        end = lease.retry_ns;
    assert_int_equal(lease.length_ns, 10 * MS); /* of class low */
    divvy_node_sched_free(sched);
}

static void test_bad_input(void **unused) {
    (void)unused;
    struct divvy_node_sched *sched = NULL;
    assert_int_equal(divvy_node_sched_new(0, NULL, &sched), -EINVAL);
    assert_null(sched);
    struct divvy_node_sched_params settings;
    divvy_node_sched_defaults(&settings);
    settings.lease_ns[2] = 0;
    assert_int_equal(divvy_node_sched_new(1, &settings, &sched), -EINVAL);
    sched = new_sched(1);
    struct divvy_node_tenant_params bad[] = {{.weight = 0},
                                             {.weight = 1, .cap_permille = 1001},
                                             {.weight = DIVVY_NODE_SCHED_WEIGHT_MAX + 1},
                                             {.weight = 1, .qos = DIVVY_NODE_QOS_MAX}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(divvy_node_sched_add(sched, 0, &bad[i], 0), -EINVAL);
    struct divvy_node_tenant_params good = {.weight = 1};
    assert_int_equal(divvy_node_sched_add(sched, 1, &good, 0), -ERANGE);
    assert_int_equal(divvy_node_sched_add(sched, 0, &good, 0), 0);
    assert_int_equal(divvy_node_sched_charge(sched, 0, -1, 0), -EINVAL);
    assert_int_equal(divvy_node_sched_charge(sched, 0, INT64_MAX, 0), -EINVAL);
    divvy_node_sched_free(sched);
    divvy_node_sched_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights_give_shares),
        cmocka_unit_test(test_windows_of_a_second_hold),
        cmocka_unit_test(test_ten_thousand_tenants),
        cmocka_unit_test(test_hard_cap_leaves_the_rest_idle),
        cmocka_unit_test(test_soft_cap_borrows_only_what_is_idle),
        cmocka_unit_test(test_sleep_banks_little),
        cmocka_unit_test(test_one_long_kernel_is_repaid),
        cmocka_unit_test(test_single_tenant_is_open_until_company_comes),
        cmocka_unit_test(test_late_charge_of_an_open_lease),
        cmocka_unit_test(test_high_class_revokes_but_keeps_to_its_weight),
        cmocka_unit_test(test_frozen_gets_nothing),
        cmocka_unit_test(test_live_change_of_cap_and_weight),
        cmocka_unit_test(test_renewed_account),
        cmocka_unit_test(test_random_calls),
        cmocka_unit_test(test_stretched_leases),
        cmocka_unit_test(test_bad_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
