/*
 * A strict JSON reader in place, for the few small shapes that the channel's client meets, and the writing of strings. No
 * allocation, no copy of the text, no recursion. First the whole text is checked; what has passed can be looked into without
 * further checks. Pure; usable in injected code.
 */
#ifndef DIVVY_WIRE_CHANNEL_JSON_H
#define DIVVY_WIRE_CHANNEL_JSON_H

#include "core/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIVVY_WIRE_JSON_DEPTH_MAX 32

/* A value as it stands in a checked text; borrowed. The first byte tells the type: { [ " t f n, a digit or '-'. */
typedef struct {
    const char *text;
    size_t length;
} divvy_wire_json_t;

/*
 * The text as one value, blanks around it allowed: RFC 8259 to the letter, strings in valid UTF-8, nothing deeper than
 * DIVVY_WIRE_JSON_DEPTH_MAX. 0, -EINVAL, -E2BIG (too deep). *ret_value is without the blanks around it.
 */
int divvy_wire_json_check(const char *text, size_t length, divvy_wire_json_t *ret_value);

/*
 * A member of an object. Names are compared as bytes, escapes in the text's names do not match. -ENOENT: no such member, or
 * `object` is none; -EEXIST: more than one.
 */
int divvy_wire_json_member(divvy_wire_json_t object, const char *name, divvy_wire_json_t *ret_value);

/* The elements of an array, one after the other: *at starts at 0. False at the end, or if `array` is none. */
bool divvy_wire_json_next(divvy_wire_json_t array, size_t *at, divvy_wire_json_t *ret_value);

/* -EINVAL: another type, a fraction, an exponent, a sign; -ERANGE. */
int divvy_wire_json_u64(divvy_wire_json_t value, uint64_t *ret_value);
int divvy_wire_json_bool(divvy_wire_json_t value, bool *ret_value);
bool divvy_wire_json_is_null(divvy_wire_json_t value);

/* A string with its escapes undone, NUL added. -EINVAL: no string, or a NUL within; -ENAMETOOLONG. */
int divvy_wire_json_string(divvy_wire_json_t value, char *buffer, size_t size);

/* `bytes` as a string in quotes; what is not UTF-8 becomes '?'. */
void divvy_wire_json_add_string(divvy_core_text_t *text, const char *bytes, size_t length);

#endif
