/* Models of devices, and the environment that picks them. */
#include "simgpu/engine/config.h"

#include "simgpu/engine/memory.h"
#include "simgpu/engine/mig_tables.h"
#include "simgpu/engine/self.h"

#include "core/hash.h"
#include "core/parse.h"
#include "core/uuid.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MIB              (UINT64_C(1) << 20)
#define GIB              (UINT64_C(1) << 30)
#define MEMORY_MIN       (16 * MIB)
#define MEMORY_MAX       (1024 * GIB)
#define SLICE_MIN_US     50
#define SLICE_MAX_US     1000000
#define SLICE_DEFAULT_US 2000
#define SWITCH_MAX_US    100000

typedef struct model {
    const char *alias;
    divvy_simgpu_device_t facts;
    const sim_mig_table_t *mig; /* NULL: the model has no MIG */
} model_t;

#define NVIDIA_PCI(device) ((uint32_t)(device) << 16 | 0x10DE)

/* From NVIDIA's data sheets and device queries of these boards; pcie_bytes_per_s is what copies reach. */
static const model_t models[] = {
    {"H200",
     {.name = "NVIDIA H200",
      .cc_major = 9,
      .cc_minor = 0,
      .sm_count = 132,
      .threads_per_sm_max = 2048,
      .blocks_per_sm_max = 32,
      .cores_per_sm = 128,
      .copy_engines = 2,
      .memory_bytes = 141 * GIB,
      .l2_bytes = 60 * MIB,
      .shared_per_sm_bytes = 233472,
      .shared_per_block_bytes = 49152,
      .shared_per_block_optin_bytes = 232448,
      .registers_per_sm = 65536,
      .registers_per_block = 65536,
      .sm_clock_khz = 1980000,
      .memory_clock_khz = 3201000,
      .memory_bus_bits = 6144,
      .memory_bytes_per_s = UINT64_C(4800000000000),
      .pcie_bytes_per_s = UINT64_C(55000000000),
      .pcie_gen = 5,
      .pcie_width = 16,
      .power_limit_mw = 700000,
      .power_idle_mw = 76000,
      .pci_id = NVIDIA_PCI(0x2335),
      .pci_subsystem_id = NVIDIA_PCI(0x18BE)},
     &sim_mig_h200},
    {"H100",
     {.name = "NVIDIA H100 80GB HBM3",
      .cc_major = 9,
      .cc_minor = 0,
      .sm_count = 132,
      .threads_per_sm_max = 2048,
      .blocks_per_sm_max = 32,
      .cores_per_sm = 128,
      .copy_engines = 2,
      .memory_bytes = 80 * GIB,
      .l2_bytes = 50 * MIB,
      .shared_per_sm_bytes = 233472,
      .shared_per_block_bytes = 49152,
      .shared_per_block_optin_bytes = 232448,
      .registers_per_sm = 65536,
      .registers_per_block = 65536,
      .sm_clock_khz = 1980000,
      .memory_clock_khz = 2619000,
      .memory_bus_bits = 5120,
      .memory_bytes_per_s = UINT64_C(3350000000000),
      .pcie_bytes_per_s = UINT64_C(55000000000),
      .pcie_gen = 5,
      .pcie_width = 16,
      .power_limit_mw = 700000,
      .power_idle_mw = 70000,
      .pci_id = NVIDIA_PCI(0x2330),
      .pci_subsystem_id = NVIDIA_PCI(0x16C1)},
     &sim_mig_h100},
    {"A100",
     {.name = "NVIDIA A100-SXM4-80GB",
      .cc_major = 8,
      .cc_minor = 0,
      .sm_count = 108,
      .threads_per_sm_max = 2048,
      .blocks_per_sm_max = 32,
      .cores_per_sm = 64,
      .copy_engines = 2,
      .memory_bytes = 80 * GIB,
      .l2_bytes = 40 * MIB,
      .shared_per_sm_bytes = 167936,
      .shared_per_block_bytes = 49152,
      .shared_per_block_optin_bytes = 166912,
      .registers_per_sm = 65536,
      .registers_per_block = 65536,
      .sm_clock_khz = 1410000,
      .memory_clock_khz = 1593000,
      .memory_bus_bits = 5120,
      .memory_bytes_per_s = UINT64_C(2039000000000),
      .pcie_bytes_per_s = UINT64_C(25000000000),
      .pcie_gen = 4,
      .pcie_width = 16,
      .power_limit_mw = 400000,
      .power_idle_mw = 55000,
      .pci_id = NVIDIA_PCI(0x20B2),
      .pci_subsystem_id = NVIDIA_PCI(0x147F)},
     &sim_mig_a100},
    {"small",
     {.name = "divvy Small GPU",
      .cc_major = 7,
      .cc_minor = 5,
      .sm_count = 8,
      .threads_per_sm_max = 1024,
      .blocks_per_sm_max = 16,
      .cores_per_sm = 64,
      .copy_engines = 2,
      .memory_bytes = 1 * GIB,
      .l2_bytes = 2 * MIB,
      .shared_per_sm_bytes = 65536,
      .shared_per_block_bytes = 49152,
      .shared_per_block_optin_bytes = 65536,
      .registers_per_sm = 65536,
      .registers_per_block = 65536,
      .sm_clock_khz = 1000000,
      .memory_clock_khz = 1000000,
      .memory_bus_bits = 128,
      .memory_bytes_per_s = UINT64_C(100000000000),
      .pcie_bytes_per_s = UINT64_C(10000000000),
      .pcie_gen = 3,
      .pcie_width = 16,
      .power_limit_mw = 50000,
      .power_idle_mw = 5000,
      .pci_id = NVIDIA_PCI(0x1F00),
      .pci_subsystem_id = NVIDIA_PCI(0x0001)},
     NULL},
    {"A100-40GB",
     {.name = "NVIDIA A100-SXM4-40GB",
      .cc_major = 8,
      .cc_minor = 0,
      .sm_count = 108,
      .threads_per_sm_max = 2048,
      .blocks_per_sm_max = 32,
      .cores_per_sm = 64,
      .copy_engines = 2,
      .memory_bytes = 40 * GIB,
      .l2_bytes = 40 * MIB,
      .shared_per_sm_bytes = 167936,
      .shared_per_block_bytes = 49152,
      .shared_per_block_optin_bytes = 166912,
      .registers_per_sm = 65536,
      .registers_per_block = 65536,
      .sm_clock_khz = 1410000,
      .memory_clock_khz = 1215000,
      .memory_bus_bits = 5120,
      .memory_bytes_per_s = UINT64_C(1555000000000),
      .pcie_bytes_per_s = UINT64_C(25000000000),
      .pcie_gen = 4,
      .pcie_width = 16,
      .power_limit_mw = 400000,
      .power_idle_mw = 55000,
      .pci_id = NVIDIA_PCI(0x20B0),
      .pci_subsystem_id = NVIDIA_PCI(0x134F)},
     &sim_mig_a100_40},
};
enum { MODELS = sizeof models / sizeof *models };

#define DRIVER_DEFAULT "580.159.04"

static int refuse(char *error, const char *variable, const char *value, const char *why) {
    if (error)
        snprintf(error, DIVVY_SIMGPU_ERROR_MAX, "%s=%.80s: %s", variable, value, why);
    return -EINVAL;
}

/* An empty variable counts as unset, as in shells' VAR= idiom. */
static const char *variable_get(const char *name) {
    const char *value = secure_getenv(name);

    return value && *value ? value : NULL;
}

/* Calls take for each part of a comma-separated list, and the last part again for the remaining devices. */
static int for_each_device(const char *list, uint32_t devices,
                           int (*take)(sim_config_t *config, uint32_t device, const char *text,
                                       size_t length),
                           sim_config_t *config) {
    const char *part = list;

    for (uint32_t device = 0; device < devices; device++) {
        const char *end = strchrnul(part, ',');
        int r = take(config, device, part, (size_t)(end - part));

        if (r < 0)
            return r;
        if (*end && device + 1 < devices)
            part = end + 1;
        else if (*end)
            return -E2BIG;
    }
    return 0;
}

static int take_model(sim_config_t *config, uint32_t device, const char *text, size_t length) {
    for (uint32_t i = 0; i < MODELS; i++) {
        if ((strlen(models[i].alias) == length && !strncasecmp(models[i].alias, text, length)) ||
            (strlen(models[i].facts.name) == length &&
             !strncasecmp(models[i].facts.name, text, length))) {
            config->model[device] = i;
            return 0;
        }
    }
    return -EINVAL;
}

static int take_memory(sim_config_t *config, uint32_t device, const char *text, size_t length) {
    uint64_t bytes = models[config->model[device]].facts.memory_bytes;
    divvy_core_size_t size;
    int r = divvy_core_size_parse(text, length, &size, NULL);

    if (r < 0)
        return r;
    bytes = divvy_core_size_resolve(&size, bytes);
    if (bytes < MEMORY_MIN || bytes > MEMORY_MAX)
        return -ERANGE;
    config->memory_bytes[device] = bytes - bytes % DIVVY_SIMGPU_GRAIN_BYTES;
    return 0;
}

static int read_number(const char *variable, uint64_t min, uint64_t max, uint64_t fallback,
                       bool *ret_set, uint64_t *ret_value, char *error) {
    const char *value = variable_get(variable);
    uint64_t number = fallback;
    char why[64];

    *ret_set = value != NULL;
    if (value && (divvy_core_u64_parse(value, strlen(value), &number, NULL) < 0 || number < min ||
                  number > max)) {
        snprintf(why, sizeof why, "not a whole number from %llu to %llu", (unsigned long long)min,
                 (unsigned long long)max);
        return refuse(error, variable, value, why);
    }
    *ret_value = number;
    return 0;
}

/* What it asks for is only taken down here: whether it fits is found out by trying. */
static int read_mig(sim_request_t *q, char *error) {
    const char *value = variable_get("DIVVY_SIM_MIG");

    q->mig_set = value != NULL;
    if (!value)
        return 0;
    if (strlen(value) >= sizeof q->config.mig)
        return refuse(error, "DIVVY_SIM_MIG", value, "longer than 255 bytes");
    memcpy(q->config.mig, value, strlen(value));
    return sim_mig_configure(NULL, &q->config, error);
}

static int read_driver(sim_request_t *q, char *error) {
    const char *value = variable_get("DIVVY_SIM_DRIVER");
    unsigned major = 0, minor = 0, patch = 0;
    int end = 0;

    q->driver_set = value != NULL;
    if (!value)
        value = DRIVER_DEFAULT;
    if (strlen(value) >= sizeof q->config.driver || strspn(value, "0123456789.") != strlen(value) ||
        (sscanf(value, "%3u.%3u.%3u%n", &major, &minor, &patch, &end) != 3 &&
         sscanf(value, "%3u.%3u%n", &major, &minor, &end) != 2) ||
        value[end] || major < 300)
        return refuse(error, "DIVVY_SIM_DRIVER", value,
                      "want a driver's version such as 580.159.04 or 460.32");
    memcpy(q->config.driver, value, strlen(value));
    return 0;
}

int sim_config_read(sim_request_t *ret_request, char *error) {
    sim_request_t q = {0};
    uint64_t devices, slice_us, switch_us;
    const char *value;

    if (read_number("DIVVY_SIM_DEVICES", 1, SIM_DEVICES, 1, &q.devices_set, &devices, error) < 0 ||
        read_number("DIVVY_SIM_SLICE_US", SLICE_MIN_US, SLICE_MAX_US, SLICE_DEFAULT_US,
                    &q.slice_set, &slice_us, error) < 0 ||
        read_number("DIVVY_SIM_SWITCH_US", 0, SWITCH_MAX_US, 0, &q.switch_set, &switch_us, error) < 0)
        return -EINVAL;
    q.config.devices = (uint32_t)devices;
    q.config.slice_ns = slice_us * 1000;
    q.config.switch_ns = switch_us * 1000;

    value = variable_get("DIVVY_SIM_MODEL");
    q.model_set = value != NULL;
    if (value && for_each_device(value, q.config.devices, take_model, &q.config) < 0)
        return refuse(error, "DIVVY_SIM_MODEL", value,
                      "want H200, H100, A100, A100-40GB or small, one or one per device");
    for (uint32_t i = 0; i < q.config.devices; i++)
        q.config.memory_bytes[i] = models[q.config.model[i]].facts.memory_bytes;

    value = variable_get("DIVVY_SIM_MEMORY");
    q.memory_set = value != NULL;
    if (value && for_each_device(value, q.config.devices, take_memory, &q.config) < 0)
        return refuse(error, "DIVVY_SIM_MEMORY", value,
                      "want a size from 16MiB to 1024GiB, one or one per device");

    value = variable_get("DIVVY_SIM_FAULTS");
    q.faults_set = value != NULL;
    if (value) {
        if (strlen(value) >= sizeof q.config.faults)
            return refuse(error, "DIVVY_SIM_FAULTS", value, "longer than 1023 bytes");
        memcpy(q.config.faults, value, strlen(value));
    }
    if (read_mig(&q, error) < 0 || read_driver(&q, error) < 0)
        return -EINVAL;
    *ret_request = q;
    return 0;
}

const char *sim_config_conflict(const sim_request_t *request, const sim_config_t *machine) {
    const sim_config_t *c = &request->config;
    bool same_devices = c->devices == machine->devices;

    if (request->devices_set && !same_devices)
        return "DIVVY_SIM_DEVICES";
    if (request->slice_set && c->slice_ns != machine->slice_ns)
        return "DIVVY_SIM_SLICE_US";
    if (request->switch_set && c->switch_ns != machine->switch_ns)
        return "DIVVY_SIM_SWITCH_US";
    for (uint32_t i = 0; i < machine->devices; i++) {
        /* a list that was read for another number of devices: its last entry stands for the rest */
        uint32_t j = i < c->devices ? i : c->devices - 1;

        if (request->model_set && c->model[j] != machine->model[i])
            return "DIVVY_SIM_MODEL";
        if (request->memory_set && c->memory_bytes[j] != machine->memory_bytes[i])
            return "DIVVY_SIM_MEMORY";
    }
    if (request->faults_set && strcmp(c->faults, machine->faults))
        return "DIVVY_SIM_FAULTS";
    if (request->mig_set && strcmp(c->mig, machine->mig))
        return "DIVVY_SIM_MIG";
    if (request->driver_set && strcmp(c->driver, machine->driver))
        return "DIVVY_SIM_DRIVER";
    return NULL;
}

bool sim_config_equal(const sim_config_t *a, const sim_config_t *b) {
    return !memcmp(a, b, sizeof *a);
}

bool sim_config_sane(const sim_config_t *config) {
    if (!config->devices || config->devices > SIM_DEVICES)
        return false;
    if (config->slice_ns < SLICE_MIN_US * UINT64_C(1000) ||
        config->slice_ns > SLICE_MAX_US * UINT64_C(1000) || config->switch_ns > SWITCH_MAX_US * UINT64_C(1000))
        return false;
    for (uint32_t i = 0; i < config->devices; i++)
        if (config->model[i] >= MODELS || config->memory_bytes[i] < MEMORY_MIN ||
            config->memory_bytes[i] > MEMORY_MAX)
            return false;
    return memchr(config->faults, 0, sizeof config->faults) != NULL &&
           memchr(config->mig, 0, sizeof config->mig) != NULL &&
           memchr(config->driver, 0, sizeof config->driver) != NULL;
}

/* Stable over time and machines: the same model at the same place has the same UUID. */
static void facts_identity(divvy_simgpu_device_t *d, uint32_t model, uint32_t index) {
    divvy_core_uuid_t uuid;
    uint64_t low = divvy_core_hash_pair(UINT64_C(0x6469767679), (uint64_t)model << 32 | index);
    uint64_t high = divvy_core_hash_mix(low ^ UINT64_C(0x73696D677075));

    memcpy(uuid.bytes, &low, 8);
    memcpy(uuid.bytes + 8, &high, 8);
    uuid.bytes[6] =
        (uint8_t)((uuid.bytes[6] & 0x0F) | 0x40); /* a random UUID, as RFC 4122 writes it */
    uuid.bytes[8] = (uint8_t)((uuid.bytes[8] & 0x3F) | 0x80);
    memcpy(d->uuid, uuid.bytes, 16);
    divvy_core_uuid_format(&uuid, d->uuid_text);
    d->index = (int32_t)index;
    d->pci_domain = 0;
    d->pci_bus = 0x1B + index * 14;
    d->pci_device = 0;
    snprintf(d->pci_text, sizeof d->pci_text, "%04x:%02x:%02x.0", d->pci_domain & 0xFFFF,
             d->pci_bus & 0xFF, d->pci_device & 0xFF);
    snprintf(d->serial_text, sizeof d->serial_text, "16%011llu",
             (unsigned long long)(high % UINT64_C(100000000000)));
}

const sim_mig_table_t *sim_config_mig(const sim_config_t *config, uint32_t index,
                                      sim_mig_table_t *table) {
    const model_t *model = &models[config->model[index] % MODELS];

    if (!model->mig)
        return NULL;
    *table = *model->mig;
    if (config->memory_bytes[index] == model->facts.memory_bytes)
        return table;
    for (unsigned row = 0; row < table->rows; row++) {
        unsigned __int128 bytes = table->row[row].memory_bytes;

        bytes = bytes * config->memory_bytes[index] / model->facts.memory_bytes;
        table->row[row].memory_bytes = (uint64_t)bytes & ~(uint64_t)(DIVVY_SIMGPU_PAGE_BYTES - 1);
    }
    return table;
}

void sim_config_facts(const sim_config_t *config, uint32_t index,
                      divvy_simgpu_device_t *ret_facts) {
    divvy_simgpu_device_t d;

    memcpy(&d, &models[config->model[index] % MODELS].facts,
           sizeof d); /* padding too: facts are compared whole */
    d.memory_bytes = config->memory_bytes[index];
    facts_identity(&d, config->model[index], index);
    memcpy(ret_facts, &d, sizeof d);
}
