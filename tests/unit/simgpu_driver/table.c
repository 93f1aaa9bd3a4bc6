/* The rows that cuGetProcAddress answers from: complete, in order, and pointing at this
 * library's own functions. */
#include "simgpu/driver/api.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const divvy_drv_export_t *row_of(const char *symbol) {
    size_t count;
    const divvy_drv_export_t *rows = divvy_drv_exports(&count);
    for (size_t i = 0; i < count; i++)
        if (!strcmp(rows[i].symbol, symbol))
            return rows + i;
    return NULL;
}

static void every_row_has_its_function(void **state) {
    size_t count;
    const divvy_drv_export_t *rows = divvy_drv_exports(&count);
    (void)state;
    assert_true(count >= 634);
    for (size_t i = 0; i < count; i++) {
        assert_non_null(rows[i].address);
        assert_true(rows[i].since >= 2000 && rows[i].since <= DIVVY_DRV_VERSION);
        assert_non_null(strchr("psd", rows[i].form));
        for (size_t k = 0; k < i; k++)
            assert_true(strcmp(rows[k].symbol, rows[i].symbol) &&
                        rows[k].address != rows[i].address);
    }
    assert_ptr_equal(row_of("cuMemAlloc_v2")->address, (void *)cuMemAlloc_v2);
}

static void every_twin_has_a_plain_form(void **state) {
    size_t count;
    const divvy_drv_export_t *rows = divvy_drv_exports(&count);
    (void)state;
    for (size_t i = 0; i < count; i++) {
        char plain[128];
        size_t length = strlen(rows[i].symbol);
        if (rows[i].form == 'p')
            continue;
        assert_string_equal(rows[i].symbol + length - 5, rows[i].form == 's' ? "_ptsz" : "_ptds");
        memcpy(plain, rows[i].symbol, length - 5);
        plain[length - 5] = 0;
        assert_non_null(row_of(plain));
        assert_string_equal(row_of(plain)->api, rows[i].api);
    }
}

static void results_of_the_engine(void **state) {
    (void)state;
    assert_int_equal(divvy_drv_result(0), CUDA_SUCCESS);
    for (int status = -200; status < 0; status++)
        assert_int_not_equal(divvy_drv_result(status), CUDA_SUCCESS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_has_its_function),
        cmocka_unit_test(every_twin_has_a_plain_form),
        cmocka_unit_test(results_of_the_engine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
