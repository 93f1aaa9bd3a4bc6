/*
 * What is used of ROCm SMI (librocm_smi64), by its published interface; enumerations are the 32-bit numbers that they are. One row
 * each: X(symbol, (parameters)). All return a status, 0 for success.
 */
#ifndef DIVVY_ACCEL_AMD_RSMI_H
#define DIVVY_ACCEL_AMD_RSMI_H

#include <stddef.h>
#include <stdint.h>

typedef uint32_t rsmi_status_t;

#define RSMI_STATUS_SUCCESS       0u
#define RSMI_STATUS_NOT_SUPPORTED 2u
#define RSMI_STATUS_FILE_ERROR    3u
#define RSMI_STATUS_INIT_ERROR    8u
#define RSMI_STATUS_NOT_FOUND     10u

#define RSMI_SW_COMP_DRIVER      0u
#define RSMI_MEM_TYPE_VRAM       0u
#define RSMI_CLK_TYPE_SYS        0u
#define RSMI_CLK_TYPE_MEM        4u
#define RSMI_TEMP_TYPE_EDGE      0u
#define RSMI_TEMP_TYPE_JUNCTION  1u
#define RSMI_TEMP_TYPE_MEMORY    2u
#define RSMI_TEMP_CURRENT        0u
#define RSMI_TEMP_CRITICAL       5u
#define RSMI_IOLINK_TYPE_XGMI    2u

/*
 * Frequencies are told in one of two layouts, depending on the library's age; both are zeroed before they are filled, and take
 * less than this. What tells them apart is the second word of 64 bits: a frequency in Hz, or the small number of the present one.
 */
#define RSMI_ROOM_WORDS 64u

typedef struct {
    uint32_t num_supported;
    uint32_t current;
    uint64_t frequency[32]; /* Hz, or transfers a second */
} rsmi_frequencies_old_t;
_Static_assert(sizeof(rsmi_frequencies_old_t) == 264, "frequencies");

typedef struct {
    unsigned char has_deep_sleep;
    uint32_t num_supported;
    uint32_t current;
    uint64_t frequency[33];
} rsmi_frequencies_new_t;
_Static_assert(sizeof(rsmi_frequencies_new_t) == 280, "frequencies");

typedef struct {
    uint32_t process_id;
    uint32_t pasid;
    uint64_t vram_usage;
    uint64_t sdma_usage;
    uint32_t cu_occupancy; /* percent */
} rsmi_process_info_t;
_Static_assert(sizeof(rsmi_process_info_t) == 32 && offsetof(rsmi_process_info_t, cu_occupancy) == 24, "process");

/* clang-format off */
#define RSMI_NEEDED(X) \
    X(rsmi_init, (uint64_t flags)) \
    X(rsmi_shut_down, (void)) \
    X(rsmi_num_monitor_devices, (uint32_t *count))

#define RSMI_WANTED(X) \
    X(rsmi_status_string, (rsmi_status_t status, const char **text)) \
    X(rsmi_version_str_get, (uint32_t component, char *version, uint32_t length)) \
    X(rsmi_dev_unique_id_get, (uint32_t device, uint64_t *id)) \
    X(rsmi_dev_pci_id_get, (uint32_t device, uint64_t *bdfid)) \
    X(rsmi_dev_id_get, (uint32_t device, uint16_t *id)) \
    X(rsmi_dev_name_get, (uint32_t device, char *name, size_t length)) \
    X(rsmi_dev_serial_number_get, (uint32_t device, char *serial, uint32_t length)) \
    X(rsmi_dev_vbios_version_get, (uint32_t device, char *version, uint32_t length)) \
    X(rsmi_dev_drm_render_minor_get, (uint32_t device, uint32_t *minor)) \
    X(rsmi_dev_pci_bandwidth_get, (uint32_t device, uint64_t *room)) /* frequencies, then as many uint32_t of lanes */ \
    X(rsmi_dev_pci_replay_counter_get, (uint32_t device, uint64_t *count)) \
    X(rsmi_topo_numa_affinity_get, (uint32_t device, uint32_t *node)) \
    X(rsmi_topo_get_link_type, (uint32_t one, uint32_t other, uint64_t *hops, uint32_t *type)) \
    X(rsmi_dev_memory_total_get, (uint32_t device, uint32_t type, uint64_t *bytes)) \
    X(rsmi_dev_memory_usage_get, (uint32_t device, uint32_t type, uint64_t *bytes)) \
    X(rsmi_dev_memory_busy_percent_get, (uint32_t device, uint32_t *percent)) \
    X(rsmi_dev_busy_percent_get, (uint32_t device, uint32_t *percent)) \
    X(rsmi_dev_power_ave_get, (uint32_t device, uint32_t sensor, uint64_t *microwatts)) \
    X(rsmi_dev_power_get, (uint32_t device, uint64_t *microwatts, uint32_t *type)) \
    X(rsmi_dev_power_cap_get, (uint32_t device, uint32_t sensor, uint64_t *microwatts)) \
    X(rsmi_dev_temp_metric_get, (uint32_t device, uint32_t sensor, uint32_t metric, int64_t *millidegrees)) \
    X(rsmi_dev_gpu_clk_freq_get, (uint32_t device, uint32_t type, uint64_t *room)) \
    X(rsmi_compute_process_info_get, (rsmi_process_info_t *infos, uint32_t *count)) \
    X(rsmi_compute_process_gpus_get, (uint32_t pid, uint32_t *devices, uint32_t *count)) \
    X(rsmi_compute_process_info_by_device_get, (uint32_t pid, uint32_t device, rsmi_process_info_t *info))
/* clang-format on */

#endif
