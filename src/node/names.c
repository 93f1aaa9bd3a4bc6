/* Names of classes, states and events as JSON and the command line spell them. */
#include "node/registry.h"

#include <errno.h>
#include <strings.h>

#include "page/control.h"

#define NAME_OF(names, value) ((unsigned)(value) < sizeof(names) / sizeof *(names) ? (names)[(unsigned)(value)] : NULL)

static const char *const qos_names[] = {
    [DIVVY_NODE_QOS_LOW] = "low",
    [DIVVY_NODE_QOS_MEDIUM] = "medium",
    [DIVVY_NODE_QOS_HIGH] = "high",
    [DIVVY_NODE_QOS_CRITICAL] = "critical",
};

static const char *const event_names[] = {
    [DIVVY_NODE_EVENT_TENANT_CREATED] = "tenant-created",
    [DIVVY_NODE_EVENT_TENANT_ADOPTED] = "tenant-adopted",
    [DIVVY_NODE_EVENT_TENANT_CHANGED] = "tenant-changed",
    [DIVVY_NODE_EVENT_TENANT_FROZEN] = "tenant-frozen",
    [DIVVY_NODE_EVENT_TENANT_RESUMED] = "tenant-resumed",
    [DIVVY_NODE_EVENT_TENANT_REMOVED] = "tenant-removed",
    [DIVVY_NODE_EVENT_PROCESS_STARTED] = "process-started",
    [DIVVY_NODE_EVENT_PROCESS_ENDED] = "process-ended",
    [DIVVY_NODE_EVENT_MEMORY_REFUSED] = "memory-refused",
    [DIVVY_NODE_EVENT_LONG_KERNEL] = "long-kernel",
    [DIVVY_NODE_EVENT_DEVICE_LOST] = "device-lost",
    [DIVVY_NODE_EVENT_DEVICE_BACK] = "device-back",
    [DIVVY_NODE_EVENT_PAGE_BROKEN] = "page-broken",
    [DIVVY_NODE_EVENT_DAEMON] = "daemon",
    [DIVVY_NODE_EVENT_TRAP] = "trap",
};

static const char *const state_names[] = {
    [DIVVY_NODE_TENANT_IDLE] = "idle",
    [DIVVY_NODE_TENANT_RUNNING] = "running",
    [DIVVY_NODE_TENANT_FROZEN] = "frozen",
    [DIVVY_NODE_TENANT_SAVED] = "saved",
    [DIVVY_NODE_TENANT_ASLEEP] = "asleep",
};

static const char *const source_names[] = {
    [DIVVY_NODE_FROM_RUN] = "run",
    [DIVVY_NODE_FROM_POD] = "pod",
    [DIVVY_NODE_FROM_API] = "api",
};

static const char *const mode_names[] = {
    [DIVVY_CONTROL_SELF] = "self",
    [DIVVY_CONTROL_OPEN] = "open",
    [DIVVY_CONTROL_LEASED] = "leased",
    [DIVVY_CONTROL_FROZEN] = "frozen",
};

_Static_assert(sizeof qos_names / sizeof *qos_names == DIVVY_NODE_QOS_MAX, "qos names");
_Static_assert(sizeof event_names / sizeof *event_names == DIVVY_NODE_EVENT_KIND_MAX, "event names");
_Static_assert(sizeof state_names / sizeof *state_names == DIVVY_NODE_TENANT_STATE_MAX, "state names");
_Static_assert(sizeof source_names / sizeof *source_names == DIVVY_NODE_SOURCE_MAX, "source names");
_Static_assert(sizeof mode_names / sizeof *mode_names == DIVVY_CONTROL_MODE_MAX, "mode names");

const char *divvy_node_qos_name(enum divvy_node_qos qos) {
    return NAME_OF(qos_names, qos);
}

const char *divvy_node_event_name(enum divvy_node_event_kind kind) {
    return NAME_OF(event_names, kind);
}

const char *divvy_node_state_name(enum divvy_node_tenant_state state) {
    return NAME_OF(state_names, state);
}

const char *divvy_node_source_name(enum divvy_node_source source) {
    return NAME_OF(source_names, source);
}

const char *divvy_node_mode_name(uint32_t mode) {
    return NAME_OF(mode_names, mode);
}

int divvy_node_qos_parse(const char *text, enum divvy_node_qos *ret_qos) {
    for (unsigned i = 0; i < DIVVY_NODE_QOS_MAX; i++) {
        if (strcasecmp(text, qos_names[i]) == 0) {
            *ret_qos = (enum divvy_node_qos)i;
            return 0;
        }
    }
    return -EINVAL;
}
