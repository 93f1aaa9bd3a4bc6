/* Binary heap with places; see heap.h. */
#include "node/heap.h"

#include <assert.h>

static void put(struct divvy_node_heap *heap, uint32_t position, uint32_t item, int64_t key) {
    heap->items[position] = item;
    heap->keys[position] = key;
    heap->place[item] = position;
}

static void sift_up(struct divvy_node_heap *heap, uint32_t position, uint32_t item, int64_t key) {
    while (position > 0) {
        uint32_t parent = (position - 1) / 2;
        if (!divvy_node_key_before(key, heap->keys[parent]))
            break;
        put(heap, position, heap->items[parent], heap->keys[parent]);
        position = parent;
    }
    put(heap, position, item, key);
}

static void sift_down(struct divvy_node_heap *heap, uint32_t position, uint32_t item, int64_t key) {
    for (;;) {
        uint32_t child = 2 * position + 1;
        if (child >= heap->count)
            break;
        if (child + 1 < heap->count &&
            divvy_node_key_before(heap->keys[child + 1], heap->keys[child]))
            child++;
        if (!divvy_node_key_before(heap->keys[child], key))
            break;
        put(heap, position, heap->items[child], heap->keys[child]);
        position = child;
    }
    put(heap, position, item, key);
}

void divvy_node_heap_insert(struct divvy_node_heap *heap, uint32_t item, int64_t key) {
    assert(heap->place[item] == DIVVY_NODE_HEAP_ABSENT);
    sift_up(heap, heap->count++, item, key);
}

void divvy_node_heap_remove(struct divvy_node_heap *heap, uint32_t item) {
    uint32_t position = heap->place[item];
    assert(position < heap->count && heap->items[position] == item);
    heap->place[item] = DIVVY_NODE_HEAP_ABSENT;
    heap->count--;
    if (position == heap->count)
        return;
    uint32_t last = heap->items[heap->count];
    int64_t key = heap->keys[heap->count];
    if (position > 0 && divvy_node_key_before(key, heap->keys[(position - 1) / 2]))
        sift_up(heap, position, last, key);
    else
        sift_down(heap, position, last, key);
}
