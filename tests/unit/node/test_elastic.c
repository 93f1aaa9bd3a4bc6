/*
 * The elastic rate limiter: its steps against numbers worked out by hand, and where it settles, played in virtual time with
 * programs that do nothing but launch. What TensorFusion's parameters miss is asserted too: it is why divvyd has its own.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "node/elastic.h"

#define TICK DIVVY_NODE_ELASTIC_TICK_S

static struct divvy_node_elastic_params tf, guarded;

static int params_make(void **state) {
    (void)state;
    divvy_node_elastic_default(&tf);
    divvy_node_elastic_guarded(&guarded);
    return 0;
}

static void near(double seen, double wanted) {
    if (!(fabs(seen - wanted) < 1e-9 * fmax(1, fabs(wanted))))
        fail_msg("%.12g, not %.12g", seen, wanted);
}

/* --- steps -------------------------------------------------------------------------------------------------------------- */

static void test_steps(void **state) {
    struct divvy_node_elastic e;
    double integral, rate, floor;

    (void)state;
    divvy_node_elastic_init(&e, &tf);
    near(e.rate, 100);
    near(e.capacity, 200);
    /* Far too much: bounded to a quarter less. The first sample is taken as it is. */
    divvy_node_elastic_step(&e, &tf, 0.4, 1, 0, TICK);
    near(e.smoothed, 1);
    near(e.integral, -0.3);
    near(e.last_error, -0.6);
    near(e.rate, 75);
    /* Far too little: bounded to 35 % more. 0.25 * 0 + 0.75 * 1 is still above 0.4. */
    divvy_node_elastic_step(&e, &tf, 0.95, 0.05, 0, TICK);
    near(e.smoothed, 0.7625);
    near(e.rate, 75 * 1.35);
    /* Inside the bounds: target 0.7, s = 0.25 * 0.9625 + 0.75 * 0.7625 = 0.8125, e = -0.1125. */
    integral = e.integral * 0.85 - 0.1125 * TICK;
    divvy_node_elastic_step(&e, &tf, 0.7, 0.9625, 0, TICK);
    near(e.smoothed, 0.8125);
    near(e.integral, integral);
    near(e.rate, fmax(101.25 * 0.75, 101.25 * 0.7 / 0.8125 *
                                         (1 + 0.9 * -0.1125 + 0.35 * integral + 0.10 * (-0.1125 - 0.1875) / TICK)));
    /* In the dead band only the integral fades. */
    integral = e.integral;
    rate = e.rate;
    divvy_node_elastic_step(&e, &tf, 0.8125, 0.8125, 0, TICK);
    near(e.rate, rate);
    near(e.integral, integral * 0.85);

    /* Idle: integral and error stay, the rate grows up to its bound. */
    e = (struct divvy_node_elastic){.rate = 100, .capacity = 200, .integral = 0.5, .last_error = 0.2};
    divvy_node_elastic_step(&e, &tf, 0.5, 0.01, 0, TICK);
    near(e.rate, 135);
    near(e.integral, 0.5);
    near(e.last_error, 0.2);
    e.rate = 199000;
    divvy_node_elastic_step(&e, &tf, 0.5, 0, 0, TICK);
    near(e.rate, 200000);
    near(e.capacity, 100000);
    /* No sample, no time: nothing. */
    divvy_node_elastic_step(&e, &tf, 0.5, NAN, 0, TICK);
    divvy_node_elastic_step(&e, &tf, 0.5, 1, 0, 0);
    near(e.rate, 200000);

    near(divvy_node_elastic_refill(&e, 0.5), 100000);
    near(divvy_node_elastic_refill(&e, 4.9), 980000);
    near(divvy_node_elastic_refill(&e, 5), 0);
    near(divvy_node_elastic_refill(&e, 0), 0);
    near(divvy_node_elastic_refill(&e, -1), 0);

    e = (struct divvy_node_elastic){.rate = 100, .capacity = 200, .smoothed = 0.5};
    near(divvy_node_elastic_bleed(&e, &tf, 0.3, 500, &floor), 80);
    near(floor, 200);
    near(divvy_node_elastic_bleed(&e, &tf, 0.3, 100, &floor), 80);
    near(floor, 70);
    near(divvy_node_elastic_bleed(&e, &tf, 0.3, 70, &floor), 0);
    near(divvy_node_elastic_bleed(&e, &tf, 0.48, 100, &floor), 0);
    e.capacity = 20;
    near(divvy_node_elastic_bleed(&e, &tf, 0.3, 100, &floor), 12.5);
}

static void test_settle(void **state) {
    struct divvy_node_elastic_params p = {.rate_max = 50, .rate_min = 80, .alpha = 2, .kp = NAN, .ki = -1, .kd = INFINITY,
                                          .capacity_min = 1e9, .decay = 1};

    (void)state;
    divvy_node_elastic_settle(&p, &tf);
    near(p.rate_max, 50);
    near(p.rate_min, 50);
    near(p.alpha, 0.95);
    near(p.kp, 0.9);
    near(p.ki, 0.35);
    near(p.kd, 0.10);
    near(p.burst_window_s, 0.5);
    near(p.capacity_max, 200000);
    near(p.capacity_min, 200000);
    near(p.decay, 0.999);
    p = (struct divvy_node_elastic_params){.alpha = 0.001, .decay = 0.001};
    divvy_node_elastic_settle(&p, &guarded);
    near(p.alpha, 0.01);
    near(p.decay, 0.01);
    near(p.rate_min, guarded.rate_min);
}

/* --- virtual time ------------------------------------------------------------------------------------------------------- */

/* One kernel after the other: `cost` tokens and `kernel_s` of the device each. Between idle_from_s and idle_to_s nothing. */
struct program {
    double cost, kernel_s;
    double idle_from_s, idle_to_s;
    double busy_until_s; /* of the device */
    double tokens, used_s;
};

static bool is_idle(const struct program *p, double at_s) { return at_s >= p->idle_from_s && at_s < p->idle_to_s; }

/* Up to `end_s`: device time used before it. What a kernel uses after it is of the time that follows. */
static double run_until(struct program *p, double begin_s, double end_s) {
    double carried = fmin(fmax(p->busy_until_s - begin_s, 0), end_s - begin_s), used = carried;
    double now = fmax(begin_s, p->busy_until_s);

    while (now < end_s && p->tokens >= p->cost && !is_idle(p, now)) {
        p->tokens -= p->cost;
        used += fmin(p->kernel_s, end_s - now);
        now += p->kernel_s;
        p->busy_until_s = now;
    }
    p->used_s += used;
    return used;
}

struct outcome {
    double share;       /* of the last `window_s` */
    double worst;       /* of the windows of five seconds in it, the difference from the target */
    double first_share; /* of the first second */
    double rate;
};

static struct outcome play(const struct divvy_node_elastic_params *params, struct program p, double target, double total_s,
                           double window_s, bool samples) {
    struct divvy_node_elastic e;
    struct outcome outcome = {0};
    double since_s = total_s - window_s, used_before = 0, five_s = 0;

    divvy_node_elastic_init(&e, params);
    p.tokens = fmin(100, e.capacity);
    for (double now = 0; now < total_s; now += TICK) {
        double used = run_until(&p, now, now + TICK), floor, drop;

        divvy_node_elastic_step(&e, params, target, samples ? used / TICK : NAN, p.tokens, TICK);
        p.tokens = fmin(e.capacity, p.tokens + divvy_node_elastic_refill(&e, TICK));
        drop = divvy_node_elastic_bleed(&e, params, target, p.tokens, &floor);
        if (drop > 0 && p.tokens > floor)
            p.tokens = fmax(floor, p.tokens - drop);
        if (now < 1)
            outcome.first_share += used;
        if (now < since_s)
            used_before = p.used_s;
        else if (fmod(now - since_s, 5) > 5 - 1.5 * TICK) {
            outcome.worst = fmax(outcome.worst, fabs((p.used_s - used_before - five_s) / 5 - target));
            five_s = p.used_s - used_before;
        }
    }
    outcome.share = (p.used_s - used_before) / window_s;
    outcome.rate = e.rate;
    return outcome;
}

static struct outcome settled(const struct divvy_node_elastic_params *params, double cost, double kernel_s, double target) {
    return play(params, (struct program){.cost = cost, .kernel_s = kernel_s}, target, 180, 120, true);
}

static const double kernels[][2] = {
    /* tokens, seconds */
    {0.1063, 10e-6}, {0.1063, 500e-6}, {1.596, 100e-6}, {4.859, 1e-3}, {9.948, 5e-3}, {10, 200e-6},
};
#define KERNELS (sizeof kernels / sizeof *kernels)

static void test_default_settles(void **state) {
    const double targets[] = {0.2, 0.4, 0.8};

    (void)state;
    for (size_t k = 0; k < KERNELS; k++)
        for (size_t t = 0; t < 3; t++) {
            struct outcome o = settled(&tf, kernels[k][0], kernels[k][1], targets[t]);

            print_message("  TensorFusion's: %7.4f tokens, %4.0f us, target %2.0f %%: %5.2f %%, worst five seconds %.2f off\n",
                          kernels[k][0], kernels[k][1] * 1e6, 100 * targets[t], 100 * o.share, 100 * o.worst);
            assert_true(fabs(o.share - targets[t]) <= 0.035); /* its dead band, and a little */
        }
}

static void test_guarded_settles(void **state) {
    const double targets[] = {0.01, 0.05, 0.2, 0.4, 0.8};

    (void)state;
    for (size_t k = 0; k < KERNELS; k++)
        for (size_t t = 0; t < 5; t++) {
            struct outcome o = settled(&guarded, kernels[k][0], kernels[k][1], targets[t]);

            print_message("  guarded: %7.4f tokens, %4.0f us, target %2.0f %%: %5.2f %%, worst five seconds %.2f off\n",
                          kernels[k][0], kernels[k][1] * 1e6, 100 * targets[t], 100 * o.share, 100 * o.worst);
            assert_true(fabs(o.share - targets[t]) <= (targets[t] < 0.1 ? 0.01 : 0.03));
        }
}

/* Long kernels of few threads cost next to nothing, and 10 tokens per second are already far above a small share. */
static void test_small_share_of_long_kernels(void **state) {
    struct outcome theirs = settled(&tf, 0.1, 5e-3, 0.05), ours = settled(&guarded, 0.1, 5e-3, 0.05);

    (void)state;
    print_message("  5 ms for 0.1 tokens at 5 %%: TensorFusion's %.2f %%, guarded %.2f %%\n", 100 * theirs.share, 100 * ours.share);
    assert_true(theirs.share > 0.4);
    assert_true(fabs(ours.share - 0.05) <= 0.01);
}

/* A minute of nothing must not buy a burst. */
static void test_idle_saves_nothing_up(void **state) {
    struct program p = {.cost = 1.596, .kernel_s = 1e-3, .idle_from_s = 60, .idle_to_s = 120};
    struct outcome theirs = play(&tf, p, 0.2, 125, 5, true), ours = play(&guarded, p, 0.2, 125, 5, true);

    (void)state;
    print_message("  five seconds after a minute of nothing, at 20 %%: TensorFusion's %.1f %%, guarded %.1f %%\n",
                  100 * theirs.share, 100 * ours.share);
    assert_true(theirs.share > 0.9);
    assert_true(ours.share < 0.3);
}

/* Without samples the bucket still fills. */
static void test_no_samples(void **state) {
    struct program p = {.cost = 1.596, .kernel_s = 1e-3};
    struct outcome o = play(&guarded, p, 0.2, 20, 10, false);

    (void)state;
    assert_true(fabs(o.share - 100 / 1.596 * 1e-3) < 0.005); /* the rate it starts with */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_settle),
        cmocka_unit_test(test_default_settles),
        cmocka_unit_test(test_guarded_settles),
        cmocka_unit_test(test_small_share_of_long_kernels),
        cmocka_unit_test(test_idle_saves_nothing_up),
        cmocka_unit_test(test_no_samples),
    };

    return cmocka_run_group_tests(tests, params_make, NULL);
}
