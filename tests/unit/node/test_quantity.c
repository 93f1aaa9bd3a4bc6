/* Quantities: a table of spellings, and what is written reads the same. */
#include "node/quantity.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void spellings(void **data) {
    static const struct {
        const char *text;
        uint64_t whole;
        uint32_t nano;
        int status;
    } rows[] = {
        {"0", 0, 0, 0},
        {"1", 1, 0, 0},
        {"007", 7, 0, 0},
        {"71200m", 71, 200000000, 0},
        {"500m", 0, 500000000, 0},
        {"1n", 0, 1, 0},
        {"1u", 0, 1000, 0},
        {"0.1n", 0, 1, 0}, /* rounded up */
        {"1.5", 1, 500000000, 0},
        {".5", 0, 500000000, 0},
        {"5.", 5, 0, 0},
        {"8Gi", 8589934592, 0, 0},
        {"8gi", 8589934592, 0, 0},
        {"8GiB", 8589934592, 0, 0},
        {"8G", 8000000000, 0, 0},
        {"8GB", 8000000000, 0, 0},
        {"8B", 8, 0, 0},
        {"1.5Gi", 1610612736, 0, 0},
        {"0.5Ki", 512, 0, 0},
        {"0.1Ki", 102, 400000000, 0},
        {"1k", 1000, 0, 0},
        {"1Ki", 1024, 0, 0},
        {"1E", 1000000000000000000, 0, 0},
        {"15Ei", 17293822569102704640u, 0, 0},
        {"1E3", 1000, 0, 0},
        {"1e3", 1000, 0, 0},
        {"2e-3", 0, 2000000, 0},
        {"1e+2", 100, 0, 0},
        {"18446744073709551615", UINT64_MAX, 0, 0},
        {"0.00000000000000000000000000000000001", 0, 1, 0},
        {"18446744073709551616", 0, 0, -ERANGE},
        {"16Ei", 0, 0, -ERANGE},
        {"1e30", 0, 0, -ERANGE},
        {"0e60", 0, 0, 0},
        {"999999999999999999999999999999999999999", 0, 0, -ERANGE},
        {"", 0, 0, -EINVAL},
        {".", 0, 0, -EINVAL},
        {"-1", 0, 0, -EINVAL},
        {"+1", 0, 0, -EINVAL},
        {" 1", 0, 0, -EINVAL},
        {"1 ", 0, 0, -EINVAL},
        {"1 Gi", 0, 0, -EINVAL},
        {"8g", 0, 0, -EINVAL},
        {"8K", 0, 0, -EINVAL},
        {"8kiB", 8192, 0, 0},
        {"8mB", 0, 0, -EINVAL},
        {"8Bi", 0, 0, -EINVAL},
        {"8BB", 0, 0, -EINVAL},
        {"1.2.3", 0, 0, -EINVAL},
        {"1e", 0, 0, -EINVAL},
        {"1e61", 0, 0, -EINVAL},
        {"0x10", 0, 0, -EINVAL},
        {"inf", 0, 0, -EINVAL},
        {"8Gi\n", 0, 0, -EINVAL},
    };

    (void)data;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        divvy_node_quantity_t quantity = {77, 77};
        divvy_core_fault_t fault = {0, NULL};
        int status = divvy_node_quantity_parse(rows[i].text, strlen(rows[i].text), &quantity, &fault);

        if (status != rows[i].status || (status == 0 && (quantity.whole != rows[i].whole || quantity.nano != rows[i].nano)))
            fail_msg("\"%s\": %d, %llu + %u nano", rows[i].text, status, (unsigned long long)quantity.whole, quantity.nano);
        assert_true(status == 0 || (fault.reason && quantity.whole == 77));
    }
}

static void bytes_are_whole(void **data) {
    uint64_t bytes = 1;

    (void)data;
    assert_int_equal(divvy_node_quantity_bytes_parse("8Gi", 3, &bytes, NULL), 0);
    assert_int_equal(bytes, UINT64_C(8) << 30);
    assert_int_equal(divvy_node_quantity_bytes_parse("500m", 4, &bytes, NULL), -EINVAL);
    assert_int_equal(divvy_node_quantity_bytes_parse("5000m", 5, &bytes, NULL), -EINVAL);
    assert_int_equal(divvy_node_quantity_bytes_parse("0.5", 3, &bytes, NULL), -EINVAL);
    assert_int_equal(divvy_node_quantity_bytes_parse("", 0, &bytes, NULL), -EINVAL);
    assert_int_equal(bytes, UINT64_C(8) << 30);
}

static void what_is_written_reads_the_same(void **data) {
    unsigned int seed = (unsigned int)time(NULL);

    (void)data;
    print_message("seed %u\n", seed);
    srandom(seed);
    for (size_t i = 0; i < 200000; i++) {
        divvy_node_quantity_t before = {(uint64_t)random() << (random() % 34), 0}, after;
        char text[DIVVY_NODE_QUANTITY_TEXT_BYTES];

        if (random() % 2)
            before.nano = (uint32_t)(random() % 1000) * (uint32_t[]){1, 1000, 1000000}[random() % 3];
        divvy_node_quantity_format(before, text);
        assert_int_equal(divvy_node_quantity_parse(text, strlen(text), &after, NULL), 0);
        assert_int_equal(divvy_node_quantity_compare(before, after), 0);
    }
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(spellings), cmocka_unit_test(bytes_are_whole), cmocka_unit_test(what_is_written_reads_the_same)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
