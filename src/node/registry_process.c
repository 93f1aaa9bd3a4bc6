/* Processes of tenants: arrays that grow by doubling, in the order in which they came. */
#include "node/registry_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST 4u

static uint32_t find(const struct divvy_node_record *record, int32_t host_pid, uint64_t start_ticks) {
    uint32_t i = 0;
    while (i < record->tenant.process_count && (record->processes[i].host_pid != host_pid ||
                                                record->processes[i].start_ticks != start_ticks))
        i++;
    return i;
}

int divvy_node_registry_process_add(struct divvy_node_registry *registry, const char *id,
                                    const struct divvy_node_process *process) {
    struct divvy_node_record *record = divvy_node_record_find(registry, id);
    if (!record)
        return -ENOENT;
    uint32_t count = record->tenant.process_count;
    uint32_t known = find(record, process->host_pid, process->start_ticks);
    if (known < count) {
        record->processes[known].used_bytes = process->used_bytes;
        return -EEXIST;
    }
    if (count == DIVVY_NODE_PROCESSES_MAX)
        return -ENOSPC;
    if (count == record->process_room) {
        uint32_t room = count ? 2 * count : ROOM_FIRST;
        struct divvy_node_process *grown = realloc(record->processes, room * sizeof *grown);
        if (!grown)
            return -ENOMEM;
        record->processes = grown;
        record->process_room = room;
    }
    struct divvy_node_process *entered = &record->processes[count];
    *entered = *process;
    divvy_node_line_copy(entered->name, sizeof entered->name, process->name);
    record->tenant.process_count++;
    return 0;
}

int divvy_node_registry_process_used(struct divvy_node_registry *registry, const char *id, int32_t host_pid,
                                     uint64_t start_ticks, uint64_t used_bytes) {
    struct divvy_node_record *record = divvy_node_record_find(registry, id);
    uint32_t at = record ? find(record, host_pid, start_ticks) : 0;
    if (!record || at == record->tenant.process_count)
        return -ENOENT;
    record->processes[at].used_bytes = used_bytes;
    return 0;
}

int divvy_node_registry_process_remove(struct divvy_node_registry *registry, const char *id, int32_t host_pid,
                                       uint64_t start_ticks) {
    struct divvy_node_record *record = divvy_node_record_find(registry, id);
    if (!record)
        return -ENOENT;
    uint32_t at = find(record, host_pid, start_ticks);
    if (at == record->tenant.process_count)
        return -ENOENT;
    record->tenant.process_count--;
    memmove(&record->processes[at], &record->processes[at + 1],
            (record->tenant.process_count - at) * sizeof *record->processes);
    return 0;
}

int divvy_node_registry_processes(const struct divvy_node_registry *registry, const char *id,
                                  struct divvy_node_process *ret_processes, uint32_t room) {
    const struct divvy_node_record *record = divvy_node_record_find(registry, id);
    if (!record)
        return -ENOENT;
    uint32_t count = record->tenant.process_count;
    if (room > count)
        room = count;
    if (room > 0)
        memcpy(ret_processes, record->processes, room * sizeof *ret_processes);
    return (int)count;
}

struct divvy_node_tenant *divvy_node_registry_process_tenant(struct divvy_node_registry *registry, int32_t host_pid) {
    for (struct divvy_node_record *record = registry->newest; record; record = record->older)
        for (uint32_t i = 0; i < record->tenant.process_count; i++)
            if (record->processes[i].host_pid == host_pid)
                return &record->tenant;
    return NULL;
}
