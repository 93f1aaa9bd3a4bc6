/* The registry: making, finding and dropping records, and the devices; see registry.h and registry_internal.h. */
#include "node/registry_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"
#include "core/parse.h"
#include "core/uuid.h"

#define BUCKETS_FIRST 64u
/* A number rests until so many others, and one more for each tenant there is, were given back after it: what still goes by the old
 * tenant's number does not meet a new one soon. Not for ever: numbers stay small, so going through all of them stays quick. */
#define NUMBERS_RESTING 64u

/* Ids come from outside. The seed is not known there, so that ids of one bucket are not easily made. */
static uint64_t hash_of(const struct divvy_node_registry *registry, const char *id) {
    size_t length = strlen(id);
    uint64_t hash = divvy_core_hash_pair((uint64_t)(uintptr_t)registry, length);
    for (size_t at = 0; at < length; at += 8) {
        uint64_t word = 0;
        memcpy(&word, id + at, length - at < 8 ? length - at : 8);
        hash = divvy_core_hash_pair(hash, word);
    }
    return hash;
}

int divvy_node_registry_new(struct divvy_node_registry **ret_registry) {
    struct divvy_node_registry *registry = calloc(1, sizeof *registry);
    if (!registry)
        return -ENOMEM;
    registry->bucket_count = BUCKETS_FIRST;
    registry->buckets = calloc(BUCKETS_FIRST, sizeof *registry->buckets);
    registry->by_number = calloc(DIVVY_NODE_TENANTS_MAX, sizeof *registry->by_number);
    registry->resting = calloc(DIVVY_NODE_TENANTS_MAX, sizeof *registry->resting);
    registry->events = calloc(DIVVY_NODE_EVENTS, sizeof *registry->events);
    if (!registry->buckets || !registry->by_number || !registry->resting || !registry->events) {
        divvy_node_registry_free(registry);
        return -ENOMEM;
    }
    *ret_registry = registry;
    return 0;
}

void divvy_node_registry_free(struct divvy_node_registry *registry) {
    if (!registry)
        return;
    while (registry->newest)
        divvy_node_record_drop(registry, registry->newest);
    free(registry->buckets);
    free(registry->by_number);
    free(registry->resting);
    free(registry->events);
    free(registry);
}

/* --- records -------------------------------------------------------------------------------------------------------- */

struct divvy_node_record *divvy_node_record_find(const struct divvy_node_registry *registry, const char *id) {
    uint64_t hash = hash_of(registry, id);
    struct divvy_node_record *record = registry->buckets[hash & (registry->bucket_count - 1)];
    while (record && (record->hash != hash || strcmp(record->tenant.id, id) != 0))
        record = record->chain;
    return record;
}

static int grow_buckets(struct divvy_node_registry *registry) {
    uint32_t count = 2 * registry->bucket_count;
    struct divvy_node_record **buckets = calloc(count, sizeof *buckets);
    if (!buckets)
        return -ENOMEM;
    for (struct divvy_node_record *record = registry->oldest; record; record = record->newer) {
        struct divvy_node_record **bucket = &buckets[record->hash & (count - 1)];
        record->chain = *bucket;
        *bucket = record;
    }
    free(registry->buckets);
    registry->buckets = buckets;
    registry->bucket_count = count;
    return 0;
}

static uint32_t take_number(struct divvy_node_registry *registry) {
    if (registry->resting_count < NUMBERS_RESTING + registry->tenant_count &&
        registry->numbers_used < DIVVY_NODE_TENANTS_MAX)
        return registry->numbers_used++;
    assert(registry->resting_count > 0);
    uint32_t number = registry->resting[registry->resting_first];
    registry->resting_first = (registry->resting_first + 1) % DIVVY_NODE_TENANTS_MAX;
    registry->resting_count--;
    return number;
}

static void give_number(struct divvy_node_registry *registry, uint32_t number) {
    uint32_t last = (registry->resting_first + registry->resting_count) % DIVVY_NODE_TENANTS_MAX;
    registry->resting[last] = (uint16_t)number;
    registry->resting_count++;
}

int divvy_node_record_enter(struct divvy_node_registry *registry, struct divvy_node_record *record) {
    if (registry->tenant_count == DIVVY_NODE_TENANTS_MAX)
        return -ENOSPC;
    if (registry->tenant_count >= registry->bucket_count) {
        int r = grow_buckets(registry);
        if (r < 0)
            return r;
    }
    record->hash = hash_of(registry, record->tenant.id);
    struct divvy_node_record **bucket = &registry->buckets[record->hash & (registry->bucket_count - 1)];
    record->chain = *bucket;
    *bucket = record;
    record->tenant.number = take_number(registry);
    registry->by_number[record->tenant.number] = record;
    record->older = registry->newest;
    record->newer = NULL;
    if (registry->newest)
        registry->newest->newer = record;
    else
        registry->oldest = record;
    registry->newest = record;
    registry->tenant_count++;
    return 0;
}

void divvy_node_record_drop(struct divvy_node_registry *registry, struct divvy_node_record *record) {
    struct divvy_node_record **link = &registry->buckets[record->hash & (registry->bucket_count - 1)];
    while (*link != record)
        link = &(*link)->chain;
    *link = record->chain;
    registry->by_number[record->tenant.number] = NULL;
    give_number(registry, record->tenant.number);
    if (record->older)
        record->older->newer = record->newer;
    else
        registry->oldest = record->newer;
    if (record->newer)
        record->newer->older = record->older;
    else
        registry->newest = record->older;
    registry->tenant_count--;
    free(record->processes);
    free(record);
}

struct divvy_node_tenant *divvy_node_registry_tenant(struct divvy_node_registry *registry, const char *id) {
    struct divvy_node_record *record = divvy_node_record_find(registry, id);
    return record ? &record->tenant : NULL;
}

struct divvy_node_tenant *divvy_node_registry_tenant_number(struct divvy_node_registry *registry, uint32_t number) {
    if (number >= DIVVY_NODE_TENANTS_MAX || !registry->by_number[number])
        return NULL;
    return &registry->by_number[number]->tenant;
}

uint32_t divvy_node_registry_tenant_count(const struct divvy_node_registry *registry) {
    return registry->tenant_count;
}

struct divvy_node_tenant *divvy_node_registry_tenant_next(struct divvy_node_registry *registry,
                                                          const struct divvy_node_tenant *tenant) {
    const struct divvy_node_record *record = (const struct divvy_node_record *)(const void *)tenant;
    struct divvy_node_record *next = record ? record->newer : registry->oldest;
    return next ? &next->tenant : NULL;
}

/* --- devices -------------------------------------------------------------------------------------------------------- */

int divvy_node_registry_device_set(struct divvy_node_registry *registry, const struct divvy_node_device *device) {
    uint32_t index = 0;
    while (index < registry->device_count &&
           memcmp(registry->devices[index].uuid, device->uuid, sizeof device->uuid) != 0)
        index++;
    if (index == DIVVY_NODE_DEVICES)
        return -ENOSPC;
    if (index == registry->device_count)
        registry->device_count++;
    registry->devices[index] = *device;
    return (int)index;
}

uint32_t divvy_node_registry_device_count(const struct divvy_node_registry *registry) {
    return registry->device_count;
}

struct divvy_node_device *divvy_node_registry_device(struct divvy_node_registry *registry, uint32_t index) {
    return index < registry->device_count ? &registry->devices[index] : NULL;
}

int divvy_node_registry_device_find(const struct divvy_node_registry *registry, const char *text) {
    size_t length = strlen(text);
    uint64_t number;
    bool is_number = divvy_core_u64_parse(text, length, &number, NULL) == 0;
    int found = -ENOENT;
    for (uint32_t i = 0; i < registry->device_count; i++) {
        const struct divvy_node_device *device = &registry->devices[i];
        size_t uuid_length = strnlen(device->uuid_text, sizeof device->uuid_text);
        if (divvy_core_uuid_text_equal(text, length, device->uuid_text, uuid_length))
            return (int)i;
        if (is_number && device->index == number && (found < 0 || device->healthy))
            found = (int)i;
    }
    return found;
}

struct divvy_node_promise divvy_node_registry_promise(const struct divvy_node_registry *registry, uint32_t device) {
    if (device >= registry->device_count)
        return (struct divvy_node_promise){0};
    const struct divvy_node_sums *sums = &registry->promised[device];
    return (struct divvy_node_promise){
        .memory_bytes = sums->memory_bytes > UINT64_MAX ? UINT64_MAX : (uint64_t)sums->memory_bytes,
        .compute_permille = sums->compute_permille,
        .tenants = sums->tenants,
    };
}
