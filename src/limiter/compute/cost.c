/*
 * The table of estimates: two places for each key, in one cache line; a third key with the same places takes one over.
 */
#include "limiter/compute/fast.h"
#include "limiter/compute/state.h"

#include <string.h>

static struct divvy_compute_lesson lessons[DIVVY_COMPUTE_COSTS];
static divvy_lock_t lock; /* of lessons, and of writers of the table */
static bool used;         /* a key was entered */

/* Launches that overlap others tell their cost only together: this many segments make one sample. */
#define OVERLAPPING_SEGMENTS 8u

/* Fewer good samples than this, or so many chunks without one: bounds are all there is to learn from. */
#define SAMPLES_FEW    4u
#define SAMPLES_MISSED 64u

/* So many chunks in a row are measured launch by launch where that brings no good sample. */
#define SUSPICION_CHUNKS 16u

/* So many measurements around hand-overs without a better one between, and they are taken for want of others. */
#define EDGES_MAX 16u
/* So many that agree that what is believed is wrong by far are enough. */
#define EDGES_FEW 3u

/* No launch is cheaper; also, credit must run out some time. */
#define COST_MIN_NS 100u

void divvy_compute_costs_reset(void) {
    divvy_lock_reset(&lock);
    if (!used)
        return; /* untouched pages stay untouched */
    used = false;
    memset(divvy_compute_costs, 0, sizeof(divvy_compute_costs));
    memset(lessons, 0, sizeof(lessons));
}

struct divvy_compute_lesson *divvy_compute_cost_lesson(struct divvy_compute_cost *cost) {
    return &lessons[cost - divvy_compute_costs];
}

static void cost_put(struct divvy_compute_cost *cost, uint64_t cost_ns) {
    __atomic_store_n(&cost->cost_ns, cost_ns < COST_MIN_NS ? COST_MIN_NS : cost_ns, __ATOMIC_RELAXED);
}

static struct divvy_compute_cost *cost_search(uint64_t key) {
    struct divvy_compute_cost *cost = &divvy_compute_costs[divvy_compute_cost_place(key)];

    if (__atomic_load_n(&cost->key, __ATOMIC_RELAXED) == key)
        return cost;
    cost = &divvy_compute_costs[divvy_compute_cost_place(key) ^ 1];
    return __atomic_load_n(&cost->key, __ATOMIC_RELAXED) == key ? cost : NULL;
}

/* The place to give to a new key: a free one, else the one with fewer samples. */
static struct divvy_compute_cost *cost_victim(uint64_t key) {
    struct divvy_compute_cost *first = &divvy_compute_costs[divvy_compute_cost_place(key)];
    struct divvy_compute_cost *second = &divvy_compute_costs[divvy_compute_cost_place(key) ^ 1];

    if (first->key == 0 || second->key == 0)
        return first->key == 0 ? first : second;
    return divvy_compute_cost_lesson(first)->estimator.count < divvy_compute_cost_lesson(second)->estimator.count
               ? first
               : second;
}

static void lesson_reset(struct divvy_compute_lesson *lesson) {
    memset(&lesson->estimator, 0, sizeof(lesson->estimator));
    lesson->sum_ns = 0;
    lesson->sum_launches = lesson->sum_segments = 0;
    __atomic_store_n(&lesson->chunks_since, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&lesson->launched, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&lesson->samples, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&lesson->suspect, 0, __ATOMIC_RELAXED);
    lesson->edges = lesson->edges_tight = 0;
    lesson->vague = false;
}

struct divvy_compute_cost *divvy_compute_cost_find(uint64_t key, uint64_t guess_ns) {
    struct divvy_compute_cost *cost = cost_search(key);

    if (cost)
        return cost;
    divvy_lock_take(&lock);
    cost = cost_search(key);
    if (!cost) {
        cost = cost_victim(key);
        used = true;
        lesson_reset(divvy_compute_cost_lesson(cost));
        cost_put(cost, guess_ns);
        __atomic_store_n(&cost->key, key, __ATOMIC_RELAXED);
    }
    divvy_lock_give(&lock);
    return cost;
}

void divvy_compute_cost_forget(uint64_t key) {
    struct divvy_compute_cost *cost;

    divvy_lock_take(&lock);
    cost = cost_search(key);
    if (cost)
        __atomic_store_n(&cost->key, 0, __ATOMIC_RELAXED);
    divvy_lock_give(&lock);
}

static void cost_sample(struct divvy_compute_cost *cost, struct divvy_compute_lesson *lesson, uint64_t sample_ns,
                        const struct divvy_estimator_stretch *stretch) {
    unsigned neighbours = stretch->neighbours;
    uint64_t cost_ns;

    if (stretch->leased && !lesson->vague && divvy_estimator_is_outlier(&lesson->estimator, sample_ns))
        return;

    if (lesson->vague)
        memset(&lesson->estimator, 0, sizeof(lesson->estimator));
    lesson->vague = false;
    cost_ns = divvy_estimator_update(&lesson->estimator, sample_ns, neighbours, stretch->leased);
    __atomic_store_n(&lesson->suspect, lesson->estimator.away != 0 && neighbours == 0, __ATOMIC_RELAXED);
    cost_put(cost, cost_ns);
    __atomic_store_n(&lesson->chunks_since, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&lesson->samples, lesson->estimator.count, __ATOMIC_RELAXED);
}

/* The first sample of all is taken whatever its quality, within its bounds as near to the guess as may be. */
static uint64_t first_sample(const struct divvy_compute_group *group) {
    const struct divvy_estimator_stretch *stretch = &group->stretch;
    uint64_t sample_ns = stretch->estimate_ns;

    if (sample_ns > divvy_estimator_most_ns(stretch) || divvy_estimator_is_tight(stretch))
        sample_ns = divvy_estimator_most_ns(stretch);
    if (sample_ns < divvy_estimator_least_ns(stretch))
        sample_ns = divvy_estimator_least_ns(stretch);
    return sample_ns / group->launches;
}

/*
 * However little is known of when the device was idle: a launch took no longer than what was measured around it. Short
 * kernels between pauses may have no better sample, and a guess must not stand for ever. Where there are good samples this
 * must not be used: launches of varying length would all be taken for the shortest.
 */
static void cost_bound(struct divvy_compute_cost *cost, struct divvy_compute_lesson *lesson, uint64_t most_ns) {
    if (most_ns >= __atomic_load_n(&cost->cost_ns, __ATOMIC_RELAXED))
        return;
    divvy_estimator_bound(&lesson->estimator, most_ns);
    cost_put(cost, most_ns);
}

/* Work that took far longer than it was estimated at: either the device was idle in between, or the function has changed. */
static bool is_suspect(const struct divvy_compute_group *group) {
    return divvy_estimator_most_ns(&group->stretch) / 2 > group->stretch.estimate_ns && group->stretch.neighbours == 0;
}

/* Whether what was measured stands for itself: the whole of a chunk, or a segment that nothing overlapped. */
static bool is_whole(const struct divvy_compute_group *group, const struct divvy_compute_lesson *lesson) {
    return group->id ||
           (lesson->sum_segments == 0 && group->stretch.most_ns >= group->stretch.span_ns - group->stretch.span_ns / 32);
}

/* What is believed of a function is wrong by far: from now on it is this. */
static void cost_settle(struct divvy_compute_cost *cost, struct divvy_compute_lesson *lesson, uint64_t sample_ns) {
    divvy_estimator_settle(&lesson->estimator, sample_ns);
    lesson->vague = false;
    lesson->edges = 0;
    cost_put(cost, sample_ns);
    __atomic_store_n(&lesson->samples, lesson->estimator.count, __ATOMIC_RELAXED);
}

/*
 * The shortest of a few measurements around hand-overs is near the truth: others on the device make them longer, never shorter. A function
 * that is believed to take a whole lease is launched once in each, at its edge, and would have no better sample for long. The tenant's own
 * other processes are there all the time: beside them it does not say that the function has grown.
 */
static bool edges_settle(const struct divvy_compute_group *group, struct divvy_compute_cost *cost, struct divvy_compute_lesson *lesson) {
    uint64_t sample_ns = divvy_estimator_most_ns(&group->stretch) / group->launches, mean_ns = lesson->estimator.mean_ns;
    bool has_siblings = group->stretch.neighbours > 1;

    if (group->crossed || !divvy_estimator_is_tight(&group->stretch) || !is_whole(group, lesson))
        return false;
    if (lesson->edges_tight++ == 0 || sample_ns < lesson->edge_least_ns)
        lesson->edge_least_ns = sample_ns;
    if (lesson->edges_tight < EDGES_FEW)
        return false;
    lesson->edges_tight = 0;
    if (lesson->edge_least_ns >= mean_ns / 2 && (lesson->edge_least_ns / 2 <= mean_ns || has_siblings))
        return false;
    cost_settle(cost, lesson, lesson->edge_least_ns);
    return true;
}

/*
 * Around a hand-over another tenant may have been on the device as well. Nothing more is learned there while there are better samples;
 * kernels as long as a lease never have any.
 */
static bool is_mere_edge(const struct divvy_compute_group *group, struct divvy_compute_cost *cost, struct divvy_compute_lesson *lesson) {
    if (!group->stretch.edge) {
        lesson->edges = lesson->edges_tight = 0;
        return false;
    }
    return lesson->estimator.count > 0 && (edges_settle(group, cost, lesson) || lesson->edges++ < EDGES_MAX);
}

void divvy_compute_cost_learn(const struct divvy_compute_group *group) {
    struct divvy_compute_cost *cost = group->only;
    struct divvy_compute_lesson *lesson;
    uint64_t work_ns = divvy_estimator_most_ns(&group->stretch);

    if (cost == &divvy_compute_mixed || group->launches == 0)
        return;
    lesson = divvy_compute_cost_lesson(cost);
    divvy_lock_take(&lock);
    __atomic_store_n(&lesson->suspect, 0, __ATOMIC_RELAXED);
    if (cost->key != group->only_key || is_mere_edge(group, cost, lesson)) {
        /* another function took the place meanwhile, or somebody the device */
    } else if (lesson->estimator.count == 0) {
        cost_sample(cost, lesson, first_sample(group), &group->stretch);
        lesson->vague = !divvy_estimator_is_tight(&group->stretch) || group->stretch.edge;
    } else if (divvy_estimator_is_tight(&group->stretch) && is_whole(group, lesson)) {
        cost_sample(cost, lesson, work_ns / group->launches, &group->stretch);
    } else if (divvy_estimator_is_tight(&group->stretch)) {
        lesson->sum_ns += work_ns;
        lesson->sum_launches += group->launches;
        if (++lesson->sum_segments >= OVERLAPPING_SEGMENTS) {
            cost_sample(cost, lesson, lesson->sum_ns / lesson->sum_launches, &group->stretch);
            lesson->sum_ns = 0;
            lesson->sum_launches = lesson->sum_segments = 0;
        }
    } else if (lesson->estimator.count < SAMPLES_FEW ||
               __atomic_load_n(&lesson->chunks_since, __ATOMIC_RELAXED) > SAMPLES_MISSED) {
        if (!group->crossed)
            cost_bound(cost, lesson, group->stretch.span_ns / group->launches); /* what else covered it counts too */
    } else if (is_suspect(group) &&
               __atomic_load_n(&lesson->chunks_since, __ATOMIC_RELAXED) < SUSPICION_CHUNKS) {
        __atomic_store_n(&lesson->suspect, 1, __ATOMIC_RELAXED);
    }
    divvy_lock_give(&lock);
}
