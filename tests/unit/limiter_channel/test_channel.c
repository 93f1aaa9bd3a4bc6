/* What the limiter makes of a hypervisor's answers, and of CUDA_VISIBLE_DEVICES. */
#include "limiter/channel/pod.h"
#include "limiter/channel/visible.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define UUID_2 "GPU-22222222-0000-0000-0000-000000000000"
#define UUID_3 "GPU-33333333-0000-0000-0000-000000000000"
#define UUID_5 "GPU-55555555-0000-0000-0000-000000000000"
#define UUID_7 "GPU-77777777-0000-0000-0000-000000000000"

static divvy_core_uuid_t uuid_of(const char *text) {
    divvy_core_uuid_t uuid;

    assert_int_equal(divvy_core_uuid_parse(text, strlen(text), &uuid, NULL), 0);
    return uuid;
}

static int pod_of(const char *text, struct divvy_pod *ret_pod, char *message) {
    return divvy_pod_parse(text, strlen(text), ret_pod, message);
}

static void pods(void **state) {
    static const char *const bad[] = {
        "", "[]", "{}", "ok", "{\"success\":1}", "{\"success\":true}", "{\"success\":true,\"data\":null}",
        "{\"success\":true,\"data\":{\"vram_limit\":-1}}", "{\"success\":true,\"data\":{\"vram_limit\":\"8Gi\"}}",
        "{\"success\":true,\"data\":{\"compute_permille\":1001}}", "{\"success\":true,\"data\":{\"gpu_uuids\":\"GPU\"}}",
        "{\"success\":true,\"data\":{\"gpu_uuids\":[1]}}",
    };
    char message[DIVVY_POD_MESSAGE_BYTES];
    struct divvy_pod pod;
    divvy_core_uuid_t two = uuid_of(UUID_2), three = uuid_of(UUID_3);
    int32_t pid;

    (void)state;
    /* As TensorFusion omits what is not set, and as vgpu.rs writes null. */
    assert_int_equal(pod_of("{\"success\":true,\"data\":{\"pod_name\":\"p\",\"namespace\":\"n\",\"gpu_uuids\":[\"" UUID_2
                            "\"],\"vram_limit\":8589934592,\"compute_permille\":300,\"compute_shard\":false},\"message\":\"m\"}",
                            &pod, message),
                     0);
    assert_true(pod.memory_bytes == UINT64_C(8589934592));
    assert_int_equal(pod.permille, 300);
    assert_true(divvy_pod_has(&pod, &two));
    assert_false(divvy_pod_has(&pod, &three));
    assert_int_equal(pod_of("{\"success\":true,\"data\":{\"gpu_uuids\":[],\"vram_limit\":null,\"tflops_limit\":12.5},\"message\":\"\"}",
                            &pod, message),
                     0);
    assert_int_equal(pod.memory_bytes, 0);
    assert_int_equal(pod.permille, 0);
    assert_true(pod.has_tflops);
    assert_true(divvy_pod_has(&pod, &three));
    assert_int_equal(pod_of("{\"success\":false,\"data\":null,\"message\":\"Pod p not found in namespace n\"}", &pod, message),
                     -ENOENT);
    assert_string_equal(message, "Pod p not found in namespace n");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        message[0] = '\0';
        assert_int_equal(pod_of(bad[i], &pod, message), -EINVAL);
        assert_true(message[0] != '\0');
    }
    assert_int_equal(divvy_pod_process_parse("{\"success\":true,\"data\":{\"host_pid\":77}}", 39, &pid, message), 0);
    assert_int_equal(pid, 77);
    assert_int_equal(divvy_pod_process_parse("{\"success\":true,\"data\":{\"host_pid\":0}}", 38, &pid, message), -EINVAL);
    assert_int_equal(divvy_pod_process_parse("{\"success\":true,\"data\":{}}", 26, &pid, message), -EINVAL);
}

static void remaps(void **state) {
    static const struct {
        const char *visible, *remapped;
        int status;
        const char *result;
    } cases[] = {
        {NULL, NULL, 0, "2,3,5"},
        {"", NULL, 0, "2,3,5"},
        {"  ", "3", 0, "2,3,5"},
        {"1", NULL, 0, "3"},
        {"  1  ", NULL, 0, "3"},
        {"0, 1, 2", NULL, 0, "2,3,5"},
        {"1,0", NULL, 0, "3,2"},
        {"3,2", "3,2", 1, NULL},
        {" 3,2 ", "3,2", 1, NULL},
        {"1", "3,2", 0, "3"},
        {"3", NULL, -ERANGE, NULL},
        {"10", NULL, -ERANGE, NULL},
        {"0,3", NULL, -ERANGE, NULL},
        {"99999999999999999999", NULL, -ERANGE, NULL},
        {"abc", NULL, -EINVAL, NULL},
        {"@#$", NULL, -EINVAL, NULL},
        {"1,,2", NULL, -EINVAL, NULL},
        {"1,", NULL, -EINVAL, NULL},
        {"-2", NULL, -EINVAL, NULL},
        {"-1", NULL, 0, "-1"},
        {"0,-1,1", NULL, 0, "2"},
        {"-1,abc", NULL, 0, "-1"},
        {UUID_3, NULL, 0, UUID_3},
        {"gpu-33333333", NULL, 0, "gpu-33333333"},
        {UUID_7, NULL, 0, "-1"},
        {UUID_7 "," UUID_5, NULL, 0, UUID_5},
        {"GPU-", NULL, 0, "-1"}, /* fits all of them */
        {"MIG-33333333-0000-0000-0000-000000000000", NULL, 0, "-1"},
    };
    struct divvy_visible_device devices[] = {{2, uuid_of(UUID_2)}, {3, uuid_of(UUID_3)}, {5, uuid_of(UUID_5)}};
    struct divvy_visible_device nameless[] = {{-1, uuid_of(UUID_2)}, {-1, uuid_of(UUID_5)}};
    char text[DIVVY_VISIBLE_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status = divvy_visible_remap(cases[i].visible, cases[i].remapped, devices, 3, text);

        if (status != cases[i].status || (status == 0 && strcmp(text, cases[i].result) != 0))
            fail_msg("'%s': %d '%s'", cases[i].visible ? cases[i].visible : "(unset)", status, status == 0 ? text : "");
    }
    assert_int_equal(divvy_visible_remap("0", NULL, NULL, 0, text), -ERANGE);
    assert_int_equal(divvy_visible_remap(NULL, NULL, NULL, 0, text), 1);
    assert_int_equal(divvy_visible_remap("1,0", NULL, nameless, 2, text), 0);
    assert_string_equal(text, UUID_5 "," UUID_2);
}

static void environment(void **state) {
    const char *kept;

    (void)state;
    assert_int_equal(setenv("CUDA_VISIBLE_DEVICES", "1", 1), 0);
    assert_int_equal(setenv("KEPT", "as it is", 1), 0);
    kept = getenv("KEPT");
    for (int round = 0; round < 3; round++) {
        assert_int_equal(divvy_visible_set(round == 2 ? "-1" : "3,2"), 0);
        assert_string_equal(getenv("CUDA_VISIBLE_DEVICES"), round == 2 ? "-1" : "3,2");
        assert_string_equal(getenv("NVIDIA_VISIBLE_DEVICES"), round == 2 ? "-1" : "3,2");
        assert_string_equal(getenv("TF_REMAPPED"), round == 2 ? "-1" : "3,2");
        assert_string_equal(getenv("CUDA_DEVICE_ORDER"), "PCI_BUS_ID");
        assert_ptr_equal(getenv("KEPT"), kept);
    }
    /* The C library goes on from there. */
    assert_int_equal(setenv("KEPT", "changed", 1), 0);
    assert_string_equal(getenv("KEPT"), "changed");
    assert_string_equal(getenv("TF_REMAPPED"), "-1");
    assert_int_equal(unsetenv("TF_REMAPPED"), 0);
    assert_null(getenv("TF_REMAPPED"));
    assert_int_equal(clearenv(), 0);
    assert_int_equal(divvy_visible_set("0"), 0);
    assert_string_equal(getenv("TF_REMAPPED"), "0");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(pods), cmocka_unit_test(remaps), cmocka_unit_test(environment)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
