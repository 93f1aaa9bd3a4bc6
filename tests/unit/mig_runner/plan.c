/* What is run, from command line, environment and model file; where programs are found; the limiter's limits. */
#include "mig/runner/plan.h"

#include "mig/runner/environment.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/divvy-plan-XXXXXX";

static void file_make(const char *name, const char *text, mode_t mode) {
    char path[128];
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "w");
    assert_non_null(file);
    (void)fputs(text, file);
    (void)fclose(file);
    assert_int_equal(chmod(path, mode), 0);
}

static int folder_make(void **state) {
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    file_make("program", "", 0755);
    file_make("text", "", 0644);
    file_make("model", "{\"name\": \"m\", \"engine\": \"true\", \"model_path\": \"x\", \"vram_limit\": \"1gb\", \"cpu_mem_limit\": \"1gb\"}", 0644);
    return 0;
}

static int folder_remove(void **state) {
    char command[64];

    (void)state;
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static void programs(void **state) {
    char path[PATH_MAX], search[128], name[128];

    (void)state;
    (void)snprintf(search, sizeof search, "/nowhere:%s:/bin", folder);
    assert_int_equal(divvy_runner_program_find("program", search, path), 0);
    assert_int_equal(strncmp(path, folder, strlen(folder)), 0);
    assert_int_equal(divvy_runner_program_find("text", search, path), -EACCES);
    assert_int_equal(divvy_runner_program_find("sh", search, path), 0);
    assert_string_equal(path, "/bin/sh");
    assert_int_equal(divvy_runner_program_find("no-such", search, path), -ENOENT);
    assert_int_equal(divvy_runner_program_find("", search, path), -ENOENT);
    assert_int_equal(divvy_runner_program_find("sh", "", path), -ENOENT);
    assert_int_equal(divvy_runner_program_find(folder, search, path), -EACCES);
    (void)snprintf(name, sizeof name, "%s/no-such", folder);
    assert_int_equal(divvy_runner_program_find(name, search, path), -ENOENT);
}

/* The plan of `divvy-runner` with these words, in an environment that only has `variable`. */
static int make(const char *variable, const char *value, const char *a, const char *b, struct divvy_runner_plan *plan,
                int *ret_exit, struct divvy_error *error) {
    static const char *const all[] = {"HC_MIG_PROFILE", "HC_MIG_TTL", "HC_DEBUG", "HYPERCORE_VRAM_LIMIT_BYTES", "HYPERCORE_CPU_MEM_MB",
                                      "HYPERCORE_PREFETCH", "MODEL_ID", "CUDA_VISIBLE_DEVICES", "DIVVY_TENANT"};
    char *argv[] = {(char *)(uintptr_t) "divvy-runner", (char *)(uintptr_t)a, (char *)(uintptr_t)b, NULL};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        (void)unsetenv(all[i]);
    if (variable)
        (void)setenv(variable, value, 1);
    return divvy_runner_plan_make(3, argv, plan, ret_exit, error);
}

static void environment(void **state) {
    static struct divvy_runner_plan plan;
    struct divvy_error error;
    int status;

    (void)state;
    assert_int_equal(make(NULL, NULL, "--target", "true", &plan, &status, &error), 0);
    assert_string_equal(plan.profile, "");
    assert_int_equal(plan.vram_limit_bytes, 0);
    assert_int_equal(plan.restart, DIVVY_RUNNER_RESTART_NEVER);
    divvy_runner_plan_done(&plan);
    assert_int_equal(make("HYPERCORE_VRAM_LIMIT_BYTES", "2147483648", "--target", "true", &plan, &status, &error), 0);
    assert_int_equal(plan.vram_limit_bytes, 2147483648);
    divvy_runner_plan_done(&plan);
    assert_int_equal(make("HYPERCORE_CPU_MEM_MB", "2048", "--target", "true", &plan, &status, &error), 0);
    assert_int_equal(plan.memory_bytes, 2147483648);
    divvy_runner_plan_done(&plan);
    assert_int_equal(make("HYPERCORE_PREFETCH", "yes", "--target", "true", &plan, &status, &error), 0);
    assert_false(plan.settings.prefetch);
    assert_string_equal(plan.settings.bad_prefetch, "yes");
    divvy_runner_plan_done(&plan);
}

static void refused(void **state) {
    static struct divvy_runner_plan plan;
    const struct {
        const char *variable, *value, *target;
        int status;
    } cases[] = {
        {"HYPERCORE_VRAM_LIMIT_BYTES", "2GiB", "true", DIVVY_RUNNER_USAGE},
        {"HYPERCORE_VRAM_LIMIT_BYTES", "-1", "true", DIVVY_RUNNER_USAGE},
        {"HYPERCORE_VRAM_LIMIT_BYTES", "99999999999999999999", "true", DIVVY_RUNNER_USAGE},
        {"HYPERCORE_CPU_MEM_MB", "99999999999999", "true", DIVVY_RUNNER_USAGE},
        {"DIVVY_TENANT", "outer", "true", DIVVY_RUNNER_USAGE},
        {NULL, NULL, "no-such-program", DIVVY_RUNNER_NOT_FOUND},
        {NULL, NULL, folder, DIVVY_RUNNER_NOT_EXECUTABLE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct divvy_error error = {0};
        int status = 0;

        assert_true(make(cases[i].variable, cases[i].value, "--target", cases[i].target, &plan, &status, &error) < 0);
        assert_int_equal(status, cases[i].status);
        assert_true(error.text[0]);
        divvy_runner_plan_done(&plan);
    }
}

static void model(void **state) {
    static struct divvy_runner_plan plan;
    struct divvy_error error = {0};
    char path[64];
    int status;

    (void)state;
    (void)snprintf(path, sizeof path, "%s/model", folder);
    assert_int_equal(make(NULL, NULL, "--model", path, &plan, &status, &error), 0);
    assert_string_equal(plan.model_id, "m");
    assert_string_equal(plan.visible, "0");
    assert_true(plan.visible_is_model);
    assert_int_equal(plan.vram_limit_bytes, 1 << 30);
    assert_int_equal(plan.restart, DIVVY_RUNNER_RESTART_ALWAYS);
    divvy_runner_plan_done(&plan);
    assert_int_equal(make("CUDA_VISIBLE_DEVICES", "3", "--model", path, &plan, &status, &error), 0);
    assert_string_equal(plan.visible, "3");
    divvy_runner_plan_done(&plan);
    /* Two sources that agree are fine, two that do not are a mistake that nobody can guess away. */
    assert_int_equal(make("HYPERCORE_CPU_MEM_MB", "1024", "--model", path, &plan, &status, &error), 0);
    divvy_runner_plan_done(&plan);
    assert_int_equal(make("HYPERCORE_VRAM_LIMIT_BYTES", "5", "--model", path, &plan, &status, &error), -EINVAL);
    assert_int_equal(status, DIVVY_RUNNER_USAGE);
    assert_non_null(strstr(error.text, "vram_limit"));
    divvy_runner_plan_done(&plan);
}

static void limits(void **state) {
    struct divvy_runner_slice slice = {.count = 0};
    char text[256];

    (void)state;
    assert_true(divvy_runner_limit_format(&slice, 5, text, sizeof text) > 0);
    assert_string_equal(text, "{\"0\": 5}");
    slice.count = 2;
    slice.devices[0] = (struct divvy_mig_device){.is_mig = 1,
                                                 .uuid = "MIG-11111111-2222-3333-4444-555555555555",
                                                 .parent_uuid = "GPU-11111111-2222-3333-4444-666666666666"};
    slice.devices[1] = (struct divvy_mig_device){.uuid = "GPU-21111111-2222-3333-4444-666666666666"};
    assert_true(divvy_runner_limit_format(&slice, 7, text, sizeof text) > 0);
    assert_string_equal(text, "{\"GPU-11111111-2222-3333-4444-666666666666\": 7, "
                              "\"GPU-21111111-2222-3333-4444-666666666666\": 7}");
    assert_int_equal(divvy_runner_limit_format(&slice, 7, text, 40), 0);
    /* Two slices of one GPU: one key, since twice the same would be refused. */
    slice.devices[1] = slice.devices[0];
    assert_true(divvy_runner_limit_format(&slice, 7, text, sizeof text) > 0);
    assert_string_equal(text, "{\"GPU-11111111-2222-3333-4444-666666666666\": 7}");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(programs), cmocka_unit_test(environment), cmocka_unit_test(refused),
                                       cmocka_unit_test(model), cmocka_unit_test(limits)};

    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
