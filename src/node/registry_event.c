/* What happened, newest kept: a ring. */
#include "node/registry_internal.h"

#include <assert.h>
#include <string.h>

/* Bytes of the character that begins here, as its first byte says. */
static size_t character_bytes(unsigned char first) {
    if (first < 0xc0)
        return 1;
    if (first < 0xe0)
        return 2;
    return first < 0xf0 ? 3 : 4;
}

/* Also where the source lacks its NUL: no more than `room` bytes of it are looked at. */
void divvy_node_line_copy(char *ret_line, size_t room, const char *text) {
    size_t length = text ? strnlen(text, room) : 0, at = 0;
    while (at < length && at + character_bytes((unsigned char)text[at]) < room) {
        size_t bytes = character_bytes((unsigned char)text[at]);
        for (size_t i = 0; i < bytes && at < length; i++, at++) {
            unsigned char byte = (unsigned char)text[at];
            ret_line[at] = byte < ' ' || byte == 127 ? ' ' : (char)byte;
        }
    }
    ret_line[at] = '\0';
}

uint64_t divvy_node_registry_event(struct divvy_node_registry *registry, int64_t realtime_ns,
                                   enum divvy_node_event_kind kind, const char *tenant, int32_t pid, const char *text) {
    assert((unsigned)kind < DIVVY_NODE_EVENT_KIND_MAX);
    const struct divvy_node_record *record = tenant && *tenant ? divvy_node_record_find(registry, tenant) : NULL;
    struct divvy_node_event *event = &registry->events[registry->event_last++ % DIVVY_NODE_EVENTS];
    event->number = registry->event_last;
    event->time_ns = realtime_ns;
    event->kind = kind;
    event->pid = pid;
    event->qos = record ? record->tenant.qos : DIVVY_NODE_QOS_MEDIUM;
    event->weight = record && record->tenant.binding_count ? record->tenant.bindings[0].weight : 0;
    divvy_node_line_copy(event->tenant, sizeof event->tenant, tenant);
    divvy_node_line_copy(event->text, sizeof event->text, text);
    return event->number;
}

uint32_t divvy_node_registry_events(const struct divvy_node_registry *registry, uint64_t after,
                                    struct divvy_node_event *ret_events, uint32_t room) {
    uint64_t last = registry->event_last;
    if (last > DIVVY_NODE_EVENTS && after < last - DIVVY_NODE_EVENTS)
        after = last - DIVVY_NODE_EVENTS;
    uint32_t count = 0;
    for (; after < last && count < room; after++)
        ret_events[count++] = registry->events[after % DIVVY_NODE_EVENTS];
    return count;
}
