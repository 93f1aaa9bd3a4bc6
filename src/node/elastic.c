/*
 * The elastic rate limiter: filtered utilisation, feed forward by the ratio of target and use, corrected by a PID term, bounded
 * in its steps.
 */
#include "node/elastic.h"

#include <math.h>

#define IDLE           0.01 /* utilisation up to which a tenant counts as idle */
#define SMALLEST_USE   0.05 /* what the ratio divides by at least */
#define DEAD_BAND      0.03 /* errors that are left alone */
#define GROWTH_MAX     1.35 /* of the rate in one tick */
#define SHRINK_MAX     0.75
#define INTEGRAL_MAX   1.5
#define CORRECTION_MIN 0.5
#define CORRECTION_MAX 1.5
#define REFILL_MAX_S   5.0
#define BLEED_LEAST    25.0 /* tokens; with the next two: how much goes in one tick, and how far down */
#define BLEED_PART     0.8
#define BLEED_SPEED    0.5
#define BLEED_FLOOR    0.35
/* The guarded set: the dearest launch costs 10 tokens, the cheapest 0.1. */
#define GUARDED_RATE_MIN     0.02
#define GUARDED_CAPACITY_MIN 10.0
#define DEAREST_LAUNCH       10.0
#define GUARDED_UNUSED       0.9 /* of the capacity: so full a bucket was not drawn from */

/* Not fmin and fmax: no room needs libm for them. */
static double smaller(double a, double b) { return a < b ? a : b; }
static double larger(double a, double b) { return a > b ? a : b; }

static double clamp(double value, double low, double high) {
    return value < low ? low : value > high ? high : value;
}

void divvy_node_elastic_default(struct divvy_node_elastic_params *ret_params) {
    *ret_params = (struct divvy_node_elastic_params){
        .rate_max = 200000,
        .rate_min = 10,
        .alpha = 0.25,
        .kp = 0.9,
        .ki = 0.35,
        .kd = 0.10,
        .burst_window_s = 0.5,
        .capacity_min = 200,
        .capacity_max = 200000,
        .decay = 0.85,
    };
}

void divvy_node_elastic_guarded(struct divvy_node_elastic_params *ret_params) {
    divvy_node_elastic_default(ret_params);
    ret_params->rate_min = GUARDED_RATE_MIN;
    ret_params->capacity_min = GUARDED_CAPACITY_MIN;
    ret_params->is_guarded = true;
}

static void value_settle(double *value, double base) {
    if (!isfinite(*value) || *value <= 0)
        *value = base;
}

void divvy_node_elastic_settle(struct divvy_node_elastic_params *params, const struct divvy_node_elastic_params *base) {
    value_settle(&params->rate_max, base->rate_max);
    value_settle(&params->rate_min, base->rate_min);
    value_settle(&params->alpha, base->alpha);
    value_settle(&params->kp, base->kp);
    value_settle(&params->ki, base->ki);
    value_settle(&params->kd, base->kd);
    value_settle(&params->burst_window_s, base->burst_window_s);
    value_settle(&params->capacity_min, base->capacity_min);
    value_settle(&params->capacity_max, base->capacity_max);
    value_settle(&params->decay, base->decay);
    params->alpha = clamp(params->alpha, 0.01, 0.95);
    params->decay = clamp(params->decay, 0.01, 0.999);
    params->rate_min = smaller(params->rate_min, params->rate_max);
    params->capacity_min = smaller(params->capacity_min, params->capacity_max);
}

static double capacity_for(const struct divvy_node_elastic_params *params, double rate) {
    return clamp(rate * params->burst_window_s, params->capacity_min, params->capacity_max);
}

void divvy_node_elastic_init(struct divvy_node_elastic *elastic, const struct divvy_node_elastic_params *params) {
    double rate = clamp(DIVVY_NODE_ELASTIC_START_RATE, params->rate_min, params->rate_max);

    *elastic = (struct divvy_node_elastic){.rate = rate, .capacity = capacity_for(params, rate)};
}

/* An absolute bound, or in proportion to the target where that is less. */
static double bound(const struct divvy_node_elastic_params *params, double absolute, double target, double part) {
    return params->is_guarded ? smaller(absolute, target * part) : absolute;
}

/*
 * Does it use little because it wants little, or because the rate is too low? Who has the tokens for any launch does not wait for
 * them, and a higher rate would only be saved up for later.
 */
static bool may_grow(const struct divvy_node_elastic *elastic, const struct divvy_node_elastic_params *params, double tokens) {
    return !params->is_guarded || tokens < smaller(DEAREST_LAUNCH, GUARDED_UNUSED * elastic->capacity);
}

static void rate_correct(struct divvy_node_elastic *elastic, const struct divvy_node_elastic_params *params, double target,
                         double tokens, double dt_s) {
    double error = target - elastic->smoothed, before = elastic->rate;
    double slope = (error - elastic->last_error) / dt_s;
    double use = larger(elastic->smoothed, bound(params, SMALLEST_USE, target, 0.2));
    double correction, rate;

    elastic->integral *= params->decay;
    elastic->last_error = error;
    if (fabs(error) < bound(params, DEAD_BAND, target, 0.1))
        return;
    elastic->integral = clamp(elastic->integral + error * dt_s, -INTEGRAL_MAX, INTEGRAL_MAX);
    correction = clamp(1 + params->kp * error + params->ki * elastic->integral + params->kd * slope, CORRECTION_MIN,
                       CORRECTION_MAX);
    rate = clamp(before * target / use * correction, params->rate_min, params->rate_max);
    rate = clamp(rate, before * SHRINK_MAX, before * GROWTH_MAX);
    if (rate < before || may_grow(elastic, params, tokens))
        elastic->rate = rate;
}

void divvy_node_elastic_step(struct divvy_node_elastic *elastic, const struct divvy_node_elastic_params *params, double target,
                             double utilisation, double tokens, double dt_s) {
    if (!isfinite(utilisation) || !(dt_s > 0))
        return;
    utilisation = clamp(utilisation, 0, 1);
    elastic->smoothed = elastic->has_sample
                            ? params->alpha * utilisation + (1 - params->alpha) * elastic->smoothed
                            : utilisation;
    elastic->has_sample = true;
    if (elastic->smoothed > bound(params, IDLE, target, 0.2))
        rate_correct(elastic, params, target, tokens, dt_s);
    else if (may_grow(elastic, params, tokens))
        elastic->rate = smaller(GROWTH_MAX * elastic->rate, params->rate_max);
    elastic->capacity = capacity_for(params, elastic->rate);
}

double divvy_node_elastic_refill(const struct divvy_node_elastic *elastic, double elapsed_s) {
    return elapsed_s > 0 && elapsed_s < REFILL_MAX_S ? elastic->rate * elapsed_s : 0;
}

double divvy_node_elastic_bleed(const struct divvy_node_elastic *elastic, const struct divvy_node_elastic_params *params,
                                double target, double tokens, double *ret_floor) {
    double least = params->is_guarded ? 0 : BLEED_LEAST;
    double amount = larger(least, BLEED_PART * elastic->capacity) * BLEED_SPEED;
    double floor = BLEED_FLOOR * elastic->capacity;

    if (tokens > elastic->capacity)
        floor = elastic->capacity;
    else if (elastic->smoothed <= target + bound(params, DEAD_BAND, target, 0.1) || tokens <= floor)
        amount = 0;
    *ret_floor = floor;
    return amount;
}
