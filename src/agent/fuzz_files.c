/*
 * Fuzz target of the two files of workers: state/workers.json, a line with "---", config/workers.json. Whoever may run has a port, GPUs of this
 * machine and fits on them.
 */
#include "agent/wish.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void wishes_check(const struct divvy_agent_wishes *wishes, const json_t *gpus) {
    uint64_t percent = 0;

    for (size_t i = 0; i < wishes->count; i++) {
        const struct divvy_agent_wish *wish = &wishes->list[i];
        const json_t *device;
        size_t index;

        if (!wish->port || !wish->id[0])
            abort();
        if (!wish->enabled || wish->refusal[0])
            continue;
        if (json_array_size(wish->devices) == 0)
            abort();
        json_array_foreach(wish->devices, index,
                           device) if (!divvy_agent_gpu_find(gpus, json_string_value(device)))
            abort();
        percent += wish->percent;
    }
    if (percent > 100)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static json_t *gpus;
    const uint8_t *gap = size ? memmem(data, size, "\n---\n", 5) : NULL;
    size_t first = gap ? (size_t)(gap - data) : size;
    json_t *lists[2] = {json_loadb((const char *)data, first, 0, NULL),
                        gap ? json_loadb((const char *)gap + 5, size - first - 5, 0, NULL)
                            : json_array()};

    if (!gpus)
        gpus = json_pack("[{s:s, s:i}]", "gpu_id", "GPU-0", "vram_mb", 1000);
    for (int way = 0; way < 2; way++) {
        const struct divvy_agent_wish_input input = {
            .is_single_node = way, .state = lists[0], .config = lists[1], .gpus = gpus};
        struct divvy_agent_wishes wishes;

        if (divvy_agent_wishes_make(&input, &wishes) < 0)
            continue;
        wishes_check(&wishes, gpus);
        divvy_agent_wishes_done(&wishes);
    }
    json_decref(lists[0]);
    json_decref(lists[1]);
    return 0;
}
