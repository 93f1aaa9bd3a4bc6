/*
 * Quantities as Kubernetes writes them: a number, whole or with a fraction, and then nothing, one of n u m (parts), k M G T P E
 * (powers of 1000), Ki Mi Gi Ti Pi Ei (powers of 1024) or a decimal exponent ("2e9", "2E9"). "500m" is a half, "8G" 8,000,000,000,
 * "8Gi" 8,589,934,592. Beyond that a B after the unit is accepted ("8GiB", "8GB"), and binary units in lower case ("8gi"). What is
 * neither is refused: "8g", "8K" and "8 Gi" mean different things to different people. There is no sign.
 *
 * Pure. Parsers return 0, -EINVAL (malformed) or -ERANGE (2^64 or more) with the fault's place; nothing is touched then.
 */
#ifndef DIVVY_NODE_QUANTITY_H
#define DIVVY_NODE_QUANTITY_H

#include "core/fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIVVY_NODE_QUANTITY_TEXT_BYTES 40u

/* whole + nano / 10^9; what is finer is rounded up. All zero: nothing is asked for. */
typedef struct {
    uint64_t whole;
    uint32_t nano; /* below 10^9 */
} divvy_node_quantity_t;

int divvy_node_quantity_parse(const char *text, size_t length, divvy_node_quantity_t *ret_quantity, divvy_core_fault_t *ret_fault);

/* A quantity of bytes: parts of a byte are refused, "500m" above all, by which somebody meant mebibytes. */
int divvy_node_quantity_bytes_parse(const char *text, size_t length, uint64_t *ret_bytes, divvy_core_fault_t *ret_fault);

bool divvy_node_quantity_is_zero(divvy_node_quantity_t quantity);
double divvy_node_quantity_value(divvy_node_quantity_t quantity);
int divvy_node_quantity_compare(divvy_node_quantity_t a, divvy_node_quantity_t b); /* below, equal to, above 0 */

/* A text that parses to the same: bytes with the largest binary unit that divides them, parts with n, u or m. */
void divvy_node_quantity_format(divvy_node_quantity_t quantity, char ret_text[DIVVY_NODE_QUANTITY_TEXT_BYTES]);

#endif
