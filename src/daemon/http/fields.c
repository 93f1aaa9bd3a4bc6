/* Strict reading of JSON objects that come from outside. */
#include "daemon/http/fields.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Whether brackets are nested too deep; where, in *ret_error. Brackets in strings do not count. */
static bool is_too_deep(const char *text, size_t length, json_error_t *ret_error) {
    unsigned depth = 0;
    bool in_string = false;
    int line = 1, column = 0;

    for (size_t i = 0; i < length; i++, column++) {
        if (text[i] == '\n') {
            line++;
            column = -1;
        }
        if (in_string) {
            if (text[i] == '\\')
                i++;
            else if (text[i] == '"')
                in_string = false;
        } else if (text[i] == '"') {
            in_string = true;
        } else if (text[i] == '[' || text[i] == '{') {
            if (++depth > DIVVY_HTTP_JSON_DEPTH) {
                memset(ret_error, 0, sizeof *ret_error);
                snprintf(ret_error->text, sizeof ret_error->text, "nested deeper than %u", DIVVY_HTTP_JSON_DEPTH);
                ret_error->line = line;
                ret_error->column = column + 1;
                return true;
            }
        } else if ((text[i] == ']' || text[i] == '}') && depth > 0) {
            depth--;
        }
    }
    return false;
}

json_t *divvy_http_json_parse(const char *text, size_t length, json_error_t *error) {
    return is_too_deep(text, length, error) ? NULL : json_loadb(text, length, JSON_REJECT_DUPLICATES, error);
}

static int wrong(struct divvy_error *error, const struct divvy_http_fields *fields, const char *name, const char *what) {
    /* The name may come from outside: as much of it as helps. */
    return divvy_error_set(error, -EINVAL, "%s%.64s %s", fields->prefix, name, what);
}

int divvy_http_fields_only(const struct divvy_http_fields *fields, const char *const *names, struct divvy_error *error) {
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)fields->object, key, value) {
        bool known = false;

        for (const char *const *name = names; *name && !known; name++)
            known = strcmp(*name, key) == 0;
        if (!known)
            return wrong(error, fields, key, "is not a field that is known here");
    }
    return 0;
}

int divvy_http_field_text(const struct divvy_http_fields *fields, const char *name, char *text, size_t size,
                          struct divvy_error *error) {
    const json_t *value = json_object_get(fields->object, name);
    size_t length = json_string_length(value);

    if (!value)
        return -ENOENT;
    if (!json_is_string(value))
        return wrong(error, fields, name, "must be a string");
    if (length == 0 || strlen(json_string_value(value)) != length)
        return wrong(error, fields, name, "must not be empty or hold a NUL");
    if (length >= size)
        return divvy_error_set(error, -EINVAL, "%s%s must not be longer than %zu bytes", fields->prefix, name, size - 1);
    memcpy(text, json_string_value(value), length + 1);
    return 0;
}

int divvy_http_field_u64_or_null(const struct divvy_http_fields *fields, const char *name, uint64_t min, uint64_t max,
                                 uint64_t none, uint64_t *ret_value, struct divvy_error *error) {
    if (json_is_null(json_object_get(fields->object, name))) {
        *ret_value = none;
        return 0;
    }
    return divvy_http_field_u64(fields, name, min, max, ret_value, error);
}

int divvy_http_field_u64(const struct divvy_http_fields *fields, const char *name, uint64_t min, uint64_t max,
                         uint64_t *ret_value, struct divvy_error *error) {
    const json_t *value = json_object_get(fields->object, name);
    json_int_t number = json_integer_value(value);

    if (!value)
        return -ENOENT;
    if (!json_is_integer(value))
        return wrong(error, fields, name, "must be a whole number");
    if (number < 0 || (uint64_t)number < min || (uint64_t)number > max)
        return divvy_error_set(error, -EINVAL, "%s%s must be from %llu to %llu", fields->prefix, name, (unsigned long long)min,
                               (unsigned long long)max);
    *ret_value = (uint64_t)number;
    return 0;
}

int divvy_http_field_permille(const struct divvy_http_fields *fields, const char *name, uint32_t none, uint32_t *ret_permille,
                              struct divvy_error *error) {
    const json_t *value = json_object_get(fields->object, name);
    double permille;

    if (!value)
        return -ENOENT;
    if (json_is_null(value)) {
        *ret_permille = none;
        return 0;
    }
    if (!json_is_number(value))
        return wrong(error, fields, name, "must be a number of percent or null");
    permille = round(json_number_value(value) * 10.0);
    if (!(permille >= 1.0 && permille <= 1000.0))
        return wrong(error, fields, name, "must be from 0.1 to 100");
    *ret_permille = (uint32_t)permille;
    return 0;
}

int divvy_http_field_flag(const struct divvy_http_fields *fields, const char *name, bool *ret_value,
                          struct divvy_error *error) {
    const json_t *value = json_object_get(fields->object, name);

    if (!value)
        return -ENOENT;
    if (!json_is_boolean(value))
        return wrong(error, fields, name, "must be true or false");
    *ret_value = json_is_true(value);
    return 0;
}
