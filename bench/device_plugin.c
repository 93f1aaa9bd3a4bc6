/*
 * What the kubelet waits for: Allocate of divvyd's device plugin on a node of 16 devices with 100 slots each, for one slot and for eight, and
 * the choice among all 1,600. Each call has a connection of its own, which the kubelet's have not: the figures are above what it sees. They
 * are from the call to its last message, as the caller has them.
 */
#include "node.h"

#include "core/clock.h"
#include "grpc/client.h"
#include "plugin/device_plugin.pb-c.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CALLS_MAX   2000u
#define DEVICES     16u
#define SLOTS       100u
#define ID_BYTES    64u
#define AT_MOST_MS  5.0
#define PATIENCE_NS (60 * DIVVY_NS_PER_SECOND)
#define ANSWER_MAX  (4u << 20)

struct caller {
    const struct bench *bench;
    struct divvy_loop loop;
    char path[108];
    bool ended;
    enum divvy_grpc_status status;
    char text[DIVVY_GRPC_TEXT_BYTES];
    uint8_t *answer;
    size_t length;
};

static char ids[DEVICES * SLOTS][ID_BYTES];
static char *id_list[DEVICES * SLOTS];

static void message(void *data, const uint8_t *bytes, size_t length) {
    struct caller *caller = data;

    free(caller->answer);
    caller->answer = malloc(length + 1);
    if (!caller->answer)
        bench_fail(caller->bench, "no memory");
    memcpy(caller->answer, bytes, length);
    caller->length = length;
}

static void done(void *data, enum divvy_grpc_status status, const char *text) {
    struct caller *caller = data;

    caller->ended = true;
    caller->status = status;
    (void)snprintf(caller->text, sizeof caller->text, "%s", text);
}

/* Until the end, or the first message where only that is wanted; milliseconds. */
static double call(struct caller *caller, const char *method, const ProtobufCMessage *request, bool only_first) {
    uint8_t *bytes = malloc(protobuf_c_message_get_packed_size(request) + 1);
    struct divvy_grpc_client_options options = {.socket_path = caller->path,
                                                .path = method,
                                                .request = bytes,
                                                .timeout_ns = PATIENCE_NS,
                                                .answer_max_bytes = ANSWER_MAX,
                                                .message = message,
                                                .done = done,
                                                .data = caller};
    struct divvy_grpc_client *client;
    uint64_t begun_ns = bench_now_ns(), ended_ns;

    if (!bytes)
        bench_fail(caller->bench, "no memory");
    options.length = protobuf_c_message_pack(request, bytes);
    caller->ended = false;
    free(caller->answer);
    caller->answer = NULL;
    if (divvy_grpc_client_new(&caller->loop, &options, &client) < 0)
        bench_fail(caller->bench, "%s cannot be called", method);
    while (!caller->ended && !(only_first && caller->answer))
        divvy_loop_turn(&caller->loop, divvy_grpc_client_tick(client, bench_now_ns()));
    ended_ns = bench_now_ns();
    divvy_grpc_client_free(client);
    divvy_loop_turn(&caller->loop, 0);
    free(bytes);
    if (!caller->answer)
        bench_fail(caller->bench, "%s: %s", method, caller->text);
    return (double)(ended_ns - begun_ns) / 1e6;
}

/* The ids of all slots, once the plugin serves and the devices are known. */
static void ids_take(struct caller *caller) {
    V1beta1__Empty empty = V1BETA1__EMPTY__INIT;
    V1beta1__ListAndWatchResponse *list = NULL;
    uint64_t end_ns = bench_now_ns() + PATIENCE_NS;

    while (access(caller->path, F_OK) < 0 && bench_now_ns() < end_ns)
        bench_sleep_until_ns(bench_now_ns() + 10 * DIVVY_NS_PER_MS);
    while (bench_now_ns() < end_ns) {
        (void)call(caller, "/v1beta1.DevicePlugin/ListAndWatch", &empty.base, true);
        list = v1beta1__list_and_watch_response__unpack(NULL, caller->length, caller->answer);
        if (list && list->n_devices == DEVICES * SLOTS)
            break;
        if (list)
            v1beta1__list_and_watch_response__free_unpacked(list, NULL);
        list = NULL;
        bench_sleep_until_ns(bench_now_ns() + 10 * DIVVY_NS_PER_MS);
    }
    if (!list)
        bench_fail(caller->bench, "the plugin does not offer %u slots", DEVICES * SLOTS);
    for (size_t i = 0; i < list->n_devices; i++) {
        (void)snprintf(ids[i], sizeof ids[i], "%s", list->devices[i]->id);
        id_list[i] = ids[i];
    }
    v1beta1__list_and_watch_response__free_unpacked(list, NULL);
}

/* The promise is of Allocate, and held against all calls but the twentieth that others on the machine may have disturbed. */
static void row(struct bench *bench, const char *what, double *values, size_t count, bool is_promise) {
    struct bench_stats stats;

    bench_stats(values, count, &stats);
    bench_row(bench, what, stats.p95, stats.median, stats.max, "ms", is_promise ? "<= 5 (p95)" : "",
              is_promise ? bench_judge(stats.p95, AT_MOST_MS) : BENCH_SHOWN);
}

static void allocations(struct bench *bench, struct caller *caller, size_t slots, size_t count, const char *what) {
    static double values[CALLS_MAX];

    for (size_t i = 0; i < count; i++) {
        V1beta1__ContainerAllocateRequest container = V1BETA1__CONTAINER_ALLOCATE_REQUEST__INIT, *containers[] = {&container};
        V1beta1__AllocateRequest request = V1BETA1__ALLOCATE_REQUEST__INIT;

        container.devices_ids = &id_list[i * 7 % (DEVICES * SLOTS - slots)];
        container.n_devices_ids = slots;
        request.container_requests = containers;
        request.n_container_requests = 1;
        values[i] = call(caller, "/v1beta1.DevicePlugin/Allocate", &request.base, false);
        if (caller->status != DIVVY_GRPC_OK)
            bench_fail(bench, "Allocate: %s", caller->text);
    }
    row(bench, what, values, count, true);
}

static void preferences(struct bench *bench, struct caller *caller, size_t count) {
    static double values[CALLS_MAX];

    for (size_t i = 0; i < count; i++) {
        V1beta1__ContainerPreferredAllocationRequest container = V1BETA1__CONTAINER_PREFERRED_ALLOCATION_REQUEST__INIT;
        V1beta1__ContainerPreferredAllocationRequest *containers[] = {&container};
        V1beta1__PreferredAllocationRequest request = V1BETA1__PREFERRED_ALLOCATION_REQUEST__INIT;

        container.available_deviceids = id_list;
        container.n_available_deviceids = DEVICES * SLOTS;
        container.allocation_size = 8;
        request.container_requests = containers;
        request.n_container_requests = 1;
        values[i] = call(caller, "/v1beta1.DevicePlugin/GetPreferredAllocation", &request.base, false);
        if (caller->status != DIVVY_GRPC_OK)
            bench_fail(bench, "GetPreferredAllocation: %s", caller->text);
    }
    row(bench, "preferred allocation among 1,600 slots", values, count, false);
}

int main(int argc, char **argv) {
    struct caller caller = {0};
    char folder[] = "/tmp/divvy-bench-plugin-XXXXXX", pods[64], command[96];
    const char *options[] = {"--device-plugin", "--device-plugin-slots", "100", "--device-plugin-dir", folder, "--pod-resources", pods, NULL};
    struct bench bench;
    struct node node;
    size_t count;

    bench_open(&bench, argc, argv, "device_plugin", BENCH_SIM, "Answers of the device plugin to the kubelet: Allocate within 5 ms.");
    (void)setenv("DIVVY_SIM_DEVICES", "16", 1);
    if (!mkdtemp(folder) || divvy_loop_init(&caller.loop) < 0)
        bench_fail(&bench, "no folder, or no loop");
    (void)snprintf(pods, sizeof pods, "%s/pods.sock", folder);
    (void)snprintf(caller.path, sizeof caller.path, "%s/divvy.sock", folder);
    caller.bench = &bench;
    node_prepare(&node, &bench);
    node.options = options;
    node_restart(&node);
    ids_take(&caller);
    count = bench.quick ? 50 : CALLS_MAX;
    allocations(&bench, &caller, 1, count, "Allocate, one slot");
    allocations(&bench, &caller, 8, count, "Allocate, eight slots");
    preferences(&bench, &caller, count);
    node_stop(&node);
    free(caller.answer);
    divvy_loop_done(&caller.loop);
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    (void)!system(command);
    return bench_close(&bench);
}
