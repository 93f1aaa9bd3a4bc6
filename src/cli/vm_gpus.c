/* divvy vm: the GPUs of this host, their pools, and how they are. */
#include "base/cleanup.h"
#include "base/install.h"
#include "base/table.h"
#include "cli/act.h"
#include "cli/cli.h"
#include "cli/gpu.h"
#include "cli/vm.h"
#include "core/parse.h"
#include "core/text.h"
#include "node/vmq.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUSY_MS 5000

/* The GPUs that NVML shows: the system's, or the simulated ones where these are asked for. 0, or a negative errno. */
static int gpus_read(const struct divvy_cli_vm_arguments *a, struct divvy_cli_gpu_list *ret_list, struct divvy_error *error) {
    static struct divvy_install install;
    bool fell_back;
    int status;

    if (!a->gpu)
        return divvy_cli_gpu_list_read(NULL, 0, ret_list, error);
    status = divvy_install_find(&install, error);
    return status < 0 ? status : divvy_cli_gpu_list_choose(&install, a->gpu, 0, ret_list, &fell_back, error);
}

/* Why there is nothing to tell, or NULL. */
static const char *none_why(const struct divvy_cli_gpu_list *list) {
    if (list->nvml.state == DIVVY_CLI_DRIVER_OK)
        return NULL;
    return list->nvml.state == DIVVY_CLI_DRIVER_NO_DEVICE ? "NVML shows no GPU here" :
           list->nvml.state == DIVVY_CLI_DRIVER_MISSING  ? "no NVML here; the GPUs may be in a worker's machine" :
                                                            list->nvml.text;
}

static bool needs_reset(const struct divvy_cli_gpu *gpu) {
    return divvy_node_vmq_gpu_needs_reset(gpu->temperature_c > 0 ? (uint32_t)gpu->temperature_c : 0,
                                          gpu->uncorrected_errors > 0 ? (uint64_t)gpu->uncorrected_errors : 0);
}

static json_t *number_json(int64_t value) {
    return value < 0 ? json_null() : json_integer((json_int_t)value);
}

/* An array of the GPUs, for the relay's health and for lists; what NVML does not tell is null. */
static json_t *gpus_json(const struct divvy_cli_gpu_list *list) {
    json_t *gpus = json_array();

    for (uint32_t i = 0; i < list->count; i++) {
        const struct divvy_cli_gpu *gpu = &list->gpus[i];
        char uuid[DIVVY_CORE_UUID_TEXT_BYTES];

        if (gpu->is_instance)
            continue;
        divvy_cli_gpu_uuid_format(gpu, uuid);
        (void)json_array_append_new(gpus, json_pack("{s:i, s:s, s:s, s:I, s:o, s:o, s:b}", "gpu_id", (int)gpu->index, "uuid", uuid,
                                                    "name", gpu->name, "memory_bytes", (json_int_t)gpu->memory_bytes, "temperature_c",
                                                    number_json(gpu->temperature_c), "uncorrected_errors",
                                                    number_json(gpu->uncorrected_errors), "needs_reset", (int)needs_reset(gpu)));
    }
    return gpus;
}

json_t *divvy_cli_vm_gpu_health(const struct divvy_cli_vm_arguments *a, char *ret_why, size_t size) {
    static struct divvy_cli_gpu_list list;
    struct divvy_error error = {0};

    if (gpus_read(a, &list, &error) < 0) {
        (void)snprintf(ret_why, size, "%s", error.text);
        return NULL;
    }
    if (none_why(&list)) {
        (void)snprintf(ret_why, size, "%s", none_why(&list));
        return NULL;
    }
    return gpus_json(&list);
}

/* --- pools ---------------------------------------------------------------------------------------------------------------- */

static json_t *assigned_json(const struct divvy_relay_store_gpu *gpu) {
    const char pool[2] = {gpu->pool};

    return json_pack("{s:i, s:s, s:s, s:s, s:i, s:s}", "gpu_id", (int)gpu->gpu_id, "uuid", gpu->uuid, "name", gpu->name, "pool", pool,
                     "max_vms", (int)gpu->vms_max, "worker", gpu->worker);
}

json_t *divvy_cli_vm_gpus_assigned(struct divvy_relay_store *store, struct divvy_error *error) {
    static struct divvy_relay_store_gpu gpus[DIVVY_RELAY_STORE_GPUS_MAX];
    json_t *list;
    size_t count;

    if (divvy_relay_store_gpus(store, gpus, &count, error) < 0)
        return NULL;
    list = json_array();
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(list, assigned_json(&gpus[i]));
    return list;
}

/* The object of `array` with this gpu_id, borrowed, or NULL. */
static json_t *by_id(const json_t *array, json_int_t gpu_id) {
    json_t *object;
    size_t i;

    json_array_foreach(array, i, object) if (json_integer_value(json_object_get(object, "gpu_id")) == gpu_id) return object;
    return NULL;
}

/* What is assigned, put into what was found; GPUs that were not found here stand behind. */
static void merge(json_t *found, const json_t *assigned) {
    static const char *const keys[] = {"pool", "max_vms", "worker"};
    json_t *gpu;
    size_t i;

    json_array_foreach(assigned, i, gpu) {
        json_t *same = by_id(found, json_integer_value(json_object_get(gpu, "gpu_id")));

        for (size_t k = 0; same && k < sizeof keys / sizeof keys[0]; k++)
            (void)json_object_set(same, keys[k], json_object_get(gpu, keys[k]));
        if (!same)
            (void)json_array_append(found, gpu);
    }
}

static void size_print(char *text, size_t room, const json_t *value) {
    divvy_core_text_t out;

    divvy_core_text_init(&out, text, room);
    if (json_is_integer(value))
        divvy_core_text_add_size(&out, (uint64_t)json_integer_value(value));
    else
        (void)snprintf(text, room, "-");
}

int divvy_cli_vm_gpus_print(const json_t *gpus) {
    static const struct divvy_table_column titles[] = {{"GPU", true},  {"NAME", false},   {"MEMORY", true}, {"TEMP", true},
                                                       {"ECC", true},  {"RESET", false},  {"POOL", false},  {"VMS", true},
                                                       {"WORKER", false}};
    static const char *const keys[] = {"gpu_id", "name", "memory_bytes", "temperature_c", "uncorrected_errors",
                                       "needs_reset", "pool", "max_vms", "worker"};
    struct divvy_table *table = divvy_table_new(titles, 9);
    const json_t *gpu;
    size_t i;
    int status;

    json_array_foreach(gpus, i, gpu) for (size_t c = 0; c < 9; c++) {
        const json_t *value = json_object_get(gpu, keys[c]);
        char cell[160] = "-", clean[160];

        if (c == 2)
            size_print(cell, sizeof cell, value);
        else if (json_is_integer(value))
            (void)snprintf(cell, sizeof cell, "%" JSON_INTEGER_FORMAT "%s", json_integer_value(value), c == 3 ? "C" : "");
        else if (json_is_boolean(value))
            (void)snprintf(cell, sizeof cell, "%s", json_is_true(value) ? "needed" : "no");
        else if (json_is_string(value) && json_string_value(value)[0])
            (void)snprintf(cell, sizeof cell, "%s", json_string_value(value));
        divvy_text_clean(cell, clean, sizeof clean);
        divvy_table_add(table, clean, c == 5 && json_is_true(value) ? DIVVY_TINT_BAD : DIVVY_TINT_NONE);
    }
    status = table ? divvy_table_print(table, stdout, divvy_table_width(stdout), divvy_table_colour(stdout)) : -ENOMEM;
    divvy_table_free(table);
    return status < 0 ? DIVVY_CLI_FAILED : DIVVY_CLI_OK;
}

int divvy_cli_vm_scan_gpus(const char *what, const struct divvy_cli_vm_arguments *a) {
    struct divvy_relay_store *store;
    struct divvy_error error = {0};
    char why[320] = "";
    json_t *gpus = divvy_cli_vm_gpu_health(a, why, sizeof why), *assigned;
    int status;

    if (divvy_relay_store_open(a->state, BUSY_MS, &store, &error) < 0) {
        json_decref(gpus);
        return divvy_cli_vm_fail(what, &error);
    }
    assigned = divvy_cli_vm_gpus_assigned(store, &error);
    divvy_relay_store_close(store);
    if (!assigned) {
        json_decref(gpus);
        return divvy_cli_vm_fail(what, &error);
    }
    if (!gpus)
        (void)fprintf(stderr, "divvy vm %s: %s\n", what, why);
    gpus = gpus ? gpus : json_array();
    merge(gpus, assigned);
    json_decref(assigned);
    if (a->json)
        return divvy_cli_json_print(json_pack("{s:o}", "gpus", gpus), 2, stdout);
    status = divvy_cli_vm_gpus_print(gpus);
    json_decref(gpus);
    return status;
}

/* --- assign-gpu ------------------------------------------------------------------------------------------------------------- */

/* What is known of the GPU in the state, or the defaults. */
static int known_find(struct divvy_relay_store *store, uint32_t gpu_id, struct divvy_relay_store_gpu *ret_gpu, struct divvy_error *error) {
    static struct divvy_relay_store_gpu gpus[DIVVY_RELAY_STORE_GPUS_MAX];
    size_t count;
    int status = divvy_relay_store_gpus(store, gpus, &count, error);

    *ret_gpu = (struct divvy_relay_store_gpu){.gpu_id = gpu_id, .vms_max = DIVVY_RELAY_STORE_GPU_VMS};
    for (size_t i = 0; status == 0 && i < count; i++)
        if (gpus[i].gpu_id == gpu_id)
            *ret_gpu = gpus[i];
    return status;
}

/* UUID and model, where NVML here knows them. */
static void facts_take(const struct divvy_cli_vm_arguments *a, struct divvy_relay_store_gpu *gpu) {
    static struct divvy_cli_gpu_list list;
    struct divvy_error error = {0};

    if (gpus_read(a, &list, &error) < 0)
        return;
    for (uint32_t i = 0; i < list.count; i++)
        if (!list.gpus[i].is_instance && list.gpus[i].index == gpu->gpu_id) {
            char uuid[DIVVY_CORE_UUID_TEXT_BYTES];

            divvy_cli_gpu_uuid_format(&list.gpus[i], uuid);
            (void)snprintf(gpu->uuid, sizeof gpu->uuid, "%s", uuid);
            (void)snprintf(gpu->name, sizeof gpu->name, "%s", list.gpus[i].name);
        }
}

static int u32_take(const char *text, const char *option, uint32_t most, uint32_t *ret_value, struct divvy_error *error) {
    uint64_t value;

    if (divvy_core_u64_parse(text, strlen(text), &value, NULL) < 0 || value > most)
        return divvy_error_set(error, -EINVAL, "--%s: '%.40s' is no number from 0 to %u", option, text, most);
    *ret_value = (uint32_t)value;
    return 0;
}

static int gpu_change(struct divvy_relay_store *store, const struct divvy_cli_vm_arguments *a, uint32_t gpu_id, struct divvy_error *error) {
    struct divvy_relay_store_gpu gpu;
    int status;

    if (strcmp(a->pool, "none") == 0)
        return divvy_relay_store_gpu_remove(store, gpu_id, error);
    if (strlen(a->pool) != 1 || !strchr("ABab", a->pool[0]))
        return divvy_error_set(error, -EINVAL, "--pool: '%.20s' is none of A, B and none", a->pool);
    status = known_find(store, gpu_id, &gpu, error);
    if (status == 0 && a->vms_max)
        status = u32_take(a->vms_max, "max-vms", DIVVY_RELAY_STORE_GPU_VMS_MAX, &gpu.vms_max, error);
    if (status < 0)
        return status;
    if (a->worker && strlen(a->worker) >= sizeof gpu.worker)
        return divvy_error_set(error, -EINVAL, "--worker: longer than %zu characters", sizeof gpu.worker - 1);
    if (a->worker)
        memcpy(gpu.worker, a->worker, strlen(a->worker) + 1);
    if (!gpu.worker[0])
        return divvy_error_set(error, -EINVAL, "where does the worker of GPU %u listen? Give --worker once", gpu_id);
    gpu.pool = (char)(a->pool[0] & ~32);
    facts_take(a, &gpu);
    return divvy_relay_store_gpu_set(store, &gpu, error);
}

int divvy_cli_vm_assign_gpu(const char *what, const struct divvy_cli_vm_arguments *a) {
    struct divvy_relay_store *store;
    struct divvy_error error = {0};
    uint32_t gpu_id;
    int status;

    if (!a->gpu_id || !a->pool)
        (void)divvy_error_set(&error, -EINVAL, "give --gpu-id and --pool");
    if (error.status < 0 || u32_take(a->gpu_id, "gpu-id", DIVVY_RELAY_STORE_GPUS_MAX - 1, &gpu_id, &error) < 0 ||
        divvy_relay_store_open(a->state, BUSY_MS, &store, &error) < 0)
        return divvy_cli_vm_fail(what, &error);
    status = gpu_change(store, a, gpu_id, &error);
    divvy_relay_store_close(store);
    return status < 0 ? divvy_cli_vm_fail(what, &error) : divvy_cli_vm_push(what, a);
}
