/*
 * The platform's configuration into the files: random changes by platform and by hand, against a model of what must come of them, and cut off between the
 * two files.
 */
#include "agent/apply.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { WORKERS = 6 };

static char folder[] = "/tmp/divvy-agent-apply.XXXXXX";
static char state_path[64], config_path[64];
static struct divvy_agent_files files;

static int setup(void **state) {
    int fd;

    (void)state;
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(state_path, sizeof state_path, "%s/state", folder);
    (void)snprintf(config_path, sizeof config_path, "%s/config", folder);
    fd = divvy_backend_folder_open(state_path, NULL);
    if (divvy_backend_filestate_open(fd, "workers.json", DIVVY_BACKEND_WORKERS, &files.state,
                                     NULL) < 0)
        return -1;
    (void)close(fd);
    fd = divvy_backend_folder_open(config_path, NULL);
    if (divvy_backend_filestate_open(fd, "workers.json", DIVVY_BACKEND_AGENT_WORKERS, &files.config,
                                     NULL) < 0)
        return -1;
    (void)close(fd);
    files.config_folder = config_path;
    return 0;
}

static int teardown(void **state) {
    char command[128];

    (void)state;
    divvy_backend_filestate_close(files.state);
    divvy_backend_filestate_close(files.config);
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

/* What the platform wants, and what must stand in state/workers.json; -1: nothing, 0: off, 1: on. */
static int platform[WORKERS], device[WORKERS], known[WORKERS], known_device[WORKERS],
    expected[WORKERS];

static json_t *config_make(void) {
    json_t *workers = json_array();

    for (int i = 0; i < WORKERS; i++)
        if (platform[i] >= 0) {
            char id[16], gpu[16];

            (void)snprintf(id, sizeof id, "w%d", i);
            (void)snprintf(gpu, sizeof gpu, "GPU-%d", device[i]);
            (void)json_array_append_new(workers, json_pack("{s:s, s:[s], s:b}", "worker_id", id,
                                                           "gpu_ids", gpu, "enabled", platform[i]));
        }
    return json_pack("{s:i, s:o}", "config_version", 1, "workers", workers);
}

static void apply(void) {
    struct divvy_error error = {0};
    json_t *config = config_make();

    if (divvy_agent_config_apply(&files, config, &error) < 0)
        fail_msg("%s", error.text);
    json_decref(config);
    for (int i = 0; i < WORKERS; i++) {
        if (platform[i] < 0 ? known[i] >= 0
                            : known[i] != platform[i] || known_device[i] != device[i])
            expected[i] = platform[i];
        known[i] = platform[i];
        known_device[i] = device[i];
    }
}

static void edit_by_hand(int i, int wish) {
    char id[16];
    json_t *entry;

    (void)snprintf(id, sizeof id, "w%d", i);
    expected[i] = wish;
    if (wish < 0) {
        (void)divvy_backend_filestate_remove(files.state, id, NULL);
        return;
    }
    entry = json_pack("{s:s, s:s}", "WorkerUID", id, "Status", wish ? "Running" : "Pending");
    assert_int_equal(divvy_backend_filestate_put(files.state, entry, NULL), 0);
    json_decref(entry);
}

static void compare(void) {
    int found[WORKERS];
    json_t *list, *each;
    size_t index;

    memset(found, -1, sizeof found);
    assert_int_equal(divvy_backend_filestate_read(files.state, &list, NULL, NULL), 0);
    json_array_foreach(list, index, each)
        found[json_string_value(json_object_get(each, "WorkerUID"))[1] - '0'] =
            strcmp(json_string_value(json_object_get(each, "Status")), "Running") == 0;
    json_decref(list);
    assert_memory_equal(found, expected, sizeof found);
}

static void random_changes(void **state) {
    const char *given = getenv("DIVVY_TEST_SEED");
    unsigned int seed = given ? (unsigned int)strtoul(given, NULL, 10) : (unsigned int)time(NULL);

    (void)state;
    print_message("seed %u\n", seed);
    srand(seed);
    memset(platform, -1, sizeof platform);
    memset(known, -1, sizeof known);
    memset(expected, -1, sizeof expected);
    for (int step = 0; step < 300; step++) {
        int i = rand() % WORKERS;

        switch (rand() % 4) {
        case 0:
            edit_by_hand(i, rand() % 3 - 1);
            break;
        case 1:
            device[i] = rand() % 3;
            break;
        case 2:
            platform[i] = rand() % 3 - 1;
            break;
        default:
            apply();
            /* The same again changes nothing. */
            apply();
        }
        compare();
    }
}

/* As after a kill between the two files: the state has it, the memory of the platform's word does not. */
static void cut_off_in_between(void **state) {
    char path[96];

    (void)state;
    for (int i = 0; i < WORKERS; i++)
        platform[i] = 1;
    apply();
    (void)snprintf(path, sizeof path, "%s/workers.json", config_path);
    assert_int_equal(unlink(path), 0);
    memset(known, -1, sizeof known);
    edit_by_hand(0, 0);
    apply();
    compare();
}

static void share_codes(void **state) {
    json_t *config = json_loads("{\"config_version\": 1, \"workers\": [{\"worker_id\": \"w0\", "
                                "\"gpu_ids\": [\"GPU-0\"], \"enabled\": true, "
                                "\"share_codes\": [\"abc\", \"two\\nlines\", \"def\"]}]}",
                                0, NULL);
    char path[96], text[64] = "";
    FILE *file;

    (void)state;
    assert_int_equal(divvy_agent_config_apply(&files, config, NULL), 0);
    (void)snprintf(path, sizeof path, "%s/w0_share_codes", config_path);
    file = fopen(path, "r");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof text - 1, file) > 0);
    (void)fclose(file);
    assert_string_equal(text, "abc\ndef\n");
    json_decref(config);
    config = json_loads("{\"config_version\": 2, \"workers\": []}", 0, NULL);
    assert_int_equal(divvy_agent_config_apply(&files, config, NULL), 0);
    assert_int_equal(access(path, F_OK), -1);
    json_decref(config);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_changes),
                                       cmocka_unit_test(cut_off_in_between),
                                       cmocka_unit_test(share_codes)};

    return cmocka_run_group_tests(tests, setup, teardown);
}
