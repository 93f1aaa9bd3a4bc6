/*
 * GPU UUIDs: every spelling of one device is the same device, everything else is refused with its
 * place.
 */
#include "core/uuid.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SEED_UUID "GPU-3430f778-7a25-704c-9090-8b0bb2478114"

static void spellings_are_one(void **state) {
    static const char *const spellings[] = {SEED_UUID, "gpu-3430f778-7a25-704c-9090-8b0bb2478114",
                                            "GPU-3430F778-7A25-704C-9090-8B0BB2478114",
                                            "3430f778-7a25-704c-9090-8b0bb2478114"};
    static const uint8_t bytes[16] = {0x34, 0x30, 0xf7, 0x78, 0x7a, 0x25, 0x70, 0x4c,
                                      0x90, 0x90, 0x8b, 0x0b, 0xb2, 0x47, 0x81, 0x14};

    (void)state;
    for (size_t i = 0; i < sizeof spellings / sizeof spellings[0]; i++) {
        divvy_core_uuid_t uuid;
        char text[DIVVY_CORE_UUID_TEXT_BYTES];

        assert_int_equal(divvy_core_uuid_parse(spellings[i], strlen(spellings[i]), &uuid, NULL), 0);
        assert_memory_equal(uuid.bytes, bytes, 16);
        divvy_core_uuid_format(&uuid, text);
        assert_string_equal(text, SEED_UUID);
        assert_true(divvy_core_uuid_text_equal(spellings[i], strlen(spellings[i]), SEED_UUID,
                                               strlen(SEED_UUID)));
    }
}

static void others_are_refused(void **state) {
    static const struct {
        const char *text;
        size_t position;
    } cases[] = {
        {"", 0},
        {"GPU-", 4},
        {"abc", 3},
        {"GPU-xyz", 4},
        {"GPU-3430f778-7a25-704c-9090-8b0bb247811", 39},
        {"GPU-3430f778-7a25-704c-9090-8b0bb24781145", 40},
        {"GPU-3430f7787a25-704c-9090-8b0bb2478114", 12},
        {"GPU-3430f778--7a25-704c-9090-8b0bb247811", 13},
        {"MIG-3430f778-7a25-704c-9090-8b0bb2478114", 0},
        {"GPU-3430f778-7a25-704c-9090-8b0bb2478114-", 40},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        divvy_core_uuid_t uuid;
        divvy_core_fault_t fault = {99, NULL};

        if (divvy_core_uuid_parse(cases[i].text, strlen(cases[i].text), &uuid, &fault) != -EINVAL)
            fail_msg("%s was accepted", cases[i].text);
        assert_int_equal(fault.position, cases[i].position);
        assert_non_null(fault.reason);
    }
}

/* MIG devices have UUIDs too, unless they are named in the old way. */
static void mig_devices(void **state) {
    static const char *const bad[] = {"MIG-", "MIG-3430f778", "MIG-GPU-3430f778-7a25-704c-9090-8b0bb2478114/1/0",
                                      "MIG-MIG-3430f778-7a25-704c-9090-8b0bb2478114",
                                      "mig-gpu-3430f778-7a25-704c-9090-8b0bb2478114"};
    static const char mig[] = "MIG-3430f778-7a25-504c-9090-8b0bb2478114";
    static const char gpu[] = "GPU-3430f778-7a25-504c-9090-8b0bb2478114";
    char text[DIVVY_CORE_UUID_TEXT_BYTES];
    divvy_core_fault_t fault;
    divvy_core_uuid_t a, b;
    bool is_mig = false;

    (void)state;
    assert_int_equal(divvy_core_uuid_parse_any(mig, strlen(mig), &a, &is_mig, NULL), 0);
    assert_true(is_mig);
    divvy_core_uuid_format_any(&a, true, text);
    assert_string_equal(text, mig);
    assert_int_equal(divvy_core_uuid_parse_any(gpu, strlen(gpu), &b, &is_mig, NULL), 0);
    assert_false(is_mig);
    assert_true(divvy_core_uuid_equal(&a, &b));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(divvy_core_uuid_parse_any(bad[i], strlen(bad[i]), &a, &is_mig, &fault),
                         -EINVAL);
    assert_int_equal(divvy_core_uuid_parse_any("MIG-x", 5, &a, &is_mig, &fault), -EINVAL);
    assert_int_equal(fault.position, 4);
}

static void names_are_compared(void **state) {
    (void)state;
    assert_true(divvy_core_uuid_text_equal("MIG-aB", 6, "mig-Ab", 6));
    assert_false(divvy_core_uuid_text_equal("GPU-a", 5, "GPU-b", 5));
    assert_false(divvy_core_uuid_text_equal("GPU-", 4, "", 0));
    assert_false(divvy_core_uuid_text_equal("a", 1, "ab", 2));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spellings_are_one),
        cmocka_unit_test(others_are_refused),
        cmocka_unit_test(mig_devices),
        cmocka_unit_test(names_are_compared),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
