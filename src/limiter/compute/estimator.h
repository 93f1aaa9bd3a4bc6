/*
 * What a launch costs in GPU time, learned from samples, and what a measured stretch of work is charged. Pure.
 */
#ifndef DIVVY_LIMITER_COMPUTE_ESTIMATOR_H
#define DIVVY_LIMITER_COMPUTE_ESTIMATOR_H

#include <stdbool.h>
#include <stdint.h>

#define DIVVY_ESTIMATOR_RING 8u

struct divvy_estimator {
    uint64_t mean_ns;
    uint32_t count; /* samples so far, saturating */
    uint32_t next;  /* place in the ring */
    uint32_t away;  /* newest samples in a row that were far above the mean */
    uint64_t ring[DIVVY_ESTIMATOR_RING];
};

/* Quarter quantile of the newest samples: what a launch takes when nobody else is on the device. count > 0. */
static inline uint64_t divvy_estimator_low_ns(const struct divvy_estimator *estimator) {
    uint64_t sorted[DIVVY_ESTIMATOR_RING];
    uint32_t count =
        estimator->count < DIVVY_ESTIMATOR_RING ? estimator->count : DIVVY_ESTIMATOR_RING;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t place = i;

        for (; place > 0 && sorted[place - 1] > estimator->ring[i]; place--)
            sorted[place] = sorted[place - 1];
        sorted[place] = estimator->ring[i];
    }
    return sorted[count / 4];
}

#define DIVVY_ESTIMATOR_AWAY 3u

/*
 * Whether the function has begun to do far more than it was learned with (a kernel that was calibrated with little work, say):
 * several samples in a row of more than four times the mean. The other way nothing is done: where few launches of a function
 * are long, most samples are far below the mean, and the mean is right.
 */
static inline bool divvy_estimator_has_grown(struct divvy_estimator *estimator, uint64_t sample_ns) {
    estimator->away = estimator->count && sample_ns / 4 > estimator->mean_ns ? estimator->away + 1 : 0;
    return estimator->away >= DIVVY_ESTIMATOR_AWAY;
}

/*
 * Under leases others are on the device only when a hand-over went wrong, but then for a whole turn: samples so far above the
 * usual are not believed until they are the usual. They stay in the ring, so that they can become that.
 */
static inline bool divvy_estimator_is_outlier(struct divvy_estimator *estimator, uint64_t sample_ns) {
    if (estimator->count < DIVVY_ESTIMATOR_RING || sample_ns / 7 * 4 <= divvy_estimator_low_ns(estimator) ||
        sample_ns / 7 * 4 <= estimator->mean_ns)
        return false;
    estimator->ring[estimator->next] = sample_ns;
    estimator->next = (estimator->next + 1) % DIVVY_ESTIMATOR_RING;
    return true;
}

/* From now on a launch is believed to take so long, as if all samples had said so. */
static inline void divvy_estimator_settle(struct divvy_estimator *estimator, uint64_t sample_ns) {
    *estimator = (struct divvy_estimator){.mean_ns = sample_ns, .count = DIVVY_ESTIMATOR_RING};
    for (uint32_t i = 0; i < DIVVY_ESTIMATOR_RING; i++)
        estimator->ring[i] = sample_ns;
}

/*
 * It has grown, and starts anew: alone on the device with this sample. Under a lease some of those that said so may have met what
 * others left behind: then with the least of them, and this one counts as an outlier.
 */
static inline void divvy_estimator_restart(struct divvy_estimator *estimator, uint64_t sample_ns, bool leased) {
    uint64_t least_ns = sample_ns;

    for (uint32_t i = 1; i < DIVVY_ESTIMATOR_AWAY; i++) {
        uint64_t before_ns = estimator->ring[(estimator->next + DIVVY_ESTIMATOR_RING - i) % DIVVY_ESTIMATOR_RING];

        least_ns = before_ns < least_ns ? before_ns : least_ns;
    }
    if (leased && sample_ns / 7 * 4 > least_ns)
        divvy_estimator_settle(estimator, least_ns);
    else
        *estimator = (struct divvy_estimator){0};
}

/*
 * Take a sample: GPU time of one launch. Returns the estimate from now on: the moving mean (kernels whose length varies
 * are charged their average); beside neighbours, whose time slices stretch samples, the low quantile. Turns do not stretch the mean
 * by more than their number, so a quantile far below that is of samples that overlapped others, which say little each by itself.
 */
static inline uint64_t divvy_estimator_update(struct divvy_estimator *estimator, uint64_t sample_ns,
                                              unsigned neighbours, bool leased) {
    uint64_t weight;
    int64_t step_ns;

    if (neighbours == 0 && divvy_estimator_has_grown(estimator, sample_ns)) {
        divvy_estimator_restart(estimator, sample_ns, leased);
        if (leased && divvy_estimator_is_outlier(estimator, sample_ns))
            return estimator->mean_ns;
    }
    weight = estimator->count < 31 ? estimator->count + 1 : 32;
    step_ns = ((int64_t)sample_ns - (int64_t)estimator->mean_ns) / (int64_t)weight;
    estimator->mean_ns += (uint64_t)step_ns;
    estimator->ring[estimator->next] = sample_ns;
    estimator->next = (estimator->next + 1) % DIVVY_ESTIMATOR_RING;
    if (estimator->count < UINT32_MAX)
        estimator->count++;
    if (neighbours) {
        uint64_t low_ns = divvy_estimator_low_ns(estimator), least_ns = estimator->mean_ns / (2 * (neighbours + 1));

        return low_ns > least_ns ? low_ns : least_ns;
    }
    return estimator->mean_ns;
}

/* A launch is known to take no longer than most_ns: whatever was learned otherwise is cut down to that. */
static inline void divvy_estimator_bound(struct divvy_estimator *estimator, uint64_t most_ns) {
    if (estimator->mean_ns > most_ns)
        estimator->mean_ns = most_ns;
    for (uint32_t i = 0; i < DIVVY_ESTIMATOR_RING; i++)
        if (estimator->ring[i] > most_ns)
            estimator->ring[i] = most_ns;
}

/* A measured stretch of work: one segment, or those of several streams that belong together. */
struct divvy_estimator_stretch {
    uint64_t estimate_ns; /* sum of what its launches were estimated at */
    uint64_t span_ns;     /* device time from start to end, summed over segments */
    uint64_t most_ns;     /* the part of it that nothing else had covered */
    uint64_t gap_ns;      /* the device is known to have been idle for this much of it, before the first launch came */
    uint64_t doubt_ns;    /* and may have been idle for so much more */
    unsigned neighbours;  /* processes that share the device in time slices */
    bool edge;            /* one of them only perhaps, around a hand-over of the device */
    bool leased;          /* under a lease: nobody else on the device, unless a hand-over went wrong */
};

#define DIVVY_ESTIMATOR_CARRY_MAX_NS UINT64_C(20000000)

/* GPU time of the stretch is no more than this... */
static inline uint64_t divvy_estimator_most_ns(const struct divvy_estimator_stretch *stretch) {
    return stretch->most_ns > stretch->gap_ns ? stretch->most_ns - stretch->gap_ns : 0;
}

/* A turn of a process on a device that several processes share. */
#define DIVVY_ESTIMATOR_SLICE_NS UINT64_C(2000000)

/*
 * ... and no less than this. Beside n neighbours, who take turns, each may have had one turn more than the tenant in it, and
 * of what remains at least 1 / (n + 1) was the tenant's.
 */
static inline uint64_t divvy_estimator_least_ns(const struct divvy_estimator_stretch *stretch) {
    uint64_t most_ns = divvy_estimator_most_ns(stretch);
    uint64_t least_ns = most_ns > stretch->doubt_ns ? most_ns - stretch->doubt_ns : 0;
    uint64_t turns_ns = stretch->neighbours * DIVVY_ESTIMATOR_SLICE_NS;

    if (stretch->neighbours == 0)
        return least_ns;
    return least_ns > turns_ns ? (least_ns - turns_ns) / (stretch->neighbours + 1u) : 0;
}

/* Whether the device time of the stretch is known well enough to learn from. */
static inline bool divvy_estimator_is_tight(const struct divvy_estimator_stretch *stretch) {
    return stretch->doubt_ns <= stretch->span_ns / 16 + 1000;
}

/*
 * GPU time to charge: within its bounds the estimate decides. Where long and short launches of one function take turns, each
 * stretch alone is cut at its own bounds; *carry_ns keeps what was cut off for the next, so that the sum is right.
 */
static inline uint64_t divvy_estimator_charge(const struct divvy_estimator_stretch *stretch,
                                              uint64_t *carry_ns) {
    uint64_t most_ns = divvy_estimator_most_ns(stretch);
    uint64_t least_ns = divvy_estimator_least_ns(stretch);
    uint64_t charge_ns = stretch->estimate_ns;

    if (charge_ns < least_ns)
        charge_ns = least_ns;
    if (charge_ns > most_ns) {
        if (!divvy_estimator_is_tight(stretch)) {
            *carry_ns += charge_ns - most_ns;
            if (*carry_ns > DIVVY_ESTIMATOR_CARRY_MAX_NS)
                *carry_ns = DIVVY_ESTIMATOR_CARRY_MAX_NS;
        }
        return most_ns;
    }
    if (*carry_ns > 0 && stretch->neighbours == 0) {
        uint64_t more_ns = most_ns - charge_ns;

        if (more_ns > *carry_ns)
            more_ns = *carry_ns;
        *carry_ns -= more_ns;
        charge_ns += more_ns;
    }
    return charge_ns;
}

#endif
