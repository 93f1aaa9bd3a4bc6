/* Launches with attributes through the client's library: launch_with ADDRESS. Ends with 0 when everything is as it should be. */
#include "divvy/client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define THREADS 64u

enum { ATTRIBUTE_COOPERATIVE = 2, ATTRIBUTE_CLUSTER_DIMENSION = 4, ATTRIBUTE_PRIORITY = 8, ATTRIBUTE_COMPLETION_EVENT = 12, ATTRIBUTE_NODE = 13 };

static const char ptx[] = ".version 6.0\n.target sm_50\n.address_size 64\n"
                          ".visible .entry count(.param .u64 to, .param .u32 step)\n{\n"
                          "  .reg .b32 %r<3>;\n  .reg .b64 %rd<2>;\n"
                          "  ld.param.u64 %rd1, [to];\n  ld.param.u32 %r1, [step];\n"
                          "  red.global.add.u32 [%rd1], %r1;\n  ret;\n}\n";

#define CHECK(wanted, call)                                                                        \
    do {                                                                                           \
        int got_ = (call), wanted_ = (wanted);                                                     \
        if (got_ != wanted_) {                                                                     \
            (void)fprintf(stderr, "line %d: %d instead of %d: %s\n", __LINE__, got_, wanted_,      \
                          client ? divvy_client_text(client) : "");                                \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

int main(int argc, char **argv) {
    const struct divvy_client_shape shape = {.grid = {4, 1, 1}, .block = {THREADS, 1, 1}}, odd = {.grid = {3, 1, 1}, .block = {1, 1, 1}};
    struct divvy_client_attribute attributes[17] = {{.id = ATTRIBUTE_COOPERATIVE, .value = {1}}, {.id = ATTRIBUTE_PRIORITY, .value = {0}},
                                                    {.id = ATTRIBUTE_COMPLETION_EVENT}};
    struct divvy_client_function function;
    struct divvy_client *client = NULL;
    uint64_t context, module, address, event;
    uint32_t step = 3, sum = 1;
    const void *parameters[] = {&address, &step};

    if (argc != 2)
        return 2;
    CHECK(-EINVAL, divvy_client_open_with(argv[1], 10000, 8, &client));
    CHECK(0, divvy_client_open_with(argv[1], 10000, DIVVY_CLIENT_CHECKSUMS | DIVVY_CLIENT_COMPRESS, &client));
    CHECK(DIVVY_CLIENT_CHECKSUMS | DIVVY_CLIENT_COMPRESS, (int)divvy_client_granted(client));
    CHECK(0, divvy_client_context_primary(client, 0, &context));
    CHECK(0, divvy_client_module_load(client, ptx, sizeof ptx, &module));
    CHECK(0, divvy_client_function_get(client, module, "count", &function));
    CHECK(0, divvy_client_memory_allocate(client, 4096, &address));
    CHECK(0, divvy_client_fill(client, address, 0, 4, 1024, 0));
    CHECK(0, divvy_client_event_create(client, 2, &event)); /* CU_EVENT_DISABLE_TIMING, as the driver demands of such events */
    attributes[2].value[0] = event;
    CHECK(0, divvy_client_launch_with(client, &function, &shape, 0, attributes, 3, parameters));
    CHECK(0, divvy_client_event_sync(client, event));
    CHECK(0, divvy_client_launch_with(client, &function, &shape, 0, NULL, 0, parameters));
    CHECK(0, divvy_client_copy_out(client, address, sizeof sum, 0, &sum));
    CHECK((int)(2 * 4 * THREADS * step), (int)sum);

    /* The driver's own answers to attributes come back: a cluster that does not divide the grid. */
    attributes[0] = (struct divvy_client_attribute){.id = ATTRIBUTE_CLUSTER_DIMENSION, .value = {2 | UINT64_C(1) << 32, 1}};
    CHECK(0, divvy_client_launch_with(client, &function, &odd, 0, attributes, 1, parameters));
    CHECK(912, divvy_client_context_sync(client)); /* CUDA_ERROR_INVALID_CLUSTER_SIZE */
    /* What the worker does not pass on. */
    for (uint32_t id = ATTRIBUTE_NODE; id < 1000; id += 980) {
        attributes[0] = (struct divvy_client_attribute){.id = id, .value = {1}};
        CHECK(0, divvy_client_launch_with(client, &function, &shape, 0, attributes, 1, parameters));
        CHECK(801, divvy_client_context_sync(client));
    }
    attributes[2].value[0] = event + 1000;
    CHECK(0, divvy_client_launch_with(client, &function, &shape, 0, attributes + 2, 1, parameters));
    CHECK(400, divvy_client_context_sync(client));
    CHECK(-EINVAL, divvy_client_launch_with(client, &function, &shape, 0, attributes, 17, parameters));
    CHECK(0, divvy_client_context_sync(client));
    divvy_client_close(client);
    return 0;
}
