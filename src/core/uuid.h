/*
 * GPU UUIDs: 16 bytes in the driver ("GPU-" and 36 characters in NVML), written in either case,
 * with or without the prefix. Pure; usable in hooks.
 */
#ifndef DIVVY_CORE_UUID_H
#define DIVVY_CORE_UUID_H

#include "core/fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIVVY_CORE_UUID_TEXT_BYTES 41 /* "GPU-", 32 digits, 4 dashes, NUL */

typedef struct {
    uint8_t bytes[16];
} divvy_core_uuid_t;

/*
 * Reads "GPU-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"; case is ignored and "GPU-" may be missing.
 * Names of MIG instances ("MIG-...") are not GPU UUIDs and are refused. 0 or -EINVAL with the
 * fault's place.
 */
int divvy_core_uuid_parse(const char *text, size_t length, divvy_core_uuid_t *ret_uuid,
                          divvy_core_fault_t *ret_fault);

/*
 * The same, and "MIG-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx" too, which *ret_is_mig tells. The older
 * names of MIG devices, "MIG-GPU-.../1/0", hold no UUID of their own and are refused.
 */
int divvy_core_uuid_parse_any(const char *text, size_t length, divvy_core_uuid_t *ret_uuid,
                              bool *ret_is_mig, divvy_core_fault_t *ret_fault);

/* Writes the form of NVML, lower case with prefix. */
void divvy_core_uuid_format(const divvy_core_uuid_t *uuid,
                            char ret_text[DIVVY_CORE_UUID_TEXT_BYTES]);
/* The same of a GPU or a MIG device. */
void divvy_core_uuid_format_any(const divvy_core_uuid_t *uuid, bool is_mig,
                                char ret_text[DIVVY_CORE_UUID_TEXT_BYTES]);

bool divvy_core_uuid_equal(const divvy_core_uuid_t *a, const divvy_core_uuid_t *b);

/*
 * Whether two names of devices are the same, ignoring ASCII case and a "GPU-" in front of either.
 * Works for any text (MIG names too); an empty name equals nothing.
 */
bool divvy_core_uuid_text_equal(const char *a, size_t a_length, const char *b, size_t b_length);

#endif
