/* Names of enumerators, as JSON and the command line have them: see registry.h. */
#include "node/registry.h"

#include <errno.h>
#include <strings.h>

static const char *const qos_names[DIVVY_NODE_QOS_MAX] = {"low", "medium", "high", "critical"};

static const char *const state_names[DIVVY_NODE_TENANT_STATE_MAX] = {"idle", "running", "frozen", "saved"};

static const char *const event_names[DIVVY_NODE_EVENT_KIND_MAX] = {
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
};

static const char *name_of(const char *const *names, unsigned int count, unsigned int index) {
    return index < count ? names[index] : NULL;
}

const char *divvy_node_qos_name(enum divvy_node_qos qos) {
    return name_of(qos_names, DIVVY_NODE_QOS_MAX, (unsigned int)qos);
}

const char *divvy_node_event_name(enum divvy_node_event_kind kind) {
    return name_of(event_names, DIVVY_NODE_EVENT_KIND_MAX, (unsigned int)kind);
}

const char *divvy_node_state_name(enum divvy_node_tenant_state state) {
    return name_of(state_names, DIVVY_NODE_TENANT_STATE_MAX, (unsigned int)state);
}

int divvy_node_qos_parse(const char *text, enum divvy_node_qos *ret_qos) {
    for (unsigned int i = 0; i < DIVVY_NODE_QOS_MAX; i++) {
        if (strcasecmp(text, qos_names[i]) == 0) {
            *ret_qos = (enum divvy_node_qos)i;
            return 0;
        }
    }
    return -EINVAL;
}
