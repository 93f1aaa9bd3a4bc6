/* Life of the library, and what devices and the system say about themselves. */
#include "room.h"

#include <ctype.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- life ------------------------------------------------------------------------------------------- */

static void test_initialisations_are_counted(void **state) {
    unsigned int count;

    (void)state;
    assert_int_equal(nvmlInit_v2(), NVML_SUCCESS);
    assert_int_equal(nvmlInit(), NVML_SUCCESS);
    assert_int_equal(nvmlInitWithFlags(NVML_INIT_FLAG_NO_ATTACH), NVML_SUCCESS);
    assert_int_equal(nvmlInitWithFlags(1u << 20), NVML_SUCCESS);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(nvmlDeviceGetCount_v2(&count), NVML_SUCCESS);
        assert_int_equal(count, 2);
        assert_int_equal(nvmlShutdown(), NVML_SUCCESS);
    }
    assert_int_equal(nvmlDeviceGetCount_v2(&count), NVML_ERROR_UNINITIALIZED);
    assert_int_equal(nvmlShutdown(), NVML_ERROR_UNINITIALIZED);
}

static void test_handles_outlive_shutdown(void **state) {
    nvmlDevice_t before;

    (void)state;
    assert_int_equal(nvmlInit_v2(), NVML_SUCCESS);
    before = room_device(1);
    assert_int_equal(nvmlShutdown(), NVML_SUCCESS);
    assert_int_equal(nvmlInit_v2(), NVML_SUCCESS);
    assert_ptr_equal(room_device(1), before);
    assert_int_equal(nvmlShutdown(), NVML_SUCCESS);
}

static void test_bad_configuration_is_no_driver(void **state) {
    int saved = dup(2), nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);

    (void)state;
    (void)setenv("DIVVY_SIM_DEVICES", "many", 1);
    assert_int_equal(dup2(nowhere, 2), 2); /* one line names the variable there */
    assert_int_equal(nvmlInit_v2(), NVML_ERROR_DRIVER_NOT_LOADED);
    (void)dup2(saved, 2);
    (void)close(saved);
    (void)close(nowhere);
    assert_int_equal(nvmlShutdown(), NVML_ERROR_UNINITIALIZED);
}

static void test_error_texts(void **state) {
    (void)state;
    assert_string_equal(nvmlErrorString(NVML_SUCCESS), "Success");
    assert_string_equal(nvmlErrorString(NVML_ERROR_GPU_IS_LOST), "GPU is lost");
    assert_string_equal(nvmlErrorString((nvmlReturn_t)12345), "Unknown Error");
}

static void test_fork_child_is_told(void **state) {
    int status;
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        unsigned int count;
        nvmlReturn_t result = nvmlDeviceGetCount_v2(&count);

        _exit(result == NVML_ERROR_UNINITIALIZED ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_non_null(room_device(0)); /* the parent goes on */
}

/* --- identity --------------------------------------------------------------------------------------- */

static void test_handles_are_found(void **state) {
    char uuid[NVML_DEVICE_UUID_BUFFER_SIZE], serial[NVML_DEVICE_SERIAL_BUFFER_SIZE], text[64];
    nvmlDevice_t device, found;
    nvmlPciInfo_t pci;

    (void)state;
    for (unsigned int i = 0; i < 2; i++) {
        device = room_device(i);
        assert_int_equal(nvmlDeviceGetUUID(device, uuid, sizeof(uuid)), NVML_SUCCESS);
        assert_int_equal(nvmlDeviceGetHandleByUUID(uuid, &found), NVML_SUCCESS);
        assert_ptr_equal(found, device);
        for (char *letter = uuid; *letter != '\0'; letter++)
            *letter = (char)toupper((unsigned char)*letter);
        found = NULL;
        assert_int_equal(nvmlDeviceGetHandleByUUID(uuid, &found), NVML_SUCCESS);
        assert_ptr_equal(found, device);
        assert_int_equal(nvmlDeviceGetSerial(device, serial, sizeof(serial)), NVML_SUCCESS);
        assert_int_equal(nvmlDeviceGetHandleBySerial(serial, &found), NVML_SUCCESS);
        assert_ptr_equal(found, device);

        assert_int_equal(nvmlDeviceGetPciInfo_v3(device, &pci), NVML_SUCCESS);
        assert_int_equal(nvmlDeviceGetHandleByPciBusId_v2(pci.busId, &found), NVML_SUCCESS);
        assert_ptr_equal(found, device);
        (void)snprintf(text, sizeof(text), "%x:%02x", pci.bus, pci.device);
        assert_int_equal(nvmlDeviceGetHandleByPciBusId_v2(text, &found), NVML_SUCCESS);
        assert_ptr_equal(found, device);
        assert_int_equal(nvmlDeviceGetHandleByPciBusId_v2(pci.busIdLegacy, &found), NVML_SUCCESS);
        assert_ptr_equal(found, device);
    }
}

static void test_handles_are_not_found(void **state) {
    static const char *const malformed[] = {"", "zz", "1b", "0000:1b:00.1", "0000:1b:00.0x", "0000:1b:00.0.0",
                                            "00000000000000000000000000000000000000000:1b:00.0"};
    static const char *const strange[] = {"", "x", "GPU-00000000-0000-0000-0000-000000000000",
                                          "MIG-00000000-0000-0000-0000-000000000000", "GPU-"};
    nvmlDevice_t found;

    (void)state;
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++)
        assert_int_equal(nvmlDeviceGetHandleByPciBusId_v2(malformed[i], &found),
                         NVML_ERROR_INVALID_ARGUMENT);
    assert_int_equal(nvmlDeviceGetHandleByPciBusId_v2("0000:ff:1f.0", &found), NVML_ERROR_NOT_FOUND);
    for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++)
        assert_int_equal(nvmlDeviceGetHandleByUUID(strange[i], &found), NVML_ERROR_NOT_FOUND);
    assert_int_equal(nvmlDeviceGetHandleBySerial("1", &found), NVML_ERROR_NOT_FOUND);
    assert_int_equal(nvmlDeviceGetHandleByIndex_v2(2, &found), NVML_ERROR_INVALID_ARGUMENT);
}

static void test_uuid_of_both_kinds(void **state) {
    nvmlUUID_t uuid = {.version = NVML_STRUCT_VERSION(UUID, 1), .type = NVML_UUID_TYPE_BINARY};
    char text[NVML_DEVICE_UUID_BUFFER_SIZE];
    nvmlDevice_t device = room_device(1), found;
    unsigned int byte, at = 0;

    (void)state;
    assert_int_equal(nvmlDeviceGetUUID(device, text, sizeof(text)), NVML_SUCCESS);
    for (const char *digit = text + 4; *digit != '\0'; digit += 2) {
        digit += *digit == '-';
        assert_int_equal(sscanf(digit, "%2x", &byte), 1);
        uuid.value.bytes[at++] = (unsigned char)byte;
    }
    assert_int_equal(at, 16);
    assert_int_equal(nvmlDeviceGetHandleByUUIDV(&uuid, &found), NVML_SUCCESS);
    assert_ptr_equal(found, device);
    uuid.type = NVML_UUID_TYPE_ASCII;
    memcpy(uuid.value.str, text, sizeof(uuid.value.str));
    assert_int_equal(nvmlDeviceGetHandleByUUIDV(&uuid, &found), NVML_SUCCESS);
    assert_ptr_equal(found, device);
    memset(uuid.value.str, 'a', sizeof(uuid.value.str)); /* no end */
    assert_int_equal(nvmlDeviceGetHandleByUUIDV(&uuid, &found), NVML_ERROR_INVALID_ARGUMENT);
    uuid.type = 9;
    assert_int_equal(nvmlDeviceGetHandleByUUIDV(&uuid, &found), NVML_ERROR_INVALID_ARGUMENT);
    uuid.version = 1;
    assert_int_equal(nvmlDeviceGetHandleByUUIDV(&uuid, &found), NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
}

static void test_text_needs_room_for_its_end(void **state) {
    nvmlDevice_t device = room_device(0);
    char name[64];

    (void)state;
    memset(name, '#', sizeof(name));
    assert_int_equal(nvmlDeviceGetName(device, name, 11), NVML_ERROR_INSUFFICIENT_SIZE);
    assert_int_equal(name[0], '#');
    assert_int_equal(nvmlDeviceGetName(device, name, 12), NVML_SUCCESS);
    assert_string_equal(name, "NVIDIA H200");
    assert_int_equal(name[12], '#');
    assert_int_equal(nvmlDeviceGetName(device, NULL, 64), NVML_ERROR_INVALID_ARGUMENT);
    assert_int_equal(nvmlSystemGetDriverVersion(name, 3), NVML_ERROR_INSUFFICIENT_SIZE);
    assert_int_equal(nvmlSystemGetDriverVersion(name, sizeof(name)), NVML_SUCCESS);
    assert_string_equal(name, "580.159.04");
}

/* Older callers hand in a structure that ends after 52 bytes. */
static void test_pci_of_older_callers(void **state) {
    unsigned char buffer[sizeof(nvmlPciInfo_t)];
    nvmlPciInfo_t full;

    (void)state;
    memset(buffer, 0x5a, sizeof(buffer));
    assert_int_equal(nvmlDeviceGetPciInfo_v2(room_device(0), (nvmlPciInfo_t *)(void *)buffer), NVML_SUCCESS);
    assert_int_equal(nvmlDeviceGetPciInfo_v3(room_device(0), &full), NVML_SUCCESS);
    assert_memory_equal(buffer, &full, offsetof(nvmlPciInfo_t, busId));
    for (size_t i = 52; i < sizeof(buffer); i++)
        assert_int_equal(buffer[i], 0x5a);
}

static void test_facts(void **state) {
    nvmlDevice_t device = room_device(0);
    unsigned int number = 0, other = 0;
    int major = 0, minor = 7;
    nvmlEnableState_t current, pending;
    nvmlDeviceArchitecture_t architecture;
    char name[64];

    (void)state;
    assert_int_equal(nvmlDeviceGetNumGpuCores(device, &number), NVML_SUCCESS);
    assert_int_equal(number, 16896);
    assert_int_equal(nvmlDeviceGetCudaComputeCapability(device, &major, &minor), NVML_SUCCESS);
    assert_int_equal(major, 9);
    assert_int_equal(minor, 0);
    assert_int_equal(nvmlDeviceGetArchitecture(device, &architecture), NVML_SUCCESS);
    assert_int_equal(architecture, NVML_DEVICE_ARCH_HOPPER);
    assert_int_equal(nvmlDeviceGetEccMode(device, &current, &pending), NVML_SUCCESS);
    assert_int_equal(current, NVML_FEATURE_ENABLED);
    assert_int_equal(nvmlDeviceGetMigMode(device, &number, &other), NVML_SUCCESS);
    assert_int_equal(number, 0);
    assert_int_equal(nvmlDeviceGetPcieSpeed(device, &number), NVML_SUCCESS);
    assert_int_equal(number, 32000);
    assert_int_equal(nvmlDeviceGetClock(device, NVML_CLOCK_SM, NVML_CLOCK_ID_CURRENT, &number), NVML_SUCCESS);
    assert_int_equal(number, 1980);
    assert_int_equal(nvmlDeviceGetClock(device, NVML_CLOCK_VIDEO, NVML_CLOCK_ID_APP_CLOCK_TARGET, &number),
                     NVML_ERROR_NOT_SUPPORTED);
    assert_int_equal(nvmlSystemGetProcessName((unsigned int)getpid(), name, sizeof(name)), NVML_SUCCESS);
    assert_non_null(strstr(name, "simgpu_nvml"));
    assert_int_equal(nvmlSystemGetProcessName(0, name, sizeof(name)), NVML_ERROR_NOT_FOUND);
    memset(name, '#', sizeof(name));
    assert_int_equal(nvmlSystemGetProcessName((unsigned int)getpid(), name, 3), NVML_SUCCESS);
    assert_int_equal(strlen(name), 2);
    assert_int_equal(nvmlSystemGetProcessName((unsigned int)getpid(), name, 0), NVML_ERROR_INVALID_ARGUMENT);
}

static void test_supported_clocks_protocol(void **state) {
    nvmlDevice_t device = room_device(0);
    unsigned int count = 0, clocks[128];

    (void)state;
    assert_int_equal(nvmlDeviceGetSupportedGraphicsClocks(device, 3201, &count, NULL), NVML_ERROR_INSUFFICIENT_SIZE);
    assert_int_equal(count, 110);
    assert_int_equal(nvmlDeviceGetSupportedGraphicsClocks(device, 3201, &count, clocks), NVML_SUCCESS);
    assert_int_equal(clocks[0], 1980);
    assert_int_equal(clocks[109], 345);
    assert_int_equal(nvmlDeviceGetSupportedGraphicsClocks(device, 5, &count, clocks), NVML_ERROR_NOT_FOUND);
}

static void test_topology(void **state) {
    nvmlDevice_t first = room_device(0), second = room_device(1), list[4];
    nvmlGpuTopologyLevel_t level;
    nvmlGpuP2PStatus_t status;
    unsigned int count = 0;
    unsigned long cpus[2] = {0, 7};

    (void)state;
    assert_int_equal(nvmlDeviceGetTopologyCommonAncestor(first, second, &level), NVML_SUCCESS);
    assert_int_equal(level, NVML_TOPOLOGY_NODE);
    assert_int_equal(nvmlDeviceGetTopologyCommonAncestor(first, first, &level), NVML_ERROR_NOT_SUPPORTED);
    assert_int_equal(nvmlDeviceGetTopologyNearestGpus(first, NVML_TOPOLOGY_NODE, &count, NULL), NVML_SUCCESS);
    assert_int_equal(count, 1);
    assert_int_equal(nvmlDeviceGetTopologyNearestGpus(first, NVML_TOPOLOGY_NODE, &count, list), NVML_SUCCESS);
    assert_ptr_equal(list[0], second);
    assert_int_equal(nvmlDeviceGetTopologyNearestGpus(first, (nvmlGpuTopologyLevel_t)7, &count, list),
                     NVML_ERROR_INVALID_ARGUMENT);
    assert_int_equal(nvmlDeviceGetP2PStatus(first, second, NVML_P2P_CAPS_INDEX_NVLINK, &status), NVML_SUCCESS);
    assert_int_equal(status, NVML_P2P_STATUS_NOT_SUPPORTED);
    count = 1;
    assert_int_equal(nvmlSystemGetTopologyGpuSet(0, &count, list), NVML_SUCCESS);
    assert_int_equal(count, 1);
    assert_ptr_equal(list[0], first);
    assert_int_equal(nvmlDeviceGetCpuAffinity(first, 2, cpus), NVML_SUCCESS);
    assert_true(cpus[0] & 1);
    assert_int_equal(nvmlDeviceGetCpuAffinity(first, 0, cpus), NVML_ERROR_INVALID_ARGUMENT);
}

/* --- threads ----------------------------------------------------------------------------------------- */

static void *hammer(void *argument) {
    char name[64];
    nvmlUtilization_t rates;
    nvmlDevice_t device;
    intptr_t wrong = 0;

    (void)argument;
    for (int i = 0; i < 100; i++) {
        if (nvmlInit_v2() != NVML_SUCCESS)
            return (void *)(intptr_t)1000;
        wrong += nvmlDeviceGetHandleByIndex_v2((unsigned int)i % 2, &device) != NVML_SUCCESS;
        wrong += nvmlDeviceGetName(device, name, sizeof(name)) != NVML_SUCCESS;
        wrong += nvmlDeviceGetUtilizationRates(device, &rates) != NVML_SUCCESS;
        wrong += nvmlShutdown() != NVML_SUCCESS;
    }
    return (void *)wrong;
}

static void test_threads(void **state) {
    pthread_t threads[8];
    void *wrong;

    (void)state;
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, NULL), 0);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_ptr_equal(wrong, NULL);
    }
    assert_int_equal(nvmlShutdown(), NVML_ERROR_UNINITIALIZED);
}

#define BARE(test) cmocka_unit_test_setup_teardown(test, room_setup_bare, room_teardown_bare)
#define READY(test) cmocka_unit_test_setup_teardown(test, room_setup, room_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        BARE(test_initialisations_are_counted),
        BARE(test_handles_outlive_shutdown),
        BARE(test_bad_configuration_is_no_driver),
        BARE(test_error_texts),
        READY(test_fork_child_is_told),
        READY(test_handles_are_found),
        READY(test_handles_are_not_found),
        READY(test_uuid_of_both_kinds),
        READY(test_text_needs_room_for_its_end),
        READY(test_pci_of_older_callers),
        READY(test_facts),
        READY(test_supported_clocks_protocol),
        READY(test_topology),
        BARE(test_threads),
    };

    return cmocka_run_group_tests_name("simgpu_nvml_identity", tests, NULL, NULL);
}
