/* The registry: see registry.h. */
#include "node/registry.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BUCKETS (2u * DIVVY_NODE_TENANTS_MAX)
#define NOBODY  UINT32_MAX

struct entry {
    struct divvy_node_tenant tenant;
    struct divvy_node_process *processes;
    uint32_t process_room;
    struct entry *next_in_bucket, *before, *after;
};

struct divvy_node_registry {
    struct divvy_node_device devices[DIVVY_NODE_DEVICES];
    uint32_t device_count;
    struct entry *buckets[BUCKETS];
    struct entry *numbers[DIVVY_NODE_TENANTS_MAX];
    struct entry *first, *last;
    uint32_t tenant_count;
    uint32_t number_next; /* where the search for a free number begins: used ones rest as long as may be */
    struct divvy_node_event *events;
    uint64_t event_last;
};

int divvy_node_registry_new(struct divvy_node_registry **ret_registry) {
    struct divvy_node_registry *registry = calloc(1, sizeof *registry);

    if (registry)
        registry->events = calloc(DIVVY_NODE_EVENTS, sizeof(registry->events[0]));
    if (!registry || !registry->events) {
        free(registry);
        return -ENOMEM;
    }
    *ret_registry = registry;
    return 0;
}

static void entry_free(struct entry *entry) {
    free(entry->processes);
    free(entry);
}

void divvy_node_registry_free(struct divvy_node_registry *registry) {
    if (!registry)
        return;
    for (struct entry *entry = registry->first, *after; entry; entry = after) {
        after = entry->after;
        entry_free(entry);
    }
    free(registry->events);
    free(registry);
}

/* --- devices -------------------------------------------------------------------------------------------------------- */

int divvy_node_registry_device_set(struct divvy_node_registry *registry, const struct divvy_node_device *device) {
    for (uint32_t i = 0; i < registry->device_count; i++) {
        if (memcmp(registry->devices[i].uuid, device->uuid, sizeof device->uuid) == 0) {
            registry->devices[i] = *device;
            return (int)i;
        }
    }
    if (registry->device_count == DIVVY_NODE_DEVICES)
        return -ENOSPC;
    registry->devices[registry->device_count] = *device;
    return (int)registry->device_count++;
}

uint32_t divvy_node_registry_device_count(const struct divvy_node_registry *registry) {
    return registry->device_count;
}

struct divvy_node_device *divvy_node_registry_device(struct divvy_node_registry *registry, uint32_t index) {
    return index < registry->device_count ? &registry->devices[index] : NULL;
}

static const char *uuid_digits(const char *text) {
    return strncasecmp(text, "GPU-", 4) == 0 ? text + 4 : text;
}

/* A decimal number of up to four digits, or -1. */
static int small_number(const char *text) {
    int number = 0;

    if (!text[0] || strlen(text) > 4)
        return -1;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return -1;
        number = number * 10 + (*text - '0');
    }
    return number;
}

int divvy_node_registry_device_find(const struct divvy_node_registry *registry, const char *text) {
    int number = small_number(text);

    for (uint32_t i = 0; i < registry->device_count; i++) {
        const struct divvy_node_device *device = &registry->devices[i];

        if (number >= 0 ? device->index == (uint32_t)number
                        : strcasecmp(uuid_digits(text), uuid_digits(device->uuid_text)) == 0)
            return (int)i;
    }
    return -ENOENT;
}

/* --- checks --------------------------------------------------------------------------------------------------------- */

static int refuse(char *why, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int refuse(char *why, int status, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    if (why)
        (void)vsnprintf(why, DIVVY_NODE_TEXT_BYTES, format, arguments);
    va_end(arguments);
    return status;
}

static bool is_name_letter(char letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') || (letter >= '0' && letter <= '9') ||
           letter == '.' || letter == '_' || letter == '-';
}

static bool is_dots(const char *part, size_t length) {
    return (length == 1 && part[0] == '.') || (length == 2 && part[0] == '.' && part[1] == '.');
}

static int id_check(const char *id, char *why) {
    const char *part = id;
    size_t length = strnlen(id, DIVVY_NODE_ID_BYTES);

    if (length == 0 || length >= DIVVY_NODE_ID_BYTES)
        return refuse(why, -EINVAL, "id must have 1 to %u characters", DIVVY_NODE_ID_BYTES - 1);
    for (const char *at = id;; at++) {
        if (*at == '/' || *at == '\0') {
            if (at == part || is_dots(part, (size_t)(at - part)))
                return refuse(why, -EINVAL, "id '%.100s' has an empty part, or one that is '.' or '..'", id);
            part = at + 1;
            if (*at == '\0')
                return 0;
        } else if (!is_name_letter(*at)) {
            return refuse(why, -EINVAL, "id may have letters, digits, '.', '_', '-' and '/' between parts only");
        }
    }
}

static uint64_t promised_bytes(const struct divvy_node_registry *registry, uint32_t device, const struct divvy_node_tenant *but) {
    uint64_t sum = 0;

    for (const struct entry *entry = registry->first; entry; entry = entry->after) {
        if (&entry->tenant == but)
            continue;
        for (uint32_t i = 0; i < entry->tenant.binding_count; i++) {
            const struct divvy_node_binding *binding = &entry->tenant.bindings[i];

            if (binding->device == device && binding->limit_bytes != DIVVY_NODE_MEMORY_NONE &&
                __builtin_add_overflow(sum, binding->limit_bytes, &sum))
                return UINT64_MAX;
        }
    }
    return sum;
}

static int binding_check(const struct divvy_node_registry *registry, const struct divvy_node_tenant *own,
                         const struct divvy_node_binding *binding, uint32_t overcommit_permille, char *why) {
    const struct divvy_node_device *device;
    unsigned __int128 allowed, wanted;

    if (binding->device >= registry->device_count)
        return refuse(why, -EINVAL, "there is no device %u", binding->device);
    device = &registry->devices[binding->device];
    if (binding->compute_permille < 1 || binding->compute_permille > DIVVY_NODE_PERMILLE_NONE)
        return refuse(why, -EINVAL, "the compute limit must be 0.1 to 100 percent");
    if (binding->weight < 1 || binding->weight > DIVVY_NODE_SCHED_WEIGHT_MAX)
        return refuse(why, -EINVAL, "the weight must be 1 to %u", DIVVY_NODE_SCHED_WEIGHT_MAX);
    if (binding->limit_bytes == 0)
        return refuse(why, -EINVAL, "a memory limit of 0 bytes lets nothing run; leave it out for no limit");
    if (binding->limit_bytes == DIVVY_NODE_MEMORY_NONE)
        return 0;
    if (device->memory_bytes && binding->limit_bytes > device->memory_bytes)
        return refuse(why, -EINVAL, "the memory limit of %llu bytes is above the %llu that device %u has",
                      (unsigned long long)binding->limit_bytes, (unsigned long long)device->memory_bytes, device->index);
    if (overcommit_permille == UINT32_MAX || !device->memory_bytes)
        return 0;
    allowed = (unsigned __int128)device->memory_bytes * overcommit_permille / 1000;
    wanted = (unsigned __int128)promised_bytes(registry, binding->device, own) + binding->limit_bytes;
    if (wanted > allowed)
        return refuse(why, -EDQUOT, "device %u: %llu bytes are promised already, and %llu more than may be are asked for",
                      device->index, (unsigned long long)(wanted - binding->limit_bytes),
                      (unsigned long long)(wanted - allowed));
    return 0;
}

static uint32_t weight_of(uint32_t asked, uint32_t compute_permille) {
    if (asked)
        return asked;
    return compute_permille < DIVVY_NODE_PERMILLE_NONE ? compute_permille : DIVVY_NODE_WEIGHT_DEFAULT;
}

/* --- tenants -------------------------------------------------------------------------------------------------------- */

static uint32_t bucket_of(const char *id) {
    uint64_t hash = UINT64_C(14695981039346656037);

    for (; *id; id++)
        hash = (hash ^ (uint8_t)*id) * UINT64_C(1099511628211);
    return (uint32_t)(hash ^ hash >> 32) % BUCKETS;
}

static struct entry *find(const struct divvy_node_registry *registry, const char *id) {
    struct entry *entry = registry->buckets[bucket_of(id)];

    while (entry && strcmp(entry->tenant.id, id) != 0)
        entry = entry->next_in_bucket;
    return entry;
}

static int tenant_fill(const struct divvy_node_registry *registry, const struct divvy_node_spec *spec,
                       int64_t realtime_ns, uint32_t overcommit_permille, struct divvy_node_tenant *tenant, char *why) {
    *tenant = (struct divvy_node_tenant){.source = spec->source,
                                         .qos = spec->qos,
                                         .owner_uid = spec->owner_uid,
                                         .keeper_pid = spec->keeper_pid,
                                         .created_ns = realtime_ns,
                                         .binding_count = spec->binding_count};
    memcpy(tenant->id, spec->id, sizeof tenant->id);
    memcpy(tenant->pod, spec->pod, sizeof tenant->pod);
    memcpy(tenant->namespace, spec->namespace, sizeof tenant->namespace);
    memcpy(tenant->container, spec->container, sizeof tenant->container);
    tenant->pod[sizeof tenant->pod - 1] = tenant->namespace[sizeof tenant->namespace - 1] = '\0';
    tenant->container[sizeof tenant->container - 1] = '\0';
    if ((unsigned)spec->qos >= DIVVY_NODE_QOS_MAX || (unsigned)spec->source >= DIVVY_NODE_SOURCE_MAX)
        return refuse(why, -EINVAL, "there is no such class of service");
    if (spec->binding_count == 0 || spec->binding_count > DIVVY_NODE_DEVICES)
        return refuse(why, -EINVAL, "a tenant must have 1 to %u devices", DIVVY_NODE_DEVICES);
    for (uint32_t i = 0; i < spec->binding_count; i++) {
        struct divvy_node_binding *binding = &tenant->bindings[i];
        int status;

        binding->device = spec->bindings[i].device;
        binding->limit_bytes = spec->bindings[i].limit_bytes;
        binding->compute_permille = spec->bindings[i].compute_permille;
        binding->soft = spec->bindings[i].soft;
        binding->weight = weight_of(spec->bindings[i].weight, spec->bindings[i].compute_permille);
        for (uint32_t k = 0; k < i; k++)
            if (tenant->bindings[k].device == binding->device)
                return refuse(why, -EINVAL, "device %u is named twice", binding->device);
        status = binding_check(registry, NULL, binding, overcommit_permille, why);
        if (status < 0)
            return status;
    }
    return 0;
}

static uint32_t number_take(struct divvy_node_registry *registry) {
    for (uint32_t i = 0; i < DIVVY_NODE_TENANTS_MAX; i++) {
        uint32_t number = (registry->number_next + i) % DIVVY_NODE_TENANTS_MAX;

        /* low numbers first as long as there are few: whoever goes through all of them is quick then */
        if (!registry->numbers[number]) {
            registry->number_next = number + 1 < 2 * registry->tenant_count + 64 ? number + 1 : 0;
            return number;
        }
    }
    return NOBODY;
}

static void link_in(struct divvy_node_registry *registry, struct entry *entry) {
    struct entry **bucket = &registry->buckets[bucket_of(entry->tenant.id)];

    entry->next_in_bucket = *bucket;
    *bucket = entry;
    entry->before = registry->last;
    if (registry->last)
        registry->last->after = entry;
    else
        registry->first = entry;
    registry->last = entry;
    registry->numbers[entry->tenant.number] = entry;
    registry->tenant_count++;
}

int divvy_node_registry_tenant_add(struct divvy_node_registry *registry, const struct divvy_node_spec *spec,
                                   int64_t realtime_ns, uint32_t overcommit_permille, struct divvy_node_tenant **ret_tenant,
                                   char why[DIVVY_NODE_TEXT_BYTES]) {
    struct entry *entry;
    int status = id_check(spec->id, why);

    if (status < 0)
        return status;
    if (find(registry, spec->id))
        return refuse(why, -EEXIST, "there is a tenant '%.100s' already", spec->id);
    if (registry->tenant_count == DIVVY_NODE_TENANTS_MAX)
        return refuse(why, -ENOSPC, "there are %u tenants, and no room for more", DIVVY_NODE_TENANTS_MAX);
    entry = calloc(1, sizeof *entry);
    if (!entry)
        return refuse(why, -ENOMEM, "no memory");
    status = tenant_fill(registry, spec, realtime_ns, overcommit_permille, &entry->tenant, why);
    if (status < 0) {
        free(entry);
        return status;
    }
    entry->tenant.number = number_take(registry);
    link_in(registry, entry);
    *ret_tenant = &entry->tenant;
    return 0;
}

static void binding_change(struct divvy_node_binding *binding, const struct divvy_node_change *change) {
    bool weight_follows = binding->weight == weight_of(0, binding->compute_permille);

    if (change->fields & DIVVY_NODE_CHANGE_MEMORY)
        binding->limit_bytes = change->limit_bytes;
    if (change->fields & DIVVY_NODE_CHANGE_COMPUTE)
        binding->compute_permille = change->compute_permille;
    if (change->fields & DIVVY_NODE_CHANGE_SOFT)
        binding->soft = change->soft;
    if (change->fields & DIVVY_NODE_CHANGE_WEIGHT)
        binding->weight = weight_of(change->weight, binding->compute_permille);
    else if (weight_follows)
        binding->weight = weight_of(0, binding->compute_permille);
}

int divvy_node_registry_tenant_change(struct divvy_node_registry *registry, const char *id,
                                      const struct divvy_node_change *change, uint32_t overcommit_permille,
                                      char why[DIVVY_NODE_TEXT_BYTES]) {
    struct entry *entry = find(registry, id);
    struct divvy_node_binding changed[DIVVY_NODE_DEVICES];
    bool found = false;

    if (!entry)
        return refuse(why, -ENOENT, "there is no tenant '%.100s'", id);
    if (change->fields & DIVVY_NODE_CHANGE_QOS && (unsigned)change->qos >= DIVVY_NODE_QOS_MAX)
        return refuse(why, -EINVAL, "there is no such class of service");
    memcpy(changed, entry->tenant.bindings, sizeof changed);
    for (uint32_t i = 0; i < entry->tenant.binding_count; i++) {
        bool raises;
        int status;

        if (change->device >= 0 && (uint32_t)change->device != changed[i].device)
            continue;
        found = true;
        binding_change(&changed[i], change);
        /* who asks for less, or for no more memory, is not held to what others were promised */
        raises = changed[i].limit_bytes > entry->tenant.bindings[i].limit_bytes;
        status = binding_check(registry, &entry->tenant, &changed[i], raises ? overcommit_permille : UINT32_MAX, why);
        if (status < 0)
            return status;
    }
    if (!found)
        return refuse(why, -EINVAL, "tenant '%.100s' does not have that device", id);
    memcpy(entry->tenant.bindings, changed, sizeof changed);
    if (change->fields & DIVVY_NODE_CHANGE_QOS)
        entry->tenant.qos = change->qos;
    return 0;
}

int divvy_node_registry_tenant_remove(struct divvy_node_registry *registry, const char *id) {
    struct entry *entry = find(registry, id), **link;

    if (!entry)
        return -ENOENT;
    for (link = &registry->buckets[bucket_of(id)]; *link != entry; link = &(*link)->next_in_bucket)
        ;
    *link = entry->next_in_bucket;
    *(entry->before ? &entry->before->after : &registry->first) = entry->after;
    *(entry->after ? &entry->after->before : &registry->last) = entry->before;
    registry->numbers[entry->tenant.number] = NULL;
    registry->tenant_count--;
    entry_free(entry);
    return 0;
}

struct divvy_node_tenant *divvy_node_registry_tenant(struct divvy_node_registry *registry, const char *id) {
    struct entry *entry = find(registry, id);

    return entry ? &entry->tenant : NULL;
}

struct divvy_node_tenant *divvy_node_registry_tenant_number(struct divvy_node_registry *registry, uint32_t number) {
    return number < DIVVY_NODE_TENANTS_MAX && registry->numbers[number] ? &registry->numbers[number]->tenant : NULL;
}

uint32_t divvy_node_registry_tenant_count(const struct divvy_node_registry *registry) {
    return registry->tenant_count;
}

struct divvy_node_tenant *divvy_node_registry_tenant_next(struct divvy_node_registry *registry,
                                                          const struct divvy_node_tenant *tenant) {
    struct entry *entry = tenant ? registry->numbers[tenant->number]->after : registry->first;

    return entry ? &entry->tenant : NULL;
}

/* --- processes ------------------------------------------------------------------------------------------------------ */

static uint32_t process_find(const struct entry *entry, int32_t host_pid, uint64_t start_ticks) {
    uint32_t i = 0;

    while (i < entry->tenant.process_count &&
           (entry->processes[i].host_pid != host_pid || entry->processes[i].start_ticks != start_ticks))
        i++;
    return i;
}

int divvy_node_registry_process_add(struct divvy_node_registry *registry, const char *id,
                                    const struct divvy_node_process *process) {
    struct entry *entry = find(registry, id);
    uint32_t place;

    if (!entry)
        return -ENOENT;
    place = process_find(entry, process->host_pid, process->start_ticks);
    if (place < entry->tenant.process_count) {
        entry->processes[place].used_bytes = process->used_bytes; /* known: what may have changed is taken over */
        return -EEXIST;
    }
    if (entry->tenant.process_count == DIVVY_NODE_PROCESSES_MAX)
        return -ENOSPC;
    if (entry->tenant.process_count == entry->process_room) {
        uint32_t room = entry->process_room ? entry->process_room * 2 : 4;
        struct divvy_node_process *processes = realloc(entry->processes, room * sizeof *processes);

        if (!processes)
            return -ENOMEM;
        entry->processes = processes;
        entry->process_room = room;
    }
    entry->processes[entry->tenant.process_count++] = *process;
    return 0;
}

int divvy_node_registry_process_remove(struct divvy_node_registry *registry, const char *id, int32_t host_pid,
                                       uint64_t start_ticks) {
    struct entry *entry = find(registry, id);
    uint32_t place;

    if (!entry)
        return -ENOENT;
    place = process_find(entry, host_pid, start_ticks);
    if (place == entry->tenant.process_count)
        return -ENOENT;
    entry->processes[place] = entry->processes[--entry->tenant.process_count];
    return 0;
}

int divvy_node_registry_processes(const struct divvy_node_registry *registry, const char *id,
                                  struct divvy_node_process *ret_processes, uint32_t room) {
    const struct entry *entry = find(registry, id);

    if (!entry)
        return -ENOENT;
    for (uint32_t i = 0; i < entry->tenant.process_count && i < room; i++)
        ret_processes[i] = entry->processes[i];
    return (int)entry->tenant.process_count;
}

/* --- events --------------------------------------------------------------------------------------------------------- */

uint64_t divvy_node_registry_event(struct divvy_node_registry *registry, int64_t realtime_ns,
                                   enum divvy_node_event_kind kind, const char *tenant, const char *text) {
    struct divvy_node_event *event = &registry->events[registry->event_last++ % DIVVY_NODE_EVENTS];

    *event = (struct divvy_node_event){.number = registry->event_last, .time_ns = realtime_ns, .kind = kind};
    (void)snprintf(event->tenant, sizeof event->tenant, "%s", tenant);
    (void)snprintf(event->text, sizeof event->text, "%s", text);
    return event->number;
}

uint32_t divvy_node_registry_events(const struct divvy_node_registry *registry, uint64_t after,
                                    struct divvy_node_event *ret_events, uint32_t room) {
    uint64_t oldest = registry->event_last > DIVVY_NODE_EVENTS ? registry->event_last - DIVVY_NODE_EVENTS : 0;
    uint32_t count = 0;

    for (uint64_t i = after > oldest ? after : oldest; i < registry->event_last && count < room; i++)
        ret_events[count++] = registry->events[i % DIVVY_NODE_EVENTS];
    return count;
}
