/*
 * Strict reading of JSON objects that come from outside: what is missing, of the wrong type or out of range is refused with the
 * name of the field. All return 0, -ENOENT where an optional field is not there (out-parameters untouched), or -EINVAL with
 * `error` set. Pure.
 */
#ifndef DIVVY_DAEMON_HTTP_FIELDS_H
#define DIVVY_DAEMON_HTTP_FIELDS_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIVVY_HTTP_JSON_DEPTH 16u

/*
 * JSON from outside: keys that come twice are refused, and so is what is nested deeper than DIVVY_HTTP_JSON_DEPTH (the parser
 * works on the stack). The value, the caller's; NULL with `error` filled, its text says what and where.
 */
json_t *divvy_http_json_parse(const char *text, size_t length, json_error_t *error);

/* An object and how to call it in messages: "" or "devices[0].". */
struct divvy_http_fields {
    const json_t *object;
    const char *prefix;
};

/* Every key is one of `names` (NULL at the end). */
int divvy_http_fields_only(const struct divvy_http_fields *fields, const char *const *names, struct divvy_error *error);
/* 1 to size - 1 bytes without NUL inside. */
int divvy_http_field_text(const struct divvy_http_fields *fields, const char *name, char *text, size_t size,
                          struct divvy_error *error);
/* A whole number from min to max. */
int divvy_http_field_u64(const struct divvy_http_fields *fields, const char *name, uint64_t min, uint64_t max,
                         uint64_t *ret_value, struct divvy_error *error);
/* The same, or null, which gives `none`. */
int divvy_http_field_u64_or_null(const struct divvy_http_fields *fields, const char *name, uint64_t min, uint64_t max,
                                 uint64_t none, uint64_t *ret_value, struct divvy_error *error);
/* Percent, above 0 and at most 100, in steps of 0.1; null gives `none`. */
int divvy_http_field_permille(const struct divvy_http_fields *fields, const char *name, uint32_t none, uint32_t *ret_permille,
                              struct divvy_error *error);
int divvy_http_field_flag(const struct divvy_http_fields *fields, const char *name, bool *ret_value, struct divvy_error *error);

#endif
