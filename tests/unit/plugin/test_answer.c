/* Answers of the plugin that a kubelet in a test cannot provoke, and who holds what by the kubelet's own list. */
#include "plugin/answer.h"
#include "plugin/device_plugin.pb-c.h"
#include "plugin/holders.h"
#include "plugin/links.h"
#include "plugin/pod_resources.pb-c.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct divvy_node_device devices[2];
static char folder[] = "/tmp/divvy-answer-XXXXXX";

static bool fails_open;

static struct divvy_plugin_node node_of(const char *device_root) {
    return (struct divvy_plugin_node){
        .devices = devices, .device_count = 2, .slots = 2, .device_root = device_root, .library_dir = "/lib", .preload_file = "", .slots_dir = "/slots", .fails_open = fails_open};
}

static void devices_set(void) {
    devices[0] = (struct divvy_node_device){.index = 1, .minor = 5, .uuid_text = "GPU-a", .healthy = true, .numa_node = 1};
    devices[1] = (struct divvy_node_device){.index = 0, .minor = 6, .uuid_text = "GPU-b", .healthy = true, .numa_node = -1};
}

static void file_make(const char *name) {
    char path[128];
    int fd;

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
}

static void file_remove(const char *name) {
    char path[128];

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    (void)unlink(path);
}

static int allocate(const char *const *ids, size_t count, V1beta1__AllocateResponse **ret_response, struct divvy_error *error) {
    V1beta1__ContainerAllocateRequest container = V1BETA1__CONTAINER_ALLOCATE_REQUEST__INIT, *containers[] = {&container};
    V1beta1__AllocateRequest request = V1BETA1__ALLOCATE_REQUEST__INIT;
    struct divvy_plugin_node node = node_of(folder);
    uint8_t bytes[4096], *answer = NULL;
    size_t length, answer_length;
    int status;

    container.devices_ids = (char **)ids;
    container.n_devices_ids = count;
    request.container_requests = containers;
    request.n_container_requests = 1;
    length = protobuf_c_message_pack(&request.base, bytes);
    status = divvy_plugin_answer_allocate(&node, bytes, length, &answer, &answer_length, error);
    if (status == 0)
        *ret_response = v1beta1__allocate_response__unpack(NULL, answer_length, answer);
    free(answer);
    return status;
}

/* A real device without its file, or without the driver's, is an error; what is not asked for is not given. */
static void device_files(void **state) {
    static const char *const one[] = {"GPU-a::1"}, *const both[] = {"GPU-b::0", "GPU-a::0"};
    V1beta1__AllocateResponse *response = NULL;
    struct divvy_error error = {0, ""};

    (void)state;
    devices_set();
    assert_int_equal(allocate(one, 1, &response, &error), -ENOENT);
    assert_non_null(strstr(error.text, "nvidia5 is missing"));
    file_make("nvidia5");
    assert_int_equal(allocate(one, 1, &response, &error), -ENOENT);
    assert_non_null(strstr(error.text, "nvidiactl is missing"));
    file_make("nvidiactl");
    file_make("nvidia6");
    assert_int_equal(allocate(one, 1, &response, &error), 0);
    assert_int_equal(response->container_responses[0]->n_devices, 2);
    assert_string_equal(response->container_responses[0]->devices[0]->container_path, "/dev/nvidia5");
    assert_string_equal(response->container_responses[0]->devices[1]->container_path, "/dev/nvidiactl");
    assert_string_equal(response->container_responses[0]->mounts[1]->host_path, "/slots/GPU-a-1");
    assert_int_equal(response->container_responses[0]->n_envs, 3);
    v1beta1__allocate_response__free_unpacked(response, NULL);
    fails_open = true;
    assert_int_equal(allocate(one, 1, &response, &error), 0);
    fails_open = false;
    assert_int_equal(response->container_responses[0]->n_envs, 4);
    assert_string_equal(response->container_responses[0]->envs[3]->key, "DIVVY_FAIL_POLICY");
    assert_string_equal(response->container_responses[0]->envs[3]->value, "open");
    v1beta1__allocate_response__free_unpacked(response, NULL);
    assert_int_equal(allocate(both, 2, &response, &error), 0);
    assert_string_equal(response->container_responses[0]->envs[0]->value, "GPU-b,GPU-a");
    assert_int_equal(response->container_responses[0]->n_devices, 3);
    v1beta1__allocate_response__free_unpacked(response, NULL);
    devices[0].minor = -1;
    assert_int_equal(allocate(one, 1, &response, &error), -ENOENT);
    devices[1].healthy = false;
    assert_int_equal(allocate(both, 2, &response, &error), -ENODEV);
    assert_non_null(strstr(error.text, "GPU-b is lost"));
    file_remove("nvidia5");
    file_remove("nvidia6");
    file_remove("nvidiactl");
}

static void list(void **state) {
    struct divvy_plugin_node node = node_of("/dev");
    V1beta1__ListAndWatchResponse *response;
    uint8_t *bytes;
    size_t length;

    (void)state;
    devices_set();
    devices[1].healthy = false;
    assert_int_equal(divvy_plugin_answer_list(&node, &bytes, &length), 0);
    response = v1beta1__list_and_watch_response__unpack(NULL, length, bytes);
    free(bytes);
    assert_int_equal(response->n_devices, 4);
    assert_string_equal(response->devices[1]->id, "GPU-a::1");
    assert_string_equal(response->devices[1]->health, "Healthy");
    assert_int_equal(response->devices[1]->topology->nodes[0]->id, 1);
    assert_string_equal(response->devices[2]->health, "Unhealthy");
    assert_null(response->devices[2]->topology);
    v1beta1__list_and_watch_response__free_unpacked(response, NULL);
    node.device_count = 0;
    assert_int_equal(divvy_plugin_answer_list(&node, &bytes, &length), 0);
    assert_int_equal(length, 0);
    free(bytes);
}

/* --- who holds what ------------------------------------------------------------------------------------------------------- */

struct row {
    const char *namespace, *pod, *container, *resource;
    const char *ids[3];
};

static int holders_of(const struct row *rows, size_t count, struct divvy_plugin_holders *ret_holders) {
    V1__ListPodResourcesResponse message = V1__LIST_POD_RESOURCES_RESPONSE__INIT;
    V1__PodResources pods[8], *pod_list[8];
    V1__ContainerResources containers[8], *container_lists[8][1];
    V1__ContainerDevices held[8], *held_lists[8][1];
    uint8_t bytes[4096];

    for (size_t i = 0; i < count; i++) {
        v1__pod_resources__init(&pods[i]);
        v1__container_resources__init(&containers[i]);
        v1__container_devices__init(&held[i]);
        pods[i].namespace_ = (char *)rows[i].namespace;
        pods[i].name = (char *)rows[i].pod;
        containers[i].name = (char *)rows[i].container;
        held[i].resource_name = (char *)rows[i].resource;
        held[i].device_ids = (char **)rows[i].ids;
        while (held[i].n_device_ids < 3 && rows[i].ids[held[i].n_device_ids])
            held[i].n_device_ids++;
        held_lists[i][0] = &held[i];
        containers[i].devices = held_lists[i];
        containers[i].n_devices = 1;
        container_lists[i][0] = &containers[i];
        pods[i].containers = container_lists[i];
        pods[i].n_containers = 1;
        pod_list[i] = &pods[i];
    }
    message.pod_resources = pod_list;
    message.n_pod_resources = count;
    assert_true(protobuf_c_message_get_packed_size(&message.base) <= sizeof bytes);
    return divvy_plugin_holders_parse(bytes, protobuf_c_message_pack(&message.base, bytes), "divvy.io/gpu", devices, 2, 2, ret_holders);
}

static void holders(void **state) {
    static const struct row rows[] = {
        {"prod", "web-0", "main", "nvidia.com/gpu", {"GPU-a::0"}},
        {"prod", "init", "first", "divvy.io/gpu", {"GPU-b::0", "GPU-a::1", NULL}},
        {"prod", "web-1", "main", "divvy.io/gpu", {"GPU-b::1"}},
        {"prod", "odd", "main", "divvy.io/gpu", {"GPU-z::1"}},
        {"..", "odd", "main", "divvy.io/gpu", {"GPU-a::0"}},
        {"prod", "a/b", "main", "divvy.io/gpu", {"GPU-a::0"}},
        {"prod", "odd", "", "divvy.io/gpu", {"GPU-a::0"}},
    };
    struct divvy_plugin_slot slot = {1, 1}, both[] = {{0, 1}, {1, 0}}, part = {0, 1}, none = {0, 0};
    struct divvy_plugin_holders found;

    (void)state;
    devices_set();
    assert_int_equal(holders_of(rows, 7, &found), 0);
    assert_int_equal(found.count, 2);
    assert_int_equal(found.odd, 4);
    assert_string_equal(divvy_plugin_holders_find(&found, &slot, 1)->pod, "web-1");
    assert_string_equal(divvy_plugin_holders_find(&found, both, 2)->container, "first");
    assert_string_equal(divvy_plugin_holders_find(&found, &part, 1)->container, "first");
    assert_null(divvy_plugin_holders_find(&found, &none, 1));
    assert_true(divvy_plugin_holders_has(&found, &part));
    assert_false(divvy_plugin_holders_has(&found, &none));
    divvy_plugin_holders_done(&found);
    assert_int_equal(holders_of(rows, 0, &found), 0);
    assert_int_equal(found.count, 0);
    divvy_plugin_holders_done(&found);
    assert_int_equal(divvy_plugin_holders_parse((const uint8_t *)"\xff\xff", 2, "divvy.io/gpu", devices, 2, 2, &found), -EPROTO);
}

/* Who holds exactly these goes before who holds them and more, whatever the order. */
static void holders_exact(void **state) {
    static const struct row rows[] = {{"prod", "web", "first", "divvy.io/gpu", {"GPU-a::0", "GPU-a::1", NULL}},
                                      {"prod", "web", "main", "divvy.io/gpu", {"GPU-a::0"}}};
    static const struct row turned[] = {{"prod", "web", "main", "divvy.io/gpu", {"GPU-a::0"}},
                                        {"prod", "web", "first", "divvy.io/gpu", {"GPU-a::0", "GPU-a::1", NULL}}};
    struct divvy_plugin_slot slot = {0, 0};
    struct divvy_plugin_holders found;

    (void)state;
    devices_set();
    assert_int_equal(holders_of(rows, 2, &found), 0);
    assert_string_equal(divvy_plugin_holders_find(&found, &slot, 1)->container, "main");
    divvy_plugin_holders_done(&found);
    assert_int_equal(holders_of(turned, 2, &found), 0);
    assert_string_equal(divvy_plugin_holders_find(&found, &slot, 1)->container, "main");
    divvy_plugin_holders_done(&found);
}

static void links(void **state) {
    struct divvy_error error = {0, ""};
    char path[128], target[16];
    int fd;

    (void)state;
    (void)snprintf(path, sizeof path, "%s/slots", folder);
    fd = divvy_plugin_links_open(path, &error);
    assert_true(fd >= 0);
    assert_int_equal(divvy_plugin_link_read(fd, "GPU-a-0", target, sizeof target), -ENOENT);
    assert_int_equal(divvy_plugin_link_set(fd, "GPU-a-0", "/one"), 0);
    assert_int_equal(divvy_plugin_link_set(fd, "GPU-a-0", "/two"), 0);
    assert_int_equal(divvy_plugin_link_read(fd, "GPU-a-0", target, sizeof target), 0);
    assert_string_equal(target, "/two");
    assert_int_equal(divvy_plugin_link_set(fd, "GPU-a-0", "/a/longer/path/than/there/is/room/for"), 0);
    assert_int_equal(divvy_plugin_link_read(fd, "GPU-a-0", target, sizeof target), -ENAMETOOLONG);
    /* A runtime that came too early has made a folder. */
    assert_int_equal(mkdirat(fd, "GPU-a-1", 0755), 0);
    assert_int_equal(divvy_plugin_link_read(fd, "GPU-a-1", target, sizeof target), -EINVAL);
    assert_int_equal(divvy_plugin_link_set(fd, "GPU-a-1", "/two"), 0);
    assert_int_equal(mkdirat(fd, "GPU-b-0", 0755), 0);
    assert_int_equal(mkdirat(fd, "GPU-b-0/full", 0755), 0);
    assert_true(divvy_plugin_link_set(fd, "GPU-b-0", "/two") < 0);
    assert_int_equal(unlinkat(fd, "GPU-b-0/full", AT_REMOVEDIR), 0);
    assert_int_equal(unlinkat(fd, "GPU-b-0", AT_REMOVEDIR), 0);
    divvy_plugin_link_remove(fd, "GPU-a-0");
    divvy_plugin_link_remove(fd, "GPU-a-1");
    (void)unlinkat(fd, ".fresh", 0);
    (void)close(fd);
    assert_int_equal(rmdir(path), 0);
}

static int folder_make(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int folder_remove(void **state) {
    (void)state;
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(device_files),  cmocka_unit_test(list),  cmocka_unit_test(holders),
        cmocka_unit_test(holders_exact), cmocka_unit_test(links),
    };

    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
