/* What shall run: read from both files, ports, admission, and many workers. */
#include "agent/wish.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static json_t *gpus;

static int setup(void **state) {
    (void)state;
    gpus = json_loads("[{\"gpu_id\": \"GPU-0\", \"vram_mb\": 1000}, {\"gpu_id\": "
                      "\"gpu-3430f778-7a25-704c-9090-8b0bb2478114\", \"vram_mb\": 1000}]",
                      0, NULL);
    return gpus ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    json_decref(gpus);
    return 0;
}

static const char *running = "";

static bool runs(void *data, const char *id) {
    (void)data;
    return strcmp(id, running) == 0;
}

static struct divvy_agent_wishes make(bool is_single_node, const char *state_text,
                                      const char *config_text) {
    json_t *state_list = json_loads(state_text, 0, NULL),
           *config_list = json_loads(config_text, 0, NULL);
    const struct divvy_agent_wish_input input = {.is_single_node = is_single_node,
                                                 .state = state_list,
                                                 .config = config_list,
                                                 .gpus = gpus,
                                                 .runs = runs};
    struct divvy_agent_wishes wishes;

    assert_non_null(state_list);
    assert_non_null(config_list);
    assert_int_equal(divvy_agent_wishes_make(&input, &wishes), 0);
    json_decref(state_list);
    json_decref(config_list);
    return wishes;
}

static void refusal_is(const struct divvy_agent_wishes *wishes, const char *id, const char *part) {
    const struct divvy_agent_wish *wish = divvy_agent_wishes_find(wishes, id);

    assert_non_null(wish);
    if (part ? !strstr(wish->refusal, part) : wish->refusal[0] != '\0')
        fail_msg("%s: '%s' instead of '%s'", id, wish->refusal, part ? part : "");
}

static void read_from_both_files(void **state) {
    struct divvy_agent_wishes wishes = make(
        true,
        "[{\"workeruid\": \"a\", \"ALLOCATEDDEVICES\": [\"3430F778-7A25-704C-9090-8B0BB2478114\", "
        "null], \"Status\": \"running\", \"IsolationMode\": "
        "\"Hard\", \"Limits\": {\"vram\": \"100Mi\", \"compute\": \"20\"}},"
        "{\"WorkerUID\": \"b\", \"AllocatedDevices\": null, \"Status\": \"Pending\"},"
        "{\"WorkerUID\": \"c\", \"AllocatedDevices\": [\"gpu-0\"], \"Status\": \"Running\", "
        "\"DeletedAt\": 5},"
        "{\"WorkerUID\": \"d\", \"AllocatedDevices\": [\"gpu-0\"], \"Status\": \"Running\"}]",
        "[{\"worker_id\": \"d\", \"gpu_ids\": [], \"enabled\": false, \"listen_port\": 9001, "
        "\"vram_mb\": 10, \"compute_percent\": 5},"
        " {\"worker_id\": \"other\", \"gpu_ids\": [], \"enabled\": true}]");
    const struct divvy_agent_wish *wish = divvy_agent_wishes_find(&wishes, "a");

    (void)state;
    assert_int_equal(wishes.count, 4);
    assert_true(wish->enabled);
    assert_int_equal(wish->isolation, DIVVY_AGENT_HARD);
    assert_int_equal(wish->memory_bytes, 100 << 20);
    assert_int_equal(wish->percent, 20);
    assert_int_equal(wish->port, DIVVY_AGENT_PORT_FIRST);
    assert_true(wish->is_local);
    refusal_is(&wishes, "a", NULL);
    assert_false(divvy_agent_wishes_find(&wishes, "b")->enabled);
    assert_false(divvy_agent_wishes_find(&wishes, "c")->enabled);
    wish = divvy_agent_wishes_find(&wishes, "d");
    assert_true(wish->enabled); /* the state file decides */
    assert_int_equal(wish->port, 9001);
    assert_int_equal(wish->memory_bytes, 10 << 20);
    assert_false(wish->is_local);
    divvy_agent_wishes_done(&wishes);

    wishes = make(false, "[]",
                  "[{\"worker_id\": \"x\", \"gpu_ids\": [\"GPU-0\"], \"enabled\": true, "
                  "\"listen_port\": 9002}]");
    assert_true(divvy_agent_wishes_find(&wishes, "x")->enabled);
    assert_null(divvy_agent_wishes_find(&wishes, "y"));
    divvy_agent_wishes_done(&wishes);
}

static void what_cannot_run(void **state) {
    static const struct {
        const char *keys, *part;
    } cases[] = {
        {"\"AllocatedDevices\": []", "no GPU"},
        {"\"AllocatedDevices\": [\"GPU-7\"]", "not one of this machine"},
        {"\"AllocatedDevices\": [\"GPU-0\", \"gpu-0\"]", "named twice"},
        {"\"AllocatedDevices\": [\"GPU-0\"], \"IsolationMode\": \"softt\"", "write shared"},
        {"\"AllocatedDevices\": [\"GPU-0\"], \"IsolationMode\": \"partitioned\"", "how large"},
        {"\"AllocatedDevices\": [\"GPU-0\"], \"IsolationMode\": \"partitioned\", \"PartitionTemplateID\": \"--help\"", "no profile"},
        {"\"AllocatedDevices\": [\"GPU-0\"], \"IsolationMode\": \"partitioned\", \"PartitionTemplateID\": \"1g.10gb 2\"", "no profile"},
        {"\"AllocatedDevices\": [\"GPU-0\", \"gpu-3430f778-7a25-704c-9090-8b0bb2478114\"], \"IsolationMode\": \"partitioned\", "
         "\"PartitionTemplateID\": \"1g.10gb\"", "a slice of one GPU"},
        {"\"AllocatedDevices\": [\"GPU-0\"], \"Limits\": {\"vram\": \"1001Mi\"}", "has 1000 MiB"},
        {"\"AllocatedDevices\": [\"GPU-0\"], \"Limits\": {\"vram\": \"500m\"}",
         "vram makes no sense"},
        {"\"AllocatedDevices\": [\"GPU-0\"], \"Limits\": {\"vram\": -1}", "vram makes no sense"},
        {"\"AllocatedDevices\": [\"GPU-0\"], \"Limits\": {\"compute\": \"101\"}",
         "compute makes no sense"},
        {"\"AllocatedDevices\": [\"GPU-0\"], \"Limits\": {\"compute\": {}}",
         "compute makes no sense"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[512];
        struct divvy_agent_wishes wishes;

        (void)snprintf(text, sizeof text, "[{\"WorkerUID\": \"w\", \"Status\": \"Running\", %s}]",
                       cases[i].keys);
        wishes = make(true, text, "[]");
        refusal_is(&wishes, "w", cases[i].part);
        divvy_agent_wishes_done(&wishes);
    }
}

static void over_commitment(void **state) {
    static const char text[] =
        "[{\"WorkerUID\": \"a\", \"Status\": \"Running\", \"AllocatedDevices\": [\"GPU-0\"], "
        "\"Limits\": {\"compute\": 60, \"vram\": \"600Mi\"}},"
        "{\"WorkerUID\": \"b\", \"Status\": \"Running\", \"AllocatedDevices\": [\"GPU-0\"], "
        "\"Limits\": {\"compute\": \"50\"}},"
        "{\"WorkerUID\": \"c\", \"Status\": \"Running\", \"AllocatedDevices\": "
        "[\"gpu-3430f778-7a25-704c-9090-8b0bb2478114\", \"GPU-0\"], "
        "\"Requests\": {\"vram\": \"401Mi\"}}]";
    struct divvy_agent_wishes wishes = make(true, text, "[]");

    (void)state;
    refusal_is(&wishes, "a", NULL);
    refusal_is(&wishes, "b", "60 % of its time promised; 50 % do not fit");
    refusal_is(&wishes, "c", "600 are promised; 401 do not fit");
    divvy_agent_wishes_done(&wishes);
    /* Who runs keeps its place. */
    running = "b";
    wishes = make(true, text, "[]");
    running = "";
    refusal_is(&wishes, "b", NULL);
    refusal_is(&wishes, "a", "50 % of its time promised");
    refusal_is(&wishes, "c", NULL);
    divvy_agent_wishes_done(&wishes);
}

static void ports(void **state) {
    struct divvy_agent_wishes wishes =
        make(true,
             "[{\"WorkerUID\": \"a\", \"Status\": \"Pending\"}, {\"WorkerUID\": \"b\", \"Status\": "
             "\"Running\", \"AllocatedDevices\": [\"GPU-0\"]},"
             "{\"WorkerUID\": \"c\"}, {\"WorkerUID\": \"d\"}]",
             "[{\"worker_id\": \"b\", \"listen_port\": 42352}, {\"worker_id\": \"a\", "
             "\"listen_port\": 42352}, {\"worker_id\": \"d\", \"listen_port\": 80}]");

    (void)state;
    refusal_is(&wishes, "b", "port 42352 is another worker's");
    assert_int_equal(divvy_agent_wishes_find(&wishes, "c")->port, 42354);
    assert_int_equal(divvy_agent_wishes_find(&wishes, "d")->port, 42355);
    divvy_agent_wishes_done(&wishes);
}

/* Thousands of workers on ports of their own; none is lost, and the last of them ports wrap around. */
static void many(void **state) {
    enum { COUNT = 25000 };
    json_t *list = json_array();
    const struct divvy_agent_wish_input input = {
        .is_single_node = true, .state = list, .gpus = gpus};
    struct divvy_agent_wishes wishes;
    static uint8_t seen[65536];
    char id[16];

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(id, sizeof id, "w%d", i);
        (void)json_array_append_new(list, json_pack("{s:s, s:s, s:[s]}", "WorkerUID", id, "Status",
                                                    "Running", "AllocatedDevices", "GPU-0"));
    }
    assert_int_equal(divvy_agent_wishes_make(&input, &wishes), 0);
    assert_int_equal(wishes.count, COUNT);
    for (size_t i = 0; i < wishes.count; i++)
        seen[wishes.list[i].port]++;
    for (size_t i = DIVVY_AGENT_PORT_FIRST; i < 65536; i++)
        assert_true(seen[i] >= 1);
    refusal_is(&wishes, "w15", NULL);
    refusal_is(&wishes, "w16", "16 workers already");
    divvy_agent_wishes_done(&wishes);
    json_decref(list);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_from_both_files), cmocka_unit_test(what_cannot_run),
        cmocka_unit_test(over_commitment), cmocka_unit_test(ports), cmocka_unit_test(many)};

    return cmocka_run_group_tests(tests, setup, teardown);
}
