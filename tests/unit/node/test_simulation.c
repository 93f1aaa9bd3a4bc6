/*
 * What the scheduler promises, played in virtual time with programs that behave badly: leases overrun by what drains, kernels that
 * differ a hundredfold, tenants that sleep, burst, are slow on the host, or run kernels longer than any lease.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "simulation.h"

#define MS     SIMULATION_MS
#define US     (SIMULATION_MS / 1000)
#define SECOND SIMULATION_SECOND
#define FIRST  SECOND /* not looked at: everything starts at once */
#define SOME   40     /* windows of a second that are */

static uint64_t seed;

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct simulation_program greedy(uint32_t weight, uint32_t cap_permille, int64_t kernel_ns) {
    return (struct simulation_program){
        .params = {.weight = weight, .cap_permille = cap_permille, .qos = DIVVY_NODE_QOS_MEDIUM}, .kernel_ns = kernel_ns};
}

static double share(const struct simulation *s, uint32_t tenant, int64_t begin_ns, int64_t end_ns) {
    return (double)simulation_used(s, tenant, begin_ns, end_ns) / (double)(end_ns - begin_ns);
}

/* Errors in points over windows of a second; `of_what` is what there is to share (1 less what hand-overs lose). */
struct errors {
    double mean, p95, of_what;
};

static struct errors play(const struct simulation_program *programs, uint32_t count, int64_t handover_ns, const double *wanted) {
    int64_t end_ns = FIRST + SOME * SECOND;
    struct simulation *s = simulation_new(programs, count, handover_ns, SECOND, end_ns, seed);
    simulation_run(s, end_ns);
    struct errors errors = {.of_what = 1 - (double)simulation_lost(s) / (double)end_ns};
    double points[32 * SOME];
    int found = 0;
    for (uint32_t i = 0; i < count; i++)
        for (int64_t at = FIRST; at < end_ns; at += SECOND) {
            points[found] = 100 * fabs(share(s, i, at, at + SECOND) - wanted[i] * errors.of_what);
            errors.mean += points[found++];
        }
    errors.mean /= found;
    qsort(points, (size_t)found, sizeof *points, by_size);
    errors.p95 = points[found * 95 / 100];
    simulation_free(s);
    return errors;
}

static void expect_shares(const struct simulation_program *programs, uint32_t count, const double *wanted) {
    for (int64_t handover_ns = 0; handover_ns <= 50 * US; handover_ns += 50 * US) {
        struct errors errors = play(programs, count, handover_ns, wanted);
        print_message("  %u tenants, hand-over %lld us: mean %.2f, p95 %.2f points, %.2f %% of the time given out\n", count,
                      (long long)(handover_ns / US), errors.mean, errors.p95, 100 * errors.of_what);
        assert_true(errors.mean <= 0.5);
        assert_true(errors.p95 <= 1);
        assert_true(errors.of_what >= 0.985);
    }
}

static void test_caps_with_drains(void **unused) {
    (void)unused;
    const uint32_t lows[] = {100, 300, 500};
    for (size_t i = 0; i < 3; i++) {
        for (uint32_t capped = 0; capped < 2; capped++) {
            uint32_t low = lows[i], high = 1000 - low;
            struct simulation_program programs[] = {greedy(low, low * capped, MS / 2), greedy(high, high * capped, MS / 2)};
            programs[0].drain_max_ns = programs[1].drain_max_ns = 3 * MS / 2;
            expect_shares(programs, 2, (double[]){low / 1000.0, high / 1000.0});
        }
    }
}

static void test_short_kernels_beside_long_ones(void **unused) {
    (void)unused;
    struct simulation_program programs[] = {greedy(300, 300, 50 * US), greedy(700, 700, 5 * MS)};
    expect_shares(programs, 2, (double[]){0.3, 0.7});
    struct simulation_program other[] = {greedy(300, 0, 5 * MS), greedy(700, 0, 50 * US)};
    expect_shares(other, 2, (double[]){0.3, 0.7});
}

static void test_four_weights(void **unused) {
    (void)unused;
    struct simulation_program programs[4];
    double wanted[4];
    for (uint32_t i = 0; i < 4; i++) {
        programs[i] = greedy(1u << i, 0, MS / 2);
        programs[i].drain_max_ns = 3 * MS / 2;
        wanted[i] = (1u << i) / 15.0;
    }
    expect_shares(programs, 4, wanted);
}

/* Whatever else is wanted, a hard cap leaves the rest idle and is reached. */
static void test_caps_below_the_whole(void **unused) {
    (void)unused;
    struct simulation_program programs[] = {greedy(250, 250, MS / 2), greedy(700, 700, MS / 2)};
    programs[0].drain_max_ns = programs[1].drain_max_ns = 3 * MS / 2;
    int64_t end_ns = 20 * SECOND;
    struct simulation *s = simulation_new(programs, 2, 50 * US, SECOND, end_ns, seed);
    simulation_run(s, end_ns);
    assert_true(fabs(share(s, 0, FIRST, end_ns) - 0.25) < 0.001);
    assert_true(fabs(share(s, 1, FIRST, end_ns) - 0.70) < 0.001);
    simulation_free(s);
}

/*
 * Caps that add up to the whole device cannot all be reached where hand-overs lose a hundredth of it. Each loses in proportion: it gets
 * its cap of the time that there is to give.
 */
static void test_caps_of_the_whole(void **unused) {
    (void)unused;
    const uint32_t caps[3][3] = {{300, 700, 0}, {500, 500, 0}, {100, 200, 700}};
    for (int i = 0; i < 3; i++) {
        uint32_t count = caps[i][2] ? 3 : 2;
        struct simulation_program programs[3];
        for (uint32_t k = 0; k < count; k++) {
            programs[k] = greedy(caps[i][k], caps[i][k], MS / 4);
            programs[k].drain_max_ns = MS;
        }
        int64_t end_ns = 30 * SECOND, handover_ns = 60 * US;
        struct simulation *s = simulation_new(programs, count, handover_ns, SECOND, end_ns, seed);
        simulation_run(s, end_ns);
        double lost = (double)simulation_lost(s) / (double)end_ns, idle = 1 - lost;
        for (uint32_t k = 0; k < count; k++) {
            double got = share(s, k, FIRST, end_ns);
            print_message("  cap %.1f %%: got %.2f %% of all, %.2f %% of what hand-overs (%.2f %%) leave\n", caps[i][k] / 10.0,
                          100 * got, 100 * got / (1 - lost), 100 * lost);
            assert_true(fabs(got / (1 - lost) - caps[i][k] / 1000.0) < 0.005);
            idle -= got;
        }
        assert_true(fabs(idle) < 0.005); /* nothing but hand-overs is lost */
        simulation_free(s);
    }
}

static void test_equal_tenants(void **unused) {
    (void)unused;
    for (uint32_t count = 2; count <= 32; count *= 2) {
        struct simulation_program programs[32];
        for (uint32_t i = 0; i < count; i++) {
            programs[i] = greedy(500, 0, 50 * US << (i % 5));
            programs[i].drain_max_ns = 3 * MS / 2;
        }
        int64_t end_ns = 10 * SECOND;
        struct simulation *s = simulation_new(programs, count, 50 * US, SECOND, end_ns, seed);
        simulation_run(s, end_ns);
        double sum = 0, squares = 0;
        for (uint32_t i = 0; i < count; i++) {
            double got = share(s, i, 0, end_ns);
            sum += got;
            squares += got * got;
        }
        print_message("  %u tenants: Jain %.6f\n", count, sum * sum / (count * squares));
        assert_true(sum * sum / (count * squares) >= 0.9995);
        simulation_free(s);
    }
}

static void test_idle_share_goes_and_comes_back(void **unused) {
    (void)unused;
    struct simulation_program programs[] = {greedy(500, 0, MS), greedy(300, 0, MS), greedy(200, 0, MS)};
    struct simulation *s = simulation_new(programs, 3, 20 * US, MS, 22 * SECOND, seed);
    int64_t round_ns = SECOND;
    for (int i = 0; i < 10; i++) {
        simulation_run(s, (2 * i + 1) * round_ns + i * 7 * MS);
        simulation_sleep(s, 0, true);
        int64_t slept_ns = (simulation_now(s) / MS + 20) * MS;
        simulation_run(s, (2 * i + 2) * round_ns + i * 3 * MS);
        int64_t woke_ns = (simulation_now(s) / MS + 1) * MS;
        assert_true(share(s, 1, slept_ns, slept_ns + 500 * MS) > 0.58);
        assert_true(share(s, 2, slept_ns, slept_ns + 500 * MS) > 0.38);
        simulation_sleep(s, 0, false);
        simulation_run(s, woke_ns + 300 * MS);
        assert_true(simulation_used(s, 0, woke_ns, woke_ns + 20 * MS) > 0);
        assert_true(share(s, 0, woke_ns + 20 * MS, woke_ns + 220 * MS) > 0.45);
        assert_true(share(s, 0, woke_ns, woke_ns + 300 * MS) < 0.56); /* and no more for having slept */
    }
    simulation_free(s);
}

/* Alone with an open gate for a minute, then company: nobody pays for that minute. */
static void test_company_for_an_open_gate(void **unused) {
    (void)unused;
    struct simulation_program programs[] = {greedy(500, 0, MS), greedy(500, 0, MS)};
    struct simulation *s = simulation_new(programs, 2, 0, MS, 70 * SECOND, seed);
    simulation_sleep(s, 1, true);
    simulation_run(s, 60 * SECOND);
    assert_true(share(s, 0, SECOND, 60 * SECOND) > 0.999);
    simulation_sleep(s, 1, false);
    simulation_run(s, 62 * SECOND);
    assert_true(simulation_used(s, 1, 60 * SECOND, 60 * SECOND + 20 * MS) > 0);
    assert_true(fabs(share(s, 1, 60 * SECOND, 62 * SECOND) - 0.5) < 0.01);
    simulation_free(s);
}

static double p99(const struct simulation *s, uint32_t tenant) {
    size_t count;
    const int64_t *latencies = simulation_latencies(s, tenant, &count);
    double *sorted = calloc(count, sizeof *sorted);
    assert_true(count > 2000);
    for (size_t i = 0; i < count; i++)
        sorted[i] = (double)latencies[i];
    qsort(sorted, count, sizeof *sorted, by_size);
    double result = sorted[count * 99 / 100];
    free(sorted);
    return result;
}

static void test_requests_of_a_high_class(void **unused) {
    (void)unused;
    int64_t end_ns = 200 * SECOND;
    struct simulation_program programs[] = {
        {.params = {.weight = 500}, .kernel_ns = MS / 10, .request_ns = 3 * MS, .request_every_ns = 15 * MS},
        {.params = {.weight = 500, .qos = DIVVY_NODE_QOS_MEDIUM}, .kernel_ns = MS, .drain_max_ns = 400 * US},
    };
    for (enum divvy_node_qos qos = DIVVY_NODE_QOS_HIGH; qos < DIVVY_NODE_QOS_MAX; qos++) {
        programs[0].params.qos = qos;
        struct simulation *alone = simulation_new(programs, 1, 50 * US, SECOND, end_ns, seed);
        struct simulation *beside = simulation_new(programs, 2, 50 * US, SECOND, end_ns, seed);
        simulation_run(alone, end_ns);
        simulation_run(beside, end_ns);
        double requests = share(beside, 0, 0, end_ns), others = share(beside, 1, 0, end_ns);
        print_message("  p99 %.2f ms alone, %.2f ms beside a greedy tenant, which keeps %.1f %% of the leftover\n",
                      p99(alone, 0) / 1e6, p99(beside, 0) / 1e6, 100 * others / (1 - requests));
        assert_true(p99(beside, 0) <= 1.2 * p99(alone, 0));
        assert_true(others >= 0.8 * (1 - requests));
        simulation_free(alone);
        simulation_free(beside);
    }
}

static void test_step_of_a_cap(void **unused) {
    (void)unused;
    struct simulation_program programs[] = {greedy(200, 200, MS), greedy(400, 400, MS)};
    struct simulation *s = simulation_new(programs, 2, 20 * US, 10 * MS, 10 * SECOND, seed);
    simulation_run(s, 3 * SECOND);
    struct divvy_node_tenant_params after = {.weight = 600, .cap_permille = 600, .qos = DIVVY_NODE_QOS_MEDIUM};
    assert_int_equal(divvy_node_sched_set(simulation_sched(s), 0, &after, simulation_now(s)), 0);
    simulation_run(s, 6 * SECOND);
    assert_true(fabs(share(s, 0, 2 * SECOND, 3 * SECOND) - 0.2) < 0.01);
    assert_true(fabs(share(s, 0, 3100 * MS, 3500 * MS) - 0.6) < 0.05);
    assert_true(fabs(share(s, 0, 3500 * MS, 4500 * MS) - 0.6) < 0.01);
    assert_true(fabs(share(s, 1, 3500 * MS, 4500 * MS) - 0.4) < 0.01);
    simulation_free(s);
}

static void test_kernels_longer_than_leases(void **unused) {
    (void)unused;
    struct simulation_program equal[] = {greedy(500, 0, 50 * MS), greedy(500, 0, MS)};
    struct simulation_program capped[] = {greedy(200, 200, 50 * MS), greedy(500, 0, MS)};
    int64_t end_ns = 60 * SECOND;
    struct simulation *s = simulation_new(equal, 2, 50 * US, SECOND, end_ns + 2 * SECOND, seed);
    simulation_run(s, end_ns);
    assert_true(fabs(share(s, 0, FIRST, end_ns) - 0.5) < 0.005);
    simulation_kernel(s, 0, MS); /* with kernels like others it is like others, at once */
    simulation_run(s, end_ns + 2 * SECOND);
    assert_true(fabs(share(s, 0, end_ns, end_ns + 2 * SECOND) - 0.5) < 0.03);
    simulation_free(s);
    s = simulation_new(capped, 2, 50 * US, SECOND, end_ns, seed);
    simulation_run(s, end_ns);
    assert_true(fabs(share(s, 0, FIRST, end_ns) - 0.2) < 0.005);
    simulation_free(s);
}

/* Tenants with kernels of half a second come and go; a third one is not made to pay for what they left behind. */
static void test_others_come_and_go(void **unused) {
    (void)unused;
    struct simulation_program programs[] = {greedy(500, 0, MS), greedy(500, 0, 500 * MS), greedy(500, 0, MS)};
    struct simulation *s = simulation_new(programs, 3, 0, MS, 40 * SECOND, seed);
    simulation_sleep(s, 2, true);
    for (int i = 0; i < 20; i++) {
        simulation_sleep(s, 1, false);
        simulation_run(s, simulation_now(s) + 600 * MS);
        simulation_sleep(s, 1, true);
        int64_t woke_ns = (simulation_now(s) / MS + 1) * MS;
        simulation_sleep(s, 2, false);
        simulation_run(s, woke_ns + 200 * MS);
        assert_true(simulation_used(s, 2, woke_ns, woke_ns + 20 * MS) > 0);
        assert_true(fabs(share(s, 2, woke_ns, woke_ns + 200 * MS) - 0.5) < 0.06);
        simulation_sleep(s, 2, true);
    }
    simulation_free(s);
}

static void test_soft_caps_share_the_rest_by_weight(void **unused) {
    (void)unused;
    struct simulation_program programs[] = {greedy(200, 200, MS / 2), greedy(600, 600, MS / 2), greedy(100, 100, MS / 2)};
    programs[0].params.cap_soft = programs[1].params.cap_soft = true;
    int64_t end_ns = 30 * SECOND;
    struct simulation *s = simulation_new(programs, 2, 0, SECOND, end_ns, seed);
    simulation_run(s, end_ns);
    assert_true(fabs(share(s, 0, FIRST, end_ns) - 0.25) < 0.005);
    assert_true(fabs(share(s, 1, FIRST, end_ns) - 0.75) < 0.005);
    simulation_free(s);
    s = simulation_new(programs, 3, 0, SECOND, end_ns, seed); /* the third one's cap is hard: it has no part in the rest */
    simulation_run(s, end_ns);
    assert_true(fabs(share(s, 0, FIRST, end_ns) - 0.225) < 0.01);
    assert_true(fabs(share(s, 1, FIRST, end_ns) - 0.675) < 0.01);
    assert_true(fabs(share(s, 2, FIRST, end_ns) - 0.1) < 0.005);
    simulation_free(s);
}

/* Soft caps bind beside others, whatever the kernels. */
static void test_soft_cap_with_long_kernels(void **unused) {
    (void)unused;
    struct simulation_program programs[] = {greedy(200, 200, 100 * MS), greedy(500, 0, MS)};
    programs[0].params.cap_soft = true;
    int64_t end_ns = 100 * SECOND;
    struct simulation *s = simulation_new(programs, 2, 0, SECOND, end_ns, seed);
    simulation_run(s, end_ns);
    assert_true(fabs(share(s, 0, FIRST, end_ns) - 0.2) < 0.005);
    simulation_free(s);
}

/* A host that feeds the device a fifth of the time keeps it from others for the rest: that time is its own. */
static void test_slow_host_pays_for_idle_leases(void **unused) {
    (void)unused;
    struct simulation_program programs[] = {greedy(500, 0, 100 * US), greedy(500, 0, MS)};
    programs[0].host_ns = 400 * US;
    int64_t end_ns = 20 * SECOND;
    struct simulation *s = simulation_new(programs, 2, 0, SECOND, end_ns, seed);
    simulation_run(s, end_ns);
    assert_true(fabs(share(s, 1, FIRST, end_ns) - 0.5) < 0.01);
    assert_true(fabs(share(s, 0, FIRST, end_ns) - 0.1) < 0.01);
    simulation_free(s);
}

static int set_seed(void **unused) {
    (void)unused;
    seed = (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)seed);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_caps_with_drains),
        cmocka_unit_test(test_short_kernels_beside_long_ones),
        cmocka_unit_test(test_four_weights),
        cmocka_unit_test(test_caps_below_the_whole),
        cmocka_unit_test(test_caps_of_the_whole),
        cmocka_unit_test(test_equal_tenants),
        cmocka_unit_test(test_idle_share_goes_and_comes_back),
        cmocka_unit_test(test_company_for_an_open_gate),
        cmocka_unit_test(test_requests_of_a_high_class),
        cmocka_unit_test(test_step_of_a_cap),
        cmocka_unit_test(test_kernels_longer_than_leases),
        cmocka_unit_test(test_others_come_and_go),
        cmocka_unit_test(test_soft_caps_share_the_rest_by_weight),
        cmocka_unit_test(test_soft_cap_with_long_kernels),
        cmocka_unit_test(test_slow_host_pays_for_idle_leases),
    };
    return cmocka_run_group_tests(tests, set_seed, NULL);
}
