/* Prints the table of operations as docs/PROTOCOL.md has it, from the table that the programs use. */
#include "wire/frame.h"

#include <stdio.h>

#define WORD(name) " " #name
#define BYTES      " bytes"
#define NONE       ""
#define ROW(NAME, name, number, kind, in, in_bytes, out, out_bytes, text)                          \
    (void)printf("| 0x%02x | %s | %s |%s |%s | %s |\n", number, #name, #kind, "" in(WORD) in_bytes,  \
                 "" out(WORD) out_bytes, text);

int main(void) {
    (void)puts("| number | operation | kind | request | answer | what it does |\n|---|---|---|---|---|---|");
    DIVVY_WIRE_OPS(ROW)
    return 0;
}
