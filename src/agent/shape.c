/* Judging JSON by tables: see shape.h. */
#include "agent/shape.h"

#include "core/parse.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define PLACE_BYTES 96
#define DEPTH_MAX   8 /* no table is deeper */

struct judge {
    struct divvy_error *error;
    unsigned int depth;
};

bool divvy_agent_id_is_valid(const char *text) {
    size_t length = strlen(text);

    return length > 0 && length <= DIVVY_AGENT_ID_MAX && text[0] != '.' && text[0] != '-' &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
               length;
}

static json_t *key_find(const json_t *object, const char *key) {
    json_t *value = json_object_get(object, key);
    const char *name;
    json_t *each;

    if (value)
        return value;
    json_object_foreach((json_t *)object, name,
                        each) if (divvy_core_word_equal(name, strlen(name), key)) return each;
    return NULL;
}

static int object_take(struct judge *judge, const struct divvy_agent_shape *shape,
                       const json_t *value, const char *place, json_t **ret_value);

static int text_take(struct judge *judge, const struct divvy_agent_field *field,
                     const json_t *value, const char *place) {
    size_t length = json_string_length(value);

    if (!json_is_string(value))
        return divvy_error_set(judge->error, -EPROTO, "%s is no text", place);
    if (length > DIVVY_AGENT_TEXT_MAX)
        return divvy_error_set(judge->error, -EPROTO, "%s is longer than %u bytes", place,
                               DIVVY_AGENT_TEXT_MAX);
    if (memchr(json_string_value(value), '\0', length))
        return divvy_error_set(judge->error, -EPROTO, "%s holds a zero byte", place);
    if (length == 0 && (field->is_required || field->kind != DIVVY_AGENT_KIND_TEXT))
        return divvy_error_set(judge->error, -EPROTO, "%s is empty", place);
    if (field->kind == DIVVY_AGENT_KIND_ID && !divvy_agent_id_is_valid(json_string_value(value)))
        return divvy_error_set(judge->error, -EPROTO,
                               "%s is no id: letters, digits, '.', '_' and '-', at most %u", place,
                               DIVVY_AGENT_ID_MAX);
    return 0;
}

static int integer_take(struct judge *judge, const struct divvy_agent_field *field,
                        const json_t *value, const char *place, json_t **ret_value) {
    int64_t number;

    if (json_is_integer(value))
        number = json_integer_value(value);
    else if (json_is_real(value) && fabs(json_real_value(value)) < 9e15 &&
             floor(json_real_value(value)) == json_real_value(value))
        number = (int64_t)json_real_value(value);
    else
        return divvy_error_set(judge->error, -EPROTO, "%s is no whole number", place);
    if ((field->min || field->max) && (number < field->min || number > field->max))
        return divvy_error_set(judge->error, -EPROTO, "%s is %lld; it must be from %lld to %lld",
                               place, (long long)number, (long long)field->min,
                               (long long)field->max);
    *ret_value = json_integer(number);
    return 0;
}

static int list_take(struct judge *judge, const struct divvy_agent_field *field,
                     const json_t *value, const char *place, json_t **ret_value) {
    json_t *list = json_array(), *element;
    size_t index;
    int status = 0;

    if (!json_is_array(value))
        status = divvy_error_set(judge->error, -EPROTO, "%s is no list", place);
    else if (json_array_size(value) > DIVVY_AGENT_ELEMENTS_MAX)
        status = divvy_error_set(judge->error, -EPROTO, "%s has more than %u elements", place,
                                 DIVVY_AGENT_ELEMENTS_MAX);
    json_array_foreach(status == 0 ? value : NULL, index, element) {
        char there[PLACE_BYTES];
        json_t *taken = NULL;

        (void)snprintf(there, sizeof there, "%.60s[%zu]", place, index);
        if (json_is_null(element))
            continue;
        if (field->kind == DIVVY_AGENT_KIND_OBJECTS) {
            status = object_take(judge, field->of, element, there, &taken);
        } else {
            status = text_take(judge, field, element, there);
            taken = status == 0 ? json_incref(element) : NULL;
        }
        if (status == 0 && json_array_append_new(list, taken) < 0)
            status = -ENOMEM;
        if (status < 0)
            break;
    }
    if (status < 0)
        json_decref(list);
    else
        *ret_value = list;
    return status;
}

static int map_take(struct judge *judge, json_t *value, const char *place, json_t **ret_value) {
    static const struct divvy_agent_field texts = {"", DIVVY_AGENT_KIND_TEXTS, false, 0, 0, NULL};
    json_t *map = json_object(), *each;
    const char *key;
    int status = 0;

    if (!json_is_object(value))
        status = divvy_error_set(judge->error, -EPROTO, "%s is no object", place);
    json_object_foreach(value, key, each) {
        json_t *list = NULL;

        if (status == 0 && !divvy_agent_id_is_valid(key))
            status = divvy_error_set(judge->error, -EPROTO, "%s has a key that is no id", place);
        if (status == 0)
            status = list_take(judge, &texts, each, place, &list);
        if (status == 0 && json_object_set_new(map, key, list) < 0)
            status = -ENOMEM;
        if (status < 0)
            break;
    }
    if (status < 0)
        json_decref(map);
    else
        *ret_value = map;
    return status;
}

static int field_take(struct judge *judge, const struct divvy_agent_field *field, json_t *value,
                      const char *place, json_t **ret_value) {
    int status = 0;

    switch (field->kind) {
    case DIVVY_AGENT_KIND_TEXT:
    case DIVVY_AGENT_KIND_ID:
        status = text_take(judge, field, value, place);
        break;
    case DIVVY_AGENT_KIND_INTEGER:
        return integer_take(judge, field, value, place, ret_value);
    case DIVVY_AGENT_KIND_BOOLEAN:
        if (!json_is_boolean(value))
            status = divvy_error_set(judge->error, -EPROTO, "%s is neither true nor false", place);
        break;
    case DIVVY_AGENT_KIND_TEXTS:
    case DIVVY_AGENT_KIND_OBJECTS:
        return list_take(judge, field, value, place, ret_value);
    case DIVVY_AGENT_KIND_MAP:
        return map_take(judge, value, place, ret_value);
    case DIVVY_AGENT_KIND_OBJECT:
        return object_take(judge, field->of, value, place, ret_value);
    }
    if (status == 0)
        *ret_value = json_incref(value);
    return status;
}

static int object_take(struct judge *judge, const struct divvy_agent_shape *shape,
                       const json_t *value, const char *place, json_t **ret_value) {
    json_t *object = json_object();
    int status = 0;

    if (!json_is_object(value))
        status = divvy_error_set(judge->error, -EPROTO, "%s is no object",
                                 place[0] ? place : shape->name);
    else if (judge->depth++ >= DEPTH_MAX)
        status = divvy_error_set(judge->error, -EPROTO, "%s is too deep", place);
    for (const struct divvy_agent_field *field = shape->fields; status == 0 && field->key;
         field++) {
        char there[PLACE_BYTES];
        json_t *found = key_find(value, field->key), *taken = NULL;
        bool is_list =
            field->kind == DIVVY_AGENT_KIND_TEXTS || field->kind == DIVVY_AGENT_KIND_OBJECTS;

        (void)snprintf(there, sizeof there, "%.60s%s%.30s", place, place[0] ? "." : "", field->key);
        if (found && !json_is_null(found))
            status = field_take(judge, field, found, there, &taken);
        else if (field->is_required && is_list)
            taken = json_array();
        else if (field->is_required)
            status = divvy_error_set(judge->error, -EPROTO, "%s is missing", there);
        else
            continue;
        if (status == 0 && json_object_set_new_nocheck(object, field->key, taken) < 0)
            status = -ENOMEM;
    }
    judge->depth--;
    if (status < 0)
        json_decref(object);
    else
        *ret_value = object;
    return status;
}

int divvy_agent_shape_take(const struct divvy_agent_shape *shape, const json_t *value,
                           json_t **ret_value, struct divvy_error *error) {
    struct judge judge = {.error = error};
    int status = object_take(&judge, shape, value, "", ret_value);

    if (status == -ENOMEM)
        return divvy_error_set_errno(error, status, "%s", shape->name);
    if (status < 0)
        (void)divvy_error_prefix(error, "%s", shape->name);
    return status;
}
