/* Values of options as text: see config.h. */
#include "daemon/config.h"

#include "core/clock.h"
#include "core/parse.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    int64_t ns;
} units[] = {
    {"h", 3600 * (int64_t)DIVVY_NS_PER_SECOND}, {"m", 60 * (int64_t)DIVVY_NS_PER_SECOND},
    {"s", (int64_t)DIVVY_NS_PER_SECOND},        {"ms", (int64_t)DIVVY_NS_PER_MS},
    {"us", (int64_t)DIVVY_NS_PER_US},           {"ns", 1},
};

#define UNIT_COUNT (sizeof units / sizeof units[0])

int divvy_config_duration_parse(const char *text, int64_t *ret_ns) {
    int64_t total_ns = 0;
    size_t next = 0; /* the first unit that may still come */

    if (!*text)
        return -EINVAL;
    if (strcmp(text, "never") == 0 || strcmp(text, "0") == 0) {
        *ret_ns = 0;
        return 0;
    }
    while (*text) {
        size_t digits = strspn(text, "0123456789");
        size_t letters = strspn(text + digits, "hmsun");
        uint64_t number;
        int64_t part_ns;
        int status = divvy_core_u64_parse(text, digits, &number, NULL);

        if (status < 0)
            return status;
        while (next < UNIT_COUNT &&
               !(strlen(units[next].name) == letters && memcmp(text + digits, units[next].name, letters) == 0))
            next++;
        if (next == UNIT_COUNT)
            return -EINVAL;
        if (number > INT64_MAX || __builtin_mul_overflow((int64_t)number, units[next].ns, &part_ns) ||
            __builtin_add_overflow(total_ns, part_ns, &total_ns))
            return -ERANGE;
        next++;
        text += digits + letters;
        while (*text == ' ')
            text++;
    }
    *ret_ns = total_ns;
    return 0;
}

static void duration_format(int64_t ns, char *ret_text, size_t size_bytes) {
    size_t length = 0;

    if (ns == 0) {
        (void)snprintf(ret_text, size_bytes, "never");
        return;
    }
    ret_text[0] = '\0';
    for (size_t i = 0; i < UNIT_COUNT && length < size_bytes; i++) {
        int64_t count = ns / units[i].ns;

        ns %= units[i].ns;
        if (count)
            length += (size_t)snprintf(ret_text + length, size_bytes - length, "%lld%s", (long long)count,
                                       units[i].name);
    }
}

static int duration_set(const struct divvy_config_option *option, const char *text, int64_t *ret_ns,
                        struct divvy_error *error) {
    char least[48], most[48];
    int64_t ns;
    int status = divvy_config_duration_parse(text, &ns);

    if (status == -EINVAL)
        return divvy_error_set(error, -EINVAL, "'%.60s' is not a time; write it like 30s, 5m, 1h30m or 20ms%s", text,
                               option->min == 0 ? ", or never" : "");
    if (status < 0 || ns < option->min || ns > option->max) {
        duration_format(option->min, least, sizeof least);
        duration_format(option->max, most, sizeof most);
        return divvy_error_set(error, -EINVAL, "'%.60s' is out of range; from %s to %s is possible", text, least, most);
    }
    *ret_ns = ns;
    return 0;
}

static int text_set(const struct divvy_config_option *option, const char *text, char *ret_text,
                    struct divvy_error *error) {
    if (strlen(text) >= option->size)
        return divvy_error_set(error, -EINVAL, "'%.40s…' is longer than %zu bytes", text, option->size - 1);
    for (const char *at = text; *at; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            return divvy_error_set(error, -EINVAL, "a control character is in it");
    memcpy(ret_text, text, strlen(text) + 1);
    return 0;
}

static int path_set(const struct divvy_config_option *option, const char *text, const char *folder, char *ret_text,
                    struct divvy_error *error) {
    char whole[PATH_MAX * 2];

    if (*text == '/')
        return text_set(option, text, ret_text, error);
    if (!*text)
        return divvy_error_set(error, -EINVAL, "the path is empty");
    if (!folder)
        return divvy_error_set(error, -EINVAL, "'%.100s' is not an absolute path", text);
    (void)snprintf(whole, sizeof whole, "%s/%s", strcmp(folder, "/") == 0 ? "" : folder, text);
    return text_set(option, whole, ret_text, error);
}

static int bool_set(const char *text, bool *ret_value, struct divvy_error *error) {
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (divvy_core_word_equal(text, strlen(text), words[i])) {
            *ret_value = i % 2;
            return 0;
        }
    return divvy_error_set(error, -EINVAL, "'%.60s' is neither yes nor no", text);
}

static int word_set(const struct divvy_config_option *option, const char *text, void *ret_value,
                    struct divvy_error *error) {
    char list[96] = "";
    size_t length = 0;

    for (uint32_t i = 0; option->words[i]; i++) {
        if (divvy_core_word_equal(text, strlen(text), option->words[i])) {
            if (option->size == sizeof(bool))
                *(bool *)ret_value = i != 0;
            else
                *(uint32_t *)ret_value = i;
            return 0;
        }
        if (length < sizeof list)
            length += (size_t)snprintf(list + length, sizeof list - length, "%s%s", i ? ", " : "", option->words[i]);
    }
    return divvy_error_set(error, -EINVAL, "'%.60s' is none of: %s", text, list);
}

static int permille_set(const struct divvy_config_option *option, const char *text, uint32_t *ret_permille,
                        struct divvy_error *error) {
    size_t length = strlen(text);
    uint64_t percent;

    if (divvy_core_word_equal(text, length, "none")) {
        *ret_permille = UINT32_MAX;
        return 0;
    }
    if (length > 0 && text[length - 1] == '%')
        length--;
    if (divvy_core_u64_parse(text, length, &percent, NULL) < 0 || percent > (uint64_t)option->max / 10)
        return divvy_error_set(error, -EINVAL, "'%.60s' is not a percentage from 0%% to %lld%%, nor none", text,
                               (long long)option->max / 10);
    *ret_permille = (uint32_t)percent * 10;
    return 0;
}

static int number_set(const struct divvy_config_option *option, const char *text, uint32_t *ret_number,
                      struct divvy_error *error) {
    uint64_t number;

    if (divvy_core_u64_parse(text, strlen(text), &number, NULL) < 0 || number < (uint64_t)option->min ||
        number > (uint64_t)option->max)
        return divvy_error_set(error, -EINVAL, "'%.60s' is not a number from %lld to %lld", text, (long long)option->min,
                               (long long)option->max);
    *ret_number = (uint32_t)number;
    return 0;
}

static int size_set(const char *text, uint64_t *ret_bytes, struct divvy_error *error) {
    divvy_core_size_t size = {DIVVY_CORE_SIZE_BYTES, 0};

    if (strcmp(text, "never") != 0 && (divvy_core_size_parse(text, strlen(text), &size, NULL) < 0 ||
                                       size.kind != DIVVY_CORE_SIZE_BYTES))
        return divvy_error_set(error, -EINVAL, "'%.60s' is not a size; write it like 512KiB or 8MiB", text);
    *ret_bytes = size.value;
    return 0;
}

static int mode_set(const char *text, uint32_t *ret_mode, struct divvy_error *error) {
    static const struct {
        const char *text;
        uint32_t mode;
    } modes[] = {{"auto", 0}, {"0600", 0600}, {"0660", 0660}, {"0666", 0666}, {"600", 0600}, {"660", 0660}, {"666", 0666}};

    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
        if (strcmp(text, modes[i].text) == 0) {
            *ret_mode = modes[i].mode;
            return 0;
        }
    return divvy_error_set(error, -EINVAL, "'%.60s' is none of: auto, 0600, 0660, 0666", text);
}

/* The port behind the last colon, or -1. "[::1]" and host names in front; an IPv6 address needs its brackets. */
static int listen_split(const char *text, size_t *ret_host_length) {
    const char *colon = strrchr(text, ':');
    uint64_t port;

    if (!colon || divvy_core_u64_parse(colon + 1, strlen(colon + 1), &port, NULL) < 0 || port > 65535)
        return -1;
    *ret_host_length = (size_t)(colon - text);
    if (text[0] == '[')
        return *ret_host_length > 2 && colon[-1] == ']' ? (int)port : -1;
    for (size_t i = 0; i < *ret_host_length; i++)
        if (text[i] == ':' || text[i] == ']' || text[i] == ' ' || text[i] == '/')
            return -1;
    return (int)port;
}

bool divvy_config_is_loopback(const char *listen) {
    size_t length;

    return listen_split(listen, &length) >= 0 && divvy_core_host_is_loopback(listen, length);
}

static int listen_set(const struct divvy_config_option *option, const char *text, char *ret_text,
                      struct divvy_error *error) {
    char whole[DIVVY_CONFIG_TEXT_BYTES];
    size_t length;
    uint64_t port;

    if (option->kind == DIVVY_CONFIG_PORT) {
        if (divvy_core_u64_parse(text, strlen(text), &port, NULL) < 0 || port > 65535)
            return divvy_error_set(error, -EINVAL, "'%.60s' is not a port from 0 to 65535", text);
        (void)snprintf(whole, sizeof whole, "127.0.0.1:%u", (unsigned int)port);
        return text_set(option, whole, ret_text, error);
    }
    if (listen_split(text, &length) < 0)
        return divvy_error_set(error, -EINVAL, "'%.60s' is not HOST:PORT; write it like 127.0.0.1:8001 or [::1]:8001",
                               text);
    if (length == 0) { /* Go's way to say: on all addresses */
        (void)snprintf(whole, sizeof whole, "0.0.0.0%.200s", text);
        return text_set(option, whole, ret_text, error);
    }
    return text_set(option, text, ret_text, error);
}

static int labels_set(const struct divvy_config_option *option, const char *text, char *ret_text,
                      struct divvy_error *error) {
    json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, NULL), *value;
    bool good = json_is_object(object);
    const char *key;

    if (strcmp(text, "null") == 0) {
        ret_text[0] = '\0';
        return 0;
    }
    json_object_foreach(object, key, value) good = good && json_is_string(value);
    json_decref(object);
    if (!good)
        return divvy_error_set(error, -EINVAL, "'%.60s' is not a JSON object whose values are texts", text);
    return text_set(option, text, ret_text, error);
}

static int class_parse(const char *text) {
    static const char *const classes[DIVVY_NODE_QOS_MAX] = {"low", "medium", "high", "critical"};

    for (int i = 0; i < DIVVY_NODE_QOS_MAX; i++)
        if (text && divvy_core_word_equal(text, strlen(text), classes[i]))
            return i;
    return -1;
}

/* {"autoFreezeAndResume":{"autoFreeze":[{"qos","freezeToMemTTL","enable"}]}}; other keys are TensorFusion's own affair. */
static int freeze_parse(json_t *root, int64_t ret_freeze_ns[DIVVY_NODE_QOS_MAX], struct divvy_error *error) {
    json_t *list = json_object_get(json_object_get(root, "autoFreezeAndResume"), "autoFreeze"), *entry;
    size_t index;

    if (!json_is_object(root) || (list && !json_is_array(list)))
        return divvy_error_set(error, -EINVAL, "it is not an object whose autoFreezeAndResume.autoFreeze is a list");
    json_array_foreach(list, index, entry) {
        const char *qos = json_string_value(json_object_get(entry, "qos"));
        const char *after = json_string_value(json_object_get(entry, "freezeToMemTTL"));
        json_t *enable = json_object_get(entry, "enable");
        int class = class_parse(qos);
        int64_t ns = 0;

        if (class < 0)
            return divvy_error_set(error, -EINVAL, "autoFreeze[%zu].qos is none of: low, medium, high, critical", index);
        if (enable && !json_is_boolean(enable) && !json_is_null(enable))
            return divvy_error_set(error, -EINVAL, "autoFreeze[%zu].enable is neither true nor false", index);
        if (!json_is_false(enable) && (!after || divvy_config_duration_parse(after, &ns) < 0))
            return divvy_error_set(error, -EINVAL, "autoFreeze[%zu].freezeToMemTTL is not a time like \"5m\"", index);
        ret_freeze_ns[class] = ns;
    }
    return 0;
}

/* A number, or a text that is one; TensorFusion takes both and passes over what is neither. 0: none. */
static double elastic_value(const json_t *value) {
    const char *text = json_string_value(value);
    char *end = NULL;
    double number = json_is_number(value) ? json_number_value(value) : 0;

    if (text && *text)
        number = strtod(text, &end);
    return (end && *end) || !isfinite(number) || number < 0 ? 0 : number;
}

#define ELASTIC_KEY "elasticRateLimitParameters"

static const struct {
    const char *key;
    size_t offset;
} elastic_keys[] = {
    {"maxRefillRate", offsetof(struct divvy_node_elastic_params, rate_max)},
    {"minRefillRate", offsetof(struct divvy_node_elastic_params, rate_min)},
    {"filterAlpha", offsetof(struct divvy_node_elastic_params, alpha)},
    {"kp", offsetof(struct divvy_node_elastic_params, kp)},
    {"ki", offsetof(struct divvy_node_elastic_params, ki)},
    {"kd", offsetof(struct divvy_node_elastic_params, kd)},
    {"burstWindow", offsetof(struct divvy_node_elastic_params, burst_window_s)},
    {"capacityMin", offsetof(struct divvy_node_elastic_params, capacity_min)},
    {"capacityMax", offsetof(struct divvy_node_elastic_params, capacity_max)},
    {"integralDecayFactor", offsetof(struct divvy_node_elastic_params, decay)},
};
#define ELASTIC_KEYS (sizeof elastic_keys / sizeof elastic_keys[0])

/* {"elasticRateLimitParameters":{…}}: what is not there, or not above 0, stays as it would be without. */
static int elastic_parse(const json_t *root, struct divvy_node_elastic_params *ret_params, struct divvy_error *error) {
    const json_t *object = json_object_get(root, ELASTIC_KEY);
    struct divvy_node_elastic_params params = {0};

    if (object && !json_is_object(object) && !json_is_null(object))
        return divvy_error_set(error, -EINVAL, ELASTIC_KEY " is not an object");
    for (size_t i = 0; i < ELASTIC_KEYS; i++)
        *(double *)(void *)((char *)&params + elastic_keys[i].offset) =
            elastic_value(json_object_get(object, elastic_keys[i].key));
    *ret_params = params;
    return 0;
}

/* The same the other way; empty when nothing is set. */
static void elastic_format(const struct divvy_node_elastic_params *params, char *ret_text, size_t size_bytes) {
    json_t *object = json_object(), *root = json_object();
    char *text;

    for (size_t i = 0; i < ELASTIC_KEYS; i++) {
        double value = *(const double *)(const void *)((const char *)params + elastic_keys[i].offset);

        if (value > 0)
            (void)json_object_set_new(object, elastic_keys[i].key, json_real(value));
    }
    if (json_object_size(object) > 0)
        (void)json_object_set(root, ELASTIC_KEY, object);
    text = json_object_size(root) > 0 ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(12)) : NULL;
    (void)snprintf(ret_text, size_bytes, "%s", text ? text : "");
    free(text);
    json_decref(object);
    json_decref(root);
}

static int scheduling_set(const char *text, struct divvy_config *config, struct divvy_error *error) {
    int64_t freeze_ns[DIVVY_NODE_QOS_MAX];
    struct divvy_node_elastic_params elastic;
    json_error_t fault;
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &fault);
    int status;

    if (!root)
        return divvy_error_set(error, -EINVAL, "it is not JSON: %.100s", fault.text);
    memcpy(freeze_ns, config->state.autofreeze_ns, sizeof freeze_ns);
    status = freeze_parse(root, freeze_ns, error);
    if (status == 0)
        status = elastic_parse(root, &elastic, error);
    json_decref(root);
    if (status == 0) {
        memcpy(config->state.autofreeze_ns, freeze_ns, sizeof freeze_ns);
        config->state.elastic = elastic;
    }
    return status;
}

int divvy_config_value_set(const struct divvy_config_option *option, const char *text, const char *folder,
                           void *ret_struct, struct divvy_error *error) {
    void *place = (char *)ret_struct + option->offset;

    switch (option->kind) {
    case DIVVY_CONFIG_COMMAND:
        *(bool *)place = option->max != 0;
        return 0;
    case DIVVY_CONFIG_TEXT:
        return text_set(option, text, place, error);
    case DIVVY_CONFIG_PATH:
        return path_set(option, text, folder, place, error);
    case DIVVY_CONFIG_BOOL:
        return bool_set(text, place, error);
    case DIVVY_CONFIG_DURATION:
        return duration_set(option, text, place, error);
    case DIVVY_CONFIG_WORD:
        return word_set(option, text, place, error);
    case DIVVY_CONFIG_PERMILLE:
        return permille_set(option, text, place, error);
    case DIVVY_CONFIG_NUMBER:
        return number_set(option, text, place, error);
    case DIVVY_CONFIG_SIZE:
        return size_set(text, place, error);
    case DIVVY_CONFIG_MODE:
        return mode_set(text, place, error);
    case DIVVY_CONFIG_LISTEN:
    case DIVVY_CONFIG_PORT:
        return listen_set(option, text, place, error);
    case DIVVY_CONFIG_LABELS:
        return labels_set(option, text, place, error);
    case DIVVY_CONFIG_SCHEDULING:
        return scheduling_set(text, ret_struct, error);
    case DIVVY_CONFIG_KIND_MAX:
        break;
    }
    return -EINVAL;
}

void divvy_config_value_format(const struct divvy_config_option *option, const void *structure, char *ret_text,
                               size_t size_bytes) {
    const void *place = (const char *)structure + option->offset;
    uint32_t number;

    ret_text[0] = '\0';
    switch (option->kind) {
    case DIVVY_CONFIG_TEXT:
    case DIVVY_CONFIG_PATH:
    case DIVVY_CONFIG_LISTEN:
    case DIVVY_CONFIG_LABELS:
        (void)snprintf(ret_text, size_bytes, "%s", (const char *)place);
        return;
    case DIVVY_CONFIG_BOOL:
        (void)snprintf(ret_text, size_bytes, "%s", *(const bool *)place ? "yes" : "no");
        return;
    case DIVVY_CONFIG_DURATION:
        duration_format(*(const int64_t *)place, ret_text, size_bytes);
        return;
    case DIVVY_CONFIG_WORD:
        number = option->size == sizeof(bool) ? *(const bool *)place : *(const uint32_t *)place;
        (void)snprintf(ret_text, size_bytes, "%s", option->words[number]);
        return;
    case DIVVY_CONFIG_PERMILLE:
        number = *(const uint32_t *)place;
        if (number == UINT32_MAX)
            (void)snprintf(ret_text, size_bytes, "none");
        else
            (void)snprintf(ret_text, size_bytes, "%u%%", number / 10);
        return;
    case DIVVY_CONFIG_NUMBER:
        (void)snprintf(ret_text, size_bytes, "%u", *(const uint32_t *)place);
        return;
    case DIVVY_CONFIG_SIZE:
        (void)snprintf(ret_text, size_bytes, "%llu", (unsigned long long)*(const uint64_t *)place);
        return;
    case DIVVY_CONFIG_MODE:
        number = *(const uint32_t *)place;
        if (number == 0)
            (void)snprintf(ret_text, size_bytes, "auto");
        else
            (void)snprintf(ret_text, size_bytes, "%04o", number);
        return;
    case DIVVY_CONFIG_COMMAND: /* these have no value of their own */
    case DIVVY_CONFIG_PORT:
    case DIVVY_CONFIG_KIND_MAX:
        return;
    case DIVVY_CONFIG_SCHEDULING:
        elastic_format(&((const struct divvy_config *)structure)->state.elastic, ret_text, size_bytes);
        return;
    }
}
