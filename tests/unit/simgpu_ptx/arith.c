/* Every instruction of cases.inc against its reference in C, on random operands and corners. */
#include "cases.h"
#include "kit.h"

#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 64, BLOCKS = 8, COUNT = THREADS * BLOCKS };

static void test_case(const case_t *c, uint64_t *state) {
    static value_t in[COUNT][4], out[COUNT][2];
    char text[4096];
    for (int k = 0; k < COUNT; k++) {
        for (int operand = 0; operand < 3; operand++)
            in[k][operand] = case_operand(c->types[operand + 1], state);
        out[k][0].u64 = 0;
    }
    kit_memory_t memory = {.count = 0};
    kit_memory_add(&memory, in, sizeof(in), false);
    kit_memory_add(&memory, out, sizeof(out), true);
    uint64_t params[2] = {(uintptr_t)in, (uintptr_t)out};
    case_text(c, text, sizeof(text));
    kit_run(text, BLOCKS, THREADS, params, 2, &memory, DIVVY_PTX_DONE);
    for (int k = 0; k < COUNT; k++) {
        value_t wanted = {.u64 = 0};
        c->reference(in[k], &wanted);
        if (!case_same(c, out[k][0], wanted))
            fail_msg("%s a=%#llx b=%#llx c=%#llx: got %#llx, expected %#llx", c->instruction,
                     (unsigned long long)in[k][0].u64, (unsigned long long)in[k][1].u64,
                     (unsigned long long)in[k][2].u64, (unsigned long long)out[k][0].u64,
                     (unsigned long long)wanted.u64);
    }
}

static void test_all(void **unused) {
    (void)unused;
    uint64_t state = kit_seed();
    for (size_t k = 0; k < case_count; k++)
        test_case(&cases[k], &state);
    printf("%zu instructions\n", case_count);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
