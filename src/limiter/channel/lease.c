/* Leases over the channel: see lease.h. */
#include "limiter/channel/lease.h"

#include "core/clock.h"
#include "core/futex.h"
#include "core/uuid.h"
#include "limiter/hook/control.h"
#include "limiter/hook/door.h"

#include <errno.h>
#include <string.h>

/* Twice within what a heartbeat is good for, and a lease that nobody renews is seen to end. */
#define TICK_NS (100 * DIVVY_NS_PER_MS)
#define BUDGET_NS 1000000u

/* What a daemon would have made; read by the gate, written by the channel's thread and at set-up. */
static struct divvy_control own = {
    .version = DIVVY_CONTROL_VERSION,
    .header_bytes = offsetof(struct divvy_control, devices),
    .page_bytes = sizeof(struct divvy_control),
    .magic = DIVVY_CONTROL_MAGIC,
    .device_count = DIVVY_PAGE_DEVICES,
    .device_bytes = sizeof(struct divvy_control_device),
};
static uint64_t lease_count;
static uint64_t numbers[DIVVY_PAGE_DEVICES]; /* of the newest command for each device, over this stream */

static bool is_own(void) {
    return divvy_control_link.page == &own;
}

static uint32_t mode_of(unsigned device) {
    return __atomic_load_n(&own.devices[device].mode, __ATOMIC_RELAXED);
}

/* Whether launches are to be looked at, as the page's rules say. */
static void armed_set(unsigned device, uint32_t mode) {
    struct divvy_control_device *entry = &own.devices[device];
    uint32_t permille = __atomic_load_n(&entry->compute_permille, __ATOMIC_RELAXED);
    bool is_armed = own.door != 0 || mode == DIVVY_CONTROL_LEASED || mode == DIVVY_CONTROL_FROZEN ||
                    (mode == DIVVY_CONTROL_SELF && permille < DIVVY_PAGE_PERMILLE_UNLIMITED);

    __atomic_store_n(&entry->armed, is_armed, __ATOMIC_RELEASE);
}

void divvy_channel_lease_device(const struct divvy_page *usage, unsigned device, void (*ring)(void)) {
    const struct divvy_page_device *from = &usage->devices[device];

    if (divvy_control_link.page && !is_own())
        return;
    own.devices[device].uuid = from->uuid;
    divvy_channel_lease_limits(usage, device);
    own.devices[device].listening = 1; /* ringing costs one system call here */
    divvy_control_link.devices[device] = &own.devices[device];
    divvy_control_link.ring = ring;
    divvy_control_link.page = &own;
    divvy_door = &own.door;
}

void divvy_channel_lease_limits(const struct divvy_page *usage, unsigned device) {
    const struct divvy_page_device *from = &usage->devices[device];

    if (divvy_control_link.page && !is_own())
        return;
    __atomic_store_n(&own.devices[device].limit_bytes, __atomic_load_n(&from->limit_bytes, __ATOMIC_RELAXED), __ATOMIC_RELAXED);
    __atomic_store_n(&own.devices[device].compute_permille, __atomic_load_n(&from->compute_permille, __ATOMIC_RELAXED),
                     __ATOMIC_RELAXED);
    armed_set(device, mode_of(device));
}

static int mode_parse(const char *word, uint32_t *ret_mode) {
    static const char names[][8] = {"self", "open", "leased", "frozen"};

    if (!*word) {
        *ret_mode = DIVVY_CONTROL_LEASED;
        return 0;
    }
    for (uint32_t mode = 0; mode < DIVVY_CONTROL_MODE_MAX; mode++)
        if (strcmp(names[mode], word) == 0) {
            *ret_mode = mode;
            return 0;
        }
    return -EINVAL;
}

static void write_lease(unsigned device, uint32_t mode, uint64_t begin_ns, uint64_t end_ns, uint64_t budget_ns) {
    struct divvy_control_lease lease = {
        .mode = mode,
        .begin_ns = (int64_t)begin_ns,
        .end_ns = (int64_t)end_ns,
        .id = ++lease_count,
        .budget_ns = budget_ns > 0 && budget_ns < BUDGET_NS ? (uint32_t)budget_ns : BUDGET_NS,
    };

    if (mode != DIVVY_CONTROL_OPEN)
        armed_set(device, mode); /* before the mode, so that no launch slips by unseen; behind it on the way back */
    divvy_control_lease_write(&own, device, &lease);
    armed_set(device, mode);
}

/* Limits that were changed at the daemon; the usage page takes them over when it next looks at them. */
static void limits_take(unsigned device, const struct divvy_wire_command *command) {
    uint32_t permille = command->permille > 0 && command->permille < DIVVY_PAGE_PERMILLE_UNLIMITED
                            ? (uint32_t)command->permille
                            : DIVVY_PAGE_PERMILLE_UNLIMITED;

    if (!command->has_limits)
        return;
    __atomic_store_n(&own.devices[device].limit_bytes, command->memory_bytes ? command->memory_bytes : DIVVY_PAGE_UNLIMITED,
                     __ATOMIC_RELAXED);
    __atomic_store_n(&own.devices[device].compute_permille, permille, __ATOMIC_RELAXED);
}

/* The door before the leases, as a daemon on this machine would have written them. */
static void door_take(uint32_t word) {
    if (own.door == word)
        return;
    __atomic_store_n(&own.door, word, __ATOMIC_SEQ_CST);
    (void)divvy_core_futex_wake(&own.door, INT32_MAX, true);
}

int divvy_channel_lease_apply(const struct divvy_wire_command *command, uint64_t now_ns) {
    uint64_t end_ns = DIVVY_CONTROL_FOREVER_NS;
    divvy_core_uuid_t uuid = {{0}};
    bool found = false, stale = false;
    uint32_t mode;

    if (!is_own())
        return -EBUSY;
    if (mode_parse(command->mode, &mode) < 0 || command->begin_ns > INT64_MAX - now_ns ||
        command->length_ns > INT64_MAX - now_ns - command->begin_ns || command->door > UINT32_MAX)
        return -EINVAL;
    if (command->device[0] && divvy_core_uuid_parse(command->device, strlen(command->device), &uuid, NULL) < 0)
        return -ENODEV;
    if (command->length_ns > 0)
        end_ns = now_ns + command->begin_ns + command->length_ns;
    __atomic_store_n(&own.heartbeat_ns, (int64_t)now_ns, __ATOMIC_RELEASE);
    for (unsigned device = 0; device < DIVVY_PAGE_DEVICES; device++) {
        if (!divvy_control_link.devices[device] ||
            (command->device[0] && memcmp(&own.devices[device].uuid, uuid.bytes, sizeof uuid.bytes) != 0))
            continue;
        found = true;
        stale = stale || command->number < numbers[device];
        if (command->number < numbers[device])
            continue;
        numbers[device] = command->number;
        door_take((uint32_t)command->door);
        limits_take(device, command);
        write_lease(device, mode, now_ns + command->begin_ns, end_ns, command->budget_ns);
    }
    return !found ? -ENODEV : stale ? -ESTALE : 0;
}

void divvy_channel_lease_state(unsigned device, uint64_t now_ns, struct divvy_channel_lease_state *ret_state) {
    uint32_t mode = mode_of(device);
    uint64_t end_ns = (uint64_t)__atomic_load_n(&own.devices[device].end_ns, __ATOMIC_RELAXED);

    *ret_state = (struct divvy_channel_lease_state){
        .number = numbers[device],
        .is_measured = mode == DIVVY_CONTROL_LEASED,
        .is_over = mode == DIVVY_CONTROL_FROZEN || (mode == DIVVY_CONTROL_LEASED && end_ns <= now_ns),
        .left_ns = mode != DIVVY_CONTROL_LEASED || end_ns >= (uint64_t)DIVVY_CONTROL_FOREVER_NS ? UINT64_MAX
                   : end_ns > now_ns                                                           ? end_ns - now_ns
                                                                                                : 0,
    };
}

uint64_t divvy_channel_lease_tick(uint64_t now_ns) {
    if (!is_own())
        return UINT64_MAX;
    for (unsigned device = 0; device < DIVVY_PAGE_DEVICES; device++)
        if (divvy_control_link.devices[device] && (mode_of(device) != DIVVY_CONTROL_SELF || own.door != 0)) {
            __atomic_store_n(&own.heartbeat_ns, (int64_t)now_ns, __ATOMIC_RELEASE);
            return TICK_NS;
        }
    return UINT64_MAX;
}

void divvy_channel_lease_reset(bool keep_frozen) {
    if (!is_own())
        return;
    if (!keep_frozen)
        door_take(0);
    for (unsigned device = 0; device < DIVVY_PAGE_DEVICES; device++) {
        uint32_t mode = divvy_control_link.devices[device] ? mode_of(device) : DIVVY_CONTROL_SELF;

        numbers[device] = 0; /* another server counts anew */
        if (mode != DIVVY_CONTROL_SELF && !(keep_frozen && mode == DIVVY_CONTROL_FROZEN))
            write_lease(device, DIVVY_CONTROL_SELF, 0, 0, 0);
    }
}
