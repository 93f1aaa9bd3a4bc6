/*
 * A librocm_smi64.so.1 with two boards, as its published interface has them. FAKE_RSMI tells it to be otherwise: "no-driver", "bare"
 * (hardly any reading), "broken" (every reading fails), "nonsense" (numbers that cannot be).
 */
#include "accel/amd/rsmi.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DECLARE(symbol, parameters) rsmi_status_t symbol parameters;
RSMI_NEEDED(DECLARE)
RSMI_WANTED(DECLARE)
#undef DECLARE

#define DEVICES 2u
#define GIB     (UINT64_C(1) << 30)

static bool is(const char *mode) {
    const char *said = getenv("FAKE_RSMI");

    return said && strcmp(said, mode) == 0;
}

static rsmi_status_t reading(uint32_t device) {
    if (device >= DEVICES)
        return 1;
    return is("broken") ? 6 : is("bare") ? RSMI_STATUS_NOT_SUPPORTED : RSMI_STATUS_SUCCESS;
}

rsmi_status_t rsmi_init(uint64_t flags) {
    return flags ? 1 : is("no-driver") ? RSMI_STATUS_INIT_ERROR : RSMI_STATUS_SUCCESS;
}

rsmi_status_t rsmi_shut_down(void) {
    return RSMI_STATUS_SUCCESS;
}

rsmi_status_t rsmi_num_monitor_devices(uint32_t *count) {
    *count = DEVICES;
    return RSMI_STATUS_SUCCESS;
}

rsmi_status_t rsmi_status_string(rsmi_status_t status, const char **text) {
    *text = status == RSMI_STATUS_INIT_ERROR ? "no amdgpu" : "as told";
    return RSMI_STATUS_SUCCESS;
}

rsmi_status_t rsmi_version_str_get(uint32_t component, char *version, uint32_t length) {
    (void)snprintf(version, length, "6.3.6");
    return component == RSMI_SW_COMP_DRIVER ? reading(0) : 1;
}

rsmi_status_t rsmi_dev_unique_id_get(uint32_t device, uint64_t *id) {
    *id = UINT64_C(0x1234567890abcde0) + device;
    return reading(device);
}

rsmi_status_t rsmi_dev_pci_id_get(uint32_t device, uint64_t *bdfid) {
    *bdfid = 0xc100 + device * 0x100;
    return device < DEVICES && !is("broken") ? RSMI_STATUS_SUCCESS : 1;
}

rsmi_status_t rsmi_dev_id_get(uint32_t device, uint16_t *id) {
    *id = 0x74a1;
    return reading(device);
}

rsmi_status_t rsmi_dev_name_get(uint32_t device, char *name, size_t length) {
    if (is("nonsense"))
        memset(name, 'M', length); /* without an end */
    else
        (void)snprintf(name, length, "AMD Instinct MI300X");
    return reading(device);
}

rsmi_status_t rsmi_dev_serial_number_get(uint32_t device, char *serial, uint32_t length) {
    (void)snprintf(serial, length, "PCB0123-%u", device);
    return reading(device);
}

rsmi_status_t rsmi_dev_vbios_version_get(uint32_t device, char *version, uint32_t length) {
    (void)snprintf(version, length, "113-MI3SRIOV-001");
    return reading(device);
}

rsmi_status_t rsmi_dev_drm_render_minor_get(uint32_t device, uint32_t *minor) {
    *minor = 128 + device;
    return reading(device);
}

/* In the layout of either age: FAKE_RSMI_NEW. */
static void frequencies_write(uint64_t *room, uint64_t second, uint32_t lanes) {
    uint32_t supported = is("nonsense") ? 1000 : 2, current = is("nonsense") ? 999 : 1;

    if (getenv("FAKE_RSMI_NEW")) {
        rsmi_frequencies_new_t *new = (rsmi_frequencies_new_t *)(void *)room;
        *new = (rsmi_frequencies_new_t){.num_supported = supported, .current = current, .frequency = {500000000, second}};
        if (lanes)
            memcpy((char *)room + sizeof *new + sizeof lanes, &lanes, sizeof lanes);
    } else {
        rsmi_frequencies_old_t *old = (rsmi_frequencies_old_t *)(void *)room;
        *old = (rsmi_frequencies_old_t){.num_supported = supported, .current = current, .frequency = {500000000, second}};
        if (lanes)
            memcpy((char *)room + sizeof *old + sizeof lanes, &lanes, sizeof lanes);
    }
}

rsmi_status_t rsmi_dev_pci_bandwidth_get(uint32_t device, uint64_t *room) {
    frequencies_write(room, UINT64_C(32000000000), 16);
    return reading(device);
}

rsmi_status_t rsmi_dev_pci_replay_counter_get(uint32_t device, uint64_t *count) {
    *count = 3;
    return reading(device);
}

rsmi_status_t rsmi_topo_numa_affinity_get(uint32_t device, uint32_t *node) {
    *node = is("nonsense") ? UINT32_MAX : device;
    return reading(device);
}

rsmi_status_t rsmi_topo_get_link_type(uint32_t one, uint32_t other, uint64_t *hops, uint32_t *type) {
    *hops = 1;
    *type = RSMI_IOLINK_TYPE_XGMI;
    return other < DEVICES ? reading(one) : 1;
}

rsmi_status_t rsmi_dev_memory_total_get(uint32_t device, uint32_t type, uint64_t *bytes) {
    *bytes = 192 * GIB;
    return type == RSMI_MEM_TYPE_VRAM ? reading(device) : 1;
}

rsmi_status_t rsmi_dev_memory_usage_get(uint32_t device, uint32_t type, uint64_t *bytes) {
    *bytes = (device + 1) * GIB;
    return type == RSMI_MEM_TYPE_VRAM ? reading(device) : 1;
}

rsmi_status_t rsmi_dev_memory_busy_percent_get(uint32_t device, uint32_t *percent) {
    *percent = 7;
    return reading(device);
}

rsmi_status_t rsmi_dev_busy_percent_get(uint32_t device, uint32_t *percent) {
    *percent = is("nonsense") ? 4000 : 42;
    return reading(device);
}

rsmi_status_t rsmi_dev_power_ave_get(uint32_t device, uint32_t sensor, uint64_t *microwatts) {
    (void)device;
    (void)sensor;
    (void)microwatts;
    return RSMI_STATUS_NOT_SUPPORTED; /* as on these boards: the newer call has it */
}

rsmi_status_t rsmi_dev_power_get(uint32_t device, uint64_t *microwatts, uint32_t *type) {
    *microwatts = 345678000;
    *type = 0;
    return reading(device);
}

rsmi_status_t rsmi_dev_power_cap_get(uint32_t device, uint32_t sensor, uint64_t *microwatts) {
    *microwatts = 750000000;
    return sensor == 0 ? reading(device) : 1;
}

rsmi_status_t rsmi_dev_temp_metric_get(uint32_t device, uint32_t sensor, uint32_t metric, int64_t *millidegrees) {
    if (sensor == RSMI_TEMP_TYPE_EDGE)
        return RSMI_STATUS_NOT_SUPPORTED;
    *millidegrees = metric == RSMI_TEMP_CRITICAL ? 100000 : sensor == RSMI_TEMP_TYPE_MEMORY ? 38000 : 45500;
    return reading(device);
}

rsmi_status_t rsmi_dev_gpu_clk_freq_get(uint32_t device, uint32_t type, uint64_t *room) {
    frequencies_write(room, type == RSMI_CLK_TYPE_SYS ? UINT64_C(2100000000) : UINT64_C(1300000000), 0);
    return reading(device);
}

rsmi_status_t rsmi_compute_process_info_get(rsmi_process_info_t *infos, uint32_t *count) {
    if (is("nonsense")) {
        *count = UINT32_MAX;
        return RSMI_STATUS_SUCCESS;
    }
    if (getenv("FAKE_RSMI_IDLE")) {
        *count = 0;
        return RSMI_STATUS_SUCCESS;
    }
    if (*count < 2)
        return 11;
    infos[0] = (rsmi_process_info_t){.process_id = 100, .vram_usage = GIB, .cu_occupancy = 40};
    infos[1] = (rsmi_process_info_t){.process_id = 200, .vram_usage = 4 * GIB, .cu_occupancy = 10};
    *count = 2;
    return reading(0);
}

rsmi_status_t rsmi_compute_process_gpus_get(uint32_t pid, uint32_t *devices, uint32_t *count) {
    devices[0] = 0;
    devices[1] = 1;
    *count = pid == 200 ? 2 : 1;
    return reading(0);
}

rsmi_status_t rsmi_compute_process_info_by_device_get(uint32_t pid, uint32_t device, rsmi_process_info_t *info) {
    if (getenv("FAKE_RSMI_OLD"))
        return RSMI_STATUS_NOT_SUPPORTED;
    *info = (rsmi_process_info_t){.process_id = pid, .vram_usage = pid == 200 ? (device + 1) * GIB : GIB, .cu_occupancy = 10 * (device + 1)};
    return reading(device);
}
