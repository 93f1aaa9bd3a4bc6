/* The table of registers as data. */
#include "stub/registers.h"

static const struct divvy_stub_register table[] = {
#define ROW(offset, name, access, meaning) {(offset), #name, DIVVY_STUB_ACCESS_##access, #access, (meaning)},
    DIVVY_STUB_REGISTERS(ROW)
#undef ROW
};

_Static_assert(sizeof table / sizeof *table == DIVVY_STUB_REGISTERS_BYTES / 4, "a row for each word of the registers");

const struct divvy_stub_register *divvy_stub_registers(size_t *ret_count) {
    *ret_count = sizeof table / sizeof *table;
    return table;
}
