/*
 * Where and why a text was refused. Parsers fill one of these; whoever can judge the failure turns
 * it into one line for a person ("VARIABLE: byte 7: reason").
 */
#ifndef DIVVY_CORE_FAULT_H
#define DIVVY_CORE_FAULT_H

#include <stddef.h>

typedef struct {
    size_t position;    /* offset in bytes, from 0, of the first byte that could not be accepted */
    const char *reason; /* static text, lower case, no full stop; never NULL after a failure */
} divvy_core_fault_t;

/*
 * Fills *fault when it is not NULL and returns `status`, so that parsers can fail in one
 * expression.
 */
static inline int divvy_core_fault_set(divvy_core_fault_t *fault, int status, size_t position,
                                       const char *reason) {
    if (fault) {
        fault->position = position;
        fault->reason = reason;
    }
    return status;
}

#endif
