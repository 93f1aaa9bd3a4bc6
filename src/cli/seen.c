/* From the daemon's JSON to plain values: see seen.h. */
#include "cli/seen.h"

#include "cli/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double number(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);

    return json_is_number(value) && json_number_value(value) >= 0 ? json_number_value(value)
                                                                  : DIVVY_CLI_SEEN_UNKNOWN;
}

static void text(const json_t *object, const char *key, char *ret_text, size_t size_bytes) {
    const char *value = json_string_value(json_object_get(object, key));

    divvy_text_clean(value ? value : "", ret_text, size_bytes);
}

static bool truth(const json_t *object, const char *key) {
    return json_is_true(json_object_get(object, key));
}

double divvy_cli_seen_time(const json_t *value) {
    struct tm parts = {0};
    const char *written = json_string_value(value), *rest;
    double seconds, fraction = 0;

    if (json_is_number(value)) {
        seconds = json_number_value(value);
        if (seconds < 0)
            return DIVVY_CLI_SEEN_UNKNOWN;
        /* No clock of seconds reaches 1e14 before the year 3 million. */
        return seconds > 1e14 ? seconds / 1e9 : seconds;
    }
    if (!written || !(rest = strptime(written, "%Y-%m-%dT%H:%M:%S", &parts)))
        return DIVVY_CLI_SEEN_UNKNOWN;
    if (*rest == '.')
        fraction = strtod(rest, (char **)&rest);
    seconds = (double)timegm(&parts) + fraction;
    if ((*rest == '+' || *rest == '-') && strlen(rest) == 6) {
        int hours = (rest[1] - '0') * 10 + rest[2] - '0',
            minutes = (rest[4] - '0') * 10 + rest[5] - '0';

        seconds -= (*rest == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
    }
    return seconds;
}

static void use_read(const json_t *object, struct divvy_cli_seen_use *ret_use) {
    *ret_use = (struct divvy_cli_seen_use){
        .index = number(object, "index"),
        .limit_bytes = number(object, "memory_limit_bytes"),
        .used_bytes = number(object, "memory_used_bytes"),
        .peak_bytes = number(object, "memory_peak_bytes"),
        .refused = number(object, "refused"),
        .compute_percent = number(object, "compute_percent"),
        .share_percent = number(object, "share_percent"),
        .weight = number(object, "weight"),
        .busy_ns = number(object, "busy_ns"),
        .waited_ns = number(object, "waited_ns"),
        .waiting = number(object, "waiting"),
        .launches = number(object, "launches"),
        .soft = truth(object, "soft"),
    };
    text(object, "uuid", ret_use->uuid, sizeof ret_use->uuid);
    text(object, "mode", ret_use->mode, sizeof ret_use->mode);
}

void divvy_cli_seen_tenant_read(const json_t *object, struct divvy_cli_seen_tenant *ret_tenant) {
    const json_t *uses = json_object_get(object, "devices");
    size_t count = json_array_size(uses);

    *ret_tenant = (struct divvy_cli_seen_tenant){
        .frozen = truth(object, "frozen"),
        .owner_uid = number(object, "owner_uid"),
        .process_count = number(object, "process_count"),
        .created_s = divvy_cli_seen_time(json_object_get(object, "created")),
    };
    text(object, "id", ret_tenant->id, sizeof ret_tenant->id);
    text(object, "state", ret_tenant->state, sizeof ret_tenant->state);
    text(object, "qos", ret_tenant->qos, sizeof ret_tenant->qos);
    text(object, "source", ret_tenant->source, sizeof ret_tenant->source);
    for (size_t i = 0; i < count && i < DIVVY_CLI_SEEN_DEVICES; i++)
        use_read(json_array_get(uses, i), &ret_tenant->uses[ret_tenant->use_count++]);
}

void divvy_cli_seen_device_read(const json_t *object, struct divvy_cli_seen_device *ret_device) {
    *ret_device = (struct divvy_cli_seen_device){
        .simulated = truth(object, "simulated"),
        /* A daemon that does not say has no reason to complain. */
        .healthy = !json_is_false(json_object_get(object, "healthy")),
        .index = number(object, "index"),
        .memory_bytes = number(object, "memory_bytes"),
        .used_bytes = number(object, "memory_used_bytes"),
        .promised_bytes = number(object, "memory_promised_bytes"),
        .utilisation_percent = number(object, "utilisation_percent"),
        .temperature_c = number(object, "temperature_c"),
        .power_w = number(object, "power_w"),
        .tenants = number(object, "tenants"),
    };
    text(object, "uuid", ret_device->uuid, sizeof ret_device->uuid);
    text(object, "model", ret_device->model, sizeof ret_device->model);
}

void divvy_cli_seen_node_read(const json_t *object, struct divvy_cli_seen_node *ret_node) {
    *ret_node = (struct divvy_cli_seen_node){
        .simulated = truth(object, "simulated"),
        .uptime_s = number(object, "uptime_seconds"),
    };
    text(object, "name", ret_node->name, sizeof ret_node->name);
    text(object, "version", ret_node->version, sizeof ret_node->version);
}

void divvy_cli_seen_event_read(const json_t *object, struct divvy_cli_seen_event *ret_event) {
    json_int_t value = json_integer_value(json_object_get(object, "number"));

    *ret_event = (struct divvy_cli_seen_event){
        .number = value > 0 ? (uint64_t)value : 0,
        .time_s = divvy_cli_seen_time(json_object_get(object, "time")),
    };
    text(object, "kind", ret_event->kind, sizeof ret_event->kind);
    text(object, "tenant", ret_event->tenant, sizeof ret_event->tenant);
    text(object, "text", ret_event->text, sizeof ret_event->text);
}

int divvy_cli_seen_tenants_read(const json_t *answer, struct divvy_cli_seen_tenant **ret_tenants,
                                size_t *ret_count) {
    const json_t *array = json_object_get(answer, "tenants");
    size_t count = json_array_size(array);
    struct divvy_cli_seen_tenant *tenants = NULL;

    if (!json_is_array(array))
        return -EPROTO;
    if (count > 0 && !(tenants = calloc(count, sizeof *tenants)))
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        divvy_cli_seen_tenant_read(json_array_get(array, i), &tenants[i]);
    *ret_tenants = tenants;
    *ret_count = count;
    return 0;
}

int divvy_cli_seen_devices_read(const json_t *answer, struct divvy_cli_seen_device **ret_devices,
                                size_t *ret_count) {
    const json_t *array = json_object_get(answer, "devices");
    size_t count = json_array_size(array);
    struct divvy_cli_seen_device *devices = NULL;

    if (!json_is_array(array))
        return -EPROTO;
    if (count > 0 && !(devices = calloc(count, sizeof *devices)))
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        divvy_cli_seen_device_read(json_array_get(array, i), &devices[i]);
    *ret_devices = devices;
    *ret_count = count;
    return 0;
}

bool divvy_cli_seen_is_active(const struct divvy_cli_seen_tenant *tenant) {
    return tenant->process_count != 0 || tenant->frozen || strcmp(tenant->state, "frozen") == 0 ||
           strcmp(tenant->state, "saved") == 0 || strcmp(tenant->state, "asleep") == 0;
}
