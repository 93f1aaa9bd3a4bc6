/* Slots of devices, and which to choose: see slots.h. */
#include "plugin/slots.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEPARATOR      "::"
#define RESOURCE_BYTES 253u
#define NAME_BYTES     63u

void divvy_plugin_slot_id(const struct divvy_node_device *device, uint32_t number, char ret_id[DIVVY_PLUGIN_ID_BYTES]) {
    (void)snprintf(ret_id, DIVVY_PLUGIN_ID_BYTES, "%s" SEPARATOR "%u", device->uuid_text, number);
}

void divvy_plugin_slot_name(const struct divvy_node_device *device, uint32_t number, char ret_name[DIVVY_PLUGIN_ID_BYTES]) {
    (void)snprintf(ret_name, DIVVY_PLUGIN_ID_BYTES, "%s-%u", device->uuid_text, number);
}

/* One or two digits, as we write them: no sign, no zero in front. */
static int number_parse(const char *text, uint32_t below, uint32_t *ret_number) {
    uint32_t number = 0;

    if (!text[0] || (text[0] == '0' && text[1]))
        return -EINVAL;
    for (size_t i = 0; text[i]; i++) {
        if (text[i] < '0' || text[i] > '9' || i >= 3)
            return -EINVAL;
        number = number * 10 + (uint32_t)(text[i] - '0');
    }
    if (number >= below)
        return -EINVAL;
    *ret_number = number;
    return 0;
}

int divvy_plugin_slot_parse(const char *id, const struct divvy_node_device *devices, size_t device_count, uint32_t slots,
                            struct divvy_plugin_slot *ret_slot) {
    const char *separator = strstr(id, SEPARATOR);
    size_t length = separator ? (size_t)(separator - id) : 0;

    for (size_t i = 0; separator && i < device_count; i++)
        if (strlen(devices[i].uuid_text) == length && memcmp(devices[i].uuid_text, id, length) == 0) {
            ret_slot->device = (uint32_t)i;
            return number_parse(separator + strlen(SEPARATOR), slots, &ret_slot->number);
        }
    return -EINVAL;
}

int divvy_plugin_slot_compare(const void *a, const void *b) {
    const struct divvy_plugin_slot *x = a, *y = b;

    if (x->device != y->device)
        return x->device < y->device ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

int divvy_plugin_slots_parse(const char *const *ids, size_t count, const struct divvy_node_device *devices, size_t device_count,
                             uint32_t slots, struct divvy_plugin_slot *ret_slots, struct divvy_error *error) {
    if (count == 0)
        return divvy_error_set(error, -EINVAL, "no device is named");
    if (count > DIVVY_PLUGIN_IDS_MAX)
        return divvy_error_set(error, -EINVAL, "more devices are named than there can be");
    for (size_t i = 0; i < count; i++)
        if (divvy_plugin_slot_parse(ids[i], devices, device_count, slots, &ret_slots[i]) < 0)
            return divvy_error_set(error, -EINVAL, "'%.80s' is no device of this plugin", ids[i]);
    qsort(ret_slots, count, sizeof *ret_slots, divvy_plugin_slot_compare);
    for (size_t i = 1; i < count; i++)
        if (divvy_plugin_slot_compare(&ret_slots[i - 1], &ret_slots[i]) == 0)
            return divvy_error_set(error, -EINVAL, "a device is named twice");
    return 0;
}

/* --- choosing ------------------------------------------------------------------------------------------------------------- */

struct choice {
    const struct divvy_plugin_slot *available;
    size_t count;
    bool taken[DIVVY_PLUGIN_IDS_MAX];
    uint32_t left[DIVVY_NODE_DEVICES];   /* available and not taken */
    uint32_t chosen[DIVVY_NODE_DEVICES]; /* taken */
};

static void take(struct choice *choice, size_t i) {
    choice->taken[i] = true;
    choice->left[choice->available[i].device]--;
    choice->chosen[choice->available[i].device]++;
}

/*
 * Whether device `a` is the better one for the next of `missing` slots. Packing: one that the container is on already, then one
 * that can take all that is missing, the fullest of these; where none can, the emptiest, so that few are needed. Spreading: the
 * one with the most room, then one that the container is not on yet.
 */
static bool is_better(enum divvy_plugin_policy policy, const struct choice *choice, uint32_t a, uint32_t b, size_t missing) {
    const uint32_t *left = choice->left, *chosen = choice->chosen;

    if (policy == DIVVY_PLUGIN_SPREAD) {
        if (left[a] != left[b])
            return left[a] > left[b];
        return chosen[a] < chosen[b];
    }
    if ((chosen[a] > 0) != (chosen[b] > 0))
        return chosen[a] > 0;
    if ((left[a] >= missing) != (left[b] >= missing))
        return left[a] >= missing;
    return left[a] >= missing ? left[a] < left[b] : left[a] > left[b];
}

static uint32_t device_choose(enum divvy_plugin_policy policy, const struct choice *choice, size_t missing) {
    uint32_t best = DIVVY_NODE_DEVICES;

    for (uint32_t i = 0; i < DIVVY_NODE_DEVICES; i++)
        if (choice->left[i] > 0 && (best == DIVVY_NODE_DEVICES || is_better(policy, choice, i, best, missing)))
            best = i;
    return best;
}

/* The first of the device's; there is one. */
static void slot_take(struct choice *choice, uint32_t device) {
    for (size_t i = 0; i < choice->count; i++)
        if (choice->available[i].device == device && !choice->taken[i]) {
            take(choice, i);
            return;
        }
}

static int must_take(struct choice *choice, const struct divvy_plugin_slot *must, size_t must_count, struct divvy_error *error) {
    for (size_t i = 0; i < must_count; i++) {
        const struct divvy_plugin_slot *found =
            choice->count ? bsearch(&must[i], choice->available, choice->count, sizeof *must, divvy_plugin_slot_compare) : NULL;

        if (!found)
            return divvy_error_set(error, -EINVAL, "a device that must be included is not available");
        take(choice, (size_t)(found - choice->available));
    }
    return 0;
}

int divvy_plugin_slots_choose(enum divvy_plugin_policy policy, const struct divvy_plugin_slot *available, size_t available_count,
                              const struct divvy_plugin_slot *must, size_t must_count, size_t size, struct divvy_plugin_slot *ret_slots,
                              struct divvy_error *error) {
    struct choice choice = {.available = available, .count = available_count};
    size_t out = 0;

    if (size < must_count || size > available_count)
        return divvy_error_set(error, -EINVAL, "%zu devices cannot be chosen: %zu must be included, and %zu are available", size, must_count,
                               available_count);
    for (size_t i = 0; i < available_count; i++)
        choice.left[available[i].device]++;
    if (must_take(&choice, must, must_count, error) < 0)
        return -EINVAL;
    for (size_t missing = size - must_count; missing > 0; missing--)
        slot_take(&choice, device_choose(policy, &choice, missing));
    for (size_t i = 0; i < available_count; i++)
        if (choice.taken[i])
            ret_slots[out++] = available[i];
    return 0;
}

/* --- shares --------------------------------------------------------------------------------------------------------------- */

size_t divvy_plugin_slots_share(const struct divvy_plugin_slot *slots, size_t count, const struct divvy_node_device *devices,
                                uint32_t slots_of_device, struct divvy_plugin_share ret_shares[DIVVY_NODE_DEVICES]) {
    size_t shares = 0;

    for (size_t i = 0; i < count; i++) {
        if (i == 0 || slots[i].device != slots[i - 1].device)
            ret_shares[shares++] = (struct divvy_plugin_share){.device = slots[i].device};
        ret_shares[shares - 1].slots++;
    }
    for (size_t i = 0; i < shares; i++) {
        struct divvy_plugin_share *share = &ret_shares[i];

        /* Divided first: a product of bytes and slots could only wrap on a device that does not exist, but costs nothing. */
        share->memory_bytes = devices[share->device].memory_bytes / slots_of_device * share->slots;
        share->compute_permille = 1000 * share->slots / slots_of_device;
    }
    return shares;
}

/* --- names ---------------------------------------------------------------------------------------------------------------- */

static bool is_alphanumeric(char c, bool upper) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (upper && c >= 'A' && c <= 'Z');
}

/* Letters and digits at both ends of each part; `inner` too in between. */
static bool part_is_well(const char *text, size_t length, const char *inner, bool upper) {
    if (length == 0 || !is_alphanumeric(text[0], upper) || !is_alphanumeric(text[length - 1], upper))
        return false;
    for (size_t i = 0; i < length; i++)
        if (!is_alphanumeric(text[i], upper) && !strchr(inner, text[i]))
            return false;
    return true;
}

int divvy_plugin_resource_check(const char *name) {
    const char *slash = strchr(name, '/');

    if (!slash || (size_t)(slash - name) > RESOURCE_BYTES || strlen(slash + 1) > NAME_BYTES)
        return -EINVAL;
    return part_is_well(name, (size_t)(slash - name), "-.", false) && part_is_well(slash + 1, strlen(slash + 1), "-_.", true) ? 0 : -EINVAL;
}
