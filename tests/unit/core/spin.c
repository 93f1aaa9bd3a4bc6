/* Looking before sleeping: given up after a few times in vain, taken up again when something comes quickly. */
#include "core/spin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>
/* cmocka needs the headers above. */
#include <cmocka.h>

static void wait_in_vain(struct divvy_core_spin *spin) {
    const struct timespec pause = {.tv_nsec = 1000000};

    divvy_core_spin_begin(spin);
    while (divvy_core_spin_goes_on(spin))
        ;
    (void)nanosleep(&pause, NULL); /* many windows */
    divvy_core_spin_end(spin);
}

static void gives_up_and_begins_again(void **state) {
    struct divvy_core_spin spin = {.window_ns = 1000};

    (void)state;
    for (uint32_t i = 1; i < 2 * DIVVY_CORE_SPIN_VAIN; i++) {
        wait_in_vain(&spin);
        assert_int_equal(spin.vain, i < DIVVY_CORE_SPIN_VAIN ? i : DIVVY_CORE_SPIN_VAIN);
    }
    divvy_core_spin_begin(&spin);
    assert_false(divvy_core_spin_goes_on(&spin));
    spin.window_ns = UINT64_C(3600000000000); /* what comes within an hour comes quickly */
    divvy_core_spin_end(&spin);
    assert_int_equal(spin.vain, 0);
    divvy_core_spin_begin(&spin);
    assert_true(divvy_core_spin_goes_on(&spin));
}

static void no_window_never_looks(void **state) {
    struct divvy_core_spin spin = {0};

    (void)state;
    for (int i = 0; i < 10; i++) {
        wait_in_vain(&spin);
        divvy_core_spin_begin(&spin);
        assert_false(divvy_core_spin_goes_on(&spin));
    }
    assert_int_equal(spin.vain, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_up_and_begins_again),
        cmocka_unit_test(no_window_never_looks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
