/* Fields of the ABI's structures: see provider.h. */
#include "accel/provider/provider.h"
#include "core/parse.h"
#include "core/text.h"

#include <string.h>

void divvy_provider_text(char *ret_field, size_t size_bytes, const char *text) {
    divvy_core_text_t field;

    divvy_core_text_init(&field, ret_field, size_bytes);
    divvy_core_text_add(&field, text);
}

void divvy_provider_property(DeviceProperties *properties, const char *key, const char *format, ...) {
    DevicePropertyKV *property;
    divvy_core_text_t value;
    va_list arguments;

    if (properties->count >= MAX_DEVICE_PROPERTIES)
        return;
    property = &properties->properties[properties->count++];
    divvy_provider_text(property->key, sizeof property->key, key);
    divvy_core_text_init(&value, property->value, sizeof property->value);
    va_start(arguments, format);
    divvy_core_text_vformat(&value, format, arguments);
    va_end(arguments);
}

void divvy_provider_extra(DeviceMetrics *metrics, const char *key, double value) {
    ExtraMetric *extra;

    if (metrics->extraMetricsCount >= MAX_EXTRA_METRICS)
        return;
    extra = &metrics->extraMetrics[metrics->extraMetricsCount++];
    divvy_provider_text(extra->key, sizeof extra->key, key);
    extra->value = value;
}

void divvy_provider_variable(Accel2PartitionResult *result, const char *key, const char *value) {
    for (size_t i = 0; i < MAX_PARTITION_ENVS; i++) {
        divvy_core_text_t slot;

        if (result->envVars[i][0])
            continue;
        divvy_core_text_init(&slot, result->envVars[i], sizeof result->envVars[i]);
        divvy_core_text_format(&slot, "%s=%s", key, value);
        if (slot.is_cut || !value[0])
            memset(result->envVars[i], 0, sizeof result->envVars[i]);
        return;
    }
}

static const char *prefix_skip(const char *text, char *ret_prefix) {
    static const char *const prefixes[] = {"GPU-", "MIG-"};

    *ret_prefix = '\0';
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (strnlen(text, 4) == 4 && divvy_core_word_equal(text, 4, prefixes[i])) {
            *ret_prefix = prefixes[i][0];
            return text + 4;
        }
    return text;
}

bool divvy_provider_same_device(const char *one, const char *other) {
    char prefix, other_prefix;

    one = prefix_skip(one, &prefix);
    other = prefix_skip(other, &other_prefix);
    if (prefix && other_prefix && prefix != other_prefix)
        return false;
    return one[0] && divvy_core_word_equal(one, strlen(one), other);
}
