/*
 * The opcodes of PTX as data.
 */
#ifndef DIVVY_SIMGPU_PTX_OPCODE_H
#define DIVVY_SIMGPU_PTX_OPCODE_H

#include "simgpu/ptx/lower.h"

typedef struct ptx_opcode {
    const char *name;
    ptx_lower_t lower; /* NULL: an instruction of PTX that is not supported */
    unsigned variant;
} ptx_opcode_t;

/* The row of the opcode TEXT; NULL when PTX has no such instruction. */
const ptx_opcode_t *divvy_ptx_opcode_find(const char *text, size_t length);

/* Row INDEX in order, for tests; NULL at the end. */
const ptx_opcode_t *divvy_ptx_opcode_get(size_t index);

#endif
