/* Pods: annotations of every wrong kind, names with path tricks, quantities, cgroups, and what becomes of them among devices. */
#include "kube/pod.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define UID "0f8e7d6c-1111-4222-8333-444455556666"
#define TF  "tensor-fusion.ai/"

static json_t *pod_json(const char *namespace, const char *name, const char *uid) {
    return json_pack("{s:s, s:s, s:{s:s, s:s, s:s, s:s, s:{}, s:{}}, s:{s:s, s:[{s:s}]}, s:{s:s}}", "apiVersion", "v1", "kind", "Pod",
                     "metadata", "namespace", namespace, "name", name, "uid", uid, "resourceVersion", "7", "annotations", "labels", "spec",
                     "nodeName", "node-a", "containers", "name", "main", "status", "phase", "Running");
}

static void annotate(json_t *pod, const char *key, const char *value) {
    assert_int_equal(json_object_set_new(json_object_get(json_object_get(pod, "metadata"), "annotations"), key, json_string(value)), 0);
}

static struct divvy_kube_pod read_with(const char *key, const char *value) {
    json_t *json = pod_json("default", "anna", UID);
    struct divvy_kube_pod pod;

    if (key)
        annotate(json, key, value);
    assert_int_equal(divvy_kube_pod_read(json, &pod), 0);
    json_decref(json);
    return pod;
}

static void test_plain(void **state) {
    struct divvy_kube_pod pod = read_with(NULL, NULL);
    json_t *json = pod_json("default", "anna", UID), *metadata = json_object_get(json, "metadata");

    (void)state;
    assert_false(pod.is_ours);
    assert_string_equal(pod.fault, "");
    assert_string_equal(pod.node, "node-a");
    assert_int_equal(json_object_set_new(metadata, "labels", json_pack("{s:s, s:s}", TF "component", "worker", TF "workload", "w1")), 0);
    annotate(json, TF "vram-limit", "8Gi");
    annotate(json, TF "compute-percent-limit", "30");
    annotate(json, TF "compute-percent-request", "12.5%");
    annotate(json, TF "qos", "High");
    annotate(json, TF "gpu-ids", "GPU-3430F778-7a25-704c-9090-8b0bb2478114, gpu-b");
    annotate(json, TF "inject-container", "main,side-car");
    annotate(json, TF "index", "128");
    annotate(json, TF "vram-request", "");
    annotate(json, TF "unknown", "\x01");
    assert_int_equal(divvy_kube_pod_read(json, &pod), 0);
    assert_string_equal(pod.fault, "");
    assert_true(pod.is_ours);
    assert_int_equal(pod.ask.memory_bytes, UINT64_C(8) << 30);
    assert_int_equal(pod.ask.compute_permille, 300);
    assert_int_equal(pod.ask.request_permille, 125);
    assert_int_equal(pod.ask.qos, DIVVY_NODE_QOS_HIGH);
    assert_int_equal(pod.ask.device_count, 2);
    assert_string_equal(pod.ask.devices[1], "gpu-b");
    assert_string_equal(pod.ask.labels, "{\"tensor-fusion.ai/component\":\"worker\",\"tensor-fusion.ai/workload\":\"w1\"}");
    annotate(json, "divvy.io/vram-limit", "4GiB");
    assert_int_equal(divvy_kube_pod_read(json, &pod), 0);
    assert_int_equal(pod.ask.memory_bytes, UINT64_C(4) << 30);
    assert_int_equal(json_object_set_new(json_object_get(json, "status"), "phase", json_string("Succeeded")), 0);
    assert_int_equal(divvy_kube_pod_read(json, &pod), 0);
    assert_true(pod.is_over);
    json_decref(json);
}

/* The device plugin's resource makes a pod ours without any annotation; users come from the security contexts. */
static void test_spec(void **state) {
    json_t *json = pod_json("default", "anna", UID), *spec = json_object_get(json, "spec");
    struct divvy_kube_pod pod;

    (void)state;
    assert_int_equal(json_object_set_new(spec, "containers", json_pack("[{s:s}, {s:s, s:{s:{s:s}}}]", "name", "a", "name", "b", "resources",
                                                                       "limits", "divvy.io/gpu", "1")), 0);
    assert_int_equal(json_object_set_new(spec, "securityContext", json_pack("{s:i}", "runAsUser", 1000)), 0);
    assert_int_equal(divvy_kube_pod_read(json, &pod), 0);
    assert_true(pod.is_ours);
    assert_int_equal(pod.ask.owner_uid, 1000);
    assert_int_equal(json_object_set_new(json_array_get(json_object_get(spec, "containers"), 1), "securityContext",
                                         json_pack("{s:i}", "runAsUser", 2000)), 0);
    assert_int_equal(divvy_kube_pod_read(json, &pod), 0);
    assert_int_equal(pod.ask.owner_uid, 2000);
    assert_int_equal(json_object_set_new(spec, "containers", json_pack("[{s:{s:I}}]", "securityContext", "runAsUser", (json_int_t)-1)), 0);
    assert_int_equal(json_object_set_new(spec, "securityContext", json_pack("{s:s}", "runAsUser", "0")), 0);
    assert_int_equal(divvy_kube_pod_read(json, &pod), 0);
    assert_int_equal(pod.ask.owner_uid, 0);
    json_decref(json);
}

static void test_bad_annotations(void **state) {
    static const struct {
        const char *key, *value;
    } bad[] = {
        {"vram-limit", "500m"},   {"vram-limit", "8 Gi"},      {"vram-limit", "-8Gi"},   {"vram-limit", "8g"},
        {"vram-limit", "Gi"},     {"vram-limit", "8GGi"},      {"vram-limit", "1e99"},   {"vram-limit", "0x10"},
        {"vram-limit", "1.5"},    {"vram-limit", "16Ei"},      {"vram-limit", "8Gi\n"},  {"vram-limit", "١Gi"},
        {"vram-limit", "nan"},    {"vram-limit", "1e"},        {"vram-limit", "8,5Gi"},  {"vram-limit", "18446744073709551615"},
        {"vram-request", "x"},    {"tflops-limit", "fast"},    {"tflops-limit", "-1"},   {"tflops-request", "1k k"},
        {"tflops-limit", "inf"},  {"compute-percent-limit", "101"}, {"compute-percent-limit", "30 %"}, {"compute-percent-limit", "%"},
        {"compute-percent-limit", "0.01"}, {"compute-percent-request", "30%%"}, {"qos", "urgent"}, {"qos", "low "},
        {"isolation", "sfot"},    {"isolation", "partitioned"}, {"isolation", "shard"},  {"gpu-ids", ","},
        {"gpu-ids", "GPU-a,GPU-A"}, {"gpu-ids", "../../etc"},  {"gpu-ids", "GPU-a,"},
        {"gpu-ids", "GPU-0123456789012345678901234567890123456789012345678901234567890"}, {"container-gpus", "GPU-a"},
        {"container-gpus", "[]"}, {"container-gpus", "{\"main\":\"GPU-a\"}"}, {"container-gpus", "{\"../x\":[\"GPU-a\"]}"},
        {"container-gpus", "{\"main\":[1]}"}, {"container-gpus", "{\"main\":[\"GPU-a\"],\"main\":[]}"},
        {"container-gpus", "{\"main\":[\"a\\u0000b\"]}"}, {"inject-container", "Main"}, {"inject-container", "a,,b"},
        {"inject-container", "../a"}, {"index", "0"}, {"index", "129"}, {"index", "-1"}, {"index", "1 "},
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        static const char *const prefixes[] = {"divvy.io/", TF};

        for (size_t k = 0; k < 2; k++) {
            char key[64];
            struct divvy_kube_pod pod;

            (void)snprintf(key, sizeof key, "%s%s", prefixes[k], bad[i].key);
            pod = read_with(key, bad[i].value);
            if (!strstr(pod.fault, bad[i].key))
                fail_msg("%s '%s': fault '%s'", key, bad[i].value, pod.fault);
            for (const char *at = pod.fault; *at; at++)
                assert_true(*at >= ' ' && *at <= '~');
        }
    }
}

static void test_odd_values(void **state) {
    json_t *json = pod_json("default", "anna", UID), *all = json_object_get(json_object_get(json, "metadata"), "annotations");
    struct divvy_kube_pod pod;
    char *large = calloc(1, 2 * DIVVY_KUBE_VALUE_BYTES);

    (void)state;
    assert_int_equal(json_object_set_new(all, TF "vram-limit", json_integer(8)), 0);
    assert_int_equal(divvy_kube_pod_read(json, &pod), 0);
    assert_true(pod.is_ours && pod.fault[0]);
    memset(large, '9', 2 * DIVVY_KUBE_VALUE_BYTES - 1);
    annotate(json, TF "vram-limit", large);
    assert_int_equal(divvy_kube_pod_read(json, &pod), 0);
    assert_true(pod.fault[0]);
    assert_int_equal(json_object_clear(all), 0);
    large[0] = '\0';
    for (int i = 0; i < 17; i++)
        (void)snprintf(large + strlen(large), 16, "%sGPU-%d", i ? "," : "", i);
    annotate(json, TF "gpu-ids", large);
    assert_int_equal(divvy_kube_pod_read(json, &pod), 0);
    assert_non_null(strstr(pod.fault, "more than 16"));
    assert_int_equal(json_object_set_new(json_object_get(json, "metadata"), "annotations", json_string("no object")), 0);
    assert_int_equal(divvy_kube_pod_read(json, &pod), 0);
    assert_false(pod.is_ours);
    free(large);
    json_decref(json);
}

static void test_names(void **state) {
    static const char *const bad[] = {"..", ".", "../etc", "a/b", "a\\b", "", "A", "-a", "a-", "a..b", "a_b", "a b", "a\nb", "a+b", "\xc3\xa4", "%2e%2e"};
    struct divvy_kube_pod pod;
    json_t *json;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        json = pod_json("default", bad[i], UID);
        assert_int_equal(divvy_kube_pod_read(json, &pod), -EPROTO);
        json_decref(json);
        json = pod_json(bad[i], "anna", UID);
        assert_int_equal(divvy_kube_pod_read(json, &pod), -EPROTO);
        json_decref(json);
        if (strcmp(bad[i], "A") != 0 && strcmp(bad[i], "-a") != 0 && strcmp(bad[i], "a-") != 0) {
            json = pod_json("default", "anna", bad[i]);
            assert_int_equal(divvy_kube_pod_read(json, &pod), -EPROTO);
            json_decref(json);
        }
    }
    json = json_pack("{s:s, s:{}}", "kind", "Pod", "metadata");
    assert_int_equal(divvy_kube_pod_read(json, &pod), -EPROTO);
    json_decref(json);
    json = pod_json("default", "web-0.db", UID);
    assert_int_equal(json_object_set_new(json, "kind", json_string("Secret")), 0);
    assert_int_equal(divvy_kube_pod_read(json, &pod), -EPROTO);
    json_decref(json);
}

/* A name that the API server takes and the registry does not is the pod's fault, and told as one. */
static void test_long_name(void **state) {
    char name[200] = "";
    struct divvy_kube_pod pod;
    json_t *json;

    (void)state;
    memset(name, 'a', sizeof name - 1);
    json = pod_json("default", name, UID);
    annotate(json, TF "vram-limit", "1Gi");
    assert_int_equal(divvy_kube_pod_read(json, &pod), 0);
    assert_true(pod.is_ours);
    assert_non_null(strstr(pod.fault, "characters"));
    json_decref(json);
}

/* --- among devices ---------------------------------------------------------------------------------------------------- */

static const struct divvy_node_device first = {
    .uuid_text = "GPU-aaaaaaaa-0000-0000-0000-000000000000", .healthy = true, .memory_bytes = UINT64_C(80) << 30, .max_tflops = 100, .model = "A"};
static const struct divvy_node_device second = {
    .uuid_text = "GPU-bbbbbbbb-0000-0000-0000-000000000000", .healthy = true, .memory_bytes = UINT64_C(80) << 30, .model = "B"};
static const struct divvy_node_device *const devices[] = {&first, &second};

static int spec_of(const struct divvy_kube_pod *pod, struct divvy_node_spec *spec, char *why) {
    static const struct divvy_node_promise promises[] = {{.memory_bytes = 2}, {.memory_bytes = 1}};

    return divvy_kube_pod_spec(pod, devices, promises, 2, spec, why);
}

static void test_devices(void **state) {
    struct divvy_kube_pod pod = read_with(TF "tflops-limit", "12300m");
    struct divvy_node_spec spec;
    char why[DIVVY_NODE_TEXT_BYTES] = "";

    (void)state;
    /* the second has promised less, and what it can do is not known */
    assert_int_equal(spec_of(&pod, &spec, why), -EINVAL);
    assert_non_null(strstr(why, "TFLOPS"));
    (void)snprintf(pod.ask.devices[0], sizeof pod.ask.devices[0], "AAAAAAAA-0000-0000-0000-000000000000");
    pod.ask.device_count = 1;
    assert_int_equal(spec_of(&pod, &spec, why), 0);
    assert_string_equal(spec.id, "default/anna");
    assert_string_equal(spec.pod_uid, UID);
    assert_int_equal(spec.bindings[0].device, 0);
    assert_int_equal(spec.bindings[0].compute_permille, 130); /* 12.3 %, as others round */
    assert_true(spec.bindings[0].limit_bytes == DIVVY_NODE_MEMORY_NONE);
    pod.ask.is_shared = true;
    assert_int_equal(spec_of(&pod, &spec, why), 0);
    assert_int_equal(spec.bindings[0].compute_permille, DIVVY_NODE_PERMILLE_NONE);
    (void)snprintf(pod.ask.devices[0], sizeof pod.ask.devices[0], "GPU-cccc");
    assert_int_equal(spec_of(&pod, &spec, why), -ENODEV);
    pod = read_with(TF "container-gpus", "{\"a\":[\"GPU-BBBBBBBB-0000-0000-0000-000000000000\"],\"b\":[\"GPU-bbbbbbbb-0000-0000-0000-000000000000\"]}");
    assert_string_equal(pod.fault, "");
    assert_int_equal(spec_of(&pod, &spec, why), 0);
    assert_int_equal(spec.binding_count, 1);
    assert_int_equal(spec.bindings[0].device, 1);
    pod = read_with(TF "vram-limit", "8G");
    assert_int_equal(spec_of(&pod, &spec, why), 0);
    assert_int_equal(spec.bindings[0].device, 1);
    assert_int_equal(spec.bindings[0].limit_bytes, UINT64_C(8000000000));
    assert_int_equal(divvy_kube_pod_spec(&pod, devices, NULL, 0, &spec, why), -ENODEV);
}

static void test_cgroups(void **state) {
    static const struct {
        const char *text, *uid;
    } table[] = {
        {"0::/kubepods/burstable/pod" UID "/abc\n", UID},
        {"0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod0f8e7d6c_1111_4222_8333_444455556666.slice/cri-containerd-1.scope\n", UID},
        {"12:cpu,cpuacct:/kubepods/pod" UID "/x\n1:name=systemd:/kubepods/pod" UID "/x\n", UID},
        {"0::/\n4:memory:/kubepods/besteffort/pod" UID "/x", UID},
        {"0::/../../pod" UID "/x\n", UID},
        {"0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod0f8e7d6c_1111_4222_8333_444455556666.slice/y", UID},
        {"0::/kubepods/pod0123456789abcdef0123456789abcdef/x", "0123456789abcdef0123456789abcdef"},
        /* what a container makes below its own cgroup says nothing */
        {"0::/kubepods/pod" UID "/x/kubepods/podffffffff-1111-4222-8333-444455556666/y\n", UID},
        {"0::/user.slice/user-1000.slice/user@1000.service/kubepods-pod0f8e7d6c_1111_4222_8333_444455556666.slice\n", NULL},
        {"0::/system.slice/ssh.service\n", NULL},
        {"0::/kubepods/pod0f8e7d6c_1111_4222_8333_444455556666/x\n", NULL},
        {"0::/kubepods/podX8e7d6c-1111-4222-8333-444455556666/x\n", NULL},
        {"0::/kubepods/pod" UID "0/x\n", NULL},
        {"0::/prefix-pod" UID "\n", NULL},
        {"nonsense", NULL},
        {"", NULL},
        {":", NULL},
    };
    char uid[DIVVY_KUBE_UID_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        bool found = divvy_kube_cgroup_pod(table[i].text, strlen(table[i].text), uid);

        if (found != (table[i].uid != NULL) || (found && strcmp(uid, table[i].uid) != 0))
            fail_msg("%s: %s", table[i].text, found ? uid : "none");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),     cmocka_unit_test(test_spec),      cmocka_unit_test(test_bad_annotations),
        cmocka_unit_test(test_odd_values), cmocka_unit_test(test_names),     cmocka_unit_test(test_long_name),
        cmocka_unit_test(test_devices),   cmocka_unit_test(test_cgroups),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
