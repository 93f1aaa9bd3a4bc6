/*
 * Fuzz target of what the kubelet sends: requests of all methods, and the list of pods. Whatever is answered to a preferred allocation
 * must be as many ids as were asked for, of the slots that there are.
 */
#include "plugin/answer.h"
#include "plugin/holders.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct divvy_node_device devices[] = {
    {.index = 0, .minor = 0, .uuid_text = "GPU-00000000-0000-0000-0000-000000000000", .healthy = true, .simulated = true, .memory_bytes = 1u << 30},
    {.index = 1, .minor = 1, .uuid_text = "GPU-11111111-1111-1111-1111-111111111111", .healthy = false, .simulated = true, .numa_node = -1},
};

static void holders_look(const uint8_t *data, size_t size) {
    struct divvy_plugin_holders holders;

    if (divvy_plugin_holders_parse(data, size, "divvy.io/gpu", devices, 2, 4, &holders) < 0)
        return;
    for (size_t i = 0; i < holders.count; i++) {
        const struct divvy_plugin_holder *holder = &holders.holders[i];

        if (holder->count == 0 || holder->first + holder->count > holders.slot_count)
            abort();
        /* Another one may hold the same slots: the kubelet is not believed to be right. */
        if (!divvy_plugin_holders_find(&holders, holders.slots + holder->first, holder->count) ||
            !divvy_plugin_holders_has(&holders, &holders.slots[holder->first]))
            abort();
    }
    divvy_plugin_holders_done(&holders);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct divvy_plugin_node node = {.devices = devices,
                                     .device_count = 2,
                                     .slots = 4,
                                     .policy = size & 1 ? DIVVY_PLUGIN_SPREAD : DIVVY_PLUGIN_PACK,
                                     .device_root = "/nonexistent",
                                     .library_dir = "/lib", .preload_file = "",
                                     .slots_dir = "/slots"};
    struct divvy_plugin_slot slots[DIVVY_PLUGIN_IDS_MAX];
    struct divvy_error error = {0, ""};
    uint8_t *bytes = NULL;
    size_t length;

    if (divvy_plugin_answer_allocate(&node, data, size, &bytes, &length, &error) == 0)
        free(bytes);
    else if (!error.text[0])
        abort();
    if (divvy_plugin_answer_preferred(&node, data, size, &bytes, &length, &error) == 0)
        free(bytes);
    if (divvy_plugin_request_start(&node, data, size, slots, &error) > (int)DIVVY_PLUGIN_IDS_MAX)
        abort();
    holders_look(data, size);
    return 0;
}
