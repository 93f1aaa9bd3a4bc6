/* The configuration of divvy cloudstack: a JSON file, read strictly. See cloudstack_sync.h and docs/CLOUDSTACK.md. */
#include "base/cleanup.h"
#include "base/table.h"
#include "cli/cloudstack_sync.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES 65536u

/* A key of an object: a text of so many bytes, a number in a range, or yes and no. */
struct key {
    const char *name;
    enum { TEXT, NUMBER, FLAG, OTHER } kind;
    size_t offset, size_bytes; /* of a text */
    uint32_t least, most;      /* of a number */
    bool must;
};

#define TEXT_KEY(type, key, member, needed)                                                                                      \
    {key, TEXT, offsetof(struct type, member), sizeof(((struct type *)NULL)->member), 0, 0, needed}
#define NUMBER_KEY(type, key, member, lowest, highest) {key, NUMBER, offsetof(struct type, member), 0, lowest, highest, false}

static const struct key config_keys[] = {
    TEXT_KEY(divvy_cloudstack_config, "url", cloud.url, true),
    TEXT_KEY(divvy_cloudstack_config, "ca_file", cloud.ca_file, false),
    {"credentials", OTHER, 0, 0, 0, 0, true},
    TEXT_KEY(divvy_cloudstack_config, "host", host, false),
    TEXT_KEY(divvy_cloudstack_config, "host_tag", host_tag, false),
    TEXT_KEY(divvy_cloudstack_config, "socket", socket, false),
    {"connects", FLAG, offsetof(struct divvy_cloudstack_config, connects), 0, 0, 0, false},
    NUMBER_KEY(divvy_cloudstack_config, "interval_s", interval_s, 1, 3600),
    NUMBER_KEY(divvy_cloudstack_config, "timeout_ms", cloud.timeout_ms, 100, 600000),
    NUMBER_KEY(divvy_cloudstack_config, "job_limit_ms", cloud.job_limit_ms, 1000, 7200000),
    NUMBER_KEY(divvy_cloudstack_config, "job_pause_ms", cloud.job_pause_ms, 10, 60000),
    NUMBER_KEY(divvy_cloudstack_config, "page_size", cloud.page_size, 1, 500),
    {"rules", OTHER, 0, 0, 0, 0, true},
};

static const struct key rule_keys[] = {
    TEXT_KEY(divvy_cloudstack_rule, "offering", offering, false), TEXT_KEY(divvy_cloudstack_rule, "vgpu", vgpu, false),
    TEXT_KEY(divvy_cloudstack_rule, "pool", pool, false),         TEXT_KEY(divvy_cloudstack_rule, "priority", priority, false),
    NUMBER_KEY(divvy_cloudstack_rule, "weight", weight, 1, 100),  NUMBER_KEY(divvy_cloudstack_rule, "max_jobs_per_sec", rate, 0, 1000000),
    NUMBER_KEY(divvy_cloudstack_rule, "max_queue_depth", depth, 0, 16384),
};

static int value_take(const char *where, const struct key *key, const json_t *value, char *target, struct divvy_error *error) {
    switch (key->kind) {
    case TEXT:
        if (!json_is_string(value) || json_string_length(value) >= key->size_bytes || strlen(json_string_value(value)) != json_string_length(value))
            return divvy_error_set(error, -EINVAL, "%s%s: a text of at most %zu bytes is wanted", where, key->name, key->size_bytes - 1);
        divvy_text_clean(json_string_value(value), target + key->offset, key->size_bytes); /* as CloudStack's texts are taken */
        return 0;
    case NUMBER:
        if (!json_is_integer(value) || json_integer_value(value) < key->least || json_integer_value(value) > key->most)
            return divvy_error_set(error, -EINVAL, "%s%s: a number from %u to %u is wanted", where, key->name, key->least, key->most);
        *(uint32_t *)(void *)(target + key->offset) = (uint32_t)json_integer_value(value);
        return 0;
    case FLAG:
        if (!json_is_boolean(value))
            return divvy_error_set(error, -EINVAL, "%s%s: true or false is wanted", where, key->name);
        *(bool *)(void *)(target + key->offset) = json_is_true(value);
        return 0;
    default:
        return 0;
    }
}

static int object_take(const char *where, const json_t *object, const struct key *keys, size_t count, void *target, struct divvy_error *error) {
    const char *name;
    json_t *value;

    if (!json_is_object(object))
        return divvy_error_set(error, -EINVAL, "%s: an object is wanted", where[0] ? where : "the file");
    json_object_foreach((json_t *)(uintptr_t)object, name, value) {
        size_t i = 0;

        while (i < count && strcmp(keys[i].name, name) != 0)
            i++;
        if (i == count)
            return divvy_error_set(error, -EINVAL, "%s%.40s: there is no such key", where, name);
        if (value_take(where, &keys[i], value, target, error) < 0)
            return -EINVAL;
    }
    for (size_t i = 0; i < count; i++)
        if (keys[i].must && !json_object_get(object, keys[i].name))
            return divvy_error_set(error, -EINVAL, "%s%s is missing", where, keys[i].name);
    return 0;
}

static int rules_take(const json_t *list, struct divvy_cloudstack_config *config, struct divvy_error *error) {
    const json_t *object;
    size_t i;

    if (!json_is_array(list) || json_array_size(list) == 0 || json_array_size(list) > DIVVY_CLOUDSTACK_RULES_MAX)
        return divvy_error_set(error, -EINVAL, "rules: a list of 1 to %u rules is wanted", DIVVY_CLOUDSTACK_RULES_MAX);
    json_array_foreach(list, i, object) {
        struct divvy_cloudstack_rule *rule = &config->rules[i];
        char where[40];

        (void)snprintf(where, sizeof where, "rules[%zu].", i);
        if (object_take(where, object, rule_keys, sizeof rule_keys / sizeof rule_keys[0], rule, error) < 0)
            return -EINVAL;
        if (!rule->offering[0] == !rule->vgpu[0])
            return divvy_error_set(error, -EINVAL, "%s: give offering or vgpu, one of them", where);
        if (rule->pool[0] && rule->pool[0] != 'A' && rule->pool[0] != 'B')
            return divvy_error_set(error, -EINVAL, "%spool: a pool is A or B", where);
        if (rule->priority[0] && strcmp(rule->priority, "low") != 0 && strcmp(rule->priority, "medium") != 0 && strcmp(rule->priority, "high") != 0)
            return divvy_error_set(error, -EINVAL, "%spriority: low, medium or high is wanted", where);
    }
    config->rule_count = json_array_size(list);
    return 0;
}

/* A whole small file. `is_secret`: only its owner may be able to read it. */
static int file_read(const char *path, bool is_secret, char *ret_text, size_t size, struct divvy_error *error) {
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat about;
    size_t length = 0;
    ssize_t got = 1;

    if (fd < 0 || fstat(fd, &about) < 0)
        return divvy_error_set_errno(error, -errno, "%.160s", path);
    if (is_secret && (about.st_mode & 0077))
        return divvy_error_set(error, -EPERM, "%.160s can be read by others than its owner: chmod 600", path);
    while (length < size - 1 && (got = read(fd, ret_text + length, size - 1 - length)) > 0)
        length += (size_t)got;
    ret_text[length] = '\0';
    if (got < 0)
        return divvy_error_set_errno(error, -errno, "%.160s", path);
    return length == size - 1 ? divvy_error_set(error, -EFBIG, "%.160s is too long", path) : 0;
}

static int key_take(const char **at, char *ret_key, size_t size) {
    size_t length = strcspn(*at, "\r\n");

    if (length == 0 || length >= size)
        return -EINVAL;
    memcpy(ret_key, *at, length);
    ret_key[length] = '\0';
    *at += length;
    *at += strspn(*at, "\r\n");
    return 0;
}

/* Two lines: the API key and the secret key. */
static int credentials_read(const char *path, struct divvy_cloudstack *cloud, struct divvy_error *error) {
    char text[2 * DIVVY_CLOUDSTACK_KEY_BYTES + 16];
    const char *at = text;
    int status;

    if (!path || path[0] != '/')
        return divvy_error_set(error, -EINVAL, "credentials: the absolute path of a file is wanted");
    status = file_read(path, true, text, sizeof text, error);
    if (status == 0 && (key_take(&at, cloud->key, sizeof cloud->key) < 0 || key_take(&at, cloud->secret, sizeof cloud->secret) < 0 || *at))
        status = divvy_error_set(error, -EINVAL, "%.160s is not two lines, the API key and the secret key", path);
    explicit_bzero(text, sizeof text);
    return status;
}

static int values_check(const struct divvy_cloudstack_config *config, struct divvy_error *error) {
    if (strncmp(config->cloud.url, "https://", 8) != 0 && strncmp(config->cloud.url, "http://", 7) != 0)
        return divvy_error_set(error, -EINVAL, "url: https://HOST/client/api is wanted");
    if (strpbrk(config->cloud.url, "?#@ "))
        return divvy_error_set(error, -EINVAL, "url: without a query, a user and blanks");
    if (config->socket[0] && config->socket[0] != '/')
        return divvy_error_set(error, -EINVAL, "socket: an absolute path is wanted");
    if (config->host_tag[0] && (!config->host[0] || strchr(config->host_tag, ',')))
        return divvy_error_set(error, -EINVAL, "host_tag: one tag is wanted, and host besides");
    return 0;
}

int divvy_cloudstack_config_read(const char *path, struct divvy_cloudstack_config *ret_config, struct divvy_error *error) {
    static char text[FILE_BYTES];
    json_error_t where;
    json_t *root;
    int status = file_read(path, false, text, sizeof text, error);

    *ret_config = (struct divvy_cloudstack_config){
        .cloud = {.timeout_ms = 30000, .job_limit_ms = 600000, .job_pause_ms = 2000, .page_size = 100}, .interval_s = 10};
    if (status < 0)
        return status;
    root = json_loads(text, JSON_REJECT_DUPLICATES, &where);
    if (!root)
        return divvy_error_set(error, -EINVAL, "%.120s, line %d: %.80s", path, where.line, where.text);
    status = object_take("", root, config_keys, sizeof config_keys / sizeof config_keys[0], ret_config, error);
    if (status == 0)
        status = rules_take(json_object_get(root, "rules"), ret_config, error);
    if (status == 0)
        status = values_check(ret_config, error);
    if (status < 0)
        (void)divvy_error_prefix(error, "%.100s", path);
    if (status == 0)
        status = credentials_read(json_string_value(json_object_get(root, "credentials")), &ret_config->cloud, error);
    json_decref(root);
    return status;
}
