/*
 * Who holds what, and what follows: a container that is about to start gets its tenant and its link, a slot that nobody holds any
 * more loses them. Once the kubelet has been asked, its answer serves all that wait.
 */
#include "base/cleanup.h"
#include "base/log.h"
#include "core/clock.h"
#include "plugin/inside.h"
#include "plugin/links.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METHOD        "/v1.PodResourcesLister/List"
#define ANSWER_BYTES  (16u << 20) /* what the kubelet sends at most */
#define TIMEOUT_NS    (5 * DIVVY_NS_PER_SECOND)
#define AGAIN_NS      (DIVVY_NS_PER_SECOND / 5)  /* while a container waits */
#define SURE_NS       (2 * DIVVY_NS_PER_SECOND)  /* while a slot seems to be free */
#define QUIET_NS      (15 * DIVVY_NS_PER_SECOND) /* while none does */
#define WAIT_NS       (10 * DIVVY_NS_PER_SECOND) /* the kubelet itself gives up after 30 s */
#define MISSED_ENOUGH 2u /* an answer may be older than a slot that was just given */

struct divvy_plugin_start {
    struct divvy_plugin_start *next;
    struct divvy_plugin *plugin;
    struct divvy_grpc_call *call;
    uint64_t deadline_ns;
    char why[DIVVY_ERROR_TEXT_BYTES]; /* it has not happened yet */
    size_t count;
    struct divvy_plugin_slot slots[]; /* by device and number */
};

static void start_unlink(struct divvy_plugin_start *start) {
    for (struct divvy_plugin_start **at = &start->plugin->starts; *at; at = &(*at)->next)
        if (*at == start) {
            *at = start->next;
            return;
        }
}

static void start_gone(struct divvy_grpc_call *call, void *data) {
    (void)call;
    start_unlink(data);
    free(data);
}

static void start_end(struct divvy_plugin_start *start, enum divvy_grpc_status status, const char *text) {
    if (status != DIVVY_GRPC_OK)
        divvy_log_warn("device plugin: a container may not start: %s", text);
    start_unlink(start);
    divvy_grpc_call_finish(start->call, status, text);
    free(start);
}

void divvy_plugin_start_begin(struct divvy_plugin *plugin, struct divvy_grpc_call *call, const uint8_t *request, size_t length) {
    struct divvy_plugin_node node = divvy_plugin_node_now(plugin);
    struct divvy_plugin_slot slots[DIVVY_PLUGIN_IDS_MAX];
    struct divvy_error error = {0, ""};
    struct divvy_plugin_start *start;
    int count = divvy_plugin_request_start(&node, request, length, slots, &error);

    if (count < 0) {
        divvy_grpc_call_finish(call, count == -EINVAL ? DIVVY_GRPC_INVALID_ARGUMENT : DIVVY_GRPC_FAILED_PRECONDITION, error.text);
        return;
    }
    start = calloc(1, sizeof *start + (size_t)count * sizeof *slots);
    if (!start) {
        divvy_grpc_call_finish(call, DIVVY_GRPC_RESOURCE_EXHAUSTED, "no memory");
        return;
    }
    *start = (struct divvy_plugin_start){
        .next = plugin->starts, .plugin = plugin, .call = call, .deadline_ns = divvy_core_clock_ns() + WAIT_NS, .count = (size_t)count};
    memcpy(start->slots, slots, start->count * sizeof *slots);
    plugin->starts = start;
    plugin->ask_ns = 0;
    divvy_grpc_call_keep(call, start, start_gone);
}

/* --- an answer ------------------------------------------------------------------------------------------------------------ */

static int link_set(struct divvy_plugin *plugin, const struct divvy_plugin_start *start, const char *folder, struct divvy_error *error) {
    char name[DIVVY_PLUGIN_ID_BYTES];
    int status;

    divvy_plugin_slot_name(&plugin->devices[start->slots[0].device], start->slots[0].number, name);
    status = divvy_plugin_link_set(plugin->links_fd, name, folder);
    if (status < 0)
        return divvy_error_set_errno(error, status, "cannot link %s to the tenant's folder", name);
    plugin->missed[start->slots[0].device][start->slots[0].number] = 0;
    return 0;
}

/* All slots of the holder's pod, by device and number: its containers share what they have. How many; -ENOMEM. */
static int pod_slots(const struct divvy_plugin_holders *holders, const struct divvy_plugin_holder *holder, struct divvy_plugin_slot **ret_slots) {
    struct divvy_plugin_slot *slots = calloc(holders->slot_count, sizeof *slots);
    size_t count = 0, kept = 0;

    if (!slots)
        return -ENOMEM;
    for (size_t i = 0; i < holders->count; i++) {
        const struct divvy_plugin_holder *other = &holders->holders[i];

        if (strcmp(other->namespace, holder->namespace) != 0 || strcmp(other->pod, holder->pod) != 0)
            continue;
        memcpy(slots + count, holders->slots + other->first, other->count * sizeof *slots);
        count += other->count;
    }
    qsort(slots, count, sizeof *slots, divvy_plugin_slot_compare);
    /* Two containers have the same slot where one comes after the other. */
    for (size_t i = 0; i < count; i++)
        if (i == 0 || divvy_plugin_slot_compare(&slots[i], &slots[kept - 1]) != 0)
            slots[kept++] = slots[i];
    *ret_slots = slots;
    return (int)kept;
}

static int slot_link_read(const struct divvy_plugin *plugin, struct divvy_plugin_slot slot, char ret_folder[DIVVY_PLUGIN_FOLDER_BYTES]) {
    char name[DIVVY_PLUGIN_ID_BYTES];

    divvy_plugin_slot_name(&plugin->devices[slot.device], slot.number, name);
    return divvy_plugin_link_read(plugin->links_fd, name, ret_folder, DIVVY_PLUGIN_FOLDER_BYTES);
}

/* Whether one of these slots leads somewhere already. */
static bool is_linked(const struct divvy_plugin *plugin, const struct divvy_plugin_slot *slots, size_t count) {
    char folder[DIVVY_PLUGIN_FOLDER_BYTES];

    for (size_t i = 0; i < count; i++)
        if (slot_link_read(plugin, slots[i], folder) == 0)
            return true;
    return false;
}

static int pod_hold(struct divvy_plugin *plugin, const struct divvy_plugin_holder *holder, char ret_folder[DIVVY_PLUGIN_FOLDER_BYTES],
                    struct divvy_error *error) {
    struct divvy_plugin_share shares[DIVVY_NODE_DEVICES];
    cleanup_free struct divvy_plugin_slot *slots = NULL;
    int count = pod_slots(&plugin->asked, holder, &slots);

    if (count < 0)
        return divvy_error_set_errno(error, count, "the pod's slots");
    return plugin->options.hooks.tenant_hold(plugin->options.hooks.data, holder, shares,
                                             divvy_plugin_slots_share(slots, (size_t)count, plugin->devices, plugin->options.slots, shares),
                                             !is_linked(plugin, slots, (size_t)count), ret_folder, error);
}

/* 0: it may start; -EAGAIN: not yet. */
static int start_try(struct divvy_plugin *plugin, struct divvy_plugin_start *start, struct divvy_error *error) {
    const struct divvy_plugin_holder *holder = divvy_plugin_holders_find(&plugin->asked, start->slots, start->count);
    char folder[DIVVY_PLUGIN_FOLDER_BYTES];
    int status;

    if (!holder)
        return divvy_error_set(error, -EAGAIN, "the kubelet does not say whose container it is (PodResources API)");
    status = pod_hold(plugin, holder, folder, error);
    if (status == 0)
        status = link_set(plugin, start, folder, error);
    if (status == 0)
        divvy_log_info("device plugin: %s/%s/%s has %u slots", holder->namespace, holder->pod, holder->container, holder->count);
    return status;
}

static void starts_try(struct divvy_plugin *plugin) {
    struct divvy_plugin_start *start = plugin->starts, *next;

    for (; start; start = next) {
        struct divvy_error error = {0, ""};
        int status = start_try(plugin, start, &error);

        next = start->next;
        if (status == -EAGAIN)
            (void)snprintf(start->why, sizeof start->why, "%s", error.text);
        else
            start_end(start, status < 0 ? DIVVY_GRPC_FAILED_PRECONDITION : DIVVY_GRPC_OK, status < 0 ? error.text : NULL);
    }
}

/* Whether a slot that is held leads to the folder: of another container of the pod. */
static bool is_needed(const struct divvy_plugin *plugin, const char *folder) {
    char other[DIVVY_PLUGIN_FOLDER_BYTES];

    for (size_t i = 0; i < plugin->asked.slot_count; i++)
        if (slot_link_read(plugin, plugin->asked.slots[i], other) == 0 && strcmp(other, folder) == 0)
            return true;
    return false;
}

/* A link whose slot nobody holds: its tenant may go, and then the link. */
static void slot_sweep(struct divvy_plugin *plugin, struct divvy_plugin_slot slot) {
    uint8_t *missed = &plugin->missed[slot.device][slot.number];
    char name[DIVVY_PLUGIN_ID_BYTES], folder[DIVVY_PLUGIN_FOLDER_BYTES];

    if (divvy_plugin_holders_has(&plugin->asked, &slot)) {
        *missed = 0;
        return;
    }
    if (slot_link_read(plugin, slot, folder) < 0 || ++*missed < MISSED_ENOUGH)
        return;
    *missed = MISSED_ENOUGH;
    if (!is_needed(plugin, folder) && plugin->options.hooks.tenant_release(plugin->options.hooks.data, folder) == -EBUSY)
        return;
    divvy_plugin_slot_name(&plugin->devices[slot.device], slot.number, name);
    divvy_plugin_link_remove(plugin->links_fd, name);
    *missed = 0;
}

/* Whether it has to be done again soon. */
static bool sweep(struct divvy_plugin *plugin) {
    bool again = false;

    for (uint32_t device = 0; device < plugin->device_count; device++)
        for (uint32_t number = 0; number < plugin->options.slots; number++) {
            slot_sweep(plugin, (struct divvy_plugin_slot){device, number});
            again = again || (plugin->missed[device][number] > 0 && plugin->missed[device][number] < MISSED_ENOUGH);
        }
    return again;
}

/* --- asking --------------------------------------------------------------------------------------------------------------- */

static void answer(void *data, const uint8_t *message, size_t length) {
    struct divvy_plugin *plugin = data;

    if (plugin->asked_came) {
        plugin->asked_broken = true;
        return;
    }
    plugin->asked_came = true;
    plugin->asked_broken = divvy_plugin_holders_parse(message, length, plugin->options.resource, plugin->devices, plugin->device_count,
                                                      plugin->options.slots, &plugin->asked) < 0;
}

static void reason_tell(struct divvy_plugin *plugin) {
    if (plugin->reason[0] && strcmp(plugin->reason, plugin->told) != 0)
        divvy_log_warn("device plugin: who holds which devices is not known: %s", plugin->reason);
    memcpy(plugin->told, plugin->reason, sizeof plugin->told);
    for (struct divvy_plugin_start *start = plugin->starts; start && plugin->reason[0]; start = start->next)
        (void)snprintf(start->why, sizeof start->why, "who holds which devices is not known: %.180s", plugin->reason);
}

/* Containers that have slots which we do not know, or names that no pod has: their links are not made, and nobody else would say so. */
static void odd_tell(struct divvy_plugin *plugin) {
    if (plugin->asked.odd > 0 && plugin->asked.odd != plugin->odd)
        divvy_log_warn("device plugin: %u container%s in the kubelet's list %s slots or names that cannot be; left out", plugin->asked.odd,
                       plugin->asked.odd == 1 ? "" : "s", plugin->asked.odd == 1 ? "has" : "have");
    plugin->odd = plugin->asked.odd;
}

static void done(void *data, enum divvy_grpc_status status, const char *text) {
    struct divvy_plugin *plugin = data;
    bool again = false;

    divvy_grpc_client_free(plugin->asking);
    plugin->asking = NULL;
    plugin->reason[0] = '\0';
    if (status != DIVVY_GRPC_OK)
        (void)snprintf(plugin->reason, sizeof plugin->reason, "%s: %.200s", divvy_grpc_status_name(status), text);
    else if (!plugin->asked_came || plugin->asked_broken)
        (void)snprintf(plugin->reason, sizeof plugin->reason, "the kubelet's answer is no list of pods");
    reason_tell(plugin);
    if (!plugin->reason[0]) {
        odd_tell(plugin);
        starts_try(plugin);
        again = sweep(plugin);
    }
    divvy_plugin_holders_done(&plugin->asked);
    plugin->ask_ns = divvy_core_clock_ns() + (plugin->starts ? AGAIN_NS : again ? SURE_NS : QUIET_NS);
}

static void ask(struct divvy_plugin *plugin) {
    struct divvy_grpc_client_options options = {.socket_path = plugin->options.pod_resources,
                                                .path = METHOD,
                                                .timeout_ns = TIMEOUT_NS,
                                                .answer_max_bytes = ANSWER_BYTES,
                                                .message = answer,
                                                .done = done,
                                                .data = plugin};
    int status;

    plugin->asked_came = plugin->asked_broken = false;
    status = divvy_grpc_client_new(&plugin->loop, &options, &plugin->asking);
    if (status == 0)
        return;
    (void)snprintf(plugin->reason, sizeof plugin->reason, "%.150s: %s", plugin->options.pod_resources, strerror(-status));
    reason_tell(plugin);
    plugin->ask_ns = divvy_core_clock_ns() + QUIET_NS;
}

uint64_t divvy_plugin_start_tick(struct divvy_plugin *plugin, uint64_t now_ns) {
    uint64_t due_ns = divvy_grpc_client_tick(plugin->asking, now_ns);
    struct divvy_plugin_start *start = plugin->starts, *next;

    for (; start; start = next) {
        next = start->next;
        if (now_ns >= start->deadline_ns)
            start_end(start, DIVVY_GRPC_UNAVAILABLE, start->why[0] ? start->why : "the kubelet does not answer (PodResources API)");
        else if (start->deadline_ns < due_ns)
            due_ns = start->deadline_ns;
    }
    if (!plugin->asking && plugin->device_count > 0 && now_ns >= plugin->ask_ns) {
        ask(plugin);
        return now_ns;
    }
    if (!plugin->asking && plugin->ask_ns < due_ns)
        due_ns = plugin->ask_ns;
    return due_ns;
}

void divvy_plugin_start_done(struct divvy_plugin *plugin) {
    divvy_grpc_client_free(plugin->asking);
    plugin->asking = NULL;
    divvy_plugin_holders_done(&plugin->asked);
}
