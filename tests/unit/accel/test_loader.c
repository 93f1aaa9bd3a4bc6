/* The loader against libraries that misbehave in every way that is ordered: nothing of what they say is believed. */
#include "misbehave.h"

#include "accel/accel.h"

#include <dlfcn.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ROUNDS 300u

static struct divvy_error error;

static struct {
    unsigned int count;
    divvy_log_level_t level;
    char text[2048];
} heard;

static void on_log(void *data, divvy_log_level_t level, const char *message) {
    assert_ptr_equal(data, &heard);
    heard.count++;
    heard.level = level;
    (void)snprintf(heard.text, sizeof heard.text, "%s", message);
}

static struct misbehave *control(const char *path) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    struct misbehave *found = library ? dlsym(library, "misbehave") : NULL;

    assert_non_null(found);
    memset(found, 0, sizeof *found);
    return found;
}

static struct divvy_accel *open_one(const char *path) {
    const struct divvy_accel_settings settings = {.path = path, .log = on_log, .log_data = &heard};
    struct divvy_accel *accel = NULL;
    int status = divvy_accel_open(&settings, &accel, &error);

    if (status < 0)
        fail_msg("%d: %s", status, error.text);
    return accel;
}

static int open_status(const char *path, bool discovery_only) {
    const struct divvy_accel_settings settings = {.path = path, .discovery_only = discovery_only, .log = on_log, .log_data = &heard};
    struct divvy_accel *accel;
    int status;

    memset(&error, 0, sizeof error);
    status = divvy_accel_open(&settings, &accel, &error);
    if (status == 0)
        divvy_accel_close(accel);
    return status;
}

/* --- what cannot be loaded -------------------------------------------------------------------------------------- */

static void test_no_library(void **state) {
    char path[] = "/tmp/divvy-accel-XXXXXX", pipe_path[64];
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "\177ELF but no more", 16), 16);
    assert_int_equal(close(fd), 0);
    assert_int_equal(open_status(path, false), -ELIBBAD);
    assert_non_null(strstr(error.text, path));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(open_status(path, false), -ENOENT);
    assert_non_null(strstr(error.text, path));
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(open_status(path, false), -ENOENT); /* a folder without any */
    (void)snprintf(pipe_path, sizeof pipe_path, "%s/libaccelerator_amd.so", path);
    assert_int_equal(mkfifo(pipe_path, 0600), 0);
    assert_int_equal(open_status(path, false), -ELIBBAD); /* and is not waited for */
    assert_int_equal(unlink(pipe_path), 0);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(open_status(NOTHING, false), -ELIBBAD);
    assert_non_null(strstr(error.text, "neither VirtualGPUInit nor AccelInit"));
}

static void test_missing_symbols(void **state) {
    (void)state;
    assert_int_equal(open_status(LACKS_1, false), -ELIBBAD);
    assert_non_null(strstr(error.text, "Resume, GetVendorMountLibs"));
    assert_int_equal(open_status(LACKS_2, false), -ELIBBAD);
    assert_non_null(strstr(error.text, "AccelResume"));
    assert_non_null(strstr(error.text, "AccelGetVendorMountLibs"));
    assert_int_equal(open_status(DISCOVERY_1, false), -ELIBBAD);
    assert_non_null(strstr(error.text, "AssignPartition"));
    assert_int_equal(open_status(DISCOVERY_1, true), 0);
    assert_int_equal(open_status(DISCOVERY_2, true), 0);
    assert_int_equal(open_status(DISCOVERY_2, false), -ELIBBAD); /* also when it is loaded already */
}

/* What is not there is not called. */
static void test_discovery_only(void **state) {
    const struct divvy_accel_settings settings = {.path = DISCOVERY_2, .discovery_only = true, .log = on_log, .log_data = &heard};
    struct divvy_accel_partition partition;
    struct divvy_accel_topology topology;
    struct divvy_accel_processes processes;
    struct divvy_accel_mounts mounts;
    struct divvy_accel_devices devices;
    struct divvy_accel *accel;
    pid_t pid = getpid();

    (void)state;
    (void)control(DISCOVERY_2);
    assert_int_equal(divvy_accel_open(&settings, &accel, &error), 0);
    assert_int_equal(divvy_accel_devices_get(accel, &devices, &error), 0);
    assert_int_equal(devices.count, 2);
    divvy_accel_devices_free(&devices);
    assert_int_equal(divvy_accel_topology_get(accel, &topology, &error), -EOPNOTSUPP);
    assert_int_equal(divvy_accel_processes_get(accel, &processes, &error), -EOPNOTSUPP);
    assert_int_equal(divvy_accel_mounts_get(accel, &mounts, &error), -EOPNOTSUPP);
    assert_int_equal(divvy_accel_partition_assign(accel, "t", "d", &partition, &error), -EOPNOTSUPP);
    assert_int_equal(divvy_accel_partition_remove(accel, "p", "d", &error), -EOPNOTSUPP);
    assert_int_equal(divvy_accel_memory_limit(accel, "w", "d", 1, &error), -EOPNOTSUPP);
    assert_int_equal(divvy_accel_snapshot(accel, &pid, 1, NULL, &error), -EOPNOTSUPP);
    divvy_accel_close(accel);
}

/* --- what a library may say ---------------------------------------------------------------------------------------- */

static const char *const paths[] = {WHOLE_1, WHOLE_2};

static void text_check(const char *text, size_t size) {
    size_t length = strnlen(text, size);

    assert_true(length < size);
    for (size_t i = 0; i < length; i++)
        assert_in_range(text[i], ' ', '~');
}

static void devices_check(const struct divvy_accel_devices *devices) {
    assert_true(devices->count <= DIVVY_ACCEL_DEVICES_MAX);
    for (size_t i = 0; i < devices->count; i++) {
        const struct divvy_accel_device *device = &devices->devices[i];

        assert_true(device->uuid[0]);
        text_check(device->uuid, sizeof device->uuid);
        text_check(device->vendor, sizeof device->vendor);
        text_check(device->model, sizeof device->model);
        text_check(device->driver_version, sizeof device->driver_version);
        text_check(device->firmware_version, sizeof device->firmware_version);
        text_check(device->device_node, sizeof device->device_node);
        assert_true(device->index >= 0 && device->numa_node >= -1 && device->tflops >= 0 && isfinite(device->tflops));
        assert_true(device->property_count <= 64);
        for (size_t k = 0; k < device->property_count; k++) {
            assert_true(device->properties[k].key[0]);
            text_check(device->properties[k].key, sizeof device->properties[k].key);
            text_check(device->properties[k].value, sizeof device->properties[k].value);
        }
    }
}

static void metrics_check(const struct divvy_accel_metrics_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        const struct divvy_accel_metrics *metrics = &list->metrics[i];

        assert_true(metrics->utilization_percent <= 100 && isfinite(metrics->power_watts) && metrics->power_watts >= 0);
        assert_true(isfinite(metrics->temperature_celsius) && metrics->extra_count <= 64);
        for (size_t k = 0; k < metrics->extra_count; k++) {
            text_check(metrics->extras[k].key, sizeof metrics->extras[k].key);
            assert_true(isfinite(metrics->extras[k].value));
        }
    }
}

/* Everything once; what comes back is either an error or sane. How many calls failed; *ret_last the last failure. */
static unsigned int all_of_it(struct divvy_accel *accel, int *ret_last) {
    static const char *const uuids[] = {"bad-0", "bad-1", "never"};
    struct divvy_accel_partition *partition = calloc(1, sizeof *partition);
    struct divvy_accel_metrics_list metrics = {0, NULL};
    struct divvy_accel_topology topology = {.count = 0};
    struct divvy_accel_processes processes = {0, NULL};
    struct divvy_accel_mounts mounts = {0, NULL};
    struct divvy_accel_devices devices = {0, NULL};
    pid_t pid = getpid();
    int statuses[9];
    unsigned int failures = 0;

    assert_non_null(partition);
    statuses[0] = divvy_accel_devices_get(accel, &devices, &error);
    devices_check(&devices);
    statuses[1] = divvy_accel_metrics_get(accel, uuids, 3, &metrics, &error);
    metrics_check(&metrics);
    statuses[2] = divvy_accel_topology_get(accel, &topology, &error);
    text_check(topology.kind, sizeof topology.kind);
    for (size_t i = 0; i < topology.count; i++) {
        assert_true(topology.devices[i].uuid[0] && topology.devices[i].peer_count <= 64);
        for (size_t k = 0; k < topology.devices[i].peer_count; k++) {
            text_check(topology.devices[i].peers[k].uuid, 64);
            assert_in_range(topology.devices[i].peers[k].level, 0, DIVVY_ACCEL_TOPOLOGY_UNKNOWN);
        }
    }
    statuses[3] = divvy_accel_processes_get(accel, &processes, &error);
    for (size_t i = 0; i < processes.count; i++) {
        assert_true(processes.processes[i].pid > 0 && processes.processes[i].device_uuid[0]);
        assert_true(isfinite(processes.processes[i].compute_percent) && isfinite(processes.processes[i].memory_percent));
    }
    statuses[4] = divvy_accel_mounts_get(accel, &mounts, &error);
    for (size_t i = 0; i < mounts.count; i++)
        assert_true(mounts.mounts[i].host[0] == '/' && mounts.mounts[i].guest[0] == '/');
    statuses[5] = divvy_accel_partition_assign(accel, "t", "bad-0", partition, &error);
    if (statuses[5] == 0) {
        assert_true(partition->uuid[0] && partition->variable_count <= 16 && partition->node_count <= 16);
        for (size_t i = 0; i < partition->variable_count; i++)
            assert_true(partition->variables[i].key[0] && partition->variables[i].value[0]);
    }
    statuses[6] = divvy_accel_partition_remove(accel, "part", "bad-0", &error);
    statuses[7] = divvy_accel_snapshot(accel, &pid, 1, NULL, &error);
    assert_int_equal(pid, getpid());
    statuses[8] = divvy_accel_resume(accel, NULL, 0, "bad-0", &error);
    for (size_t i = 0; i < 9; i++)
        if (statuses[i] < 0) {
            failures++;
            *ret_last = statuses[i];
        }
    divvy_accel_devices_free(&devices);
    divvy_accel_metrics_free(&metrics);
    divvy_accel_topology_free(&topology);
    divvy_accel_processes_free(&processes);
    divvy_accel_mounts_free(&mounts);
    free(partition);
    return failures;
}

static void test_well(void **state) {
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct misbehave *library = control(paths[i]);
        struct divvy_accel *accel = open_one(paths[i]);
        struct divvy_accel_partition partition;
        struct divvy_accel_processes processes;
        struct divvy_accel_mounts mounts;
        struct divvy_accel_devices devices;
        int last = 0;

        assert_int_equal(divvy_accel_generation(accel), i + 1);
        assert_string_equal(divvy_accel_vendor(accel), "BAD");
        assert_int_equal(library->listening, 1);
        assert_int_equal(all_of_it(accel, &last), 0);
        assert_int_equal(divvy_accel_devices_get(accel, &devices, &error), 0);
        assert_int_equal(devices.count, 2);
        assert_string_equal(devices.devices[0].model, "Model?0");
        assert_int_equal(devices.devices[0].numa_node, -1);
        assert_true(devices.devices[0].tflops == 0);
        assert_true(devices.devices[0].capabilities.partitioning); /* a bool of 0x5a */
        assert_int_equal(devices.devices[0].property_count, 1);    /* 1000 were counted, and KEY is key */
        assert_string_equal(divvy_accel_device_property(&devices.devices[0], "KEY"), "value");
        assert_null(divvy_accel_device_property(&devices.devices[0], "none"));
        assert_int_equal(divvy_accel_processes_get(accel, &processes, &error), 0);
        assert_int_equal(processes.count, 1);
        assert_int_equal(processes.processes[0].pid, 4711);
        assert_int_equal(divvy_accel_mounts_get(accel, &mounts, &error), 0);
        assert_int_equal(mounts.count, 1); /* a path that climbs is none */
        assert_int_equal(divvy_accel_partition_assign(accel, "t", "d", &partition, &error), 0);
        assert_string_equal(partition.uuid, "part");
        assert_int_equal(partition.variable_count, 1);
        assert_string_equal(partition.variables[0].value, i ? "value=more" : "value");
        assert_int_equal(partition.node_count, 0);
        divvy_accel_devices_free(&devices);
        divvy_accel_processes_free(&processes);
        divvy_accel_mounts_free(&mounts);
        divvy_accel_close(accel);
        assert_int_equal(library->listening, 0);
        assert_int_equal(library->shutdowns, i);
    }
}

static void test_counts(void **state) {
    static const uint32_t modes[] = {OVERCOUNT, HUGE_COUNT};

    (void)state;
    for (size_t i = 0; i < 2; i++)
        for (size_t m = 0; m < 2; m++) {
            struct misbehave *library = control(paths[i]);
            struct divvy_accel *accel = open_one(paths[i]);
            struct divvy_accel_devices devices;
            struct divvy_accel_processes processes;
            struct divvy_accel_mounts mounts;
            struct divvy_accel_topology topology;
            int last = 0;

            library->mode = modes[m];
            assert_int_equal(divvy_accel_devices_get(accel, &devices, &error), -EPROTO);
            assert_non_null(strstr(error.text, "GetAllDevices"));
            assert_int_equal(divvy_accel_processes_get(accel, &processes, &error), -EPROTO);
            assert_int_equal(divvy_accel_mounts_get(accel, &mounts, &error), -EPROTO);
            assert_int_equal(divvy_accel_topology_get(accel, &topology, &error), -EPROTO);
            assert_true(all_of_it(accel, &last) >= 4);
            library->mode = WELL;
            assert_int_equal(all_of_it(accel, &last), 0);
            divvy_accel_close(accel);
        }
}

static void test_unterminated(void **state) {
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct misbehave *library = control(paths[i]);
        struct divvy_accel *accel = open_one(paths[i]);
        struct divvy_accel_devices devices;
        int last = 0;

        library->mode = UNTERMINATED;
        heard.count = 0;
        assert_int_equal(divvy_accel_devices_get(accel, &devices, &error), 0);
        assert_int_equal(devices.count, 0); /* a UUID without an end is none */
        assert_int_equal(heard.count, 2);
        assert_non_null(strstr(heard.text, "without a proper UUID"));
        divvy_accel_devices_free(&devices);
        (void)all_of_it(accel, &last);
        library->mode = TWINS;
        assert_int_equal(divvy_accel_devices_get(accel, &devices, &error), 0);
        assert_int_equal(devices.count, 1);
        divvy_accel_devices_free(&devices);
        divvy_accel_close(accel);
    }
}

static void test_garbage(void **state) {
    uint32_t seed = (uint32_t)getpid() * 2654435761u;

    (void)state;
    print_message("seed %u\n", seed);
    for (size_t i = 0; i < 2; i++) {
        struct misbehave *library = control(paths[i]);
        struct divvy_accel *accel = open_one(paths[i]);
        int last = 0;

        library->mode = GARBAGE;
        library->seed = seed;
        for (unsigned int round = 0; round < ROUNDS / 10; round++)
            (void)all_of_it(accel, &last);
        divvy_accel_close(accel);
    }
}

/* Each call fails in turn, with every code: one failure, the rest goes on. */
static void test_errors(void **state) {
    static const struct {
        int32_t code;
        int status;
    } codes[] = {
        {1, -EINVAL}, {2, -ENOENT}, {3, -EOPNOTSUPP}, {4, -ENOSPC}, {5, -EIO}, {6, -EIO}, {7, -EPROTO}, {-1, -EPROTO}, {INT32_MAX, -EPROTO},
    };

    (void)state;
    for (size_t i = 0; i < 2; i++)
        for (size_t c = 0; c < sizeof codes / sizeof codes[0]; c++) {
            struct misbehave *library = control(paths[i]);
            struct divvy_accel *accel = open_one(paths[i]);
            uint32_t before = library->calls, all;
            int last = 0;

            assert_int_equal(all_of_it(accel, &last), 0);
            all = library->calls - before;
            for (uint32_t at = 1; at <= all; at++) {
                unsigned int failures;

                last = 0;
                library->calls = 0;
                library->fail_at = at;
                library->fail_code = codes[c].code;
                failures = all_of_it(accel, &last);
                /* figures are asked for again, one device after another; two functions only say true or false */
                assert_true(failures <= 1);
                assert_true(failures == 0 || last == codes[c].status || (i == 0 && last == -EIO));
            }
            library->fail_at = 0;
            assert_int_equal(all_of_it(accel, &last), 0);
            divvy_accel_close(accel);
        }
}

static void test_init_fails(void **state) {
    struct misbehave *library = control(WHOLE_2);

    (void)state;
    library->fail_at = 1;
    library->fail_code = 5;
    assert_int_equal(open_status(WHOLE_2, false), -EIO);
    assert_non_null(strstr(error.text, "AccelInit"));
    library->fail_at = library->calls + 1;
    library->fail_code = 2;
    assert_int_equal(open_status(WHOLE_2, false), -ENODEV);
    library->fail_at = 0;
    assert_int_equal(open_status(WHOLE_2, false), 0);
}

/* One figure's failure costs no other its figures. */
static void test_metrics_one_by_one(void **state) {
    struct misbehave *library = control(WHOLE_2);
    struct divvy_accel *accel = open_one(WHOLE_2);
    const char *many[150], *uuids[] = {"a", "b", "nan"};
    struct divvy_accel_metrics_list list;

    (void)state;
    library->fail_at = library->calls + 1;
    library->fail_code = 5;
    assert_int_equal(divvy_accel_metrics_get(accel, uuids, 3, &list, &error), 0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(list.metrics[i].status, 0);
    assert_true(list.metrics[2].power_watts == 0 && list.metrics[0].power_watts == 100);
    assert_string_equal(list.metrics[1].uuid, "b");
    assert_true(list.metrics[1].extra_count == 1 && list.metrics[1].extras[0].value == -2);
    divvy_accel_metrics_free(&list);
    for (size_t i = 0; i < 150; i++)
        many[i] = uuids[i % 3];
    assert_int_equal(divvy_accel_metrics_get(accel, many, 150, &list, &error), 0);
    assert_int_equal(list.count, 150);
    divvy_accel_metrics_free(&list);
    assert_int_equal(divvy_accel_metrics_get(accel, many, 0, &list, &error), 0);
    assert_int_equal(list.count, 0);
    divvy_accel_close(accel);
}

/* --- messages ------------------------------------------------------------------------------------------------------- */

static void test_messages(void **state) {
    static const struct {
        const char *said;
        divvy_log_level_t level;
    } levels[] = {
        {"FATAL", DIVVY_LOG_ERROR}, {"fatal", DIVVY_LOG_ERROR},  {"ERROR", DIVVY_LOG_ERROR}, {"WARNING", DIVVY_LOG_WARN},
        {"warn", DIVVY_LOG_WARN},   {"DEBUG", DIVVY_LOG_DEBUG}, {"INFO", DIVVY_LOG_INFO},   {"nonsense", DIVVY_LOG_INFO},
    };
    char *long_one = malloc(100000);

    (void)state;
    assert_non_null(long_one);
    memset(long_one, '\033', 99999);
    long_one[99999] = '\0';
    for (size_t i = 0; i < 2; i++) {
        struct misbehave *library = control(paths[i]);
        struct divvy_accel *accel = open_one(paths[i]);
        struct divvy_accel_devices devices;

        for (size_t k = 0; k < sizeof levels / sizeof levels[0]; k++) {
            library->level = levels[k].said;
            library->message = "it is\nall over\n";
            assert_int_equal(divvy_accel_devices_get(accel, &devices, &error), 0);
            divvy_accel_devices_free(&devices);
            assert_int_equal(heard.level, levels[k].level);
            assert_string_equal(heard.text, "it is?all over");
        }
        library->message = long_one;
        assert_int_equal(divvy_accel_devices_get(accel, &devices, &error), 0);
        divvy_accel_devices_free(&devices);
        assert_true(strlen(heard.text) < 2000);
        library->message = NULL;
        assert_int_equal(divvy_accel_devices_get(accel, &devices, &error), 0);
        divvy_accel_devices_free(&devices);
        library->level = NULL;
        divvy_accel_close(accel);
    }
    free(long_one);
}

/* --- several users ---------------------------------------------------------------------------------------------------- */

static void test_two_users(void **state) {
    struct misbehave *library = control(WHOLE_2);
    struct divvy_accel *one = open_one(WHOLE_2), *two = open_one(WHOLE_2);
    struct divvy_accel_devices devices;

    (void)state;
    divvy_accel_close(one);
    assert_int_equal(library->shutdowns, 0);
    assert_int_equal(library->listening, 1);
    assert_int_equal(divvy_accel_devices_get(two, &devices, &error), 0);
    divvy_accel_devices_free(&devices);
    divvy_accel_close(two);
    assert_int_equal(library->shutdowns, 1);
    one = open_one(WHOLE_2);
    assert_int_equal(divvy_accel_devices_get(one, &devices, &error), 0);
    divvy_accel_devices_free(&devices);
    divvy_accel_close(one);
    divvy_accel_close(NULL);
}

static void *user(void *failures) {
    const struct divvy_accel_settings settings = {.path = WHOLE_1, .log = on_log, .log_data = &heard};

    for (int i = 0; i < 50; i++) {
        struct divvy_accel_devices devices;
        struct divvy_accel *accel;

        if (divvy_accel_open(&settings, &accel, NULL) < 0) {
            __atomic_add_fetch((int *)failures, 1, __ATOMIC_RELAXED);
            continue;
        }
        if (divvy_accel_devices_get(accel, &devices, NULL) < 0 || devices.count != 2)
            __atomic_add_fetch((int *)failures, 1, __ATOMIC_RELAXED);
        else
            divvy_accel_devices_free(&devices);
        divvy_accel_close(accel);
    }
    return NULL;
}

static void test_threads(void **state) {
    pthread_t threads[4];
    int failures = 0;

    (void)state;
    (void)control(WHOLE_1);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, user, &failures), 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(failures, 0);
}

/* --- arguments and places ---------------------------------------------------------------------------------------------- */

static void test_arguments(void **state) {
    struct misbehave *library = control(WHOLE_2);
    struct divvy_accel *accel = open_one(WHOLE_2);
    struct divvy_accel_partition partition;
    struct divvy_accel_metrics_list list;
    char long_id[65];
    const char *uuids[] = {long_id};
    uint32_t before = library->calls;
    pid_t pid = 1;

    (void)state;
    memset(long_id, 'x', 64);
    long_id[64] = '\0';
    assert_int_equal(divvy_accel_partition_assign(accel, long_id, "d", &partition, &error), -EINVAL);
    assert_int_equal(divvy_accel_partition_assign(accel, "t", "", &partition, &error), -EINVAL);
    assert_int_equal(divvy_accel_partition_remove(accel, NULL, "d", &error), -EINVAL);
    assert_int_equal(divvy_accel_partition_remove(accel, "p", long_id, &error), -EINVAL);
    assert_int_equal(divvy_accel_memory_limit(accel, "w", "d", 0, &error), -EINVAL);
    assert_int_equal(divvy_accel_memory_limit(accel, long_id, "d", 1, &error), -EINVAL);
    assert_int_equal(divvy_accel_compute_limit(accel, "w", "d", 101, &error), -EINVAL);
    assert_int_equal(divvy_accel_compute_limit(accel, "w", "d", 0, &error), -EINVAL);
    assert_int_equal(divvy_accel_snapshot(accel, &pid, 1, "d", &error), -EINVAL);
    assert_int_equal(divvy_accel_snapshot(accel, NULL, 0, NULL, &error), -EINVAL);
    assert_int_equal(divvy_accel_resume(accel, &pid, 1025, NULL, &error), -EINVAL);
    assert_int_equal(divvy_accel_metrics_get(accel, uuids, 1, &list, &error), -EINVAL);
    assert_int_equal(library->calls, before); /* none of it reached the library */
    divvy_accel_close(accel);
}

/* A folder of ours with a library in it by a link. */
static void place(char *folder, size_t size, const char *name, const char *library) {
    char link_path[256];

    (void)snprintf(folder, size, "/tmp/divvy-accel-XXXXXX");
    assert_non_null(mkdtemp(folder));
    (void)snprintf(link_path, sizeof link_path, "%s/%s", folder, name);
    assert_int_equal(symlink(library, link_path), 0);
}

static void unplace(const char *folder, const char *name) {
    char link_path[256];

    (void)snprintf(link_path, sizeof link_path, "%s/%s", folder, name);
    (void)unlink(link_path);
    (void)rmdir(folder);
}

static int vendor_open(const char *vendor, char *ret_vendor, size_t size) {
    const struct divvy_accel_settings settings = {.vendor = vendor, .log = on_log, .log_data = &heard};
    struct divvy_accel *accel;
    int status = divvy_accel_open(&settings, &accel, &error);

    if (status < 0)
        return status;
    (void)snprintf(ret_vendor, size, "%s", divvy_accel_vendor(accel));
    divvy_accel_close(accel);
    return 0;
}

static void test_places(void **state) {
    char folder[64], vendor[32] = "";

    (void)state;
    (void)control(WHOLE_1);
    (void)control(WHOLE_2);
    place(folder, sizeof folder, "libaccelerator_amd.so", WHOLE_1);
    assert_int_equal(setenv("TENSOR_FUSION_LIB_PATH", folder, 1), 0);
    assert_int_equal(vendor_open("amd", vendor, sizeof vendor), 0);
    assert_string_equal(vendor, "amd");
    assert_int_equal(vendor_open(NULL, vendor, sizeof vendor), 0);
    assert_int_equal(setenv("TF_HARDWARE_VENDOR", "AMD", 1), 0); /* wins over what is asked for */
    assert_int_equal(vendor_open("nobody", vendor, sizeof vendor), 0);
    assert_string_equal(vendor, "AMD");
    assert_int_equal(unsetenv("TENSOR_FUSION_LIB_PATH"), 0);
    assert_int_equal(setenv("TENSOR_FUSION_ACCELERATOR_LIB", folder, 1), 0);
    assert_int_equal(vendor_open(NULL, vendor, sizeof vendor), 0);
    assert_int_equal(setenv("TF_ACCELERATOR_LIB_PATH", "/nowhere/at/all.so", 1), 0);
    assert_int_equal(vendor_open(NULL, vendor, sizeof vendor), -ENOENT);
    assert_non_null(strstr(error.text, "TF_ACCELERATOR_LIB_PATH"));
    assert_int_equal(open_status(WHOLE_2, false), -ENOENT); /* the variable wins over the argument */
    assert_int_equal(setenv("TF_ACCELERATOR_LIB_PATH", WHOLE_2, 1), 0);
    assert_int_equal(open_status("/nowhere", false), 0);
    assert_int_equal(unsetenv("TF_ACCELERATOR_LIB_PATH"), 0);
    assert_int_equal(unsetenv("TENSOR_FUSION_ACCELERATOR_LIB"), 0);
    assert_int_equal(unsetenv("TF_HARDWARE_VENDOR"), 0);
    unplace(folder, "libaccelerator_amd.so");
}

/* The example's devices do not exist: they are shown to who asks for them. */
static void test_example_is_asked_for(void **state) {
    char vendor[32] = "", folder[64];

    (void)state;
    assert_int_equal(setenv("TF_NVML_LIB_PATH", "/nowhere", 1), 0);
    assert_int_equal(vendor_open("STUB", vendor, sizeof vendor), 0); /* it lies beside this program */
    place(folder, sizeof folder, "libaccelerator_example.so", EXAMPLE);
    assert_int_equal(setenv("TENSOR_FUSION_LIB_PATH", folder, 1), 0);
    if (access("/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1", F_OK) < 0) {
        assert_int_equal(vendor_open(NULL, vendor, sizeof vendor), 0);
        assert_string_equal(vendor, "STUB");
        assert_int_equal(unsetenv("TENSOR_FUSION_LIB_PATH"), 0);
        assert_true(vendor_open(NULL, vendor, sizeof vendor) < 0);
        assert_true(error.text[0]);
    }
    assert_int_equal(unsetenv("TENSOR_FUSION_LIB_PATH"), 0);
    unplace(folder, "libaccelerator_example.so");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_library), cmocka_unit_test(test_missing_symbols), cmocka_unit_test(test_discovery_only),
        cmocka_unit_test(test_well),       cmocka_unit_test(test_counts),          cmocka_unit_test(test_unterminated),
        cmocka_unit_test(test_garbage),    cmocka_unit_test(test_errors),          cmocka_unit_test(test_init_fails),
        cmocka_unit_test(test_metrics_one_by_one), cmocka_unit_test(test_messages), cmocka_unit_test(test_two_users),
        cmocka_unit_test(test_threads),    cmocka_unit_test(test_arguments),       cmocka_unit_test(test_places),
        cmocka_unit_test(test_example_is_asked_for),
    };

    for (size_t i = 0; i < 2; i++) /* a machine's own settings are not this test's */
        (void)unsetenv(i ? "TF_HARDWARE_VENDOR" : "TF_ACCELERATOR_LIB_PATH");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
