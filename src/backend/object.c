/* Objects of state files, whose keys are found whatever their case: see filestate.h. */
#include "backend/filestate.h"

#include "backend/schema.h"
#include "core/parse.h"

#include <errno.h>
#include <string.h>

static const char *const id_keys[] = {"WorkerUID", "worker_id", "UUID", "gpu_id"};

_Static_assert(sizeof id_keys / sizeof id_keys[0] == DIVVY_BACKEND_SCHEMA_MAX, "an id for each schema");

const char *divvy_backend_schema_key(enum divvy_backend_schema schema) {
    return id_keys[schema];
}

bool divvy_backend_schema_folds(enum divvy_backend_schema schema) {
    return schema == DIVVY_BACKEND_DEVICES || schema == DIVVY_BACKEND_AGENT_GPUS;
}

/* The key as the object spells it, or NULL. */
static const char *spelling(const json_t *object, const char *key) {
    const char *found = NULL, *name;
    json_t *value;

    if (json_object_get(object, key))
        return key;
    json_object_foreach((json_t *)object, name, value) {
        if (divvy_core_word_equal(name, strlen(name), key))
            found = name; /* the last of several counts */
    }
    return found;
}

json_t *divvy_backend_object_get(const json_t *object, const char *key) {
    const char *name = spelling(object, key);
    json_t *value = name ? json_object_get(object, name) : NULL;

    return json_is_null(value) ? NULL : value;
}

int divvy_backend_object_set(json_t *object, const char *key, json_t *value) {
    const char *name = spelling(object, key);

    /* the key is borrowed from the entry that is set: json_object_set_new keeps its own */
    return json_object_set_new(object, name ? name : key, value) < 0 ? -ENOMEM : 0;
}

int divvy_backend_object_text(const json_t *object, const char *key, char *ret_text, size_t size_bytes) {
    const json_t *value = divvy_backend_object_get(object, key);
    size_t length;

    if (!value) {
        ret_text[0] = '\0';
        return 0;
    }
    if (!json_is_string(value))
        return -EINVAL;
    length = json_string_length(value);
    if (strlen(json_string_value(value)) != length)
        return -EINVAL;
    if (length >= size_bytes)
        return -ENAMETOOLONG;
    memcpy(ret_text, json_string_value(value), length + 1);
    return 0;
}

const char *divvy_backend_object_id(const json_t *object, enum divvy_backend_schema schema) {
    const json_t *value = divvy_backend_object_get(object, id_keys[schema]);
    size_t length;

    if (!json_is_string(value))
        return NULL;
    length = json_string_length(value);
    if (length == 0 || length >= DIVVY_BACKEND_ID_BYTES || strlen(json_string_value(value)) != length)
        return NULL;
    return json_string_value(value);
}

const char *divvy_backend_object_foreign(const json_t *object, enum divvy_backend_schema schema) {
    if (divvy_backend_object_get(object, id_keys[schema]))
        return NULL;
    for (size_t i = 0; i < DIVVY_BACKEND_SCHEMA_MAX; i++)
        if (divvy_backend_object_get(object, id_keys[i]))
            return id_keys[i];
    return NULL;
}
