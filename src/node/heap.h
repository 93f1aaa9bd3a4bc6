/*
 * A binary heap of small integers that remembers where each one sits, so that any can be removed in O(log n).
 *
 * Keys wrap: two keys are compared by the sign of their difference, so they may run for ever as long as those in one heap
 * stay within half the number range of each other. The caller owns the three arrays (capacity entries each); `place` may be
 * shared by several heaps as long as an item is in one of them only.
 */
#ifndef DIVVY_NODE_HEAP_H
#define DIVVY_NODE_HEAP_H

#include <stdbool.h>
#include <stdint.h>

#define DIVVY_NODE_HEAP_ABSENT UINT32_MAX

struct divvy_node_heap {
    uint32_t *items;
    int64_t *keys;   /* by position */
    uint32_t *place; /* by item: its position, or DIVVY_NODE_HEAP_ABSENT */
    uint32_t count;
};

/* Whether key a comes before key b. */
static inline bool divvy_node_key_before(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a - (uint64_t)b) < 0;
}

void divvy_node_heap_insert(struct divvy_node_heap *heap, uint32_t item,
                            int64_t key);                                 /* absent before */
void divvy_node_heap_remove(struct divvy_node_heap *heap, uint32_t item); /* present before */

#endif
