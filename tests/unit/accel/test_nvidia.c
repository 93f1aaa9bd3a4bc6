/*
 * libaccelerator_nvidia.so over the simulated GPU, as a program uses it: through the loader. Device 0 is whole, device 1 is in MIG
 * mode, device 2 falls off the bus. Started again by itself with "remove DEVICE NAME" it is another process that removes a
 * partition.
 */
#include "accel/accel.h"
#include "divvy/accelerator.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define GIB      (UINT64_C(1) << 30)
#define PATIENCE 300 /* looks, 50 ms apart */

static struct divvy_accel *accel;
static struct divvy_accel_devices devices;
static struct divvy_error error;
static char last_message[1024];
static pid_t worker;

static void on_log(void *data, divvy_log_level_t level, const char *message) {
    (void)data;
    if (level <= DIVVY_LOG_WARN)
        (void)snprintf(last_message, sizeof last_message, "%s", message);
}

static struct divvy_accel *open_library(void) {
    const struct divvy_accel_settings settings = {.path = LIBRARY, .vendor = "NVIDIA", .log = on_log};
    struct divvy_accel *opened = NULL;

    if (divvy_accel_open(&settings, &opened, &error) < 0)
        (void)fprintf(stderr, "%s (%s)\n", error.text, last_message);
    return opened;
}

static void nap(void) {
    const struct timespec pause = {.tv_nsec = 50000000};

    (void)nanosleep(&pause, NULL);
}

/* The simulated GPU's own tool: its last line of output. */
static void sim(char *ret_line, size_t size, const char *arguments) {
    char command[512], line[512];
    FILE *output;

    (void)snprintf(command, sizeof command, "%s %s", SIM, arguments);
    output = popen(command, "r"); /* NOLINT(cert-env33-c): a test's own words */
    assert_non_null(output);
    while (fgets(line, sizeof line, output))
        if (ret_line)
            (void)snprintf(ret_line, size, "%.*s", (int)strcspn(line, "\n"), line);
    assert_int_equal(pclose(output), 0);
}

/* A run that was cut off may have left what it made: the machine outlives it. */
static int group_setup(void **state) {
    (void)state;
    sim(NULL, 0, "fault clear 2>/dev/null || true"); /* in a fresh build there is no machine yet */
    sim(NULL, 0, "mig off 1 >/dev/null 2>&1 || true");
    accel = open_library();
    if (!accel)
        return -1;
    sim(NULL, 0, "mig on 1 >/dev/null");
    divvy_accel_close(accel);
    accel = open_library();
    return accel && divvy_accel_devices_get(accel, &devices, &error) == 0 && devices.count == 3 ? 0 : -1;
}

static int group_teardown(void **state) {
    (void)state;
    divvy_accel_devices_free(&devices);
    divvy_accel_close(accel);
    return 0;
}

/* --- a process that uses a device ------------------------------------------------------------------------------ */

static void worker_start(const char *visible) {
    worker = fork();
    assert_true(worker >= 0);
    if (worker == 0) {
        int null = open("/dev/null", O_WRONLY);

        (void)dup2(null, 1);
        (void)setenv("CUDA_VISIBLE_DEVICES", visible, 1);
        (void)execl(WORKER, WORKER, "--seconds", "0", "--memory", "1GiB", "--kernel-us", "1000", (char *)NULL);
        _exit(127);
    }
}

static int worker_stop(void **state) {
    (void)state;
    if (worker > 0) {
        (void)kill(worker, SIGKILL);
        (void)waitpid(worker, NULL, 0);
    }
    worker = 0;
    return 0;
}

/* The worker's entry; false when it has none with at least this memory. */
static bool worker_seen(uint64_t least_bytes, struct divvy_accel_process *ret_process) {
    struct divvy_accel_processes list;
    bool seen = false;

    assert_int_equal(divvy_accel_processes_get(accel, &list, &error), 0);
    for (size_t i = 0; i < list.count && !seen; i++) {
        seen = list.processes[i].pid == worker && list.processes[i].memory_used_bytes >= least_bytes;
        if (seen)
            *ret_process = list.processes[i];
    }
    divvy_accel_processes_free(&list);
    return seen;
}

static struct divvy_accel_process worker_wait(void) {
    struct divvy_accel_process process = {.pid = 0};

    for (int i = 0; i < PATIENCE; i++) {
        if (worker_seen(GIB, &process))
            return process;
        nap();
    }
    fail_msg("the worker does not begin");
    return process;
}

static uint64_t used_bytes(const char *uuid) {
    struct divvy_accel_metrics_list list;
    uint64_t used;

    assert_int_equal(divvy_accel_metrics_get(accel, &uuid, 1, &list, &error), 0);
    used = list.metrics[0].memory_used_bytes;
    divvy_accel_metrics_free(&list);
    return used;
}

/* --- discovery --------------------------------------------------------------------------------------------------- */

static void test_discovery(void **state) {
    static const char *const keys[] = {
        "driverVersion",  "cudaVersion",   "computeCapability", "chipType",       "pciBusId",       "minorNumber",  "cudaCores",
        "memoryBusWidth", "pcieGenMax",    "pcieWidthMax",      "serial",         "vbiosVersion",   "clockGraphics", "clockSM",
        "clockMem",       "clockVideo",    "clockSMMax",        "powerLimit",     "powerLimitMax",  "temperatureThreshold",
        "eccEnabled",     "persistenceModeEnabled", "computeMode", "migEnabled",
    };

    (void)state;
    for (size_t i = 0; i < devices.count; i++) {
        const struct divvy_accel_device *device = &devices.devices[i];
        char node[32];

        for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
            if (!divvy_accel_device_property(device, keys[k]))
                fail_msg("no %s", keys[k]);
        (void)snprintf(node, sizeof node, "/dev/nvidia%zu", i);
        assert_string_equal(device->device_node, node);
        assert_string_equal(device->model, "NVIDIA H200");
        assert_string_equal(device->driver_version, "580.159.04");
        assert_string_equal(divvy_accel_device_property(device, "cudaVersion"), "13.0");
        assert_string_equal(divvy_accel_device_property(device, "computeCapability"), "9.0");
        assert_string_equal(divvy_accel_device_property(device, "cudaCores"), "16896");
        assert_string_equal(divvy_accel_device_property(device, "migEnabled"), i == 1 ? "true" : "false");
        assert_true(device->memory_bytes == UINT64_C(151397597184) && device->compute_units == 132 && device->tflops == 989.5);
        assert_true(device->pcie_generation == 5 && device->pcie_width == 16 && device->numa_node == 0);
        assert_true(device->capabilities.partitioning && device->capabilities.partitions_max == 7);
        assert_true(device->capabilities.snapshot && device->capabilities.metrics && !device->capabilities.hard_isolation);
    }
}

/* A reading that the driver lacks is zero or left out; the rest is there. */
static void test_unsupported_readings(void **state) {
    static const char *const calls[] = {
        "nvmlDeviceGetPowerUsage",   "nvmlDeviceGetTemperature", "nvmlDeviceGetUtilizationRates", "nvmlDeviceGetMemoryInfo",
        "nvmlDeviceGetPcieThroughput", "nvmlDeviceGetClockInfo", "nvmlDeviceGetSerial",           "nvmlDeviceGetMigMode",
        "nvmlDeviceGetName",         "nvmlDeviceGetNumGpuCores", "nvmlDeviceGetEccMode",          "nvmlSystemGetDriverVersion",
    };
    const char *uuids[] = {devices.devices[0].uuid, devices.devices[1].uuid};

    (void)state;
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        struct divvy_accel_metrics_list list;
        struct divvy_accel_devices found;
        char rule[128];

        (void)snprintf(rule, sizeof rule, "fault add unsupported:%s", calls[i]);
        sim(NULL, 0, rule);
        assert_int_equal(divvy_accel_devices_get(accel, &found, &error), 0);
        assert_int_equal(found.count, 3);
        assert_string_equal(found.devices[0].uuid, uuids[0]);
        assert_int_equal(divvy_accel_metrics_get(accel, uuids, 2, &list, &error), 0);
        assert_int_equal(list.metrics[0].status, 0);
        assert_int_equal(list.metrics[0].power_watts > 0, i != 0);
        assert_int_equal(list.metrics[0].temperature_celsius > 0, i != 1);
        assert_int_equal(found.devices[0].memory_bytes > 0, i != 3);
        if (i == 7)
            assert_false(found.devices[0].capabilities.partitioning);
        if (i == 8)
            assert_string_equal(found.devices[0].model, "unknown");
        divvy_accel_metrics_free(&list);
        divvy_accel_devices_free(&found);
        sim(NULL, 0, "fault clear");
    }
}

/* --- processes, figures, snapshots ---------------------------------------------------------------------------------- */

static void test_process(void **state) {
    const char *uuid = devices.devices[0].uuid;
    struct divvy_accel_metrics_list list;
    struct divvy_accel_process process = {.pid = 0};

    (void)state;
    worker_start("0");
    process = worker_wait();
    assert_string_equal(process.device_uuid, uuid);
    assert_true(process.total_units == 132 && process.memory_percent > 0.5 && process.memory_percent < 5);
    for (int i = 0; i < PATIENCE && process.compute_percent < 80; i++) {
        nap();
        assert_true(worker_seen(GIB, &process));
    }
    assert_true(process.compute_percent >= 80 && process.compute_percent <= 100);
    assert_true(process.active_units >= 105 && process.active_units <= 132);
    /* asked at once again, the figure is not a fresh zero */
    assert_true(worker_seen(GIB, &process));
    assert_true(process.compute_percent >= 50);
    assert_int_equal(divvy_accel_metrics_get(accel, &uuid, 1, &list, &error), 0);
    assert_true(list.metrics[0].utilization_percent > 50 && list.metrics[0].power_watts > 200);
    assert_true(list.metrics[0].memory_used_bytes >= GIB && list.metrics[0].extra_count >= 8);
    divvy_accel_metrics_free(&list);
    (void)worker_stop(NULL);
    for (int i = 0; i < PATIENCE && used_bytes(uuid) > 0; i++)
        nap();
    assert_true(used_bytes(uuid) == 0);
}

/* Rates of the link come from counters, once there are two readings. */
static void test_link(void **state) {
    const char *uuid = devices.devices[0].uuid;
    struct divvy_accel_metrics_list list;
    int wait_status = -1;
    pid_t pid;

    (void)state;
    assert_int_equal(divvy_accel_metrics_get(accel, &uuid, 1, &list, &error), 0);
    divvy_accel_metrics_free(&list);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);

        (void)dup2(null, 1);
        (void)execl(COPIER, COPIER, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &wait_status, 0), pid);
    assert_int_equal(wait_status, 0);
    for (int i = 0; i < 3; i++) /* more than the least time between two rates */
        nap();
    assert_int_equal(divvy_accel_metrics_get(accel, &uuid, 1, &list, &error), 0);
    assert_true(list.metrics[0].pcie_rx_bytes > 0 && list.metrics[0].pcie_tx_bytes > 0);
    divvy_accel_metrics_free(&list);
}

static void test_snapshot(void **state) {
    const char *uuid = devices.devices[0].uuid;
    pid_t both[2], nobody;
    uint64_t loaded;

    (void)state;
    worker_start("0");
    (void)worker_wait();
    loaded = used_bytes(uuid);
    for (int by_device = 0; by_device < 2; by_device++) {
        int status = by_device ? divvy_accel_snapshot(accel, NULL, 0, uuid, &error) : divvy_accel_snapshot(accel, &worker, 1, NULL, &error);

        if (status < 0)
            fail_msg("%s (%s)", error.text, last_message);
        assert_true(used_bytes(uuid) == 0);
        assert_int_equal(divvy_accel_snapshot(accel, &worker, 1, NULL, &error), 0); /* is so already */
        assert_int_equal(divvy_accel_resume(accel, &worker, 1, NULL, &error), 0);
        assert_true(used_bytes(uuid) == loaded);
    }
    /* none that uses a device, and then nobody is touched */
    nobody = fork();
    assert_true(nobody >= 0);
    if (nobody == 0) {
        (void)pause();
        _exit(0);
    }
    both[0] = worker;
    both[1] = nobody;
    assert_int_equal(divvy_accel_snapshot(accel, both, 2, NULL, &error), -ENOENT);
    assert_true(used_bytes(uuid) == loaded);
    (void)kill(nobody, SIGKILL);
    (void)waitpid(nobody, NULL, 0);
    assert_int_equal(divvy_accel_snapshot(accel, both, 2, NULL, &error), -ENOENT);
    both[0] = getpid();
    assert_int_equal(divvy_accel_snapshot(accel, both, 1, NULL, &error), -EINVAL);
    /* what fails is undone, and told with the driver's word for it */
    sim(NULL, 0, "fault add fail:cuCheckpointProcessCheckpoint=999");
    assert_int_equal(divvy_accel_snapshot(accel, &worker, 1, NULL, &error), -EIO);
    assert_non_null(strstr(last_message, "cuCheckpointProcessCheckpoint of process"));
    sim(NULL, 0, "fault clear");
    assert_true(used_bytes(uuid) == loaded);
    assert_int_equal(divvy_accel_snapshot(accel, &worker, 1, NULL, &error), 0);
    assert_int_equal(divvy_accel_resume(accel, &worker, 1, NULL, &error), 0);
}

/* --- partitions -------------------------------------------------------------------------------------------------------- */

/* How many compute instances device 1 has. */
static unsigned int instances(void) {
    char line[64] = "";

    sim(line, sizeof line, "mig list 1 | grep -c MIG- || true");
    return (unsigned int)strtoul(line, NULL, 10);
}

static unsigned int gpu_instances(void) {
    char line[64] = "";

    sim(line, sizeof line, "mig list 1 | wc -l");
    return (unsigned int)strtoul(line, NULL, 10);
}

static int assign(const char *template_id, struct divvy_accel_partition *partition) {
    return divvy_accel_partition_assign(accel, template_id, devices.devices[1].uuid, partition, &error);
}

static int discard(const char *name) {
    return divvy_accel_partition_remove(accel, name, devices.devices[1].uuid, &error);
}

static void test_partition_names(void **state) {
    static const char *const good[] = {"19", "1g.18gb", "MIG-1g-18gb", "mig 1G_18GB", "nv-h200-1g-18gb", "1g.18gb+me", "nv-h200-1g-18gb-me",
                                       "20", "15", "2g.35gb", "0", "7g.141gb"};
    static const char *const bad[] = {"1g.17gb", "18gb", "1g", "21", "-1", "19 ", "nv-h100-1g-18gb", "nv-1g-18gb", "+me", "mig-", "9999999999999999999999"};
    struct divvy_accel_partition partition;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (assign(good[i], &partition) < 0)
            fail_msg("%s: %s (%s)", good[i], error.text, last_message);
        assert_true(strncmp(partition.uuid, "MIG-", 4) == 0);
        assert_false(partition.is_by_nodes);
        assert_int_equal(partition.variable_count, 2);
        assert_string_equal(partition.variables[0].key, "NVIDIA_VISIBLE_DEVICES");
        assert_string_equal(partition.variables[1].key, "CUDA_VISIBLE_DEVICES");
        assert_string_equal(partition.variables[0].value, partition.uuid);
        assert_string_equal(partition.variables[1].value, partition.uuid);
        assert_int_equal(instances(), 1);
        assert_int_equal(discard(i % 2 ? partition.uuid : good[i]), 0);
        assert_int_equal(instances(), 0);
        assert_int_equal(discard(partition.uuid), 0); /* is gone, and that is what was wanted */
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (i != 5) /* blanks around a number are blanks */
            assert_int_equal(assign(bad[i], &partition), -ENOENT);
    assert_non_null(strstr(last_message, "1g.18gb"));
    assert_int_equal(instances(), 0);
}

static void test_partition_refused(void **state) {
    struct divvy_accel_partition partition, seven[7];
    unsigned int lines = gpu_instances();

    (void)state;
    assert_int_equal(divvy_accel_partition_assign(accel, "19", devices.devices[0].uuid, &partition, &error), -EOPNOTSUPP);
    assert_non_null(strstr(last_message, "MIG is off"));
    assert_non_null(strstr(error.text, "not supported: MIG is off on GPU-")); /* who asked is told, too */
    assert_int_equal(divvy_accel_partition_assign(accel, "19", "GPU-00000000-0000-0000-0000-000000000000", &partition, &error), -ENOENT);
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(assign("1g.18gb", &seven[i]), 0);
    assert_int_equal(assign("1g.18gb", &partition), -ENOSPC);
    assert_int_equal(divvy_accel_partition_assign(accel, "19", seven[0].uuid, &partition, &error), -EINVAL); /* of a partition */
    /* by template: the newest goes first */
    assert_int_equal(discard("mig-1g.18gb"), 0);
    assert_int_equal(instances(), 6);
    assert_int_equal(divvy_accel_partition_remove(accel, seven[6].uuid, devices.devices[1].uuid, &error), 0);
    assert_int_equal(instances(), 6);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(discard(seven[i].uuid), 0);
    assert_int_equal(gpu_instances(), lines);
}

/* A failure at any step leaves nothing. */
static void test_partition_rollback(void **state) {
    static const char *const rules[] = {
        "fail:nvmlDeviceCreateGpuInstance=999",
        "fail:nvmlGpuInstanceGetComputeInstanceProfileInfo=999",
        "fail:nvmlGpuInstanceCreateComputeInstance=999",
        "fail:nvmlGpuInstanceGetInfo=999",
        "fail:nvmlComputeInstanceGetInfo=999",
        "fail:nvmlDeviceGetMigDeviceHandleByIndex=999",
    };
    unsigned int lines = gpu_instances();
    struct divvy_accel_partition partition;

    (void)state;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        char rule[128];

        (void)snprintf(rule, sizeof rule, "fault add '%s'", rules[i]);
        sim(NULL, 0, rule);
        assert_true(assign("2g.35gb", &partition) < 0);
        sim(NULL, 0, "fault clear");
        assert_int_equal(gpu_instances(), lines);
    }
    assert_int_equal(assign("2g.35gb", &partition), 0);
    /* half removed, it is ours still */
    sim(NULL, 0, "fault add 'fail:nvmlGpuInstanceDestroy=999'");
    assert_true(discard(partition.uuid) < 0);
    sim(NULL, 0, "fault clear");
    assert_int_equal(discard(partition.uuid), 0);
    assert_int_equal(gpu_instances(), lines);
}

/* What others made stays, whatever it is called by. */
static void test_partition_of_others(void **state) {
    struct divvy_accel_partition ours;
    char theirs[64] = "", command[128];

    (void)state;
    sim(theirs, sizeof theirs, "mig create 1 1g.18gb");
    assert_true(strncmp(theirs, "MIG-", 4) == 0);
    assert_int_equal(discard(theirs), 0);
    assert_int_equal(discard("1g.18gb"), 0);
    assert_int_equal(discard("19"), 0);
    assert_int_equal(instances(), 1);
    assert_int_equal(assign("1g.18gb", &ours), 0);
    assert_int_equal(discard("1g.18gb"), 0);
    assert_int_equal(discard("1g.18gb"), 0);
    assert_int_equal(instances(), 1);
    (void)snprintf(command, sizeof command, "mig destroy %s", theirs);
    sim(NULL, 0, command);
}

/* A process in a partition: seen there, and the partition stays while it lives. */
static void test_partition_used(void **state) {
    struct divvy_accel_partition partition;
    struct divvy_accel_process process;
    char shouted[64];

    (void)state;
    assert_int_equal(assign("1g.18gb", &partition), 0);
    worker_start(partition.uuid);
    process = worker_wait();
    assert_string_equal(process.device_uuid, partition.uuid);
    for (size_t i = 0; i < sizeof shouted; i++)
        shouted[i] = partition.uuid[i] >= 'a' && partition.uuid[i] <= 'z' ? (char)(partition.uuid[i] - 32) : partition.uuid[i];
    assert_true(used_bytes(shouted) >= GIB);
    assert_true(used_bytes(partition.uuid + 4) >= GIB); /* without its "MIG-" */
    assert_true(discard(partition.uuid) < 0);
    assert_int_equal(instances(), 1);
    (void)worker_stop(NULL);
    assert_int_equal(discard(shouted), 0);
    assert_int_equal(instances(), 0);
}

/* Another process, as a host that was started anew. */
static void test_partition_survives(void **state) {
    struct divvy_accel_partition partition;
    char command[256] = "";
    int wait_status = -1;
    pid_t pid;

    (void)state;
    assert_int_equal(assign("3g.71gb", &partition), 0);
    (void)snprintf(command, sizeof command, "%s", partition.uuid);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)execl("/proc/self/exe", "test_accel_nvidia", "remove", devices.devices[1].uuid, command, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &wait_status, 0), pid);
    assert_int_equal(wait_status, 0);
    assert_int_equal(instances(), 0);
    assert_int_equal(discard(partition.uuid), 0);
}

/* Notes of partitions that say nonsense are passed over. */
static void test_partition_bad_notes(void **state) {
    static const char *const notes[] = {"", "1", "1 a b", "2 a b 1 2 3 t\n", "1 a b x 2 3 t\n", "1 a b 1 2 99999999999999999999999 t\n",
                                        "1                 \n", "\377\376"};
    const char *folder = getenv("DIVVY_PARTITION_DIR");
    struct divvy_accel_partition partition;

    (void)state;
    assert_non_null(folder);
    for (size_t i = 0; i < sizeof notes / sizeof notes[0]; i++) {
        char path[512];
        FILE *file;

        (void)snprintf(path, sizeof path, "%s/note-%zu", folder, i);
        file = fopen(path, "we");
        assert_non_null(file);
        (void)fputs(notes[i], file);
        assert_int_equal(fclose(file), 0);
    }
    assert_int_equal(assign("1g.18gb", &partition), 0);
    assert_int_equal(discard("b"), 0);
    assert_int_equal(discard("t"), 0);
    assert_int_equal(instances(), 1);
    assert_int_equal(discard("1g.18gb"), 0);
    assert_int_equal(instances(), 0);
}

/* --- generation 1, and a device that is lost: last, since it does not come back here ---------------------------------------- */

static void test_generation_1(void **state) {
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    bool (*make)(Accel1PartitionAssignment *) = (bool (*)(Accel1PartitionAssignment *))dlsym(library, "AssignPartition");
    bool (*destroy)(const char *, const char *) = (bool (*)(const char *, const char *))dlsym(library, "RemovePartition");
    Accel1PartitionAssignment assignment = {.templateId = "19"};

    (void)state;
    assert_true(make && destroy);
    memcpy(assignment.deviceUUID, devices.devices[1].uuid, sizeof assignment.deviceUUID);
    for (size_t i = 0; assignment.deviceUUID[i]; i++) /* such hosts pass it in lower case */
        assignment.deviceUUID[i] = assignment.deviceUUID[i] >= 'A' && assignment.deviceUUID[i] <= 'Z' ? (char)(assignment.deviceUUID[i] + 32) : assignment.deviceUUID[i];
    assert_true(make(&assignment));
    assert_int_equal(assignment.envVarCount, 2);
    assert_string_equal(assignment.envVars[1].key, "CUDA_VISIBLE_DEVICES");
    assert_string_equal(assignment.envVars[1].value, assignment.partitionUUID);
    assert_int_equal(instances(), 1);
    assert_true(destroy(assignment.partitionUUID, assignment.deviceUUID));
    assert_int_equal(instances(), 0);
    (void)strcpy(assignment.templateId, "no such"); /* NOLINT: it fits */
    assert_false(make(&assignment));
    assert_int_equal(assignment.partitionUUID[0], 0);
    assert_int_equal(assignment.envVarCount, 0);
}

static void test_lost_device(void **state) {
    const char *uuids[3];
    struct divvy_accel_metrics_list list;
    struct divvy_accel_devices found;
    struct divvy_accel_topology topology;

    (void)state;
    for (size_t i = 0; i < 3; i++)
        uuids[i] = devices.devices[i].uuid;
    sim(NULL, 0, "fault lose 2");
    assert_int_equal(divvy_accel_devices_get(accel, &found, &error), 0);
    assert_int_equal(found.count, 2);
    assert_non_null(strstr(last_message, "device 2 is left out"));
    assert_int_equal(divvy_accel_metrics_get(accel, uuids, 3, &list, &error), 0);
    assert_true(list.metrics[0].power_watts > 0 && list.metrics[1].power_watts > 0 && list.metrics[2].power_watts == 0);
    assert_int_equal(divvy_accel_topology_get(accel, &topology, &error), 0);
    assert_int_equal(topology.count, 2);
    assert_int_equal(topology.devices[0].peer_count, 1);
    divvy_accel_topology_free(&topology);
    divvy_accel_metrics_free(&list);
    divvy_accel_devices_free(&found);
    sim(NULL, 0, "fault restore 2");
}

static int remove_for_test(const char *device, const char *name) {
    struct divvy_accel *own = open_library();
    int status = own ? divvy_accel_partition_remove(own, name, device, &error) : -1;

    divvy_accel_close(own);
    return status == 0 ? 0 : 1;
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_discovery),
        cmocka_unit_test(test_unsupported_readings),
        cmocka_unit_test_teardown(test_process, worker_stop),
        cmocka_unit_test(test_link),
        cmocka_unit_test_teardown(test_snapshot, worker_stop),
        cmocka_unit_test(test_partition_names),
        cmocka_unit_test(test_partition_refused),
        cmocka_unit_test(test_partition_rollback),
        cmocka_unit_test(test_partition_of_others),
        cmocka_unit_test_teardown(test_partition_used, worker_stop),
        cmocka_unit_test(test_partition_survives),
        cmocka_unit_test(test_partition_bad_notes),
        cmocka_unit_test(test_generation_1),
        cmocka_unit_test(test_lost_device),
    };

    if (argc == 4 && strcmp(argv[1], "remove") == 0)
        return remove_for_test(argv[2], argv[3]);
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
