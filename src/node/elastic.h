/*
 * The controller of the token bucket that limiters which are not divvy's go by (page/podfile.h): twice a second it turns what a
 * tenant used of a device into the rate at which its bucket fills. Pure: time and samples are arguments, the tokens stay with
 * the caller. One struct divvy_node_elastic per tenant and device; no locks.
 *
 * Tokens are paid per launch by the number of threads, whatever the kernel takes. So no rate means a share by itself; it is
 * found by feedback, for one program in one phase, and lags behind by seconds. divvy's own limiter measures time and is exact;
 * this is as good as the foreign contract can be.
 *
 * Two sets of parameters. divvy_node_elastic_default is TensorFusion's. Its floors and bounds are absolute, and are missed by
 * small shares: a filter that calls 1 % idle, a dead band of 3 points, never less than 10 tokens per second. And a tenant that
 * idles is given more and more. divvy_node_elastic_guarded is what divvyd uses: the same controller with bounds in proportion
 * to the target, a low floor, and no growth while tokens lie unused.
 */
#ifndef DIVVY_NODE_ELASTIC_H
#define DIVVY_NODE_ELASTIC_H

#include <stdbool.h>

#define DIVVY_NODE_ELASTIC_TICK_S     0.5
#define DIVVY_NODE_ELASTIC_START_RATE 100.0

/* In the order of the JSON keys of elasticRateLimitParameters; times in seconds, rates in tokens per second. */
struct divvy_node_elastic_params {
    double rate_max;       /* maxRefillRate */
    double rate_min;       /* minRefillRate */
    double alpha;          /* filterAlpha: weight of the new sample, 0.01 to 0.95 */
    double kp, ki, kd;     /* the same names */
    double burst_window_s; /* burstWindow: the bucket holds what the rate brings in that time */
    double capacity_min;   /* capacityMin, tokens */
    double capacity_max;   /* capacityMax, tokens */
    double decay;          /* integralDecayFactor, 0.01 to 0.999 */
    bool is_guarded;       /* no key: bounds in proportion to the target, no growth while tokens lie unused */
};

/* TensorFusion's values. */
void divvy_node_elastic_default(struct divvy_node_elastic_params *ret_params);

/* divvyd's: the same but for rate_min, capacity_min and is_guarded. */
void divvy_node_elastic_guarded(struct divvy_node_elastic_params *ret_params);

/*
 * Make parameters from outside usable: a value that is not a number above 0 becomes that of `base`, alpha and decay are taken
 * into their ranges, a minimum above its maximum becomes the maximum.
 */
void divvy_node_elastic_settle(struct divvy_node_elastic_params *params, const struct divvy_node_elastic_params *base);

struct divvy_node_elastic {
    double rate;
    double capacity;
    double smoothed;   /* utilisation, filtered, 0 to 1 */
    double integral;
    double last_error;
    bool has_sample;
};

/* A new worker's. */
void divvy_node_elastic_init(struct divvy_node_elastic *elastic, const struct divvy_node_elastic_params *params);

/*
 * One tick: `utilisation` is the tenant's own of the device since the tick before, 0 to 1 (what is outside is cut; not a number:
 * there was no sample, nothing changes); `target` its share, above 0, up to 1; `tokens` what the bucket holds now; `dt_s` time
 * since the tick before, above 0. Afterwards rate and capacity are what the file has to say.
 */
void divvy_node_elastic_step(struct divvy_node_elastic *elastic, const struct divvy_node_elastic_params *params, double target,
                             double utilisation, double tokens, double dt_s);

/*
 * Tokens that `elapsed_s` seconds bring, whether there was a sample or not. 0 for times that cannot be: none, a clock set back,
 * five seconds and more (the daemon was away).
 */
double divvy_node_elastic_refill(const struct divvy_node_elastic *elastic, double elapsed_s);

/*
 * Tokens to take away after the refill, down to *ret_floor at most: what a smaller capacity no longer allows, or credit of a
 * tenant that is above its target. 0: none.
 */
double divvy_node_elastic_bleed(const struct divvy_node_elastic *elastic, const struct divvy_node_elastic_params *params,
                                double target, double tokens, double *ret_floor);

#endif
