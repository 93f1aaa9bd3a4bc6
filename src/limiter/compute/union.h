/*
 * The union of busy intervals of several streams: time during which more than one was busy counts once. Pure.
 *
 * Intervals come about in the order of their ends, but a long one may begin before others that have been counted; so the
 * newest gaps behind the frontier are remembered, and an interval is counted where it falls into gaps or beyond.
 */
#ifndef DIVVY_LIMITER_COMPUTE_UNION_H
#define DIVVY_LIMITER_COMPUTE_UNION_H

#include <stdint.h>
#include <string.h>

#define DIVVY_UNION_GAPS 32u

struct divvy_union {
    uint64_t frontier_ns; /* everything before is accounted for, gaps apart */
    uint32_t gap_count;   /* oldest first, disjoint */
    struct {
        uint64_t start_ns, end_ns;
    } gaps[DIVVY_UNION_GAPS];
};

static inline void divvy_union_gap_drop(struct divvy_union *set, uint32_t index) {
    set->gap_count--;
    memmove(&set->gaps[index], &set->gaps[index + 1], (set->gap_count - index) * sizeof(set->gaps[0]));
}

static inline void divvy_union_gap_insert(struct divvy_union *set, uint32_t index, uint64_t start_ns,
                                          uint64_t end_ns) {
    if (set->gap_count == DIVVY_UNION_GAPS) {
        divvy_union_gap_drop(set, 0);
        if (index > 0)
            index--;
    }
    memmove(&set->gaps[index + 1], &set->gaps[index], (set->gap_count - index) * sizeof(set->gaps[0]));
    set->gaps[index].start_ns = start_ns;
    set->gaps[index].end_ns = end_ns;
    set->gap_count++;
}

/* How much of [start_ns, end_ns) is accounted for already. */
static inline uint64_t divvy_union_covered(const struct divvy_union *set, uint64_t start_ns, uint64_t end_ns) {
    uint64_t covered_ns;

    if (end_ns > set->frontier_ns)
        end_ns = set->frontier_ns;
    if (end_ns <= start_ns)
        return 0;
    covered_ns = end_ns - start_ns;
    for (uint32_t i = 0; i < set->gap_count; i++) {
        uint64_t from_ns = start_ns > set->gaps[i].start_ns ? start_ns : set->gaps[i].start_ns;
        uint64_t to_ns = end_ns < set->gaps[i].end_ns ? end_ns : set->gaps[i].end_ns;

        if (from_ns < to_ns)
            covered_ns -= to_ns - from_ns;
    }
    return covered_ns;
}

/* Takes [start_ns, end_ns) out of the gaps; how much of it lay in them. */
static inline uint64_t divvy_union_fill(struct divvy_union *set, uint64_t start_ns, uint64_t end_ns) {
    uint64_t filled_ns = 0;
    uint32_t i = set->gap_count;

    while (i-- > 0) {
        uint64_t gap_start_ns = set->gaps[i].start_ns, gap_end_ns = set->gaps[i].end_ns;
        uint64_t from_ns = start_ns > gap_start_ns ? start_ns : gap_start_ns;
        uint64_t to_ns = end_ns < gap_end_ns ? end_ns : gap_end_ns;

        if (gap_end_ns <= start_ns)
            break;
        if (from_ns >= to_ns)
            continue;
        filled_ns += to_ns - from_ns;
        if (from_ns == gap_start_ns && to_ns == gap_end_ns) {
            divvy_union_gap_drop(set, i);
        } else if (from_ns == gap_start_ns) {
            set->gaps[i].start_ns = to_ns;
        } else if (to_ns == gap_end_ns) {
            set->gaps[i].end_ns = from_ns;
        } else {
            set->gaps[i].end_ns = from_ns;
            divvy_union_gap_insert(set, i + 1, to_ns, gap_end_ns);
        }
    }
    return filled_ns;
}

/* Adds a busy interval: the time that was not counted before. An empty or reversed interval adds nothing. */
static inline uint64_t divvy_union_add(struct divvy_union *set, uint64_t start_ns, uint64_t end_ns) {
    uint64_t added_ns = 0;

    if (end_ns <= start_ns)
        return 0;
    if (start_ns < set->frontier_ns)
        added_ns = divvy_union_fill(set, start_ns,
                                    end_ns < set->frontier_ns ? end_ns : set->frontier_ns);
    else if (start_ns > set->frontier_ns)
        divvy_union_gap_insert(set, set->gap_count, set->frontier_ns, start_ns);
    if (end_ns > set->frontier_ns) {
        added_ns += end_ns - (start_ns > set->frontier_ns ? start_ns : set->frontier_ns);
        set->frontier_ns = end_ns;
    }
    return added_ns;
}

#endif
