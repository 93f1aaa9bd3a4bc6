/*
 * A host of generation 2 that knows nothing of divvy: its structures are written down here from the ABI's published layout. Its
 * library is named by ACCEL_LIBRARY; ACCEL_EXPECT says which it is ("example", "nvidia" or "amd").
 */
#include <dlfcn.h>
#include <pthread.h>
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
    char uuid[64], vendor[32], model[128], driver[80], firmware[64], node[64];
    int32_t index, numa;
    uint64_t memory, units;
    double tflops;
    uint32_t gen, width;
    struct {
        char key[64], value[256];
    } properties[64];
    size_t property_count;
    bool partitioning, soft, hard, snapshot, metrics, remoting;
    uint32_t max_partitions, max_workers;
} device_t;
typedef struct {
    struct {
        char uuid[64];
        int32_t index, numa;
        struct {
            char uuid[64];
            int32_t index, level;
        } peers[64];
        size_t peer_count;
    } devices[64];
    size_t count;
} topology_t;
typedef struct {
    pid_t *pids;
    size_t count;
    const char *device;
} context_t;
typedef struct {
    int32_t type;
    char uuid[64], env[16][256], nodes[16][1026];
} partition_t;
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

_Static_assert(sizeof(device_t) == 20976 && offsetof(device_t, index) == 432 && offsetof(device_t, partitioning) == 20960, "device");
_Static_assert(sizeof(topology_t) == 300040 && sizeof(context_t) == 24 && sizeof(partition_t) == 20580, "structures");
_Static_assert(sizeof(process_t) == 144 && sizeof(metrics_t) == 4728 && sizeof(mount_t) == 1024, "structures");

static int (*init)(void);
static int (*shut)(void);
static int (*device_count)(size_t *);
static int (*devices_get)(device_t *, size_t, size_t *);
static int (*topology_get)(topology_t *);
static int (*assign)(const char *, const char *, partition_t *);
static int (*remove_partition)(const char *, const char *);
static int (*memory_limit)(const char *, uint64_t);
static int (*compute_limit)(const char *, uint32_t);
static int (*snapshot)(context_t *);
static int (*resume)(context_t *);
static int (*processes_get)(process_t *, size_t, size_t *);
static int (*metrics_get)(const char **, size_t, metrics_t *);
static int (*mounts_get)(mount_t *, size_t, size_t *);
static int (*hear)(void (*)(const char *, const char *));

static device_t devices[64];
static size_t count;
static bool within; /* a call into the library is under way */

static bool expect(const char *name) {
    const char *expected = getenv("ACCEL_EXPECT");

    return expected && strcmp(expected, name) == 0;
}

static bool is_lenient(void) {
    return expect("example") || getenv("DIVVY_ACCEL_LENIENT");
}

/* A host may call the library from here: no lock is held. */
static void on_log(const char *level, const char *message) {
    size_t there;

    (void)level;
    (void)message;
    assert_int_equal(device_count(&there), 0);
    if (!within)
        fail_msg("a message outside any call");
}

static int load(void **state) {
    const struct {
        void *place;
        const char *name;
    } symbols[] = {
        {&init, "AccelInit"},
        {&shut, "AccelShutdown"},
        {&device_count, "AccelGetDeviceCount"},
        {&devices_get, "AccelGetAllDevices"},
        {&topology_get, "AccelGetAllDevicesTopology"},
        {&assign, "AccelAssignPartition"},
        {&remove_partition, "AccelRemovePartition"},
        {&memory_limit, "AccelSetMemHardLimit"},
        {&compute_limit, "AccelSetComputeUnitHardLimit"},
        {&snapshot, "AccelSnapshot"},
        {&resume, "AccelResume"},
        {&processes_get, "AccelGetProcessInformation"},
        {&metrics_get, "AccelGetDeviceMetrics"},
        {&mounts_get, "AccelGetVendorMountLibs"},
        {&hear, "AccelRegisterLogCallback"},
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
    return hear(on_log) || device_count(&count) || init() || devices_get(devices, 64, &count) ? -1 : 0;
}

static void test_devices(void **state) {
    (void)state;
    assert_in_range(count, 1, 64);
    for (size_t i = 0; i < count; i++) {
        assert_true(devices[i].uuid[0] && devices[i].vendor[0] && devices[i].model[0] && devices[i].driver[0]);
        assert_true(strncmp(devices[i].node, "/dev/", 5) == 0);
        assert_int_equal(devices[i].index, i);
        assert_true(devices[i].memory > 0 && (devices[i].units > 0 || expect("amd")) && devices[i].tflops > 0);
        assert_in_range(devices[i].property_count, 1, 64);
        assert_true(devices[i].soft && devices[i].metrics && devices[i].max_workers > 0);
        assert_true(!devices[i].partitioning || devices[i].max_partitions > 0);
    }
    if (expect("example"))
        assert_string_equal(devices[3].node, "/dev/example3");
    if (expect("nvidia")) {
        assert_string_equal(devices[0].vendor, "NVIDIA");
        assert_string_equal(devices[0].model, "NVIDIA H200");
        assert_true(strncmp(devices[0].uuid, "GPU-", 4) == 0 && strlen(devices[0].uuid) == 40);
        assert_true(devices[0].units == 132 && devices[0].tflops > 900 && devices[0].tflops < 1000);
        assert_true(devices[0].partitioning && devices[0].max_partitions == 7);
    }
}

static void test_topology(void **state) {
    topology_t *topology = malloc(sizeof *topology);

    (void)state;
    assert_non_null(topology);
    memset(topology, 0x55, sizeof *topology);
    assert_int_equal(topology_get(topology), 0);
    assert_int_equal(topology->count, count);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(topology->devices[i].uuid, devices[i].uuid);
        assert_int_equal(topology->devices[i].index, i);
        assert_int_equal(topology->devices[i].numa, devices[i].numa);
        assert_int_equal(topology->devices[i].peer_count, count - 1);
        for (size_t k = 0; k + 1 < count; k++) {
            assert_string_equal(topology->devices[i].peers[k].uuid, devices[k < i ? k : k + 1].uuid);
            assert_in_range(topology->devices[i].peers[k].level, 0, 5);
            if (expect("example"))
                assert_int_equal(topology->devices[i].peers[k].level, (k < i ? k : k + 1) % 2 == i % 2 ? 4 : 5);
        }
    }
    assert_int_equal(topology_get(NULL), 1);
    free(topology);
}

static void test_stub_device(void **state) {
    partition_t *partition = malloc(sizeof *partition);
    const char *uuid = "stub-device-0";

    (void)state;
    assert_non_null(partition);
    memset(partition, 0x55, sizeof *partition);
    within = true;
    assert_int_equal(assign("mig-1g.7gb", uuid, partition), is_lenient() ? 0 : 2);
    if (is_lenient()) {
        assert_int_equal(partition->type, 0);
        assert_true(strncmp(partition->uuid, "stub-device-0-partition-", 24) == 0);
        assert_string_equal(partition->env[0], "CUDA_VISIBLE_DEVICES=0");
        assert_string_equal(partition->env[1], "GPU_UUID=stub-device-0");
        assert_string_equal(partition->env[2], "PARTITION_TEMPLATE=mig-1g.7gb");
        assert_int_equal(partition->env[3][0], 0);
    } else {
        for (size_t i = 0; i < sizeof *partition; i++)
            assert_int_equal(((unsigned char *)partition)[i], 0);
    }
    assert_int_equal(remove_partition("mig-1g.7gb", uuid), 0);
    assert_int_equal(memory_limit(uuid, 1 << 30), is_lenient() ? 0 : 2);
    assert_int_equal(compute_limit(uuid, 50), is_lenient() ? 0 : 2);
    within = false;
    assert_int_equal(assign("", uuid, partition), 1);
    assert_int_equal(assign("1g.10gb", "", partition), 1);
    assert_int_equal(assign(NULL, uuid, partition), 1);
    assert_int_equal(assign("1g.10gb", NULL, partition), 1);
    assert_int_equal(assign("1g.10gb", uuid, NULL), 1);
    assert_int_equal(remove_partition(NULL, uuid), 1);
    assert_int_equal(memory_limit(uuid, 0), 1);
    assert_int_equal(memory_limit(NULL, 1), 1);
    assert_int_equal(compute_limit(uuid, 0), 1);
    assert_int_equal(compute_limit(uuid, 101), 1);
    free(partition);
}

/* What the driver cannot do is never a success. */
static void test_limits(void **state) {
    (void)state;
    within = true;
    assert_int_equal(memory_limit(devices[0].uuid, 1 << 30), expect("example") ? 0 : 3);
    assert_int_equal(compute_limit(devices[0].uuid, 50), expect("example") ? 0 : 3);
    assert_int_equal(devices[0].hard, expect("example"));
    within = false;
}

static void test_snapshot(void **state) {
    int (*const both[])(context_t *) = {snapshot, resume};
    pid_t pid = 0x7ffffffe;

    (void)state;
    within = true;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(both[i](NULL), 1);
        assert_int_equal(both[i](&(context_t){NULL, 0, NULL}), 1);
        assert_int_equal(both[i](&(context_t){NULL, 1, NULL}), 1);
        assert_int_equal(both[i](&(context_t){&pid, 1025, NULL}), 1);
        assert_int_equal(both[i](&(context_t){&pid, 1, NULL}), 2);
        assert_int_equal(both[i](&(context_t){NULL, 0, "no-such-device"}), !is_lenient() ? 2 : expect("amd") ? 3 : 0);
        /* nobody uses it: nothing to do, where anything can be done */
        assert_int_equal(both[i](&(context_t){NULL, 0, devices[0].uuid}), expect("amd") ? 3 : 0);
    }
    within = false;
}

static void test_after_shutdown(void **state) {
    metrics_t *metrics = calloc(1, sizeof *metrics);
    const char *uuid = devices[0].uuid;
    size_t there = 0;

    (void)state;
    assert_non_null(metrics);
    within = true;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(shut(), 0);
        assert_int_equal(shut(), 0);
        assert_int_equal(device_count(&there), 0);
        assert_int_equal(there, count);
        assert_int_equal(shut(), 0);
        assert_int_equal(metrics_get(&uuid, 1, metrics), 0);
        assert_true(metrics->power > 0);
        assert_int_equal(init(), 0);
    }
    within = false;
    free(metrics);
}

static void test_figures(void **state) {
    process_t *processes = calloc(1024, sizeof *processes);
    mount_t *mounts = calloc(64, sizeof *mounts);
    size_t found = 99;

    (void)state;
    assert_true(processes && mounts);
    assert_int_equal(processes_get(processes, 1024, &found), 0);
    assert_int_equal(found, 0);
    assert_int_equal(mounts_get(mounts, 1, &found), 0);
    assert_true(found <= 1);
    assert_int_equal(mounts_get(mounts, 64, &found), 0);
    for (size_t i = 0; i < found; i++)
        assert_true(mounts[i].host[0] == '/' && mounts[i].guest[0] == '/');
    if (expect("example"))
        assert_int_equal(found, 0);
    free(processes);
    free(mounts);
}

/* Any thread may call anything, on a small stack. */
static void *hammer(void *unused) {
    topology_t *topology = malloc(sizeof *topology);
    device_t *some = malloc(4 * sizeof *some);
    size_t there;

    (void)unused;
    for (int i = 0; i < 25 && topology && some; i++)
        if (init() || devices_get(some, 4, &there) || topology_get(topology) || (i % 5 == 0 && shut()))
            topology->count = 0;
    there = topology ? topology->count : 0;
    free(topology);
    free(some);
    return (void *)(uintptr_t)there;
}

static void test_threads(void **state) {
    pthread_t threads[4];
    pthread_attr_t attributes;

    (void)state;
    assert_int_equal(hear(NULL), 0);
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstacksize(&attributes, 512 * 1024), 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], &attributes, hammer, NULL), 0);
    for (size_t i = 0; i < 4; i++) {
        void *there;

        assert_int_equal(pthread_join(threads[i], &there), 0);
        assert_int_equal((uintptr_t)there, count);
    }
    (void)pthread_attr_destroy(&attributes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_devices), cmocka_unit_test(test_topology), cmocka_unit_test(test_stub_device),
        cmocka_unit_test(test_limits),  cmocka_unit_test(test_snapshot), cmocka_unit_test(test_after_shutdown),
        cmocka_unit_test(test_figures), cmocka_unit_test(test_threads),
    };

    if (!getenv("ACCEL_LIBRARY"))
        return 77;
    return cmocka_run_group_tests(tests, load, NULL);
}
