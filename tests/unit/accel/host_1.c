/*
 * A host of generation 1 that knows nothing of divvy: its structures are written down here from the ABI's published layout. Its
 * library is named by ACCEL_LIBRARY; ACCEL_EXPECT says which it is ("example", "nvidia" or "amd").
 */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct {
    bool partitioning, soft, hard, snapshot, metrics, remoting;
    uint32_t max_partitions, max_workers;
} caps_t;
typedef struct {
    char key[64], value[256];
} pair_t;
typedef struct {
    char uuid[64], vendor[32], model[128], driver[64], firmware[64];
    int32_t index, numa;
    uint64_t memory, units;
    double tflops;
    uint32_t gen, width;
    pair_t properties[64];
    size_t property_count;
    caps_t caps;
} device_t;
typedef struct {
    struct {
        char uuid[64];
        int32_t numa;
    } devices[64];
    size_t count;
    char type[32];
} topology_t;
typedef struct {
    char template_id[64], device[64], partition[64];
    pair_t env[16];
    size_t env_count;
} assignment_t;
typedef struct {
    pid_t pids[1024];
    size_t count;
    char device[64];
} processes_t;
typedef struct {
    char pid[32], device[64];
    double busy;
    uint64_t active, total, used, reserved;
    double memory;
} process_t;
typedef struct {
    char uuid[64];
    double power, temperature;
    uint64_t rx, tx;
    uint32_t utilization;
    uint64_t used;
    struct {
        char key[64];
        double value;
    } extra[64];
    size_t extra_count;
} metrics_t;
typedef struct {
    char host[512], guest[512];
} mount_t;

/* The numbers of the published header. */
_Static_assert(sizeof(device_t) == 20896 && offsetof(device_t, index) == 352 && offsetof(device_t, caps) == 20880, "device");
_Static_assert(sizeof(topology_t) == 4392 && sizeof(assignment_t) == 5320 && sizeof(processes_t) == 4168, "structures");
_Static_assert(sizeof(process_t) == 144 && sizeof(metrics_t) == 4728 && sizeof(mount_t) == 1024, "structures");

static int (*init)(void);
static int (*device_count)(size_t *);
static int (*devices_get)(device_t *, size_t, size_t *);
static int (*topology_get)(int32_t *, size_t, topology_t *);
static bool (*assign)(assignment_t *);
static bool (*remove_partition)(const char *, const char *);
static int (*memory_limit)(const char *, const char *, uint64_t);
static int (*compute_limit)(const char *, const char *, uint32_t);
static int (*snapshot)(processes_t *);
static int (*resume)(processes_t *);
static int (*processes_get)(process_t *, size_t, size_t *);
static int (*metrics_get)(const char **, size_t, metrics_t *);
static int (*mounts_get)(mount_t *, size_t, size_t *);
static int (*hear)(void (*)(const char *, const char *));

static device_t devices[64];
static size_t count;
static unsigned int heard, fatal;

static bool expect(const char *name) {
    const char *expected = getenv("ACCEL_EXPECT");

    return expected && strcmp(expected, name) == 0;
}

static bool is_lenient(void) {
    return expect("example") || getenv("DIVVY_ACCEL_LENIENT");
}

static void on_log(const char *level, const char *message) {
    assert_non_null(level);
    assert_non_null(message);
    heard++;
    fatal += strcmp(level, "FATAL") == 0 || strcmp(level, "fatal") == 0;
}

static int load(void **state) {
    const struct {
        void *place;
        const char *name;
    } symbols[] = {
        {&init, "VirtualGPUInit"},           {&device_count, "GetDeviceCount"},
        {&devices_get, "GetAllDevices"},     {&topology_get, "GetDeviceTopology"},
        {&assign, "AssignPartition"},        {&remove_partition, "RemovePartition"},
        {&memory_limit, "SetMemHardLimit"},  {&compute_limit, "SetComputeUnitHardLimit"},
        {&snapshot, "Snapshot"},             {&resume, "Resume"},
        {&processes_get, "GetProcessInformation"}, {&metrics_get, "GetDeviceMetrics"},
        {&mounts_get, "GetVendorMountLibs"}, {&hear, "RegisterLogCallback"},
    };
    void *library = dlopen(getenv("ACCEL_LIBRARY"), RTLD_NOW | RTLD_GLOBAL);

    (void)state;
    if (!library) {
        (void)fprintf(stderr, "%s\n", dlerror());
        return -1;
    }
    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
        void *symbol = dlsym(library, symbols[i].name);

        if (!symbol) {
            (void)fprintf(stderr, "no %s\n", symbols[i].name);
            return -1;
        }
        memcpy(symbols[i].place, &symbol, sizeof symbol);
    }
    /* hosts of the time in between would misread everything: they are to fail at once */
    if (dlsym(library, "VGPUInit"))
        return -1;
    return hear(on_log) || init() || init() || device_count(&count) || devices_get(devices, 64, &count) ? -1 : 0;
}

static void test_devices(void **state) {
    size_t again = 0;

    (void)state;
    assert_in_range(count, 1, 64);
    for (size_t i = 0; i < count; i++) {
        assert_true(devices[i].uuid[0] && devices[i].vendor[0] && devices[i].model[0]);
        assert_int_equal(devices[i].index, i);
        assert_true(devices[i].memory > 0 && (devices[i].units > 0 || expect("amd")) && devices[i].tflops > 0);
        assert_in_range(devices[i].property_count, 1, 64);
        assert_true(devices[i].gen > 0 && devices[i].width > 0);
        assert_true(devices[i].numa >= -1 && devices[i].numa < 1024);
        assert_true(devices[i].caps.metrics && devices[i].caps.soft && devices[i].caps.max_workers > 0);
    }
    assert_int_equal(devices_get(devices, 1, &again), 0);
    assert_int_equal(again, 1);
    assert_int_equal(device_count(NULL), 1);
    assert_int_equal(devices_get(NULL, 1, &again), 1);
    assert_int_equal(devices_get(devices, 0, &again), 1);
    assert_int_equal(devices_get(devices, 1, NULL), 1);
    assert_int_equal(devices_get(devices, 64, &count), 0);
}

static void test_example(void **state) {
    (void)state;
    if (!expect("example"))
        return;
    assert_int_equal(count, 4);
    assert_string_equal(devices[2].uuid, "example-device-2");
    assert_string_equal(devices[2].vendor, "STUB");
    assert_string_equal(devices[2].model, "Example-GPU-Model");
    assert_string_equal(devices[2].driver, "1.0.0-example");
    assert_int_equal(devices[3].numa, 1);
    assert_true(devices[0].memory == 17179869184u && devices[0].units == 108 && devices[0].tflops == 312.0);
    assert_int_equal(devices[0].gen, 4);
    assert_int_equal(devices[0].width, 16);
    assert_int_equal(devices[0].property_count, 9);
    assert_string_equal(devices[0].properties[7].key, "computeCapability");
    assert_string_equal(devices[0].properties[7].value, "8.0");
    assert_true(devices[0].caps.partitioning && devices[0].caps.hard && devices[0].caps.snapshot && !devices[0].caps.remoting);
    assert_int_equal(devices[0].caps.max_partitions, 7);
    assert_int_equal(devices[0].caps.max_workers, 16);
}

static void test_topology(void **state) {
    topology_t *topology = calloc(1, sizeof *topology);
    int32_t indices[] = {0, 1}, wrong = 64;

    (void)state;
    assert_non_null(topology);
    assert_int_equal(topology_get(indices, count > 1 ? 2 : 1, topology), 0);
    assert_int_equal(topology->count, count > 1 ? 2 : 1);
    assert_string_equal(topology->devices[0].uuid, devices[0].uuid);
    assert_int_equal(topology->devices[0].numa, devices[0].numa);
    assert_true(topology->type[0]);
    assert_int_equal(topology_get(&wrong, 1, topology), 2);
    assert_int_equal(topology->count, 0);
    assert_int_equal(topology_get(NULL, 1, topology), 1);
    assert_int_equal(topology_get(indices, 0, topology), 1);
    assert_int_equal(topology_get(indices, 65, topology), 1);
    assert_int_equal(topology_get(indices, 1, NULL), 1);
    free(topology);
}

/* What the ABI's public test programs ask about a device that does not exist. */
static void test_stub_device(void **state) {
    static const char *const templates[] = {"mig-1g.7gb", "1g.10gb"};
    assignment_t assignment;
    const char *uuid = "stub-device-0";
    metrics_t metrics;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        memset(&assignment, 0x55, sizeof assignment);
        (void)snprintf(assignment.template_id, sizeof assignment.template_id, "%s", templates[i]);
        (void)snprintf(assignment.device, sizeof assignment.device, "%s", uuid);
        assert_int_equal(assign(&assignment), is_lenient());
        assert_int_equal(assignment.partition[0] != 0, is_lenient());
        assert_int_equal(assignment.env_count, 0);
        assert_true(remove_partition(templates[i], uuid));
    }
    if (is_lenient())
        assert_string_equal(assignment.partition, "partition-1g.10gb-stub-device-0");
    assert_int_equal(memory_limit("w", uuid, 1 << 30), is_lenient() ? 0 : 2);
    assert_int_equal(compute_limit("w", uuid, 50), is_lenient() ? 0 : 2);
    assert_int_equal(compute_limit("w", uuid, 150), 1);
    assert_int_equal(compute_limit("w", uuid, 0), 1);
    assert_int_equal(memory_limit("w", uuid, 0), 1);
    assert_int_equal(memory_limit(NULL, uuid, 1), 1);
    assert_int_equal(compute_limit("w", NULL, 1), 1);
    assert_int_equal(metrics_get(&uuid, 1, &metrics), is_lenient() ? 0 : 2);
    assert_false(assign(NULL));
    assert_false(remove_partition(NULL, uuid));
    assert_false(remove_partition("x", NULL));
    memset(&assignment, 'a', sizeof assignment); /* no NUL anywhere */
    (void)assign(&assignment);
    assert_int_equal(assignment.env_count <= 16, true);
    memset(&assignment, 0, sizeof assignment);
    assert_false(assign(&assignment));
    assert_true(remove_partition("partition-that-never-was", devices[0].uuid));
}

/* 64 bytes and no end, as hosts pass an id that is too long. */
static void test_ids_without_end(void **state) {
    char *page = malloc(64);

    (void)state;
    assert_non_null(page);
    memset(page, 'x', 64);
    assert_true(remove_partition(page, page));
    (void)memory_limit("w", page, 1);
    (void)compute_limit("w", page, 1);
    free(page);
}

static void test_snapshot(void **state) {
    processes_t *processes = calloc(1, sizeof *processes);
    int (*const both[])(processes_t *) = {snapshot, resume};

    (void)state;
    assert_non_null(processes);
    for (size_t i = 0; i < 2; i++) {
        memset(processes, 0, sizeof *processes);
        assert_int_equal(both[i](NULL), 1);
        assert_int_equal(both[i](processes), 1); /* neither processes nor device */
        processes->count = 1025;
        assert_int_equal(both[i](processes), 1);
        processes->count = 1;
        processes->pids[0] = 0x7ffffffe;
        assert_int_equal(both[i](processes), 2);
        processes->pids[0] = -1; /* all processes, for kill */
        assert_int_equal(both[i](processes), 1);
        processes->pids[0] = getppid();
        assert_int_equal(both[i](processes), expect("example") ? 0 : expect("nvidia") ? 2 : 3);
    }
    free(processes);
}

static void test_figures(void **state) {
    const char *uuids[64];
    metrics_t *metrics = calloc(64, sizeof *metrics);
    process_t *processes = calloc(1024, sizeof *processes);
    mount_t mounts[64];
    char shouted[64];
    size_t found = 99;

    (void)state;
    assert_true(metrics && processes);
    for (size_t i = 0; i < count; i++)
        uuids[i] = devices[i].uuid;
    assert_int_equal(metrics_get(uuids, count, metrics), 0);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(metrics[i].uuid, uuids[i]);
        assert_true(metrics[i].power > 0 && metrics[i].temperature > 0);
        assert_in_range(metrics[i].extra_count, 1, 64);
        assert_true(metrics[i].utilization <= 100 && metrics[i].used <= devices[i].memory);
    }
    /* any case, and the spelling comes back as it was asked for */
    for (size_t i = 0; i < 64; i++)
        shouted[i] = devices[0].uuid[i] >= 'a' && devices[0].uuid[i] <= 'z' ? (char)(devices[0].uuid[i] - 32) : devices[0].uuid[i];
    uuids[0] = shouted;
    assert_int_equal(metrics_get(uuids, 1, metrics), 0);
    assert_string_equal(metrics[0].uuid, shouted);
    /* one that is none costs the others nothing */
    uuids[1] = "no-such-device";
    assert_int_equal(metrics_get(uuids, 2, metrics), 0);
    assert_true(metrics[0].power > 0);
    assert_string_equal(metrics[1].uuid, "no-such-device");
    assert_int_equal(metrics_get(NULL, 1, metrics), 1);
    assert_int_equal(metrics_get(uuids, 0, metrics), 1);
    assert_int_equal(metrics_get(uuids, 65, metrics), 1);
    assert_int_equal(metrics_get(uuids, 1, NULL), 1);
    assert_int_equal(processes_get(processes, 1024, &found), 0);
    assert_true(found <= 1024);
    assert_int_equal(processes_get(processes, 0, &found), 1);
    assert_int_equal(processes_get(NULL, 1, &found), 1);
    assert_int_equal(mounts_get(mounts, 64, &found), 0);
    assert_true(found <= 64);
    for (size_t i = 0; i < found; i++)
        assert_int_equal(access(mounts[i].host, R_OK), 0);
    assert_int_equal(mounts_get(mounts, 0, &found), 1);
    assert_int_equal(mounts_get(mounts, 1, NULL), 1);
    free(metrics);
    free(processes);
}

static void test_log(void **state) {
    const char *unknown = "no-such-device";
    metrics_t metrics;
    unsigned int before = heard;

    (void)state;
    (void)metrics_get(&unknown, 1, &metrics);
    assert_true(heard > before || expect("example"));
    assert_int_equal(hear(NULL), 0);
    before = heard;
    (void)metrics_get(&unknown, 1, &metrics);
    assert_int_equal(heard, before);
    assert_int_equal(fatal, 0);
    assert_int_equal(hear(on_log), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_devices),       cmocka_unit_test(test_example), cmocka_unit_test(test_topology),
        cmocka_unit_test(test_stub_device),   cmocka_unit_test(test_ids_without_end),
        cmocka_unit_test(test_snapshot),      cmocka_unit_test(test_figures), cmocka_unit_test(test_log),
    };

    if (!getenv("ACCEL_LIBRARY"))
        return 77;
    return cmocka_run_group_tests(tests, load, NULL);
}
