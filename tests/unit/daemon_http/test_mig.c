/* Allocation of MIG instances over HTTP, with a fake NVML: the locks are those of everybody else. */
#include "client.h"
#include "daemon/http/http.h"
#include "daemon/http/mig.h"
#include "fake_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[64], socket_path[96], locks[96];
static struct divvy_daemon *state;
static struct divvy_http *server;

static int setup(void **unused) {
    struct divvy_http_options options = {.socket_path = socket_path, .socket_mode = 0600, .socket_fd = -1};
    struct divvy_error error = {0};

    (void)unused;
    snprintf(folder, sizeof folder, "/tmp/divvy-http-mig-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(socket_path, sizeof socket_path, "%s/socket", folder);
    snprintf(locks, sizeof locks, "%s/locks", folder);
    options.mig_library = FAKE_NVML;
    options.mig_lock_dir = locks;
    setenv("FAKE_MIG", "H100:1g.10gb,-,2g.20gb,1g.10gb;H200:off", 1);
    state = fake_new();
    if (divvy_http_start(state, &options, &server, &error) != 0) {
        fprintf(stderr, "%s\n", error.text);
        return -1;
    }
    return 0;
}

static int teardown(void **unused) {
    char command[128];

    (void)unused;
    divvy_http_stop(server);
    fake_free(state);
    if (access(locks, F_OK) == 0 && rmdir(locks) != 0) /* nothing is left in it */
        return -1;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static struct client_answer ask(const char *method, const char *url, const char *body, int status) {
    struct client_answer answer = client_ask(socket_path, method, url, NULL, body);

    if (answer.status != status)
        fail_msg("%s %s: %d instead of %d: %s", method, url, answer.status, status, answer.text);
    return answer;
}

static void asked(const char *method, const char *url, const char *body, int status, const char *words) {
    struct client_answer answer = ask(method, url, body, status);

    if (words && !strstr(answer.body, words))
        fail_msg("%s %s: no '%s' in %s", method, url, words, answer.body);
    client_answer_free(&answer);
}

static size_t available(void) {
    struct client_answer answer = ask("GET", "/api/v1/gpu/devices/available", NULL, 200);
    size_t count = json_array_size(answer.json);

    client_answer_free(&answer);
    return count;
}

#define ALLOCATE(workload, profile) "{\"workload_id\": \"" workload "\", \"profile\": {\"id\": \"" profile "\"}}"

static void a_life(void **unused) {
    struct client_answer answer;
    struct divvy_mig_holder holder;
    char uuid[DIVVY_MIG_UUID_BYTES];

    (void)unused;
    asked("GET", "/api/v1/health", NULL, 200, "\"mig-api\"");
    assert_int_equal(available(), 3);
    answer = ask("POST", "/api/v1/gpu/allocate", ALLOCATE("train", "1g.10gb"), 200);
    assert_true(json_is_true(json_object_get(answer.json, "success")));
    snprintf(uuid, sizeof uuid, "%s",
             json_string_value(json_object_get(json_object_get(answer.json, "allocation"), "device_uuid")));
    client_answer_free(&answer);
    assert_int_equal(strncmp(uuid, "MIG-", 4), 0);
    /* The same lock that runners have. */
    assert_int_equal(divvy_mig_holder(locks, uuid, 0, &holder, NULL), 0);
    assert_int_equal(holder.state, DIVVY_MIG_HELD);
    assert_int_equal(holder.pid, getpid());
    assert_int_equal(available(), 2);
    asked("POST", "/api/v1/gpu/allocate", ALLOCATE("train", "1g.10gb"), 409, "\"success\":false");
    asked("GET", "/api/v1/gpu/allocation/train", NULL, 200, uuid);
    asked("GET", "/api/v1/gpu/allocations", NULL, 200, "\"train\":{");
    answer = ask("GET", "/api/v1/gpu/devices/status", NULL, 200);
    assert_int_equal(json_array_size(json_object_get(answer.json, "devices")), 5);
    assert_int_equal(json_object_size(json_object_get(answer.json, "allocations")), 1);
    assert_int_equal(json_object_size(json_object_get(answer.json, "utilization")), 1); /* of the GPU without MIG */
    client_answer_free(&answer);
    asked("GET", "/metrics", NULL, 200, "\ndivvy_mig_allocations 1\n");
    asked("DELETE", "/api/v1/gpu/deallocate/train", NULL, 200, "workload train");
    asked("DELETE", "/api/v1/gpu/deallocate/train", NULL, 404, NULL);
    asked("GET", "/api/v1/gpu/allocation/train", NULL, 404, NULL);
    assert_int_equal(available(), 3);
    assert_int_equal(divvy_mig_holder(locks, uuid, 0, &holder, NULL), 0);
    assert_int_equal(holder.state, DIVVY_MIG_FREE);
}

static void until_there_is_none(void **unused) {
    (void)unused;
    asked("POST", "/api/v1/gpu/allocate", ALLOCATE("a", "1g.10gb"), 200, NULL);
    asked("POST", "/api/v1/gpu/allocate", ALLOCATE("b", "1g.10gb"), 200, NULL);
    asked("POST", "/api/v1/gpu/allocate", ALLOCATE("c", "1g.10gb"), 500, "are taken");
    asked("POST", "/api/v1/gpu/allocate", ALLOCATE("c", "7g.80gb"), 500, "1g.10gb, 2g.20gb");
    asked("POST", "/api/v1/gpu/allocate", "{\"workload_id\": \"c\", \"profile\": {\"memory_gb\": 12}}", 200, "2g.20gb");
    asked("POST", "/api/v1/gpu/allocate", "{\"workload_id\": \"d\", \"profile\": {\"memory_gb\": 1}}", 500, "taken");
    assert_int_equal(available(), 0);
    asked("GET", "/api/v1/gpu/allocation/d", NULL, 404, NULL); /* a failure keeps no place */
    asked("DELETE", "/api/v1/gpu/deallocate/b", NULL, 200, NULL);
    asked("POST", "/api/v1/gpu/allocate", ALLOCATE("d", "1g.10gb"), 200, NULL);
    for (const char *id = "acd"; *id; id++) {
        char url[64];

        snprintf(url, sizeof url, "/api/v1/gpu/deallocate/%c", *id);
        asked("DELETE", url, NULL, 200, NULL);
    }
    assert_int_equal(available(), 3);
}

static void bad_bodies(void **unused) {
    static const char *const bodies[][2] = {
        {"{\"profile\": {\"id\": \"1g.10gb\"}}", "workload_id"},
        {"{\"workload_id\": 7, \"profile\": {\"id\": \"1g.10gb\"}}", "workload_id"},
        {"{\"workload_id\": \"\", \"profile\": {\"id\": \"1g.10gb\"}}", "workload_id"},
        {"{\"workload_id\": \"w\"}", "profile"},
        {"{\"workload_id\": \"w\", \"profile\": \"1g.10gb\"}", "profile"},
        {"{\"workload_id\": \"w\", \"profile\": {}}", "profile.id"},
        {"{\"workload_id\": \"w\", \"profile\": {\"id\": \"9z.1gb\"}}", "9z.1gb"},
        {"{\"workload_id\": \"w\", \"profile\": {\"id\": \"1g.10gb\", \"compute_util\": 101}}", "compute_util"},
        {"{\"workload_id\": \"w\", \"profile\": {\"id\": \"1g.10gb\"}, \"timeout\": -1}", "timeout"},
        {"{\"workload_id\": \"w\", \"profile\": {\"id\": \"1g.10gb\"}, \"other\": 1}", "other"},
        {"{\"workload_id\": \"w\", ", ""},
        {"[]", ""},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
        asked("POST", "/api/v1/gpu/allocate", bodies[i][0], 400, bodies[i][1]);
    assert_int_equal(available(), 3);
}

static void it_expires(void **unused) {
    (void)unused;
    asked("POST", "/api/v1/gpu/allocate",
          "{\"workload_id\": \"short\", \"profile\": {\"id\": \"2g.20gb\"}, \"timeout\": 1}", 200, NULL);
    assert_int_equal(available(), 2);
    for (int tries = 0; tries < 1000 && available() != 3; tries++)
        usleep(10000);
    assert_int_equal(available(), 3);
    asked("GET", "/api/v1/gpu/allocation/short", NULL, 404, NULL);
}

/* Whose an allocation is: by the library under the routes, since all of this test is one user. */
static void others_keep_theirs(void **unused) {
    const struct divvy_http_mig_wish wish = {
        .workload = "theirs", .profile = "custom.0", .timeout_ns = INT64_C(60000000000), .uid = 4711};
    struct divvy_http_mig_allocation allocation;
    struct divvy_mig_error error = {0};
    struct divvy_http_mig *mig = NULL;

    (void)unused;
    assert_int_equal(divvy_http_mig_start(FAKE_NVML, locks, NULL, &mig, NULL), 0);
    assert_int_equal(divvy_http_mig_allocate(mig, &wish, &allocation, &error), 0);
    assert_int_equal(divvy_http_mig_allocate(mig, &wish, &allocation, &error), -EEXIST);
    assert_int_equal(divvy_http_mig_deallocate(mig, "theirs", 4712, false), -EPERM);
    assert_int_equal(divvy_http_mig_deallocate(mig, "nobody's", 4711, true), -ENOENT);
    assert_int_equal(divvy_http_mig_deallocate(mig, "theirs", 4711, false), 0);
    assert_int_equal(divvy_http_mig_allocate(mig, &wish, &allocation, &error), 0);
    assert_int_equal(divvy_http_mig_deallocate(mig, "theirs", 0, true), 0);
    assert_int_equal(divvy_http_mig_allocate(mig, &wish, &allocation, &error), 0);
    divvy_http_mig_stop(mig); /* gives it back */
    assert_int_equal(available(), 3);
}

static void in_metrics(void **unused) {
    struct client_answer answer;
    int tries;

    (void)unused;
    asked("POST", "/api/v1/gpu/allocate", ALLOCATE("m", "2g.20gb"), 200, NULL);
    for (tries = 0; tries < 1000; tries++) { /* until the devices were looked at once */
        answer = ask("GET", "/metrics", NULL, 200);
        if (strstr(answer.body, "divvy_mig_reserved{"))
            break;
        client_answer_free(&answer);
        usleep(10000);
    }
    assert_true(tries < 1000);
    assert_non_null(strstr(answer.body,
                           "divvy_mig_reserved{mig_uuid=\"MIG-b0000002-0000-5555-6666-777777777777\",gpu=\"GPU-a0000000-1111-"
                           "2222-3333-444444444444\",index=\"0\",profile=\"2g.20gb\"} 1\n"));
    assert_non_null(strstr(answer.body, "profile=\"1g.10gb\"} 0\n"));
    assert_non_null(strstr(answer.body, "divvy_mig_reserved_since_timestamp_seconds{mig_uuid=\"MIG-b0000002"));
    assert_null(strstr(answer.body, "divvy_mig_reserved{mig_uuid=\"GPU-"));
    client_answer_free(&answer);
    asked("DELETE", "/api/v1/gpu/deallocate/m", NULL, 200, NULL);
}

static struct divvy_http_mig *kept_start(const char *kept) {
    struct divvy_http_mig *mig = NULL;
    struct divvy_error error = {0};

    if (divvy_http_mig_start(FAKE_NVML, locks, kept, &mig, &error) != 0)
        fail_msg("%s", error.text);
    return mig;
}

/* Whether the workload has its instance (again), within ten seconds. */
static int found(struct divvy_http_mig *mig, const char *workload, struct divvy_http_mig_allocation *ret_allocation) {
    int status = -ENOENT;

    for (int tries = 0; tries < 1000 && status < 0; tries++) {
        status = divvy_http_mig_find(mig, workload, ret_allocation);
        if (status < 0)
            usleep(10000);
    }
    return status;
}

/* A daemon that starts anew has what the one before had; what somebody took meanwhile is theirs. */
static void after_a_restart(void **unused) {
    struct divvy_http_mig_wish wish = {.workload = "stays", .profile = "2g.20gb", .timeout_ns = INT64_C(60000000000), .uid = 4711};
    struct divvy_http_mig_allocation before, after, short_one;
    struct divvy_mig_options options = DIVVY_MIG_OPTIONS_INIT;
    struct divvy_mig_reservation *reservation = NULL;
    struct divvy_mig_profile any;
    struct divvy_mig_error error = {0};
    struct divvy_mig *nvml = NULL;
    struct divvy_http_mig *mig;
    char kept[128], command[256];
    FILE *file;

    (void)unused;
    (void)snprintf(kept, sizeof kept, "%s/kept.json", folder);
    mig = kept_start(kept);
    assert_int_equal(divvy_http_mig_allocate(mig, &wish, &before, &error), 0);
    wish.workload = "short";
    wish.profile = "1g.10gb";
    wish.timeout_ns = 1;
    assert_int_equal(divvy_http_mig_allocate(mig, &wish, &short_one, &error), 0);
    divvy_http_mig_stop(mig);
    mig = kept_start(kept);
    assert_int_equal(found(mig, "stays", &after), 0);
    assert_string_equal(after.device.uuid, before.device.uuid);
    assert_string_equal(after.device.profile, "2g.20gb");
    assert_int_equal(after.expires_ns, before.expires_ns);
    assert_int_equal(after.uid, 4711);
    assert_int_equal(divvy_http_mig_find(mig, "short", &after), -ENOENT);
    assert_int_equal(available(), 2);
    divvy_http_mig_stop(mig);

    options.lock_dir = locks;
    options.uuid = before.device.uuid;
    assert_int_equal(divvy_mig_open(FAKE_NVML, &nvml, &error), 0);
    assert_int_equal(divvy_mig_profile_parse("custom.0", &any, &error), 0);
    assert_int_equal(divvy_mig_reserve(nvml, &any, &options, &reservation, &error), 0);
    mig = kept_start(kept);
    wish.workload = "stays";
    for (int tries = 0; tries < 1000 && divvy_http_mig_allocate(mig, &wish, &after, &error) == -EEXIST; tries++)
        usleep(10000); /* until it is forgotten */
    assert_int_equal(found(mig, "stays", &after), 0);
    assert_string_not_equal(after.device.uuid, before.device.uuid);
    divvy_http_mig_stop(mig);
    assert_int_equal(divvy_mig_release(reservation, &error), 0);
    divvy_mig_close(nvml);

    file = fopen(kept, "w");
    assert_non_null(file);
    (void)fputs("{\"allocations\": [{\"workload_id\": 5}]}", file);
    (void)fclose(file);
    mig = kept_start(kept);
    assert_int_equal(divvy_http_mig_find(mig, "stays", &after), -ENOENT);
    divvy_http_mig_stop(mig);
    (void)snprintf(command, sizeof command, "test -e %s.unreadable-1", kept); /* set aside, not lost */
    assert_int_equal(system(command), 0);
}

static void without_nvml(void **unused) {
    struct divvy_http_mig_device *devices = NULL;
    struct divvy_mig_error error = {0};
    struct divvy_http_mig *mig = NULL;
    size_t count = 7;

    (void)unused;
    assert_int_equal(divvy_http_mig_start("/no/libnvidia-ml.so.1", locks, NULL, &mig, NULL), 0);
    assert_int_equal(divvy_http_mig_devices(mig, &devices, &count, &error), -ENOENT);
    assert_non_null(strstr(error.text, "no NVML"));
    assert_int_equal(divvy_http_mig_devices_known(mig, &devices, &count), 0);
    assert_int_equal(count, 0);
    free(devices);
    divvy_http_mig_stop(mig);
    divvy_http_mig_stop(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_life),      cmocka_unit_test(until_there_is_none), cmocka_unit_test(bad_bodies),
        cmocka_unit_test(it_expires),  cmocka_unit_test(others_keep_theirs),  cmocka_unit_test(in_metrics),
        cmocka_unit_test(after_a_restart), cmocka_unit_test(without_nvml),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
