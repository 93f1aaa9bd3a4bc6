/*
 * What a program sees: one line of figures for each device. Exit 0 whatever cuInit says.
 *
 *   init RESULT
 *   device ORDINAL total BYTES used BYTES nvml-total BYTES nvml-used BYTES
 *
 * `probe nvml-first` initialises NVML before CUDA; `probe nvml` uses NVML only; `probe uuids` lists
 * the devices; `probe processes` the pids on device 0; `probe watch SECONDS` prints the most that
 * it held.
 */
#include "cu.h"

#include <time.h>
#include <unistd.h>

static void nvml_figures(unsigned index, int by_uuid, const CUuuid *uuid) {
    nvmlMemory_t memory = {0};
    nvmlDevice_t device;

    if (by_uuid) {
        char text[64] = "GPU-";
        char *at = text + 4;

        for (int i = 0; i < 16; i++)
            at += sprintf(at, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
                          (unsigned char)uuid->bytes[i]);
        CHECK(nv.nvmlDeviceGetHandleByUUID(text, &device) == NVML_SUCCESS);
    } else {
        CHECK(nv.nvmlDeviceGetHandleByIndex_v2(index, &device) == NVML_SUCCESS);
    }
    CHECK(nv.nvmlDeviceGetMemoryInfo(device, &memory) == NVML_SUCCESS);
    printf(" nvml-total %llu nvml-used %llu", memory.total, memory.used);
}

static int nvml_only(void) {
    unsigned count = 0;

    nv_load();
    CHECK(nv.nvmlInit_v2() == NVML_SUCCESS);
    CHECK(nv.nvmlDeviceGetCount_v2(&count) == NVML_SUCCESS);
    for (unsigned i = 0; i < count; i++) {
        printf("device %u", i);
        nvml_figures(i, 0, NULL);
        printf("\n");
    }
    return 0;
}

/* UUIDs in NVML's order. */
static int uuids(void) {
    unsigned count = 0;
    nvmlDevice_t device;
    char text[96];

    nv_load();
    CHECK(nv.nvmlInit_v2() == NVML_SUCCESS);
    CHECK(nv.nvmlDeviceGetCount_v2(&count) == NVML_SUCCESS);
    for (unsigned i = 0; i < count; i++) {
        CHECK(nv.nvmlDeviceGetHandleByIndex_v2(i, &device) == NVML_SUCCESS);
        CHECK(nv.nvmlDeviceGetUUID(device, text, sizeof text) == NVML_SUCCESS);
        printf("%s\n", text);
    }
    return 0;
}

/* Pids on device 0, by every version of the list, which must agree; and NVML's protocol for lists
 * too long. */
static int processes(void) {
    nvmlProcessInfo_v1_t first[64];
    nvmlProcessInfo_v2_t second[64];
    nvmlProcessInfo_t third[64];
    nvmlProcessUtilizationSample_t samples[64];
    unsigned count_1 = 64, count_2 = 64, count_3 = 64, none = 0, sample_count = 64;
    nvmlUtilization_t utilisation;
    nvmlDevice_t device;
    nvmlReturn_t result;

    nv_load();
    CHECK(nv.nvmlInit_v2() == NVML_SUCCESS);
    CHECK(nv.nvmlDeviceGetHandleByIndex_v2(0, &device) == NVML_SUCCESS);
    CHECK(nv.nvmlDeviceGetComputeRunningProcesses(device, &count_1, first) == NVML_SUCCESS);
    CHECK(nv.nvmlDeviceGetComputeRunningProcesses_v2(device, &count_2, second) == NVML_SUCCESS);
    CHECK(nv.nvmlDeviceGetComputeRunningProcesses_v3(device, &count_3, third) == NVML_SUCCESS);
    CHECK(count_1 == count_2 && count_2 == count_3);
    result = nv.nvmlDeviceGetComputeRunningProcesses_v3(device, &none, NULL);
    CHECK(result == (count_3 > 0 ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS));
    CHECK(none >= count_3);
    for (unsigned i = 0; i < count_3; i++) {
        CHECK(first[i].pid == third[i].pid && second[i].pid == third[i].pid);
        printf("%u\n", third[i].pid);
    }
    CHECK(nv.nvmlDeviceGetUtilizationRates(device, &utilisation) == NVML_SUCCESS);
    CHECK(utilisation.gpu <= 100);
    result = nv.nvmlDeviceGetProcessUtilization(device, samples, &sample_count, 0);
    CHECK(result == NVML_SUCCESS || result == NVML_ERROR_NOT_FOUND);
    for (unsigned i = 0; result == NVML_SUCCESS && i < sample_count; i++) {
        unsigned listed = 0;

        for (unsigned k = 0; k < count_3; k++)
            listed += third[k].pid == samples[i].pid;
        CHECK(listed == 1);
    }
    return 0;
}

/* The most that device 0 holds during some seconds. */
static int watch(double seconds) {
    unsigned long long highest = 0;
    struct timespec now, end;
    nvmlDevice_t device;

    nv_load();
    CHECK(nv.nvmlInit_v2() == NVML_SUCCESS);
    CHECK(nv.nvmlDeviceGetHandleByIndex_v2(0, &device) == NVML_SUCCESS);
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += (time_t)seconds;
    do {
        nvmlMemory_t memory;

        CHECK(nv.nvmlDeviceGetMemoryInfo(device, &memory) == NVML_SUCCESS);
        highest = memory.used > highest ? memory.used : highest;
        clock_gettime(CLOCK_MONOTONIC, &now);
        usleep(300);
    } while (now.tv_sec < end.tv_sec || now.tv_nsec < end.tv_nsec);
    printf("%llu\n", highest);
    return 0;
}

int main(int argc, char **argv) {
    CUresult result;
    int count = 0;

    if (argc > 1 && strcmp(argv[1], "nvml") == 0)
        return nvml_only();
    if (argc > 1 && strcmp(argv[1], "uuids") == 0)
        return uuids();
    if (argc > 1 && strcmp(argv[1], "processes") == 0)
        return processes();
    if (argc > 2 && strcmp(argv[1], "watch") == 0)
        return watch(atof(argv[2]));
    if (argc > 1 && strcmp(argv[1], "nvml-first") == 0) {
        nv_load();
        CHECK(nv.nvmlInit_v2() == NVML_SUCCESS);
    }
    cu_load();
    result = cu.cuInit(0);
    printf("init %d\n", (int)result);
    if (result != CUDA_SUCCESS)
        return 0;
    nv_load();
    CHECK(nv.nvmlInit_v2() == NVML_SUCCESS);
    CHECK_CU(cu.cuDeviceGetCount(&count));
    for (int ordinal = 0; ordinal < count; ordinal++) {
        CUcontext context;
        size_t total;
        CUuuid uuid;

        CHECK_CU(cu.cuDeviceTotalMem_v2(&total, ordinal));
        CHECK_CU(cu.cuCtxCreate_v2(&context, 0, ordinal));
        CHECK_U64(cu_total(), total);
        printf("device %d total %zu used %llu", ordinal, total, (unsigned long long)cu_used());
        CHECK_CU(cu.cuDeviceGetUuid_v2(&uuid, ordinal));
        nvml_figures(0, 1, &uuid);
        printf("\n");
        CHECK_CU(cu.cuCtxDestroy_v2(context));
    }
    return 0;
}
