/* Performance monitoring (GPM), as boards have it since Hopper: two samples, and what happened between them. It is the one
 * way of NVML to the utilisation of a MIG instance. Metrics other than those of the table have no source here. */
#include "simgpu/nvml/api.h"

#include <stdlib.h>

/* Samples are known by address, so that garbage is not read through. */
enum { SAMPLES_MAX = 4096 };
struct nvmlGpmSample_st {
    bool used;
    bool taken;
    uint64_t now_ns;
    double busy_ns; /* of all SMs: an instance that has half of them counts half */
    uint64_t copy_bytes[2];
};
static struct nvmlGpmSample_st samples[SAMPLES_MAX];

static bool is_sample(nvmlGpmSample_t sample) {
    uintptr_t offset = (uintptr_t)sample - (uintptr_t)samples;

    return offset < sizeof(samples) && offset % sizeof(samples[0]) == 0 &&
           __atomic_load_n(&sample->used, __ATOMIC_ACQUIRE);
}

static bool is_supported(const divvy_simgpu_device_t *facts) {
    return facts->cc_major >= 9;
}

nvmlReturn_t NVM(nvmlGpmQueryDeviceSupport)(nvmlDevice_t device, nvmlGpmSupport_t *gpmSupport) {
    NVM_DEVICE(facts, device);
    NVM_REQUIRE(gpmSupport);
    if (gpmSupport->version != NVML_GPM_SUPPORT_VERSION)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    gpmSupport->isSupportedDevice = is_supported(facts);
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlGpmSampleAlloc)(nvmlGpmSample_t *gpmSample) {
    NVM_REQUIRE(gpmSample);
    for (int i = 0; i < SAMPLES_MAX; i++) {
        if (__atomic_exchange_n(&samples[i].used, true, __ATOMIC_ACQ_REL))
            continue;
        samples[i].taken = false;
        *gpmSample = &samples[i];
        return NVML_SUCCESS;
    }
    return NVML_ERROR_MEMORY;
}

nvmlReturn_t NVM(nvmlGpmSampleFree)(nvmlGpmSample_t gpmSample) {
    if (!is_sample(gpmSample))
        return NVML_ERROR_INVALID_ARGUMENT;
    __atomic_store_n(&gpmSample->used, false, __ATOMIC_RELEASE);
    return NVML_SUCCESS;
}

/* Adds what a device or MIG device did so far; its part of `sm_count` SMs. */
static nvmlReturn_t add(int unit, int sm_count, struct nvmlGpmSample_st *sample) {
    divvy_simgpu_status_t status;
    const divvy_simgpu_device_t *facts = divvy_simgpu_device_get(unit);

    if (facts == NULL)
        return NVML_ERROR_NOT_FOUND;
    NVM_TRY(divvy_nvml_result(divvy_simgpu_status(unit, &status)));
    sample->now_ns = status.now_ns;
    sample->busy_ns += (double)status.busy_ns * facts->sm_count / sm_count;
    for (int direction = 0; direction < 2; direction++)
        sample->copy_bytes[direction] += status.copy_bytes[direction];
    return NVML_SUCCESS;
}

/* gpu_instance: its id, or -1 for all of the device. */
static nvmlReturn_t take(const divvy_simgpu_device_t *facts, int gpu_instance,
                         nvmlGpmSample_t target) {
    struct nvmlGpmSample_st sample = {.used = true, .taken = true};
    divvy_simgpu_ci_t ci;
    bool found = false;

    if (!is_sample(target))
        return NVML_ERROR_INVALID_ARGUMENT;
    if (!is_supported(facts))
        return NVML_ERROR_NOT_SUPPORTED;
    if (gpu_instance < 0)
        NVM_TRY(add(facts->index, facts->sm_count, &sample));
    for (unsigned int index = 0; index < DIVVY_SIMGPU_MIG_MAX; index++) {
        if (divvy_simgpu_ci_get(facts->index, index, &ci) != 0 ||
            (gpu_instance >= 0 && ci.gi.id != (unsigned int)gpu_instance))
            continue;
        found = true;
        NVM_TRY(add(ci.unit, gpu_instance < 0 ? facts->sm_count : (int)ci.gi.profile.sm_count,
                    &sample));
    }
    if (gpu_instance >= 0 && !found)
        return NVML_ERROR_NOT_FOUND;
    *target = sample;
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlGpmSampleGet)(nvmlDevice_t device, nvmlGpmSample_t gpmSample) {
    NVM_DEVICE(facts, device);
    return take(facts, -1, gpmSample);
}

nvmlReturn_t NVM(nvmlGpmMigSampleGet)(nvmlDevice_t device, unsigned int gpuInstanceId,
                                      nvmlGpmSample_t gpmSample) {
    NVM_DEVICE(facts, device);
    if (!divvy_nvml_is_divided(facts->index) || gpuInstanceId > INT32_MAX)
        return NVML_ERROR_INVALID_ARGUMENT;
    return take(facts, (int)gpuInstanceId, gpmSample);
}

/* --- metrics ------------------------------------------------------------------------------------------- */

typedef struct {
    double elapsed_ns, busy_ns;
    double copy_bytes[2]; /* to the device, from the device */
} between_t;

static double busy_percent(const between_t *b) {
    double percent = 100.0 * b->busy_ns / b->elapsed_ns;

    return percent > 100.0 ? 100.0 : percent;
}

/* MiB per second: what the device sends, and what it receives. */
static double sent(const between_t *b) {
    return b->copy_bytes[1] / (1 << 20) / (b->elapsed_ns / 1e9);
}

static double received(const between_t *b) {
    return b->copy_bytes[0] / (1 << 20) / (b->elapsed_ns / 1e9);
}

static const struct {
    unsigned int id;
    double (*value)(const between_t *between);
    const char *short_name, *long_name, *unit;
} metrics[] = {
    {NVML_GPM_METRIC_GRAPHICS_UTIL, busy_percent, "gract", "Graphics Utilization", "%"},
    {NVML_GPM_METRIC_SM_UTIL, busy_percent, "smutil", "SM Utilization", "%"},
    {NVML_GPM_METRIC_PCIE_TX_PER_SEC, sent, "pcie_tx", "PCIe Transmitted", "MiB/sec"},
    {NVML_GPM_METRIC_PCIE_RX_PER_SEC, received, "pcie_rx", "PCIe Received", "MiB/sec"},
};

/* The interface's strings are writable by their type; nobody writes to them. */
static char *text(const char *constant) {
    return (char *)(uintptr_t)constant;
}

static void metric_write(nvmlGpmMetric_t *metric, const between_t *between) {
    metric->nvmlReturn = NVML_ERROR_NOT_SUPPORTED;
    metric->value = 0;
    for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
        if (metrics[i].id != metric->metricId)
            continue;
        metric->nvmlReturn = NVML_SUCCESS;
        metric->value = metrics[i].value(between);
        metric->metricInfo.shortName = text(metrics[i].short_name);
        metric->metricInfo.longName = text(metrics[i].long_name);
        metric->metricInfo.unit = text(metrics[i].unit);
    }
}

/* The call succeeds as such; each metric bears its own result. */
nvmlReturn_t NVM(nvmlGpmMetricsGet)(nvmlGpmMetricsGet_t *metricsGet) {
    const struct nvmlGpmSample_st *first, *second;

    NVM_REQUIRE(metricsGet);
    if (metricsGet->version != NVML_GPM_METRICS_GET_VERSION)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    first = metricsGet->sample1;
    second = metricsGet->sample2;
    if (metricsGet->numMetrics > NVML_GPM_METRIC_MAX || !is_sample(metricsGet->sample1) ||
        !is_sample(metricsGet->sample2) || !first->taken || !second->taken ||
        second->now_ns <= first->now_ns || second->busy_ns < first->busy_ns)
        return NVML_ERROR_INVALID_ARGUMENT;
    between_t between = {
        .elapsed_ns = (double)(second->now_ns - first->now_ns),
        .busy_ns = second->busy_ns - first->busy_ns,
    };

    for (int direction = 0; direction < 2; direction++)
        between.copy_bytes[direction] =
            (double)second->copy_bytes[direction] - (double)first->copy_bytes[direction];
    for (unsigned int i = 0; i < metricsGet->numMetrics; i++)
        metric_write(&metricsGet->metrics[i], &between);
    return NVML_SUCCESS;
}
