/* The grammar of profiles, and which device is what is wanted, at the sizes of real cards. */
#include "divvy/mig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MIB (UINT64_C(1024) * 1024)

static void accepted(const char *text, uint32_t compute, uint32_t slices, uint32_t gigabytes, const char *attribute) {
    struct divvy_mig_profile profile;
    struct divvy_mig_error error = {0};

    if (divvy_mig_profile_parse(text, &profile, &error) != 0)
        fail_msg("%s: %s", text, error.text);
    assert_false(profile.is_custom);
    assert_int_equal(profile.compute_slices, compute);
    assert_int_equal(profile.gpu_slices, slices);
    assert_int_equal(profile.gigabytes, gigabytes);
    assert_string_equal(profile.attribute, attribute);
}

static void test_named(void **state) {
    (void)state;
    accepted("1g.5gb", 0, 1, 5, "");
    accepted("1g.10gb", 0, 1, 10, "");
    accepted("3g.40gb", 0, 3, 40, "");
    accepted("7g.141gb", 0, 7, 141, "");
    accepted("1g.10gb+me", 0, 1, 10, "+me");
    accepted("1g.10gb+gfx", 0, 1, 10, "+gfx");
    accepted("1g.24gb+me.all", 0, 1, 24, "+me.all");
    accepted("2g.48gb-me", 0, 2, 48, "-me");
    accepted("1c.3g.20gb", 1, 3, 20, "");
    accepted("  1G.10GB+ME\n", 0, 1, 10, "+me");
}

static void test_custom(void **state) {
    struct divvy_mig_profile profile;

    (void)state;
    assert_int_equal(divvy_mig_profile_parse("custom.8192", &profile, NULL), 0);
    assert_true(profile.is_custom);
    assert_int_equal(profile.custom_mib, 8192);
    assert_int_equal(divvy_mig_profile_parse(" Custom.0 ", &profile, NULL), 0);
    assert_int_equal(profile.custom_mib, 0);
    assert_int_equal(divvy_mig_profile_parse("custom.18446744073709551615", &profile, NULL), 0);
    assert_true(profile.custom_mib == UINT64_MAX);
}

static void test_refused(void **state) {
    static const char *const texts[] = {
        "",          " ",        "1g",        "1g.",         "1g.10",     "1g.10g",    "g.10gb",      "0g.10gb",   "1g.0gb",
        "01g.10gb",  "1g.010gb", "-1g.10gb",  "+1g.10gb",    "1 g.10gb",  "1g.10gb+",  "1g.10gb+x",   "1g.10gb+mex",
        "9z.1gb",    "custom",   "custom.",   "custom.x",    "custom.-1", "custom.1.", "custom.1.2",  "custom. 1",
        "1.5g.10gb", "0c.1g.5gb", "1c.g.5gb", "1g.10gb\x01", "1g.10gb 2", "1g.10gbb",  "custom.18446744073709551616",
        "4294967296g.1gb", "11111111111111111111111111111111111111111111111111111111111111111g.10gb",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct divvy_mig_profile profile = {.gpu_slices = 77};
        struct divvy_mig_error error = {0};

        if (divvy_mig_profile_parse(texts[i], &profile, &error) != -EINVAL)
            fail_msg("accepted: '%s'", texts[i]);
        assert_int_equal(error.status, -EINVAL);
        assert_int_equal(profile.gpu_slices, 77); /* untouched */
        if (strlen(texts[i]) > 1 && strlen(texts[i]) < 60 && !strchr(texts[i], 1))
            assert_non_null(strstr(error.text, texts[i]));
        assert_null(strpbrk(error.text, "\n\x01"));
    }
}

static struct divvy_mig_device device_of(const char *name, uint32_t mib, uint32_t slices, uint32_t compute) {
    struct divvy_mig_device device = {
        .is_mig = 1, .memory_bytes = mib * MIB, .gpu_slices = slices, .compute_slices = compute};

    divvy_mig_profile_guess(name, device.memory_bytes, device.profile);
    return device;
}

static int match(const char *wanted, struct divvy_mig_device device) {
    struct divvy_mig_profile profile;

    assert_int_equal(divvy_mig_profile_parse(wanted, &profile, NULL), 0);
    return divvy_mig_profile_matches(&profile, &device);
}

/* Names and sizes (MiB) that cards really have, with the profile that each is. */
static const struct {
    const char *name, *profile;
    uint32_t mib, slices;
} real[] = {
    {"NVIDIA A100-SXM4-40GB MIG 1g.5gb", "1g.5gb", 4864, 1},
    {"NVIDIA A100-SXM4-40GB MIG 1g.10gb", "1g.10gb", 9856, 1},
    {"NVIDIA A100-SXM4-40GB MIG 2g.10gb", "2g.10gb", 9856, 2},
    {"NVIDIA A100-SXM4-40GB MIG 3g.20gb", "3g.20gb", 20096, 3},
    {"NVIDIA A100-SXM4-40GB MIG 4g.20gb", "4g.20gb", 19968, 4},
    {"NVIDIA A100-SXM4-40GB MIG 7g.40gb", "7g.40gb", 40192, 7},
    {"NVIDIA A100-SXM4-80GB MIG 4g.40gb", "4g.40gb", 40192, 4},
    {"NVIDIA H100 80GB HBM3 MIG 1g.10gb", "1g.10gb", 9984, 1},
    {"NVIDIA H100 80GB HBM3 MIG 1g.10gb+me", "1g.10gb+me", 9984, 1},
    {"NVIDIA H100 80GB HBM3 MIG 1g.20gb", "1g.20gb", 20096, 1},
    {"NVIDIA H100 80GB HBM3 MIG 2g.20gb", "2g.20gb", 20096, 2},
    {"NVIDIA H100 80GB HBM3 MIG 3g.40gb", "3g.40gb", 40448, 3},
    {"NVIDIA H100 80GB HBM3 MIG 7g.80gb", "7g.80gb", 81152, 7},
    {"NVIDIA H200 MIG 1g.18gb", "1g.18gb", 16384, 1},
    {"NVIDIA H200 MIG 2g.35gb", "2g.35gb", 33280, 2},
    {"NVIDIA H200 MIG 3g.71gb", "3g.71gb", 71424, 3},
    {"NVIDIA H200 MIG 7g.141gb", "7g.141gb", 143360, 7},
    {"NVIDIA H200 MIG 1c.3g.71gb", "1c.3g.71gb", 71424, 3},
};
#define REAL (sizeof real / sizeof real[0])

static void test_real_names(void **state) {
    (void)state;
    for (size_t i = 0; i < REAL; i++)
        for (size_t k = 0; k < REAL; k++) {
            struct divvy_mig_device device = device_of(real[k].name, real[k].mib, real[k].slices, real[k].slices);
            int wanted = strcmp(real[i].profile, real[k].profile) == 0 ? DIVVY_MIG_MATCH_BY_NAME : DIVVY_MIG_NO_MATCH;

            assert_string_equal(device.profile, real[k].profile);
            if (match(real[i].profile, device) != wanted)
                fail_msg("%s and %s", real[i].profile, real[k].name);
        }
}

/* Without usable names: slices and the window of sizes, which keep profiles of equal slices apart. */
static void test_without_names(void **state) {
    (void)state;
    for (size_t i = 0; i < REAL; i++) {
        struct divvy_mig_device device = device_of(NULL, real[i].mib, real[i].slices, real[i].slices);

        if (strchr(real[i].profile, '+') || strchr(real[i].profile, 'c'))
            continue;
        if (match(real[i].profile, device) != DIVVY_MIG_MATCH_BY_SLICES)
            fail_msg("%s by slices", real[i].name);
        device.gpu_slices = device.compute_slices = 0;
        assert_int_equal(match(real[i].profile, device), DIVVY_MIG_MATCH_BY_SIZE);
    }
    assert_int_equal(match("1g.10gb", device_of(NULL, 4864, 1, 1)), DIVVY_MIG_NO_MATCH);
    assert_int_equal(match("1g.10gb", device_of(NULL, 20096, 1, 1)), DIVVY_MIG_NO_MATCH);
    assert_int_equal(match("2g.20gb", device_of(NULL, 20096, 1, 1)), DIVVY_MIG_NO_MATCH);
    assert_int_equal(match("1c.3g.40gb", device_of(NULL, 40448, 3, 1)), DIVVY_MIG_MATCH_BY_SLICES);
    assert_int_equal(match("1c.3g.40gb", device_of(NULL, 40448, 3, 3)), DIVVY_MIG_NO_MATCH);
    assert_int_equal(match("3g.40gb", device_of(NULL, 40448, 3, 1)), DIVVY_MIG_NO_MATCH);
    /* An attribute can only be known by name. */
    assert_int_equal(match("1g.10gb+me", device_of(NULL, 9984, 1, 1)), DIVVY_MIG_NO_MATCH);
    /* 85 % of the nominal size is in, a MiB less is out; so is a MiB more than all of it. */
    assert_int_equal(match("1g.10gb", device_of(NULL, 8704, 1, 1)), DIVVY_MIG_MATCH_BY_SLICES);
    assert_int_equal(match("1g.10gb", device_of(NULL, 8703, 1, 1)), DIVVY_MIG_NO_MATCH);
    assert_int_equal(match("1g.10gb", device_of(NULL, 10240, 1, 1)), DIVVY_MIG_MATCH_BY_SLICES);
    assert_int_equal(match("1g.10gb", device_of(NULL, 10241, 1, 1)), DIVVY_MIG_NO_MATCH);
}

static void test_other_matches(void **state) {
    struct divvy_mig_device whole = device_of("NVIDIA H200", 143771, 0, 0);

    (void)state;
    whole.is_mig = 0;
    assert_int_equal(match("custom.0", whole), DIVVY_MIG_NO_MATCH);
    assert_int_equal(match("7g.141gb", whole), DIVVY_MIG_NO_MATCH);
    assert_int_equal(match("custom.9984", device_of(NULL, 9984, 1, 1)), DIVVY_MIG_MATCH_BY_NAME);
    assert_int_equal(match("custom.9985", device_of(NULL, 9984, 1, 1)), DIVVY_MIG_NO_MATCH);
    assert_int_equal(match("custom.0", device_of(NULL, 0, 0, 0)), DIVVY_MIG_MATCH_BY_NAME);
    /* All compute slices named are the same as none named. */
    assert_int_equal(match("3c.3g.71gb", device_of("NVIDIA H200 MIG 3g.71gb", 71424, 3, 3)), DIVVY_MIG_MATCH_BY_NAME);
}

static void guessed(const char *name, uint64_t mib, const char *profile) {
    char text[DIVVY_MIG_PROFILE_BYTES];

    divvy_mig_profile_guess(name, mib * MIB, text);
    assert_string_equal(text, profile);
}

static void test_guess(void **state) {
    (void)state;
    guessed(NULL, 16384, "~16384 MB");
    guessed("", 4864, "~4864 MB");
    guessed("NVIDIA H200", 143771, "~143771 MB");
    guessed("NVIDIA MIG 1g.5gb of old MIG 2g.10gb", 1, "2g.10gb");
    guessed("NVIDIA A100 MIG nonsense", 40192, "~40192 MB");
    guessed("NVIDIA A100 MIG custom.5", 7, "~7 MB");
    guessed("NVIDIA A100 MIG 1G.5GB", 7, "1g.5gb");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_named),         cmocka_unit_test(test_custom),       cmocka_unit_test(test_refused),
        cmocka_unit_test(test_real_names),    cmocka_unit_test(test_without_names), cmocka_unit_test(test_other_matches),
        cmocka_unit_test(test_guess),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
