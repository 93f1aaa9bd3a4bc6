/*
 * The share of GPU time that a tenant gets, in virtual time against the truth of the model: many kinds of programs, many
 * shares, a host that is late. The gate and the clock run as they are.
 */
#include "limiter/compute/compute.h"
#include "model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SECOND_NS UINT64_C(1000000000)

struct workload {
    const char *name;
    void (*step)(void);
    double tolerance; /* points */
    bool overlapping;
};

static void kernels_short(void) {
    model_kernel(1, 100000, model_stream(0));
}

static void kernels_medium(void) {
    model_kernel(2, 1000000, model_stream(0));
}

static void kernels_long(void) {
    model_kernel(3, 5000000, model_stream(0));
}

static void kernels_tiny(void) {
    model_kernel(4, 4000, model_stream(0));
}

static void kernels_bimodal(void) {
    model_kernel(5, model_random() % 10 == 0 ? 3000000 : 100000, model_stream(0));
}

static void kernels_mixed(void) {
    static unsigned turn;

    turn++;
    model_kernel(6 + turn % 5, 20000 + 70000 * (turn % 5), model_stream(0));
}

static void graphs(void) {
    model_graph(1, 20 * 50000, model_stream(0));
}

static void four_streams(void) {
    static unsigned turn;

    model_kernel(20, 250000, model_stream(turn++ % 4));
}

static void synchronous(void) {
    model_kernel(21, 100000, model_stream(0));
    model_synchronize(model_stream(0));
}

static void synchronous_bimodal(void) {
    model_kernel(22, model_random() % 4 == 0 ? 800000 : 100000, model_stream(0));
    model_synchronize(model_stream(0));
}

static void copies_between(void) {
    model_copy(300000, model_stream(0));
    for (int i = 0; i < 10; i++)
        model_kernel(23, 100000, model_stream(0));
}

static const struct workload workloads[] = {
    {"132 x 0.1 ms", kernels_short, 1.0, false},
    {"132 x 1 ms", kernels_medium, 1.0, false},
    {"132 x 5 ms", kernels_long, 1.0, false},
    {"4 us", kernels_tiny, 1.0, false},
    {"bimodal", kernels_bimodal, 1.0, false},
    {"mixed", kernels_mixed, 1.0, false},
    {"20-kernel graph", graphs, 1.0, false},
    {"four streams", four_streams, 1.0, false},
    {"four streams, overlapping", four_streams, 1.0, true},
    {"synchronous", synchronous, 1.0, false},
    {"synchronous bimodal", synchronous_bimodal, 1.5, false},
    {"copies between", copies_between, 1.0, false},
};

struct result {
    double error, bias, worst; /* of 1 s windows, points */
    double charged;            /* over busy */
    double events;             /* per second */
};

/* Run for some seconds, the first of which is not looked at. */
static struct result measure(void (*step)(void), unsigned permille, unsigned seconds) {
    struct result result = {0};
    uint64_t begin_ns = model_now_ns() + SECOND_NS, window_ns = begin_ns;
    uint64_t busy_ns = 0, charged_ns = 0, first_busy_ns = 0;
    unsigned windows = 0, calls = 0;

    while (windows < seconds) {
        step();
        while (model_now_ns() >= window_ns && windows < seconds) {
            uint64_t total_ns = model_busy_ns();

            if (window_ns == begin_ns) {
                first_busy_ns = total_ns;
                charged_ns = model_charged_ns();
                calls = model_event_calls();
            } else {
                /* the model is looked at a little late: scale to a window of what has passed */
                double share = (double)(total_ns - busy_ns) * 100 / (double)SECOND_NS;
                double error = share - (double)permille / 10;

                result.error += fabs(error);
                result.bias += error;
                result.worst = fabs(error) > result.worst ? fabs(error) : result.worst;
                windows++;
            }
            busy_ns = total_ns;
            window_ns += SECOND_NS;
        }
    }
    result.error /= windows;
    result.bias /= windows;
    result.events = (double)(model_event_calls() - calls) / windows;
    result.charged = (double)(model_charged_ns() - charged_ns) / (double)(busy_ns - first_busy_ns);
    return result;
}

static const struct model_settings quiet = {.seed = 1, .launch_ns = 2500, .oversleep_ns = 60000};
static const struct model_settings noisy = {.seed = 2,
                                            .launch_ns = 2500,
                                            .oversleep_ns = 80000,
                                            .preempt_ns = 1500000,
                                            .preempt_every_ns = 100000000};

static void check(const struct model_settings *base, const char *host, double slack) {
    static const unsigned shares[] = {10, 50, 100, 200, 300, 500, 700, 800, 900};
    bool verbose = getenv("DIVVY_TEST_VERBOSE") != NULL;
    int failures = 0;

    for (size_t i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++)
        for (size_t j = 0; j < sizeof(shares) / sizeof(shares[0]); j++) {
            struct model_settings settings = *base;
            struct result result;
            bool wrong;

            settings.overlapping = workloads[i].overlapping;
            model_start(&settings, shares[j]);
            result = measure(workloads[i].step, shares[j], 20);
            wrong = result.error > workloads[i].tolerance * slack;
            /* a program that waits for its own work cannot always use what it may */
            if (workloads[i].step == synchronous || workloads[i].step == synchronous_bimodal)
                wrong = result.bias > workloads[i].tolerance * slack;
            if (workloads[i].step == copies_between && shares[j] > 700)
                wrong = result.bias > workloads[i].tolerance * slack;
            wrong = wrong || fabs(result.charged - 1) > (workloads[i].step == synchronous_bimodal ? 0.25 : 0.02) * slack;
            failures += wrong;
            if (verbose || wrong)
                printf("%-26s %3u %% %s: error %5.2f bias %+5.2f worst %5.2f points, charged %6.3f of busy, "
                       "%5.0f events/s%s\n",
                       workloads[i].name, shares[j] / 10, host, result.error, result.bias, result.worst,
                       result.charged, result.events, wrong ? "  WRONG" : "");
        }
    assert_int_equal(failures, 0);
}

static void shares_on_a_quiet_host(void **unused) {
    (void)unused;
    check(&quiet, "quiet", 1.0);
}

static void shares_on_a_noisy_host(void **unused) {
    (void)unused;
    check(&noisy, "noisy", 1.0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_on_a_quiet_host),
        cmocka_unit_test(shares_on_a_noisy_host),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
